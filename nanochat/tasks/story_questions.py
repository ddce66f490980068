"""A story, then a question about it: what the grammar knows is the answer.

The story is new to the model, so that the answer cannot come from its weights. It must be found in the text above, by
attention. Stories are split by a hash of their text, as in the corpus ``stories``: a base model that learned from that
corpus has seen no story of the test.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from functools import cache

from nanochat.conversation import Conversation, Message
from nanochat.corpora.stories import Question, Story, stories
from nanochat.tasks.base import Task, check_count, check_split, in_split, pick, plain_words, vary

STORIES = 8000
"""Stories that are told, both splits together; each has four to seven questions."""
STORIES_SEED = 3
"""The seed of the stories; as a rule they are other ones than the corpus tells."""
KINDS = ("who", "what", "where", "why", "how many")
"""The kinds of questions."""

FORMS = ("{story}\n\n{question}", "{story}\n\n{question}", "{story} {question}", "{question}\n\n{story}")
"""How a story and a question about it come together in one message."""
_PLAIN = frozenset("a an the it he she they was is were did".split())


class StoryQuestions(Task):
    """Questions about a story. The reward is 1 when the answer has the fact, and says nothing that is not so.

    An answer is right when the fact stands in it, all its other words stand in the question or in the grammar's own
    reply (or are such as *it* and *was*), none of them more often than there, and it is hardly longer than that reply.
    So naming everybody, repeating the story or the question, and saying *not Pip* earn nothing.

    Args:
        split: ``"train"`` or ``"test"``.
        limit: The most questions; None for all.
        seed: Chooses order and wording.
        kind: One of :data:`KINDS`, to ask for that alone; None for all.
    """

    name = "story-questions"
    title = "questions about a story"

    def __init__(self, split: str = "train", limit: int | None = None, seed: int = 0, kind: str | None = None) -> None:
        check_split(self.name, split)
        check_count("limit", limit, 1)
        items = [
            (story, question)
            for story in stories_of(split)
            for question in story.questions
            if kind in (None, question.kind)
        ]
        super().__init__(items, limit, seed)

    def _ask(self, item: tuple[Story, Question], rng: random.Random) -> Conversation:
        story, question = item
        text = pick(rng, FORMS).format(story=story.text, question=vary(question.question, rng))
        return Conversation((Message.user(text), Message.assistant(question.reply)))

    def _score(self, item: tuple[Story, Question], asked: Conversation, answer: Message) -> float:
        return float(has_fact(answer.text, item[1]))


@cache
def stories_of(split: str, n: int = STORIES, seed: int = STORIES_SEED) -> tuple[Story, ...]:
    """Return the stories of one split.

    Args:
        split: ``"train"`` or ``"test"``.
        n: How many are told for both splits together.
        seed: Chooses them. Whatever it is, a story of one split is never one of the other.
    """
    return tuple(story for story in _all_stories(n, seed) if in_split(story.text, split))


@cache
def _all_stories(n: int, seed: int) -> tuple[Story, ...]:
    return tuple(stories(n, seed))


def ask_in_turn(
    text: str, questions: Iterable[Question], form: str, rng: random.Random, before: tuple[Message, ...] = ()
) -> Conversation:
    """Make a chat of one question after another about a text, with the grammar's replies.

    Args:
        text: What the questions are about. It comes with the first one, unless something was said before.
        questions: What is asked, in this order.
        form: How text and first question come together: one of :data:`FORMS`.
        rng: Varies the wording.
        before: What was said before, the text among it.
    """
    messages = list(before)
    for question in questions:
        asked = vary(question.question, rng)
        messages.append(Message.user(asked if messages else form.format(story=text, question=asked)))
        messages.append(Message.assistant(question.reply))
    return Conversation(tuple(messages))


def score_last(questions: Iterable[Question], asked: Conversation, answer: Message) -> float:
    """Return the reward of the last answer of a chat that :func:`ask_in_turn` made.

    Args:
        questions: All that may have been asked.
        asked: The chat with the grammar's replies.
        answer: What the model answered to the last question.
    """
    question = next(each for each in questions if each.reply == asked.messages[-1].text)
    return float(has_fact(answer.text, question))


def has_fact(answer: str, question: Question) -> bool:
    """Say whether an answer has the fact that was asked for, and nothing that is not so.

    Args:
        answer: The words of an answer.
        question: The question, with the answers of the grammar.

    Example:
        >>> question = Question("who", "Who found the kite?", "Hugo", "Hugo found the kite.")
        >>> has_fact("It was Hugo.", question), has_fact("Hugo or Pip found the kite.", question)
        (True, False)
    """
    said, fact, reply = plain_words(answer), plain_words(question.answer), plain_words(question.reply)
    known = Counter(fact) | Counter(reply) | Counter(plain_words(question.question))
    extra = (
        Counter(said) - known
    )  # words that neither says, or not so often, such as the first "not" in "not because not"
    # What stands before the fact may not turn it around, as in "not Pip".
    before = {"", *_PLAIN, *_before(fact, reply)}
    holds = any(word in before for word in _before(fact, said))
    return holds and len(said) <= max(len(fact), len(reply)) + 3 and _PLAIN.issuperset(extra)


def _before(fact: list[str], words: list[str]) -> list[str]:
    """Return the word before each place where the fact stands; the beginning is an empty word."""
    places = range(len(words) - len(fact) + 1)
    return [["", *words][place] for place in places if words[place : place + len(fact)] == fact]
