"""Sums, differences, products, quotients and small word problems, worked out with the calculator.

The answers have the form of GSM8K: the calculation, its result, and the final number behind ``####``. Nothing in them
is typed: the results are those that :func:`nanochat.calculator.calculate` gives, as when a model asks for them.

Whether a problem is for training or for the test, its numbers decide, in either order and in all kinds of problems: who
is tested on 17 + 25 was not trained on 25 + 17, also not in a story about apples.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import cycle, islice

from nanochat.calculator import calculate
from nanochat.conversation import Conversation, Message, Part
from nanochat.corpora.stories import FOODS, FRIENDS, HEROES
from nanochat.tasks.base import Task, check_split, final_number, in_split, pick, shuffled, vary

ROUNDS = 4
"""How often each training problem comes, each time in another wording."""
WORD_PROBLEMS = 12_000
"""Word problems that are drawn, both splits together, equal ones counted once."""


@dataclass(frozen=True)
class Problem:
    """Something to calculate."""

    forms: tuple[str, ...]
    """Ways to ask for it, with places for the values."""
    values: Mapping[str, object]
    """Numbers and words that the ways to ask have in common."""
    steps: tuple[tuple[str, str, str], ...]
    """For each step what is said before the calculation, the expression, and what is said behind the result."""

    @property
    def keys(self) -> tuple[str, ...]:
        """What decides about the split. For each step it is the sign and the numbers, the smaller one first."""
        found = (re.fullmatch(r"(\d+)([-+*/])(\d+)", expression) for _, expression, _ in self.steps)
        return tuple(
            " ".join([sign, *sorted((a, b), key=int)]) for a, sign, b in (each.groups() for each in found if each)
        )

    @property
    def result(self) -> str:
        """The result of the last step."""
        return calculate(self.steps[-1][1])


_FORMS = {
    "+": (
        "What is {a} + {b}?", "{a} + {b}", "{a}+{b}", "{a} + {b} =", "{a}+{b}=?", "How much is {a} + {b}?",
        "What is {a} plus {b}?", "How much is {a} plus {b}?", "{a} plus {b}", "Add {a} and {b}.",
        "What is the sum of {a} and {b}?", "Calculate {a} + {b}.", "Please add {a} and {b}.", "Compute {a}+{b}.",
        "What do you get when you add {a} and {b}?", "Can you tell me what {a} + {b} is?", "What's {a} + {b}?",
    ),
    "-": (
        "What is {a} - {b}?", "{a} - {b}", "{a}-{b}", "{a} - {b} =", "{a}-{b}=?", "How much is {a} - {b}?",
        "What is {a} minus {b}?", "How much is {a} minus {b}?", "{a} minus {b}", "Subtract {b} from {a}.",
        "What is {a} less {b}?", "Calculate {a} - {b}.", "Take {b} away from {a}.", "Compute {a}-{b}.",
        "What's {a} - {b}?", "Can you tell me what {a} - {b} is?",
    ),
    "*": (
        "What is {a} * {b}?", "{a} * {b}", "{a}*{b}", "{a} * {b} =", "{a}*{b}=?", "How much is {a} * {b}?",
        "What is {a} times {b}?", "How much is {a} times {b}?", "{a} times {b}", "Multiply {a} by {b}.",
        "What is the product of {a} and {b}?", "Calculate {a} * {b}.", "Please multiply {a} and {b}.",
        "Compute {a}*{b}.", "What is {a} x {b}?", "{a} x {b}", "What's {a} * {b}?", "What's {a} times {b}?",
    ),
    "/": (
        "What is {a} / {b}?", "{a} / {b}", "{a}/{b}", "{a} / {b} =", "{a}/{b}=?", "How much is {a} / {b}?",
        "What is {a} divided by {b}?", "How much is {a} divided by {b}?", "{a} divided by {b}", "Divide {a} by {b}.",
        "Calculate {a} / {b}.", "Please divide {a} by {b}.", "Compute {a}/{b}.", "How many times does {b} go into {a}?",
        "What's {a} / {b}?", "What's {a} divided by {b}?",
    ),
}  # fmt: skip


def _pairs(sign: str, pairs: Iterator[tuple[int, int]]) -> tuple[Problem, ...]:
    return tuple(
        Problem(
            _FORMS[sign],
            {"a": a, "b": b},
            ((f"{a} {sign} {b} = ", f"{a}{sign}{b}", ""),),
        )
        for a, b in pairs
    )


@cache
def _sums() -> tuple[Problem, ...]:
    return _pairs("+", ((a, b) for a in range(100) for b in range(100)))


@cache
def _differences() -> tuple[Problem, ...]:
    # Results below zero come too, but less often.
    return _pairs("-", ((a, b) for a in range(100) for b in range(100) if b <= a or (a + b) % 4 == 0))


@cache
def _products() -> tuple[Problem, ...]:
    small, large = range(2, 13), range(2, 100)
    return _pairs("*", ((a, b) for a in large for b in large if a in small or b in small))


@cache
def _quotients() -> tuple[Problem, ...]:
    return _pairs("/", ((a * b, b) for a in range(2, 100) for b in range(2, 21)))


# Each template: the question, then the steps. Words in braces are filled in; `he` is the pronoun of the first name.
_STORIES = (
    (
        "{who} has {a} {food}. {friend} gives {him} {b} more. How many {food} does {who} have now?",
        (("{who} has {a} + {b} = ", "{a}+{b}", " {food} now."),),
    ),
    (
        "There are {a} {food} in one basket and {b} {food} in another. How many {food} are there in all?",
        (("There are {a} + {b} = ", "{a}+{b}", " {food} in all."),),
    ),
    (
        "{who} picked {a} {food} and {friend} picked {b}. How many {food} did they pick together?",
        (("Together they picked {a} + {b} = ", "{a}+{b}", " {food}."),),
    ),
    (
        "{who} had {a} {food} and ate {c} of them. How many {food} are left?",
        (("There are {a} - {c} = ", "{a}-{c}", " {food} left."),),
    ),
    (
        "{who} found {a} {food}. {He} gave {c} of them to {friend}. How many {food} does {who} still have?",
        (("{who} still has {a} - {c} = ", "{a}-{c}", " {food}."),),
    ),
    (
        "{who} has {a} {food} and {friend} has {c}. How many more {food} does {who} have than {friend}?",
        (("{who} has {a} - {c} = ", "{a}-{c}", " more {food}."),),
    ),
    (
        "{who} has {m} bags with {n} {food} in each. How many {food} does {who} have?",
        (("{who} has {m} * {n} = ", "{m}*{n}", " {food}."),),
    ),
    (
        "Every day {who} eats {n} {food}. How many {food} does {he} eat in {m} days?",
        (("In {m} days {who} eats {m} * {n} = ", "{m}*{n}", " {food}."),),
    ),
    (
        "{who} shares {mn} {food} among {m} friends. How many {food} does each friend get?",
        (("Each friend gets {mn} / {m} = ", "{mn}/{m}", " {food}."),),
    ),
    (
        "{who} has {m} bags with {n} {food} in each and {b} more {food} in a box. How many {food} are there in all?",
        (
            ("In the bags there are {m} * {n} = ", "{m}*{n}", " {food}.\n"),
            ("In all there are {mn} + {b} = ", "{mn}+{b}", " {food}."),
        ),
    ),
    (
        "{who} had {a} {food}. {He} found {b} more and gave {c} to {friend}. How many {food} does {who} have now?",
        (
            ("First {who} had {a} + {b} = ", "{a}+{b}", " {food}.\n"),
            ("Now {who} has {ab} - {c} = ", "{ab}-{c}", " {food}."),
        ),
    ),
    (
        "{who} has {a} {food}. {friend} has {m} times as many. How many {food} do they have together?",
        (
            ("{friend} has {m} * {a} = ", "{m}*{a}", " {food}.\n"),
            ("Together they have {a} + {ma} = ", "{a}+{ma}", " {food}."),
        ),
    ),
)


@cache
def _word_problems() -> tuple[Problem, ...]:
    rng = random.Random("word problems")
    made: dict[str, Problem] = {}
    for _ in range(WORD_PROBLEMS):
        a, b = (4 + int(rng.random() * 47) for _ in range(2))
        # 2 <= c <= a - 2: no answer is about one cookies
        c, m, n = 2 + int(rng.random() * (a - 3)), 2 + int(rng.random() * 8), 2 + int(rng.random() * 19)
        who, friend, food = (pick(rng, list(lexicon)) for lexicon in (HEROES, FRIENDS, FOODS))
        values: dict[str, object] = {
            **{"a": a, "b": b, "c": c, "m": m, "n": n, "who": who, "friend": friend, "food": food},
            **{"mn": m * n, "ab": a + b, "ma": m * a},
            **{form: HEROES[who][form] for form in ("he", "He", "him")},
        }
        question, steps = pick(rng, _STORIES)
        text = question.format_map(values)
        filled = (
            (before.format_map(values), sign.format_map(values), after.format_map(values))
            for before, sign, after in steps
        )
        made.setdefault(text, Problem((question,), values, tuple(filled)))
    return tuple(made.values())


KINDS: dict[str, tuple[str, Callable[[], tuple[Problem, ...]]]] = {
    "sums": ("sums of two numbers up to 99", _sums),
    "differences": ("differences of two numbers up to 99", _differences),
    "products": ("products of a number up to 12 and one up to 99", _products),
    "quotients": ("quotients without a remainder, by a number up to 20", _quotients),
    "words": ("word problems of one or two steps", _word_problems),
}
"""For each kind of problems what they are, and where they come from."""


class Arithmetic(Task):
    """Calculations whose reward is 1 when the final number is right.

    Args:
        kind: One of :data:`KINDS`, or None for all of them, the same number of each.
        split: ``"train"`` or ``"test"``.
        limit: The most questions; None for all.
        seed: Chooses order and wording.
    """

    def __init__(self, kind: str | None = None, split: str = "train", limit: int | None = None, seed: int = 0) -> None:
        self.name = f"arithmetic-{kind}" if kind else "arithmetic"
        self.title = KINDS[kind][0] if kind else "arithmetic"
        check_split(self.name, split)
        problems = [_of_split(each, split) for each in ([kind] if kind else KINDS)]
        if len(problems) == 1:
            items = problems[0]
        elif split == "train":  # the kinds with few problems come more often
            size = max(map(len, problems))
            items = [
                problem
                for row in zip(*(islice(cycle(each), size) for each in problems), strict=True)
                for problem in row
            ]
        else:  # but nothing is asked twice in a test
            items = [problem for row in zip(*problems, strict=False) for problem in row]
        super().__init__(items, limit, seed, ROUNDS if split == "train" and kind else 1)

    def _ask(self, item: Problem, rng: random.Random) -> Conversation:
        parts: list[Part | str] = []
        for before, expression, after in item.steps:
            result = calculate(expression)
            parts += [before, Part("python", expression), Part("output", result), result + after]
        parts[-1] = f"{parts[-1]}\n#### {result}"
        question = vary(pick(rng, item.forms), rng).format_map(item.values)
        return Conversation((Message.user(question), Message.assistant(*parts)))

    def _score(self, item: Problem, asked: Conversation, answer: Message) -> float:
        number = final_number(answer.text)
        return float(number is not None and number == final_number(f"#### {item.result}"))


@cache
def _of_split(kind: str, split: str) -> list[Problem]:
    problems = KINDS[kind][1]()
    if split == "train":
        kept = [problem for problem in problems if all(in_split(key, split) for key in problem.keys)]
    else:  # the first step of two may be a known one, the last may not
        kept = [problem for problem in problems if in_split(problem.keys[-1], split)]
    return [kept[place] for place in shuffled(len(kept), 0)]
