r"""
Muon against AdamW
==================

A gradient says which way is down. It does not say how far to go, and for a whole matrix of weights that is a large
question: some directions are far steeper than others. Two answers are at work in this project, and
:doc:`the chapter on optimizers </nano/training/optimizers>` tells what they are.

Here they meet. First we look at one matrix, and at the moves that each of the two would make with it. Then they race.
Who chooses the learning rates decides many a race, so we try to be fair, and say how.
"""

# %%
# The same gradients, two moves
# -----------------------------
# A small model learns to tell stories. We look over its shoulder and write down the gradient of one matrix at each
# step.

import torch

from nanochat.common import detect_runtime
from nanochat.corpora import load_corpus
from nanochat.dataloader import TokenLoader
from nanochat.gpt import GPTConfig
from nanochat.optim import Muon, orthogonalize
from nanochat.tokenizer import Tokenizer
from nanochat.train import Plan, TrainState, fit

corpus = load_corpus("stories")
texts = list(corpus.documents("train"))[:1500]
held_out = [text[:300] for text in list(corpus.documents("val"))[:80]]
cutter = Tokenizer.train(texts, 512)
documents = cutter.encode_batch(texts)
runtime = detect_runtime("cpu", "float32")
STEPS, ROWS = 240, 4


def start(matrix_lr: float, seed: int) -> TrainState:
    """Put a new model before the stories. Its matrices are moved by Muon."""
    config = GPTConfig.from_depth(2, cutter.vocab_size, 128, width=64)
    plan = Plan(
        model=config,
        device_batch_size=ROWS,
        total_batch_size=ROWS * config.sequence_len,
        num_iterations=STEPS,
        matrix_lr=matrix_lr,
        seed=seed,
    )
    loader = TokenLoader(documents, ROWS, config.sequence_len, cutter.bos, seed)
    return TrainState.start(plan, loader, runtime)


state = start(matrix_lr=0.02, seed=0)
watched = state.model.blocks[0].mlp.up.weight
gradients = []
watched.register_post_accumulate_grad_hook(
    lambda p: gradients.append(p.grad.clone())
)
fit(state, until=24, progress=False)
print(f"{len(gradients)} gradients of a matrix of {tuple(watched.shape)} weights")

# %%
# Now we tell the same gradients to two optimizers, each with a matrix of its own, and look at the last move that each
# of them makes.


def last_move(make: type, **settings: object) -> torch.Tensor:
    """Feed the gradients to an optimizer and return its last move, by length 1."""
    matrix = torch.zeros_like(watched, requires_grad=True)
    optimizer = make([matrix], lr=1.0, weight_decay=0.0, **settings)
    for gradient in gradients:
        before = matrix.detach().clone()
        matrix.grad = gradient.clone()
        optimizer.step()
    move = matrix.detach() - before
    return move / move.norm()


moves = {
    "the gradient itself": gradients[-1] / gradients[-1].norm(),
    "AdamW's move": last_move(torch.optim.AdamW, betas=(0.8, 0.95), eps=1e-10),
    "Muon's move": last_move(Muon),
}

# %%
# A matrix stretches what passes through, along each of its directions by another amount: its **singular values**. A
# move is a matrix too. If its stretches are very unequal, the move is nearly all in a few directions, and along the
# others the matrix hardly learns. So we line up the stretches of the three, from the longest to the shortest. The
# upright scale goes up by factors of ten.

import matplotlib.pyplot as plt

from nanochat.figures import use_style

use_style()
stretches = {name: torch.linalg.svdvals(move) for name, move in moves.items()}
figure, axes = plt.subplots(figsize=(4.8, 3.2))
for number, (name, values) in enumerate(stretches.items()):
    relative = values / values[0]
    style = ("-", "--", "-.")[number]
    axes.semilogy(
        range(1, len(relative) + 1),
        relative,
        style,
        color=f"C{2 - number}",
        label=name,
    )
