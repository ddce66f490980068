"""Tokens to batches: every row starts where a document starts, and any batch can be found again.

Letters: B rows in a batch, T tokens in a row.

A row takes T + 1 tokens, because every token but the last is asked for the one after it: the first T are
the inputs, the last T the targets. A row is filled with whole documents, each behind the token ``<|bos|>``.
The last document of a row is cropped where the row ends, and its rest is not carried into the next row: a row
that began in the middle of a text would ask the model to go on with a story whose start it never saw. The
price is the cropped tokens, which :attr:`TokenLoader.cropped_share` reports; they come back in another
epoch, where the order is another one.

Two numbers say where training stands: the epoch and the row in it. Both count the rows of all processes
together, so a run saved with two processes goes on exactly with one or with four.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch

from nanochat.common import IGNORED, InputError
from nanochat.corpora import Corpus
from nanochat.tokenizer import Tokenizer


def load_tokens(corpus: Corpus, tokenizer: Tokenizer, split: str, at_once: int = 1024) -> list[np.ndarray]:
    """Turn one split of a corpus into tokens, document by document.

    Args:
        corpus: The text, as from :func:`nanochat.corpora.load_corpus`.
        tokenizer: Encodes the documents; no special token is added.
        split: ``"train"`` or ``"val"``.
        at_once: Documents that the tokenizer gets in one call.

    Returns:
        One array of int32 a document, in the order of the corpus, in host memory.

    Raises:
        InputError: If the split is unknown or has no documents.
    """
    documents = iter(corpus.documents(split))
    tokens: list[np.ndarray] = []
    while batch := list(islice(documents, at_once)):
        tokens.extend(np.asarray(ids, dtype=np.int32) for ids in tokenizer.encode_batch(batch))
    return tokens


class TokenLoader:
    """Hands out batches of token rows, forever, in an order that seed and epoch fix.

    The order of the documents in an epoch is a pure function of ``(seed, epoch)``. It is the sorting order of
    raw words of a PCG64 generator, a stream that NumPy promises not to change, so another machine sees
    the same batches. When the documents are used up, the next epoch begins, also in the middle of a batch:
    a corpus smaller than a batch is simply seen more than once.

    Args:
        documents: Tokens of each document, without ``<|bos|>``; empty documents are left out.
        batch_size: B, rows that this process gets in a batch.
        sequence_len: T, tokens in a row.
        bos: The id of ``<|bos|>``, put before every document.
        seed: Chooses the order; any integer from 0 on.
        rank: The number of this process, from 0. With N processes, rank r gets rows rB to (r + 1)B of the
            batch of N·B rows that a single process would get.
        world_size: N, the number of processes.

    Raises:
        InputError: If there is no token to learn from, a token id is negative, or a size is out of range.

    Example:
        >>> loader = TokenLoader([[1, 2], [3, 4], [5]], batch_size=1, sequence_len=8, bos=0)
        >>> inputs, targets = loader.next_batch()
        >>> inputs.tolist(), targets.tolist()
        ([[0, 5, 0, 3, 4, 0, 1, 2]], [[5, 0, 3, 4, 0, 1, 2, -1]])
        >>> loader.epoch
        1

    Guide:
        "A row that began in the middle would ask the pupil to go on with a tale whose start it never saw."
        (nano/training/index)
    """

    def __init__(
        self,
        documents: Iterable[Sequence[int] | np.ndarray],
        batch_size: int,
        sequence_len: int,
        bos: int,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        for name, value, least in (
            ("batch_size", batch_size, 1), ("sequence_len", sequence_len, 1), ("bos", bos, 0), ("seed", seed, 0),
            ("world_size", world_size, 1),
        ):  # fmt: skip
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(f"{name}={value!r} must be an integer of at least {least}")
        if not 0 <= rank < world_size:
            raise InputError(f"rank={rank} must be from 0 to world_size - 1 = {world_size - 1}")
        self.batch_size, self.sequence_len, self.bos, self.seed = batch_size, sequence_len, bos, seed
        self.rank, self.world_size = rank, world_size
        self._tokens, self._starts = _flatten(documents, bos)
        self._lengths = np.diff(self._starts)
        self.fingerprint = _fingerprint(self._tokens, self._starts)
        """SHA-256 of all documents in order: the same tokens, cut into the same documents."""
        self._epoch = self._row = 0
        self._plan_epoch()

    @property
    def epoch(self) -> int:
        """How often all documents have been handed out: the epoch of the row that comes next."""
        return self._epoch

    @property
    def rows_per_epoch(self) -> int:
        """Rows of the present epoch, all processes together; another epoch may need a few more or less."""
        return len(self._firsts) - 1

    @property
    def n_tokens(self) -> int:
        """Tokens of all documents, each with its ``<|bos|>``."""
        return len(self._tokens)

    @property
    def cropped_share(self) -> float:
        """The share of tokens, 0 to 1, that the present epoch loses where rows end."""
        used = np.minimum(np.add.reduceat(self._lengths[self._order], self._firsts[:-1]), self.sequence_len + 1)
        return 1.0 - float(used.sum()) / self.n_tokens

    def next_batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the next rows for this process, and move on by the rows of all processes.

        Returns:
            ``inputs`` and ``targets``, both ``(B, T)`` and int64. ``targets[b, t]`` is the token after
            ``inputs[b, t]``, or -1 where nothing is to be predicted.

        Guide:
            "The targets are the inputs, moved one place to the left: the answer at each place is the token that
            stands at the next." (nano/training/index)
        """
        rows = np.empty((self.batch_size, self.sequence_len + 1), dtype=np.int64)
        mine = range(self.rank * self.batch_size, (self.rank + 1) * self.batch_size)
        for i in range(self.batch_size * self.world_size):
            if i in mine:
                self._fill(rows[i - mine.start])
            self._advance()
        inputs = np.where(rows[:, :-1] == IGNORED, self.bos, rows[:, :-1])  # an embedding has no row for -1
        return torch.from_numpy(inputs), torch.from_numpy(rows[:, 1:].copy())

    def state_dict(self) -> dict[str, Any]:
        """Return where the loader stands: plain numbers and text, fit for JSON."""
        return {
            "epoch": self._epoch, "row": self._row, "seed": self.seed, "sequence_len": self.sequence_len,
            "bos": self.bos, "fingerprint": self.fingerprint,
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to where another loader stood; the next batch is the one that it would have given.

        Batch size and number of processes may differ, because the position counts rows.

        Args:
            state: What :meth:`state_dict` returned.

        Raises:
            InputError: If the documents, the seed, T or ``<|bos|>`` are other ones, or the position does not
                exist: going on would silently repeat some text and skip other text.
        """
        missing = [name for name in self.state_dict() if name not in state]
        if missing:
            raise InputError(f"the position of the dataloader lacks {', '.join(missing)}: start the run anew")
        if state["fingerprint"] != self.fingerprint:
            raise InputError(
                f"the data changed since the position was saved (fingerprint {str(state['fingerprint'])[:12]}, now "
                f"{self.fingerprint[:12]}): restore the corpus and the tokenizer, or start the run anew"
            )
        for name in ("seed", "sequence_len", "bos"):
            if state[name] != getattr(self, name):
                raise InputError(
                    f"the position was saved with {name}={state[name]}, this loader has {name}="
                    f"{getattr(self, name)}: use the saved value, or start the run anew"
                )
        before = self._epoch, self._row
        self._epoch, self._row = int(state["epoch"]), int(state["row"])
        if self._epoch >= 0:
            self._plan_epoch()
        if self._epoch < 0 or not 0 <= self._row < self.rows_per_epoch:
            self._epoch, self._row = before
            self._plan_epoch()
            raise InputError(
                f"epoch {state['epoch']}, row {state['row']} is no position in this data: start the run anew"
            )

    def _plan_epoch(self) -> None:
        """Order the documents of this epoch and find the document with which each row begins."""
        words = np.random.PCG64(np.random.SeedSequence([self.seed, self._epoch])).random_raw(len(self._lengths))
        self._order = np.argsort(words, kind="stable")
        ends = np.cumsum(self._lengths[self._order])
        firsts, n = [0], len(ends)
        while firsts[-1] < n:
            begun = ends[firsts[-1] - 1] if firsts[-1] else 0
            firsts.append(min(n, int(np.searchsorted(ends, begun + self.sequence_len + 1)) + 1))
        self._firsts = np.array(firsts)

    def _fill(self, row: np.ndarray) -> None:
        """Write the row at the present position: whole documents, the last one cropped."""
        filled = 0
        for document in self._order[self._firsts[self._row] : self._firsts[self._row + 1]]:
            start = self._starts[document]
            take = min(self._lengths[document], len(row) - filled)
            row[filled : filled + take] = self._tokens[start : start + take]
            filled += take
        row[filled:] = IGNORED  # only in the last row of an epoch

    def _advance(self) -> None:
        """Go to the next row, and past the last one to the next epoch."""
        self._row += 1
        if self._row == self.rows_per_epoch:
            self._epoch, self._row = self._epoch + 1, 0
            self._plan_epoch()


def _flatten(documents: Iterable[Sequence[int] | np.ndarray], bos: int) -> tuple[np.ndarray, np.ndarray]:
    """Put all documents, each behind ``bos``, into one array; return it and where each begins."""
    head = np.array([bos], dtype=np.int32)
    pieces: list[np.ndarray] = []
    starts = [0]
    for number, document in enumerate(documents):
        ids = np.asarray(document)
        if ids.size == 0:
            continue
        if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
            raise InputError(
                f"document {number} must be a list of token ids, not {type(document).__name__} of {ids.dtype}"
            )
        if ids.min() < 0 or ids.max() > np.iinfo(np.int32).max:
            raise InputError(f"document {number} holds the token id {ids.min()}, ids start at 0: encode it again")
        pieces += [head, ids.astype(np.int32)]
        starts.append(starts[-1] + 1 + len(ids))
    if not pieces:
        raise InputError("the dataloader got no tokens at all: give at least one document that is not empty")
    return np.concatenate(pieces), np.array(starts)


def _fingerprint(tokens: np.ndarray, starts: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in (tokens.astype("<i4", copy=False), starts.astype("<i8", copy=False)):
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()
