"""The model that comes with the package: how it is judged, rounded to eight bits, and put into ``nanochat/assets``.

It was made by the stages of this package on the data of this package (``nanochat/assets/make.sh`` holds the commands)
and answers before anybody has trained anything. It is small, and its record says what it can do and what it cannot::

    python -m nanochat.shipping --run=shipped

judges the fine-tuned model of a run on fixed held-out questions, each answered with the best token at each place, and
replaces the shipped model by it.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any

from nanochat.checkpoint import latest_step, load_model
from nanochat.common import InputError, detect_runtime, run_stage
from nanochat.conversation import Conversation, Message
from nanochat.corpora import load_corpus
from nanochat.corpora.stories import check_story
from nanochat.engine import Engine
from nanochat.evaluate import score_task
from nanochat.gpt import GPT
from nanochat.interop import load_int8, quantization_cost, save_int8
from nanochat.report import commit, hardware, read_metrics, versions
from nanochat.stages.chats import spoken
from nanochat.stages.flags import parse_flags
from nanochat.stages.models import run_folder, run_tokenizer
from nanochat.tasks import load_task
from nanochat.tokenizer import Tokenizer

MAX_BYTES = 8_000_000
"""The shipped model takes no more than this."""
QUESTIONS = 100
"""Held-out questions of each task: the first ones of its test split, always the same."""
WANTED = {"arithmetic-sums": 95, "story-questions": 85, "letters": 80, "story-endings": 90}
"""Of a hundred questions, how many answers must be right for the model to be worth shipping; of the endings of
stories, how many must be made of sentences of the grammar."""
STAGES = ("base", "mid", "sft", "rl")
"""The stages whose metrics go into the record."""
OPENINGS = (
    "Hello!", "Who are you?", "What can you do?", "Tell me a story.", "Tell me a story about Ruby.",
    "What is the capital of France?", "What is 17 + 25?", 'How many r are in "strawberry"?', "Thank you!",
)  # fmt: skip
"""What people may type first. The answers go into the record, good or bad."""
HELD_OUT_STORIES = 40
"""Held-out stories on which the cost of the eight bits is measured."""


@dataclass(frozen=True)
class Settings:
    """The flags of ``python -m nanochat.shipping``."""

    run: str = "shipped"
    """Name of the run."""
    stage: str = "sft"
    """The stage whose model is shipped: sft or rl."""
    before: str | None = None
    """Name of a run of the same stage that this one went on from; its log goes into the record too."""
    questions: int = QUESTIONS
    """Held-out questions of each task."""


def is_right(task: str, answer: Message, reward: float) -> bool:
    """Say whether an answer counts, as :data:`WANTED` means it.

    Args:
        task: The name of the task.
        answer: What the model said.
        reward: What the task gave for it.

    Returns:
        Whether the reward is full; for the end of a story, whether each of its sentences is one of the grammar.

    Example:
        >>> is_right("story-endings", Message.assistant("Then he smiled at Max."), 0.0)
        True
        >>> is_right("story-endings", Message.assistant("Max the of smiled."), 1.0)
        False
    """
    if task != "story-endings":
        return reward == 1.0
    checked = check_story(answer.text.strip())
    return checked.sentences > 0 and checked.parsed == checked.sentences


def judge(model: GPT, tokenizer: Tokenizer, questions: int = QUESTIONS) -> dict[str, dict[str, Any]]:
    """Ask a model the fixed held-out questions.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        questions: How many of each task.

    Returns:
        For each task of :data:`WANTED`: how many were asked and right, how many of a hundred are wanted, and every
        answer with its reward, in the order of the questions of ``load_task(name, "test")``.
    """
    scores = {}
    for name, wanted in WANTED.items():
        task = load_task(name, "test", limit=questions)
        answers: list[tuple[str, float, bool]] = []
        score_task(
            model, tokenizer, task,
            on_answer=lambda _, answer, reward, name=name, kept=answers: kept.append(
                (answer.text, reward, is_right(name, answer, reward))
            ),
        )  # fmt: skip
        scores[name] = {
            "asked": len(task), "right": sum(right for _, _, right in answers), "wanted_of_100": wanted,
            "answers": [[text, reward, right] for text, reward, right in answers],
        }  # fmt: skip
    return scores


def talk(model: GPT, tokenizer: Tokenizer) -> dict[str, str]:
    """Say to a model what people say first.

    Args:
        model: The model.
        tokenizer: Its tokenizer.

    Returns:
        For each of :data:`OPENINGS` the answer, with the calls of the calculator in brackets.
    """
    engine = Engine(model, tokenizer)
    return {text: spoken(engine.answer(Conversation((Message.user(text),)), temperature=0)) for text in OPENINGS}


def history(run: str, points: int = 40) -> dict[str, dict[str, Any]]:
    """Sum up what the stages of a run have logged.

    Args:
        run: The name of the run.
        points: About so many steps of each curve.

    Returns:
        For each stage that was run: its settings, its data, its seconds, and its loss at some steps.

    Raises:
        InputError: If no stage of this run has logged anything.
    """
    found = {}
    for stage in STAGES:
        folder = run_folder(stage, run)
        if not (folder / "metrics.jsonl").is_file():
            continue
        lines = read_metrics(folder)
        start = next(line for line in lines if line["kind"] == "start")
        steps = [line for line in lines if line["kind"] == "train"]
        every = max(1, len(steps) // points)
        found[stage] = {
            "settings": start["settings"], "data": start.get("data"), "date": start["date"],
            "seconds": round(steps[-1]["elapsed"]), "steps": steps[-1]["step"],
            "loss": [[line["step"], round(line["loss"], 4)] for line in (*steps[::every], steps[-1])],
        }  # fmt: skip
    if not found:
        raise InputError(f"the run {run} has logged nothing: train it with bash nanochat/assets/make.sh")
    return found


def shipped_record() -> dict[str, Any]:
    """Read the record of the shipped model, without the model.

    Returns:
        How it was made and what it can do, as :func:`ship` wrote it.

    Raises:
        InputError: If this copy of the package has no model.

    Example:
        >>> shipped_record()["scores"]["arithmetic-sums"]["asked"]
        100
    """
    path = files("nanochat.assets") / "shipped" / "record.json"
    if not path.is_file():
        raise InputError("this copy of nanochat comes without a trained model: make one with nanochat/assets/make.sh")
    return json.loads(path.read_text(encoding="utf-8"))["record"]


def shipped_score(task: str) -> int:
    """Say how many held-out questions of a task the shipped model got right.

    Args:
        task: One of :data:`WANTED`.

    Returns:
        Right answers of :data:`QUESTIONS`.
    """
    return shipped_record()["scores"][task]["right"]


def shipped_answer(text: str) -> str:
    """Return what the shipped model answered when it was made, in one line.

    Args:
        text: One of :data:`OPENINGS`.

    Returns:
        The answer, with the calls of the calculator in brackets.
    """
    return " ".join(shipped_record()["said"][text].split())


def shipped_bytes() -> int:
    """Return how much room the shipped model takes, in bytes: weights, tokenizer, record and manifest."""
    folder = Path(str(files("nanochat.assets") / "shipped"))
    return sum(path.stat().st_size for path in folder.iterdir())


def ship(settings: Settings, folder: Path) -> dict[str, Any]:
    """Round a model, judge what is left of it, and put it into a folder together with the record.

    Args:
        settings: Which model.
        folder: The folder; what is in it is replaced when everything has succeeded.

    Returns:
        The record.

    Raises:
        InputError: If there is no such model, or it takes more than :data:`MAX_BYTES`.
    """
    source = run_folder(settings.stage, settings.run)
    step = latest_step(source)
    if step is None:
        raise InputError(f"there is no model in {source}: train one with bash nanochat/assets/make.sh")
    tokenizer = run_tokenizer(source)
    model = load_model(source, step, detect_runtime("cpu", "float32"), tokenizer.fingerprint)
    documents = list(islice(load_corpus("stories").documents("val"), HELD_OUT_STORIES))
    earlier = {f"{settings.stage}, first part": history(settings.before)[settings.stage]} if settings.before else {}
    stages = history(settings.run)
    last = stages.pop(settings.stage)
    record: dict[str, Any] = {
        "commands": (files("nanochat.assets") / "make.sh").read_text(encoding="utf-8"),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit(), "hardware": hardware(), "versions": versions(),
        "stages": {**stages, **earlier, settings.stage: last},
        "quantization": asdict(quantization_cost(model, tokenizer, documents)),
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as temporary:
        rounded, _, _ = load_int8(save_int8(model, tokenizer, {}, Path(temporary) / "rounded", MAX_BYTES))
        record["scores"] = judge(rounded, tokenizer, settings.questions)
        record["said"] = talk(rounded, tokenizer)
        draft = save_int8(model, tokenizer, record, Path(temporary) / "shipped", MAX_BYTES)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(draft, folder)
    return record


def main(argv: Sequence[str] | None = None) -> None:
    """Ship a model and print what it can do."""
    settings = parse_flags(Settings, argv, "python -m nanochat.shipping", __doc__)
    folder = Path(str(files("nanochat.assets") / "shipped"))
    record = ship(settings, folder)
    for name, score in record["scores"].items():
        print(f"{name:<18} {score['right']:3} of {score['asked']} right, wanted {score['wanted_of_100']} of 100")
    print(f"shipped in {folder}: {shipped_bytes():,} bytes")


if __name__ == "__main__":
    sys.exit(run_stage(main))
