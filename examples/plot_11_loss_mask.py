r"""
Whose words are learned?
========================

A chat has two sides, and a model that learns from chats reads both. But it shall answer, and not ask. So each token of
a chat carries a note for the training: *this one you must be able to write*, or *this one you only read*. That is the
**loss mask**.

This page colours a chat by who wrote what, and by what is learned. Then it trains the same model twice, with the mask
and without it, and looks at what each has learned: does the one without begin to speak the user's words? The ideas are
in :doc:`the chapter on chats </nano/training/chat>`; a model that has learned to answer is on :doc:`a page of its own
<plot_04_chat>`.
"""

# %%
# Who wrote what
# --------------
# The chats are sums, two in a row, so that the user speaks again after the first answer. The assistant takes the
# calculator. :func:`~nanochat.conversation.render` writes a chat as one row of tokens, and its mask beside it.

from nanochat.conversation import Conversation, Rendered, render
from nanochat.tasks import load_task
from nanochat.tokenizer import Tokenizer


def two_in_a_row(split: str, limit: int) -> list[Conversation]:
    """Join each two sums of a task to a chat of two questions."""
    sums = load_task("arithmetic-sums", split, limit=2 * limit)
    pairs = ((sums[i], sums[i + 1]) for i in range(0, 2 * limit, 2))
    return [Conversation((*a.messages, *b.messages)) for a, b in pairs]


lessons, unseen = two_in_a_row("train", 1500), two_in_a_row("test", 40)
cutter = Tokenizer.train(
    [message.text for chat in lessons for message in chat.messages], 320
)
names = {number: name for name, number in cutter.special_ids.items()}
chat = render(cutter, unseen[0])
print(cutter.decode(chat.ids).replace("<|user_start|>", "\n<|user_start|>"))

# %%
# The marks tell who is speaking. The mask tells what counts. Below, the colour of a token says who wrote it, and the
# thick line under it that it is learned. Look at the amber ones in the middle of the answers: the calculator wrote
# them. The assistant reads its result and need not know it.

import html

from nanochat.figures import show_piece

HUES = {"assistant": "accent", "user": "blue", "calculator": "amber", "program": ""}


def writers(ids: list[int]) -> list[str]:
    """Say who wrote each token: the marks of a row tell."""
    out, inside = [], "program"
    for token in ids:
        mark = names.get(token, "")
        if mark in (
            "<|bos|>",
            "<|user_start|>",
            "<|user_end|>",
            "<|assistant_start|>",
        ):
            out.append("program")
        elif mark.startswith("<|output"):
            out.append("calculator")
        else:
            out.append("assistant" if mark else inside)
        begins = {
            "<|user_start|>": "user",
            "<|output_start|>": "calculator",
            "<|assistant_start|>": "assistant",
            "<|output_end|>": "assistant",
            "<|user_end|>": "program",
            "<|assistant_end|>": "program",
        }
        inside = begins.get(mark, inside)
    return out


class Html(str):
    """Text that a page shows as HTML."""

    def _repr_html_(self) -> str:
        return self


def strip(ids: list[int], mask: list[int] | None = None) -> Html:
    """Show a row token by token: colours for the writers, a line for the mask."""
    out = []
    for token, who, learned in zip(
        ids, writers(ids), mask or [0] * len(ids), strict=True
    ):
        text = names.get(token) or show_piece(cutter.token_bytes(token))
        hue = f" nc-{HUES[who]}" if HUES[who] else ""
        style = "" if hue else "border-color:var(--nc-line);background:none;"
        style += "border-bottom:4px solid var(--nc-accent)" if learned else ""
        out.append(
            f'<span class="nc-token{hue}" style="{style}">{html.escape(text)}</span>'
        )
    return Html(f'<p class="nc-tokens">{"".join(out)}</p>')


strip(chat.ids, chat.mask)

# %%
# Green is the assistant's, blue the user's, amber the calculator's. What has no colour, the program put there. And all
# chats together: how many tokens has each of the four written, and how many of them count?

written, learned = dict.fromkeys(HUES, 0), dict.fromkeys(HUES, 0)
rows = [render(cutter, one) for one in lessons]
for one in rows:
    for who, counts in zip(writers(one.ids), one.mask, strict=True):
        written[who] += 1
        learned[who] += counts
total = sum(written.values())
for who, n in written.items():
    print(
        f"{who:11} {n / total:4.0%} of the tokens, {learned[who] / n:4.0%} learned"
    )
