"""The pictures of the page on vectors and matrices."""

from __future__ import annotations

import math

import torch

from docs.pictures import (
    SMALL,
    TEXT,
    Box,
    Drawing,
    Picture,
    arrow,
    bars,
    colour,
    flow,
    grid,
    label,
    lines,
    path,
    rect,
    stack,
    title,
)
from docs.pictures.plane import Arrow, plane

APPLE = torch.tensor([8.0, 2.0, 3.0])
JUDGES = torch.tensor([[1.0, 0.0, -1.0], [0.0, 2.0, 1.0]])


def adding() -> Picture:
    """Two arrows and their sum."""
    first, second = torch.tensor([2.0, 1.0]), torch.tensor([1.0, 2.0])
    total, double = (first + second).tolist(), (2 * first).tolist()
    drawing = plane(
        {
            "[4, 2]": Arrow(tuple(double), "muted"),
            "[2, 1]": Arrow((2, 1), "accent", beside=True),
            "+ [1, 2]": Arrow(tuple(total), "amber", (2, 1), beside=True),
            "[3, 3]": Arrow(tuple(total), "violet"),
        },
        (-0.5, 5.5),
        (-0.5, 3.6),
    )
    return drawing.picture(
        alt="Squared paper. An arrow goes two right and one up, a second one from its tip one right and two up. A "
        "third arrow goes straight from the start to the end.",
        caption=f"Walk $[2, 1]$, then $[1, 2]$, and you arrive at $[{total[0]:.0f}, {total[1]:.0f}]$. The grey arrow "
        f"is twice $[2, 1]$: the same direction, {torch.tensor(double).norm() / first.norm():.0f} times as long.",
    )


def dot_by_angle() -> Picture:
    """The dot product of an arrow with one that turns."""
    steps = 36
    first = torch.tensor([2.0, 0.0])
    points = []
    for step in range(steps + 1):
        angle = math.pi * step / steps
        second = torch.tensor([math.cos(angle), math.sin(angle)])
        points.append((round(math.degrees(angle)), round((first @ second).item(), 6)))
    drawing = lines({"": points}, x="angle between the arrows, degrees", y="dot product", y_from=-2.2, y_to=2.2)
    return drawing.picture(
        alt="A curve that begins at two for an angle of zero, crosses zero at a right angle and ends at minus two for "
        "opposite directions.",
        caption=f"An arrow of length two and an arrow of length one. Same direction: {points[0][1]:.0f}. Right angle: "
        f"{abs(points[steps // 2][1]):.0f}. Opposite: −{-points[-1][1]:.0f}.",
    )


def judges() -> Picture:
    """A matrix as a panel of judges."""
    verdicts = (JUDGES @ APPLE).tolist()
    drawing = flow(
        [
            Box("the apple", "8, 2, 3", "amber"),
            [Box("judge one", "1, 0, −1", "accent"), Box("judge two", "0, 2, 1", "accent")],
            [Box(f"{verdicts[0]:.0f}", "8 − 3", "violet"), Box(f"{verdicts[1]:.0f}", "4 + 3", "violet")],
        ]
    )
    return drawing.picture(
        alt="A vector of three numbers goes to two judges. Each has a list of three numbers and gives one number.",
        caption="A matrix of two rows is a panel of two judges. The same apple gets the verdicts "
        f"{verdicts[0]:.0f} and {verdicts[1]:.0f}.",
    )


def row_meets_column() -> Picture:
    """One number of a product of matrices."""
    apples = torch.tensor([[8.0, 1.0], [2.0, 5.0], [3.0, 4.0]])
    product = JUDGES @ apples
    whole = "{:.0f}".format
    drawing = stack(
        title("left: row 2 is used"),
        grid([[None] * 3, JUDGES[1].tolist()], ["row 1", "row 2"], show=whole),
        title("right: column 1 is used"),
        grid([[row[0], None] for row in apples.tolist()], ["", "", ""], ["col 1", "col 2"], show=whole),
        title("result: row 2, column 1"),
        grid([[None, None], [product[1, 0].item(), None]], ["row 1", "row 2"], ["col 1", "col 2"], show=whole),
        gap=10,
    )
    return drawing.picture(
        alt="Three tables. In the left matrix the second row is filled, in the right matrix the first column, in the "
        "result the number where they cross.",
        caption="One number of the product needs one row and one column: "
        f"$0 \\cdot 8 + 2 \\cdot 2 + 1 \\cdot 3 = {product[1, 0]:.0f}$.",
    )


