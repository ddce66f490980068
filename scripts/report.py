"""Run ``python -m scripts.report --help``; the stage is :mod:`nanochat.stages.report`."""

import sys

from nanochat.stages import run

if __name__ == "__main__":
    sys.exit(run("report"))
