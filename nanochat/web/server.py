"""The addresses of the chat server, and the process that serves them.

==============================  ===================================================================================
address                         what it gives
==============================  ===================================================================================
``GET /``, ``GET /static/...``  the page, and the files it is made of
``GET /health``                 whether the server works, and how much it has to do
``GET /api/info``               which model answers, how small it is, what it can be asked
``POST /api/chat``              an answer for the page: one event for each token, with what else was possible
``GET /v1/models``              the name of the model, in OpenAI's form
``POST /v1/chat/completions``   an answer in OpenAI's form, whole or as a stream
==============================  ===================================================================================

What serves the requests never computes: the one thread of :class:`nanochat.web.worker.Worker` does, and tells about
each token. So an answer that takes long keeps nobody from asking whether the server is well.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import math
import secrets
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib import resources
from types import FrameType

import anyio
import fastapi
import uvicorn
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError
from sse_starlette import EventSourceResponse
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from nanochat import __version__
from nanochat.accounting import count_parameters
from nanochat.common import InputError, get_logger
from nanochat.conversation import Conversation, fit_prompt, render_prompt
from nanochat.engine import Engine
from nanochat.gpt import GPT
from nanochat.tokenizer import Tokenizer
from nanochat.web.answers import Answer, Candidate, Scores, Written, show_token
from nanochat.web.guard import (
    Guard,
    TokenBuckets,
    as_line,
    error_content,
    error_response,
    log_failure,
    validation_message,
)
from nanochat.web.messages import ChatRequest, CompletionRequest, read_request
from nanochat.web.messages import Request as AnyRequest
from nanochat.web.worker import Busy, Ended, Job, Worker

MODEL_ID = "nanochat"
"""The name of the model in OpenAI's form; a server has one."""
CANDIDATES = 8
"""How many candidates the page shows for each token."""
PROMPT_TOKENS_SHOWN = 300
"""How many of the tokens that the model read the page shows; the last ones."""
SHUTDOWN_S = 5
"""Seconds that open answers have to end in after the server was told to stop."""
BODY_S = 20
"""Seconds in which a request has to send its body."""
TURN_MARKS = ("<|bos|>", "<|user_start|>", "<|user_end|>", "<|assistant_start|>", "<|assistant_end|>")
"""The special tokens that end an answer, because another turn begins or the document ends."""
LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")
"""The names of this machine for itself."""
PAGE_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
"""The kinds of files that the page is made of."""


@dataclass(frozen=True)
class Limits:
    """How much the server does, for one client and for all."""

    max_active: int = 32
    """Answers that are written at the same time."""
    max_waiting: int = 64
    """Answers that may wait for a place; beyond that, the server says that it is busy."""
    deadline_s: float = 120.0
    """Seconds after which an answer is broken off, waiting included."""
    max_body: int = 262_144
    """Bytes of a request."""
    tokens_per_minute: int = 60_000
    """Tokens of answers that one client gets in a minute; 0 means no limit."""
    max_connections: int = 512
    """Open connections."""


@dataclass(frozen=True)
class Served:
    """A model that is served, with what is told about it."""

    model: GPT
    """The model."""
    tokenizer: Tokenizer
    """Its tokenizer."""
    where: str = "a model of unknown origin"
    """A few words about where it comes from."""
    examples: tuple[str, ...] = ()
    """Things to ask that it has learned to answer."""
    note: str = ""
    """A sentence for the page about what it has not learned, such as to chat; empty if there is nothing to say."""
    temperature: float = 0.8
    """Where the slider of the page stands at first."""
    top_k: int | None = 50
    """Where the other one stands."""

    def info(self) -> dict[str, object]:
        """Return what ``/api/info`` tells."""
        config = self.model.config
        n = count_parameters(config).total
        return {
            "name": MODEL_ID,
            "version": __version__,
            "where": self.where,
            "note": self.note,
            "examples": list(self.examples),
            "parameters": n,
            "layers": config.n_layer,
            "heads": config.n_head,
            "width": config.n_embd,
            "vocabulary": config.vocab_size,
            "context": config.sequence_len,
            "device": str(self.model.device),
            "temperature": self.temperature,
            "top_k": self.top_k,
            "max_characters": self.max_characters,
        }

    @property
    def max_characters(self) -> int:
        """Characters that no message can exceed and still fit: each token of the context at its longest."""
        return self.model.config.sequence_len * max(self.tokenizer.n_bytes_per_token())


