"""Which model a command talks to: the flags ``--source``, ``--run`` and ``--step``, and the search behind them.

The stages of training keep their checkpoints in folders of the base folder: ``base/RUN``, ``mid/RUN``, ``sft/RUN`` and
``rl/RUN``, each with one folder for each saved step and the run's own copy of the tokenizer. A model that was trained
through more stages is more finished, and with ``--source=auto`` the most finished one is taken.
"""

from __future__ import annotations

from pathlib import Path

from nanochat.checkpoint import list_steps, load_model, read_saved
from nanochat.common import InputError, Runtime, base_dir
from nanochat.gpt import GPT
from nanochat.stages.flags import closest
from nanochat.tokenizer import Tokenizer, tokenizer_path

TRAINED = ("base", "mid", "sft", "rl")
"""The stages that leave a model, each in a folder of its own, the least finished one first."""
SOURCES = ("auto", *TRAINED, "tiny", "shipped")
"""The names that ``--source`` accepts; anything else is the path of a run or of one of its steps."""


def run_folder(stage: str, run: str) -> Path:
    """Return the folder in which a run of a stage keeps its checkpoints.

    Args:
        stage: ``base``, ``mid``, ``sft`` or ``rl``.
        run: The name of the run.

    Example:
        >>> run_folder("sft", "d4").parts[-2:]
        ('sft', 'd4')
    """
    return base_dir() / stage / run


def maker(stage: str) -> str:
    """Return the command that makes the model of a stage, for a message that says what to do.

    Args:
        stage: ``base``, ``mid``, ``sft`` or ``rl``.

    Example:
        >>> maker("sft")
        'python -m scripts.chat_sft'
    """
    name = {"base": "base_train", "mid": "mid_train", "sft": "chat_sft", "rl": "chat_rl"}[stage]
    return f"python -m scripts.{name}"


def last_run(stage: str) -> str | None:
    """Name the run of a stage that was saved last; None if there is none.

    Args:
        stage: ``base``, ``mid``, ``sft`` or ``rl``.
    """
    root = base_dir() / stage
    runs = [path for path in sorted(root.iterdir()) if list_steps(path)] if root.is_dir() else []
    return max(runs, key=_saved_at).name if runs else None


def _saved_at(run: Path) -> float:
    """Say when the newest step of a run was written."""
    return max(path.stat().st_mtime for path in run.glob("step_*"))


def run_tokenizer(folder: Path) -> Tokenizer:
    """Load the tokenizer that a run was trained with.

    Args:
        folder: The folder of the run.

    Returns:
        The copy that the run keeps; for a run without one, the tokenizer of the base folder.

    Raises:
        InputError: If there is neither, or the file is damaged.
    """
    own = folder / "tokenizer.json"
    return Tokenizer.load(own if own.exists() else tokenizer_path())


def find_run(source: str = "auto", run: str | None = None, among: tuple[str, ...] = TRAINED) -> Path | None:
    """Find the folder of a run.

    Args:
        source: ``auto`` for the most finished one, the name of a stage, or the path of a folder.
        run: Its name; None means the one that was saved last.
        among: The stages that ``auto`` looks through, the least finished one first.

    Returns:
        The folder; None if ``auto`` found nothing.

    Raises:
        InputError: If the source names nothing that exists; the message names the command that makes it.
    """
    if source == "auto":
        for stage in reversed(among):
            name = last_run(stage) if run is None else run
            if name is not None and list_steps(run_folder(stage, name)):
                return run_folder(stage, name)
        return None
    if source in TRAINED:
        name = last_run(source) if run is None else run
        if name is None or not list_steps(run_folder(source, name)):
            where = base_dir() / source if name is None else run_folder(source, name)
            raise InputError(f"{where} holds no checkpoint: make one with {maker(source)}")
        return run_folder(source, name)
    path = Path(source).expanduser()
    if not path.is_dir():
        raise InputError(
            f"--source={source!r} is neither one of {', '.join(SOURCES)} nor a folder that exists"
            f"{closest(source, SOURCES)}"
        )
    if run is not None:
        raise InputError(f"--source={source} is the folder of a run, so --run={run} has no meaning: leave it out")
    if not list_steps(path):
        raise InputError(f"{path} holds no checkpoint: give the folder of a run, which has step_... folders inside")
    return path


def find_model(
    source: str = "auto", run: str | None = None, step: int | None = None, runtime: Runtime | None = None
) -> tuple[GPT, Tokenizer, str]:
    """Load a model with its tokenizer, by a name that people type.

    Args:
        source: ``auto`` for the most finished model that was trained here, or the shipped one where none was;
            ``base``, ``mid``, ``sft`` or ``rl`` for that of a stage; ``tiny`` for the model of the site; ``shipped``
            for the one that comes with the package; or the path of a run.
        run: The name of the run; None means the one that was saved last.
        step: Which checkpoint; None means the newest whole one.
        runtime: Where the model shall live; None means the CPU in float32.

    Returns:
        The model, its tokenizer, and a few words that say which one it is.

    Raises:
        InputError: If there is no such model; the message says how to make one.

    Guide:
        "Both take the most finished model that there is." (nano/pipeline)
    """
    if source in ("tiny", "shipped"):
        if run is not None or step is not None:
            raise InputError(f"--source={source} is one model, so --run and --step have no meaning: leave them out")
        return _tiny(runtime) if source == "tiny" else _shipped(runtime)
    path = Path(source).expanduser()
    if source not in SOURCES and path.name.startswith("step_") and path.parent.is_dir():
        if step is not None or run is not None:
            raise InputError(f"--source={source} is one step, so --run and --step have no meaning: leave them out")
        found = next((n for n in list_steps(path.parent) if path.name == f"step_{n:06d}"), None)
        if found is None:
            raise InputError(f"{path.parent} has no {path.name}: it has the steps {list_steps(path.parent)}")
        folder, step = path.parent, found
    else:
        folder = find_run(source, run)
    if folder is None:
        if run is not None or step is not None:
            raise InputError(
                f"no stage has a run {run or 'at all'} in {base_dir()}: train one with {maker('base')}, or leave out "
                f"--run and --step to take what there is"
            )
        return _shipped(runtime)
    saved = read_saved(folder, step)
    tokenizer = run_tokenizer(folder)
    model = load_model(folder, saved.step, runtime, tokenizer.fingerprint)
    return model, tokenizer, str(saved.path)


def _placed(model: GPT, runtime: Runtime | None) -> GPT:
    """Move a model to where it shall compute."""
    if runtime is not None:
        model.to(runtime.device)
        model.compute_dtype = runtime.dtype
    return model.eval()


def _tiny(runtime: Runtime | None) -> tuple[GPT, Tokenizer, str]:
    from nanochat.tiny import load_tiny

    tiny = load_tiny()
    return _placed(tiny.model, runtime), tiny.tokenizer, "the tiny model of the site"


def _shipped(runtime: Runtime | None) -> tuple[GPT, Tokenizer, str]:
    from nanochat.interop import shipped_model

    model, tokenizer, _ = shipped_model()
    return _placed(model, runtime), tokenizer, "the model that comes with nanochat"
