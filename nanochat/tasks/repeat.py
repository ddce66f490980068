"""Saying again what was said: the first thing that attention is good for.

To answer a question from a text, a model must find a word in the text and write it down. Looking up what stood behind a
word the last time, and writing it again, is a part of this that can be learned alone and fast (induction heads,
:arxiv:`2209.11895`). Words and nonsense come in any order here, so that nothing but looking it up helps.

The other kind repeats what stories are about. To a model that only tells stories, one place is as good as another, so
it gives all places nearly the same embedding. Then it cannot say which one it has read. Repeating pulls them apart.
"""

from __future__ import annotations

import random
from functools import cache

from nanochat.common import InputError
from nanochat.conversation import Conversation, Message
from nanochat.corpora.stories import FOODS, FRIENDS, HEROES, NUMBERS, PLACES, PLOTS, SPOTS, THINGS
from nanochat.tasks.base import Task, check_split, in_split, pick, vary
from nanochat.tasks.words import words_credit, words_of

KINDS = ("words", "stories")
"""The kinds of texts to repeat."""
TEXTS = 20_000
"""Texts to repeat, both splits together."""
MOST = 8
"""The most words in a text."""
MADE_UP = 0.5
"""The share of words that do not exist."""

_FORMS = (
    "Repeat: {text}", "Say this again: {text}", "Please repeat after me: {text}", "Copy this: {text}",
    "Write this once more: {text}", 'Repeat "{text}".', 'Say "{text}" again.', 'Copy "{text}".', 'Write "{text}".',
    'What did I say? I said "{text}".',
)  # fmt: skip
_FIRST = "b c d f g h j k l m n p r s t v w z br ch dr fl gr kl pl sh st th tr".split()
_MIDDLE = "a e i o u ai ea ee oo ou".split()
_COUNTED = [tuple(words) for words in (NUMBERS, FOODS, THINGS)]
_WHERE, _NAMES = tuple(PLACES), (*HEROES, *FRIENDS)
_LAST = ["", "", "l", "m", "n", "r", "s", "t", "ck", "nd", "st"]


class Repeat(Task):
    """Words to repeat. The reward is 1 when they are the same, in the same order, and nothing else.

    Args:
        split: ``"train"`` or ``"test"``.
        limit: The most questions; None for all.
        seed: Chooses order and wording.
        kind: One of :data:`KINDS`: everyday words and made-up ones, or names, places and things of the stories.

    Raises:
        InputError: If there is no such kind.
    """

    name = "repeat"
    title = "repeating words"

    def __init__(self, kind: str = "words", split: str = "train", limit: int | None = None, seed: int = 0) -> None:
        check_split(self.name, split)
        if kind not in KINDS:
            raise InputError(f"kind {kind!r} of task {self.name!r} is unknown: use one of {', '.join(KINDS)}")
        if kind == "stories":
            self.name, self.title = "repeat-stories", "repeating words of stories"
        self.credit = words_credit() if kind == "words" else ""
        rng = random.Random(f"{self.name} {split}")
        known = words_of(split) if kind == "words" else []
        texts = [_text(rng, known) for _ in range(TEXTS)] if known else _of_stories(self.name, split)
        super().__init__([text for text in dict.fromkeys(texts) if in_split(text, split)], limit, seed)

    def _ask(self, item: str, rng: random.Random) -> Conversation:
        before, after = pick(rng, _FORMS).split("{text}")
        question = (
            f"{vary(before, rng) if after else before}{item}{after if rng.random() < 0.75 else after.rstrip('.')}"
        )
        return Conversation((Message.user(question), Message.assistant(item)))

    def _score(self, item: str, asked: Conversation, answer: Message) -> float:
        return float(answer.text.strip() == item)


def _text(rng: random.Random, known: list[str]) -> str:
    n = 1 + int(rng.random() * MOST)
    return " ".join(_made_up(rng) if rng.random() < MADE_UP else pick(rng, known) for _ in range(n))


def _made_up(rng: random.Random) -> str:
    syllables = 1 + int(rng.random() * 3)
    return "".join(pick(rng, _FIRST) + pick(rng, _MIDDLE) for _ in range(syllables)) + pick(rng, _LAST)


@cache
def _of_stories(name: str, split: str) -> tuple[str, ...]:
    """Make up the texts of stories for one split."""
    rng = random.Random(f"{name} {split}")
    return tuple(" ".join(_mention(rng) for _ in range(1 + int(rng.random() * MOST))) for _ in range(TEXTS))


def _mention(rng: random.Random) -> str:
    """Return a name, a thing, a food, a place or a reason of the stories."""
    number, food, thing = (pick(rng, words) for words in _COUNTED)
    place, plot = pick(rng, _WHERE), pick(rng, PLOTS)
    named = pick(rng, _NAMES)
    ways = (
        named, number, food, f"{number} {food}", f"the {thing}", f"a {THINGS[thing]['full']}", PLACES[place]["at"],
        f"the {place}", pick(rng, tuple(SPOTS)), pick(rng, tuple(plot.own.get("why", SPOTS))),
        pick(rng, tuple(plot.roles.get("elder", NUMBERS))),
    )  # fmt: skip
    return pick(rng, ways)
