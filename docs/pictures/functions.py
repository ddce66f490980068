"""The pictures of the page on functions."""

from __future__ import annotations

import math

import torch

from docs.pictures import Box, Picture, bars, flow, lines, number_line, stack, title
from nanochat.gpt import MLP, GPTConfig, rms_norm, soft_cap


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


def spread_of_coins() -> Picture:
    """Five numbers, their mean and their spread."""
    coins = torch.tensor([2.0, 4.0, 4.0, 6.0, 9.0])
    mean, spread = coins.mean().item(), coins.std(correction=0).item()
    points = {
        "2": 2.0,
        "4, 4": 4.0,
        "6": 6.0,
        "9": 9.0,
        "mean": round(mean, 2),
        "− spread": round(mean - spread, 2),
        "+ spread": round(mean + spread, 2),
    }
    inside = int(((coins - mean).abs() <= spread).sum())
    return number_line(points, 0, 10, note="coins").picture(
        alt="A line of numbers from 0 to 10 with the five values, their mean and one spread to each side of it.",
        caption=f"The mean is {mean:.0f}, the spread {spread:.2f}. {inside} of the {len(coins)} numbers lie within one "
        "spread of the mean.",
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
