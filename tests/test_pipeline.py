"""The whole pipeline: all stages in sequence at the smallest size, and the script that runs them in order."""

import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nanochat.stages import ORDER, main, stages
from nanochat.stages.flags import parse_flags

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_all_stages_in_sequence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a folder of nothing to an answer and a report card."""
    monkeypatch.setenv("NANOCHAT_BASE_DIR", str(tmp_path / "base"))
    train = ["--dtype=float32", "--threads=1", "--eval-every=0", "--run=small"]
    few = "arithmetic-sums:60,spelling:60,smalltalk:40"

    def stage(name: str, *flags: str) -> str:
        assert main([name, *flags]) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    assert "saved" in stage(
        "tok-train", "--data=stories", "--vocab-size=512", f"--tasks={few}", "--max-characters=200000"
    )
    assert "bytes" in stage("tok-eval").lower()
    size = ["--depth=1", "--sequence-len=128", "--device-batch-size=4", "--num-iterations=12", "--eval-tokens=1000"]
    assert "what the model writes" in stage("base-train", *train, *size)
    assert "xz -9" in stage("base-eval", "--run=small", "--max-documents=20", "--num-samples=1", "--max-tokens=20")
    assert "held-out text" in stage("mid-train", *train, f"--tasks={few}", "--num-iterations=6")
    assert "held-out answers" in stage("chat-sft", *train, f"--tasks={few}", "--num-iterations=6")
    rewards = ["--questions=2", "--samples=2", "--max-tokens=12", "--num-iterations=2", "--eval-questions=4"]
    assert "mean reward on the way" in stage("chat-rl", *train, "--tasks=arithmetic-sums:50", *rewards)
    table = stage("chat-eval", "--run=small", "--tasks=arithmetic-sums,wiki-choice", "--limit=5", "--max-tokens=12")
    assert str(tmp_path / "base" / "rl" / "small") in table, "the most finished model is the one that is scored"
    stage("chat-cli", "--run=small", "-p", "What is 12 + 30?", "--max-tokens=12")
    assert "HTML" in stage("report", "--run=small")
    page = (tmp_path / "base" / "report" / "small" / "report.md").read_text(encoding="utf-8")
    for name in ("base", "mid", "sft", "rl"):
        assert f"{name}/small" in page or name in page.lower()
    assert "arithmetic-sums" in page
    folder = tmp_path / "exported"
    stage("export-hf", "--source=sft", "--run=small", f"--output={folder}")
    assert (folder / "model.safetensors").exists()
    assert "saved" in stage("import-hf", f"--source={folder}", "--run=back")
    told = [
        stage("chat-cli", "--source=sft", f"--run={run}", "-p", "Hello", "--max-tokens=12") for run in ("small", "back")
    ]
    assert told[0] == told[1]


# The script that runs them -----------------------------------------------------------------------------------------


def commands(tmp_path: Path, *flags: str, gpus: int = 0, **more: str) -> list[list[str]]:
    """Run speedrun.sh with a Python that writes down what it is asked, and return that."""
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    log = tmp_path / "log"
    log.write_text("")
    (folder / "python").write_text(
        f'#!/usr/bin/env bash\nif [ "$1" = -c ]; then exec "{sys.executable}" "$@"; fi\n'
        f'printf "%s\\t" "$@" >> "{log}"\necho >> "{log}"\n'
    )
    (folder / "nvidia-smi").write_text("#!/usr/bin/env bash\n" + "echo GPU\n" * gpus + ("" if gpus else "exit 9\n"))
    for path in folder.iterdir():
        path.chmod(0o755)
    environment = {k: v for k, v in os.environ.items() if k not in ("NPROC", "PYTHON", "DEPTH")}
    done = subprocess.run(
        ["bash", str(ROOT / "speedrun.sh"), *flags],
        env={**environment, "PATH": f"{folder}:{os.environ['PATH']}", **more},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [line.rstrip("\t").split("\t") for line in log.read_text().splitlines()]


def split(command: list[str]) -> tuple[str, list[str]]:
    """Return stage and flags of a command, with or without torchrun before it, which keeps ``--`` to itself."""
    at = max(i for i, word in enumerate(command) if word.startswith("scripts."))
    torchrun = "torch.distributed.run" in command
    assert torchrun == (command[at + 1 : at + 2] == ["--"]), "or torchrun takes --run for a flag of its own"
    return command[at].removeprefix("scripts."), command[at + 1 + torchrun :]


@pytest.mark.parametrize("gpus", [0, 1, 8])
def test_speedrun_runs_stages_that_exist_with_flags_that_they_know(tmp_path: Path, gpus: int) -> None:
    seen = []
    for command in commands(tmp_path, gpus=gpus):
        name, flags = split(command)
        stage = importlib.import_module(f"nanochat.stages.{name}")
        settings = parse_flags(stage.Settings, flags, name)
        seen.append(name.replace("_", "-"))
        if name == "base_train":
            assert settings.depth == (20 if gpus else 4)
            distributed = "torch.distributed.run" in command
            assert distributed == (gpus > 1) and (not distributed or "--nproc_per_node=8" in command)
    pipeline = [name for name in ORDER if name in seen and name not in ("report", "chat-cli")]
    assert [name for name in dict.fromkeys(seen) if name in pipeline] == pipeline
    assert {"tok-train", "base-train", "mid-train", "chat-sft", "chat-rl", "chat-eval", "chat-cli", "report"} <= {*seen}
    assert ("download" in seen) == bool(gpus)


def test_speedrun_has_one_dial(tmp_path: Path) -> None:
    runs = {flag for command in commands(tmp_path, "--depth=6", gpus=2, NPROC="1") for flag in command}
    assert {"--depth=6", "--run=d6"} <= runs and not any("nproc" in flag for flag in runs)


@pytest.mark.parametrize("wrong", ["--depht=4", "--depth=four", "--depth=0", "--depth=", "4"])
def test_speedrun_refuses_what_it_does_not_know(wrong: str) -> None:
    done = subprocess.run(["bash", str(ROOT / "speedrun.sh"), wrong], capture_output=True, text=True)
    assert done.returncode == 2 and re.search("speedrun.sh: .*depth", done.stderr)


def test_speedrun_explains_itself() -> None:
    done = subprocess.run(["bash", str(ROOT / "speedrun.sh"), "--help"], capture_output=True, text=True, check=True)
    assert "--depth=20" in done.stdout and "#" not in done.stdout and "set -e" not in done.stdout


@pytest.mark.parametrize("given", [True, False])
def test_speedrun_finds_the_environment_of_make(tmp_path: Path, given: bool) -> None:
    shutil.copy(ROOT / "speedrun.sh", tmp_path)
    for folder, words in (("bin", "exit 1"), (".venv/bin", 'echo "the environment: $*"')):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "python").write_text(f"#!/usr/bin/env bash\n{words}\n")
        (tmp_path / folder / "python").chmod(0o755)
    environment = {k: v for k, v in os.environ.items() if k not in ("NPROC", "PYTHON", "DEPTH")}
    environment["PATH"] = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    if given:
        environment["PYTHON"] = "python"
    command = ["bash", str(tmp_path / "speedrun.sh"), "--depth=4"]
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True)
    assert (done.returncode == 0) is not given
    assert ("the environment: -m scripts.tok_train" in done.stdout) is not given


def test_every_stage_has_a_script() -> None:
    names = {f"{name.replace('-', '_')}.py" for name in stages()}
    assert names == {path.name for path in (ROOT / "scripts").glob("*.py")} - {"__init__.py"}
    for name in stages():
        text = (ROOT / "scripts" / f"{name.replace('-', '_')}.py").read_text(encoding="utf-8")
        assert f'run("{name}")' in text
    assert set(ORDER) <= set(stages()), "each name of the order is that of a stage"
