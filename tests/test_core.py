"""CORE on tiny bundles of the published layout, asked of models whose answers are known."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from launching import finish_world
from torch import Tensor

from nanochat import core
from nanochat.checkpoint import save_checkpoint
from nanochat.common import InputError, Runtime
from nanochat.core import (
    CoreScore,
    CoreTask,
    CoreTaskScore,
    Question,
    choose_shots,
    evaluate_core,
    load_bundle,
    prompt_pairs,
    read_questions,
    score_rows,
)  # fmt: skip
from nanochat.dataloader import TokenLoader
from nanochat.gpt import GPT, GPTConfig
from nanochat.stages import main
from nanochat.tokenizer import Tokenizer, tokenizer_path
from nanochat.train import Plan, TrainState, fit

pytest.importorskip("yaml", reason="core.yaml needs PyYAML")


class Alphabet(GPT):
    """A model that expects the next byte of the alphabet after each: after a comes b, after b comes c."""

    def __init__(self, sequence_len: int = 200) -> None:
        super().__init__(GPTConfig.from_depth(1, vocab_size=320, sequence_len=sequence_len))

    def forward(self, tokens: Tensor, *others: object, **more: object) -> Tensor:
        self._check_tokens(tokens, tokens.size(1))
        return torch.nn.functional.one_hot((tokens + 1) % 320, 320).float() * 5


class TaskFile:
    """Questions and the line of core.yaml and of eval_meta_data.csv that describes them."""

    def __init__(self, kind: str, rows: list[dict], chance: float = 0, shots: int = 0, **more: object) -> None:
        self.kind, self.rows, self.chance, self.shots, self.more = kind, rows, chance, shots, more


def write_bundle(folder: Path, **tasks: TaskFile) -> Path:
    (folder / "eval_data" / "some").mkdir(parents=True)
    listed = ["icl_tasks:"]
    chances = ["Eval Task,Task Category,Task Type,#shots,#datapoints,Random baseline,Centered Metric?,Description"]
    for label, task in tasks.items():
        (folder / "eval_data" / "some" / f"{label}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in task.rows))
        listed += [
            "-",
            f"  label: {label}",
            f"  dataset_uri: some/{label}.jsonl # where it is",
            f"  num_fewshot: [{task.shots}]",
            f"  icl_task_type: {task.kind}",
            *(f"  {name}: {json.dumps(value)}" for name, value in task.more.items()),
        ]
        chances.append(f'{label},knowledge,x,{task.shots},{len(task.rows)},{task.chance},,"Words, with a comma."')
    (folder / "core.yaml").write_text("\n".join(listed) + "\n")
    (folder / "eval_meta_data.csv").write_text("\n".join(chances) + "\n")
    return folder


CHOICES = [
    {"query": "go", "choices": ["xqz", "abc"], "gold": 1},
    {"query": "go", "choices": ["efgh", "eeee"], "gold": 0},
    {"query": "go", "choices": ["pqrs", "sss"], "gold": 1},  # the alphabet's model gets this one wrong
    {"query": "go", "choices": ["mmm", "no", "wv"], "gold": 1},
]
SCHEMAS = [
    {"context_options": ["xxz", "xxa"], "continuation": "bcd", "gold": 1},
    {"context_options": ["c", "q"], "continuation": "def", "gold": 0},
    {"context_options": ["q", "c"], "continuation": "def", "gold": 0},  # wrong
]
CONTINUATIONS = [
    {"context": "ab", "continuation": "cdef"},
    {"context": "ab", "continuation": "cdex"},  # its last byte is not the first guess
    {"context": "x", "continuation": "yz"},
    {"context": "ab", "continuation": "zdef"},  # its first byte is not
    {"context": "kl", "continuation": "m"},
]


def test_each_kind_of_task(tmp_path: Path, byte_tokenizer: Tokenizer) -> None:
    bundle = write_bundle(
        tmp_path,
        choices=TaskFile("multiple_choice", CHOICES, chance=25),
        schemas=TaskFile("schema", SCHEMAS, chance=50, continuation_delimiter=""),
        continuations=TaskFile("language_modeling", CONTINUATIONS, continuation_delimiter=""),
    )
    score = evaluate_core(Alphabet(), byte_tokenizer, bundle)
    assert [(task.label, task.questions, task.cropped) for task in score.tasks] == [
        ("choices", 4, 0), ("schemas", 3, 0), ("continuations", 5, 0),
    ]  # fmt: skip
    assert [task.accuracy for task in score.tasks] == pytest.approx([3 / 4, 2 / 3, 3 / 5])
    centered = [(0.75 - 0.25) / 0.75, (2 / 3 - 0.5) / 0.5, 0.6]
    assert [task.centered for task in score.tasks] == pytest.approx(centered)
    assert score.core == pytest.approx(sum(centered) / 3) and not score.complete
    printed = str(score).splitlines()
    assert printed[1].split() == ["choices", "0.750", "0.250", "0.667", "4"]
    assert printed[-1] == f"{score.core:.4f} an estimate of CORE from a part of its questions"


def test_twenty_two_whole_tasks_are_core(tmp_path: Path, byte_tokenizer: Tokenizer) -> None:
    tasks = {f"task{i}": TaskFile("multiple_choice", CHOICES, chance=25) for i in range(22)}
    bundle = write_bundle(tmp_path, **tasks)
    whole = evaluate_core(Alphabet(), byte_tokenizer, bundle, progress=False)
    assert whole.complete and str(whole).endswith(" CORE") and whole.core == pytest.approx(2 / 3)
    part = evaluate_core(Alphabet(), byte_tokenizer, bundle, max_per_task=2)
    assert not part.complete and {task.questions for task in part.tasks} == {2}
    assert evaluate_core(Alphabet(), byte_tokenizer, bundle, max_per_task=4).complete


def test_centering() -> None:
    def task(accuracy: float, chance: float) -> CoreTaskScore:
        return CoreTaskScore("x", accuracy, chance, 10, 0)

    assert task(0.25, 0.25).centered == 0 and task(1, 0.62).centered == 1 and task(0.4, 0).centered == 0.4
    assert task(0, 0.5).centered == -1, "worse than guessing is below zero and not cut off"
    assert CoreScore((task(1, 0.5), task(0, 0.5), task(0.75, 0.5)), True).core == pytest.approx(0.5 / 3)


def test_the_mean_counts_and_not_the_sum(tmp_path: Path, byte_tokenizer: Tokenizer) -> None:
    """A long continuation has a lower likelihood as a whole; on average each of its tokens fits better."""
    rows = [{"query": "go", "choices": ["abcdefghijklmnop", "a"], "gold": 0}]
    bundle = write_bundle(tmp_path, long=TaskFile("multiple_choice", rows))
    model = Alphabet()
    assert evaluate_core(model, byte_tokenizer, bundle).tasks[0].accuracy == 1
    go = byte_tokenizer.encode("go ")
    scored = [(go + byte_tokenizer.encode(text), len(text)) for text in ("abcdefghijklmnop", "a")]
    (long, _), (short, _) = score_rows(model, scored)
    assert long > short and long * 16 < short


def test_prompts_of_each_kind() -> None:
    def task(kind: str, **more: object) -> CoreTask:
        return CoreTask("t", kind, Path("t.jsonl"), 2, 0.0, **more)

    shots = [Question((("1+1=", "3"), ("1+1=", "2")), 1), Question((("2+2=", "4"),))]
    question = Question((("3+3=", "6"), ("3+3=", "7")))
    assert prompt_pairs(task("multiple_choice"), question, shots) == [
        ("1+1= 2\n2+2= 4\n3+3=", " 6"), ("1+1= 2\n2+2= 4\n3+3=", " 7"),
    ]  # fmt: skip
    asked = task("multiple_choice", delimiter="\nAnswer: ", separator="\n\n")
    assert prompt_pairs(asked, question, shots[1:])[0] == ("2+2=\nAnswer: 4\n\n3+3=\nAnswer:", " 6")
    schema = Question((("The cat that", "ran"), ("The dog that", "ran")))
    assert prompt_pairs(task("schema"), schema, []) == [("The cat that", " ran"), ("The dog that", " ran")]
    assert prompt_pairs(task("language_modeling", delimiter=""), Question((("ab", "cd"),)), []) == [("ab", "cd")]
    assert prompt_pairs(task("language_modeling", delimiter="\n"), Question((("ab", "cd"),)), []) == [("ab\n", "cd")]


def test_white_space_at_the_ends_does_not_count(tmp_path: Path) -> None:
    rows = [{"query": " go \n", "choices": ["a ", " b"], "gold": 0}]
    task = load_bundle(write_bundle(tmp_path, t=TaskFile("multiple_choice", rows)))[0]
    assert read_questions(task) == [Question((("go", "a"), ("go", "b")))]


@pytest.mark.parametrize("n_shots", [0, 1, 3, 9, 10, 50])
def test_shots_are_others_and_always_the_same(n_shots: int) -> None:
    task = CoreTask("t", "language_modeling", Path("t"), n_shots, 0.0)
    questions = [Question(((f"q{i}", f"a{i}"),)) for i in range(10)]
    drawn = [choose_shots(task, questions, i) for i in range(10)]
    for i, shots in enumerate(drawn):
        assert len({shot.pairs for shot in shots}) == len(shots) == min(n_shots, 9)
        assert questions[i] not in shots
    assert drawn == [choose_shots(task, questions, i) for i in range(10)]
    if n_shots == 3:
        assert len({tuple(shots) for shots in drawn}) > 5, "each question has its own"


def test_categories_have_their_own_shots_and_count_alike(tmp_path: Path, byte_tokenizer: Tokenizer) -> None:
    rows = [{"context": "ab", "continuation": "cd", "category": "right"}] * 6
    rows += [{"context": "ab", "continuation": "xx", "category": "wrong"}] * 2
    more = {"continuation_delimiter": "", "has_categories": True, "shots": 3}
    bundle = write_bundle(tmp_path, t=TaskFile("language_modeling", rows, **more))
    task, questions = load_bundle(bundle)[0], read_questions(load_bundle(bundle)[0])
    for number, question in enumerate(questions):
        shots = choose_shots(task, questions, number)
        assert {shot.category for shot in shots} == {question.category}
        assert len(shots) == (3 if question.category == "right" else 1)
    assert evaluate_core(Alphabet(), byte_tokenizer, bundle).tasks[0].accuracy == 0.5, "not six of eight"


def test_batches_change_nothing(
    tmp_path: Path, byte_tokenizer: Tokenizer, make_model: Callable[..., GPT], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of all lengths together score as each does alone, and as the loss of the model says."""
    model = make_model(sequence_len=40)
    generator = torch.Generator().manual_seed(0)
    rows = []
    for length in (2, 3, 40, 41, 17, 8, 8, 29):
        ids = torch.randint(0, 320, (length,), generator=generator).tolist()
        rows.append((ids, int(torch.randint(1, length, (1,), generator=generator))))
    alone = [score_rows(model, [row])[0][0] for row in rows]
    for limit in (1, 41, 100, 10_000):
        monkeypatch.setattr(core, "BATCH_SCORES", limit * 320)
        assert [value for value, _ in score_rows(model, rows)] == pytest.approx(alone, abs=1e-5)
    for (ids, scored), value in zip(rows, alone, strict=True):
        targets = torch.tensor([[-1] * (len(ids) - 1 - scored) + ids[-scored:]])
        assert value == pytest.approx(-model(torch.tensor([ids[:-1]]), targets).item(), abs=1e-5)


