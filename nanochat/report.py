"""The record of a run, and the report card that is made of it.

While a stage runs, a :class:`RunRecord` writes what it measures into one file, ``metrics.jsonl``, in the folder of the
run: a line of JSON for each measurement, pushed out at once, so that a run that is killed leaves all but its last
moment. TensorBoard and Weights & Biases get the same numbers if they are asked for. Later :func:`write_report` reads
the files of all stages and writes one page about the whole: settings, data, curves, scores, samples, time and cost,
and what was not measured.
"""

from __future__ import annotations

import html
import json
import math
import os
import platform
import re
import secrets
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import torch

import nanochat
from nanochat.accounting import count_parameters
from nanochat.checkpoint import Saved, list_steps, read_saved
from nanochat.common import InputError, Runtime, base_dir
from nanochat.figures import PALETTE, SERIES
from nanochat.terminal import visible
from nanochat.train import readable_time

METRICS = "metrics.jsonl"
"""The file of the measurements, in the folder of a run."""
Track = Literal["none", "tensorboard", "wandb"]
"""Who else is told of the measurements: nobody, TensorBoard, or Weights & Biases."""
RESERVED = ("stage", "kind", "elapsed")
"""Names in a line that the record itself fills in."""


# Writing: one line for each measurement --------------------------------------------------------------------------


class RunRecord:
    """Writes down what a stage measures, while it measures it.

    The first line of a record is of the kind ``start`` and says what runs: stage, settings, data, runtime, hardware,
    versions, and the commit if the package lies in its git checkout. It names no host and no folder of the user's home.
    Every further line is one call of :meth:`log`. Only the main process writes.

    A stage that goes on from an earlier step passes it as ``step``. Lines of the same stage that lie beyond it are cut,
    because they will be measured again, and a curve must not have two values at one place. The time that they took is
    kept and counted. A stage that measures a finished model passes None, and nothing is cut.

    Args:
        folder: The folder of the run, which is made if it is not there.
        settings: The flags of the stage, as a dataclass or a mapping.
        runtime: Where the stage computes.
        stage: The name of the stage, such as ``base-train``.
        step: The step from which training goes on; 0 begins a new record; None adds to the record that is there.
        data: What the model reads; ``title``, ``credit`` and ``tokens`` are usual names.
        track: Who else is told: ``none``, ``tensorboard`` or ``wandb``.

    Raises:
        InputError: If ``track`` is unknown, or its library is not installed.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> with RunRecord(folder, {"depth": 4}, Runtime(torch.device("cpu"), torch.float32), step=0) as record:
        ...     record.log("train", 1, loss=6.9)
        >>> [line["kind"] for line in read_metrics(folder)]
        ['start', 'train', 'end']
    """

    def __init__(
        self,
        folder: Path | str,
        settings: Any,
        runtime: Runtime,
        *,
        stage: str = "",
        step: int | None = None,
        data: Mapping[str, Any] | None = None,
        track: Track = "none",
    ) -> None:
        if track not in ("none", "tensorboard", "wandb"):
            raise InputError(f"--track={track!r} is unknown: use none, tensorboard, or wandb")
        self.folder = Path(folder)
        """The folder of the run."""
        self.stage = stage
        """The name of the stage."""
        self.active = runtime.is_main
        """Whether this process is the one that writes."""
        self._tracker: _Tracker | None = None
        self._begin, self._last_step = time.perf_counter(), step or 0
        if not self.active:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        before = read_metrics(self.folder)
        ours = [line for line in before if line["stage"] == stage] if step != 0 else []
        ident = next((line["id"] for line in reversed(ours) if line["kind"] == "start"), secrets.token_hex(4))
        plain = _plain(asdict(settings) if is_dataclass(settings) else dict(settings))
        if track != "none":  # before anything is cut, because its library may be missing
            self._tracker = _TRACKERS[track](self.folder, stage, plain, ident, step)
        if step == 0:
            _replace(self.folder / METRICS, [])
        elif step is not None:
            _replace(self.folder / METRICS, [line for line in before if not self._is_beyond(line, step)])
        else:
            _mend(self.folder / METRICS)
        self._write(
            {
                "kind": "start",
                "step": step or 0,
                "id": ident,
                "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
                "spent": spent(ours),
                "settings": plain,
                "data": _plain(dict(data or {})),
                "runtime": {
                    "device": runtime.device.type,
                    "dtype": str(runtime.dtype).removeprefix("torch."),
                    "processes": runtime.world_size,
                    "threads": runtime.threads,
                },
                "hardware": hardware(),
                "versions": versions(),
                "commit": commit(),
            }
        )

    def log(self, kind: str, step: int, **values: Any) -> None:
        """Write down one measurement.

        Args:
            kind: What it is: ``train`` for a step of training, ``eval`` for a measurement on held-out text, ``score``
                for a model's result at tasks (a share from 0 to 1 each), ``sample`` for text that it wrote
                (``prompt`` and ``text``). Other kinds are kept as well.
            step: The number of steps taken before it.
            values: The numbers, by name; texts are allowed too. A number that is not finite is written as null,
                because JSON has no other way.

        Raises:
            InputError: If a name is one that the record fills in itself.
        """
        taken = [name for name in RESERVED if name in values]
        if taken or kind in ("start", "end"):
            raise InputError(f"{taken[0] if taken else kind!r} is filled in by the record itself: take another name")
        if not self.active:
            return
        plain = _plain(values)
        self._last_step = step
        self._write({"kind": kind, "step": int(step), **plain})
        if self._tracker is not None:
            self._tracker.log(kind, int(step), plain)

    def close(self) -> None:
        """Write down that the stage has ended, and let TensorBoard or Weights & Biases finish; twice is once."""
        if self.active:
            self._write({"kind": "end", "step": self._last_step})
        if self._tracker is not None:
            self._tracker.close()
        self.active, self._tracker = False, None

    def __enter__(self) -> Self:
        """Return the record itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the record; after an error its last line names the kind of error."""
        if self.active and kind is not None:
            self._write({"kind": "stopped", "step": self._last_step, "why": kind.__name__})
        self.close()

    def _is_beyond(self, line: Mapping[str, Any], step: int) -> bool:
        """Tell whether a line will be measured again by a run that goes on from ``step``."""
        ours = line["stage"] == self.stage and line["kind"] != "start"
        return ours and (line["step"] > step or line["kind"] == "end")

    def _write(self, values: dict[str, Any]) -> None:
        elapsed = round(time.perf_counter() - self._begin, 3)
        text = json.dumps({"stage": self.stage, **values, "elapsed": elapsed}, allow_nan=False)
        # Opened for every line: another stage may write to the same file, and a killed process leaves nothing behind.
        with open(self.folder / METRICS, "a", encoding="utf-8") as file:
            file.write(text + "\n")


