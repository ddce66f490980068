"""The record of a run: what it holds, that it survives a kill and a resume, and what it tells to nobody."""

import getpass
import html.parser
import json
import os
import platform
import signal
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nanochat import report
from nanochat.checkpoint import save_checkpoint
from nanochat.common import InputError, Runtime
from nanochat.report import METRICS, RunRecord, read_metrics, spent
from nanochat.stages import main
from nanochat.train import StepMetrics, TrainState

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


# The report card ---------------------------------------------------------------------------------------------------

NASTY = "Once <script>alert(1)</script> & \x1b[31mred\x1b[0m `` ``` | ![x](http://x) \u202eback"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A base folder in which two of the four stages of a run left a record, and one another run."""
    base = tmp_path / "base folder"
    monkeypatch.setenv("NANOCHAT_BASE_DIR", str(base))
    RunRecord(base / "base" / "older", {}, CPU, stage="base-train", step=0).log("train", 1, loss=9.0)
    os.utime(base / "base" / "older" / METRICS, (1, 1))
    data = {"title": "Stories <b>", "credit": "Somebody, CC BY-SA", "tokens": 1234567}
    with RunRecord(base / "base" / "d4", {"depth": 4}, CPU, stage="base-train", step=0, data=data) as record:
        for step in range(1, 501):
            record.log("train", step, loss=7 - step / 100)
        record.log("eval", 250, loss=5.0, bits_per_byte=2.5)
        record.log("eval", 500, loss=2.5, bits_per_byte=1.25)
        record.log("sample", 250, text="an early one")
        record.log("sample", 500, prompt="Tell", text=NASTY)
    with RunRecord(base / "rl" / "d4", {}, CPU, stage="chat-rl", step=0) as record:
        for step in range(1, 11):
            record.log("train", step, loss=-0.1, reward=step / 10)
    with RunRecord(base / "rl" / "d4", {}, CPU, stage="chat-eval") as record:
        record.log("score", 10, arithmetic=0.5)
        record.log("score", 10, **{"arithmetic": 0.953, "arithmetic (form)": 1.0, "bits per byte of wiki": 0.9})
    return base


def test_a_report_tells_what_there_is_and_what_is_not(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--price-per-hour=3600"]) == 0
    printed = capsys.readouterr().out
    folder = run / "report" / "d4"
    assert str(folder / "report.md") in printed and "Mid-training" in printed and "1.250" in printed
    text = (folder / "report.md").read_text(encoding="utf-8")
    for part in (
        "| Base training | 500 | 2.095 | 1.250 |",
        "| Mid-training | not run |",
        "| Reinforcement learning | 10 |",
        "Stories \\<b\\>; tokens: 1,234,567 | Somebody, CC BY-SA",
        "| arithmetic | – | – | – | 95.3 % |",
        "| bits per byte of wiki | – | – | – | 0.900 |",
        "| right form | base | mid | sft | rl |\n| --- | --- | --- | --- | --- |\n| arithmetic | – | – | – | 100.0 % |",
        "training 6.990 at step 1 and 2.000 at step 500; held-out text 5.000 at step 250 and 2.500",
        "- Mid-training was not run.",
        "- The model after base training was not scored.",
    ):
        assert part in text, part
    assert "an early one" not in text and "at step 10" in text  # the reward
    assert (folder / "rl-reward.svg").exists() and not (folder / "rl-loss.svg").exists()
    assert text.count("cost") > 1 and "\\$" in text


def test_cost_is_left_out_without_a_price(run: Path) -> None:
    text = report.write_report().markdown.read_text(encoding="utf-8")
    assert "| command | seconds | time |\n" in text and "no price for an hour was given" in text


def test_cost_is_time_times_price(tmp_path: Path) -> None:
    lines = [{"stage": "base-train", "kind": "start", "step": 0, "elapsed": 0.0, "spent": 1800.0, "settings": {}}]
    lines += [{"stage": "base-train", "kind": "train", "step": 1, "elapsed": 1800.0}]
    (tmp_path / "base" / "d4").mkdir(parents=True)
    (tmp_path / "base" / "d4" / METRICS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = report.write_report(tmp_path, price_per_hour=24.5, currency="EUR ").markdown.read_text(encoding="utf-8")
    assert "| base-train, base | 3,600 | 1 h 0 min | EUR 24.50 |" in text


class Page(html.parser.HTMLParser):
    """Reads a page as a browser would: tags, attributes that load something, and words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.loads: list[str] = []
        self.words = ""
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag not in ("meta", "line", "polyline", "circle", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def test_the_page_stands_alone_and_shows_every_text_literally(run: Path) -> None:
    written = report.write_report()
    text = written.html.read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == [] and page.loads == [] and "http://x" in page.words
    assert page.tags & {"script", "img", "link", "b", "iframe", "object"} == set()
    assert "<script>alert(1)</script>" in page.words and "Stories <b>" in page.words
    assert "\x1b" not in text and "\u202e" not in text and "␛[31mred" in page.words
    assert text.count("<svg") == 3 and "prefers-color-scheme:dark" in text
    import xml.etree.ElementTree as ElementTree

    for picture in written.html.parent.glob("*.svg"):
        assert ElementTree.fromstring(picture.read_text(encoding="utf-8")).tag.endswith("svg")


def test_markdown_shows_every_text_literally(run: Path) -> None:
    from markdown_it import MarkdownIt

    rendered = MarkdownIt().enable("table").render(report.write_report().markdown.read_text(encoding="utf-8"))
    page = Page(rendered.replace("<hr />", ""))
    assert "script" not in page.tags and "b" not in page.tags and "Stories <b>" in page.words
    assert "``` | ![x](http://x)" in page.words and page.loads == [
        "base-loss.svg",
        "base-bits-per-byte.svg",
        "rl-reward.svg",
    ]


@given(st.text(max_size=40))
def test_no_text_of_a_run_becomes_markup(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    base = tmp_path_factory.mktemp("nasty")
    record = RunRecord(base / "base" / "r", {"prompt": text}, CPU, stage="base-train", step=0, data={"title": text})
    record.log("sample", 1, prompt=text, text=text)
    record.log("score", 1, **{f"task {text}": 0.5})
    written = report.write_report(base, "r")
    assert Page(written.html.read_text(encoding="utf-8")).tags == Page(report._page([report.Heading(1, "")])).tags | {
        "h2", "h3", "table", "thead", "tbody", "tr", "th", "td", "div", "p", "pre", "ul", "li",
    }  # fmt: skip


def test_a_run_without_a_record_shows_the_history_of_its_checkpoint(
    tmp_path: Path, make_state: Callable[..., TrainState]
) -> None:
    save_checkpoint(make_state(5), tmp_path / "base" / "d2", "abc")
    text = report.write_report(tmp_path).markdown.read_text(encoding="utf-8")
    assert "| Base training | 5 |" in text and "stands at step 5 of 30" in text and "left no record" in text
    assert "| layers | 2 |" in text and "at step 5." in text
    (tmp_path / "base" / "d2" / "step_000005" / "state.json").write_text("{}")
    text = report.write_report(tmp_path).markdown.read_text(encoding="utf-8")
    assert "could not be used" in text and "sizes of the model are not known" in text


@pytest.mark.parametrize(
    ("words", "named"), [([], "base_train"), (["--run=nothing"], "nothing"), (["--run=../x"], "--run")]
)
def test_no_run_is_one_line_with_the_cure(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    named: str,
) -> None:
    monkeypatch.setenv("NANOCHAT_BASE_DIR", str(tmp_path / "empty"))
    try:
        assert main(["report", *words]) == 1
    except SystemExit as stopped:
        assert stopped.code == 2
    assert named in capsys.readouterr().err and not (tmp_path / "empty").exists()


def test_an_unknown_run_names_those_there_are(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--run=d5"]) == 1
    assert "there are d4, older" in capsys.readouterr().err


@pytest.mark.parametrize("price", ["-1", "nan", "inf", "much"])
def test_a_price_without_meaning_is_refused(run: Path, price: str) -> None:
    with pytest.raises(SystemExit):
        main(["report", f"--price-per-hour={price}"])
    if price != "much":
        with pytest.raises(InputError):
            report.write_report(price_per_hour=float(price))


def test_a_curve_of_equal_values_can_be_drawn(tmp_path: Path) -> None:
    with RunRecord(tmp_path / "rl" / "r", {}, CPU, stage="chat-rl", step=0) as record:
        for step in (7, 7, 8):
            record.log("train", step, reward=0.0)
    assert "rl-reward.svg" in report.write_report(tmp_path).markdown.read_text(encoding="utf-8")
