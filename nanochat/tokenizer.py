r"""Text to tokens, and back.

A model reads numbers. The tokenizer cuts a text into pieces that occur often, the tokens, and numbers them:

>>> tokenizer = Tokenizer.train(["the cat and the hat and the bat"] * 3, vocab_size=272)
>>> tokenizer.encode("the hat")
[258, 32, 104, 256]
>>> tokenizer.pieces("the hat")
[(258, b'the'), (32, b' '), (104, b'h'), (256, b'at')]
>>> tokenizer.decode([258, 32, 104, 256])
'the hat'

There are V tokens, numbered from 0:

====================  ======================================================================================
numbers               tokens
====================  ======================================================================================
0 to 255              the single bytes; because of them every text can be written, in any script
256 to V - 10         the merges, learned from a text by byte pair encoding (:mod:`nanochat.bpe` shows how)
V - 9 to V - 1        the special tokens, which no text ever becomes: a program's signs to the model
====================  ======================================================================================

Encoding has two steps. A regular expression, :data:`SPLIT_PATTERN`, cuts the text into words, then each
word's bytes are merged in the order that was learned. The work is done by two libraries written in Rust,
``rustbpe`` for the training and ``tiktoken`` for the encoding; :mod:`nanochat.bpe` says the same in plain
Python.

A tokenizer is saved as one JSON file that anybody can read and that runs no code when it is loaded.
"""

from __future__ import annotations

import base64
import hashlib
import json
import operator
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import rustbpe
import tiktoken

from nanochat.bpe import cut_long_runs, train_bpe_python
from nanochat.common import InputError, base_dir, get_logger

SPECIAL_TOKENS = (
    "<|bos|>",
    "<|user_start|>",
    "<|user_end|>",
    "<|assistant_start|>",
    "<|assistant_end|>",
    "<|python_start|>",
    "<|python_end|>",
    "<|output_start|>",
    "<|output_end|>",
)
"""The nine special tokens, in the order of their numbers.

``<|bos|>`` begins every document. The others mark who speaks in a conversation, the program that the
assistant asks to run (python) and what came of it (output).
"""

SPLIT_PARTS = {
    "word": r"[^\r\n\p{L}\p{N}]?+\p{L}[\p{L}\p{M}]*+",
    "number": r"\p{N}{1,2}+",
    "signs": r" ?[^\s\p{L}\p{N}]++[\r\n]*+",
    "line ends": r"[^\S\r\n]*+[\r\n]++",
    "blanks": r"\s+(?!\S)",
    "last blank": r"\s",
}
r"""What counts as one word, part by part. At each place of a text, the first part that fits takes its piece.

word
    Letters, with the one character before them unless it is a letter, a digit or the end of a line. Nearly
    always that is the blank, so that " cat" in the middle of a sentence costs one token and not two. An
    apostrophe is the other case: *it's* is cut into *it* and *'s*, *we'll* into *we* and *'ll*. ``\p{M}`` are
    the marks that some scripts write onto a letter (vowels in Hindi, accents typed apart): they stay with it.
number
    Digits, two by two from the left. One token for each number up to 99 can be learned from little text;
    a token for each number of three digits would take a thousand places of the vocabulary.
signs
    Everything else that is visible, with a blank before it and the ends of lines after it: ``" ("``,
    ``".\n"``.
line ends
    The ends of lines, with the blanks before them.
blanks
    A run of blanks, all but the last: ``(?!\S)`` forbids that something visible follows. The last one is left
    for the word after it, so that indented text has the same words as any other. At the end of a text, all of
    it.
last blank
    The one blank that nothing else wanted, such as the one before a number.

``++``, ``*+`` and ``?+`` are possessive: what they took they never give back, so that a long run is read
once. Together the parts leave no character out (letters, digits, visible signs, blanks), and a test holds
them to it: what the pattern skipped would vanish from the text.
"""

SPLIT_PATTERN = "|".join(SPLIT_PARTS.values())
"""The regular expression that cuts a text into words, in GPT-4's style: the parts, joined by "or"."""

MIN_VOCAB_SIZE = 256 + len(SPECIAL_TOKENS)
"""The smallest vocabulary: all the bytes and the special tokens, no merges."""

