"""The model that comes with the package is what its record says, and ships by one command."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nanochat import shipping
from nanochat.checkpoint import save_checkpoint
from nanochat.common import InputError
from nanochat.conversation import Message
from nanochat.evaluate import score_task
from nanochat.gpt import GPTConfig
from nanochat.interop import load_int8, shipped_model
from nanochat.report import RunRecord
from nanochat.shipping import (
    MAX_BYTES,
    OPENINGS,
    QUESTIONS,
    WANTED,
    Settings,
    history,
    is_right,
    judge,
    ship,
    shipped_record,
)
from nanochat.stages.models import run_folder
from nanochat.tasks import load_task
from nanochat.tokenizer import Tokenizer
from nanochat.train import Plan, StepMetrics, TrainState


def test_the_record_says_how_the_model_was_made_and_what_it_can_do() -> None:
    record = shipped_record()
    assert "scripts.base_train" in record["commands"] and record["commands"] == (
        Path(shipping.__file__).parent / "assets" / "make.sh"
    ).read_text(encoding="utf-8"), "the commands changed: make the model anew"
    assert record["date"] and record["versions"]["torch"] and record["hardware"]["cpu"]
    assert {"base", "mid", "sft"} <= record["stages"].keys()
    for stage in record["stages"].values():
        assert stage["loss"][-1][0] == stage["steps"] and isinstance(stage["settings"]["seed"], int)
    for name, score in record["scores"].items():
        assert score["asked"] == len(score["answers"]) == QUESTIONS
        assert score["right"] == sum(right for _, _, right in score["answers"])
        assert score["wanted_of_100"] == WANTED[name]
    assert tuple(record["said"]) == OPENINGS and all(record["said"].values())


def test_the_shipped_model_is_small_and_gives_the_recorded_answers() -> None:
    assert 1_000_000 < shipping.shipped_bytes() <= MAX_BYTES
    model, tokenizer, record = shipped_model()
    for name, score in record["scores"].items():
        answers: list[str] = []
        task = load_task(name, "test", limit=QUESTIONS)
        score_task(
            model, tokenizer, task, limit=4, on_answer=lambda _, answer, __, kept=answers: kept.append(answer.text)
        )
        recorded = [text for text, _, _ in score["answers"][:4]]
        # Another processor adds in another order; where two tokens are nearly level, that may decide.
        assert sum(a == b for a, b in zip(answers, recorded, strict=True)) >= 3, (name, answers, recorded)


@pytest.mark.slow
def test_the_shipped_model_reaches_the_recorded_scores() -> None:
    model, tokenizer, record = shipped_model()
    for name, score in judge(model, tokenizer).items():
        assert abs(score["right"] - record["scores"][name]["right"]) <= 2, name


def test_what_counts_as_right() -> None:
    assert is_right("letters", Message.assistant("..."), 1.0) and not is_right("letters", Message.assistant("2"), 0.5)
    assert is_right("story-endings", Message.assistant('"I am sorry too, Luna," said Poppy.'), 0.0)
    assert not is_right("story-endings", Message.assistant(""), 1.0)


@pytest.fixture
def trained(
    make_state: Callable[..., TrainState], byte_tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """A run with two stages of a model that can do nothing."""
    monkeypatch.setenv("NANOCHAT_BASE_DIR", str(tmp_path))
    sizes = GPTConfig.from_depth(1, vocab_size=320, sequence_len=128, width=32)
    state = make_state(of=Plan(model=sizes, device_batch_size=2, total_batch_size=256, num_iterations=1))
    for stage in ("base", "sft"):
        folder = run_folder(stage, "toy")
        with RunRecord(folder, {"seed": 1}, state.runtime, stage=stage, step=0) as record:
            record.log("train", 1, loss=2.5)
        state.step = 1
        state.history = [StepMetrics(1, 2.5, 1.0, 1.0, 0.1)]
        save_checkpoint(state, folder, byte_tokenizer.fingerprint)
        byte_tokenizer.save(folder / "tokenizer.json")
    return "toy"


def test_shipping_rounds_judges_and_replaces(trained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "WANTED", {"arithmetic-sums": 95})
    folder = tmp_path / "shipped"
    folder.mkdir()
    (folder / "old").touch()
    record = ship(Settings(run=trained, before=trained, questions=2), folder)
    assert list(record["stages"]) == ["base", "sft, first part", "sft"]
    assert not (folder / "old").exists()
    assert load_int8(folder)[2] == json.loads(json.dumps(record))
    assert record["scores"]["arithmetic-sums"]["asked"] == 2
    assert record["stages"]["sft"]["loss"] == [[1, 2.5], [1, 2.5]]
    assert tuple(record["said"]) == OPENINGS
    with pytest.raises(InputError, match="more than the 100 allowed"):
        monkeypatch.setattr(shipping, "MAX_BYTES", 100)
        ship(Settings(run=trained, questions=2), folder)
    assert load_int8(folder)[2] == json.loads(json.dumps(record)), "what was there stays"


def test_nothing_to_ship_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NANOCHAT_BASE_DIR", str(tmp_path))
    with pytest.raises(InputError, match=r"there is no model in .*make\.sh"):
        ship(Settings(), tmp_path / "shipped")
    with pytest.raises(InputError, match="has logged nothing"):
        history("nobody")
