"""Spelling: which letters a word is made of, one by one.

A model never sees letters. It sees tokens, and must learn by heart which letters each one stands for. Whether a word is
for training or for the test, a hash of the word decides, the same one as in :mod:`nanochat.tasks.letters`: a word of
the test was neither spelled nor counted in training. Its pieces were.
"""

from __future__ import annotations

import random
import re

from nanochat.conversation import Conversation, Message
from nanochat.tasks.base import pick, vary
from nanochat.tasks.words import WordTask

_QUESTIONS = (
    'Spell "{word}".', 'Spell the word "{word}".', 'How do you spell "{word}"?', 'How is "{word}" spelled?',
    'Spell "{word}" letter by letter.', 'Which letters are in "{word}"?', 'What are the letters of "{word}"?',
    'Write "{word}" letter by letter.', 'Please spell "{word}" for me.', "Spell {word}.", "How do you spell {word}?",
    "Can you spell {word}?",
)  # fmt: skip


class Spelling(WordTask):
    """A word, letter by letter. The reward is 1 when all the letters are there, in order, and nothing else.

    Args:
        split: ``"train"`` or ``"test"``.
        limit: The most questions; None for all.
        seed: Chooses order and wording.
    """

    name = "spelling"
    title = "spelling a word"
    rounds = 6

    def _ask(self, item: str, rng: random.Random) -> Conversation:
        question = vary(pick(rng, _QUESTIONS).format(word=item), rng)
        return Conversation((Message.user(question), Message.assistant(" ".join(item))))

    def _score(self, item: str, asked: Conversation, answer: Message) -> float:
        letters = re.split(r"[\s,-]+", answer.text.strip().rstrip(".").lower())
        return float(letters == list(item))
