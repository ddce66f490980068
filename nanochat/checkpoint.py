"""Checkpoints: everything that changes while a model trains, on disk, whole or not at all.

A run has a folder. Each saved step is a folder of its own inside, and holds four files::

    step_000200/
      model.safetensors    the weights
      optim.safetensors    what the optimizers remember, by the name of the parameter
      state.json           plan, step, position in the data, random numbers, history, versions
      manifest.json        size and SHA-256 of the three files above, written last

A step is written under another name, pushed to the disk, and renamed when all of it is there. A run that is killed,
or a disk that fills up, therefore leaves the earlier steps as they were. There is no file that points at the newest
step: it is the highest one whose manifest is right. Nothing here executes what it reads (no pickle).
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import platform
import random
import re
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

import nanochat
from nanochat.common import InputError, Runtime, get_logger, push_to_disk
from nanochat.distributed import all_gather, collect, owned, together
from nanochat.gpt import GPT, GPTConfig
from nanochat.optim import make_optimizers
from nanochat.train import Loader, Plan, StepMetrics, TrainState

log = get_logger(__name__)

FORMAT = 1
"""The number of this layout; a file with another one was made by another version."""
FILES = ("model.safetensors", "optim.safetensors", "state.json")
"""The files that a manifest vouches for; it may name no others."""
MANIFEST = "manifest.json"
"""The file that makes a step whole."""
LOCK = ".lock"
"""The file that a running training holds locked in its folder."""

_STEP_NAME = re.compile(r"step_([0-9]{1,18})")
_TEMPORARY_NAME = re.compile(r"\.tmp-[0-9]+-[0-9a-f]+")


# Looking: which steps there are, and whether they are whole ------------------------------------------------------


def step_folder(directory: Path | str, step: int) -> Path:
    """Name the folder of one step.

    Args:
        directory: The folder of the run.
        step: The number of steps taken.

    Returns:
        The path; whether it exists is another question.

    Example:
        >>> step_folder("run", 200).name
        'step_000200'
    """
    return Path(directory) / f"step_{step:06d}"


def list_steps(directory: Path | str) -> list[int]:
    """List the steps that a folder holds, damaged ones included, in the order of their numbers.

    Other names (``step_000200_backup``, ``.tmp-...``, notes) are not ours and are left alone.

    Args:
        directory: The folder of the run.

    Returns:
        Step numbers, rising; empty where the folder does not exist.

    Example:
        >>> list_steps("no such folder")
        []
    """
    return sorted(_step_paths(Path(directory)))


def damage(path: Path | str) -> list[str]:
    """Say what is wrong with the folder of one step.

    Sizes are compared first and hashes after, so that a truncated file is found at once and a single changed bit
    is found too.

    Args:
        path: The folder of the step.

    Returns:
        One sentence for each problem, each naming its file; empty if the step is whole.
    """
    path = Path(path)
    named = _STEP_NAME.fullmatch(path.name)
    try:
        manifest = _read_json(path / MANIFEST)
    except InputError as error:
        return [str(error)]
    listed = manifest.get("files")
    if manifest.get("format") != FORMAT or not isinstance(listed, dict):
        return [f"{path / MANIFEST} has format {manifest.get('format')!r}, this version reads format {FORMAT}"]
    problems = [
        f"{path / MANIFEST} names {name!r}, which is no file of a checkpoint; nothing outside the folder is read"
        for name in listed
        if name not in FILES
    ]
    problems += [f"{path / MANIFEST} does not name {name}" for name in FILES if name not in listed]
    if named and manifest.get("step") != int(named[1]):
        problems.append(f"{path / MANIFEST} is of step {manifest.get('step')!r}, the folder was renamed")
    if problems:
        return problems
    for name in FILES:
        problem = _file_damage(path / name, listed[name])
        if problem:
            problems.append(problem)
    return problems


def latest_step(directory: Path | str) -> int | None:
    """Find the newest step that is whole.

    Args:
        directory: The folder of the run.

    Returns:
        The highest step whose files are those of its manifest; None if there is none. Damaged steps that are passed
        over are named in the log.
    """
    paths = _step_paths(Path(directory))
    for step in sorted(paths, reverse=True):
        problems = damage(paths[step])
        if not problems:
            return step
        log.warning("step %d is damaged and passed over: %s", step, "; ".join(problems))
    return None


@dataclass(frozen=True)
class Saved:
    """What a checkpoint says about itself: everything but the tensors."""

    path: Path
    """The folder of the step."""
    step: int
    """Steps taken."""
    plan_dict: dict[str, Any]
    """The plan as plain data; :attr:`plan` and :attr:`config` make objects of it."""
    world_size: int
    """How many processes trained together."""
    dtype: str
    """The precision of the matrix products, such as ``float32``."""
    device: str
    """The kind of device that trained, such as ``cpu``."""
    tokenizer_fingerprint: str
    """The fingerprint of the tokenizer that made the training tokens; empty if none was given."""
    loader: dict[str, Any]
    """The position in the data."""
    history: list[StepMetrics]
    """What each step measured, from the first one of the run."""
    optimizers: list[dict[str, Any]]
    """For each optimizer its class, and for each of its parameters the names of what is remembered."""
    rng: dict[str, Any]
    """The states of the generators of random numbers of the first process; those of the ``others`` are in a list."""
    versions: dict[str, str]
    """The versions of Python and of the libraries that wrote it."""
    notes: dict[str, Any]
    """What the stage added, such as its command line."""

    @property
    def config(self) -> GPTConfig:
        """The sizes of the model.

        Raises:
            InputError: If the saved sizes are not those that this version knows.
        """
        sizes = self.plan_dict.get("model")
        _check_keys(self.path / "state.json", "plan.model", sizes, GPTConfig)
        return GPTConfig(**sizes)

    @property
    def plan(self) -> Plan:
        """The plan of the run.

        Raises:
            InputError: If the saved plan has other fields than this version knows.
        """
        config = self.config
        _check_keys(self.path / "state.json", "plan", self.plan_dict, Plan)
        try:
            return Plan(**{**self.plan_dict, "model": config})
        except TypeError as error:
            raise InputError(
                f"{self.path / 'state.json'}: the plan holds a value of the wrong type: {error}"
            ) from error


def read_saved(directory: Path | str, step: int | None = None) -> Saved:
    """Read what a checkpoint says about itself, after checking that it is whole.

    Args:
        directory: The folder of the run.
        step: Which step; None means the newest whole one.

    Returns:
        The description.

    Raises:
        InputError: If there is no such step (the message lists those there are) or it is damaged (the message names
            the file, and a step to use in its place).
    """
    path = _find(Path(directory), step)
    source = path / "state.json"
    state = _read_json(source)
    expected = {
        "step": int,
        "plan": dict,
        "world_size": int,
        "dtype": str,
        "device": str,
        "tokenizer_fingerprint": str,
        "loader": dict,
        "history": dict,
        "optimizers": list,
        "rng": dict,
        "versions": dict,
        "notes": dict,
    }
    wrong = [
        f"{source}: {name!r} must be there and be a {kind.__name__}"
        for name, kind in expected.items()
        if not isinstance(state.get(name), kind)
    ]
    _refuse(wrong, "was it written by another version? use that version, or train anew")
    history = state["history"]
    _check_keys(source, "history", history, StepMetrics)
    try:
        rows = [StepMetrics(*row) for row in zip(*(history[f.name] for f in fields(StepMetrics)), strict=True)]
    except (TypeError, ValueError) as error:
        raise InputError(f"{source}: the columns of history are not equally long lists: restore the file") from error
    values = {name: state[name] for name in expected if name not in ("plan", "history")}
    return Saved(path=path, plan_dict=state["plan"], history=rows, **values)


# Reading: weights, and whole states ------------------------------------------------------------------------------


def load_model(
    directory: Path | str,
    step: int | None = None,
    runtime: Runtime | None = None,
    tokenizer_fingerprint: str | None = None,
) -> GPT:
    """Load the weights of a checkpoint into a model, to use it.

    Args:
        directory: The folder of the run.
        step: Which step; None means the newest whole one.
        runtime: Where the model shall live and how it shall compute; None means the CPU in float32.
        tokenizer_fingerprint: The fingerprint of the tokenizer that will be used with it, to be compared with that of
            training; None compares nothing.

    Returns:
        The model.

    Raises:
        InputError: If there is no such step, it is damaged, its tensors do not fit its sizes, or the tokenizer is
            another one.
    """
    saved = read_saved(directory, step)
    _check_tokenizer(saved, tokenizer_fingerprint)
    model = _model_from(saved, saved.config)
    if runtime is not None:
        model.to(runtime.device)
        model.compute_dtype = runtime.dtype
    return model.eval()


def resume(
    directory: Path | str,
    loader: Loader,
    runtime: Runtime,
    plan: Plan | None = None,
    step: int | None = None,
    tokenizer_fingerprint: str | None = None,
) -> TrainState:
    """Take a training run up again, exactly where it was saved.

    Weights, what the optimizers remember, the step (and with it the learning rates), the position in the data and the
    random numbers come back. On the same machine, with the same number of threads, the losses that follow are those of
    a run that was never interrupted, to the last digit. Precision, device, number of processes and rows at once
    (``device_batch_size``) may change: the batches stay the same, and the log says that rounding will not.

    Args:
        directory: The folder of the run.
        loader: Batches of the same data, with the same settings; its position is set here.
        runtime: Where to compute.
        plan: The plan that the caller wants, to be compared with the saved one; None takes the saved one.
        step: Which step; None means the newest whole one.
        tokenizer_fingerprint: See :func:`load_model`.

    Returns:
        The state, ready for its next step.

    Raises:
        InputError: If the checkpoint is missing or damaged, or plan, tokenizer or data differ: one line for each
            difference.

    Guide:
        "If any of these is forgotten, the run goes on, and nobody notices that it is another run."
        (nano/training/budget)
    """
    saved = read_saved(directory, step)
    _check_tokenizer(saved, tokenizer_fingerprint)
    planned = saved.plan
    if plan is not None:
        _check_plan(saved, planned, plan)
        planned = plan
    planned.accumulation(runtime.world_size)
    for name, then, now in _rounding_differences(saved, planned, runtime):
        log.warning("%s was %s and is %s: the losses will agree but for rounding", name, then, now)
    model = _model_from(saved, planned.model).to(runtime.device)
    model.compute_dtype = runtime.dtype
    optimizers = make_optimizers(model, planned)
    _load_optimizers(saved, model, optimizers)
    loader.load_state_dict(saved.loader)
    _set_rng(saved, runtime)
    return TrainState(planned, model, loader, runtime, optimizers, saved.step, saved.history)


# Writing ---------------------------------------------------------------------------------------------------------


def save_checkpoint(
    state: TrainState,
    directory: Path | str,
    tokenizer_fingerprint: str = "",
    keep: int | None = None,
    notes: dict[str, Any] | None = None,
) -> Path:
    """Save a state, whole or not at all.

    All processes of a run call this together. Each sends what its optimizers remember to the process of rank 0, which
    alone writes, and waits until that is done. Where the step is there already and has the same weights, it stays; one
    that differs is set aside under a name that ends in ``.replaced-...``.

    Args:
        state: The state after a step.
        directory: The folder of the run; it is created.
        tokenizer_fingerprint: The fingerprint of the tokenizer that made the training tokens.
        keep: After the new step has been read back and found whole, keep the newest ``keep`` whole steps and remove
            the older ones; None keeps all.
        notes: Plain data to be saved along, such as the command line.

    Returns:
        The folder of the step.

    Raises:
        InputError: If a weight is not a finite number, or the disk refuses; earlier steps are as they were.
    """
    directory = Path(directory)
    final = step_folder(directory, state.step)
    if keep is not None and keep < 1:
        raise InputError(
            f"keep={keep} would remove the checkpoint that was just saved: keep at least 1, or None for all"
        )
    memory, described = _optimizer_memory(state)
    generators = all_gather(_get_rng(state.runtime.device))
    with together(f"save step {state.step}"):
        if state.runtime.is_main:
            description = _describe(state, described, generators, tokenizer_fingerprint, notes or {})
            _write_step(final, state.step, _weights(state.model), memory, description)
            if keep is not None:
                _purge_after(final, keep)
    return final


def _write_step(
    final: Path, step: int, weights: dict[str, Tensor], memory: dict[str, Tensor], description: str
) -> None:
    """Write the folder of a step under another name and rename it when all of it is on the disk."""
    directory = final.parent
    broken = [name for name, tensor in {**weights, **memory}.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise InputError(
            f"step {step} is not saved: {broken[0]} and {len(broken) - 1} more hold NaN or infinity; "
            f"go back to an earlier step and lower the learning rates"
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with _new_folder(directory) as temporary:
            _write_text(temporary / "state.json", description)
            for name, tensors in (("model.safetensors", weights), ("optim.safetensors", memory)):
                safetensors.torch.save_file(tensors, temporary / name)
                # The library makes files that only their owner may read; take the mode that the umask gave the first.
                os.chmod(temporary / name, (temporary / "state.json").stat().st_mode & 0o777)
                push_to_disk(temporary / name)
            entries = {name: _fingerprint(temporary / name) for name in FILES}
            manifest = {"format": FORMAT, "step": step, "files": entries}
            _write_text(temporary / MANIFEST, json.dumps(manifest, indent=1) + "\n")
            push_to_disk(temporary)
            if not _same_weights(final, manifest):
                if final.exists():
                    aside = final.with_name(f"{final.name}.replaced-{secrets.token_hex(4)}")
                    log.warning("%s was there already, from another run or damaged; it is now %s", final, aside.name)
                    os.rename(final, aside)
                os.rename(temporary, final)
            push_to_disk(directory)
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(
            f"step {step} could not be saved in {directory}: {error}; earlier steps are as they were: "
            f"make room or choose another folder, then resume"
        ) from error


def _purge_after(final: Path, keep: int) -> None:
    """Remove older steps, once the new one reads back as it was written."""
    problems = damage(final)
    if problems:
        raise InputError(f"{final.name} does not read back as written, so nothing older was removed: {problems[0]}")
    purge(final.parent, keep)


def purge(directory: Path | str, keep: int) -> list[int]:
    """Remove the oldest steps.

    A step leaves its name first and its files after, so that a run killed in between leaves no half of a step behind.

    Args:
        directory: The folder of the run.
        keep: How many of the newest whole steps stay, at least 1; damaged ones do not count, and those that are newer
            than a kept one stay too.

    Returns:
        The steps that were removed.

    Raises:
        InputError: If ``keep`` is less than 1.
    """
    if keep < 1:
        raise InputError(f"keep={keep} would remove every checkpoint: keep at least 1")
    directory = Path(directory)
    paths = _step_paths(directory)
    whole = 0
    removed = []
    for step in sorted(paths, reverse=True):
        if whole < keep:
            whole += not damage(paths[step])
            continue
        leaving = _temporary_path(directory)
        os.rename(paths[step], leaving)
        shutil.rmtree(leaving, ignore_errors=True)
        removed.append(step)
    return removed


# The folder of a run ---------------------------------------------------------------------------------------------


def check_writable(directory: Path | str, step: int | None = None) -> None:
    """Refuse a folder that cannot take checkpoints, before the first step and not after the last.

    Args:
        directory: The folder of the run; it is created.
        step: The step that the run starts from: the folder may then hold no later one, for the two runs would mix.
            None asks nothing of what is there.

    Raises:
        InputError: If the folder cannot be made or written to, or holds later steps.
    """
    directory = Path(directory)
    probe = _temporary_path(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _write_text(probe, "may this folder be written to?\n")
        probe.unlink()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise InputError(
            f"{directory} cannot take checkpoints: {error}; give a folder that you may write to"
        ) from error
    later = [] if step is None else [there for there in list_steps(directory) if there > step]
    if later:
        raise InputError(
            f"{directory} holds checkpoints of a longer run (steps {_some(later)}), this one starts at step {step}: "
            f"resume from step {later[-1]}, give another folder, or remove them"
        )


@contextmanager
def run_lock(directory: Path | str, runtime: Runtime | None = None) -> Iterator[None]:
    """Keep a second training out of a folder for as long as this one runs.

    The system holds the lock and drops it when the process ends, in whatever way; a file left by a run that was killed
    stops nobody. What such a run had begun to write is removed. Of several processes, that of rank 0 takes the lock,
    and all wait for the answer.

    Args:
        directory: The folder of the run; it must exist (:func:`check_writable` makes it).
        runtime: Says whether this is the process of rank 0; None means that it is.

    Yields:
        Nothing; the folder is ours inside the ``with`` block.

    Raises:
        InputError: If another process holds the folder; the message has its number.
    """
    file = None
    with together(f"take the folder {directory}"):
        if runtime is None or runtime.is_main:
            file = _take_lock(Path(directory))
    if file is None:
        yield
        return
    with file:
        try:
            yield
        finally:
            _claim(file, "")


def _take_lock(directory: Path) -> TextIO | None:
    """Lock a folder and clean it up; return the open file that holds the lock, or None where there are no locks."""
    try:
        import fcntl
    except ImportError:  # Windows has no such lock
        log.warning("this system cannot lock %s: take care that only one run writes to it", directory)
        return None
    path = directory / LOCK
    file = open(path, "a+", encoding="utf-8")  # the caller closes it, and with it the lock
    file.seek(0)
    owner = file.read().strip()
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise InputError(
            f"{directory} is in use by another training ({owner or 'just starting'}; see {path}): wait for it, "
            f"stop it, or give another folder"
        ) from error
    if owner:
        log.warning("%s: the run before (%s) ended without a word; its lock is void and taken over", path, owner)
    _claim(file, f"process {os.getpid()} on {socket.gethostname()}")
    for name in os.listdir(directory):
        if _TEMPORARY_NAME.fullmatch(name):
            shutil.rmtree(directory / name, ignore_errors=True)
    return file


def _claim(file: TextIO, owner: str) -> None:
    """Write into an open lock file who holds it."""
    file.seek(0)
    file.truncate()
    file.write(owner)
    file.flush()


# Inside: files ---------------------------------------------------------------------------------------------------


def _step_paths(directory: Path) -> dict[int, Path]:
    """Map the steps of a folder to their paths; of two names for one number, the one that we would write wins."""
    if not directory.is_dir():
        return {}
    found: dict[int, Path] = {}
    for path in sorted(directory.iterdir()):
        match = _STEP_NAME.fullmatch(path.name)
        if match and path.is_dir():
            step = int(match[1])
            if step not in found or path == step_folder(directory, step):
                found[step] = path
    return found


def _find(directory: Path, step: int | None) -> Path:
    """Return the folder of a whole step, or explain why there is none."""
    paths = _step_paths(directory)
    if not paths:
        raise InputError(
            f"{directory} holds no checkpoint: give the folder of a run, or train a model first "
            f"(python -m scripts.base_train)"
        )
    if step is None:
        step = latest_step(directory)
        if step is None:
            newest = max(paths)
            raise InputError(
                f"{directory} holds no whole checkpoint, only damaged ones (steps {_some(sorted(paths))}): "
                f"{damage(paths[newest])[0]}; restore the files or train anew"
            )
    elif step not in paths:
        raise InputError(f"{directory} has no step {step}: it has {_some(sorted(paths))}")
    else:
        problems = damage(paths[step])
        if problems:
            whole = next(
                (other for other in sorted(paths, reverse=True) if other != step and not damage(paths[other])), None
            )
            cure = "restore the file or train anew" if whole is None else f"use step {whole}, which is whole"
            _refuse(problems, cure)
    return paths[step]


def _some(steps: list[int]) -> str:
    """List numbers, the last ten at most."""
    return ("..., " if len(steps) > 10 else "") + ", ".join(str(step) for step in steps[-10:])


def _refuse(problems: list[str], cure: str) -> None:
    """Raise one error with a line for each problem, if there are any."""
    if problems:
        raise InputError("\n".join(f"{problem}: {cure}" for problem in problems))


def _read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds one JSON object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} must hold a JSON object, not a {type(value).__name__}")
    return value


def _file_damage(path: Path, entry: Any) -> str | None:
    """Compare one file with its entry in the manifest."""
    size, digest = (entry.get("size"), entry.get("sha256")) if isinstance(entry, dict) else (None, None)
    if not isinstance(size, int) or not isinstance(digest, str):
        return f"{path.with_name(MANIFEST)} says neither size nor sha256 of {path.name}"
    try:
        if not path.is_file():
            return f"{path} is missing"
        actual = path.stat().st_size
        if actual != size:
            return f"{path} has {actual} bytes, the manifest says {size}"
        if _fingerprint(path)["sha256"] != digest:
            return f"{path} has changed since it was saved (its sha256 differs from the manifest)"
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    return None


def _fingerprint(path: Path) -> dict[str, Any]:
    """Return size and SHA-256 of a file."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"size": path.stat().st_size, "sha256": digest}


