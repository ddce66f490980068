"""What the chapter on normalization says about the code, and the mutants that must make it false."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from docs._ext.claims import check, claim, mutant
from docs._ext.mutation import edited, swapped
from docs.pictures import bench
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
        "its first size before the last block; what each MLP reads of it has size 1.00 all the way."
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
