"""What the stages that train have in common: their flags, the plan on the screen, the loop, what is saved and when.

Base training, mid-training, fine-tuning and reinforcement learning differ in where their batches come from, and in
what they measure. A stage prepares these two, and :func:`train` does the rest.
"""

# Annotations stay objects here: the classes that inherit these fields stand in modules that do not know their names.
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nanochat.checkpoint import latest_step, resume, run_lock, save_checkpoint
from nanochat.common import InputError, Runtime, Stopped, detect_runtime, stop_on_signal
from nanochat.distributed import agree, distributed, fingerprint, from_first, together
from nanochat.gpt import GPT, GPTConfig
from nanochat.optim import REFERENCE_WIDTH
from nanochat.report import RunRecord, Track
from nanochat.tokenizer import Tokenizer
from nanochat.train import (
    Loader,
    Plan,
    Recipe,
    StepMetrics,
    TrainState,
    faster_dtype,
    fit,
    keep_freed_memory,
    readable_time,
)

TOKENIZER_FILE = "tokenizer.json"
"""The name under which a run keeps the tokenizer that it was trained with, beside its checkpoints."""

STEP_AT_DEPTH_20 = 2**19
"""Tokens of one step on a GPU at depth 20, where nobody says: about half a million."""


def usual_batch_size(config: GPTConfig, once: int, runtime: Runtime) -> int:
    """Choose the tokens of one step where nobody says.

    A CPU takes what it computes at once: more rows would only make its few steps fewer. On a GPU the batch grows with
    the depth. A deeper model is trained on more tokens, and the further a training has come, the larger is the batch
    that still pays (:arxiv:`1812.06162`).

    Args:
        config: The model.
        once: Tokens that all processes compute at once.
        runtime: Where to compute.

    Returns:
        A multiple of ``once``.

    Example:
        >>> config = GPTConfig.from_depth(10, sequence_len=2048)
        >>> usual_batch_size(config, 32 * 2048, detect_runtime("cpu")) == 32 * 2048
        True
    """
    if runtime.device.type == "cpu":
        return once
    return max(1, round(STEP_AT_DEPTH_20 * config.n_layer / 20 / once)) * once


@dataclass(frozen=True, kw_only=True)
class RunSettings(Recipe):
    """The flags that every stage of training has."""

    run: str | None = None
    """Name of the folder for the checkpoints, inside of the stage's folder in the base folder."""
    resume: bool = False
    """Go on from the newest checkpoint of this run."""
    eval_every: int = 100
    """Steps between two measurements; 0 measures at the end only."""
    save_every: int = 0
    """Steps between two checkpoints; 0 saves at the end only."""
    keep: int = 2
    """How many checkpoints are kept, the newest ones."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, or mps."""
    dtype: str = "auto"
    """Precision of the matrix products: auto (the faster one, found by trying), float32, or bfloat16."""
    threads: int | None = None
    """Threads on the CPU; if not given, those that torch chooses."""
    track: Track = "none"
    """Who else is told of the measurements: none, tensorboard, or wandb."""

    def __post_init__(self) -> None:
        # Elsewhere a 0 would pass for a flag that was not given.
        check_least(self, device_batch_size=1, total_batch_size=1, num_iterations=1, seed=0)
        check_least(self, eval_every=0, save_every=0, keep=1)
        check_run_name(self.run)


def check_least(settings: object, **least: int) -> None:
    """Refuse flags that are too small.

    Args:
        settings: The flags.
        least: For each field its smallest value; a field that is None passes.

    Raises:
        InputError: If a value is smaller.
    """
    for name, bound in least.items():
        value = getattr(settings, name)
        if value is not None and value < bound:
            raise InputError(f"--{name.replace('_', '-')}={value} must be at least {bound}")


def check_run_name(run: str | None) -> None:
    """Refuse the name of a run that would leave the folder of its stage.

    Raises:
        InputError: If the name is not that of a folder.
    """
    if run is not None and (run in ("", ".", "..") or Path(run).name != run):
        raise InputError(f"--run={run!r} must be the name of a folder, without slashes")


@contextmanager
def started(settings: RunSettings) -> Iterator[Runtime]:
    """Prepare this process for training, connect it with the others that train along, and clean up afterwards.

    Args:
        settings: The flags; those about the device count.

    Yields:
        Where to compute.
    """
    keep_freed_memory()
    runtime = detect_runtime(settings.device, settings.dtype, settings.threads)
    with distributed(runtime):
        yield runtime


def settle_dtype(settings: RunSettings, plan: Plan, runtime: Runtime) -> tuple[Runtime, float | None]:
    """Take the precision that was asked for, or find out which is faster here; several processes take the same.

    Args:
        settings: The flags.
        plan: The sizes to try.
        runtime: Where to compute.

    Returns:
        The runtime with its precision settled, and the measured speed in tokens a second, all processes together; None
        if it was not measured.
    """
    if settings.dtype != "auto":
        return runtime, None
    dtype, speed = from_first(faster_dtype(plan, runtime))
    return replace(runtime, dtype=dtype), speed * runtime.world_size


def describe_runtime(runtime: Runtime) -> str:
    """Say in a line where the arithmetic happens."""
    processes = f", {runtime.world_size} processes" if runtime.world_size > 1 else ""
    dtype = str(runtime.dtype).removeprefix("torch.")
    return f"runtime     {runtime.device}, {dtype}, {runtime.threads} threads{processes}"


