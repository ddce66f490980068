"""Downloads against a real server on loopback that fails in every way that we know of."""

import hashlib
import json
import os
import random
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanochat import hub as hub_module
from nanochat.common import InputError, base_dir
from nanochat.hub import (
    Download,
    DownloadError,
    fetch,
    fetch_all,
    fetch_hub,
    hub_path,
    hub_url,
    read_rows,
)  # fmt: skip
from tests.hub_server import Hub

DATA = random.Random(0).randbytes(300_000)
SHA256 = hashlib.sha256(DATA).hexdigest()
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def hub(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub with one file, named with a slash too many."""
    monkeypatch.setenv("NANOCHAT_HUB", hub.url + "/")
    hub.files["/a.bin"] = DATA
    return hub


def get(hub: Hub, target: Path, **settings: object) -> Path:
    return fetch(hub.url + "/a.bin", target, **{"pause": 0.0, "timeout": 5.0, **settings})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_file_comes_whole_and_once(hub: Hub, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    target = get(hub, tmp_path / "deep" / "a.bin", progress=lambda done, total: seen.append((done, total)))
    assert target.read_bytes() == DATA and names(tmp_path) == ["a.bin"]
    assert seen[-1] == (len(DATA), len(DATA)) and seen == sorted(seen) and len(seen) > 2
    get(hub, target)
    assert len(hub.requests) == 1, "a complete file is not fetched again"


def test_a_file_gets_the_usual_permissions(hub: Hub, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        assert stat.S_IMODE(get(hub, tmp_path / "a.bin").stat().st_mode) == 0o644
    finally:
        os.umask(before)


@pytest.mark.parametrize(
    "faults",
    [[503], [500, 502, 504, 429], ["cut"], ["chunked-cut"], ["html"], ["html-as-data"], ["garbage"], ["reset"],
     ["cut", 503, "cut", "reset"], ["cut", "other-part"], ["cut", "garbage", "cut"]],
)  # fmt: skip
def test_row_13_what_may_pass_is_tried_again(hub: Hub, tmp_path: Path, faults: list) -> None:
    """Row 13: a cut body, 5xx, html with status 200 and wrong bytes are tried again; the file is right in the end."""
    hub.faults["/a.bin"] = list(faults)
    assert get(hub, tmp_path / "a.bin").read_bytes() == DATA
    assert len(hub.requests) == len(faults) + 1 and names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (500, "answered 500"),
        (503, "answered 503"),
        ("cut", "broke off after"),
        ("chunked-cut", "broke off after"),
        ("html", "a web page in place of the file"),
        ("html-as-data", "a web page in place of the file"),
        ("garbage", "SHA-256 is .*, expected " + SHA256[:12]),
        ("reset", "closed connection without response"),
    ],
)
def test_row_13_what_stays_wrong_leaves_no_file(hub: Hub, tmp_path: Path, fault: int | str, reason: str) -> None:
    """Row 13: after five tries the reason is said, and there is no file, whole or part."""
    hub.etag = False  # so that each try begins anew
    hub.faults["/a.bin"] = [fault] * 9
    with pytest.raises(DownloadError, match=f"{hub.url}/a.bin could not be fetched: .*{reason}.*tried 5 times"):
        get(hub, tmp_path / "a.bin")
    assert len(hub.requests) == 5 and names(tmp_path) == []


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410])
def test_row_13_a_refusal_is_not_tried_again(hub: Hub, tmp_path: Path, code: int) -> None:
    """Row 13: 404 and its like are final."""
    hub.faults["/a.bin"] = [code]
    with pytest.raises(DownloadError, match=f"answered {code}"):
        get(hub, tmp_path / "a.bin")
    assert len(hub.requests) == 1 and names(tmp_path) == []
    with pytest.raises(DownloadError, match="nothing.bin: the server answered 404 Not Found: check the address"):
        fetch(hub.url + "/nothing.bin", tmp_path / "x")


def test_row_13_a_checksum_of_ours_is_checked(hub: Hub, tmp_path: Path) -> None:
    """Row 13: the SHA-256 and the size that the caller knows."""
    hub.states_sha256 = False
    assert get(hub, tmp_path / "a.bin", sha256=SHA256.upper(), size=len(DATA)).is_file()
    with pytest.raises(DownloadError, match=f"SHA-256 is {SHA256[:12]}..., expected 000000000000"):
        get(hub, tmp_path / "b.bin", sha256="0" * 64, tries=2)
    with pytest.raises(DownloadError, match="300,000 bytes and 300,001 bytes"):
        get(hub, tmp_path / "b.bin", size=300_001, tries=2)
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("redirects", [False, True])
def test_row_13_the_checksum_of_the_hub_is_checked(hub: Hub, tmp_path: Path, redirects: bool) -> None:
    """Row 13: X-Linked-ETag counts, also when it stands on a redirect to the store of files."""
    hub.redirects = redirects
    hub.faults["/a.bin"] = ["garbage"]
    assert get(hub, tmp_path / "a.bin").read_bytes() == DATA
    hub.faults["/a.bin"] = ["garbage"] * 2
    with pytest.raises(DownloadError, match="SHA-256"):
        get(hub, tmp_path / "b.bin", tries=2)


def test_a_damaged_file_is_replaced_only_by_a_whole_one(hub: Hub, tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(b"what was there")
    hub.faults["/a.bin"] = [503, 503]
    with pytest.raises(DownloadError):
        get(hub, target, sha256=SHA256, tries=2)
    assert target.read_bytes() == b"what was there"
    assert get(hub, target, sha256=SHA256).read_bytes() == DATA


def test_a_broken_download_goes_on_where_it_stopped(hub: Hub, tmp_path: Path) -> None:
    hub.faults["/a.bin"] = ["cut", "cut", "chunked-cut"]
    get(hub, tmp_path / "a.bin")
    assert [asked for _, asked in hub.requests][:3] == [None, "bytes=150000-", "bytes=225000-"]
    hub.requests.clear()
    hub.faults["/a.bin"] = ["cut"]
    hub.etag = False
    get(hub, tmp_path / "b.bin")
    assert [asked for _, asked in hub.requests] == [None, None], "without an ETag nobody knows if the file is the same"


def test_a_file_that_changes_between_two_tries_is_not_mixed(hub: Hub, tmp_path: Path) -> None:
    hub.faults["/a.bin"] = ["cut"]
    other = DATA[::-1]

    def change(done: int, total: int | None) -> None:
        if done >= 140_000:
            hub.files["/a.bin"] = other

    assert get(hub, tmp_path / "a.bin", progress=change).read_bytes() == other


def test_a_length_that_nobody_states_is_refused(hub: Hub, tmp_path: Path) -> None:
    hub.states_sha256 = False
    hub.faults["/a.bin"] = ["no-length", "no-length"]
    with pytest.raises(DownloadError, match="does not say how long the file is"):
        get(hub, tmp_path / "a.bin")
    assert get(hub, tmp_path / "a.bin", sha256=SHA256).read_bytes() == DATA


def test_a_file_that_comes_packed_is_refused(hub: Hub, tmp_path: Path) -> None:
    hub.states_sha256 = False
    hub.faults["/a.bin"] = ["packed"]
    with pytest.raises(DownloadError, match="packed, though it was asked not to"):
        get(hub, tmp_path / "a.bin")
    assert names(tmp_path) == []


def test_a_silent_server_and_no_server_are_given_up(hub: Hub, tmp_path: Path) -> None:
    hub.faults["/a.bin"] = ["hang"]
    with pytest.raises(DownloadError, match="did not answer in time .tried 1 times"):
        get(hub, tmp_path / "a.bin", timeout=0.2, tries=1)
    with pytest.raises(DownloadError, match="refused"):
        fetch("http://127.0.0.1:1/a.bin", tmp_path / "a.bin", tries=2, pause=0)
    assert names(tmp_path) == []


def test_pauses_grow_and_the_server_may_ask_for_longer_ones(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    wait = threading.Event.wait

    def note(event: threading.Event, seconds: float | None = None) -> bool:
        if seconds is None or seconds < 1:  # threads that start, and the server
            return wait(event, seconds)
        pauses.append(seconds)
        return False

    monkeypatch.setattr(threading.Event, "wait", note)
    hub.faults["/a.bin"] = ["reset"] * 4
    get(hub, tmp_path / "a.bin", pause=1.5)
    assert pauses == [1.5, 3.0, 6.0, 12.0]
    pauses.clear()
    hub.faults["/a.bin"] = [503]
    get(hub, tmp_path / "b.bin", pause=1.0)
    assert pauses == [7.0]


def start(code: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True)


def test_row_14_two_downloaders_at_once(hub: Hub, tmp_path: Path) -> None:
    """Row 14: both end with the complete file, and no other name is left."""
    target = tmp_path / "odd [1]*?.bin"
    hub.slow, hub.together = 0.005, threading.Barrier(2)
    both = [start(f"from nanochat.hub import fetch; fetch({hub.url + '/a.bin'!r}, {str(target)!r})") for _ in range(2)]
    errors = [process.communicate(timeout=150)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    assert len(hub.requests) == 2, "they worked at the same time"
    assert names(tmp_path) == [target.name] and target.read_bytes() == DATA


def test_what_a_killed_download_left_is_removed(hub: Hub, tmp_path: Path) -> None:
    hub.slow = 0.05
    code = f"from nanochat.hub import fetch; fetch({hub.url + '/a.bin'!r}, {str(tmp_path / 'a.bin')!r})"
    process = start(code)
    while not (left := list(tmp_path.glob(".a.bin.*.part"))) or not left[0].stat().st_size:
        time.sleep(0.01)
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(names(tmp_path)) == 1
    hub.slow = 0
    get(hub, tmp_path / "a.bin")
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.slow
def test_a_full_disk_is_said_and_leaves_nothing(hub: Hub, tmp_path: Path) -> None:
    code = f"""
import resource, signal
from nanochat.hub import fetch, DownloadError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    fetch({hub.url + "/a.bin"!r}, {str(tmp_path / "a.bin")!r})
except DownloadError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "a.bin could not be written (File too large)" in done.stdout, done.stderr
    assert len(hub.requests) == 1 and names(tmp_path) == []


def test_addresses_and_places_without_meaning_are_refused(hub: Hub, tmp_path: Path) -> None:
    for wrong in ("file:///etc/hostname", "ftp://x/y", "a.bin", ""):
        with pytest.raises(DownloadError, match="use http:// or https://"):
            fetch(wrong, tmp_path / "a.bin")
    with pytest.raises(DownloadError, match="is a folder"):
        fetch(hub.url + "/a.bin", tmp_path)
    with pytest.raises(InputError, match="tries=0"):
        get(hub, tmp_path / "a.bin", tries=0)
    (tmp_path / "file").write_text("x")
    with pytest.raises(DownloadError, match="could not be written"):
        get(hub, tmp_path / "file" / "a.bin")


def test_from_https_nobody_is_led_to_http() -> None:
    request = hub_module.urllib.request.Request("https://example.org/a")
    with pytest.raises(DownloadError, match="not encrypted"):
        hub_module._Redirects().redirect_request(request, None, 302, "Found", {}, "http://example.org/a")


def test_several_files_at_once_and_one_that_fails(hub: Hub, tmp_path: Path) -> None:
    wanted = []
    for number in range(7):
        hub.add("some/data", f"part {number}.bin", DATA[number:])
        wanted.append(Download.of("some/data", f"part {number}.bin"))
    hub.faults["/datasets/some/data/resolve/main/part 3.bin"] = [500] * 9
    del hub.files["/datasets/some/data/resolve/main/part 5.bin"]
    failed = fetch_all(wanted, workers=3, pause=0)
    assert list(failed) == [wanted[3].destination, wanted[5].destination]
    assert "answered 500" in failed[wanted[3].destination] and "404" in failed[wanted[5].destination]
    assert names(hub_path("some/data")) == [f"part {number}.bin" for number in (0, 1, 2, 4, 6)]
    assert all(each.destination.read_bytes() == DATA[i:] for i, each in enumerate(wanted) if i not in (3, 5))
    hub.add("some/data", "part 5.bin", DATA[5:])
    hub.requests.clear()
    hub.faults.clear()
    assert fetch_all(wanted, workers=3, pause=0) == {}
    assert len(hub.requests) == 2, "only what was missing"


@pytest.mark.slow
def test_ctrl_c_stops_all_workers(hub: Hub, tmp_path: Path) -> None:
    hub.slow = 0.03
    for number in range(6):
        hub.add("some/data", f"{number}.bin", DATA)
    code = """
from nanochat.hub import Download, fetch_all
fetch_all([Download.of("some/data", f"{n}.bin") for n in range(6)], workers=2)
"""
    process = start(code)
    while len(hub.requests) < 2:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=100)
    assert process.returncode != 0 and "KeyboardInterrupt" in error
    assert names(tmp_path) == [] and len(hub.requests) == 2


