"""Pictures of chapter 1, drawn from what the tokenizer really does."""

from __future__ import annotations

import heapq
from functools import lru_cache
from itertools import pairwise
from unittest.mock import patch

import regex

from docs._ext.drawing import (
    SMALL,
    TEXT,
    WIDTH,
    Drawing,
    Picture,
    bars,
    grid,
    label,
    lines,
    path,
    rect,
    stack,
    title,
    token_strip,
)
from docs.texts import ARTICLE_ONE, RHYME, alice_split
from docs.texts.references import compared
from nanochat import bpe
from nanochat.accounting import count_parameters
from nanochat.bpe import Merge, encode_word, split_text, train_bpe_python
from nanochat.figures import show_piece, token_colour
from nanochat.gpt import GPTConfig
from nanochat.tokenizer import SPLIT_PARTS, SPLIT_PATTERN, Tokenizer


@lru_cache(maxsize=16)
def learned(vocab_size: int = 1024) -> Tokenizer:
    """The tokenizer of the chapter: learned from the first ten chapters of Alice."""
    return Tokenizer.train([alice_split()[0]], vocab_size)


@lru_cache(maxsize=1)
def rhyme_merges() -> tuple[Merge, ...]:
    """The first twelve merges of the tongue-twister."""
    happened: list[Merge] = []
    train_bpe_python([RHYME], 12, SPLIT_PATTERN, on_merge=happened.append)
    return tuple(happened)


def rhyme_after(n_merges: int, words: list[str] | None = None) -> list[bytes]:
    """The rhyme, or some words of it, cut with the first merges."""
    ranks = {bytes([byte]): byte for byte in range(256)}
    ranks |= {merge.token: merge.id for merge in rhyme_merges()[:n_merges]}
    return [piece for word in words or split_text(RHYME, SPLIT_PATTERN) for piece in encode_word(word.encode(), ranks)]


def three_cuts() -> Picture:
    """One sentence as letters, as words and as tokens."""
    sentence = "Alice curtseyed to the Caterpillar."
    tokenizer = learned()
    letters = list(sentence)
    words = regex.findall(r"\w+|[^\w\s]", sentence)
    tokens = [piece for _, piece in tokenizer.pieces(sentence)]
    numbers = [number for number, _ in tokenizer.pieces(sentence)]
    train_words = set(regex.findall(r"\w+", alice_split()[0]))
    missing = [word for word in words if word.isalpha() and word not in train_words]
    note = f"not on the list: {', '.join(missing)}" if missing else "every word is on the list"
    return stack(
        title(f"letters: {len(letters)}"),
        token_strip(letters),
        title(f"words: {len(words)} ({note})"),
        token_strip(words),
        title(f"tokens: {len(tokens)}, with their numbers"),
        token_strip(tokens, numbers),
        gap=8,
    ).picture(
        alt=f"The sentence “{sentence}” cut three ways: into {len(letters)} letters, {len(words)} words and "
        f"{len(tokens)} tokens.",
        caption=f"One sentence, cut three ways. The letters make a row of {len(letters)}. The words make "
        f"{len(words)}, but a list "
        f"learned from ten chapters lacks *{', '.join(missing)}*. The {len(tokens)} tokens lie between: "
        "frequent words in one piece, "
        "the missing one in several.",
    )


def utf8() -> Picture:
    """Four signs, their code points and their bytes."""
    signs = "Aé€😀"
    shapes, y, rows = [], 6.0, []
    for sign in signs:
        data = sign.encode("utf-8")
        shapes.append(label(20, y + 16, sign, 22))
        shapes.append(label(44, y + 16, f"U+{ord(sign):04X}", SMALL, "muted", "start", mono=True))
        for place, byte in enumerate(data):
            x = 130 + place * 66
            ink = "green" if byte < 0x80 else "amber" if byte >= 0xC0 else "blue"
            shapes.append(rect(x, y, 60, 32, ink, 0.16))
            shapes.append(label(x + 30, y + 16, str(byte), TEXT, mono=True))
        rows.append(f"{sign}  U+{ord(sign):04X}  " + " ".join(f"[{byte}]" for byte in data))
        y += 42
    for place, (ink, words) in enumerate([("green", "alone"), ("amber", "first of several"), ("blue", "one more")]):
        x = (20.0, 100.0, 235.0)[place]
        shapes.append(rect(x, y + 2, 14, 14, ink, 0.3, 3))
        shapes.append(label(x + 20, y + 9, words, SMALL, "ink", "start"))
    sizes = [len(sign.encode()) for sign in signs]
    return Drawing("".join(shapes), y + 22, "\n".join(rows)).picture(
        alt=f"The signs {', '.join(signs)} with their code points, and the {', '.join(map(str, sizes))} "
        "bytes that they become.",
        caption=f"Four signs and their bytes in UTF-8: {', '.join(map(str, sizes[:-1]))} and {sizes[-1]} of "
        "them. The colour says whether a byte stands alone, is the first of several or one more of them. The number "
        "tells it too, because the three kinds use different ranges.",
    )


