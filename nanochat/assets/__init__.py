"""What comes with the package: the small trained model, in ``shipped/``, with the record of how it was made."""
