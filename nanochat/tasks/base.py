"""What all tasks share: three methods, an order that a seed fixes, and the rules by which answers are judged."""

from __future__ import annotations

import operator
import random
import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np

from nanochat.common import InputError
from nanochat.conversation import Conversation, Message
from nanochat.corpora import split_of

_T = TypeVar("_T")

SPLITS = ("train", "test")
"""What is learned from, and what is only asked when learning is over."""


class Task:
    """A list of questions with their answers, and a judge.

    Every task has the same three methods: ``len(task)``; ``task[i]``, a conversation that ends with the answer to
    learn; and ``task.reward(i, answer)``, which says how good another answer to question ``i`` is. Training reads the
    second, reinforcement learning and evaluation the third.

    Args:
        items: What the questions are made of, one entry each.
        limit: The most questions to have; None for all.
        seed: Chooses the order of the items, and the wording where there are several.
        rounds: How often each item comes, each time in another wording.

    Raises:
        InputError: If there are no items, or limit or seed are out of range.
    """

    name: str = ""
    """What :func:`nanochat.tasks.load_task` calls it."""
    title: str = ""
    """A few words for headings and legends."""
    credit: str = ""
    """Author and licence, to print wherever an excerpt shows; empty for text of our own."""
    choices: tuple[str, ...] | None = None
    """The letters to choose from. The answer of a model is the one that it finds likeliest right behind the prompt.
    None for tasks whose answer is written out."""

    def __init__(self, items: Sequence[Any], limit: int | None = None, seed: int = 0, rounds: int = 1) -> None:
        if not len(items):
            raise InputError(f"task {self.name!r} has no questions: give it data that has some")
        check_count("limit", limit, 1)
        check_count("seed", seed, 0)
        self._items = items
        self._seed = 0 if seed is None else seed
        self._order = shuffled(len(items), self._seed)
        self._length = len(items) * rounds if limit is None else min(limit, len(items) * rounds)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, i: int) -> Conversation:
        """Return question ``i`` with its answer, the same one every time.

        Raises:
            IndexError: If there is no such question.
        """
        place = self._place(i)
        return self._ask(self._items[self._order[place % len(self._order)]], self._rng(place))

    def reward(self, i: int, answer: Message) -> float:
        """Judge an answer.

        Args:
            i: The number of the question.
            answer: What a model answered.

        Returns:
            From 0.0, wrong, to 1.0, right.

        Raises:
            IndexError: If there is no such question.
            InputError: If the answer is no message of the assistant.
        """
        if not isinstance(answer, Message) or answer.role != "assistant":
            raise InputError(f"cannot judge {type(answer).__name__}: give a Message of the assistant")
        place = self._place(i)
        return float(self._score(self._items[self._order[place % len(self._order)]], self[place], answer))

    def _ask(self, item: Any, rng: random.Random) -> Conversation:
        """Word one item as a conversation, with choices made by ``rng``."""
        raise NotImplementedError

    def _score(self, item: Any, asked: Conversation, answer: Message) -> float:
        """Judge an answer to one item, which was asked in these words."""
        raise NotImplementedError

    def _place(self, i: int) -> int:
        return range(len(self))[operator.index(i)]

    def _rng(self, place: int) -> random.Random:
        return random.Random(f"{self.name} {self._seed} {place}")

    def __repr__(self) -> str:
        return f"<task {self.name}: {len(self)} questions>"


class Mixture(Task):
    """Several tasks as one, in an order that mixes them evenly.

    A task that is given twice comes twice as often.

    Args:
        tasks: The tasks.
        seed: Chooses the order.

    Raises:
        InputError: If there is no task.
    """

    def __init__(self, tasks: Sequence[Task], seed: int = 0) -> None:
        if not tasks:
            raise InputError("a mixture of no tasks: give at least one")
        self.tasks = tuple(tasks)
        """The tasks that were mixed."""
        names = dict.fromkeys(task.name for task in tasks)
        self.name = "+".join(names)
        self.title = ", ".join(dict.fromkeys(task.title for task in tasks))
        self.credit = "; ".join(dict.fromkeys(task.credit for task in tasks if task.credit))
        self.choices = tasks[0].choices if len({task.choices for task in tasks}) == 1 else None
        self._starts = np.cumsum([0, *map(len, tasks)])
        super().__init__(range(int(self._starts[-1])), seed=seed)

    def __getitem__(self, i: int) -> Conversation:
        """Return question ``i`` with its answer."""
        task, place = self.find(i)
        return task[place]

    def reward(self, i: int, answer: Message) -> float:
        """Let the task that question ``i`` comes from judge the answer."""
        task, place = self.find(i)
        return task.reward(place, answer)

    def find(self, i: int) -> tuple[Task, int]:
        """Return the task that question ``i`` comes from, and its number there."""
        item = int(self._order[self._place(i)])
        which = int(np.searchsorted(self._starts, item, side="right")) - 1
        return self.tasks[which], item - int(self._starts[which])


def check_split(name: str, split: str) -> str:
    """Return the split, or say which there are."""
    if split not in SPLITS:
        raise InputError(f"split {split!r} of task {name!r} is unknown: use 'train' or 'test'")
    return split


