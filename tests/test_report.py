"""The record of a run: what it holds, that it survives a kill and a resume, and what it tells to nobody."""

import getpass
import json
import os
import platform
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nanochat import report
from nanochat.common import InputError, Runtime
from nanochat.report import METRICS, RunRecord, read_metrics, spent
from nanochat.train import StepMetrics

CPU = Runtime(torch.device("cpu"), torch.float32)


def losses(folder: Path, stage: str = "base-train") -> list[tuple[int, float]]:
    return [
        (line["step"], line["loss"])
        for line in read_metrics(folder)
        if line["stage"] == stage and line["kind"] == "train"
    ]


def test_each_measurement_is_a_line_on_the_disk_at_once(tmp_path: Path) -> None:
    record = RunRecord(tmp_path / "d4", {"depth": 4}, CPU, stage="base-train", step=0)
    record.log("train", **vars(StepMetrics(1, 6.5, 0.3, 1.0, 0.02)))
    record.log("eval", 1, loss=torch.tensor(6.25), bits_per_byte=torch.tensor(2.5).numpy())
    start, first, second = (json.loads(line) for line in (tmp_path / "d4" / METRICS).read_text().splitlines())
    assert (start["kind"], start["settings"], start["runtime"]["dtype"]) == ("start", {"depth": 4}, "float32")
    assert (first["step"], first["loss"], first["grad_norm"], first["seconds"]) == (1, 6.5, 0.3, 0.02)
    assert (second["kind"], second["loss"], second["bits_per_byte"]) == ("eval", 6.25, 2.5)


def test_a_resume_cuts_what_will_be_measured_again_and_keeps_its_time(tmp_path: Path) -> None:
    with RunRecord(tmp_path, {}, CPU, stage="base-train", step=0) as record:
        for step in range(1, 21):
            record.log("train", step, loss=100.0 + step)
    with RunRecord(tmp_path, {}, CPU, stage="base-eval") as record:
        record.log("score", 20, bits_per_byte=1.5)
    took = spent([line for line in read_metrics(tmp_path) if line["stage"] == "base-train"])
    with RunRecord(tmp_path, {}, CPU, stage="base-train", step=14) as record:
        for step in range(15, 31):
            record.log("train", step, loss=200.0 + step)
    assert losses(tmp_path) == [(step, (100.0 if step < 15 else 200.0) + step) for step in range(1, 31)]
    lines = read_metrics(tmp_path)
    assert [line["bits_per_byte"] for line in lines if line["kind"] == "score"] == [1.5], "others' lines stay"
    starts = [line for line in lines if line["kind"] == "start" and line["stage"] == "base-train"]
    assert [line["step"] for line in starts] == [0, 14] and len({line["id"] for line in starts}) == 1
    assert starts[1]["spent"] == took
    assert spent([line for line in lines if line["stage"] == "base-train"]) >= took


def test_a_new_run_begins_a_new_record(tmp_path: Path) -> None:
    for depth in (3, 5):
        with RunRecord(tmp_path, {"depth": depth}, CPU, stage="base-train", step=0) as record:
            record.log("train", 1, loss=float(depth))
    assert losses(tmp_path) == [(1, 5.0)]


