"""What happens to every request before and after anybody looks at it.

The size of its body is limited, a key is asked for where one is set, the browser is told what the page may do, errors
become short answers with a number that the log has too, and the log gets one line. None of this knows about models.
"""

from __future__ import annotations

import hmac
import json
import logging
import secrets
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence

import pydantic
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nanochat.common import get_logger

SECURITY_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
"""The page may load its own files and talk to its own server, and nothing else: no foreign script, no frame around it,
no text that becomes code."""

LONGEST_MESSAGE = 300
"""Characters of an error message at most, so that no answer echoes a large request."""

_TYPES = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


def new_id() -> str:
    """Return a fresh number for a request, by which an answer and a line of the log find each other."""
    return secrets.token_hex(6)


def plain(text: object, longest: int = LONGEST_MESSAGE) -> str:
    r"""Make a text fit for a line of a log or an error message: one line, printable, short.

    Args:
        text: Anything.
        longest: Characters to keep.

    Example:
        >>> plain("a\r\n2026 FAKE \u202e")
        'a\\r\\n2026 FAKE \\u202e'
    """
    escaped = str(text)[: longest + 1].encode("unicode_escape").decode("ascii")
    return escaped if len(escaped) <= longest else escaped[: longest - 3] + "..."


def error_content(status: int, message: str, identity: str, code: str | None = None) -> dict[str, object]:
    """Return what an error says, in OpenAI's form, with the number of the request.

    Args:
        status: The HTTP status, from which the type of the error follows.
        message: What is wrong and how to cure it; shortened if it is long.
        identity: The number of the request.
        code: A name for the error that programs may rely on.
    """
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": plain(message), "type": kind, "param": None, "code": code, "id": identity}}


def error_response(
    status: int, message: str, identity: str, headers: Mapping[str, str] | None = None, code: str | None = None
) -> Response:
    """Return the answer to a request that failed.

    Args:
        status: The HTTP status.
        message: What is wrong and how to cure it.
        identity: The number of the request.
        headers: More headers, such as ``retry-after``.
        code: A name for the error that programs may rely on.
    """
    return JSONResponse(error_content(status, message, identity, code), status, headers)


def validation_message(error: pydantic.ValidationError) -> str:
    """Say in one short line which fields of a request are wrong; what they held is not repeated.

    Args:
        error: What pydantic found.
    """
    found = error.errors(include_input=False, include_url=False, include_context=False)
    named = "; ".join(
        f"{'.'.join(plain(place, 40) for place in one['loc'][:6]) or 'body'}: {one['msg']}" for one in found[:3]
    )
    return named + (f"; and {len(found) - 3} more" if len(found) > 3 else "")


