"""The tokens of a large corpus, encoded once and kept on the disk.

A corpus that fits on a screen is encoded anew by every run, in a second. The shards of the hub are another matter:
they hold thousands of millions of tokens, for which a single core needs hours, and no process has the memory. So one
process of a machine encodes them, on all of its cores, into a folder::

  tokens/3f9c.../
    tokens.bin      all documents, each behind <|bos|>: 2 bytes a token, 4 where the vocabulary has more than 65,536
    starts.bin      8 bytes a document: the place at which it begins, and the end of the last one
    manifest.json   what was encoded with which tokenizer, size and SHA-256 of the two files

Every process maps the files into its memory. The system reads from the disk what is asked for, keeps one copy for all
processes, and lets it go when it needs the room.

The name of the folder follows from the text, the tokenizer, the split and the limit: a run finds its tokens again, and
when a file of the corpus has changed, it looks under another name and finds nothing. The folder is made under a
temporary name and renamed when all of it is on the disk. Of two runs that start at once, the second waits and takes
what the first one made.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from tqdm import tqdm

from nanochat.common import InputError, base_dir, get_logger
from nanochat.corpora import Corpus
from nanochat.tokenizer import Tokenizer

LARGE = 64 * 2**20
"""Bytes of files from which on the tokens of a corpus go to the disk: one shard of the hub is more, a novel is less."""
FORMAT = 1
"""The number of this layout; it is part of what names a folder."""
FILES = ("tokens.bin", "starts.bin")
"""The files that a manifest vouches for."""
MANIFEST = "manifest.json"
"""The file that says what is in the others."""
TEXT_AT_ONCE = 2**20
"""Characters that a thread gets to encode in one go; a document that is longer goes alone."""

_CHUNK = 2**18
_log = get_logger(__name__)


@dataclass(frozen=True, eq=False)
class TokenStore(Sequence[np.ndarray]):
    """The tokens of one split of a corpus, in files that are mapped into memory: a list of documents that is not there.

    :func:`open_tokens` makes it.
    """

    folder: Path
    """Where the files are."""
    tokens: np.ndarray
    """All tokens of all documents, each document behind ``<|bos|>``; a read-only map of the file."""
    starts: np.ndarray
    """The place in :attr:`tokens` where each document begins, and at the end how many there are; another map."""
    bos: int
    """The id of ``<|bos|>``."""
    fingerprint: str
    """What :attr:`nanochat.dataloader.TokenLoader.fingerprint` is for these documents."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, number: Any) -> Any:
        """Return the tokens of a document, without ``<|bos|>``, or a list of those of several."""
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        if not -len(self) <= number < len(self):
            raise IndexError(f"there is no document {number} among {len(self)}")
        number %= len(self)
        return self.tokens[int(self.starts[number]) + 1 : int(self.starts[number + 1])]


def is_large(corpus: Corpus) -> bool:
    """Say whether the tokens of a corpus belong on the disk: whether its files have :data:`LARGE` bytes or more.

    Args:
        corpus: The text.

    Example:
        >>> from nanochat.corpora import load_corpus
        >>> is_large(load_corpus("stories"))
        False
    """
    return corpus.n_bytes >= LARGE