@torch.no_grad()
def test_choices_agree_with_a_slow_and_plain_way(
    tmp_path: Path, byte_tokenizer: Tokenizer, make_model: Callable[..., GPT]
) -> None:
    generator = torch.Generator().manual_seed(1)

    def words(n: int) -> str:
        return "".join(chr(97 + int(i)) for i in torch.randint(0, 26, (n,), generator=generator))

    rows = [{"query": words(6), "choices": [words(3), words(5), words(2)], "gold": i % 3} for i in range(70)]
    bundle = write_bundle(tmp_path, t=TaskFile("multiple_choice", rows, chance=33.3, shots=2))
    model = make_model(sequence_len=48)
    task, questions = load_bundle(bundle)[0], read_questions(load_bundle(bundle)[0])
    right = 0
    for number, row in enumerate(rows):
        before = "".join(
            f"{s.pairs[s.right][0]} {s.pairs[s.right][1]}\n" for s in choose_shots(task, questions, number)
        )
        means = []
        for choice in row["choices"]:
            ids = [byte_tokenizer.bos, *byte_tokenizer.encode(f"{before}{row['query']} {choice}")]
            log_p = model(torch.tensor([ids[:-1]]))[0].log_softmax(-1)
            n = len(choice) + 1  # with the space before it
            means.append(sum(float(log_p[-n + i, ids[len(ids) - n + i]]) for i in range(n)) / n)
        right += max(range(3), key=means.__getitem__) == row["gold"]
    score = evaluate_core(model, byte_tokenizer, bundle)
    assert score.tasks[0].accuracy == pytest.approx(right / 70) and score.tasks[0].chance == pytest.approx(0.333)
    assert 5 < right < 65


