"""The beginning of a story, to be told to its end.

A story must stay with its own names, things and foods. The grammar checks that: an ending is right when beginning and
ending together are a story that the grammar could have told.
"""

from __future__ import annotations

import random

from nanochat.conversation import Conversation, Message
from nanochat.corpora.stories import Story, check_story, split_sentences
from nanochat.tasks.base import Task, check_split, pick, vary
from nanochat.tasks.story_questions import stories_of

_FORMS = (
    "Finish this story. {start}", "Finish this story: {start}", "How does this story end? {start}",
    "Tell me the end of this story. {start}", "Go on with this story. {start}", "{start}\n\nWhat happens next?",
)  # fmt: skip


class StoryEndings(Task):
    """Stories without their end. The reward is 1 when the whole is a consistent story of the grammar.

    Args:
        split: ``"train"`` or ``"test"``.
        limit: The most questions; None for all.
        seed: Chooses order, wording and how much is given.
    """

    name = "story-endings"
    title = "telling a story to its end"

    def __init__(self, split: str = "train", limit: int | None = None, seed: int = 0) -> None:
        check_split(self.name, split)
        super().__init__(stories_of(split), limit, seed)

    def _ask(self, item: Story, rng: random.Random) -> Conversation:
        sentences = split_sentences(item.text)
        given = 2 + int(rng.random() * (len(sentences) - 4))  # at least two sentences on either side
        start, end = " ".join(sentences[:given]), " ".join(sentences[given:])
        before, after = pick(rng, _FORMS).split("{start}")
        question = f"{vary(before, rng) if after else before}{start}{after}"
        return Conversation((Message.user(question), Message.assistant(end)))

    def _score(self, item: Story, asked: Conversation, answer: Message) -> float:
        end = asked.messages[-1].text
        start = item.text[: len(item.text) - len(end)]
        return float(check_story(start + answer.text.strip()).consistent)
