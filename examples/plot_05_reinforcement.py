r"""
Learn from one's own tries
==========================

Nobody shows the model the answer. It tries, and a judge says only "right" or "wrong". Can it get better?

This page makes a model with two habits. On half of the questions it takes its calculator, on the other half it blurts
out a number. Then it answers questions, several times each, and what went better than usual becomes likelier. Which
habit will win? The ideas are in :doc:`the chapter on rewards </nano/training/reinforcement>`.
"""

# %%
# Questions and a judge
# ---------------------
# The questions are sums of two numbers from 10 to 99. A task (:class:`~nanochat.tasks.base.Task`) words the question,
# holds one good answer, and judges any other. The judge reads the number that stands at the end, and nothing else. It
# neither knows nor cares how the number came about.

import random

from nanochat.conversation import Conversation, Message, Part
from nanochat.tasks.base import Task

pairs = [(a, b) for a in range(10, 100) for b in range(10, 100)]
random.Random(5).shuffle(pairs)
held_out, practice = pairs[:400], pairs[400:]


class Sums(Task):
    """Sums of two numbers; an answer is worth 1 if it is the right number."""

    name, title = "sums", "sums of two numbers"

    def _ask(self, item, rng):
        a, b = item
        call, result = Part("python", f"{a}+{b}"), str(a + b)
        answer = Message.assistant(call, Part("output", result), result)
        return Conversation((Message.user(f"{a}+{b}="), answer))

    def _score(self, item, asked, answer):
        return float(answer.text == str(sum(item)))


task, unseen = Sums(practice), Sums(held_out)
for message in task[0].messages:
    print(
        f"{message.role:10}",
        *(f"{part.kind} {part.text}" for part in message.parts),
    )
print("the judge: ", task.reward(0, task[0].messages[1]))
print("of a guess:", task.reward(0, Message.assistant("100")))

# %%
# Two teachers
# ------------
# First the model learns to answer at all, by imitation. Half of its examples come from a careful teacher, who takes
# the calculator. The others come from a careless one, who says whatever comes to mind. Imitation cannot tell them
# apart: both are to be imitated. :class:`~nanochat.dataloader.ConversationLoader` lays the chats out in rows.

from nanochat.common import detect_runtime
from nanochat.conversation import Rendered, render
from nanochat.dataloader import ConversationLoader
from nanochat.gpt import GPTConfig
from nanochat.tokenizer import Tokenizer
from nanochat.train import Plan, TrainState, fit

cutter = Tokenizer([])  # no merges: each byte is a token, and digits are bytes
runtime = detect_runtime("cpu", "float32")


def lessons(seed: int, n: int = 4000) -> list[Rendered]:
    """Write chats by two teachers in turn."""
    rng, chats = random.Random(seed), []
    for number in range(n):
        chat = task[int(rng.random() * len(task))]
        if number % 2:
            guess = Message.assistant(str(20 + int(rng.random() * 179)))
            chat = Conversation((chat.messages[0], guess))
        chats.append(render(cutter, chat))
    return chats


def imitate(seed: int) -> TrainState:
    """Make a small model and let it imitate both teachers."""
    config = GPTConfig.from_depth(2, cutter.vocab_size, sequence_len=26, width=96)
    rows = 16
    plan = Plan(
        model=config,
        device_batch_size=rows,
        total_batch_size=rows * config.sequence_len,
        num_iterations=150,
        seed=seed,
    )
    loader = ConversationLoader(
        lessons(seed), rows, config.sequence_len, cutter.bos, seed
    )
    return fit(TrainState.start(plan, loader, runtime), progress=False)


pupil = imitate(seed=1)
imitation = [round(metrics.loss, 4) for metrics in pupil.history]
print(f"loss at first {imitation[0]:.2f}, at last {imitation[-1]:.2f}")

# %%
# Several tries at one question
# -----------------------------
# Now the model is asked, by the throw of dice, so that the same question gets several answers.
# :func:`~nanochat.reinforce.roll_out` asks and lets the task judge. :func:`~nanochat.reinforce.advantages` compares
# each reward with the mean of all. The bar marks what the calculator put there, and not the model.

from nanochat.engine import Engine
from nanochat.reinforce import advantages, roll_out

engine = Engine(pupil.model, cutter)


def spelled(one) -> str:
    """Write a try as it stands in the row, with short names for the marks."""
    out = []
    for token, put in zip(one.answer, one.forced, strict=True):
        piece = cutter.decode([token]).replace("<|", "<").replace("|>", ">")
        out.append(f"|{piece}" if put else piece)
    return "".join(out)


