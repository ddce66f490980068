r"""Learning from rewards: the model tries, each try gets a number, and what did better than usual becomes likelier.

Fine-tuning shows the model what to say. Here nobody shows anything. The model answers a question several times by the
throw of dice, a task gives each answer a reward from 0 to 1 (:meth:`nanochat.tasks.base.Task.reward`), and the answers
to one question are compared with each other:

.. math:: A_i = r_i - \frac{1}{n} \sum_j r_j \qquad
   \mathcal{L} = -\frac{1}{\text{tokens}} \sum_i \sum_t A_i \log p(\text{token}_{i,t})

The *advantage* :math:`A_i` is above zero for an answer that is better than the mean of its group, below zero for a
worse one, and zero for all where all are equal: such a group has nothing to teach and is left out. The loss is the
cross-entropy of training, with each token counted by the advantage of its answer, so :func:`nanochat.train.train_step`
does the rest.

This is the policy gradient in its plainest form (Williams, "Simple statistical gradient-following algorithms for
connectionist reinforcement learning", 1992), with the mean of a group as its baseline. It differs from what larger
systems use:

- GRPO (:arxiv:`2402.03300`) works with groups too. But here the advantage is not divided by the standard deviation of
  the group, which would blow up the groups in which nearly all answers are equal.
- There is no second model from which the first must not stray (no KL term).
- There is no clipping as in PPO (:arxiv:`1707.06347`): each answer is used once, right after the model wrote it, so
  the ratio between the probabilities of then and now is 1 and there is nothing to clip. That holds for samples at a
  temperature of 1 from all tokens; with other settings the samples are those of a slightly other model.
- All tokens of a step weigh alike, whether their answer is short or long.

What the calculator wrote was not the model's choice: forced tokens are part of the row and get no gradient.

Letters: B rows in a batch, T tokens in a row.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from nanochat.common import IGNORED, InputError
from nanochat.conversation import fit_prompt, parse_answer
from nanochat.dataloader import Rows, shuffled
from nanochat.engine import Engine, check_sampling
from nanochat.evaluate import answer_room, checked_reward, is_well_formed, prompt_room, prompts_that_fit, question_of
from nanochat.tasks import Task


@dataclass(frozen=True)
class Rollout:
    """One try: what the model wrote behind a question, and what that was worth."""

    prompt: list[int]
    """The tokens of the question, up to ``<|assistant_start|>``."""
    answer: list[int]
    """The tokens behind it, with the one that ended the answer if there is one."""
    forced: list[bool]
    """For each token of the answer whether the engine put it there."""
    reward: float
    """From 0 to 1; always 0 for an answer that did not come to its end in time."""


def advantages(rewards: Sequence[float]) -> list[float]:
    """Compare the answers to one question: each reward less the mean of all.

    Args:
        rewards: One number for each answer.

    Returns:
        One number for each answer; they add up to 0, and all are 0 where the rewards are equal.

    Raises:
        InputError: If there is no reward, or one is not a finite number.

    Example:
        >>> advantages([1.0, 0.0, 0.0, 1.0])
        [0.5, -0.5, -0.5, 0.5]
        >>> advantages([0.1, 0.1, 0.1])
        [0.0, 0.0, 0.0]

    Guide:
        "A rare success counts for much, and so does a rare failure." (nano/training/reinforcement)
    """
    if not rewards:
        raise InputError("a group without answers has no mean: take at least 2 samples of each question")
    for reward in rewards:
        if not math.isfinite(reward):
            raise InputError(f"the reward {reward} is not a finite number: mend the task that gave it")
    if min(rewards) == max(rewards):
        return [0.0] * len(rewards)  # the mean of equal numbers may differ from them in the last digit
    mean = math.fsum(rewards) / len(rewards)
    return [reward - mean for reward in rewards]


def roll_out(
    engine: Engine,
    task: Task,
    number: int,
    num_samples: int,
    max_tokens: int | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    seed: int = 0,
) -> list[Rollout]:
    """Let the model answer one question several times, and reward each answer.

    Args:
        engine: The model as it is now; its calculator is on.
        task: Gives question and rewards.
        number: The number of the question.
        num_samples: How many answers.
        max_tokens: The most tokens of an answer; None means :data:`nanochat.evaluate.ANSWER_TOKENS`.
        temperature: See :func:`nanochat.engine.next_token_probabilities`.
        top_k: See :func:`nanochat.engine.next_token_probabilities`.
        seed: Seed of the draws.

    Returns:
        The answers, in the order of the rows.

    Raises:
        InputError: If the question does not fit into the context, or a reward is not a number from 0 to 1.

    Guide:
        "The tries at one question are a group." (nano/training/reinforcement)
    """
    context = engine.model.config.sequence_len
    prompt, _ = fit_prompt(engine.tokenizer, question_of(task[number]), prompt_room(context, max_tokens))
    room = answer_room(context, prompt, max_tokens)
    answers: list[list[int]] = [[] for _ in range(num_samples)]
    forced: list[list[bool]] = [[] for _ in range(num_samples)]
    settings = {"max_tokens": room, "temperature": temperature, "top_k": top_k, "seed": seed}
    for step in engine.stream(prompt, num_samples, **settings):
        for row in range(num_samples):
            if step.active[row]:
                answers[row].append(step.tokens[row])
                forced[row].append(step.forced[row])
    end = engine.tokenizer.special("<|assistant_end|>")
    rewards = [
        checked_reward(task, number, parse_answer(engine.tokenizer, answer)) if answer[-1] == end else 0.0
        for answer in answers
    ]
    return [Rollout(prompt, *parts) for parts in zip(answers, forced, rewards, strict=True)]


def as_batch(groups: Sequence[Sequence[Rollout]], bos: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Lay the answers of some questions out as a batch to learn from.

    Args:
        groups: For each question its answers.
        bos: The id of ``<|bos|>``, with which rows are filled.

    Returns:
        ``inputs``, ``targets`` and ``weights``, each ``(B, T)``, where T is as long as the longest row needs. Targets
        are -1 where the model chose nothing (question, forced tokens, filling) and in groups without an advantage; the
        weight of a token is the advantage of its answer.

    Example:
        >>> good, bad = Rollout([7], [5, 9], [False, False], 1.0), Rollout([7], [9], [False], 0.0)
        >>> [part.tolist() for part in as_batch([[good, bad]], bos=0)]
        [[[7, 5], [7, 9]], [[5, 9], [9, -1]], [[0.5, 0.5], [-0.5, 0.0]]]

    Guide:
        "When the model asks for a calculation, the engine writes the result into the row. Those tokens were not the
        model's choice." (nano/training/reinforcement)
    """
    rows = [
        (rollout, advantage)
        for group in groups
        for rollout, advantage in zip(group, advantages([one.reward for one in group]), strict=True)
    ]
    longest = max(len(one.prompt) + len(one.answer) for one, _ in rows)
    tokens = torch.full((len(rows), longest), bos)
    targets = torch.full((len(rows), longest - 1), IGNORED)
    weights = torch.zeros(len(rows), longest - 1)
    for row, (one, advantage) in enumerate(rows):
        start, end = len(one.prompt), len(one.prompt) + len(one.answer)
        tokens[row, :end] = torch.tensor(one.prompt + one.answer)
        if advantage != 0.0:
            own = ~torch.tensor(one.forced)
            targets[row, start - 1 : end - 1] = torch.where(own, tokens[row, start:end], IGNORED)
            weights[row, start - 1 : end - 1] = torch.where(own, advantage, 0.0)
    return tokens[:, :-1].contiguous(), targets, weights


