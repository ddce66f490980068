"""SmolTalk, the small one: general conversations for small models, from the hub.

``HuggingFaceTB/smol-smoltalk`` (Apache 2.0): 460,000 conversations to learn from and 24,000 to test on, written by
larger models.
"""

from __future__ import annotations

import random

from nanochat.common import InputError, get_logger
from nanochat.conversation import Conversation, Message
from nanochat.hub import fetch_hub, read_rows
from nanochat.tasks.base import Task, bad_row, check_count, check_split, overlap

DATASET = "HuggingFaceTB/smol-smoltalk"
"""The data set on the hub."""
FILES = {
    "train": tuple(f"data/train-{number:05d}-of-00004.parquet" for number in range(4)),
    "test": ("data/test-00000-of-00001.parquet",),
}
"""The files of each split."""


class SmolTalk(Task):
    """General conversations. The reward is the F1 score of the words of the last answer.

    Rows with a blank message, or without an answer at the end, are left out and counted in the log.

    Args:
        split: ``"train"`` or ``"test"``.
        limit: The most conversations; None for all. Files are fetched one by one until there are so many.
        seed: Chooses the order.

    Raises:
        InputError: If a file cannot be had, or a row is no conversation.
    """

    name = "smoltalk"
    title = "general conversations (SmolTalk)"
    credit = "HuggingFaceTB/smol-smoltalk, Apache 2.0"

    def __init__(self, split: str = "train", limit: int | None = None, seed: int = 0) -> None:
        check_split(self.name, split)
        check_count("limit", limit, 1)
        items: list[tuple[str, ...]] = []
        left_out = 0
        for file in FILES[split]:
            path = fetch_hub(DATASET, file)
            for number, row in enumerate(read_rows(path, {"messages": list}), 1):
                messages = row["messages"]
                blank = any(isinstance(each, dict) and not str(each.get("content") or "").strip() for each in messages)
                if blank or len(messages) < 2:
                    left_out += 1
                    continue
                try:
                    talk = Conversation.of(messages)
                except InputError as error:
                    raise bad_row(path, number, "messages", f"is no conversation ({error})") from error
                if talk.messages[-1].role == "user":
                    left_out += 1
                    continue
                items.append(tuple(message.text for message in talk.messages))
            if limit is not None and len(items) >= limit:
                break
        if left_out:
            get_logger(__name__).warning("%s: %d rows with a blank or missing message left out", DATASET, left_out)
        super().__init__(items, limit, seed)

    def _ask(self, item: tuple[str, ...], rng: random.Random) -> Conversation:
        return Conversation(
            tuple(Message.assistant(text) if place % 2 else Message.user(text) for place, text in enumerate(item))
        )

    def _score(self, item: tuple[str, ...], asked: Conversation, answer: Message) -> float:
        return overlap(answer.text, [item[-1]], item[-2])
