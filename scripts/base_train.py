"""Run ``python -m scripts.base_train --help``; the stage is :mod:`nanochat.stages.base_train`."""

import sys

from nanochat.stages import run

if __name__ == "__main__":
    sys.exit(run("base-train"))
