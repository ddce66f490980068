r"""Byte pair encoding, in the form that is meant to be read.

A model needs a fixed list of tokens. Single letters would make every text long; whole words would leave out
all the words that the list has never seen. Byte pair encoding grows the list from the text itself:

1. Start with the 256 possible bytes. Every text is a string of bytes, so nothing can be missing.
2. Count every pair of neighbours, and make the most frequent pair into one new token.
3. Repeat. Frequent words end up as one token; rare ones stay cut into a few.

The order in which the tokens were born is all that a tokenizer has to remember: :func:`encode_word` replays
it.

This module is the slow, plain version of two fast libraries written in Rust. ``rustbpe`` trains, ``tiktoken``
encodes, and :mod:`nanochat.tokenizer` uses both. The tests hold the results equal, so what is true of the
lines below is true of the tokenizer that the model uses. After Sennrich, Haddow and Birch, "Neural Machine
Translation of Rare Words with Subword Units" (2016), section 3.2, with bytes in place of letters as in GPT-2.

Example:
    >>> train_bpe_python(["low low low lower lowest"], n_merges=3, pattern=r" ?\w+")
    [b'lo', b'low', b' low']
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from heapq import heapify, heappop, heappush
from itertools import pairwise
from typing import NamedTuple

import regex

RUN_LIMIT = 100_000
"""The longest run of blanks, or of characters that are not blanks, that the split pattern sees in one piece.

The regular expressions of both Rust libraries give up (and take the process with them) at about a million. No
text that somebody wrote comes near; a broken file does.
"""

_LONG_RUN = regex.compile(rf"(?<!\s)\s{{{RUN_LIMIT + 1},}}|(?<!\S)\S{{{RUN_LIMIT + 1},}}")


class Merge(NamedTuple):
    """One step of training: two neighbours that became one token.

    Guide:
        "One round is called a merge." (nano/tokenization/merges)
    """

    id: int
    """The number of the new token; also its rank, for the lower of two merges is done first."""
    left: bytes
    """The token on the left."""
    right: bytes
    """The token on the right."""
    count: int
    """How often the two stood side by side in the text when they were merged."""

    @property
    def token(self) -> bytes:
        """The new token: the bytes of the left one, then those of the right one."""
        return self.left + self.right


def cut_long_runs(text: str) -> Iterator[str]:
    """Cut a text inside its monstrous runs, so that no regular expression chokes on them.

    Args:
        text: Any text.

    Yields:
        The text in one piece if it is an ordinary text, else in pieces; joined, they are the text. A cut
        falls after each :data:`RUN_LIMIT` characters of a run of blanks, or of a run without any.

    Example:
        >>> [len(piece) for piece in cut_long_runs("a" * 250_000 + " end")]
        [100000, 100000, 50004]
    """
    start = 0
    if len(text) > RUN_LIMIT:
        for run in _LONG_RUN.finditer(text):
            for cut in range(run.start() + RUN_LIMIT, run.end(), RUN_LIMIT):
                yield text[start:cut]
                start = cut
    yield text[start:]


def split_text(text: str, pattern: str) -> list[str]:
    r"""Cut a text into words: the pieces inside which merging may happen, and across which it may not.

    Args:
        text: Any text.
        pattern: A regular expression that matches one word; such as :data:`nanochat.tokenizer.SPLIT_PATTERN`.

    Returns:
        The words in order. A good pattern leaves no character out, so that they join to the text.

    Example:
        >>> split_text("to be, or not", r" ?\w+|\W")
        ['to', ' be', ',', ' or', ' not']

    Guide:
        "Merges must not run across words." (nano/tokenization/encoding)
    """
    return [match.group() for piece in cut_long_runs(text) for match in regex.finditer(pattern, piece)]


def count_words(texts: Iterable[str], pattern: str) -> Counter[bytes]:
    r"""Count how often each word occurs; training then looks at each different word once.

    Args:
        texts: The documents to train on.
        pattern: The regular expression that matches one word.

    Returns:
        The words as UTF-8 bytes, with their counts.

    Example:
        >>> count_words(["no, no", "no"], r"\w+")
        Counter({b'no': 3})

    Guide:
        "So we look at each different word once and remember how often it occurs." (nano/tokenization/trainer)
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(split_text(text, pattern))
    return Counter({word.encode("utf-8"): count for word, count in counts.items()})