axes.set(xlabel="direction, by its stretch", ylabel="stretch, the longest being 1")
axes.set_title("How evenly a move is spread")
axes.legend(loc="lower left")
in_five = {
    name: (values[:5].square().sum() / values.square().sum()).item()
    for name, values in stretches.items()
}
even = {name: (v[0] / v[len(v) // 2]).item() for name, v in stretches.items()}
gradient, adamw, muon = even.values()
if not muon < adamw < gradient or muon > 2:
    raise ValueError("Muon's move should be the most even, the gradient the least")
# sphinx_gallery_start_ignore
from nanochat.figures import describe

first, second, third = in_five.values()
describe(
    figure,
    alt="Three falling lines on a scale of powers of ten: the gradient's falls steeply, AdamW's less, and Muon's is "
    "almost level.",
    caption=f"The longest of {len(values)} stretches is {gradient:.0f} times the middle one in the gradient, "
    f"{adamw:.1f} times in AdamW's move and {muon:.1f} times in Muon's. Five directions hold {first:.0%} of the "
    f"gradient's square length, {second:.0%} of AdamW's move and {third:.0%} of Muon's.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# AdamW evens out too: it gives each single number a stride of its own. But numbers are not directions. What is even
# number by number can still lie mostly in a few directions.
#
# Round by round
# --------------
# How does Muon even out the stretches? It never computes them. It multiplies the matrix with itself a few times
# (:func:`~nanochat.optim.orthogonalize`), and each round lifts the short ones.

figure, axes = plt.subplots(figsize=(4.8, 3.2))
mean = torch.stack(gradients[-8:]).mean(0)
ends = {}
for rounds in range(6):
    ends[rounds] = torch.linalg.svdvals(orthogonalize(mean, rounds))
    share = rounds / 5
    axes.semilogy(range(1, 65), ends[rounds], color="C0", alpha=0.4 + 0.6 * share)
    name = {3: "3, 4, 5", 4: "", 5: ""}.get(rounds, str(rounds))
    axes.annotate(name, (64, ends[rounds][-1]), (4, -5), textcoords="offset points")
axes.axhline(1, color="C3", linewidth=1, linestyle=":")
axes.set(xlabel="direction, by its stretch", ylabel="stretch", xlim=(0, 76))
axes.set_title("After 0, 1, 2, 3, 4 and 5 rounds")
reached = [int((values > 0.6).sum()) for values in ends.values()]
if reached[0] > 1 or reached[5] < 48 or ends[5].max() > 1.3:
    raise ValueError("five rounds should bring most stretches near 1")
# sphinx_gallery_start_ignore
describe(
    figure,
    alt="Six lines, one for each number of rounds. They start low and steep and become a level line near one.",
    caption=f"Of 64 stretches, {reached[0]} lie above 0.6 at first, {reached[2]} after two rounds, {reached[4]} after "
    f"four and {reached[5]} after five. The longest never gets beyond {max(v.max() for v in ends.values()):.2f}.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# The rules of the race
# ---------------------
# Even moves look better in a picture. Do they learn faster? A race is easily won by whoever sets the rates. These are
# our rules:
#
# - **One thing differs**: who moves the matrices of the blocks. Model, first weights, stories, their order and the
#   schedule are the same, and embedding and head are always moved by AdamW at the same rates.
# - **Everybody's rate is tuned**, on the same number of rates, each twice the one before, and with the same seed. If
#   the best rate were the first or the last that was tried, the page would stop: then the best may lie outside.
# - **AdamW may try twice**: with two settings of its memory, of which the better one starts.
# - **The tuning seed does not count.** The race is run with three other seeds.
# - **Judged is what was not read**: the loss on held-out stories (on their beginnings: the rows of the training end
#   there too), after each run has come to its end.
#
# And there is a third runner. Does Muon win because its stretches are even, or because its moves always have the same
# length? This one is Muon in all but one thing: it leaves the stretches as they are.


class Uneven(Muon):
    """Muon's twin: same momentum, same length of a move, stretches as they come."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Move each matrix along its mean gradient, by the length of Muon's move."""
        for group in self.param_groups:
            for p in group["params"]:
                mean = self.state[p].setdefault("mean", torch.zeros_like(p))
                mean.lerp_(p.grad, 1 - group["momentum"])
                ahead = p.grad.lerp(mean, group["momentum"])
                rows, columns = p.shape
                length = min(rows, columns) ** 0.5  # as if all stretches were 1
                length *= max(1, rows / columns) ** 0.5
                p -= group["lr"] * length * ahead / ahead.norm().clamp_min(1e-12)


MEMORY = {"AdamW": (0.8, 0.95), "AdamW, longer memory": (0.9, 0.95)}


def runner(who: str, rate: float, seed: int) -> TrainState:
    """Make a model whose matrices are moved by one of the runners."""
    state = start(rate, seed)
    adamw, muon = state.optimizers
    if who == "Muon":
        return state
    matrices = list(state.model.blocks.parameters())
    if who == "uneven twin":
        muon = Uneven(matrices, rate)
        muon.param_groups[0]["initial_lr"] = rate
        state.optimizers = [adamw, muon]
    else:
        group = {"params": matrices, "betas": MEMORY[who], "lr": rate}
        adamw.add_param_group({**group, "initial_lr": rate})
        state.optimizers = [adamw]
    return state


# %%
# The first steps, here and now
# -----------------------------
# The whole race takes minutes, so it stands in a record. What the page can afford is its beginning: the first steps of
# the first seed, with the rates that were found best.

CHOSEN = {"Muon": 0.04, "AdamW": 0.008, "uneven twin": 0.02}
few = 30
ours = {}
for who, rate in CHOSEN.items():
    young = fit(runner(who, rate, seed=1), until=few, progress=False)
    ours[who] = [metrics.loss for metrics in young.history]
    print(f"{who:12} rate {rate:<6g} loss at step {few}: {ours[who][-1]:.3f}")

# %%
# The whole race
# --------------
# ``python examples/plot_10_optimizers.py --full`` tunes and runs them all, and keeps what came out: every rate that was
# tried, every run of the race.

import json
import sys

from nanochat import corpora, dataloader, evaluate, gpt, optim, tokenizer, train
from nanochat.evaluate import score_text
from nanochat.records import circumstances, code_hash, record_path

MODULES = (corpora, dataloader, evaluate, gpt, optim, tokenizer, train)
path = record_path("optimizers.json")
SEEDS = (1, 2, 3)
RATES = {
    "Muon": (0.005, 0.01, 0.02, 0.04, 0.08),
    "AdamW": (0.002, 0.004, 0.008, 0.016, 0.032),
    "AdamW, longer memory": (0.002, 0.004, 0.008, 0.016, 0.032),
    "uneven twin": (0.005, 0.01, 0.02, 0.04, 0.08),
}


def whole(who: str, rate: float, seed: int) -> dict:
    """Take all steps and read the held-out stories."""
    done = fit(runner(who, rate, seed), progress=False)
    held = score_text(done.model, cutter, held_out).loss
    print(who, rate, seed, held, file=sys.stderr)
    losses = [round(metrics.loss, 4) for metrics in done.history]
    return {"who": who, "rate": rate, "held_out": round(held, 4), "losses": losses}


if "--full" in sys.argv:
    tuned = [whole(who, rate, 0) for who, rates in RATES.items() for rate in rates]
    best = {}
    for one in sorted(tuned, key=lambda one: one["held_out"]):
        best.setdefault(one["who"].partition(",")[0], one)
    made = {
        **circumstances("python examples/plot_10_optimizers.py --full", MODULES),
        "steps": STEPS,
        "tuning": [
            {k: v for k, v in one.items() if k != "losses"} for one in tuned
        ],
        "race": [
            {"seed": seed, "as": who, **whole(one["who"], one["rate"], seed)}
            for who, one in best.items()
            for seed in SEEDS
        ],
    }
    text = (
        json.dumps(made)
        .replace('{"who"', '\n{"who"')
        .replace('{"seed"', '\n{"seed"')
    )
    path.write_text(text + "\n", encoding="utf-8")

if not path.is_file():
    raise FileNotFoundError(f"there is no {path}: add --full to make it")
kept = json.loads(path.read_text(encoding="utf-8"))
print(f"recorded on {kept['date']}: {kept['hardware']}; {kept['software']}")
if kept["code"] != code_hash(MODULES):
    print("NOTE: the record is older than the code: it may be out of date")

# %%
# First the tuning. Each curve is a valley: too small a rate crawls, too large a one jumps about. What counts is the
# lowest point of each, not the height at some rate that was chosen by hand.

figure, axes = plt.subplots(figsize=(4.8, 3.5))
for number, who in enumerate(RATES):
    tried = [one for one in kept["tuning"] if one["who"] == who]
    rates = [one["rate"] for one in tried]
    held = [one["held_out"] for one in tried]
    low = held.index(min(held))
    if not 0 < low < len(held) - 1:
        raise ValueError(
            f"the best rate of {who} lies at the edge of what was tried"
        )
    style = ("-", "--", ":", "-.")[number]
    axes.plot(rates, held, style, color=f"C{number}", marker=".", label=who)
    axes.plot(rates[low], held[low], "o", color=f"C{number}", markersize=9)
axes.set_xscale("log")
ticks = [0.002, 0.008, 0.032]
axes.set_xticks(ticks, map(str, ticks))
axes.minorticks_off()
axes.set(
    xlabel="learning rate for the matrices", ylabel="held-out loss, nats a token"
)
axes.set_title("Everybody's best rate")
axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.2), ncols=2)
# sphinx_gallery_start_ignore
lowest = {
    who: min(one["held_out"] for one in kept["tuning"] if one["who"] == who)
    for who in RATES
}
at = {
    one["who"]: one["rate"]
    for one in kept["tuning"]
    if one["held_out"] == lowest[one["who"]]
}
describe(
    figure,
    alt="Four valleys of held-out loss over the learning rate, each with a large dot at its lowest point.",
    caption="Lowest points: "
    + "; ".join(f"{who} {lowest[who]:.3f} at rate {at[who]:g}" for who in RATES)
    + ". One seed, which does not run in the race.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# And the race: three seeds each, from the first step to the last. The page's own first steps must be the beginning of
# what the record says about them.

race = {who: [one for one in kept["race"] if one["as"] == who] for who in CHOSEN}
for who, runs in race.items():
    if {one["rate"] for one in runs} != {CHOSEN[who]}:
        raise ValueError(f"the record runs {who} at another rate than this page")
    apart = [abs(a - b) for a, b in zip(ours[who], runs[0]["losses"], strict=False)]
    if sum(apart) / few > 0.05:
        raise ValueError(f"our steps are not the beginning of the record of {who}")
    held = sorted(one["held_out"] for one in runs)
    print(f"{who:12} held-out loss {', '.join(f'{loss:.3f}' for loss in held)}")


def smooth(losses: list[float], reach: int = 8) -> list[float]:
    """Return means of neighbours, since single batches may be easy or hard."""
    near = [losses[max(0, i - reach) : i + reach + 1] for i in range(len(losses))]
    return [sum(some) / len(some) for some in near]


figure, axes = plt.subplots(figsize=(4.8, 3.5))
means = {}
for number, (who, runs) in zip((0, 1, 3), race.items(), strict=True):
    for one in runs:
        axes.plot(
            smooth(one["losses"]), color=f"C{number}", linewidth=0.7, alpha=0.5
        )
    together = zip(*(one["losses"] for one in runs), strict=True)
    means[who] = smooth([sum(losses) / len(runs) for losses in together])
    axes.plot(
        means[who], ("-", "--", "", "-.")[number], color=f"C{number}", label=who
    )
    axes.plot(ours[who], ".", color=f"C{number}", markersize=3)
axes.set(xlabel="step", ylabel="training loss, nats a token", ylim=(0.6, 4))
axes.set_title("The race")
axes.legend(loc="upper right")
ends = {who: sum(one["held_out"] for one in runs) / 3 for who, runs in race.items()}
spread = max(
    max(one["held_out"] for one in runs) - min(one["held_out"] for one in runs)
    for runs in race.values()
)
if abs(ends["uneven twin"] - ends["AdamW"]) > 0.1 * (ends["AdamW"] - ends["Muon"]):
    raise ValueError("the twin should end where AdamW ends")
if max(one["held_out"] for one in race["Muon"]) >= min(
    one["held_out"] for who in ("AdamW", "uneven twin") for one in race[who]
):
    raise ValueError("Muon's worst run should beat the best one of the others")
passed = next(
    step for step, loss in enumerate(means["Muon"]) if loss < means["AdamW"][-1]
)
# sphinx_gallery_start_ignore
describe(
    figure,
    alt="Three bundles of falling curves. Muon's lies below the others nearly from the beginning.",
    caption=f"Held-out loss after {kept['steps']} steps, mean of three seeds: Muon {ends['Muon']:.3f}, its uneven twin "
    f"{ends['uneven twin']:.3f}, AdamW {ends['AdamW']:.3f} nats a token. Seeds of one runner differ by at most "
    f"{spread:.3f}. Muon is where AdamW ends at step {passed}. Thin lines are single seeds; dots are this page's own "
    "steps.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# Muon's worst run beats everybody else's best. And the twin answers the other question. It has Muon's momentum and the
# length of Muon's moves, and it ends where AdamW ends. What makes the difference here are the even stretches.
#
# What the race cannot say: whether this holds for a model a thousand times as large, or a run a thousand times as
# long. It is one small model, one kind of text and three seeds. For large models others have looked
# (:arxiv:`2502.16982`).
#
# What it costs
# -------------
# Muon's rounds are matrix products, and they cost operations at each step, however many tokens the step reads. We let
# PyTorch count them. The training of a token costs what :func:`~nanochat.accounting.flops_per_token` says.

from torch.utils.flop_counter import FlopCounterMode

from nanochat.accounting import flops_per_token


def counted(rows: int, columns: int) -> int:
    """Let PyTorch count the operations of evening out one matrix."""
    with FlopCounterMode(display=False) as counter:
        orthogonalize(torch.ones(rows, columns))
    return counter.get_total_flops()


def rounds_of(config: GPTConfig) -> int:
    """Compute the same for all matrices of the blocks of a model."""
    width, all_of = config.n_embd, 0
    shapes = [(width, width)] * 4 + [(4 * width, width), (width, 4 * width)]
    for rows, columns in shapes:
        short, long = sorted((rows, columns))
        all_of += 5 * (4 * short**2 * long + 2 * short**3)
    return config.n_layer * all_of


small = state.plan
matrices = [p.shape for p in state.model.blocks.parameters()]
evened = sum(counted(*shape) for shape in matrices)
if evened != rounds_of(small.model):
    raise ValueError("the formula does not give what was counted")
big = GPTConfig.from_depth(20, 65536, 2048)
shares = {
    f"our model, {small.total_batch_size} tokens a step": evened
    / (small.total_batch_size * flops_per_token(small.model)),
    "depth 20, 524,288 tokens a step": rounds_of(big)
    / (524_288 * flops_per_token(big)),
}
for name, share in shares.items():
    print(f"{name}: {share:.1%} on top of the step")

# %%
# A step of our little model reads so few tokens that the rounds weigh something. A large model reads a thousand times
# as many tokens at each step, and there they hardly count. In memory Muon is the cheaper one. It keeps one number for
# each weight, its running mean. AdamW keeps two.

kept_by = {
    name: sum(v.numel() for v in optimizer.state[p].values() if v.numel() > 1)
    // p.numel()
    for name, optimizer in zip(("AdamW", "Muon"), state.optimizers, strict=True)
    for p in [optimizer.param_groups[0]["params"][0]]
}
print(kept_by, "numbers kept for each weight")
if kept_by != {"AdamW": 2, "Muon": 1}:
    raise ValueError("AdamW should keep two numbers for a weight, and Muon one")

# %%
# Now you
# -------
# - Give Muon fewer rounds: write a runner that calls ``orthogonalize(ahead, rounds=2)``. How much of the lead is left?
# - Give embedding and head to Muon too. What happens, and can you say why from :doc:`the chapter
#   </nano/training/optimizers>`?
# - Make the rows four times as many. Does AdamW catch up when its gradients are less noisy?
#
# Next: :doc:`which tokens of a chat are learned <plot_11_loss_mask>`.

# sphinx_gallery_thumbnail_number = 1