def rhyme_steps() -> Picture:
    """The beginning of the rhyme after some merges."""
    shown = split_text(RHYME, SPLIT_PATTERN)[1:6]
    parts: list[Drawing] = []
    for n_merges in (0, 1, 2, 3, 5, 8, 12):
        merge = rhyme_merges()[n_merges - 1] if n_merges else None
        head = (
            "bytes only" if merge is None else f"merge {n_merges}: {show_piece(merge.left)} + {show_piece(merge.right)}"
        )
        parts += [
            title(f"{head} ({len(rhyme_after(n_merges))} tokens in all)"),
            token_strip(rhyme_after(n_merges, shown)),
        ]
    first, last = len(rhyme_after(0)), len(rhyme_after(12))
    return stack(*parts, gap=5).picture(
        alt="Five words of the rhyme after 0, 1, 2, 3, 5, 8 and 12 merges: from single bytes to nearly "
        "whole words; the whole "
        f"rhyme goes from {first} tokens to {last}.",
        caption=f"{len(shown)} of the {len(split_text(RHYME, SPLIT_PATTERN))} words while the merges happen. Watch "
        "*wood* and *chuck* grow "
        f"together. The whole rhyme shrinks from {first} "
        f"tokens to {last}.",
    )


def woodchuck_tree() -> Picture:
    """The merges that make a woodchuck, as a tree."""
    merges = {merge.token: merge for merge in rhyme_merges()}
    roots = rhyme_after(12, [" woodchuck"])
    depth_of: dict[bytes, int] = {}

    def depth(token: bytes) -> int:
        if token not in depth_of:
            merge = merges.get(token)
            depth_of[token] = 0 if merge is None else 1 + max(depth(merge.left), depth(merge.right))
        return depth_of[token]

    deep = max(map(depth, roots))
    column, shapes, edges = 0, [], []
    step = (WIDTH - 8) / sum(map(len, roots))

    def place(token: bytes, side: int = 1) -> float:
        nonlocal column
        merge = merges.get(token)
        y = 16 + (deep - depth(token)) * 48
        if merge is None:
            x = 4 + step * (column + 0.5)
            column += 1
        else:
            beside = depth(merge.left) > depth(merge.right)  # the line to the right child passes the left one
            left, right = place(merge.left, -1 if beside else 1), place(merge.right)
            x = (left + right) / 2
            for child, below in ((left, merge.left), (right, merge.right)):
                edges.append(path([(x, y + 13), (child, 16 + (deep - depth(below)) * 48 - 13)], "muted", 1.2))
        words = show_piece(token)
        width = max(28.0, 8.6 * len(words) + 10)
        shapes.append(rect(x - width / 2, y - 13, width, 26, token_colour(token), 0.16))
        shapes.append(label(x, y, words, TEXT, mono=True))
        if merge is not None:
            anchor = "start" if side > 0 else "end"
            shapes.append(label(x + side * (width / 2 + 3), y, str(merge.id), SMALL, "muted", anchor, mono=True))
        return x

    for root in roots:
        place(root)
    text = [
        f"{merge.id}: {show_piece(merge.left)} + {show_piece(merge.right)} -> {show_piece(merge.token)}"
        for merge in rhyme_merges()
        if any(merge.token in root for root in roots)
    ]
    used = [merge for merge in rhyme_merges() if f"{merge.id}: " in "\n".join(text)]
    return Drawing("".join(edges + shapes), 16 + deep * 48 + 18, "\n".join(text)).picture(
        alt="Two trees side by side: ·wood grows from ·, w, o and o, d; chuck grows from c, h and u, c, k.",
        caption="The family tree of *woodchuck*, bytes at the bottom. The small numbers are those of the "
        "tokens: a low number was born early. "
        f"{len(used)} of the twelve merges took part.",
    )