class Chat:
    """Everything that the addresses need: the model, the worker, the limits.

    Args:
        served: The model.
        limits: How much to do.
    """

    def __init__(self, served: Served, limits: Limits) -> None:
        self.served, self.limits = served, limits
        self.engine = Engine(served.model, served.tokenizer)
        self.scores = Scores(served.model)
        self.worker = Worker(limits.max_active, limits.max_waiting)
        self.buckets = TokenBuckets(limits.tokens_per_minute)
        special = served.tokenizer.special
        self.stops = frozenset(special(name) for name in TURN_MARKS)
        self.show = cache(partial(show_token, served.tokenizer))
        self.log = get_logger("nanochat.web")

    def prompt(
        self, request: ChatRequest | CompletionRequest, max_tokens: int | None, forget: bool
    ) -> tuple[list[int], int]:
        """Turn the messages of a request into tokens that fit.

        Args:
            request: The request.
            max_tokens: The room that the answer needs; None means a quarter of the context.
            forget: Whether the oldest turns may be left out; else what does not fit is refused.

        Returns:
            The tokens, and how many messages were left out.

        Raises:
            InputError: If the messages make no conversation or do not fit.

        Guide:
            "Then the oldest messages are left out, in pairs, until the rest leaves room for an answer."
            (nano/inference/web)
        """
        tokenizer, context = self.served.tokenizer, self.served.model.config.sequence_len
        room = -(-context // 4) if max_tokens is None else max_tokens
        if room >= context:
            raise InputError(f"max_tokens={room} leaves no room for the prompt: the context has {context} tokens")
        entries = [message.model_dump() for message in request.messages]
        conversation = Conversation.of(entries)
        needed = conversation.messages[-1:] if forget else conversation.messages
        characters = sum(len(part.text) for message in needed for part in message.parts)
        if characters > self.served.max_characters:
            raise InputError(f"{characters} characters cannot fit into a context of {context} tokens: shorten the text")
        if forget:
            return fit_prompt(tokenizer, conversation, context - room)
        ids = render_prompt(tokenizer, conversation)
        if len(ids) > context - room:
            raise InputError(
                f"the messages make a prompt of {len(ids)} tokens, with {room} more for the answer the context of "
                f"{context} is not enough: shorten them"
            )
        return ids, 0


class Writing:
    """An answer that is being written: the job, and the events that come out of it.

    Args:
        chat: Where it is written.
        ids: The tokens of the prompt.
        settings: ``temperature``, ``top_k``, ``seed`` and ``max_tokens``.
        top: How many candidates each token comes with; None leaves out probabilities.
        client: Whose bucket is emptied.

    Raises:
        InputError: If a setting has no meaning.
        Busy: If there is no place for it.
    """

    def __init__(self, chat: Chat, ids: list[int], settings: dict[str, object], top: int | None, client: str) -> None:
        self.chat, self.prompt_tokens, self.tokens, self._client = chat, len(ids), 0, client
        self._events: asyncio.Queue[Written | Ended] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        steps = chat.engine.stream(ids, stop=chat.stops, **settings)
        answer = Answer(chat.served.tokenizer, chat.scores, settings["temperature"], settings["top_k"], top)
        self.reader = answer.reader

        def emit(event: object) -> None:
            # Runs in the thread of the worker, while the scores are still those that the token was drawn from.
            shown = event if isinstance(event, Ended) else answer.take(event)
            loop.call_soon_threadsafe(self._events.put_nowait, shown)

        self.job = Job(steps, chat.stops, chat.limits.deadline_s, emit)
        self.ahead = chat.worker.submit(self.job)

    async def events(self) -> AsyncIterator[Written | Ended]:
        """Yield the tokens, and last why the answer ended; stops the work when nobody asks for more."""
        try:
            while True:
                event = await self._events.get()
                if isinstance(event, Ended):
                    yield event
                    return
                self.tokens += 1
                yield event
        finally:
            self.stop()

    def stop(self) -> None:
        """Stop writing, if it still goes on, and settle what it cost."""
        self.job.cancel()
        if self._client:
            self.chat.buckets.spend(self._client, self.tokens)
            self._client = ""


class ChatStream(EventSourceResponse):
    """A stream of events that stops the work behind it however it ends, also before its first event.

    Args:
        writing: What to stop.
        lines: The events' data.
    """

    def __init__(self, writing: Writing, lines: AsyncIterator[dict[str, str]]) -> None:
        super().__init__(
            lines, ping=15, send_timeout=30, shutdown_event=anyio.Event(), shutdown_grace_period=SHUTDOWN_S - 1
        )
        self._writing = writing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._writing.stop()


def ended_badly(chat: Chat, ended: Ended, identity: str) -> dict[str, object] | None:
    """Return what to tell about an answer that did not end by itself; None if it did.

    Args:
        chat: Whose log is written to.
        ended: How it ended.
        identity: The number of the request, which the log has too.
    """
    if ended.reason in ("stop", "length"):
        return None
    if ended.error is not None:
        log_failure(chat.log, identity, ended.error)
        return error_content(500, "the server failed while it wrote the answer; its log has the reason", identity)
    why = {
        "deadline": f"the answer took longer than {chat.limits.deadline_s:g} seconds and was broken off",
        "shutdown": "the server was stopped before the answer was complete",
    }
    return error_content(503, why.get(ended.reason, "the answer was broken off"), identity, ended.reason)


def page_files() -> dict[str, tuple[bytes, str, str]]:
    """Read the files of the page from the package, wherever it is installed.

    Returns:
        For each name its content, its type and a tag that changes with the content.
    """
    files = {}
    for entry in resources.files("nanochat.web").joinpath("static").iterdir():
        suffix = entry.name[entry.name.rfind(".") :]
        if suffix in PAGE_TYPES:
            content = entry.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
            files[entry.name] = (content, f"{PAGE_TYPES[suffix]}; charset=utf-8", tag)
    return files


def create_app(
    served: Served,
    limits: Limits | None = None,
    key: str | None = None,
    hosts: Sequence[str] = LOCAL_HOSTS,
) -> Guard:
    """Make the application.

    Args:
        served: The model.
        limits: How much to do; None means the usual.
        key: What clients must know to talk to the model; None lets everybody.
        hosts: The names under which the server may be asked; others are refused, so that no foreign page can reach it
            by pointing a name of its own at this machine.

    Returns:
        An ASGI application; its ``chat`` is the state behind it.

    Guide:
        "So this server has a second door, which takes requests in that form." (nano/inference/web)
    """
    limits = limits or Limits()
    chat = Chat(served, limits)
    files = page_files()
    app = fastapi.FastAPI(title="nanochat", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)

    @app.exception_handler(HTTPException)
    async def http_error(request: fastapi.Request, error: HTTPException) -> Response:
        return error_response(error.status_code, str(error.detail), request.state.id, error.headers)

    @app.exception_handler(InputError)
    async def input_error(request: fastapi.Request, error: InputError) -> Response:
        return error_response(400, str(error), request.state.id)

    @app.exception_handler(ValidationError)
    async def invalid(request: fastapi.Request, error: ValidationError) -> Response:
        return error_response(422, validation_message(error), request.state.id)

    @app.exception_handler(Busy)
    async def busy(request: fastapi.Request, error: Busy) -> Response:
        message = "the server stops" if error.shutdown else "every place is taken: try again in a few seconds"
        return error_response(503, message, request.state.id, {"retry-after": "5"})

    async def read(request: fastapi.Request, kind: type[AnyRequest]) -> AnyRequest:
        """Check what a client wants before anything is computed for it."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise HTTPException(415, "the body must be JSON: send it with Content-Type: application/json")
        if wait := chat.buckets.wait_s(_client(request)):
            raise HTTPException(429, "too many tokens: wait a little", {"retry-after": str(math.ceil(wait))})
        try:
            async with asyncio.timeout(BODY_S):
                body = await request.body()
        except TimeoutError:
            late = f"the body did not come within {BODY_S} seconds"
            raise HTTPException(408, late, {"connection": "close"}) from None
        return read_request(kind, body)

    async def start(
        request: fastapi.Request,
        wish: ChatRequest | CompletionRequest,
        settings: dict[str, object],
        top: int | None,
        forget: bool,
    ) -> tuple[Writing, list[int], int]:
        """Make the prompt, apart from the loop so that a long one delays nobody, and take a place."""
        ids, dropped = await asyncio.to_thread(chat.prompt, wish, settings["max_tokens"], forget)
        return Writing(chat, ids, settings, top, _client(request)), ids, dropped

    @app.api_route("/", methods=["GET", "HEAD"])
    async def page(request: fastapi.Request) -> Response:
        return await static(request, "index.html")

    @app.api_route("/static/{name}", methods=["GET", "HEAD"])
    async def static(request: fastapi.Request, name: str) -> Response:
        if name not in files:
            raise HTTPException(404, "there is no such file")
        content, kind, tag = files[name]
        headers = {"etag": tag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=kind, headers=headers)

    @app.get("/health")
    async def health() -> Response:
        state = {"active": chat.worker.active, "waiting": chat.worker.waiting}
        return JSONResponse(
            {"status": "ok" if chat.worker.alive else "stopping", **state}, 200 if chat.worker.alive else 503
        )

    @app.get("/api/info")
    async def info() -> Response:
        return JSONResponse(served.info())

    @app.get("/v1/models")
    async def models() -> Response:
        model = {"id": MODEL_ID, "object": "model", "created": 0, "owned_by": "nanochat"}
        return JSONResponse({"object": "list", "data": [model]})

    @app.post("/api/chat")
    async def answer_page(request: fastapi.Request) -> Response:
        wish = await read(request, ChatRequest)
        seed = secrets.randbelow(2**31) if wish.seed is None else wish.seed
        settings = {"max_tokens": wish.max_tokens, "temperature": wish.temperature, "top_k": wish.top_k, "seed": seed}
        writing, ids, dropped = await start(request, wish, settings, CANDIDATES, forget=True)
        return ChatStream(writing, page_events(chat, writing, ids, dropped, settings, request.state.id))

    @app.post("/v1/chat/completions")
    async def answer_program(request: fastapi.Request) -> Response:
        wish = await read(request, CompletionRequest)
        if wish.model not in (None, MODEL_ID):
            return error_response(
                404, f"there is no such model here: it is {MODEL_ID!r}", request.state.id, code="model_not_found"
            )
        if wish.top_logprobs is not None and not wish.logprobs:
            raise InputError("top_logprobs has a meaning with logprobs=true alone")
        if wish.stream_options is not None and not wish.stream:
            raise InputError("stream_options has a meaning with stream=true alone")
        both = (wish.max_tokens, wish.max_completion_tokens)
        settings = {
            "max_tokens": min((n for n in both if n is not None), default=None),
            "temperature": 1.0 if wish.temperature is None else wish.temperature,
            "top_k": wish.top_k,
            "seed": secrets.randbelow(2**31) if wish.seed is None else wish.seed,
        }
        top = (wish.top_logprobs or 0) if wish.logprobs else None
        writing, _, _ = await start(request, wish, settings, top, forget=False)
        frame = {"id": f"chatcmpl-{request.state.id}", "created": int(time.time()), "model": MODEL_ID}
        if wish.stream:
            usage = wish.stream_options is not None and wish.stream_options.include_usage
            return ChatStream(writing, completion_chunks(chat, writing, frame, request.state.id, usage))
        return await _whole_completion(request, chat, writing, frame)

    guard = Guard(TrustedHostMiddleware(app, list(hosts), www_redirect=False), limits.max_body, key)
    guard.chat = chat
    return guard


def _client(request: fastapi.Request) -> str:
    """Return what tells one client from another: its address, as the connection has it and not as a header says."""
    return request.client.host if request.client else "-"


# --- The stream of the page ----------------------------------------------------------------------------------------


async def page_events(
    chat: Chat, writing: Writing, ids: list[int], dropped: int, settings: dict[str, object], identity: str
) -> AsyncIterator[dict[str, str]]:
    """Yield the events of an answer as the page reads them.

    Args:
        chat: Where it is written.
        writing: The answer.
        ids: The tokens of the prompt.
        dropped: Messages that were left out because they did not fit.
        settings: The settings in force.
        identity: The number of the request.

    Yields:
        ``start``, then a ``token`` for each token, then ``end`` or ``error``; each as the data of one event.

    Guide:
        "So the server sends each as soon as it has it." (nano/inference/web)
    """
    begin = time.monotonic()
    yield _line(
        type="start",
        id=identity,
        prompt=[chat.show(token) for token in ids[-PROMPT_TOKENS_SHOWN:]],
        prompt_tokens=len(ids),
        dropped=dropped,
        ahead=writing.ahead,
        temperature=settings["temperature"],
        top_k=settings["top_k"],
        seed=settings["seed"],
    )
    async for event in writing.events():
        if isinstance(event, Written):
            yield _line(
                type="token",
                **chat.show(event.token),
                kind=event.kind,
                forced=event.forced,
                chosen=_shares(event.chosen),
                candidates=[{**chat.show(one.token), **_shares(one)} for one in event.candidates],
                parts=[{"kind": part.kind, "text": part.text} for part in event.parts],
            )
        elif error := ended_badly(chat, event, identity):
            yield _line(type="error", **error)
        else:
            rest = [{"kind": part.kind, "text": part.text} for part in writing.reader.end()]
            seconds = round(time.monotonic() - begin, 3)
            yield _line(type="end", reason=event.reason, tokens=writing.tokens, seconds=seconds, parts=rest)


def _line(**content: object) -> dict[str, str]:
    """Return one event of a stream."""
    return {"data": as_line(content)}


def _shares(candidate: Candidate | None) -> dict[str, float] | None:
    if candidate is None:
        return None
    return {"own": round(candidate.own, 6), "drawn_with": round(candidate.drawn_with, 6)}


# --- OpenAI's form -------------------------------------------------------------------------------------------------


def logprob_entry(tokenizer: Tokenizer, event: Written) -> dict[str, object] | None:
    """Return how likely a token was, in OpenAI's form; None for one that the model did not choose.

    The probabilities are the model's own, before temperature and top-k.

    Args:
        tokenizer: Knows the tokens.
        event: The token.
    """
    if event.chosen is None:
        return None

    def entry(candidate: Candidate) -> dict[str, object]:
        raw = tokenizer.token_bytes(candidate.token)
        logprob = math.log(candidate.own) if candidate.own > 0 else -9999.0
        return {"token": raw.decode("utf-8", "replace"), "logprob": logprob, "bytes": list(raw)}

    return {**entry(event.chosen), "top_logprobs": [entry(candidate) for candidate in event.candidates]}


def _usage(writing: Writing) -> dict[str, int]:
    """Return how many tokens were read and written, in OpenAI's form."""
    read, wrote = writing.prompt_tokens, writing.tokens
    return {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote}


async def completion_chunks(
    chat: Chat, writing: Writing, frame: dict[str, object], identity: str, usage: bool
) -> AsyncIterator[dict[str, str]]:
    """Yield the chunks of an answer in OpenAI's form.

    Args:
        chat: Where it is written.
        writing: The answer.
        frame: What all chunks have in common.
        identity: The number of the request.
        usage: Whether a last chunk counts the tokens.

    Yields:
        The chunks, and last ``[DONE]``; or, when something goes wrong, an object with an ``error``.
    """
    frame = {**frame, "object": "chat.completion.chunk"}

    def chunk(delta: dict[str, str], reason: str | None = None, logprobs: object = None) -> dict[str, str]:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        return _line(**frame, choices=[choice])

    yield chunk({"role": "assistant", "content": ""})
    async for event in writing.events():
        if isinstance(event, Written):
            words = "".join(part.text for part in event.parts if part.kind == "text")
            entry = logprob_entry(chat.served.tokenizer, event)
            if words or entry:
                yield chunk({"content": words} if words else {}, logprobs=entry and {"content": [entry]})
        elif error := ended_badly(chat, event, identity):
            yield _line(**error)
            return
        else:
            rest = "".join(part.text for part in writing.reader.end() if part.kind == "text")
            yield chunk({"content": rest} if rest else {}, event.reason)
            if usage:
                yield _line(**frame, choices=[], usage=_usage(writing))
            yield {"data": "[DONE]"}


async def _whole_completion(
    request: fastapi.Request, chat: Chat, writing: Writing, frame: dict[str, object]
) -> Response:
    """Return an answer in OpenAI's form once it is complete; a client that leaves before stops the work.

    Args:
        request: The request, to see whether the client is still there.
        chat: Where it is written.
        writing: The answer.
        frame: What identifies the answer.
    """

    async def leave() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        writing.job.cancel()

    words, entries = [], []
    watch = asyncio.create_task(leave())
    try:
        async for event in writing.events():
            if isinstance(event, Ended):
                if error := ended_badly(chat, event, request.state.id):
                    return JSONResponse(error, 500 if event.error else 503)
                rest, reason = writing.reader.end(), event.reason
                words += [part.text for part in rest if part.kind == "text"]
            else:
                words += [part.text for part in event.parts if part.kind == "text"]
                if entry := logprob_entry(chat.served.tokenizer, event):
                    entries.append(entry)
    finally:
        watch.cancel()
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "".join(words), "refusal": None},
        "logprobs": {"content": entries, "refusal": None} if entries else None,
        "finish_reason": reason,
    }
    return JSONResponse({**frame, "object": "chat.completion", "choices": [choice], "usage": _usage(writing)})


