"""Let a chat model answer the questions of tasks, and print how many it gets right.

The questions are held out: no stage learns from them. Where an answer is a letter, the letters are compared as first
tokens of the answer; other answers are written out, each token the best one, with the calculator at hand. Beside each
score stands what pure guessing would reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nanochat.common import detect_runtime
from nanochat.conversation import Message
from nanochat.distributed import distributed, together
from nanochat.evaluate import question_of, score_task
from nanochat.report import RunRecord
from nanochat.stages.chats import indented, load_tasks, parse_tasks, spoken, tasks_here
from nanochat.stages.flags import parse_flags, short_flag
from nanochat.stages.models import find_model
from nanochat.stages.training import check_least
from nanochat.tasks import Task


@dataclass(frozen=True)
class Settings:
    """The flags of ``nanochat chat-eval``."""

    source: str = short_flag("i", "auto")
    """The model: auto (the most finished one), base, mid, sft, rl, tiny, shipped, or the path of a run."""
    run: str | None = None
    """Name of the run; if not given, the one saved last."""
    step: int | None = None
    """Which checkpoint; if not given, the newest."""
    tasks: str = "arithmetic-sums,arithmetic,letters,spelling,story-questions,wiki-choice,wiki-what-is,smalltalk"
    """The tasks, with commas between."""
    limit: int = 100
    """The most questions of each task."""
    max_tokens: int | None = None
    """The most tokens of an answer; if not given, 256; no more than fit into the context."""
    batch_size: int = 16
    """Questions with choices that are read at once."""
    show: int = 0
    """How many answers to each task to print."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, or mps."""
    dtype: str = "auto"
    """Precision of the matrix products: auto (bfloat16 on a GPU, else float32), float32, or bfloat16."""
    threads: int | None = None
    """Threads on the CPU; if not given, those that torch chooses."""

    def __post_init__(self) -> None:
        check_least(self, limit=1, max_tokens=1, batch_size=1, show=0)
        parse_tasks(self.tasks)


def main(argv: Sequence[str] | None = None) -> None:
    """Load, ask, and print a table."""
    settings = parse_flags(Settings, argv, "nanochat chat-eval", __doc__)
    runtime = detect_runtime(settings.device, settings.dtype, settings.threads)
    with distributed(runtime):
        with together("load the model and the tasks"):
            model, tokenizer, where = find_model(settings.source, settings.run, settings.step, runtime)
            tasks = load_tasks(tasks_here(settings.tasks, Settings.tasks), "test", settings.limit)
        print(f"model       {where}\n")
        print(f"{'task':<24} {'n':>5} {'score':>7} {'+-':>6} {'chance':>7} {'form':>7}")
        folder = Path(where)
        record = None
        if folder.name.startswith("step_"):
            record = RunRecord(folder.parent, settings, runtime, stage="chat-eval", step=None)
            step = int(folder.name.removeprefix("step_"))
        said: list[str] = []
        for task in tasks:
            answers: list[tuple[int, Message, float]] = []
            score = score_task(
                model, tokenizer, task, settings.limit, settings.batch_size, settings.max_tokens,
                on_answer=lambda *answer, kept=answers: kept.append(answer),
            )  # fmt: skip
            print(
                f"{task.name:<24} {score.total:>5} {score.mean_reward:>7.1%} {score.margin:>6.1%} {score.chance:>7.1%} "
                f"{score.form:>7.1%}" + (f"  {score.too_long} too long" if score.too_long else "")
            )
            said += [answer_line(task, *answer) for answer in answers[: settings.show]]
            if record is not None:
                record.log("score", step, **{task.name: score.mean_reward, f"{task.name} (form)": score.form})
                for number, message, _ in answers[:1]:
                    asked = question_of(task[number]).messages[-1].text
                    record.log("sample", step, prompt=asked, text=spoken(message))
        if record is not None:
            record.close()
        for task in tasks:
            if task.credit:
                print(f"credit      {task.title}: {task.credit}")
        print(*said, sep="\n", end="")


def answer_line(task: Task, number: int, answer: Message, reward: float) -> str:
    """Write down a question, the answer to it, and what it was worth.

    Args:
        task: The task.
        number: The number of the question.
        answer: What the model said.
        reward: From 0 to 1.

    Returns:
        Some lines of text.
    """
    asked = question_of(task[number]).messages[-1].text
    return (
        f"\n{task.name}, question {number}, reward {reward:.2f}\n  > {indented(asked)}\n  {indented(spoken(answer))}\n"
    )