MAX_VOCAB_SIZE = 2**20
"""The largest vocabulary that can be asked for, several times what most published models use."""

FORMAT = "nanochat tokenizer"
"""What a tokenizer file says that it is."""

FORMAT_VERSION = 1
"""Raised when the meaning of the file changes; a file of another version is refused."""

Trainer = Literal["rust", "python"]
"""Who does the training: ``rustbpe``, or the slower, readable :func:`nanochat.bpe.train_bpe_python`."""


def tokenizer_path() -> Path:
    """Return where the stages keep the tokenizer: ``tokenizer/tokenizer.json`` in the base folder."""
    return base_dir() / "tokenizer" / "tokenizer.json"


@contextmanager
def _rust_panics_named(doing: str) -> Iterator[None]:
    """Turn a panic of the Rust libraries into an :class:`InputError`; every call into them stands in here.

    A panic arrives as a ``PanicException``, which is no ``Exception`` and has no importable name: it would
    pass every ``except Exception`` and end a server.
    """
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise InputError(
            f"the Rust library failed while {doing} ({error}): remove the unusual part of the text"
        ) from error


def _checked_documents(texts: Iterable[str]) -> Iterator[str]:
    """Pass on the documents of a corpus that may be trained on; name the first that may not by its index."""
    iterator = iter(texts)
    index, seen = 0, False
    while True:
        try:
            text = next(iterator)
        except StopIteration:
            break
        except Exception as error:
            raise InputError(f"reading document {index} failed ({type(error).__name__}: {error})") from error
        if not isinstance(text, str):
            raise InputError(
                f"document {index} is a {type(text).__name__}, not text: give str (decode bytes, skip None)"
            )
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InputError(
                f"document {index} holds half a surrogate pair ({text[error.start]!r} at character "
                f"{error.start}), which is not text: read the file with errors='replace'"
            ) from error
        if text:
            seen = True
            yield from cut_long_runs(text)
        index += 1
    if not seen:
        raise InputError(f"no text to train on ({index} documents, all empty): give at least one document with text")


def _checked_integer(value: object, what: str) -> int:
    """Return a whole number as an int; numbers of NumPy and torch count, True and "5" do not."""
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"{what} {value!r} is a {type(value).__name__}: give a whole number (int)") from None


