"""Conversations of one's own as a task."""

import json
from pathlib import Path

import pytest

from nanochat.common import InputError
from nanochat.conversation import Message
from nanochat.tasks import load_task


def write(path: Path, rows: list[object]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def chat(ask: str, answer: object, *before: dict[str, str]) -> dict[str, list[dict[str, object]]]:
    return {
        "messages": [*before, {"role": "user", "content": ask}, {"role": "assistant", "content": answer}],
    }


def test_a_file_is_a_task_like_any_other(tmp_path: Path) -> None:
    rows = [chat(f"What is number {i}?", f"It is the house of family {i}, é.") for i in range(200)]
    rows[0] = chat("Sum?", [{"type": "python", "text": "1+1"}, {"type": "python_output", "text": "2"}])
    rows[1] = chat("Hi", "Hello!", {"role": "system", "content": "Be kind."})
    path = write(tmp_path / "village.jsonl", rows)
    learnt, asked = load_task(path), load_task(path, "test")
    assert len(learnt) + len(asked) == 200 and 2 < len(asked) < 50
    texts = [{task[i].messages[0].text for i in range(len(task))} for task in (learnt, asked)]
    assert texts[0].isdisjoint(texts[1]), "what is asked was not learned"
    assert "Be kind.\n\nHi" in texts[0] | texts[1]
    assert (learnt.name, learnt.title) == ("village", "conversations of village.jsonl")
    assert learnt.reward(0, learnt[0].messages[-1]) == 1.0
    assert learnt.reward(0, Message.assistant("nothing of this kind")) == 0.0
    assert len(load_task(path, limit=3)) == 3
    mixed = load_task(f"{path}+arithmetic-sums", limit=5)
    assert len(mixed) == 10 and "village" in mixed.name


def test_a_single_conversation_is_learned_and_asked(tmp_path: Path) -> None:
    path = write(tmp_path / "one.jsonl", [chat("Who are you?", "I am Pip.")])
    assert [len(load_task(path, split)) for split in ("train", "test")] == [1, 1]


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ([], "no questions"),
        ([{"text": "a"}], "messages"),
        ([chat("a", "b"), {"messages": [{"role": "user", "content": "a"}]}], "row 2"),
        ([{"messages": [{"role": "assistant", "content": "a"}]}], "row 1"),
        ([{"messages": [{"role": "robot", "content": "a"}]}], "robot"),
    ],
)
def test_rows_that_are_no_conversation_are_named(tmp_path: Path, rows: list[object], named: str) -> None:
    with pytest.raises(InputError, match=named):
        load_task(write(tmp_path / "mine.jsonl", rows))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.jsonl does not exist"):
        load_task(str(tmp_path / "nothing.jsonl"))
