"""The pictures of the chapter on the MLP, each drawn from what the package computes."""

from __future__ import annotations

import torch

from docs.pictures import Box, Picture, bars, flow, inside, lines, stack, title, token_strip
from nanochat.figures import show_piece
from nanochat.gpt import GPT, GPTConfig


def mlp() -> Picture:
    """The way through an MLP."""
    part = GPT(GPTConfig.from_depth(4, vocab_size=64, sequence_len=8)).blocks[0].mlp
    wide, narrow = part.up.weight.shape
    way = flow(
        [
            Box("what the token knows", f"{narrow} numbers"),
            Box("how well it fits each question", f"{wide:,} numbers", "amber"),
            Box("how bright each lamp burns", f"{wide:,} numbers", "amber"),
            Box("what is added", f"{narrow} numbers", "green"),
        ],
        ["up: a question a row", "the bend: 0, or squared", "down: an answer a column"],
    )
    return way.picture(
        alt="Four boxes from top to bottom: what the token knows, how well it fits each question, how bright each lamp "
        "burns, what is added. The two in the middle are four times as wide.",
        caption=f"The way through an MLP of a model of depth 4. The vector of {narrow} numbers is held against "
        f"{wide:,} questions; the lamps that burn add their answers up to {narrow} numbers again.",
    )


def lamps() -> Picture:
    """The detector whose answer is most about places: where it burns, and what it says."""
    found = inside.detector("places")
    ids, burns = inside.piece()
    tokens, few = [inside.word(token) for token in ids], len(ids)
    said = {show_piece(inside.word(t)): push for t, push in zip(found.says, found.pushes, strict=True)}
    drawn = stack(
        title("where it burns"),
        token_strip(tokens, marks=[f"{light:.0f}" if light >= 0.5 else "" for light in burns]),
        title("what it says: its push for each token"),
        bars(said, ink="green"),
        gap=8,
    )
    most = max(range(few - 1), key=burns.__getitem__)
    return drawn.picture(
        alt="A piece of a story, token by token, with a number above those at which the lamp burns, by far the "
        "largest just before a place. Below, the tokens that its answer makes likelier: forest, hill, garden, park, "
        "meadow, river, and then, far behind, others.",
        caption=f"Detector number {found.channel} of the last block, on {few} tokens of new stories. No number means "
        f"dark or "
        f"nearly. It burns brightest, at {burns[most]:.0f}, at “{tokens[most].strip()}”, and the next word is "
        f"“{tokens[most + 1].strip()}”. Below are the {len(said)} tokens that its answer raises most. A dot is the "
        f"blank before "
        "a word.",
    )


def bend() -> Picture:
    """The squared ReLU beside the ReLU, as the code computes it."""
    part = GPT(GPTConfig.from_depth(1, vocab_size=64, sequence_len=8)).blocks[0].mlp
    with torch.no_grad():
        part.up.weight.zero_()[0, 0] = 1.0
        part.down.weight.zero_()[0, 0] = 1.0
        x = torch.zeros(41, part.up.in_features)
        x[:, 0] = torch.linspace(-2, 2, 41)
        y = part(x)[:, 0]
    points = list(zip(x[:, 0].tolist(), y.tolist(), strict=True))
    relu = [(a, max(a, 0.0)) for a, _ in points]
    at = {round(a, 1): b for a, b in points}
    return lines(
        {"squared ReLU": points, "ReLU": relu}, x="how well the question fits", y="how bright it burns"
    ).picture(
        alt="Two curves, both zero on the left. On the right the ReLU is a straight ramp; the squared ReLU starts "
        "flat, meets the ramp at one and then leaves it behind.",
        caption=f"The bend, as the code computes it. Whatever is negative becomes {at[-1.0]:.0f}. A weak fit of 0.5 "
        f"becomes {at[0.5]:.2f}, a strong one of 2 becomes {at[2.0]:.0f}. They were 4 times apart, and now "
        f"{at[2.0] / at[0.5]:.0f} times.",
    )
