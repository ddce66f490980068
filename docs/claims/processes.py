"""What the page on several processes says about the code, proved with processes that are played by threads."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from safetensors.torch import load_file

from docs._ext.claims import check, claim, mutant
from docs._ext.mutation import edited, swapped
from docs.pictures import pupil, several
from nanochat import checkpoint, distributed, train
from nanochat.common import IGNORED, InputError

# ---- ways to break the package --------------------------------------------------------------------------------


@mutant("all-read-the-same", "every process reads the rows of the first")
def all_read_the_same() -> Any:
    return edited("nanochat.dataloader.Rows._mine", "range(self.rank * self.batch_size, (self.rank + 1) *", "range(0,")


@mutant("gradients-not-summed", "each process keeps its own gradient")
def gradients_not_summed() -> Any:
    return edited("nanochat.distributed.sum_gradients", "if world_size() == 1:", "if True:")


@mutant("own-questions-divide", "each process divides by its own questions, and the means are averaged")
def own_questions_divide() -> Any:
    return edited(
        "nanochat.train.train_step",
        "all_sum(sum(int((targets != IGNORED).sum()) for _, targets, *_ in batches))",
        "all_sum(1) * sum(int((targets != IGNORED).sum()) for _, targets, *_ in batches)",
    )


@mutant("moved-not-handed-around", "a process keeps the parameters that it moved to itself")
def moved_not_handed_around() -> Any:
    return edited("nanochat.distributed.own_share", "    yield\n    _hand_around(parameters)", "    yield")


@mutant("everyone-moves-everything", "each process moves all parameters, and remembers them")
def everyone_moves_everything() -> Any:
    return edited("nanochat.distributed.own_share", "if not mine:", "if False:")


@mutant("shares-by-turns", "parameters are shared out in turn, whatever their size")
def shares_by_turns() -> Any:
    return edited("nanochat.distributed.owners", "load.index(min(load))", "number % n_processes")


@mutant("only-the-first-is-collected", "a checkpoint holds what the first process remembers and nothing else")
def only_the_first_is_collected() -> Any:
    return edited("nanochat.distributed.collect", "in enumerate(listed)", "in enumerate(listed[:1])")


@mutant("failures-kept-quiet", "a process does not learn that another one could not")
def failures_kept_quiet() -> Any:
    return edited("nanochat.distributed.together", "    if failed:", "    if False:")


@mutant("lost-contact-not-told", "an exchange that breaks off raises whatever PyTorch raises")
def lost_contact_not_told() -> Any:
    return swapped("nanochat.distributed.sum_gradients", distributed.sum_gradients.__wrapped__)


@mutant("alone-counts-double", "a single process adds its number to itself")
def alone_counts_double() -> Any:
    return edited("nanochat.distributed._reduce", "        return value\n", "        return value + value\n")


# ---- the rows and the gradient --------------------------------------------------------------------------------


@claim(
    "processes-rows",
    about=("nanochat.dataloader.Rows", "nanochat.dataloader.TokenLoader"),
    killed_by="all-read-the-same",
)
def rows() -> str:
    alone, pair = several.loader(2), [several.loader(1, rank, 2) for rank in range(2)]
    steps = 5
    for _ in range(steps):
        whole, parts = alone.next_batch(), [one.next_batch() for one in pair]
        for k in range(2):
            joined = torch.cat([part[k] for part in parts])
            check(joined, whole[k], "the rows of the first and then those of the second are the rows of one alone")
    return (
        f"In each of {steps} steps, two loaders of one row each, of rank 0 and rank 1, give exactly the 2 rows that a "
        "single loader gives."
    )


def _same(found: list[torch.Tensor], expected: torch.Tensor) -> None:
    for each in found:
        far = (each - expected).norm().item()
        check.below(far, 1e-4 * expected.norm().item(), "the gradients differ by rounding alone")


@claim(
    "processes-same-gradient",
    about=("nanochat.train.train_step", "nanochat.distributed.sum_gradients"),
    killed_by=("gradients-not-summed", "all-read-the-same"),
)
def same_gradient() -> str:
    _same(several.team().gradients, several.gradient_alone())
    return (
        "Two processes, each with one row of the pupil's step, both end with the gradient of the one process that "
        "reads both rows, to within a ten-thousandth of its length."
    )


@claim("processes-uneven", about="nanochat.train.train_step", killed_by="own-questions-divide")
def uneven() -> str:
    inputs, targets = several.loader(2).next_batch()
    few = 20
    targets[1, few:] = IGNORED
    counts = (targets != IGNORED).sum(1).tolist()
    found = several.team(1, lambda rank: pupil.Batches((inputs[rank : rank + 1], targets[rank : rank + 1])))
    _same(found.gradients, several.gradient_alone(pupil.Batches((inputs, targets))))
    return (
        f"The gradient is also that of one process when the first process has {counts[0]} questions and the second "
        f"{counts[1]}."
    )


@claim(
    "processes-same-weights",
    about="nanochat.distributed.own_share",
    killed_by="moved-not-handed-around",
)
def same_weights() -> str:
    steps = 3
    first, second = several.team(steps).states
    for (name, a), b in zip(first.model.named_parameters(), second.model.parameters(), strict=True):
        check(a.detach(), b.detach(), f"both hold the same {name}")
    return f"After {steps} steps the two processes hold the same weights, bit for bit."


# ---- the shares -----------------------------------------------------------------------------------------------


@claim("processes-remember", about="nanochat.distributed.own_share", killed_by="everyone-moves-everything")
def remember() -> str:
    shares = [several.remembered(one) for one in several.team().states]
    names = [name for name, _ in pupil.new().model.named_parameters()]
    check(sorted([*shares[0], *shares[1]]), sorted(names), "each parameter is remembered by one process and no other")
    alone = several.state()
    train.train_step(alone)
    numbers = [sum(share.values()) for share in shares]
    check(sum(numbers), sum(several.remembered(alone).values()), "together they remember what one would")
    check(numbers[0], numbers[1], "and each as much as the other")
    return (
        f"A pupil alone remembers {sum(numbers):,} numbers beside its weights; of two processes, each remembers "
        f"{numbers[0]:,}, and no number twice."
    )


@claim("processes-memory", about="nanochat.distributed.owners", killed_by="shares-by-turns")
def memory() -> str:
    alone, eight = several.memory(20, 1), several.memory(20, 8)
    check(alone.averages > alone.weights, True, "the averages are the largest item")
    return (
        f"With {alone.averages / 1e9:.2f} billion bytes, the averages of a model of depth 20 take more room than its "
        f"weights with {alone.weights / 1e9:.2f}. Among 8 processes the fullest holds {eight.averages / 1e9:.2f} "
        "billion of them."
    )


@claim("processes-embedding-whole", about="nanochat.distributed.owners", killed_by="shares-by-turns")
def embedding_whole() -> str:
    config = several.model_of(20)
    eight = several.memory(20, 8).averages
    check(eight, 4 * 2 * config.vocab_size * config.n_embd, "the fullest process has the embedding and nothing else")
    more = eight / (several.memory(20, 1).averages / 8)
    return (
        f"At depth 20 the fullest of 8 processes moves the embedding and nothing else, and yet remembers {more:.1f} "
        "times an eighth."
    )


@claim(
    "processes-checkpoint",
    about=("nanochat.checkpoint.save_checkpoint", "nanochat.distributed.collect"),
    killed_by="only-the-first-is-collected",
)
def saved() -> str:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        states = several.team(2).states

        def save(rank: int) -> None:
            checkpoint.save_checkpoint(states[rank], folder)

        done = several.run(2, save)
        check(done.results, [None, None], "both saved")
        held = load_file(checkpoint.step_folder(folder, 2) / "optim.safetensors")
        with mock.patch.object(checkpoint, "log") as log:
            again = checkpoint.resume(folder, several.loader(2), pupil.CPU, several.state().plan)
        check.true(("the number of processes", 2, 1) in [c.args[1:] for c in log.warning.mock_calls], "the log says so")
    kept = {key.split("/")[0] for key in held}
    check(sorted(kept), sorted(name for name, _ in states[0].model.named_parameters()), "nothing is missing")
    own = several.remembered(states[0])
    whole = several.state()
    for one, until in ((whole, 4), (again, 4)):
        while one.step < until:
            train.train_step(one)
    far = abs(again.history[-1].loss - whole.history[-1].loss)
    check.below(far, 1e-4 * whole.history[-1].loss, "the run goes on as if one process had trained from the start")
    return (
        f"The first process remembers {len(own)} parameters, and the checkpoint of both holds the averages of all "
        f"{len(kept)}. One process that takes it up after 2 steps has, at step {again.step}, the loss of one that was "
        "alone from the start, to within a ten-thousandth."
    )


# ---- what goes wrong, and what it costs -----------------------------------------------------------------------


@claim("processes-refuse", about="nanochat.distributed.together", killed_by="failures-kept-quiet")
def refuse() -> str:
    def work(rank: int) -> str:
        with distributed.together("read the data"):
            if rank == 1:
                raise InputError("there is no such file")
        return "went on"

    first, second = several.run(2, work).results
    check(str(second), "there is no such file", "the one that could not says why")
    said = "rank 0 stops, because rank 1 could not read the data: there is no such file"
    check(str(first), said, "and the other one knows it")
    return f"Where rank 1 finds no file, rank 0 stops too, and says: “{first}”."


@claim(
    "processes-lost-contact",
    about=("nanochat.train.train_step", "nanochat.distributed.sum_gradients"),
    killed_by="lost-contact-not-told",
)
def lost_contact() -> str:
    states = [several.state(rank, 2) for rank in range(2)]
    before = [p.detach().clone() for p in states[0].model.parameters()]
    states[1].model.head.register_full_backward_hook(_crash)
    survivor, crashed = several.run(2, lambda rank: train.train_step(states[rank])).results
    check(type(crashed), ZeroDivisionError, "the second process ends in the middle of its backward pass")
    check(type(survivor), ConnectionError, "the first does not wait for ever")
    check.true("lost contact with another process" in str(survivor), "and it says what happened")
    for old, p in zip(before, states[0].model.parameters(), strict=True):
        check(p.detach(), old, "no weight was moved")
    return (
        "When one process crashes on its way back through the model, the other ends at the sum of the gradients with a "
        "`ConnectionError`, before any weight has moved."
    )


def _crash(*_: Any) -> None:
    raise ZeroDivisionError("an accident")


@claim(
    "processes-bytes",
    about=("nanochat.distributed.sum_gradients", "nanochat.distributed.own_share"),
    killed_by=("moved-not-handed-around", "gradients-not-summed"),
)
def sent() -> str:
    network = several.team().network
    model = pupil.new().model
    weights = sum(p.numel() for p in model.parameters())
    added = [sum(t.numel() * t.element_size() for t in given) for given in network.summed]
    handed = sum(t.numel() * t.element_size() for given in network.handed for t in given)
    check(added, [4 * weights] * 2, "each process gives four bytes a weight to be added up")
    check(handed, 4 * weights, "and all weights are handed around once, four bytes each")
    return (
        f"In a step of the pupil, each process gives {added[0]:,} bytes of gradients to be added up, and the "
        f"owners hand around {handed:,} bytes of weights: {added[0] // weights} bytes for each of the {weights:,} "
        "weights, both times."
    )


@claim(
    "processes-alone",
    about=(
        "nanochat.distributed.all_sum",
        "nanochat.distributed.sum_gradients",
        "nanochat.distributed.own_share",
    ),
    killed_by="alone-counts-double",
)
def alone() -> str:
    check(distributed.all_sum(3), 3, "the sum of one is the one")
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.grad = torch.tensor([1.0, 2.0])
    distributed.sum_gradients([parameter])
    with distributed.own_share([parameter]):
        check(parameter.grad, torch.tensor([1.0, 2.0]), "the gradient stays, and all parameters are one's own")
    check(parameter.detach(), torch.ones(2), "and nothing moves")
    return "For one process, `all_sum`, `sum_gradients` and `own_share` do nothing."