def open_tokens(corpus: Corpus, tokenizer: Tokenizer, split: str, max_tokens: int | None = None) -> TokenStore:
    """Map the tokens that :func:`encode_corpus` put on the disk into the memory of this process.

    Sizes are compared with the manifest. The SHA-256 is not computed here, but before, by the one process that
    encodes: each byte is read once and not once for each process.

    Args:
        corpus: The text.
        tokenizer: What it was encoded with.
        split: ``"train"`` or ``"val"``.
        max_tokens: The limit with which it was encoded.

    Returns:
        The documents.

    Raises:
        InputError: If they are not there, or a file has another size.
    """
    for folder in _folders(corpus, tokenizer, split, max_tokens):
        manifest = _manifest(folder)
        if manifest is None or not _serves(manifest, max_tokens):
            continue
        for name in FILES:
            size, expected = _size(folder / name), manifest["files"][name]["size"]
            if size != expected:
                raise InputError(
                    f"{folder / name} has {size} bytes, its manifest says {expected}: start again, it will be made anew"
                )
        return TokenStore(
            folder,
            np.memmap(folder / "tokens.bin", dtype=manifest["dtype"], mode="r"),
            np.memmap(folder / "starts.bin", dtype="<i8", mode="r"),
            tokenizer.bos,
            manifest["fingerprint"],
        )
    raise InputError(
        f"the tokens of {corpus.name} are not in {base_dir() / 'tokens'}: encode them first; processes on several "
        f"machines each look into the folder of their own machine"
    )


def encode_corpus(
    corpus: Corpus, tokenizer: Tokenizer, split: str, max_tokens: int | None = None, threads: int | None = None
) -> Iterator[int]:
    """Put the tokens of one split of a corpus on the disk, unless they are there and whole; a little at each step.

    It is a generator, so that a process that waits can be told from time to time that the work goes on
    (:func:`nanochat.distributed.take_turns`); to do all of it at once, run through it with a ``for``. A core encodes
    about a million tokens a second. Memory holds a few megabytes of text for each thread, whatever the size of the
    corpus.

    Args:
        corpus: The text.
        tokenizer: Encodes the documents.
        split: ``"train"`` or ``"val"``.
        max_tokens: Stop after the document with which so many tokens are reached, not counting ``<|bos|>``; None for no
            limit. The documents are those that :func:`nanochat.dataloader.load_tokens` returns.
        threads: How many documents to encode at the same time; None takes the cores that this process may use, at most
            32.

    Yields:
        How many tokens there are so far.

    Raises:
        InputError: If the split is unknown or has no documents, a file of the corpus changes meanwhile, or the disk is
            full; nothing is left behind then.
    """
    if max_tokens is not None and max_tokens < 1:
        raise InputError(f"max_tokens={max_tokens} must be at least 1, or None for no limit")
    whole, limited = _folders(corpus, tokenizer, split, max_tokens)
    try:
        whole.parent.mkdir(parents=True, exist_ok=True)
        with open(whole.with_name(f".{whole.name}.lock"), "ab") as lock:
            yield from _locked(lock, corpus)
            for folder in dict.fromkeys((whole, limited)):
                manifest = _manifest(folder)
                if manifest is not None and not _serves(manifest, max_tokens):
                    continue
                problem = (yield from _damage(folder, manifest)) if folder.exists() else None
                if problem:
                    _log.warning("%s: the tokens of %s are made anew", problem, corpus.name)
                    shutil.rmtree(folder)
                elif manifest is not None:
                    _log.info("tokens      found in %s", folder)
                    return
            yield from _make(corpus, tokenizer, split, max_tokens, threads or _cores(), whole, limited)
    except OSError as error:
        raise InputError(
            f"the tokens of {corpus.name} could not be written to {whole.parent} ({error}): make room "
            f"there, or choose another folder with NANOCHAT_BASE_DIR"
        ) from error


# Names -----------------------------------------------------------------------------------------------------------


def _folders(corpus: Corpus, tokenizer: Tokenizer, split: str, max_tokens: int | None) -> tuple[Path, Path]:
    """Name the folder for all tokens, and that for the limited number; both can serve a run with a limit."""
    facts = [FORMAT, _source(corpus), split, tokenizer.fingerprint]
    names = [
        hashlib.sha256(json.dumps([*facts, limit]).encode("ascii")).hexdigest()[:24] for limit in (None, max_tokens)
    ]
    return base_dir() / "tokens" / names[0], base_dir() / "tokens" / names[1]


