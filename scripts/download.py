"""Run ``python -m scripts.download --help``; the stage is :mod:`nanochat.stages.download`."""

import sys

from nanochat.stages import run

if __name__ == "__main__":
    sys.exit(run("download"))
