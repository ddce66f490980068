"""Pretraining text of the Hugging Face hub, in shards: many parquet files with one document a row.

The documents of these sets are shuffled, so a few shards are a fair sample of the whole, and
``python -m scripts.download -n 8`` fetches no more than it is asked for. The last shard is the held-out text. It is
fetched each time, so two people who train on different numbers of shards measure on the same text.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nanochat.common import InputError
from nanochat.hub import Download, hub_path


@dataclass(frozen=True)
class ShardedSet:
    """A data set of the hub whose files are numbered."""

    name: str
    """What :func:`nanochat.corpora.load_corpus` and ``download --dataset`` call it."""
    dataset: str
    """Owner and name on the hub."""
    title: str
    """A few words for headings and legends."""
    n_shards: int
    """How many files there are."""
    pattern: str = "shard_{:05d}.parquet"
    """The name of a file, with a place for its number, which counts from 0."""
    holds_out_last: bool = True
    """Whether the last file is the held-out text; else the hash of each text decides."""

    @property
    def credit(self) -> str:
        """Where authors and licence stand."""
        return f"{self.title}, licence at https://huggingface.co/datasets/{self.dataset}"

    def file(self, number: int) -> Path:
        """Return where shard ``number`` is kept, whether it is here or not."""
        return hub_path(self.dataset, self.pattern.format(number))

    def wanted(self, n: int) -> list[Download]:
        """Describe the first ``n`` shards for training, and the held-out one.

        Args:
            n: How many shards for training; 0 for nothing at all, -1 for all.

        Returns:
            What to fetch, in the order of the numbers.

        Raises:
            InputError: If there are not so many.

        Example:
            >>> [each.destination.name for each in SHARDED["climbmix"].wanted(2)]
            ['shard_00000.parquet', 'shard_00001.parquet', 'shard_06542.parquet']
        """
        most = self.n_shards - self.holds_out_last
        if not -1 <= n <= most:
            raise InputError(f"{n} shards of {self.name} cannot be had: ask for 0 to {most}, or -1 for all")
        held_out = [self.n_shards - 1] if self.holds_out_last and n else []
        numbers = [*range(most if n == -1 else n), *held_out]
        return [Download.of(self.dataset, self.pattern.format(number)) for number in numbers]

    def here(self) -> tuple[list[Path], list[Path]]:
        """Return the shards for training that are here, and the held-out one if it is."""
        folder = hub_path(self.dataset)
        names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        found = [number for number in range(self.n_shards) if self.pattern.format(number) in names]
        last = self.n_shards - 1 if self.holds_out_last else -1
        return [self.file(n) for n in found if n != last], [self.file(n) for n in found if n == last]


SHARDED = {
    each.name: each
    for each in (
        ShardedSet("climbmix", "karpathy/climbmix-400b-shuffle", "ClimbMix, shuffled", 6543),
        ShardedSet("fineweb-edu", "karpathy/fineweb-edu-100b-shuffle", "FineWeb-Edu, shuffled", 1823),
        ShardedSet(
            "tinystories",
            "karpathy/tinystories-gpt4-clean",
            "TinyStories, cleaned",
            1,
            "tinystories_gpt4_clean.parquet",
            holds_out_last=False,
        ),
    )
}
"""The sets by name, the default first."""


def find_sharded(name: str) -> ShardedSet:
    """Return the set of this name, or for ``shards`` the first one that has been downloaded.

    Args:
        name: A name of :data:`SHARDED`, or ``shards``.

    Returns:
        A set of which at least one shard for training is on this machine.

    Raises:
        InputError: If it has not been downloaded; the message has the command that does it.
    """
    wanted = list(SHARDED.values()) if name == "shards" else [SHARDED[name]]
    for each in wanted:
        if each.here()[0]:
            return each
    for each in wanted:
        if each.here()[1]:
            raise InputError(f"of corpus {each.name!r} only the held-out shard is on this machine: {_command(each)}")
    raise InputError(
        f"corpus {name!r} is not on this machine (looked in {hub_path(wanted[0].dataset)}): {_command(wanted[0])}"
    )


def _command(wanted: ShardedSet) -> str:
    first = next(iter(SHARDED))
    return "fetch shards with python -m scripts.download -n 8" + (
        "" if wanted.name == first else f" --dataset={wanted.name}"
    )
