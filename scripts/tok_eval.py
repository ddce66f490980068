"""Run ``python -m scripts.tok_eval --help``; the stage is :mod:`nanochat.stages.tok_eval`."""

import sys

from nanochat.stages import run

if __name__ == "__main__":
    sys.exit(run("tok-eval"))