def test_a_question_longer_than_the_context_loses_its_beginning(tmp_path: Path, byte_tokenizer: Tokenizer) -> None:
    rows = [{"query": "long " * 20, "choices": ["xqz", "abc"], "gold": 1}, CHOICES[0]]
    bundle = write_bundle(tmp_path, t=TaskFile("multiple_choice", rows))
    score = evaluate_core(Alphabet(sequence_len=24), byte_tokenizer, bundle)
    assert score.tasks[0].accuracy == 1 and score.tasks[0].cropped == 1 and "(1 cropped)" in str(score)
    longer = [{"query": "a", "choices": ["x" * 60, "abcdefghij" * 6], "gold": 1}]
    assert evaluate_core(
        Alphabet(sequence_len=24), byte_tokenizer, write_bundle(tmp_path / "b", t=TaskFile("multiple_choice", longer))
    ).tasks[0] == CoreTaskScore("t", 1.0, 0.0, 1, 1)


def test_a_model_that_learned_the_answers_scores_high(
    tmp_path: Path, byte_tokenizer: Tokenizer, runtime: Runtime
) -> None:
    """A trained model, and not one that is written for the test."""
    facts = {"sky": "blue", "grass": "green", "snow": "white", "coal": "black", "blood": "red", "sun": "yellow"}
    documents = [byte_tokenizer.encode(f"{thing} is {colour}") for thing, colour in facts.items()]
    sizes = GPTConfig.from_depth(1, vocab_size=320, sequence_len=24, width=64)
    plan = Plan(model=sizes, device_batch_size=8, total_batch_size=192, num_iterations=80)
    state = TrainState.start(plan, TokenLoader(documents, 8, 24, byte_tokenizer.bos, seed=1), runtime)
    colours = list(facts.values())
    rows = [
        {"query": f"{thing} is", "choices": colours, "gold": colours.index(colour)} for thing, colour in facts.items()
    ]
    asked = [{"context": f"{thing} is", "continuation": colour} for thing, colour in facts.items()]
    bundle = write_bundle(
        tmp_path,
        choices=TaskFile("multiple_choice", rows, chance=100 / 6),
        continuations=TaskFile("language_modeling", asked),
    )
    before = evaluate_core(state.model, byte_tokenizer, bundle)
    fit(state, progress=False)
    after = evaluate_core(state.model, byte_tokenizer, bundle)
    assert before.core < 0.2 and after.core > 0.9, (str(before), str(after))


