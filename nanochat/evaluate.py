r"""How good a model is, in numbers that can be compared.

The loss per token depends on the tokenizer: longer tokens are harder to guess. Bits per byte do not: they say how many
bits the model needs for each byte of a text, whatever pieces it reads, and so they can be compared with other
models and with file compressors.

A chat model is asked questions. :func:`score_task` lets it answer those of a task and adds up the rewards that the task
gives, :func:`score_chats` measures how hard the right answers are for it to guess.
"""

from __future__ import annotations

import lzma
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from nanochat.common import IGNORED, InputError
from nanochat.conversation import Conversation, Message, Rendered, fit_prompt, parse_answer
from nanochat.distributed import all_sum, rank, share, world_size
from nanochat.engine import Engine
from nanochat.gpt import GPT
from nanochat.tasks import Task
from nanochat.tokenizer import Tokenizer


@dataclass(frozen=True)
class TextScore:
    """What a model needs to write down a text."""

    nats: float
    """Sum of the cross-entropies of all tokens, in nats."""
    tokens: int
    """Tokens that were predicted."""
    bytes: int
    """Bytes of UTF-8 that those tokens stand for."""

    @property
    def loss(self) -> float:
        """Cross-entropy for each token, in nats."""
        return self.nats / self.tokens

    @property
    def bits_per_byte(self) -> float:
        """Bits for each byte of text."""
        return self.nats / math.log(2) / self.bytes


@torch.no_grad()
def score_text(
    model: GPT,
    tokenizer: Tokenizer,
    documents: Iterable[str],
    batch_size: int = 16,
    max_tokens: int | None = None,
) -> TextScore:
    """Let a model predict every token of some documents.

    A document that is longer than the context is cut into rows. Each row after the first begins with the last token of
    the one before it, so that every token is predicted exactly once and no byte is counted twice or left out. Several
    processes take turns with the documents, and all get the score of the whole.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        documents: Texts that the model was not trained on.
        batch_size: Rows computed at once.
        max_tokens: Stop after the document with which this number is reached; None means all of them.

    Returns:
        The score.

    Raises:
        InputError: If there is no text.

    Guide:
        "A text longer than the context is cut into rows so that each of its bytes is counted exactly once."
        (nano/training/measuring)
    """
    lengths = torch.tensor(tokenizer.n_bytes_per_token())
    context = model.config.sequence_len
    nats, n_tokens, n_bytes = 0.0, 0, 0
    rows: list[Sequence[int]] = []

    def flush() -> None:
        nonlocal nats, n_tokens, n_bytes
        longest = max(len(row) for row in rows) - 1
        inputs = torch.zeros((len(rows), longest), dtype=torch.long)
        targets = torch.full((len(rows), longest), IGNORED)
        for i, row in enumerate(rows):
            inputs[i, : len(row) - 1] = torch.tensor(row[:-1])
            targets[i, : len(row) - 1] = torch.tensor(row[1:])
        loss = model(inputs.to(model.device), targets.to(model.device), reduction="sum")
        counted = targets[targets != IGNORED]
        nats += loss.item()
        n_tokens += counted.numel()
        n_bytes += int(lengths[counted].sum())
        rows.clear()

    seen = 0
    for number, document in enumerate(documents):
        ids = [tokenizer.bos, *tokenizer.encode(document)]
        if number % world_size() == rank():
            for start in range(0, len(ids) - 1, context):
                rows.append(ids[start : start + context + 1])
                if len(rows) == batch_size:
                    flush()
        seen += len(ids) - 1
        if max_tokens is not None and seen >= max_tokens:
            break
    if rows:
        flush()
    nats, n_tokens, n_bytes = all_sum(nats), all_sum(n_tokens), all_sum(n_bytes)
    if not n_bytes:
        raise InputError("there is no text to score: give at least one document that is not empty")
    return TextScore(nats, n_tokens, n_bytes)


