"""Run ``python -m scripts.chat_sft --help``; the stage is :mod:`nanochat.stages.chat_sft`."""

import sys

from nanochat.stages import run

if __name__ == "__main__":
    sys.exit(run("chat-sft"))
