"""Write the report card of a run: settings, data, curves, scores, samples, time and cost on one page.

It reads what the stages wrote down while they ran, and says which of them were not run. The same page is written as
Markdown and as HTML.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nanochat.common import InputError
from nanochat.report import write_report
from nanochat.stages.flags import parse_flags


@dataclass(frozen=True)
class Settings:
    """The flags of ``nanochat report``."""

    run: str | None = None
    """Name of the run; if not given, the one that was written to last."""
    price_per_hour: float | None = None
    """What the machine costs each hour; if not given, the report says nothing of cost."""
    currency: str = "$"
    """The sign before the cost."""
    output: Path | None = None
    """The folder to write to; if not given, report/ and the name of the run in the base folder."""

    def __post_init__(self) -> None:
        if self.run is not None and (self.run in (".", "..") or Path(self.run).name != self.run):
            raise InputError(f"--run={self.run!r} must be the name of a folder, without slashes")
        if self.price_per_hour is not None and not (math.isfinite(self.price_per_hour) and self.price_per_hour >= 0):
            raise InputError(f"--price-per-hour={self.price_per_hour} must be at least 0")


def main(argv: Sequence[str] | None = None) -> None:
    """Write both files, and print the summary."""
    settings = parse_flags(Settings, argv, "nanochat report", __doc__)
    report = write_report(
        run=settings.run,
        price_per_hour=settings.price_per_hour,
        currency=settings.currency,
        output=settings.output,
    )
    print(f"{report.summary}\n")
    print(f"Markdown    {report.markdown}")
    print(f"HTML        {report.html}")