def bits_per_byte(model: GPT, tokenizer: Tokenizer, documents: Iterable[str], batch_size: int = 16) -> float:
    r"""Say how many bits a model needs for each byte of a text.

    :math:`\frac{1}{\ln 2} \sum_t \mathcal{L}_t \,/\, \text{bytes}`: the losses of all tokens in bits, divided by the
    bytes of the text. Eight would be no compression at all; lower is better.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        documents: Texts that the model was not trained on.
        batch_size: Rows computed at once.

    Returns:
        Bits per byte.

    Raises:
        InputError: If there is no text.

    Guide:
        "It is the number of yes-or-no answers that the model still needs for each byte of the text."
        (nano/training/measuring)
    """
    return score_text(model, tokenizer, documents, batch_size).bits_per_byte


def xz_bits_per_byte(documents: Iterable[str]) -> float:
    """Say how many bits ``xz -9`` needs for each byte of the same text: a yardstick that anyone can repeat.

    The documents are joined by newlines and compressed together. The compressor starts with no knowledge and learns
    from the text as it goes.

    Args:
        documents: The texts.

    Returns:
        Bits per byte.

    Raises:
        InputError: If there is no text.

    Example:
        >>> xz_bits_per_byte(["to be or not to be, "] * 1000) < 0.1
        True

    Guide:
        "So it profits from a long text that repeats itself, and it has a hard time with a short one."
        (nano/training/measuring)
    """
    text = "\n".join(documents).encode()
    if not text:
        raise InputError("there is no text to compress: give at least one document that is not empty")
    return 8 * len(lzma.compress(text, preset=9)) / len(text)


# Chats and tasks -------------------------------------------------------------------------------------------------

ANSWER_TOKENS = 256
"""Tokens that an answer may take where nothing else is said."""


@dataclass(frozen=True)
class TaskScore:
    """How a model did at a task."""

    name: str
    """The name of the task."""
    total: int
    """Questions that were asked."""
    reward: float
    """Sum of the rewards, each from 0 to 1."""
    correct: int
    """Answers with the full reward."""
    well_formed: int
    """Answers of the right form (:func:`is_well_formed`)."""
    too_long: int
    """Questions that do not fit into the context; they count as wrong."""
    chance: float
    """The accuracy of pure guessing: one over the number of choices, or 0 where the answer is free."""

    @property
    def accuracy(self) -> float:
        """The share of correct answers."""
        return self.correct / self.total

    @property
    def mean_reward(self) -> float:
        """The mean reward; another number than the accuracy where half an answer is worth something."""
        return self.reward / self.total

    @property
    def form(self) -> float:
        """The share of answers of the right form."""
        return self.well_formed / self.total

    @property
    def margin(self) -> float:
        """How far two in three tests of this length would stray from the mean reward: one standard error at most."""
        return math.sqrt(self.mean_reward * (1 - self.mean_reward) / self.total)


