"""Walk through the built site in a real browser: ``make test-site``.

Needs Chromium (or Chrome) and Node.js of the system; the two small packages that drive it are installed by npm the
first time, beside the built site. What is missing is named with the command that brings it.
"""

from __future__ import annotations

import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SITE = ROOT / "docs" / "_build" / "html"
TOOLS = ROOT / "docs" / "_build" / "browser"


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def find_browser() -> str:
    """Return the path of a Chromium, or explain how to get one."""
    given = os.environ.get("CHROMIUM")
    for name in filter(None, (given, "chromium", "chromium-browser", "google-chrome", "chrome")):
        if found := shutil.which(name):
            return found
    mac = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
    if mac.exists():
        return str(mac)
    sys.exit(
        "make test-site needs Chromium or Chrome and finds none. Debian and Ubuntu: sudo apt-get install chromium. "
        "Fedora: sudo dnf install chromium. macOS: brew install --cask chromium. Or name one: CHROMIUM=/path/to/chrome"
    )


def install_tools() -> None:
    """Install what drives the browser, once."""
    wanted = (HERE / "package.json").read_text(encoding="utf-8")
    here = TOOLS / "package.json"
    if here.exists() and here.read_text(encoding="utf-8") == wanted and (TOOLS / "node_modules").is_dir():
        return
    if not (shutil.which("node") and shutil.which("npm")):
        sys.exit("make test-site needs Node.js with npm. Debian and Ubuntu: sudo apt-get install nodejs npm")
    TOOLS.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(TOOLS / "node_modules", ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=TOOLS) as folder:
        (Path(folder) / "package.json").write_text(wanted, encoding="utf-8")
        subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent", "--no-package-lock"],
            cwd=folder,
            check=True,
        )
        shutil.move(Path(folder) / "node_modules", TOOLS / "node_modules")
    here.write_text(wanted, encoding="utf-8")


def main() -> int:
    """Serve the site on loopback, walk through it, and return the exit status."""
    if not (SITE / "index.html").exists():
        sys.exit(f"there is no site in {SITE.relative_to(ROOT)}: run make site first")
    browser = find_browser()
    install_tools()
    pages = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html") if "_static" not in path.parts)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as profile:
        setting = {
            "address": f"http://127.0.0.1:{server.server_port}/",
            "browser": browser,
            "profile": profile,
            "pages": pages,
            "only": sys.argv[1:],
        }
        script = TOOLS / "walk.mjs"  # beside node_modules, where its imports are found
        shutil.copyfile(HERE / "walk.mjs", script)
        return subprocess.run(["node", str(script)], input=json.dumps(setting), text=True).returncode


if __name__ == "__main__":
    sys.exit(main())
