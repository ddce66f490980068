"""The command line of the claims: ``python -m docs._ext.claims``. Knows no Sphinx."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from docs._ext import accept, beforehand, verdicts
from docs._ext.claims import load
from docs._ext.project import Project
from docs._ext.reach import Reach


def main(argv: list[str] | None = None) -> int:
    """Check the claims of the guides, show what fails, accept what the code says."""
    parser = argparse.ArgumentParser(prog="python -m docs._ext.claims", description=main.__doc__)
    parser.add_argument("ids", nargs="*", metavar="id", help="only these claims")
    parser.add_argument("--accept", action="store_true", help="rewrite the guide's sentences that differ")
    parser.add_argument("--mutants", action="store_true", help="also see each claim fall under its mutants")
    parser.add_argument("--say", action="store_true", help="print what the code says, marked, to paste into a guide")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="run them in N processes")
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[2], help="the repository")
    parser.add_argument("--package", action="append", help="the package that claims are about")
    args = parser.parse_args(argv)
    project = Project(args.root.resolve(), tuple(args.package or ("nanochat",)))
    if args.say:
        return say(project, args.ids)
    if args.jobs > 1:
        beforehand.run(beforehand.proofs(project, args.mutants, args.ids), args.jobs)
    report = verdicts.judge(project, ids=args.ids, mutants=args.mutants)
    if unknown := [id for id in args.ids if report.registry.claim(id) is None]:
        parser.error(f"no claim {', '.join(unknown)} in docs/claims: give what the span has after #claim-")
    if args.accept and accept.rewrite(report, out=sys.stdout):
        report = verdicts.judge(project, ids=args.ids, mutants=args.mutants)
    for failure in report.failures:
        print(f"{project.relative(failure.file)}:{failure.line}: [{failure.kind}] {failure.message}")
    print(report.summary())
    return 1 if report.failures else 0


def say(project: Project, ids: list[str]) -> int:
    """Print the sentences of claims, also of those that stand in no guide yet, and what their mutants do."""
    verdicts.make_importable(project)
    registry, reach = load(project.docs / "claims"), Reach(project)
    failed = 0
    for path, line, error in registry.broken:
        failed += 1
        print(f"{project.relative(path)}:{line}: {error}")
    for claim in registry.claims:
        if ids and claim.id not in ids:
            continue
        try:
            said, _ = verdicts.run(claim)
        except Exception as error:
            failed += 1
            print(f"{claim.id}: {type(error).__name__}: {error}\n")
            continue
        print(f"[{said}]{{#claim-{claim.id} .claim}}")
        for wanted in claim.killed_by:
            mutant = registry.mutant(wanted)
            none = [verdicts.Kill(wanted, False, "there is no such mutant")]
            (kill,) = verdicts.try_mutant(mutant, [(claim, said)], project.packages, reach) if mutant else none
            failed += not kill.killed
            print(f"    {wanted}: {'falls' if kill.killed else 'SURVIVES'}: {kill.effect}")
        print()
    return 1 if failed else 0
