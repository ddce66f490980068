r"""
Teach a model to answer
=======================

A model that has read stories goes on with anything as if it were a story. Ask it a question, and it tells you about an
otter. What has to happen until it answers?

This page takes the model of :doc:`the training page <plot_02_train>` and lets it read chats. It looks at which tokens
of a chat count, at what is learned first, and at what is lost. The ideas are in :doc:`the chapter on chats
</nano/training/chat>`.
"""

# %%
# A model that never answers
# --------------------------
# Here is the model, and three things that one might say to it. It reads each of them as the beginning of a text.

import copy

from nanochat import tiny

run = tiny.load_or_train()
tokenizer, before = run.tokenizer, run.model

said = ["Hello!", "What is 17 + 25?", "Who found the kite?"]
for words in said:
    print(run.engine.complete(words, 1, max_tokens=40, seed=1, **tiny.SAMPLING)[0])
    print()

# %%
# A chat is one row of tokens
# ---------------------------
# The model can only continue a row of tokens. So a chat becomes one row, with special tokens that say who speaks.
# :func:`~nanochat.conversation.render` writes it, and with it the **loss mask**: 1 for each token that the model has to
# write by itself. Below, those are the coloured ones. The calculator's result is not among them, although it stands in
# the middle of the answer: the engine puts it there.

import html

from nanochat.conversation import Conversation, Message, Rendered, render
from nanochat.tasks import load_task

sums = load_task("arithmetic-sums", limit=3000)
talk = load_task("smalltalk")
names = {number: name for name, number in tokenizer.special_ids.items()}


class Html(str):
    """Text that a page shows as HTML."""

    def _repr_html_(self):
        return self


def piece(token: int) -> str:
    """Write a token as it is shown on this page."""
    if token in names:
        return names[token]
    text = tokenizer.token_bytes(token).decode("utf-8", "replace")
    return text.replace(" ", "·").replace("\n", "⏎")


def strip(chat: Rendered) -> Html:
    """Show a chat token by token; what counts has a colour."""
    out = []
    for token, own in zip(chat.ids, chat.mask, strict=True):
        kind = " nc-accent" if own else ""
        style = (
            "" if own else ' style="border-color:var(--nc-line);background:none"'
        )
        text = html.escape(piece(token))
        out.append(
            f'<span class="nc-token{kind}"{style}>{text}<small>{token}</small></span>'
        )
    return Html(f'<p class="nc-tokens">{"".join(out)}</p>')


chat = render(tokenizer, sums[0])
strip(chat)

# %%
# What is hard about it?
# ----------------------
# Before any training we ask at each of the coloured tokens how surprised the model is. For comparison: a model that
# knows nothing would have a surprise of :math:`\ln V` at each. Ours is far above that. It does not merely not know
# marks and digits. It has learned from every story that *they never come*.

import math

import torch

from nanochat.common import IGNORED


def surprises(model, chat: Rendered) -> list[float]:
    """Return the surprise at each token of a chat that counts, in nats."""
    ids = torch.tensor([chat.ids])
    own = torch.tensor([chat.mask[1:]], dtype=torch.bool)
    targets = torch.where(own, ids[:, 1:], IGNORED)
    with torch.no_grad():
        loss = model(ids[:, :-1], targets, reduction="none")
    return loss[own].tolist()


knows_nothing = math.log(run.plan.model.vocab_size)
first = surprises(before, chat)
counted = [token for token, own in zip(chat.ids, chat.mask, strict=True) if own]
for token, nats in zip(counted, first, strict=True):
    print(f"{piece(token):20} {nats:5.2f}")
print(f"\na model that knows nothing: {knows_nothing:.2f} at each")

# %%
# A few dozen steps
# -----------------
# The chats are sums, which are answered with the calculator, and smalltalk.
# :class:`~nanochat.dataloader.ConversationLoader` packs whole chats into rows, and puts the mask into the targets:
# where nothing counts, the target is -1. All else is training as ever. The model goes on from where it stood, with
# lower learning rates.

