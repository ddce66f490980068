"""The tokens of a large corpus on the disk give the batches that those in memory give, are whole, and are made once."""

import json
import logging
import os
import tracemalloc
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from launching import finish_world

from nanochat import token_store
from nanochat.common import InputError
from nanochat.corpora import Corpus, load_corpus
from nanochat.dataloader import TokenLoader, load_tokens
from nanochat.distributed import take_turns
from nanochat.stages import base_train
from nanochat.token_store import TokenStore, encode_corpus, is_large, open_tokens
from nanochat.tokenizer import Tokenizer

WORDS = ("a mouse", "the sea", "an old hat", "Anna", "went home", "found a key", "\u00e9t\u00e9", "12 + 30", "<|bos|>")


def write_corpus(folder: Path, files: int = 12, paragraphs: int = 40) -> Path:
    """Write text files that are cut into a few documents each."""
    rng = np.random.default_rng(3)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        text = "\n\n".join(" ".join(rng.choice(WORDS, rng.integers(3, 60))) for _ in range(paragraphs))
        (folder / f"{number:04}.txt").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A base folder of its own, and batches of text that are far smaller than the corpus."""
    monkeypatch.setenv("NANOCHAT_BASE_DIR", str(tmp_path / "base"))
    monkeypatch.setattr(token_store, "TEXT_AT_ONCE", 2**12)
    return tmp_path / "base"


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return load_corpus(write_corpus(tmp_path / "texts"))


@pytest.fixture(scope="module")
def wide_tokenizer() -> Tokenizer:
    """All pairs of bytes are tokens: more than two bytes can number."""
    return Tokenizer([bytes(pair) for pair in product(range(256), repeat=2)])


def stored(corpus: Corpus, tokenizer: Tokenizer, max_tokens: int | None = None, threads: int = 2) -> TokenStore:
    for _ in encode_corpus(corpus, tokenizer, "train", max_tokens, threads):
        pass
    return open_tokens(corpus, tokenizer, "train", max_tokens)


def folders(base: Path) -> list[Path]:
    return [path for path in (base / "tokens").iterdir() if path.is_dir()]


def age(path: Path) -> tuple[int, int]:
    """Return what another file in the place of this one would have otherwise."""
    return path.stat().st_ino, path.stat().st_mtime_ns


def loader(documents: object, tokenizer: Tokenizer, **more: int) -> TokenLoader:
    return TokenLoader(documents, batch_size=2, sequence_len=48, bos=tokenizer.bos, seed=4, **more)


@pytest.mark.parametrize("limit", [None, 1, 1000, 5000, 10**9])
@pytest.mark.parametrize("wide", [False, True])
def test_store_and_list_give_the_same_batches(
    limit: int | None, wide: bool, corpus: Corpus, byte_tokenizer: Tokenizer, wide_tokenizer: Tokenizer
) -> None:
    tokenizer = wide_tokenizer if wide else byte_tokenizer
    store, listed = stored(corpus, tokenizer, limit), load_tokens(corpus, tokenizer, "train", max_tokens=limit)
    assert store.tokens.dtype == (np.dtype("<i4") if wide else np.dtype("<u2"))
    assert len(store) == len(listed)
    assert all(np.array_equal(a, b) for a, b in zip(store, listed, strict=True))
    a, b = loader(store, tokenizer), loader(listed, tokenizer)
    assert (a.n_tokens, a.rows_per_epoch, a.cropped_share) == (b.n_tokens, b.rows_per_epoch, b.cropped_share)
    for _ in range(40):
        assert all(torch.equal(x, y) for x, y in zip(a.next_batch(), b.next_batch(), strict=True))
        assert a.state_dict() == b.state_dict()


def test_a_place_saved_with_a_list_is_taken_up_with_a_store(corpus: Corpus, byte_tokenizer: Tokenizer) -> None:
    before = loader(load_tokens(corpus, byte_tokenizer, "train"), byte_tokenizer)
    for _ in range(7):
        before.next_batch()
    state = json.loads(json.dumps(before.state_dict()))
    pair = [loader(stored(corpus, byte_tokenizer), byte_tokenizer) for _ in range(2)]
    pair[0].load_state_dict(state)
    assert torch.equal(pair[0].next_batch()[0], before.next_batch()[0])
    assert not torch.equal(pair[1].next_batch()[0], pair[0].next_batch()[0])


def test_a_store_is_a_list_of_documents(corpus: Corpus, byte_tokenizer: Tokenizer) -> None:
    store, listed = stored(corpus, byte_tokenizer), load_tokens(corpus, byte_tokenizer, "train")
    assert np.array_equal(store[-1], listed[-1])
    assert [each.tolist() for each in store[1:4]] == [each.tolist() for each in listed[1:4]]
    with pytest.raises(IndexError, match=f"no document {len(store)} among {len(store)}"):
        store[len(store)]


@given(st.text(st.characters(), max_size=60) | st.text("ab \n<|bos>'9\ud800", max_size=60))
def test_an_array_holds_what_the_list_holds(text: str) -> None:
    tokenizer = Tokenizer([b"ab", b" a", b"bos"[:2], b"abab"])
    assert tokenizer.encode_array(text).tolist() == tokenizer.encode(text)


def test_an_array_of_a_monstrous_run(byte_tokenizer: Tokenizer) -> None:
    assert byte_tokenizer.encode_array("a" * 250_001).tolist() == [97] * 250_001


def test_memory_does_not_grow_with_the_tokens(tmp_path: Path, byte_tokenizer: Tokenizer) -> None:
    corpus = load_corpus(write_corpus(tmp_path / "more", files=100, paragraphs=30))
    tracemalloc.start()
    store = stored(corpus, byte_tokenizer, threads=1)
    one = loader(store, byte_tokenizer)
    one.next_batch()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(one._tokens, np.memmap)
    assert not one._tokens.flags.writeable
    assert one.n_tokens > 500_000
    assert peak < one.n_tokens / 2, "memory holds a small part of the tokens, at 2 bytes each"


# Made once, whole, and for these texts alone -----------------------------------------------------------------------


def test_the_second_run_finds_the_tokens(
    corpus: Corpus, byte_tokenizer: Tokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first = stored(corpus, byte_tokenizer)
    made = age(first.folder / "tokens.bin")
    again = stored(load_corpus(corpus.name), byte_tokenizer)
    assert again.folder == first.folder
    assert age(first.folder / "tokens.bin") == made
    assert [line.split(str(first.folder.parent))[0] for line in caplog.messages] == [
        f"tokens      encoding {corpus.name} once, in 2 threads; later runs find it in ",
        f"tokens      {len(first.tokens):,} of {corpus.name} in ",
        "tokens      found in ",
    ]


def test_what_changes_the_tokens_changes_the_folder(corpus: Corpus, byte_tokenizer: Tokenizer, base: Path) -> None:
    one = stored(corpus, byte_tokenizer)
    two = stored(corpus, Tokenizer([b"th"]))
    file = next(iter(corpus.files))
    file.write_text(file.read_text(encoding="utf-8") + "\n\nOne more.", encoding="utf-8")
    changed = load_corpus(corpus.name)
    with pytest.raises(InputError, match="are not in .*: encode them first"):
        open_tokens(changed, byte_tokenizer, "train")
    three = stored(changed, byte_tokenizer)
    mixed = stored(load_corpus(f"{corpus.name}+pydoc"), byte_tokenizer, 10**5)
    other = stored(load_corpus(f"pydoc+{corpus.name}"), byte_tokenizer, 10**5)
    assert len({each.folder for each in (one, two, three, mixed, other)}) == len(folders(base)) == 5
    assert len({each.fingerprint for each in (one, two, three, mixed, other)}) == 5


def test_all_tokens_serve_a_limit_beyond_them(corpus: Corpus, byte_tokenizer: Tokenizer, base: Path) -> None:
    everything = stored(corpus, byte_tokenizer, 10**9)
    assert stored(corpus, byte_tokenizer).folder == everything.folder
    text = len(everything.tokens) - len(everything)
    assert stored(corpus, byte_tokenizer, text).folder == everything.folder
    assert len(stored(corpus, byte_tokenizer, text - len(everything[-1]))) == len(everything) - 1
    assert len(folders(base)) == 2
    with pytest.raises(InputError, match="encode them first"):
        open_tokens(corpus, byte_tokenizer, "train", 7)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def shorten(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 2)


@pytest.mark.parametrize(
    ("name", "harm", "problem"),
    [
        ("tokens.bin", flip, "has changed since it was written"),
        ("starts.bin", flip, "has changed since it was written"),
        ("tokens.bin", shorten, "bytes, not"),
        ("starts.bin", Path.unlink, "has None bytes"),
        ("manifest.json", Path.unlink, "is missing or damaged"),
        ("manifest.json", lambda path: path.write_text('{"format": 1}'), "is missing or damaged"),
    ],
)
def test_damage_is_named_and_the_tokens_are_made_anew(
    name: str, harm: object, problem: str, corpus: Corpus, byte_tokenizer: Tokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    before = stored(corpus, byte_tokenizer)
    kept = before.tokens.tolist()
    harm(before.folder / name)
    after = stored(corpus, byte_tokenizer)
    assert f"{name}" in caplog.text
    assert problem in caplog.text
    assert "made anew" in caplog.text
    assert after.tokens.tolist() == kept
    assert after.fingerprint == before.fingerprint


def test_a_file_of_another_size_is_not_mapped(corpus: Corpus, byte_tokenizer: Tokenizer) -> None:
    shorten(stored(corpus, byte_tokenizer).folder / "tokens.bin")
    with pytest.raises(InputError, match=r"tokens\.bin has \d+ bytes, its manifest says \d+: start again"):
        open_tokens(corpus, byte_tokenizer, "train")


def test_a_run_that_stops_midway_leaves_nothing(corpus: Corpus, byte_tokenizer: Tokenizer, base: Path) -> None:
    work = encode_corpus(corpus, byte_tokenizer, "train", threads=2)
    assert next(work) > 0
    assert [path.suffix for path in folders(base)] == [".tmp"]
    work.close()
    assert folders(base) == []
    work = encode_corpus(corpus, byte_tokenizer, "train", threads=1)
    next(work)
    last = list(corpus.files)[-1]
    last.write_text("Another text.", encoding="utf-8")
    with pytest.raises(InputError, match=f"{last.name} changed since this run began"):
        list(work)
    assert folders(base) == []


def test_what_a_killed_run_left_is_swept_away(corpus: Corpus, byte_tokenizer: Tokenizer, base: Path) -> None:
    name = stored(corpus, byte_tokenizer).folder
    name.rename(name.with_name(f".{name.name}.tmp"))
    assert stored(corpus, byte_tokenizer).folder == name
    assert folders(base) == [name]


def test_the_second_of_two_runs_waits_for_the_first(
    corpus: Corpus, byte_tokenizer: Tokenizer, caplog: pytest.LogCaptureFixture, base: Path
) -> None:
    caplog.set_level(logging.INFO)
    first, second = (encode_corpus(corpus, byte_tokenizer, "train", threads=1) for _ in range(2))
    next(first)
    assert [next(second), next(second)] == [0, 0]
    assert caplog.messages.count(f"another process is encoding {corpus.name}: waiting for it") == 1
    list(first)
    made = age(folders(base)[0] / "tokens.bin")
    list(second)
    assert age(folders(base)[0] / "tokens.bin") == made
    assert "found in" in caplog.messages[-1]


def test_a_disk_that_cannot_be_written_is_named(corpus: Corpus, byte_tokenizer: Tokenizer, base: Path) -> None:
    base.mkdir()
    (base / "tokens").write_text("in the way")
    with pytest.raises(InputError, match="could not be written to .*tokens.*make room there, or choose another folder"):
        next(encode_corpus(corpus, byte_tokenizer, "train"))


def test_limits_below_one_empty_splits_and_another_bos_are_refused(
    corpus: Corpus, byte_tokenizer: Tokenizer, tmp_path: Path, base: Path
) -> None:
    with pytest.raises(InputError, match="max_tokens=0 must be at least 1"):
        next(encode_corpus(corpus, byte_tokenizer, "train", 0))
    small = tmp_path / "small"
    small.mkdir()
    (small / "one.txt").write_text("One document.", encoding="utf-8")
    splits = ("train", "val")
    works = [encode_corpus(load_corpus(small), byte_tokenizer, split) for split in splits]
    problems = []
    for work in works:
        try:
            list(work)
        except InputError as error:
            problems.append(str(error))
    assert len(problems) == 1
    assert "has no documents for" in problems[0]
    assert len(folders(base)) == 1
    with pytest.raises(InputError, match="bos=5 is not the 256 of the tokens in"):
        TokenLoader(stored(corpus, byte_tokenizer), batch_size=1, sequence_len=8, bos=5)


# In the stage ------------------------------------------------------------------------------------------------------

FLAGS = ["--depth=1", "--width=32", "--sequence-len=48", "--device-batch-size=2", "--device=cpu", "--dtype=float32"]


def test_base_train_reads_a_large_corpus_from_the_disk(
    corpus: Corpus, base: Path, byte_tokenizer: Tokenizer, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    byte_tokenizer.save(base / "tokenizer" / "tokenizer.json")
    usual = base_train.READ_AHEAD
    told = {}
    for run, least, ahead in (("list", 1, usual), ("whole", 0, 10**6), ("part", 0, usual)):
        monkeypatch.setattr(token_store, "LARGE", corpus.n_bytes + least)
        monkeypatch.setattr(base_train, "READ_AHEAD", ahead)
        base_train.main([f"--data={corpus.name}", *FLAGS, "--num-iterations=4", "--eval-tokens=99", f"--run={run}"])
        told[run] = [line.partition("  about")[0] for line in capsys.readouterr().out.splitlines() if "loss" in line]
        assert (base / "tokens").exists() == (run != "list")
    assert len(told["list"]) == 5
    assert told["whole"] == told["list"]
    limits = [json.loads((folder / "manifest.json").read_text())["max_tokens"] for folder in folders(base)]
    assert sorted(limits, key=str) == [2 * 4 * 2 * 48, None], "twice the tokens of the plan, and all there are"


def test_the_corpora_of_the_package_stay_in_memory() -> None:
    assert [is_large(load_corpus(name)) for name in ("stories", "pydoc", "stories+pydoc")] == [False] * 3


def test_turns_are_taken_until_all_is_done() -> None:
    seen = []
    take_turns((seen.append(number) for number in range(5)), "count")
    assert seen == [0, 1, 2, 3, 4]


PAIR = """
import json, sys
from pathlib import Path

