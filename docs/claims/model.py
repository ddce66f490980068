"""What the page on the complete model says about the code, and the mutants that must make it false."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager

import torch

from docs._ext.claims import check, claim, mutant
from docs._ext.mutation import edited
from docs.pictures import bench, inside, pupil, shipped
from docs.pictures.model import OPENING
from nanochat import gpt, train
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


@mutant("readers-start-large", "the matrices that read the stream start with numbers of spread 1, whatever the width")
def readers_start_large() -> AbstractContextManager[object]:
    return edited(
        "nanochat.gpt.GPT.init_weights",
        "normal_(reader.weight, reader.in_features**-0.5)",
        "normal_(reader.weight, 1.0)",
    )


@mutant("width-ignores-depth", "every model is as wide as one of depth 8")
def width_ignores_depth() -> AbstractContextManager[object]:
    return edited(f"{CONFIG}.from_depth", "WIDTH_PER_LAYER * depth if width", "WIDTH_PER_LAYER * 8 if width")


# ---- the complete model --------------------------------------------------------------------------------------


@claim("model-places", about="nanochat.gpt.GPT", killed_by="mlp-first", reads=shipped.WEIGHTS)
def model_places() -> str:
    """Ask the model that comes with the package what follows."""
    model, tokenizer = shipped.whole()
    with torch.no_grad():
        tokens = torch.tensor([[tokenizer.bos, *tokenizer.encode(OPENING)]])
        best = model(tokens)[0, -1].softmax(dim=-1).topk(6)
    words = {inside.word(token).strip() for token in best.indices.tolist()}
    check(words, set(shipped.GROUPS["places"]), "the likeliest next words")
    check.above(best.values.sum().item(), 0.99, "their probability together")
    return (
        "The six likeliest words are the six places of the stories that this model has read, and together they have "
        "more than 0.99 of the probability."
    )


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


@claim("complete-cap-slope", about="nanochat.gpt.soft_cap", killed_by=("no-softcap", "softcap-clips"))
def complete_cap_slope() -> str:
    """Push three scores a little and see how far what comes out moves."""
    scores = torch.tensor([1.0, 15.0, 45.0], requires_grad=True)
    gpt.soft_cap(scores, 15.0).sum().backward()
    near, at, far = scores.grad.tolist()
    check.close(near + at + far, sum(1 - math.tanh(z / 15) ** 2 for z in (1, 15, 45)), "the slopes by hand", abs=1e-5)
    return (
        f"A small push at a score of 1 comes through as {near:.3f} of itself, one at 15 as {at:.2f}, "
        f"and one at 45 as {far:.2f}."
    )


@claim(
    "complete-start",
    about="nanochat.gpt.GPT.init_weights",
    killed_by=("writers-start-random", "head-starts-random", "readers-start-large"),
)
def complete_start() -> str:
    """Measure the spread of the numbers of each kind of matrix in a fresh model."""
    model = GPT(GPTConfig.from_depth(4, vocab_size=256, sequence_len=8))
    spreads = bench.spreads(model)
    readers = [spreads[name] for name in ("query", "key", "value", "up")]
    for spread in readers:
        check.close(spread, 256**-0.5, "one over the root of the width", rel=0.02)
    for name in ("output", "down", "head"):
        check(spreads[name], 0.0, f"the numbers of {name} are all zero")
    return (
        f"In a fresh model that is 256 channels wide, the numbers of the embedding have a spread of "
        f"{spreads['embedding']:.2f}, those of query, key, value and up one of {readers[0]:.2f}. Those of output, "
        "down and head are all 0."
    )


@claim("complete-two-zeros", about="nanochat.gpt.GPT.init_weights", killed_by="writers-start-random")
def complete_two_zeros() -> str:
    """Give attention two matrices of zeros in a row and train for some steps."""
    one, steps = pupil.new(vocab_size=pupil.SMALL_VOCABULARY, rows=1, total_batch_size=pupil.CONTEXT), 5
    with torch.no_grad():
        for block in one.model.blocks:
            block.attention.value.weight.zero_()
    for _ in range(steps):
        train.train_step(one.state)
    for block in one.model.blocks:
        for name in ("value", "output"):
            weight = getattr(block.attention, name).weight
            check(weight, torch.zeros_like(weight), f"the matrix {name} of block {block.layer + 1}")
        check.true(bool(block.mlp.down.weight.any()), f"the matrix down of block {block.layer + 1} has moved")
    return (
        f"Set the matrices of the values to zero too, and after {steps} steps neither they nor the output matrices "
        "have moved, while `down` has in every block."
    )


@claim("complete-size-kept", about="nanochat.gpt.GPT.init_weights", killed_by="readers-start-large")
def complete_size_kept() -> str:
    """Send vectors of size 1 through the widening matrix of a fresh block."""
    model = GPT(GPTConfig.from_depth(4, vocab_size=64, sequence_len=8))
    with torch.no_grad():
        size = model.blocks[0].mlp.up(gpt.rms_norm(bench.vectors(100, 256))).square().mean().sqrt().item()
    check.close(size, 1.0, "what comes out is as large as what went in", abs=0.03)
    return f"So a vector whose numbers have the size 1 comes out of `up` with numbers of the size {size:.1f}."


@claim(
    "complete-bytes",
    about=("nanochat.train.train_step", "nanochat.optim.make_optimizers"),
    killed_by="embedding-to-muon",
)
def complete_bytes() -> str:
    """Take a step and count what is kept: weights, gradients, and the averages of the optimizers."""
    one = pupil.new(vocab_size=pupil.SMALL_VOCABULARY, rows=1, total_batch_size=pupil.CONTEXT)
    model = one.model
    model(*pupil.batch(one)).backward()
    slopes = {weight: weight.grad.element_size() for weight in model.parameters()}
    model.zero_grad()
    train.train_step(one.state)
    kept = {}
    for optimizer in one.state.optimizers:
        for group in optimizer.param_groups:
            for weight in group["params"]:
                averages = [x for x in optimizer.state[weight].values() if torch.is_tensor(x) and x.dim() == 2]
                kept[weight] = weight.element_size() + slopes[weight] + sum(x.element_size() for x in averages)
    blocks = {kept[weight] for weight in model.blocks.parameters()}
    check(len(blocks), 1, "all matrices of the blocks keep the same")
    check(kept[model.head.weight], kept[model.embed.weight], "both tables keep the same")
    return (
        f"For each weight of the blocks, training keeps {blocks.pop()} bytes: the weight, its slope and one average; "
        f"for each number of the two tables {kept[model.head.weight]}, since their optimizer keeps two averages."
    )
