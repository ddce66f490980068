"""Walk through the built site and the page of the chat in a real browser: ``make test-site``.

``python tests/browser/run.py [--site FOLDER] [PART ...]``: another folder than docs/_build/html, and only the pages
whose names hold one of the parts. The part ``chat`` is the page of the chat, which needs no built site.

Needs Chromium (or Chrome) and Node.js of the system; the two small packages that drive it are installed by npm the
first time, beside the built site. What is missing is named with the command that brings it.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import json
import os
import shutil
import socket
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


class Server(http.server.ThreadingHTTPServer):
    """Serves a browser that may go before it has read all."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Say something only when it was not the browser that went."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


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


def walk(script: str, setting: dict[str, object]) -> int:
    """Run a walk beside node_modules, where its imports are found, and return its exit status."""
    copy = TOOLS / script
    shutil.copyfile(HERE / script, copy)
    return subprocess.run(["node", str(copy)], input=json.dumps(setting), text=True).returncode


def walk_chat(browser: str) -> int:
    """Serve the chat with a model that learns some answers by heart, walk through its page, return the exit status."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, str(HERE / "chat.py"), f"--port={port}", "--pause=0.06"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            if not server.stdout.readline().startswith("ready"):
                print("FAIL chat: the server does not start")
                return 1
            return walk("chat.mjs", {"address": f"http://127.0.0.1:{port}/", "browser": browser})
        finally:
            server.terminate()


def main(argv: list[str] | None = None) -> int:
    """Serve the site on loopback, walk through it and through the chat, and return the exit status."""
    parser = argparse.ArgumentParser(description="Walk through the built site in a real browser.")
    parser.add_argument("--site", type=Path, default=SITE, help="folder of the built site (default: docs/_build/html)")
    parser.add_argument("parts", nargs="*", metavar="PART", help="walk through pages whose names hold this alone")
    options = parser.parse_args(argv)
    site = options.site.resolve()
    parts = [part for part in options.parts if part != "chat"]
    if options.parts and not parts:
        browser = find_browser()
        install_tools()
        return walk_chat(browser)
    if not (site / "index.html").exists():
        sys.exit(f"there is no site in {options.site}: run make site first")
    browser = find_browser()
    install_tools()
    every = (path.relative_to(site) for path in site.rglob("*.html"))
    pages = sorted(path.as_posix() for path in every if path.parts[0] not in ("_static", "_downloads"))
    server = Server(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as profile:
        setting = {
            "address": f"http://127.0.0.1:{server.server_port}/",
            "browser": browser,
            "profile": profile,
            "pages": pages,
            "only": parts,
        }
        status = walk("walk.mjs", setting)
    chat = "chat" in options.parts or (not parts and site == SITE)
    return max(status, walk_chat(browser)) if chat else status


if __name__ == "__main__":
    sys.exit(main())
