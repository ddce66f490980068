"""The pictures of the page on functions."""

from __future__ import annotations

import math

import torch

from docs.pictures import SMALL, Box, Drawing, Picture, bars, flow, grid, label, lines, path, rect, stack, title
from nanochat.gpt import MLP, GPTConfig, attention_weights, causal_mask, rms_norm, soft_cap


def machine() -> Picture:
    """The function 2x + 1 as a machine."""

    def f(x: int) -> int:
        return 2 * x + 1

    ins = (3, 0, -2)
    drawing = flow(
        [
            [Box(f"{x}".replace("-", "−"), "goes in", "amber") for x in ins],
            Box("the machine f", "times two, plus one", "accent"),
            [Box(f"{f(x)}".replace("-", "−"), "comes out", "violet") for x in ins],
        ]
    )
    return drawing.picture(
        alt="Three numbers go into one machine, which doubles a number and adds one, and three numbers come out.",
        caption=f"The function $f(x) = 2x + 1$. For $3$ it gives ${f(3)}$, every time; for $-2$ it gives ${f(-2)}$.",
    )


def exponential() -> Picture:
    """The exponential function."""
    points = [(x / 10, math.exp(x / 10)) for x in range(-30, 21)]
    drawing = lines({"exp(x)": points}, x="x", y_from=0)
    return drawing.picture(
        alt="A curve that lies just above zero on the left, passes one at zero and climbs steeply on the right.",
        caption=f"The exponential function. At $x = 0$ it is {math.exp(0):.0f}, at $x = 2$ it is {math.exp(2):.1f}, "
        f"at $x = -3$ it is {math.exp(-3):.2f}: small, but above zero.",
    )


def softmax_stretch() -> Picture:
    """The shares of the same three scores, shrunk, as they are, and stretched."""
    scores = torch.tensor([2.0, 1.0, 0.0])
    parts, top = [], []
    for factor, words in ((0.1, "scores 0.2, 0.1, 0"), (1.0, "scores 2, 1, 0"), (10.0, "scores 20, 10, 0")):
        shares = (factor * scores).softmax(dim=0)
        top.append(shares[0].item())
        parts += [title(words), bars(dict(zip(("first", "second", "third"), shares.tolist(), strict=True)), top=1.0)]
    return stack(*parts, gap=8).picture(
        alt="Three groups of three bars. With small scores all shares are nearly equal, with large ones the first "
        "takes nearly everything.",
        caption=f"Stretching the scores by ten moves the first share from {top[1]:.2f} to {top[2]:.5f}. Shrinking them "
        f"by ten leaves it {top[0]:.2f}, hardly more than a third.",
    )


def relu_and_square() -> Picture:
    """ReLU, and what the MLP of the model does with it."""
    x = torch.arange(-20, 21) / 10
    config = GPTConfig(n_embd=8, n_head=1, n_kv_head=1, n_layer=1)
    mlp = MLP(config)
    with torch.no_grad():  # the bare bend: matrices that only pass the first channel on
        mlp.up.weight.zero_()[0, 0] = 1.0
        mlp.down.weight.zero_()[0, 0] = 1.0
        inputs = torch.zeros(len(x), config.n_embd)
        inputs[:, 0] = x
        squared = mlp(inputs)[:, 0]
    drawing = lines(
        {
            "ReLU": list(zip(x.tolist(), x.relu().tolist(), strict=True)),
            "ReLU squared": list(zip(x.tolist(), squared.tolist(), strict=True)),
        },
        x="x",
    )
    return drawing.picture(
        alt="Two curves that are zero on the left. On the right one is a straight line and the other bends upwards.",
        caption="The second curve was measured in the model's own MLP. Both are zero up to $x = 0$. At "
        f"$x = 2$ they are {x.relu()[-1]:.0f} and {squared[-1]:.0f}.",
    )


def soft_cap_curve() -> Picture:
    """The soft cap of the logits."""
    z = torch.linspace(-40, 40, 81)
    bent = soft_cap(z, GPTConfig().softcap)
    drawing = lines(
        {
            "bent": list(zip(z.tolist(), bent.tolist(), strict=True)),
            "not bent": [(v, v) for v in z.tolist() if abs(v) <= 20],
        },
        x="what goes in",
        y="what comes out",
    )
    ten = soft_cap(torch.tensor([1.0, 10.0]), GPTConfig().softcap)
    return drawing.picture(
        alt="An S-shaped curve. Near zero it follows the straight line, far out it becomes flat at plus and minus 15.",
        caption=f"The soft cap of the model. $1$ becomes {ten[0]:.3f}, $10$ becomes {ten[1]:.2f}, and $40$ becomes "
        f"{bent[-1]:.2f}: nothing gets past {GPTConfig().softcap:.0f}.",
    )


def rms_before_after() -> Picture:
    """A vector before and after normalisation."""
    x = torch.tensor([1.0, 7.0, 3.0, 5.0])
    after = rms_norm(x)
    names = [f"channel {n}" for n in range(1, 5)]
    drawing = stack(
        title("before"),
        bars(dict(zip(names, x.tolist(), strict=True))),
        title("after"),
        bars(dict(zip(names, after.tolist(), strict=True)), top=7.0, ink="amber"),
        gap=8,
    )
    return drawing.picture(
        alt="Two groups of four bars with the same proportions; the second are about a fifth as long.",
        caption=f"Before, the root mean square is {x.square().mean().sqrt():.2f}; after, it is "
        f"{after.square().mean().sqrt():.2f}. The proportions stay: the second number is "
        f"{after[1] / after[0]:.0f} times the first in both.",
    )