def check_count(what: str, value: object, least: int) -> None:
    """Refuse what is neither None nor a whole number of at least ``least``."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
        raise InputError(f"{what}={value!r} must be a whole number of at least {least}")


def in_split(key: str, split: str) -> bool:
    """Say whether content with this key belongs to the split: a hash of the key decides, nothing else."""
    return (split_of(key) == "train") == (split == "train")


def shuffled(n: int, seed: int) -> np.ndarray:
    """Return the numbers below ``n`` in an order that the seed fixes, on every machine."""
    return np.random.PCG64(seed).random_raw(n).argsort(kind="stable")


def pick(rng: random.Random, choices: Sequence[_T]) -> _T:
    """Choose evenly; of all methods of Random only ``random()`` promises the same numbers for ever."""
    return choices[int(rng.random() * len(choices))]


def vary(question: str, rng: random.Random, small: float = 0.25) -> str:
    """Write a question as people type: now and then without its last sign, or without its capital.

    Args:
        question: The question as it should be written.
        rng: Makes the choices.
        small: How often to write the first letter small; 0 where it begins a name.

    Example:
        >>> sorted({vary("What is 1 + 1?", random.Random(seed)) for seed in range(50)})
        ['What is 1 + 1', 'What is 1 + 1?', 'what is 1 + 1', 'what is 1 + 1?']
    """
    lower, bare = rng.random() < small, rng.random() < 0.25
    if lower and question[1:2].islower():
        question = question[0].lower() + question[1:]
    return question.rstrip("?.!") if bare else question


# --- Judging -------------------------------------------------------------------------------------------------------

_FINAL = re.compile(r"####\s*(-?)\$?((?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)\s*\.?\s*", re.ASCII)


def final_number(text: str) -> Fraction | None:
    r"""Return the number behind ``####`` at the end of an answer, as in GSM8K (:arxiv:`2110.14168`).

    Args:
        text: The words of an answer.

    Returns:
        The number; None if the mark is missing, stands more than once, or something else than one number follows it.
        So listing many numbers wins nothing.

    Example:
        >>> final_number("17 * 3 = 51\n#### 51"), final_number("#### 50 #### 51"), final_number("It is 51.")
        (Fraction(51, 1), None, None)
    """
    at = text.find("####")
    found = _FINAL.fullmatch(text[at:]) if at >= 0 and len(text) - at <= 80 else None
    return Fraction(found[1] + found[2].replace(",", "")) if found else None


def plain_words(text: str) -> list[str]:
    """Return the words of a text in small letters, without signs.

    Example:
        >>> plain_words("It's Pip, the mouse!")
        ["it's", 'pip', 'the', 'mouse']
    """
    return re.findall(r"\w+(?:'\w+)*", text.lower())


_COMMON = frozenset(
    "a an and are as at be been by for from had has have he her his i in is it its me my of on or she that the their "
    "they this to was were which who will with you your".split()
)


def overlap(answer: str, references: Iterable[str], question: str) -> float:
    """Say how much of the closest reference an answer has: the F1 score of their words.

    Words of the question and the commonest words do not count, so that repeating the question earns nothing. A
    reference that has no other words (``Hello`` to ``Hello``) must be met exactly.

    Args:
        answer: The words of an answer.
        references: Answers that are good.
        question: What was asked.

    Returns:
        From 0.0, nothing in common, to 1.0, the same words.

    Example:
        >>> overlap("A whale is a mammal.", ["A whale is a large mammal."], "What is a whale?")
        0.6666666666666666
        >>> overlap("What is a whale?", ["A whale is a large mammal."], "What is a whale?")
        0.0
    """
    asked = {*plain_words(question), *_COMMON}
    best = 0.0
    for reference in references:
        wanted = [word for word in plain_words(reference) if word not in asked]
        if not wanted:
            best = max(best, float(plain_words(answer) == plain_words(reference)))
            continue
        given = [word for word in plain_words(answer) if word not in asked]
        shared = sum(min(given.count(word), wanted.count(word)) for word in set(wanted))
        best = max(best, 2 * shared / (len(given) + len(wanted)))
    return best


# --- Multiple choice -----------------------------------------------------------------------------------------------

LETTERS = "ABCDEFGHIJ"
"""What the options of a multiple choice are called."""


def multiple_choice(question: str, options: Sequence[str], right: int) -> Conversation:
    r"""Ask a question with options; the answer is one letter.

    Each letter stands at the start of a line, where it is the same token as at the start of an answer.

    Args:
        question: The question.
        options: What to choose from, at most ten.
        right: The place of the right one, from 0.

    Example:
        >>> multiple_choice("What do cows drink?", ["milk", "water"], 1).messages[0].text
        'What do cows drink?\nA: milk\nB: water\nAnswer with a letter.'
    """
    lines = [f"{letter}: {option}" for letter, option in zip(LETTERS, options, strict=False)]
    asked = "\n".join([question, *lines, "Answer with a letter."])
    return Conversation((Message.user(asked), Message.assistant(LETTERS[right])))


def chosen_letter(text: str) -> str | None:
    """Return the letter that an answer consists of, with or without a bracket or a full stop; None for any other text.

    Example:
        >>> chosen_letter("B."), chosen_letter("A or B")
        ('B', None)
    """
    found = re.fullmatch(r"\s*\(?([A-J])\)?[.:]?\s*", text)
    return found[1] if found else None


class ChoiceTask(Task):
    """A task whose answer is a letter."""

    def _score(self, item: Any, asked: Conversation, answer: Message) -> float:
        return float(chosen_letter(answer.text) == asked.messages[-1].text)


# --- Data from the hub ---------------------------------------------------------------------------------------------


def bad_row(path: object, number: int, column: str, problem: str) -> InputError:
    """Return the error for a row that cannot be used: it names file, row (from 1) and column."""
    return InputError(f"{path}, row {number}, column {column!r} {problem}: fetch the file again, or correct the row")
