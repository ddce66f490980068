"""The pupil: a model small enough to be trained while a page is built, on a few hundred stories.

The chapter on training follows it from its first guess on. Its texts and tokens are kept between calls (and
forgotten when a mutant changes the package); every model is made anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle
from typing import Any

import torch

from nanochat import dataloader, gpt, tokenizer, train
from nanochat.common import Runtime
from nanochat.corpora import split_of
from nanochat.corpora.stories import stories

STORIES = 400
"""How many stories there are, both splits together."""
SEED = 7
"""The seed of the stories."""
VOCABULARY = 512
"""V of the pupil."""
CONTEXT = 256
"""T of the pupil: a whole story fits."""
STEPS = 60
"""Steps of its whole training."""
SMALL_VOCABULARY, SMALL_CONTEXT, SMALL_ROWS = 320, 64, 4
"""V, T and B of the pupil's little sister."""
CPU = Runtime(torch.device("cpu"), torch.float32)


@lru_cache(maxsize=1)
def _stories() -> tuple[str, ...]:
    return tuple(story.text for story in stories(STORIES, SEED))


def texts(split: str) -> list[str]:
    """The stories of one split, ``train`` or ``val``."""
    return [text for text in _stories() if split_of(text) == split]


@lru_cache(maxsize=4)
def tokens(vocab_size: int) -> tuple[tokenizer.Tokenizer, tuple[list[int], ...]]:
    """A tokenizer of V tokens, trained on the training stories, and these stories in its tokens."""
    training = texts("train")
    tok = tokenizer.Tokenizer.train(training, vocab_size)
    return tok, tuple(tok.encode_batch(training))


@dataclass
class Pupil:
    """A model before or in its training, with what it reads."""

    tokenizer: tokenizer.Tokenizer
    """Its tokenizer, trained on the training stories."""
    state: train.TrainState
    """Model, optimizers and loader."""

    @property
    def model(self) -> gpt.GPT:
        """The model."""
        return self.state.model


def plan(vocab_size: int = VOCABULARY, rows: int = 2, **settings: Any) -> train.Plan:
    """The plan of the pupil: two layers of width 64, steps of 512 tokens."""
    config = gpt.GPTConfig.from_depth(2, vocab_size=vocab_size, sequence_len=CONTEXT, width=64)
    tokens = 2 * CONTEXT
    return train.Plan(
        **{"model": config, "device_batch_size": rows, "total_batch_size": tokens, "num_iterations": STEPS, **settings}
    )


def new(
    vocab_size: int = VOCABULARY,
    rows: int = 2,
    documents: list[str] | None = None,
    runtime: Runtime = CPU,
    **settings: Any,
) -> Pupil:
    """Make a pupil that has learned nothing yet.

    Args:
        vocab_size: V.
        rows: Rows computed at once; the tokens of a step stay the same.
        documents: What it reads; None means all training stories.
        runtime: Where to compute.
        settings: Other fields of the plan.
    """
    tok, ids = tokens(vocab_size)
    if documents is not None:
        ids = tuple(tok.encode_batch(documents))
    made = plan(vocab_size, rows, **settings)
    loader = dataloader.TokenLoader(ids, rows, CONTEXT, tok.bos, seed=1)
    return Pupil(tok, train.TrainState.start(made, loader, runtime))


def sister(**settings: Any) -> Pupil:
    """Make the pupil's little sister, for what needs several trainings: one layer, short rows.

    Args:
        settings: Other fields of the plan.
    """
    tok, ids = tokens(SMALL_VOCABULARY)
    config = gpt.GPTConfig.from_depth(1, vocab_size=tok.vocab_size, sequence_len=SMALL_CONTEXT, width=64)
    sizes = {"device_batch_size": SMALL_ROWS, "total_batch_size": SMALL_ROWS * SMALL_CONTEXT}
    made = train.Plan(model=config, **{**sizes, **settings})
    loader = dataloader.TokenLoader(ids, SMALL_ROWS, SMALL_CONTEXT, tok.bos, seed=1)
    return Pupil(tok, train.TrainState.start(made, loader, CPU))


def taught(steps: int = STEPS, **settings: Any) -> Pupil:
    """Make a pupil and train it for so many steps of its plan."""
    pupil = new(**settings)
    train.fit(pupil.state, until=steps, progress=False)
    return pupil


@lru_cache(maxsize=1)
def whole() -> Pupil:
    """The pupil after its whole training, made once: to be looked at, not to be trained on."""
    return taught()


def batch(pupil: Pupil) -> tuple[torch.Tensor, torch.Tensor]:
    """The next batch of its loader: inputs and targets, ``(B, T)`` each."""
    return pupil.state.loader.next_batch()


class Batches:
    """A loader that gives the same few batches in turn, for ever."""

    def __init__(self, *batches: tuple[torch.Tensor, torch.Tensor]) -> None:
        self.batches = cycle(batches)

    def next_batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the next of them."""
        return next(self.batches)

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: it has no position."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing."""
