"""Pictures of the chapter on positions, each drawn from what the package computes."""

from __future__ import annotations

import math

from docs.pictures import SMALL, Drawing, Picture, arrow, bench, colour, grid, label, lines, shipped
from nanochat import gpt


def clocks() -> Picture:
    """Four pairs of a head as the hands of clocks, at some positions."""
    cos, sin = gpt.rotary_tables(512, 64)
    places, pairs = (0, 1, 2, 4, 8, 32), (0, 6, 12, 31)
    shapes, rows = [], []
    for column, place in enumerate(places):
        shapes.append(label(102 + 54 * column, 10, f"{place}", SMALL, mono=True))
    shapes.append(label(2, 10, "position", SMALL, "muted", "start"))
    for line, pair in enumerate(pairs):
        y = 46 + 56 * line
        shapes.append(label(2, y, f"pair {pair + 1}", SMALL, "ink", "start"))
        angles = []
        for column, place in enumerate(places):
            x = 102 + 54 * column
            c, s = cos[place, pair].item(), sin[place, pair].item()
            shapes.append(
                f'<circle cx="{x}" cy="{y}" r="22" style="fill:{colour("accent")};fill-opacity:0.07;'
                f'stroke:{colour("line")}"/>'
            )
            # Twelve o'clock at position 0, and clockwise from there, as the code turns.
            shapes.append(arrow(x, y, x + 20 * s, y - 20 * c, "accent"))
            angles.append(f"{math.degrees(math.atan2(s, c)) % 360:5.0f}")
        rows.append(f"pair {pair + 1:>2}  " + " ".join(angles))
    head = "position " + " ".join(f"{place:5}" for place in places)
    text = "\n".join([head, *rows, "(angles in degrees, clockwise)"])
    slow, end = (math.degrees(math.atan2(sin[place, 31].item(), cos[place, 31].item())) for place in (32, 511))
    return Drawing("".join(shapes), 46 + 56 * 4 - 28, text).picture(
        alt="A table of clock hands: four pairs of channels at six positions. The hand of the first pair whirls round, "
        "those of later pairs turn ever more slowly, that of the last hardly moves.",
        caption="Four of the 32 pairs of a head with 64 channels, drawn as hands of clocks. The first pair is a second "
        f"hand. The last one has turned by {slow:.2f} degrees after 32 tokens, and by {end:.1f} at the end of 512.",
    )


def same_distance() -> Picture:
    """The score of one query and one key at every pair of places."""
    places = range(7)
    values = [[bench.rotated_dot(m, n) / 8 if n <= m else None for n in places] for m in places]
    names = [str(place) for place in places]
    drawn = grid(
        values, [f"at {place}" for place in places], names, note="rows: place of the query, columns: of the key"
    )
    return drawn.picture(
        alt="A triangle of scores. Along each line from the upper left to the lower right, all numbers are the same.",
        caption="One query and one key, turned to every pair of places. Follow a slanting line from the upper left to "
        f"the lower right: at a distance of 1 the score is {values[1][0]:.2f} everywhere, at a distance of 4 "
        f"{values[4][0]:.2f}.".replace("-", "−"),
    )


def speeds() -> Picture:
    """The cosine of the angle between two hands, by distance, for a fast, a slower and a slow pair."""
    cos, _ = gpt.rotary_tables(65, 64)
    pairs = (0, 6, 12)
    series = {f"pair {pair + 1}": list(enumerate(cos[:, pair].tolist())) for pair in pairs}
    drawing = lines(series, x="distance in tokens", y="cosine of the angle between two hands", y_from=-1, y_to=1)
    far = f"{cos[2, 0]:.2f}".replace("-", "−")
    return drawing.picture(
        alt="Three waves over a distance of 64 tokens. The first goes up and down ten times, the second nearly twice, "
        "the third falls and does not come back.",
        caption="What three pairs of one head feel, by distance. The fast one tells a distance of 1 from one of 2 "
        f"clearly ({cos[1, 0]:.2f} against {far}), but takes 6 for 0 ({cos[6, 0]:.2f}). The slow one hardly "
        f"sees a difference there ({cos[6, 12]:.2f}), and tells near from far.",
    )


def fades() -> Picture:
    """All pairs together: what is left of a perfect score at a distance."""
    share = bench.perfect_fit(512)
    series = {"all 32 pairs": list(enumerate(share))}
    drawing = lines(series, x="distance in tokens", y="share of the full score", y_from=0, y_to=1)
    return drawing.picture(
        alt="A jagged curve that falls steeply at first and then goes up and down, over a distance of 511 tokens.",
        caption="A key that equals its query in all 32 pairs of a head, at ever larger distances. At the "
        f"same place it has its full score, at 10 tokens {share[10]:.2f} of it, at 511 still {share[511]:.2f}.",
    )


def beyond() -> Picture:
    """The loss of a trained model at places that it has never seen."""
    losses, context, bin_size = shipped.loss_by_place(), shipped.whole()[0].config.sequence_len, 32
    points = [
        (start + bin_size / 2, sum(losses[start : start + bin_size]) / bin_size)
        for start in range(0, len(losses), bin_size)
    ]
    known = [point for point in points if point[0] < context]
    new = [point for point in points if point[0] >= context]
    series = {"places of its training": known, "places beyond": [known[-1], *new]}
    mean = [sum(y for _, y in part) / len(part) for part in (known, new)]
    return lines(series, x="place in the row", y="nats a token", marks=True, y_from=0).picture(
        alt=f"A curve of the loss by place. It stays low up to place {context} and climbs from there to the end.",
        caption=f"The model was trained on rows of {context} tokens and reads rows of {len(losses):,}. Up to "
        f"place {context} its mean loss is {mean[0]:.1f}, beyond it {mean[1]:.1f}. The stories are alike all along.",
    )
