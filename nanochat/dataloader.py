"""Tokens to batches: every row starts where a document starts, and any batch can be found again.

Letters: B rows in a batch, T tokens in a row.

A row takes T + 1 tokens, because every token but the last is asked for the one after it: the first T are
the inputs, the last T the targets. A row is filled with whole documents, each behind the token ``<|bos|>``.
The last document of a row is cropped where the row ends, and its rest is not carried into the next row: a row
that began in the middle of a text would ask the model to go on with a story whose start it never saw. The
price is the cropped tokens, which :attr:`TokenLoader.cropped_share` reports; they come back in another
epoch, where the order is another one.

Chats are rows of another kind (:class:`ConversationLoader`). None is ever cropped: without its end an answer
teaches nothing about where answers end. A row is filled with whole chats and the rest of it stays empty; and the loss
counts only the tokens that the model has to write by itself.

Two numbers say where training stands: the epoch and the row in it. Both count the rows of all processes
together, so a run saved with two processes goes on exactly with one or with four.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch

from nanochat.common import IGNORED, InputError
from nanochat.conversation import Rendered
from nanochat.corpora import Corpus
from nanochat.token_store import TokenStore
from nanochat.tokenizer import Tokenizer

LOOKAHEAD = 32
"""Chats among which the next one of a row is chosen."""


def load_tokens(
    corpus: Corpus, tokenizer: Tokenizer, split: str, at_once: int = 1024, max_tokens: int | None = None
) -> list[np.ndarray]:
    """Turn one split of a corpus into tokens, document by document.

    Text is read and let go piece by piece; the tokens stay, at 4 bytes each. :class:`TokenLoader` copies them into one
    array, so a process needs about 8 bytes of memory for each token while it starts and 4 afterwards: a shard of
    60 million tokens takes half a gigabyte, then a quarter. Every process of a machine has a copy of its own. For many
    shards there is :mod:`nanochat.token_store`.

    Args:
        corpus: The text, as from :func:`nanochat.corpora.load_corpus`.
        tokenizer: Encodes the documents; no special token is added.
        split: ``"train"`` or ``"val"``.
        at_once: Documents that the tokenizer gets in one call.
        max_tokens: Stop after the document with which so many tokens are reached; None for no limit.

    Returns:
        One array of int32 a document, in the order of the corpus, in host memory.

    Raises:
        InputError: If the split is unknown or has no documents, or the limit is below 1.
    """
    if max_tokens is not None and max_tokens < 1:
        raise InputError(f"max_tokens={max_tokens} must be at least 1, or None for no limit")
    documents = iter(corpus.documents(split))
    tokens: list[np.ndarray] = []
    count = 0
    while batch := list(islice(documents, at_once)):
        for ids in tokenizer.encode_batch(batch):
            tokens.append(np.asarray(ids, dtype=np.int32))
            count += len(ids)
            if max_tokens is not None and count >= max_tokens:
                return tokens
    return tokens


class Rows:
    """An endless order of rows, epoch after epoch, of which this process takes its share; it can go to any place.

    What a row is, the loaders below decide: each plans an epoch as a pure function of ``(seed, epoch)``. Reading
    and saving the place is the same for all of them.

    Args:
        batch_size: B, rows that this process gets in a batch.
        seed: Chooses the order; any integer from 0 on.
        rank: The number of this process, from 0. With N processes, rank r gets rows rB to (r + 1)B of the
            batch of N·B rows that a single process would get.
        world_size: N, the number of processes.
        fixed: Other whole numbers that a run must not change, by name: each becomes an attribute, is saved with the
            place, and is compared when a place is taken up.

    Raises:
        InputError: If a number is out of range.
    """

    fingerprint: str
    """SHA-256 of all that the rows are made of."""

    def __init__(self, batch_size: int, seed: int, rank: int, world_size: int, **fixed: int) -> None:
        least = {"batch_size": 1, "sequence_len": 1, "bos": 0, "seed": 0, "world_size": 1}
        for name, value in {"batch_size": batch_size, **fixed, "seed": seed, "world_size": world_size}.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < least.get(name, 1):
                raise InputError(f"{name}={value!r} must be an integer of at least {least.get(name, 1)}")
        if not 0 <= rank < world_size:
            raise InputError(f"rank={rank} must be from 0 to world_size - 1 = {world_size - 1}")
        self.batch_size, self.seed, self.rank, self.world_size = batch_size, seed, rank, world_size
        self._fixed = tuple(fixed)
        for name, value in fixed.items():
            setattr(self, name, value)
        self._epoch = self._row = 0

    @property
    def epoch(self) -> int:
        """How often everything has been handed out: the epoch of the row that comes next."""
        return self._epoch

    @property
    def rows_per_epoch(self) -> int:
        """Rows of the present epoch, all processes together; another epoch may need a few more or less."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Return where the loader stands: plain numbers and text, fit for JSON."""
        fixed = {name: getattr(self, name) for name in self._fixed}
        return {
            "epoch": self._epoch, "row": self._row, "seed": self.seed, **fixed, "fingerprint": self.fingerprint,
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to where another loader stood; the next batch is the one that it would have given.

        Batch size and number of processes may differ, because the position counts rows.

        Args:
            state: What :meth:`state_dict` returned.

        Raises:
            InputError: If the data, the seed or another fixed number are other ones, or the position does not
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
        for name in ("seed", *self._fixed):
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
        """Decide on the rows of the present epoch."""
        raise NotImplementedError

    def _mine(self) -> range:
        """Return the rows of the next batch of all processes that are for this process."""
        return range(self.rank * self.batch_size, (self.rank + 1) * self.batch_size)

    def _advance(self) -> None:
        """Go to the next row, and past the last one to the next epoch."""
        self._row += 1
        if self._row == self.rows_per_epoch:
            self._epoch, self._row = self._epoch + 1, 0
            self._plan_epoch()


def shuffled(n: int, *words: int) -> np.ndarray:
    """Return the numbers from 0 to n - 1 in an order that a few numbers fix, on every machine.

    It is the sorting order of raw words of a PCG64 generator, a stream that NumPy promises not to change.

    Args:
        n: How many numbers.
        words: What the order depends on, such as seed and epoch; integers from 0 on.

    Example:
        >>> sorted(shuffled(4, 42, 0).tolist())
        [0, 1, 2, 3]
    """
    return np.argsort(np.random.PCG64(np.random.SeedSequence(list(words))).random_raw(n), kind="stable")


class TokenLoader(Rows):
    """Hands out batches of token rows, forever, in an order that seed and epoch fix.

    The order of the documents in an epoch is a pure function of ``(seed, epoch)``. It is the sorting order of
    raw words of a PCG64 generator, a stream that NumPy promises not to change, so another machine sees
    the same batches. When the documents are used up, the next epoch begins, also in the middle of a batch:
    a corpus smaller than a batch is simply seen more than once.

    Beside the tokens, a process keeps about 18 MB for each million documents. To plan an epoch it needs about 40 MB
    and a second for each million (measured with documents of 800 tokens and rows of 2048).

    Args:
        documents: Tokens of each document, without ``<|bos|>``; empty documents are left out. Or a
            :class:`nanochat.token_store.TokenStore` of the same documents, which stays on the disk: the batches are the
            same, and of the tokens only those of the rows at hand are in memory.
        batch_size: B, rows that this process gets in a batch.
        sequence_len: T, tokens in a row.
        bos: The id of ``<|bos|>``, put before every document.
        seed: Chooses the order; any integer from 0 on.
        rank: The number of this process, from 0. With N processes, rank r gets rows rB to (r + 1)B of the
            batch of N·B rows that a single process would get.
        world_size: N, the number of processes.

    Raises:
        InputError: If there is no token to learn from, a token id is negative, a size is out of range, or a store was
            made with another ``<|bos|>``.

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
        documents: Iterable[Sequence[int] | np.ndarray] | TokenStore,
        batch_size: int,
        sequence_len: int,
        bos: int,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__(batch_size, seed, rank, world_size, sequence_len=sequence_len, bos=bos)
        if isinstance(documents, TokenStore):
            if documents.bos != bos:
                raise InputError(f"bos={bos} is not the {documents.bos} of the tokens in {documents.folder}")
            self._tokens, self._starts = documents.tokens, documents.starts
        else:
            self._tokens, self._starts = _flatten(documents, bos)
        self._lengths = np.diff(self._starts)
        self.fingerprint = (
            documents.fingerprint if isinstance(documents, TokenStore) else _fingerprint(self._tokens, self._starts)
        )
        """SHA-256 of all documents in order: the same tokens, cut into the same documents."""
        self._plan_epoch()

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
        mine = self._mine()
        for i in range(self.batch_size * self.world_size):
            if i in mine:
                self._fill(rows[i - mine.start])
            self._advance()
        inputs = np.where(rows[:, :-1] == IGNORED, self.bos, rows[:, :-1])  # an embedding has no row for -1
        return torch.from_numpy(inputs), torch.from_numpy(rows[:, 1:].copy())

    def _plan_epoch(self) -> None:
        """Order the documents of this epoch and find the document with which each row begins."""
        self._order = shuffled(len(self._lengths), self.seed, self._epoch)
        ends = np.cumsum(self._lengths[self._order])
        full = ends - self._lengths[self._order]
        full += self.sequence_len + 1  # where a row is full that begins with the first, the second, ... document
        last = np.searchsorted(ends, full)
        del ends, full  # at a hundred million documents, each takes most of a gigabyte
        firsts, n = [0], len(last)
        while firsts[-1] < n:
            firsts.append(min(n, int(last[firsts[-1]]) + 1))
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


class ConversationLoader(Rows):
    """Hands out batches of rows packed with whole chats, forever, in an order that seed and epoch fix.

    A row begins with the chat whose turn it is. The room behind it goes to the longest of the next
    :data:`LOOKAHEAD` chats that still fits, as often as one does. What is left stays empty and counts nothing. A chat
    longer than a row is left out and counted (:attr:`left_out`), because half of one would teach the model to stop, or
    to begin, in the middle.

    Args:
        chats: Rendered chats or documents: tokens, and for each token whether the model has to write it.
        batch_size: B, rows that this process gets in a batch.
        sequence_len: T, tokens in a row.
        bos: The id of ``<|bos|>``, with which empty places are filled.
        seed: Chooses the order; any integer from 0 on.
        rank: The number of this process, as in :class:`Rows`.
        world_size: The number of processes.

    Raises:
        InputError: If there is no chat, all are too long, none has a token to learn, or a size is out of range.

    Example:
        >>> chats = [Rendered([0, 5, 6, 7], [0, 0, 1, 1]), Rendered([0, 8, 9], [0, 0, 1])]
        >>> loader = ConversationLoader(chats, batch_size=1, sequence_len=7, bos=0)
        >>> inputs, targets = loader.next_batch()
        >>> inputs.tolist(), targets.tolist()
        ([[0, 8, 9, 0, 5, 6, 7]], [[-1, 9, -1, -1, 6, 7, -1]])

    Guide:
        "Plain text may be cut where a row ends. A chat may not: an answer without its end would teach that answers do
        not end." (nano/training/chat)
    """

    def __init__(
        self,
        chats: Iterable[Rendered],
        batch_size: int,
        sequence_len: int,
        bos: int,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__(batch_size, seed, rank, world_size, sequence_len=sequence_len, bos=bos)
        self.left_out = 0
        """Chats that do not fit into a row."""
        ids: list[np.ndarray] = []
        masks: list[np.ndarray] = []
        longest = 0
        for number, chat in enumerate(chats):
            if len(chat.ids) != len(chat.mask) or len(chat.ids) < 2 or min(chat.ids) < 0:
                raise InputError(
                    f"chat {number} has {len(chat.ids)} tokens and a mask for {len(chat.mask)}: it must have two "
                    f"tokens or more, none negative, and one mark for each"
                )
            longest = max(longest, len(chat.ids))
            if len(chat.ids) > sequence_len + 1:
                self.left_out += 1
                continue
            ids.append(np.asarray(chat.ids, dtype=np.int32))
            masks.append(np.asarray(chat.mask, dtype=bool))
        if not ids:
            raise InputError(
                f"none of {self.left_out} chats fits into a row of {sequence_len} tokens, the longest has {longest}: "
                f"give shorter ones, or a model with a longer context"
                if self.left_out
                else "the dataloader got no chats at all: give at least one"
            )
        self._starts = np.concatenate(([0], np.cumsum([len(one) for one in ids])))
        self._lengths = np.diff(self._starts)
        self._tokens, self._mask = np.concatenate(ids), np.concatenate(masks)
        if not self._mask.any():
            raise InputError(
                "no chat has a token that the model has to write, so there is nothing to learn: give chats with answers"
            )
        self.fingerprint = _fingerprint(self._tokens, self._starts, self._mask)
        self._plan_epoch()

    @property
    def rows_per_epoch(self) -> int:
        """Rows of the present epoch, all processes together; another epoch may need a few more or less."""
        return len(self._rows)

    @property
    def n_chats(self) -> int:
        """Chats that are handed out in an epoch."""
        return len(self._lengths)

    @property
    def n_tokens(self) -> int:
        """Tokens of these chats."""
        return len(self._tokens)

    @property
    def n_learnt(self) -> int:
        """Tokens of these chats that the model has to write by itself."""
        return int(self._mask.sum())

    @property
    def empty_share(self) -> float:
        """The share of places, 0 to 1, that stay empty in the present epoch."""
        return 1.0 - self.n_tokens / (self.rows_per_epoch * (self.sequence_len + 1))

    def next_batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the next rows for this process, and move on by the rows of all processes.

        Returns:
            ``inputs`` and ``targets``, both ``(B, T)`` and int64. ``targets[b, t]`` is the token after
            ``inputs[b, t]`` if the model has to write it, else -1.
        """
        rows = np.full((self.batch_size, self.sequence_len + 1), self.bos, dtype=np.int64)
        learn = np.zeros(rows.shape, dtype=bool)
        mine = self._mine()
        for i in range(self.batch_size * self.world_size):
            if i in mine:
                filled = 0
                for chat in self._rows[self._row]:
                    start, stop = self._starts[chat], self._starts[chat + 1]
                    rows[i - mine.start, filled : filled + stop - start] = self._tokens[start:stop]
                    learn[i - mine.start, filled : filled + stop - start] = self._mask[start:stop]
                    filled += stop - start
            self._advance()
        targets = np.where(learn[:, 1:], rows[:, 1:], IGNORED)
        return torch.from_numpy(rows[:, :-1].copy()), torch.from_numpy(targets)

    def _plan_epoch(self) -> None:
        """Pack the chats of this epoch into rows."""
        order = shuffled(len(self._lengths), self.seed, self._epoch).tolist()
        lengths = self._lengths.tolist()
        waiting = deque(order[:LOOKAHEAD])
        coming = iter(order[LOOKAHEAD:])
        self._rows: list[list[int]] = []
        while waiting:
            row, room, best = [], self.sequence_len + 1, waiting[0]
            while best is not None:
                row.append(best)
                room -= lengths[best]
                waiting.remove(best)
                waiting.extend(islice(coming, 1))
                best = max((c for c in waiting if lengths[c] <= room), key=lengths.__getitem__, default=None)
            self._rows.append(row)


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
        pieces += [head, ids.astype(np.int32, copy=False)]
        starts.append(starts[-1] + 1 + len(ids))
    if not pieces:
        raise InputError("the dataloader got no tokens at all: give at least one document that is not empty")
    return np.concatenate(pieces), np.array(starts)


def _fingerprint(tokens: np.ndarray, starts: np.ndarray, mask: np.ndarray | None = None) -> str:
    digest = hashlib.sha256()
    for array in (tokens.astype("<i4", copy=False), starts.astype("<i8", copy=False), mask):
        if array is not None:
            digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()
