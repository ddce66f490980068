"""Practice problems of the chapter on training; the answers are computed."""

from __future__ import annotations

import math

from docs.problems import Problem
from nanochat import accounting, evaluate, optim, train
from nanochat.gpt import GPTConfig


def first_loss() -> Problem:
    """The loss of a model that knows nothing."""
    vocabulary = 1024
    answer = math.log(vocabulary)
    return Problem(
        f"A new model has a vocabulary of {vocabulary:,} tokens. Which loss do you expect before the first step? "
        "(two decimals)",
        round(answer, 2),
        [
            f"A model that knows nothing gives each token the probability $1/{vocabulary}$.",
            f"Its surprise is $-\\log(1/{vocabulary}) = \\log {vocabulary}$.",
            f"$\\log {vocabulary} = {answer:.4f}$.",
        ],
        tolerance=0.005,
        unit="nats",
    )


def certain_guess() -> Problem:
    """From a loss back to a probability."""
    p = 0.2
    loss = -math.log(p)
    return Problem(
        f"At one place the loss is {loss:.3f}. Which probability did the model give to the right token? (two decimals)",
        p,
        [
            f"The loss is $-\\log p$, so $\\log p = -{loss:.3f}$.",
            f"The exponential function undoes the logarithm: $p = e^{{-{loss:.3f}}}$.",
            f"That is {math.exp(-loss):.2f}.",
        ],
        tolerance=0.005,
    )


def one_descent() -> Problem:
    """Two steps of gradient descent by hand."""
    w, goal, rate = 10.0, 4.0, 0.1
    steps = []
    for number in (1, 2):
        slope = 2 * (w - goal)
        new = w - rate * slope
        steps.append(
            f"Step {number}: the slope is $2 \\cdot ({w:g} - {goal:g}) = {slope:g}$, so $w = {w:g} - {rate:g} "
            f"\\cdot {slope:g} = {new:g}$."
        )
        w = new
    return Problem(
        f"The loss is $(w - {goal:g})^2$, with slope $2(w - {goal:g})$. Start at $w = 10$ and take two steps with a "
        f"learning rate of {rate:g}. Where is $w$?",
        round(w, 2),
        steps,
        tolerance=0.005,
    )


def chain() -> Problem:
    """The backward pass by hand."""
    x, w1, w2, target = 1.0, 2.0, 3.0, 4.0
    h = w1 * x
    y = w2 * h
    slope_y = 2 * (y - target)
    slope_h = slope_y * w2
    slope_w1 = slope_h * x
    return Problem(
        f"As in the picture, $h = w_1 \\cdot x$, then $y = w_2 \\cdot h$, and the loss is $(y - t)^2$. "
        f"With $x = {x:g}$, $w_1 = {w1:g}$, $w_2 = {w2:g}$ and $t = {target:g}$: what is the slope of $w_1$?",
        int(slope_w1),
        [
            f"Forward: $h = {h:g}$ and $y = {y:g}$.",
            f"The slope at $y$ is $2 \\cdot ({y:g} - {target:g}) = {slope_y:g}$.",
            f"Pass it through $w_2$: ${slope_y:g} \\cdot {w2:g} = {slope_h:g}$ at $h$.",
            f"And from $h$ to $w_1$, times $x$: ${slope_h:g} \\cdot {x:g} = {slope_w1:g}$.",
        ],
    )


def rounds() -> Problem:
    """Rounds of accumulation in one step."""
    plan = train.Plan.from_depth(4, sequence_len=512, device_batch_size=4, total_batch_size=32768)
    answer = plan.accumulation(2)
    once = plan.device_batch_size * plan.model.sequence_len
    return Problem(
        f"A step shall use {plan.total_batch_size:,} tokens. A row has {plan.model.sequence_len} tokens, "
        f"{plan.device_batch_size} rows fit into memory at once, and two processes share the work evenly. "
        "How many rounds of forward and backward does each process do for one step?",
        answer,
        [
            f"In one round a process reads ${plan.device_batch_size} \\cdot {plan.model.sequence_len} = {once}$ "
            "tokens.",
            f"Two processes read ${2 * once}$ tokens together.",
            f"${plan.total_batch_size} / {2 * once} = {answer}$.",
        ],
        unit="rounds",
    )


def adam_stride() -> Problem:
    """The first step of Adam."""
    rate, slope = 0.01, 0.0004
    return Problem(
        f"A weight has the slope {slope:g} at the very first step. AdamW's learning rate is {rate:g}. How far does "
        "the weight move?",
        rate,
        [
            "At the first step, corrected for its start at zero, the mean of the slopes is the slope itself.",
            "The mean of the squares is the square of the slope, and its root is the size of the slope.",
            f"The slope divided by its own size is 1, so the weight moves by the learning rate: {rate:g}.",
        ],
        tolerance=0.0001,
    )


def stretch_round() -> Problem:
    """One round of the polynomial on a stretch."""
    a, b, c = optim.NEWTON_SCHULZ
    x = 0.5
    answer = a * x + b * x**3 + c * x**5
    return Problem(
        f"A stretch is {x:g}. What is it after one round of $x \\mapsto 3.4445\\,x - 4.775\\,x^3 + 2.0315\\,x^5$? "
        "(two decimals)",
        round(answer, 2),
        [
            f"$x^3 = {x**3:g}$ and $x^5 = {x**5:g}$.",
            f"$3.4445 \\cdot {x:g} = {a * x:.4f}$, $4.775 \\cdot {x**3:g} = {-b * x**3:.4f}$, $2.0315 \\cdot "
            f"{x**5:g} = {c * x**5:.4f}$.",
            f"${a * x:.4f} - {-b * x**3:.4f} + {c * x**5:.4f} = {answer:.4f}$.",
        ],
        tolerance=0.005,
    )