@lru_cache(maxsize=1)
def come_up(shown: int = 10) -> tuple[tuple[bytes, bytes, int, int], ...]:
    """What the trainer takes from its heap for the ten chapters: a pair, its count there and its true count."""
    seen: list[tuple[tuple[int, int], int, int]] = []

    def pop(heap: list[tuple[int, tuple[int, int]]]) -> tuple[int, tuple[int, int]]:
        negated, pair = heapq.heappop(heap)
        seen.append((pair, -negated, 0))
        return negated, pair

    def push(heap: list[tuple[int, tuple[int, int]]], entry: tuple[int, tuple[int, int]]) -> None:
        if entry[1] == seen[-1][0]:  # the one that came up goes back
            seen[-1] = (*seen[-1][:2], -entry[0])
        heapq.heappush(heap, entry)

    def merged(merge: Merge) -> None:
        seen[-1] = (*seen[-1][:2], merge.count)

    with patch.object(bpe, "heappop", pop), patch.object(bpe, "heappush", push):
        tokens = [bytes([byte]) for byte in range(256)]
        tokens += bpe.train_bpe_python([alice_split()[0]], shown, SPLIT_PATTERN, on_merge=merged)
    return tuple((tokens[left], tokens[right], told, true) for (left, right), told, true in seen[:shown])


def pile() -> Picture:
    """The first entries that come up from the heap, and what the counts say by then."""
    entries, left, token = come_up(), 76.0, 256
    scale = 190 / max(told for *_, told, _ in entries)
    shapes, y, rows = [], 30.0, ["comes up     pile  notebook"]
    for place, (fill, words) in enumerate([(0.18, "count on the pile"), (0.75, "count in the notebook")]):
        x = left + 150 * place
        shapes += [rect(x, 3, 14, 14, "accent", fill, 3), label(x + 20, 10, words, SMALL, "ink", "start")]
    for one, other, told, true in entries:
        right = told == true
        verdict = f"token {token}" if right else f"now {true:,}"
        ink = "accent" if right else "rose"
        pair = f"{show_piece(one)} + {show_piece(other)}"
        shapes.append(label(left - 8, y + 9, pair, TEXT, mono=True, anchor="end"))
        shapes.append(rect(left, y, told * scale, 18, ink, 0.18, 2))
        shapes.append(rect(left, y, true * scale, 18, ink, 0.75, 2, edge=False))
        shapes.append(label(left + told * scale + 6, y + 9, f"{told:,}", SMALL, "muted", "start", mono=True))
        shapes.append(label(WIDTH - 2, y + 9, verdict, SMALL, "ink" if right else "rose", "end", bold=not right))
        rows.append(f"{pair:10} {told:>7,} {true:>9,}  {verdict if right else 'put back'}")
        token += right
        y += 26
    stale = [entry for entry in entries if entry[2] != entry[3]]
    one, other, told, true = stale[0]
    return Drawing("".join(shapes), y, "\n".join(rows)).picture(
        alt=f"{len(entries)} bars, one for each entry that comes up: {len(stale)} of them are longer than the count "
        "in the notebook.",
        caption=f"The first {len(entries)} entries that come up for the ten chapters of *Alice*. "
        f"{len(entries) - len(stale)} agree with the notebook and become tokens; {len(stale)} are too high and go "
        f"back. `{show_piece(one + other)}` was put there with {told:,}; the merges before it have left {true:,}.",
    )


def alice_counts() -> Picture:
    """How often the pair of each merge occurred, over the first 200 merges of the ten chapters."""
    happened: list[Merge] = []
    train_bpe_python([alice_split()[0]], 200, SPLIT_PATTERN, on_merge=happened.append)
    points = [(float(number), float(merge.count)) for number, merge in enumerate(happened, 1)]
    first, tenth, last = happened[0], happened[9], happened[-1]
    return lines({"": points}, x="merge", y="occurrences when it was merged", y_from=0).picture(
        alt=f"A curve that falls steeply from {first.count:,} and then ever more slowly to {last.count:,} at "
        f"merge {len(happened)}.",
        caption=f"How frequent the winning pair was. The first, `{show_piece(first.token)}`, stood in "
        f"{first.count:,} places, the tenth in "
        f"{tenth.count:,}, number {len(happened)} (`{show_piece(last.token)}`) in {last.count:,}. Each merge "
        "shortens the text by just that many tokens.",
    )


