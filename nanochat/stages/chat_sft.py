"""Fine-tune a model on chats: it learns to answer, and to end its answer.

Only the tokens that the assistant writes by itself count: its words, its calls of the calculator, and the end of its
turn. The user's words, the marks that begin a turn, and what the calculator returned are read and not learnt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nanochat.stages.chats import ChatSettings, learn_from_chats
from nanochat.stages.flags import parse_flags
from nanochat.stages.training import started


@dataclass(frozen=True, kw_only=True)
class Settings(ChatSettings):
    """The flags of ``nanochat chat-sft``."""

    tasks: str = (
        "arithmetic:20000,letters:12000,spelling:12000,repeat:8000,story-chats:12000,story-questions:12000,"
        "story-endings:4000,tell-story,dialogue:6000,wiki-choice,wiki-what-is,smalltalk"
    )
    """The tasks to learn from, with commas between; a number behind a colon takes so many chats of a task."""
    lr_scale: float = 0.3
    """All learning rates are multiplied by this."""


def main(argv: Sequence[str] | None = None) -> None:
    """Load, train, save, and print answers."""
    settings = parse_flags(Settings, argv, "nanochat chat-sft", __doc__)
    with started(settings) as runtime:
        learn_from_chats(settings, "sft", ("base", "mid"), runtime)
