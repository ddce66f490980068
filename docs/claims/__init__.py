"""The sentences that the guides make about the code, one file a chapter, and the mutants that must break them."""