def two_curves() -> Picture:
    """A straight line and a bent curve."""
    places = [k / 10 for k in range(-20, 21)]
    line = [(x, 2 * x + 1) for x in places]
    bent = [(x, x * x) for x in places]
    return lines({"2x + 1": line, "x squared": bent}, x="what goes in", y="what comes out").picture(
        alt="A straight line that rises from left to right, and a curve like a bowl whose bottom is at zero.",
        caption=f"Two functions. At $x = 2$ the straight line is {line[-1][1]:.0f} high and the curve "
        f"{bent[-1][1]:.0f}. "
        f"At $x = -2$ they are at ${line[0][1]:.0f}$ and ${bent[0][1]:.0f}$.",
    )


def bends_make_a_bump() -> Picture:
    """Three ReLUs, added, make a bump."""
    x = torch.arange(-20, 61) / 20
    bump = x.relu() - 2 * (x - 1).relu() + (x - 2).relu()
    straight = 0.5 * (0.6 * x + 0.4) - 0.3
    drawing = lines(
        {
            "three bends, added": list(zip(x.tolist(), bump.tolist(), strict=True)),
            "a chain of two lines": list(zip(x.tolist(), straight.tolist(), strict=True)),
        },
        x="x",
    )
    return drawing.picture(
        alt="A straight line, and a line that is level, rises to a peak, falls and is level again.",
        caption="Two straight lines in a chain are one straight line. Three bends, added, can make a bump: here it is "
        f"${bump.max():.0f}$ high at $x = {x[bump.argmax()]:.0f}$ and ${bump[-1]:.0f}$ far to the left and to the "
        f"right.",
    )


def masked_scores() -> Picture:
    """Equal scores, the mask, and the shares that are left."""
    T = 4
    visible = causal_mask(T, T)
    shares = attention_weights(torch.zeros(1, T, 1, 4), torch.zeros(1, T, 1, 4))[0, 0]
    names = [f"token {n}" for n in range(1, T + 1)]
    seen = [
        [value if see else None for value, see in zip(row, sees, strict=True)]
        for row, sees in zip(shares.tolist(), visible.tolist(), strict=True)
    ]
    drawing = grid(
        seen, names, [f"{n}" for n in range(1, T + 1)], note="a row: a token that reads; crossed out: minus infinity"
    )
    return drawing.picture(
        alt="A table of four rows and columns. The upper right half is crossed out; each row of the rest holds equal "
        "shares.",
        caption="Equal scores behind the mask of the model. Each token shares its attention among those that it may "
        f"read: the first has one choice and a share of {shares[0, 0]:.0f}, the last {T} choices of "
        f"{shares[3, 0]:.2f}.",
    )


def largest() -> Picture:
    """Three numbers, the largest marked."""
    row = [3.0, 9.0, 4.0]
    best = row.index(max(row))
    values = {f"place {place}": value for place, value in enumerate(row)}
    drawing = bars(values, "{:.0f}".format, ink={f"place {best}": "rose"})
    return drawing.picture(
        alt="Three bars for the numbers 3, 9 and 4. The second one is marked.",
        caption=f"The maximum is how long the longest bar is, ${max(row):.0f}$. The argmax is which bar it is: place "
        f"${best}$, as Python counts.",
    )


def valve() -> Picture:
    """Five numbers before and after ReLU."""
    x = torch.tensor([-2.0, -0.5, 1.0, -1.5, 3.0])
    after = x.relu()
    shapes, text, unit = [], [], 17.0
    for column, (name, row) in enumerate((("before", x), ("after ReLU", after))):
        left = 10 + 205 * column
        shapes.append(label(left + 88, 10, name, bold=True))
        shapes.append(path([(left, 84), (left + 176, 84)], "muted", 1.5))
        for place, value in enumerate(row.tolist()):
            top = 84 - unit * max(value, 0)
            ink = "accent" if value > 0 else "rose"
            across = left + 6 + 34 * place
            shapes.append(rect(across, top, 26, max(unit * abs(value), 1), ink, 0.5, 2, edge=False))
            shapes.append(label(across + 13, 134, f"{value:g}".replace("-", "−"), SMALL, mono=True))
        text.append(f"{name:<10} " + "  ".join(f"{value:>4g}" for value in row.tolist()))
    return Drawing("".join(shapes), 146, "\n".join(text)).picture(
        alt="Five bars above and below a line. After ReLU only the two above the line are left.",
        caption=f"{int((x < 0).sum())} of {len(x)} numbers are negative and become zero. The other "
        f"{int((x > 0).sum())} pass unchanged.",
    )


def usual_size() -> Picture:
    """Four numbers, their mean and their root mean square."""
    x = torch.tensor([-5.0, 5.0, 1.0, -7.0])
    mean, usual = x.mean().item(), x.square().mean().sqrt().item()
    squares = dict(zip(("−5", "5", "1", "−7"), x.square().tolist(), strict=True))
    drawing = stack(
        title("the squares: no signs are left"),
        bars(squares, "{:.0f}".format),
        title(f"mean of the squares {x.square().mean():.0f}, its root {usual:.0f}"),
        gap=8,
    )
    return drawing.picture(
        alt="Four bars for the squares of −5, 5, 1 and −7: 25, 25, 1 and 49.",
        caption=f"The plain mean of the four numbers is ${mean:g}$ and says nothing about their size. The root mean "
        f"square "
        f"is ${usual:.0f}$.",
    )