class Tokenizer:
    """The vocabulary, and the way from text to its numbers and back.

    Made by :meth:`train` or :meth:`load`; it never changes afterwards, and threads may share it.

    Args:
        merges: The tokens after the 256 bytes, in the order in which they were learned.
        pattern: The regular expression that cuts a text into words.

    Raises:
        InputError: If the merges are not those of a byte pair encoding: each must be new, and made of two
            tokens that come before it.

    Guide:
        "A tokenizer is a list of byte strings in the order of their birth." (nano/tokenization/vocabulary)
    """

    def __init__(self, merges: Sequence[bytes], pattern: str = SPLIT_PATTERN) -> None:
        ranks = {bytes([byte]): byte for byte in range(256)}
        for token in merges:
            if not isinstance(token, bytes):
                raise InputError(f"merge {len(ranks)} is a {type(token).__name__}, not bytes")
            if token in ranks:
                raise InputError(f"merge {len(ranks)} ({token!r}) is already token {ranks[token]}: each may occur once")
            if not any(token[:cut] in ranks and token[cut:] in ranks for cut in range(1, len(token))):
                raise InputError(
                    f"merge {len(ranks)} ({token!r}) is not made of two earlier tokens: a merge is missing"
                )
            ranks[token] = len(ranks)
        self.pattern = pattern
        self._special_ids = {name: len(ranks) + index for index, name in enumerate(SPECIAL_TOKENS)}
        self._bytes = [*ranks, *(name.encode("utf-8") for name in SPECIAL_TOKENS)]
        self._fingerprint = hashlib.sha256(json.dumps(self._content()).encode("utf-8")).hexdigest()
        try:
            with _rust_panics_named("reading the split pattern"):
                self._encoding = tiktoken.Encoding(
                    f"nanochat-{self._fingerprint[:12]}",
                    pat_str=pattern,
                    mergeable_ranks=ranks,
                    special_tokens=self._special_ids,
                )
        except InputError:
            raise
        except (ValueError, TypeError) as error:
            raise InputError(f"split pattern {pattern!r} is not a regular expression ({error})") from error

    @classmethod
    def train(
        cls, texts: Iterable[str], vocab_size: int, trainer: Trainer = "rust", pattern: str = SPLIT_PATTERN
    ) -> Tokenizer:
        """Learn a vocabulary from documents.

        Args:
            texts: The documents, one str each. Read once and not kept, so it may be a generator over a large
                corpus.
            vocab_size: How many tokens to have, V, the nine special ones included. A text too small to have
                so many frequent pairs gives fewer: ask the result for its :attr:`vocab_size`.
            trainer: ``rust``, or ``python`` for the readable one; both give the same tokens.
            pattern: The regular expression that cuts a text into words.

        Returns:
            The tokenizer. The same documents give the same one every time, whatever the number of threads.

        Raises:
            InputError: If there is no text, a document is not text (its index is named), the size is out of
                range, or the pattern is no regular expression.

        Guide:
            "The tokenizer is trained once, before the model, on a sample of the text."
            (nano/tokenization/merges)
        """
        size = _checked_integer(vocab_size, "vocab_size")
        if not MIN_VOCAB_SIZE <= size <= MAX_VOCAB_SIZE:
            raise InputError(
                f"vocab_size {size} is out of range: ask for at least {MIN_VOCAB_SIZE} (256 bytes and "
                f"{len(SPECIAL_TOKENS)} special tokens) and at most {MAX_VOCAB_SIZE}"
            )
        if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
            raise InputError(f"texts is a {type(texts).__name__}: give the documents as a list of str, such as [text]")
        cls([], pattern)  # a broken pattern shows here, before the work
        documents = _checked_documents(texts)
        n_merges = size - MIN_VOCAB_SIZE
        if trainer == "python":
            merges = train_bpe_python(documents, n_merges, pattern)
        elif trainer == "rust":
            with _rust_panics_named("training"):
                learner = rustbpe.Tokenizer()
                learner.train_from_iterator(documents, 256 + n_merges, pattern=pattern)
            merges = [token for token, rank in sorted(learner.get_mergeable_ranks(), key=lambda pair: pair[1])][256:]
        else:
            raise InputError(f"trainer {trainer!r} is unknown: use 'rust' or 'python'")
        tokenizer = cls(merges, pattern)
        if tokenizer.vocab_size < size:
            get_logger(__name__).warning(
                "The text is too small for %d tokens: the vocabulary has %d.", size, tokenizer.vocab_size
            )
        return tokenizer

    # ------------------------------------------------------------------ text to tokens

    def encode(self, text: str) -> list[int]:
        """Turn a text into token numbers.

        Whatever the text says, no special token comes out: ``<|bos|>`` typed by a user is seven ordinary
        characters. A program that wants a special token asks for its number, :meth:`special`.

        Args:
            text: Any text. Half a surrogate pair, which is not text, becomes U+FFFD.

        Returns:
            The numbers, T of them; :meth:`decode` gives the text back.

        Raises:
            InputError: If it is not a str.

        Guide:
            "A pattern cuts the text into words. Then each word is merged, by itself."
            (nano/tokenization/encoding)
        """
        return self._encode_checked(self._checked_text(text))

    def encode_batch(self, texts: Iterable[str], threads: int = 8) -> list[list[int]]:
        """Encode many texts, several at a time.

        Args:
            texts: The texts.
            threads: How many to encode at the same time.

        Returns:
            One list of numbers for each text, in order.
        """
        if isinstance(texts, str | bytes):
            raise InputError(f"texts is a {type(texts).__name__}: give a list of str, such as [text]")
        if threads < 1:
            raise InputError(f"threads {threads} must be at least 1")
        pieces = [list(cut_long_runs(self._checked_text(text))) for text in texts]
        with _rust_panics_named("encoding"):
            encoded = iter(
                self._encoding.encode_ordinary_batch([piece for cut in pieces for piece in cut], num_threads=threads)
            )
        return [[token for _ in cut for token in next(encoded)] for cut in pieces]

    def encode_array(self, text: str) -> np.ndarray:
        """Turn a text into token numbers without making a Python object of each.

        It gives what :meth:`encode` gives, for those who encode a thousand million words. Other threads run meanwhile.

        Args:
            text: Any text.

        Returns:
            The numbers, ``(T,)`` of a type of whole numbers.

        Raises:
            InputError: If it is not a str.

        Example:
            >>> Tokenizer([]).encode_array("cat").tolist()
            [99, 97, 116]
        """
        checked = self._checked_text(text)
        try:
            with _rust_panics_named("encoding"):
                parts = [self._encoding.encode_to_numpy(each, disallowed_special=()) for each in cut_long_runs(checked)]
        except UnicodeEncodeError:  # half a surrogate pair
            return np.array(self._encode_checked(checked), dtype=np.uint32)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def pieces(self, text: str) -> list[tuple[int, bytes]]:
        """Show how a text is cut: every token with its number and its bytes, in order.

        The bytes of a token need not be whole characters: an emoji may be spread over several tokens.

        Guide:
            "A piece on the list is called a token." (nano/tokenization)
        """
        return [(token, self._bytes[token]) for token in self.encode(text)]

    @staticmethod
    def _checked_text(text: str) -> str:
        if not isinstance(text, str):
            raise InputError(f"cannot encode a {type(text).__name__}: give text (str)")
        return text

    def _encode_checked(self, text: str) -> list[int]:
        with _rust_panics_named("encoding"):
            return [token for piece in cut_long_runs(text) for token in self._encoding.encode_ordinary(piece)]

    # ------------------------------------------------------------------ tokens to text

    def decode(self, ids: Iterable[int]) -> str:
        """Turn token numbers back into text.

        Special tokens show as their names. Bytes that are no whole character, as at the end of a cut-off
        answer, show as U+FFFD.

        Args:
            ids: Token numbers, from 0 to V - 1.

        Returns:
            The text.

        Raises:
            InputError: If one is not a token's number.

        Guide:
            "Each number stands for some bytes; write them down one after another."
            (nano/tokenization/encoding)
        """
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Turn token numbers into the bytes of the text, cut-off characters as they are.

        Guide:
            "Every text is a row of bytes, but not every row of bytes is a text." (nano/tokenization/bytes)
        """
        if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
            raise InputError(f"cannot decode a {type(ids).__name__}: give a list of token numbers")
        return b"".join(self.token_bytes(token) for token in ids)

    def token_bytes(self, token: int) -> bytes:
        """Return the bytes that one token stands for; those of a special token are its name."""
        index = _checked_integer(token, "token")
        if not 0 <= index < len(self._bytes):
            raise InputError(f"token {index} is not in the vocabulary: its numbers are 0 to {len(self._bytes) - 1}")
        return self._bytes[index]

    # ------------------------------------------------------------------ the vocabulary

    @property
    def vocab_size(self) -> int:
        """V, the number of tokens there are, with the bytes and the special tokens.

        Guide:
            "It counts everything." (nano/tokenization/vocabulary)
        """
        return len(self._bytes)

    @property
    def merges(self) -> list[bytes]:
        """The tokens after the 256 bytes, in the order in which they were learned."""
        return self._bytes[256 : -len(SPECIAL_TOKENS)]

    @property
    def special_ids(self) -> dict[str, int]:
        """The special tokens with their numbers."""
        return dict(self._special_ids)

    def special(self, name: str) -> int:
        """Return the number of a special token.

        Args:
            name: One of :data:`SPECIAL_TOKENS`, such as ``<|user_start|>``.

        Raises:
            InputError: If there is no such special token; an ordinary token is none.

        Guide:
            "No text leads to the number of a special token." (nano/tokenization/encoding)
        """
        if name not in self._special_ids:
            raise InputError(f"{name!r} is not a special token: use one of {', '.join(SPECIAL_TOKENS)}")
        return self._special_ids[name]

    @property
    def bos(self) -> int:
        """The number of ``<|bos|>``, the token that begins every document."""
        return self._special_ids["<|bos|>"]

    def n_bytes_per_token(self) -> list[int]:
        """Return how many bytes of text each token stands for, V numbers; 0 for the special tokens.

        With it, a loss for each token becomes a loss for each byte, which does not depend on the vocabulary
        (:func:`nanochat.evaluate.bits_per_byte`).

        Guide:
            "When a model is measured, its score is counted for each byte of text, and signs that are no text
            must not improve it." (nano/tokenization/encoding)
        """
        return [*map(len, self._bytes[: -len(SPECIAL_TOKENS)]), *(0 for _ in SPECIAL_TOKENS)]

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of all that decides how text is cut. A model fits the tokenizer with the same one.

        Guide:
            "A model can only be read with its own tokenizer." (nano/tokenization/merges)
        """
        return self._fingerprint

    def __repr__(self) -> str:
        return f"Tokenizer(vocab_size={self.vocab_size}, fingerprint={self.fingerprint[:12]}...)"

    # ------------------------------------------------------------------ to disk and back

    def _content(self) -> dict[str, object]:
        return {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "pattern": self.pattern,
            "special_tokens": list(SPECIAL_TOKENS),
            "merges": [base64.b64encode(token).decode("ascii") for token in self.merges],
        }

    def save(self, path: str | Path) -> Path:
        """Write the tokenizer to a JSON file; equal tokenizers give equal files, byte for byte.

        The file appears complete or not at all: it is written under another name and then renamed.

        Args:
            path: The file, by custom ``tokenizer.json``. Its folder is made; an older file is replaced.

        Returns:
            The path.

        Guide:
            "A finished tokenizer is saved as one JSON file: the pattern, the names of the special tokens, the
            merges in their order." (nano/tokenization/encoding)
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**self._content(), "fingerprint": self.fingerprint}, indent=1) + "\n"
        draft = path.with_name(f"{path.name}.tmp-{os.getpid()}-{secrets.token_hex(4)}")
        try:
            with open(draft, "xb") as file:
                file.write(text.encode("ascii"))
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        return path

    @classmethod
    def load(cls, path: str | Path) -> Tokenizer:
        """Read a tokenizer from the file that :meth:`save` wrote, and check all of it.

        Args:
            path: The JSON file.

        Returns:
            The tokenizer, equal in every number to the one that was saved.

        Raises:
            InputError: If the file is missing, damaged, of another format, or does not describe a tokenizer.

        Guide:
            "Any program can read it, and reading it runs no code." (nano/tokenization/encoding)
        """
        cure = "train one with `nanochat tok-train`"
        try:
            content = json.loads(Path(path).read_bytes())
        except FileNotFoundError:
            raise InputError(f"there is no tokenizer at {path}: {cure}") from None
        except (ValueError, RecursionError) as error:
            raise InputError(f"tokenizer file {path} is damaged, not JSON ({error}): {cure}") from error
        try:
            return cls._from_content(content)
        except InputError as error:
            raise InputError(f"tokenizer file {path} cannot be used: {error}; {cure}") from error

    @classmethod
    def _from_content(cls, content: object) -> Tokenizer:
        kinds = {
            "format": str,
            "version": int,
            "pattern": str,
            "special_tokens": list,
            "merges": list,
            "fingerprint": str,
        }
        if not isinstance(content, dict):
            raise InputError(f"it holds a {type(content).__name__}, not an object with {', '.join(kinds)}")
        if unknown := sorted(content.keys() - kinds.keys()):
            raise InputError(f"it has the unknown entry {unknown[0]!r}")
        for key, kind in kinds.items():
            if key not in content:
                raise InputError(f"it has no entry {key!r}")
            if not isinstance(content[key], kind):
                raise InputError(f"its entry {key!r} is a {type(content[key]).__name__}, not a {kind.__name__}")
        if (content["format"], content["version"]) != (FORMAT, FORMAT_VERSION):
            raise InputError(
                f"its format is {content['format']!r} {content['version']!r}, not {FORMAT!r} {FORMAT_VERSION}"
            )
        if content["special_tokens"] != list(SPECIAL_TOKENS):
            raise InputError(f"its special tokens are {content['special_tokens']}, not {list(SPECIAL_TOKENS)}")
        merges = []
        for index, code in enumerate(content["merges"]):
            try:
                merges.append(base64.b64decode(code, validate=True))
            except (ValueError, TypeError):
                raise InputError(f"merge {256 + index} ({code!r}) is not base64") from None
        tokenizer = cls(merges, content["pattern"])
        if tokenizer.fingerprint != content["fingerprint"]:
            raise InputError("its fingerprint does not match its content, so it was changed after it was written")
        return tokenizer
