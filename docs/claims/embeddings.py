"""What the chapter on embeddings says about the code, and the mutants that must make it false."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager

import torch

from docs._ext.claims import check, claim, mutant
from docs._ext.mutation import edited, swapped
from docs.pictures import bench, pupil, shipped
from nanochat import gpt, train
from nanochat.accounting import count_parameters
from nanochat.gpt import GPTConfig


@mutant("embedding-knows-neighbours", "the vector of a token is mixed with those before it when it is looked up")
def embedding_knows_neighbours() -> AbstractContextManager[object]:
    return edited("nanochat.gpt.GPT.stream", "self.embed(tokens)", "self.embed(tokens).cumsum(1)")


@mutant("head-shares-table", "the output head is the table of embeddings once more")
def head_shares_table() -> AbstractContextManager[object]:
    return edited("nanochat.gpt.GPT.__init__", "self.init_weights()", "self.head.weight = self.embed.weight")


@mutant("table-fades", "every step takes a thousandth of each number of the table away")
def table_fades() -> Iterator[None]:
    real = train.train_step

    def fading(state: train.TrainState) -> train.StepMetrics:
        metrics = real(state)
        with torch.no_grad():
            state.model.embed.weight.mul_(0.999)
        return metrics

    with swapped("nanochat.train.train_step", fading):
        yield


@mutant("int8-rows-shifted", "when the shipped model is loaded, each row of a matrix takes the place of the next")
def int8_rows_shifted() -> AbstractContextManager[object]:
    whole = 'dequantize(tensors[name], tensors[f"{name}.scale"])'
    return edited("nanochat.interop.load_int8", whole, f"{whole}.roll(1, 0)")


@claim("embed-lookup", about="nanochat.gpt.GPT", killed_by="embedding-knows-neighbours")
def embed_lookup() -> str:
    """Read the same token at two places of two rows and see what enters the first block."""
    model = bench.lively()
    tokens = torch.tensor([[7, 9, 3], [5, 2, 7]])
    with bench.inputs_of(model.blocks[0]) as seen, torch.no_grad():
        model(tokens)
    check(tuple(model.embed.weight.shape), (64, 64), "one row for each token, as wide as the model")
    expected = gpt.rms_norm(model.embed.weight[7]).detach()
    check.close(seen[0][0, 0], expected, "token 7 at the first place is row 7 of the table", abs=1e-6)
    check.close(seen[0][1, 2], expected, "token 7 at the last place is the same", abs=1e-6)
    return "Token number 7 always enters as row 7 of the table, whatever stands around it."


@claim("embed-names-meet", about=("nanochat.gpt.GPT", "nanochat.train.fit"), killed_by="learning-rate-zero")
def embed_names_meet() -> str:
    """Compare the vectors of names before and after a short training."""
    before, after = bench.names_alike(0), bench.names_alike(bench.STEPS)
    check.below(abs(before), 0.05, "before training, the names point in unrelated directions")
    check.above(after, 0.4, "after training, they point in similar ones")
    return (
        f"Before training, the cosine of two names is close to 0 on average; after {bench.STEPS} steps it is above 0.4."
    )


@claim("embed-untied", about="nanochat.gpt.GPT", killed_by="head-shares-table")
def embed_untied() -> str:
    """Count the numbers of a real model of depth 4, each once."""
    model = bench.sized(4)
    table, head = model.embed.weight.numel(), model.head.weight.numel()
    total = sum(weight.numel() for weight in model.parameters())
    check(total, count_parameters(GPTConfig.from_depth(4)).total, "the accounting agrees with the model")
    return (
        f"At depth 4, with 16,384 tokens, the table has {table:,} numbers and the head {head:,} of its own: "
        f"together {100 * (table + head) / total:.0f} percent of the model."
    )


@claim("embed-direction", about="nanochat.gpt.GPT.stream", killed_by="embedding-not-normed")
def embed_direction() -> str:
    """Make the whole table ten times as large."""
    model, tokens = bench.lively(), bench.row(12)
    with torch.no_grad():
        before = model(tokens)
        model.embed.weight.mul_(10)
        check.close(model(tokens), before, "the scores with a table ten times as large", abs=1e-4)
    return "Multiply every number of the table by 10, and no score of the model moves by more than 0.0001."


@claim("embed-sizes", about="nanochat.gpt.GPT.stream", killed_by="embedding-not-normed", reads=shipped.WEIGHTS)
def embed_sizes() -> str:
    """Measure all rows of the trained table, and what enters the first block."""
    sizes = bench.rms(shipped.whole()[0].embed.weight)
    check.close(bench.rms(shipped.streams()[0]), torch.ones(2, 128), "what enters the first block", abs=1e-3)
    return (
        f"The smallest row of its table has a root mean square of {sizes.min():.1f}, the largest one of "
        f"{sizes.max():.1f}; what enters the first block has 1.0 every time."
    )


@claim(
    "embed-rows-read",
    about=("nanochat.gpt.GPT", "nanochat.train.train_step"),
    killed_by=("learning-rate-zero", "table-fades"),
)
def embed_rows_read() -> str:
    """Which rows of both tables move in the first steps of a training."""
    learner, read = pupil.new(), set()
    table, head = learner.model.embed.weight, learner.model.head.weight
    before = table.detach().clone(), head.detach().clone()
    next_batch = learner.state.loader.next_batch

    def noted() -> tuple[torch.Tensor, torch.Tensor]:
        batch = next_batch()
        read.update(batch[0].flatten().tolist())
        return batch

    learner.state.loader.next_batch = noted
    for _ in range(4):
        train.train_step(learner.state)
    moved = (table != before[0]).any(dim=1).nonzero()[:, 0].tolist()
    check.true(set(moved) <= read, "a row that moved belongs to a token that was read")
    check.above(len(moved), 200, "rows that moved")
    check(int((head != before[1]).any(dim=1).sum()), len(head), "rows of the head that moved")
    return (
        f"In 4 steps it read {len(read)} of its {len(table)} tokens: no row of any other token moved in the table, "
        f"while all {len(head)} rows of the head did."
    )


@claim("embed-nearest", about="nanochat.interop.load_int8", killed_by="int8-rows-shifted", reads=shipped.WEIGHTS)
def embed_nearest() -> str:
    """Ask the trained table for neighbours."""
    places, person = list(shipped.nearest("river", 5)), shipped.nearest("she", 2)
    check.above(shipped.nearest("river", 5)[places[-1]], 0.4, "the cosine of the fifth neighbour")
    first, second = person.values()
    check.above(first - second, 0.3, "the lead of the first neighbour of *she* over the second")
    return (
        f"There, the five words nearest to *river* are *{'*, *'.join(places[:-1])}* and *{places[-1]}*, and the "
        f"nearest to *she* is *{list(person)[0]}*."
    )


@claim("embed-kinds", about="nanochat.interop.load_int8", killed_by="int8-rows-shifted", reads=shipped.WEIGHTS)
def embed_kinds() -> str:
    """How much words of a kind have in common in the trained table."""
    kinds = {group: shipped.alike(group, shipped.table()) for group in ("places", "animals", "colours")}
    check.above(kinds["animals"], kinds["colours"] + 0.1, "animals have more in common than colours")
    return (
        f"Two of our places have a cosine of {kinds['places']:.2f} on average, two animals one of "
        f"{kinds['animals']:.2f}, and two colours only {kinds['colours']:.2f}."
    )


@claim("embed-two-tables", about="nanochat.interop.load_int8", killed_by="int8-rows-shifted", reads=shipped.WEIGHTS)
def embed_two_tables() -> str:
    """The same two pairs of words in both tables of the trained model."""
    pairs = [("dog", "cat"), ("red", "blue")]
    found = [[shipped.cosine(*pair, rows) for rows in (shipped.table(), shipped.head())] for pair in pairs]
    for one, other in found:
        check.above(other, one + 0.2, "in the head the two have more in common")
    return (
        f"*Dog* and *cat* have a cosine of {found[0][0]:.2f} in the table and of {found[0][1]:.2f} in the head; "
        f"*red* and *blue* have {found[1][0]:.2f} and {found[1][1]:.2f}."
    )
