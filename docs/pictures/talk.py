"""The pupil of the chapter on training, taught to answer: what the chapter on chats looks at.

It read a few hundred stories (:mod:`docs.pictures.pupil`). Here it reads questions about such stories, each with its
answer and *without* the story: enough to learn what an answer looks like, and nothing to know it from.
"""

from __future__ import annotations

import copy
from functools import lru_cache

from docs.pictures import pupil
from nanochat import conversation, dataloader, evaluate, gpt, train
from nanochat.conversation import Conversation, Message, Part, Rendered
from nanochat.corpora import split_of
from nanochat.corpora.stories import stories
from nanochat.engine import Engine
from nanochat.stages import chats as stage
from nanochat.tokenizer import Tokenizer

STEPS = 40
"""Steps of the fine-tuning."""
ROWS = 2
"""Rows of a step."""
ASKED = 20
"""Questions that are put to the pupil."""
LONGEST = 30
"""The most tokens of its answers."""


def example() -> Conversation:
    """The chat that the chapter takes apart."""
    return Conversation(
        (
            Message.user("What is 17 + 25?"),
            Message.assistant("It is ", Part("python", "17+25"), Part("output", "42"), "42."),
        )
    )


def tokenizer() -> Tokenizer:
    """The pupil's tokenizer."""
    return pupil.tokens(pupil.VOCABULARY)[0]


@lru_cache(maxsize=2)
def chats(split: str) -> tuple[Conversation, ...]:
    """Questions about the stories of a split, with their answers and without the stories."""
    return tuple(
        Conversation((Message.user(one.question), Message.assistant(one.reply)))
        for story in stories(pupil.STORIES, pupil.SEED)
        if split_of(story.text) == split
        for one in story.questions
    )


@lru_cache(maxsize=1)
def new_chats() -> tuple[Conversation, ...]:
    """Held-out questions that no training chat asks, each once."""
    known = {chat.messages[0].text for chat in chats("train")}
    found = {chat.messages[0].text: chat for chat in chats("val") if chat.messages[0].text not in known}
    return tuple(found.values())[:ASKED]


def rendered(learn_all: bool = False) -> list[Rendered]:
    """The training chats as tokens, as the stages make them."""
    return list(stage.rendered_chats([chats("train")], tokenizer(), learn_all))  # type: ignore[list-item]


def loader(chats: list[Rendered] | None = None, length: int = pupil.CONTEXT) -> dataloader.ConversationLoader:
    """A loader of these chats, or of all training chats."""
    return dataloader.ConversationLoader(rendered() if chats is None else chats, ROWS, length, tokenizer().bos, 1)


@lru_cache(maxsize=2)
def tuned(learn_all: bool = False) -> gpt.GPT:
    """The pupil after its fine-tuning, with the assistant's tokens counted or with all of them: to be looked at."""
    plan = pupil.plan(rows=ROWS, num_iterations=STEPS)
    start = copy.deepcopy(pupil.whole().model)
    state = train.TrainState.start(plan, loader(rendered(learn_all)), pupil.CPU, start)
    train.fit(state, progress=False)
    return state.model


def answer(model: gpt.GPT, chat: Conversation) -> list[int]:
    """The tokens with which a model answers the question of a chat, the end of its turn included."""
    prompt = conversation.render_prompt(tokenizer(), evaluate.question_of(chat))
    steps = Engine(model, tokenizer()).stream(prompt, max_tokens=LONGEST, temperature=0)
    return [step.tokens[0] for step in steps]


def said(model: gpt.GPT, chat: Conversation) -> str:
    """The words of that answer."""
    return conversation.parse_answer(tokenizer(), answer(model, chat)).text


@lru_cache(maxsize=2)
def answered(trained: bool) -> tuple[int, int, int]:
    """Questions asked, answers of the right form, and answers that are right, before or after the fine-tuning."""
    model = tuned() if trained else pupil.whole().model
    answers = [answer(model, chat) for chat in new_chats()]
    form = sum(evaluate.is_well_formed(tokenizer(), ids) for ids in answers)
    right = sum(
        conversation.parse_answer(tokenizer(), ids).text == chat.messages[-1].text
        for ids, chat in zip(answers, new_chats(), strict=True)
    )
    return len(answers), form, right


def surprise(model: gpt.GPT) -> tuple[float, float]:
    """How surprised a model is by the assistant's tokens and by the user's words, in nats, on the new questions."""
    mine, theirs = [], []
    for chat in new_chats():
        both = conversation.render(tokenizer(), chat)
        words = len(tokenizer().encode(chat.messages[0].text))
        user = [0, 0, *[1] * words]
        mine.append(both)
        theirs.append(Rendered(both.ids, user + [0] * (len(both.ids) - len(user))))
    bos = tokenizer().bos
    return evaluate.score_chats(model, mine, bos), evaluate.score_chats(model, theirs, bos)
