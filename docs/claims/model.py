"""What the shorter chapters on the model say about the code, and the mutants that must make it false."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from docs._ext.claims import check, claim, mutant
from docs._ext.mutation import edited, swapped
from docs.pictures import bench
from nanochat import gpt
from nanochat.accounting import count_parameters
from nanochat.gpt import GPT, GPTConfig

CONFIG = "nanochat.gpt.GPTConfig"


def sized(depth: int, **sizes: int) -> GPT:
    """A model without numbers, to look at its shapes: nothing is drawn or stored."""
    with torch.device("meta"), swapped("nanochat.gpt.GPT.init_weights", lambda self, seed=0: None):
        return GPT(GPTConfig.from_depth(depth, **sizes))


@contextlib.contextmanager
def inputs_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """Note what goes into a part of a model while the block runs."""
    seen: list[Tensor] = []
    hook = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    try:
        yield seen
    finally:
        hook.remove()


def rms(x: Tensor) -> Tensor:
    """The root mean square of each vector, by hand."""
    return x.square().mean(dim=-1).sqrt()


# ---- ways to break the package -------------------------------------------------------------------------------


@mutant("embedding-knows-neighbours", "the vector of a token is mixed with those before it when it is looked up")
def embedding_knows_neighbours() -> AbstractContextManager[object]:
    return edited("nanochat.gpt.GPT.stream", "self.embed(tokens)", "self.embed(tokens).cumsum(1)")


@mutant("head-shares-table", "the output head is the table of embeddings once more")
def head_shares_table() -> AbstractContextManager[object]:
    return edited("nanochat.gpt.GPT.__init__", "self.init_weights()", "self.head.weight = self.embed.weight")


@mutant("angles-squared", "the angle grows with the square of the position")
def angles_squared() -> AbstractContextManager[object]:
    return edited(
        "nanochat.gpt.rotary_tables",
        "torch.arange(sequence_len, dtype=torch.float32)",
        "torch.arange(sequence_len, dtype=torch.float32).square()",
    )


@mutant("rotation-stretches", "one sign of the rotation is wrong, so that lengths change")
def rotation_stretches() -> AbstractContextManager[object]:
    return edited("nanochat.gpt.apply_rotary", "b * cos - a * sin", "b * cos + a * sin")


@mutant("positions-learned", "the tables of the rotation are parameters of the model")
def positions_learned() -> AbstractContextManager[object]:
    return edited(
        "nanochat.gpt.GPT.__init__",
        *('self.register_buffer("cos", cos, persistent=False)', "self.cos = nn.Parameter(cos)"),
    )


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


@mutant("mlp-first", "in a block, the MLP comes before attention")
def mlp_first() -> AbstractContextManager[object]:
    return edited(
        "nanochat.gpt.Block.forward",
        *("x = x + self.attention(rms_norm(x), cos, sin, cache, self.layer)", "x = x + self.mlp(rms_norm(x))"),
        *("return x + self.mlp(rms_norm(x))", "return x + self.attention(rms_norm(x), cos, sin, cache, self.layer)"),
    )


@mutant("width-ignores-depth", "every model is as wide as one of depth 8")
def width_ignores_depth() -> AbstractContextManager[object]:
    return edited(f"{CONFIG}.from_depth", "WIDTH_PER_LAYER * depth if width", "WIDTH_PER_LAYER * 8 if width")


# ---- embeddings ----------------------------------------------------------------------------------------------


@claim("embed-lookup", about="nanochat.gpt.GPT", killed_by="embedding-knows-neighbours")
def embed_lookup() -> str:
    """Read the same token at two places of two rows and see what enters the first block."""
    model = bench.lively()
    tokens = torch.tensor([[7, 9, 3], [5, 2, 7]])
    with inputs_of(model.blocks[0]) as seen, torch.no_grad():
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
    model = sized(4)
    table, head = model.embed.weight.numel(), model.head.weight.numel()
    total = sum(weight.numel() for weight in model.parameters())
    check(total, count_parameters(GPTConfig.from_depth(4)).total, "the accounting agrees with the model")
    return (
        f"At depth 4, with 16,384 tokens, the table has {table:,} numbers and the head {head:,} of its own: "
        f"together {100 * (table + head) / total:.0f} percent of the model."
    )


# ---- positions -----------------------------------------------------------------------------------------------


@claim("position-speeds", about="nanochat.gpt.rotary_tables", killed_by="rotation-at-one-speed")
def position_speeds() -> str:
    """Read the angle of one step off the tables, and how many tokens make a full turn."""
    cos, sin = gpt.rotary_tables(2, 128)
    turns = (2 * math.pi / torch.atan2(sin[1].double(), cos[1].double())).tolist()
    check(len(turns), 64, "a head of 128 channels has 64 pairs")
    return (
        f"In a head of 128 channels, the first pair comes full circle after {turns[0]:.1f} tokens, "
        f"the last one after about {round(turns[-1], -3):,.0f}."
    )


@claim("position-distance", about="nanochat.gpt.apply_rotary", killed_by="angles-squared")
def position_distance() -> str:
    """Turn the same query and key to pairs of places."""
    near, far, other = bench.rotated_dot(7, 4), bench.rotated_dot(107, 104), bench.rotated_dot(107, 103)
    check.close(far, near, "three places apart, early or late in the text", abs=1e-3)
    check.true(abs(other - near) > 0.5, "four places apart is something else")
    return (
        "Turn a query to position 7 and a key to position 4, or the same two to 107 and 104: "
        "the dot products differ by less than 0.001. Turn the key to 103 instead, and they differ by more than 0.5."
    )


@claim("position-length", about="nanochat.gpt.apply_rotary", killed_by="rotation-stretches")
def position_length() -> str:
    """Compare lengths before and after turning."""
    x = bench.vectors(1, 200, 4, 64)
    turned = gpt.apply_rotary(x, *gpt.rotary_tables(200, 64))
    check.close(turned.norm(dim=-1), x.norm(dim=-1), "turning keeps every length", abs=1e-4)
    return "At none of 200 positions does turning change the length of a vector by more than 0.0001."


@claim("position-free", about="nanochat.gpt.GPT", killed_by="positions-learned")
def position_free() -> str:
    """Count the parameters of the same model for short and for long texts."""
    short, long = (sum(w.numel() for w in sized(4, sequence_len=length).parameters()) for length in (512, 2048))
    check(long, short, "a longer context has the same parameters")
    return f"A model of depth 4 has {short:,} parameters with a context of 512 tokens, and as many with one of 2,048."


# ---- normalization -------------------------------------------------------------------------------------------


@claim("norm-size-free", about="nanochat.gpt.rms_norm", killed_by=("no-norm", "norm-by-sum"))
def norm_size_free() -> str:
    """Make a vector a thousand times larger."""
    x = bench.vectors(10, 64)
    small, large = gpt.rms_norm(x), gpt.rms_norm(1000 * x)
    check.close(rms(small), torch.ones(10), "the root mean square is 1", abs=1e-4)
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
    shapes = [tuple(weight.shape) for weight in sized(4).parameters()]
    check.true(all(len(shape) == 2 for shape in shapes), "every parameter is a matrix")
    return f"A model of depth 4 learns {len(shapes)} matrices and nothing else: no norm has a number to learn."


@claim("norm-stream-grows", about="nanochat.gpt.Block", killed_by=("no-norm", "stream-overwritten"))
def norm_stream_grows() -> str:
    """Measure the stream and what the parts read of it, block after block."""
    model = bench.lively(depth=12)
    with contextlib.ExitStack() as stack, torch.no_grad():
        streams = [stack.enter_context(inputs_of(block)) for block in model.blocks]
        read = [stack.enter_context(inputs_of(block.mlp)) for block in model.blocks]
        model(bench.row(32))
    first, last = (seen[0].square().mean().sqrt().item() for seen in (streams[0], streams[-1]))
    check.close(first, 1.0, "the stream starts with size 1", abs=0.01)
    check.above(last, 4.0, "it has grown before the last block")
    for seen in read:
        check.close(rms(seen[0]), torch.ones(1, 32), "what an MLP reads has size 1", abs=1e-3)
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


# ---- MLP -----------------------------------------------------------------------------------------------------


@claim("mlp-sizes", about="nanochat.gpt.MLP", killed_by="mlp-twice-as-wide")
def mlp_sizes() -> str:
    """Read the shapes off a block."""
    block = sized(4).blocks[0]
    inside, outside = block.mlp.up.weight.shape
    check(tuple(block.mlp.down.weight.shape), (outside, inside), "the second matrix leads back")
    mlp = sum(w.numel() for w in block.mlp.parameters())
    share = mlp / sum(w.numel() for w in block.parameters())
    check.close(share, 2 / 3, "the MLP's share of a block", abs=1e-9)
    return (
        f"At depth 4, the MLP makes {inside:,} numbers out of {outside}, and {outside} again out of those: "
        f"{mlp:,} weights, two thirds of its block."
    )


@claim("mlp-half-silent", about="nanochat.gpt.MLP", killed_by="square-for-relu2")
def mlp_half_silent() -> str:
    """Count the zeros inside a fresh MLP."""
    share = bench.silent_share()
    check.close(share, 0.5, "a random number is negative half of the time", abs=0.02)
    return "In a fresh model, about 50 of 100 detectors are silent at a given token: they say exactly zero."


@claim("mlp-squares", about="nanochat.gpt.MLP.forward", killed_by="relu-for-relu2")
def mlp_squares() -> str:
    """Feed an MLP twice as much."""
    mlp, x = bench.lively().blocks[0].mlp, bench.vectors(5, 64)
    with torch.no_grad():
        check.close(mlp(2 * x), 4 * mlp(x), "twice the input, four times the output", rel=1e-4)
    return "Double what an MLP reads, and what it writes is 4 times as large."


# ---- residual stream -----------------------------------------------------------------------------------------


@claim("residual-sum", about="nanochat.gpt.Block", killed_by="stream-overwritten")
def residual_sum() -> str:
    """Add up what the parts wrote."""
    model, written = bench.lively(depth=6), []
    for block in model.blocks:
        for part in (block.attention, block.mlp):
            part.register_forward_hook(lambda *call: written.append(call[2]))
    tokens = bench.row(16)
    with torch.no_grad():
        end = model.stream(tokens)
        total = gpt.rms_norm(model.embed(tokens)) + sum(written)
    check(len(written), 12, "two parts write in each of six blocks")
    check.close(gpt.rms_norm(total), end, "embedding plus all that was written is the stream", abs=1e-4)
    return (
        f"With 6 blocks, the stream at the end is the embedding plus {len(written)} vectors, one from each attention "
        "and one from each MLP, and nothing else."
    )


@claim("residual-alike", about="nanochat.gpt.Block", killed_by="stream-overwritten")
def residual_alike() -> str:
    """How alike the vectors of different tokens are at the last of 12 blocks."""
    adding, replacing = bench.alike(12)[-1], bench.alike(12, replacing=True)[-1]
    check.below(adding, 0.5, "with a stream, tokens stay different")
    check.above(replacing, 0.99, "without one, all tokens have become the same")
    return (
        "At the last of 12 random blocks, two tokens of a row have a cosine below 0.5 on average; "
        "if each part replaces instead of adding, it is above 0.99."
    )


@claim("residual-gradient", about="nanochat.gpt.Block", killed_by="stream-overwritten")
def residual_gradient() -> str:
    """How much of the correction's direction is left half-way back."""
    adding, replacing = bench.message(12)[6], bench.message(12, replacing=True)[6]
    check.above(adding, 0.5, "with a stream, the message is still the same")
    check.below(abs(replacing), 0.1, "without one, it is scrambled")
    return (
        "The correction that reaches block 7 of 12 has a cosine above 0.5 with the one that left block 12; "
        "if each part replaces instead of adding, it is below 0.1."
    )


