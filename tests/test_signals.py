"""Runs that are asked to stop, start in the wrong place, or run where little can be taken for granted."""

import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from launching import STAGE, finish, polls, start

from nanochat.checkpoint import FILES, latest_step, list_steps, read_saved, run_lock, step_folder
from nanochat.common import InputError, Stopped, StopRequest, run_stage, stop_on_signal
from nanochat.stages import base_train, main, training
from nanochat.train import StepMetrics, TrainState, fit

MakeState = Callable[..., TrainState]

ENDLESS = 10**6
SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A base folder of its own."""
    monkeypatch.setenv("NANOCHAT_BASE_DIR", str(tmp_path / "base"))
    return tmp_path / "base"


def words(texts: Path, steps: int, *more: str) -> list[str]:
    small = ["--depth=1", "--sequence-len=32", "--device-batch-size=4", "--eval-tokens=500", "--eval-every=0"]
    return [
        "base-train",
        f"--data={texts}",
        *small,
        "--device=cpu",
        "--dtype=float32",
        f"--num-iterations={steps}",
        *more,
    ]


def run_in(base: Path) -> Path:
    return base / "base" / "d1"


# Asked to stop: row 20 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", SIGNALS)
def test_a_request_ends_the_loop_after_the_step(number: int, make_state: MakeState, capfd: Any) -> None:
    def ask(state: TrainState, metrics: StepMetrics) -> None:
        if state.step == 5:
            signal.raise_signal(number)

    state, before = make_state(0), signal.getsignal(number)
    with stop_on_signal() as stop:
        fit(state, ask, stop=stop)
        assert signal.getsignal(number) == signal.SIG_DFL, "a second one ends the process at once"
    assert (state.step, stop.agreed) == (5, number) and signal.getsignal(number) == before
    assert f"{signal.Signals(number).name}: stopping after this step" in capfd.readouterr().err
    assert [row.loss for row in fit(state).history] == [row.loss for row in make_state(30).history]


def test_a_request_that_nobody_looked_at_is_not_lost(capfd: Any) -> None:
    with pytest.raises(KeyboardInterrupt), stop_on_signal(speaks=False):
        signal.raise_signal(signal.SIGINT)
    assert capfd.readouterr().err == ""


def test_signals_that_are_ignored_stay_ignored() -> None:
    """As under nohup."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with stop_on_signal() as stop:
            signal.raise_signal(signal.SIGTERM)
        assert stop.signum == 0 and signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_other_threads_hear_no_signals(make_state: MakeState) -> None:
    seen = []

    def work() -> None:
        with stop_on_signal() as stop:
            seen.append(fit(make_state(0), until=1, progress=False, stop=stop).step)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [1]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_exit_status_says_which_signal(number: int, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    def stopped(argv: list[str] | None) -> None:
        raise Stopped("after step 5", number)

    assert run_stage(stopped, []) == code
    assert capsys.readouterr().err == "nanochat: stopped: after step 5\n"


@pytest.mark.parametrize("number", SIGNALS)
def test_stage_saves_once_and_goes_on_later(
    number: int, texts: Path, base: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole stage in this process: stopped in its fourth step, resumed, it ends as if nothing had been."""
    saves, whole_step, save = [], training.fit, training.save_checkpoint

    def fit_and_ask(state: TrainState, on_step: Callable, stop: StopRequest) -> TrainState:
        def ask(state: TrainState, metrics: StepMetrics) -> None:
            on_step(state, metrics)
            if state.step == 4:
                signal.raise_signal(number)

        return whole_step(state, ask, stop=stop)

    monkeypatch.setattr(training, "save_checkpoint", lambda state, *a: (saves.append(state.step), save(state, *a)))
    monkeypatch.setattr(training, "fit", fit_and_ask)
    assert main(words(texts, 9)) == 128 + number
    printed = capsys.readouterr()
    assert f"stopped: after step 4 of 9, which is saved in {run_in(base)}: --resume goes on from it" in printed.err
    assert saves == [4] and list_steps(run_in(base)) == [4] and "what the model writes" not in printed.out
    monkeypatch.setattr(training, "fit", whole_step)
    assert main(words(texts, 9, "--resume")) == 0
    assert saves == [4, 9] and "resuming    at step 4 of 9" in capsys.readouterr().out


def test_a_request_at_a_saved_step_saves_no_second_time(
    texts: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saves, save = [], training.save_checkpoint

    def save_and_ask(state: TrainState, *rest: object) -> None:
        saves.append(state.step)
        save(state, *rest)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(training, "save_checkpoint", save_and_ask)
    assert main(words(texts, 9, "--save-every=3")) == 143
    assert saves == [3] and list_steps(run_in(base)) == [3]


def trained(printed: str) -> bool:
    """Say whether a few steps have been taken and reported."""
    return "step " in printed.split("epochs")[-1] and "loss" in printed


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_to_a_running_stage(number: signal.Signals, code: int, texts: Path, base: Path) -> None:
    """Row 20: from outside, at whatever moment it comes."""
    with start(STAGE, *words(texts, 4000)) as running:
        running.wait_until(trained)
        running.send(number)
        done = running.done()
    assert done.code == code and "Traceback" not in done.err
    assert done.err.count("stopping after this step") == 1 and "--resume goes on from it" in done.err
    (step,) = list_steps(run_in(base))
    assert step >= 200 and latest_step(run_in(base)) == step
    assert f"after step {step} of 4000" in done.err


STUCK = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from nanochat import train
whole_step = train.train_step

def step(state):
    if state.step == 2:
        print("a long step", flush=True)
        time.sleep(600)
    return whole_step(state)

train.train_step = step
from nanochat.stages import main
sys.exit(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS)
def test_second_signal_ends_the_process_at_once(number: signal.Signals, texts: Path, base: Path) -> None:
    """Row 20: in the middle of a step that takes ten minutes; what was saved before stays."""
    with start(STUCK, *words(texts, 4000, "--save-every=2")) as running:
        running.wait_until(lambda printed: "a long step" in printed)
        running.send(number)
        for _ in polls():
            if "a second one stops at once" in running.complained():
                break
        assert running.process.poll() is None, "the first one waits for the step"
        running.send(number)
        done = running.done()
    assert done.code == -number, "killed by the signal, which a shell shows as 128 and its number"
    assert list_steps(run_in(base)) == [2] and latest_step(run_in(base)) == 2
    with run_lock(run_in(base)):
        assert not list(run_in(base).glob(".tmp-*"))


# The order of saving: row 21 ---------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [MemoryError("no room"), torch.OutOfMemoryError("CUDA out of memory"), None])
def test_checkpoint_is_there_before_the_measurement_fails(
    error: Exception | None,
    texts: Path,
    base: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Row 21: memory runs out while the last step is measured."""
    seen = []

    def score(*args: object, **kwargs: object) -> None:
        seen.append(latest_step(run_in(base)))
        raise error or RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(base_train, "score_text", score)
    assert main(words(texts, 3)) == 1
    assert seen == [3] and latest_step(run_in(base)) == 3
    message = capsys.readouterr().err.strip()
    assert message.startswith("nanochat: error: memory ran out") and "--device-batch-size" in message
    assert "\n" not in message


def test_checkpoint_is_there_before_samples_are_drawn(texts: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def complete(*args: object, **kwargs: object) -> None:
        assert latest_step(run_in(base)) == 3
        raise InputError("the model produced NaN")

    monkeypatch.setattr(base_train.Engine, "complete", complete)
    assert main(words(texts, 3)) == 1
    assert latest_step(run_in(base)) == 3


@pytest.mark.parametrize("flag", ["--data=~nobody-here/x", "--data=stories"])
def test_a_home_that_is_not_there_is_one_line(
    flag: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a flag, and in the environment."""
    monkeypatch.setenv("NANOCHAT_BASE_DIR", "~nobody-here")
    assert main(["base-train", flag]) == 1
    message = capsys.readouterr().err.strip()
    assert message.startswith("nanochat: error: Could not determine home directory") and "in full" in message
    assert "\n" not in message


def test_debug_shows_where_an_error_came_from(capsys: pytest.CaptureFixture[str]) -> None:
    seen = []

    def refuse(argv: list[str] | None) -> None:
        seen.append(argv)
        raise InputError("no,\nnever: try another")

    assert run_stage(refuse, ["--depth=4"]) == 1
    assert capsys.readouterr().err == "nanochat: error: no, never: try another\n"
    with pytest.raises(InputError, match="never"):
        run_stage(refuse, ["--debug", "--depth=4"])
    assert seen == [["--depth=4"]] * 2, "and the stage never hears of it"


def test_faults_of_the_program_keep_their_traceback() -> None:
    def broken(argv: list[str] | None) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        run_stage(broken, [])


# Nothing to do: row 24 ---------------------------------------------------------------------------------------


def test_finished_runs_have_nothing_to_do(texts: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Row 24: a finished run, and a horizon that lies behind."""
    assert main(words(texts, 4)) == 0
    before = files_of(step_folder(run_in(base), 4))
    for steps in (4, 3, 1):
        capsys.readouterr()
        assert main(words(texts, steps, "--resume")) == 0
        captured = capsys.readouterr()
        assert f"nothing to do: {run_in(base)} has 4 steps of the {steps} asked for" in captured.out
        assert "step      " not in captured.out and captured.err == ""
    assert files_of(step_folder(run_in(base), 4)) == before and list_steps(run_in(base)) == [4]


# The folder: rows 25 and 26 ----------------------------------------------------------------------------------


@pytest.mark.parametrize("obstacle", ["a file", "a loop"])
def test_folder_that_cannot_be_written_is_refused_before_the_first_step(
    obstacle: str, texts: Path, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Row 25."""
    run_in(base).parent.mkdir(parents=True)
    if obstacle == "a file":
        run_in(base).write_text("in the way")
    else:
        run_in(base).symlink_to(run_in(base))
    assert main(words(texts, 4)) == 1
    captured = capsys.readouterr()
    assert f"{run_in(base)} cannot take checkpoints" in captured.err and "step      1" not in captured.out


@pytest.mark.slow
def test_second_training_is_refused_and_a_dead_one_explained(texts: Path, base: Path) -> None:
    """Row 26, through the stage: two trainings into one folder, and one that was killed."""
    with start(STAGE, *words(texts, ENDLESS, "--save-every=5")) as first:
        first.wait_until(lambda _: run_in(base).is_dir() and bool(list_steps(run_in(base))))
        second = finish(STAGE, *words(texts, ENDLESS, "--resume"))
        assert second.code == 1 and "step " not in second.out.split("epochs")[-1]
        assert f"{run_in(base)} is in use by another training (process {first.process.pid} on " in second.err
        first.process.kill()
    step = latest_step(run_in(base))
    assert step is not None
    third = finish(STAGE, *words(texts, step, "--resume"))
    assert third.code == 0 and "nothing to do" in third.out
    assert f"the run before (process {first.process.pid} on " in third.err and "taken over" in third.err
    assert not list(run_in(base).glob(".tmp-*"))


# Little to rely on: row 27 -----------------------------------------------------------------------------------

BACKWARDS = """
import sys, time
now = [4e9]


def earlier(*_):
    now[0] -= 3600
    return now[0]


time.time = earlier
time.time_ns = lambda: int(earlier() * 1e9)
from nanochat.stages import main
sys.exit(main())
"""


def test_clock_that_jumps_back_changes_no_duration(make_state: MakeState, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 27."""
    now = iter(range(10**9, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(now)))
    state = make_state(5)
    assert all(0 < row.seconds < 60 for row in state.history)


@pytest.mark.slow
def test_no_terminal_no_utf8_and_a_clock_that_runs_backwards(texts: Path, base: Path) -> None:
    """Row 27: trains, prints and saves; what ASCII cannot hold is shown as codes."""
    texts = texts.rename(texts.with_name("café — 🙂"))
    bare = {"LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    done = finish(BACKWARDS, *words(texts, 30, "--save-every=10", "--prompt=Où"), **bare)
    assert done.code == 0, done
    assert latest_step(run_in(base)) == 30 and done.out.isascii() and done.err.isascii()
    assert "the files in caf\\xe9 \\u2014 \\U0001f642" in done.out and "O\\xf9" in done.out
    # Without any of what Python does to help, a name on the command line is bytes that nothing can read.
    refused = finish(BACKWARDS, "base-train", "--data=/nowhere/café", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0", **bare)
    assert refused.code == 1 and "nowhere/caf\\udcc3" in refused.err and "Traceback" not in refused.err


def test_output_keeps_what_it_can_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_stage(lambda argv: print("café"), []) == 0
    assert capsys.readouterr().out == "café\n"


# Exact resume ------------------------------------------------------------------------------------------------


def files_of(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}


def reported(printed: str) -> list[str]:
    return [line.split("  about")[0] for line in printed.splitlines() if line.startswith("step ") and "loss" in line]


def test_thirty_steps_are_seventeen_and_thirteen(texts: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same losses to the last digit, and the same bytes in the files of weights and optimizer memory."""
    flags = ["--threads=1", "--total-batch-size=256"]
    assert main(words(texts, 30, "--run=whole", "--save-every=17", *flags)) == 0
    whole = capsys.readouterr().out
    broken = run_in(base).parent / "broken"
    broken.mkdir()
    os.rename(step_folder(run_in(base).parent / "whole", 17), step_folder(broken, 17))
    assert main(words(texts, 30, "--run=broken", "--resume", *flags)) == 0
    printed = capsys.readouterr().out
    assert "resuming    at step 17 of 30" in printed and reported(printed) == reported(whole)[17:]
    ours, theirs = (run_in(base).parent / name for name in ("broken", "whole"))
    for name in ("model.safetensors", "optim.safetensors"):
        assert files_of(step_folder(ours, 30))[name] == files_of(step_folder(theirs, 30))[name]
    one, other = read_saved(ours, 30), read_saved(theirs, 30)
    assert [row.loss for row in one.history] == [row.loss for row in other.history] and len(one.history) == 30
    assert (one.loader, one.rng) == (other.loader, other.rng)
    whole_text, broken_text = (text.split("what the model writes:")[1] for text in (whole, printed))
    assert whole_text == broken_text
