"""The how-to pages: what they tell people to paste is pasted, into a copy of the project, with smaller sizes.

A page holds fenced blocks. A block with a caption is a file. A bash block is run, unless its class says otherwise:

- ``fails``: it must end with an error.
- ``interrupted``: Ctrl-C is pressed after the first steps.
- ``server``: it is started, and stopped at the end of the page.
- ``parsed``: it needs what a test has not; its flags are read by the stage, and nothing runs.
- ``elsewhere``: it is a command of another project, and nothing runs.

A block of the class ``output`` must have been printed.
"""

import ast
import importlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from nanochat.report import read_metrics
from nanochat.stages.flags import parse_flags

ROOT = Path(__file__).resolve().parents[1]
HOWTO = ROOT / "docs" / "howto"
PAGES = sorted(path.stem for path in HOWTO.glob("*.md") if path.stem != "index")
NOT_RUN = ("parsed", "elsewhere")

TEXTS = "my-texts"
SMALL: dict[str, dict[str, object]] = {
    "tok_train": {"data": TEXTS, "vocab-size": 300},
    "base_train": {
        "depth": 1, "width": 32, "sequence-len": 128, "num-iterations": 4, "device-batch-size": 2, "eval-tokens": 300,
        "dtype": "float32", "data": TEXTS,
    },
    "base_eval": {"data": TEXTS, "max-documents": 3, "num-samples": 1, "max-tokens": 8},
    "mid_train": {"num-iterations": 2, "device-batch-size": 2, "data": TEXTS, "dtype": "float32"},
    "chat_sft": {"num-iterations": 2, "device-batch-size": 2, "dtype": "float32"},
    "chat_rl": {"num-iterations": 1, "questions": 2, "samples": 2, "eval-questions": 2, "max-tokens": 8},
    "chat_eval": {"limit": 2, "max-tokens": 8},
    "chat_cli": {"max-tokens": 8},
    "export_hf": {"data": TEXTS, "max-documents": 2},
}  # fmt: skip
"""The flags of each stage that replace those of the page."""
TASKS = {"mid_train": "arithmetic,letters", "chat_sft": "arithmetic,smalltalk", "chat_eval": "arithmetic,letters"}
"""What is learned and asked where the page leaves it to the stage."""
SMALL_ON_PAGE = {"resume": {"base_train": {"num-iterations": 400}}}
"""A run that is to be interrupted must not be over before."""

EXPECTED = {
    "train-your-own": ["what the model writes", r"arithmetic +2 ", r"^Reinforcement learning +1 ", r"300 tokens"],
    "resume": [r"resuming +at step", r"step +400 "],
    "fine-tune-on-your-conversations": [r"conversations of my-chats.jsonl", r"^my-chats +\d"],
    "on-a-gpu-node": ["2 processes"],
    "export-and-serve": ['"object":"chat.completion"', r"<\|assistant_start\|>"],
    "add-a-task": [r"Write (\w+) backwards\. \| \w+ \| 1\.0 0\.0", r"^backwards +2 "],
    "add-a-special-token": ["comes back: True"],
    "change-the-activation": [r"mlp-squares", r"Report card|Base training +4"],
    "try-another-attention": [r"positions seen: 1 11 32 32"],
    "try-another-optimizer": [r"Base training +4"],
}
"""What must be printed somewhere while a page is followed."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    caption: str
    kind: str
    body: str


def blocks(page: str) -> list[Block]:
    found = []
    text = (HOWTO / f"{page}.md").read_text(encoding="utf-8")
    for head, body in re.findall(r"^```([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        options = dict(re.findall(r"^:(\w+): (.*)\n", body, re.MULTILINE)) if head.startswith("{code-block}") else {}
        if options:
            body = body.split("\n\n", 1)[1]
        language = head.removeprefix("{code-block}").strip()
        found.append(Block(language, options.get("caption", ""), options.get("class", ""), body))
    return found


def commands(block: Block) -> list[list[str]]:
    """The words of each command of a bash block that starts a stage."""
    lines = block.body.replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if " -m scripts." in line]


def stage_of(words: list[str]) -> tuple[int, str]:
    """The place of the stage's name among the words of a command, and the name."""
    place = next(i for i, word in enumerate(words) if word.startswith("scripts."))
    return place, words[place].removeprefix("scripts.")