def _temporary_path(directory: Path) -> Path:
    """Invent a name that no one else uses and that :func:`list_steps` ignores."""
    return directory / f".tmp-{os.getpid()}-{secrets.token_hex(4)}"


@contextmanager
def _new_folder(directory: Path) -> Iterator[Path]:
    """Make a folder under a temporary name; whatever still has that name in the end is removed."""
    temporary = _temporary_path(directory)
    temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_text(path: Path, text: str) -> None:
    """Write a file and push it to the disk."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _same_weights(final: Path, manifest: dict[str, Any]) -> bool:
    """Say whether a step is there already, whole, with the tensors that are about to be saved."""
    if not final.exists() or damage(final):
        return False
    there = _read_json(final / MANIFEST)["files"]
    return all(there[name] == manifest["files"][name] for name in FILES if name.endswith(".safetensors"))


# Inside: the state as tensors and plain data ---------------------------------------------------------------------


def _unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside ``torch.compile`` or a distributed wrapper, whose names are the plain ones."""
    for attribute in ("_orig_mod", "module"):
        model = getattr(model, attribute, model)
    return model


def _weights(model: nn.Module) -> dict[str, Tensor]:
    """Collect the weights by name, on the CPU."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in _unwrapped(model).state_dict().items()}


def _optimizer_memory(state: TrainState) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """Collect what the optimizers remember, as ``parameter/what``, and describe which optimizer remembers what.

    Each of several processes remembers its own share. The first one gets all of it, the others what they have.
    """
    names = {id(p): name for name, p in _unwrapped(state.model).named_parameters()}
    memory = collect(
        {
            f"{names[id(p)]}/{what}": torch.as_tensor(tensor).detach().cpu().contiguous()
            for optimizer in state.optimizers
            for p, remembered in optimizer.state.items()
            for what, tensor in remembered.items()
        }
    )
    described = []
    for optimizer in state.optimizers:
        moves: dict[str, list[str]] = {names[id(p)]: [] for group in optimizer.param_groups for p in group["params"]}
        for name, what in (key.split("/") for key in sorted(memory)):
            if name in moves:
                moves[name].append(what)
        described.append({"class": type(optimizer).__name__, "remembers": moves})
    return memory, described


def _describe(
    state: TrainState,
    optimizers: list[dict[str, Any]],
    generators: list[dict[str, Any]],
    fingerprint: str,
    notes: dict[str, Any],
) -> str:
    """Write the text of ``state.json``."""
    history = {f.name: [getattr(row, f.name) for row in state.history] for f in fields(StepMetrics)}
    plain = {
        "format": FORMAT,
        "step": state.step,
        "plan": asdict(state.plan),
        "world_size": state.runtime.world_size,
        "dtype": _dtype_name(state.runtime.dtype),
        "device": state.runtime.device.type,
        "tokenizer_fingerprint": fingerprint,
        "loader": state.loader.state_dict(),
        "optimizers": optimizers,
        "versions": {
            "nanochat": nanochat.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "safetensors": safetensors.__version__,
        },
        "notes": notes,
        "rng": {**generators[0], "others": generators[1:]},
        "history": history,
    }
    try:
        return json.dumps(plain, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise InputError(
            f"step {state.step} is not saved: the loader's state_dict() and the notes must be plain data that JSON can "
            f"hold: {error}"
        ) from error


def _dtype_name(dtype: torch.dtype) -> str:
    """Return the short name of a precision."""
    return str(dtype).removeprefix("torch.")


def _get_rng(device: torch.device) -> dict[str, Any]:
    """Collect the states of the generators of random numbers of this process."""

    def text(tensor: Tensor) -> str:
        return base64.b64encode(tensor.numpy().tobytes()).decode("ascii")

    version, words, gauss = random.getstate()
    kind, keys, place, has_gauss, cached = np.random.get_state()
    states: dict[str, Any] = {
        "torch": text(torch.get_rng_state()),
        "python": [version, list(words), gauss],
        "numpy": [kind, keys.tolist(), place, has_gauss, cached],
    }
    if device.type == "cuda":
        states["cuda"] = text(torch.cuda.get_rng_state(device).cpu())
    return states


def _set_rng(saved: Saved, runtime: Runtime) -> None:
    """Set the generators of random numbers to where they were; a process that there was not then keeps its own."""

    def tensor(text: str) -> Tensor:
        return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)

    try:
        everyone = [saved.rng, *saved.rng.get("others", [])]
        if runtime.rank >= len(everyone):
            return
        states = everyone[runtime.rank]
        version, words, gauss = states["python"]
        kind, keys, place, has_gauss, cached = states["numpy"]
        random.setstate((version, tuple(words), gauss))
        np.random.set_state((kind, np.array(keys, dtype=np.uint32), place, has_gauss, cached))
        torch.set_rng_state(tensor(states["torch"]))
        if "cuda" in states and torch.cuda.is_available():
            torch.cuda.set_rng_state(tensor(states["cuda"]))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{saved.path / 'state.json'}: the states of the random numbers do not fit this version: {error!r}; "
            f"resume with the versions that saved it: {saved.versions}"
        ) from error


def _read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a file of tensors."""
    try:
        return safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def _compare_tensors(path: Path, found: dict[str, Tensor], expected: dict[str, tuple[torch.Size, torch.dtype]]) -> None:
    """Refuse tensors that are not those expected: a line for each that is missing, too many, or of another kind."""
    problems = [f"{path}: {name} is missing" for name in expected if name not in found]
    for name, tensor in found.items():
        if name not in expected:
            problems.append(f"{path}: {name} is there and not part of this model")
            continue
        shape, dtype = expected[name]
        if tensor.shape != shape:
            problems.append(
                f"{path}: {name} has shape {tuple(tensor.shape)}, the plan in state.json asks for {tuple(shape)}"
            )
        elif tensor.dtype != dtype:
            problems.append(
                f"{path}: {name} is {_dtype_name(tensor.dtype)}, this version keeps it in {_dtype_name(dtype)}"
            )
    _refuse(problems, "the files do not belong together; restore the folder or use another step")


