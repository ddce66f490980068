r"""CORE: what a base model knows and understands, as one number that other laboratories report too.

The metric of DataComp-LM (:arxiv:`2406.11794`): 22 tasks, each a file of questions, for a model that only continues
text. Before a question stand a few answered ones (the *shots*), which show what is wanted. There are three kinds:

- *multiple choice*: one beginning, several continuations. The model chooses the one whose tokens it finds likeliest on
  average, so that long ones are not at a disadvantage;
- *schema*: several beginnings, one continuation. The model chooses the beginning behind which the continuation is
  likeliest on average;
- *language modeling*: one beginning, one continuation, which is right if each of its tokens is the model's first guess.

Guessing gets a part of the choices right. So the accuracy :math:`a` of a task with a chance :math:`c` is centered,
:math:`(a - c) / (1 - c)`: 0 for guessing, 1 for no mistake, below 0 for worse than guessing. CORE is the mean over
all tasks.

The questions come as a folder, the bundle: ``core.yaml`` with the list of tasks, ``eval_data/`` with a JSON-lines file
for each, ``eval_meta_data.csv`` with the chances in percent. ``python -m scripts.download --core`` fetches it.
"""

from __future__ import annotations

import csv
import importlib.util
import os
import random
import secrets
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from nanochat.common import IGNORED, InputError, base_dir
from nanochat.dataloader import shuffled
from nanochat.distributed import all_sum, share, together
from nanochat.gpt import GPT
from nanochat.hub import Download, read_rows
from nanochat.tokenizer import Tokenizer

BUNDLE_URL = "https://karpathy-public.s3.us-west-2.amazonaws.com/eval_bundle.zip"
"""Where the published bundle is."""
N_TASKS = 22
"""The number of tasks that CORE is the mean of."""
BATCH_SCORES = 1 << 28
"""Rows are computed together up to so many scores, one for each token of the vocabulary at each place: a gigabyte."""
WINDOW = 64
"""Questions whose rows are sorted by length together, so that few of their places are filling."""
SEED = 1234
"""Chooses the shots, and the questions where not all are asked."""

_COLUMNS: dict[str, dict[str, type]] = {
    "multiple_choice": {"query": str, "choices": list, "gold": int},
    "schema": {"context_options": list, "continuation": str, "gold": int},
    "language_modeling": {"context": str, "continuation": str},
}
_LARGEST_BUNDLE = 2 << 30  # bytes; a zip file can be made to unpack to much more than anyone has room for


@dataclass(frozen=True)
class CoreTask:
    """A task as the bundle describes it."""

    label: str
    """Its name, such as ``hellaswag_zeroshot``."""
    kind: str
    """``multiple_choice``, ``schema`` or ``language_modeling``."""
    path: Path
    """The file with the questions."""
    n_shots: int
    """How many answered questions stand before each."""
    chance: float
    """The share of right answers that guessing gives, 0 to 1."""
    delimiter: str = " "
    """What stands between beginning and continuation."""
    separator: str = "\n"
    """What stands between two questions."""
    by_category: bool = False
    """Whether the questions have categories: shots come from the same one, and each counts alike."""


@dataclass(frozen=True)
class CoreTaskScore:
    """How well a model did on one task."""

    label: str
    """The name of the task."""
    accuracy: float
    """The share of right answers; with categories, the mean of theirs."""
    chance: float
    """The share of right answers that guessing gives."""
    questions: int
    """How many questions were asked."""
    cropped: int
    """How many of them did not fit into the context of the model with all shots, and lost their beginning."""

    @property
    def centered(self) -> float:
        """The accuracy, stretched so that guessing is 0 and no mistake is 1.

        Example:
            >>> CoreTaskScore("quiz", accuracy=0.75, chance=0.5, questions=40, cropped=0).centered
            0.5
        """
        return (self.accuracy - self.chance) / (1 - self.chance)


