"""Mid-train a base model: it learns what a chat looks like, how to call the calculator, and how to choose.

The data is a mixture of chats and of some of the text that the model has read before, so that it does not forget how to
tell a story. All tokens count, the user's too: this is still reading, of another kind of text, and what questions are
about is worth knowing as well. Which part of a chat is the model's own is learnt in the next stage, where only the
assistant's tokens count (``chat-sft``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nanochat.common import InputError
from nanochat.stages.chats import ChatSettings, learn_from_chats
from nanochat.stages.flags import parse_flags
from nanochat.stages.training import started


@dataclass(frozen=True, kw_only=True)
class Settings(ChatSettings):
    """The flags of ``nanochat mid-train``."""

    tasks: str = (
        "arithmetic:20000,letters:12000,spelling:12000,repeat:12000,story-chats:8000,story-questions:8000,"
        "story-endings:3000,dialogue:4000,wiki-choice"
    )
    """The tasks to learn from, with commas between; a number behind a colon takes so many chats of a task."""
    data: str = "stories"
    """The corpus whose text is mixed in, as for base-train."""
    text_share: float = 0.25
    """Share of the tokens that is plain text, from 0 to less than 1."""
    lr_scale: float = 0.5
    """All learning rates are multiplied by this."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.text_share < 1:
            raise InputError(f"--text-share={self.text_share} must be from 0 to less than 1")


def main(argv: Sequence[str] | None = None) -> None:
    """Load, mix, train, save, and print answers."""
    settings = parse_flags(Settings, argv, "nanochat mid-train", __doc__)
    with started(settings) as runtime:
        learn_from_chats(
            settings, "mid", ("base",), runtime, learn_all=True, text=settings.data, text_share=settings.text_share
        )
