"""What NANOMATH says about the code: where each piece of mathematics is at work."""

from __future__ import annotations

import math

import torch

from docs._ext.claims import check, claim
from nanochat import engine, gpt
from nanochat.accounting import count_parameters
from nanochat.evaluate import TextScore
from nanochat.gpt import GPT, MLP, CausalSelfAttention, GPTConfig
from nanochat.optim import lr_multiplier, orthogonalize
from nanochat.reinforce import advantages
from nanochat.train import Plan


def new_model() -> GPT:
    """The small new model of the pages."""
    return GPT(GPTConfig.from_depth(1, vocab_size=64, sequence_len=8))


def listed(numbers: list[float], form: str = ".2f") -> str:
    """Numbers as a list in a sentence."""
    words = [format(number, form) for number in numbers]
    return f"{', '.join(words[:-1])} and {words[-1]}"


# ---- numbers ----


@claim("maths-heads-share", about="nanochat.gpt.GPTConfig.from_depth", killed_by="width-ignores-depth")
def maths_heads_share() -> str:
    """Share the width of depth 20 among its heads."""
    config = GPTConfig.from_depth(20)
    check(config.n_head * config.head_size, config.n_embd, "heads times numbers of a head is the width")
    return (
        f"At depth 20 the {config.n_embd:,} numbers of a token are shared among {config.n_head} heads, and each gets "
        f"{config.head_size}."
    )


# ---- averages ----


@claim("maths-plain-mean", about="nanochat.gpt.attend", killed_by=("attend-sees-all", "attend-sees-nothing-before"))
def maths_plain_mean() -> str:
    """Attend where every key fits every query equally."""
    nothing = torch.zeros(1, 5, 1, 4)
    values = torch.randn(1, 5, 1, 4, generator=torch.Generator().manual_seed(0))
    means = values.cumsum(dim=1) / torch.arange(1, 6).view(1, 5, 1, 1)
    check.close(gpt.attend(nothing, nothing, values), means, "what each token reads, and the mean so far", abs=1e-6)
    return (
        "Where no key fits better than another, `attend` gives each token the plain mean of the values up to its own."
    )


@claim(
    "maths-rewards-mean",
    about="nanochat.reinforce.advantages",
    killed_by=("mean-not-subtracted", "compared-with-half", "divided-by-deviation"),
)
def maths_rewards_mean() -> str:
    """One success in four tries."""
    got = advantages([1.0, 0.0, 0.0, 0.0])
    check.close(sum(got), 0.0, "the sum of the advantages", abs=1e-9)
    check(got[1:], [got[1]] * 3, "failures weigh alike")
    return (
        f"One success in four tries gives that try {got[0]:.2f} and each of the others −{-got[1]:.2f}; together they "
        f"make "
        "zero."
    )


@claim("maths-spread-of-readers", about="nanochat.gpt.GPT.init_weights", killed_by="readers-start-large")
def maths_spread_of_readers() -> str:
    """Measure the spread of new weights."""
    spreads = []
    for width in (64, 256):
        model = GPT(GPTConfig.from_depth(1, vocab_size=64, sequence_len=8, width=width))
        spreads.append(model.blocks[0].mlp.up.weight.std().item())
        check.close(spreads[-1], width**-0.5, f"the spread of weights that read {width} numbers", abs=0.005)
    return (
        "In a new MLP, the first matrix has a spread of about one eighth where tokens have 64 numbers, and of about "
        "one sixteenth where they have 256."
    )


# ---- vectors ----


@claim("maths-block-adds", about="nanochat.gpt.Block.forward", killed_by=("writers-start-random", "stream-overwritten"))
def maths_block_adds() -> str:
    """Send vectors through a new block."""
    model = new_model()
    x = torch.randn(1, 3, 64, generator=torch.Generator().manual_seed(0))
    check(model.blocks[0](x, model.cos[:3], model.sin[:3]), x, "what comes out of a new block")
    return "A new block adds zeros to every place of a vector, so what comes out is what went in."


@claim("maths-stretches-evened", about="nanochat.optim.orthogonalize", killed_by="orthogonalise-once")
def maths_stretches_evened() -> str:
    """Even out two stretches."""
    large, small = torch.linalg.svdvals(orthogonalize(torch.diag(torch.tensor([10.0, 1.0])))).tolist()
    check.below(large / small, 1.8, "the larger stretch over the smaller one, afterwards")
    return (
        "In a matrix whose two stretches are 10 and 1, the larger one is less than twice the smaller one after "
        "`orthogonalize`."
    )