def test_base_eval_asks_core_where_it_is(
    tmp_path: Path, make_state: Callable[..., TrainState], byte_tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("NANOCHAT_BASE_DIR", str(tmp_path))
    byte_tokenizer.save(tokenizer_path())
    save_checkpoint(make_state(2), tmp_path / "base" / "d4", byte_tokenizer.fingerprint)
    flags = ["base-eval", "--data=pydoc", "--max-documents=1", "--num-samples=0"]
    assert main(flags) == 0
    assert "CORE        not asked: python -m scripts.download --core" in capsys.readouterr().out
    assert main([*flags, "--core-questions=5"]) == 1
    assert "does not exist: fetch the bundle with python -m scripts.download --core" in capsys.readouterr().err

    many = TaskFile("multiple_choice", CHOICES * 10, chance=25)
    write_bundle(tmp_path / "eval_bundle", quiz=many, words=TaskFile("language_modeling", CONTINUATIONS))
    for flag, asked in (([], 20), (["--core-questions=7"], 7), (["--core-questions=-1"], 40)):
        assert main([*flags, *flag]) == 0
        printed = capsys.readouterr().out
        row = next(line.split() for line in printed.splitlines() if line.startswith("quiz"))
        assert row[4] == str(asked) and "an estimate of CORE" in printed
    assert main([*flags, "--core-questions=0"]) == 0
    assert "CORE" not in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([*flags, "--core-questions=-2"])


TWO = """
import sys
from nanochat.common import detect_runtime
from nanochat.core import evaluate_core
from nanochat.distributed import distributed
from nanochat.tokenizer import Tokenizer
from test_core import Alphabet

runtime = detect_runtime("cpu", "float32")
with distributed(runtime):
    folder = sys.argv[1 + min(runtime.rank, len(sys.argv) - 2)]
    score = evaluate_core(Alphabet(), Tokenizer([]), folder)
    print([(task.label, task.accuracy, task.questions, task.cropped) for task in score.tasks])
"""


@pytest.mark.slow
def test_two_processes_share_the_questions(tmp_path: Path, byte_tokenizer: Tokenizer) -> None:
    bundle = write_bundle(
        tmp_path / "bundle",
        choices=TaskFile("multiple_choice", CHOICES[:3], chance=25),
        continuations=TaskFile("language_modeling", CONTINUATIONS[:1], continuation_delimiter=""),
    )
    alone = [(t.label, t.accuracy, t.questions, 0) for t in evaluate_core(Alphabet(), byte_tokenizer, bundle).tasks]
    first, second = finish_world(TWO, str(bundle))
    assert first.code == second.code == 0, (first.err, second.err)
    assert first.out.splitlines()[-1] == str(alone)


@pytest.mark.slow
def test_row_67_questions_that_one_process_lacks_stop_both(tmp_path: Path) -> None:
    """Row 67, for the questions of CORE: nobody waits for ever."""
    bundle = write_bundle(tmp_path / "bundle", choices=TaskFile("multiple_choice", CHOICES))
    for done in finish_world(TWO, str(bundle), str(tmp_path / "nowhere")):
        assert done.code != 0 and "nowhere/eval_meta_data.csv does not exist" in done.err


def test_a_limit_takes_questions_from_everywhere(tmp_path: Path, byte_tokenizer: Tokenizer) -> None:
    rows = [{"context": "ab", "continuation": "cd" if i < 100 else "xx"} for i in range(200)]
    bundle = write_bundle(tmp_path, t=TaskFile("language_modeling", rows, continuation_delimiter=""))
    some = evaluate_core(Alphabet(), byte_tokenizer, bundle, max_per_task=60).tasks[0]
    assert some.questions == 60 and 0.3 < some.accuracy < 0.7
    assert evaluate_core(Alphabet(), byte_tokenizer, bundle, max_per_task=60).tasks[0] == some
    with pytest.raises(InputError, match="max_per_task=0 must be at least 1"):
        evaluate_core(Alphabet(), byte_tokenizer, bundle, max_per_task=0)


def test_a_model_that_gives_nan_is_refused(tmp_path: Path, byte_tokenizer: Tokenizer) -> None:
    bundle = write_bundle(tmp_path, t=TaskFile("multiple_choice", CHOICES))
    model = GPT(GPTConfig.from_depth(1, vocab_size=320, sequence_len=64))
    torch.nn.init.constant_(model.head.weight, math.nan)
    with pytest.raises(InputError, match="NaN or infinity"):
        evaluate_core(model, byte_tokenizer, bundle)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("core.yaml", "icl_tasks:", "tasks:", "core.yaml has no list icl_tasks"),
        ("core.yaml", "icl_tasks:", "icl_tasks: [", "core.yaml is no YAML"),
        ("core.yaml", "  label: t", "  name: t", "task 1: label is None, not str"),
        ("core.yaml", "label: t", "label: other", "task other is not in eval_meta_data.csv"),
        ("core.yaml", "multiple_choice", "generation", "task t: icl_task_type 'generation' is unknown"),
        ("core.yaml", "[0]", "[0, 10]", "task t: num_fewshot is .0, 10., not a list of one number"),
        ("core.yaml", "[0]", "[-1]", "num_fewshot is .-1."),
        ("core.yaml", "some/t.jsonl", "some/u.jsonl", "task t: 'some/u.jsonl' is no file in .*eval_data"),
        ("core.yaml", "some/t.jsonl", "../core.yaml", "task t: '../core.yaml' is no file"),
        ("eval_meta_data.csv", "t,knowledge,x,0,4,25", "t,knowledge,x,0,4,many", "eval_meta_data.csv, line 2 has no"),
        ("eval_meta_data.csv", "t,knowledge,x,0,4,25", "t,knowledge,x,0,4,100", "line 2: the random baseline must be"),
        ("eval_meta_data.csv", "Random baseline", "Chance", "with a number as 'Random baseline'"),
        ("eval_data/some/t.jsonl", '"gold": 1', '"gold": 2', "t.jsonl, row 1, column 'gold' is 2, not from 0 to 1"),
        ("eval_data/some/t.jsonl", '"gold": 1', '"gold": "b"', "row 1, column 'gold' is str, not int"),
        ("eval_data/some/t.jsonl", '["xqz", "abc"]', '["xqz"]', "row 1, column 'choices' is not two texts"),
        ("eval_data/some/t.jsonl", '["xqz", "abc"]', '["xqz", 5]', "row 1, column 'choices' is not two texts"),
        ("eval_data/some/t.jsonl", '"xqz"', '" "', "row 1 has an empty continuation"),
        ("eval_data/some/t.jsonl", '"query"', '"context"', "row 1, column 'query' is missing"),
        ("eval_data/some/t.jsonl", "}\n", "\n", "row 1 is not JSON"),
    ],
)
def test_row_12_a_damaged_bundle_is_named(
    tmp_path: Path, byte_tokenizer: Tokenizer, file: str, old: str, new: str, message: str
) -> None:
    """Row 12, for the questions of CORE: the file and the place in it are named."""
    bundle = write_bundle(tmp_path, t=TaskFile("multiple_choice", CHOICES, chance=25))
    text = (bundle / file).read_text()
    assert old in text
    (bundle / file).write_text(text.replace(old, new))
    with pytest.raises(InputError, match=message) as caught:
        evaluate_core(Alphabet(), byte_tokenizer, bundle)
    assert "\n" not in str(caught.value)


def test_row_11_a_missing_bundle_names_the_command(tmp_path: Path, byte_tokenizer: Tokenizer) -> None:
    """Row 11, for the questions of CORE."""
    bundle = write_bundle(tmp_path, t=TaskFile("multiple_choice", CHOICES))
    (bundle / "eval_data" / "some" / "t.jsonl").write_text("")
    with pytest.raises(InputError, match="t.jsonl has no questions"):
        evaluate_core(Alphabet(), byte_tokenizer, bundle)
    for name in ("core.yaml", "eval_meta_data.csv"):
        (bundle / name).unlink()
        with pytest.raises(InputError, match=f"{name} does not exist: .*python -m scripts.download --core"):
            evaluate_core(Alphabet(), byte_tokenizer, bundle)
