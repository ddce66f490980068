r"""
Cut text into tokens
====================

A model reads numbers, so somebody has to cut the text into pieces and number them. Who decides where to cut?

Nobody. The pieces come from counting. This page learns a tokenizer in front of you, looks at what it learned, holds
it beside the ones of GPT-2 and GPT-4, and then tries to embarrass it. The idea is explained step by step in
:doc:`the chapter on tokens </nano/tokenization>`. Here we watch it happen.
"""

# %%
# Some text to learn from
# -----------------------
# Any text will do. We take real prose where this machine has some, and keep a tenth of the documents aside: what the
# tokenizer has never seen will be our test.

from nanochat.corpora import prose_corpus

corpus = prose_corpus()
train, held_out = list(corpus.documents("train")), list(corpus.documents("val"))
print(f"{len(train):,} documents to learn from, {len(held_out):,} to test on")
print(f"{corpus.title} ({corpus.credit})\n")
print(held_out[0])

# %%
# The merges, as they happen
# --------------------------
# At first every byte is a piece of its own. Then the two neighbours that stand side by side most often are glued
# together, and that is a new piece. Then again, and again. :func:`~nanochat.bpe.train_bpe_python` calls us at every
# merge. A part of the documents is enough for it.
#
# Read the list from the top. First come the commonest pairs of letters, then short words. A dot is a space, and a
# space belongs to the word after it.

from nanochat.bpe import train_bpe_python
from nanochat.figures import show_piece
from nanochat.tokenizer import SPLIT_PATTERN, Tokenizer

merges = []
train_bpe_python(train[:2000], 1500, SPLIT_PATTERN, on_merge=merges.append)

for merge in [*merges[:12], *merges[99:1500:200]]:
    left, right, new = map(show_piece, (merge.left, merge.right, merge.token))
    born = f"token {merge.id:4}   {left:>7} + {right:6} = {new:9}"
    print(f"{born} seen {merge.count:6,} times")

# %%
# No merge can be more frequent than the one before it, since the most frequent always goes first. That is worth
# checking, because it is what makes the numbers of the tokens meaningful: a small number is a common piece. On both
# scales of the picture, each labelled mark is ten times the one before it.

from itertools import pairwise

if any(later.count > earlier.count for earlier, later in pairwise(merges)):
    raise ValueError("a later merge was more frequent than an earlier one")

import matplotlib.pyplot as plt

from nanochat.figures import use_style

use_style()
figure, axes = plt.subplots()
axes.loglog([merge.id - 255 for merge in merges], [merge.count for merge in merges])
for number in (1, 7, 40, 200, 1000):
    merge = merges[number - 1]
    axes.plot(number, merge.count, "o", color="C1")
    label = f"“{show_piece(merge.token)}”"
    axes.annotate(label, (number, merge.count), (6, 5), textcoords="offset points")
axes.set(xlabel="merge", ylabel="times the pair was seen")
axes.set(
    title="Each merge is rarer than the last", ylim=(None, 2 * merges[0].count)
)
# sphinx_gallery_start_ignore
from nanochat.figures import describe

