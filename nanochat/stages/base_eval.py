"""Measure a base model: bits per byte on held-out text, beside a file compressor, and samples to read.

The same held-out text is packed by ``xz -9``, which starts with no knowledge of the language: a yardstick that anyone
can repeat. Where ``python -m scripts.download --core`` has fetched the questions of CORE, they are asked too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nanochat.checkpoint import load_model, read_saved
from nanochat.common import InputError, Runtime, detect_runtime
from nanochat.core import bundle_folder, evaluate_core
from nanochat.corpora import load_corpus
from nanochat.distributed import distributed, together
from nanochat.engine import Engine, check_sampling
from nanochat.evaluate import score_text, xz_bits_per_byte
from nanochat.report import RunRecord
from nanochat.stages.flags import parse_flags
from nanochat.stages.models import find_run, run_tokenizer

CORE_QUESTIONS = 500
"""Questions of each task of CORE that are asked on a GPU."""
CORE_QUESTIONS_CPU = 20
"""Questions of each task of CORE that are asked on a CPU: some minutes for a small model."""


@dataclass(frozen=True)
class Settings:
    """The flags of ``nanochat base-eval``."""

    run: str | None = None
    """Name of the run, a folder inside of base/ in the base folder; if not given, the one that was saved last."""
    step: int | None = None
    """Which checkpoint; if not given, the newest."""
    data: str = "stories"
    """The corpus whose held-out text is read: stories, wiki, pydoc, shards, a folder, or several as in stories+wiki."""
    max_documents: int = 500
    """The most documents that are read."""
    core_questions: int | None = None
    """Questions of each task of CORE, where they have been fetched; -1 asks all, 0 none. If not given, 20 on a CPU and
    500 elsewhere."""
    num_samples: int = 4
    """How many samples to print."""
    max_tokens: int = 150
    """Tokens of a sample at most."""
    temperature: float = 0.8
    """Temperature of the samples; 0 always takes the best token."""
    top_k: int | None = 40
    """How many of the best tokens each draw chooses among."""
    prompt: str | None = None
    """The beginning of the samples."""
    seed: int = 42
    """Seed of the samples."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, or mps."""

    def __post_init__(self) -> None:
        least_values = {"max_documents": 1, "core_questions": -1, "num_samples": 0, "max_tokens": 1, "seed": 0}
        for name, least in least_values.items():
            if getattr(self, name) is not None and getattr(self, name) < least:
                raise InputError(f"--{name.replace('_', '-')}={getattr(self, name)} must be at least {least}")
        check_sampling(self.temperature, self.top_k, vocab_size=1)


def main(argv: Sequence[str] | None = None) -> None:
    """Load, measure, and print samples."""
    settings = parse_flags(Settings, argv, "nanochat base-eval", __doc__)
    runtime = detect_runtime(settings.device, "float32")
    with distributed(runtime):
        report(settings, runtime)


def report(settings: Settings, runtime: Runtime) -> None:
    """Measure a model and print the result; several processes share the held-out text.

    Args:
        settings: The flags.
        runtime: Where to compute.
    """
    with together("read the model and the data"):
        folder = find_run("base", settings.run)
        saved = read_saved(folder, settings.step)
        tokenizer = run_tokenizer(folder)
        model = load_model(folder, saved.step, runtime, tokenizer.fingerprint)
        corpus = load_corpus(settings.data)
    record = RunRecord(folder, settings, runtime, stage="base-eval")
    documents = [text for text, _ in zip(corpus.documents("val"), range(settings.max_documents), strict=False)]
    score = score_text(model, tokenizer, documents)
    print(f"model       {saved.path}")
    print(f"held out    {len(documents):,} documents of {corpus.title}, {score.bytes:,} bytes")
    if corpus.credit:
        print(f"            {corpus.credit}")
    print(f"this model  {score.bits_per_byte:.3f} bits per byte ({score.loss:.3f} nats per token)")
    print(f"xz -9       {xz_bits_per_byte(documents):.3f} bits per byte")
    record.log("score", saved.step, **{f"bits per byte of {corpus.name}": score.bits_per_byte})
    questions = settings.core_questions
    if questions is None and not bundle_folder().exists():
        print("CORE        not asked: python -m scripts.download --core fetches its questions")
    elif questions != 0:
        if questions is None:
            questions = CORE_QUESTIONS_CPU if runtime.device.type == "cpu" else CORE_QUESTIONS
        core = evaluate_core(model, tokenizer, max_per_task=None if questions == -1 else questions)
        print(f"\n{core}")
        record.log("score", saved.step, core=core.core)
    if not settings.num_samples:
        record.close()
        return
    prompt = settings.prompt or ""
    room = model.config.sequence_len - 1 - len(tokenizer.encode(prompt))
    samples = Engine(model, tokenizer).complete(
        prompt,
        settings.num_samples,
        max_tokens=min(settings.max_tokens, room),
        temperature=settings.temperature,
        top_k=settings.top_k,
        seed=settings.seed,
    )
    for number, text in enumerate(samples, 1):
        print(f"\nsample {number}\n{text.strip()}")
        record.log("sample", saved.step, prompt=prompt, text=text.strip())
    record.close()