@dataclass
class Tries:
    """What came of the questions of some batches: sums, to be added up and divided."""

    reward: float = 0.0
    """Sum of the rewards."""
    answers: int = 0
    """Answers."""
    well_formed: int = 0
    """Answers of the right form (:func:`nanochat.evaluate.is_well_formed`)."""
    groups: int = 0
    """Questions."""
    skipped: int = 0
    """Questions whose answers were all worth the same, so that nothing was learnt from them."""
    tokens: int = 0
    """Tokens of the answers."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How answers are sampled."""

    num_samples: int = 8
    """Answers to each question, at least 2: one alone is always its own mean."""
    max_tokens: int | None = None
    """The most tokens of an answer; None means :data:`nanochat.evaluate.ANSWER_TOKENS`."""
    temperature: float = 1.0
    """Temperature of the samples; at 1 they are those of the model itself."""
    top_k: int | None = None
    """How many of the best tokens each draw chooses among; None means all."""

    def __post_init__(self) -> None:
        if isinstance(self.num_samples, bool) or not isinstance(self.num_samples, int) or self.num_samples < 2:
            raise InputError(
                f"num_samples={self.num_samples!r} must be at least 2, because an answer is compared with others to "
                f"the same question"
            )
        if self.max_tokens is not None and self.max_tokens < 1:
            raise InputError(f"max_tokens={self.max_tokens} must be at least 1")
        if self.temperature == 0:
            raise InputError("temperature=0 gives the same answer every time, and nothing to compare: use 1")
        check_sampling(self.temperature, self.top_k, vocab_size=1)


