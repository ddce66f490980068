"""What the chapter on the stream says about the code."""

from __future__ import annotations

import torch

from docs._ext.claims import check, claim
from docs.pictures import bench, inside, shipped
from nanochat import gpt
from nanochat.gpt import GPT, GPTConfig

# ---- the stream ----------------------------------------------------------------------------------------------


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
        "The correction that comes out of block 7 of 12 has a cosine above 0.5 with the one that came out of block 12; "
        "if each part replaces instead of adding, it is below 0.1."
    )


@claim("residual-gradient-size", about="nanochat.gpt.rms_norm", killed_by="no-norm")
def residual_gradient_size() -> str:
    """Compare the length of the correction at both ends of 12 blocks."""
    for replacing in (False, True):
        first, *_, last = bench.message_sizes(12, replacing)
        check.true(first > 3 * last, "the correction has not become shorter on its way back")
    return (
        "With or without the stream, the correction that comes out of block 1 is more than 3 times as long as the one "
        "that came out of block 12."
    )


@claim("residual-lesson", about="nanochat.gpt.Block", killed_by="stream-overwritten")
def residual_lesson() -> str:
    """Teach the same lesson to a model that adds and to one that replaces."""
    adding, replacing = inside.lesson(4), inside.lesson(4, replacing=True)
    check.above(adding, 0.95, "with a stream, the lesson is learned")
    check.below(replacing, 0.2, "without one, the model guesses")
    return (
        f"With 4 blocks that add, {inside.LESSON_STEPS} steps teach it to answer more than 95 of 100 new rows rightly. "
        "With 4 blocks that replace, it is fewer than 20 of 100, where blind guessing would get 12 or 13."
    )


@claim(
    "residual-sizes",
    about=("nanochat.gpt.Block", "nanochat.train.fit"),
    killed_by="writers-start-random",
    reads=shipped.WEIGHTS,
)
def residual_sizes() -> str:
    """Measure what the parts of both models write."""
    young, grown = inside.written(True), inside.written(False)
    for sizes in (young, grown):
        check.close(sizes.pop("embedding"), 1.0, "the size of the embedding", abs=0.01)
    check.below(max(young.values()), 1 / 3, "the loudest note of the pupil")
    check.above(min(size for name, size in grown.items() if "attention" in name), 3.0, "the softest of the attentions")
    check.above(grown["MLP 4"], 50.0, "what the last MLP writes")
    return (
        "Each note of the pupil is less than a third as large as its embedding; in the trained model each attention "
        "writes more than three times as much as the embedding, and the last MLP more than fifty times."
    )


@claim("residual-dark-mlp", about="nanochat.gpt.MLP.forward", killed_by="square-for-relu2", reads=shipped.WEIGHTS)
def residual_dark_mlp() -> str:
    """Measure what the first MLP of the trained model writes at each token."""
    model, kept = shipped.whole()[0], []
    inputs = inside.read()[0][:4]
    hook = model.blocks[0].mlp.register_forward_hook(lambda *call: kept.append(bench.rms(call[2])))
    with torch.no_grad():
        model(inputs)
    hook.remove()
    check.above((kept[0] < 0.1).float().mean().item(), 0.95, "the share of tokens at which it writes next to nothing")
    check.above(kept[0][:, 0].min().item(), 100.0, "what it writes at the mark with which a row begins")
    return (
        "The first MLP of the trained model writes less than a tenth of the embedding's size at more than 95 of 100 "
        "tokens, and more than a hundred times that size at the mark with which a row begins."
    )


@claim("residual-young", about=("nanochat.gpt.Block", "nanochat.train.fit"), killed_by="stream-overwritten")
def residual_young() -> str:
    """Read the guesses of the young pupil off its stream after each stage, and leave its blocks out."""
    start, first, last = inside.losses(True)
    check.below(first, start - 0.1, "the first block makes the guess better")
    check.below(last, first - 0.03, "so does the second")
    for layer in (0, 1):
        check.below(inside.losses(True, (layer,))[-1] - last, 0.1, "leaving a block out costs little")
    return (
        f"Right after the embedding, the pupil's guesses have a loss of about {start:.1f}. The first block makes it "
        "smaller by more than 0.1, the second by more than 0.03 once more. Without either of the two, it rises by less "
        "than 0.1."
    )


@claim(
    "residual-stages",
    about=("nanochat.gpt.GPT.stream", "nanochat.gpt.Block.forward"),
    killed_by="mlp-first",
    reads=shipped.WEIGHTS,
)
def residual_stages() -> str:
    """Read the guesses of the trained model off its stream after each stage."""
    start, first, second, third, last = inside.losses(False)
    check.above(start, 6.0, "the loss right after the embedding")
    check.true(min(first, second) > start, "the first two blocks make the guess worse")
    check.true(5.0 < third < second, "the third helps a little")
    check.below(last, 0.8, "the last makes the guess")
    return (
        "Right after the embedding, the guesses of the trained model have a loss above 6. After each of the first two "
        "blocks it is higher still, after the third it is above 5, and after the fourth below 0.8."
    )


@claim("residual-leave-out", about="nanochat.gpt.Block.forward", killed_by="mlp-first", reads=shipped.WEIGHTS)
def residual_leave_out() -> str:
    """Leave out each block of the trained model in turn."""
    *stages, whole = inside.losses(False)
    check.below(whole, 0.8, "the loss of the whole model")
    for layer in range(len(stages)):
        check.above(inside.losses(False, (layer,))[-1], 1.5, f"the loss without block {layer + 1}")
    return (
        f"Leave out any one of the {len(stages)} blocks of the trained model, and its loss, which was below 0.8, is "
        "above 1.5."
    )


# ---- starting as nothing -------------------------------------------------------------------------------------


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
