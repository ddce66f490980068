"""Files from the Hugging Face hub: fetched whole or not at all, checked, and read row by row.

A download can stop in many ways: the line breaks, the server is busy, a proxy answers with a page of its own in place
of the file. Here a file is written under a name of its own beside the place where it belongs, checked against the size
and the SHA-256 that the hub states, and only then given its real name. So a file that stands in its place is complete,
nothing that stood there before is lost, and two downloaders do not disturb each other.

Files of a data set are kept under ``hub/`` in the base folder, in the same paths as on the hub.
"""

from __future__ import annotations

import hashlib
import http.client
import importlib.util
import json
import os
import re
import secrets
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import quote, urlsplit

from tqdm import tqdm

from nanochat import __version__
from nanochat.common import InputError, base_dir, get_logger, push_to_disk

HUB = "https://huggingface.co"
"""Where data sets come from, unless ``$NANOCHAT_HUB`` names another server of the same layout."""
TRIES = 5
"""How often a download is tried before it is given up."""
PAUSE = 1.0
"""Seconds before the second try; each further pause is twice as long as the one before."""
LONGEST_PAUSE = 60.0
"""No pause is longer than this many seconds, also if the server asks for more."""
TIMEOUT = 30.0
"""Seconds without a sign of life from the server after which a try has failed."""

Progress = Callable[[int, int | None], object]
"""Told the bytes that are there and the bytes of the whole file, which is None where the server does not say."""

_CHUNK = 1 << 16
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})  # what a server says of trouble that may pass
_log = get_logger(__name__)


class DownloadError(InputError):
    """A file that could not be fetched; the message has its address, the reason, and what to do."""


class _Failed(Exception):
    """One try failed; another may not. ``after`` is the pause that the server asked for."""

    def __init__(self, reason: str, after: float = 0.0) -> None:
        super().__init__(reason)
        self.after = after


class _Stopped(Exception):
    """Someone else wants this download to end."""


# --- Where things are --------------------------------------------------------------------------------------------


def hub_base() -> str:
    """Return the address of the hub, without a slash at its end: :data:`HUB` or ``$NANOCHAT_HUB``."""
    return os.environ.get("NANOCHAT_HUB", HUB).rstrip("/")


def hub_url(dataset: str, path: str, revision: str = "main") -> str:
    """Return the address of a file of a data set.

    Args:
        dataset: Owner and name, such as ``openai/gsm8k``.
        path: The file inside of the data set.
        revision: A branch, a tag or a commit.

    Returns:
        The address.

    Raises:
        InputError: If the name or the path cannot be one on the hub.

    Example:
        >>> hub_url("openai/gsm8k", "main/test-00000-of-00001.parquet").removeprefix(hub_base())
        '/datasets/openai/gsm8k/resolve/main/main/test-00000-of-00001.parquet'
    """
    _check_names(dataset, path)
    return f"{hub_base()}/datasets/{dataset}/resolve/{quote(revision, safe='')}/{quote(path)}"


def hub_path(dataset: str, path: str = "") -> Path:
    """Return where a file of a data set is kept here, or its folder; nothing is fetched or made.

    Args:
        dataset: Owner and name.
        path: The file inside of the data set; empty for the folder of all its files.

    Returns:
        ``hub/OWNER/NAME/PATH`` in the base folder.

    Raises:
        InputError: If the name or the path cannot be one on the hub.

    Example:
        >>> hub_path("openai/gsm8k", "test.parquet").relative_to(base_dir()).as_posix()
        'hub/openai/gsm8k/test.parquet'
    """
    _check_names(dataset, path or "x")
    return base_dir().joinpath("hub", dataset, path)


def _check_names(dataset: str, path: str) -> None:
    """Refuse names that would leave the data set's own folder."""
    parts = dataset.split("/")
    if len(parts) != 2 or not all(re.fullmatch(r"\w[\w.-]*", part, re.ASCII) for part in parts):
        raise InputError(f"{dataset!r} is no data set of the hub: write owner/name, such as openai/gsm8k")
    pure = PurePosixPath(path)
    if not path or pure.is_absolute() or ".." in pure.parts or "\\" in path or "\0" in path:
        raise InputError(f"{path!r} is no path inside of a data set: write it relative, without '..'")


