"""What the chapter on the MLP says about the code."""

from __future__ import annotations

import torch

from docs._ext.claims import check, claim
from docs.pictures import bench, inside, shipped

# ---- a detector ----------------------------------------------------------------------------------------------


@claim("mlp-alone", about="nanochat.gpt.MLP.forward", killed_by="mlp-mixes-positions")
def mlp_alone() -> str:
    """Change the vectors of all tokens but one."""
    mlp, x = bench.lively().blocks[0].mlp, bench.vectors(1, 8, 64)
    others = bench.vectors(1, 8, 64, seed=1)
    others[0, 5] = x[0, 5]
    with torch.no_grad():
        check.close(mlp(others)[0, 5], mlp(x)[0, 5], "what the MLP adds to the sixth token", abs=1e-6)
        check.true((mlp(others)[0, 4] - mlp(x)[0, 4]).abs().max() > 0.1, "to another token it adds something else")
    return (
        "Change the vectors of 7 tokens out of 8: what an MLP adds to the one left alone moves by less than 0.000001."
    )


@claim("mlp-places-light", about="nanochat.gpt.MLP.forward", killed_by="square-for-relu2", reads=shipped.WEIGHTS)
def mlp_places_light() -> str:
    """Find a detector by what it says, and see where it burns."""
    found = inside.detector("places", 6)
    said, wanted = {inside.word(token).strip() for token in found.says}, set(shipped.GROUPS["places"])
    check(said, wanted, "the tokens that its answer raises most")
    check.above(found.due, 300, "its brightness where one of them comes next")
    check.below(found.elsewhere, 4, "its brightness elsewhere")
    check.above(found.share, 0.45, "the share of its light where one of them comes next")
    return (
        "Where the next word is one of the six, it burns with more than 300 on average, and with less than 4 "
        f"elsewhere. Such places are {1000 * found.common:.0f} of 1,000, and they get about half of all "
        "its light."
    )


@claim("mlp-two-thes", about="nanochat.gpt.GPT.stream", killed_by="no-norm", reads=shipped.WEIGHTS)
def mlp_two_thes() -> str:
    """Read the piece of the picture and look at the lamp at both places of the same word."""
    tokens, burns = inside.piece()
    words = [inside.word(token) for token in tokens]
    pony, garden = (place for place, word in enumerate(words) if word == " the")
    check("".join(words[pony - 2 : pony + 2]), " and Poppy the pony", "the piece around the first of the two")
    check("".join(words[garden - 2 : garden + 2]), " boat in the garden", "the piece around the second")
    check.below(burns[pony], 10, "where a pony comes next")
    check.above(burns[garden], 100, "where a garden comes next")
    return (
        "At *and Poppy the*, where a pony is due, the lamp burns with less than 10; at *boat in the* it burns with "
        "more than 100."
    )


@claim("mlp-other-lamps", about="nanochat.gpt.MLP.forward", killed_by="square-for-relu2", reads=shipped.WEIGHTS)
def mlp_other_lamps() -> str:
    """Do the same for two other groups of words."""
    besides: dict[str, set[str]] = {}
    for group in ("colours", "animals"):
        found = inside.detector(group)
        said = {inside.word(token).strip() for token in found.says}
        check.true(set(shipped.GROUPS[group]) <= said, f"all six {group} are among the eight that it raises most")
        besides[group] = said - set(shipped.GROUPS[group])
        check.above(found.share, 0.5, f"the share of its light before {group}")
    one, other = sorted(besides["colours"])
    return (
        f"One other lamp of this block speaks for colours (and for *{one}* and *{other}*) and one for animals, and "
        "each gives more than half of its light to places where such a colour or animal comes next."
    )


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


@claim("mlp-trained-silent", about="nanochat.gpt.MLP.forward", killed_by="square-for-relu2", reads=shipped.WEIGHTS)
def mlp_trained_silent() -> str:
    """Count the zeros inside the trained model."""
    first, second, _, last = inside.dark()
    check.above(min(first, second), 0.95, "the share of lamps that are dark in the first two blocks")
    check.above(last, 0.6, "the share of lamps that are dark in the last block")
    return (
        "While the trained model reads stories, more than 95 of 100 lamps of its first two blocks are dark at a token, "
        "and more than 60 of 100 in its last block."
    )


@claim("mlp-brightest-tenth", about="nanochat.gpt.MLP.forward", killed_by="relu-for-relu2")
def mlp_brightest_tenth() -> str:
    """Share out the light of a fresh MLP, as it is and with the square undone."""
    squared, plain = inside.brightest_tenth()
    check.true(squared > plain, "the square gives more to the bright ones")
    return (
        f"In a fresh MLP the brightest tenth of the detectors gives {100 * squared:.0f} of 100 parts of all light; "
        f"without the square it would be {100 * plain:.0f}."
    )
