"""What the chapter on normalization says about the code, and the mutants that must make it false."""

from __future__ import annotations

import contextlib
import math
from contextlib import AbstractContextManager

import torch
import torch.nn.functional as F
from torch import Tensor

from docs._ext.claims import check, claim, mutant
from docs._ext.mutation import edited, swapped
from docs.pictures import bench, shipped
from nanochat import gpt


@mutant("norm-with-gain", "each block has a learned factor for every channel of its norm")
def norm_with_gain() -> AbstractContextManager[object]:
    return edited(
        "nanochat.gpt.Block.__init__",
        *("self.mlp = MLP(config)", "self.mlp = MLP(config); self.gain = nn.Parameter(torch.ones(config.n_embd))"),
    )


@mutant("norm-over-batch", "the mean square is taken over all rows of the batch together")
def norm_over_batch() -> AbstractContextManager[object]:
    return edited(
        "nanochat.gpt.rms_norm",
        *(
            "F.rms_norm(x, (x.size(-1),), eps=torch.finfo(torch.float32).eps)",
            "x / x.square().mean((0, -1), True).sqrt()",
        ),
    )


@claim("norm-runaway", about="nanochat.gpt.MLP.forward", killed_by="relu-for-relu2")
def norm_runaway() -> str:
    """Take the norms out of a random model and count the zeros of the stream's size, block after block."""
    zeros = [math.log10(size) for size in bench.sizes(10, normalised=False)[1:] if math.isfinite(size)]
    check.true(3 <= len(zeros) < 9, "the numbers end before the last block, and not at once")
    for before, after in zip(zeros, zeros[1:], strict=False):
        check.true(after > 2 * before > 0, "the zeros more than double")
    return (
        "From the second block on, the number of zeros in the size of its vectors more than doubles with every block, "
        "until the computer's numbers end."
    )


@claim("norm-size-free", about="nanochat.gpt.rms_norm", killed_by=("no-norm", "norm-by-sum"))
def norm_size_free() -> str:
    """Make a vector a thousand times larger."""
    x = bench.vectors(10, 64)
    small, large = gpt.rms_norm(x), gpt.rms_norm(1000 * x)
    check.close(bench.rms(small), torch.ones(10), "the root mean square is 1", abs=1e-4)
    check.close(large, small, "a larger vector in the same direction gives the same", abs=1e-4)
    return (
        "Make a vector 1,000 times as large, and what `rms_norm` returns moves by less than 0.0001; "
        "its root mean square is 1 both times."
    )


@claim(
    "norm-count",
    about=("nanochat.gpt.GPT.stream", "nanochat.gpt.Block"),
    killed_by=("no-last-norm", "embedding-not-normed"),
)
def norm_count() -> str:
    """Count the calls in one pass."""
    calls, real, model = [], gpt.rms_norm, bench.lively(depth=4)

    def counting(x: Tensor) -> Tensor:
        calls.append(tuple(x.shape))
        return real(x)

    with swapped("nanochat.gpt.rms_norm", counting), torch.no_grad():
        model(bench.row(6))
    heads = sum(len(shape) == 4 for shape in calls)
    check(heads, 8, "queries and keys of four layers")
    return (
        f"On one pass through a model of depth 4 the function is called {len(calls)} times: once after the embedding, "
        "4 times in each block, and once before the head."
    )


@claim("norm-nothing-learned", about="nanochat.gpt.GPT", killed_by="norm-with-gain")
def norm_nothing_learned() -> str:
    """Look at the shapes of all parameters."""
    shapes = [tuple(weight.shape) for weight in bench.sized(4).parameters()]
    check.true(all(len(shape) == 2 for shape in shapes), "every parameter is a matrix")
    return f"A model of depth 4 learns {len(shapes)} matrices and nothing else: no norm has a number to learn."


