"""The tiny model: the recipe of the model that the examples and the site train, in two minutes on two cores.

It reads stories of a small grammar and learns to tell new ones. It is the same code as everywhere else with sizes that
anybody can repeat::

    python -m nanochat.tiny

The first call of :func:`load_or_train` trains, later ones load what it saved.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nanochat.checkpoint import check_writable, latest_step, load_model, run_lock, save_checkpoint
from nanochat.common import InputError, Runtime, base_dir, detect_runtime, run_stage
from nanochat.corpora import load_corpus
from nanochat.dataloader import TokenLoader, load_tokens
from nanochat.engine import Engine
from nanochat.evaluate import score_text
from nanochat.gpt import GPT, GPTConfig
from nanochat.tokenizer import Tokenizer
from nanochat.train import Plan, StepMetrics, TrainState, faster_dtype, fit, keep_freed_memory, readable_time

VOCAB_SIZE = 1024
"""Tokens of the tiny tokenizer."""
MOMENTS = (0, 30, 120)
"""Steps at which the young model is asked to tell a story; the last one is asked too."""
HELD_OUT_STORIES = 200
"""Held-out stories that are read for bits per byte."""
MAX_SECONDS = 600.0
"""Training that takes longer than this is stopped with an error: the machine is too slow for a live site."""
SAMPLING: dict[str, Any] = {"temperature": 0.8, "top_k": 40}
"""How stories are sampled from the tiny model, here and on the pages."""


@dataclass(frozen=True)
class TinyRecord:
    """What happened while the tiny model was trained."""

    history: list[dict[str, float]]
    """The metrics of each step (:class:`nanochat.train.StepMetrics`)."""
    scores: list[dict[str, float]]
    """At some steps: loss in nats per token and bits per byte on held-out stories."""
    samples: list[dict[str, Any]]
    """At four moments: the step and three stories."""
    seconds: float
    """Wall-clock time of the training, measurements included."""
    dtype: str
    """The precision that was faster."""
    train_tokens: int
    """Tokens of the training stories."""


@dataclass(frozen=True)
class TinyRun:
    """The tiny model with its tokenizer and the record of its training."""

    model: GPT
    """The model, on the CPU in float32."""
    tokenizer: Tokenizer
    """The tokenizer."""
    plan: Plan
    """What was decided before the first step."""
    record: TinyRecord
    """What happened."""

    @property
    def engine(self) -> Engine:
        """An engine for the model."""
        return Engine(self.model, self.tokenizer)


def tiny_plan(vocab_size: int = VOCAB_SIZE) -> Plan:
    """Return the plan of the tiny model.

    Few layers and a width that is large for them: to keep the names of a story straight takes width before depth.

    Args:
        vocab_size: The size of the vocabulary, V.

    Example:
        >>> tiny_plan().model.n_layer, tiny_plan().model.n_embd
        (3, 256)
    """
    return Plan(
        model=GPTConfig.from_depth(3, vocab_size, sequence_len=192, width=256),
        device_batch_size=12,
        total_batch_size=12 * 192,
        num_iterations=480,
        seed=1,
    )


def tiny_dir() -> Path:
    """Return the folder of the tiny model."""
    return base_dir() / "tiny"


def start_tiny(runtime: Runtime) -> tuple[TrainState, Tokenizer]:
    """Make everything that training needs: tokenizer, data, plan, and a fresh model.

    Args:
        runtime: Where to compute.

    Returns:
        The state before the first step, and the tokenizer.
    """
    corpus = load_corpus("stories")
    tokenizer = Tokenizer.train(corpus.documents("train"), VOCAB_SIZE)
    plan = tiny_plan(tokenizer.vocab_size)
    loader = TokenLoader(
        load_tokens(corpus, tokenizer, "train"),
        plan.device_batch_size,
        plan.model.sequence_len,
        tokenizer.bos,
        plan.seed,
    )
    return TrainState.start(plan, loader, runtime), tokenizer


def train_tiny(directory: Path | None = None, report: Callable[[str], None] = print) -> TinyRun:
    """Train the tiny model, keep a record, and save both.

    Args:
        directory: Where to save; None means :func:`tiny_dir`.
        report: Called with lines about the progress.

    Returns:
        The run.

    Raises:
        InputError: If the machine needs longer than ten minutes.
    """
    folder = tiny_dir() if directory is None else directory
    check_writable(folder)
    keep_freed_memory()
    begin = time.perf_counter()
    runtime = detect_runtime("cpu")
    with run_lock(folder):
        dtype, speed = faster_dtype(tiny_plan(), runtime)
        state, tokenizer = start_tiny(replace(runtime, dtype=dtype))
        report(state.plan.describe(speed))
        held_out = list(load_corpus("stories").documents("val"))[:HELD_OUT_STORIES]
        engine = Engine(state.model, tokenizer)
        scores, samples = [], []

        def look() -> None:
            score = score_text(state.model, tokenizer, held_out)
            scores.append({"step": state.step, "loss": score.loss, "bits_per_byte": score.bits_per_byte})
            texts = engine.complete("", 3, seed=state.step, **SAMPLING)
            samples.append({"step": state.step, "texts": [text.strip() for text in texts]})
            report(f"step {state.step:4}  {score.bits_per_byte:.3f} bits per byte  {samples[-1]['texts'][0][:80]}")

        def on_step(state: TrainState, metrics: StepMetrics) -> None:
            if metrics.step in MOMENTS or metrics.step == state.plan.num_iterations:
                look()

        look()
        fit(state, on_step, max_seconds=MAX_SECONDS)
        seconds = time.perf_counter() - begin
        record = TinyRecord(
            history=[asdict(metrics) for metrics in state.history],
            scores=scores,
            samples=samples,
            seconds=seconds,
            dtype=str(dtype).removeprefix("torch."),
            train_tokens=state.loader.n_tokens,
        )
        tokenizer.save(folder / "tokenizer.json")
        (folder / "record.json").write_text(json.dumps(asdict(record)), encoding="utf-8")
        # The checkpoint comes last: where it is whole, the two files beside it are there as well.
        save_checkpoint(state, folder, tokenizer.fingerprint, keep=1)
        report(f"trained in {readable_time(seconds)}, saved in {folder}")
    return load_tiny(folder)


def load_tiny(directory: Path | None = None) -> TinyRun:
    """Load the tiny model that was trained before.

    Args:
        directory: Where it was saved; None means :func:`tiny_dir`.

    Returns:
        The run.

    Raises:
        InputError: If there is none, or a file is damaged.
    """
    folder = tiny_dir() if directory is None else directory
    if latest_step(folder) is None:
        raise InputError(f"there is no tiny model in {folder}: make one with python -m nanochat.tiny")
    tokenizer = Tokenizer.load(folder / "tokenizer.json")
    model = load_model(folder, tokenizer_fingerprint=tokenizer.fingerprint)
    try:
        record = TinyRecord(**json.loads((folder / "record.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{folder / 'record.json'} cannot be read ({error}): remove {folder} and train again"
        ) from error
    return TinyRun(model, tokenizer, tiny_plan(tokenizer.vocab_size), record)


def load_or_train(directory: Path | None = None, report: Callable[[str], None] = print) -> TinyRun:
    """Load the tiny model, or train it first where there is none.

    Args:
        directory: Its folder; None means :func:`tiny_dir`.
        report: Called with lines about the progress of a training.

    Returns:
        The run.
    """
    folder = tiny_dir() if directory is None else directory
    return train_tiny(folder, report) if latest_step(folder) is None else load_tiny(folder)


def main(argv: list[str] | None = None) -> None:
    """Train the tiny model if it is not there, and let it tell a story."""
    run = load_or_train()
    print(f"\n{run.engine.complete('', 1, **SAMPLING)[0].strip()}")


if __name__ == "__main__":
    sys.exit(run_stage(main))