def split_parts() -> Picture:
    """A text cut by the pattern, each piece with the part that took it."""
    text = 'The Rabbit\'s watch cost £12345 (in 1865)!\n\n    "Oh dear!"'
    named = regex.compile("|".join(f"(?P<part{i}>{part})" for i, part in enumerate(SPLIT_PARTS.values())))
    names = list(SPLIT_PARTS)
    pieces, marks = [], []
    for match in named.finditer(text):
        pieces.append(match.group())
        marks.append(names[int(str(match.lastgroup).removeprefix("part"))])
    if pieces != split_text(text, SPLIT_PATTERN):
        raise ValueError("the parts cut the text differently from the pattern")
    return token_strip(pieces, marks=marks).picture(
        alt=f"The text {text!r} cut into {len(pieces)} pieces, each with the name of the part of the pattern "
        "that took it.",
        caption=f"{len(text)} signs, {len(pieces)} pieces; above each, the part that took it. `·` is a "
        "blank, `⏎` the end of a line. Look at the "
        "blanks: those before a word or a sign belong to it, the one before a digit stands alone. Of the "
        "four blanks of the "
        "indent, three stay together, and the last goes with the quotation mark.",
    )


def replay_steps() -> Picture:
    """A word of the last two chapters while its merges are replayed."""
    tokenizer = learned()
    ranks = {tokenizer.token_bytes(number): number for number in range(tokenizer.bos)}
    word = b" handwriting"
    cut = [bytes([byte]) for byte in word]
    end = encode_word(word, ranks)
    parts = [title("bytes"), token_strip(cut)]
    born = []
    while cut != end:
        pairs = [(ranks.get(left + right, len(ranks)), place) for place, (left, right) in enumerate(pairwise(cut))]
        rank, place = min(pairs)
        parts.append(title(f"{show_piece(cut[place])} + {show_piece(cut[place + 1])}: token {rank}"))
        cut = [*cut[:place], cut[place] + cut[place + 1], *cut[place + 2 :]]
        born.append(rank)
        parts.append(token_strip(cut))
    return stack(*parts, gap=5).picture(
        alt=f"The word {show_piece(word)} from {len(word)} bytes to {len(cut)} tokens in {len(born)} merges.",
        caption=f"The word `{show_piece(word)}`, which does not occur in the ten chapters, is written "
        f"in {len(born)} merges. "
        f"Each step takes the pair whose token is the oldest, wherever it stands; at the end no two neighbours of the "
        f"{len(cut)} form a token.",
    )


def conversation() -> Picture:
    """A short conversation as the model reads it."""
    tokenizer = learned()
    pieces: list[str | bytes] = []
    ids: list[int] = []

    def special(name: str) -> None:
        pieces.append(name)
        ids.append(tokenizer.special(name))

    def text(words: str) -> None:
        for number, piece in tokenizer.pieces(words):
            pieces.append(piece)
            ids.append(number)

    special("<|bos|>")
    special("<|user_start|>")
    text("Who are you?")
    special("<|user_end|>")
    special("<|assistant_start|>")
    text("I am Alice.")
    special("<|assistant_end|>")
    marked = sum(number >= tokenizer.bos for number in ids)
    return token_strip(pieces, ids).picture(
        alt=f"A conversation as {len(ids)} tokens, {marked} of them special: bos, user start, the question, "
        "user end, assistant start, "
        "the answer, assistant end.",
        caption=f"A question and an answer as the model reads them: {len(ids)} tokens, {marked} of them "
        "special, all with numbers from "
        f"{tokenizer.bos:,} on. No text can produce those.",
    )


def dial() -> Picture:
    """Bytes per token over the size of the vocabulary, on seen and on unseen text."""
    train, test = alice_split()
    sizes = [265, 320, 384, 512, 768, 1024, 1536, 2048, 3072, 4096]
    seen, unseen = [], []
    for size in sizes:
        tokenizer = learned(size)
        for points, text in ((seen, train), (unseen, test)):
            points.append((float(size), len(text.encode()) / len(tokenizer.encode(text))))
    return lines(
        {"learned from": seen, "not seen": unseen},
        x="tokens in the vocabulary, V",
        y="bytes a token",
        marks=True,
        y_from=0,
    ).picture(
        alt=f"Two curves that rise steeply and then flatten: to {seen[-1][1]:.2f} bytes a token on the text "
        "that the tokenizer was "
        f"learned from, to {unseen[-1][1]:.2f} on text that it had not seen.",
        caption=f"How much text one token holds. Both lines begin at {seen[0][1]:.0f} byte, without a single "
        "merge, and are still close at "
        f"{sizes[3]} tokens ({seen[3][1]:.2f} and {unseen[3][1]:.2f}). At {sizes[-1]:,} the text that it was "
        "learned from is ahead by "
        f"{seen[-1][1] - unseen[-1][1]:.2f}.",
    )