# ---- functions ----


@claim(
    "maths-learning-rate-falls",
    about="nanochat.optim.lr_multiplier",
    killed_by="warmdown-skipped",
)
def maths_learning_rate_falls() -> str:
    """Read the curve of the learning rate at three places."""
    plan = Plan.from_depth(1, num_iterations=100)
    first, middle, last = (lr_multiplier(step, plan) for step in (0, 40, 99))
    check(first, middle, "the factor at the start and at step 40")
    check.below(last, 0.1, "the factor at the last step")
    return f"In a run of 100 steps the factor is {first:g} at the start and at step 40, and below 0.1 at the last step."


@claim(
    "maths-temperature-stretches",
    about="nanochat.engine.next_token_probabilities",
    killed_by=("temperature-ignored", "temperature-multiplied"),
)
def maths_temperature_stretches() -> str:
    """Halve the temperature."""
    scores = torch.tensor([[2.0, 1.0, 0.0]])
    warm, cold = (engine.next_token_probabilities(scores, temperature)[0] for temperature in (1.0, 0.5))
    check.close(cold, (2 * scores[0]).softmax(dim=0), "half the temperature and twice the scores", abs=1e-6)
    return (
        f"The scores 2, 1 and 0 have the shares {listed(warm.tolist())}; at a temperature of 0.5 the shares are "
        f"{listed(cold.tolist())}, as if the scores were 4, 2 and 0."
    )


@claim(
    "maths-top-k-forbids",
    about="nanochat.engine.next_token_probabilities",
    killed_by=("top-k-ignored", "top-k-keeps-worst"),
)
def maths_top_k_forbids() -> str:
    """Leave two of three tokens in the draw."""
    shares = engine.next_token_probabilities(torch.tensor([[2.0, 1.0, 0.0]]), top_k=2)[0].tolist()
    check(shares[2], 0.0, "the share of the forbidden token, exactly")
    return f"With `top_k=2` the third of these tokens gets exactly zero, and the others {listed(shares[:2])}."


@claim("maths-greedy-argmax", about="nanochat.engine.sample", killed_by="greedy-takes-worst")
def maths_greedy_argmax() -> str:
    """Draw at temperature 0 from many rows."""
    scores = torch.randn(50, 20, generator=torch.Generator().manual_seed(0))
    check(engine.sample(scores, temperature=0), scores.argmax(dim=-1), "the tokens drawn from 50 rows of scores")
    return "At a temperature of 0, `sample` returns the argmax of the scores."


# ---- probability ----


@claim("maths-new-model-undecided", about="nanochat.gpt.GPT.init_weights", killed_by="head-starts-random")
def maths_new_model_undecided() -> str:
    """Ask a new model for the next token."""
    p = engine.next_token_probabilities(new_model()(torch.tensor([[5, 1, 60]]))[:, -1])
    check(p, torch.full((1, 64), 1 / 64), "the probabilities of all tokens")
    return (
        f"A new model with {p.numel()} tokens gives each of them a probability of one in {round(1 / p[0, 0].item())}."
    )


@claim("maths-sampled-share", about="nanochat.engine.sample", killed_by=("draw-flat", "draw-always-best"))
def maths_sampled_share() -> str:
    """Draw ten thousand times."""
    scores = torch.tensor([[2.0, 1.0, 0.0, -1.0]])
    p = engine.next_token_probabilities(scores)[0, 0].item()
    drawn = engine.sample(scores.expand(10_000, 4), generator=torch.Generator().manual_seed(0))
    share = (drawn == 0).float().mean().item()
    check.close(share, p, "the share of the first token among 10,000 draws", abs=0.02)
    return (
        f"A token with a probability of {p:.2f} is drawn in {p:.0%} of ten thousand cases, to within two in a hundred."
    )


# ---- logarithms ----


@claim("maths-eightfold", about="nanochat.accounting.count_parameters", killed_by="width-ignores-depth")
def maths_eightfold() -> str:
    """Double the depth twice."""
    counts = [count_parameters(GPTConfig.from_depth(depth)).matrices for depth in (4, 8, 16)]
    check(counts[2] * counts[0], counts[1] ** 2, "both doublings multiply by the same factor")
    return (
        f"From depth 4 to 8 the matrices of the blocks grow from {counts[0]:,} to {counts[1]:,} numbers, which is "
        f"{counts[1] // counts[0]} times as many, and from 8 to 16 by the same factor."
    )


