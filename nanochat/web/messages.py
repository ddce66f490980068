"""What a request may hold, and how its bytes are read.

Everything is strict: a number in quotation marks is no number, an unknown field is an error and not ignored, and
infinity is refused. Bounds stand here that hold for every model; what depends on the model (its context) is checked by
the server.
"""

from __future__ import annotations

import json
from typing import Literal, NoReturn, TypeVar

import pydantic

from nanochat.common import InputError

MAX_MESSAGES = 400
"""Messages of one request at most."""
MAX_CHARACTERS = 200_000
"""Characters of one text at most; models that read more are not served by this server."""

Text = pydantic.Field(max_length=MAX_CHARACTERS)
"""A text of bounded length."""


class Strict(pydantic.BaseModel):
    """A part of a request: nothing is guessed, nothing is ignored."""

    model_config = pydantic.ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, frozen=True)


class ContentPart(Strict):
    """A piece of a message."""

    type: Literal["text", "python", "python_output"]
    """Words, a calculation, or what came of it; the last two in messages of the assistant alone."""
    text: str = Text
    """The words, the expression or the result."""


class ChatMessage(Strict):
    """What one side said."""

    role: Literal["system", "user", "assistant"]
    """Who speaks; ``system`` may only come first, and goes before the user's first words."""
    content: str | list[ContentPart] = pydantic.Field(max_length=MAX_CHARACTERS)
    """The text, or its parts."""


class ChatRequest(Strict):
    """A request of the page: ``POST /api/chat``."""

    messages: list[ChatMessage] = pydantic.Field(min_length=1, max_length=MAX_MESSAGES)
    """The conversation; the last message is the user's."""
    temperature: float = pydantic.Field(default=0.8, ge=0, le=10)
    """0 always takes the likeliest token; 1 leaves the probabilities as the model gave them."""
    top_k: int | None = pydantic.Field(default=50, ge=1, le=10**9)
    """How many of the likeliest tokens each draw chooses among; null means all."""
    max_tokens: int | None = pydantic.Field(default=None, ge=1, le=10**9)
    """Tokens of the answer at most; null means as many as fit."""
    seed: int | None = pydantic.Field(default=None, ge=0, lt=2**63)
    """The same seed gives the same answer; null means that the server takes one by chance and says which."""


class StreamOptions(Strict):
    """What a stream tells besides."""

    include_usage: bool = False
    """Whether the last chunk counts the tokens."""


class CompletionRequest(Strict):
    """A request in OpenAI's form: ``POST /v1/chat/completions``.

    Fields of that form that mean something this server does not do are refused by name. The four in which clients often
    write the value that changes nothing are taken with that value.
    """

    model: str | None = pydantic.Field(default=None, max_length=200)
    """The name that ``GET /v1/models`` gives."""
    messages: list[ChatMessage] = pydantic.Field(min_length=1, max_length=MAX_MESSAGES)
    """The conversation; the last message is the user's."""
    temperature: float | None = pydantic.Field(default=None, ge=0, le=10)
    """As in :class:`ChatRequest`; null means 1."""
    top_k: int | None = pydantic.Field(default=None, ge=1, le=10**9)
    """As in :class:`ChatRequest`; OpenAI's form does not know it."""
    max_tokens: int | None = pydantic.Field(default=None, ge=1, le=10**9)
    """Tokens of the answer at most."""
    max_completion_tokens: int | None = pydantic.Field(default=None, ge=1, le=10**9)
    """The newer name of the same."""
    seed: int | None = pydantic.Field(default=None, ge=0, lt=2**63)
    """The same seed gives the same answer."""
    stream: bool | None = None
    """Whether the answer comes in pieces while it is written."""
    stream_options: StreamOptions | None = None
    """What the stream tells besides."""
    logprobs: bool | None = None
    """Whether each token comes with the logarithm of the probability that the model gave it."""
    top_logprobs: int | None = pydantic.Field(default=None, ge=0, le=20)
    """How many of the likeliest tokens come with theirs."""
    n: int | None = pydantic.Field(default=None, ge=1, le=1)
    """Only 1."""
    top_p: float | None = pydantic.Field(default=None, ge=1, le=1)
    """Only 1."""
    presence_penalty: float | None = pydantic.Field(default=None, ge=0, le=0)
    """Only 0."""
    frequency_penalty: float | None = pydantic.Field(default=None, ge=0, le=0)
    """Only 0."""


Request = TypeVar("Request", bound=Strict)
"""A kind of request."""


def read_request(kind: type[Request], body: bytes) -> Request:
    """Turn the bytes of a request into a checked one.

    Args:
        kind: What it has to be.
        body: The bytes.

    Returns:
        The request.

    Raises:
        InputError: If the bytes are no JSON text, or an object of it has the same key twice.
        pydantic.ValidationError: If a field is missing, unknown, of the wrong type or out of bounds.

    Guide:
        "A mistake that is passed over in silence costs an evening." (nano/inference/web)
    """
    try:
        found = json.loads(body.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant)
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise InputError("the body holds half of a surrogate pair, which is no text") from None
    except InputError:
        raise
    except UnicodeDecodeError as error:
        raise InputError(f"the body is not UTF-8 (byte {error.start})") from None
    except RecursionError:
        raise InputError("the body nests too deeply") from None
    except ValueError as error:
        # What the parser says may quote the body; where it stopped is enough.
        place = f" (character {error.pos})" if isinstance(error, json.JSONDecodeError) else ""
        raise InputError(f"the body is not JSON{place}") from None
    return kind.model_validate(found)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise InputError("an object of the body has the same key twice: which one counts would be a guess")
    return found


def _constant(name: str) -> NoReturn:
    raise InputError(f"the body holds {name}, which is not JSON")