def shrunk(words: list[str], page: str) -> list[str]:
    """The same command with small sizes."""
    place, stage = stage_of(words)
    place += words[place + 1 :][:1] == ["--"]  # torchrun's own flags end here
    given: dict[str, str | None] = {}
    flags = iter(words[place + 1 :])
    for word in flags:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            given[name] = value if equals else None
        else:
            given[word] = next(flags)
    if stage == "base_train" and "run" not in given:
        given["run"] = f"d{given.get('depth', 4)}"
    if tasks := given.get("tasks") or TASKS.get(stage):
        few = [f"{name.split(':')[0]}:20" for name in tasks.split(",")]
        given["tasks"] = ",".join(few if stage in ("mid_train", "chat_sft") else [each.split(":")[0] for each in few])
    given.update(SMALL.get(stage, {}) | SMALL_ON_PAGE.get(page, {}).get(stage, {}))
    if stage == "chat_sft":
        given.pop("epochs", None)
    made = []
    for name, value in given.items():
        if not name.startswith("-"):
            made.append(f"--{name}" if value is None else f"--{name}={value}")
        else:
            made += [name, value]
    return [*words[: place + 1], *made]


# Without running anything -----------------------------------------------------------------------------------------


def test_every_page_is_listed_and_complete() -> None:
    listed = re.search(r"```{toctree}.*?\n\n(.*?)```", (HOWTO / "index.md").read_text(), re.DOTALL)[1].split()
    assert sorted(listed) == PAGES == sorted(EXPECTED)
    for page in PAGES:
        text = (HOWTO / f"{page}.md").read_text(encoding="utf-8")
        for part in ("\n**You get** ", "\n## You should see\n", "\n## What can go wrong\n"):
            assert text.count(part) == 1, (page, part)
        assert re.findall("^# ", re.sub("```.*?```", "", text, flags=re.DOTALL), re.MULTILINE) == ["# "]


@pytest.mark.parametrize("page", PAGES)
def test_every_stage_knows_the_flags_as_they_are_typed(page: str) -> None:
    """Also those that no test can run, such as the ones for eight GPUs."""
    for block in blocks(page):
        for words in commands(block) if block.language == "bash" else ():
            place, stage = stage_of(words)
            assert ("torchrun" in words) == (words[place + 1 :][:1] == ["--"]), "torchrun would take --run as its own"
            place += "torchrun" in words
            module = importlib.import_module(f"nanochat.stages.{stage}")
            assert parse_flags(module.Settings, words[place + 1 :], stage)
            assert (ROOT / "scripts" / f"{stage}.py").exists()


@pytest.mark.parametrize("page", PAGES)
def test_pages_say_what_no_test_runs(page: str) -> None:
    kinds = {block.kind for block in blocks(page) if block.language == "bash"}
    assert kinds <= {"", "fails", "interrupted", "server", *NOT_RUN}
    text = " ".join((HOWTO / f"{page}.md").read_text(encoding="utf-8").split())
    assert ("parsed" in kinds) == ("tests check that each stage knows their flags, and run nothing" in text)
    assert ("elsewhere" in kinds) == ("tests do not run this one" in text)


@pytest.mark.parametrize("page", PAGES)
def test_quoted_messages_are_those_of_the_code(page: str) -> None:
    """A message in quotes, with … for what varies, stands in the source."""
    said = "\n".join(
        "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        if isinstance(node, ast.JoinedStr)
        else str(node.value)
        for path in sorted((ROOT / "nanochat").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.JoinedStr | ast.Constant)
    )
    for message in re.findall(r'^"([^"]+)"$', (HOWTO / f"{page}.md").read_text(encoding="utf-8"), re.MULTILINE):
        pattern = "[^\n]*".join(re.escape(part.strip()) for part in message.split("…"))
        assert re.search(pattern, said), f"no message of the code holds {message!r}"


@pytest.mark.parametrize("page", [page for page in PAGES if any(b.language == "diff" for b in blocks(page))])
def test_patches_apply_to_the_code_as_it_is(page: str, tmp_path: Path) -> None:
    copy = Copy(tmp_path / "copy")
    copy.write_files(blocks(page))
    copy.run("git apply --check change.patch && git apply change.patch && git apply --reverse change.patch")
    for name in re.findall(r"^\+\+\+ b/(.*)$", (copy.root / "change.patch").read_text(), re.MULTILINE):
        assert (copy.root / name).read_bytes() == (ROOT / name).read_bytes()


# Following a page -------------------------------------------------------------------------------------------------


