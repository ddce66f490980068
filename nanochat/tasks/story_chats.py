"""A story, told once, and then one question after another about it.

Reading a story costs a model many tokens, and a question about it only a few. So several questions about the same story
teach more in the same time, and that is how people ask. Now and then it is the model that tells the story, because
somebody wished for one.
"""

from __future__ import annotations

import random

from nanochat.conversation import Conversation, Message
from nanochat.corpora.stories import Story
from nanochat.tasks.base import Task, check_split, pick
from nanochat.tasks.story_questions import FORMS, ask_in_turn, score_last, stories_of
from nanochat.tasks.tell_story import request

CHAT_STORIES = 24_000
"""Stories that are told, both splits together."""
CHAT_STORIES_SEED = 8
"""The seed of the stories."""
ROUNDS = 2
"""How often each training story comes, each time with its questions in another order."""
MOST = 6
"""The most questions about one story."""
TOLD = 0.2
"""The share of chats in which the model tells the story."""


class StoryChats(Task):
    """Up to six questions about one story. The reward is that of the last answer, as in ``story-questions``.

    Args:
        split: ``"train"`` or ``"test"``.
        limit: The most chats; None for all.
        seed: Chooses order and wording.
    """

    name = "story-chats"
    title = "one question after another about a story"

    def __init__(self, split: str = "train", limit: int | None = None, seed: int = 0) -> None:
        check_split(self.name, split)
        told = stories_of(split, CHAT_STORIES, CHAT_STORIES_SEED)
        super().__init__(told, limit, seed, ROUNDS if split == "train" else 1)

    def _ask(self, item: Story, rng: random.Random) -> Conversation:
        questions = sorted(item.questions, key=lambda _: rng.random())[:MOST]
        told, form = rng.random() < TOLD, pick(rng, FORMS)
        before = (Message.user(request(item, rng)), Message.assistant(item.text)) if told else ()
        return ask_in_turn(item.text, questions, form, rng, before)

    def _score(self, item: Story, asked: Conversation, answer: Message) -> float:
        return score_last(item.questions, asked, answer)
