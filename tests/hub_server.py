"""A small hub on loopback for the tests: real HTTP, with the faults that a script of answers asks for."""

from __future__ import annotations

import hashlib
import sys
import threading
import traceback
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

PAGE = b"<!DOCTYPE html>\n<html><body>Please log in.</body></html>"


class Hub:
    """Files by path; before a file is served well, the faults listed for its path happen, one a request.

    A fault is a status such as ``503``, or ``cut`` (half of the body), ``chunked-cut``, ``html``, ``html-as-data`` (a
    page under another content type), ``garbage`` (right size, wrong bytes), ``hang``, ``reset`` (closed without an
    answer), ``no-length``, ``other-part`` (a range that nobody asked for), ``packed`` (compressed, unasked).
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[int | str]] = defaultdict(list)
        self.requests: list[tuple[str, str | None]] = []
        """Path and Range header of each request."""
        self.states_sha256 = True
        self.redirects = False
        self.etag = True
        self.slow = 0.0
        """Seconds between two pieces of a body."""
        self.together: threading.Barrier | None = None
        """Answers wait here until so many clients have asked."""

    def add(self, dataset: str, path: str, data: bytes) -> str:
        """Put a file of a data set on the hub; return its path on the server."""
        place = f"/datasets/{dataset}/resolve/main/{path}"
        self.files[place] = data
        return place


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    wait: threading.Event

    def do_GET(self) -> None:
        hub, path = self.hub, unquote(self.path)
        stored = path.removeprefix("/store")
        hub.requests.append((path, self.headers["Range"]))
        data = hub.files.get(stored)
        if data is None:
            self.send_error(404)
            return
        if hub.redirects and path == stored:
            self.send_response(302)
            self.stated(data)
            self.send_header("Location", "/store" + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.serve(data, hub.faults[stored].pop(0) if hub.faults[stored] else None)

    def stated(self, data: bytes) -> None:
        if self.hub.states_sha256:
            self.send_header("X-Linked-ETag", f'"{hashlib.sha256(data).hexdigest()}"')
            self.send_header("X-Linked-Size", str(len(data)))

    def serve(self, data: bytes, fault: int | str | None) -> None:
        hub = self.hub
        if hub.together is not None:
            hub.together.wait(100)
        if isinstance(fault, int):
            self.send_response(fault)
            self.send_header("Retry-After", "7")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if fault == "hang":
            self.wait.wait(10)
        if fault in ("hang", "reset"):
            self.close_connection = True
            return
        if fault in ("html", "html-as-data"):
            data = PAGE
        if fault == "garbage":
            data = bytes(byte ^ 1 for byte in data)
        stored = hub.files[unquote(self.path).removeprefix("/store")]
        start, given, etag = 0, self.headers["Range"], f'"{hashlib.md5(stored).hexdigest()}"'
        if given and self.headers["If-Range"] == etag and fault != "whole":
            start = int(given.removeprefix("bytes=").removesuffix("-"))
        self.send_response(206 if start else 200)
        if start:
            first = start + (1 if fault == "other-part" else 0)
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Type", "text/html; charset=utf-8" if fault == "html" else "application/octet-stream")
        if hub.etag:
            self.send_header("ETag", etag)
        if fault == "packed":
            self.send_header("Content-Encoding", "gzip")
        if fault not in ("html", "html-as-data") and not hub.redirects:
            self.stated(stored)
        body = data[start:]
        if fault == "chunked-cut":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(f"{len(body):x}\r\n".encode() + body[: len(body) // 2])
            self.close_connection = True
            return
        if fault != "no-length":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault == "cut":
            body = body[: len(body) // 2]
        self.close_connection = fault in ("cut", "no-length")
        for at in range(0, len(body), 10_000):
            self.wfile.write(body[at : at + 10_000])
            if hub.slow:
                self.wait.wait(hub.slow)

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.errors: list[str] = []

    def handle_error(self, request: object, address: object) -> None:
        """Keep what went wrong; a client that leaves is no error of the server."""
        if not isinstance(sys.exception(), ConnectionError):
            self.errors.append(traceback.format_exc())


@contextmanager
def serve_hub() -> Iterator[Hub]:
    """Run a hub on a free port of loopback."""
    wait = threading.Event()
    handler = type("Handler", (_Handler,), {"protocol_version": "HTTP/1.1", "wait": wait})
    with _Server(("127.0.0.1", 0), handler) as server:
        handler.hub = hub = Hub(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield hub
        finally:
            wait.set()
            server.shutdown()
            thread.join()
        if server.errors:
            raise AssertionError("the server of the test failed:\n" + "\n".join(server.errors))
