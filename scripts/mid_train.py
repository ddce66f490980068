"""Run ``python -m scripts.mid_train --help``; the stage is :mod:`nanochat.stages.mid_train`."""

import sys

from nanochat.stages import run

if __name__ == "__main__":
    sys.exit(run("mid-train"))
