"""Problems of chapter 1."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from docs.problems import Problem
from docs.texts import alice_split
from nanochat.accounting import count_parameters
from nanochat.bpe import Merge, encode_word, merge_pair, split_text, train_bpe_python
from nanochat.gpt import GPTConfig
from nanochat.tokenizer import SPECIAL_TOKENS, SPLIT_PATTERN, Tokenizer


def row_of_letters() -> Problem:
    """The cost of a longer row."""
    times = 4
    return Problem(
        question=f"In a row of tokens, each looks back at all before it. A text takes {times} times as many "
        "letters as tokens. "
        "About how many times as many looks does the row of letters need?",
        answer=times * times,
        steps=[
            f"There are {times} times as many places that look.",
            f"Each of them has {times} times as many places to look at.",
            f"{times} times {times} is {times * times}.",
        ],
        unit="times",
    )


def missing_words() -> Problem:
    """Words that a list does not know."""
    known = "the cat sat on the mat and the cat ran".split()
    new = "the dog sat on the cat and ran off".split()
    missing = [word for word in new if word not in known]
    return Problem(
        question=f"A vocabulary of words is learned from “{' '.join(known)}”. How many words of "
        f"“{' '.join(new)}” can it not "
        "write?",
        answer=len(missing),
        steps=[
            f"The list has {len(set(known))} words: {', '.join(dict.fromkeys(known))}.",
            f"Not on it: {', '.join(missing)}.",
        ],
        unit="words",
    )


def window_of_letters() -> Problem:
    """What a fixed number of places holds."""
    places, bytes_a_token = 512, 3
    return Problem(
        question=f"A model sees {places} tokens at once. A token holds {bytes_a_token} letters, on average. How many "
        "letters of text does the model see?",
        answer=places * bytes_a_token,
        steps=[
            f"Each of the {places} places holds {bytes_a_token} letters.",
            f"{places} × {bytes_a_token} = {places * bytes_a_token}. A model that reads letters would see {places}.",
        ],
        unit="letters",
    )


def utf8_bytes() -> Problem:
    """Bytes of a text with signs of several lengths."""
    text = "Aé€😀!"
    sizes = [len(sign.encode()) for sign in text]
    return Problem(
        question=f"How many bytes of UTF-8 has the text `{text}`? The picture has all but one of its signs.",
        answer=sum(sizes),
        steps=[
            "The exclamation mark belongs to plain English, so it has one byte.",
            ", ".join(f"`{sign}` has {size}" for sign, size in zip(text, sizes, strict=True)) + ".",
            f"{' + '.join(map(str, sizes))} = {sum(sizes)}.",
        ],
        unit="bytes",
    )


def worst_case() -> Problem:
    """The most tokens that a text can need."""
    signs = 5
    size = len("क".encode())
    return Problem(
        question=f"A tokenizer has read nothing but plain English. Each of {signs} signs of Hindi has {size} bytes. "
        "How many tokens do they become?",
        answer=signs * size,
        steps=[
            "It has no longer token for any of these bytes, so each byte is one token.",
            f"{signs} × {size} = {signs * size}.",
        ],
        unit="tokens",
    )


def first_pair() -> Problem:
    """The most frequent pair of a short text."""
    text = "banana bandana"
    counts = Counter(pair for word in text.split() for pair in pairwise(word))
    happened: list[Merge] = []
    train_bpe_python([text], 1, r"\w+", on_merge=happened.append)
    merge = happened[0]
    ranked = counts.most_common(3)
    return Problem(
        question=f"The text is *{text}*, two words. Which two letters are merged first? (Count inside the "
        "words, and leave the blank out. Write the two as one.)",
        answer=merge.token.decode(),
        steps=[
            "List the pairs of each word: *ba, an, na, an, na* and *ba, an, nd, da, an, na*.",
            "Count: " + ", ".join(f"*{a}{b}* {count}" for (a, b), count in ranked) + ", and fewer of the others.",
            f"The most frequent is *{merge.token.decode()}*, {merge.count} times.",
        ],
    )


def shrink_by_merge() -> Problem:
    """How much shorter one merge makes a text."""
    length, count = 70, 5
    return Problem(
        question=f"A text is {length} tokens long. The pair that is merged next is replaced in {count} "
        "places. How many tokens "
        "is the text long afterwards?",
        answer=length - count,
        steps=[
            "In each place two tokens become one, so the text loses one token a place.",
            f"{length} − {count} = {length - count}.",
        ],
        unit="tokens",
    )


def overlap() -> Problem:
    """Merging aa in a run of a."""
    run = 7
    merged = merge_pair([97] * run, (97, 97), 256)
    return Problem(
        question=f"The pair `a`, `a` is merged in a word of {run} letters a. How many tokens does the word "
        "have afterwards?",
        answer=len(merged),
        steps=[
            "From left to right, two letters at a time become one token, and no letter is used twice.",
            f"{run} letters make {run // 2} pairs, and {run % 2} is left over.",
            f"{run // 2} + {run % 2} = {len(merged)}.",
        ],
        unit="tokens",
    )


def stale_entry() -> Problem:
    """What the heap does with an entry that is out of date."""
    heap = {"th": 9, "he": 8, "in": 7}
    true = {"th": 9, "he": 3, "in": 7}
    second = max((pair for pair in true if pair != "th"), key=lambda pair: true[pair])
    return Problem(
        question="The pile holds `th` with 9, `he` with 8 and `in` with 7. Merging `th` makes `he` rarer: "
        "the notebook now says 3. "
        "No new pair counts more than 2. Which pair is merged after `th`?",
        answer=second,
        steps=[
            f"`he` comes up first, with {heap['he']}. The notebook says {true['he']}, so it is corrected and put back.",
            f"Now `in` comes up with {heap['in']}, and the notebook agrees.",
            f"So `{second}` is merged.",
        ],
    )


def pieces_of_number() -> Problem:
    """How the pattern cuts a price."""
    text = "It cost 1234567!"
    words = split_text(text, SPLIT_PATTERN)
    digits = [word for word in words if word.isdigit()]
    return Problem(
        question=f"Into how many pieces does the pattern cut `{text}`? (Do not forget the blanks.)",
        answer=len(words),
        steps=[
            "`It` and `·cost` are words; the second takes its blank along.",
            "The blank before the number is wanted by nobody: it is a piece of its own, a last blank.",
            f"The digits are cut two by two from the left: {', '.join(f'`{word}`' for word in digits)}.",
            f"The `!` is a sign. Together {len(words)} pieces.",
        ],
        unit="pieces",
    )


def replay_by_hand() -> Problem:
    """Encode a word with four merges."""
    ranks = {b"in": 256, b"th": 257, b"ing": 258, b"thing": 259}
    pieces = encode_word(b"nothing", {bytes([n]): n for n in range(256)} | ranks)
    return Problem(
        question="Four tokens were born in this order: `in`, `th`, `ing`, `thing`. Into how many tokens is "
        "*nothing* cut?",
        answer=len(pieces),
        steps=[
            "Start: n, o, t, h, i, n, g. The oldest token that two neighbours form is `in`: n, o, t, h, in, g.",
            "Then `th`: n, o, th, in, g. Then `ing`: n, o, th, ing. Then `thing`: n, o, thing.",
            f"There is no token for `no`. So {len(pieces)}: {', '.join(piece.decode() for piece in pieces)}.",
        ],
        unit="tokens",
    )


def table_size() -> Problem:
    """Numbers in the two tables."""
    config = GPTConfig.from_depth(4, vocab_size=1024)
    counted = count_parameters(config)
    both = counted.embedding + counted.head
    return Problem(
        question=f"A model has V = {config.vocab_size:,} tokens and a width of C = {config.n_embd}. How many "
        "numbers do its first and its "
        "last table hold together?",
        answer=both,
        steps=[
            f"One table has {config.vocab_size:,} rows of {config.n_embd} numbers: {config.vocab_size:,} × "
            f"{config.n_embd} = {counted.embedding:,}.",
            f"There are two of them: {both:,}.",
        ],
        unit="numbers",
    )


def how_many_merges() -> Problem:
    """How many merges a vocabulary leaves room for."""
    size = 32768
    merges = size - 256 - len(SPECIAL_TOKENS)
    return Problem(
        question=f"A vocabulary of {size:,} tokens counts everything: the bytes, the merges and the "
        f"{len(SPECIAL_TOKENS)} special tokens. "
        "How many merges are there?",
        answer=merges,
        steps=[
            f"There are 256 bytes and {len(SPECIAL_TOKENS)} special tokens.",
            f"{size:,} − 256 − {len(SPECIAL_TOKENS)} = {merges:,}.",
        ],
        unit="merges",
    )


def bytes_per_token() -> Problem:
    """The measure of compression."""
    train, test = alice_split()
    size, tokens = len(test.encode()), len(Tokenizer.train([train], 1024).encode(test))
    return Problem(
        question=f"The last two chapters have {size:,} bytes and become {tokens:,} tokens. How many bytes "
        "does one token hold, on average? "
        "(Two decimals.)",
        answer=round(size / tokens, 2),
        steps=["Share the bytes out over the tokens: divide.", f"{size:,} ÷ {tokens:,} = {size / tokens:.4f}…"],
        tolerance=0.006,
        unit="bytes",
    )