tries = roll_out(engine, task, number=0, num_samples=8, seed=3)
worth = advantages([one.reward for one in tries])
for one, advantage in zip(tries, worth, strict=True):
    print(f"reward {one.reward:.0f}  advantage {advantage:+.3f}  {spelled(one)}")
if abs(sum(worth)) > 1e-9:
    raise ValueError("advantages should add up to nothing")

# %%
# Practice
# --------
# A step takes eight questions and tries each eight times. From then on it is training as ever:
# :class:`~nanochat.reinforce.RolloutLoader` hands out the tries as batches, and each token counts by the advantage of
# its try. We watch two numbers. One is the share of tries that were right. The other is the probability that an answer
# begins with a call of the calculator, on questions that are kept aside.

import torch

from nanochat.conversation import render_prompt
from nanochat.reinforce import RolloutLoader, Sampling

QUESTIONS, TRIES, STEPS, LOOK = 8, 8, 80, 4
call = cutter.special("<|python_start|>")
prompts = torch.tensor(
    [
        render_prompt(cutter, Conversation(unseen[i].messages[:1]))
        for i in range(len(unseen))
    ]
)


@torch.no_grad()
def calling(model) -> float:
    """Return the mean probability that an answer begins with a call."""
    return model(prompts)[:, -1].softmax(-1)[:, call].mean().item()


def practise(model, seed: int, until: int) -> dict[str, list[float]]:
    """Let a model learn from its own tries, and note how it goes."""
    length = model.config.sequence_len
    plan = Plan(
        model=model.config,
        device_batch_size=QUESTIONS * TRIES,
        total_batch_size=QUESTIONS * TRIES * length,
        num_iterations=STEPS,
        matrix_lr=0.002,  # a tenth of the usual rates: what is known shall stay
        embedding_lr=0.02,
        head_lr=0.0004,
        seed=seed,
    )
    loader = RolloutLoader(
        Engine(model, cutter), task, QUESTIONS, Sampling(num_samples=TRIES), seed
    )
    notes = {"right": [], "skipped": [], "calling": [calling(model)]}

    def note(state, metrics):
        came = loader.take_tries()
        notes["right"].append(came.reward / came.answers)
        notes["skipped"].append(came.skipped / came.groups)
        if metrics.step % LOOK == 0:
            notes["calling"].append(calling(model))

    fit(TrainState.start(plan, loader, runtime, model), note, until, progress=False)
    return notes


def share_right(model) -> float:
    """Ask the questions kept aside, with dice: the share of right answers."""
    asked = Engine(model, cutter)
    some = [roll_out(asked, unseen, i, 2, seed=i) for i in range(60)]
    return sum(one.reward for tried in some for one in tried) / 120


few = 20
before = share_right(pupil.model)
ours = practise(pupil.model, seed=1, until=few)
after = share_right(pupil.model)
print(f"a call comes first: {ours['calling'][0]:.0%} -> {ours['calling'][-1]:.0%}")
print(f"right, on sums never practised: {before:.0%} -> {after:.0%}")
if after < before + 0.1:
    raise ValueError("the model should have got better at sums")

# %%
# The careless habit is dying out. Nobody said that the calculator is the way: the answers that began with it were
# right more often than the others, and that was enough.

import matplotlib.pyplot as plt

from nanochat.figures import use_style

use_style()
figure, axes = plt.subplots(figsize=(4.8, 2.9))
axes.plot(range(1, few + 1), ours["right"], "o-", label="tries that were right")
axes.plot(
    range(0, few + 1, LOOK),
    ours["calling"],
    "s--",
    label="probability of beginning with a call",
)
axes.plot(
    range(1, few + 1), ours["skipped"], ":", label="questions with nothing to learn"
)
axes.set(xlabel="step", ylim=(0, 1.05), title="Practice")
axes.set_xticks(range(0, few + 1, 5))
axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2))
# sphinx_gallery_start_ignore
from nanochat.figures import describe