# --- The process ---------------------------------------------------------------------------------------------------


class ChatServer(uvicorn.Server):
    """A server that ends open answers with an event when it is told to stop, and then stops without complaint.

    Args:
        config: The settings of uvicorn.
        worker: Whose answers are ended.
        ready: Called when requests are taken.
    """

    def __init__(self, config: uvicorn.Config, worker: Worker, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._worker, self._ready = worker, ready
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take requests, and say so."""
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        if self.started:
            self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop at the first signal, at once at the second.

        The signal is not raised again afterwards, as uvicorn would: who asks a server to stop, and sees it stop, has
        been obeyed, so the status of the process is 0.
        """
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._worker.stop)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what is open, then stop."""
        self._worker.stop()
        await super().shutdown(sockets)


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach a server on that address.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def bind(host: str, port: int) -> socket.socket:
    """Take the port before anything else is promised.

    Args:
        host: A name or an address of this machine.
        port: From 1 to 65535.

    Returns:
        The socket, which listens.

    Raises:
        InputError: If the port is no port, is taken, or the host is not this machine.
    """
    if not 1 <= port <= 65535:
        raise InputError(f"--port={port} is no port: use one from 1 to 65535, from 1024 if you are not root")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=256)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"cannot listen on {host} port {port} ({reason}): choose another with --port or --host"
        ) from None


def serve(
    served: Served,
    listener: socket.socket,
    limits: Limits | None = None,
    key: str | None = None,
    hosts: Sequence[str] = LOCAL_HOSTS,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve a model until the process is told to stop.

    Args:
        served: The model.
        listener: The socket, of :func:`bind`.
        limits: How much to do; None means the usual.
        key: What clients must know; None lets everybody.
        hosts: The names under which the server may be asked.
        ready: Called when requests are taken.
    """
    limits = limits or Limits()
    app = create_app(served, limits, key, hosts)
    server = ChatServer(uvicorn_config(app, limits), app.chat.worker, ready)
    try:
        server.run(sockets=[listener])
    finally:
        app.chat.worker.stop()
        app.chat.worker.join(SHUTDOWN_S)
        app.chat.scores.close()


def uvicorn_config(app: ASGIApp, limits: Limits) -> uvicorn.Config:
    """Return the settings of uvicorn: its own log stays off, since :class:`nanochat.web.guard.Guard` writes one."""
    return uvicorn.Config(
        app,
        http="h11",  # the other one that may be installed sets no bound to the head of a request
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="off",
        limit_concurrency=limits.max_connections,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=SHUTDOWN_S,
        h11_max_incomplete_event_size=32_768,
    )
