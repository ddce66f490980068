"""What the chapter on misconceptions says, each shown by a small experiment on the code."""

from __future__ import annotations

import builtins
import io
import os
import socket
from contextlib import AbstractContextManager, ExitStack
from unittest import mock

import torch

from docs._ext.claims import check, claim, mutant
from docs._ext.mutation import edited
from docs.pictures import beliefs, bench, pupil
from nanochat import gpt
from nanochat.conversation import Conversation, Message, render_prompt
from nanochat.engine import Engine

STREAM = "nanochat.engine.Engine.stream"
STEPS = "nanochat.engine.Engine._steps"
STEP = "nanochat.train.train_step"


# ---- ways to break the package -------------------------------------------------------------------------------


@mutant("engine-reads-a-file", "the engine opens a file before it writes")
def engine_reads_a_file() -> AbstractContextManager[object]:
    return edited("nanochat.engine.Engine.generate", 'stop = settings.get("stop")',
                  'open("/dev/null").close(); stop = settings.get("stop")')  # fmt: skip


@mutant("writing-moves-weights", "each call of the engine makes the output head a little larger")
def writing_moves_weights() -> AbstractContextManager[object]:
    return edited(
        STEPS,
        *(
            "logits = model(rows, cache=cache)[:, -1].repeat(num_samples, 1)",
            "model.head.weight.data.mul_(1.01); logits = model(rows, cache=cache)[:, -1].repeat(num_samples, 1)",
        ),
    )


@mutant("system-text-dropped", "what stands before the user's words is left out")
def system_text_dropped() -> AbstractContextManager[object]:
    return edited(
        "nanochat.conversation.Conversation.of",
        "if system and not read else message.text",
        "if False else message.text",
    )


# ---- about knowing -------------------------------------------------------------------------------------------


def _closed(*_: object, **__: object) -> None:
    raise OSError("closed")


@claim("belief-no-lookup", about=("nanochat.engine.Engine", "nanochat.gpt.GPT"), killed_by="engine-reads-a-file")
def no_lookup() -> str:
    """Forbid files and connections while the engine writes."""
    writer, settings = bench.writer(), {"max_tokens": 20, "stop": ()}
    free = writer.generate([5, 6, 7], **settings)[0]
    closed = None
    with ExitStack() as shut:
        for place, door in ((builtins, "open"), (io, "open"), (os, "open"), (socket, "socket")):
            shut.enter_context(mock.patch.object(place, door, _closed))
        try:
            closed = writer.generate([5, 6, 7], **settings)[0]
        except OSError:
            pass
    check(closed, free, "what it writes with all doors closed")
    return (
        f"With Python's doors to files and to the network shut, the engine writes the same {len(free)} tokens as "
        "before."
    )


@claim("belief-no-grammar", about="nanochat.gpt.GPT.init_weights", killed_by="head-starts-random")
def no_grammar() -> str:
    """Look at the probabilities of an untrained pupil behind a few texts."""
    fresh = pupil.new()
    for text in ("", "Once there was a little", "kite kite kite"):
        ids = torch.tensor([[fresh.tokenizer.bos, *fresh.tokenizer.encode(text)]])
        with torch.no_grad():
            p = fresh.model(ids)[0, -1].softmax(dim=-1)
        check.close(p.max().item(), p.min().item(), "the likeliest and the unlikeliest token", abs=1e-7)
    return (
        f"Before training the pupil gives each of its {p.numel()} tokens the same probability, {p[0]:.5f}, whatever "
        "stands before."
    )


@claim("belief-letters", about="nanochat.tokenizer.Tokenizer.encode", killed_by=("capitals-lost", "merges-forgotten"))
def letters() -> str:
    """Encode a word in two ways."""
    tok = pupil.tokens(pupil.VOCABULARY)[0]
    inside, first = tok.encode(" little"), tok.encode("Little")
    check(len(inside), 1, "tokens of the word with its blank")
    check(set(inside) & set(first), set(), "tokens in common")
    return (
        f"For the pupil ` little` with a blank before it is the one token {inside[0]}, and `Little` is the tokens "
        f"{', '.join(map(str, first))}: they have none in common."
    )


@claim("belief-cold", about="nanochat.engine.sample", killed_by="greedy-takes-worst")
def cold() -> str:
    """Ask the mistaught model ten times."""
    writer = Engine(beliefs.mistaught(), beliefs.PLAIN)
    said = {writer.complete("2+2=", max_tokens=1, temperature=0, seed=seed)[0] for seed in range(10)}
    (answer,) = said
    return f"Asked for `2+2=` at temperature 0, it answers {answer[-1]}, with each of 10 seeds."


@claim("belief-sure", about=(STEP, "nanochat.gpt.GPT"), killed_by="learning-rate-zero")
def sure() -> str:
    """Look at the probability of the wrong digit."""
    check.above(beliefs.next_after(beliefs.mistaught(), "2+2=")[ord("5")].item(), 0.95, "what it gives to 5")
    return "The same model gives the wrong 5 a probability of more than 0.95."


# ---- about talking -------------------------------------------------------------------------------------------


@claim("belief-no-plan", about=(STREAM, "nanochat.engine.KVCache"), killed_by="cache-position-lost")
def no_plan() -> str:
    """Write twenty tokens at once, and in two halves with two engines."""
    settings = {"temperature": 0, "stop": ()}
    whole = bench.writer().generate([5, 6], max_tokens=20, **settings)[0]
    half = bench.writer().generate([5, 6], max_tokens=10, **settings)[0]
    rest = bench.writer().generate([5, 6, *half], max_tokens=10, **settings)[0]
    check([*half, *rest], whole, "both halves together")
    return (
        f"Stop an engine at temperature 0 after {len(half)} tokens, and hand the row to another that has never seen "
        f"it: it writes the same {len(rest)} tokens that the first would have written."
    )


