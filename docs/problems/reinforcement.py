"""Practice problems of the chapter on rewards; the answers are computed."""

from __future__ import annotations

import math

import torch

from docs.problems import Problem
from nanochat.common import IGNORED
from nanochat.reinforce import Rollout, advantages, as_batch


def by_hand() -> Problem:
    """The advantage of a half-right try."""
    rewards = [1.0, 0.5, 0.0, 0.0, 0.0]
    answer = advantages(rewards)[1]
    total, n = sum(rewards), len(rewards)
    return Problem(
        f"Five tries at a question got the rewards {', '.join(f'{r:g}' for r in rewards)}. What is the advantage of "
        "the second one?",
        round(answer, 2),
        [
            f"The rewards add up to {total:g}, so their mean is ${total:g} / {n} = {total / n:g}$.",
            f"The advantage of the second try is ${rewards[1]:g} - {total / n:g} = {answer:g}$.",
            "Half a point is better than usual here, so this try becomes likelier.",
        ],
        tolerance=0.005,
    )


def push() -> Problem:
    """The push on a token that was chosen."""
    p, advantage = 0.4, -0.5
    z = torch.tensor([math.log(p), math.log(1 - p)], requires_grad=True)
    (-advantage * z.log_softmax(0)[0]).backward()
    force = -z.grad[0].item()
    return Problem(
        f"A token was chosen with probability ${p:g}$, in a try with the advantage ${advantage:g}$. With which force "
        "is its score pushed, before the division by the number of tokens? (a number below zero pushes down)",
        round(force, 2),
        [
            f"The force is the advantage times $1 - p$: ${advantage:g} \\cdot (1 - {p:g})$.",
            f"That is {force:g}. The token becomes less likely.",
        ],
        tolerance=0.005,
    )


def own_tokens() -> Problem:
    """How many tokens of a group are pushed."""
    call = Rollout([1] * 6, list(range(2, 14)), [False] * 6 + [True] * 4 + [False] * 2, 1.0)
    guess = Rollout([1] * 6, [3, 4, 5], [False] * 3, 0.0)
    _, targets, _ = as_batch([[call, call, guess, guess]], bos=0)
    answer = int((targets != IGNORED).sum())
    n, put = len(call.answer), sum(call.forced)
    return Problem(
        f"Four tries at a question of {len(call.prompt)} tokens. Two are right and have {n} tokens each, of which the "
        f"calculator put {put}. Two are wrong and have {len(guess.answer)} tokens each, all chosen by the model. How "
        "many tokens does the step push?",
        answer,
        [
            "The question is pushed nowhere: the model did not write it.",
            f"Each right try has ${n} - {put} = {n - put}$ tokens of its own, each wrong one {len(guess.answer)}.",
            f"$2 \\cdot {n - put} + 2 \\cdot {len(guess.answer)} = {answer}$.",
        ],
        unit="tokens",
    )


def nothing_to_learn() -> Problem:
    """Which groups are left out."""
    groups = [[1, 1, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0], [0.5, 0.5, 0.5, 0.5], [1, 0, 1, 0]]
    answer = sum(any(advantages(group)) for group in groups)
    spelled = "; ".join(", ".join(f"{r:g}" for r in group) for group in groups)
    return Problem(
        f"The tries at five questions got these rewards: {spelled}. From how many of the questions does the model "
        "learn anything?",
        answer,
        [
            "A question teaches only where its tries were not all worth the same.",
            "In the first, the third and the fourth all rewards are equal, whether they are high or low.",
            f"So {answer} questions are left.",
        ],
        unit="questions",
    )


def how_many_tries() -> Problem:
    """The chance that a hard question teaches nothing."""
    p, n = 0.1, 8
    answer = (1 - p) ** n + p**n
    return Problem(
        f"A model gets a question right one time in ten. It tries {n} times. How likely is it that all tries are worth "
        "the same, so that it learns nothing? (two decimals)",
        round(answer, 2),
        [
            f"All wrong: ${1 - p:g}^{n} = {(1 - p) ** n:.4f}$.",
            f"All right: ${p:g}^{n}$, which is next to nothing.",
            f"Together about {answer:.2f}. With more tries the chance gets smaller.",
        ],
        tolerance=0.005,
    )
