"""The guides' claims, one test a file of claims: each holds, and falls under each mutant that it names."""

import inspect
import sys
from pathlib import Path

import pytest

from docs._ext import verdicts
from docs._ext.claims import Mutant, load
from docs._ext.guides import sentences
from docs._ext.project import Project

PROJECT = Project(Path(__file__).resolve().parents[1])
REGISTRY = load(PROJECT.docs / "claims")
SENTENCES = {sentence.id: sentence for page in PROJECT.pages() for sentence in sentences(page)}


def test_every_file_of_claims_runs() -> None:
    assert REGISTRY.broken == []
    assert REGISTRY.claims and REGISTRY.mutants


def test_claims_and_sentences_belong_together() -> None:
    assert sorted(claim.id for claim in REGISTRY.claims) == sorted(SENTENCES)


def test_every_mutant_is_named_by_a_claim() -> None:
    used = {name for claim in REGISTRY.claims for name in claim.killed_by}
    assert {mutant.id for mutant in REGISTRY.mutants} == used


@pytest.mark.parametrize("file", dict.fromkeys(claim.file for claim in REGISTRY.claims), ids=lambda file: file.stem)
def test_claims_of_a_file(file: Path) -> None:
    """What has run for the site under the same hash is remembered, and what runs here is remembered for the site."""
    mine = {claim.id: claim for claim in REGISTRY.claims if claim.file == file}
    report = verdicts.judge(PROJECT, ids=mine)
    assert [failure.message for failure in report.failures] == []
    assert {verdict.claim.id for verdict in report.verdicts if verdict.holds} == set(mine)
    for verdict in report.verdicts:
        assert {kill.mutant for kill in verdict.kills if kill.killed} == set(mine[verdict.claim.id].killed_by)


def bodies() -> dict[str, object]:
    """Every name of the package with what stands behind it: the code of a function, else the object itself."""
    found: dict[str, object] = {}
    for module in [module for name, module in sys.modules.items() if name.partition(".")[0] in PROJECT.packages]:
        for name, value in vars(module).items():
            parts = vars(value) if isinstance(value, type) else {"": value}
            for part, inner in parts.items():
                inner = getattr(inner, "fget", None) or getattr(inner, "__func__", inner)
                inner = inspect.unwrap(inner) if callable(inner) else inner
                found[f"{module.__name__}.{name}.{part}"] = getattr(inner, "__code__", inner)
    return found


@pytest.mark.parametrize("mutant", REGISTRY.mutants, ids=lambda mutant: mutant.id)
def test_mutant_applies_and_is_undone(mutant: Mutant) -> None:
    before = bodies()
    with mutant.function():
        pass
    after = bodies()
    assert [name for name in before if after[name] is not before[name]] == []
