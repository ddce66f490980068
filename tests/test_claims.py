"""The guides' claims, one test a claim: it holds, and it falls under each mutant that it names."""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs._ext import verdicts
from docs._ext.claims import Claim, Mutant, load
from docs._ext.guides import sentences
from docs._ext.project import Project

PROJECT = Project(Path(__file__).resolve().parents[1])
MEMORY = verdicts.Memory(PROJECT)
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


@pytest.fixture(scope="session", autouse=True)
def kept_for_the_site() -> Iterator[None]:
    """What runs here is remembered: the next build of the site need not run it again, and the other way round."""
    yield
    MEMORY.save(whole=False)


@pytest.mark.parametrize("claim", REGISTRY.claims, ids=lambda claim: claim.id)
def test_claim(claim: Claim) -> None:
    failures: list[verdicts.Failure] = []
    verdict = verdicts.judge_one(PROJECT, REGISTRY, MEMORY, claim, SENTENCES[claim.id], True, failures.append)
    assert [failure.message for failure in failures] == []
    assert verdict.holds and [kill.mutant for kill in verdict.kills if kill.killed] == list(claim.killed_by)


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
