"""Chat with a model in the browser, and serve it to other programs in OpenAI's form.

The page shows the answer while it is written, and beside it how each token was chosen. Only this machine can reach the
server unless ``--host`` says otherwise.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from nanochat.common import InputError, base_dir, detect_runtime
from nanochat.engine import check_sampling
from nanochat.stages.flags import parse_flags
from nanochat.stages.models import find_model

KEY_VARIABLE = "NANOCHAT_API_KEY"
"""The environment variable that holds the key which clients have to send."""
EXAMPLES = (
    "What is 17 + 25?",
    'How many times is the letter r in "strawberry"?',
    "Finish this story. Once there was a little frog named Finn. One day Nelly the goat showed Finn a red kite.",
)
"""Things to ask of the kinds that the tasks of :mod:`nanochat.tasks` teach."""
NOT_A_CHAT = "It was never taught to chat: it goes on with a text, and what it answers makes little sense."
"""What the page says about a base model."""


@dataclass(frozen=True)
class Settings:
    """The flags of ``nanochat chat-web``."""

    source: str = "auto"
    """Which model: auto (the most finished one), base, mid, sft, rl, tiny, shipped, or the path of a run."""
    run: str | None = None
    """The name of the run; if not given, the one that was saved last."""
    step: int | None = None
    """Which checkpoint; if not given, the newest."""
    host: str = "127.0.0.1"
    """The address to listen on; 0.0.0.0 lets everybody in who can reach this machine."""
    port: int = 8000
    """The port to listen on."""
    names: str | None = None
    """More names under which the server may be asked, with commas between; needed behind a proxy or a tunnel."""
    temperature: float = 0.8
    """Where the page's slider for the temperature stands at first."""
    top_k: int = 50
    """Where the page's slider for top-k stands at first."""
    max_active: int = 32
    """Answers that are written at the same time; more have to wait."""
    max_waiting: int = 64
    """Answers that may wait; more are refused until there is room."""
    deadline: float = 120.0
    """Seconds after which an answer is broken off."""
    tokens_per_minute: int = 60_000
    """Tokens of answers that one client gets in a minute; 0 means no limit."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, or mps."""
    threads: int | None = None
    """Threads that one operation may use on the CPU."""

    def __post_init__(self) -> None:
        for name, least in (("max_active", 1), ("max_waiting", 0), ("tokens_per_minute", 0)):
            if getattr(self, name) < least:
                raise InputError(f"--{name.replace('_', '-')}={getattr(self, name)} must be at least {least}")
        if not self.deadline > 0:
            raise InputError(f"--deadline={self.deadline} must be more than 0 seconds")
        check_sampling(self.temperature, self.top_k, vocab_size=1)


def main(argv: Sequence[str] | None = None) -> None:
    """Check all that can go wrong, load the model, take the port, say so, and serve."""
    settings = parse_flags(Settings, argv, "nanochat chat-web", __doc__)
    server = _import_server()
    key = read_key()
    listener = server.bind(settings.host, settings.port)  # before the model, which takes longer
    with listener:
        runtime = detect_runtime(settings.device, "auto", settings.threads)
        model, tokenizer, where = find_model(settings.source, settings.run, settings.step, runtime)
        served = server.Served(
            model.eval(), tokenizer, describe(where), EXAMPLES, note(where), settings.temperature, settings.top_k
        )
        limits = server.Limits(
            max_active=settings.max_active,
            max_waiting=settings.max_waiting,
            deadline_s=settings.deadline,
            tokens_per_minute=settings.tokens_per_minute,
        )
        local = server.is_loopback(settings.host)
        names = tuple(name.strip() for name in (settings.names or "").split(",") if name.strip())
        info = served.info()
        print(f"model       {where}")
        print(f"size        {info['parameters']:,} parameters, {info['context']:,} tokens of context, {info['device']}")
        if not local:
            print(
                f"notice      everybody who can reach {settings.host} can use this model"
                + (" who knows the key" if key else f"; set {KEY_VARIABLE} to ask them for a key")
            )
        for quiet in ("uvicorn", "sse_starlette"):  # their lines would say what the log says already, or what was said
            logging.getLogger(quiet).setLevel(logging.WARNING)
        shown = f"[{settings.host}]" if ":" in settings.host else settings.host
        address = f"http://{'127.0.0.1' if shown == '0.0.0.0' else shown}:{settings.port}/"
        server.serve(
            served,
            listener,
            limits,
            key,
            (*server.LOCAL_HOSTS, *names) if local or names else ("*",),
            ready=lambda: print(f"ready       {address}  (Ctrl-C stops it)", flush=True),
        )
    print("stopped")


def _import_server() -> ModuleType:
    try:
        from nanochat.web import server
    except ImportError as error:
        raise InputError(f"the server needs {error.name}: install it with `pip install 'nanochat[web]'`") from error
    return server


def read_key() -> str | None:
    """Return the key that clients have to send, from the environment; None if there is none.

    It is no flag, because everybody on a machine can read the flags of its processes.

    Raises:
        InputError: If it is shorter than eight characters or has others than visible ASCII ones.
    """
    key = os.environ.get(KEY_VARIABLE)
    if not key:
        return None
    if len(key) < 8 or any(not "!" <= sign <= "~" for sign in key):
        raise InputError(f"{KEY_VARIABLE} must be at least 8 visible ASCII characters without blanks")
    return key


def describe(where: str) -> str:
    """Say where a model comes from without telling visitors about the folders of this machine.

    Args:
        where: What :func:`nanochat.stages.models.find_model` says.

    Example:
        >>> describe("the tiny model of the site"), describe("/home/me/runs/sft/d4/step_000200")
        ('the tiny model of the site', 'sft/d4/step_000200')
    """
    path = Path(where)
    if not path.is_absolute():
        return where
    if path.is_relative_to(base_dir()):
        return "trained on this machine: " + "/".join(path.relative_to(base_dir()).parts)
    return "/".join(path.parts[-3:])


def note(where: str) -> str:
    """Say what a model has not learned, as far as its origin tells.

    Args:
        where: What :func:`nanochat.stages.models.find_model` says.

    Example:
        >>> note("/runs/sft/d4/step_000200"), note("/runs/base/d4/step_000200") == NOT_A_CHAT
        ('', True)
    """
    parts = Path(where).parts
    return NOT_A_CHAT if "base" in parts[-3:] or "tiny" in where else ""
