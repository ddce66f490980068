"""Import a model in the format of transformers, so that every stage here can use it: published weights run here.

The source is a folder, or the name of a model on the Hugging Face hub, whose files are then fetched first. It must be a
``NanoChatForCausalLM`` with its ``tokenizer.json``. The result is a checkpoint like those of the training stages:
``chat-cli``, ``chat-web`` and ``chat-eval`` find it, and training can go on from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from nanochat.accounting import count_parameters
from nanochat.checkpoint import check_writable, list_steps, run_lock
from nanochat.common import InputError
from nanochat.corpora import load_corpus
from nanochat.hub import hub_base
from nanochat.interop import fetch_folder, import_folder, save_imported, tokenizer_differences
from nanochat.reference_tokenizers import OTHER_SCRIPTS
from nanochat.stages.flags import parse_flags
from nanochat.stages.models import run_folder
from nanochat.stages.training import check_run_name


@dataclass(frozen=True)
class Settings:
    """The flags of ``nanochat import-hf``."""

    source: str
    """The folder, or the name on the hub, such as owner/model."""
    stage: Literal["base", "mid", "sft", "rl"] = "sft"
    """What kind of model it is: base continues text, the others answer in chats."""
    run: str | None = None
    """Name of the run that it becomes; if not given, the last part of the source."""

    def __post_init__(self) -> None:
        check_run_name(self.run)


def main(argv: Sequence[str] | None = None) -> None:
    """Fetch if needed, read, check, and save as a checkpoint."""
    settings = parse_flags(Settings, argv, "nanochat import-hf", __doc__)
    source = Path(settings.source).expanduser()
    name = settings.run or source.resolve().name
    check_run_name(name)
    run = run_folder(settings.stage, name)
    if list_steps(run):
        raise InputError(f"{run} holds a checkpoint already: give the run another name with --run")
    check_writable(run)
    if source.is_dir():
        folder = source
    else:
        print(f"fetching    {settings.source} from {hub_base()}")
        folder = fetch_folder(settings.source)
    imported = import_folder(folder)
    config, counted = imported.model.config, count_parameters(imported.model.config)
    print(
        f"model       {config.n_layer} layers, width {config.n_embd}, {config.n_head} heads ({config.n_kv_head} for "
        f"keys and values), context {config.sequence_len:,}, {counted.total:,} parameters"
    )
    print(f"tokenizer   {imported.tokenizer.vocab_size:,} tokens" + (", numbered anew" if imported.renumbered else ""))
    if imported.left_out:
        print(f"            {imported.left_out} rows of the vocabulary belong to no token and are left out")
    texts = [*OTHER_SCRIPTS.values(), *islice(load_corpus("pydoc").documents("train"), 50)]
    different = tokenizer_differences(folder, imported, texts)
    if different:
        raise InputError(
            f"{folder / 'tokenizer.json'} cuts {len(different)} of {len(texts)} texts otherwise than it would be read "
            f"here, such as {different[0][:40]!r}: its merges are of another kind, and the model would see other tokens"
        )
    print(
        "            not compared with its own library, which is missing: pip install 'nanochat[export]'"
        if different is None
        else f"            cuts {len(texts)} texts as its own library does"
    )
    with run_lock(run):
        path = save_imported(imported, run, settings.source)
    print(f"saved       {path}")
