"""What the shorter chapters on the model say about the code, and the mutants that must make it false."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from docs._ext.claims import check, claim, mutant
from docs._ext.mutation import edited
from docs.pictures import bench
from nanochat import gpt
from nanochat.gpt import GPT, GPTConfig

CONFIG = "nanochat.gpt.GPTConfig"


# ---- ways to break the package -------------------------------------------------------------------------------


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


# ---- MLP -----------------------------------------------------------------------------------------------------


@claim("mlp-sizes", about="nanochat.gpt.MLP", killed_by="mlp-twice-as-wide")
def mlp_sizes() -> str:
    """Read the shapes off a block."""
    block = bench.sized(4).blocks[0]
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
    small, large = (bench.sized(depth) for depth in (8, 16))
    weights = [sum(w.numel() for w in model.blocks.parameters()) for model in (small, large)]
    times = weights[1] / weights[0]
    check(times, 8.0, "twice the layers, each twice as wide both ways")
    return (
        f"From depth 8 to depth 16, the blocks grow from {weights[0]:,} to {weights[1]:,} weights: "
        f"{times:.0f} times as many."
    )
