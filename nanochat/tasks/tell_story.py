"""A wish for a story: a story of the grammar, about what was wished for.

Who asks for a story about Pip gets one with Pip in it. Wishes are split by a hash of their words: a wish of the test,
such as one for Ruby and a drum together, was never made in training, though each of the two was.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from nanochat.conversation import Conversation, Message
from nanochat.corpora.stories import FOODS, FRIENDS, HEROES, PLACES, THINGS, Story, check_story
from nanochat.tasks.base import Task, check_split, in_split, pick, plain_words, vary
from nanochat.tasks.story_questions import stories_of

ROUNDS = 12
"""How often each wish of the training comes, each time in another wording and with another story."""

_FORMS = (
    "Tell me {what}{about}.", "Please tell me {what}{about}.", "Can you tell me {what}{about}?",
    "I would like to hear {what}{about}.", "Do you know {what}{about}?", "Tell {what}{about}.", "I want {what}{about}.",
    "Make up {what}{about}.", "Could you tell {what}{about}, please?", "Write {what}{about}.",
)  # fmt: skip
_PLAIN = (
    "a story", "a short story", "a new story", "a nice story", "one story", "a bedtime story", "a tale",
    "a little story", "a story for children", "a fairy tale", "another story", "some story", "any story",
    "a good story", "a small story",
)  # fmt: skip


@dataclass(frozen=True)
class Wish:
    """What somebody would like to hear."""

    what: str
    """A story, in some words."""
    about: str
    """What it shall be about, such as ``Pip and a kite``; empty if that is all the same."""
    facts: Mapping[str, str]
    """The roles that are wished for, such as ``{"hero": "Pip", "thing": "kite"}``."""

    def of(self, split: str) -> bool:
        """Say whether the wish belongs to a split."""
        return in_split(f"{self.what} {self.about}", split)


class TellStory(Task):
    """A wish for a story. The reward is 1 for a consistent story of the grammar in which everything wished for comes.

    Args:
        split: ``"train"`` or ``"test"``.
        limit: The most wishes; None for all.
        seed: Chooses order, wording and stories.
    """

    name = "tell-story"
    title = "telling a story"

    def __init__(self, split: str = "train", limit: int | None = None, seed: int = 0) -> None:
        check_split(self.name, split)
        self._stories = stories_of(split)
        self._with: dict[tuple[str, str], set[int]] = {}
        for number, story in enumerate(self._stories):
            for fact in story.facts.items():
                self._with.setdefault(fact, set()).add(number)
        items = [wish for wish in wishes() if wish.of(split) and self._fitting(wish)]
        super().__init__(items, limit, seed, ROUNDS if split == "train" else 1)

    def _fitting(self, wish: Wish) -> list[int]:
        found = [self._with.get(fact, set()) for fact in wish.facts.items()]
        return sorted(set.intersection(*found)) if found else list(range(len(self._stories)))

    def _ask(self, item: Wish, rng: random.Random) -> Conversation:
        story = self._stories[pick(rng, self._fitting(item))]
        return Conversation((Message.user(_worded(item, rng)), Message.assistant(story.text)))

    def _score(self, item: Wish, asked: Conversation, answer: Message) -> float:
        said = set(plain_words(answer.text))
        return float(
            check_story(answer.text.strip()).consistent and said.issuperset(map(str.lower, item.facts.values()))
        )


@cache
def wishes() -> tuple[Wish, ...]:
    """Return everything that can be wished for: nothing special, one role, or two of them together.

    Example:
        >>> [wish.about for wish in wishes() if wish.facts == {"hero": "Pip", "thing": "kite"}]
        ['Pip and a kite']
    """
    named = {
        "hero": {name: name for name in HEROES},
        "friend": {name: name for name in FRIENDS},
        "thing": {name: f"a {name}" for name in THINGS},
        "food": {name: name for name in FOODS},
        "place": {name: f"the {name}" for name in PLACES},
    }
    found = [Wish(what, "", {}) for what in _PLAIN]
    found += [Wish("a story", f"a {forms['kind']}", {"hero": name}) for name, forms in HEROES.items()]
    found += [Wish("a story", words, {role: value}) for role in named for value, words in named[role].items()]
    for role in ("friend", "thing", "food"):
        for (hero, who), (value, words) in itertools.product(named["hero"].items(), named[role].items()):
            found.append(Wish("a story", f"{who} and {words}", {"hero": hero, role: value}))
    return tuple(found)


def request(story: Story, rng: random.Random) -> str:
    """Wish for a story in such a way that this one fits.

    Args:
        story: The story that will be told.
        rng: Chooses the wish, among those of the training, and the wording.

    Returns:
        The wish, as it is typed.
    """
    special = rng.random() < 0.5
    fitting = [
        wish
        for wish in wishes()
        if bool(wish.facts) == special and wish.facts.items() <= story.facts.items() and wish.of("train")
    ]
    return _worded(pick(rng, fitting), rng)


def _worded(wish: Wish, rng: random.Random) -> str:
    about = f" {pick(rng, ('about', 'about', 'with'))} {wish.about}" if wish.about else ""
    return vary(pick(rng, _FORMS).format(what=wish.what, about=about), rng)
