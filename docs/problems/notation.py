"""Problems of the page on notation."""

from __future__ import annotations

from docs.problems import Problem


def read_aloud() -> Problem:
    """A formula with a sum, worked out."""
    x = [2, 3, 4]
    total = sum(i * value for i, value in enumerate(x, 1))
    return Problem(
        "The list $x$ is $2, 3, 4$. What is $\\frac{1}{2} \\sum_{i=1}^{3} i \\cdot x_i$?",
        total // 2,
        [
            "Aloud: one half, times the sum over i from one to three, of i times x i.",
            f"$1 \\cdot 2 + 2 \\cdot 3 + 3 \\cdot 4 = {total}$.",
            f"Half of it: ${total // 2}$.",
        ],
    )


def greek() -> Problem:
    """A Greek letter by its meaning."""
    letter = {"tau": "temperature", "eta": "learning rate", "sigma": "standard deviation"}
    name = next(name for name, meaning in letter.items() if meaning == "temperature")
    return Problem(
        "In $p = \\operatorname{softmax}(z / \\tau)$, one letter is the temperature. What is the name of that letter?",
        name,
        [
            "Aloud: p is softmax of z divided by ... . Here $z$ are scores and $p$ probabilities.",
            f"The letter that is left is {name}, and the table above says that it stands for the temperature.",
        ],
    )
