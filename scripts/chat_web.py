"""Run ``python -m scripts.chat_web --help``; the stage is :mod:`nanochat.stages.chat_web`."""

import sys

from nanochat.stages import run

if __name__ == "__main__":
    sys.exit(run("chat-web"))
