"""HumanEval: small Python functions to complete, from the hub.

``openai/openai_humaneval`` (MIT; :arxiv:`2107.03374`): 164 functions with their tests, for testing only. A program that
a model wrote is run in the sandbox (:mod:`nanochat.sandbox`), and nowhere else.
"""

from __future__ import annotations

import random
import re
from typing import Any

from nanochat.common import InputError
from nanochat.conversation import Conversation, Message
from nanochat.hub import fetch_hub, read_rows
from nanochat.sandbox import run_program
from nanochat.tasks.base import Task, bad_row, check_split

DATASET = "openai/openai_humaneval"
"""The data set on the hub."""
_COLUMNS = dict.fromkeys(("task_id", "prompt", "canonical_solution", "test", "entry_point"), str)


class HumanEval(Task):
    """Functions to complete. The reward is 1 when the program passes the tests.

    Args:
        split: ``"test"``; there is nothing to learn from.
        limit: The most questions; None for all.
        seed: Chooses the order.

    Raises:
        InputError: If training is asked for, the file cannot be had, or a row cannot be used. Judging raises it
            where the system cannot isolate programs.
    """

    name = "humaneval"
    title = "Python functions (HumanEval)"
    credit = "openai/openai_humaneval, MIT licence"

    def __init__(self, split: str = "test", limit: int | None = None, seed: int = 0) -> None:
        if check_split(self.name, split) == "train":
            raise InputError("task 'humaneval' is for testing only: use split 'test'")
        path = fetch_hub(DATASET, "openai_humaneval/test-00000-of-00001.parquet")
        items = []
        for number, row in enumerate(read_rows(path, _COLUMNS), 1):
            if not row["entry_point"].isidentifier() or f"def {row['entry_point']}(" not in row["prompt"]:
                raise bad_row(path, number, "entry_point", f"is {row['entry_point']!r}, no function of the prompt")
            items.append(row)
        super().__init__(items, limit, seed)

    def _ask(self, item: dict[str, Any], rng: random.Random) -> Conversation:
        program = f"```python\n{item['prompt'].rstrip()}\n{item['canonical_solution'].rstrip()}\n```"
        question = f"Complete this Python function.\n\n```python\n{item['prompt'].rstrip()}\n```"
        return Conversation((Message.user(question), Message.assistant(program)))

    def _score(self, item: dict[str, Any], asked: Conversation, answer: Message) -> float:
        program = find_program(answer.text, item["prompt"], item["entry_point"])
        # Helpers that the prompt brings along go into the tests too, so that no program can change them there.
        tests = f"{_helpers(item['prompt'], item['entry_point'])}\n{item['test']}\ncheck({item['entry_point']})\n"
        return float(run_program(program, tests).passed)


def find_program(answer: str, prompt: str, entry_point: str) -> str:
    r"""Take the program out of an answer.

    It is the first block between three backticks, or all of the answer where there is none. If it has the function, the
    lines of the prompt before the function (imports, helpers) are put before it; else it is taken as the rest of the
    prompt.

    Args:
        answer: The words of an answer.
        prompt: The beginning of the program.
        entry_point: The name of the function to complete.

    Example:
        >>> prompt = "import math\n\ndef half(x):\n    # Halve it.\n"
        >>> find_program("Here it is:\n```python\ndef half(x):\n    return x / 2\n```", prompt, "half")
        'import math\n\ndef half(x):\n    return x / 2\n'
        >>> find_program("    return x / 2", prompt, "half")
        'import math\n\ndef half(x):\n    # Halve it.\n    return x / 2'
    """
    fenced = re.search(r"```(?:[Pp]ython|py)?[ \t]*\n(.*?)(?:```|\Z)", answer, re.DOTALL)
    code = fenced[1] if fenced else answer
    if re.search(rf"^def {re.escape(entry_point)}\b", code, re.MULTILINE):
        return _helpers(prompt, entry_point) + code
    return prompt + code


def _helpers(prompt: str, entry_point: str) -> str:
    """Return what stands before the function that is to be completed."""
    return prompt[: prompt.index(f"def {entry_point}(")]