from dataclasses import replace

from nanochat.common import detect_runtime
from nanochat.dataloader import ConversationLoader
from nanochat.train import TrainState, fit

ROWS, STEPS, SEED, SOFTER = 4, 240, 1, 0.7
few = 30


def start(dtype: str) -> TrainState:
    """Put a copy of the model before the chats."""
    length = run.plan.model.sequence_len
    plan = replace(
        run.plan,
        device_batch_size=ROWS,
        total_batch_size=ROWS * length,
        num_iterations=STEPS,
        matrix_lr=SOFTER * run.plan.matrix_lr,
        embedding_lr=SOFTER * run.plan.embedding_lr,
        head_lr=SOFTER * run.plan.head_lr,
        seed=SEED,
    )
    chats = (
        render(tokenizer, task[number])
        for task in (sums, talk)
        for number in range(len(task))
    )
    loader = ConversationLoader(chats, ROWS, length, tokenizer.bos, SEED)
    runtime = detect_runtime("cpu", dtype)
    return TrainState.start(plan, loader, runtime, copy.deepcopy(before))


state = start("float32")
loader = state.loader
print(f"{loader.n_chats:,} chats in {loader.rows_per_epoch} rows")
print(f"{loader.n_learnt / loader.n_tokens:.0%} of their tokens count")
for task in (sums, talk):
    print(f"{task.title}. {task.credit}".strip())

fit(state, until=few, progress=False)
print()
for metrics in state.history[::6]:
    print(f"step {metrics.step:2}   loss on what counts {metrics.loss:6.3f}")
if state.history[-1].loss > 0.5 * knows_nothing:
    raise ValueError("after these steps the answers should be half-way learned")

# %%
# The same answer again, token by token. Where the marks stand, the surprise is all but gone. What is left is where the
# model must copy the numbers of the question.

import matplotlib.pyplot as plt

from nanochat.figures import use_style

use_style()
second = surprises(state.model, chat)
figure, axes = plt.subplots(figsize=(4.8, 5.4))
places = range(len(counted))
axes.barh(places, first, height=0.8, color="C1", alpha=0.45, label="before")
axes.barh(places, second, height=0.45, color="C0", label=f"after {few} steps")
axes.axvline(knows_nothing, color="C3", linestyle=":", linewidth=1)
axes.text(knows_nothing, -1, " ln V", color="C3", va="center")
shown = [piece(token).strip("<|>") for token in counted]
axes.set_yticks(places, shown, fontsize=8)
axes.set_ylim(len(counted) - 0.3, -1.6)
axes.set(xlabel="surprise, nats")
axes.set_title("An answer, token by token", pad=24)
axes.grid(axis="y", visible=False)
axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1), ncols=2)
# sphinx_gallery_start_ignore
from nanochat.figures import describe

