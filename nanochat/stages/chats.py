"""What mid-training and fine-tuning share: chats of several tasks, packed into rows, behind a model that exists.

The two stages differ in what counts as a target and in what else is mixed in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from nanochat.checkpoint import check_writable, load_model
from nanochat.common import InputError, Runtime
from nanochat.conversation import Message, Rendered, parse_answer, render
from nanochat.corpora import Corpus, load_corpus, wiki_file
from nanochat.dataloader import ConversationLoader, load_tokens, shuffled
from nanochat.distributed import together
from nanochat.engine import Engine
from nanochat.evaluate import answer_room, prompt_room, prompts_that_fit, question_of, score_chats, score_text
from nanochat.gpt import GPT
from nanochat.stages.models import TRAINED, find_model, find_run, maker, run_folder, run_tokenizer
from nanochat.stages.training import (
    RunSettings,
    check_least,
    describe_rates,
    describe_runtime,
    settle_dtype,
    train,
    usual_batch_size,
)
from nanochat.tasks import Task, load_task
from nanochat.token_store import is_large
from nanochat.tokenizer import Tokenizer
from nanochat.train import Plan, Recipe, TrainState

HELD_OUT_CHATS = 40
"""Chats of each task's test that a measurement reads."""
FILES = (".jsonl", ".parquet")
"""How the names of files of one's own conversations end, which may stand in the place of a task."""
HELD_OUT_TOKENS = 10_000
"""Tokens of held-out text that a measurement reads, where text is mixed in."""


