"""Practice problems of the chapters on tools and on the journey of a token; the answers are computed."""

from __future__ import annotations

from docs.pictures import tools
from docs.problems import Problem
from nanochat.calculator import CalculatorError, calculate
from nanochat.engine import TextStream


def forced_tokens() -> Problem:
    """The tokens that the engine writes for a result of five digits."""
    expression = "125*125"
    result = calculate(expression)
    call = ["<|python_start|>", expression, "<|python_end|>", "<|assistant_end|>"]
    steps, _ = tools.parroted(call, forced=len(result) + 2)
    answer = sum(step.forced[0] for step in steps)
    return Problem(
        f"Each digit is one token. The model asks for `{expression}`. How many tokens does the engine force?",
        answer,
        (
            f"The result is {result}, which is {len(result)} tokens.",
            f"The marks before and behind it are two more: ${len(result)} + 2 = {answer}$.",
        ),
        unit="tokens",
    )


def allowed() -> Problem:
    """Find the one expression that is not refused."""
    choices = {"A": "2**10", "B": "pi*2", "C": "(7-9)//2", "D": "max(3,4)"}
    passed = []
    for letter, expression in choices.items():
        try:
            calculate(expression)
        except CalculatorError:
            continue
        passed.append(letter)
    (answer,) = passed
    listed = ", ".join(f"{letter}: `{expression}`" for letter, expression in choices.items())
    return Problem(
        f"Which of these does the calculator compute? {listed}.",
        answer,
        (
            "`**` is not on the list of signs, and neither are names such as `pi` and `max`.",
            f"`{choices[answer]}` has numbers, brackets, a minus and `//`, all of them on the list: it is "
            f"{calculate(choices[answer])}.",
        ),
    )


def rounded_down() -> Problem:
    """A division that is rounded down, below zero."""
    answer = int(calculate("-7//2"))
    return Problem(
        "What does the calculator make of `-7//2`? (Rounded down means towards the smaller number.)",
        answer,
        ("$-7 \\div 2 = -3.5$.", f"The next whole number below is ${answer}$."),
    )


def first_letter() -> Problem:
    """One of the ways to begin, in a share of many answers."""
    share = tools.OPENINGS.count("It is ") / len(tools.OPENINGS)
    answer = round(100 * share)
    return Problem(
        f"The teacher began {tools.OPENINGS.count('It is ')} of {len(tools.OPENINGS)} answers with *It is*. A model "
        "that has learned this exactly answers 100 times at temperature $1$. How many answers would you expect "
        "to begin with *I*?",
        answer,
        (
            f"The probability of *I* is ${tools.OPENINGS.count('It is ')} \\div {len(tools.OPENINGS)} = {share:g}$.",
            f"At temperature $1$ the draw follows it: ${share:g} \\cdot 100 = {answer}$.",
        ),
    )


def positions() -> Problem:
    """The places that go through the model for one answer."""
    read, wrote, seen = len(tools.prompt()), len(tools.written()), []
    hook = tools.model().embed.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].numel()))
    tools.written()
    hook.remove()
    answer = sum(seen)
    return Problem(
        f"The prompt has {read} tokens and the answer {wrote}, its end mark included. With the cache, how many tokens "
        "go through the model in all? (Behind the last one nothing is asked.)",
        answer,
        (
            f"The prompt is read once: {read} tokens.",
            f"Each new token goes through alone, but for the last: ${wrote} - 1 = {wrote - 1}$.",
            f"${read} + {wrote - 1} = {answer}$.",
        ),
        unit="tokens",
    )


def held_back() -> Problem:
    """Count the tokens that show nothing."""
    words = "né 5 €"
    text = TextStream(tools.PLAIN)
    ids = tools.PLAIN.encode(words)
    answer = sum(text.push(token) == "" for token in ids)
    sizes = {sign: len(sign.encode()) for sign in "é€"}
    return Problem(
        f"A tokenizer has no merges, so each byte is a token. A model writes `{words}`. The é has {sizes['é']} bytes, "
        f"the € has {sizes['€']}. How many of the {len(ids)} tokens add nothing to the text when they come?",
        answer,
        (
            "A sign appears with its last byte. All bytes before that add nothing.",
            f"That is ${sizes['é']} - 1 = {sizes['é'] - 1}$ for the é and ${sizes['€']} - 1 = {sizes['€'] - 1}$ for "
            "the €.",
            f"Together {answer}.",
        ),
        unit="tokens",
    )