@claim("norm-stream-grows", about="nanochat.gpt.Block", killed_by=("no-norm", "stream-overwritten"))
def norm_stream_grows() -> str:
    """Measure the stream and what the parts read of it, block after block."""
    model = bench.lively(depth=12)
    with contextlib.ExitStack() as stack, torch.no_grad():
        streams = [stack.enter_context(bench.inputs_of(block)) for block in model.blocks]
        read = [stack.enter_context(bench.inputs_of(block.mlp)) for block in model.blocks]
        model(bench.row(32))
    first, last = (seen[0].square().mean().sqrt().item() for seen in (streams[0], streams[-1]))
    check.close(first, 1.0, "the stream starts with size 1", abs=0.01)
    check.above(last, 4.0, "it has grown before the last block")
    for seen in read:
        check.close(bench.rms(seen[0]), torch.ones(1, 32), "what an MLP reads has size 1", abs=1e-3)
    return (
        "In a model of 12 blocks whose matrices all hold random numbers, the stream has grown to more than 4 times "
        "its first size before the last block. What each MLP reads of it has size 1.00 all the way."
    )


@claim("norm-rows-apart", about="nanochat.gpt.rms_norm", killed_by="norm-over-batch")
def norm_rows_apart() -> str:
    """Compute a row in two kinds of company."""
    model, mine = bench.lively(), bench.row(8)
    with torch.no_grad():
        one = model(torch.cat((mine, bench.row(8, seed=1))))[0]
        two = model(torch.cat((mine, bench.row(8, seed=2))))[0]
    check.close(two, one, "the other row of the batch does not matter", abs=1e-5)
    return "Compute a row beside another one, then beside a third: no score of it moves by more than 0.00001."


@claim(
    "norm-shipped-stream",
    about=("nanochat.gpt.Block", "nanochat.gpt.GPT.stream"),
    killed_by="no-norm",
    reads=shipped.WEIGHTS,
)
def norm_shipped_stream() -> str:
    """Let the trained model read stories and measure the stream before each block."""
    sizes = shipped.sizes()
    check(len(sizes), 4, "it has four blocks")
    check.close(sizes[0], 1.0, "the stream begins with size 1", abs=0.01)
    check.true(all(b > a for a, b in zip(sizes, sizes[1:], strict=False)), "each block makes it larger")
    check.above(sizes[-1], 15.0, "its size before the last block, at the token in the middle")
    model = shipped.whole()[0]
    with contextlib.ExitStack() as stack, torch.no_grad():
        parts = [part for block in model.blocks for part in (block.attention, block.mlp)]
        read = [stack.enter_context(bench.inputs_of(part)) for part in parts]
        model(shipped.rows(2, 128)[0])
    for seen in read:
        check.close(bench.rms(seen[0]), torch.ones(2, 128), "what a part reads", abs=1e-3)
    return (
        "In the trained model the stream enters the first of 4 blocks with size 1, and at more than half of the tokens "
        "it enters the last one with a size above 15. Each part still reads it at size 1.00."
    )


@claim("norm-layer-alike", about="nanochat.gpt.rms_norm", killed_by=("no-norm", "norm-by-sum"), reads=shipped.WEIGHTS)
def norm_layer_alike() -> str:
    """Normalise the streams of the trained model in both ways."""
    for x in shipped.streams():
        share = (x.mean(dim=-1).abs() / bench.rms(x)).mean().item()
        check.below(share, 0.1, "the mean of a vector's numbers, as a share of their size")
        layer, ours = F.layer_norm(x, x.shape[-1:]), gpt.rms_norm(x)
        check.below(bench.rms(layer - ours).mean().item(), 0.1, "how far the two results lie apart")
    return (
        "Before each block of the trained model, the mean of a vector's numbers is on average less than a tenth of "
        "their size, and layer norm and RMSNorm lie less than a tenth apart."
    )


@claim(
    "norm-raw-scores",
    about="nanochat.gpt.CausalSelfAttention.project",
    killed_by=("no-qk-norm", "keys-not-normalised"),
    reads=shipped.WEIGHTS,
)
def norm_raw_scores() -> str:
    """The largest score of the trained model with its norm, and what it would be with none."""
    raw, real = max(shipped.raw_scores()), max(shipped.scores())
    check.above(raw, 200.0, "the largest score of queries and keys as their matrices make them")
    check.below(real, 8.0, "the largest score as it is")
    return (
        "Without this norm, the largest score of the trained model on two rows of stories would be above 200; with it, "
        "the largest is below 8."
    )
