"""Run ``python -m scripts.export_hf --help``; the stage is :mod:`nanochat.stages.export_hf`."""

import sys

from nanochat.stages import run

if __name__ == "__main__":
    sys.exit(run("export-hf"))
