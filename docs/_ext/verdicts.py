"""Run the claims, compare them with the guides, see them fall under their mutants, remember what may be.

What is remembered between builds is what the code *said*, under a hash of all that it depends on
(``reach.py``). The comparison with the guide is made anew every time. Knows no Sphinx.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import random
import sys
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from docs._ext import guides
from docs._ext.claims import CheckFailed, Claim, Measurement, Mutant, Registry, load, measuring
from docs._ext.guides import Sentence, plain
from docs._ext.mutation import changed_file, forget_caches
from docs._ext.project import Project
from docs._ext.reach import Reach
from docs._ext.sources import Index, UnknownSymbol

ACCEPT = "python -m docs._ext.claims --accept"


@dataclass(frozen=True)
class Failure:
    """Something that stops the build."""

    kind: str
    """The subtype of the warning: false, checker, unknown, unused, duplicate, empty, about, mutant, survived."""
    file: Path
    line: int
    message: str


@dataclass(frozen=True)
class Kill:
    """What a claim does under a mutant."""

    mutant: str
    killed: bool
    effect: str
    """What the broken code said instead."""


@dataclass
class Verdict:
    """A claim, judged."""

    claim: Claim
    sentence: Sentence
    said: str = ""
    """The sentence as the code says it."""
    measured: tuple[Measurement, ...] = ()
    kills: tuple[Kill, ...] = ()
    holds: bool = False
    remembered: bool = False
    key: str = ""
    """The hash of all that the claim depends on."""

    @property
    def status(self) -> str:
        """``verified``, ``undecided`` or ``false``."""
        return "false" if not self.holds else ("undecided" if self.claim.undecided else "verified")


@dataclass
class Report:
    """All verdicts of a build and all that is wrong."""

    project: Project
    registry: Registry
    verdicts: list[Verdict] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    pages: dict[str, list[Verdict]] = field(default_factory=dict)
    """Where VERIFICATION shows the claims, filled in when it is first asked for."""

    def count(self, status: str) -> int:
        """How many claims have a status."""
        return sum(verdict.status == status for verdict in self.verdicts)

    def by_id(self) -> dict[str, Verdict]:
        """Claim id -> verdict."""
        return {verdict.claim.id: verdict for verdict in self.verdicts}

    def summary(self) -> str:
        """One line."""
        ran = sum(not verdict.remembered for verdict in self.verdicts)
        return (
            f"{len(self.verdicts)} claims: {self.count('verified')} verified, {self.count('undecided')} need "
            f"clarification, {self.count('false')} false; {ran} run, {len(self.verdicts) - ran} remembered; "
            f"{len(self.failures)} failures"
        )


@contextlib.contextmanager
def waiting_lock(path: Path) -> Iterator[None]:
    """Let one process at a time into a ``with`` block; the others wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as held:
        with contextlib.suppress(ImportError):  # a system without such locks
            import fcntl

            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def make_importable(project: Project) -> None:
    """Let the package and the claims of a project be imported by name."""
    if str(project.root) not in sys.path:
        sys.path.insert(0, str(project.root))


def settle() -> None:
    """The same random numbers for every claim, in whatever order they run."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Small tensors are fastest, and sums come out the same everywhere, on one thread."""
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else 1
    if torch:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if torch:
            torch.set_num_threads(threads)


def run(claim: Claim) -> tuple[str, tuple[Measurement, ...]]:
    """The sentence that a claim returns and what it measured. Raises what the check raises."""
    settle()
    with one_thread(), measuring() as measured, contextlib.redirect_stdout(io.StringIO()):
        said = claim.function()
    if not isinstance(said, str) or not said.strip():
        raise TypeError(f"{claim.symbol} returned {said!r}, not a sentence")
    return said, tuple(measured)


def try_mutant(mutant: Mutant, said: Sequence[tuple[Claim, str]], tops: tuple[str, ...], reach: Reach) -> list[Kill]:
    """Break the code once, and see which claims fall.

    A crash is no kill: the mutant must change the code, not wreck it.

    Args:
        mutant: How to break it.
        said: Claims, each with what it says of the whole code.
        tops: The packages that may be broken.
        reach: Says which results depend on what is broken.

    Returns:
        What happened to each claim.
    """
    changed: Path | None = None

    def depends(file: Path, name: str) -> bool:
        return changed is None or reach.needs(file, name, changed)

    try:
        with (broken := mutant.function()):
            changed = changed_file(broken)
            forget_caches(tops, depends)
            return [_fate(claim, mutant, before) for claim, before in said]
    except (Exception, SystemExit) as error:
        return [Kill(mutant.id, False, _ended(error))] * len(said)
    finally:
        forget_caches(tops, depends)


def _fate(claim: Claim, mutant: Mutant, said: str) -> Kill:
    """What a claim does while the code is broken."""
    try:
        other, _ = run(claim)
    except CheckFailed as error:
        return Kill(mutant.id, True, str(error))
    except (Exception, SystemExit) as error:
        return Kill(mutant.id, False, _ended(error))
    if plain(other) == plain(said):
        return Kill(mutant.id, False, "nothing changed")
    return Kill(mutant.id, True, plain(other))


