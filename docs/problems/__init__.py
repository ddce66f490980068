"""Practice problems: each function computes a question with its answer and its steps, and returns a Problem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nanochat.common import InputError


@dataclass(frozen=True)
class Problem:
    """A question that a reader can answer, and the way to the answer."""

    question: str
    """The question; may hold Markdown and formulas."""
    answer: int | float | str
    """The answer, as code computed it. A number is compared as a number, a text without regard to case and spaces."""
    steps: Sequence[str]
    """The way to the answer, step by step; may hold Markdown and formulas."""
    tolerance: float = 0.0
    """How far a reader's number may be off and still be right; 0.005 when two decimals are asked for."""
    unit: str = ""
    """What the number counts, such as ``bytes``."""
    show: str = ""
    """How the answer is printed; the answer itself if left out."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))
        if not self.question.strip() or not self.steps:
            raise InputError("a problem needs a question and at least one step to its answer")
        if isinstance(self.answer, float) and not self.tolerance:
            raise InputError(f"the answer {self.answer!r} is no whole number: give a tolerance, such as 0.005")
        if self.tolerance < 0:
            raise InputError(f"the tolerance {self.tolerance} is below zero; give how far off an answer may be")

    @property
    def shown(self) -> str:
        """The answer with its unit, as it is printed."""
        answer = self.show or (f"{self.answer:,}" if isinstance(self.answer, int) else f"{self.answer}")
        return f"{answer} {self.unit}".strip()

    def accepts(self, given: str) -> bool:
        """Say whether an answer is right; the page's script decides in the same way.

        >>> Problem("2 + 2?", 4, ["Count on."]).accepts("4")
        True
        """
        if isinstance(self.answer, str):
            return "".join(given.split()).casefold() == "".join(self.answer.split()).casefold()
        try:
            number = float(given.replace(",", "").replace("\N{MINUS SIGN}", "-").strip())
        except ValueError:
            return False
        return abs(number - self.answer) <= self.tolerance + 1e-12