if [learned[who] / n for who, n in written.items()] != [1, 0, 0, 0]:
    raise ValueError("all of the assistant's tokens should count, and no others")

# %%
# The same model twice
# --------------------
# Now two models with the same first weights read the same rows. One has the mask. For the other, every token counts.

from nanochat.common import detect_runtime
from nanochat.dataloader import ConversationLoader
from nanochat.gpt import GPTConfig
from nanochat.train import Plan, TrainState, fit

STEPS, ROWS, LENGTH = 320, 4, 100
runtime = detect_runtime("cpu", "float32")


def start(masked: bool, seed: int) -> TrainState:
    """Put a new model before the chats."""
    plan = Plan(
        model=GPTConfig.from_depth(2, cutter.vocab_size, LENGTH, width=64),
        device_batch_size=ROWS,
        total_batch_size=ROWS * LENGTH,
        num_iterations=STEPS,
        seed=seed,
    )
    chats = rows
    if not masked:
        chats = [Rendered(one.ids, [1] * len(one.ids)) for one in rows]
    loader = ConversationLoader(chats, ROWS, LENGTH, cutter.bos, seed)
    return TrainState.start(plan, loader, runtime)


few = 60
ours = {
    name: fit(start(name == "mask", 1), until=few, progress=False)
    for name in ("mask", "no mask")
}
for name, state in ours.items():
    print(f"{name:8} loss on what counts: {state.history[-1].loss:.2f}")

# %%
# Those two losses must not be compared: they are means over different tokens. So we ask both models about the same new
# chats, at each writer's tokens by themselves (:func:`~nanochat.evaluate.score_chats`, with a mask for each writer).
#
# And we ask for four probabilities. How likely does each model find it that:
#
# - a chat that has just begun goes on with the **user's turn**;
# - after the end of an answer the **user speaks again**;
# - after a call the **calculator's output** begins;
# - after its last word an answer **ends**?

import torch

from nanochat.evaluate import score_chats

new = [render(cutter, one) for one in unseen]
MOMENTS = {
    "the user's turn": ("<|bos|>", "<|user_start|>"),
    "the user again": ("<|assistant_end|>", "<|user_start|>"),
    "the output": ("<|python_end|>", "<|output_start|>"),
    "the end": ("", "<|assistant_end|>"),
}


@torch.no_grad()
def look(model) -> dict[str, dict[str, float]]:
    """Measure what a model has learned of each side of a chat."""
    surprise = {
        who: score_chats(
            model,
            [
                Rendered(one.ids, [int(w == who) for w in writers(one.ids)])
                for one in new
            ],
            cutter.bos,
        )
        for who in HUES
    }
    sums, counts = dict.fromkeys(MOMENTS, 0.0), dict.fromkeys(MOMENTS, 0)
    for one in new:
        p = model(torch.tensor([one.ids]))[0].softmax(-1)
        for place, (before, token) in enumerate(
            zip(one.ids, one.ids[1:], strict=False)
        ):
            for name, (first, second) in MOMENTS.items():
                if names.get(token) == second and first in ("", names.get(before)):
                    sums[name] += p[place, token].item()
                    counts[name] += 1
    return {"surprise": surprise, "chance": {n: sums[n] / counts[n] for n in sums}}


now = {name: look(state.model) for name, state in ours.items()}
for name in MOMENTS:
    chances = [f"{one['chance'][name]:5.1%}" for one in now.values()]
    print(f"{name:16} {chances[0]} with the mask, {chances[1]} without")

# %%
# A longer run, three times
# -------------------------
# After so few steps little is settled. ``python examples/plot_11_loss_mask.py --full`` goes on to the end of the plan,
# with three seeds, and keeps a record.

import json
import sys

from nanochat import conversation, dataloader, evaluate, gpt, optim, tasks
from nanochat import tokenizer as tokenizing
from nanochat import train as training
from nanochat.engine import Engine
from nanochat.records import circumstances, code_hash, record_path

MODULES = (
    conversation, dataloader, evaluate, gpt, optim, tasks.arithmetic, tokenizing,
    training,
)  # fmt: skip
path = record_path("loss-mask.json")


