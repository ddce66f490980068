"""Pictures of the chapter on rewards, and the pupil that they are drawn from.

The pupil does sums of two numbers from 1 to 4. Two teachers taught it: one takes the calculator, the other blurts out
a number. It is made once and copied for everything that moves its weights.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from docs._ext.drawing import SMALL, TEXT, WIDTH, Drawing, Picture, bars, label, lines, rect, stack, title
from nanochat import conversation, dataloader, engine, gpt, reinforce, tokenizer, train
from nanochat.common import IGNORED, Runtime
from nanochat.conversation import Conversation, Message, Part
from nanochat.tasks.base import Task

CPU = Runtime(torch.device("cpu"), torch.float32)
TOKENIZER = tokenizer.Tokenizer([])
"""No merges: each byte is a token."""
CONTEXT = 18
"""T of the pupil: the longest chat fits."""
LARGEST = 4
"""The largest number of a sum."""
TRIES = 8
"""Tries at a question."""
CALL = TOKENIZER.special("<|python_start|>")
"""The token with which an answer begins that takes the calculator."""

Judge = Callable[[int, Message], float]


def right(result: int, answer: Message) -> float:
    """Pay for the right number."""
    return float(answer.text == str(result))


def brief(result: int, answer: Message) -> float:
    """Pay for short answers: each piece of an answer costs a quarter."""
    return 1 - len(answer.parts) / 4


def in_words(result: int, answer: Message) -> float:
    """Pay for the number as a word, which the pupil has never seen."""
    return float(answer.text == ("two", "three", "four", "five", "six", "seven", "eight")[result - 2])


class Sums(Task):
    """Sums of two small numbers, judged as one likes."""

    name, title = "sums", "sums of two small numbers"

    def __init__(self, judge: Judge = right) -> None:
        numbers = range(1, LARGEST + 1)
        super().__init__([(a, b) for a in numbers for b in numbers])
        self.judge = judge

    def _ask(self, item: tuple[int, int], rng: random.Random) -> Conversation:
        a, b = item
        call, result = Part("python", f"{a}+{b}"), str(a + b)
        return Conversation((Message.user(f"{a}+{b}="), Message.assistant(call, Part("output", result), result)))

    def _score(self, item: tuple[int, int], asked: Conversation, answer: Message) -> float:
        return self.judge(sum(item), answer)


def _lessons() -> list[conversation.Rendered]:
    """Chats by the two teachers in turn."""
    rng, task, chats = random.Random(1), Sums(), []
    for number in range(1200):
        chat = task[int(rng.random() * len(task))]
        if number % 2:
            chat = Conversation((chat.messages[0], Message.assistant(str(2 + int(rng.random() * (2 * LARGEST - 1))))))
        chats.append(conversation.render(TOKENIZER, chat))
    return chats


def _plan(rows: int, steps: int, scale: float = 1.0) -> train.Plan:
    config = gpt.GPTConfig.from_depth(1, vocab_size=TOKENIZER.vocab_size, sequence_len=CONTEXT, width=96)
    return train.Plan(
        model=config,
        device_batch_size=rows,
        total_batch_size=rows * CONTEXT,
        num_iterations=steps,
        matrix_lr=0.02 * scale,
        embedding_lr=0.2 * scale,
        head_lr=0.004 * scale,
        seed=1,
    )


@lru_cache(maxsize=1)
def pupil() -> gpt.GPT:
    """The pupil as its teachers left it: to be looked at, not to be trained on."""
    plan = _plan(16, 80)
    loader = dataloader.ConversationLoader(_lessons(), 16, CONTEXT, TOKENIZER.bos, seed=1)
    return train.fit(train.TrainState.start(plan, loader, CPU), progress=False).model


def fresh() -> gpt.GPT:
    """A copy of the pupil, to be trained on."""
    return copy.deepcopy(pupil())


def tries(model: gpt.GPT, number: int = 0, seed: int = 0, judge: Judge = right) -> list[reinforce.Rollout]:
    """Some tries of a model at one question."""
    return reinforce.roll_out(engine.Engine(model, TOKENIZER), Sums(judge), number, TRIES, seed=seed)


def prompt(number: int = 0) -> list[int]:
    """The tokens of a question."""
    return conversation.render_prompt(TOKENIZER, Conversation(Sums()[number].messages[:1]))


@torch.no_grad()
def first_token(model: gpt.GPT, number: int = 0) -> Tensor:
    """The probabilities ``(V,)`` of the first token of an answer."""
    return model(torch.tensor([prompt(number)]))[0, -1].softmax(-1)


def calling(model: gpt.GPT) -> float:
    """The mean probability, over all questions, that an answer begins with a call."""
    return sum(first_token(model, number)[CALL].item() for number in range(len(Sums()))) / len(Sums())


def spelled(one: reinforce.Rollout) -> str:
    """A try in short: ``[3+1]`` for a call, ``(4)`` for what the calculator put there."""
    text = TOKENIZER.decode(one.answer).replace("<|assistant_end|>", "")
    for mark, sign in (("python_start", "["), ("python_end", "]"), ("output_start", "("), ("output_end", ")")):
        text = text.replace(f"<|{mark}|>", sign)
    return text or "(nothing)"


class _Given:
    """A loader that gives one batch for ever."""

    def __init__(self, batch: tuple[Tensor, ...]) -> None:
        self.batch = batch

    def next_batch(self) -> tuple[Tensor, ...]:
        return self.batch


def learn(model: gpt.GPT, *groups: Sequence[reinforce.Rollout], scale: float = 0.2) -> train.TrainState:
    """Take one step on some groups of tries."""
    loader: Any = _Given(reinforce.as_batch(groups, TOKENIZER.bos))
    state = train.TrainState.start(_plan(sum(map(len, groups)), 1, scale), loader, CPU, model)
    train.train_step(state)
    return state


@dataclass
class Notes:
    """What was measured while a pupil practised."""

    paid: list[float] = field(default_factory=list)
    """The mean reward of each step."""
    right: list[float] = field(default_factory=list)
    """The share of right answers among the tries of each step, whatever was paid for."""
    skipped: list[float] = field(default_factory=list)
    """The share of questions of each step whose tries were all worth the same."""
    model: gpt.GPT | None = None
    """The pupil afterwards."""


@lru_cache(maxsize=4)
def practice(judge: Judge = right, steps: int = 24) -> Notes:
    """Let a copy of the pupil learn from its own tries: four questions a step, eight tries at each."""
    notes, model = Notes(), fresh()
    correct = 0.0

    def also_count(result: int, answer: Message) -> float:
        nonlocal correct
        correct += right(result, answer)
        return judge(result, answer)

    asked = engine.Engine(model, TOKENIZER)
    sampling = reinforce.Sampling(num_samples=TRIES)
    loader = reinforce.RolloutLoader(asked, Sums(also_count), 4, sampling, seed=1)

    def note(state: train.TrainState, metrics: train.StepMetrics) -> None:
        nonlocal correct
        came = loader.take_tries()
        notes.paid.append(came.reward / came.answers)
        notes.right.append(correct / came.answers)
        notes.skipped.append(came.skipped / came.groups)
        correct = 0.0

    plan = _plan(4 * TRIES, steps, 0.2)
    train.fit(train.TrainState.start(plan, loader, CPU, model), note, progress=False)
    notes.model = model
    return notes


def gradient(model: gpt.GPT, group: Sequence[reinforce.Rollout], raw: bool = False) -> Tensor:
    """The gradient of all weights for a group of tries, as one long vector.

    Args:
        model: The model that wrote them.
        group: The tries.
        raw: Weigh each token by the reward of its try, and not by its advantage.
    """
    inputs, targets, weights = reinforce.as_batch([group], TOKENIZER.bos)
    if raw:
        targets, weights = torch.full_like(targets, IGNORED), torch.zeros_like(weights)
        for row, one in enumerate(group):
            start = len(one.prompt) - 1
            for place, (token, put) in enumerate(zip(one.answer, one.forced, strict=True)):
                if not put:
                    targets[row, start + place], weights[row, start + place] = token, one.reward
    model.zero_grad()
    counted = sum(not put for one in group for put in one.forced)
    ((model(inputs, targets, reduction="none") * weights).sum() / counted).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


@lru_cache(maxsize=2)
def noise(least: float = 0.0, groups: int = 40) -> tuple[float, float]:
    """How far gradients of single groups stray from their mean, in its lengths: with advantages, with plain rewards.

    Args:
        least: What a judge pays for a wrong answer; a right one is worth 1.
        groups: How many groups of tries.
    """
    model = fresh()
    some = [
        [replace(one, reward=least + (1 - least) * one.reward) for one in tries(model, number=3, seed=seed)]
        for seed in range(groups)
    ]
    out = []
    for raw in (False, True):
        g = torch.stack([gradient(model, group, raw) for group in some])
        mean = g.mean(0)
        out.append(((g - mean).square().sum(1).mean() / mean.square().sum()).sqrt().item())
    return out[0], out[1]


# ---- pictures -------------------------------------------------------------------------------------------------


def one_group() -> Picture:
    """Eight tries at one question, judged and compared."""
    some = tries(pupil())
    worth = reinforce.advantages([one.reward for one in some])
    asked = Sums()[0].messages[0].text
    shapes = [label(2, 10, f"asked: {asked}", TEXT, "ink", "start", bold=True)]
    for x, name in ((250, "reward"), (340, "advantage")):
        shapes.append(label(x, 10, name, SMALL, "muted"))
    rows = [f"{'asked: ' + asked:<24}reward  advantage"]
    for k, (one, advantage) in enumerate(zip(some, worth, strict=True)):
        y, ink = 24 + 28 * k, "green" if advantage > 0 else "rose"
        shapes.append(rect(2, y, WIDTH - 4, 24, ink, 0.14, edge=False))
        shapes.append(label(10, y + 12, spelled(one), TEXT, "ink", "start", mono=True))
        shapes.append(label(250, y + 12, f"{one.reward:g}", TEXT, mono=True))
        shapes.append(label(340, y + 12, f"{advantage:+.3f}", TEXT, ink, mono=True))
        rows.append(f"{spelled(one):<24}{one.reward:>6g}  {advantage:>+9.3f}")
    good = sum(one.reward for one in some)
    return Drawing("".join(shapes), 24.0 + 28 * len(some), "\n".join(rows)).picture(
        f"Eight tries at a sum. {good:.0f} are right and have an advantage above zero; the others have one below zero.",
        f"Eight tries of the pupil. Square brackets hold a call of the calculator, round ones what it put there. "
        f"{good:.0f} of {len(some)} tries are right, so the mean is {good / len(some):g}; an advantage is the distance "
        "from it.",
    )


def one_step() -> Picture:
    """The first token of the answer, before and after one step on the eight tries."""
    model = fresh()
    some = tries(model)
    before = first_token(model)
    learn(model, some)
    after = first_token(model)
    blurted = {one.answer[0] for one in some if not one.reward and one.answer[0] != CALL}
    numbers = [token for token in before.topk(6).indices.tolist() if token != CALL]
    parts, rows = [], {}
    for name, p in (("before", before), ("after one step", after)):
        values = {"a call": p[CALL].item()}
        values |= {
            f"{TOKENIZER.decode([token])}{' (tried)' if token in blurted else ''}": p[token].item()
            for token in sorted(numbers)
        }
        rows[name] = values
        parts += [title(name), bars(values, top=1.0, ink={"a call": "green"} | dict.fromkeys(list(values)[1:], "rose"))]
    fell = sum(before[token].item() for token in blurted), sum(after[token].item() for token in blurted)
    return stack(*parts, gap=6).picture(
        "Two groups of bars: the probability of each first token before and after one step. The bar of the call grows, "
        "those of blurted numbers shrink.",
        f"One step on the eight tries above. The probability of beginning with a call goes from "
        f"{before[CALL].item():.2f} to {after[CALL].item():.2f}. The numbers that were blurted out and wrong had "
        f"{fell[0]:.2f} together, and have {fell[1]:.2f} now.",
    )


def with_and_without() -> Picture:
    """The noise of the gradient, with the mean subtracted and without, for two judges."""
    strict, kind = noise(), noise(0.5)
    values = {
        "0 or 1, less mean": strict[0],
        "0 or 1, plain": strict[1],
        "1/2 or 1, less mean": kind[0],
        "1/2 or 1, plain": kind[1],
    }
    inks = dict(zip(values, ("green", "rose", "green", "rose"), strict=True))
    return bars(values, ink=inks).picture(
        "Four bars, two for each judge. With the mean subtracted both judges give the same; with plain rewards the "
        "generous judge gives by far the most noise.",
        f"How far the gradient of one group of {TRIES} tries strays from the mean of many, in lengths of that mean. "
        f"With the mean reward subtracted it is {strict[0]:.2f}, whichever judge pays. With plain rewards it is "
        f"{strict[1]:.2f} for the strict judge and {kind[1]:.2f} for the generous one.",
    )


def learning() -> Picture:
    """The pupil's practice."""
    notes = practice()
    steps = range(1, len(notes.right) + 1)
    curves = {
        "right tries": list(zip(steps, notes.right, strict=True)),
        "nothing to learn": list(zip(steps, notes.skipped, strict=True)),
    }
    drawn = lines(curves, x="step", y="share", y_from=0, y_to=1)
    early, late = sum(notes.right[:4]) / 4, sum(notes.right[-4:]) / 4
    return drawn.picture(
        "The share of right tries rises over the steps, and with it the share of questions with nothing to learn.",
        f"Mean of the first four steps: {early:.0%} of the tries right; of the last four: {late:.0%}. The better the "
        f"pupil gets, the more often all of its tries are right: {sum(notes.skipped[-4:]) / 4:.0%} of the last "
        "questions had nothing left to teach.",
    )


def hacked() -> Picture:
    """A judge that pays for short answers."""
    notes = practice(brief)
    steps = range(1, len(notes.right) + 1)
    curves = {
        "paid": list(zip(steps, notes.paid, strict=True)),
        "right": list(zip(steps, notes.right, strict=True)),
    }
    drawn = lines(curves, x="step", y="mean over the tries of a step", y_from=0, y_to=1)
    early, late = ([sum(row[part]) / 4 for row in (notes.paid, notes.right)] for part in (slice(4), slice(-4, None)))
    return drawn.picture(
        "Two curves: the reward that is paid rises, and the share of right answers falls.",
        f"The judge pays for short answers. From the first four steps to the last four, the reward rises from "
        f"{early[0]:.2f} to {late[0]:.2f}, and the share of right answers falls from {early[1]:.0%} to {late[1]:.0%}.",
    )