class RolloutLoader(Rows):
    """Hands out batches of fresh answers with their advantages, in an order of questions that seed and epoch fix.

    To training it is a loader like any other. But its batches are made at the moment at which they are asked for, by
    the model as it is then. Each question has a seed of its own, made of the seed, the epoch, and its place, so that a
    run that is resumed draws what it would have drawn.

    Args:
        engine: The model that learns. A run that is resumed makes its model after its loader: set :attr:`engine` to
            another one then.
        task: Gives questions and rewards.
        questions: Questions that this process takes for a batch.
        sampling: How answers are sampled; B is questions times ``sampling.num_samples``.
        seed: Chooses the order and the draws.
        rank: The number of this process, as in :class:`nanochat.dataloader.Rows`.
        world_size: The number of processes.

    Raises:
        InputError: If no question fits into the context, or a number is out of range.
    """

    def __init__(
        self,
        engine: Engine,
        task: Task,
        questions: int,
        sampling: Sampling,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__(questions, seed, rank, world_size, num_samples=sampling.num_samples)
        self.engine = engine
        """The model that learns."""
        self.task, self.sampling = task, sampling
        self.tries = Tries()
        """What came of the batches since the tries were last taken (:meth:`take_tries`)."""
        limit = prompt_room(engine.model.config.sequence_len, sampling.max_tokens)
        self._questions = [number for number, _ in prompts_that_fit(engine.tokenizer, task, range(len(task)), limit)]
        self.left_out = len(task) - len(self._questions)
        """Questions that do not fit into the context."""
        if not self._questions:
            raise InputError(
                f"none of the {len(task)} questions of {task.name} fits into {limit} tokens: take a model with a "
                f"longer context, or smaller max_tokens"
            )
        digest = hashlib.sha256()
        for number in self._questions:
            digest.update(repr(question_of(task[number]).as_dicts()).encode())
        self.fingerprint = digest.hexdigest()
        self._plan_epoch()

    @property
    def rows_per_epoch(self) -> int:
        """Questions of an epoch."""
        return len(self._questions)

    def next_batch(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Let the model answer the next questions of this process, and move on by those of all processes.

        Returns:
            ``inputs``, ``targets`` and ``weights``, each ``(B, T)``, as of :func:`as_batch`.

        Raises:
            InputError: If a reward is not a number from 0 to 1, or the model is broken.
        """
        groups = []
        mine = self._mine()
        for i in range(self.batch_size * self.world_size):
            if i in mine:
                words = np.random.SeedSequence([self.seed, self._epoch, self._row]).generate_state(1)
                groups.append(
                    roll_out(
                        self.engine,
                        self.task,
                        self._questions[self._order[self._row]],
                        self.sampling.num_samples,
                        self.sampling.max_tokens,
                        self.sampling.temperature,
                        self.sampling.top_k,
                        seed=int(words[0]),
                    )
                )
            self._advance()
        self._count(groups)
        return as_batch(groups, self.engine.tokenizer.bos)

    def take_tries(self) -> Tries:
        """Return what came of the batches since this was last asked, and begin to count anew."""
        taken, self.tries = self.tries, Tries()
        return taken

    def _count(self, groups: Sequence[Sequence[Rollout]]) -> None:
        """Add what came of some questions to the sums."""
        for group in groups:
            rewards = [one.reward for one in group]
            self.tries.reward += sum(rewards)
            self.tries.answers += len(group)
            self.tries.well_formed += sum(is_well_formed(self.engine.tokenizer, one.answer) for one in group)
            self.tries.groups += 1
            self.tries.skipped += min(rewards) == max(rewards)
            self.tries.tokens += sum(len(one.answer) for one in group)

    def _plan_epoch(self) -> None:
        """Order the questions of this epoch."""
        self._order = shuffled(len(self._questions), self.seed, self._epoch)
