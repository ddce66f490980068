"""Train a tokenizer on a corpus, and say how well it packs text that it has not seen.

The result is one JSON file that every later stage reads. How well it packs is measured in bytes for each
token, on the corpus's held-out documents: more bytes for each token mean that a model sees more text in the
same number of tokens.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from nanochat.common import InputError, place_among_processes
from nanochat.corpora import load_corpus
from nanochat.stages.chats import load_tasks, parse_tasks
from nanochat.stages.flags import parse_flags
from nanochat.tokenizer import SPECIAL_TOKENS, Tokenizer, Trainer, tokenizer_path

HELD_OUT_DOCUMENTS = 10_000
"""The most documents that the measurement at the end reads."""


@dataclass(frozen=True)
class Settings:
    """The flags of ``nanochat tok-train``."""

    vocab_size: int = 4096
    """How many tokens to have, the 256 bytes and the nine special tokens included."""
    data: str = "wiki"
    """The corpus: stories, wiki, pydoc, shards, a folder of text or parquet files, or several as in stories+wiki."""
    tasks: str | None = None
    """Tasks whose chats are read too, with commas between, so that their words get tokens; none if not given."""
    trainer: Trainer = "rust"
    """Who trains: rust (rustbpe) or python (the readable one, slower); both give the same tokens."""
    max_characters: int = 2_000_000_000
    """Stop reading the corpus after the document with which so many characters are reached."""
    output: Path | None = None
    """The file to write; tokenizer/tokenizer.json in the base folder if it is not given."""

    def __post_init__(self) -> None:
        if self.max_characters < 1:
            raise InputError(f"--max-characters={self.max_characters} must be at least 1")
        if self.tasks is not None:
            parse_tasks(self.tasks)


def chat_texts(tasks: str | None) -> Iterator[str]:
    """Yield what is said in the training chats of some tasks, a chat as one text.

    Args:
        tasks: Their names, with commas between, each possibly with a colon and a number; None for none.
    """
    for task in load_tasks(tasks, "train") if tasks else ():
        for number in range(len(task)):
            yield "\n".join(part.text for message in task[number].messages for part in message.parts)


class Counted:
    """Passes documents on and counts what went through, up to a limit."""

    def __init__(self, documents: Iterable[str], max_characters: int) -> None:
        self.source, self.max_characters = documents, max_characters
        self.documents = self.characters = self.bytes = 0

    def __iter__(self) -> Iterator[str]:
        for text in self.source:
            yield text
            self.documents += 1
            self.characters += len(text)
            self.bytes += len(text.encode("utf-8"))
            if self.characters >= self.max_characters:
                break


def check_output(path: Path) -> None:
    """Refuse a place that cannot take the tokenizer, before it is trained and not after.

    Args:
        path: The file to write; its folder is made.

    Raises:
        InputError: If there is a folder in its place, or its folder cannot be made or written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError("it is a folder")
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise InputError(
            f"{path} cannot take the tokenizer ({error.strerror or error}): choose a place that you may write to, with "
            f"NANOCHAT_BASE_DIR, or with --output of tok-train"
        ) from error


def main(argv: Sequence[str] | None = None) -> None:
    """Train, measure, save; under torchrun, the first process does it and the others have nothing to do."""
    settings = parse_flags(Settings, argv, "nanochat tok-train", __doc__)
    rank, _, _ = place_among_processes()
    if rank > 0:
        return
    logging.getLogger("rustbpe").setLevel(logging.WARNING)  # it reports every percent of its work
    corpus = load_corpus(settings.data)
    path = settings.output or tokenizer_path()
    check_output(path)
    texts = Counted(corpus.documents("train"), settings.max_characters)

    started = time.perf_counter()
    tokenizer = Tokenizer.train(chain(texts, chat_texts(settings.tasks)), settings.vocab_size, trainer=settings.trainer)
    seconds = time.perf_counter() - started
    more = " and chats" if settings.tasks else ""
    print(f"corpus      {corpus.title}{more}: {texts.documents:,} documents, {texts.bytes:,} bytes")
    print(
        f"vocabulary  {tokenizer.vocab_size:,} tokens: 256 bytes, {len(tokenizer.merges):,} merges, "
        f"{len(SPECIAL_TOKENS)} special; trained by {settings.trainer} in {seconds:.1f} s"
    )

    held_out = list(islice(corpus.documents("val"), HELD_OUT_DOCUMENTS))
    n_bytes = sum(len(text.encode("utf-8")) for text in held_out)
    n_tokens = sum(len(ids) for ids in tokenizer.encode_batch(held_out))
    if n_tokens:
        print(
            f"held out    {len(held_out):,} documents, {n_bytes:,} bytes in {n_tokens:,} tokens: "
            f"{n_bytes / n_tokens:.2f} bytes per token"
        )
    else:
        print("held out    the corpus holds nothing out, so nothing was measured")

    tokenizer.save(path)
    print(f"saved       {path} (fingerprint {tokenizer.fingerprint[:12]})")
    if corpus.credit:
        print(f"credit      {corpus.credit}")