@dataclass(frozen=True)
class CoreScore:
    """How well a model did on all tasks of a bundle."""

    tasks: tuple[CoreTaskScore, ...]
    """The tasks, in the order of the bundle."""
    complete: bool
    """Whether these are all questions of all 22 tasks; else the number is an estimate of CORE."""

    @property
    def core(self) -> float:
        """The mean of the centered accuracies."""
        return sum(task.centered for task in self.tasks) / len(self.tasks)

    def __str__(self) -> str:
        """Write a table, a task a line."""
        width = max(len(task.label) for task in self.tasks)
        lines = [f"{'task':<{width}}  accuracy  guessing  centered  questions"]
        for task in self.tasks:
            lines.append(
                f"{task.label:<{width}}  {task.accuracy:8.3f}  {task.chance:8.3f}  {task.centered:8.3f}  "
                f"{task.questions:9,}" + (f" ({task.cropped:,} cropped)" if task.cropped else "")
            )
        what = "CORE" if self.complete else "an estimate of CORE from a part of its questions"
        return "\n".join([*lines, f"{self.core:.4f} {what}"])


# --- The bundle --------------------------------------------------------------------------------------------------


def bundle_folder() -> Path:
    """Return where the bundle is kept: ``eval_bundle`` in the base folder, whether it is there or not."""
    return base_dir() / "eval_bundle"


def bundle_download() -> Download:
    """Describe the download of the bundle, a zip file for :func:`unpack_bundle`."""
    return Download(BUNDLE_URL, base_dir() / "hub" / "eval_bundle.zip")


def unpack_bundle(archive: Path, folder: Path | None = None) -> Path:
    """Unpack a downloaded bundle, whole or not at all.

    Args:
        archive: The zip file, with ``core.yaml`` at its top or in one folder.
        folder: Where the bundle shall be; None for :func:`bundle_folder`. One that is there is replaced.

    Returns:
        The folder.

    Raises:
        InputError: If the file is no zip file, is damaged, or holds no bundle.
    """
    folder = bundle_folder() if folder is None else folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    room = folder.with_name(f".{folder.name}.{os.getpid()}-{secrets.token_hex(4)}")
    before = room.with_name(f"{room.name}.before")
    try:
        with zipfile.ZipFile(archive) as packed:
            if sum(entry.file_size for entry in packed.infolist()) > _LARGEST_BUNDLE:
                raise InputError(f"{archive} would unpack to more than {_LARGEST_BUNDLE >> 30} GB: it is no bundle")
            packed.extractall(room)  # names that lead out of the folder lose their '..' here
        found = [path for path in (room, *sorted(room.iterdir())) if (path / "core.yaml").is_file()]
        if not found:
            raise InputError(f"{archive} has no core.yaml: it is no CORE bundle; fetch it again")
        load_bundle(found[0])
        if folder.exists():
            folder.rename(before)
        found[0].rename(folder)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError) as error:
        raise InputError(f"{archive} is not a whole zip file ({error}): delete it and fetch it again") from error
    finally:
        shutil.rmtree(room, ignore_errors=True)
        shutil.rmtree(before, ignore_errors=True)
    return folder


def load_bundle(folder: Path | str) -> list[CoreTask]:
    """Read the list of tasks of a bundle; the questions are read when they are asked.

    Args:
        folder: The unpacked bundle.

    Returns:
        The tasks in their order.

    Raises:
        InputError: If the bundle is missing or something in it cannot be used; the message names file and task.
    """
    folder = Path(folder)
    listed, chances = folder / "core.yaml", _chances(folder / "eval_meta_data.csv")
    if importlib.util.find_spec("yaml") is None:
        raise InputError(f"{listed} needs PyYAML to be read: pip install 'nanochat[data]'")
    import yaml

    try:
        content = yaml.safe_load(_text(listed))
    except yaml.YAMLError as error:
        raise InputError(f"{listed} is no YAML ({' '.join(str(error).split())[:120]}): fetch it again") from error
    entries = content.get("icl_tasks") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{listed} has no list icl_tasks: fetch it again with python -m scripts.download --core")
    return [_task(listed, number, entry, chances) for number, entry in enumerate(entries, 1)]


