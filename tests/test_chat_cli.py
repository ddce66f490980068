"""The chat in the terminal, with a model that has learned three answers by heart."""

import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nanochat.checkpoint import save_checkpoint
from nanochat.common import IGNORED, InputError, Runtime
from nanochat.conversation import Conversation, Message, Part, render
from nanochat.dataloader import TokenLoader
from nanochat.engine import Engine
from nanochat.gpt import GPT, GPTConfig
from nanochat.stages import main
from nanochat.stages.chat_cli import Chat, Settings, converse
from nanochat.terminal import has_colour, visible
from nanochat.tokenizer import Tokenizer
from nanochat.train import Plan, TrainState

ROOT = Path(__file__).resolve().parents[1]
CONTEXT = 96
LONG = "abcdefghijklmnopqrstuvwxyz0123456789"
ANSWERS = {
    "12+30?": (Part("python", "12+30"), Part("output", "42"), "It is 42 é."),
    "hi": ("Hello!",),
    "long": (LONG,),
    "red": ("\x1b[31mred\x07",),
}


@pytest.fixture(scope="module")
def trained() -> TrainState:
    """A model that answers four messages, by heart: it takes a second to train."""
    torch.set_num_threads(1)
    tokenizer = Tokenizer([])
    config = GPTConfig.from_depth(2, vocab_size=tokenizer.vocab_size, sequence_len=CONTEXT, width=64)
    plan = Plan(model=config, device_batch_size=1, total_batch_size=CONTEXT, num_iterations=1)
    loader = TokenLoader([[tokenizer.bos, 65] * CONTEXT], 1, CONTEXT, tokenizer.bos, 0)
    state = TrainState.start(plan, loader, Runtime(torch.device("cpu"), torch.float32))
    chats = [Conversation((Message.user(ask), Message.assistant(*parts))) for ask, parts in ANSWERS.items()]
    rows = [render(tokenizer, chat) for chat in chats]
    inputs = torch.zeros(len(rows), CONTEXT, dtype=torch.long)
    targets = torch.full((len(rows), CONTEXT), IGNORED)
    for i, row in enumerate(rows):
        inputs[i, : len(row.ids) - 1] = torch.tensor(row.ids[:-1])
        own = [token if mask else IGNORED for token, mask in zip(row.ids[1:], row.mask[1:], strict=True)]
        targets[i, : len(own)] = torch.tensor(own)
    optimizer = torch.optim.Adam(state.model.parameters(), 3e-3)
    for _ in range(150):
        state.model(inputs, targets).backward()
        optimizer.step()
        optimizer.zero_grad()
    state.step = 1
    return state


