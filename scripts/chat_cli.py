"""Run ``python -m scripts.chat_cli --help``; the stage is :mod:`nanochat.stages.chat_cli`."""

import sys

from nanochat.stages import run

if __name__ == "__main__":
    sys.exit(run("chat-cli"))