def merge_pair(word: list[int], pair: tuple[int, int], new: int) -> list[int]:
    """Put one new token in the place of every occurrence of a pair, from left to right.

    Args:
        word: The tokens of a word, by number.
        pair: The two numbers to look for, side by side.
        new: The number to put in their place.

    Returns:
        The word after the merge; the given list stays as it was.

    Example:
        >>> merge_pair([7, 7, 7, 5], pair=(7, 7), new=300)
        [300, 7, 5]

    Guide:
        "Where the two numbers stand side by side, it writes the new one and steps over both."
        (nano/tokenization/trainer)
    """
    merged = []
    position = 0
    while position < len(word):
        if tuple(word[position : position + 2]) == pair:
            merged.append(new)
            position += 2
        else:
            merged.append(word[position])
            position += 1
    return merged


def train_bpe_python(
    texts: Iterable[str], n_merges: int, pattern: str, on_merge: Callable[[Merge], object] | None = None
) -> list[bytes]:
    r"""Learn which neighbours to merge, the most frequent pair first.

    Counting all pairs anew for every merge would be right and hopelessly slow. Two observations make it
    quick: a merge changes only words that hold the pair, so only words in which it has stood are counted again;
    and an old pair can only become rarer, so a heap that is corrected when a stale entry comes up always yields the
    most frequent.

    When two pairs are equally frequent, the one whose left token is older goes first, then the one whose
    right token is older. Some rule is needed for the same text to give the same tokens every time; this is
    the one of ``rustbpe``.

    Args:
        texts: The documents to train on.
        n_merges: How many tokens to make. Fewer come out if the text has no pairs left.
        pattern: The regular expression that matches one word; no token ever crosses the end of a word.
        on_merge: Called with each merge as it happens, to show or to record it.

    Returns:
        The new tokens, in the order of their birth. The first has number 256, after the 256 bytes.

    Example:
        >>> train_bpe_python(["aaab aaab"], 2, r"\w+", on_merge=print)
        Merge(id=256, left=b'a', right=b'a', count=4)
        Merge(id=257, left=b'a', right=b'b', count=2)
        [b'aa', b'ab']

    Guide:
        "So a wrong entry comes up too early, never too late." (nano/tokenization/trainer)
    """
    counts = count_words(texts, pattern)
    words = [list(word) for word in counts]  # a byte is its own number, so a word starts as its bytes
    times = list(counts.values())
    tokens = [bytes([byte]) for byte in range(256)]

    pair_counts: Counter[tuple[int, int]] = Counter()
    found_in: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
    for index, word in enumerate(words):
        for pair in pairwise(word):
            pair_counts[pair] += times[index]
            found_in[pair].add(index)

    # A heap yields its smallest entry: with the count negated, the largest count; ties go to the older pair.
    heap = [(-count, pair) for pair, count in pair_counts.items()]
    heapify(heap)

    while heap and len(tokens) < 256 + n_merges:
        negated, pair = heappop(heap)
        count = pair_counts[pair]
        if count != -negated:  # it became rarer since it was put here: put it back where it belongs now
            if count > 0:
                heappush(heap, (-count, pair))
            continue

        new, (left, right) = len(tokens), pair
        tokens.append(tokens[left] + tokens[right])
        if on_merge is not None:
            on_merge(Merge(new, tokens[left], tokens[right], count))

        born = set()
        for index in found_in.pop(pair):
            before, after = words[index], merge_pair(words[index], pair, new)
            words[index] = after
            for old_pair in pairwise(before):
                pair_counts[old_pair] -= times[index]
            for new_pair in pairwise(after):
                pair_counts[new_pair] += times[index]
                if new in new_pair:
                    found_in[new_pair].add(index)
                    born.add(new_pair)
        del pair_counts[pair]
        for new_pair in born:
            heappush(heap, (-pair_counts[new_pair], new_pair))

    return tokens[256:]


def encode_word(word: bytes, ranks: dict[bytes, int]) -> list[bytes]:
    """Replay the training on one word: of the neighbours that form a token, merge the one born first.

    Args:
        word: The bytes of one word.
        ranks: Every token with its number, the 256 single bytes included.

    Returns:
        The word as tokens; joined, they are the word.

    Example:
        >>> encode_word(b"lowest", {b"lo": 256, b"st": 257, b"low": 258})
        [b'low', b'e', b'st']

    Guide:
        "Encoding must cut a word as the training cut it; then frequent words come out as the model has
        seen them a thousand times." (nano/tokenization/encoding)
    """
    parts = [bytes([byte]) for byte in word]
    while len(parts) > 1:
        ranked = [ranks.get(left + right, math.inf) for left, right in pairwise(parts)]
        first = min(ranked)
        if first == math.inf:
            break
        position = ranked.index(first)
        parts[position : position + 2] = [parts[position] + parts[position + 1]]
    return parts