def _model_from(saved: Saved, config: GPTConfig) -> GPT:
    """Build the model of a checkpoint on the CPU and give it its weights."""
    model = GPT(config)
    path = saved.path / "model.safetensors"
    tensors = _read_tensors(path)
    _compare_tensors(path, tensors, {name: (t.shape, t.dtype) for name, t in model.state_dict().items()})
    model.load_state_dict(tensors)
    return model


def _load_optimizers(saved: Saved, model: GPT, optimizers: list[torch.optim.Optimizer]) -> None:
    """Give fresh optimizers what the saved ones remembered, parameter by parameter; each process takes its share."""
    path = saved.path / "optim.safetensors"
    parameters = dict(model.named_parameters())
    names = {id(p): name for name, p in parameters.items()}
    ours = [(type(o).__name__, sorted(names[id(p)] for g in o.param_groups for p in g["params"])) for o in optimizers]
    try:
        theirs = [(entry["class"], sorted(entry["remembers"])) for entry in saved.optimizers]
    except (KeyError, TypeError) as error:
        raise InputError(f"{saved.path / 'state.json'}: 'optimizers' has another form than this version's") from error
    if ours != theirs:
        raise InputError(
            f"{saved.path / 'state.json'}: the optimizers were {[kind for kind, _ in theirs]} and share the parameters "
            f"otherwise than this version's {[kind for kind, _ in ours]}: resume with nanochat "
            f"{saved.versions.get('nanochat')}"
        )
    memory = _read_tensors(path)
    expected = {}
    for entry in saved.optimizers:
        for name, remembered in entry["remembers"].items():
            for what in remembered:
                # The number of steps is a single number; everything else is as large as its parameter.
                shape = torch.Size() if what == "step" else parameters[name].shape
                expected[f"{name}/{what}"] = (shape, torch.float32)
    _compare_tensors(path, memory, expected)
    mine = dict(zip(parameters, owned(list(parameters.values())), strict=True))
    for optimizer, entry in zip(optimizers, saved.optimizers, strict=True):
        for name, remembered in entry["remembers"].items():
            if remembered and mine[name]:
                p = parameters[name]
                optimizer.state[p] = {what: memory[f"{name}/{what}"].to(p.device) for what in remembered}