def prompt_room(context: int, max_tokens: int | None = None) -> int:
    """Say how many tokens a prompt may take, so that an answer fits behind it.

    Args:
        context: T, the tokens that the model can read at once.
        max_tokens: The most tokens of the answer; None means :data:`ANSWER_TOKENS`.

    Returns:
        Tokens: the context less those of the answer, for which a quarter of the context is kept at most.

    Example:
        >>> prompt_room(2048), prompt_room(256), prompt_room(256, 40)
        (1792, 192, 216)
    """
    return context - min(ANSWER_TOKENS if max_tokens is None else max_tokens, context // 4)


def answer_room(context: int, prompt: Sequence[int], max_tokens: int | None = None) -> int:
    """Say how many tokens the answer to a prompt may take.

    Args:
        context: T, the tokens that the model can read at once.
        prompt: The tokens of the prompt.
        max_tokens: What was asked for; None means :data:`ANSWER_TOKENS`.

    Returns:
        Tokens, no more than fit behind the prompt.

    Example:
        >>> answer_room(256, [0] * 100), answer_room(256, [0] * 100, 40)
        (156, 40)
    """
    return min(ANSWER_TOKENS if max_tokens is None else max_tokens, context - len(prompt))


def question_of(conversation: Conversation) -> Conversation:
    """Return a conversation without the last answer: what the model is asked."""
    last = conversation.messages[-1]
    return Conversation(conversation.messages[:-1]) if last.role == "assistant" else conversation


def is_well_formed(tokenizer: Tokenizer, ids: Sequence[int]) -> bool:
    """Say whether an answer has the form of the chats: words, complete tool blocks, and its end.

    Args:
        tokenizer: Knows the marks.
        ids: The tokens of the answer, ``<|assistant_end|>`` included.

    Returns:
        True if the answer ends by itself, says something, opens no block within another and closes all of them.

    Example:
        >>> tokenizer = Tokenizer([])
        >>> end = tokenizer.special("<|assistant_end|>")
        >>> is_well_formed(tokenizer, [*tokenizer.encode("Yes."), end]), is_well_formed(tokenizer, [end])
        (True, False)
    """
    mark = tokenizer.special
    pairs = {mark(f"<|{kind}_start|>"): mark(f"<|{kind}_end|>") for kind in ("python", "output")}
    if not ids or ids[-1] != mark("<|assistant_end|>"):
        return False
    marks = set(tokenizer.special_ids.values())
    closing: int | None = None
    said = False
    for token in ids[:-1]:
        if token not in marks:
            said = said or closing is None
        elif closing is None and token in pairs:
            closing = pairs[token]
        elif token == closing:
            closing = None
        else:
            return False
    return said and closing is None


@torch.inference_mode()
def score_task(
    model: GPT,
    tokenizer: Tokenizer,
    task: Task,
    limit: int | None = None,
    batch_size: int = 16,
    max_tokens: int | None = None,
    on_answer: Callable[[int, Message, float], None] | None = None,
) -> TaskScore:
    """Let a model answer the questions of a task.

    Where the answer is a choice among letters, all it takes is to compare how likely the model finds each letter as
    its first token: it always chooses, and many questions are read at once. Other answers are written out, each token
    the best one, with the calculator at hand.

    Several processes divide the questions among them, and each gets the score of all.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        task: Questions, and rewards for answers.
        limit: Ask the first ones only; None asks all.
        batch_size: Questions with choices that are read at once.
        max_tokens: The most tokens of a written answer; None means :data:`ANSWER_TOKENS`.
        on_answer: Called with the number of the question, the answer and its reward, on the process that asked.

    Returns:
        The score.

    Raises:
        InputError: If there is no question, or a reward is not a number from 0 to 1.
    """
    total = len(task) if limit is None else min(limit, len(task))
    if total < 1:
        raise InputError(f"task {task.name} has no question to ask: give it a limit of at least 1")
    mine = share(range(total))
    asked = (
        _choose(model, tokenizer, task, mine, batch_size)
        if task.choices
        else _write(model, tokenizer, task, mine, max_tokens)
    )
    reward, correct, formed, answered = 0.0, 0, 0, 0
    for number, message, good_form in asked:
        worth = checked_reward(task, number, message)
        reward += worth
        correct += worth == 1.0
        formed += good_form
        answered += 1
        if on_answer is not None:
            on_answer(number, message, worth)
    too_long = len(mine) - answered
    return TaskScore(
        name=task.name,
        total=total,
        reward=all_sum(reward),
        correct=all_sum(correct),
        well_formed=all_sum(formed),
        too_long=all_sum(too_long),
        chance=1 / len(task.choices) if task.choices else 0.0,
    )


def prompts_that_fit(
    tokenizer: Tokenizer, task: Task, numbers: Iterable[int], limit: int
) -> Iterator[tuple[int, list[int]]]:
    """Yield the questions of a task that fit into a context, each with its prompt.

    Args:
        tokenizer: Encodes the text.
        task: The task.
        numbers: The questions to look at.
        limit: The most tokens of a prompt.

    Yields:
        Number and tokens, up to ``<|assistant_start|>``. Of a chat that is too long the oldest turns are left out; a
        question whose last message alone is too long is passed over.
    """
    for number in numbers:
        question = question_of(task[number])
        try:
            prompt, _ = fit_prompt(tokenizer, question, limit)
        except InputError:
            continue
        yield number, prompt


def checked_reward(task: Task, number: int, message: Message) -> float:
    """Ask a task for the reward of an answer, and refuse what is none.

    Args:
        task: The task.
        number: The number of the question.
        message: The answer.

    Returns:
        A number from 0 to 1.

    Raises:
        InputError: If the task returns something else, such as NaN, which would spoil every sum that it enters.
    """
    reward = float(task.reward(number, message))
    if not 0.0 <= reward <= 1.0:
        raise InputError(f"task {task.name} gave the reward {reward} for question {number}: rewards are from 0 to 1")
    return reward


def _some(items: Iterable[Any], n: int) -> Iterator[list[Any]]:
    """Yield the items in lists of ``n``; the last one may be shorter."""
    items = iter(items)
    while taken := list(islice(items, n)):
        yield taken


def _write(
    model: GPT, tokenizer: Tokenizer, task: Task, numbers: Iterable[int], max_tokens: int | None
) -> Iterable[tuple[int, Message, bool]]:
    """Yield the written answers: number, answer, and whether its form is right."""
    engine = Engine(model, tokenizer)
    context = model.config.sequence_len
    for number, prompt in prompts_that_fit(tokenizer, task, numbers, prompt_room(context, max_tokens)):
        room = answer_room(context, prompt, max_tokens)
        ids = [step.tokens[0] for step in engine.stream(prompt, max_tokens=room, temperature=0)]
        yield number, parse_answer(tokenizer, ids), is_well_formed(tokenizer, ids)


def _choose(
    model: GPT, tokenizer: Tokenizer, task: Task, numbers: Iterable[int], batch_size: int
) -> Iterable[tuple[int, Message, bool]]:
    """Yield the chosen letters: number, answer, and True, because a letter is always of the right form."""
    letters = [tokenizer.encode(letter) for letter in task.choices or ()]
    if any(len(ids) != 1 for ids in letters):
        raise InputError(f"the choices {task.choices} of task {task.name} must be one token each: use single letters")
    candidates = torch.tensor([ids[0] for ids in letters], device=model.device)
    for some in _some(prompts_that_fit(tokenizer, task, numbers, model.config.sequence_len), batch_size):
        longest = max(len(prompt) for _, prompt in some)
        rows = torch.tensor([prompt + [tokenizer.bos] * (longest - len(prompt)) for _, prompt in some])
        ends = torch.tensor([len(prompt) - 1 for _, prompt in some], device=model.device)
        # What stands behind a prompt is not seen by it, because no position looks ahead.
        scores = model(rows.to(model.device))[torch.arange(len(some), device=model.device), ends]
        best = scores[:, candidates].argmax(-1).tolist()
        for (number, _), choice in zip(some, best, strict=True):
            yield number, Message.assistant(task.choices[choice]), True


@torch.inference_mode()
def score_chats(model: GPT, chats: Sequence[Rendered], bos: int, batch_size: int = 16) -> float:
    """Measure how hard the assistant's part of some chats is to guess.

    Several processes divide the chats among them, and each gets the mean of all.

    Args:
        model: The model.
        chats: Rendered chats; of those longer than the context only the beginning counts.
        bos: The id of ``<|bos|>``, with which rows are filled.
        batch_size: Chats computed at once.

    Returns:
        Cross-entropy for each token that the assistant has to write, in nats.

    Raises:
        InputError: If there is no such token.
    """
    context = model.config.sequence_len
    nats, counted = 0.0, 0
    for some in _some(share(chats), batch_size):
        longest = min(context + 1, max(len(chat.ids) for chat in some))
        rows = torch.full((len(some), longest), bos)
        learn = torch.zeros((len(some), longest), dtype=torch.bool)
        for i, chat in enumerate(some):
            ids, mask = chat.ids[:longest], chat.mask[:longest]
            rows[i, : len(ids)] = torch.tensor(ids)
            learn[i, : len(ids)] = torch.tensor(mask, dtype=torch.bool)
        targets: Tensor = torch.where(learn[:, 1:], rows[:, 1:], IGNORED)
        nats += model(rows[:, :-1].to(model.device), targets.to(model.device), reduction="sum").item()
        counted += int((targets != IGNORED).sum())
    nats, counted = all_sum(nats), all_sum(counted)
    if not counted:
        raise InputError("there is no answer to score: give chats in which the assistant says something")
    return nats / counted