@dataclass(frozen=True, kw_only=True)
class ChatSettings(RunSettings):
    """The flags of the stages that learn from chats."""

    source: str = "auto"
    """The model to go on from: auto, base, mid, sft, rl, tiny, shipped, or the path of a run."""
    run: str | None = None
    """Name of the run, in the stage that is read and in the one that is written; if not given, the run saved last."""
    tasks: str = ""
    """The tasks to learn from, with commas between; a number behind a colon takes so many chats of a task."""
    epochs: float = 1.0
    """How often the chats are read, where --num-iterations says nothing else."""
    lr_scale: float = 1.0
    """All learning rates are multiplied by this."""
    num_iterations: int | None = None
    """Steps; if not given, as many as --epochs asks for."""
    total_batch_size: int | None = None
    """Tokens of one step over all processes; if not given, 8 rows on a CPU, and about 26,000 a layer on a GPU."""
    device_batch_size: int | None = None
    """Rows that one process computes at once; if not given, 8 on a CPU and 32 on a GPU."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, num_iterations=1)
        parse_tasks(self.tasks)
        for name in ("epochs", "lr_scale"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"--{name.replace('_', '-')}={value} must be a number above 0")


def parse_tasks(text: str) -> list[tuple[str, int | None]]:
    """Read a list of tasks as it is typed.

    Args:
        text: Names with commas between, each possibly with a colon and a number.

    Returns:
        For each task its name and how many of its chats to take; None takes all.

    Raises:
        InputError: If there is no name, or what stands behind a colon is no number from 1 on.

    Example:
        >>> parse_tasks("arithmetic:500,letters")
        [('arithmetic', 500), ('letters', None)]
    """
    found: list[tuple[str, int | None]] = []
    for entry in map(str.strip, text.split(",")):
        name, _, number = entry.rpartition(":")
        if name and number.isascii() and number.isdigit() and int(number):
            found.append((name, int(number)))
        elif entry and (":" not in entry or entry.endswith(FILES)):
            found.append((entry, None))
        else:
            raise InputError(f"--tasks={text!r}: {entry!r} must be the name of a task, such as letters or letters:500")
    return found


def load_tasks(text: str, split: str, limit: int | None = None) -> list[Task]:
    """Load the tasks of a list.

    Args:
        text: See :func:`parse_tasks`.
        split: ``"train"`` or ``"test"``.
        limit: The most questions of each; a number in the list counts for the training split only.

    Returns:
        The tasks, in the order of the list.
    """
    return [load_task(name, split, limit=number if split == "train" else limit) for name, number in parse_tasks(text)]


def tasks_here(text: str, usual: str) -> str:
    """Take from a stage's own choice of tasks those that this machine has the data for, and say which are left out.

    What somebody names is never left out: there the missing package is an error.

    Args:
        text: The tasks that were asked for, in the form of :func:`parse_tasks`.
        usual: Those that the stage takes where nobody asks.

    Returns:
        ``text``, or what is left of it.
    """
    entries = text.split(",")
    absent = [entry for entry in entries if entry.startswith("wiki-")]
    if text != usual or not absent:
        return text
    try:
        wiki_file()
    except InputError as error:
        print(f"left out    {', '.join(absent)}: {error}")
        return ",".join(entry for entry in entries if entry not in absent)
    return text


def load_origin(
    source: str, run: str | None, among: tuple[str, ...], runtime: Runtime
) -> tuple[GPT, Tokenizer, str, str]:
    """Load the model that a stage goes on from.

    Args:
        source: See :func:`nanochat.stages.models.find_model`.
        run: The name of the run; None means the one that was saved last.
        among: The stages that ``auto`` looks through, the least finished one first.
        runtime: Where to compute.

    Returns:
        The model, its tokenizer, where it was, and the name of the run.

    Raises:
        InputError: If there is no such model.
    """
    if source in ("tiny", "shipped"):
        return *find_model(source, runtime=runtime), run or source
    named = source == "auto" or source in TRAINED
    folder = find_run(source, run if named else None, among)
    if folder is None:
        raise InputError(
            f"there is no {' or '.join(among)} model to go on from{f' of the run {run}' if run else ''}: train one "
            f"with {maker(among[0])}, or name another one with --source"
        )
    tokenizer = run_tokenizer(folder)
    model = load_model(folder, None, runtime, tokenizer.fingerprint)
    return model, tokenizer, str(folder), run or folder.name


def make_plan(settings: RunSettings, model: GPT, runtime: Runtime, lr_scale: float, **sizes: Any) -> Plan:
    """Make the plan of a stage that goes on from a model.

    Args:
        settings: The flags.
        model: The model.
        runtime: Where to compute.
        lr_scale: All learning rates are multiplied by this.
        sizes: Steps and batch sizes, which take the place of the flags.

    Returns:
        The plan.
    """
    given = {each.name: getattr(settings, each.name) for each in fields(Recipe)} | sizes
    for name in ("matrix_lr", "embedding_lr", "head_lr"):
        given[name] *= lr_scale
    return Plan(model=model.config, **given)


def rendered_chats(tasks: Iterable[Task], tokenizer: Tokenizer, learn_all: bool = False) -> Iterator[Rendered]:
    """Yield the chats of some tasks as tokens.

    Args:
        tasks: The tasks.
        tokenizer: Encodes the text.
        learn_all: Whether all tokens count, and not the assistant's alone.
    """
    for task in tasks:
        for number in range(len(task)):
            rendered = render(tokenizer, task[number])
            yield Rendered(rendered.ids, [1] * len(rendered.ids)) if learn_all else rendered


def rendered_text(corpus: Corpus, tokenizer: Tokenizer, length: int, n_tokens: float, seed: int) -> Iterator[Rendered]:
    """Yield documents of a corpus, of which every token counts.

    Of a large corpus (:func:`nanochat.token_store.is_large`), only the beginning is read, as far as it may be needed.

    Args:
        corpus: The text.
        tokenizer: Encodes it.
        length: T; what is longer is cropped to one row.
        n_tokens: Stop with the document with which so many tokens are reached.
        seed: Chooses the order.
    """
    # Where rows crop the documents, the text that is wanted is more than its tokens; of a large corpus this is enough.
    enough = max(1, math.ceil(4 * n_tokens)) if is_large(corpus) else None
    documents = load_tokens(corpus, tokenizer, "train", max_tokens=enough)
    for number in shuffled(len(documents), seed):
        if n_tokens <= 0:
            return
        ids = [tokenizer.bos, *documents[number][:length].tolist()]
        n_tokens -= len(ids)
        yield Rendered(ids, [1] * len(ids))


def learn_from_chats(
    settings: ChatSettings,
    stage: str,
    among: tuple[str, ...],
    runtime: Runtime,
    learn_all: bool = False,
    text: str | None = None,
    text_share: float = 0.0,
) -> None:
    """Load a model, let it learn from chats, save it, and let it answer.

    Args:
        settings: The flags.
        stage: The stage whose folder is written: ``mid`` or ``sft``.
        among: The stages whose model is taken, the least finished one first.
        runtime: Where to compute.
        learn_all: Whether all tokens count, and not the assistant's alone.
        text: The corpus whose documents are mixed in; None for chats alone.
        text_share: Share of the tokens that is such text.
    """
    with together("load the model and the tasks"):
        model, tokenizer, where, name = load_origin(settings.source, settings.run, among, runtime)
        tasks = tasks_here(settings.tasks, type(settings).tasks)
        learnt, asked = load_tasks(tasks, "train"), load_tasks(tasks, "test", HELD_OUT_CHATS)
        corpus = load_corpus(text) if text is not None and text_share else None
    folder = run_folder(stage, name)
    with together(f"write to {folder}"):
        check_writable(folder, None if settings.resume else 0)
    gpu = runtime.device.type != "cpu"
    rows = settings.device_batch_size or (32 if gpu else 8)
    length = model.config.sequence_len
    once = rows * length * runtime.world_size
    batch = settings.total_batch_size or usual_batch_size(model.config, once, runtime)
    plan = make_plan(
        settings, model, runtime, settings.lr_scale, device_batch_size=rows, total_batch_size=batch, num_iterations=1
    )
    n_chats = n_text = 0

    def everything() -> Iterator[Rendered]:
        nonlocal n_chats, n_text
        for chat in rendered_chats(learnt, tokenizer, learn_all):
            n_chats += len(chat.ids)
            yield chat
        if corpus is not None:
            wanted = n_chats * text_share / (1 - text_share)
            for document in rendered_text(corpus, tokenizer, length, wanted, plan.seed):
                n_text += len(document.ids)
                yield document

    with together("read the chats"):
        loader = ConversationLoader(
            everything(), rows, length, tokenizer.bos, plan.seed, runtime.rank, runtime.world_size
        )
        held_out = list(rendered_chats(asked, tokenizer))
    steps = settings.num_iterations or max(1, math.ceil(settings.epochs * loader.rows_per_epoch * length / batch))
    plan = replace(plan, num_iterations=steps)
    runtime, speed = settle_dtype(settings, plan, runtime)
    print(f"from        {where}")
    for task in learnt:
        print(f"task        {task.title}: {len(task):,} chats" + (f" ({task.credit})" if task.credit else ""))
    if corpus is not None:
        print(f"text        {corpus.title}: {n_text:,} tokens" + (f" ({corpus.credit})" if corpus.credit else ""))
    left_out = f"; {loader.left_out:,} left out, longer than {length} tokens" if loader.left_out else ""
    print(
        f"data        {loader.n_tokens:,} tokens, {loader.n_learnt / loader.n_tokens:.0%} of them to learn, in "
        f"{loader.rows_per_epoch:,} rows, {loader.empty_share:.0%} of the room empty{left_out}"
    )
    print(describe_runtime(runtime))
    print(plan.describe(speed))
    print(describe_rates(plan))
    print(f"epochs      {plan.tokens / (loader.rows_per_epoch * length):.2f} times through the data")

    def measure(state: TrainState) -> dict[str, float]:
        loss = score_chats(state.model, held_out, tokenizer.bos)
        print(f"step {state.step:6,}  held-out answers: loss {loss:.3f} nats per token")
        numbers = {"answer_loss": loss}
        if corpus is not None:
            score = score_text(state.model, tokenizer, corpus.documents("val"), max_tokens=HELD_OUT_TOKENS)
            print(f"step {state.step:6,}  held-out text: {score.bits_per_byte:.3f} bits per byte")
            numbers["bits_per_byte"] = score.bits_per_byte
        return numbers

    credits = [task.credit for task in learnt] + [corpus.credit if corpus is not None else ""]
    data = {
        "title": ", ".join([task.title for task in learnt] + ([corpus.title] if corpus is not None else [])),
        "credit": "; ".join(dict.fromkeys(filter(None, credits))),
        "tokens": loader.n_tokens,
    }
    state = train(settings, plan, folder, loader, runtime, tokenizer, model=model, measure=measure, data=data)
    if state is None:
        return
    print(f"\nsaved in {folder}; what the model answers to questions that it has not seen:")
    show_answers(Engine(state.model, tokenizer), asked)


def show_answers(engine: Engine, tasks: Sequence[Task], limit: int = 6) -> None:
    """Print the answers to the first question of some tasks.

    Args:
        engine: The model.
        tasks: Where the questions come from.
        limit: The most questions.
    """
    context = engine.model.config.sequence_len
    for task in tasks[:limit]:
        fitting = prompts_that_fit(engine.tokenizer, task, range(len(task)), prompt_room(context))
        for number, prompt in fitting:
            answer = parse_answer(
                engine.tokenizer, engine.generate(prompt, max_tokens=answer_room(context, prompt), temperature=0)[0]
            )
            asked = question_of(task[number]).messages[-1].text
            print(f"\n{task.name}\n  > {indented(asked)}\n  {indented(spoken(answer))}")
            break


def spoken(message: Message) -> str:
    """Write a message as a line to read, with its calculations in brackets.

    Args:
        message: The message.

    Example:
        >>> from nanochat.conversation import Message, Part
        >>> spoken(Message.assistant("It is ", Part("python", "6*7"), Part("output", "42"), "42."))
        'It is [6*7 -> 42]42.'
    """
    parts, written = list(message.parts), ""
    for part, after in zip(parts, [*parts[1:], None], strict=True):
        if part.kind == "text":
            written += part.text
        elif part.kind == "python":
            result = f" -> {after.text}" if after is not None and after.kind == "output" else ""
            written += f"[{part.text}{result}]"
    return written


def indented(text: str) -> str:
    """Put the lines of a text below each other, each but the first behind two blanks.

    Args:
        text: The text; white space around it goes.

    Returns:
        The text, to be printed behind two blanks.
    """
    return "\n  ".join(text.strip().splitlines())
