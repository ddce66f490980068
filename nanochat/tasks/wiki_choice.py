"""Multiple choice from Wikipedia: which description is that of the title?

The three wrong descriptions come from articles of the same topic, so that knowing the topic is not enough. Descriptions
that share a word with their title are left out, because they could be matched without knowing anything.
"""

from __future__ import annotations

import random
from collections import defaultdict
from functools import cache

from nanochat.conversation import Conversation
from nanochat.corpora import WIKI_CREDIT, WikiItem, wiki_file, wiki_items
from nanochat.tasks.base import LETTERS, ChoiceTask, check_split, in_split, multiple_choice, pick, plain_words

ROUNDS = 2
"""How often each training title comes, each time among other descriptions."""

_QUESTIONS = (
    'Which description fits "{title}"?', 'What is meant by "{title}"?', "Which of these is {title}?",
    'Choose the description of "{title}".', 'Find the right description of "{title}".',
)  # fmt: skip


class WikiChoice(ChoiceTask):
    """A title and four descriptions. The reward is 1 for the letter of the right one.

    Args:
        split: ``"train"`` or ``"test"``: that of the article in the corpus ``wiki``.
        limit: The most questions; None for all.
        seed: Chooses order, wording and wrong descriptions.
    """

    name = "wiki-choice"
    title = "the right description of a title"
    credit = WIKI_CREDIT
    choices = tuple(LETTERS[:4])

    def __init__(self, split: str = "train", limit: int | None = None, seed: int = 0) -> None:
        check_split(self.name, split)
        wiki_file()  # without the package, it says what to install
        self._descriptions: dict[str, list[str]] = defaultdict(list)
        for item in _described():
            self._descriptions[item.topic].append(item.description)
        items = [item for item in _described() if in_split(item.extract, split)]
        super().__init__(items, limit, seed, ROUNDS if split == "train" else 1)

    def _ask(self, item: WikiItem, rng: random.Random) -> Conversation:
        options = [item.description]
        while len(options) < 4:
            other = pick(rng, self._descriptions[item.topic])
            # Neither the same in other letters, nor one that the title gives away.
            if other.lower() not in map(str.lower, options) and not share_a_word(item.title, other):
                options.append(other)
        right = int(rng.random() * 4)
        options[0], options[right] = options[right], options[0]
        return multiple_choice(pick(rng, _QUESTIONS).format(title=item.title), options, right)


@cache
def articles() -> tuple[WikiItem, ...]:
    """Return the articles of the corpus ``wiki``, read once."""
    return tuple(wiki_items())


@cache
def _described() -> list[WikiItem]:
    return [item for item in articles() if item.description and not share_a_word(item.title, item.description)]


def share_a_word(one: str, other: str) -> bool:
    """Say whether two texts have a word of more than three letters in common, or one that begins with the other's.

    Example:
        >>> share_a_word("Chemical synthesis", "Planned series of chemical reactions")
        True
        >>> share_a_word("Physicist", "Study of physics")
        True
    """
    stems = [{word[:5] for word in plain_words(text) if len(word) > 3} for text in (one, other)]
    return bool(stems[0] & stems[1])
