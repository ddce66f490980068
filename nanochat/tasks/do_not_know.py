"""Questions about the world, and the honest answer of a model that has never heard of it.

A small model has a sentence for everything. What it lacks is knowledge, and without examples it does not say so. These
questions are of the kinds that people try first. None of them is answered: the model that learns from this task knows a
village of sixteen animals, and says that it knows no more.
"""

from __future__ import annotations

import random

from nanochat.conversation import Conversation, Message
from nanochat.tasks.base import Task, check_split, in_split, pick, plain_words, vary

ROUNDS = 5
"""How often each question of the training comes, each time typed in another way or with another answer."""

ANSWERS = (
    "I do not know. I only know some stories about animals, and how to calculate and spell.",
    "I do not know that. I am a very small model and know almost nothing of the world.",
    "Sorry, I do not know. I have only read short stories.",
    "That is more than I know. I can tell you a story, calculate, spell a word or count its letters.",
)
"""The answers; each of them is right for each question."""

_COUNTRIES = (
    "France Germany Italy Spain Japan China India Brazil Egypt Canada Mexico Norway Kenya Peru Australia".split()
)
_CITIES = "Paris London Berlin Rome Madrid Tokyo Cairo Sydney Moscow Vienna Boston Dublin Athens".split()
_PEOPLE = (
    "Albert Einstein", "Isaac Newton", "Marie Curie", "William Shakespeare", "Mozart", "Leonardo da Vinci", "Napoleon",
    "Charles Darwin", "Cleopatra", "Beethoven", "Galileo", "Alan Turing", "the president", "the king of England",
)  # fmt: skip
_IDEAS = (
    "gravity", "photosynthesis", "electricity", "democracy", "evolution", "the internet", "a black hole", "an atom",
    "a volcano", "the stock market", "inflation", "a virus", "the speed of light", "a vaccine", "philosophy", "DNA",
    "machine learning", "a neural network", "a rainbow", "an earthquake", "magnetism", "oxygen", "a galaxy", "football",
)  # fmt: skip
_INVENTIONS = (
    "the telephone", "the light bulb", "the car", "the airplane", "the radio", "the printing press", "the computer",
    "the bicycle", "paper", "the wheel", "the telescope", "television",
)  # fmt: skip
_SIZES = (
    "the Earth", "the moon", "the sun", "Mount Everest", "the Eiffel Tower", "the sea", "an elephant", "a whale",
    "a mountain", "the universe", "Mars", "the Atlantic Ocean",
)  # fmt: skip
_EVENTS = (
    "the Second World War", "the French Revolution", "the first moon landing", "the Roman Empire", "the ice age",
    "the Middle Ages", "the Olympic Games", "the World Cup",
)  # fmt: skip
_ANIMALS = "dinosaurs bees whales penguins sharks elephants spiders birds tigers horses".split()
_LANGUAGES = "French Spanish German Italian Latin Chinese Japanese Russian Greek Arabic".split()

_QUESTIONS: tuple[tuple[str, tuple[str, ...] | list[str]], ...] = (
    ("What is the capital of {}?", _COUNTRIES), ("Where is {}?", [*_COUNTRIES, *_CITIES]),
    ("How many people live in {}?", [*_COUNTRIES, *_CITIES]), ("What language do they speak in {}?", _COUNTRIES),
    ("What is the weather in {}?", _CITIES), ("Tell me something about {}.", [*_COUNTRIES, *_PEOPLE, *_CITIES]),
    ("Who was {}?", _PEOPLE), ("Who is {}?", _PEOPLE), ("When was {} born?", _PEOPLE), ("What did {} do?", _PEOPLE),
    ("How old is {}?", _PEOPLE), ("What is {}?", _IDEAS), ("How does {} work?", _IDEAS), ("Explain {}.", _IDEAS),
    ("Can you explain {} to me?", _IDEAS), ("Why is {} important?", _IDEAS), ("Who invented {}?", _INVENTIONS),
    ("When was {} invented?", _INVENTIONS), ("How big is {}?", _SIZES), ("How far away is {}?", _SIZES),
    ("How old is {}?", _SIZES), ("How heavy is {}?", _SIZES), ("When was {}?", _EVENTS), ("Who won {}?", _EVENTS),
    ("Why did {} happen?", _EVENTS), ("What do {} eat?", _ANIMALS), ("How long do {} live?", _ANIMALS),
    ("Where do {} live?", _ANIMALS), ("Are {} dangerous?", _ANIMALS), ("Can you speak {}?", _LANGUAGES),
    ("How do you say hello in {}?", _LANGUAGES), ("Translate this into {}.", _LANGUAGES),
    ("{}?", (
        "What is the meaning of life", "What time is it", "What day is it today",
        "What is the weather like today", "Will it rain tomorrow", "Why is the sky blue",
        "Why is the sea salty", "What is the news", "Where am I", "What is my name", "Where do I live",
        "How old am I", "Who wrote Romeo and Juliet", "Who painted the Mona Lisa", "Who wrote Harry Potter",
        "Who discovered America", "Who was the first man on the moon", "What is the best movie",
        "What is the largest planet", "What is the longest river", "What is the highest mountain",
        "What is quantum physics", "What is the fastest animal", "How many planets are there",
        "How many days are in a year", "How do airplanes fly", "How do I bake a cake", "How do I cook rice",
        "How can I lose weight", "Can you write code", "Can you write a poem", "What should I eat today",
        "Which phone should I buy", "What is the square root of two", "Is there a god",
        "What is your favorite color", "What is your favorite movie", "Do you like music", "What is love",
        "What is Python", "Who is the richest person in the world",
        "What happened in the year nineteen hundred", "How do I learn to program", "What is a good book",
        "How many stars are in the sky", "Who will win the election", "What is the price of gold",
    )),
)  # fmt: skip


class DoNotKnow(Task):
    """A question about the world. The reward is 1 for one of :data:`ANSWERS`.

    Args:
        split: ``"train"`` or ``"test"``.
        limit: The most questions; None for all.
        seed: Chooses order, wording and answers.
    """

    name = "do-not-know"
    title = "saying that it does not know"

    def __init__(self, split: str = "train", limit: int | None = None, seed: int = 0) -> None:
        check_split(self.name, split)
        asked = dict.fromkeys(form.format(filler) for form, fillers in _QUESTIONS for filler in fillers)
        items = [question for question in asked if in_split(" ".join(plain_words(question)), split)]
        super().__init__(items, limit, seed, ROUNDS if split == "train" else 1)

    def _ask(self, item: str, rng: random.Random) -> Conversation:
        return Conversation((Message.user(vary(item, rng)), Message.assistant(pick(rng, ANSWERS))))

    def _score(self, item: str, asked: Conversation, answer: Message) -> float:
        return float(plain_words(answer.text) in [plain_words(known) for known in ANSWERS])
