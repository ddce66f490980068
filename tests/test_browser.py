"""The walk through the site must find what is wrong with a page; a walk that passes everything would prove nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser import run

ROOT = Path(__file__).resolve().parents[1]
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><link rel="icon" href="data:,"></head>
<body><main><article><h1>{title}</h1>{body}</article></main></body></html>
"""
FAULTS = {
    "picture": ('<img src="nowhere.png" alt="x">', "pictures that do not show"),
    "unnamed": ('<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">', "pictures without a description"),
    "console": ("<script>console.error('broken')</script>", "console: broken"),
    "script": ("<script>undefinedName()</script>", "script: undefinedName"),
    "outside": ('<script src="https://example.org/x.js"></script>', "request off the machine: https://example.org"),
    "formula": ("<p>Here is $x^2$.</p>", "formulas left raw"),
    "builder": ('<div class="system-message">wrong</div>', "messages of the builder"),
    "pale": ('<p style="color:#bbb;background:#fff">Hardly to be read.</p>', "axe color-contrast"),
    "dark": (
        "<style>@media (prefers-color-scheme: dark) { p { color: #222; background: #000 } }</style><p>Night.</p>",
        "dark.html (dark): axe color-contrast",
    ),
    "wide": ('<p style="width:600px">Wide.</p>', "wider than a phone"),
    "emoji": ("<p>✅ proved</p>", "marks that need a font"),
    "drawing": ('<figure><svg class="nc-svg" width="99" height="9"></svg></figure>', "drawings without a name"),
    "heading": ("<h1>Again</h1>", "2 headings of the first level"),
}


@pytest.fixture(scope="module")
def browser() -> str:
    """A browser and what drives it."""
    if not shutil.which("node"):
        pytest.skip("needs Node.js")
    try:
        found = run.find_browser()
        run.install_tools()
    except SystemExit as missing:
        pytest.skip(str(missing))
    except subprocess.CalledProcessError:
        pytest.skip("npm could not install playwright-core and axe-core: it needs a registry")
    return found


@pytest.mark.slow
def test_the_walk_finds_every_fault(browser: str, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(PAGE.format(title="Sound", body="<p>All is well here.</p>"), encoding="utf-8")
    for name, (body, _) in FAULTS.items():
        (tmp_path / f"{name}.html").write_text(PAGE.format(title=name, body=body), encoding="utf-8")
    command = [sys.executable, str(ROOT / "tests" / "browser" / "run.py"), "--site", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stdout + done.stderr
    found = [line for line in done.stdout.splitlines() if line.startswith("FAIL ")]
    for name, (_, message) in FAULTS.items():
        assert any(f"{name}.html" in line and message in line for line in found), (name, found)
    # Of the sound page only the menu, the switch and the keyboard's first stop are missing, which it has not.
    sound = [line for line in found if line.startswith("FAIL index.html") and ("axe" in line or "phone of 390" in line)]
    assert not sound, sound
    assert any("no page of the guides" in line for line in found), found
    assert f"{len(FAULTS) + 1} pages" in done.stdout


def test_a_folder_without_a_site_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="there is no site in .*: run make site first"):
        run.main(["--site", str(tmp_path)])