def written_by(model, seed: int, n: int = 40) -> list[list[int]]:
    """Let a model write from the very beginning of a chat, until a turn is over."""
    ends = [cutter.special(f"<|{who}_end|>") for who in ("user", "assistant")]
    made = Engine(model, cutter).generate(
        [cutter.bos],
        num_samples=n,
        max_tokens=40,
        seed=seed,
        stop=[*ends, cutter.bos],
    )
    return [list(ids) for ids in made]


def whole(name: str, seed: int) -> dict:
    """Train to the end of the plan, and measure."""
    state = fit(start(name == "mask", seed), progress=False)
    return {
        "mask": name,
        "seed": seed,
        **look(state.model),
        "losses": [round(metrics.loss, 4) for metrics in state.history],
        "written": written_by(state.model, seed),
    }


if "--full" in sys.argv:
    made = circumstances("python examples/plot_11_loss_mask.py --full", MODULES)
    made["runs"] = []
    for seed in (1, 2, 3):
        for name in ("mask", "no mask"):
            made["runs"].append(whole(name, seed))
            print({**made["runs"][-1], "losses": ""}, file=sys.stderr, flush=True)
    text = json.dumps(made).replace('{"mask"', '\n{"mask"')
    path.write_text(text + "\n", encoding="utf-8")

if not path.is_file():
    raise FileNotFoundError(f"there is no {path}: add --full to make it")
kept = json.loads(path.read_text(encoding="utf-8"))
print(f"recorded on {kept['date']}: {kept['hardware']}; {kept['software']}")
if kept["code"] != code_hash(MODULES):
    print("NOTE: the record is older than the code: it may be out of date")
runs = {name: [one for one in kept["runs"] if one["mask"] == name] for name in ours}
for name, state in ours.items():
    mine = [metrics.loss for metrics in state.history]
    pairs = list(zip(mine, runs[name][0]["losses"], strict=False))
    apart = sum(abs(a - b) for a, b in pairs) / few
    print(f"{name:8} our losses are {apart:.4f} apart from the record's beginning")
    if apart > 0.05:
        raise ValueError("our steps are not the beginning of the recorded run")

# %%
# What has each learned? Short bars are what a model knows well. The level where it knows nothing is :math:`\ln V`.

import math

import matplotlib.pyplot as plt

from nanochat.figures import use_style

use_style()
knows_nothing = math.log(cutter.vocab_size)
figure, axes = plt.subplots(figsize=(4.8, 3.4))
middle = {
    name: {
        who: sum(one["surprise"][who] for one in some) / len(some) for who in HUES
    }
    for name, some in runs.items()
}
for offset, (name, values) in enumerate(middle.items()):
    where = [row + 0.38 * (offset - 0.5) for row in range(4)]
    axes.barh(
        where, list(values.values()), height=0.36, color=f"C{offset}", label=name
    )
    for y, value in zip(where, values.values(), strict=True):
        axes.text(value + 0.15, y, f"{value:.2f}", va="center", fontsize=8)
axes.axvline(knows_nothing, color="C3", linestyle=":", linewidth=1)
axes.text(knows_nothing, -0.75, " ln V", color="C3", va="center")
axes.set_yticks(range(4), HUES)
axes.set(xlabel="surprise on new chats, nats a token", ylim=(3.6, -0.9))
axes.set(ylabel="who wrote the token")
axes.grid(axis="y", visible=False)
axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1), ncols=2)
with_mask, without = middle.values()
if not (with_mask["user"] > knows_nothing > 3 * without["user"]):
    raise ValueError("only the model without the mask should know the user's words")
# sphinx_gallery_start_ignore
from nanochat.figures import describe

