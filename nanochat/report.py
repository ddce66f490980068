"""The record of a run, and the report card that is made of it.

While a stage runs, a :class:`RunRecord` writes what it measures into one file, ``metrics.jsonl``, in the folder of the
run: a line of JSON for each measurement, pushed out at once, so that a run that is killed leaves all but its last
moment. TensorBoard and Weights & Biases get the same numbers if they are asked for. Later :func:`write_report` reads
the files of all stages and writes one page about the whole: settings, data, curves, scores, samples, time and cost,
and what was not measured.
"""

from __future__ import annotations

import json
import math
import os
import platform
import secrets
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import torch

import nanochat
from nanochat.common import InputError, Runtime, base_dir

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
