"""Flags: with one letter the long name and the short one are the same, and each flag of each stage is explained."""

import importlib
from dataclasses import dataclass, fields

import pytest

from nanochat.stages import main, stages
from nanochat.stages.flags import field_docs, parse_flags, short_flag


@dataclass(frozen=True)
class Settings:
    num_shards: int = short_flag("n", 8)
    """How many shards."""
    prompt: str | None = short_flag("p", None)
    """What to say."""
    workers: int = 4
    """How many at once."""


def parse(*words: str) -> Settings:
    return parse_flags(Settings, words, "nanochat test")


@pytest.mark.parametrize("words", [["-n", "3"], ["-n3"], ["-n=3"], ["--num-shards=3"], ["--num-shards", "3"]])
def test_a_short_flag_is_the_long_one(words: list[str]) -> None:
    assert parse(*words) == Settings(num_shards=3)
    assert parse(*words, "-p", "two words", "--workers=2") == Settings(3, "two words", 2)


def test_a_negative_number_is_a_value() -> None:
    assert parse("-n", "-1").num_shards == -1
    assert parse() == Settings(8, None, 4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-n", "1", "-n", "2"], "-n is given twice"),
        (["-n", "1", "--num-shards=2"], "--num-shards is given twice"),
        (["--num-shards=1", "-n2"], "-n is given twice"),
        (["-n"], "expected one argument"),
        (["-n", "x"], "'x' is not a whole number"),
        (["-n", ""], "is empty"),
        (["-m", "1"], "'-m' is not expected here"),
    ],
)
def test_misuse_is_a_usage_error(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse(*words)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_help_shows_both_names(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse("--help")
    assert stopped.value.code == 0
    assert "-n INT, --num-shards INT" in capsys.readouterr().out


@pytest.mark.parametrize("name", stages())
def test_every_flag_of_every_stage_is_explained(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the sentence that is also its documentation."""
    monkeypatch.setenv("COLUMNS", "9999")  # nothing is wrapped
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    settings = importlib.import_module(f"nanochat.stages.{name.replace('-', '_')}").Settings
    explained = field_docs(settings)
    assert list(explained) and set(explained) == {each.name for each in fields(settings)}
    for flag, says in explained.items():
        assert f"--{flag.replace('_', '-')}" in shown and " ".join(says.split()) in shown, flag
        assert says.endswith(".") and len(says.split()) > 2, flag
