"""The stages as modules: ``python -m scripts.tok_train`` is ``nanochat tok-train``."""