def read_metrics(folder: Path | str) -> list[dict[str, Any]]:
    """Read the measurements of a run.

    A last line that was cut off when its process was killed is left out, and so is any other line that is no record.

    Args:
        folder: The folder of the run.

    Returns:
        One dictionary for each line, each with ``stage``, ``kind``, ``step`` and ``elapsed`` (seconds since its process
        began); empty where there is no file.

    Example:
        >>> read_metrics("no such folder")
        []
    """
    try:
        lines = (Path(folder) / METRICS).read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return []
    return [line for line in map(_parse, lines) if line is not None]


def spent(lines: list[dict[str, Any]]) -> float:
    """Add up the seconds that a stage took, all its processes together, those included whose lines were cut.

    Args:
        lines: The lines of one stage, in order.

    Returns:
        Seconds.

    Example:
        >>> first = [{"kind": "start", "spent": 0.0, "elapsed": 0.1}, {"kind": "train", "elapsed": 9.0}]
        >>> spent([*first, {"kind": "start", "spent": 9.0, "elapsed": 0.1}, {"kind": "train", "elapsed": 2.0}])
        11.0
    """
    before = seconds = 0.0
    for line in lines:
        if line["kind"] == "start":
            before, seconds = max(before + seconds, float(line.get("spent", 0.0))), 0.0
        seconds = max(seconds, float(line["elapsed"]))
    return round(before + seconds, 3)


# What a record says about the machine ------------------------------------------------------------------------------


def hardware() -> dict[str, Any]:
    """Say what this machine computes with; it says nothing that tells who or where it is.

    Returns:
        ``cpu`` (the model), ``cores`` (those that this process may use), ``memory_gib``, and ``gpus`` (names).
    """
    cpu = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                cpu = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (AttributeError, OSError, ValueError):
        memory = math.nan
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {"cpu": cpu, "cores": cores, "memory_gib": round(memory, 1) if memory == memory else None, "gpus": gpus}


def versions() -> dict[str, str]:
    """Name the versions of the software that decide about the numbers."""
    return {
        "nanochat": nanochat.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
    }


def commit() -> str | None:
    """Name the commit of the package's own git checkout, with ``+changes`` if files differ from it.

    Returns:
        The commit; None if the package was installed and not checked out, or git is missing.
    """
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():  # a checkout further up belongs to somebody else
        return None
    try:
        found, changes = (
            subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, timeout=20, check=True)
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() + ("+changes" if changes.stdout.strip() else "")


def _plain(value: Any) -> Any:
    """Turn a value into what JSON can hold; folders of the user's home lose their beginning."""
    if isinstance(value, (bool, int)) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "item") and getattr(value, "size", None) is not None:  # a number of torch or numpy
        return _plain(value.tolist())
    text = str(value)
    for folder, name in ((base_dir(), "$NANOCHAT_BASE_DIR"), (Path.home(), "~")):
        if len(str(folder)) > 1:
            text = text.replace(str(folder), name)
    return text