def describe_rates(plan: Plan) -> str:
    """Say in two lines how far the steps go: the learning rates as the width leaves them, and how they change.

    Args:
        plan: What was decided.

    Example:
        >>> print(describe_rates(Plan.from_depth(12, total_batch_size=4096)))
        rates       matrices 0.02 (Muon), embedding 0.2 and head 0.004 (AdamW)
                    rising over the first 0 steps, falling over the last 400
    """
    shrink = (plan.model.n_embd / REFERENCE_WIDTH) ** -0.5  # as make_optimizers has it
    return (
        f"rates       matrices {plan.matrix_lr:.3g} (Muon), embedding {plan.embedding_lr * shrink:.3g} and head "
        f"{plan.head_lr * shrink:.3g} (AdamW)\n"
        f"            rising over the first {plan.warmup_steps:,} steps, falling over the last {plan.warmdown_steps:,}"
    )


def watch_loss(state: TrainState, metrics: StepMetrics) -> dict[str, float]:
    """Return what a step of ordinary training tells: its loss."""
    return {"loss": metrics.loss}


def train(
    settings: RunSettings,
    plan: Plan,
    folder: Path,
    loader: Loader,
    runtime: Runtime,
    tokenizer: Tokenizer,
    model: GPT | None = None,
    measure: Callable[[TrainState], dict[str, float]] | None = None,
    watch: Callable[[TrainState, StepMetrics], dict[str, float]] = watch_loss,
    on_start: Callable[[TrainState], dict[str, float]] | None = None,
    data: Mapping[str, Any] | None = None,
) -> TrainState | None:
    """Start or resume a run, take its steps, save, and measure.

    Asked to stop (Ctrl-C, SIGTERM), it finishes the step, saves it, and raises.

    Args:
        settings: The flags.
        plan: What was decided.
        folder: The folder of the run; :func:`nanochat.checkpoint.check_writable` has been asked about it.
        loader: Where the batches come from.
        runtime: Where to compute.
        tokenizer: The tokenizer of the data; the run keeps a copy of it.
        model: The model to go on from; None starts from fresh weights.
        measure: Called every ``eval_every`` steps and at the end, after the checkpoint was saved; prints what it
            measured, and returns the numbers for the record.
        watch: Called after every step; returns the numbers that are printed now and then, and recorded.
        on_start: Called once, before the first step that is taken now; what it returns is recorded like a measurement.
        data: What the model reads, for the record: ``title``, ``credit``, ``tokens``.

    Returns:
        The state after the last step, or None if the run had been finished before.

    Raises:
        Stopped: If somebody asked the run to stop; it was saved, and ``--resume`` goes on.
    """
    with run_lock(folder, runtime):
        step = from_first(latest_step(folder) if runtime.is_main else None) if settings.resume else None
        if step is not None and step >= plan.num_iterations:
            print(
                f"nothing to do: {folder} has {step} steps of the {plan.num_iterations} asked for; a longer run has "
                f"other learning rates from the start, so give it another name with --run"
            )
            return None
        with together(f"start from {folder}"):
            if step is not None:
                state = resume(folder, loader, runtime, plan, step, tokenizer.fingerprint)
                print(f"resuming    at step {state.step} of {plan.num_iterations}")
            else:
                state = TrainState.start(plan, loader, runtime, model)
                if runtime.is_main:
                    tokenizer.save(folder / TOKENIZER_FILE)
        check_same_start(state, tokenizer)
        stage = f"{folder.parent.name}-train" if folder.parent.name in ("base", "mid") else f"chat-{folder.parent.name}"
        with together("begin the record"):
            record = RunRecord(folder, settings, runtime, stage=stage, step=state.step, data=data, track=settings.track)
        saved = state.step

        def save() -> None:
            nonlocal saved
            save_checkpoint(state, folder, tokenizer.fingerprint, settings.keep)
            saved = state.step

        def on_step(state: TrainState, metrics: StepMetrics) -> None:
            done = metrics.step == plan.num_iterations
            seen = watch(state, metrics)
            record.log(
                "train", metrics.step, **seen, grad_norm=metrics.grad_norm, lr_multiplier=metrics.lr_multiplier,
                seconds=metrics.seconds,
            )  # fmt: skip
            if done or metrics.step % max(1, plan.num_iterations // 20) == 0:
                recent = [m.seconds for m in state.history[-20:]]
                left = (plan.num_iterations - metrics.step) * sum(recent) / len(recent)
                told = "  ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in seen.items())
                print(f"step {metrics.step:6,}  {told}  about {readable_time(left)} left")
            # Saved before it is measured, so that a measurement that fails costs nothing.
            if done or (settings.save_every and metrics.step % settings.save_every == 0):
                save()
            if measure is not None and (done or (settings.eval_every and metrics.step % settings.eval_every == 0)):
                record.log("eval", metrics.step, **measure(state))

        with record, stop_on_signal(runtime.is_main) as stop:
            if on_start is not None:
                record.log("eval", state.step, **on_start(state))
            fit(state, on_step, stop=stop)
            if stop.agreed and saved != state.step:
                save()
        if stop.agreed:
            kept = f"which is saved in {folder}: --resume goes on from it" if saved else "nothing to save yet"
            raise Stopped(f"after step {state.step} of {plan.num_iterations}, {kept}", stop.agreed)
        return state


def check_same_start(state: TrainState, tokenizer: Tokenizer) -> None:
    """Make sure that all processes train the same model on the same data; one alone has nobody to differ from.

    Args:
        state: The state before the first step of this process.
        tokenizer: The tokenizer of the data.

    Raises:
        InputError: On every process, if they differ; the message names what and where.
    """
    if state.runtime.world_size > 1:
        agree(
            plan=state.plan.as_dict(),
            step=state.step,
            tokenizer=tokenizer.fingerprint[:12],
            data=state.loader.state_dict(),
            precision=str(state.runtime.dtype),
            weights=fingerprint(state.model.parameters()),
        )
