"""Chat with a model in the terminal.

Without a model of your own, the one that comes with nanochat answers. ``-p "..."`` asks one thing, prints the answer
and ends. In the chat, /help lists the commands, and Ctrl-C stops an answer without leaving.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TextIO

from nanochat.common import InputError, detect_runtime
from nanochat.conversation import Conversation, Message, fit_prompt, parse_answer
from nanochat.engine import Engine, TextStream, check_sampling
from nanochat.stages.flags import parse_flags, short_flag
from nanochat.stages.models import find_model
from nanochat.terminal import be_lenient, dim, visible

WAKE_S = 0.25
"""Seconds until a Ctrl-C is noticed that came before the wait for a key."""
COMMANDS = {
    "/help": "list these commands",
    "/clear": "forget the conversation and begin a new one",
    "/quit": "leave (so do Ctrl-D, and Ctrl-C twice at the prompt)",
}
"""What can be typed instead of a message."""


@dataclass(frozen=True)
class Settings:
    """The flags of ``nanochat chat-cli``."""

    prompt: str | None = short_flag("p", None)
    """One message: its answer is printed, and the command ends."""
    source: str = "auto"
    """Which model: auto (the most finished one), base, mid, sft, rl, tiny, shipped, or the folder of a run."""
    run: str | None = None
    """Name of the run; if not given, the one that was saved last."""
    step: int | None = None
    """Which checkpoint; if not given, the newest."""
    temperature: float = 0.7
    """Temperature of the answers; 0 always takes the best token."""
    top_k: int | None = 50
    """How many of the best tokens each draw chooses among."""
    max_tokens: int | None = None
    """Tokens of an answer at most; if not given, as many as the context has room for."""
    seed: int = 42
    """Seed of the answers: the same one gives the same chat."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, or mps."""
    threads: int | None = None
    """Threads on the CPU; if not given, those that torch chooses."""

    def __post_init__(self) -> None:
        for name, least in (("max_tokens", 1), ("seed", 0), ("step", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"--{name.replace('_', '-')}={value} must be at least {least}")
        check_sampling(self.temperature, self.top_k, vocab_size=1)


class Chat:
    """A conversation that grows: takes a message, prints the answer while it is written, and remembers both.

    Args:
        engine: The model and its tokenizer.
        settings: How to sample.
        out: Where answers are printed.
        notices: Where remarks about the chat are printed, which are no part of an answer.

    Raises:
        InputError: If the answers that were asked for leave no room for a question.
    """

    def __init__(self, engine: Engine, settings: Settings, out: TextIO, notices: TextIO) -> None:
        self.engine, self.settings, self.out, self.notices = engine, settings, out, notices
        self.messages: tuple[Message, ...] = ()
        """What was said so far and is still remembered."""
        self.turns = 0
        """How many answers were begun; each is drawn with a seed of its own."""
        context = engine.model.config.sequence_len
        self.limit = context - (-(-context // 4) if settings.max_tokens is None else settings.max_tokens)
        """The most tokens that a prompt may have, so that there is room for the answer."""
        if self.limit < 1:
            raise InputError(
                f"--max-tokens={settings.max_tokens} leaves no room for a question in the context of {context} tokens: "
                f"ask for less"
            )
        self.stop = tuple(engine.tokenizer.special(name) for name in _TURN_MARKS)

    def clear(self) -> None:
        """Forget the conversation."""
        self.messages = ()

    def reply(self, text: str) -> bool:
        """Answer one message, token by token.

        Ctrl-C stops the answer; what was written of it until then is remembered.

        Args:
            text: The words of the user.

        Returns:
            False if the answer was stopped with Ctrl-C.

        Raises:
            InputError: If the message is blank or does not fit into the context; the chat is as it was before.
        """
        tokenizer, settings = self.engine.tokenizer, self.settings
        conversation = Conversation((*self.messages, Message.user(text)))
        prompt, dropped = fit_prompt(tokenizer, conversation, self.limit)
        if dropped:
            self.notice(f"the chat is longer than the context: the {dropped} oldest messages are forgotten")
        stream = self.engine.stream(
            prompt,
            max_tokens=settings.max_tokens,
            temperature=settings.temperature,
            top_k=settings.top_k,
            seed=settings.seed + self.turns,
            stop=self.stop,
        )
        self.turns += 1
        ids: list[int] = []
        writer = _Writer(self.engine, self.out)
        ended = stopped = False
        with closing(stream), _interruptible() as interrupted:
            try:
                for step in stream:
                    ids += step.tokens
                    ended = ids[-1] in self.stop
                    if not ended:
                        writer.push(ids[-1], step.forced[0])
                    if stopped := interrupted():
                        break
            except KeyboardInterrupt:
                stopped = True
        writer.end()
        if stopped:
            self.notice("stopped")
        elif not ended:
            self.notice(f"cut off after {len(ids)} tokens")
        elif len(ids) == 1:
            self.notice("the model said nothing")
        self.messages = (*conversation.messages[dropped:], parse_answer(tokenizer, ids))
        return not stopped

    def notice(self, text: str) -> None:
        """Print a remark that is no part of an answer."""
        self.out.flush()
        print(dim(f"({visible(text)})", self.notices), file=self.notices, flush=True)


_TURN_MARKS = ("<|bos|>", "<|user_start|>", "<|user_end|>", "<|assistant_start|>", "<|assistant_end|>")


class _Writer:
    """Prints an answer while it comes; calculations as ``[12+30 = 42]``, fainter."""

    def __init__(self, engine: Engine, out: TextIO) -> None:
        self.out, self.text = out, TextStream(engine.tokenizer)
        self.marks = {number: name for name, number in engine.tokenizer.special_ids.items()}
        self.inside = "text"

    def push(self, token: int, forced: bool) -> None:
        """Print what one more token makes complete."""
        words, mark = self.text.push(token), self.marks.get(token)
        if mark is None and self.inside == "called":
            self._close()
        self._put(words)
        if mark == "<|python_start|>":
            self._close()
            self.inside = "python"
            self._put("[")
        elif mark == "<|python_end|>" and self.inside == "python":
            self.inside = "called"
        elif mark == "<|output_start|>" and self.inside == "called":
            # Only the engine calculates. A model can write such a block by itself, and then nothing vouches for it.
            self._put(" = " if forced else " = not calculated: ")
            self.inside = "output"
        elif mark is not None:
            self._close()
        self.out.flush()

    def end(self) -> None:
        """End the line; half a character that nothing will complete is left out."""
        self._close()
        print(file=self.out, flush=True)

    def _close(self) -> None:
        if self.inside != "text":
            self._put("]")
            self.inside = "text"

    def _put(self, words: str) -> None:
        shown = visible(words)
        self.out.write(shown if self.inside == "text" else dim(shown, self.out))


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a question that can be asked between two tokens; the second one interrupts at once."""
    pressed = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()

    if threading.current_thread() is not threading.main_thread():
        yield pressed.is_set
        return
    before = signal.signal(signal.SIGINT, on_signal)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _awake() -> Iterator[None]:
    """Let a Ctrl-C count that comes after the prompt is shown and before :func:`input` waits for a key.

    Python would notice it only when the next key, or another signal, ends the wait. So a timer ends it now and then.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, lambda number, frame: None)
    signal.setitimer(signal.ITIMER_REAL, WAKE_S, WAKE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def read_line(source: TextIO | None, out: TextIO) -> str | None:
    """Read what the user types next.

    Args:
        source: Standard input; None if it was closed.
        out: Where the prompt is shown, if a person sits there.

    Returns:
        The line, or None at the end of the input.
    """
    if source is None or source.closed:
        return None
    if source is sys.stdin and source.isatty() and out.isatty():
        try:
            import readline  # noqa: F401 - makes input() a line that can be edited, with a history
        except ImportError:
            pass
        try:
            with _awake():
                return input("> ")
        except EOFError:
            print(file=out)
            return None
    return source.readline() or None


def converse(chat: Chat, source: TextIO | None) -> None:
    """Read messages and commands, and answer them, until the input ends or the user leaves.

    Args:
        chat: The conversation.
        source: Where the messages come from; None if there is nothing to read.
    """
    again = False  # Ctrl-C was the last thing that was pressed
    while True:
        try:
            line = read_line(source, chat.out)
            again = False
            if line is None or not _obey(chat, line.rstrip("\r\n")):
                return
        except KeyboardInterrupt:  # at the prompt: during an answer, Ctrl-C is taken by the chat
            print(file=chat.out)
            if again:
                return
            again = True
            chat.notice("Ctrl-C once more leaves; /help lists the commands")


def _obey(chat: Chat, line: str) -> bool:
    """Answer a message or carry out a command; False means to leave."""
    word = line.split()[0] if line.startswith("/") else None
    if word == "/quit":
        return False
    if word is not None:
        _command(chat, word)
    elif line.strip():
        try:
            chat.reply(line)
        except InputError as error:
            chat.notice(str(error))
    return True


def _command(chat: Chat, word: str) -> None:
    """Obey a command, or say that there is none of this name."""
    if word == "/help":
        for name, what in COMMANDS.items():
            print(f"{name:<8}{what}", file=chat.out)
    elif word == "/clear":
        chat.clear()
        chat.notice("a new conversation")
    else:
        chat.notice(
            f"there is no command {word}: /help lists them; for a message that begins with a slash, type a space first"
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Find the model, and answer once or chat."""
    settings = parse_flags(Settings, argv, "nanochat chat-cli", __doc__)
    be_lenient(sys.stdin, sys.stdout, sys.stderr)
    runtime = detect_runtime(settings.device, threads=settings.threads)
    model, tokenizer, where = find_model(settings.source, settings.run, settings.step, runtime)
    once = settings.prompt is not None
    chat = Chat(Engine(model, tokenizer), settings, sys.stdout, sys.stderr if once else sys.stdout)
    if settings.source in ("base", "tiny") or Path(where).parent.parent.name == "base":
        chat.notice("this model never saw a conversation: it goes on with a text and does not answer")
    try:
        if once:
            if not chat.reply(settings.prompt):
                raise KeyboardInterrupt
            return
        print(f"{where}; /help lists the commands", flush=True)
        converse(chat, sys.stdin)
    except BrokenPipeError:
        # Whoever read the answers has left. Nothing is wrong, but Python would still complain when it closes the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
