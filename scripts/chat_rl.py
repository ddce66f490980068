"""Run ``python -m scripts.chat_rl --help``; the stage is :mod:`nanochat.stages.chat_rl`."""

import sys

from nanochat.stages import run

if __name__ == "__main__":
    sys.exit(run("chat-rl"))
