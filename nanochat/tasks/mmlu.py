"""MMLU: questions from 57 subjects, four options each, from the hub.

``cais/mmlu`` (MIT; :arxiv:`2009.03300`): 14,042 questions to test on. To learn from, it has 99,842 questions that were
gathered from other exams (``auxiliary_train``).
"""

from __future__ import annotations

import random

from nanochat.conversation import Conversation
from nanochat.hub import fetch_hub, read_rows
from nanochat.tasks.base import LETTERS, ChoiceTask, bad_row, check_split, multiple_choice

DATASET = "cais/mmlu"
"""The data set on the hub."""
FILES = {"train": "all/auxiliary_train-00000-of-00001.parquet", "test": "all/test-00000-of-00001.parquet"}
"""The file of each split."""


class MMLU(ChoiceTask):
    """Questions of exams. The reward is 1 for the right letter.

    Args:
        split: ``"train"`` or ``"test"``.
        limit: The most questions; None for all. They are mixed first, so that a few come from all subjects.
        seed: Chooses the order.

    Raises:
        InputError: If the file cannot be had, or a row has not four options and the number of one.
    """

    name = "mmlu"
    title = "exams in 57 subjects (MMLU)"
    credit = "cais/mmlu, MIT licence"
    choices = tuple(LETTERS[:4])

    def __init__(self, split: str = "train", limit: int | None = None, seed: int = 0) -> None:
        check_split(self.name, split)
        path = fetch_hub(DATASET, FILES[split])
        items = []
        for number, row in enumerate(read_rows(path, {"question": str, "choices": list, "answer": int}), 1):
            if not row["question"].strip():
                raise bad_row(path, number, "question", "is blank")
            if len(row["choices"]) != 4 or not all(isinstance(option, str) for option in row["choices"]):
                raise bad_row(path, number, "choices", "is not four texts")
            if not 0 <= row["answer"] < 4:
                raise bad_row(path, number, "answer", f"is {row['answer']}, not from 0 to 3")
            items.append((row["question"], tuple(row["choices"]), row["answer"]))
        super().__init__(items, limit, seed)

    def _ask(self, item: tuple[str, tuple[str, ...], int], rng: random.Random) -> Conversation:
        return multiple_choice(*item)
