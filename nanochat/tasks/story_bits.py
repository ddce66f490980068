"""A few sentences of a story, and what they answer.

Finding one word among two hundred is hard to begin with: before a model can do it, hardly anything tells it that it is
on the right way. Among twenty words it is easier, and who can do that learns the longer texts soon. So here only some
sentences of a story are told, one to six, and only those questions come whose answers stand there.

The stories are split as in ``story-questions``. But two stories may have a few sentences in common, so this task is for
learning more than for judging.
"""

from __future__ import annotations

import random

from nanochat.conversation import Conversation, Message
from nanochat.corpora.stories import Question, Story, split_sentences
from nanochat.tasks.base import Task, check_split, pick, plain_words
from nanochat.tasks.story_chats import CHAT_STORIES, CHAT_STORIES_SEED
from nanochat.tasks.story_questions import FORMS, ask_in_turn, score_last, stories_of

ROUNDS = 3
"""How often each training story comes, each time with other sentences."""
SENTENCES = 6
"""The most sentences that are told."""
MOST = 3
"""The most questions about them."""

_SMALL = frozenset("a an the to in on by of because he she".split())


class StoryBits(Task):
    """Questions about some sentences of a story. The reward is that of the last answer, as in ``story-questions``.

    Args:
        split: ``"train"`` or ``"test"``.
        limit: The most chats; None for all.
        seed: Chooses order, sentences and wording.
    """

    name = "story-bits"
    title = "questions about a few sentences of a story"

    def __init__(self, split: str = "train", limit: int | None = None, seed: int = 0) -> None:
        check_split(self.name, split)
        told = stories_of(split, CHAT_STORIES, CHAT_STORIES_SEED)
        super().__init__(told, limit, seed, ROUNDS if split == "train" else 1)

    def _ask(self, item: Story, rng: random.Random) -> Conversation:
        sentences = split_sentences(item.text)
        number = 1 + int(rng.random() * SENTENCES)
        wanted = pick(rng, [each for each in item.questions if any(answers(one, each) for one in sentences)])
        holding = pick(rng, [place for place, one in enumerate(sentences) if answers(one, wanted)])
        others = sorted(range(len(sentences)), key=lambda _: rng.random())[: number - 1]
        text = " ".join(sentences[place] for place in sorted({holding, *others}))
        also = [each for each in item.questions if each is not wanted and answers(text, each)]
        questions = sorted([wanted, *also[: MOST - 1]], key=lambda _: rng.random())
        return ask_in_turn(text, questions, pick(rng, FORMS), rng)

    def _score(self, item: Story, asked: Conversation, answer: Message) -> float:
        return score_last(item.questions, asked, answer)


def answers(text: str, question: Question) -> bool:
    """Say whether all that counts in the answer to a question stands in a text.

    Args:
        text: Some sentences.
        question: The question with its answer.

    Example:
        >>> question = Question("where", "Where was Max?", "on the hill", "Max was on the hill.")
        >>> answers("Max sat on the hill.", question), answers("Max was sad.", question)
        (True, False)
    """
    return (set(plain_words(question.answer)) - _SMALL).issubset(plain_words(text))