def table_cost() -> Picture:
    """The share of the two tables in models of several depths and vocabularies."""
    depths, sizes = (4, 8, 12, 20), (1024, 8192, 32768, 65536)
    table = []
    for depth in depths:
        row = []
        for size in sizes:
            counted = count_parameters(GPTConfig.from_depth(depth, vocab_size=size))
            row.append((counted.embedding + counted.head) / counted.total)
        table.append(row)
    return grid(
        table,
        [f"depth {depth}" for depth in depths],
        [f"{size:,}" for size in sizes],
        "{:.0%}".format,
        top=1.0,
        note="tokens in the vocabulary",
    ).picture(
        alt=f"A grid: the share of the two tables in all numbers of the model, from {table[0][0]:.0%} and "
        f"{table[0][-1]:.0%} at depth "
        f"{depths[0]} to {table[-1][0]:.1%} and {table[-1][-1]:.0%} at depth {depths[-1]}.",
        caption=f"How much of a model is only its two tables of tokens. At depth {depths[0]} they grow from "
        f"{table[0][0]:.0%} to "
        f"{table[0][-1]:.0%} as the vocabulary grows; at depth {depths[-1]} even the largest takes "
        f"{table[-1][-1]:.0%}.",
    )


def beside_gpts() -> Picture:
    """Bytes per token on the last two chapters, beside published tokenizers."""
    test = alice_split()[1]
    size = len(test.encode())
    names = {"gpt2": "GPT-2", "cl100k_base": "GPT-4", "o200k_base": "GPT-4o"}
    values = {f"ours {v:,}": size / len(learned(v).encode(test)) for v in (1024, 4096)}
    for name, kept in compared().items():
        values[f"{names[name]} {kept['vocab_size']:,}"] = size / kept["alice"]
    ink = {name: "accent" if name.startswith("ours") else "muted" for name in values}
    smallest, largest = (compared()[name]["vocab_size"] for name in ("gpt2", "o200k_base"))
    gpt2, best = (value for name, value in values.items() if name.startswith(("GPT-2", "GPT-4o")))
    return bars(values, ink=ink).picture(
        alt="Bars of bytes a token: " + ", ".join(f"{name}: {value:.2f}" for name, value in values.items()) + ".",
        caption="Bytes that one token holds, in the last two chapters; behind each name the size of its "
        "vocabulary. From GPT-2 to "
        f"GPT-4o the vocabulary grew to about {largest / smallest:.0f} times its size, and a token of this text from "
        f"{gpt2:.2f} to "
        f"{best:.2f} bytes.",
    )


def scripts() -> Picture:
    """Tokens for the same sentence in six languages."""
    tokenizer = learned()
    gpt2, newest = compared()["gpt2"]["article_one"], compared()["o200k_base"]["article_one"]
    ours = {language: float(len(tokenizer.encode(text))) for language, text in ARTICLE_ONE.items()}
    top = max(ours.values())
    whole = "{:.0f}".format
    return stack(
        title("our tokenizer"),
        bars(ours, whole, top),
        title("GPT-2"),
        bars({language: float(n) for language, n in gpt2.items()}, whole, top, "amber"),
        title("GPT-4o"),
        bars({language: float(n) for language, n in newest.items()}, whole, top, "violet"),
    ).picture(
        alt="Three groups of bars, tokens for the same article in six languages. Ours: "
        + ", ".join(f"{language} {value:.0f}" for language, value in ours.items())
        + ". GPT-4o: "
        + ", ".join(f"{language} {value}" for language, value in newest.items())
        + ".",
        caption=f"Tokens for Article 1 in six languages. Ours needs {ours['Hindi'] / ours['English']:.1f} "
        "times as many for Hindi as for English, "
        f"GPT-2's {gpt2['Hindi'] / gpt2['English']:.1f} times, GPT-4o's "
        f"{newest['Hindi'] / newest['English']:.1f} times.",
    )
