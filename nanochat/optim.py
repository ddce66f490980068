r"""From gradients to better weights: Muon for the matrices, AdamW for the rest, and the schedule of both.

A matrix is more than a heap of numbers: it turns and stretches what passes through. Muon gives every direction of an
update the same length; AdamW gives every single number its own step size. The embedding is looked up and not
multiplied, and the head scores tokens one by one, so those two belong to AdamW.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nanochat.common import InputError

if TYPE_CHECKING:
    from nanochat.gpt import GPT
    from nanochat.train import Plan

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""The coefficients a, b, c of one round of :func:`orthogonalize`."""
REFERENCE_WIDTH = 768
"""The width at which the learning rates of embedding and head were found; they shrink as the root of a larger one."""


def orthogonalize(g: Tensor, rounds: int = 5) -> Tensor:
    r"""Make all stretches of a matrix nearly equal to 1 and keep its directions.

    A matrix is a sum of directions with a stretch (singular value) each. Every round maps a stretch :math:`x` to
    :math:`a x + b x^3 + c x^5`, which drives all of them from (0, 1] to about 0.7 to 1.2 without ever computing
    them. After Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024.

    Args:
        g: One matrix, ``(rows, columns)``, or a stack of them, ``(n, rows, columns)``.
        rounds: How often the polynomial is applied.

    Returns:
        The matrix with its stretches evened out, in the shape and dtype of ``g``.

    Example:
        >>> stretches = torch.linalg.svdvals(orthogonalize(torch.diag(torch.tensor([4.0, 1.0, 0.1]))))
        >>> bool((stretches > 0.6).all() and (stretches < 1.3).all())
        True

    Guide:
        "It only changes each stretch x, and each in the same way, by a simple formula:" (nano/training/optimizers)
    """
    a, b, c = NEWTON_SCHULZ
    tall = g.size(-2) > g.size(-1)
    x = g.mT if tall else g  # the smaller square product is cheaper
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-12)  # no stretch is above the norm of all
    for _ in range(rounds):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    r"""Momentum, made orthogonal: each step moves a matrix by the same length in every direction.

    Keeps a running mean of gradients, looks one step ahead (Nesterov), passes it through :func:`orthogonalize` and
    moves the weights by the learning rate times :math:`\sqrt{\max(1, \text{rows} / \text{columns})}` times
    that. Matrices of one shape are handled as one stack, which is faster than one by one.

    Args:
        params: Matrices, each ``(rows, columns)``.
        lr: The learning rate :math:`\eta`.
        momentum: The share of the running mean that is kept at each step.
        weight_decay: The share of the weights, times the learning rate, that each step takes away.
        dtype: The precision of :func:`orthogonalize`; None means that of the matrices. Its rounds even out much of
            what bfloat16 rounds off, so it may be the precision of the model's arithmetic.

    Raises:
        InputError: If a parameter is not a matrix.

    Guide:
        "It keeps the directions of the gradient and sets all stretches to about one." (nano/training/optimizers)
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        dtype: torch.dtype | None = None,
    ) -> None:
        params = list(params)
        for p in params:
            if p.ndim != 2:
                raise InputError(f"Muon moves matrices; a parameter of shape {tuple(p.shape)} belongs to AdamW")
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:
        """Move every matrix once along its gradient, ``p.grad``; a matrix without one stays."""
        if closure is not None:
            raise InputError("Muon takes no closure: compute the loss and its gradients before step()")
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    by_shape[p.shape].append(p)
            for shape, same in by_shape.items():
                self._step_stack(same, math.sqrt(max(1.0, shape[0] / shape[1])), group)

    def _step_stack(self, same: list[Tensor], scale: float, group: dict) -> None:
        """Move the matrices of one shape, all at once."""
        momentum, lr = group["momentum"], group["lr"]
        for p in same:
            if "mean" not in self.state[p]:
                self.state[p]["mean"] = torch.zeros_like(p)
        means = [self.state[p]["mean"] for p in same]
        gradients = [p.grad for p in same]
        torch._foreach_lerp_(means, gradients, 1 - momentum)
        ahead = torch._foreach_lerp(gradients, means, momentum)
        updates = orthogonalize(torch.stack(ahead).to(self.dtype)).to(same[0].dtype).unbind()
        if group["weight_decay"]:
            torch._foreach_mul_(same, 1 - lr * group["weight_decay"])
        torch._foreach_add_(same, list(updates), alpha=-lr * scale)


def make_optimizers(model: GPT, plan: Plan) -> list[torch.optim.Optimizer]:
    """Divide the parameters of a model between AdamW and Muon.

    Args:
        model: The model.
        plan: Learning rates and weight decay.

    Returns:
        AdamW over embedding and head, then Muon over the matrices of the blocks. Each parameter group remembers
        its first learning rate as ``initial_lr``.

    Guide:
        "AdamW moves the embedding and the head; Muon moves the matrices inside the blocks."
        (nano/training/optimizers)
    """
    shrink = (model.config.n_embd / REFERENCE_WIDTH) ** -0.5
    adamw = torch.optim.AdamW(
        [
            {"params": list(model.embed.parameters()), "lr": plan.embedding_lr * shrink},
            {"params": list(model.head.parameters()), "lr": plan.head_lr * shrink},
        ],
        betas=(0.8, 0.95),
        eps=1e-10,
        weight_decay=0.0,
        fused=True,
    )
    muon = Muon(model.blocks.parameters(), plan.matrix_lr, weight_decay=plan.weight_decay, dtype=model.compute_dtype)
    for optimizer in (adamw, muon):
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return [adamw, muon]


def lr_multiplier(step: int, plan: Plan) -> float:
    """Say by how much the learning rates are multiplied at a step: up, level, down.

    They rise evenly over the first ``plan.warmup_steps``, stay, and fall evenly over the last ``plan.warmdown_steps``
    to ``plan.final_lr_fraction`` of their value.

    Args:
        step: The number of the step that is about to be taken, from 0.
        plan: The lengths of the three parts.

    Returns:
        The factor, between 0 and 1.

    Example:
        >>> from nanochat.train import Plan
        >>> plan = Plan.from_depth(1, num_iterations=10, warmup_ratio=0.2, warmdown_ratio=0.5)
        >>> [round(lr_multiplier(step, plan), 2) for step in range(10)]
        [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 0.8, 0.6, 0.4, 0.2]

    Guide:
        "A large learning rate moves quickly through the landscape, but it cannot settle."
        (nano/training/optimizers)
    """
    if step < plan.warmup_steps:
        return (step + 1) / plan.warmup_steps
    left = plan.num_iterations - step
    if left >= plan.warmdown_steps:
        return 1.0
    share = max(left, 0) / plan.warmdown_steps
    return share + (1 - share) * plan.final_lr_fraction


def muon_momentum(step: int) -> float:
    """Say how much of its running mean Muon keeps at a step: from 0.85 to 0.95 over the first 300 steps.

    Example:
        >>> muon_momentum(0), muon_momentum(300)
        (0.85, 0.95)
    """
    share = min(step / 300, 1.0)
    return (1 - share) * 0.85 + share * 0.95