def _task(listed: Path, number: int, entry: Any, chances: dict[str, float]) -> CoreTask:
    """Make a task of an entry of core.yaml."""

    def value(name: str, kind: type, default: Any = None) -> Any:
        found = entry.get(name, default) if isinstance(entry, dict) else None
        if not isinstance(found, kind):
            raise InputError(f"{listed}, task {number}: {name} is {found!r}, not {kind.__name__}: correct it")
        return found

    label, kind, place = value("label", str), value("icl_task_type", str), value("dataset_uri", str)
    if kind not in _COLUMNS:
        raise InputError(f"{listed}, task {label}: icl_task_type {kind!r} is unknown: use one of {', '.join(_COLUMNS)}")
    shots = value("num_fewshot", list)
    if len(shots) != 1 or not isinstance(shots[0], int) or not 0 <= shots[0] <= 100:
        raise InputError(f"{listed}, task {label}: num_fewshot is {shots}, not a list of one number from 0 to 100")
    if label not in chances:
        raise InputError(f"{listed}, task {label} is not in eval_meta_data.csv: add a line with its random baseline")
    path = listed.parent / "eval_data" / place
    if ".." in Path(place).parts or not path.is_file():
        raise InputError(f"{listed}, task {label}: {place!r} is no file in {path.parents[len(Path(place).parts) - 1]}")
    return CoreTask(
        label,
        kind,
        path,
        shots[0],
        chances[label],
        value("continuation_delimiter", str, " "),
        value("example_delimiter", str, "\n"),
        value("has_categories", bool, False),
    )


def _chances(path: Path) -> dict[str, float]:
    """Read which share of each task guessing gets right."""
    chances = {}
    for number, row in enumerate(csv.DictReader(_text(path).splitlines()), 2):
        try:
            chances[row["Eval Task"]] = float(row["Random baseline"]) / 100
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{path}, line {number} has no 'Eval Task' with a number as 'Random baseline': fetch the bundle again"
            ) from error
        if not 0 <= chances[row["Eval Task"]] < 1:
            raise InputError(f"{path}, line {number}: the random baseline must be from 0 to below 100 percent")
    return chances


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist: fetch the bundle with python -m scripts.download --core") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 at byte {error.start}: fetch the bundle again") from error


# --- Questions ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """A question of any kind: pairs of beginning and continuation, of which one is right."""

    pairs: tuple[tuple[str, str], ...]
    """What to choose from; a single pair where nothing is chosen."""
    right: int = 0
    """The place of the right pair."""
    category: str = ""
    """What the question is about, where the task has categories."""


def read_questions(task: CoreTask) -> list[Question]:
    """Read all questions of a task.

    White space at the ends of beginnings and continuations is left out; the task's delimiter stands between them.

    Args:
        task: The task.

    Returns:
        Its questions, in the order of the file.

    Raises:
        InputError: If a row cannot be used; the message names file, row and column.
    """
    columns = _COLUMNS[task.kind] | ({"category": str} if task.by_category else {})
    questions = []
    for number, row in enumerate(read_rows(task.path, columns), 1):
        many = next((name for name in ("choices", "context_options") if name in row), None)
        if many is not None:
            options = row[many]
            if len(options) < 2 or not all(isinstance(option, str) for option in options):
                raise InputError(f"{task.path}, row {number}, column {many!r} is not two texts or more: correct it")
            if not 0 <= row["gold"] < len(options):
                raise InputError(
                    f"{task.path}, row {number}, column 'gold' is {row['gold']}, not from 0 to {len(options) - 1}"
                )
        if many == "choices":
            pairs = [(row["query"], option) for option in options]
        elif many == "context_options":
            pairs = [(option, row["continuation"]) for option in options]
        else:
            pairs = [(row["context"], row["continuation"])]
        if not all(continuation.strip() for _, continuation in pairs):
            raise InputError(f"{task.path}, row {number} has an empty continuation: there is nothing to score")
        stripped = tuple((beginning.strip(), continuation.strip()) for beginning, continuation in pairs)
        questions.append(Question(stripped, row.get("gold", 0), row.get("category", "")))
    if not questions:
        raise InputError(f"{task.path} has no questions: fetch the bundle again")
    return questions