def every_pair() -> Picture:
    """All dot products of three queries and three keys."""
    queries = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    keys = torch.tensor([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
    names = (
        [f"query [{a:.0f}, {b:.0f}]" for a, b in queries.tolist()],
        [f"[{a:.0f}, {b:.0f}]" for a, b in keys.tolist()],
    )
    product = queries @ keys.T
    return grid(product.tolist(), *names, show="{:.0f}".format, note="a row: a query; a column: a key").picture(
        alt="A table of three rows and three columns. Each cell holds the dot product of the query of its row with the "
        "key of its column.",
        caption=f"Nine dot products at once. The last query meets the second key: $1 \\cdot 0 + 1 \\cdot 3 = "
        f"{product[2, 1]:.0f}$, and no pair fits better.",
    )


def block_of_numbers() -> Picture:
    """Two tables, one behind the other."""
    x = torch.arange(24.0).view(2, 3, 4)
    parts = []
    for number, row in enumerate(x, 1):
        parts += [title(f"row of text {number}")]
        names = [f"token {n}" for n in range(1, 4)], [f"channel {n}" for n in range(1, 5)]
        parts += [grid(row.tolist(), *names, show="{:.0f}".format, top=24.0)]
    return stack(*parts, gap=8).picture(
        alt="Two tables of three rows and four columns, numbered on from 0 to 23.",
        caption=f"A tensor of shape $(2, 3, 4)$: two rows of text, three tokens in each, four numbers for each token. "
        f"That makes {x.numel()} numbers, and the last one is {x[1, 2, 3]:.0f}, because Python counts from zero.",
    )


def two_apples() -> Picture:
    """Two apples, each as a list."""
    names = ("sweet", "sour", "hard")
    second = torch.tensor([3.0, 8.0, 9.0])
    drawing = stack(
        title("a sweet, soft apple: [8, 2, 3]"),
        bars(dict(zip(names, APPLE.tolist(), strict=True)), "{:.0f}".format, top=10.0),
        title("a sour, hard apple: [3, 8, 9]"),
        bars(dict(zip(names, second.tolist(), strict=True)), "{:.0f}".format, top=10.0, ink="amber"),
        gap=8,
    )
    return drawing.picture(
        alt="Two groups of three bars, named sweet, sour and hard. The first apple has a long bar for sweet, the "
        "second "
        "for sour and hard.",
        caption=f"Two apples as lists of {len(names)} numbers. They differ most in the second place, by "
        f"{(second - APPLE).abs().max():.0f}, and anyone who knows what the places mean can tell them apart.",
    )


def circled_plus() -> Picture:
    """The circled plus in a drawing of a block."""
    before, found = torch.tensor([2.0, -1.0, 0.5]), torch.tensor([0.0, 3.0, 0.5])
    after = before + found

    def words(x: torch.Tensor) -> str:
        return f"[{', '.join(f'{value:g}' for value in x.tolist())}]".replace("-", "−")

    shapes = [
        label(90, 12, words(before), TEXT, "accent", mono=True),
        path([(90, 24), (90, 150)], "muted"),
        path([(90, 46), (270, 46)], "muted"),
        arrow(270, 46, 270, 66),
        rect(205, 68, 130, 34, "amber"),
        label(270, 85, "a part"),
        path([(270, 102), (270, 162)], "muted"),
        arrow(270, 162, 104, 162),
        label(280, 140, words(found), TEXT, "amber", "start", mono=True),
        f'<circle cx="90" cy="162" r="13" style="fill:none;stroke:{colour("rose")};stroke-width:2"/>',
        label(90, 162, "+", TEXT + 3, "rose", bold=True),
        arrow(90, 176, 90, 204),
        label(90, 216, words(after), TEXT, "violet", mono=True),
    ]
    text = f"""{words(before)} ---+--------------+
                 |              v
                 |           a part
                 v              |
                (+) <-- {words(found)}
                 |
                 v
           {words(after)}"""
    return Drawing("".join(shapes), 228, text).picture(
        alt="A line runs downwards into a plus in a circle. A second line leaves it, passes through a box and comes "
        "back "
        "to the plus.",
        caption="The vector goes on, and a copy goes through a part of the model. The circled plus adds what the part "
        f"found, place by place: ${before[1]:g} + {found[1]:g} = {after[1]:g}$ in the second place.",
    )


def three_four_five() -> Picture:
    """An arrow whose length comes out even."""
    end = torch.tensor([4.0, 3.0])
    drawing = plane(
        {
            "4": Arrow((4, 0), "accent", beside=True),
            "3": Arrow((4, 3), "amber", (4, 0), beside=True),
            f"length {end.norm():.0f}": Arrow((4, 3), "violet"),
        },
        (-0.5, 6.5),
        (-0.8, 3.6),
    )
    return drawing.picture(
        alt="An arrow goes four steps to the right and three up. With the steps it forms a triangle with a right "
        "angle.",
        caption=f"The arrow $[4, 3]$. Its steps squared are $16$ and $9$, together ${(end @ end):.0f}$. The root of "
        f"that "
        f"is its length, ${end.norm():.0f}$.",
    )


def rows_and_columns() -> Picture:
    """A matrix with its rows and columns named."""
    drawing = grid(
        JUDGES.tolist(),
        ["row 1", "row 2"],
        ["col 1", "col 2", "col 3"],
        show="{:.0f}".format,
        note="shape: 2 rows by 3 columns",
    )
    return drawing.picture(
        alt="A table of two rows and three columns: 1, 0, −1 in the first row, 0, 2, 1 in the second.",
        caption=f"The matrix $W$ holds ${JUDGES.numel()}$ numbers. In row $1$ and column $3$ stands "
        f"${JUDGES[0, 2]:.0f}$, "
        "so $W_{13} = -1$.",
    )


def circle_becomes_ellipse() -> Picture:
    """What three matrices make of a circle of arrows."""
    matrices = {
        "identity": torch.eye(2),
        "stretch": torch.tensor([[3.0, 0.0], [0.0, 1.0]]),
        "quarter turn": torch.tensor([[0.0, 1.0], [-1.0, 0.0]]),
    }
    angles = torch.linspace(0, 2 * math.pi, 61)
    circle = torch.stack((angles.cos(), angles.sin()))
    unit, middles, shapes, text = 30.0, (45.0, 200.0, 355.0), [], []
    right, up = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    for across, (name, matrix) in zip(middles, matrices.items(), strict=True):
        moved_points = (matrix @ circle).T.tolist()
        shapes.append(path([(across + unit * x, 60 - unit * y) for x, y in moved_points], "muted", 1.5))
        for one, ink in ((right, "accent"), (up, "amber")):
            x, y = (matrix @ one).tolist()
            shapes.append(arrow(across, 60, across + unit * x, 60 - unit * y, ink))
        shapes.append(label(across, 116, name, SMALL, bold=True))
        first, second = ((matrix @ one).int().tolist() for one in (right, up))
        text.append(f"{name}: [1, 0] becomes {first}, [0, 1] becomes {second}")
    stretched = (matrices["stretch"] @ right).norm()
    return Drawing("".join(shapes), 126, "\n".join(text)).picture(
        alt="Three pictures of a circle with two arrows in it. In the second the circle has become a wide ellipse, in "
        "the third both arrows are turned by a quarter.",
        caption="A circle of arrows after three matrices, with the arrow that pointed right and the one that pointed "
        "up. "
        f"The second matrix makes the first of them {stretched:.0f} times as long. The third keeps every length.",
    )
