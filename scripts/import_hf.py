"""Run ``python -m scripts.import_hf --help``; the stage is :mod:`nanochat.stages.import_hf`."""

import sys

from nanochat.stages import run

if __name__ == "__main__":
    sys.exit(run("import-hf"))