def half_rate() -> Problem:
    """Where on the schedule the rate is halved."""
    plan = train.Plan.from_depth(4, num_iterations=500, warmdown_ratio=0.4)
    step = next(step for step in range(plan.num_iterations) if optim.lr_multiplier(step, plan) <= 0.5)
    return Problem(
        f"A run has {plan.num_iterations} steps, numbered from 0. The rate is full at first and falls evenly to "
        "zero over the "
        f"last {plan.warmdown_ratio:.0%} of the steps. At which step is it exactly one half?",
        step,
        [
            f"The fall takes ${plan.warmdown_ratio:g} \\cdot {plan.num_iterations} = {plan.warmdown_steps}$ steps.",
            f"It is half-way down when {plan.warmdown_steps // 2} steps are left.",
            f"${plan.num_iterations} - {plan.warmdown_steps // 2} = {step}$.",
        ],
    )


def bits_per_byte() -> Problem:
    """From nats a token to bits per byte."""
    loss, length = 2.0, 4.0
    answer = loss / math.log(2) / length
    return Problem(
        f"A model has a loss of {loss:g} nats a token, and a token holds {length:g} bytes on average. How many bits "
        "per byte is that? (two decimals)",
        round(answer, 2),
        [
            f"One bit is $\\ln 2 = {math.log(2):.3f}$ nats, so {loss:g} nats are ${loss:g} / {math.log(2):.3f} = "
            f"{loss / math.log(2):.3f}$ bits.",
            f"They are spread over {length:g} bytes: ${loss / math.log(2):.3f} / {length:g} = {answer:.3f}$.",
        ],
        tolerance=0.005,
        unit="bits per byte",
    )


def which_model() -> Problem:
    """Two models with unlike tokenizers."""
    first, second = (1.8, 2.0), (3.0, 4.5)
    bits = {name: loss / math.log(2) / length for name, (loss, length) in (("A", first), ("B", second))}
    best = min(bits, key=bits.__getitem__)
    return Problem(
        f"Model A has a loss of {first[0]:g} nats a token at {first[1]:g} bytes a token. Model B has {second[0]:g} "
        f"nats a token at {second[1]:g} bytes a token. "
        "Which one predicts the text better, A or B?",
        best,
        [
            f"A needs ${first[0]:g} / {first[1]:g} = {first[0] / first[1]:.3f}$ nats for a byte, which is "
            f"{bits['A']:.2f} bits.",
            f"B needs ${second[0]:g} / {second[1]:g} = {second[0] / second[1]:.3f}$ nats for a byte, which is "
            f"{bits['B']:.2f} bits.",
            f"The fewer the better: {best}.",
        ],
    )


def packed_file() -> Problem:
    """The file into which a model that knows nothing packs a text."""
    vocabulary, tokens, size = 1024, 200, 600
    score = evaluate.TextScore(nats=tokens * math.log(vocabulary), tokens=tokens, bytes=size)
    bits = round(math.log2(vocabulary))
    answer = round(score.bits_per_byte * size / 8)
    return Problem(
        f"A new model finds all of its {vocabulary:,} tokens equally likely. It is made into a program that packs "
        f"files. A text of {size} bytes is {tokens} tokens long. How many bytes has the packed file?",
        answer,
        [
            f"To pick one of {vocabulary:,} tokens takes {bits} yes-or-no answers, since halving it {bits} "
            "times leaves one.",
            f"The whole text takes ${tokens} \\cdot {bits} = {tokens * bits}$ bits.",
            f"A byte has eight bits: ${tokens * bits} / 8 = {answer}$.",
        ],
        unit="bytes",
    )


def price_of_a_run() -> Problem:
    """The arithmetic of a small run."""
    weights, tokens = 10_000_000, 200_000_000
    answer = 6 * weights * tokens
    return Problem(
        f"A model has {weights:,} weights that are multiplied, and it reads {tokens:,} tokens. Leave attention aside. "
        "How many operations does the training take, in units of $10^{15}$?",
        answer // 10**15,
        [
            f"Each token costs $6 \\cdot {weights} = {6 * weights}$ operations.",
            f"All tokens cost ${6 * weights} \\cdot {tokens} = {answer:.1e}$.".replace("e+", " \\cdot 10^{").replace(
                "$.", "}$."
            ),
        ],
    )


def twice_as_large() -> Problem:
    """How the cost grows with the size."""
    answer = 3**2
    return Problem(
        "You train a model with three times the weights, on three times the text, as the rule asks. How many times "
        "as much work is it?",
        answer,
        ["Each token costs three times as much.", "There are three times as many tokens.", f"$3 \\cdot 3 = {answer}$."],
    )


def tokens_for_depth() -> Problem:
    """The tokens that a model deserves."""
    config = GPTConfig.from_depth(1, vocab_size=1024)
    counted = accounting.count_parameters(config)
    answer = accounting.compute_optimal_tokens(config)
    return Problem(
        f"A model of depth 1 has a width of {config.n_embd} and {config.vocab_size:,} tokens in its vocabulary. A "
        "block holds "
        "$12 \\cdot C^2$ weights, embedding and head hold $V \\cdot C$ each. How many tokens does it deserve by "
        "the rule of twenty?",
        answer,
        [
            f"The block: $12 \\cdot {config.n_embd}^2 = {counted.matrices}$.",
            f"Embedding and head: $2 \\cdot {config.vocab_size} \\cdot {config.n_embd} = "
            f"{counted.embedding + counted.head}$.",
            f"Together {counted.total:,} weights; $20 \\cdot {counted.total} = {answer}$ tokens.",
        ],
        unit="tokens",
    )
