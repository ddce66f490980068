"""What the chapter on positions says about the code, and the mutants that must make it false."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager

import torch

from docs._ext.claims import check, claim, mutant
from docs._ext.mutation import edited, swapped
from docs.pictures import bench, shipped
from nanochat import gpt
from nanochat.common import InputError


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


@mutant("neighbours-paired", "two channels that stand side by side form a pair")
def neighbours_paired() -> AbstractContextManager[object]:
    return edited(
        "nanochat.gpt.apply_rotary",
        *("a, b = x.chunk(2, dim=-1)", "a, b = x[..., ::2], x[..., 1::2]"),
        *("return torch.cat((a * cos", "return torch.stack((a * cos"),
        *("b * cos - a * sin), dim=-1)", "b * cos - a * sin), dim=-1).flatten(-2)"),
    )


@mutant("values-rotated", "values are turned to their position as queries and keys are")
def values_rotated() -> AbstractContextManager[object]:
    return edited(
        "nanochat.gpt.CausalSelfAttention.project", "return q, k, v", "return q, k, apply_rotary(v, cos, sin)"
    )


@mutant("length-unchecked", "a row that is longer than the context is cut without a word")
def length_unchecked() -> AbstractContextManager[object]:
    return edited(
        "nanochat.gpt.GPT.stream",
        *("end = start + tokens.size(1)", "tokens = tokens[:, : len(self.cos)]; end = start + tokens.size(1)"),
    )


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
    short, long = (sum(w.numel() for w in bench.sized(4, sequence_len=length).parameters()) for length in (512, 2048))
    check(long, short, "a longer context has the same parameters")
    return f"A model of depth 4 has {short:,} parameters with a context of 512 tokens, and as many with one of 2,048."


@claim("position-mask-hints", about="nanochat.gpt.attend", killed_by=("attend-sees-all", "attention-silent"))
def position_mask_hints() -> str:
    """Without rotation, swap two early tokens and look at the last guess."""
    moved, one, other = {}, torch.tensor([[5, 9, 7, 3]]), torch.tensor([[7, 9, 5, 3]])
    for depth in (1, 2):
        model = bench.lively(depth)
        with torch.no_grad(), swapped("nanochat.gpt.apply_rotary", lambda x, cos, sin: x):
            moved[depth] = (model(one)[0, -1] - model(other)[0, -1]).abs().max().item()
    check.below(moved[1], 1e-5, "with one layer, the last guess does not move")
    check.above(moved[2], 0.1, "with two, it does")
    return (
        "Without any sign of position, swap the first and the third token of four: in a model of 1 layer the guess "
        "at the last place stays, in one of 2 layers it moves."
    )


@claim("position-halves", about="nanochat.gpt.apply_rotary", killed_by="neighbours-paired")
def position_halves() -> str:
    """Turn a vector with a single one and see where it went."""
    x = torch.zeros(1, 2, 1, 64)
    x[..., 0] = 1.0
    touched = gpt.apply_rotary(x, *gpt.rotary_tables(2, 64))[0, 1, 0].nonzero()[:, 0].tolist()
    return f"In a head of 64 channels, the partner of channel {touched[0]} is channel {touched[1]}."


@claim(
    "position-values-stay",
    about="nanochat.gpt.CausalSelfAttention.project",
    killed_by=("values-rotated", "no-rotation"),
)
def position_values_stay() -> str:
    """Project the same vectors at two places."""
    attention, x = bench.lively().blocks[0].attention, bench.vectors(1, 5, 64)
    cos, sin = gpt.rotary_tables(200, 16)
    with torch.no_grad():
        early, late = (attention.project(x, cos[at : at + 5], sin[at : at + 5]) for at in (0, 100))
    for name, one, other in zip(("queries", "keys"), early, late, strict=False):
        check.above((one - other).norm(dim=-1).min().item(), 0.5, f"{name} have been turned on, every one of them")
    check(late[2], early[2], "values are the same at both places")
    return "Move a row on by 100 positions: all queries and keys are others, and the values are the same, bit for bit."


@claim("position-circles", about="nanochat.gpt.rotary_tables", killed_by="rotation-at-one-speed")
def position_circles() -> str:
    """How far each pair of a head turns over a whole context."""
    cos, sin = gpt.rotary_tables(2, 64)
    turned = 512 * torch.atan2(sin[1].double(), cos[1].double())
    full, hardly = int((turned >= 2 * math.pi).sum()), int((turned < math.pi / 2).sum())
    return (
        f"Over 512 tokens, {full} of the {len(turned)} pairs of a head of 64 channels come full circle at least once, "
        f"and {hardly} turn by less than a quarter of a circle."
    )


@claim("position-fades", about="nanochat.gpt.apply_rotary", killed_by="rotation-at-one-speed")
def position_fades() -> str:
    """The score of a key that equals its query, at several distances."""
    share = bench.perfect_fit(512)
    return (
        f"In a head of 64 channels it has {share[1]:.2f} of its full score left at a distance of 1, {share[5]:.2f} at "
        f"5, {share[64]:.2f} at 64 and {share[511]:.2f} at 511."
    )


@claim("position-refused", about="nanochat.gpt.GPT.stream", killed_by="length-unchecked")
def position_refused() -> str:
    """Give a model one token more than it has positions for."""
    model = bench.lively()
    length = model.config.sequence_len
    said = check.raises(InputError, lambda: model(torch.zeros(1, length + 1, dtype=torch.long)), "a row too long")
    check.true(f"{length} tokens" in said, "the message names the limit")
    return f"Give a model with a context of {length} tokens a row of {length + 1}, and it refuses."


@claim(
    "position-lost",
    about=("nanochat.gpt.apply_rotary", "nanochat.gpt.rotary_tables"),
    killed_by=("rotation-reversed", "no-rotation", "angles-squared"),
    reads=shipped.WEIGHTS,
)
def position_lost() -> str:
    """Read rows four times as long as those of the training, and the end of them once more from a fresh start."""
    losses, context = shipped.loss_by_place(), shipped.whole()[0].config.sequence_len
    quarters = [sum(losses[k : k + context]) / context for k in range(0, len(losses), context)]
    check.below(quarters[0], 0.8, "the loss at places that it was trained on")
    check.above(quarters[-1], 3.0, "the loss far beyond")
    inputs, targets = (tokens[:, -context:] for tokens in shipped.rows(3, 4 * context))
    check.below(shipped.mean_loss(shipped.whole()[0], inputs, targets), 1.5, "the same words at the start of a row")
    return (
        f"At the first {context} places its loss is below 0.8 nats, at the last {context} above 3. Cut the end off and "
        "let it begin a row of its own, and the loss on it falls below 1.5."
    )


@claim("position-other-base", about="nanochat.gpt.rotary_tables", killed_by="base-ignored", reads=shipped.WEIGHTS)
def position_other_base() -> str:
    """Turn the clocks of a trained model at other speeds."""
    inputs, targets = shipped.rows(3, 256)
    usual, other = (shipped.mean_loss(shipped.longer(256, base), inputs, targets) for base in (None, 1e6))
    check.below(usual, 0.8, "the loss with the base of the training")
    check.above(other, 1.5, "the loss with another one")
    return (
        "Give the trained model a base of 1,000,000, with all its weights as they were, and its loss rises from below "
        "0.8 to above 1.5."
    )


@mutant("base-ignored", "the base of the rotation is always ten thousand")
def base_ignored() -> AbstractContextManager[object]:
    return edited("nanochat.gpt.rotary_tables", "theta ** (-torch", "10000.0 ** (-torch")
