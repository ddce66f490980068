"""Trainings that claims and pictures of the chapter on training share. Each runs once, also when both ask for it."""

from __future__ import annotations

from functools import lru_cache

from docs.pictures import pupil
from nanochat import evaluate, train

DUEL_STEPS = 40
"""Steps of each run of the duel between the optimizers."""
MUON_RATES = (0.02, 0.04, 0.08)
"""Learning rates that Muon tries in the duel."""
ADAMW_RATES = (0.004, 0.008, 0.016)
"""Learning rates that AdamW tries for the same matrices."""
HEART_STEPS = (0, 4, 8, 12, 20, 36, 50)
"""Steps at which the pupil is measured that reads four stories only."""
TRAP_VOCABULARIES = (320, 1024)
"""The two vocabularies whose losses cannot be compared."""
TRAP_STEPS = 12
"""Steps of the two pupils that differ in their vocabulary."""


def late(one: pupil.Pupil) -> float:
    """The mean of its last ten losses: a single batch may be hard or easy."""
    return sum(metrics.loss for metrics in one.state.history[-10:]) / 10


def _finished(one: pupil.Pupil) -> pupil.Pupil:
    train.fit(one.state, progress=False)
    return one


@lru_cache(maxsize=8)
def muon(rate: float, warmdown: bool) -> pupil.Pupil:
    """The pupil's little sister after her run, with Muon at this rate for the matrices."""
    settings = {} if warmdown else {"warmdown_ratio": 0.0}
    return _finished(pupil.sister(num_iterations=DUEL_STEPS, matrix_lr=rate, **settings))


@lru_cache(maxsize=8)
def adamw_alone(rate: float) -> pupil.Pupil:
    """The same, with AdamW for all of her weights, for those of the matrices at this rate."""
    one = pupil.sister(num_iterations=DUEL_STEPS)
    adamw = one.state.optimizers[0]
    adamw.add_param_group({"params": list(one.model.blocks.parameters()), "lr": rate, "initial_lr": rate})
    one.state.optimizers = [adamw]
    return _finished(one)


def held_loss(one: pupil.Pupil) -> float:
    """The loss on beginnings of stories that were kept aside, in nats a token; her rows hold no more than those."""
    return evaluate.score_text(one.model, one.tokenizer, [text[:120] for text in pupil.texts("val")]).loss


@lru_cache(maxsize=1)
def by_heart() -> list[tuple[int, float, float]]:
    """Train on four stories only: step, bits per byte on them, bits per byte on others."""
    stories, others = pupil.texts("train")[:4], pupil.texts("val")[:4]
    one = pupil.new(documents=stories, rows=1, total_batch_size=pupil.CONTEXT)
    rows = []
    for step in HEART_STEPS:
        train.fit(one.state, until=step, progress=False)
        rows.append((step, *(evaluate.bits_per_byte(one.model, one.tokenizer, t) for t in (stories, others))))
    return rows


@lru_cache(maxsize=1)
def trap() -> dict[int, evaluate.TextScore]:
    """Two pupils that differ in the size of their vocabulary, measured on the same text."""
    held = pupil.texts("val")[:8]
    scores = {}
    for V in TRAP_VOCABULARIES:
        one = pupil.taught(vocab_size=V, rows=1, total_batch_size=pupil.CONTEXT, num_iterations=TRAP_STEPS)
        scores[V] = evaluate.score_text(one.model, one.tokenizer, held)
    return scores
