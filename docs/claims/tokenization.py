"""Chapter 1: letters, words, bytes, merges, the split, the special tokens, the size of a vocabulary."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from functools import lru_cache
from pathlib import Path

import regex

from docs._ext.claims import check, claim, mutant
from docs._ext.mutation import edited, swapped
from docs.texts import ALICE, ARTICLE_ONE, RHYME, alice, alice_chapter_one, alice_split
from docs.texts.references import RECORD, compared
from nanochat.accounting import count_parameters
from nanochat.bpe import Merge, count_words, encode_word, merge_pair, split_text, train_bpe_python
from nanochat.common import InputError
from nanochat.gpt import GPTConfig
from nanochat.tokenizer import SPECIAL_TOKENS, SPLIT_PATTERN, Tokenizer

PYTHON = "nanochat.bpe.train_bpe_python"
ENCODE = "nanochat.tokenizer.Tokenizer.encode"
TRAIN = "nanochat.tokenizer.Tokenizer.train"


@lru_cache(maxsize=8)
def learned(vocab_size: int = 1024) -> Tokenizer:
    """The tokenizer of the chapter: learned from the first ten chapters of the book."""
    return Tokenizer.train([alice_split()[0]], vocab_size)


@lru_cache(maxsize=2)
def rhyme_merges(n_merges: int = 12) -> tuple[Merge, ...]:
    """The merges of the tongue-twister."""
    happened: list[Merge] = []
    train_bpe_python([RHYME], n_merges, SPLIT_PATTERN, on_merge=happened.append)
    return tuple(happened)


def written(token: bytes) -> str:
    """A token as it stands in the prose: its blanks visible."""
    return f"`{token.decode('utf-8').replace(' ', '·')}`"


# ---- mutants of the tokenizer ----


@mutant("merges-forgotten", "the encoder drops every merge after the first hundred")
def merges_forgotten():
    return edited(
        "nanochat.tokenizer.Tokenizer.train",
        "tokenizer = cls(merges, pattern)",
        "tokenizer = cls(merges[:100], pattern); size = tokenizer.vocab_size",
    )


@mutant("bytes-backwards", "the single bytes are numbered from 255 down to 0")
def bytes_backwards():
    return edited(
        "nanochat.tokenizer.Tokenizer.__init__",
        "{bytes([byte]): byte for byte in range(256)}",
        "{bytes([255 - byte]): byte for byte in range(256)}",
    )


@mutant("digits-skipped", "the split pattern has no place for digits")
def digits_skipped():
    return edited(
        "nanochat.tokenizer.Tokenizer.__init__",
        "self.pattern = pattern",
        "self.pattern = pattern = pattern.replace(r'|\\p{N}{1,2}+', '')",
    )


@mutant("word-frequency-ignored", "a word that occurs a thousand times counts as often as one that occurs once")
def word_frequency_ignored():
    return edited(PYTHON, "pair_counts[pair] += times[index]", "pair_counts[pair] += 1")


@mutant("old-pairs-kept", "pairs that a merge destroyed keep their old count")
def old_pairs_kept():
    return edited(PYTHON, "pair_counts[old_pair] -= times[index]", "pair_counts[old_pair] -= 0")


@mutant("merge-first-only", "a merge replaces only the first occurrence in a word")
def merge_misses():
    return edited(
        "nanochat.bpe.merge_pair",
        "if tuple(word[position : position + 2]) == pair:",
        "if tuple(word[position : position + 2]) == pair and new not in merged:",
    )


@mutant("words-uncut", "the text is not cut into words before the pairs are counted")
def words_uncut():
    return edited(
        "nanochat.bpe.split_text",
        "[match.group() for piece in cut_long_runs(text) for match in regex.finditer(pattern, piece)]",
        "[text]",
    )


@mutant("leftmost-pair-first", "encoding merges the leftmost pair that is a token, not the one born first")
def leftmost_pair_first():
    return edited(
        "nanochat.bpe.encode_word",
        "first = min(ranked)",
        "first = next((rank for rank in ranked if rank < math.inf), math.inf)",
    )


@mutant("special-text-parsed", "text that reads like a special token becomes that special token")
def special_text_parsed():
    return edited(
        "nanochat.tokenizer.Tokenizer._encode_checked",
        "self._encoding.encode_ordinary(piece)",
        "self._encoding.encode(piece, allowed_special='all')",
    )


@mutant("specials-sorted", "the special tokens are numbered in the order of the alphabet")
def specials_sorted():
    return edited(
        "nanochat.tokenizer.Tokenizer.__init__",
        "for index, name in enumerate(SPECIAL_TOKENS)",
        "for index, name in enumerate(sorted(SPECIAL_TOKENS))",
    )


@mutant("specials-backwards", "the special tokens are numbered in the opposite order")
def specials_backwards():
    return edited(
        "nanochat.tokenizer.Tokenizer.__init__",
        "len(ranks) + index for index, name in enumerate(SPECIAL_TOKENS)",
        "len(ranks) + len(SPECIAL_TOKENS) - 1 - index for index, name in enumerate(SPECIAL_TOKENS)",
    )


@mutant("specials-are-text", "special tokens count as bytes of text")
def specials_are_text():
    return edited(
        "nanochat.tokenizer.Tokenizer.n_bytes_per_token", "*(0 for _ in SPECIAL_TOKENS)", "*map(len, SPECIAL_TOKENS)"
    )


@mutant("capitals-lost", "the encoder makes every letter small")
def capitals_lost():
    return edited(
        "nanochat.tokenizer.Tokenizer._encode_checked", "encode_ordinary(piece)", "encode_ordinary(piece.lower())"
    )


@mutant("broken-characters-dropped", "bytes that are no whole character vanish when tokens are decoded")
def broken_characters_dropped():
    return edited("nanochat.tokenizer.Tokenizer.decode", 'errors="replace"', 'errors="ignore"')


@mutant("blank-stands-alone", "a word does not take the blank before it")
def blank_stands_alone():
    return edited(
        "nanochat.tokenizer.Tokenizer.__init__",
        "self.pattern = pattern",
        "self.pattern = pattern = pattern.replace(r'[^\\r\\n\\p{L}\\p{N}]?+\\p{L}', r'\\p{L}')",
    )


@mutant("digits-three-by-three", "numbers are cut into groups of three digits")
def digits_three_by_three():
    return edited(
        "nanochat.bpe.split_text",
        "regex.finditer(pattern, piece)",
        "regex.finditer(pattern.replace('1,2', '1,3'), piece)",
    )


@mutant("head-not-counted", "the count of parameters forgets the table at the end of the model")
def head_not_counted():
    return edited("nanochat.accounting.count_parameters", "head=table", "head=0")


# ---- letters and words ----


@claim("tok-letters", about=ENCODE, killed_by="merges-forgotten", reads=ALICE)
def letters() -> str:
    test = alice_split()[1]
    tokens = len(learned().encode(test))
    check.below(tokens, len(test) / 2.5, "tokens are far fewer than letters")
    return (
        f"Letter by letter, the last two chapters of *Alice* make a row of {len(test):,}; "
        f"cut by this chapter's tokenizer, a row of {tokens:,}."
    )


@claim("tok-words-once", reads=ALICE)
def words_once() -> str:
    counts = Counter(regex.findall(r"\p{L}+", alice()))
    once = sum(count == 1 for count in counts.values())
    check.above(once / len(counts), 0.4, "a large part of all words occurs once")
    return (
        f"The whole book is {counts.total():,} words long and uses {len(counts):,} different ones, "
        f"of which {once:,} occur exactly once."
    )


@claim("tok-words-unknown", reads=ALICE)
def words_unknown() -> str:
    train, test = (regex.findall(r"\p{L}+", part) for part in alice_split())
    known = set(train)
    unknown = [word for word in test if word not in known]
    check.true("throne" in unknown and "court" in unknown, "the examples in the text are among them")
    return (
        f"Of the {len(test):,} words in the last two chapters, {len(unknown):,} never occur in the first ten: "
        f"{100 * len(unknown) / len(test):.0f} in every 100."
    )


# ---- bytes ----


@claim("tok-bytes-first", about="nanochat.tokenizer.Tokenizer", killed_by="bytes-backwards", reads=ALICE)
def bytes_first() -> str:
    tokenizer = learned()
    check([tokenizer.token_bytes(n) for n in range(256)], [bytes([n]) for n in range(256)], "token n is byte n")
    return f"The first {256} tokens are the single bytes, each under its own number: token {65} is the byte {65}, `A`."


@claim("tok-any-text", about=(ENCODE, "nanochat.tokenizer.Tokenizer.decode"), killed_by="digits-skipped", reads=ALICE)
def any_text() -> str:
    tokenizer, generator = learned(), random.Random(0)
    good = [n for n in range(0x110000) if not 0xD800 <= n < 0xE000]  # surrogates are no characters
    texts = ["".join(map(chr, generator.choices(good, k=20))) for _ in range(999)] + ["1865, in 2 rows: 12345"]
    changed = [text for text in texts if tokenizer.decode(tokenizer.encode(text)) != text]
    check(len(changed), 0, "texts that decode does not give back")
    return f"Of {len(texts):,} texts, most of them random signs from all of Unicode, every one came back unchanged."


@claim("tok-emoji", about=ENCODE, killed_by="capitals-lost", reads=ALICE)
def emoji() -> str:
    tokenizer = learned()
    tokens = tokenizer.encode("Ω😀")  # the small omega has other bytes
    check(tokens, list("Ω😀".encode()), "what was never seen is written as its bytes")
    return f"The text `Ω😀`, of which *Alice* holds no trace, becomes {len(tokens)} tokens: " + (
        ", ".join(map(str, tokens[:-1])) + f" and {tokens[-1]}."
    )


@claim(
    "tok-broken",
    about="nanochat.tokenizer.Tokenizer.decode",
    killed_by="broken-characters-dropped",
    reads=ALICE,
)
def broken() -> str:
    tokenizer = learned()
    tokens = tokenizer.encode("😀")
    shown = tokenizer.decode(tokens[:2])
    check(shown, "\N{REPLACEMENT CHARACTER}", "half an emoji is shown as one replacement character")
    return f"Decode only the first {2} of an emoji's {len(tokens)} tokens, and one `{shown}` comes out."


# ---- merges ----


@claim("tok-rhyme-start", about=PYTHON, killed_by="words-uncut")
def rhyme_start() -> str:
    words = split_text(RHYME, SPLIT_PATTERN)
    return f"The rhyme has {len(RHYME.encode())} bytes, in {len(words)} words, {len(set(words))} of them different."


@claim("tok-first-merge", about=PYTHON, killed_by="word-frequency-ignored")
def first_merge() -> str:
    first, second = rhyme_merges()[:2]
    check(first.count, second.count, "the first two merges are a tie")
    return (
        f"Two pairs lead with {first.count} occurrences each: a blank before `w`, and `c` before `h`. "
        f"The blank has the lower number, {first.left[0]} against {second.left[0]}, so "
        f"{written(first.token)} is born first "
        f"and becomes token {first.id}."
    )


@claim("tok-seventh-merge", about=PYTHON, killed_by="word-frequency-ignored")
def seventh_merge() -> str:
    merge = rhyme_merges()[6]
    return (
        f"Merge number {7} joins {written(merge.left)} and {written(merge.right)}, two pieces that were "
        "themselves made by "
        f"merges, into {written(merge.token)}, which stands in the rhyme {merge.count} times."
    )


@claim("tok-rhyme-shrinks", about=(PYTHON, "nanochat.bpe.encode_word"), killed_by="word-frequency-ignored")
def rhyme_shrinks() -> str:
    merges = rhyme_merges()
    ranks = {bytes([byte]): byte for byte in range(256)} | {merge.token: merge.id for merge in merges}
    pieces = [piece for word in split_text(RHYME, SPLIT_PATTERN) for piece in encode_word(word.encode(), ranks)]
    check(b"".join(pieces), RHYME.encode(), "the pieces join to the rhyme")
    woodchuck = encode_word(b" woodchuck", ranks)
    check(woodchuck, [b" wood", b"chuck"], "a woodchuck is a wood and a chuck")
    return (
        f"After {len(merges)} merges the rhyme has {len(pieces)} tokens instead of {len(RHYME)}, and "
        f"{written(b' woodchuck')} is "
        f"{len(woodchuck)} tokens, {written(woodchuck[0])} and {written(woodchuck[1])}."
    )


@claim("tok-counts-fall", about=PYTHON, killed_by="old-pairs-kept", reads=ALICE)
def counts_fall() -> str:
    happened: list[Merge] = []
    train_bpe_python([alice_chapter_one()], 200, SPLIT_PATTERN, on_merge=happened.append)
    counts = [merge.count for merge in happened]
    check(counts, sorted(counts, reverse=True), "no merge is more frequent than the one before it")
    return (
        f"Over the first {len(counts)} merges of chapter one, the count falls from {counts[0]:,} to {counts[-1]:,} and "
        "never once rises."
    )


@claim("tok-sum", about=(PYTHON, ENCODE), killed_by="old-pairs-kept", reads=ALICE)
def sum_of_counts() -> str:
    happened: list[Merge] = []
    text = alice_split()[0]
    merges = train_bpe_python([text], 759, SPLIT_PATTERN, on_merge=happened.append)
    total = sum(merge.count for merge in happened)
    before, after = len(text.encode()), len(Tokenizer(merges).encode(text))
    check(before - after, total, "the text is shorter by the counts of all merges")
    return (
        f"The ten chapters begin as {before:,} bytes and end as {after:,} tokens, shorter by {total:,}; and the counts "
        f"of the {len(merges)} merges, added up, are {total:,}."
    )


@claim("tok-alice-first", about=PYTHON, killed_by="word-frequency-ignored", reads=ALICE)
def alice_first() -> str:
    happened: list[Merge] = []
    train_bpe_python([alice_split()[0]], 6, SPLIT_PATTERN, on_merge=happened.append)
    names = [f"{written(merge.token)} ({merge.count:,} times)" for merge in happened]
    return f"In the ten chapters of *Alice* the first six tokens born are {', '.join(names[:-1])} and {names[-1]}."


@claim("tok-uld", about=PYTHON, killed_by="word-frequency-ignored")
def uld() -> str:
    merges = rhyme_merges()
    last = merges[-1]
    return (
        f"The last of the {len(merges)} merges made {written(last.token)} out of {written(last.left)} and "
        f"{written(last.right)}, which is no word."
    )


@claim("tok-swallowed", about=(PYTHON, ENCODE), killed_by=("old-pairs-kept", "merges-forgotten"), reads=ALICE)
def swallowed() -> str:
    happened: list[Merge] = []
    text = alice_split()[0]
    train_bpe_python([text], 759, SPLIT_PATTERN, on_merge=happened.append)
    he, the = happened[1], learned().encode(" the")[0]
    cut = Counter(learned().encode(text))
    check(he.token, b"he", "the second token born")
    check.above(cut[the], 10 * cut[he.id], "a token born later is used far more often")
    return (
        f"{written(he.token)} was merged in {he.count:,} places, but in the finished chapters it stands alone in "
        f"{cut[he.id]}, because `·the` and others have swallowed the rest."
    )


@claim("tok-late-merges", about=PYTHON, killed_by="word-frequency-ignored", reads=ALICE)
def late_merges() -> str:
    happened: list[Merge] = []
    train_bpe_python([alice_split()[0]], 3000, SPLIT_PATTERN, on_merge=happened.append)
    first, hundredth, thousandth, last = (happened[n - 1].count for n in (1, 100, 1000, 3000))
    check(last, 1, "the pair of merge 3,000 occurs once")
    return (
        f"The first merge shortens the ten chapters in {first:,} places, number 100 in {hundredth}, number 1,000 in "
        f"{thousandth}, and number 3,000 in a single one."
    )


@claim("tok-capitals-seen", reads=ALICE)
def capitals_seen() -> str:
    counts = Counter(regex.findall(r"\p{L}+", alice()))
    check(counts["alice"], 0, "the name without its capital")
    return f"The book has *Alice* {counts['Alice']} times, *ALICE* {counts['ALICE']} times and *alice* never."


@claim("tok-alice-name", about=TRAIN, killed_by="merges-forgotten", reads=ALICE)
def alice_name() -> str:
    tokenizer = learned()
    token = tokenizer.encode(" Alice")
    check(len(token), 1, "the name is one token")
    *_, second, longest = sorted(tokenizer.merges, key=len)
    check.below(len(second), len(longest), "the next longest is shorter")
    return (
        f"`·Alice` was born as token {token[0]}, and the longest token that it learned is {written(longest)}, "
        f"with {len(longest)} bytes."
    )


@claim("tok-trainers-agree", about=(PYTHON, TRAIN), killed_by=("old-pairs-kept", "merge-first-only"), reads=ALICE)
def trainers_agree() -> str:
    text = alice_split()[0]
    slow = train_bpe_python([text], 759, SPLIT_PATTERN)
    check(slow, learned().merges, "both trainers learn the same tokens in the same order")
    return f"From the ten chapters both learn the same {len(slow)} tokens, in the same order."


@claim("tok-touched", about=PYTHON, killed_by="old-pairs-kept", reads=ALICE)
def touched() -> str:
    words = count_words([alice_split()[0]], SPLIT_PATTERN)
    calls, found, original = 0, 0, merge_pair

    def counting(word: list[int], pair: tuple[int, int], new: int) -> list[int]:
        nonlocal calls, found
        merged = original(word, pair, new)
        calls, found = calls + 1, found + (new in merged)
        return merged

    with swapped("nanochat.bpe.merge_pair", counting):
        merges = train_bpe_python([alice_split()[0]], 759, SPLIT_PATTERN)
    mean = calls / len(merges)
    check.below(mean, len(words) / 20, "a merge touches a small part of the words")
    return (
        f"In the ten chapters a merge looks at {mean:.0f} of the {len(words):,} different words on average, and finds "
        f"the pair in {found / len(merges):.0f} of them."
    )


@claim("tok-no-crossing", about=PYTHON, killed_by="words-uncut", reads=ALICE)
def no_crossing() -> str:
    tokens = train_bpe_python([alice_chapter_one()], 100, SPLIT_PATTERN)
    inside = [token for token in tokens if b" " in token[1:]]
    check(inside, [], "no token has a blank after its start")
    share = len(inside) or "none"
    return f"Of the first {len(tokens)} tokens that chapter one teaches, {share} has a blank inside or at its end."


@claim("tok-uncut", about=PYTHON, killed_by="old-pairs-kept", reads=ALICE)
def uncut() -> str:
    tokens = train_bpe_python([alice_chapter_one()], 100, r"(?s).+")
    inside = [token for token in tokens if b" " in token[1:]]
    check(tokens[0], b"e ", "the first merge joins the end of a word and the blank after it")
    check.true(b" the " in tokens and b"she " in tokens, "the examples are among them")
    return (
        f"Without the cut, the first merge of all would join `e` and the blank after it, and {len(inside)} of "
        f"{len(tokens)} tokens would have such a blank, as `she·` and `·the·` have."
    )


# ---- splitting, encoding ----


@claim("tok-split-number", about="nanochat.tokenizer.SPLIT_PATTERN", killed_by="digits-three-by-three")
def split_number() -> str:
    words = split_text("12345", SPLIT_PATTERN)
    return f"The number `12345` is cut into {', '.join(f'`{word}`' for word in words[:-1])} and `{words[-1]}`."


@claim("tok-split-whole", about="nanochat.tokenizer.SPLIT_PATTERN", killed_by="words-uncut", reads=ALICE)
def split_whole() -> str:
    book = alice()
    words = split_text(book, SPLIT_PATTERN)
    check("".join(words), book, "the words join to the book")
    return (
        f"The pattern cuts the whole of *Alice* into {len(words):,} words, {len(set(words)):,} different ones, "
        "and joined again they are the book, sign for sign."
    )


@claim("tok-blank-saved", about=ENCODE, killed_by="blank-stands-alone", reads=ALICE)
def blank_saved() -> str:
    tokenizer = learned()
    text = " said the Rabbit"
    tokens = tokenizer.encode(text)
    check(tokenizer.decode(tokens), text, "nothing is lost")
    return f"`·said·the·Rabbit` is {len(tokens)} tokens, one a word: the blanks cost nothing."


@claim("tok-replay", about="nanochat.bpe.encode_word", killed_by="leftmost-pair-first", reads=ALICE)
def replay() -> str:
    tokenizer = learned()
    ranks = {tokenizer.token_bytes(number): number for number in range(tokenizer.vocab_size - len(SPECIAL_TOKENS))}
    words = sorted(set(split_text(alice_split()[1], SPLIT_PATTERN)))
    slow = {word: [ranks[piece] for piece in encode_word(word.encode(), ranks)] for word in words}
    differ = [word for word in words if slow[word] != tokenizer.encode(word)]
    check(differ, [], "words that the two ways cut differently")
    return (
        f"On all {len(words):,} different words of the last two chapters, the lines above and the fast library agree."
    )


@claim("tok-order-matters", about="nanochat.bpe.encode_word", killed_by="leftmost-pair-first")
def order_matters() -> str:
    ranks = {bytes([byte]): byte for byte in range(256)} | {b"he": 256, b"th": 257}
    pieces = encode_word(b"the", ranks)
    first, second = map(written, pieces)
    he, th = ranks[b"he"], ranks[b"th"]
    return f"If `he` is token {he} and `th` is token {th}, then `the` is cut into {first} and {second}."


# ---- special tokens ----


@claim("tok-special-last", about="nanochat.tokenizer.Tokenizer.special", killed_by="specials-backwards", reads=ALICE)
def special_last() -> str:
    tokenizer = learned()
    numbers = [tokenizer.special(name) for name in SPECIAL_TOKENS]
    check(numbers, list(range(tokenizer.vocab_size - len(SPECIAL_TOKENS), tokenizer.vocab_size)), "the last ones")
    return (
        f"Their numbers are the last ones: in a vocabulary of {tokenizer.vocab_size:,}, "
        f"`{SPECIAL_TOKENS[0]}` is {numbers[0]:,} and `{SPECIAL_TOKENS[-1]}` is {numbers[-1]:,}."
    )


@claim("tok-special-pairs", about="nanochat.tokenizer.SPECIAL_TOKENS", killed_by="specials-sorted", reads=ALICE)
def special_pairs() -> str:
    """Ask for the signs by name, in the order of the sentence."""
    tokenizer = learned()
    user, assistant, python, output = (
        [f"{tokenizer.special(f'<|{what}_{end}|>'):,}" for end in ("start", "end")]
        for what in ("user", "assistant", "python", "output")
    )
    return (
        f"Two and two, they stand around a user's turn ({user[0]} and {user[1]}), an assistant's ({assistant[0]} and "
        f"{assistant[1]}), a calculation ({python[0]} and {python[1]}) and its result ({output[0]} and {output[1]})."
    )


@claim("tok-special-typed", about=ENCODE, killed_by="special-text-parsed", reads=ALICE)
def special_typed() -> str:
    tokenizer = learned()
    tokens = tokenizer.encode("<|bos|>")
    check.true(tokenizer.bos not in tokens, "no special token among them")
    return (
        f"Typed as text, `<|bos|>` becomes {len(tokens)} ordinary tokens, and none of them is number {tokenizer.bos:,}."
    )


@claim("tok-special-random", about=ENCODE, killed_by="special-text-parsed", reads=ALICE)
def special_random() -> str:
    tokenizer, generator = learned(), random.Random(0)
    first = tokenizer.bos
    texts = ["".join(generator.choices([*SPECIAL_TOKENS, "a", " ", "|>", "<|"], k=12)) for _ in range(500)]
    check.below(max(max(tokenizer.encode(text)) for text in texts), first, "the largest number of any text")
    return f"We glued {len(texts)} texts together out of the names of special tokens; not one special token came out."


@claim(
    "tok-special-no-bytes",
    about="nanochat.tokenizer.Tokenizer.n_bytes_per_token",
    killed_by="specials-are-text",
    reads=ALICE,
)
def special_no_bytes() -> str:
    lengths = learned().n_bytes_per_token()
    empty = [length for length in lengths if length == 0]
    return f"Of the {len(lengths):,} tokens exactly {len(empty)} stand for no text at all, the special ones."


# ---- on disk ----


@mutant("file-not-compared", "a tokenizer file is loaded whatever its fingerprint says")
def file_not_compared():
    return edited(
        "nanochat.tokenizer.Tokenizer._from_content",
        'if tokenizer.fingerprint != content["fingerprint"]:',
        "if False:",
    )


@claim("tok-file-changed", about="nanochat.tokenizer.Tokenizer.load", killed_by="file-not-compared")
def file_changed() -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Tokenizer.train([RHYME], 277).save(Path(folder) / "tokenizer.json")
        text = path.read_text(encoding="utf-8")
        check(text.count("{1,2}"), 1, "the pattern stands in the file as it is")
        path.write_text(text.replace("{1,2}", "{1,3}"), encoding="utf-8")
        check.raises(InputError, lambda: Tokenizer.load(path), "the changed file does not fit its fingerprint")
    return "Change one sign of the pattern in the file, and it is refused when it is loaded."


# ---- the size of the vocabulary ----

SIZES = (512, 1024, 2048, 4096)


@claim("tok-dial", about=TRAIN, killed_by="merges-forgotten", reads=ALICE)
def dial() -> str:
    test = alice_split()[1]
    lengths = {size: len(learned(size).encode(test)) for size in SIZES}
    values = list(lengths.values())
    check(values, sorted(values, reverse=True), "a larger vocabulary never needs more tokens here")
    steps = [1 - after / before for before, after in zip(values, values[1:], strict=False)]
    check(steps, sorted(steps, reverse=True), "each doubling saves a smaller share than the one before")
    return (
        f"With {SIZES[0]} tokens the last two chapters are {values[0]:,} tokens long, with {SIZES[1]:,} they "
        f"are {values[1]:,}, with {SIZES[2]:,} they are {values[2]:,} and with {SIZES[3]:,} they are {values[3]:,}. "
        f"Each doubling saves less than the one before: {100 * steps[0]:.0f}, {100 * steps[1]:.0f} and "
        f"{100 * steps[2]:.0f} in every 100."
    )


@claim("tok-memorised", about=TRAIN, killed_by="merges-forgotten", reads=ALICE)
def memorised() -> str:
    train, test = alice_split()
    tokenizer = learned(4096)
    seen, unseen = (len(text.encode()) / len(tokenizer.encode(text)) for text in (train, test))
    check.above(seen, unseen, "the text that was learned from is compressed better")
    return (
        f"At {4096:,} tokens, one token holds {seen:.2f} bytes of the chapters that it was learned from, but "
        f"only {unseen:.2f} of "
        "the two that it had not seen."
    )


@claim("tok-table-small", about="nanochat.accounting.count_parameters", killed_by="head-not-counted")
def table_small() -> str:
    config = GPTConfig.from_depth(4, vocab_size=65536)
    counted = count_parameters(config)
    tables = counted.embedding + counted.head
    check(tables, 2 * config.vocab_size * config.n_embd, "two tables of V rows and C columns")
    return (
        f"In a model of depth {config.n_layer} with {config.vocab_size:,} tokens the two tables hold "
        f"{tables:,} numbers, "
        f"about {tables / counted.matrices:.0f} times as many as all the rest of the model ({counted.matrices:,})."
    )


@claim("tok-table-large", about="nanochat.accounting.count_parameters", killed_by="head-not-counted")
def table_large() -> str:
    config = GPTConfig.from_depth(20, vocab_size=65536)
    counted = count_parameters(config)
    tables = counted.embedding + counted.head
    return (
        f"In a model of depth {config.n_layer} the same vocabulary takes {tables:,} numbers, "
        f"{100 * tables / counted.total:.0f} in every 100 of the whole."
    )


@claim("tok-parts", about=TRAIN, killed_by="merges-forgotten", reads=ALICE)
def parts() -> str:
    tokenizer = learned()
    merges, special = len(tokenizer.merges), len(SPECIAL_TOKENS)
    check(256 + merges + special, tokenizer.vocab_size, "bytes, merges and special tokens are all there is")
    return (
        f"The {tokenizer.vocab_size:,} tokens of this chapter are {256} bytes, {merges} merges and "
        f"{special} special tokens."
    )


# ---- what goes wrong ----


@claim("tok-number-shift", about="nanochat.tokenizer.SPLIT_PATTERN", killed_by="digits-three-by-three")
def number_shift() -> str:
    shorter, longer = (", ".join(f"`{word}`" for word in split_text(n, SPLIT_PATTERN)) for n in ("12345", "123456"))
    return f"So `12345` becomes {shorter}, and with one digit more, `123456` becomes {longer}."


@claim("tok-blank-end", about=ENCODE, killed_by="blank-stands-alone", reads=ALICE)
def blank_end() -> str:
    tokenizer = learned()
    alone, followed = ([piece for _, piece in tokenizer.pieces(text)] for text in ("Alice ", "Alice said"))
    check(alone[-1], b" ", "a lone blank stands at the end")
    check(b" " in followed, False, "no lone blank once a word follows")
    return (
        f"`Alice·` is cut into {' and '.join(map(written, alone))}; but `Alice·said` is cut into "
        f"{' and '.join(map(written, followed))}."
    )


@claim("tok-strawberry-gpts", reads=RECORD)
def strawberry_gpts() -> str:
    pieces = [f"`{piece}`" for piece in compared()["cl100k_base"]["strawberry"]]
    *first, last = pieces
    return f"GPT-4's tokenizer cuts it into {', '.join(first)} and {last}, which says no more about its letters."


@claim("tok-capitals", about=ENCODE, killed_by="capitals-lost", reads=ALICE)
def capitals() -> str:
    tokenizer = learned()
    counts = [len(tokenizer.encode(text)) for text in (" Alice", " ALICE", " alice")]
    check(len({tuple(tokenizer.encode(t)) for t in (" Alice", " ALICE", " alice")}), 3, "three different rows")
    return f"`·Alice` is {counts[0]} token, `·ALICE` is {counts[1]}, and `·alice` is {counts[2]}."


@claim("tok-strawberry", about=ENCODE, killed_by="merges-forgotten", reads=ALICE)
def strawberry() -> str:
    pieces = learned().pieces("strawberry")
    return f"The model sees `strawberry` as {', '.join(f'{number}' for number, _ in pieces)}: {len(pieces)} numbers."


@claim("tok-scripts", about=ENCODE, killed_by="merges-forgotten", reads=ALICE)
def scripts() -> str:
    tokenizer = learned()
    english, hindi = (ARTICLE_ONE[language] for language in ("English", "Hindi"))
    counts = [len(tokenizer.encode(text)) for text in (english, hindi)]
    check(counts[1], len(hindi.encode()), "every byte of the Hindi text is a token of its own")
    return (
        f"The article takes {counts[0]} tokens in English and {counts[1]} in Hindi, "
        f"{counts[1] / counts[0]:.1f} times as many, "
        f"though it has {len(english)} characters in the one and {len(hindi)} in the other."
    )


@claim("tok-gpts-sizes", reads=RECORD)
def gpts_sizes() -> str:
    kept = compared()
    gpt2, gpt4, newest = (kept[name]["vocab_size"] for name in ("gpt2", "cl100k_base", "o200k_base"))
    check(kept["gpt2"]["highest"], gpt2 - 1, "GPT-2's numbers have no gap")
    ends = [kept[name]["highest"] for name in ("cl100k_base", "o200k_base")]
    for last, size in zip(ends, (gpt4, newest), strict=True):
        check.above(last, size, "some numbers belong to no token")
    return (
        f"GPT-2's tokenizer has {gpt2:,} tokens, that of GPT-4 has {gpt4:,} and that of GPT-4o {newest:,}; the numbers "
        f"of the last two go up to {ends[0]:,} and {ends[1]:,}, because some belong to no token."
    )


@claim("tok-gpts", about=ENCODE, killed_by="merges-forgotten", reads=(ALICE, RECORD))
def gpts() -> str:
    kept = compared()
    test = alice_split()[1]
    ours = len(test.encode()) / len(learned(4096).encode(test))
    theirs = {name: len(test.encode()) / values["alice"] for name, values in kept.items()}
    check.above(theirs["gpt2"], ours, "the larger vocabulary cuts coarser")
    return (
        f"On the last two chapters, one token of ours holds {ours:.2f} bytes, with {4096:,} tokens learned "
        "from this very book. One "
        f"of GPT-2's holds {theirs['gpt2']:.2f}, one of GPT-4's {theirs['cl100k_base']:.2f} and one of GPT-4o's "
        f"{theirs['o200k_base']:.2f}."
    )


@claim("tok-other-text", about=ENCODE, killed_by="merges-forgotten", reads=(ALICE, RECORD))
def other_text() -> str:
    sentence = ARTICLE_ONE["English"]
    ours, theirs = len(learned(4096).encode(sentence)), compared()["gpt2"]["article_one"]["English"]
    check.above(ours, theirs * 1.2, "a vocabulary learned from one story serves other text badly")
    return (
        f"On an English text from elsewhere, which we will meet below, ours of {4096:,} tokens needs {ours} "
        f"and GPT-2's {theirs}."
    )


@claim("tok-gpts-hindi", reads=RECORD)
def gpts_hindi() -> str:
    kept = compared()
    counts = [kept[name]["article_one"]["Hindi"] for name in ("gpt2", "cl100k_base", "o200k_base")]
    check(counts, sorted(counts, reverse=True), "each needs fewer than the one before")
    gpt2, gpt4, newest = counts
    return f"For the same text in Hindi, GPT-2's tokenizer needs {gpt2} tokens, GPT-4's {gpt4} and GPT-4o's {newest}."
