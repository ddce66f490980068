"""What the chapter on attention says about the code, and the mutants that must make it false."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from docs._ext.claims import check, claim, mutant
from docs._ext.mutation import edited, swapped
from docs.pictures import recall
from nanochat import gpt
from nanochat.accounting import cache_bytes, count_parameters, flops_per_token
from nanochat.common import InputError
from nanochat.gpt import GPT, CausalSelfAttention, GPTConfig

ATTENTION = "nanochat.gpt.CausalSelfAttention"
PROJECT = f"{ATTENTION}.project"
ROTATED = "q, k = rms_norm(apply_rotary(q, cos, sin)), rms_norm(apply_rotary(k, cos, sin))"
QUERY_VIEW = "q = self.query(x).view(B, T, self.config.n_head, self.config.head_size)"


def lively(n_kv_head: int = 4, depth: int = 2, width: int = 64, sequence_len: int = 64) -> GPT:
    """A small model all of whose matrices hold random numbers, so that everything has an effect."""
    config = GPTConfig.from_depth(depth, vocab_size=64, sequence_len=sequence_len, width=width, n_kv_head=n_kv_head)
    model = GPT(config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * weight.size(-1) ** -0.5)
    return model


def row(length: int, seed: int = 0) -> Tensor:
    """One row of random tokens, ``(1, T)``."""
    return torch.randint(0, 64, (1, length), generator=torch.Generator().manual_seed(seed))


def vectors(*shape: int, seed: int = 0) -> Tensor:
    """Random numbers with mean 0 and spread 1."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def layer(config: GPTConfig | None = None) -> tuple[CausalSelfAttention, Tensor, Tensor]:
    """The attention of a fresh model of depth 4, and the rotation tables of 16 positions."""
    model = GPT(config or GPTConfig.from_depth(4, vocab_size=64, sequence_len=16))
    return model.blocks[0].attention, model.cos[:16], model.sin[:16]


@torch.no_grad()
def scores(model: GPT, tokens: Tensor) -> Tensor:
    """The logits of a row."""
    return model(tokens)