@claim("maths-surprise-of-new", about="nanochat.gpt.GPT.forward", killed_by=("head-starts-random", "loss-in-bits"))
def maths_surprise_of_new() -> str:
    """Measure how surprised a new model is at each token."""
    each = new_model()(torch.tensor([[5, 1, 60]]), torch.tensor([[1, 60, 2]]), reduction="none")[0]
    check.close(each, torch.full((3,), math.log(64)), "the surprise at each token, in nats", abs=1e-5)
    return f"A new model with 64 tokens is surprised by {each[0]:.3f} nats at every token, the logarithm of 64."


@claim("maths-bits-of-nats", about="nanochat.evaluate.TextScore", killed_by=("nats-per-byte", "bits-per-token"))
def maths_bits_of_nats() -> str:
    """Turn nats a text into bits a byte."""
    score = TextScore(nats=1000 * math.log(2), tokens=250, bytes=1000)
    check.close(score.bits_per_byte, 1.0, "bits per byte of 1,000 bits in 1,000 bytes", abs=1e-9)
    return (
        f"A text of {score.bytes:,} bytes that costs {score.nats:.0f} nats has {score.bits_per_byte:.2f} bits per "
        f"byte, "
        f"however many tokens it was cut into."
    )


# ---- calculus ----


@claim("maths-slope-of-the-bend", about="nanochat.gpt.MLP", killed_by=("relu-for-relu2", "square-for-relu2"))
def maths_slope_of_the_bend() -> str:
    """Let a bare MLP pass single numbers, and ask for the slopes."""
    mlp = MLP(GPTConfig(n_embd=8, n_head=1, n_kv_head=1, n_layer=1))
    slopes = []
    for number in (-2.0, 0.5, 2.0):
        x = torch.zeros(1, 8)
        x[0, 0] = number
        x.requires_grad_()
        with torch.no_grad():
            mlp.up.weight.zero_()[0, 0] = 1.0
            mlp.down.weight.zero_()[0, 0] = 1.0
        mlp(x)[0, 0].backward()
        slopes.append(x.grad[0, 0].item())
    return (
        f"At −2 the slope of the bend in the MLP is {slopes[0]:.0f}, at 0.5 it is {slopes[1]:.0f}, at 2 it is "
        f"{slopes[2]:.0f}."
    )


# ---- trigonometry ----


@claim(
    "maths-score-is-cosine",
    about="nanochat.gpt.CausalSelfAttention.project",
    killed_by=("no-qk-norm", "keys-not-normalised"),
)
def maths_score_is_cosine() -> str:
    """Compare dot products of queries and keys with cosines."""
    config = GPTConfig(vocab_size=64, sequence_len=8, n_layer=1, n_head=1, n_kv_head=1, n_embd=32)
    attention = CausalSelfAttention(config)
    cos, sin = gpt.rotary_tables(8, config.head_size)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for part in (attention.query, attention.key, attention.value):
            part.weight.copy_(torch.randn(part.weight.shape, generator=generator))
        q, k, _ = attention.project(torch.randn(1, 8, 32, generator=generator), cos, sin)
    q, k = q[0, :, 0], k[0, :, 0]
    cosines = torch.nn.functional.cosine_similarity(q[:, None], k[None], dim=-1)
    check.close(q @ k.T / config.head_size, cosines, "dot products over the head size, and cosines", abs=1e-5)
    words = "Divide the dot product of a query and a key by how many numbers each has"
    return f"{words}, and you get the cosine of their angle."


@claim("maths-one-radian", about="nanochat.gpt.rotary_tables", killed_by="angles-squared")
def maths_one_radian() -> str:
    """Follow the first pair over some positions."""
    cos, sin = gpt.rotary_tables(8, 8)
    angles = torch.atan2(sin[:, 0], cos[:, 0]) % (2 * math.pi)
    check.close(angles, torch.arange(8.0) % (2 * math.pi), "the angle of the first pair at eight positions", abs=1e-5)
    return (
        f"The first pair turns by one radian from each position to the next; at position 6 it has not quite gone "
        f"round, "
        f"and at position 7 it is {angles[7]:.2f} radians past it."
    )


@claim("maths-four-speeds", about="nanochat.gpt.rotary_tables", killed_by="rotation-at-one-speed")
def maths_four_speeds() -> str:
    """Read the frequencies of a small head."""
    cos, sin = gpt.rotary_tables(2, 8)
    angles = torch.atan2(sin[1], cos[1]).tolist()
    return f"In a head of 8 numbers the pairs turn by {listed(angles, '.3g')} radians a token."
