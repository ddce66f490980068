"""Export a model as a folder that transformers, vLLM and other engines load, chat template included.

The folder holds the weights, both configurations, the tokenizer with the template that writes chats, and a README.md
with the sizes of the model, what it was trained on, and its measured score on held-out text. It appears whole or not at
all. ``AutoModelForCausalLM.from_pretrained(folder)`` gives the same greedy text as the model here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from nanochat.checkpoint import read_saved
from nanochat.common import DTYPES, base_dir, detect_runtime
from nanochat.corpora import Corpus, load_corpus
from nanochat.evaluate import score_text, xz_bits_per_byte
from nanochat.gpt import GPT
from nanochat.interop import export_folder, model_card
from nanochat.report import read_metrics
from nanochat.stages.flags import parse_flags
from nanochat.stages.models import TRAINED, find_model
from nanochat.stages.training import check_least
from nanochat.tokenizer import Tokenizer


@dataclass(frozen=True)
class Settings:
    """The flags of ``nanochat export-hf``."""

    source: str = "auto"
    """Which model: auto (the most finished one), base, mid, sft, rl, tiny, shipped, or the folder of a run."""
    run: str | None = None
    """Name of the run; if not given, the one that was saved last."""
    step: int | None = None
    """Which checkpoint; if not given, the newest."""
    output: Path | None = None
    """The folder to write, new or empty; if not given, one in export/ in the base folder."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of the weights in the folder; bfloat16 is half as large and rounds."""
    name: str | None = None
    """Title of the README.md; if not given, the name of the folder."""
    data: str = "stories"
    """The corpus whose held-out documents are scored for the README.md: stories, wiki, pydoc, or a folder."""
    max_documents: int = 200
    """The most documents that are scored."""

    def __post_init__(self) -> None:
        check_least(self, step=0, max_documents=1)


def main(argv: Sequence[str] | None = None) -> None:
    """Load, measure, and write the folder."""
    settings = parse_flags(Settings, argv, "nanochat export-hf", __doc__)
    model, tokenizer, where = find_model(settings.source, settings.run, settings.step, detect_runtime("cpu", "float32"))
    print(f"model       {where}")
    step = Path(where)
    trained = step.is_dir() and step.name.startswith("step_")
    title = "-".join((*step.parts[-3:-1], f"{int(step.name[5:])}")) if trained else settings.source
    output = settings.output or base_dir() / "export" / title
    corpus = load_corpus(settings.data)
    facts = {"precision": settings.dtype, **measured(model, tokenizer, corpus, settings.max_documents)}
    history, credits = learnt(step) if trained else ({"trained": where}, [])
    card = model_card(settings.name or output.name, model, {**facts, **history}, "; ".join(credits))
    export_folder(model, output, tokenizer, card, DTYPES[settings.dtype])
    for name, value in {**facts, **history}.items():
        print(f"{name:<11} {value}")
    size = sum(path.stat().st_size for path in output.iterdir())
    print(f"saved       {output}: {size:,} bytes in {len(list(output.iterdir()))} files")
    print("to load it  AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)")


def measured(model: GPT, tokenizer: Tokenizer, corpus: Corpus, max_documents: int) -> dict[str, str]:
    """Score a model on held-out documents, for its README.md.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        corpus: Whose held-out documents to read.
        max_documents: The most of them.

    Returns:
        What was measured, in words.
    """
    documents = list(islice(corpus.documents("val"), max_documents))
    score = score_text(model, tokenizer, documents)
    note = ""
    if corpus.name == "stories":
        note = "; one grammar made these and the training stories, so other text is much harder for the model"
    return {
        "held-out text": f"{score.bits_per_byte:.3f} bits per byte ({score.loss:.3f} nats per token) on "
        f"{len(documents):,} documents of {corpus.title}; xz -9 needs {xz_bits_per_byte(documents):.3f}{note}"
    }


def learnt(step: Path) -> tuple[dict[str, str], list[str]]:
    """Say what a saved model went through, from the records that its stages kept beside it.

    Args:
        step: The folder of the checkpoint.

    Returns:
        Stage, data and scores in words, and whom to thank for the data.
    """
    stage, run = step.parts[-3:-1]
    saved = read_saved(step.parent, int(step.name[5:]))
    facts = {"trained": f"stage {stage}, run {run}, step {saved.step:,}"}
    if saved.step and stage != "rl":  # there a step reads what the model wrote
        facts["trained"] += f", {saved.step * saved.plan.total_batch_size:,} tokens in this stage"
    if "imported_from" in saved.notes:
        facts["imported from"] = str(saved.notes["imported_from"])
    credits: dict[str, None] = {}
    for name in TRAINED[: TRAINED.index(stage) + 1] if stage in TRAINED else ():
        for line in read_metrics(step.parents[2] / name / run):
            data = line.get("data")
            if line["kind"] == "start" and isinstance(data, dict) and data.get("title"):
                facts[f"{name} data"] = str(data["title"])
                credits |= {str(data["credit"]): None} if data.get("credit") else {}
            if line["kind"] == "score":
                shares = {key: value for key, value in line.items() if isinstance(value, float) and key != "elapsed"}
                facts |= {f"{key} ({name})": f"{100 * value:.1f} %" for key, value in shares.items()}
    return facts, list(credits)