# ---- the complete model --------------------------------------------------------------------------------------


@claim("complete-order", about=("nanochat.gpt.GPT.stream", "nanochat.gpt.Block.forward"), killed_by="mlp-first")
def complete_order() -> str:
    """Note which part runs when."""
    model, order = bench.lively(depth=2), []
    parts = {"embedding": model.embed, "head": model.head}
    for block in model.blocks:
        parts |= {f"attention {block.layer}": block.attention, f"MLP {block.layer}": block.mlp}
    for name, part in parts.items():
        part.register_forward_pre_hook(lambda *_, name=name: order.append(name.split()[0]))
    with torch.no_grad():
        model(bench.row(4))
    return f"In a model of depth 2 the parts run in this order: {', '.join(order)}."


@claim(
    "complete-cap",
    about=("nanochat.gpt.soft_cap", "nanochat.gpt.GPT.forward"),
    killed_by=("no-softcap", "softcap-clips"),
)
def complete_cap() -> str:
    """Bend three scores, and those of a model that shouts."""
    bent = gpt.soft_cap(torch.tensor([2.0, 15.0, 100.0]), 15.0).tolist()
    model = bench.lively()
    with torch.no_grad():
        model.head.weight.mul_(1000)
        check.true(model(bench.row(8)).abs().max() <= 15, "no score of a shouting model lies beyond 15")
    return (
        f"The cap turns a score of 2 into {bent[0]:.2f}, one of 15 into {bent[1]:.2f}, "
        f"and one of 100 into {bent[2]:.2f}."
    )