def choose_shots(task: CoreTask, questions: Sequence[Question], number: int) -> list[Question]:
    """Choose the answered questions that stand before a question: never itself, of its category, always the same.

    Args:
        task: The task.
        questions: All its questions.
        number: The question that is asked.

    Returns:
        As many as the task wants, or all others if there are fewer.
    """
    rng = random.Random(f"{SEED} {task.label} {number}")
    if task.by_category:
        pool = [i for i, other in enumerate(questions) if other.category == questions[number].category]
    else:
        pool = range(len(questions))
    chosen: list[int] = []
    while len(chosen) < min(task.n_shots, len(pool) - 1):
        # Of all methods of Random only random() promises the same numbers for ever.
        other = pool[int(rng.random() * len(pool))]
        if other != number and other not in chosen:
            chosen.append(other)
    return [questions[i] for i in chosen]


def prompt_pairs(task: CoreTask, question: Question, shots: Sequence[Question]) -> list[tuple[str, str]]:
    r"""Write out what the model reads: for each pair the text before the continuation, and the continuation.

    Spaces at the end of the first belong to the second, because tokens carry the space before a word.

    Args:
        task: The task.
        question: The question.
        shots: The answered questions that stand before it.

    Returns:
        One pair of texts for each choice.

    Example:
        >>> task = CoreTask("quiz", "multiple_choice", Path("quiz.jsonl"), 1, 0.5, delimiter="\nAnswer: ")
        >>> shot = Question((("1+1?", "2"), ("1+1?", "3")))
        >>> prompt_pairs(task, Question((("2+2?", "4"), ("2+2?", "5"))), [shot])[1]
        ('1+1?\nAnswer: 2\n2+2?\nAnswer:', ' 5')
    """
    before = "".join(
        f"{beginning}{task.delimiter}{continuation}{task.separator}"
        for beginning, continuation in (shot.pairs[shot.right] for shot in shots)
    )
    pairs = []
    for beginning, continuation in question.pairs:
        whole = f"{before}{beginning}{task.delimiter}"
        kept = whole.rstrip(" ")
        pairs.append((kept, whole[len(kept) :] + continuation))
    return pairs


# --- Scoring -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Row:
    """A row of tokens whose last ones are scored."""

    question: int
    choice: int
    ids: list[int]
    scored: int
    cropped: bool


def evaluate_core(
    model: GPT,
    tokenizer: Tokenizer,
    folder: Path | str | None = None,
    max_per_task: int | None = None,
    progress: bool = True,
) -> CoreScore:
    """Ask a base model the questions of a bundle.

    A question that is longer than the model's context loses its beginning, which are the first shots. Several
    processes divide the questions among them, and each gets the scores of all.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        folder: The unpacked bundle; None for :func:`bundle_folder`.
        max_per_task: The most questions of each task, chosen evenly; None for all.
        progress: Whether to show a bar.

    Returns:
        The scores.

    Raises:
        InputError: If the bundle is missing or damaged, or the limit is below 1.
    """
    if max_per_task is not None and max_per_task < 1:
        raise InputError(f"max_per_task={max_per_task} must be at least 1, or None for all questions")
    with together("read the list of CORE's tasks"):
        tasks = load_bundle(bundle_folder() if folder is None else folder)
    scores, complete = [], len(tasks) == N_TASKS
    for task in tqdm(tasks, desc="CORE", unit="task", disable=None if progress else True):
        with together(f"read the questions of {task.label}"):
            questions = read_questions(task)
        numbers = range(len(questions))
        if max_per_task is not None and max_per_task < len(questions):
            numbers = shuffled(len(questions), SEED)[:max_per_task].tolist()
            complete = False
        scores.append(_score_task(model, tokenizer, task, questions, numbers))
    return CoreScore(tuple(scores), complete)