def test_a_killed_process_loses_at_most_its_last_line(tmp_path: Path) -> None:
    program = f"""
import os, signal, torch
from nanochat.common import Runtime
from nanochat.report import RunRecord
record = RunRecord({str(tmp_path)!r}, {{}}, Runtime(torch.device("cpu"), torch.float32), stage="base-train", step=0)
for step in range(1, 6):
    record.log("train", step, loss=float(step))
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", program]).returncode == -signal.SIGKILL
    assert losses(tmp_path) == [(step, float(step)) for step in range(1, 6)]
    path = tmp_path / METRICS
    path.write_bytes(path.read_bytes()[:-9])  # cut in the middle of the last line
    assert losses(tmp_path) == [(step, float(step)) for step in range(1, 5)]
    RunRecord(tmp_path, {}, CPU, stage="base-eval").log("score", 5, bits_per_byte=1.0)
    assert losses(tmp_path)[-1] == (4, 4.0)
    assert [line["kind"] for line in read_metrics(tmp_path)][-2:] == ["start", "score"], "it begins a line"


@given(st.lists(st.one_of(st.binary(max_size=30), st.sampled_from([b"{}", b"[1]", b'{"kind": 3}', b"null"]))))
def test_a_damaged_file_is_read_as_far_as_it_goes(tmp_path_factory: pytest.TempPathFactory, junk: list[bytes]) -> None:
    folder = tmp_path_factory.mktemp("junk")
    good = json.dumps({"stage": "s", "kind": "train", "step": 1, "elapsed": 0.5}).encode()
    (folder / METRICS).write_bytes(b"\n".join([*junk, good, *junk]))
    assert [line for line in read_metrics(folder) if line["stage"] == "s"] == [json.loads(good)]


def test_an_error_is_named_in_the_last_lines(tmp_path: Path) -> None:
    with pytest.raises(InputError), RunRecord(tmp_path, {}, CPU, stage="base-train", step=0) as record:
        record.log("train", 1, loss=1.0)
        raise InputError("diverged")
    assert [(line["kind"], line.get("why")) for line in read_metrics(tmp_path)][-2:] == [
        ("stopped", "InputError"),
        ("end", None),
    ]


def test_only_the_main_process_writes(tmp_path: Path) -> None:
    second = Runtime(torch.device("cpu"), torch.float32, rank=1, world_size=2)
    with RunRecord(tmp_path / "d4", {}, second, stage="base-train", step=0, track="tensorboard") as record:
        record.log("train", 1, loss=1.0)
    assert not (tmp_path / "d4").exists()


def test_a_record_names_no_home_and_no_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home" / "somebody"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NANOCHAT_BASE_DIR", str(tmp_path / "elsewhere"))
    settings = {"data": home / "my texts", "output": [str(tmp_path / "elsewhere" / "x")], "prompt": None}
    RunRecord(tmp_path / "run", settings, CPU, stage="base-train", step=0, data={"title": str(home)})
    text = (tmp_path / "run" / METRICS).read_text()
    start = json.loads(text)
    assert start["settings"]["data"] == "~/my texts" and start["data"]["title"] == "~"
    assert start["settings"]["output"] == ["$NANOCHAT_BASE_DIR/x"]
    assert str(tmp_path) not in text and platform.node() not in text and f'"{getpass.getuser()}"' not in text
    assert start["hardware"]["cores"] == len(os.sched_getaffinity(0)) and start["hardware"]["memory_gib"] > 0
    assert start["versions"]["torch"] == torch.__version__


def test_the_commit_is_that_of_the_packages_own_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(report.__file__).resolve().parents[1]
    if (root / ".git").exists():
        head = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True)
        assert report.commit().removesuffix("+changes") == head.stdout.strip()
    # An installed package below somebody else's checkout has no commit of its own.
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    monkeypatch.setattr(report, "__file__", str(tmp_path / "venv" / "nanochat" / "report.py"))
    assert report.commit() is None


@pytest.mark.parametrize("name", report.RESERVED[:1] + report.RESERVED[2:])
def test_names_that_the_record_fills_in_are_refused(tmp_path: Path, name: str) -> None:
    record = RunRecord(tmp_path, {}, CPU, stage="s", step=0)
    with pytest.raises(InputError, match=name):
        record.log("train", 1, **{name: 1.0})
    with pytest.raises(InputError, match="start"):
        record.log("start", 1)


def test_a_number_that_is_not_finite_becomes_null(tmp_path: Path) -> None:
    RunRecord(tmp_path, {}, CPU, stage="s", step=0).log("train", 1, a=float("nan"), b=float("inf"), c=1.5)
    assert (
        (tmp_path / METRICS)
        .read_text()
        .splitlines()[1]
        .startswith('{"stage": "s", "kind": "train", "step": 1, "a": null, "b": null, "c": 1.5')
    )


def test_tensorboard_gets_the_same_numbers(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with RunRecord(tmp_path, {"depth": 4}, CPU, stage="base-train", step=0, track="tensorboard") as record:
        for step in (1, 2, 3):
            record.log("train", step, loss=1.0 / step)
    with RunRecord(tmp_path, {"depth": 4}, CPU, stage="base-train", step=2, track="tensorboard") as record:
        record.log("train", 3, loss=0.25)
        record.log("sample", 3, text="Once upon a time")
    events = EventAccumulator(str(tmp_path / "tensorboard" / "base-train"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(1, 1.0), (2, 0.5), (3, 0.25)]
    assert "Once upon a time" in events.Tensors("sample/text/text_summary")[0].tensor_proto.string_val[0].decode()


class StandIn(types.ModuleType):
    """What wandb would be told."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.calls: list[tuple[str, object]] = []

    def init(self, **how: object) -> "StandIn":
        self.calls.append(("init", how))
        return self

    def log(self, values: dict[str, float], step: int) -> None:
        self.calls.append((f"log {step}", values))

    def finish(self) -> None:
        self.calls.append(("finish", None))


def test_weights_and_biases_get_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = StandIn()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    for begin in (0, 1):
        with RunRecord(tmp_path / "d4", {"depth": 4}, CPU, stage="base-train", step=begin, track="wandb") as record:
            record.log("train", begin + 1, loss=0.5, note="a text is no curve")
    names = [name for name, _ in wandb.calls]
    assert names == ["init", "log 1", "finish", "init", "log 2", "finish"]
    (_, first), (_, second) = wandb.calls[0], wandb.calls[3]
    assert first["name"] == "base-train-d4" and first["config"] == {"depth": 4} and first["resume"] == "allow"
    assert first["id"] == second["id"], "a resumed run goes on in the same place"
    assert wandb.calls[1][1] == {"train/loss": 0.5}


@pytest.mark.parametrize(("track", "module"), [("tensorboard", "torch.utils.tensorboard"), ("wandb", "wandb")])
def test_a_missing_library_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, track: str, module: str
) -> None:
    RunRecord(tmp_path, {}, CPU, stage="s", step=0).log("train", 1, loss=1.0)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=r"nanochat\[track\]"):
        RunRecord(tmp_path, {}, CPU, stage="s", step=0, track=track)
    assert losses(tmp_path, "s") == [(1, 1.0)], "nothing was cut before the refusal"


def test_an_unknown_track_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'mlflow'"):
        RunRecord(tmp_path, {}, CPU, track="mlflow")
