"""Run ``python -m scripts.tok_train --help``; the stage is :mod:`nanochat.stages.tok_train`."""

import sys

from nanochat.stages import run

if __name__ == "__main__":
    sys.exit(run("tok-train"))
