"""Several questions in a row, because a chat has more than one turn.

A model that has only seen chats of one question is lost at the second. Here greetings, calculations, spelling, counting
and what nobody can tell follow each other as they come. Or a story is told once, and several questions about it follow.
Each turn is one of another task, and the last answer is judged as it is there.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from nanochat.conversation import Conversation, Message
from nanochat.corpora.stories import Question
from nanochat.tasks.arithmetic import Arithmetic
from nanochat.tasks.base import Task, check_count, check_split, pick, vary
from nanochat.tasks.do_not_know import DoNotKnow
from nanochat.tasks.letters import Letters
from nanochat.tasks.smalltalk import Smalltalk
from nanochat.tasks.spelling import Spelling
from nanochat.tasks.story_questions import has_fact, stories_of

DIALOGUES = {"train": 12_000, "test": 600}
"""How many dialogues each split has."""
ABOUT_STORIES = 0.3
"""The share of dialogues that are about a story."""
TURNS = (2, 3, 4)
"""How many questions a dialogue may have."""

Turn = tuple[Task, int] | tuple[str, Question]
"""A task and the number of its question, or a text to go before a question about a story."""


class Dialogue(Task):
    """Two to four questions in a row. The reward is that of the last answer.

    Args:
        split: ``"train"`` or ``"test"``; all turns are of that split.
        limit: The most dialogues; None for all.
        seed: Chooses questions and wording.
    """

    name = "dialogue"
    title = "several questions in a row"

    def __init__(self, split: str = "train", limit: int | None = None, seed: int = 0) -> None:
        check_split(self.name, split)
        check_count("seed", seed, 0)
        made = (Arithmetic, Arithmetic, Letters, Spelling, Smalltalk, DoNotKnow)
        kinds = [make(split=split, seed=seed) for make in made]
        self.credit = "; ".join(dict.fromkeys(kind.credit for kind in kinds if kind.credit))
        self._kinds, self._stories = kinds, stories_of(split)
        rng = random.Random(f"{self.name} {split} {seed}")
        super().__init__([self._plan(rng) for _ in range(DIALOGUES[split])], limit, seed)

    def _plan(self, rng: random.Random) -> Sequence[Turn]:
        turns = pick(rng, TURNS)
        if rng.random() >= ABOUT_STORIES:
            return [(kind, int(rng.random() * len(kind))) for kind in (pick(rng, self._kinds) for _ in range(turns))]
        story = pick(rng, self._stories)
        asked = sorted(story.questions, key=lambda _: rng.random())[:turns]
        return [("" if place else f"{story.text}\n\n", question) for place, question in enumerate(asked)]

    def _ask(self, item: Sequence[Turn], rng: random.Random) -> Conversation:
        messages: list[Message] = []
        for source, what in item:
            if isinstance(source, Task):
                messages += source[what].messages
            else:
                question = f"{source}{vary(what.question, rng)}"
                messages += [Message.user(question), Message.assistant(what.reply)]
        return Conversation(tuple(messages))

    def _score(self, item: Sequence[Turn], asked: Conversation, answer: Message) -> float:
        source, what = item[-1]
        return source.reward(what, answer) if isinstance(source, Task) else float(has_fact(answer.text, what))