def _check_keys(source: Path, what: str, found: Any, kind: type) -> None:
    """Refuse a saved mapping whose keys are not the fields of a dataclass: a line for each."""
    keys = set(found) if isinstance(found, dict) else set()
    known = {f.name for f in fields(kind)}
    problems = [f"{source}: {what} has the unknown key {key!r}" for key in sorted(keys - known)]
    problems += [f"{source}: {what} lacks the key {key!r}" for key in sorted(known - keys)]
    _refuse(problems, "it was written by another version; use that one, or train anew")


def _rounding_differences(saved: Saved, plan: Plan, runtime: Runtime) -> list[tuple[str, Any, Any]]:
    """List what changes the order of additions, and with it the last digits, but nothing else: name, then, now."""
    compared = (
        ("the precision", saved.dtype, _dtype_name(runtime.dtype)),
        ("the device", saved.device, runtime.device.type),
        ("the number of processes", saved.world_size, runtime.world_size),
        ("device_batch_size", saved.plan.device_batch_size, plan.device_batch_size),
        ("the version of torch", saved.versions.get("torch"), torch.__version__),
    )
    return [entry for entry in compared if entry[1] != entry[2]]


def _check_plan(saved: Saved, planned: Plan, wanted: Plan) -> None:
    """Refuse to go on under another plan: a line for each difference."""
    problems = []
    for label, then, now in (("", planned, wanted), ("model.", planned.model, wanted.model)):
        for f in fields(then):
            if f.name not in ("model", "device_batch_size") and getattr(then, f.name) != getattr(now, f.name):
                problems.append(
                    f"{saved.path}: {label}{f.name} was {getattr(then, f.name)!r} and is now {getattr(now, f.name)!r}"
                )
    _refuse(problems, "resume with the old value, or start anew in another folder")


def _check_tokenizer(saved: Saved, fingerprint: str | None) -> None:
    """Refuse another tokenizer than that of training."""
    if fingerprint and saved.tokenizer_fingerprint and fingerprint != saved.tokenizer_fingerprint:
        raise InputError(
            f"{saved.path} was trained with tokenizer {saved.tokenizer_fingerprint[:12]}, this one is "
            f"{fingerprint[:12]}: its ids mean other texts; use the tokenizer of the run"
        )
