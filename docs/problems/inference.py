"""Practice problems of the chapters on inference and on the pipeline."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from docs.pictures import bench
from docs.problems import Problem
from nanochat.accounting import cache_bytes
from nanochat.common import IGNORED
from nanochat.engine import next_token_probabilities
from nanochat.gpt import GPTConfig


def cooled() -> Problem:
    """A temperature of one half, by hand."""
    scores = torch.tensor([[math.log(2), 0.0]])
    first = next_token_probabilities(scores, temperature=0.5)[0, 0].item()
    return Problem(
        "Two tokens have scores whose powers $e^z$ are $2$ and $1$, so at temperature $1$ they have two thirds and "
        "one "
        "third. What is the probability of the first at temperature $0.5$? Two decimals will do.",
        round(first, 2),
        (
            r"Dividing the scores by $0.5$ doubles them, and doubling a score squares its power: $e^{2z} = (e^z)^2$.",
            f"The powers are now $4$ and $1$. The first has $4 \\div 5 = {first:.1f}$.",
        ),
        tolerance=0.005,
    )


def top_two() -> Problem:
    """Cut two of four tokens off."""
    shares = torch.tensor([[0.5, 0.3, 0.15, 0.05]])
    second = next_token_probabilities(shares.log(), top_k=2)[0, 1].item()
    return Problem(
        "Four tokens have the probabilities $0.5$, $0.3$, $0.15$ and $0.05$. What is the probability of the second "
        "one "
        "with `top_k=2`? Three decimals will do.",
        round(second, 3),
        (
            "The first two stay. Together they have $0.8$.",
            f"Scaled up to one, the second has $0.3 \\div 0.8 = {second:.3f}$.",
        ),
        tolerance=0.0005,
    )


def dart_lands() -> Problem:
    """Which token a dart means."""
    words, scores, thrown = ("red", "blue", "green"), torch.tensor([[0.5, 0.3, 0.2]]).log(), 0.74
    edges = next_token_probabilities(scores)[0].cumsum(dim=0).tolist()
    answer = next(word for word, edge in zip(words, edges, strict=True) if thrown < edge)
    return Problem(
        "*Red*, *blue* and *green* have the shares $0.5$, $0.3$ and $0.2$. They lie on the line in this order. The "
        "dart "
        f"falls at ${thrown}$. Which word is drawn?",
        answer,
        (
            "*Red* reaches from $0$ to $0.5$, *blue* from there to $0.8$, *green* to $1$.",
            f"${thrown}$ lies in the piece of *{answer}*.",
        ),
    )


def greedy_loses() -> Problem:
    """How likely the greedy row is, and how likely the best one."""
    first = {"A": 0.45, "B": 0.3, "C": 0.25}
    second = {"A": 0.4, "B": 0.5, "C": 0.9}
    rows = {name: first[name] * second[name] for name in first}
    best = max(rows, key=lambda name: rows[name])
    return Problem(
        "The first token is A, B or C, with $0.45$, $0.3$ and $0.25$. Behind A the best token has $0.4$, behind B "
        "$0.5$, "
        "behind C $0.9$. With which first token does the likeliest pair begin?",
        best,
        (
            "A pair has the product of both: "
            + ", ".join(f"{name} ${first[name]} \\cdot {second[name]} = {rows[name]:.3f}$" for name in rows)
            + ".",
            f"The largest is that of {best}. Greedy takes A first, and never sees it.",
        ),
    )


def bad_draws() -> Problem:
    """How many draws of a story come from the tail."""
    tail, length = 0.02, 150
    answer = round(tail * length)
    return Problem(
        f"At each place of a story, tokens that fit badly have ${tail}$ together. A story has {length} tokens. How "
        "many of "
        "them would you expect to fit badly, without top-k?",
        answer,
        (f"Each draw has ${tail}$, so of {length} draws ${tail} \\cdot {length} = {answer}$.",),
        unit="tokens",
    )


def rounds() -> Problem:
    """How often the model is asked."""
    writer = bench.writer()
    calls: list[int] = []
    writer.model.register_forward_pre_hook(lambda *_: calls.append(1))
    prompt, new, copies = 30, 12, 4
    writer.generate(list(range(1, prompt + 1)), num_samples=copies, max_tokens=new, stop=())
    return Problem(
        f"The engine continues a prompt of {prompt} tokens by {new} tokens, in {copies} versions at once. How many "
        "times is "
        "the model called?",
        len(calls),
        (
            "The prompt is read in one call, which already gives the scores for the first new token.",
            f"Each further token is one more call, for all versions together: $1 + {new - 1} = {len(calls)}$.",
        ),
        unit="calls",
    )


def triangle() -> Problem:
    """Count the positions without a cache."""
    anew = bench.positions(1, 20, use_cache=False)
    return Problem(
        "The engine writes $20$ tokens after a prompt of one token, without a cache. How many positions go through "
        "the "
        "model in all?",
        anew,
        (
            "For the first token the model reads $1$ position, for the second $2$, and so on up to $20$.",
            f"$1 + 2 + \\ldots + 20 = 20 \\cdot 21 \\div 2 = {anew}$.",
        ),
    )


def with_prompt() -> Problem:
    """Positions behind a prompt, with the cache and without."""
    prompt, new = 30, 10
    kept, anew = (bench.positions(prompt, new, use_cache=use) for use in (True, False))
    return Problem(
        f"A prompt has {prompt} tokens, and {new} are written behind it. How many positions fewer go through the "
        "model with "
        "the cache than without?",
        anew - kept,
        (
            f"With the cache: ${prompt} + {new - 1} = {kept}$.",
            f"Without: ${new} \\cdot {prompt} + (0 + 1 + \\ldots + {new - 1}) = {new * prompt} + "
            f"{new * (new - 1) // 2} = "
            f"{anew}$.",
            f"The difference is ${anew} - {kept} = {anew - kept}$.",
        ),
        unit="positions",
    )


def groups_of_notes() -> Problem:
    """What grouped heads save."""
    config = GPTConfig.from_depth(4)
    before = cache_bytes(config, 1, 1)
    after = cache_bytes(replace(config, n_kv_head=1), 1, 1)
    return Problem(
        f"A token of a model with {config.n_kv_head} key/value heads costs {before:,} bytes of cache. What does it "
        "cost if "
        "all query heads share a single key/value head?",
        after,
        (
            "The number of layers and the channels of a head stay. The bytes are proportional to $G$.",
            f"${before} \\div {config.n_kv_head} = {after}$.",
        ),
        unit="bytes",
    )


def five_rows() -> Problem:
    """Positions of several rows behind a shared prompt."""
    prompt, new, rows = 40, 11, 3
    answer = bench.positions(prompt, new, num_samples=rows)
    return Problem(
        f"The engine reads a prompt of {prompt} tokens once and goes on in {rows} rows, with {new} new tokens in "
        "each. How "
        "many positions go through the model, with the cache?",
        answer,
        (
            f"The prompt: {prompt}.",
            f"Each row sends all its new tokens through but the last: ${rows} \\cdot {new - 1} = {rows * (new - 1)}$.",
            f"${prompt} + {rows * (new - 1)} = {answer}$.",
        ),
        unit="positions",
    )


def cache_of_a_chat() -> Problem:
    """The bytes of a small model's cache."""
    config = GPTConfig.from_depth(2)
    counted = cache_bytes(config, 1, 100)
    return Problem(
        f"A model has {config.n_layer} layers and {config.n_embd} channels, and every query head has keys and values "
        "of its own. Each number takes 4 bytes. How many bytes does the cache of 100 tokens take?",
        counted,
        (
            f"A token has a key and a value in each layer: $2 \\cdot {config.n_layer} = {2 * config.n_layer}$ vectors.",
            f"All heads together, each vector has {config.n_embd} numbers of $4$ bytes: "
            f"${2 * config.n_layer} \\cdot {config.n_embd} \\cdot 4 = {counted // 100}$ bytes.",
            f"A hundred tokens take ${counted}$.",
        ),
        unit="bytes",
    )


def counted_targets() -> Problem:
    """How many tokens of a conversation are learned from."""
    question, answer = 7, 5
    targets = torch.tensor([IGNORED] * question + [1] * answer)
    learned = int((targets != IGNORED).sum())
    return Problem(
        f"A conversation has a question of {question} tokens and an answer of {answer}. Every token of the question "
        "has the target $-1$. From how many guesses does the model learn?",
        learned,
        ("A target of $-1$ asks nothing.", f"What is left are the {learned} tokens of the answer."),
    )


def hours_of_a_run() -> Problem:
    """From operations to hours and dollars."""
    operations, speed, price = 3.6e18, 1e15, 20
    took = operations / speed / 3600
    return Problem(
        "A training takes $3.6 \\cdot 10^{18}$ operations. A machine does $10^{15}$ of them a second and is lent for "
        f"{price} dollars an hour. What does the training cost?",
        round(took * price),
        (
            f"$3.6 \\cdot 10^{{18}} \\div 10^{{15}} = {operations / speed:g}$ seconds, which is {took:g} hour.",
            f"${took:g} \\cdot {price} = {took * price:g}$ dollars.",
        ),
        unit="dollars",
    )
