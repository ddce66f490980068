"""What is that? The first sentence of Wikipedia's article says it.

A model of a few million parameters cannot keep ten thousand facts. What it can learn here is the form of such an
answer, and the commonest facts. The reward says how many of the words that matter it had.
"""

from __future__ import annotations

import random
import re
from functools import cache

from nanochat.conversation import Conversation, Message
from nanochat.corpora import WIKI_CREDIT, WikiItem, wiki_file
from nanochat.tasks.base import Task, check_split, in_split, overlap, pick, vary
from nanochat.tasks.wiki_choice import articles

ROUNDS = 2
"""How often each training article comes, each time in another wording."""
LONGEST = 320
"""Sentences of more characters than this are left out."""

_QUESTIONS = ("{What} {be} {title}?", "{What} {be} {title}?", "Tell me about {title}.", "Can you explain {title}?")
_PERSONS = ("{What} {be} {title}?", "{What} {be} {title}?", "Tell me about {title}.", "What do you know about {title}?")
_SHORTENED = re.compile(r"(?:\b(?:[A-Z]|St|Dr|Mr|Mrs|Ms|Jr|Sr|vs|ca?|fl|lit|approx|e\.g|i\.e|etc|no|No|Mt|Gen|Col))\.$")


class WikiWhatIs(Task):
    """A title to explain. The reward is the F1 score of the words that the question does not have.

    Args:
        split: ``"train"`` or ``"test"``: that of the article in the corpus ``wiki``.
        limit: The most questions; None for all.
        seed: Chooses order and wording.
    """

    name = "wiki-what-is"
    title = "what something is"
    credit = WIKI_CREDIT

    def __init__(self, split: str = "train", limit: int | None = None, seed: int = 0) -> None:
        check_split(self.name, split)
        wiki_file()  # without the package, it says what to install
        items = [item for item in _explained() if in_split(item[0].extract, split)]
        super().__init__(items, limit, seed, ROUNDS if split == "train" else 1)

    def _ask(self, item: tuple[WikiItem, str], rng: random.Random) -> Conversation:
        article, sentence = item
        person = article.topic == "People"
        verb = re.search(r"\b(is|are|was|were)\b", sentence)
        question = pick(rng, _PERSONS if person else _QUESTIONS).format(
            What="Who" if person else "What", be=verb[1] if verb else "is", title=_named(article)
        )
        return Conversation((Message.user(vary(question, rng)), Message.assistant(sentence)))

    def _score(self, item: tuple[WikiItem, str], asked: Conversation, answer: Message) -> float:
        return overlap(answer.text, [item[1]], asked.messages[0].text)


@cache
def _explained() -> list[tuple[WikiItem, str]]:
    return [(item, sentence) for item in articles() if (sentence := first_sentence(item.extract))]


def first_sentence(text: str) -> str:
    """Return the first sentence of a paragraph, or nothing if it is too long, or has a gap where a formula stood.

    Example:
        >>> first_sentence("J. S. Bach (c. 1700) was a composer. He wrote fugues.")
        'J. S. Bach (c. 1700) was a composer.'
    """
    for end in re.finditer(r'[.!?]"?(?= [A-Z"]|$)', text):
        sentence = text[: end.end()]
        if sentence.count("(") == sentence.count(")") and not _SHORTENED.search(sentence):
            # " ," and "( " stand where the package dropped a formula or a sound.
            gap = re.search(r" [,;.)]|\( |\(\)|''|[:;,]$|\w:\w", sentence)
            return (
                ""
                if gap or len(sentence) > LONGEST or not re.search(r"\b(?:is|are|was|were)\b", sentence)
                else sentence
            )
    return ""


def _named(article: WikiItem) -> str:
    """Write a title as it stands in a sentence: "an abacus", "erosion", "Charles V"."""
    name = re.sub(r" \(.*\)$", "", article.title)
    found = re.match(rf"(an?|the) ({re.escape(name)})\b", article.extract, re.IGNORECASE)
    if found:
        return f"{found[1].lower()} {found[2]}"
    small = name[:1].lower() + name[1:]
    return small if re.search(rf"\b{re.escape(small)}\b", article.extract) else name