from nanochat import distributed as world, token_store
from nanochat.common import InputError, detect_runtime
from nanochat.corpora import load_corpus
from nanochat.dataloader import TokenLoader
from nanochat.stages.base_train import load_documents
from nanochat.tokenizer import Tokenizer

world.PULSE, token_store.LARGE, token_store.TEXT_AT_ONCE = 0.0, 0, 4096
runtime = detect_runtime("cpu", "float32")
tokenizer = Tokenizer([])
found = {"exchanges": 0}
exchange = world.all_gather

def counted(value):
    found["exchanges"] += 1
    return exchange(value)

world.all_gather = counted

def fails():
    yield 0
    raise InputError("the disk is full")

with world.distributed(runtime):
    documents = load_documents(load_corpus(sys.argv[1]), tokenizer, 10**9, runtime)
    found["kind"] = type(documents.tokens).__name__
    one = TokenLoader(documents, 1, 48, tokenizer.bos, 4, runtime.rank, 2)
    found["fingerprint"] = one.fingerprint
    found["row"] = one.next_batch()[0][0].tolist()
    try:
        world.take_turns(fails() if runtime.rank == 0 else iter(()), "encode the data")
    except InputError as error:
        found["refused"] = str(error)
Path(sys.argv[2], f"rank{runtime.rank}.json").write_text(json.dumps(found))
"""


def test_two_processes_wait_for_one_and_share_its_files(
    corpus: Corpus, base: Path, tmp_path: Path, byte_tokenizer: Tokenizer
) -> None:
    done = finish_world(PAIR, corpus.name, str(tmp_path))
    assert [each.code for each in done] == [0, 0], done
    found = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2)]
    assert len(folders(base)) == 1
    alone = TokenLoader(load_tokens(corpus, byte_tokenizer, "train"), 2, 48, byte_tokenizer.bos, 4)
    assert [each["row"] for each in found] == alone.next_batch()[0].tolist()
    assert {each["fingerprint"] for each in found} == {alone.fingerprint}
    assert [each["kind"] for each in found] == ["memmap", "memmap"]
    assert found[0]["exchanges"] == found[1]["exchanges"] > 20, "the one that waits hears from the other all the time"
    assert found[0]["refused"] == "the disk is full"
    assert found[1]["refused"] == "rank 1 stops, because rank 0 could not encode the data: the disk is full"
