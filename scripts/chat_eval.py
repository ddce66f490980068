"""Run ``python -m scripts.chat_eval --help``; the stage is :mod:`nanochat.stages.chat_eval`."""

import sys

from nanochat.stages import run

if __name__ == "__main__":
    sys.exit(run("chat-eval"))
