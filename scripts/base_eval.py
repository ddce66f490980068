"""Run ``python -m scripts.base_eval --help``; the stage is :mod:`nanochat.stages.base_eval`."""

import sys

from nanochat.stages import run

if __name__ == "__main__":
    sys.exit(run("base-eval"))
