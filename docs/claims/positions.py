"""What the chapter on positions says about the code, and the mutants that must make it false."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager

import torch

from docs._ext.claims import check, claim, mutant
from docs._ext.mutation import edited
from docs.pictures import bench
from nanochat import gpt


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
