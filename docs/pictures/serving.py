"""The chat server inside this process: what the chapter on the web page asks it, without a socket.

An ASGI application is a function. :func:`ask` calls it as a web server would, with one request, and collects what it
sends. The model behind it is the pupil of the chapter on tools.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from docs.pictures import tools
from nanochat.engine import Step
from nanochat.web import server
from nanochat.web.server import Limits, Served
from nanochat.web.worker import Ended, Job, Worker

JSON = {"content-type": "application/json"}
"""What a request says about its body."""
QUESTION = "4+3 €?"
"""What is asked, as in the chapter on the journey."""
PATIENCE_S = 60
"""Seconds after which something that should have happened long ago is taken for broken."""

HELD_S = 5
"""Seconds for which a model is held at most."""


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    """The HTTP status."""
    headers: dict[str, str]
    """The headers."""
    pieces: list[bytes]
    """The body, in the pieces in which it was sent."""

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(self.pieces)

    def json(self) -> Any:
        """The body as what it says."""
        return json.loads(self.body)

    def data(self) -> list[str]:
        """The data of each event of a stream."""
        lines = self.body.decode().splitlines()
        return [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]

    def events(self) -> list[dict[str, Any]]:
        """The events of a stream of the page."""
        return [json.loads(data) for data in self.data()]


async def _ask(app: Any, method: str, path: str, body: bytes, headers: dict[str, str]) -> Reply:
    asked = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not asked:
            await asyncio.Event().wait()  # the client stays until it has the whole reply
        return asked.pop()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in {"host": "localhost", **headers}.items()],
        "client": ("127.0.0.1", 50000), "server": ("127.0.0.1", 8000),
    }  # fmt: skip
    await app(scope, receive, send)
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Reply(sent[0]["status"], found, [message["body"] for message in sent[1:] if message.get("body")])


def ask(app: Any, path: str, content: object = None, headers: dict[str, str] | None = None) -> Reply:
    """Send one request and wait for the whole reply.

    Args:
        app: The application.
        path: The address.
        content: What is sent as JSON; None asks for something without sending anything; bytes are sent as they are.
        headers: More headers.
    """
    method = "GET" if content is None else "POST"
    body = content if isinstance(content, bytes) else b"" if content is None else json.dumps(content).encode()
    return asyncio.run(_ask(app, method, path, body, {**(JSON if content is not None else {}), **(headers or {})}))


def asked_meanwhile(app: Any, content: object, path: str) -> Reply:
    """Ask for an answer, hold the model in its first token, and see what another address gives meanwhile.

    Both requests are served by one loop, as in a real server.

    Args:
        app: The application, whose model is the one that is held.
        content: What is asked of the model.
        path: The other address.
    """
    begun, go_on = threading.Event(), threading.Event()

    def hold(*_: object) -> None:
        begun.set()
        go_on.wait(HELD_S)

    async def both() -> Reply:
        writing = asyncio.create_task(_ask(app, "POST", "/api/chat", json.dumps(content).encode(), JSON))
        await asyncio.to_thread(begun.wait, PATIENCE_S)
        try:
            return await _ask(app, "GET", path, b"", {})
        finally:
            go_on.set()
            await writing

    hook = app.chat.served.model.register_forward_pre_hook(hold)
    try:
        return asyncio.run(both())
    finally:
        hook.remove()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the log to itself for the block, where something fails on purpose."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


@contextmanager
def serving(limits: Limits | None = None, key: str | None = None, served: Served | None = None) -> Iterator[Any]:
    """Keep a server for the block; its thread ends with it.

    Args:
        limits: How much it does.
        key: What clients must know.
        served: The model; the pupil of the chapter on tools if left out.
    """
    app = server.create_app(served or Served(tools.model(), tools.tokenizer()), limits, key)
    try:
        yield app
    finally:
        app.chat.worker.stop()
        app.chat.worker.join(PATIENCE_S)
        app.chat.scores.close()


def chat(*said: str, **wishes: Any) -> dict[str, Any]:
    """The body of a request of the page: the user's and the model's words in turn.

    Args:
        said: What was said, the user's words first.
        wishes: Other fields, such as ``temperature``.
    """
    roles = ("user", "assistant")
    messages = [{"role": roles[place % 2], "content": words} for place, words in enumerate(said)]
    return {"messages": messages, **wishes}


def answered(**wishes: Any) -> Reply:
    """The stream with which the server answers the question of the chapters, with their seed.

    Args:
        wishes: Other fields of the request.
    """
    with serving() as app:
        return ask(app, "/api/chat", chat(QUESTION, **{"seed": tools.SEED, **wishes}))


def written_together(streams: Sequence[Iterator[Step]]) -> list[list[int]]:
    """The tokens of some answers that a worker writes in turn.

    Args:
        streams: The answers.
    """
    worker, done = Worker(len(streams)), threading.Semaphore(0)
    rows: list[list[int]] = [[] for _ in streams]

    def collect(row: list[int]) -> Callable[[Step | Ended], None]:
        return lambda event: done.release() if isinstance(event, Ended) else row.append(event.tokens[0])

    for stream, row in zip(streams, rows, strict=True):
        worker.submit(Job(stream, frozenset(), PATIENCE_S, collect(row)))
    for _ in streams:
        done.acquire(timeout=PATIENCE_S)
    worker.stop()
    worker.join(PATIENCE_S)
    return rows


# ---- the worker, with jobs that compute nothing ----------------------------------------------------------------


def steps(count: int) -> Iterator[Step]:
    """So many tokens of one row."""
    for token in range(count):
        yield Step([token], [True], [False], [1.0], [[]])


class Bench:
    """A worker with jobs that are counted, so that it can be seen who writes when.

    Args:
        max_active: Places to write in.
        max_waiting: Places to wait in.
    """

    def __init__(self, max_active: int, max_waiting: int = 64) -> None:
        self.worker = Worker(max_active, max_waiting)
        self.order: list[str] = []
        """The names of the jobs, once for each token, in the order in which they were written."""
        self.ended: dict[str, str] = {}
        """Why each job ended."""
        self._open, self._begun, self._done = threading.Event(), threading.Event(), threading.Semaphore(0)
        self.jobs: dict[str, Job] = {}

    def put(self, name: str, tokens: int, then: Callable[[str], None] | None = None) -> int:
        """Submit a job; nothing is written before :meth:`run`.

        Args:
            name: Its name.
            tokens: How long its answer is.
            then: Called with the name after each of its tokens.

        Returns:
            How many wait before it.
        """

        def held() -> Iterator[Step]:
            self._begun.set()
            self._open.wait(PATIENCE_S)
            yield from steps(tokens)

        def emit(event: object) -> None:
            if isinstance(event, Ended):
                self.ended[name] = event.reason
                self._done.release()
                return
            self.order.append(name)
            if then is not None:
                then(name)

        self.jobs[name] = Job(held(), frozenset(), PATIENCE_S, emit)
        ahead = self.worker.submit(self.jobs[name])
        self._begun.wait(PATIENCE_S)  # the first job has its place, and the worker is held there
        return ahead

    @contextmanager
    def held_while_refusing(self) -> Iterator[None]:
        """Hold the worker during the block, unless it lets more wait than it has places: who does would wait long."""
        over, seats = threading.Event(), self.worker.waiting

        def watch() -> None:
            while not over.wait(0.01):
                if self.worker.waiting > seats:
                    self._open.set()

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join(PATIENCE_S)

    def run(self) -> list[str]:
        """Let the worker go, and wait until every job has ended."""
        self._open.set()
        for _ in self.jobs:
            self._done.acquire(timeout=PATIENCE_S)
        self.worker.stop()
        self.worker.join(PATIENCE_S)
        return self.order


def late() -> tuple[int, str]:
    """How many tokens a job of three writes whose time is over, and why it ends."""
    worker, done, events = Worker(1), threading.Event(), []

    def emit(event: Step | Ended) -> None:
        events.append(event)
        if isinstance(event, Ended):
            done.set()

    worker.submit(Job(steps(3), frozenset(), -1.0, emit))
    done.wait(PATIENCE_S)
    worker.stop()
    worker.join(PATIENCE_S)
    return len(events) - 1, events[-1].reason


def turns(lengths: Sequence[int], places: int) -> list[str]:
    """Who writes each token when chats of these lengths, named A, B, C and so on, come at the same moment.

    Args:
        lengths: Tokens of each answer.
        places: Answers that are written at the same time.
    """
    shared = Bench(places)
    shared.put("first", 0)  # holds the worker until all have come, and writes nothing
    for place, length in enumerate(lengths):
        shared.put(chr(65 + place), length)
    return shared.run()