class TokenBuckets:
    """Gives every client the same share: a bucket that fills slowly and that the tokens of its answers empty.

    Args:
        per_minute: Tokens that flow into a bucket in a minute, which is also what it holds; 0 means no limit.
        max_clients: Clients that are remembered; beyond that, the one that was seen longest ago is forgotten.
        clock: Seconds that never go back.

    Example:
        >>> now = [0.0]
        >>> buckets = TokenBuckets(60, clock=lambda: now[0])
        >>> buckets.spend("10.0.0.7", 90)
        >>> buckets.wait_s("10.0.0.7"), buckets.wait_s("10.0.0.8")
        (31.0, 0.0)
        >>> now[0] = 31.0
        >>> buckets.wait_s("10.0.0.7")
        0.0

    Guide:
        "Each visitor has a bucket." (nano/inference/web)
    """

    def __init__(self, per_minute: int, max_clients: int = 4096, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute, self.max_clients, self._clock = per_minute, max_clients, clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def _level(self, client: str) -> float:
        level, seen = self._levels.get(client, (float(self.per_minute), self._clock()))
        return min(float(self.per_minute), level + (self._clock() - seen) * self.per_minute / 60)

    def wait_s(self, client: str) -> float:
        """Return the seconds until this client may ask again; 0 if it may now."""
        if not self.per_minute:
            return 0.0
        return max(0.0, (1 - self._level(client)) * 60 / self.per_minute)

    def spend(self, client: str, tokens: int) -> None:
        """Take the tokens of an answer out of a client's bucket, which may fall below zero."""
        if self.per_minute:
            self._levels[client] = (self._level(client) - tokens, self._clock())
            self._levels.move_to_end(client)
            while len(self._levels) > self.max_clients:
                self._levels.popitem(last=False)


class TooLarge(HTTPException):
    """The body of a request is larger than allowed."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, f"the body is larger than {limit} bytes: send less of the conversation")


def log_failure(log: logging.Logger, identity: str, error: BaseException) -> None:
    """Write an error with its stack to the log; each line is escaped and carries the number of the request."""
    for block in traceback.format_exception(error):
        for line in block.rstrip("\n").split("\n"):
            log.error("%s | %s", identity, plain(line, 500))


class Guard:
    """Stands around the whole application.

    Args:
        app: The application.
        max_body: Bytes of a request at most, counted as they come in, whatever its headers say.
        key: What ``Authorization: Bearer`` has to carry; None asks for nothing.
        locked: Beginnings of the paths that the key is asked for.

    Guide:
        "So it must be strict before it is helpful, and look at a request before anything is computed for it."
        (nano/inference/web)
    """

    def __init__(
        self, app: ASGIApp, max_body: int, key: str | None = None, locked: Sequence[str] = ("/api/", "/v1/")
    ) -> None:
        self.app, self.max_body, self.locked = app, max_body, tuple(locked)
        self._key = None if key is None else key.encode("utf-8")
        self._log = get_logger("nanochat.web")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, as ASGI asks for it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin, identity = time.perf_counter(), new_id()
        scope.setdefault("state", {})["id"] = identity
        status, read = 0, 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            if message["type"] == "http.request":
                read += len(message.get("body", b""))
                if read > self.max_body:
                    raise TooLarge(self.max_body)
            return message

        async def guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                present = {name for name, _ in message["headers"]}
                more = {**SECURITY_HEADERS, "cache-control": "no-store", "x-request-id": identity}
                extra = [(name.encode(), value.encode()) for name, value in more.items()]
                message["headers"] = [*message["headers"], *(pair for pair in extra if pair[0] not in present)]
            await send(message)

        try:
            refused = self._refuse(scope, identity)
            await (refused or self.app)(scope, counted, guarded)
        except Exception as error:
            # What reaches this place has no handler. The stack goes to the log, the number to the client.
            log_failure(self._log, identity, error)
            if not status:
                answer = error_response(500, "the server failed; its log has the reason", identity)
                await answer(scope, receive, guarded)
        finally:
            self._log.info(
                "%s %s %s %s %s %.0f ms",
                identity,
                plain((scope.get("client") or ("-",))[0], 60),
                plain(scope["method"], 20),
                plain(scope["path"], 120),
                status or "-",
                1000 * (time.perf_counter() - begin),
            )

    def _refuse(self, scope: Scope, identity: str) -> Response | None:
        """Return the answer to a request that is not let in."""
        declared = _header(scope["headers"], b"content-length")
        if declared is not None and (not declared.isdigit() or len(declared) > 12 or int(declared) > self.max_body):
            return error_response(413, TooLarge(self.max_body).detail, identity)
        if self._key is not None and scope["path"].startswith(self.locked):
            scheme, _, given = (_header(scope["headers"], b"authorization") or b"").partition(b" ")
            if not (hmac.compare_digest(given.strip(), self._key) and scheme.lower() == b"bearer"):
                what = "this server asks for a key: send it as Authorization: Bearer KEY"
                return error_response(401, what, identity, {"www-authenticate": "Bearer"})
        return None


def _header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    return next((value for found, value in headers if found == name), None)


def as_line(content: object) -> str:
    """Return a JSON text without line breaks, in characters that every client reads alike."""
    return json.dumps(content, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
