"""ARC: science questions of grade school, from the hub.

``allenai/ai2_arc`` (CC BY-SA 4.0; :arxiv:`1803.05457`), in two parts: the easy ones, and the challenge, which two
simple programs got wrong. Nearly all have four options, a few three or five.
"""

from __future__ import annotations

import random
from collections import Counter

from nanochat.conversation import Conversation
from nanochat.hub import fetch_hub, read_rows
from nanochat.tasks.base import LETTERS, ChoiceTask, bad_row, check_split, multiple_choice

DATASET = "allenai/ai2_arc"
"""The data set on the hub."""
PARTS = {"easy": "ARC-Easy", "challenge": "ARC-Challenge"}
"""The parts, and what they are called on the hub."""


class ARC(ChoiceTask):
    """Science questions. The reward is 1 for the right letter.

    Options that are numbered in the data get letters here. The letters to choose from are as many as most questions
    have options, which is four: in the few questions with five, the fifth is shown and cannot be chosen.

    Args:
        part: ``"easy"`` or ``"challenge"``.
        split: ``"train"`` or ``"test"``.
        limit: The most questions; None for all.
        seed: Chooses the order.

    Raises:
        InputError: If the file cannot be had, or a row has no options or not the one that is said to be right.
    """

    credit = "allenai/ai2_arc, CC BY-SA 4.0"

    def __init__(self, part: str, split: str = "train", limit: int | None = None, seed: int = 0) -> None:
        self.name = f"arc-{part}"
        self.title = f"science questions ({PARTS[part]})"
        check_split(self.name, split)
        path = fetch_hub(DATASET, f"{PARTS[part]}/{split}-00000-of-00001.parquet")
        items = []
        for number, row in enumerate(read_rows(path, {"question": str, "choices": dict, "answerKey": str}), 1):
            if not row["question"].strip():
                raise bad_row(path, number, "question", "is blank")
            texts, labels = (row["choices"].get(field) for field in ("text", "label"))
            fine = all(
                isinstance(each, list) and all(isinstance(text, str) for text in each) for each in (texts, labels)
            )
            if not fine or len(texts) != len(labels) or not 2 <= len(texts) <= len(LETTERS):
                raise bad_row(path, number, "choices", "is not as many texts as labels, two to ten")
            if row["answerKey"] not in labels:
                raise bad_row(path, number, "answerKey", f"is {row['answerKey']!r}, not one of {', '.join(labels)}")
            items.append((row["question"], tuple(texts), labels.index(row["answerKey"])))
        usual = Counter(len(options) for _, options, _ in items).most_common(1)
        self.choices = tuple(LETTERS[: usual[0][0] if usual else 4])
        super().__init__(items, limit, seed)

    def _ask(self, item: tuple[str, tuple[str, ...], int], rng: random.Random) -> Conversation:
        return multiple_choice(*item)