def _source(corpus: Corpus) -> list[Any]:
    """Describe where a text comes from so that another text has another description."""
    if corpus.parts:
        return [corpus.name, *(_source(part) for part in corpus.parts)]
    if corpus.files:
        return [corpus.name, *([str(path.absolute()), stamp] for path, stamp in corpus.files.items())]
    digest = hashlib.sha256()  # text of a package is small, and nothing but the text itself says whether it changed
    for text in corpus.read():
        digest.update(f"{len(text)} {text}".encode("utf-8", "surrogatepass"))
    return [corpus.name, digest.hexdigest()]


def _serves(manifest: dict[str, Any], max_tokens: int | None) -> bool:
    """Say whether a run with this limit would encode no less than what is there, which reached the end or its limit."""
    return manifest["max_tokens"] == max_tokens or (
        max_tokens is not None
        and manifest["max_tokens"] is None
        and manifest["n_tokens"] - manifest["n_documents"] <= max_tokens
    )


# Looking ---------------------------------------------------------------------------------------------------------


def _manifest(folder: Path) -> dict[str, Any] | None:
    """Read the manifest of a folder; None if it is missing, or says not all that it must."""
    kinds = {
        "format": int, "max_tokens": int | None, "dtype": str, "n_tokens": int, "n_documents": int, "fingerprint": str,
        "files": dict,
    }  # fmt: skip
    try:
        found = json.loads((folder / MANIFEST).read_bytes())
        whole = all(isinstance(found[name], kind) for name, kind in kinds.items())
        whole = whole and all(isinstance(found["files"][name]["size"], int) for name in FILES)
        return found if whole and found["format"] == FORMAT else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _damage(folder: Path, manifest: dict[str, Any] | None) -> Iterator[int]:
    """Compare the files of a folder with its manifest, a piece at a time; return what is wrong, or None."""
    if manifest is None:
        return f"{folder / MANIFEST} is missing or damaged"
    for name in FILES:
        if _size(folder / name) != manifest["files"][name]["size"]:
            return f"{folder / name} has {_size(folder / name)} bytes, not {manifest['files'][name]['size']}"
        digest = hashlib.sha256()
        for piece in _pieces(folder / name):
            digest.update(piece)
            yield 0
        if digest.hexdigest() != manifest["files"][name].get("sha256"):
            return f"{folder / name} has changed since it was written"
    return None


