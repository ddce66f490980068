"""The guides' claims, one test a claim: it holds, and it falls under each mutant that it names."""

from pathlib import Path

import pytest

from docs._ext import verdicts
from docs._ext.claims import Claim, Mutant, load
from docs._ext.guides import plain, sentences
from docs._ext.project import Project
from docs._ext.reach import Reach

PROJECT = Project(Path(__file__).resolve().parents[1])
REACH = Reach(PROJECT)
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


@pytest.mark.parametrize("claim", REGISTRY.claims, ids=lambda claim: claim.id)
def test_claim(claim: Claim) -> None:
    said, _ = verdicts.run(claim)
    assert plain(said) == SENTENCES[claim.id].span.text
    for name in claim.killed_by:
        kill = verdicts.try_mutant(claim, REGISTRY.mutant(name), said, PROJECT.packages, REACH)
        assert kill.killed, f"{name}: {kill.effect}"
    again, _ = verdicts.run(claim)
    assert plain(again) == plain(said)  # the mutants are undone


@pytest.mark.parametrize("mutant", REGISTRY.mutants, ids=lambda mutant: mutant.id)
def test_mutant_applies(mutant: Mutant) -> None:
    with mutant.function():
        pass
