"""What a record of the gallery says of itself."""

from __future__ import annotations

import inspect
import re

from nanochat import accounting, bpe, optim, records
from nanochat.records import circumstances, code_hash, record_path


def test_the_hash_is_one_of_the_code():
    assert re.fullmatch(r"[0-9a-f]{64}", code_hash([bpe, optim]))
    assert code_hash([bpe, optim]) == code_hash([bpe, optim]) != code_hash([bpe])


def test_the_hash_sees_code_and_no_comments(monkeypatch):
    real, before = inspect.getsource, code_hash([bpe])
    monkeypatch.setattr(inspect, "getsource", lambda module: real(module) + "\n# a comment\n'a docstring'\n")
    commented = code_hash([bpe])
    monkeypatch.setattr(inspect, "getsource", lambda module: real(module) + "\n# another\n'other words'\n")
    assert code_hash([bpe]) == commented
    monkeypatch.setattr(inspect, "getsource", lambda module: real(module) + "\nx = 1\n")
    assert code_hash([bpe]) not in (before, commented)


def test_circumstances_name_the_command_the_day_the_code_and_the_machine():
    kept = circumstances("python examples/some.py --full", [accounting])
    assert kept["command"] == "python examples/some.py --full"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", kept["date"])
    assert kept["code"] == code_hash([accounting])
    assert re.search(r", \d+ of \d+ threads$", kept["hardware"])
    assert re.match(r"Python 3\.\d+\.\d+.*, torch \d", kept["software"])


def test_records_lie_with_the_pages_or_where_one_is(monkeypatch, tmp_path):
    assert record_path("wiki-same-budget.json").is_file()
    monkeypatch.setattr(records, "__file__", str(tmp_path / "site-packages" / "nanochat" / "records.py"))
    monkeypatch.chdir(tmp_path)
    assert record_path("new.json") == tmp_path / "new.json"
