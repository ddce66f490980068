"""The big picture: the smallest language model, which only counts."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import regex

from docs._ext.claims import check, claim
from docs.texts import ALICE, alice, alice_split


def words(text: str) -> list[str]:
    """The words of a text, signs left out."""
    return regex.findall(r"\p{L}+", text)


@claim("big-mock", reads=ALICE)
def mock() -> str:
    after = Counter(second for first, second in pairwise(words(alice())) if first == "Mock")
    check(list(after), ["Turtle"], "what stands after Mock")
    return (
        f"In *Alice* the word *Mock* occurs {after.total()} times, and *Turtle* follows it every single time, with or "
        "without a sign behind it."
    )


@claim("big-said", reads=ALICE)
def said() -> str:
    after = Counter(second for first, second in pairwise(alice().split()) if first == "said")  # the model's own notes
    total, (best, times) = after.total(), after.most_common(1)[0]
    check(best, "the", "the most frequent word after said")
    return (
        f"Behind *said* the notes hold {total} followers, and {times} of them are *{best}*, so the counting model "
        f"gives *{best}* a probability of {times / total:.2f}."
    )


@claim("big-new-runs", reads=ALICE)
def new_runs() -> str:
    def runs(text: str, n: int) -> list[tuple[str, ...]]:
        row = words(text)
        return [tuple(row[i : i + n]) for i in range(len(row) - n + 1)]

    train, test = alice_split()
    shares = []
    for n in (2, 3, 4):
        known, rows = set(runs(train, n)), runs(test, n)
        shares.append(100 * sum(run not in known for run in rows) / len(rows))
    check(shares, sorted(shares), "longer runs are new more often")
    return (
        f"Of the pairs of words in the last two chapters of *Alice*, {shares[0]:.0f} in every 100 never "
        "occur in the first ten "
        f"chapters; of the runs of three words, {shares[1]:.0f}; of the runs of four, {shares[2]:.0f}."
    )