marks = [k for k, token in enumerate(counted) if token in names]
rest = [k for k in places if k not in marks]
mean = {
    k: sum(second[i] for i in some) / len(some)
    for k, some in (("marks", marks), ("rest", rest))
}
describe(
    figure,
    alt="Bars of surprise for each token of an answer: wide ones before, most of them beyond ln V at the marks, and "
    "short ones after.",
    caption=f"The mean surprise falls from {sum(first) / len(first):.1f} to {sum(second) / len(second):.1f} nats. "
    f"After {few} steps it is {mean['marks']:.2f} at the {len(marks)} marks and {mean['rest']:.2f} at the other "
    "tokens.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# Form first, content later
# -------------------------
# Now the model is asked questions that are in no training chat. Two things are counted, and they are not the same. Has
# the answer the *form* of an answer: words, complete tool calls, an end? And is it *right*?

from nanochat.conversation import parse_answer, render_prompt
from nanochat.corpora import load_corpus
from nanochat.engine import Engine
from nanochat.evaluate import answer_room, is_well_formed, question_of

asked = load_task("arithmetic-sums", "test", limit=30)
chatted = load_task("smalltalk", "test")


def reply(model, chat: Conversation) -> list[int]:
    """Let a model answer the question of a chat; each token is the likeliest."""
    prompt = render_prompt(tokenizer, question_of(chat))
    room = answer_room(model.config.sequence_len, prompt, 48)
    steps = Engine(model, tokenizer).stream(prompt, max_tokens=room, temperature=0)
    return [step.tokens[0] for step in steps]


def spoken(ids: list[int]) -> str:
    """Write an answer as a line, with its calculations in brackets."""
    out = ""
    for part in parse_answer(tokenizer, ids).parts:
        marks = {"python": f"[{part.text}", "output": f" = {part.text}]"}
        out += marks.get(part.kind, part.text)
    return " ".join(out.split())


def examine(model, questions: int) -> dict[str, float]:
    """Count answers to sums of the right form, and right ones; shares from 0 to 1."""
    answers = [reply(model, asked[number]) for number in range(questions)]
    judged = [
        asked.reward(number, parse_answer(tokenizer, ids))
        for number, ids in enumerate(answers)
    ]
    formed = [is_well_formed(tokenizer, ids) for ids in answers]
    return {
        "form": sum(formed) / questions,
        "right": sum(judged) / questions,
    }


now = examine(state.model, 20)
print(f"right form {now['form']:.0%}, right number {now['right']:.0%} of 20 sums")
if now["form"] < 0.5:
    raise ValueError("the form of an answer should be learned by now")

# %%
# To see what comes later, the same training has to go on for longer than a page may take. ``python
# examples/plot_04_chat.py --full`` goes the whole way and keeps a record: what was run, on what, and what came out.

import json
import sys

from nanochat import (
    calculator,
    conversation,
    dataloader,
    engine,
    evaluate,
    gpt,
    optim,
    tasks,
)
from nanochat import tokenizer as tokenizing
from nanochat import train as training
from nanochat.evaluate import score_chats, score_text
from nanochat.records import circumstances, code_hash, record_path

path = record_path("chat-sft.json")
CODE = (
    calculator, conversation, dataloader, engine, evaluate, gpt, optim, tiny,
    tasks.arithmetic, tasks.smalltalk, tokenizing, training,
)  # fmt: skip
MOMENTS = (0, 10, few, 60, 120, STEPS)
held_out = list(load_corpus("stories").documents("val"))[:20]
questions = [
    *(Conversation((Message.user(words),)) for words in said),
    *(question_of(asked[number]) for number in range(2)),
]


def users_words(chat: Conversation) -> Rendered:
    """Render a chat with a mask that counts the user's words instead."""
    ids = render(tokenizer, chat).ids
    words = len(tokenizer.encode(chat.messages[0].text))
    return Rendered(ids, [0, 0] + [1] * words + [0] * (len(ids) - words - 2))


def look(model, questions: int) -> dict[str, float]:
    """Measure a model: answers, surprise at both sides of a chat, and stories."""
    chats = [task[number] for task in (asked, chatted) for number in range(11)]
    answers = [render(tokenizer, chat) for chat in chats]
    words = [users_words(chat) for chat in chats]
    return {
        **examine(model, questions),
        "answers": score_chats(model, answers, tokenizer.bos),
        "words": score_chats(model, words, tokenizer.bos),
        "stories": score_text(model, tokenizer, held_out).bits_per_byte,
    }


def go_on() -> dict:
    """Fine-tune for the whole plan and return the record."""
    learner, seen, told = start("float32"), [], []
    for moment in MOMENTS:
        fit(learner, until=moment, progress=False)
        seen.append({"step": moment, **look(learner.model, len(asked))})
        told.append([spoken(reply(learner.model, chat)) for chat in questions])
        print(seen[-1], told[-1], file=sys.stderr)
    return {
        **circumstances("python examples/plot_04_chat.py --full", CODE),
        "dtype": "float32",
        "seed": SEED,
        "plan": learner.plan.as_dict(),
        "chats": learner.loader.fingerprint,
        "seconds": round(sum(step.seconds for step in learner.history)),
        "questions": [chat.messages[0].text for chat in questions],
        "moments": seen,
        "told": told,
        "losses": [round(step.loss, 4) for step in learner.history],
    }


if "--full" in sys.argv:
    text = json.dumps(go_on(), indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")

# %%
# A record is worth as much as it can be checked. The steps that this page has just taken are the beginning of those in
# the record: the same chats in the same order. So the losses must agree, up to the small differences between two
# trainings of the tiny model.

kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
ours = [metrics.loss for metrics in state.history]
if kept is None:
    print(
        "there is no record yet: python examples/plot_04_chat.py --full makes one"
    )
else:
    print(f"recorded on {kept['date']} by {kept['command']}")
    print(f"{kept['hardware']}; {kept['software']}, {kept['dtype']}")
    if kept["code"] != code_hash(CODE):
        print("NOTE: the record is older than the code: it may be out of date")
    if kept["plan"] != json.loads(json.dumps(state.plan.as_dict())):
        print("NOTE: the record was made with another plan than today's")
    if kept["chats"] != loader.fingerprint:
        print("NOTE: the chats of this machine are other ones than the record's")
    else:
        pairs = list(zip(ours, kept["losses"], strict=False))
        apart = sum(abs(a - b) for a, b in pairs[few // 3 :]) / (few - few // 3)
        print(f"from step {few // 3} on the losses are {apart:.3f} nats apart")
        if apart > 0.5:
            raise ValueError("the record does not begin as this page does")

# %%
# Here is the whole way. Above, the loss on what counts. Below, what the answers to new sums are like.

figure, (above, below) = plt.subplots(2, 1, figsize=(4.8, 5), sharex=True)
if kept:
    above.plot(
        range(1, len(kept["losses"]) + 1), kept["losses"], label="the record"
    )
above.plot(range(1, few + 1), ours, "--", label="this page")
above.axhline(knows_nothing, color="C3", linewidth=1, linestyle=":")
above.text(STEPS, knows_nothing, "ln V", color="C3", va="bottom", ha="right")
above.set(ylabel="loss, nats")
above.set_title("What counts gets easier")
above.legend()
for number, (name, what) in enumerate({"form": "form", "right": "number"}.items()):
    if kept:
        steps = [moment["step"] for moment in kept["moments"]]
        shares = [100 * moment[name] for moment in kept["moments"]]
        below.plot(steps, shares, "o-", color=f"C{number}", label=f"right {what}")
    below.plot(few, 100 * now[name], "x", color="C3", markersize=10, zorder=5)
below.set(xlabel="step", ylabel="of 100 answers", ylim=(-5, 105))
below.set_title("The form comes first")
if kept:
    below.legend(loc="lower right")
# sphinx_gallery_start_ignore
recorded = (
    [moment for moment in kept["moments"] if moment["step"] in (few, STEPS)]
    if kept
    else []
)
said_of = "".join(
    f"After {moment['step']} steps {moment['form']:.0%} of the answers have the right form and {moment['right']:.0%} "
    "the right number. "
    for moment in recorded
)
describe(
    figure,
    alt="Above, the loss falls steeply and then slowly. Below, the share of answers of the right form rises at once, "
    "and that of right numbers lags far behind.",
    caption=f"{said_of}The crosses are what this page measured itself: {now['form']:.0%} and {now['right']:.0%}.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# The same questions again
# ------------------------
# What the model said at first, what it says after the steps of this page, and at the end of the record. Calculations
# stand in brackets: the model wrote what is before the equals sign, the calculator what is behind it.

rows = []
for number, chat in enumerate(questions):
    answers = {
        "before": spoken(reply(before, chat)),
        f"after {few} steps": spoken(reply(state.model, chat)),
    }
    if kept:
        answers[f"after {kept['moments'][-1]['step']} steps"] = kept["told"][-1][
            number
        ]
    lines = [
        f"<br><small>{when}</small> {html.escape(answer)}"
        for when, answer in answers.items()
    ]
    question = html.escape(chat.messages[0].text)
    rows.append(f"<p><strong>{question}</strong>{''.join(lines)}</p>")
Html("".join(rows))

# %%
# "Who found the kite?" is no question of this training, and no story was told. The model answers all the same, with
# what it was taught to say. It has learned *that* it should answer, and how answers look; not to say that it does not
# know.

# %%
# What the mask leaves out
# ------------------------
# The user's words were read at each step and never counted. So the model has not learned to say them. To measure this,
# we turn the mask round and let the user's words count.

chats = [asked[number] for number in range(11)]
sides = {
    "answers": [render(tokenizer, chat) for chat in chats],
    "the user's words": [users_words(chat) for chat in chats],
}
surprise = {
    name: [
        score_chats(model, side, tokenizer.bos) for model in (before, state.model)
    ]
    for name, side in sides.items()
}
for name, (old, new) in surprise.items():
    print(f"{name:17} {old:6.2f} nats before, {new:5.2f} after")

figure, axes = plt.subplots(figsize=(4.8, 2.2))
for offset, (when, place) in enumerate(
    {"before": 0, f"after {few} steps": 1}.items()
):
    heights = [values[place] for values in surprise.values()]
    where = [number + 0.36 * (offset - 0.5) for number in range(2)]
    axes.barh(where, heights, height=0.34, color=f"C{1 - offset}", label=when)
axes.axvline(knows_nothing, color="C3", linestyle=":", linewidth=1)
axes.text(knows_nothing, -0.62, " ln V", color="C3", va="top")
axes.set_yticks(range(2), list(surprise))
axes.set(xlabel="surprise, nats a token", ylim=(1.6, -0.7))
axes.grid(axis="y", visible=False)
axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1), ncols=2)
# sphinx_gallery_start_ignore
_, theirs = surprise.values()
describe(
    figure,
    alt="Two pairs of bars. The surprise at answers shrinks to a small part, that at the user's words stays large.",
    caption="New questions about sums. The surprise at answers falls "
    f"from {surprise['answers'][0]:.1f} to {surprise['answers'][1]:.1f} nats; at the user's words, which never "
    f"counted, it goes from {theirs[0]:.1f} to {theirs[1]:.1f}.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# What it costs
# -------------
# The model could tell stories. It has seen none since the chats began. Can it still?

fresh, tired = (
    score_text(model, tokenizer, held_out).bits_per_byte
    for model in (before, state.model)
)
print(f"stories, bits per byte: {fresh:.3f} before, {tired:.3f} after {few} steps")
if kept:
    print(f"at the end of the record: {kept['moments'][-1]['stories']:.3f}")
story = Engine(state.model, tokenizer).complete(
    "", 1, seed=3, max_tokens=60, **tiny.SAMPLING
)
print(f"\n{story[0].strip()}")
if tired <= fresh:
    raise ValueError("sums should not have made it a better teller of stories")

# %%
# It pays for its new skill with the old one. Weights that held stories now hold sums. This is why ``mid-train`` mixes
# stories in among the chats, and why the learning rates of ``chat-sft`` are lower still than those of this page.
#
# Now you
# -------
# - Set the mask to 1 everywhere: ``Rendered(chat.ids, [1] * len(chat.ids))``. What becomes of the two pairs of bars?
# - Mix stories in: a document is a ``Rendered`` in which all counts. How many does it take to keep the old skill?
# - Take ``load_task("story-questions")`` in place of the sums. The model has read such stories. Does that help?
#
# Next: :doc:`what can be learned without being shown the answer <plot_05_reinforcement>`.

# sphinx_gallery_thumbnail_number = 2