describe(
    figure,
    alt="Three curves over the steps of practice. Right tries, the probability of a call, and skipped questions rise.",
    caption=f"In {few} steps the probability that an answer begins with a call goes from {ours['calling'][0]:.0%} to "
    f"{ours['calling'][-1]:.0%}. Of the tries of the first step {ours['right'][0]:.0%} were right, of those of the "
    f"last {ours['right'][-1]:.0%}. Where all tries at a question are right, it has nothing more to teach: that was so "
    f"for {ours['skipped'][-1]:.0%} of the last step's questions.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# What it says now
# ----------------
# The same question as above, the same dice.

for one in roll_out(engine, task, number=0, num_samples=8, seed=3):
    print(f"reward {one.reward:.0f}  {spelled(one)}")

# %%
# A longer practice, three times over
# -----------------------------------
# Was that luck? Tries are drawn by chance, and so is the model that we began with. So the same was done with three
# seeds, each with a model of its own, and for more steps. ``python examples/plot_05_reinforcement.py --full`` does it
# again and keeps what came out in a record.

import json
import sys

from nanochat import conversation, dataloader, gpt, optim, reinforce
from nanochat import engine as engines
from nanochat import train as training
from nanochat.records import circumstances, code_hash, record_path
from nanochat.tasks import base

path = record_path("reinforcement.json")
CODE = (
    base, conversation, dataloader, engines, gpt, optim, reinforce, training,
)  # fmt: skip
SEEDS = (1, 2, 3)


def whole(seed: int) -> dict:
    """Imitate, practise to the end of the plan, and measure before and after."""
    learner = imitate(seed)
    losses = [round(metrics.loss, 4) for metrics in learner.history]
    at_first = share_right(learner.model)
    notes = practise(learner.model, seed, until=STEPS)
    kept = {name: [round(n, 4) for n in row] for name, row in notes.items()}
    scores = {"before": at_first, "after": share_right(learner.model)}
    return {"seed": seed, "imitation": losses, **kept, **scores}


if "--full" in sys.argv:
    made = {
        **circumstances("python examples/plot_05_reinforcement.py --full", CODE),
        "questions": QUESTIONS,
        "tries": TRIES,
        "runs": [whole(seed) for seed in SEEDS],
    }
    text = json.dumps(made, ensure_ascii=False)
    path.write_text(text.replace('{"seed"', '\n{"seed"') + "\n", encoding="utf-8")

# %%
# The record's first run began as ours did, with the same seed. So our few steps must be the beginning of it: both the
# imitation and the practice are compared. Dice and rounding may part two machines for a moment, but not for long.

kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
if kept is None:
    print("there is no record: python examples/plot_05_reinforcement.py --full")
else:
    print(f"recorded on {kept['date']}: {kept['hardware']}; {kept['software']}")
    if kept["code"] != code_hash(CODE):
        print("NOTE: the record is older than the code: it may be out of date")
    theirs = kept["runs"][0]
    same = zip(imitation, theirs["imitation"], strict=True)
    apart = sum(abs(a - b) for a, b in same) / len(imitation)
    there = theirs["right"][:few]
    drift = abs(sum(ours["right"]) - sum(there)) / few
    print(
        f"imitation: losses {apart:.3f} apart; practice: rewards {drift:.3f} apart"
    )
    if apart > 0.1 or drift > 0.2:
        raise ValueError("our steps are not the beginning of the recorded run")
    for one in kept["runs"]:
        print(
            f"seed {one['seed']}: {one['before']:.0%} -> {one['after']:.0%} right"
        )
        if one["after"] < one["before"] + 0.1:
            raise ValueError("a recorded run did not get better")

# %%
# Three times the same story from three beginnings. How good the model is at first is a matter of luck. How good it is
# in the end is not.

figure, axes = plt.subplots(figsize=(4.8, 3))
runs = kept["runs"] if kept else [{"seed": 1, **ours}]
for style, one in zip(("-", "--", ":"), runs, strict=False):
    right = one["right"]
    near = [right[max(0, i - 2) : i + 3] for i in range(len(right))]
    smooth = [sum(some) / len(some) for some in near]
    axes.plot(
        range(1, len(right) + 1), smooth, style, label=f"seed {one['seed']}, record"
    )
axes.plot(
    range(1, few + 1), ours["right"], "o", markersize=3, label="our few steps"
)
axes.set(xlabel="step", ylabel="share of right tries", ylim=(0, 1.05))
axes.set_title("Three seeds")
axes.legend(loc="lower right")
# sphinx_gallery_start_ignore
firsts, lasts = (
    [sum(one["right"][part]) / 5 for one in runs]
    for part in (slice(5), slice(-5, None))
)
describe(
    figure,
    alt="Rising curves of the share of right tries, one for each seed, which end close to each other near the top.",
    caption=f"Mean of five steps around each. In the first five steps {min(firsts):.0%} to {max(firsts):.0%} of the "
    f"tries were right, in the last five {min(lasts):.0%} to {max(lasts):.0%}, in {len(runs)} runs. The dots are the "
    "steps that this page took itself.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# Now you
# -------
# - Let the judge pay for brevity: ``return 1 - len(answer.parts) / 4``. Which habit wins now, and is the answer right?
# - Make the careful teacher rarer: one chat in twenty. How many steps does it take now? And with none at all?
# - Set ``TRIES`` to 2. How many questions are skipped, and how does the curve look?

# sphinx_gallery_thumbnail_number = 1