def _pieces(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while piece := file.read(_CHUNK):
            yield piece


def _locked(file: IO[bytes], corpus: Corpus) -> Iterator[int]:
    """Lock an open file; while another process holds it, wait, and show signs of life."""
    try:
        import fcntl
    except ImportError:  # Windows has no such lock
        return
    told = False
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not told:
                _log.info("another process is encoding %s: waiting for it", corpus.name)
            told = True
        yield 0
        time.sleep(0.1)


# Making ----------------------------------------------------------------------------------------------------------


def _make(
    corpus: Corpus, tokenizer: Tokenizer, split: str, max_tokens: int | None, threads: int, whole: Path, limited: Path
) -> Iterator[int]:
    """Encode into a folder with a temporary name, and rename it; the caller holds the lock."""
    draft = whole.with_name(f".{whole.name}.tmp")
    shutil.rmtree(draft, ignore_errors=True)  # of a process that was killed
    draft.mkdir()
    dtype = np.dtype("<u2" if tokenizer.vocab_size <= 2**16 else "<i4")
    _log.info(
        "tokens      encoding %s once, in %d threads; later runs find it in %s", corpus.name, threads, whole.parent
    )
    n_tokens = n_documents = 0
    documents = hashlib.sha256()
    try:
        with (
            closing(_encoded(corpus.documents(split), tokenizer, dtype, threads)) as encoded,
            _Hashed(draft / "tokens.bin") as tokens,
            _Hashed(draft / "starts.bin") as starts,
            tqdm(desc="encode", unit=" tokens", unit_scale=True, disable=None) as bar,
        ):
            starts.write(np.zeros(1, "<i8"))
            for flat, lengths in encoded:
                if not len(lengths):
                    continue
                reached = n_tokens - n_documents + np.cumsum(lengths - 1)  # the limit does not count <|bos|>
                if max_tokens is not None and reached[-1] >= max_tokens:
                    lengths = lengths[: int(np.searchsorted(reached, max_tokens)) + 1]
                    flat = flat[: lengths.sum()]
                tokens.write(flat)
                documents.update(flat.astype("<i4", copy=False))
                starts.write((n_tokens + np.cumsum(lengths)).astype("<i8"))
                n_tokens += len(flat)
                n_documents += len(lengths)
                bar.update(len(flat))
                yield n_tokens
                if max_tokens is not None and n_tokens - n_documents >= max_tokens:
                    break
            else:
                limited, max_tokens = whole, None  # the text ended first: nothing was left out
        for piece in _pieces(draft / "starts.bin"):
            documents.update(piece)
            yield n_tokens
        if n_documents == 0:
            raise InputError(f"corpus {corpus.name} has no tokens: give at least one document that is not empty")
        manifest = {
            "format": FORMAT, "corpus": corpus.name, "split": split, "tokenizer": tokenizer.fingerprint,
            "max_tokens": max_tokens, "dtype": dtype.str, "n_tokens": n_tokens, "n_documents": n_documents,
            "fingerprint": documents.hexdigest(), "files": {"tokens.bin": tokens.entry, "starts.bin": starts.entry},
        }  # fmt: skip
        with _pushed(draft / MANIFEST) as file:
            file.write(json.dumps(manifest, indent=1).encode("ascii") + b"\n")
        os.rename(draft, limited)
        _log.info("tokens      %s of %s in %s", f"{n_tokens:,}", corpus.name, limited)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _encoded(
    documents: Iterator[str], tokenizer: Tokenizer, dtype: np.dtype, threads: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Encode documents in several threads, in order; yield the tokens of some with ``<|bos|>``, and their lengths."""

    def encode(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        ids = [each for each in map(tokenizer.encode_array, texts) if each.size]
        lengths = np.array([1 + len(each) for each in ids], dtype=np.int64)
        flat = np.full(lengths.sum(), tokenizer.bos, dtype=dtype)
        for end, each in zip(np.cumsum(lengths), ids, strict=True):
            flat[end - len(each) : end] = each
        return flat, lengths

    with ThreadPoolExecutor(threads, "encode") as pool:
        running: deque[Future[tuple[np.ndarray, np.ndarray]]] = deque()
        try:
            for texts in _batches(documents):
                running.append(pool.submit(encode, texts))
                if len(running) > 2 * threads:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _batches(documents: Iterator[str]) -> Iterator[list[str]]:
    """Put documents together until they have about :data:`TEXT_AT_ONCE` characters."""
    batch: list[str] = []
    size = 0
    for text in documents:
        batch.append(text)
        size += len(text)
        if size >= TEXT_AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _cores() -> int:
    """Return how many cores this process may use, at most 32."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows
        cores = os.cpu_count() or 1
    return min(32, cores)


@contextmanager
def _pushed(path: Path) -> Iterator[IO[bytes]]:
    """Write a file and push it to the disk."""
    with open(path, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


class _Hashed:
    """A new file that knows its size and its SHA-256."""

    def __init__(self, path: Path) -> None:
        self._open = _pushed(path)
        self._digest = hashlib.sha256()
        self._size = 0

    def __enter__(self) -> _Hashed:
        self._file = self._open.__enter__()
        return self

    def __exit__(self, *problem: Any) -> None:
        self._open.__exit__(*problem)

    def write(self, values: np.ndarray) -> None:
        data = np.ascontiguousarray(values).data
        self._file.write(data)
        self._digest.update(data)
        self._size += values.nbytes

    @property
    def entry(self) -> dict[str, Any]:
        """What the manifest says of it."""
        return {"size": self._size, "sha256": self._digest.hexdigest()}