def _ended(error: BaseException) -> str:
    return f"the run ended in {type(error).__name__}: {error}"


class Memory:
    """What the code said, kept in ``docs/_build/claims.json``. A damaged file counts as none."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.path = project.docs / "_build" / "claims.json"
        self.reach = Reach(project)
        self.began = time.time()
        self.new: dict[str, dict] = {}
        self.old = self._read()

    def _read(self) -> dict[str, dict]:
        try:
            old = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return old if isinstance(old, dict) else {}

    def key(self, claim: Claim) -> str:
        """The hash of all that a claim depends on."""
        files, text = self.reach.of_function(claim.file, claim.function.__name__)
        files |= self.reach.of_symbols(claim.about)
        more = [claim.symbol, text]
        for name in claim.reads:
            path = self.project.root / name
            more.append(hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing")
        return self.reach.digest(files, *more)

    def mutant_key(self, key: str, mutant: Mutant) -> str:
        """The hash of a claim's key and of a mutant's text."""
        files, text = self.reach.of_function(mutant.file, mutant.symbol.rpartition(".")[2])
        return self.reach.digest(files, key, text)

    def recall(self, id: str, key: str) -> tuple[str, tuple[Measurement, ...]] | None:
        """What the claim said under this key."""
        entry = self.old.get(id, {})
        if entry.get("key") != key:
            return None
        return entry["said"], tuple(Measurement(**row) for row in entry["measured"])

    def recall_kill(self, id: str, mutant: str, key: str) -> Kill | None:
        """What the mutant did to the claim under this key."""
        entry = self.old.get(id, {}).get("kills", {}).get(mutant, {})
        return Kill(**entry["kill"]) if entry.get("key") == key else None

    def keep(self, claim: Claim, key: str, said: str, measured: tuple[Measurement, ...]) -> None:
        """Remember a run that went through, unless its code was edited meanwhile: the key may be of newer code."""
        kept = self.old.get(claim.id, {}).get("kills", {})
        files, _ = self.reach.of_function(claim.file, claim.function.__name__)
        if not self.reach.settled({claim.file, *files, *self.reach.of_symbols(claim.about)}, self.began):
            key = ""
        self.new[claim.id] = {"key": key, "said": said, "measured": [asdict(m) for m in measured], "kills": kept}

    def keep_kill(self, id: str, key: str, kill: Kill) -> None:
        """Remember a kill, never a survival."""
        if kill.killed:
            self.new[id]["kills"][kill.mutant] = {"key": key, "kill": asdict(kill)}

    def save(self, whole: bool) -> None:
        """Write; of a partial run, only what it judged: another one may judge the rest at the same time."""
        with waiting_lock(self.path.with_suffix(".lock")):
            content = self.new if whole else {**self._read(), **self.new}
            self.project.write(self.path, json.dumps(content, indent=1, sort_keys=True) + "\n")


def judge(project: Project, *, ids: Collection[str] = (), mutants: bool = True) -> Report:
    """Check every claim of a project, or those of ``ids``, and report all that is wrong.

    Args:
        project: The repository.
        ids: Only these claims; all if empty.
        mutants: Also see each claim fall under the mutants that it names.
    """
    make_importable(project)
    memory = Memory(project)
    registry = load(project.docs / "claims")
    report = Report(project, registry)
    fail = report.failures.append
    for path, line, error in registry.broken:
        fail(Failure("checker", path, line, f"the file cannot be run: {error}"))
    found: dict[str, Sentence] = {}
    for sentence in (s for page in project.pages() for s in guides.sentences(page)):
        if not sentence.id:
            fail(
                Failure("unknown", sentence.file, sentence.line, "a claim without an id: write {#claim-some-id .claim}")
            )
        elif not sentence.span.text:
            fail(Failure("empty", sentence.file, sentence.line, f"claim '{sentence.id}' has an empty sentence"))
        elif "claim" not in sentence.span.classes:
            fail(Failure("unknown", sentence.file, sentence.line, f"claim '{sentence.id}' lacks the class: add .claim"))
        elif sentence.id in found:
            first = found[sentence.id]
            where = f"{project.relative(first.file)}:{first.line}"
            fail(Failure("duplicate", sentence.file, sentence.line, f"claim '{sentence.id}' stands at {where} already"))
        else:
            found[sentence.id] = sentence
            if registry.claim(sentence.id) is None:
                message = f"claim '{sentence.id}' has no function in docs/claims: write one, or take the mark away"
                fail(Failure("unknown", sentence.file, sentence.line, message))
    report.failures += _declared_wrong(project, registry, found)
    for claim in registry.claims:
        wanted = not ids or claim.id in ids
        if wanted and claim.id in found and registry.claim(claim.id) is claim:
            report.verdicts.append(_judge_one(project, memory, claim, found[claim.id], fail))
    if mutants:
        _break(project, registry, memory, [verdict for verdict in report.verdicts if verdict.said], fail)
    memory.save(whole=not ids)
    report.verdicts.sort(key=lambda v: (project.relative(v.sentence.file), v.sentence.line))
    report.failures.sort(key=lambda f: (project.relative(f.file), f.line, f.kind, f.message))
    return report


def _declared_wrong(project: Project, registry: Registry, found: dict[str, Sentence]) -> Iterator[Failure]:
    """What is wrong with the declarations themselves, before anything runs."""
    index = Index(project)
    for mutant in registry.mutants:
        if registry.mutant(mutant.id) is not mutant:
            message = f"mutant '{mutant.id}' is declared by {registry.mutant(mutant.id).symbol} already: rename one"
            yield Failure("duplicate", mutant.file, mutant.line, message)
    for claim in registry.claims:
        name = f"claim '{claim.id}'"
        if registry.claim(claim.id) is not claim:
            yield Failure("duplicate", claim.file, claim.line, f"{name} is proved by another function already")
        if claim.id not in found:
            message = f"{name} has no sentence in any guide: add [...]{{#claim-{claim.id} .claim}}, or delete it"
            yield Failure("unused", claim.file, claim.line, message)
        for symbol in claim.about:
            try:
                index.lookup(symbol)
            except UnknownSymbol as error:
                yield Failure("about", claim.file, claim.line, f"{name} is about {symbol}, but {error}")
        for wanted in claim.killed_by:
            if registry.mutant(wanted) is None:
                yield Failure("mutant", claim.file, claim.line, f"{name}: no mutant '{wanted}' in docs/claims")
        if claim.about and not claim.killed_by and not claim.undecided:
            message = f"{name} is about {', '.join(claim.about)} and names no mutant that breaks it: add killed_by="
            yield Failure("mutant", claim.file, claim.line, message)
        if claim.undecided and not claim.decide_with:
            yield Failure("checker", claim.file, claim.line, f"{name} is undecided: give the command in decide_with=")


def _judge_one(
    project: Project, memory: Memory, claim: Claim, sentence: Sentence, fail: Callable[[Failure], object]
) -> Verdict:
    """Run or recall one claim, and compare it."""
    verdict = Verdict(claim, sentence)
    here = (sentence.file, sentence.line)
    name = f"claim '{claim.id}'"
    checker = f"{project.relative(claim.file)}:{claim.line}"
    try:
        verdict.key = memory.key(claim)
        recalled = memory.recall(claim.id, verdict.key)
        verdict.remembered = recalled is not None
        verdict.said, verdict.measured = recalled or run(claim)
    except CheckFailed as error:
        message = (
            f"{name}: the guide says: {sentence.span.text!r}; the check at {checker} finds: {error.why}: "
            f"got {error.got}, expected {error.expected}. Mend the code, or the claim and its sentence"
        )
        fail(Failure("false", *here, message))
        return verdict
    except (Exception, SystemExit) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{project.relative(Path(last.filename))}:{last.lineno}"
        fail(
            Failure(
                "checker", *here, f"{name}: its check at {checker} raised {type(error).__name__}: {error} ({where})"
            )
        )
        return verdict
    memory.keep(claim, verdict.key, verdict.said, verdict.measured)
    verdict.holds = plain(verdict.said) == sentence.span.text
    if not verdict.holds:
        message = (
            f"{name}: the guide says: {sentence.span.text!r}; the code says: {plain(verdict.said)!r}. "
            f"Edit the sentence, or run: {ACCEPT} {claim.id}"
        )
        fail(Failure("false", *here, message))
    return verdict


def _break(
    project: Project,
    registry: Registry,
    memory: Memory,
    verdicts: Sequence[Verdict],
    fail: Callable[[Failure], object],
) -> None:
    """See claims fall under the mutants that they name.

    Each mutant breaks the code once for all claims that are still to fall under it: what the broken code trains, they
    share.
    """
    kills: dict[tuple[str, str], Kill | None] = {}
    to_fall: dict[str, list[tuple[Verdict, str]]] = {}
    for verdict in verdicts:
        for mutant in filter(None, map(registry.mutant, verdict.claim.killed_by)):
            key = memory.mutant_key(verdict.key, mutant)
            kill = memory.recall_kill(verdict.claim.id, mutant.id, key)
            kills[verdict.claim.id, mutant.id] = kill
            if kill is None:
                to_fall.setdefault(mutant.id, []).append((verdict, key))
    for id, those in to_fall.items():
        mutant = registry.mutant(id)
        tried = try_mutant(mutant, [(v.claim, v.said) for v, _ in those], project.packages, memory.reach)
        for (verdict, key), kill in zip(those, tried, strict=True):
            kills[verdict.claim.id, id] = kill
            memory.keep_kill(verdict.claim.id, key, kill)
    for verdict in verdicts:
        claim = verdict.claim
        verdict.kills = tuple(kills[claim.id, id] for id in claim.killed_by if (claim.id, id) in kills)
        for kill in verdict.kills:
            if not kill.killed:
                what = registry.mutant(kill.mutant).what
                message = f"claim '{claim.id}' does not fall under the mutant '{kill.mutant}' ({what}): {kill.effect}"
                message += ". Make the check see it, or name another mutant"
                fail(Failure("survived", claim.file, claim.line, message))