def _score_task(
    model: GPT, tokenizer: Tokenizer, task: CoreTask, questions: Sequence[Question], numbers: Sequence[int]
) -> CoreTaskScore:
    """Ask some questions of one task."""
    categories = sorted({questions[number].category for number in numbers})
    counts = torch.zeros((len(categories), 2))  # right, asked
    cropped = 0
    mine = share(numbers)
    for start in range(0, len(mine), WINDOW):
        some = mine[start : start + WINDOW]
        rows = [row for number in some for row in _rows(model, tokenizer, task, questions, number)]
        found = {number: [0.0] * len(questions[number].pairs) for number in some}
        for row, (likelihood, exact) in zip(rows, score_rows(model, [(r.ids, r.scored) for r in rows]), strict=True):
            found[row.question][row.choice] = likelihood if task.kind != "language_modeling" else float(exact)
        for number, values in found.items():
            question = questions[number]
            right = values.index(max(values)) == question.right if len(values) > 1 else values[0] == 1.0
            counts[categories.index(question.category)] += torch.tensor([float(right), 1.0])
        cropped += len({row.question for row in rows if row.cropped})
    right, asked = all_sum(counts).double().unbind(-1)
    return CoreTaskScore(task.label, float((right / asked).mean()), task.chance, int(asked.sum()), all_sum(cropped))


def _rows(
    model: GPT, tokenizer: Tokenizer, task: CoreTask, questions: Sequence[Question], number: int
) -> Iterator[_Row]:
    """Turn a question into rows of tokens, one for each choice."""
    question = questions[number]
    pairs = prompt_pairs(task, question, choose_shots(task, questions, number))
    room = model.config.sequence_len  # the first token, and after it as many as there are targets
    for choice, (before, continuation) in enumerate(pairs):
        scored = tokenizer.encode(continuation)
        ids = [*tokenizer.encode(before), *scored]
        yield _Row(number, choice, [tokenizer.bos, *ids[-room:]], min(len(scored), room), len(ids) > room)


@torch.inference_mode()
def score_rows(model: GPT, rows: Sequence[tuple[Sequence[int], int]]) -> list[tuple[float, bool]]:
    """Say of the ends of some rows how likely they are, and whether they are what the model would write.

    Args:
        model: The model.
        rows: Pairs of a row of token ids, at most one longer than the context, and how many of its last tokens are
            scored: at least one, and not the first.

    Returns:
        For each row the mean log-likelihood of the scored tokens in nats, and whether each of them is the one that
        the model finds likeliest there.

    Raises:
        InputError: If the model produced NaN or infinity.

    Example:
        >>> from nanochat.gpt import GPTConfig
        >>> model = GPT(GPTConfig.from_depth(1, vocab_size=64, sequence_len=8))  # fresh: all tokens equally likely
        >>> round(score_rows(model, [([5, 3, 9], 1)])[0][0], 3)
        -4.159
    """
    scores: list[tuple[float, bool]] = [(0.0, False)] * len(rows)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]))
    while order:
        longest = len(rows[order[-1]][0])
        some = [
            order.pop() for _ in range(min(len(order), max(1, BATCH_SCORES // (longest * model.config.vocab_size))))
        ]
        inputs = torch.zeros((len(some), longest - 1), dtype=torch.long)
        targets = torch.full((len(some), longest - 1), IGNORED)
        for line, i in enumerate(some):
            ids, scored = rows[i]
            inputs[line, : len(ids) - 1] = torch.tensor(ids[:-1])
            targets[line, len(ids) - 1 - scored : len(ids) - 1] = torch.tensor(ids[-scored:])
        counted = targets != IGNORED
        logits = model(inputs.to(model.device))[counted.to(model.device)].float()  # (scored tokens, V)
        if not torch.isfinite(logits).all():
            raise InputError("the model produced NaN or infinity instead of scores: its weights are damaged")
        wanted = targets[counted].to(model.device)
        likelihoods = logits.log_softmax(-1).gather(-1, wanted[:, None])[:, 0].split(counted.sum(-1).tolist())
        first = (logits.argmax(-1) == wanted).split(counted.sum(-1).tolist())
        for i, likelihood, guessed in zip(some, likelihoods, first, strict=True):
            scores[i] = likelihood.mean().item(), bool(guessed.all())
    return scores