# --- Fetching ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Download:
    """A file that shall be here: from where, to where, and what is known about it."""

    url: str
    """The address, http or https."""
    destination: Path
    """The file to make."""
    sha256: str | None = None
    """The SHA-256 of the file in hexadecimal digits, where it is known before."""
    size: int | None = None
    """The bytes of the file, where they are known before."""

    @classmethod
    def of(cls, dataset: str, path: str, revision: str = "main") -> Download:
        """Describe a file of a data set, with the place where it is kept here."""
        return cls(hub_url(dataset, path, revision), hub_path(dataset, path))

    @property
    def is_complete(self) -> bool:
        """Whether the file is in its place; what is known about it is checked."""
        if not self.destination.is_file() or self.size not in (None, self.destination.stat().st_size):
            return False
        if self.sha256 is None:
            return True
        with open(self.destination, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256.lower()


def fetch(
    url: str,
    destination: Path | str,
    sha256: str | None = None,
    size: int | None = None,
    progress: Progress | None = None,
    tries: int = TRIES,
    pause: float | None = None,
    timeout: float = TIMEOUT,
) -> Path:
    """Get a file: whole and checked in its place, or not at all.

    A file that is there already is not fetched again. What comes is written under a name of its own in the same
    folder. A try that breaks off is continued where it stopped if the server can do that. At the end the bytes are
    counted, compared with the SHA-256 that is given or that the hub states (``X-Linked-ETag``), written through to the
    disk and renamed. Temporary names that a killed process left behind are removed.

    Args:
        url: The address, http or https.
        destination: The file to make; its folder is made too.
        sha256: The SHA-256 that the file must have, in hexadecimal digits.
        size: The bytes that the file must have.
        progress: Told how far it is.
        tries: How often to try in all. A file that does not exist (404) and other refusals are not tried again.
        pause: Seconds before the second try, doubled before each further one; 0 for none, None for :data:`PAUSE`.
        timeout: Seconds without a sign of life after which a try has failed.

    Returns:
        The destination.

    Raises:
        DownloadError: If the file could not be had; there is no file then, or the one that was there before.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     fetch("ftp://example.org/a.txt", f"{folder}/a.txt")
        Traceback (most recent call last):
        nanochat.hub.DownloadError: 'ftp://example.org/a.txt' is no address to fetch from: use http:// or https://
    """
    return _fetch(Download(url, Path(destination), sha256, size), progress, tries, pause, timeout, threading.Event())


def fetch_hub(dataset: str, path: str, revision: str = "main", **settings: Any) -> Path:
    """Return a file of a data set, fetched if it is not here yet, with a bar that shows how far it is.

    Args:
        dataset: Owner and name, such as ``openai/gsm8k``.
        path: The file inside of the data set.
        revision: A branch, a tag or a commit.
        settings: Further arguments of :func:`fetch`.

    Returns:
        The file, under :func:`hub_path`.

    Raises:
        DownloadError: If the file could not be had.
    """
    wanted = Download.of(dataset, path, revision)
    if wanted.is_complete:
        return wanted.destination
    with _Bar(f"{dataset}/{path}") as bar:
        return fetch(wanted.url, wanted.destination, progress=bar.show, **settings)


def fetch_all(
    downloads: Sequence[Download],
    workers: int = 4,
    tries: int = TRIES,
    pause: float | None = None,
    timeout: float = TIMEOUT,
    title: str = "download",
) -> dict[Path, str]:
    """Fetch several files at the same time, and go on with the others when one fails.

    Args:
        downloads: What shall be here; complete files are skipped.
        workers: How many files are fetched at once.
        tries: See :func:`fetch`.
        pause: See :func:`fetch`.
        timeout: See :func:`fetch`.
        title: What stands before the bar.

    Returns:
        What failed: for each missing destination the reason. Empty when all files are here.
    """
    failed: dict[Path, str] = {}
    stop = threading.Event()
    todo = [each for each in downloads if not each.is_complete]
    with _Bar(title, len(todo)) as bar, ThreadPoolExecutor(max(1, workers), "download") as pool:

        def one(wanted: Download) -> None:
            try:
                _fetch(
                    wanted, lambda done, total: bar.show(done, total, wanted.destination), tries, pause, timeout, stop
                )
                bar.finish()
            except _Stopped:
                pass
            except (InputError, OSError) as error:
                failed[wanted.destination] = str(error)

        running = [pool.submit(one, each) for each in todo]
        try:
            for each in running:
                each.result()
        except BaseException:  # Ctrl-C above all: the threads must not go on behind our back
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return {each.destination: failed[each.destination] for each in todo if each.destination in failed}


class _Bar:
    """A bar for the bytes of one file or of several; drawn only where someone looks at a terminal."""

    def __init__(self, title: str, files: int = 1) -> None:
        self.bar = tqdm(desc=title, unit="B", unit_scale=True, unit_divisor=1024, disable=None, total=0)
        self.files, self.finished = files, 0
        self.known: dict[object, tuple[int, int]] = {}
        self.lock = threading.Lock()

    def show(self, done: int, total: int | None, file: object = None) -> None:
        with self.lock:
            self.known[file] = done, max(done, total or 0)
            self.bar.total = sum(size for _, size in self.known.values())
            self.bar.update(sum(there for there, _ in self.known.values()) - self.bar.n)

    def finish(self) -> None:
        with self.lock:
            self.finished += 1
            self.bar.set_postfix_str(f"{self.finished} of {self.files} files")

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()


def _fetch(
    wanted: Download, progress: Progress | None, tries: int, pause: float | None, timeout: float, stop: threading.Event
) -> Path:
    """Do the work of :func:`fetch` until ``stop`` is set."""
    destination = wanted.destination
    pause = PAUSE if pause is None else pause
    if urlsplit(wanted.url).scheme not in ("http", "https"):
        raise DownloadError(f"{wanted.url!r} is no address to fetch from: use http:// or https://")
    if tries < 1:
        raise InputError(f"tries={tries} must be at least 1")
    if wanted.is_complete:
        return destination
    if destination.is_dir():
        raise DownloadError(f"{destination} is a folder, and {wanted.url} shall become a file there: move it away")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with _own_name(destination) as (file, part):
            begun = _Begun(file)
            for number in range(1, tries + 1):
                try:
                    _try(wanted, begun, progress, timeout, stop)
                    break
                except _Failed as error:
                    if number == tries:
                        raise DownloadError(
                            f"{wanted.url} could not be fetched: {error} (tried {tries} times): check the network "
                            f"and start again, what is complete is kept"
                        ) from error
                    _log.info("%s: %s, trying again (%d of %d)", wanted.url, error, number, tries - 1)
                    if stop.wait(min(LONGEST_PAUSE, max(pause * 2 ** (number - 1), error.after if pause else 0))):
                        raise _Stopped from error
            file.flush()
            os.fsync(file.fileno())
            os.replace(part, destination)
        push_to_disk(destination.parent)
    except OSError as error:
        raise DownloadError(
            f"{destination} could not be written ({error.strerror or error}): make room there, or choose "
            f"another folder with NANOCHAT_BASE_DIR"
        ) from error
    return destination


@dataclass
class _Begun:
    """What is here already of a file, and what the server said about it."""

    file: IO[bytes]
    done: int = 0
    etag: str | None = None
    digest: Any = field(default_factory=hashlib.sha256)

    def start_over(self) -> None:
        self.file.seek(0)
        self.file.truncate()
        self.done, self.etag, self.digest = 0, None, hashlib.sha256()


def _try(wanted: Download, begun: _Begun, progress: Progress | None, timeout: float, stop: threading.Event) -> None:
    """Read from the server until the file is whole; raise :class:`_Failed` where another try may help."""
    headers = {"User-Agent": f"nanochat/{__version__}", "Accept-Encoding": "identity"}
    if begun.done and begun.etag:
        headers |= {"Range": f"bytes={begun.done}-", "If-Range": begun.etag}
    redirects = _Redirects()
    try:
        opener = urllib.request.build_opener(redirects)
        response = opener.open(urllib.request.Request(wanted.url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            _refused(wanted, begun, error)
    except urllib.error.URLError as error:
        raise _Failed(_reason(error.reason)) from error
    except (OSError, http.client.HTTPException) as error:
        raise _Failed(_reason(error)) from error
    with response:
        stated = {**_stated(response.headers, plain=response.url.startswith(hub_base())), **redirects.stated}
        if response.status != 206 or not (response.headers["Content-Range"] or "").startswith(f"bytes {begun.done}-"):
            if response.status == 206:
                begun.start_over()
                raise _Failed("the server sent another part than the one asked for")
            begun.start_over()
        if response.headers["Content-Encoding"] not in (None, "identity"):
            raise DownloadError(f"{wanted.url}: the server sends the file packed, though it was asked not to")
        etag = response.headers["ETag"] or ""
        begun.etag = etag if etag.startswith('"') else None  # a weak one (W/"...") does not promise the same bytes
        length = response.headers["Content-Length"]
        rest = int(length) if length and length.isdecimal() else None
        sizes = {wanted.size, stated.get("size"), None if rest is None else begun.done + rest} - {None}
        if len(sizes) > 1:
            begun.start_over()
            raise _Failed(f"its size is stated in several ways: {' and '.join(f'{n:,} bytes' for n in sorted(sizes))}")
        total = next(iter(sizes), None)
        sha256 = (wanted.sha256 or stated.get("sha256") or "").lower()
        if total is None and not sha256 and not response.chunked:
            raise DownloadError(f"{wanted.url}: the server does not say how long the file is, so a cut would go unseen")
        _receive(wanted, response, begun, progress, total, stop)
    if total is not None and begun.done != total:
        raise _Failed(f"it broke off after {begun.done:,} of {total:,} bytes")
    if sha256 and begun.digest.hexdigest() != sha256:
        found = begun.digest.hexdigest()
        begun.start_over()
        raise _Failed(f"its SHA-256 is {found[:12]}..., expected {sha256[:12]}...")


def _receive(
    wanted: Download,
    response: http.client.HTTPResponse,
    begun: _Begun,
    progress: Progress | None,
    total: int | None,
    stop: threading.Event,
) -> None:
    """Append the body of an answer to what is here."""
    page = wanted.destination.suffix.lower() in (".html", ".htm")
    if not page and response.headers.get_content_type() == "text/html" and response.headers["Content-Type"]:
        begun.start_over()
        raise _Failed("the server sent a web page in place of the file")
    while True:
        if stop.is_set():
            raise _Stopped
        try:
            chunk = response.read(_CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise _Failed(f"it broke off after {begun.done:,} bytes ({_reason(error)})") from error
        if not chunk:
            return
        if not begun.done and not page and re.match(rb"\s*<(!doctype\s+html|html)\b", chunk[:200], re.IGNORECASE):
            raise _Failed("the server sent a web page in place of the file")
        begun.file.write(chunk)
        begun.digest.update(chunk)
        begun.done += len(chunk)
        if progress is not None:
            progress(begun.done, total)


def _refused(wanted: Download, begun: _Begun, error: urllib.error.HTTPError) -> None:
    """Sort out an answer that is no success."""
    if error.code in _PASSING:
        after = error.headers["Retry-After"] or ""
        raise _Failed(f"the server answered {error.code} {error.reason}", float(after) if after.isdecimal() else 0)
    if error.code == 416:  # what we have is no beginning of what is there now
        begun.start_over()
        raise _Failed("the file changed on the server")
    cure = "it may need an account" if error.code in (401, 403) else "check the address"
    raise DownloadError(f"{wanted.url}: the server answered {error.code} {error.reason}: {cure}") from error


def _reason(error: object) -> str:
    """Put an error of the network into a few words."""
    if isinstance(error, TimeoutError):
        return "the server did not answer in time"
    if isinstance(error, socket.gaierror):
        return "the name of the server is not known here (no network?)"
    return " ".join(str(error).split())[:120] or type(error).__name__


def _stated(headers: Mapping[str, str], plain: bool = False) -> dict[str, Any]:
    """Read what the hub says about a large file: its SHA-256 and its size.

    The address on the hub redirects to a store of files and states both on the way. A ``plain`` ETag is the SHA-256
    too if the hub sends the file by itself; a store may use it for something else.
    """
    etag = (headers.get("X-Linked-ETag") or (plain and headers.get("ETag")) or "").strip('"')
    size = headers.get("X-Linked-Size") or ""
    found: dict[str, Any] = {"size": int(size)} if size.isdecimal() else {}
    return found | ({"sha256": etag} if re.fullmatch("[0-9a-fA-F]{64}", etag) else {})


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, remembers what the hub states on the way, and refuses to leave https for http."""

    def __init__(self) -> None:
        self.stated: dict[str, Any] = {}

    def redirect_request(
        self, request: Any, file: Any, code: int, message: str, headers: Any, new_url: str
    ) -> urllib.request.Request | None:
        self.stated |= _stated(headers)
        if urlsplit(new_url).scheme != "https" and urlsplit(request.full_url).scheme == "https":
            raise DownloadError(f"{request.full_url} leads to {new_url}, which is not encrypted: not followed")
        return super().redirect_request(request, file, code, message, headers, new_url)


@contextmanager
def _own_name(destination: Path) -> Iterator[tuple[IO[bytes], Path]]:
    """Open a new file beside ``destination`` whose name is ours; it is gone afterwards unless it was renamed.

    The system's lock on the file tells others that somebody is at work. A file of such a name that is not locked was
    left by a process that was killed.
    """
    for old in destination.parent.glob(f".{_escaped(destination.name)}.*.part"):
        try:
            with open(old, "rb") as file:
                if _lock(file, wait=False):
                    old.unlink()
        except FileNotFoundError:
            pass
    while True:
        part = destination.with_name(f".{destination.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
        with open(part, "xb") as file:
            _lock(file, wait=True)
            if not part.exists():  # taken for a leftover in the moment before it was locked
                continue
            try:
                yield file, part
            finally:
                part.unlink(missing_ok=True)
            return


def _escaped(name: str) -> str:
    """Let the characters of a name that mean something in a glob stand for themselves."""
    return re.sub(r"([*?[])", r"[\1]", name)


def _lock(file: IO[bytes], wait: bool) -> bool:
    """Lock an open file for this process; False if another one holds it, or if the system has no such locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


# --- Reading -----------------------------------------------------------------------------------------------------


def read_rows(path: Path | str, columns: Mapping[str, type] | None = None) -> Iterator[dict[str, Any]]:
    """Go through the rows of a parquet or JSON-lines file, one piece of the file in memory at a time.

    Args:
        path: A file ``.parquet``, or ``.jsonl`` with one JSON object a line.
        columns: Names and types of the columns that are needed: str, int, float, bool, list or dict. Other columns
            are left out. None gives all columns, unchecked.

    Yields:
        One dictionary a row.

    Raises:
        InputError: If the file or a needed value cannot be used; file, row (from 1) and column are named.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = Path(folder.name, "questions.jsonl")
        >>> _ = path.write_text('{"question": "1+1?", "answer": 2}')
        >>> list(read_rows(path, {"answer": int}))
        [{'answer': 2}]
        >>> folder.cleanup()
    """
    path = Path(path)
    readers = {".parquet": _parquet_rows, ".jsonl": _jsonl_rows}
    if path.suffix not in readers:
        raise InputError(f"{path} is neither .parquet nor .jsonl: convert it to one of them")
    if not path.is_file():
        raise InputError(f"{path} does not exist: fetch it with python -m scripts.download")
    for number, row in enumerate(readers[path.suffix](path, columns), 1):
        yield row if columns is None else {name: _value(path, number, row, name, columns[name]) for name in columns}


def _value(path: Path, number: int, row: Mapping[str, Any], name: str, kind: type) -> Any:
    """Return a needed value of a row, or say where it is missing."""
    value = row.get(name)
    right = isinstance(value, (int, float) if kind is float else kind) and (kind is bool or not isinstance(value, bool))
    if not right:
        found = "is missing" if value is None else f"is {type(value).__name__}, not {kind.__name__}"
        raise InputError(
            f"{path}, row {number}, column {name!r} {found}: correct the row, or delete the file and fetch it again"
        )
    return value


def _jsonl_rows(path: Path, columns: Mapping[str, type] | None) -> Iterator[dict[str, Any]]:
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line)
            except ValueError as error:  # wrong JSON, or bytes that are no UTF-8
                raise InputError(
                    f"{path}, row {number} is not JSON ({error}): delete the file and fetch it again"
                ) from error
            if not isinstance(row, dict):
                raise InputError(f"{path}, row {number} is {type(row).__name__}: each line must be a JSON object")
            yield row


def _parquet_rows(path: Path, columns: Mapping[str, type] | None) -> Iterator[dict[str, Any]]:
    with open_parquet(path, list(columns or ())) as table:
        for batch in table.iter_batches(batch_size=1024, columns=None if columns is None else list(columns)):
            yield from batch.to_pylist()


@contextmanager
def open_parquet(path: Path | str, columns: Sequence[str] = ()) -> Iterator[Any]:
    """Open a parquet file; what is wrong with it, then or while it is read, is said with its name.

    Args:
        path: The file.
        columns: Columns that it must have.

    Yields:
        A ``pyarrow.parquet.ParquetFile``.

    Raises:
        InputError: If pyarrow is not installed, the file is no whole parquet file, a column is missing, or a part of
            it turns out to be damaged.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise InputError(f"{path} needs pyarrow to be read: pip install 'nanochat[data]'")
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(
            f"{path} is not a whole parquet file ({_first_line(error)}): delete it and download it again"
        ) from error
    with table:
        names = table.schema_arrow.names
        for column in columns:
            if column not in names:
                raise InputError(
                    f"{path} has no column {column!r} (it has: {', '.join(names)}): rename the one you mean"
                )
        try:
            yield table
        except (pyarrow.ArrowException, OSError) as error:
            where = f", column {', '.join(map(repr, columns))}," if columns else ""
            raise InputError(
                f"{path}{where} is damaged ({_first_line(error)}): delete it and download it again"
            ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
