"""Rewrite the guide's copies of sentences that the code now says differently, keeping their markup."""

from __future__ import annotations

import difflib
import os
import re
from typing import TextIO

from docs._ext.guides import plain
from docs._ext.verdicts import Report

_MARKUP = re.compile(r"\{[\w:-]+\}(?=`)|\]\([^)\n]*\)|\]\{[^}\n]*\}|^[ \t]*(?:>[ \t]?)+", re.MULTILINE)


def merged(raw: str, said: str) -> str:
    """``said``, with the markup and the line breaks that ``raw`` has where the words did not change."""
    old, new = plain(raw).split(), plain(said).split()
    places = _places(raw, old)
    if not places:
        return said
    candidate = raw
    for kind, a1, a2, b1, b2 in reversed(difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()):
        if kind == "equal":
            continue
        if kind == "insert":
            at = places[a1][0] if a1 < len(places) else places[-1][-1] + 1
            words = " ".join(new[b1:b2])
            candidate = candidate[:at] + (f"{words} " if a1 < len(places) else f" {words}") + candidate[at:]
            continue
        # what the old and the new words share at their ends stays, with the markup around it
        was, becomes = " ".join(old[a1:a2]), " ".join(new[b1:b2])
        head = len(os.path.commonprefix([was, becomes]))
        tail = len(os.path.commonprefix([was[head:][::-1], becomes[head:][::-1]]))
        spots = [at for word in places[a1:a2] for at in [*word, -1]][:-1]  # -1: the space between two words
        inner = [at for at in spots[head : len(spots) - tail] if at >= 0]
        first = inner[0] if inner else (spots[head - 1] + 1 if head else spots[0])
        last = inner[-1] + 1 if inner else first
        candidate = candidate[:first] + becomes[head : len(becomes) - tail] + candidate[last:]
    return candidate if plain(candidate) == plain(said) else said


def _places(raw: str, words: list[str]) -> list[list[int]] | None:
    """Where each character of each word stands in the text with markup, if that can be told."""
    hidden = {i for match in _MARKUP.finditer(raw) for i in range(*match.span())}
    places, at = [], 0
    for word in words:
        spots = []
        for char in word:
            while at < len(raw) and (at in hidden or raw[at] != char):
                at += 1
            if at == len(raw):
                return None
            spots.append(at)
            at += 1
        places.append(spots)
    return places


def rewrite(report: Report, out: TextIO) -> int:
    """Show and write every sentence that differs. Returns how many were rewritten."""
    changed = [v for v in report.verdicts if v.said and not v.holds]
    for verdict in sorted(changed, key=lambda v: v.sentence.span.start, reverse=True):
        sentence = verdict.sentence
        text = sentence.file.read_text(encoding="utf-8")
        span = sentence.span
        new = merged(span.raw, verdict.said)
        where = f"{report.project.relative(sentence.file)}:{sentence.line}"
        out.write(f"{where}: claim '{verdict.claim.id}'\n  - {span.text}\n  + {plain(verdict.said)}\n")
        report.project.write(sentence.file, text[: span.start] + new + text[span.end :])
    return len(changed)