@torch.no_grad()
def projected(x: Tensor, attention: CausalSelfAttention, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values."""
    return attention.project(x, cos, sin)


def moved_places(before: Tensor, after: Tensor) -> list[int]:
    """The positions at which logits differ."""
    far = (before - after).abs().amax(dim=(0, 2))
    return [place for place, much in enumerate(far.tolist()) if much > 1e-6]


# ---- the first page: who hears whom ----


@claim("only-attention-mixes", about=("nanochat.gpt.Block", "nanochat.gpt.MLP"), killed_by="mlp-mixes-positions")
def only_attention_mixes() -> str:
    """Silence every output matrix and change one token."""
    model, tokens = lively(), row(8)
    other = tokens.clone()
    other[0, 2] = (other[0, 2] + 1) % 64
    check.true(len(moved_places(scores(model, tokens), scores(model, other))) > 1, "with attention, others notice")
    with torch.no_grad():
        for block in model.blocks:
            block.attention.output.weight.zero_()
    moved = moved_places(scores(model, tokens), scores(model, other))
    check(moved, [2], "with attention silent, only the scores of the changed position move")
    return "With attention silent, a change of one token changes the guess at that position alone."


@claim("attention-mask-pairs", about="nanochat.gpt.causal_mask", killed_by="mask-off-by-one")
def attention_mask_pairs() -> str:
    """Count the places where the mask says yes."""
    mask = gpt.causal_mask(6, 6)
    check.true(mask.diagonal().all(), "each token may read itself")
    return f"For a row of 6 tokens it says yes {int(mask.sum())} times out of {mask.numel()}."


@claim("attention-no-future", about=("nanochat.gpt.attend", "nanochat.gpt.GPT"), killed_by="attend-sees-all")
def attention_no_future() -> str:
    """Change the last token and compare all earlier scores."""
    model, tokens = lively(), row(12)
    other = tokens.clone()
    other[0, -1] = (other[0, -1] + 1) % 64
    moved = moved_places(scores(model, tokens), scores(model, other))
    check(moved, [11], "only the last position's scores move when the last token changes")
    return "Change the last token of a row, and no guess at any earlier position moves."


@claim(
    "attention-equal-scores",
    about="nanochat.gpt.attend",
    killed_by=("attend-sees-all", "attend-sees-next", "attention-silent"),
)
def attention_equal_scores() -> str:
    """All queries zero, so that all scores are."""
    v = vectors(1, 7, 1, 4)
    zero = torch.zeros_like(v)
    means = torch.stack([v[0, : t + 1, 0].mean(dim=0) for t in range(7)])
    check.close(gpt.attend(zero, zero, v)[0, :, 0], means, "what is read is the running average", abs=1e-5)
    return (
        "When all scores are equal, `attend` gives each position the plain average of its own value and all before it."
    )


@claim("attention-first-alone", about="nanochat.gpt.GPT.attention_maps", killed_by="mask-off-by-one")
def attention_first_alone() -> str:
    """Look at the first row of every map."""
    for weights in lively().attention_maps(row(9)):
        check(weights[0, :, 0, 0], torch.ones(4), "the first token's weight on itself")
    return "The first token of a row can read only itself: its weight on itself is 1 in every head of every layer."


@claim("attention-rows-sum", about="nanochat.gpt.attention_weights", killed_by="softmax-over-queries")
def attention_rows_sum() -> str:
    """Add up each row of the weights."""
    weights = gpt.attention_weights(vectors(2, 9, 4, 8), vectors(2, 9, 4, 8, seed=1))
    check.close(weights.sum(dim=-1), torch.ones(2, 4, 9), "a position's weights sum to 1", abs=1e-5)
    return "The weights with which one position reads always add up to 1."


# ---- the second page: queries, keys, values ----


@claim("attention-qkv-sizes", about=PROJECT, killed_by="at-least-two-heads")
def attention_qkv_sizes() -> str:
    """Ask a fresh layer."""
    attention, cos, sin = layer()
    q, k, v = projected(vectors(1, 16, attention.config.n_embd), attention, cos, sin)
    check(tuple(q.shape), tuple(k.shape), "keys have the shape of queries")
    check(tuple(q.shape), tuple(v.shape), "values have the shape of queries")
    _, _, heads, size = q.shape
    return (
        f"In a model of depth 4, the {attention.config.n_embd} numbers of a token become a query, a key and a value "
        f"of {size} numbers each, and this {heads} times over, once for each head."
    )


@claim("attention-value-linear", about=PROJECT, killed_by=("no-qk-norm", "values-normalised"))
def attention_value_linear() -> str:
    """Double the input."""
    attention, cos, sin = layer()
    x = vectors(1, 16, 256)
    q, k, v = projected(x, attention, cos, sin)
    q2, k2, v2 = projected(2 * x, attention, cos, sin)
    check.close(v2, 2 * v, "the value of a doubled vector is doubled", abs=1e-4)
    check.close(q2, q, "the query of a doubled vector is the same", abs=1e-4)
    check.close(k2, k, "the key of a doubled vector is the same", abs=1e-4)
    return "Double the vector of a token, and its value doubles while its query and its key stay as they were."


@claim("attention-divisor", about="nanochat.gpt.attention_weights", killed_by="scores-not-divided")
def attention_divisor() -> str:
    """Work back from two weights to what the dot products were divided by."""
    q, k = vectors(1, 2, 1, 64, seed=2), vectors(1, 2, 1, 64, seed=3)
    weights = gpt.attention_weights(q, k)[0, 0, 1]
    dots = k[0, :, 0] @ q[0, 1, 0]
    divisor = ((dots[1] - dots[0]) / (weights[1] / weights[0]).log()).item()
    check.close(divisor, math.sqrt(64), "the difference of dot products over the log of the weights' ratio", abs=1e-3)
    return f"For a head of 64 channels the code divides by {divisor:.0f}."


@claim("attention-spiky", about="nanochat.gpt.attention_weights", killed_by="scores-not-divided")
def attention_spiky() -> str:
    """The largest of eight weights, of many random queries, with the code's division and with none."""
    q, k = vectors(500, 1, 1, 64), vectors(500, 8, 1, 64, seed=1)
    largest = gpt.attention_weights(q, k)[:, 0, 0].amax(dim=-1).mean().item()
    raw = (k[:, :, 0] @ q[:, 0, 0, :, None])[..., 0].softmax(dim=-1).amax(dim=-1).mean().item()
    check.below(largest, 0.4, "with the division, the largest weight is below this on average")
    check.above(raw, 0.8, "without it, the largest weight is above this on average")
    return (
        "With the division, the largest of eight weights stays below 0.4 on average; without it, it would be above 0.8."
    )


@claim("attention-lengths", about=PROJECT, killed_by=("no-qk-norm", "keys-not-normalised"))
def attention_lengths() -> str:
    """Measure all queries and keys of a layer."""
    attention, cos, sin = layer()
    q, k, _ = projected(5 * vectors(1, 16, 256), attention, cos, sin)
    for name, all_of_them in (("query", q), ("key", k)):
        lengths = all_of_them.norm(dim=-1)
        check.close(lengths, torch.full_like(lengths, 8.0), f"the length of every {name} is the root of 64", abs=1e-4)
    return f"Every query and every key of 64 channels then has the same length, {q[0, 0, 0].norm():.0f}."


@claim("attention-cosine", about=(PROJECT, "nanochat.gpt.attention_weights"), killed_by="scores-not-divided")
def attention_cosine() -> str:
    """Compare the code's weights with the softmax of cosines times eight."""
    attention, cos, sin = layer()
    q, k, _ = projected(vectors(1, 16, 256), attention, cos, sin)
    angles = torch.nn.functional.cosine_similarity(q[0, 15, 0], k[0, :, 0], dim=-1)
    check.close(
        gpt.attention_weights(q, k)[0, 0, 15], (8 * angles).softmax(0), "softmax of eight times the cosine", abs=1e-5
    )
    return (
        f"So in a head of {q.size(-1)} channels a score is the cosine of the angle between query and key, times "
        f"{math.sqrt(q.size(-1)):.0f}."
    )


@claim("attention-score-bound", about=PROJECT, killed_by="no-qk-norm")
def attention_score_bound() -> str:
    """The extreme case: a query and a key that point the same way, and opposite ways, and are long."""
    attention, cos, sin = layer()
    with torch.no_grad():
        attention.key.weight.copy_(attention.query.weight)
    x = 30 * vectors(1, 1, 256)
    q, k, _ = projected(torch.cat((x, -x), dim=1), attention, cos[:1], sin[:1])  # both stand at position 0
    pair = [round((q[0, 0, 0] @ k[0, n, 0]).item() / 8, 3) for n in (0, 1)]
    check(pair, [8.0, -8.0], "the scores of the most alike and the most unlike pair")
    return (
        f"No score of such a head can be above {pair[0]:.0f} or below −{-pair[1]:.0f}, whatever training does to the "
        "matrices."
    )


@claim("attention-matrix-size-free", about=PROJECT, killed_by="no-qk-norm")
def attention_matrix_size_free() -> str:
    """Make the query matrix a hundred times larger."""
    attention, cos, sin = layer()
    x = vectors(1, 16, 256)
    q, k, _ = projected(x, attention, cos, sin)
    before = gpt.attention_weights(q, k)
    with torch.no_grad():
        attention.query.weight.mul_(100)
    q, k, _ = projected(x, attention, cos, sin)
    check.close(gpt.attention_weights(q, k), before, "weights with a query matrix 100 times as large", abs=1e-5)
    return "Multiply every number in the query matrix by 100, and no weight changes by more than 0.00001."


@claim("attention-rotate-then-norm", about=PROJECT, killed_by="norm-before-rotation")
def attention_rotate_then_norm() -> str:
    """Write down in which order the two functions are called."""
    attention, cos, sin = layer()
    calls: list[str] = []
    norm, rotate = gpt.rms_norm, gpt.apply_rotary

    def noted(name: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def call(*args: Tensor) -> Tensor:
            calls.append(name)
            return function(*args)

        return call

    with swapped("nanochat.gpt.rms_norm", noted("norm", norm)):
        with swapped("nanochat.gpt.apply_rotary", noted("rotation", rotate)):
            projected(vectors(1, 16, 256), attention, cos, sin)
    check(calls, ["rotation", "norm"] * 2, "the order of calls, for the query and for the key")
    x = vectors(1, 16, 4, 64)
    check.close(norm(rotate(x, cos, sin)), rotate(norm(x), cos, sin), "both orders give the same", abs=1e-5)
    return (
        "The code turns first and normalises after; as turning does not change a length, the other order would give "
        "the same up to rounding."
    )


# ---- the third page: heads and the whole part ----


@claim(
    "attention-two-forms",
    about=("nanochat.gpt.attend", "nanochat.gpt.attention_weights"),
    killed_by=("attend-not-divided", "attend-sees-all", "groups-taken-in-turn"),
)
def attention_two_forms() -> str:
    """Compare the fast form with the readable one, also with grouped heads and with a cache."""
    for queries, keys, groups in ((9, 9, 4), (9, 9, 2), (3, 9, 2), (1, 9, 1)):
        q, k, v = vectors(2, queries, 4, 8), vectors(2, keys, groups, 8, seed=1), vectors(2, keys, groups, 8, seed=2)
        wide = v.repeat_interleave(4 // groups, dim=2)
        slow = torch.einsum("bhts,bshd->bthd", gpt.attention_weights(q, k), wide)
        check.close(gpt.attend(q, k, v), slow, f"{queries} queries, {keys} keys, {groups} groups", abs=1e-5)
    return "The two agree to within 0.00001 in every case that we tried."


@claim("attention-heads-apart", about=PROJECT, killed_by="heads-cut-across")
def attention_heads_apart() -> str:
    """Change the rows of the query matrix that belong to the first head."""
    attention, cos, sin = layer()
    x = vectors(1, 16, 256)
    q, k, _ = projected(x, attention, cos, sin)
    before = gpt.attention_weights(q, k)
    with torch.no_grad():
        attention.query.weight[:64] = vectors(64, 256, seed=5) / 16
    q, k, _ = projected(x, attention, cos, sin)
    far = (gpt.attention_weights(q, k) - before).abs().amax(dim=(0, 2, 3))
    changed = [head for head, much in enumerate(far.tolist()) if much > 1e-6]
    check(changed, [0], "heads whose weights move when the first 64 rows of the query matrix change")
    return (
        "Change the first 64 rows of the query matrix, and the weights of the first head change; no other head notices."
    )


@claim("attention-groups", about="nanochat.gpt.attend", killed_by="groups-taken-in-turn")
def attention_groups() -> str:
    """Change the second key/value head and see which query heads read something else."""
    q, k, v = vectors(1, 6, 4, 8), vectors(1, 6, 2, 8, seed=1), vectors(1, 6, 2, 8, seed=2)
    other = v.clone()
    other[:, :, 1] += 1
    far = (gpt.attend(q, k, other) - gpt.attend(q, k, v)).abs().amax(dim=(0, 1, 3))
    users = [head + 1 for head, much in enumerate(far.tolist()) if much > 1e-6]
    check(users, [3, 4], "query heads that read the second key/value head, counted from 1")
    return (
        "With 4 query heads and 2 key/value heads, query heads 1 and 2 share the first pair of keys and values, "
        f"and query heads {users[0]} and {users[1]} share the second."
    )


@claim("attention-groups-divide", about="nanochat.gpt.GPTConfig", killed_by="any-number-of-groups")
def attention_groups_divide() -> str:
    """Ask for three key/value heads beside four query heads."""
    sizes = {"n_layer": 1, "n_embd": 64, "n_head": 4}
    message = check.raises(InputError, lambda: GPTConfig(n_kv_head=3, **sizes), "4 is not divisible by 3")
    near = message.rpartition("take n_kv_head=")[2]
    return f"Asked for 4 query heads and 3 key/value heads, the package refuses and proposes {near}."


@claim("attention-groups-save", about="nanochat.accounting.cache_bytes", killed_by="cache-forgets-groups")
def attention_groups_save() -> str:
    """Count the bytes that keys and values take."""
    full, shared = (
        cache_bytes(GPTConfig.from_depth(20, n_kv_head=groups), batch_size=1, n_tokens=2048, dtype=torch.bfloat16)
        for groups in (10, 2)
    )
    return (
        f"A model of depth 20 that has read 2,048 tokens must remember {full / 1e6:.0f} megabytes of keys and "
        f"values with 10 key/value heads, and {shared / 1e6:.0f} megabytes with 2, at "
        f"{torch.bfloat16.itemsize} bytes a number."
    )


@claim("attention-relative", about=PROJECT, killed_by="only-queries-rotated")
def attention_relative() -> str:
    """Read the same row at the start of the tables and further on."""
    model = lively(sequence_len=128)
    attention = model.blocks[0].attention
    x = vectors(1, 16, 64)
    maps = []
    for start in (0, 100):
        q, k, _ = projected(x, attention, model.cos[start : start + 16], model.sin[start : start + 16])
        maps.append(gpt.attention_weights(q, k))
    check.close(maps[1], maps[0], "weights of the same row 100 positions later", abs=1e-4)
    return "Let the same row begin 100 positions later, and no weight changes by more than 0.0001."


@claim("attention-order", about="nanochat.gpt.apply_rotary", killed_by="no-rotation")
def attention_order() -> str:
    """Swap the first two tokens of three, in one layer."""
    model = lively(depth=1)
    one, other = torch.tensor([[5, 9, 7]]), torch.tensor([[9, 5, 7]])
    swap = (scores(model, one) - scores(model, other))[0, -1].abs().max().item()
    check.above(swap, 0.001, "the last position's scores move when the two tokens before it change places")
    with edited("nanochat.gpt.apply_rotary", "x.chunk(2, dim=-1)", "x.chunk(2, dim=-1)\n    return x"):
        still = (scores(model, one) - scores(model, other))[0, -1]
    check.close(still, torch.zeros_like(still), "without rotation they do not", abs=1e-5)
    return (
        "In a model of one layer, swap the first two tokens of three: the guess at the third one changes. "
        "Take the rotation away and it stays."
    )


@claim(
    "attention-parameters",
    about=("nanochat.gpt.CausalSelfAttention", "nanochat.accounting.count_parameters"),
    killed_by=("groups-ignored-in-keys", "matrices-with-biases"),
)
def attention_parameters() -> str:
    """Count the numbers of a layer."""
    counts = []
    for groups in (4, 1):
        config = GPTConfig.from_depth(4, vocab_size=64, n_kv_head=groups)
        counts.append(sum(weight.numel() for weight in CausalSelfAttention(config).parameters()))
        mlps = config.n_layer * 8 * config.n_embd**2
        check(counts[-1] * config.n_layer, count_parameters(config).matrices - mlps, "the count of accounting.py")
    check(counts[0], 4 * 256**2, "four square matrices")
    return (
        f"At depth 4, the four matrices of one layer hold {counts[0]:,} numbers, and {counts[1]:,} "
        "if all four query heads share one key/value head."
    )


@claim("attention-starts-silent", about="nanochat.gpt.GPT.init_weights", killed_by="output-starts-random")
def attention_starts_silent() -> str:
    """Ask the attention of a fresh model."""
    attention, cos, sin = layer()
    with torch.no_grad():
        added = attention(vectors(1, 16, 256), cos, sin)
    check(added, torch.zeros(1, 16, 256), "what attention adds before training")
    return "The output matrix starts at zero, so before training attention adds exactly nothing."


@claim("attention-cost-squared", about="nanochat.gpt.attention_weights", killed_by="window-of-eight")
def attention_cost_squared() -> str:
    """Count the weights above zero for two lengths."""
    short, long = (
        int((gpt.attention_weights(vectors(1, T, 1, 4), vectors(1, T, 1, 4, seed=1)) > 0).sum()) for T in (256, 512)
    )
    check.close(long / short, 4.0, "twice the tokens, four times the weights", rel=0.01)
    return (
        f"In one head, a row of 256 tokens has {short:,} weights above zero, and a row of 512 tokens has {long:,}: "
        "twice the length, about four times the work."
    )


@claim("attention-cost-share", about="nanochat.accounting.flops_per_token", killed_by="attention-costs-nothing")
def attention_cost_share() -> str:
    """The part of the training arithmetic that grows with the length of the row."""
    config = GPTConfig.from_depth(4)
    shares = []
    for length in (512, 8192):
        every = flops_per_token(config, sequence_len=length)
        shares.append(100 * (every - flops_per_token(config, sequence_len=1)) / every)
    return (
        f"In our model of depth 4, comparing and mixing positions is {shares[0]:.0f} percent of the arithmetic of "
        f"training at 512 tokens a row, and {shares[1]:.0f} percent at 8,192."
    )


def taught(steps: int) -> recall.Outcome:
    """The lesson, taught anew: what pictures remember must not hide what a mutant does."""
    return recall.outcome.__wrapped__(steps)


@claim("attention-lesson", about="nanochat.gpt.GPT", killed_by=("attention-silent", "attend-sees-nothing-before"))
def attention_lesson() -> str:
    """Teach the lesson for 50 steps and for none."""
    before, after = taught(0), taught(50)
    check.below(max(before.looks), 0.25, "the largest weight on the name before training, on average, of any head")
    check.above(max(after.looks), 0.7, "the same after training")
    check.above(after.right, 0.95, "the share of right answers after training")
    return (
        "After 50 steps the model answers more than 95 of 100 new rows rightly, and one of its heads gives the "
        "name more than 0.7 of its weight on average. Before the first step no head gave it more than 0.25."
    )


@claim("attention-lesson-alone", about="nanochat.gpt.Block", killed_by="mlp-mixes-positions")
def attention_lesson_alone() -> str:
    """The same lesson with attention silent."""
    with silent():
        after = taught(50)
    check.above(after.loss, 1.8, "the loss after 50 steps without attention; guessing among eight names costs 2.08")
    check.below(after.right, 0.3, "the share of right answers without attention")
    return "With attention silenced, the same 50 steps leave it guessing: fewer than 30 of 100 answers are right."


# ---- the pages of mathematics ----


@claim("maths-clockwise", about="nanochat.gpt.apply_rotary", killed_by=("rotation-reversed", "no-rotation"))
def maths_clockwise() -> str:
    """Turn the arrow (1, 0) to position 1."""
    cos, sin = gpt.rotary_tables(2, 2)
    turned = gpt.apply_rotary(torch.tensor([1.0, 0.0]).view(1, 1, 1, 2).expand(1, 2, 1, 2), cos, sin)[0, 1, 0]
    check.close(turned.norm().item(), 1.0, "the length of the turned arrow", abs=1e-6)
    across, down = turned.tolist()
    check.below(down, 0.0, "the arrow points downwards, with the hands of a clock")
    place = f"({across:.2f}, −{-down:.2f})"
    return f"At position 1 the code has turned the arrow (1, 0) to {place}, and its length is still 1."


@claim("maths-rms-length", about="nanochat.gpt.rms_norm", killed_by=("no-norm", "norm-by-sum"))
def maths_rms_length() -> str:
    """Normalise long and short vectors of 64 numbers."""
    sizes = torch.logspace(-1, 3, 10)[:, None]
    lengths = gpt.rms_norm(sizes * vectors(10, 64)).norm(dim=-1)
    check.close(lengths, torch.full((10,), 8.0), "the length of each normalised vector of 64 numbers", abs=1e-4)
    check(gpt.rms_norm(torch.zeros(64)), torch.zeros(64), "nothing but zeros stays nothing but zeros")
    check.below(gpt.rms_norm(torch.full((64,), 1e-4)).norm().item(), 4.0, "the length where all is nearly zero")
    return (
        f"A vector of 64 numbers goes into `rms_norm`, and an arrow of length {lengths[0]:.0f} comes out, unless all "
        "of its numbers are nearly zero."
    )


@claim("maths-soft-cap", about="nanochat.gpt.soft_cap", killed_by=("softcap-clips", "no-softcap"))
def maths_soft_cap() -> str:
    """Bend two numbers."""
    one, many = gpt.soft_cap(torch.tensor([1.0, 20.0]), GPTConfig().softcap).tolist()
    return f"It bends 1 to {one:.3f}, which is hardly at all, and 20 to {many:.2f}."


# ---- mutants ----


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Let nobody read anything."""
    with edited("nanochat.gpt.attend", "return out.transpose(1, 2)", "return out.transpose(1, 2) * 0"):
        yield


@mutant("attention-silent", "attention reads nothing: all that it gives is zero")
def _silent() -> Iterator[None]:
    with silent():
        yield


@mutant("mlp-mixes-positions", "the MLP adds the mean over all positions to each")
def _mlp_mixes() -> AbstractContextManager[None]:
    return edited("nanochat.gpt.MLP.forward", "self.up(x)", "self.up(x + x.mean(dim=1, keepdim=True))")


@mutant("attend-sees-all", "the fast attention has no mask")
def _attend_sees_all() -> AbstractContextManager[None]:
    return edited("nanochat.gpt.attend", "is_causal=1 < n_queries == n_keys", "is_causal=False")


@mutant("attend-sees-next", "the fast attention lets each token read one token ahead")
def _attend_sees_next() -> Iterator[None]:
    use_mask = ("if 1 < n_queries < n_keys", "if 1 < n_queries", "is_causal=1 < n_queries == n_keys", "is_causal=False")
    shifted = edited("nanochat.gpt.causal_mask", "(n_keys - n_queries)", "(n_keys - n_queries + 1)")
    with edited("nanochat.gpt.attend", *use_mask), shifted:
        yield


@mutant("attend-sees-nothing-before", "each token can read itself alone")
def _attend_sees_nothing_before() -> AbstractContextManager[None]:
    kernel = "out = F.scaled_dot_product_attention("
    return edited(
        "nanochat.gpt.attend", *(kernel, f"return v.repeat_interleave(q.size(2) // v.size(2), dim=2)\n    {kernel}")
    )


@mutant("softmax-over-queries", "the softmax runs down the columns instead of along the rows")
def _softmax_over_queries() -> AbstractContextManager[None]:
    return edited("nanochat.gpt.attention_weights", "softmax(dim=-1)", "softmax(dim=-2)")


@mutant("at-least-two-heads", "a small model has two heads instead of four")
def _two_heads() -> AbstractContextManager[None]:
    return swapped("nanochat.gpt.MIN_HEADS", 2)


@mutant("no-qk-norm", "queries and keys are rotated and not normalised")
def _no_qk_norm() -> AbstractContextManager[None]:
    return edited(PROJECT, ROTATED, "q, k = apply_rotary(q, cos, sin), apply_rotary(k, cos, sin)")


@mutant("keys-not-normalised", "queries are normalised and keys are not")
def _keys_not_normalised() -> AbstractContextManager[None]:
    return edited(PROJECT, "rms_norm(apply_rotary(k, cos, sin))", "apply_rotary(k, cos, sin)")


@mutant("values-normalised", "values are normalised as keys are")
def _values_normalised() -> AbstractContextManager[None]:
    return edited(PROJECT, "return q, k, v", "return q, k, rms_norm(v)")


@mutant("norm-before-rotation", "queries and keys are normalised first and rotated after")
def _norm_before_rotation() -> AbstractContextManager[None]:
    return edited(PROJECT, ROTATED, "q, k = apply_rotary(rms_norm(q), cos, sin), apply_rotary(rms_norm(k), cos, sin)")


@mutant("only-queries-rotated", "keys are not rotated to their position")
def _only_queries_rotated() -> AbstractContextManager[None]:
    return edited(PROJECT, "rms_norm(apply_rotary(k, cos, sin))", "rms_norm(k)")


@mutant("no-rotation", "nothing is rotated: the order of tokens leaves no trace")
def _no_rotation() -> AbstractContextManager[None]:
    return edited("nanochat.gpt.apply_rotary", "x.chunk(2, dim=-1)", "x.chunk(2, dim=-1)\n    return x")


@mutant("scores-not-divided", "the readable attention does not divide by the root of the head size")
def _scores_not_divided() -> AbstractContextManager[None]:
    return edited("nanochat.gpt.attention_weights", " / math.sqrt(q.size(-1))", "")


@mutant("attend-not-divided", "the fast attention does not divide by the root of the head size")
def _attend_not_divided() -> AbstractContextManager[None]:
    return edited("nanochat.gpt.attend", "attn_mask=mask,", "attn_mask=mask, scale=1.0,")


@mutant("heads-cut-across", "a head takes every fourth channel of the queries instead of a run of them")
def _heads_cut_across() -> AbstractContextManager[None]:
    across = "q = self.query(x).view(B, T, self.config.head_size, self.config.n_head).transpose(2, 3)"
    return edited(PROJECT, QUERY_VIEW, across)


@mutant("groups-taken-in-turn", "query heads take the key/value heads in turn instead of in runs")
def _groups_in_turn() -> AbstractContextManager[None]:
    repeat = ".repeat(1, 1, q.size(2) // k.size(2), 1).transpose(1, 2)"
    return edited(
        "nanochat.gpt.attend",
        *("k.transpose(1, 2)", f"k{repeat}", "v.transpose(1, 2)", f"v{repeat}"),
        *("enable_gqa=q.size(2) != k.size(2)", "enable_gqa=False"),
    )


@mutant("any-number-of-groups", "any number of key/value heads is allowed")
def _any_groups() -> AbstractContextManager[None]:
    return edited("nanochat.gpt.GPTConfig.__post_init__", "if self.n_head % self.n_kv_head:", "if False:")


@mutant("groups-ignored-in-keys", "there are as many key heads as query heads, whatever was asked for")
def _groups_ignored() -> AbstractContextManager[None]:
    keys = "self.key = Linear(config.n_embd, config.{}"
    return edited(f"{ATTENTION}.__init__", keys.format("n_kv_head"), keys.format("n_head"))


@mutant("matrices-with-biases", "every matrix of the model has a bias")
def _biases() -> AbstractContextManager[None]:
    return edited("nanochat.gpt.Linear.__init__", "bias=False", "bias=True")


@mutant("cache-forgets-groups", "the accounting of the cache counts query heads instead of key/value heads")
def _cache_forgets_groups() -> AbstractContextManager[None]:
    return edited("nanochat.accounting.cache_bytes", "config.n_kv_head", "config.n_head")


@mutant("output-starts-random", "the output matrix of attention starts at random numbers")
def _output_random() -> AbstractContextManager[None]:
    weight = "block.attention.output.weight"
    return edited("nanochat.gpt.GPT.init_weights", f"{weight}.zero_()", f"normal_({weight}, 0.02)")


@mutant("window-of-eight", "each position reads the last eight positions alone")
def _window() -> AbstractContextManager[None]:
    keys = "torch.arange(n_keys, device=device)[None, :]"
    near = f"return ({keys} <= last_visible) & ({keys} > last_visible - 8)"
    return edited("nanochat.gpt.causal_mask", f"return {keys} <= last_visible", near)


@mutant("attention-costs-nothing", "the count of operations leaves out what attention does between positions")
def _costs_nothing() -> AbstractContextManager[None]:
    return edited("nanochat.accounting.flops_per_token", " + 12 * config.n_layer * config.n_embd * length", "")