def _parse(text: str) -> dict[str, Any] | None:
    """Read one line; None if it is no line of a record."""
    try:
        line = json.loads(text)
    except ValueError:
        return None
    kinds = {"stage": str, "kind": str, "step": int, "elapsed": (int, float)}
    good = isinstance(line, dict) and all(isinstance(line.get(name), kind) for name, kind in kinds.items())
    return line if good else None


def _replace(path: Path, lines: list[dict[str, Any]]) -> None:
    """Write the lines that stay into another file, and put it in the place of the first in one move."""
    if not lines and not path.exists():
        return
    other = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    other.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    os.replace(other, path)


def _mend(path: Path) -> None:
    """End a line that was cut off, so that the next one does not stick to it."""
    if path.exists() and path.read_bytes()[-1:] not in (b"", b"\n"):
        with open(path, "a", encoding="utf-8") as file:
            file.write("\n")


# Telling others -----------------------------------------------------------------------------------------------------


class _Tracker:
    """What a record asks of a library that shows curves."""

    def log(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Pass one measurement on."""
        raise NotImplementedError

    def close(self) -> None:
        """Finish."""
        raise NotImplementedError


def _numbers(values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the values that can be drawn."""
    for name, value in values.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            yield name, value


class _TensorBoard(_Tracker):
    """Curves for ``tensorboard --logdir``."""

    def __init__(self, folder: Path, stage: str, settings: dict[str, Any], ident: str, step: int | None) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise InputError(
                "--track=tensorboard needs the package tensorboard: install it with pip install 'nanochat[track]'"
            ) from error
        # Values beyond purge_step are forgotten by the viewer: they come again.
        purge = step + 1 if step else None
        self.writer = SummaryWriter(str(folder / "tensorboard" / stage), purge_step=purge)
        self.writer.add_text("settings", "```\n" + json.dumps(settings, indent=2) + "\n```", step or 0)

    def log(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        for name, number in _numbers(values):
            self.writer.add_scalar(f"{kind}/{name}", number, step)
        for name, value in values.items():
            if isinstance(value, str):
                self.writer.add_text(f"{kind}/{name}", value, step)

    def close(self) -> None:
        self.writer.close()


class _WeightsAndBiases(_Tracker):
    """Curves at Weights & Biases, or in a folder for them with ``WANDB_MODE=offline``."""

    def __init__(self, folder: Path, stage: str, settings: dict[str, Any], ident: str, step: int | None) -> None:
        try:
            import wandb
        except ImportError as error:
            raise InputError(
                "--track=wandb needs the package wandb: install it with pip install 'nanochat[track]'"
            ) from error
        # The same id after a resume: the service drops the steps that it knows already.
        self.run = wandb.init(
            project="nanochat",
            name=f"{stage}-{folder.name}",
            id=ident,
            resume="allow",
            config=settings,
            dir=str(folder),
        )

    def log(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        numbers = {f"{kind}/{name}": number for name, number in _numbers(values)}
        if numbers:
            self.run.log(numbers, step=step)

    def close(self) -> None:
        self.run.finish()


_TRACKERS = {"tensorboard": _TensorBoard, "wandb": _WeightsAndBiases}


# Reading: what all stages of a run left behind -----------------------------------------------------------------------


@dataclass(frozen=True)
class StageRun:
    """What one training stage of a run left in its folder."""

    name: str
    """The stage's folder in the base folder: ``base``, ``mid``, ``sft`` or ``rl``."""
    folder: Path
    """The folder of the run."""
    lines: list[dict[str, Any]]
    """Its measurements, also those of stages that measured the finished model."""
    saved: Saved | None
    """What its newest whole checkpoint says; None if there is none."""
    problem: str
    """Why the checkpoint could not be read; empty if it could, or if there is none."""

    @property
    def there(self) -> bool:
        """Whether the stage was run at all."""
        return bool(self.lines or self.problem) or self.saved is not None

    @property
    def start(self) -> dict[str, Any]:
        """The newest line in which training began; empty if there is none."""
        starts = [line for line in self.lines if line["kind"] == "start" and line["stage"] == _COMMANDS[self.name]]
        return starts[-1] if starts else {}

    def curve(self, kind: str, name: str) -> list[tuple[int, float]]:
        """Collect the values of one measurement.

        Args:
            kind: ``train`` or ``eval``.
            name: Such as ``loss``.

        Returns:
            Steps and values. A run without a record of its training shows the history that its checkpoint keeps.
        """
        found = {
            line["step"]: float(line[name])
            for line in self.lines
            if line["kind"] == kind and line["stage"] == _COMMANDS[self.name] and _is_number(line.get(name))
        }
        if not found and self.saved is not None and kind == "train":
            found = {row.step: getattr(row, name) for row in self.saved.history if _is_number(getattr(row, name, None))}
        return sorted(found.items())

    def scores(self) -> dict[str, float]:
        """Return the newest score of each task."""
        newest: dict[str, float] = {}
        for line in self.lines:
            if line["kind"] == "score":
                newest |= {name: value for name, value in line.items() if name not in _FIXED and _is_number(value)}
        return newest

    def samples(self) -> list[dict[str, Any]]:
        """Return what the model wrote when each command asked it for the last time."""
        newest: dict[str, list[dict[str, Any]]] = {}
        begun = set()
        for line in self.lines:
            if line["kind"] == "start":
                begun.add(line["stage"])
            elif line["kind"] == "sample" and isinstance(line.get("text"), str):
                kept = newest.setdefault(line["stage"], [])
                if line["stage"] in begun or (kept and kept[0]["step"] != line["step"]):
                    kept.clear()
                    begun.discard(line["stage"])
                kept.append(line)
        return [line for lines in newest.values() for line in lines]

    def times(self) -> dict[str, float]:
        """Return the seconds that each command spent on this folder."""
        commands = dict.fromkeys(line["stage"] for line in self.lines)
        return {name: spent([line for line in self.lines if line["stage"] == name]) for name in commands}


def read_run(base: Path | str | None = None, run: str | None = None) -> tuple[str, list[StageRun]]:
    """Collect what the stages of a run left behind.

    Args:
        base: The base folder; None means :func:`nanochat.common.base_dir`.
        run: The name of the run; None means the one that was written to last.

    Returns:
        The name of the run, and all four stages in order, also those that were not run.

    Raises:
        InputError: If there is no such run.
    """
    root = base_dir() if base is None else Path(base)
    if run is None:
        files = [path for stage in _COMMANDS for path in (root / stage).glob("*/*") if _belongs_to_a_run(path)]
        if not files:
            raise InputError(f"{root} holds no run to report on: train one with python -m scripts.base_train")
        run = max(files, key=lambda path: path.stat().st_mtime).parent.name
    stages = [_read_stage(root / name / run, name) for name in _COMMANDS]
    if not any(stage.there for stage in stages):
        known = sorted({path.parent.name for stage in _COMMANDS for path in (root / stage).glob("*/*")})
        cure = f"there are {', '.join(known)}" if known else "train one with python -m scripts.base_train"
        raise InputError(f"{root} has no run {run!r}: {cure}")
    return run, stages


def _belongs_to_a_run(path: Path) -> bool:
    """Tell whether a file or folder shows that its folder is one of a run."""
    return path.name == METRICS or path.name.startswith("step_")


def _read_stage(folder: Path, name: str) -> StageRun:
    """Read one stage; what is damaged is told and not fatal, because a report is about what is there."""
    saved, problem = None, ""
    if list_steps(folder):
        try:
            saved = read_saved(folder)
        except InputError as error:
            problem = str(error)
    return StageRun(name, folder, read_metrics(folder), saved, problem)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


_COMMANDS = {"base": "base-train", "mid": "mid-train", "sft": "chat-sft", "rl": "chat-rl"}
_TITLES = {
    "base": "Base training",
    "mid": "Mid-training",
    "sft": "Fine-tuning on conversations",
    "rl": "Reinforcement learning",
}
_PICTURES = {
    "loss": (
        "Loss, nats per token",
        {"training": ("train", "loss"), "held-out text": ("eval", "loss"), "held-out answers": ("eval", "answer_loss")},
    ),
    "bits-per-byte": ("Bits per byte", {"held-out text": ("eval", "bits_per_byte")}),
    "reward": (
        "Reward",
        {"training": ("train", "reward"), "held-out questions": ("eval", "pass_rate")},
    ),
}
_FIXED = ("stage", "kind", "step", "elapsed")


# The report card: blocks that become Markdown and HTML ---------------------------------------------------------------


@dataclass(frozen=True)
class Heading:
    """A title; level 1 is that of the page."""

    level: int
    """1, 2 or 3."""
    text: str
    """The words."""


@dataclass(frozen=True)
class Paragraph:
    """Words."""

    text: str
    """The words; nothing in them is markup."""


@dataclass(frozen=True)
class Verbatim:
    """Text that is shown as it stands, such as what a model wrote."""

    text: str
    """The text."""


@dataclass(frozen=True)
class Listing:
    """A list."""

    items: tuple[str, ...]
    """Its items; nothing in them is markup."""


@dataclass(frozen=True)
class Table:
    """A table."""

    header: tuple[str, ...]
    """The names of the columns."""
    rows: tuple[tuple[str, ...], ...]
    """The cells."""

    def __str__(self) -> str:
        """Return the table for a terminal."""
        widths = [max(map(len, column)) for column in zip(self.header, *self.rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (self.header, *self.rows)
        ]
        return "\n".join(lines)


@dataclass(frozen=True)
class Curves:
    """Curves in one picture."""

    name: str
    """The name of the picture's file."""
    title: str
    """What is drawn."""
    lines: dict[str, list[tuple[int, float]]]
    """Label to steps and values."""

    def __str__(self) -> str:
        """Say in words what the picture shows."""
        told = (
            f"{label} {points[0][1]:.3f} at step {points[0][0]:,}"
            + (f" and {points[-1][1]:.3f} at step {points[-1][0]:,}" if len(points) > 1 else "")
            for label, points in self.lines.items()
        )
        return f"{self.title}: " + "; ".join(told) + "."


Block = Heading | Paragraph | Verbatim | Listing | Table | Curves
"""What a report card is made of."""


@dataclass(frozen=True)
class Report:
    """A report card that has been written."""

    markdown: Path
    """The Markdown file; its pictures lie beside it."""
    html: Path
    """The HTML file, which needs no other."""
    summary: Table
    """A row for each stage."""


def write_report(
    base: Path | str | None = None,
    run: str | None = None,
    *,
    price_per_hour: float | None = None,
    currency: str = "$",
    output: Path | str | None = None,
) -> Report:
    """Write the report card of a run, as Markdown and as one HTML file.

    Stages that were not run are named as such. Whatever text comes from the run, a model's samples above all, is
    shown literally and never becomes markup.

    Args:
        base: The base folder; None means :func:`nanochat.common.base_dir`.
        run: The name of the run; None means the one that was written to last.
        price_per_hour: What the machine costs each hour; None leaves the cost out.
        currency: The sign before the cost.
        output: The folder to write to; None means ``report/RUN`` in the base folder.

    Returns:
        Where the files are, and the summary.

    Raises:
        InputError: If there is no such run, or the price has no meaning.
    """
    if price_per_hour is not None and not (math.isfinite(price_per_hour) and price_per_hour >= 0):
        raise InputError(f"a price of {price_per_hour} an hour has no meaning: give a number of at least 0")
    name, stages = read_run(base, run)
    root = base_dir() if base is None else Path(base)
    folder = root / "report" / name if output is None else Path(output)
    blocks = list(_card(name, stages, price_per_hour, currency))
    folder.mkdir(parents=True, exist_ok=True)
    for block in blocks:
        if isinstance(block, Curves):
            (folder / f"{block.name}.svg").write_text(_svg(block, alone=True), encoding="utf-8")
    markdown, page = folder / "report.md", folder / "report.html"
    markdown.write_text("\n\n".join(map(_markdown, blocks)) + "\n", encoding="utf-8")
    page.write_text(_page(blocks), encoding="utf-8")
    return Report(markdown, page, _summary(stages))


def _card(name: str, stages: list[StageRun], price: float | None, currency: str) -> Iterator[Block]:
    """Yield the report card block by block."""
    run = [stage for stage in stages if stage.there]
    yield Heading(1, f"Report card of the run {name}")
    yield _summary(stages)
    yield from _model(run)
    yield Heading(2, "Data")
    yield from _data(run)
    yield Heading(2, "Curves")
    curves = list(_curves(run))
    yield from curves or [Paragraph("No stage wrote down a curve.")]
    yield Heading(2, "Scores by stage")
    yield from _scores(stages)
    yield Heading(2, "Samples")
    yield from _samples(run)
    yield Heading(2, "Time and cost")
    yield from _costs(run, price, currency)
    yield Heading(2, "What was not measured, and other remarks")
    yield Listing(tuple(_remarks(stages, price)))
    yield Heading(2, "Settings")
    yield from _settings(run)


def _summary(stages: list[StageRun]) -> Table:
    """Make the table with a row for each stage."""
    rows = []
    for stage in stages:
        losses, bits, rewards = (
            stage.curve(kind, name)
            for kind, name in (("train", "loss"), ("eval", "bits_per_byte"), ("train", "reward"))
        )
        steps = max([points[-1][0] for points in (losses, bits, rewards) if points], default=None)
        if stage.saved is not None:
            steps = max(stage.saved.step, steps or 0)
        seconds = sum(stage.times().values())
        rows.append(
            (
                _TITLES[stage.name],
                "not run" if not stage.there else "?" if steps is None else f"{steps:,}",
                # The loss of a single step is noisy, so the last ones are averaged.
                f"{_mean(losses[-20:]):.3f}" if losses and stage.name != "rl" else "",
                f"{bits[-1][1]:.3f}" if bits else "",
                f"{_mean(rewards[-20:]):.3f}" if rewards else "",
                readable_time(seconds) if seconds else "",
            )
        )
    return Table(("stage", "steps", "training loss", "bits per byte", "reward", "time"), tuple(rows))


def _model(run: list[StageRun]) -> Iterator[Block]:
    """Say what the model is made of, as its newest checkpoint says."""
    saved = next((stage.saved for stage in reversed(run) if stage.saved is not None), None)
    yield Heading(2, "Model")
    if saved is None:
        yield Paragraph("There is no checkpoint that could be read, so the sizes of the model are not known.")
        return
    config = saved.config
    counted = count_parameters(config)
    rows = {
        "layers": config.n_layer,
        "width": config.n_embd,
        "query heads": config.n_head,
        "key/value heads": config.n_kv_head,
        "context, tokens": config.sequence_len,
        "vocabulary, tokens": config.vocab_size,
        "parameters": counted.total,
        "of these in the embedding": counted.embedding,
        "of these in the matrices": counted.matrices,
        "of these in the head": counted.head,
    }
    yield Table(("part", "size"), tuple((name, f"{value:,}") for name, value in rows.items()))


def _data(run: list[StageRun]) -> Iterator[Block]:
    """Say what was read, and whom it is owed to."""
    rows = []
    for stage in run:
        data = dict(stage.start.get("data") or {})
        if not data:
            rows.append((_TITLES[stage.name], "not written down", ""))
            continue
        credit = str(data.pop("credit", "") or "made here")
        title = str(data.pop("title", ""))
        more = "; ".join(f"{name.replace('_', ' ')}: {_show(value)}" for name, value in data.items())
        rows.append((_TITLES[stage.name], "; ".join(filter(None, (title, more))), credit))
    yield Table(("stage", "data", "credit"), tuple(rows))


def _curves(run: list[StageRun]) -> Iterator[Curves]:
    """Draw what changed from step to step, a picture for each stage and kind of measurement."""
    for stage in run:
        for name, (title, wanted) in _PICTURES.items():
            if name == "loss" and stage.name == "rl":  # that of a policy gradient measures nothing
                continue
            lines = {label: points for label, what in wanted.items() if (points := stage.curve(*what))}
            if any(len(points) > 1 for points in lines.values()):
                yield Curves(f"{stage.name}-{name}", f"{_TITLES[stage.name]}: {title}", lines)


def _scores(stages: list[StageRun]) -> Iterator[Block]:
    """Put the scores of all stages into one table, and the shares of answers in the right form into another."""
    columns = {stage.name: stage.scores() for stage in stages}
    tasks = list(dict.fromkeys(task for scores in columns.values() for task in scores))
    if not tasks:
        yield Paragraph("No model of this run was scored: nanochat base-eval and nanochat chat-eval do that.")
        return
    forms = [task for task in tasks if task.endswith(_FORM)]
    for title, chosen in (("score", [task for task in tasks if task not in forms]), ("right form", forms)):
        rows = tuple(
            (task.removesuffix(_FORM), *(_score(task, scores.get(task)) for scores in columns.values()))
            for task in chosen
        )
        if rows:
            yield Table((title, *columns), rows)
    yield Paragraph(
        "A score of 100 % means that every answer was right. An answer of the right form can be read as one, right or "
        "wrong. A dash means that it was not measured."
    )


_FORM = " (form)"


def _score(task: str, value: float | None) -> str:
    """Write a score: a share as a percentage, anything else as a number."""
    if value is None:
        return "–"
    share = 0 <= value <= 1 and task != "core" and "bits per byte" not in task
    return f"{100 * value:.1f} %" if share else f"{value:.3f}"


def _samples(run: list[StageRun], most: int = 8) -> Iterator[Block]:
    """Show what the models wrote."""
    none = True
    for stage in run:
        for number, line in enumerate(stage.samples()[:most]):
            none = False
            if not number:
                yield Heading(3, f"After {_TITLES[stage.name].lower()}")
            prompt = line.get("prompt")
            yield Verbatim((f"> {prompt}\n\n" if isinstance(prompt, str) and prompt else "") + line["text"])
    if none:
        yield Paragraph("No stage wrote down a sample.")


def _costs(run: list[StageRun], price: float | None, currency: str) -> Iterator[Block]:
    """Say how long each command took, and what that cost if the price is known."""
    spans = [(f"{command}, {stage.name}", span) for stage in run for command, span in stage.times().items()]
    spans.append(("all", sum(span for _, span in spans)))
    rows = [(name, f"{span:,.0f}", readable_time(span)) for name, span in spans]
    header = ("command", "seconds", "time")
    if price is None:
        yield Table(header, tuple(rows))
        return
    costs = [f"{currency}{price * span / 3600:,.2f}" for _, span in spans]
    yield Table((*header, "cost"), tuple((*row, cost) for row, cost in zip(rows, costs, strict=True)))
    yield Paragraph(f"At {currency}{price:,.2f} an hour for the whole machine. What was done outside is not counted.")


def _remarks(stages: list[StageRun], price: float | None) -> Iterator[str]:
    """Say what a reader of the numbers must know, above all what is missing."""
    for stage in stages:
        title = _TITLES[stage.name]
        if not stage.there:
            yield f"{title} was not run."
            continue
        if stage.problem:
            yield f"{title}: the newest checkpoint could not be used: {_plain(stage.problem)}"
        if not stage.start:
            yield f"{title} left no record of its settings, machine and time; the curve is that of its checkpoint."
        planned = (stage.saved.plan_dict if stage.saved else {}).get("num_iterations")
        if planned and stage.saved.step < planned:
            yield f"{title} stands at step {stage.saved.step:,} of {planned:,}."
        if not stage.scores():
            yield f"The model after {title.lower()} was not scored."
        trained = [line for line in stage.lines if line["stage"] == _COMMANDS[stage.name]]
        resumed = sum(map(_is_start, trained)) - 1
        if resumed > 0:
            yield f"{title} was interrupted and resumed ({resumed} times); the time counts all of it."
        reasons = [line.get("why") for line in trained[-2:] if line["kind"] == "stopped"]
        if reasons:
            yield f"{title} ended with an error ({reasons[-1]})."
        asked = [line["settings"].get("limit") for line in stage.lines if _is_start(line) and line["stage"] == _SCORER]
        if asked and asked[-1]:
            yield f"The tasks after {title.lower()} were scored with at most {asked[-1]:,} questions each."
    commits = list(dict.fromkeys(line.get("commit") for stage in stages for line in stage.lines if _is_start(line)))
    if len(commits) > 1:
        yield "The stages ran under different versions of the code: " + ", ".join(str(one) for one in commits)
    if any(one and one.endswith("+changes") for one in commits):
        yield "Some stage ran with changes to the code that were in no commit."
    if price is None:
        yield "The cost is left out, because no price for an hour was given (--price-per-hour)."
    yield "A score from few questions says little about small differences."
    yield "Commands that keep no record, such as tok-train and download, are not counted in time and cost."


_SCORER = "chat-eval"


def _is_start(line: Mapping[str, Any]) -> bool:
    return line["kind"] == "start"


def _settings(run: list[StageRun]) -> Iterator[Block]:
    """Show with what each stage was started, and on what machine."""
    for stage in run:
        yield Heading(3, _TITLES[stage.name])
        if not stage.start:
            yield Paragraph("Not written down.")
            continue
        rows = [(f"--{name.replace('_', '-')}", _show(value)) for name, value in stage.start["settings"].items()]
        for part in ("runtime", "hardware", "versions"):
            rows += [(f"{part}: {name}", _show(value)) for name, value in (stage.start.get(part) or {}).items()]
        rows += [(name, _show(stage.start.get(name))) for name in ("commit", "date")]
        yield Table(("setting", "value"), tuple(rows))


def _show(value: Any) -> str:
    """Write a value of a record for people."""
    if value is None or value == [] or value == "":
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return ", ".join(map(_show, value))
    return str(value)


def _mean(points: list[tuple[int, float]]) -> float:
    return sum(value for _, value in points) / len(points)


# Markdown and HTML -----------------------------------------------------------------------------------------------


def _markdown(block: Block) -> str:
    """Write a block as Markdown in which no text of the run can become markup."""
    match block:
        case Heading(level, text):
            return f"{'#' * level} {_quiet(text)}"
        case Paragraph(text):
            return _quiet(text)
        case Verbatim(text):
            longest = max((len(run) for run in re.findall("`+", text)), default=0)
            fence = "`" * max(3, longest + 1)
            return f"{fence}text\n{visible(text)}\n{fence}"
        case Listing(items):
            return "\n".join(f"- {_quiet(item)}" for item in items)
        case Table(header, rows):
            cells = [header, ("---",) * len(header), *rows]
            return "\n".join(
                "| " + " | ".join(cell if row is cells[1] else _quiet(cell) for cell in row) + " |" for row in cells
            )
        case Curves():
            return f"![{_quiet(str(block))}]({block.name}.svg)"


def _quiet(text: str) -> str:
    """Take the meaning from every character that Markdown or HTML would read as markup, and join the lines."""
    words = " ".join(visible(text).split())
    return re.sub(r"([\\`*_{}\[\]<>#|!~$&])", r"\\\1", words)


def _page(blocks: list[Block]) -> str:
    """Write the HTML page; it loads nothing."""
    title = next(block.text for block in blocks if isinstance(block, Heading))
    body = "\n".join(map(_html, blocks))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{html.escape(title)}</title>\n<style>\n{_colours()}{_LAYOUT}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _html(block: Block) -> str:
    """Write a block as HTML in which every text is escaped."""
    match block:
        case Heading(level, text):
            return f"<h{level}>{html.escape(text)}</h{level}>"
        case Paragraph(text):
            return f"<p>{html.escape(text)}</p>"
        case Verbatim(text):
            return f"<pre>{html.escape(visible(text))}</pre>"
        case Listing(items):
            return "<ul>" + "".join(f"<li>{html.escape(item)}</li>" for item in items) + "</ul>"
        case Table(header, rows):
            head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in header)
            lines = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
            return (
                f'<div class="table" tabindex="0"><table><thead><tr>{head}</tr></thead>'
                f"<tbody>{lines}</tbody></table></div>"
            )
        case Curves():
            return f"<figure>{_svg(block)}<figcaption>{html.escape(str(block))}</figcaption></figure>"


def _colours() -> str:
    """Return the palette as CSS variables, for light and dark pages."""
    light, dark = (";".join(f"--{name}:{pair[i]}" for name, pair in PALETTE.items()) for i in (0, 1))
    return f":root{{color-scheme:light dark;{light}}}\n@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"


_LAYOUT = """body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,sans-serif}
main{max-width:46rem;margin:0 auto;padding:1rem 1rem 4rem}
h1{font-size:1.7rem;line-height:1.25}h2{margin-top:2.5rem;border-bottom:1px solid var(--line)}
.table{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{text-align:left;vertical-align:top;padding:.3rem .8rem .3rem 0;border-bottom:1px solid var(--line)}
td{overflow-wrap:break-word;min-width:4rem;max-width:24rem}th{color:var(--muted);font-weight:600}
pre{background:var(--panel);padding:.8rem 1rem;white-space:pre-wrap;overflow-wrap:anywhere;border-radius:.3rem}
figure{margin:1.5rem 0}figcaption{color:var(--muted);font-size:.9rem}svg{width:100%;height:auto}
"""

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 640, 300, 58, 14, 52, 40


def _svg(curves: Curves, alone: bool = False) -> str:
    """Draw curves; a picture that stands alone brings its colours along."""
    xs = [x for points in curves.lines.values() for x, _ in points]
    ys = [y for points in curves.lines.values() for _, y in points]
    if curves.name.endswith("reward"):  # a share: its place between 0 and 1 is what matters
        ys += [0.0, 1.0]
    x_ticks, y_ticks = _ticks(min(xs), max(xs)), _ticks(min(ys), max(ys))
    low_x, high_x = min(xs), max(max(xs), min(xs) + 1)
    low_y, high_y = min(y_ticks[0], min(ys)), max(y_ticks[-1], max(ys))

    def place(x: float, y: float) -> str:
        across = _LEFT + (x - low_x) / (high_x - low_x) * (_WIDTH - _LEFT - _RIGHT)
        down = _HEIGHT - _BOTTOM - (y - low_y) / (high_y - low_y) * (_HEIGHT - _TOP - _BOTTOM)
        return f"{across:.1f},{down:.1f}"

    parts = [f"<title>{html.escape(str(curves))}</title>"]
    text = 'font-family="system-ui,sans-serif" font-size="13" style="fill:var(--{})" text-anchor="{}"'
    parts.append(
        f'<text x="{_LEFT}" y="18" font-weight="600" {text.format("ink", "start")}>{html.escape(curves.title)}</text>'
    )
    for tick in y_ticks:
        x, y = place(low_x, tick).split(",")
        parts.append(
            f'<line x1="{x}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}" style="stroke:var(--line)"/>'
            f'<text x="{_LEFT - 8}" y="{float(y) + 4:.1f}" {text.format("muted", "end")}>{tick:g}</text>'
        )
    for tick in x_ticks:
        if low_x <= tick <= high_x:
            x = place(tick, low_y).split(",")[0]
            parts.append(
                f'<text x="{x}" y="{_HEIGHT - _BOTTOM + 18}" {text.format("muted", "middle")}>{tick:,.10g}</text>'
            )
    parts.append(f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 6}" {text.format("muted", "end")}>step</text>')
    for number, (label, points) in enumerate(curves.lines.items()):
        colour, left = SERIES[number % len(SERIES)], _LEFT + 170 * number
        drawn = [place(x, y) for x, y in _thin(points)]
        for dot in drawn if len(drawn) < 25 else ():
            x, y = dot.split(",")
            parts.append(f'<circle cx="{x}" cy="{y}" r="3" style="fill:var(--{colour})"/>')
        parts.append(
            f'<polyline points="{" ".join(drawn)}" fill="none" stroke-width="2" style="stroke:var(--{colour})"/>'
            f'<line x1="{left}" x2="{left + 22}" y1="35" y2="35" stroke-width="3" style="stroke:var(--{colour})"/>'
            f'<text x="{left + 28}" y="39" {text.format("ink", "start")}>{html.escape(label)}</text>'
        )
    style = f"<style>{_colours()}</style>" if alone else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{style}'
        + "".join(parts)
        + "</svg>"
    )


def _thin(points: list[tuple[int, float]], most: int = 240) -> list[tuple[float, float]]:
    """Average neighbours until so many points are left that a screen can show."""
    size = -(-len(points) // most)
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(sum(x for x, _ in group) / len(group), _mean(group)) for group in groups]


def _ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Choose round numbers that span a range.

    >>> _ticks(0.2, 6.9)
    [0.0, 2.0, 4.0, 6.0, 8.0]
    """
    if high <= low:
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / about
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
    return [round(n * step, 12) for n in range(math.floor(low / step), math.ceil(high / step) + 1)]