@pytest.fixture(scope="module")
def folder(trained: TrainState, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base folder in which that model is the result of fine-tuning."""
    base = tmp_path_factory.mktemp("base")
    save_checkpoint(trained, base / "sft" / "d2", Tokenizer([]).fingerprint)
    Tokenizer([]).save(base / "sft" / "d2" / "tokenizer.json")
    return base


@pytest.fixture
def base(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NANOCHAT_BASE_DIR", str(folder))
    return folder


@pytest.fixture
def chat(trained: TrainState) -> Callable[..., Chat]:
    def make(out: io.StringIO | None = None, **settings: object) -> Chat:
        out = out or io.StringIO()
        return Chat(Engine(trained.model, Tokenizer([])), Settings(**{"temperature": 0.0, **settings}), out, out)

    return make


def type_in(monkeypatch: pytest.MonkeyPatch, raw: bytes) -> None:
    """Put bytes into standard input, as a pipe would."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw), encoding="ascii", errors="strict"))


# Answers ---------------------------------------------------------------------------


def test_one_message_prints_the_answer_alone(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat-cli", "-p", "hi", "--temperature=0"]) == 0
    assert capsys.readouterr() == ("Hello!\n", "")
    assert main(["chat-cli", "--prompt=12+30?", "--temperature=0"]) == 0
    assert capsys.readouterr() == ("[12+30 = 42]It is 42 é.\n", "")


def test_answers_come_token_by_token(chat: Callable[..., Chat]) -> None:
    class Slow(io.StringIO):
        def flush(self) -> None:
            seen.append(self.getvalue())

    seen: list[str] = []
    chat(Slow()).reply("hi")
    assert [text for i, text in enumerate(seen) if text not in seen[:i]] == [
        "H", "He", "Hel", "Hell", "Hello", "Hello!", "Hello!\n",
    ]  # fmt: skip


def test_the_chat_is_remembered_until_it_is_cleared(chat: Callable[..., Chat]) -> None:
    talk = chat()
    converse(talk, io.StringIO("hi\n12+30?\n"))
    assert [message.role for message in talk.messages] == ["user", "assistant"] * 2
    assert talk.messages[1].text == "Hello!"
    converse(talk, io.StringIO("/clear\n"))
    assert talk.messages == () and "a new conversation" in talk.out.getvalue()
    converse(talk, io.StringIO("12+30?\n"))
    assert talk.messages[1].parts == Message.assistant(*ANSWERS["12+30?"]).parts, "with its calculation"


def test_the_same_seed_gives_the_same_chat(chat: Callable[..., Chat]) -> None:
    def say(seed: int) -> str:
        talk = chat(temperature=2.0, seed=seed, max_tokens=10)
        converse(talk, io.StringIO("hi\nhi\n"))
        return talk.out.getvalue()

    assert say(1) == say(1) != say(2)
    first, second = say(1).split("\n(cut off")[0], say(1)
    assert second.count(first) == 1, "the second answer has dice of its own"


def test_an_answer_that_is_cut_off_is_told(chat: Callable[..., Chat]) -> None:
    """Row 39: inside a calculation, and between the bytes of a character."""
    for tokens in range(1, 30):
        talk = chat(max_tokens=tokens)
        talk.reply("12+30?")
        shown = talk.out.getvalue()
        assert shown.endswith(f"\n(cut off after {tokens} tokens)\n") or shown == "[12+30 = 42]It is 42 é.\n"
        assert shown.count("[") == shown.count("]") == 1 and "�" not in shown


def test_commands_are_obeyed_and_unknown_ones_explained(chat: Callable[..., Chat]) -> None:
    talk = chat()
    converse(talk, io.StringIO("/help\n/halp \x1b[31m\n/quit\nhi\n"))
    shown = talk.out.getvalue()
    assert all(f"{name:<8}" in shown for name in ("/help", "/clear", "/quit"))
    assert "there is no command /halp: /help lists them" in shown
    assert "Hello" not in shown and talk.messages == (), "nothing is read after /quit"
    converse(talk, io.StringIO(" /quit\n"))
    assert talk.messages[0].text == " /quit", "after a space it is a message"


def test_the_end_of_the_input_ends_the_chat(
    base: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Row 58: no line at all, only blank ones, a last one without its newline."""
    for raw, expected in ((b"", ""), (b"\n  \n\n", ""), (b"hi", "Hello!\n")):
        type_in(monkeypatch, raw)
        assert main(["chat-cli", "--temperature=0"]) == 0
        out, err = capsys.readouterr()
        assert out.split("\n", 1)[1] == expected and err == "" and out.startswith(str(base))


def test_binary_junk_is_a_message_like_any_other(
    base: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Row 58: bytes that are no text, and more of them than the context holds."""
    type_in(monkeypatch, b"\xff\xfe\x00\x80\n" + bytes(range(256)) * 40 + b"\nhi\n")
    assert main(["chat-cli", "--temperature=0", "--max-tokens=8"]) == 0
    out, err = capsys.readouterr()
    assert "the last message makes a prompt of" in out and err == ""
    assert re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", out) is None


def test_a_chat_past_the_context_drops_the_oldest_turns(chat: Callable[..., Chat]) -> None:
    """Row 59: three times over, each with a notice; the newest message is always read."""
    talk, tokens = chat(max_tokens=20), 0
    while tokens < 3 * CONTEXT:
        talk.reply("hi")
        tokens += sum(len(message.text) + 2 for message in talk.messages[-2:])
        assert sum(len(message.text) + 2 for message in talk.messages[:-1]) + 2 <= CONTEXT - 20
        assert talk.messages[0].role == "user" and talk.messages[-2].text == "hi"
    notices = talk.out.getvalue().count("the chat is longer than the context: the 2 oldest messages are forgotten")
    assert notices > 5


def test_a_message_that_does_not_fit_leaves_the_chat_as_it_was(chat: Callable[..., Chat]) -> None:
    talk = chat()
    talk.reply("hi")
    before = talk.messages
    converse(talk, io.StringIO("x" * 200 + "\nhi\n"))
    assert "(the last message makes a prompt of" in talk.out.getvalue()
    assert talk.messages[:2] == before and len(talk.messages) == 4


def test_answers_that_leave_no_room_for_a_question_are_refused(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat-cli", "-p", "hi", f"--max-tokens={CONTEXT}"]) == 1
    assert f"--max-tokens={CONTEXT} leaves no room" in capsys.readouterr().err


# Ctrl-C ---------------------------------------------------------------------------


class PressesCtrlC(io.StringIO):
    """Sends the signal of Ctrl-C to this process when so much has been printed."""

    def __init__(self, at: str, times: int = 1) -> None:
        super().__init__()
        self.at, self.times = at, times

    def write(self, text: str) -> int:
        done = super().write(text)
        if self.at in self.getvalue():
            for _ in range(self.times):
                self.times -= 1
                os.kill(os.getpid(), signal.SIGINT)
        return done


def test_ctrl_c_stops_the_answer_and_keeps_what_was_written(chat: Callable[..., Chat]) -> None:
    """Row 58: Ctrl-C while generating; the chat goes on."""
    out = PressesCtrlC("abcdef")
    talk = chat(out)
    before = signal.getsignal(signal.SIGINT)
    assert talk.reply("long") is False
    assert out.getvalue() == "abcdef\n(stopped)\n" and talk.messages[1].text == "abcdef"
    assert signal.getsignal(signal.SIGINT) is before
    assert talk.reply("hi") is True, "and answers the next message"


def test_ctrl_c_inside_a_calculation_leaves_a_whole_line(chat: Callable[..., Chat]) -> None:
    talk = chat(PressesCtrlC("[12+"))
    talk.reply("12+30?")
    assert talk.out.getvalue() == "[12+]\n(stopped)\n" and talk.messages[1].text == "12+"


def test_a_second_ctrl_c_does_not_wait_for_the_token(chat: Callable[..., Chat]) -> None:
    talk = chat(PressesCtrlC("abc", times=2))
    assert talk.reply("long") is False
    assert talk.out.getvalue().startswith("abc") and "(stopped)" in talk.out.getvalue()
    assert len(talk.messages) == 2


def test_ctrl_c_at_the_prompt_leaves_at_the_second_time(chat: Callable[..., Chat]) -> None:
    class Keys(io.StringIO):
        """Gives one line after another; ^C stands for the key."""

        def readline(self, size: int = -1) -> str:
            line = super().readline()
            if line == "^C\n":
                raise KeyboardInterrupt
            return line

    talk = chat()
    converse(talk, Keys("^C\nhi\n^C\n^C\nhi\n"))
    assert talk.out.getvalue().count("once more leaves") == 2 and len(talk.messages) == 2


def test_ctrl_c_ends_a_single_answer_with_its_status(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = PressesCtrlC("abc")
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["chat-cli", "-p", "long", "--temperature=0"]) == 130
    assert out.getvalue() == "abc\n"


# What a terminal may be shown ---------------------------------------------------------------------------


@given(st.text())
def test_visible_text_obeys_nobody(text: str) -> None:
    """Row 56: whatever is in a text, only letters, newlines and tabs reach the terminal."""
    shown = visible(text)
    shown.encode("utf-8")
    assert not set(shown) & {chr(i) for i in (*range(9), *range(11, 32), *range(127, 160), 0x202E, 0x2066, 0x2028)}
    assert visible(shown) == shown
    if text.isascii() and text.isprintable():
        assert shown == text


def test_escape_sequences_of_the_model_are_shown_and_not_sent(chat: Callable[..., Chat]) -> None:
    talk = chat()
    talk.reply("red")
    assert talk.out.getvalue() == "␛[31mred␇\n"
    assert talk.messages[1].text == "\x1b[31mred\x07", "the model reads what it wrote"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_calculations_are_faint_on_a_terminal_only(chat: Callable[..., Chat], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    talk = chat(Terminal())
    talk.reply("12+30?")
    assert talk.out.getvalue().startswith("\x1b[2m[\x1b[22m") and talk.out.getvalue().endswith("]\x1b[22mIt is 42 é.\n")
    assert re.sub("\x1b\\[2?2m", "", talk.out.getvalue()) == "[12+30 = 42]It is 42 é.\n"
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as inner:
            inner.setenv(name, value)
            assert not has_colour(Terminal())
    assert has_colour(Terminal()) and not has_colour(io.StringIO())


def test_a_result_that_the_model_made_up_is_named_so(trained: TrainState) -> None:
    """The engine's tools are off, so the output that the model writes is its own."""
    from nanochat.stages.chat_cli import _Writer

    tokenizer, out = Tokenizer([]), io.StringIO()
    writer = _Writer(Engine(trained.model, tokenizer), out)
    mark = tokenizer.special
    for token, forced in [
        (mark("<|python_start|>"), False),
        (50, False),
        (mark("<|python_end|>"), False),
        (mark("<|output_start|>"), False),
        (51, False),
        (mark("<|output_end|>"), False),
        (mark("<|python_start|>"), False),
        (52, False),
        (mark("<|python_end|>"), False),
        (53, False),
        (mark("<|output_start|>"), False),
        (54, False),
    ]:
        writer.push(token, forced)
    writer.end()
    assert out.getvalue() == "[2 = not calculated: 3][4]56\n"


# Flags and models ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--promt=hi"], "--prompt"),
        (["--temperature=abc"], "--temperature"),
        (["--temperature=-1"], "temperature=-1"),
        (["--top-k=0"], "top_k=0"),
        (["--max-tokens=0"], "--max-tokens=0"),
        (["--seed=-1"], "--seed=-1"),
        (["-p"], "-p"),
        (["-p", ""], "-p"),
        (["-p", "a", "--prompt=b"], "twice"),
        (["hi"], "'hi'"),
    ],
)
def test_flags_without_meaning_are_usage_errors(
    words: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Row 57."""
    with pytest.raises(SystemExit) as stopped:
        main(["chat-cli", *words])
    assert stopped.value.code == 2 and named in capsys.readouterr().err


def test_a_blank_message_is_refused(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["chat-cli", "-p", "  "])
    assert "is empty" in capsys.readouterr().err


def test_a_model_that_is_not_there_names_the_cure(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat-cli", "-p", "hi", "--source=rl"]) == 1
    assert "chat_rl" in capsys.readouterr().err
    assert main(["chat-cli", "-p", "hi", "--source=sft", "--step=9"]) == 1
    assert "step" in capsys.readouterr().err


def test_a_base_model_comes_with_a_warning(
    trained: TrainState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NANOCHAT_BASE_DIR", str(tmp_path))
    save_checkpoint(trained, tmp_path / "base" / "d2", Tokenizer([]).fingerprint)
    Tokenizer([]).save(tmp_path / "base" / "d2" / "tokenizer.json")
    assert main(["chat-cli", "-p", "hi"]) == 0
    assert "never saw a conversation" in capsys.readouterr().err


def test_damaged_weights_end_the_chat_with_a_reason(trained: TrainState, chat: Callable[..., Chat]) -> None:
    talk = chat()
    broken = GPT(trained.model.config)
    broken.head.weight.data.fill_(float("nan"))
    talk.engine = Engine(broken, Tokenizer([]))
    with pytest.raises(InputError, match="NaN"):
        talk.reply("hi")


# The command as it is typed ---------------------------------------------------------------------------


@pytest.fixture
def command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "scripts.chat_cli", "--temperature=0", "--threads=1"]


def environment(folder: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    return {**kept, "NANOCHAT_BASE_DIR": str(folder), "PYTHONPATH": str(ROOT), **more}


class Screen:
    """What appears on a terminal, read up to where it was looked for."""

    def __init__(self, terminal: int) -> None:
        self.terminal, self.ahead = terminal, b""

    def until(self, expected: str) -> str:
        """Wait for a text, and return everything up to its end."""
        wanted, begin = expected.encode(), time.monotonic()
        while wanted not in self.ahead:
            assert time.monotonic() - begin < 60, f"{expected!r} did not come: {self.ahead!r}"
            if select.select([self.terminal], [], [], 1)[0]:
                self.ahead += os.read(self.terminal, 4096)
        end = self.ahead.index(wanted) + len(wanted)
        seen, self.ahead = self.ahead[:end], self.ahead[end:]
        return seen.decode()


def test_a_person_at_a_terminal(folder: Path, command: list[str]) -> None:
    """Row 58: with a prompt, faint calculations, and the real key Ctrl-C."""
    ours, theirs = pty.openpty()
    env = environment(folder, TERM="xterm")
    # Standard input must be the terminal of the new session, or its keys do not become signals.
    take = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", take, *command],
        cwd=ROOT, env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    screen = Screen(ours)
    try:
        screen.until("> ")
        os.write(ours, b"12+30?\n")
        assert "\x1b[2m[" in screen.until("It is 42 é.")
        screen.until("> ")
        os.write(ours, b"\x03")
        screen.until("once more leaves")
        screen.until("> ")
        os.write(ours, b"\x03")  # at once: the program may not be waiting for a key yet
        process.wait(timeout=60)
        assert process.poll() == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["closed", "dev-null", "broken-pipe"])
def test_without_anybody_there(folder: Path, command: list[str], where: str) -> None:
    """Row 58: standard input closed or empty; nobody reads the answer."""
    if where == "broken-pipe":
        line = " ".join(["yes hi | head -500 |", *command, "| head -n 2"])
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {line}"],
            cwd=ROOT,
            env=environment(folder),
            capture_output=True,
            text=True,
        )
        assert "Traceback" not in done.stderr and "Error" not in done.stderr, done.stderr
        return
    redirect = "<&-" if where == "closed" else "< /dev/null"
    done = subprocess.run(
        ["bash", "-c", " ".join([*command, redirect])],
        cwd=ROOT,
        env=environment(folder),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("more", [{"LANG": "C"}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}])
def test_the_language_settings_of_the_system_do_not_matter(
    folder: Path, command: list[str], more: dict[str, str]
) -> None:
    """Rows 27 and 58: LANG=C, where Python would refuse to print an é."""
    done = subprocess.run(
        command, cwd=ROOT, env=environment(folder, **more), input="12+30?\né ü\n".encode(), capture_output=True
    )
    assert done.returncode == 0 and done.stderr == b""
    assert "It is 42 é." in done.stdout.decode() or b"It is 42 \\xe9." in done.stdout


@pytest.mark.slow
def test_installed_elsewhere_and_without_a_home(folder: Path, tmp_path: Path) -> None:
    """Row 60: from a wheel, in another folder, with a home that cannot be written."""
    build = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheels, site = tmp_path / "wheels", tmp_path / "site"
    sources = tmp_path / "sources"
    subprocess.run(["git", "-C", str(ROOT), "checkout-index", "--all", f"--prefix={sources}/"], check=True)
    subprocess.run([*build, "wheel", "--no-deps", "--no-build-isolation", "-w", wheels, sources], check=True)
    (wheel,) = wheels.iterdir()
    subprocess.run([*build, "install", "--no-deps", "--no-index", "--target", site, wheel], check=True)
    nowhere = tmp_path / "file"
    nowhere.write_text("a home below a file can be made by nobody, not even by root")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    env = environment(folder, HOME=str(nowhere / "home"), PYTHONPATH=str(site), PYTHONSAFEPATH="1")
    words = ["chat-cli", "-p", "12+30?", "--temperature=0"]
    for start in ([str(site / "bin" / "nanochat")], [sys.executable, "-m", "nanochat.stages"]):
        if start[0] == sys.executable:
            start = [sys.executable, "-c", "import sys; from nanochat.stages import main; sys.exit(main())"]
        done = subprocess.run([*start, *words], cwd=elsewhere, env=env, capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "[12+30 = 42]It is 42 é.\n", "")
    # The files beside the code: those of the page, and the model that comes along.
    beside = (
        "import nanochat; from nanochat.stages.models import find_model; from nanochat.web.server import page_files; "
        "print(nanochat.__file__, find_model('shipped')[2].replace(' ', '-'), *sorted(page_files()))"
    )
    done = subprocess.run([sys.executable, "-c", beside], cwd=elsewhere, env=env, capture_output=True, text=True)
    where, _, *files = done.stdout.split()
    ours = sorted(path.name for path in (ROOT / "nanochat" / "web" / "static").iterdir())
    assert where.startswith(str(site)) and files == ours, done.stderr
    assert list(elsewhere.iterdir()) == []
