"""Greetings, thanks and small questions: what people say first to a thing that talks.

The part that says what the model is, is our own, because it must be true: a small language model, no person, with
little knowledge. The rest are openings from ``chatterbot-corpus`` (BSD licence). Most of that is left out: what jokes
about people, is rude, claims to be a person or immortal, or states things that are not so. Without the package, our own
part is all there is.
"""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from nanochat.common import InputError, get_logger
from nanochat.conversation import Conversation, Message
from nanochat.tasks.base import Task, check_split, in_split, overlap, pick, plain_words, vary

ROUNDS = 12
"""How often each opening comes in training, each time typed in another way or answered with other words."""
CREDIT = "chatterbot-corpus by Gunther Cox and contributors, BSD 3-Clause licence"
"""Whom to thank for the openings that are not our own."""

_OWN = (
    (
        ("Hello!", "Hi!", "Hi there!", "Hey!", "Hello there", "Good morning", "Good evening!",
         "Good day"),
        ("Hello! How can I help you?", "Hi! What would you like to know?", "Hello! It is nice to hear from you."),
    ),
    (
        ("Who are you?", "What are you?", "What is your name?", "Tell me about yourself.", "Introduce yourself.",
         "Who am I talking to?", "What's your name?"),
        ("I am nanochat, a small language model.", "My name is nanochat. I am a small language model."),
    ),
    (
        ("Are you a person?", "Are you human?", "Are you a robot?", "Are you alive?", "Are you real?",
         "Am I talking to a human?", "Do you have feelings?"),
        ("No, I am a language model: a program that continues text.", "I am a program, a small language model."),
    ),
    (
        ("What can you do?", "What can you help me with?", "How can you help me?", "What are you good at?",
         "What do you know?"),
        ("I can add and multiply with a calculator, spell words, count letters, and answer questions about a story.",
         "I can calculate, spell, count letters and talk about short stories. I know little else."),
    ),
    (
        ("Who made you?", "How were you made?", "Where do you come from?", "How were you trained?", "Who built you?"),
        ("I was trained on short texts with the code of nanochat, which you can read.",
         "I come from nanochat, a small project that shows how language models are made."),
    ),
    (
        ("Are you smart?", "How much do you know?", "Can I trust you?", "Do you make mistakes?",
         "Are you always right?"),
        ("I am very small and I often make mistakes.", "I know little, and I make mistakes. Please check what I say."),
    ),
    (
        ("Thank you", "Thanks!", "Thank you very much!", "Thanks a lot", "Many thanks", "That helped, thank you."),
        ("You are welcome!", "You are welcome. I am glad to help."),
    ),
    (
        ("Goodbye", "Bye!", "See you later", "Good night", "See you tomorrow!", "I have to go now."),
        ("Goodbye! Come back soon.", "Goodbye! It was nice to talk with you."),
    ),
    (
        ("How are you?", "How are you doing?", "How do you feel?", "Are you well?", "How is it going?"),
        ("I am ready to help. How are you?", "All is well here. What can I do for you?"),
    ),
    (
        ("I am sad", "I feel sad today.", "I am not happy", "I had a bad day."),
        ("I am sorry to hear that. Would you like a story?", "I am sorry. I hope that tomorrow is a better day."),
    ),
    (
        ("I am happy", "I had a good day!", "I feel great today.", "Today was a good day."),
        ("That is good to hear!", "I am glad to hear that!"),
    ),
    (
        ("Help", "Can you help me?", "I need help", "Help me, please."),
        ("Gladly. What would you like to know?", "I will try. What is your question?"),
    ),
)  # fmt: skip
"""For each matter, ways to begin and ways to answer; each way of beginning may get each answer."""

_TAKEN = {
    "greetings": (
        "Hello", "Hi", "Greetings!", "Nice to meet you.", "Hi, nice to meet you.", "It is a pleasure to meet you.",
    ),
    "conversations": (
        "Good morning, how are you?", "How are you doing?", "Can I ask you a question?", "I am working on a project",
        "What does YOLO mean?",
    ),
    "computers": (
        "What is a computer?", "What is a super computer?", "What is a microprocessor?", "What is an operating system?",
        "Who uses super computers?", "How does a computer work?",
    ),
    "tech_support": None,
}  # fmt: skip
"""The files that are used, with the openings that were read and found good; None for all of a file."""
_ALTERNATIVES = frozenset({"greetings", "computers"})
"""Files in which all that follows an opening are answers to it; elsewhere, two speak in turn."""
_AVOID = frozenset("dumb jacquard neumann iron mask dutch admin met".split())


@cache
def openings() -> dict[str, tuple[str, ...]]:
    """Return each opening with the answers that are good; one that differs only in signs counts as the same."""
    found: dict[tuple[str, ...], tuple[str, dict[str, None]]] = {}
    own = ((opening, answer) for begin, answers in _OWN for opening in begin for answer in answers)
    for opening, answer in (*own, *_from_package()):
        found.setdefault(tuple(plain_words(opening)), (opening, {}))[1][answer] = None
    return {opening: tuple(answers) for opening, answers in found.values()}


class Smalltalk(Task):
    """Openings of a chat. The reward is the F1 score of the words of the closest good answer.

    Args:
        split: ``"train"`` or ``"test"``, by a hash of the opening.
        limit: The most questions; None for all.
        seed: Chooses order, spelling and answers.
    """

    name = "smalltalk"
    title = "greetings and small talk"

    def __init__(self, split: str = "train", limit: int | None = None, seed: int = 0) -> None:
        check_split(self.name, split)
        self.credit = CREDIT if _folder() else ""
        items = [item for item in openings().items() if in_split(" ".join(plain_words(item[0])), split)]
        super().__init__(items, limit, seed, ROUNDS if split == "train" else 1)

    def _ask(self, item: tuple[str, tuple[str, ...]], rng: random.Random) -> Conversation:
        opening, answers = item
        return Conversation((Message.user(vary(opening, rng)), Message.assistant(pick(rng, answers))))

    def _score(self, item: tuple[str, tuple[str, ...]], asked: Conversation, answer: Message) -> float:
        return overlap(answer.text, item[1], item[0])


def _folder() -> Path | None:
    spec = importlib.util.find_spec("chatterbot_corpus")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place) / "data" / "english"
        if folder.is_dir() and importlib.util.find_spec("yaml"):
            return folder
    return None


def _from_package() -> Iterator[tuple[str, str]]:
    folder = _folder()
    if folder is None:
        get_logger(__name__).info("smalltalk: chatterbot-corpus is not installed, our own openings are used alone")
        return
    import yaml

    for file, openings in _TAKEN.items():
        path = folder / f"{file}.yml"
        try:
            talks = yaml.safe_load(path.read_text(encoding="utf-8"))["conversations"]
        except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} cannot be read ({' '.join(str(error).split())}): reinstall chatterbot-corpus"
            ) from error
        for talk in talks:
            if not isinstance(talk, list) or len(talk) < 2 or not all(isinstance(line, str) for line in talk):
                continue
            lines = [" ".join(line.replace("\u2019", "'").split()) for line in talk]
            if openings is not None and lines[0] not in openings:
                continue
            for answer in lines[1:] if file in _ALTERNATIVES else lines[1:2]:
                if not _AVOID.intersection(plain_words(answer)):
                    yield lines[0], answer if answer[-1:] in ".!?" else f"{answer}."
