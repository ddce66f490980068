"""Facts to keep in mind for a moment: who was where, who had what, and how many.

One to four short sentences, in no story, and then questions about them. The names are those of the stories, but here
anybody may have anything, so that no other sentence helps: the answer is to be found behind the name or the thing that
the question names.
"""

from __future__ import annotations

import random
from functools import cache

from nanochat.conversation import Conversation, Message
from nanochat.corpora.stories import FOODS, FRIENDS, HEROES, NUMBERS, PLACES, SPOTS, THINGS, Question
from nanochat.tasks.base import Task, check_split, in_split, pick
from nanochat.tasks.story_questions import FORMS, ask_in_turn, score_last

LISTS = 30_000
"""Lists of facts, both splits together."""
MOST = 4
"""The most facts in a list."""

_Fact = tuple[str, Question]


class Facts(Task):
    """A list of facts, and a question about each. The reward is that of the last answer, as in ``story-questions``.

    Args:
        split: ``"train"`` or ``"test"``.
        limit: The most lists; None for all.
        seed: Chooses order and wording.
    """

    name = "facts"
    title = "who was where and who had what"

    def __init__(self, split: str = "train", limit: int | None = None, seed: int = 0) -> None:
        check_split(self.name, split)
        super().__init__(_lists(split), limit, seed)

    def _ask(self, item: tuple[_Fact, ...], rng: random.Random) -> Conversation:
        text, form = " ".join(sentence for sentence, _ in item), pick(rng, FORMS)
        questions = [question for _, question in sorted(item, key=lambda _: rng.random())]
        return ask_in_turn(text, questions, form, rng)

    def _score(self, item: tuple[_Fact, ...], asked: Conversation, answer: Message) -> float:
        return score_last([question for _, question in item], asked, answer)


@cache
def _lists(split: str) -> tuple[tuple[_Fact, ...], ...]:
    """Make up the lists of one split."""
    rng = random.Random(Facts.name)
    lists = [_list(rng) for _ in range(LISTS)]
    told = {" ".join(sentence for sentence, _ in facts): facts for facts in lists}
    return tuple(facts for text, facts in told.items() if in_split(text, split))


def _list(rng: random.Random) -> tuple[_Fact, ...]:
    """Make up a list of facts, each about somebody and something else."""
    names = sorted([*HEROES, *FRIENDS], key=lambda _: rng.random())
    things = sorted(THINGS, key=lambda _: rng.random())
    return tuple(_fact(rng, names[place], things[place]) for place in range(1 + int(rng.random() * MOST)))


def _fact(rng: random.Random, name: str, thing: str) -> _Fact:
    at, spot = PLACES[pick(rng, list(PLACES))]["at"], pick(rng, list(SPOTS))
    number, food, full = pick(rng, list(NUMBERS)), pick(rng, list(FOODS)), THINGS[thing]["full"]
    verb = pick(rng, ("sat", "was", "played", "stood"))
    return pick(rng, (
        (f"{name} {verb} {at}.", Question("where", f"Where was {name}?", at, f"{name} was {at}.")),
        (f"The {thing} was {spot}.", Question("where", f"Where was the {thing}?", spot, f"The {thing} was {spot}.")),
        (f"{name} lost the {thing} {at}.",
         Question("where", f"Where did {name} lose the {thing}?", at, f"{name} lost the {thing} {at}.")),
        (f"{name} had {number} {food}.",
         Question("how many", f"How many {food} did {name} have?", number, f"{name} had {number} {food}.")),
        (f"{name} ate {food}.", Question("what", f"What did {name} eat?", food, f"{name} ate {food}.")),
        (f"{name} had a {full}.", Question("what", f"What did {name} have?", f"a {full}", f"{name} had a {full}.")),
        (f"{name} found the {thing}.",
         Question("who", f"Who found the {thing}?", name, f"{name} found the {thing}.")),
    ))  # fmt: skip
