"""The stages end to end on a folder of text, and what they say when something is wrong."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nanochat.checkpoint import FILES, MANIFEST, latest_step, load_model
from nanochat.common import InputError, Runtime
from nanochat.gpt import GPT, GPTConfig
from nanochat.optim import make_optimizers
from nanochat.stages import main
from nanochat.stages.base_train import Settings, make_plan
from nanochat.stages.training import describe_rates
from nanochat.tokenizer import Tokenizer
from nanochat.train import Plan

ROOT = Path(__file__).resolve().parents[1]
SMALL = ["--depth=1", "--sequence-len=32", "--device-batch-size=4", "--eval-tokens=500", "--dtype=float32"]


@pytest.fixture
def base(tmp_path: Path, texts: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A base folder of its own, beside a folder of text."""
    monkeypatch.setenv("NANOCHAT_BASE_DIR", str(tmp_path / "base"))
    return tmp_path / "base"


def flags(base: Path, *more: str) -> list[str]:
    return ["base-train", f"--data={base.parent / 'texts'}", *SMALL, *more]


def test_train_resume_and_evaluate(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(flags(base, "--num-iterations=6", "--run=trial")) == 0
    printed = capsys.readouterr().out
    assert "training one of 1024 tokens" in printed
    assert printed.index("horizon") < printed.index("rates") < printed.index("step      1"), "first the plan"
    assert "bits per byte" in printed and "what the model writes" in printed
    assert sorted(path.name for path in (base / "base" / "trial").glob("step_*")) == ["step_000006"]

    assert main(flags(base, "--num-iterations=6", "--run=trial", "--resume")) == 0
    assert "nothing to do" in capsys.readouterr().out

    for run in (["--run=trial"], []):  # without a name, the one that was saved last
        measure = ["base-eval", *run, f"--data={base.parent / 'texts'}", "--num-samples=1", "--max-tokens=8"]
        assert main(measure) == 0
        printed = capsys.readouterr().out
        assert "xz -9" in printed and "sample 1" in printed and "trial" in printed


def test_a_second_run_does_not_mix_with_the_first(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(flags(base, "--num-iterations=2")) == 0
    capsys.readouterr()
    assert main(flags(base, "--num-iterations=2")) == 1
    message = capsys.readouterr().err
    assert "nanochat: error" in message and "resume" in message and "Traceback" not in message


def test_resumed_run_prints_the_losses_of_an_unbroken_one(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def losses(text: str) -> list[str]:
        return [line.split("  about")[0] for line in text.splitlines() if "  loss " in line and line.startswith("step")]

    assert main(flags(base, "--num-iterations=20", "--run=whole", "--threads=1", "--save-every=7", "--keep=9")) == 0
    whole = losses(capsys.readouterr().out)
    folder = base / "base" / "whole"
    for step in (20, 14):
        for file in (folder / f"step_{step:06}").iterdir():
            file.unlink()
        (folder / f"step_{step:06}").rmdir()
    assert main(flags(base, "--num-iterations=20", "--run=whole", "--threads=1", "--resume")) == 0
    printed = capsys.readouterr().out
    assert "resuming    at step 7 of 20" in printed
    assert losses(printed) == whole[7:]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (["--depth=abc"], "--depth"),
        (["--depth="], "--depth"),
        (["--depth=4", "--depth=5"], "--depth"),
        (["--dept=4"], "--depth"),
        (["--run=../elsewhere"], "--run"),
        (["--keep=0"], "--keep"),
        (["--depth", "4.0"], "'4.0' is not a whole number"),
        # A 0 is no flag that was left out, and what no number of torch holds is no surprise in the middle of a run.
        *(
            ([f"--{name}=0"], f"--{name}=0 must be at least 1")
            for name in ("sequence-len", "device-batch-size", "total-batch-size", "num-iterations")
        ),
        (["--seed=-1"], "--seed=-1 must be at least 0"),
        (["--seed=18446744073709551616"], "'18446744073709551616' is out of range: give at most 9223372036854775807"),
        (["--num-iterations=1" + "0" * 400], "is out of range"),
        (["--matrix-lr=1e39"], "'1e39' is out of range: give at most 3.4e+38"),
    ],
)
def test_flags_without_meaning_are_usage_errors(
    base: Path, wrong: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["base-train", *wrong])
    assert stopped.value.code == 2
    assert named in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (["--depth=0"], "depth=0"),
        (["--data=no/such/folder"], "no/such/folder"),
        (["--total-batch-size=100"], "total_batch_size=100"),
        (["--warmup-ratio=0.9"], "warmup_ratio=0.9"),
        (["--matrix-lr=-1"], "matrix_lr=-1"),
        (["--device=tpu"], "tpu"),
        (["--n-kv-head=0"], "n_kv_head=0"),
        (["--threads=0"], "--threads=0 must be from 1 to 1024"),
        (["--threads=99999999999"], "--threads=99999999999"),
    ],
)
def test_values_without_meaning_are_one_line(
    base: Path, wrong: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = {flag.split("=")[0]: flag for flag in [*flags(base, "--num-iterations=2")[1:], *wrong]}
    assert main(["base-train", *arguments.values()]) == 1
    message = capsys.readouterr().err.strip()
    assert message.startswith("nanochat: error:") and named in message and "\n" not in message


def test_output_that_cannot_be_written_is_refused_before_the_first_step(
    base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Row 25: a file stands where the folder should be."""
    base.mkdir()
    (base / "base").write_text("in the way")
    assert main(flags(base, "--num-iterations=2")) == 1
    captured = capsys.readouterr()
    assert str(base / "base") in captured.err and "step      1" not in captured.out


def test_a_base_folder_that_cannot_be_written_names_the_cure(
    base: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 25: before the tokenizer, which comes first, has been trained."""
    monkeypatch.setenv("NANOCHAT_BASE_DIR", "/proc/nanochat")
    assert main(flags(base, "--num-iterations=2")) == 1
    captured = capsys.readouterr()
    assert "/proc/nanochat/tokenizer" in captured.err and "with NANOCHAT_BASE_DIR" in captured.err
    assert captured.out == "" and captured.err.count("\n") == 1


def test_a_small_corpus_makes_a_small_model(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Row 3: the text has not enough pairs for the tokens that were asked for, and the model has no rows in reserve."""
    assert main(flags(base, "--num-iterations=1")) == 0
    captured = capsys.readouterr()
    actual = Tokenizer.load(base / "tokenizer" / "tokenizer.json").vocab_size
    assert 265 < actual < 1024 and f"vocabulary {actual}" in captured.out
    assert load_model(base / "base" / "d1").config.vocab_size == actual


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_damaged_step_is_passed_over_and_made_anew(
    name: str, base: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Row 28, as a command: the file is named, the step before goes on, and what was damaged is not lost."""
    command, run = flags(base, "--num-iterations=4", "--save-every=2"), base / "base" / "d1"
    assert main(command) == 0
    os.truncate(run / "step_000004" / name, 10)
    capsys.readouterr()
    assert main(["base-eval", "--step=4"]) == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert str(run / "step_000004" / name) in message and "use step 2" in message
    assert main([*command, "--resume"]) == 0
    assert "resuming    at step 2 of 4" in capsys.readouterr().out
    assert str(run / "step_000004" / name) in caplog.text
    assert latest_step(run) == 4 and len(list(run.glob("step_000004.replaced-*"))) == 1


@pytest.mark.parametrize("run", [["--run=nothing"], []])
def test_missing_run_names_the_command(base: Path, run: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["base-eval", *run]) == 1
    assert "base_train" in capsys.readouterr().err


@pytest.mark.parametrize("width", [64, 256, 1280])
def test_the_rates_that_are_shown_are_those_that_are_used(width: int) -> None:
    config = GPTConfig.from_depth(1, vocab_size=320, sequence_len=32, width=width)
    plan = Plan(model=config, device_batch_size=1, total_batch_size=32, num_iterations=100, warmup_ratio=0.07)
    rates = [group["lr"] for made in make_optimizers(GPT(config), plan) for group in made.param_groups]
    embedding, head, matrices = (f"{rate:.3g}" for rate in rates)
    first, second = describe_rates(plan).splitlines()
    assert first.split(maxsplit=1)[1] == f"matrices {matrices} (Muon), embedding {embedding} and head {head} (AdamW)"
    assert second.split() == "rising over the first 7 steps, falling over the last 40".split()


def test_every_size_can_be_set() -> None:
    def sizes(**given: int) -> tuple[int, int, int]:
        plan = make_plan(Settings(**given), 320, Runtime(torch.device("cpu"), torch.float32))
        return plan.model.n_embd, plan.model.n_head, plan.model.n_kv_head

    assert sizes() == (256, 4, 4)
    assert sizes(depth=20) == (1280, 10, 10)
    assert sizes(width=96, n_head=2) == (96, 2, 2)
    assert sizes(n_head=8, n_kv_head=2) == (256, 8, 2)
    for wrong in ({"n_head": 0}, {"n_kv_head": 0}, {"n_head": 3}, {"n_head": 8, "n_kv_head": 3}):
        with pytest.raises(InputError, match="head"):
            sizes(**wrong)


def test_on_a_gpu_the_batch_follows_from_the_depth() -> None:
    def batch(depth: int, kind: str, processes: int = 1, **given: int) -> int:
        runtime = Runtime(torch.device(kind), torch.bfloat16, world_size=processes)
        return make_plan(Settings(depth=depth, **given), 320, runtime).total_batch_size

    assert [batch(depth, "cuda") for depth in (1, 5, 10, 20, 40)] == [2**16, 2**17, 2**18, 2**19, 2**20]
    assert batch(20, "cuda", 8) == 2**19 and batch(1, "cuda", 8) == 8 * 2**16  # not below what all compute at once
    assert batch(20, "cuda", total_batch_size=2**16) == 2**16
    assert batch(1, "cpu") == batch(20, "cpu") == 8 * 256


@pytest.mark.parametrize("module", ["scripts.tok_train", "scripts.base_train", "scripts.base_eval"])
def test_scripts_start_the_stages(module: str) -> None:
    shown = subprocess.run([sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert shown.returncode == 0 and "usage: nanochat " in shown.stdout


def test_validation_does_not_rest_on_assert(base: Path) -> None:
    """Under ``python -O`` asserts vanish; what is refused must stay refused."""
    done = subprocess.run(
        [sys.executable, "-O", "-m", "scripts.base_train", "--depth=0"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1 and "depth=0" in done.stderr
    package = [(path, ast.parse(path.read_bytes())) for path in sorted((ROOT / "nanochat").rglob("*.py"))]
    found = [(path, node.lineno) for path, tree in package for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    assert len(package) > 50 and not found
