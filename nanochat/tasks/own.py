"""Conversations of your own: a file with one a line, in the form in which they are published and sent to servers.

Wherever the name of a task is expected, the path of such a file may stand. Each line is one JSON object:

.. code-block:: json

    {"messages": [{"role": "user", "content": "Who are you?"}, {"role": "assistant", "content": "A small model."}]}

A message of the role ``system`` may come first; content may be a list of parts (:mod:`nanochat.conversation`). A
``.parquet`` file with a column ``messages`` works as well.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from nanochat.common import InputError
from nanochat.conversation import Conversation, Message
from nanochat.hub import read_rows
from nanochat.tasks.base import Task, bad_row, check_count, check_split, in_split, overlap


class OwnChats(Task):
    """The conversations of a file. The reward is the F1 score of the words of the last answer.

    Some conversations are held out for the test; a hash of their content decides, so that the same one is never
    learned and asked. A file of fewer than two conversations on one side has no held-out part, and the test asks
    what was learned.

    Args:
        path: The file, ``.jsonl`` or ``.parquet``.
        split: ``"train"`` or ``"test"``.
        limit: The most conversations; None for all.
        seed: Chooses the order.

    Raises:
        InputError: If the file is missing or empty, or a row is no conversation that ends with an answer.
    """

    def __init__(self, path: Path | str, split: str = "train", limit: int | None = None, seed: int = 0) -> None:
        path = Path(path).expanduser()
        self.name = path.stem
        self.title = f"conversations of {path.name}"
        check_split(self.name, split)
        check_count("limit", limit, 1)
        if not path.is_file():
            raise InputError(f"{path} does not exist: give the path of a .jsonl file with one conversation a line")
        talks = []
        for number, row in enumerate(read_rows(path, {"messages": list}), 1):
            try:
                talk = Conversation.of(row["messages"])
            except InputError as error:
                raise bad_row(path, number, "messages", f"is no conversation ({error})") from error
            if talk.messages[-1].role == "user":
                raise bad_row(path, number, "messages", "ends with the user: the answer to learn is missing")
            talks.append(talk)
        ours = [talk for talk in talks if in_split(json.dumps(talk.as_dicts()), split)]
        super().__init__(ours if 0 < len(ours) < len(talks) else talks, limit, seed)

    def _ask(self, item: Conversation, rng: random.Random) -> Conversation:
        return item

    def _score(self, item: Conversation, asked: Conversation, answer: Message) -> float:
        return overlap(answer.text, [item.messages[-1].text], item.messages[-2].text)
