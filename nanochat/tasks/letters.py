"""Counting: how often a letter stands in a word.

Counting by eye is hard for a model that sees tokens and no letters. But it may ask: ``"strawberry".count("r")`` is one
of the things that the calculator can do, and copying the word into the call is something that attention does well.

Most letters stand in a word once. To always answer "once" must not be a good answer, so letters that stand twice or not
at all are asked for more often.
"""

from __future__ import annotations

import random
import re
from string import ascii_lowercase

from nanochat.calculator import calculate
from nanochat.conversation import Conversation, Message, Part
from nanochat.tasks.base import pick, vary
from nanochat.tasks.words import WordTask

TWICE = 0.75
"""How often, in a word that has such letters, one is asked for that stands there more than once."""
ABSENT = 0.35
"""How often, in the other cases, a letter is asked for that the word does not have."""

# Three in four with quotation marks, as in the call: then the word is cut into the same tokens there.
_QUESTIONS = (
    'How many times is the letter {letter} in "{word}"?', 'How many {letter} are in "{word}"?',
    'How many letters {letter} are in "{word}"?', 'How often is {letter} in the word "{word}"?',
    'Count the letter {letter} in "{word}".', 'How many times does {letter} appear in "{word}"?',
    'How many {letter} does "{word}" have?', 'How many times does "{letter}" stand in "{word}"?',
    'What is the number of {letter} in "{word}"?', "How many {letter} are in {word}?",
    "How many {letter}'s are there in {word}?", "How many times is {letter} in the word {word}?",
)  # fmt: skip


class Letters(WordTask):
    """A letter to count. The reward is 1 when the answer has one number and it is right.

    Args:
        split: ``"train"`` or ``"test"``.
        limit: The most questions; None for all.
        seed: Chooses order, letters and wording.
    """

    name = "letters"
    title = "counting a letter in a word"
    rounds = 12

    def _ask(self, item: str, rng: random.Random) -> Conversation:
        several = [letter for letter in item if item.count(letter) > 1]
        absent = [letter for letter in ascii_lowercase if letter not in item]
        if several and rng.random() < TWICE:
            letter = pick(rng, several)
        else:
            letter = pick(rng, absent if rng.random() < ABSENT else item)
        call = f'"{item}".count("{letter}")'
        count = calculate(call)
        question = vary(pick(rng, _QUESTIONS).format(word=item, letter=letter), rng)
        reply = f'The letter {letter} is in "{item}" {count} {"time" if count == "1" else "times"}.'
        return Conversation(
            (Message.user(question), Message.assistant(Part("python", call), Part("output", count), reply))
        )

    def _score(self, item: str, asked: Conversation, answer: Message) -> float:
        (count,) = (part.text for part in asked.messages[-1].parts if part.kind == "output")
        return float(re.findall(r"\d+", answer.text, re.ASCII) == [count])
