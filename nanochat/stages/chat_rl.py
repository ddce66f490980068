"""Let a chat model learn from rewards: it answers, a task judges, and what did better than usual becomes likelier.

Nobody shows it the answers. For each question it tries several, the rewards are compared within the question
(:mod:`nanochat.reinforce`), and the model is moved towards its better tries. Printed are the mean reward on the way,
and how many held-out questions it gets right before and after.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from nanochat.checkpoint import check_writable
from nanochat.common import InputError
from nanochat.distributed import all_sum, together
from nanochat.engine import Engine
from nanochat.evaluate import score_task
from nanochat.reinforce import RolloutLoader, Sampling, Tries
from nanochat.stages.chats import load_origin, load_tasks, make_plan, parse_tasks
from nanochat.stages.flags import parse_flags
from nanochat.stages.models import run_folder
from nanochat.stages.training import RunSettings, check_least, describe_rates, describe_runtime, started, train
from nanochat.tasks import Mixture
from nanochat.train import StepMetrics, TrainState


@dataclass(frozen=True, kw_only=True)
class Settings(RunSettings):
    """The flags of ``nanochat chat-rl``."""

    source: str = "auto"
    """The model to go on from: auto (the fine-tuned one), base, mid, sft, rl, tiny, shipped, or the path of a run."""
    run: str | None = None
    """Name of the run, in the stage that is read and in the one that is written; if not given, the run saved last."""
    tasks: str = "arithmetic:4000"
    """The tasks to try, with commas between; a number behind a colon takes so many questions of a task."""
    num_iterations: int = 60
    """Steps, each one move of the weights."""
    questions: int = 16
    """Questions of a step, over all processes."""
    samples: int = 8
    """Answers to each question, at least 2."""
    device_batch_size: int | None = None
    """Answers that one process computes at once, a multiple of --samples; if not given, all of its share."""
    total_batch_size: int | None = None
    """Leave it out: the batch follows from --questions and --samples."""
    max_tokens: int | None = None
    """The most tokens of an answer; if not given, 256; no more than fit into the context."""
    temperature: float = 1.0
    """Temperature of the samples; at 1 they are those of the model itself."""
    top_k: int | None = None
    """How many of the best tokens each draw chooses among; if not given, all."""
    lr_scale: float = 0.05
    """All learning rates are multiplied by this."""
    eval_every: int = 0
    """Steps between two measurements; 0 measures before the first step and after the last only."""
    eval_questions: int = 100
    """Held-out questions of each task that a measurement asks."""
    dtype: str = "auto"
    """Precision of the matrix products: auto (bfloat16 on a GPU, else float32), float32, or bfloat16."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, questions=1, samples=2, num_iterations=1, eval_questions=1)
        parse_tasks(self.tasks)
        if self.total_batch_size is not None:
            raise InputError("--total-batch-size has no meaning here: set --questions and --samples")
        if self.device_batch_size is not None and (self.device_batch_size < 1 or self.device_batch_size % self.samples):
            raise InputError(
                f"--device-batch-size={self.device_batch_size} must be a multiple of --samples={self.samples}, because "
                f"the answers to one question are compared with each other"
            )

    @property
    def sampling(self) -> Sampling:
        """How answers are sampled."""
        return Sampling(
            num_samples=self.samples, max_tokens=self.max_tokens, temperature=self.temperature, top_k=self.top_k
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Load, try, learn, save, and compare."""
    settings = parse_flags(Settings, argv, "nanochat chat-rl", __doc__)
    with started(settings) as runtime:
        with together("load the model and the tasks"):
            model, tokenizer, where, name = load_origin(settings.source, settings.run, ("sft",), runtime)
            tried = load_tasks(settings.tasks, "train")
            asked = load_tasks(settings.tasks, "test", settings.eval_questions)
        folder = run_folder("rl", name)
        with together(f"write to {folder}"):
            check_writable(folder, None if settings.resume else 0)
        rows = settings.device_batch_size or max(1, settings.questions // runtime.world_size) * settings.samples
        total = settings.questions * settings.samples
        if total % (rows * runtime.world_size):
            raise InputError(
                f"--questions={settings.questions} x --samples={settings.samples} = {total} answers do not divide into "
                f"{runtime.world_size} processes x {rows} answers at once: take a multiple"
            )
        plan = make_plan(
            settings, model, runtime, settings.lr_scale,
            device_batch_size=rows, total_batch_size=total * model.config.sequence_len,
        )  # fmt: skip
        mixed = tried[0] if len(tried) == 1 else Mixture(tried, plan.seed)
        with together("prepare the questions"):
            loader = RolloutLoader(
                Engine(model, tokenizer), mixed, rows // settings.samples, settings.sampling, plan.seed,
                runtime.rank, runtime.world_size,
            )  # fmt: skip
        print(f"from        {where}")
        credit = f" ({mixed.credit})" if mixed.credit else ""
        left_out = f"; {loader.left_out:,} left out, too long for the context" if loader.left_out else ""
        print(f"questions   {mixed.title}: {loader.rows_per_epoch:,}{credit}{left_out}")
        print(describe_runtime(runtime))
        print(
            f"batch       {settings.questions} questions a step, {settings.samples} answers to each, {rows} at once\n"
            f"horizon     {plan.num_iterations:,} steps, {plan.num_iterations * total:,} answers"
        )
        print(describe_rates(plan))
        curve: list[float] = []
        rates: list[tuple[int, dict[str, float]]] = []

        def measure(state: TrainState) -> dict[str, float]:
            scores = [score_task(state.model, tokenizer, task, max_tokens=settings.max_tokens) for task in asked]
            for score in scores:
                print(
                    f"step {state.step:6,}  held-out {score.name}: {score.mean_reward:.1%} of {score.total} questions, "
                    f"{score.form:.1%} of the right form"
                )
            rates.append((state.step, {score.name: score.mean_reward for score in scores}))
            return {"pass_rate": sum(score.mean_reward for score in scores) / len(scores)}

        def begin(state: TrainState) -> dict[str, float]:
            loader.engine = Engine(state.model, tokenizer)
            return measure(state)

        def watch(state: TrainState, metrics: StepMetrics) -> dict[str, float]:
            tries = added_up(loader.take_tries())
            curve.append(tries.reward / tries.answers)
            return {
                "reward": curve[-1],
                "right_form": tries.well_formed / tries.answers,
                "skipped": tries.skipped / tries.groups,
                "tokens": tries.tokens / tries.answers,
            }

        data = {"title": mixed.title, "credit": mixed.credit}
        state = train(
            settings, plan, folder, loader, runtime, tokenizer, model=model, measure=measure, watch=watch,
            on_start=begin, data=data,
        )  # fmt: skip
        if state is None:
            return
        print(f"\nsaved in {folder}; the mean reward on the way:\n{draw(curve)}\n")
        (first, before), (last, after) = rates[0], rates[-1]
        for task in before:
            print(f"held-out {task}: {before[task]:.1%} after {first} steps, {after[task]:.1%} after {last}")


def added_up(tries: Tries) -> Tries:
    """Add up what came of a step over all processes.

    Args:
        tries: What came of the questions of this process.

    Returns:
        What came of all; every process gets it.
    """
    return Tries(**{name: all_sum(value) for name, value in asdict(tries).items()})


def draw(curve: Sequence[float], rows: int = 10, width: int = 40) -> str:
    """Draw a curve of shares as bars of characters, each the mean of some steps.

    Args:
        curve: Numbers from 0 to 1, one a step.
        rows: The most bars.
        width: Characters of a bar that stands for 1.

    Returns:
        Lines of text.

    Example:
        >>> print(draw([0.25, 0.5, 1.0], rows=3, width=8))
        step      1  0.250  ##
        step      2  0.500  ####
        step      3  1.000  ########
    """
    n = min(rows, len(curve))
    lines = []
    for row in range(n):
        start, end = row * len(curve) // n, (row + 1) * len(curve) // n
        mean = sum(curve[start:end]) / (end - start)
        lines.append(f"step {start + 1:6,}  {mean:.3f}  {'#' * round(mean * width)}")
    return "\n".join(lines)
