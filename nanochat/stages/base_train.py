"""Train a base model: it reads a corpus and learns to guess the next token.

With nothing prepared, ``python -m scripts.base_train --depth=4`` trains a tokenizer, then a model for a few minutes,
and prints what the model writes. The plan is shown before the first step. Run it under ``--resume`` to go on from the
newest checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from nanochat.accounting import flops_per_token
from nanochat.checkpoint import check_writable
from nanochat.common import Runtime
from nanochat.corpora import Corpus, load_corpus
from nanochat.dataloader import TokenLoader, load_tokens
from nanochat.distributed import take_turns, together
from nanochat.engine import Engine
from nanochat.evaluate import score_text
from nanochat.gpt import GPTConfig
from nanochat.stages.flags import parse_flags
from nanochat.stages.models import run_folder
from nanochat.stages.tok_train import check_output
from nanochat.stages.training import (
    RunSettings,
    check_least,
    describe_rates,
    describe_runtime,
    settle_dtype,
    started,
    train,
    usual_batch_size,
)
from nanochat.token_store import TokenStore, encode_corpus, is_large, open_tokens
from nanochat.tokenizer import Tokenizer, tokenizer_path
from nanochat.train import Plan, Recipe, TrainState

CPU_OPERATIONS = 2.0e13
"""Operations that the default horizon spends on a CPU: a few minutes on two cores."""
DEFAULT_VOCAB_SIZE = 1024
"""Size of the tokenizer that is trained where there is none yet."""
READ_AHEAD = 2
"""Of a large corpus, so many times the tokens of the plan are encoded: where rows end, up to half of them are lost."""


@dataclass(frozen=True, kw_only=True)
class Settings(RunSettings):
    """The flags of ``nanochat base-train``."""

    depth: int = 4
    """Layers of the model; width, heads, steps, rates of embedding and head, and on a GPU the batch follow from it."""
    data: str = "stories"
    """The corpus: stories, wiki, pydoc, shards, a folder of text or parquet files, or several as in stories+wiki."""
    sequence_len: int | None = None
    """Tokens that the model can read at once; if not given, 256 on a CPU and 2048 on a GPU."""
    width: int | None = None
    """Channels of the model; if not given, 64 for each layer."""
    n_head: int | None = None
    """Query heads of each layer; if not given, as few as keep each at 128 channels or less, and at least 4."""
    n_kv_head: int | None = None
    """Key/value heads; if not given, as many as query heads."""
    num_iterations: int | None = None
    """Steps; if not given, a few minutes' worth on a CPU, and 20 tokens for each parameter on a GPU."""
    total_batch_size: int | None = None
    """Tokens of one step over all processes; if not given, 8 rows on a CPU, and about 26,000 a layer on a GPU."""
    device_batch_size: int | None = None
    """Rows that one process computes at once; if not given, 8 on a CPU and 32 on a GPU."""
    run: str | None = None
    """Name of the folder for the checkpoints, inside of base/ in the base folder; if not given, d and the depth."""
    eval_tokens: int = 20_000
    """Tokens of held-out text that a measurement reads; 0 reads all of it."""
    prompt: str | None = None
    """The beginning of the samples that are printed at the end."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, sequence_len=1, eval_tokens=0)


def make_plan(settings: Settings, vocab_size: int, runtime: Runtime) -> Plan:
    """Fill in what the flags left open.

    Args:
        settings: The flags.
        vocab_size: V of the tokenizer.
        runtime: CPUs and GPUs have different defaults.

    Returns:
        The plan.
    """
    gpu = runtime.device.type != "cpu"
    sequence_len = settings.sequence_len or (2048 if gpu else 256)
    config = GPTConfig.from_depth(settings.depth, vocab_size, sequence_len, width=settings.width)
    heads = config.n_head if settings.n_head is None else settings.n_head
    config = replace(config, n_head=heads, n_kv_head=heads if settings.n_kv_head is None else settings.n_kv_head)
    rows = settings.device_batch_size or (32 if gpu else 8)
    once = rows * sequence_len * runtime.world_size
    given = {f.name: getattr(settings, f.name) for f in fields(Recipe)}
    given["device_batch_size"] = rows
    given["total_batch_size"] = settings.total_batch_size or usual_batch_size(config, once, runtime)
    given["num_iterations"] = settings.num_iterations or 1
    plan = Plan(model=config, **given)
    if settings.num_iterations is not None:
        return replace(plan, num_iterations=settings.num_iterations)
    affordable = round(CPU_OPERATIONS / (flops_per_token(config) * plan.total_batch_size))
    return replace(plan, num_iterations=plan.compute_optimal_iterations if gpu else max(20, affordable))


def load_or_train_tokenizer(corpus: Corpus, runtime: Runtime) -> Tokenizer:
    """Load the tokenizer of the base folder, or train a small one on the corpus if there is none.

    Args:
        corpus: The text.
        runtime: Of several processes, that of rank 0 trains, and the others read what it saved.

    Returns:
        The tokenizer.
    """
    path = tokenizer_path()
    with together("train a tokenizer"):
        if runtime.is_main and not path.exists():
            check_output(path)
            print(f"There is no tokenizer yet: training one of {DEFAULT_VOCAB_SIZE} tokens on {corpus.name}.")
            Tokenizer.train(corpus.documents("train"), DEFAULT_VOCAB_SIZE).save(path)
    with together("read the tokenizer"):
        return Tokenizer.load(path)


def load_documents(
    corpus: Corpus, tokenizer: Tokenizer, max_tokens: int, runtime: Runtime
) -> TokenStore | list[np.ndarray]:
    """Get the tokens to train on: in memory, or of a large corpus from the disk, where one process puts them.

    Args:
        corpus: The text.
        tokenizer: Encodes it.
        max_tokens: How much of a large corpus to encode; a small one is read whole.
        runtime: The first process of each machine encodes a large corpus while the others wait.

    Returns:
        The tokens of each document.
    """
    if not is_large(corpus):
        with together("read the data"):
            return load_tokens(corpus, tokenizer, "train")
    work = encode_corpus(corpus, tokenizer, "train", max_tokens) if runtime.local_rank == 0 else iter(())
    take_turns(work, "encode the data")
    with together("read the data"):
        return open_tokens(corpus, tokenizer, "train", max_tokens)


def main(argv: Sequence[str] | None = None) -> None:
    """Plan, train, save, measure, and print samples."""
    settings = parse_flags(Settings, argv, "nanochat base-train", __doc__)
    with started(settings) as runtime:
        with together("read the data"):
            corpus = load_corpus(settings.data)
        tokenizer = load_or_train_tokenizer(corpus, runtime)
        plan = make_plan(settings, tokenizer.vocab_size, runtime)
        folder = run_folder("base", settings.run or f"d{settings.depth}")
        with together(f"use the folder {folder}"):
            check_writable(folder, None if settings.resume else 0)
        runtime, speed = settle_dtype(settings, plan, runtime)
        documents = load_documents(corpus, tokenizer, READ_AHEAD * plan.tokens, runtime)
        with together("read the data"):
            loader = TokenLoader(
                documents,
                plan.device_batch_size,
                plan.model.sequence_len,
                tokenizer.bos,
                plan.seed,
                runtime.rank,
                runtime.world_size,
            )
        credit = f" ({corpus.credit})" if corpus.credit else ""
        print(f"data        {corpus.title}, {loader.n_tokens:,} tokens{credit}")
        print(describe_runtime(runtime))
        print(plan.describe(speed))
        print(describe_rates(plan))
        print(f"epochs      {plan.tokens / loader.n_tokens:.1f} times through the data")

        def measure(state: TrainState) -> dict[str, float]:
            score = score_text(state.model, tokenizer, corpus.documents("val"), max_tokens=settings.eval_tokens or None)
            print(
                f"step {state.step:6,}  held-out text: {score.bits_per_byte:.3f} bits per byte, "
                f"loss {score.loss:.3f} nats per token"
            )
            return {"bits_per_byte": score.bits_per_byte, "loss": score.loss}

        data = {"title": corpus.title, "credit": corpus.credit, "tokens": loader.n_tokens}
        state = train(settings, plan, folder, loader, runtime, tokenizer, measure=measure, data=data)
        if state is None:
            return
        print(f"\nsaved in {folder}; what the model writes:\n")
        for text in Engine(state.model, tokenizer).complete(settings.prompt or "", 3, temperature=0.8, top_k=40):
            print(text.strip() + "\n")