describe(
    figure,
    alt="Four pairs of bars. At the assistant's tokens both are short. At those of user, calculator and program the "
    "model with the mask has long bars, beyond ln V, and the one without has short ones.",
    caption=f"After {STEPS} steps, mean of three seeds. At the assistant's tokens the surprise is "
    f"{with_mask['assistant']:.2f} nats with the mask and {without['assistant']:.2f} without; at the user's words "
    f"{with_mask['user']:.1f} and {without['user']:.1f}. A model that knows nothing would have {knows_nothing:.1f}.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# With the mask, the model is *worse* than ignorant at the user's words: it has learned that whatever comes next, it is
# one of the assistant's tokens. At the assistant's own tokens the two hardly differ in the end. At the calculator's
# the model without the mask knows that a result follows. What is left of its surprise there are the digits: it cannot
# calculate, and has been made to guess.
#
# The same on one chat, with the two models that this page has trained itself, token by token.

PALETTE = {"assistant": "C0", "user": "C4", "calculator": "C1", "program": "C3"}
turn = new[0].ids[: new[0].ids.index(cutter.special("<|assistant_end|>")) + 1]
authors = writers(turn)[1:]
figure, both = plt.subplots(2, 1, figsize=(4.8, 4.4), sharex=True, sharey=True)
each = {}
for axes, (name, state) in zip(both, ours.items(), strict=True):
    ids = torch.tensor([turn])
    with torch.no_grad():
        loss = state.model(ids[:, :-1], ids[:, 1:], reduction="none")
    each[name] = loss.flatten().tolist()
    for who, colour in PALETTE.items():
        places = [k for k, author in enumerate(authors) if author == who]
        heights = [each[name][k] for k in places]
        axes.bar(places, heights, color=colour, label=who)
    axes.axhline(knows_nothing, color="C3", linestyle=":", linewidth=1)
    axes.set_title(
        f"{'with the' if name == 'mask' else 'without a'} mask, {few} steps"
    )
    axes.set(ylabel="surprise, nats")
    axes.grid(axis="x", visible=False)
shown = [
    (names.get(k) or show_piece(cutter.token_bytes(k))).strip("<|>")
    for k in turn[1:]
]
axes.set_xticks(range(len(shown)), shown, rotation=90, fontsize=7)
figure.legend(
    *axes.get_legend_handles_labels(), loc="outside lower center", ncols=4
)
# sphinx_gallery_start_ignore
of_user = {
    name: sum(v for v, w in zip(values, authors, strict=True) if w == "user")
    / authors.count("user")
    for name, values in each.items()
}
describe(
    figure,
    alt="Two bar charts of surprise, token by token, coloured by writer. With the mask, the bars of user, program and "
    "calculator are high; without it they are low as well.",
    caption=f"One question and its answer. At the {authors.count('user')} tokens of the user the mean surprise is "
    f"{of_user['mask']:.1f} nats with the mask and {of_user['no mask']:.1f} without. The dotted line is ln V.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# Do they speak the user's words?
# -------------------------------
# We let both write from the very beginning, where nobody has spoken yet. The rows are from the record, and we read
# them here: is what a model wrote a question of the kind that the lessons ask, with any numbers?

import re


def pattern(text: str) -> str:
    """Return a text with all numbers made alike."""
    return re.sub(r"\d+", "#", text)


asked = {pattern(one.messages[0].text) for one in lessons}
questions = {}
for name, some in runs.items():
    spoken = [row for one in some for row in one["written"]]
    opened = [
        row for row in spoken if row[:1] == [cutter.special("<|user_start|>")]
    ]
    good = [row for row in opened if pattern(cutter.decode(row[1:])) in asked]
    questions[name] = len(good), len(spoken)
    print(f"{name:8} {len(good)} of {len(spoken)} are a question")

# %%
# Here are first words of the model without the mask, and of the model with it.

strip([cutter.bos, *runs["no mask"][0]["written"][0]])

# %%

strip([cutter.bos, *runs["mask"][1]["written"][0]])

# %%
# The first one asks. It would be a fine pupil for an examiner, and nobody wanted it. The second has never been told how
# a chat begins, and babbles. That does no harm: a chat always begins with the user, and the program opens each turn.

if (
    questions["mask"][0] > 0
    or questions["no mask"][0] < 0.5 * questions["no mask"][1]
):
    raise ValueError("only the model without the mask should ask questions")

# %%
# What it means
# -------------
# The mask does not decide what a model *sees*. Both read the user's words at every step; without them, no answer could
# be right. It decides what a model is *asked for*. Three things follow:
#
# - What is masked is not learned, and what is not asked for can become worse than nothing.
# - Without the mask, answers are learned as well. The price is work spent on the user's part, and a model that can
#   take his turn. In mid-training that price is paid on purpose.
# - The calculator's result must be masked, or the model learns to make it up.
#
# Now you
# -------
# - Mask the end of the answer, ``<|assistant_end|>``. When does such a model stop?
# - Let the result of the calculator count, and nothing else of what is masked. How well does the model guess sums?
# - Set the mask to zero in the first answer and leave it in the second. Is a second answer enough to learn from?
#
# Next: :doc:`what the notes weigh that a model keeps while it writes <plot_12_cache>`.

# sphinx_gallery_thumbnail_number = 1
