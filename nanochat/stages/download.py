"""Fetch data from the Hugging Face hub: shards of text to train on, tasks, and the questions of CORE.

``python -m scripts.download -n 8`` fetches eight shards and the held-out one; ``--data=shards`` trains on them. What is
complete is not fetched again, so the command goes on where it stopped. With nothing fetched, every stage runs on
data that comes with the package.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nanochat.common import InputError
from nanochat.core import bundle_download, bundle_folder, unpack_bundle
from nanochat.corpora.shards import SHARDED
from nanochat.hub import Download, DownloadError, fetch_all
from nanochat.stages.flags import parse_flags, short_flag

DEFAULT_SHARDS = 8
"""Shards for training that are fetched where nothing else is asked for."""


@dataclass(frozen=True)
class Settings:
    """The flags of ``nanochat download``."""

    num_shards: int | None = short_flag("n", None)
    """Shards of text for training, the held-out one comes on top; -1 for all, 0 for none. If not given, 8, or none with
    --tasks or --core."""
    dataset: Literal["climbmix", "fineweb-edu", "tinystories"] = "climbmix"
    """Which text: climbmix (web, the one for a good model), fineweb-edu (educational web), or tinystories."""
    tasks: bool = False
    """Fetch the tasks of the hub too: SmolTalk, GSM8K, MMLU, ARC, and HumanEval."""
    core: bool = False
    """Fetch the questions of CORE too, which base-eval asks when they are here."""
    workers: int = 4
    """Files that are fetched at the same time."""

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= 64:
            raise InputError(f"--workers={self.workers} must be from 1 to 64")
        if self.num_shards is not None:
            SHARDED[self.dataset].wanted(self.num_shards)


def task_downloads() -> list[Download]:
    """Describe the files of all tasks that come from the hub.

    Example:
        >>> task_downloads()[0].destination.name
        'test-00000-of-00001.parquet'
    """
    from nanochat.tasks import arc, gsm8k, humaneval, mmlu, smoltalk

    splits = ("test", "train")
    files = [
        *((gsm8k.DATASET, f"main/{split}-00000-of-00001.parquet") for split in splits),
        *((mmlu.DATASET, mmlu.FILES[split]) for split in splits),
        *((arc.DATASET, f"{part}/{split}-00000-of-00001.parquet") for part in arc.PARTS.values() for split in splits),
        (humaneval.DATASET, "openai_humaneval/test-00000-of-00001.parquet"),
        *((smoltalk.DATASET, file) for split in splits for file in smoltalk.FILES[split]),
    ]
    return [Download.of(dataset, path) for dataset, path in files]


def main(argv: Sequence[str] | None = None) -> None:
    """Fetch what is wanted and not here, and name what failed."""
    settings = parse_flags(Settings, argv, "nanochat download", __doc__)
    source = SHARDED[settings.dataset]
    shards = source.wanted(shards_wanted(settings))
    downloads = [*shards, *(task_downloads() if settings.tasks else [])]
    bundle = bundle_download() if settings.core and not bundle_folder().exists() else None
    if bundle is not None:
        downloads.append(bundle)

    if shards:
        print(f"text        {len(shards)} files of {source.title}, to {shards[0].destination.parent}")
        print(f"            {source.credit}")
    if settings.tasks:
        print(f"tasks       {len(task_downloads())} files")
    if settings.core:
        print(f"CORE        {'to' if bundle else 'is here already, in'} {bundle_folder()}")

    failed = fetch_all(downloads, settings.workers)
    if bundle is not None and bundle.destination not in failed:
        try:
            unpack_bundle(bundle.destination)
        finally:  # also a bad one: the next try shall fetch it anew
            bundle.destination.unlink()
    if failed:
        for reason in failed.values():
            print(f"failed      {reason}")
        names = ", ".join(path.name for path in list(failed)[:3]) + (", ..." if len(failed) > 3 else "")
        raise DownloadError(
            f"{len(failed)} of {len(downloads)} files could not be fetched ({names}): the reasons stand above; run the "
            f"same command again, what is complete is kept"
        )
    size = sum(each.destination.stat().st_size for each in downloads if each is not bundle)
    print(f"complete    {len(downloads)} files, {size / 1e6:,.1f} MB")
    if shards:
        print(f"to train    python -m scripts.base_train --data={source.name}")


def shards_wanted(settings: Settings) -> int:
    """Say how many shards for training to fetch.

    Args:
        settings: The flags.

    Returns:
        The number; -1 for all.

    Example:
        >>> shards_wanted(Settings()), shards_wanted(Settings(tasks=True))
        (8, 0)
    """
    if settings.num_shards is not None:
        return settings.num_shards
    if settings.tasks or settings.core:
        return 0
    source = SHARDED[settings.dataset]
    return min(DEFAULT_SHARDS, source.n_shards - source.holds_out_last)