@claim("complete-identity", about="nanochat.gpt.GPT.init_weights", killed_by="writers-start-random")
def complete_identity() -> str:
    """Send a row through the blocks of a fresh model."""
    model = GPT(GPTConfig.from_depth(6, vocab_size=64, sequence_len=32, width=64))
    x = bench.vectors(2, 32, 64)
    with torch.no_grad():
        y = x
        for block in model.blocks:
            y = block(y, model.cos, model.sin)
        check(model(bench.row(5)), torch.zeros(1, 5, 64), "every score is zero")
    check(y, x, "the blocks change nothing")
    return (
        "In a fresh model of 6 blocks, what goes into the first block comes out of the last, bit for bit, "
        "and every score is 0."
    )


@claim("complete-growth", about=f"{CONFIG}.from_depth", killed_by="width-ignores-depth")
def complete_growth() -> str:
    """Compare two depths."""
    small, large = (sized(depth) for depth in (8, 16))
    weights = [sum(w.numel() for w in model.blocks.parameters()) for model in (small, large)]
    times = weights[1] / weights[0]
    check(times, 8.0, "twice the layers, each twice as wide both ways")
    return (
        f"From depth 8 to depth 16, the blocks grow from {weights[0]:,} to {weights[1]:,} weights: "
        f"{times:.0f} times as many."
    )
