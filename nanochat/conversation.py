r"""Turns to tokens, and back: how a chat becomes one row of tokens that a model can go on with.

A base model continues text. It becomes a partner in a chat when every chat is written the same way, with special
tokens that say who speaks. No text ever becomes a special token (:mod:`nanochat.tokenizer`), so nobody can type a mark:

.. code-block:: text

    <|bos|>
    <|user_start|> What is 17 times 3? <|user_end|>
    <|assistant_start|> 17 times 3 is <|python_start|> 17*3 <|python_end|> <|output_start|> 51 <|output_end|> 51.
    <|assistant_end|>

The assistant may ask for a calculation in the middle of its answer (*python*). The engine puts in what came of it
(*output*), and the assistant goes on with that in view.

Training needs one more thing, the mask: 1 for each token that the model has to write by itself (the assistant's words,
its calls with their marks, the end of its turn), 0 for what is given to it (the user, the marks that begin a turn,
outputs). A model that was trained on the user's words too would learn to ask the questions.

Example:
    >>> tokenizer = Tokenizer([])
    >>> chat = Conversation((Message.user("2+2?"), Message.assistant(Part("python", "2+2"), Part("output", "4"), "4")))
    >>> tokenizer.decode(render(tokenizer, chat).ids)[:56]
    '<|bos|><|user_start|>2+2?<|user_end|><|assistant_start|>'
    >>> rendered = render(tokenizer, chat)
    >>> tokenizer.decode(i for i, own in zip(rendered.ids, rendered.mask, strict=True) if own)
    '<|python_start|>2+2<|python_end|>4<|assistant_end|>'
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from nanochat.common import InputError
from nanochat.tokenizer import Tokenizer

ROLES = ("user", "assistant")
"""Who speaks in turn; the user begins."""

KINDS = {"text": "text", "python": "python", "python_output": "output", "output": "output"}
"""How published conversations call a part of an answer, and what it is called here."""

_TURN_MARKS = {role: (f"<|{role}_start|>", f"<|{role}_end|>") for role in ROLES}
_TOOL_MARKS = {kind: (f"<|{kind}_start|>", f"<|{kind}_end|>") for kind in ("python", "output")}


@dataclass(frozen=True)
class Part:
    """A piece of a message: words, a calculation that is asked for, or what came of it."""

    kind: str
    """``text``, ``python`` or ``output``."""
    text: str
    """The words, the expression or the result; marks that stand in it are ordinary characters."""

    def __post_init__(self) -> None:
        if self.kind not in ("text", "python", "output"):
            raise InputError(f"part kind {self.kind!r} is unknown: use 'text', 'python' or 'output'")
        if not isinstance(self.text, str):
            raise InputError(f"a part of kind {self.kind!r} holds a {type(self.text).__name__}: give text (str)")


def _joined(parts: Iterable[Part]) -> Iterable[Part]:
    """Put neighbours that are text together, and leave out what is empty then."""
    for is_text, run in groupby(parts, key=lambda part: part.kind == "text"):
        if not is_text:
            yield from run
        elif text := "".join(part.text for part in run):
            yield Part("text", text)


@dataclass(frozen=True)
class Message:
    """What one side says in its turn.

    A user's message is text and not blank. An assistant's may use tools, and it may be empty, because a model may end
    its turn at once. An output stands right behind the python part that it answers; a python part may stay without one
    (the calculator refused it).
    """

    role: str
    """``user`` or ``assistant``."""
    parts: tuple[Part, ...]
    """The pieces in order. Neighbours that are text become one part, and an empty text none, so that the same words are
    the same tokens in however many parts they come."""

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise InputError(f"role {self.role!r} is unknown: use 'user' or 'assistant'")
        object.__setattr__(self, "parts", tuple(_joined(self.parts)))
        if self.role == "user":
            if any(part.kind != "text" for part in self.parts):
                raise InputError("a user's message has a tool call: only the assistant may call tools")
            if not self.text.strip():
                raise InputError("a user's message is empty: write something, or leave the message out")
        for before, part in zip((None, *self.parts), self.parts, strict=False):
            if part.kind == "output" and (before is None or before.kind != "python"):
                raise InputError("an output stands alone: put it right behind the python part that it answers")

    @classmethod
    def user(cls, text: str) -> Message:
        """Say something as the user.

        Args:
            text: The words; not blank.

        Raises:
            InputError: If there are none.
        """
        return cls("user", (Part("text", text),))

    @classmethod
    def assistant(cls, *parts: Part | str) -> Message:
        """Say something as the assistant.

        Args:
            parts: The pieces in order; a str is a part of text.

        Example:
            >>> Message.assistant("It is ", Part("python", "6*7"), Part("output", "42"), "42.").text
            'It is 42.'
        """
        return cls("assistant", tuple(part if isinstance(part, Part) else Part("text", part) for part in parts))

    @property
    def text(self) -> str:
        """What a reader of the chat sees, the words without calls and outputs."""
        return "".join(part.text for part in self.parts if part.kind == "text")


@dataclass(frozen=True)
class Conversation:
    """A chat: messages that take turns, the user first.

    It may end with the user, when an answer is to come, or with the assistant, when there is something to learn from.

    Raises:
        InputError: If there is no message, the assistant begins, or one side speaks twice in a row.
    """

    messages: tuple[Message, ...]
    """The messages in order."""

    def __post_init__(self) -> None:
        if not self.messages:
            raise InputError("the conversation has no message: begin with one of the user")
        for number, message in enumerate(self.messages, 1):
            expected = ROLES[(number - 1) % 2]
            if message.role != expected:
                raise InputError(
                    f"message {number} is the {message.role}'s, expected the {expected}'s: user and assistant take "
                    "turns, the user begins"
                )

    @classmethod
    def of(cls, messages: Iterable[Mapping[str, object]]) -> Conversation:
        r"""Read a conversation in the form in which they are published and sent to servers.

        There are two roles here, so a system text is put before the user's first words, with a blank line
        between; it may stand only at the beginning, and a blank one is left out.

        Args:
            messages: Objects with ``role`` (``user``, ``assistant``, and ``system`` for the first) and ``content``: a
                str, or a list of objects with ``type`` (``text``, ``python``, ``python_output``) and ``text``.

        Returns:
            The conversation.

        Raises:
            InputError: If the roles do not take turns, a user's text is blank, or an entry is of another kind; the
                number of the message, from 1, is named.

        Example:
            >>> system = {"role": "system", "content": "Be brief."}
            >>> Conversation.of([system, {"role": "user", "content": "Hi!"}]).messages[0].text
            'Be brief.\n\nHi!'
        """
        if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Iterable):
            raise InputError(f"messages is a {type(messages).__name__}: give a list of objects with role and content")
        system = ""
        read: list[Message] = []
        for number, entry in enumerate(messages, 1):
            role, parts = _entry(number, entry)
            try:
                if role == "system":
                    if number > 1:
                        raise InputError("a system text may only come first")
                    if any(part.kind != "text" for part in parts):
                        raise InputError("a system text has a tool call: only the assistant may call tools")
                    system = "".join(part.text for part in parts).strip()
                    continue
                message = Message(role, parts)  # also behind a system text, what the user says must not be blank
                if role == "user":
                    message = Message.user(f"{system}\n\n{message.text}" if system and not read else message.text)
                read.append(message)
            except InputError as error:
                raise InputError(f"message {number}: {error}") from None
        if system and not read:
            raise InputError("the conversation is a system text alone: add a message of the user")
        return cls(tuple(read))

    def then(self, message: Message) -> Conversation:
        """Return the conversation with one more message at its end."""
        return Conversation((*self.messages, message))

    def as_dicts(self) -> list[dict[str, object]]:
        """Return the published form, which :meth:`of` reads: role and content, a str where there is only text."""
        published = {ours: theirs for theirs, ours in reversed(KINDS.items())}
        return [
            {
                "role": message.role,
                "content": message.text
                if all(part.kind == "text" for part in message.parts)
                else [{"type": published[part.kind], "text": part.text} for part in message.parts],
            }
            for message in self.messages
        ]


def _entry(number: int, entry: object) -> tuple[str, tuple[Part, ...]]:
    """Check one message of the published form."""
    if not isinstance(entry, Mapping):
        raise InputError(f"message {number} is a {type(entry).__name__}: give an object with role and content")
    for key in ("role", "content"):
        if key not in entry:
            raise InputError(f"message {number} has no {key!r}: give both role and content")
    role, content = entry["role"], entry["content"]
    if role not in ("system", *ROLES):
        raise InputError(f"message {number} has role {role!r}: use 'user' or 'assistant', or 'system' for the first")
    if isinstance(content, str):
        return str(role), (Part("text", content),) if content else ()
    if not isinstance(content, Sequence) or isinstance(content, bytes):
        raise InputError(f"message {number} has content of type {type(content).__name__}: give text or a list of parts")
    parts = []
    for place, part in enumerate(content, 1):
        where = f"message {number}, part {place}"
        if not isinstance(part, Mapping) or not isinstance(part.get("text"), str):
            raise InputError(f"{where} is no object with a type and a text: give {{'type': 'text', 'text': ...}}")
        kind = part.get("type")
        if not isinstance(kind, str) or kind not in KINDS:
            raise InputError(f"{where} has type {kind!r}: use one of {', '.join(KINDS)}")
        parts.append(Part(KINDS[kind], part["text"]))
    return str(role), tuple(parts)


# --- Turns to tokens -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rendered:
    """A conversation as tokens, T of them. ``len(rendered.ids)`` tells whether it fits the context of a model."""

    ids: list[int]
    """The tokens, ``<|bos|>`` first."""
    mask: list[int]
    """For each token 1 if the model has to write it by itself, else 0."""


def render(tokenizer: Tokenizer, conversation: Conversation) -> Rendered:
    """Write a whole conversation as tokens, with the mask that training needs.

    Args:
        tokenizer: Encodes the text.
        conversation: The chat.

    Returns:
        Tokens and mask, equally long. The mask of a position says whether the token *at* this position counts; a
        loader asks for it at the position before.

    Guide:
        "The mask says nothing about what the model may see; it says what it is asked." (nano/training/chat)
    """
    ids, mask = [tokenizer.bos], [0]
    for message in conversation.messages:
        for tokens, own in _message_tokens(tokenizer, message):
            ids += tokens
            mask += [own] * len(tokens)
    return Rendered(ids, mask)


def render_prompt(tokenizer: Tokenizer, conversation: Conversation) -> list[int]:
    """Write a conversation as tokens up to the point where the assistant has to speak.

    Args:
        tokenizer: Encodes the text.
        conversation: The chat; its last message is the user's.

    Returns:
        The tokens, from ``<|bos|>`` to ``<|assistant_start|>``.

    Raises:
        InputError: If the assistant spoke last.
    """
    _checked_prompt(conversation)
    return [*render(tokenizer, conversation).ids, tokenizer.special("<|assistant_start|>")]


def fit_prompt(tokenizer: Tokenizer, conversation: Conversation, limit: int) -> tuple[list[int], int]:
    """Write a prompt that fits, and forget the beginning of the chat where it must.

    The oldest message of the user goes first, together with the answer to it, as often as needed. (A system text
    belongs to the first message, and goes with it.)

    Args:
        tokenizer: Encodes the text.
        conversation: The chat; its last message is the user's.
        limit: The most tokens that the prompt may have: the context of the model less the room for an answer.

    Returns:
        The tokens as of :func:`render_prompt`, and how many messages were left out.

    Raises:
        InputError: If the assistant spoke last, or not even the last message fits.
    """
    _checked_prompt(conversation)
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise InputError(f"limit {limit!r} must be a whole number of tokens, at least 1")
    messages = [
        [token for tokens, _ in _message_tokens(tokenizer, message) for token in tokens]
        for message in conversation.messages
    ]
    length = 2 + sum(map(len, messages))  # <|bos|> and <|assistant_start|> stand around them
    dropped = 0
    while length > limit and dropped + 1 < len(messages):
        length -= len(messages[dropped]) + len(messages[dropped + 1])
        dropped += 2
    if length > limit:
        raise InputError(f"the last message makes a prompt of {length} tokens, the limit is {limit}: shorten it")
    kept = [token for tokens in messages[dropped:] for token in tokens]
    return [tokenizer.bos, *kept, tokenizer.special("<|assistant_start|>")], dropped


def _checked_prompt(conversation: Conversation) -> None:
    if conversation.messages[-1].role != "user":
        raise InputError("the conversation ends with the assistant: a prompt ends with a message of the user")


def _message_tokens(tokenizer: Tokenizer, message: Message) -> Iterable[tuple[list[int], int]]:
    """Yield runs of tokens with the mask that holds for all of a run."""
    start, end = (tokenizer.special(name) for name in _TURN_MARKS[message.role])
    own = int(message.role == "assistant")
    yield [start], 0
    for part in message.parts:
        tokens = tokenizer.encode(part.text)
        if part.kind != "text":
            before, after = (tokenizer.special(name) for name in _TOOL_MARKS[part.kind])
            tokens = [before, *tokens, after]
        yield tokens, own if part.kind != "output" else 0
    yield [end], own


# --- Tokens to turns -----------------------------------------------------------------------------------------------


def parse_answer(tokenizer: Tokenizer, ids: Iterable[int]) -> Message:
    """Read what a model wrote behind ``<|assistant_start|>``, whatever it is.

    The answer ends at the first mark of a turn (as a rule ``<|assistant_end|>``), or where the tokens end. A block
    counts only between its two marks: python anywhere, output right behind python. What stands in an unfinished
    block, in one that a second one interrupts, or between stray marks is text, and the marks are left out.

    Args:
        tokenizer: Decodes the tokens.
        ids: The tokens of the answer.

    Returns:
        The assistant's message; empty if the model ended its turn at once. A character cut off at the very end is left
        out.

    Example:
        >>> tokenizer = Tokenizer([])
        >>> mark = tokenizer.special
        >>> ids = [mark("<|python_start|>"), *tokenizer.encode("6*7"), mark("<|python_end|>"), *tokenizer.encode("42")]
        >>> parse_answer(tokenizer, ids).parts
        (Part(kind='python', text='6*7'), Part(kind='text', text='42'))
        >>> parse_answer(tokenizer, ids[:3]).parts
        (Part(kind='text', text='6*'),)
    """
    names = {number: name for name, number in tokenizer.special_ids.items()}
    starts = {start: kind for kind, (start, _) in _TOOL_MARKS.items()}
    ends = {end: kind for kind, (_, end) in _TOOL_MARKS.items()}
    parts: list[Part] = []
    text: list[int] = []  # tokens that are text for sure
    block: list[int] = []  # tokens behind the mark that opened a block
    inside: str | None = None  # the kind of that block

    def close(kind: str, tokens: Sequence[int], whole: bool = True) -> None:
        words = codecs.getincrementaldecoder("utf-8")("replace").decode(tokenizer.decode_bytes(tokens), final=whole)
        if words or kind != "text":
            parts.append(Part(kind, words))

    for token in ids:
        name = names.get(token)
        if name is None:
            (text if inside is None else block).append(token)
            continue
        if name not in starts and name not in ends:
            break
        if inside is not None and ends.get(name) == inside:
            close("text", text)
            close(inside, block)
            text, block, inside = [], [], None
            continue
        text, block, inside = [*text, *block], [], None
        answers = not text and bool(parts) and parts[-1].kind == "python"
        if name in starts and (starts[name] == "python" or answers):
            inside = starts[name]
    close("text", [*text, *block], whole=False)
    return Message("assistant", tuple(parts))