@claim("belief-no-memory", about=STREAM, killed_by="writing-moves-weights")
def no_memory() -> str:
    """Look at the scores of a question before and after another conversation."""
    writer = bench.writer()

    def ask() -> torch.Tensor:
        with torch.no_grad():
            return writer.model(torch.tensor([[5, 6, 7]]))

    before = ask()
    between = writer.generate([9, 8], max_tokens=40, stop=())[0]
    check(ask(), before, "the scores")
    return (
        f"Ask, hold another conversation of {len(between)} tokens, and ask again: all scores for the first "
        "question are "
        "the same to the last digit."
    )


@claim("belief-no-learning", about=STREAM, killed_by="writing-moves-weights")
def no_learning() -> str:
    """Compare all weights before and after."""
    writer = bench.writer()
    before = {name: weight.clone() for name, weight in writer.model.state_dict().items()}
    tokens = writer.generate([5], max_tokens=50, stop=())[0]
    for name, weight in writer.model.state_dict().items():
        check(weight, before[name], f"the weights {name}")
    return f"After an engine has written {len(tokens)} tokens, every weight of its model is what it was before."


@claim("belief-dice", about=STREAM, killed_by="engine-seed-ignored")
def dice() -> str:
    """Write with five seeds, twice."""
    writer = bench.writer()
    first, again = (
        [writer.generate([5], max_tokens=20, seed=seed, stop=())[0] for seed in range(1, 6)] for _ in range(2)
    )
    check(again, first, "the texts, asked for again")
    check(len({tuple(row) for row in first}), 5, "different texts")
    return "Five seeds give five different texts; each of the five, asked for again, comes back token by token."


@claim("belief-system", about="nanochat.conversation.Conversation.of", killed_by="system-text-dropped")
def system() -> str:
    """Make the prompt of a system message, and that of a user who typed the same."""
    said, question = "Be brief.", "What is 2+2?"
    asked = Conversation.of([{"role": "system", "content": said}, {"role": "user", "content": question}])
    typed = Conversation((Message.user(f"{said}\n\n{question}"),))
    check(render_prompt(beliefs.PLAIN, asked), render_prompt(beliefs.PLAIN, typed), "the rows")
    return (
        f"A request with the system message `{said}` gives the model, token for token, the row of a user who typed "
        "these words above his question."
    )


# ---- about training ------------------------------------------------------------------------------------------


@claim("belief-floor", about=(STEP, "nanochat.gpt.GPT.forward"), killed_by=("loss-in-bits", "learning-rate-zero"))
def floor() -> str:
    """Train on tosses of a coin, and measure on others."""
    rows = 800
    loss = beliefs.coin_loss(beliefs.tosser(rows), beliefs.coins(beliefs.NEW, seed=99))
    check.above(loss, 0.68, "the loss on new tosses")
    check.below(loss, 0.72, "and it has learned that there are two sides")
    return (
        f"After {beliefs.HEART_STEPS} steps on {rows} rows of tosses, its loss on new tosses is between 0.68 and 0.72."
    )


@claim("belief-heart", about=STEP, killed_by="learning-rate-zero")
def heart() -> str:
    """Train on few tosses, and measure on these and on others."""
    model = beliefs.tosser(beliefs.FEW)
    check.below(beliefs.coin_loss(model, beliefs.coins(beliefs.FEW, seed=1)), 0.62, "the loss on its own tosses")
    check.above(beliefs.coin_loss(model, beliefs.coins(beliefs.NEW, seed=99)), 0.8, "the loss on new ones")
    return (
        f"After {beliefs.HEART_STEPS} steps on {beliefs.FEW} rows of tosses, its loss on these is below 0.62, less "
        "than any "
        "honest guess can have, and on new ones above 0.8, worse than knowing nothing about coins."
    )


@claim("belief-lower-loss", about="nanochat.gpt.GPT.init_weights", killed_by="head-starts-random")
def lower_loss() -> str:
    """Two fresh models that differ in their vocabulary."""
    losses = {}
    for V in (320, 1024):
        model = gpt.GPT(gpt.GPTConfig.from_depth(1, vocab_size=V, sequence_len=16, width=64))
        model.init_weights(seed=1)
        with torch.no_grad():
            losses[V] = model(bench.row(8), bench.row(8, seed=1)).item()
    return (
        f"Untrained, a model with 320 tokens has a loss of {losses[320]:.2f} and one with 1,024 tokens has "
        f"{losses[1024]:.2f}, and neither of them knows anything."
    )


@claim("belief-looking", about=("nanochat.gpt.attention_weights", "nanochat.gpt.attend"), killed_by="attention-silent")
def looking() -> str:
    """Turn the values around and compare where the heads look and what comes out."""
    model, tokens = bench.lively(depth=1), bench.row(12)
    part = model.blocks[0].attention

    def look() -> tuple[torch.Tensor, int]:
        seen: list[torch.Tensor] = []
        hook = part.register_forward_pre_hook(
            lambda _, inputs: seen.append(gpt.attention_weights(*part.project(*inputs[:3])[:2]))
        )
        with torch.no_grad():
            best = model(tokens)[0, -1].argmax().item()
        hook.remove()
        return seen[0], best

    before, favourite = look()
    with torch.no_grad():
        part.value.weight.neg_()
    after, other = look()
    check(after, before, "where each head looks")
    check.true(other != favourite, "another token is the likeliest")
    return (
        "Turn the sign of the value matrix in a model of one layer: every head looks at the same places as before, "
        "and "
        "another token is the favourite."
    )