class Copy:
    """A copy of the project in which a page is followed."""

    def __init__(self, root: Path) -> None:
        self.root, self.printed = root, ""
        leave = shutil.ignore_patterns("__pycache__", "_build", "gallery", "verification")
        for name in ("nanochat", "scripts", "docs", "examples"):
            shutil.copytree(ROOT / name, root / name, ignore=leave)
        shutil.copy(ROOT / "conf.py", root)
        (root / TEXTS).mkdir()
        for i in range(40):
            (root / TEXTS / f"{i:02}.txt").write_text(
                f"Number {i} comes before number {i + 1}, and after {i - 1}.\n" * 4
            )
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.env = {
            **os.environ,
            "PATH": path,
            "NANOCHAT_BASE_DIR": str(root / "base"),
            "OMP_NUM_THREADS": "1",
            "GIT_CEILING_DIRECTORIES": str(root.parent),
        }

    def write_files(self, found: list[Block]) -> None:
        for block in found:
            if block.caption:
                path = self.root / block.caption
                assert path.resolve().is_relative_to(self.root.resolve())
                path.write_text(block.body, encoding="utf-8")

    def run(self, script: str, fails: bool = False) -> str:
        done = subprocess.run(
            ["bash", "-e", "-c", script], cwd=self.root, env=self.env, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=300,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, f"{script}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        assert "Traceback" not in done.stderr, done.stderr
        self.printed += done.stdout
        return done.stdout

    def interrupt(self, words: list[str]) -> None:
        """Start a training, and press Ctrl-C after its first steps."""
        process = subprocess.Popen(
            [sys.executable, "-u", *words[1:]], cwd=self.root, env=self.env, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        for line in process.stdout:
            if line.startswith("step "):
                process.send_signal(signal.SIGINT)
                break
        _, said = process.communicate(timeout=120)
        assert process.returncode == 130 and "--resume goes on from it" in said, said

    @contextmanager
    def serving(self, words: list[str]) -> Iterator[int]:
        """Start the server, and stop it afterwards."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        log = self.root / "server.log"
        with log.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, *words[1:], f"--port={port}"], cwd=self.root, env=self.env, stdout=file, stderr=file
            )
        try:
            begin = time.monotonic()
            while True:
                assert process.poll() is None and time.monotonic() - begin < 120, log.read_text()
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                        break
                except OSError:
                    time.sleep(0.2)
            yield port
            process.terminate()
            assert process.wait(timeout=60) in (0, 143), log.read_text()
        finally:
            process.kill()
            process.wait()


def small_script(block: Block, page: str) -> str:
    lines = block.body.replace("\\\n", " ").splitlines()
    return "\n".join(shlex.join(shrunk(shlex.split(line), page)) if " -m scripts." in line else line for line in lines)


def follow(page: str, copy: Copy) -> None:
    """Do what the page says, from top to bottom."""
    found = blocks(page)
    copy.write_files(found)
    port = None
    with contextmanager(_open_servers)(copy, found, page) as ports:
        for block in found:
            if block.kind == "output":
                assert block.body.strip() in copy.printed, f"shown\n{block.body}\nprinted\n{copy.printed}"
            if block.language != "bash" or block.kind in NOT_RUN:
                continue
            if block.kind == "interrupted":
                (words,) = commands(block)
                copy.interrupt(shrunk(words, page))
            elif block.kind == "server":
                port = next(ports)
            else:
                script = small_script(block, page)
                if port is not None:
                    script = script.replace(":8000/", f":{port}/")
                copy.run(script, fails=block.kind == "fails")
    for pattern in EXPECTED[page]:
        assert re.search(pattern, copy.printed, re.MULTILINE), f"nothing printed is like {pattern!r}:\n{copy.printed}"


def _open_servers(copy: Copy, found: list[Block], page: str) -> Iterator[Iterator[int]]:
    """Start the servers of a page when they are asked for, and stop them when the page has been followed."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        starts = (commands(block)[0] for block in found if block.kind == "server")
        yield (stack.enter_context(copy.serving(shrunk(words, page))) for words in starts)


BEGINS_WITH = {
    "export-and-serve": ("tokenizer", "base", "mid", "sft"),
    "fine-tune-on-your-conversations": ("tokenizer", "base", "mid"),
    "add-a-task": ("tokenizer", "base", "mid"),
}
"""Pages that begin where another one ends, and what that one left."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base folder with what the first stages leave."""
    copy = Copy(tmp_path_factory.mktemp("trained") / "copy")
    for stage in ("base_train", "mid_train", "chat_sft"):
        copy.run(shlex.join(shrunk(["python", "-m", f"scripts.{stage}"], "")))
    return copy.root / "base"


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_following_the_page(page: str, tmp_path: Path, trained: Path) -> None:
    copy = Copy(tmp_path / "copy")
    where = copy.run('python -c "import nanochat; print(nanochat.__file__)"')
    assert Path(where.strip()).is_relative_to(copy.root), "the copy is what runs"
    for folder in BEGINS_WITH.get(page, ()):
        shutil.copytree(trained / folder, copy.root / "base" / folder)
    follow(page, copy)
    if page == "try-another-optimizer":
        muon, adamw = (
            [line["loss"] for line in read_metrics(copy.root / "base" / "base" / run) if line["kind"] == "train"]
            for run in ("muon", "adamw")
        )
        assert len(muon) == len(adamw) == 4 and muon[0] == adamw[0] and muon[1:] != adamw[1:]