def test_a_bar_is_shown(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    hub.add("some/data", "a.bin", DATA)
    hub.faults["/datasets/some/data/resolve/main/a.bin"] = ["cut", "garbage"]
    real = hub_module.tqdm
    monkeypatch.setattr(hub_module, "tqdm", lambda **settings: real(**{**settings, "disable": False, "mininterval": 0}))
    assert fetch_all([Download.of("some/data", "a.bin")], pause=0) == {}
    shown = capsys.readouterr().err
    assert "100%" in shown and "293k/293k" in shown and "1 of 1 files" in shown


def test_a_file_of_a_data_set_is_kept_in_its_place(hub: Hub, tmp_path: Path) -> None:
    hub.add("openai/gsm8k", "main/test.parquet", DATA)
    found = fetch_hub("openai/gsm8k", "main/test.parquet", pause=0)
    assert found == tmp_path / "base" / "hub" / "openai" / "gsm8k" / "main" / "test.parquet"
    assert fetch_hub("openai/gsm8k", "main/test.parquet") == found and len(hub.requests) == 1
    assert hub_url("a/b", "c d.txt", "refs/x") == f"{hub.url}/datasets/a/b/resolve/refs%2Fx/c%20d.txt"
    for dataset, path in (("../x", "a"), ("a/..", "a"), ("a", "b"), ("a/b/c", "d"), ("a/b", "../c"), ("a/b", "/c"),
                          ("a/b", ""), ("a/b", "c\\..\\d")):  # fmt: skip
        with pytest.raises(InputError):
            hub_url(dataset, path)


names_of_the_hub = st.text(alphabet="ab._-/\\\0~ é", max_size=12)


@given(names_of_the_hub, names_of_the_hub)
def test_no_name_leads_out_of_the_folder(dataset: str, path: str) -> None:
    try:
        found = hub_path(dataset, path or "x")
    except InputError:
        return
    folder = (base_dir() / "hub").resolve()
    assert folder in Path(os.path.normpath(found)).parents and len(found.relative_to(base_dir()).parts) >= 3


# --- reading -----------------------------------------------------------------------------------------------------

ROWS = [{"question": f"{i}+1?", "answer": i + 1, "choices": ["a", "b"], "extra": None} for i in range(2500)]
KINDS = {"question": str, "answer": int, "choices": list}


def write_rows(path: Path, rows: list[dict]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        pyarrow = pytest.importorskip("pyarrow", reason="parquet files need pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=100)
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_rows_come_back_as_they_were_written(tmp_path: Path, suffix: str) -> None:
    path = write_rows(tmp_path / f"rows{suffix}", ROWS)
    assert list(read_rows(path)) == ROWS
    assert list(read_rows(path, KINDS)) == [{name: row[name] for name in KINDS} for row in ROWS]
    assert list(read_rows(path, {"answer": float}))[1] == {"answer": 2}


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_row_12_missing_and_wrong_values_are_named(tmp_path: Path, suffix: str) -> None:
    """Row 12: a value that is missing or of another type is named by file, row and column."""
    path = write_rows(tmp_path / f"rows{suffix}", [{"question": "a", "answer": 1}, {"question": None, "answer": 2}])
    with pytest.raises(InputError, match=rf"rows{suffix}, row 2, column 'question' is missing"):
        list(read_rows(path, {"question": str}))
    with pytest.raises(InputError, match=rf"rows{suffix}, row 1, column 'answer' is int, not str"):
        list(read_rows(path, {"answer": str}))
    with pytest.raises(InputError, match=rf"rows{suffix}.* column 'choices'"):
        list(read_rows(path, {"choices": list}))


def test_row_12_damaged_files_are_named(tmp_path: Path) -> None:
    """Row 12: html, cut and wrong files."""
    path = tmp_path / "rows.jsonl"
    for content, message in (
        (b'{"a": 1}\n{"a": ', "row 2 is not JSON"),
        (b"<html></html>", "row 1 is not JSON"),
        (b'{"a": "\xff"}\n', "row 1 is not JSON"),
        (b"[1, 2]\n", "row 1 is list: each line must be a JSON object"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=f"rows.jsonl, {message}"):
            list(read_rows(path, {"a": int}))
    whole = write_rows(tmp_path / "rows.parquet", ROWS).read_bytes()
    for content in (b"", b"<html></html>", whole[: len(whole) // 2]):
        (tmp_path / "cut.parquet").write_bytes(content)
        with pytest.raises(InputError, match="cut.parquet is not a whole parquet file"):
            list(read_rows(tmp_path / "cut.parquet"))
    with pytest.raises(InputError, match="neither .parquet nor .jsonl"):
        list(read_rows(tmp_path / "rows.csv"))
    with pytest.raises(InputError, match="none.jsonl does not exist: fetch it"):
        list(read_rows(tmp_path / "none.jsonl"))


def test_a_true_is_no_number(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [{"answer": True}])
    with pytest.raises(InputError, match="is bool, not int"):
        list(read_rows(path, {"answer": int}))
    assert list(read_rows(path, {"answer": bool})) == [{"answer": True}]