describe(
    figure,
    alt="A line that falls from the upper left to the lower right on two logarithmic scales, with five tokens marked.",
    caption=f"The first merge, “{show_piece(merges[0].token)}”, was seen {merges[0].count:,} times; merge "
    f"{len(merges):,} only {merges[-1].count:,} times. The nearly straight line is the sign of language: a few things "
    "are said all the time, most things rarely.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# The family tree of a word
# -------------------------
# A long token is made of two shorter ones, which are made of two shorter ones. So every token has ancestors, back to
# single bytes. Here is the longest word that the trainer learned. Look at the numbers: children are always younger
# than their parents, and many parents serve other words too.

from nanochat.figures import PALETTE

born = {merge.token: merge for merge in merges}
longest = max(merges, key=lambda merge: len(merge.token))
figure, axes = plt.subplots(figsize=(4.8, 3.6))
box = {"boxstyle": "round,pad=0.25", "facecolor": PALETTE["panel"][0]}
box["edgecolor"] = PALETTE["accent"][0]
drawn = []


def draw(token: bytes, left: int) -> tuple[float, int]:
    """Draw a token above the middle of its parts, and say where that is."""
    x, y, label = left, 0, show_piece(token)
    if token in born:
        merge = born[token]
        start = left
        ends = []
        for part in (merge.left, merge.right):
            if part in born and born[part].id >= merge.id:
                raise ValueError(f"{token!r} is older than its part {part!r}")
            ends.append(draw(part, start))
            start += len(part)
        x, y = sum(end[0] for end in ends) / 2, 1 + max(end[1] for end in ends)
        for end in ends:
            axes.plot([x, end[0]], [y, end[1]], color="C0", linewidth=1, zorder=1)
        label += f"\n{merge.id}"
        drawn.append(merge)
    axes.text(
        x, y, label, ha="center", va="center", fontsize=7.5, bbox=box, zorder=2
    )
    return x, y


_, top = draw(longest.token, 0)
word = longest.token.decode().strip()
axes.set(title=f"How “{word}” was put together", ylim=(-0.6, top + 0.6))
axes.set_axis_off()
# sphinx_gallery_start_ignore
describe(
    figure,
    alt=f"A tree. At the bottom are the single letters of {word}, at the top is the whole word; each box between them "
    "joins two below.",
    caption=f"{len(longest.token)} bytes became one token in {len(drawn)} merges. The number in a box is the token's "
    "number: the lower, the earlier it was learned.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# One sentence, more and more merges
# ----------------------------------
# Training a larger vocabulary only goes on with the list. So we can take the first few merges of a list and have the
# tokenizer that a shorter training would have given. Below, one sentence is cut with none of the merges, with a few,
# with all. The colour of a piece depends on its text alone: the same piece has the same colour on every page of this
# site.

from nanochat.figures import token_html


class Rows(dict):
    """Rows of tokens by their names; a page shows them as HTML."""

    def _repr_html_(self):
        name = '<p style="margin:0.8rem 0 -0.6rem"><small>{}</small></p>'
        return "".join(name.format(row) + self[row]._repr_html_() for row in self)


def checked(pieces: list[bytes], text: str):
    """Return the pieces as a row, after checking that nothing is lost."""
    if b"".join(pieces) != text.encode():
        raise ValueError(f"the tokens do not join to {text!r}")
    return token_html(pieces)


sentence = "The old lighthouse keeper remembered every single storm."
rows = Rows()
for n_merges in (0, 50, 400, len(merges)):
    small = Tokenizer([merge.token for merge in merges[:n_merges]])
    pieces = [piece for _, piece in small.pieces(sentence)]
    rows[f"{n_merges:,} merges: {len(pieces)} tokens"] = checked(pieces, sentence)
rows

# %%
# The whole vocabulary, quickly
# -----------------------------
# The readable trainer is for reading. The one that works all day is ``rustbpe``, and :meth:`Tokenizer.train
# <nanochat.tokenizer.Tokenizer.train>` uses it. Both must learn the same. They do, or this page would not exist:

ours = Tokenizer.train(train, vocab_size=16384)
same_text = Tokenizer.train(train[:2000], vocab_size=len(merges) + 265)
if same_text.merges != [merge.token for merge in merges]:
    raise ValueError("rustbpe and the readable trainer learned different merges")
print(f"{len(same_text.merges):,} merges, the same from both trainers")
print(f"ours: {ours.vocab_size:,} tokens, {len(ours.special_ids)} of them special")

# %%
# Beside GPT-2 and GPT-4
# ----------------------
# The published tokenizers were learned from far more text, so they know more words. ``cl100k_base`` is the one of
# GPT-3.5 and GPT-4. Each row below says the same text. Look at the name, the price, and the long word at the end.

from nanochat.common import InputError
from nanochat.reference_tokenizers import load_reference

references = {}
published = {"GPT-2": "gpt2", "GPT-4": "cl100k_base", "GPT-4o": "o200k_base"}
for title, name in published.items():
    try:
        references[title] = load_reference(name)
    except InputError as missing:
        print(f"{title} is left out of this page: {missing}")


def cut(title: str, text: str) -> list[bytes]:
    """Cut a text with one of the tokenizers and return the pieces."""
    if title == "ours":
        return [piece for _, piece in ours.pieces(text)]
    theirs = references[title]
    ids = theirs.encode_ordinary(text)
    return [theirs.decode_single_token_bytes(token) for token in ids]


sentence = "Zoë paid $1,234.56 for 2 tokenizers\nand said: unbelievable!"
titles = ["ours", *references]
cuts = {title: cut(title, sentence) for title in titles}
Rows(
    (f"{title}: {len(pieces)} tokens", checked(pieces, sentence))
    for title, pieces in cuts.items()
)

# %%
# How much a larger vocabulary buys
# ---------------------------------
# A good tokenizer says the same text in fewer tokens: more bytes in each. We measure on the held-out documents, which
# no tokenizer here has learned from. Each doubling of the vocabulary costs the model twice as many rows in two of its
# matrices, and the last one buys less than the first.


def bytes_per_token(tokens: list[list[int]]) -> float:
    """Say how many bytes of the held-out text one token carries."""
    return sum(len(text.encode()) for text in held_out) / sum(map(len, tokens))


first = len(ours.special_ids) + 256  # no merges at all
sizes = [
    n for n in (first, 512, 1024, 2048, 4096, 8192, 16384) if n <= ours.vocab_size
]
smaller = [Tokenizer(ours.merges[: n - first]) for n in sizes]
carried = [
    bytes_per_token(tokenizer.encode_batch(held_out)) for tokenizer in smaller
]
gains = [after - before for before, after in pairwise(carried[1:])]
if sorted(carried) != carried or gains[-1] >= gains[0]:
    raise ValueError(f"bytes per token {carried} should grow, and by less and less")

figure, axes = plt.subplots()
axes.semilogx(sizes, carried, "o-", base=2, label="ours")
for number, (title, theirs) in enumerate(references.items(), start=1):
    score = bytes_per_token(theirs.encode_ordinary_batch(held_out))
    axes.plot(
        theirs.n_vocab, score, "sD^"[number - 1], color=f"C{number}", label=title
    )
ticks = [256, 1024, 4096, 16384, *([65536, 200000] if references else [])]
axes.set_xticks(ticks, [f"{n:,}" if n < 10000 else f"{n // 1000}k" for n in ticks])
axes.set(xlabel="tokens in the vocabulary", ylabel="bytes in one token", ylim=0)
axes.set_title("Larger vocabulary, longer tokens")
axes.legend(loc="lower right")
# sphinx_gallery_start_ignore
describe(
    figure,
    alt="A rising curve that flattens: bytes for each token against the size of the vocabulary.",
    caption=f"With {sizes[1]:,} tokens each carries {carried[1]:.2f} bytes of new text, with {sizes[-1]:,} it carries "
    f"{carried[-1]:.2f}. The last doubling bought {gains[-1]:.2f} bytes, the first one {gains[0]:.2f}. "
    f"Measured on {len(held_out):,} held-out documents: {corpus.title} ({corpus.credit}).",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# A tokenizer is made for its text
# --------------------------------
# Here is the same size of vocabulary twice, learned from two kinds of text, and each tried on both. A tokenizer for
# children's stories has spent its places on names and toys. On an encyclopedia it stutters, and the other way round.

from nanochat.corpora import load_corpus

stories = load_corpus("stories")
texts = {"stories": list(stories.documents("val")), corpus.name: held_out}
learned = {
    "stories": Tokenizer.train(stories.documents("train"), 1024),
    corpus.name: Tokenizer(ours.merges[: 1024 - first]),
}
score = {}
for read, documents in texts.items():
    n_bytes = sum(len(text.encode()) for text in documents)
    for home, tokenizer in learned.items():
        score[home, read] = n_bytes / sum(
            map(len, tokenizer.encode_batch(documents))
        )
    if score[read, read] != max(score[home, read] for home in learned):
        raise ValueError(
            f"the tokenizer learned from {read} should be the best one on it"
        )

figure, axes = plt.subplots(figsize=(4.8, 2.4))
for row, read in enumerate(texts):
    for number, home in enumerate(learned):
        y, value = row + 0.36 * number, score[home, read]
        axes.barh(
            y, value, height=0.32, color=f"C{number}", label="" if row else home
        )
        axes.text(value + 0.06, y, f"{value:.2f}", va="center")
axes.set_yticks([0.18, 1.18], [f"reading {read}" for read in texts])
axes.invert_yaxis()
axes.set(xlabel="bytes in one token", xlim=(0, 1.15 * max(score.values())))
axes.set_title("At home and abroad")
axes.grid(False)
axes.legend(title="learned from", loc="center left", bbox_to_anchor=(1, 0.5))
# sphinx_gallery_start_ignore
describe(
    figure,
    alt="Four bars in two pairs. In each pair the tokenizer learned from the text being read has the longer bar.",
    caption=f"On stories, the tokenizer learned from stories packs {score['stories', 'stories']:.2f} bytes into a "
    f"token, the other one {score[corpus.name, 'stories']:.2f}. Same size, same algorithm, other text.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# Things that surprise
# --------------------
# **Numbers** are cut two digits at a time from the left, so the same digits fall into other pieces when one more
# stands before them. **Spaces** belong to the next word, so a word has one token at the start of a line and another
# one in the middle. **Capital letters** make other tokens again. **Emoji** are several bytes, and rare ones are not
# learned, so the model sees bytes. And **a special token typed by a user** is plain text, cut like any other: nobody
# can fake the end of a conversation by typing it.

cases = {
    "numbers": "99 100 1999 21999 3.14159",
    "spaces": "hello hello  hello\n    hello",
    "capitals": "history History HISTORY hIsToRy",
    "emoji": "🙂 👨‍👩‍👧 é",
    "typed special token": "<|bos|>",
}
for text in cases.values():
    ids = ours.encode(text)
    if ours.decode(ids) != text:
        raise ValueError(f"{text!r} did not survive the way there and back")
    if set(ids) & set(ours.special_ids.values()):
        raise ValueError(f"{text!r} became a special token")
Rows(
    (
        title,
        token_html([piece for _, piece in ours.pieces(text)], ours.encode(text)),
    )
    for title, text in cases.items()
)

# %%
# Who pays more
# -------------
# A vocabulary learned from English is cheap for English. The same question in another script may cost several times
# as many tokens: time, money, and room in the context. No word of these languages was learned by our tokenizer; it
# still reads them all, byte by byte. Nothing is ever "unknown".

question = {
    "English": "Good morning, how are you?",
    "German": "Guten Morgen, wie geht es dir?",
    "Greek": "Καλημέρα, τι κάνεις;",
    "Russian": "Доброе утро, как дела?",
    "Hindi": "सुप्रभात, आप कैसे हैं?",
    "Chinese": "早上好，你好吗？",
}
n_tokens = {
    title: {language: len(cut(title, text)) for language, text in question.items()}
    for title in titles
}
for title, text in question.items():
    if ours.decode(ours.encode(text)) != text:
        raise ValueError(f"{title} did not survive the way there and back")

figure, axes = plt.subplots(figsize=(4.8, 3.9))
height = 0.8 / len(titles)
for number, title in enumerate(titles):
    rows = [row + number * height for row in range(len(question))]
    tokens = list(n_tokens[title].values())
    axes.barh(rows, tokens, height=0.9 * height, color=f"C{number}", label=title)
axes.set_yticks([row + 0.4 - height / 2 for row in range(len(question))], question)
axes.invert_yaxis()
axes.set(xlabel="tokens", title="The same question in six languages")
axes.grid(axis="y", visible=False)
axes.legend(loc="lower right")
# sphinx_gallery_start_ignore
english, most = (
    n_tokens["ours"]["English"],
    max(n_tokens["ours"], key=n_tokens["ours"].get),
)
best = min(titles, key=lambda title: n_tokens[title][most])
describe(
    figure,
    alt=f"Groups of bars for six languages and {len(titles)} tokenizers. English has the shortest bars.",
    caption=f"To ours, “{question['English']}” is {english} tokens in English and {n_tokens['ours'][most]} in {most}."
    + (
        f" {best} says the {most} question in {n_tokens[best][most]}."
        if best != "ours"
        else ""
    ),
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# Now you
# -------
# - Put your own name into ``sentence``. How many tokens are you?
# - Learn a tokenizer from your own notes: ``load_corpus("path/to/a/folder")``.
# - Change :data:`~nanochat.tokenizer.SPLIT_PATTERN` so that digits are never cut, and look at the numbers again.
#
# Next: :doc:`the model that reads these tokens learns to tell stories <plot_02_train>`.

# sphinx_gallery_thumbnail_number = 2
