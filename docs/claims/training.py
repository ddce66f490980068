"""What the chapter on training says about the code, proved by running it."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from docs._ext.claims import check, claim, mutant
from docs._ext.mutation import edited, swapped
from docs.pictures import pupil, trials
from nanochat import accounting, checkpoint, corpora, dataloader, evaluate, gpt, optim, train
from nanochat.common import IGNORED, InputError, Runtime
from nanochat.tokenizer import SPECIAL_TOKENS

# ---- ways to break the package --------------------------------------------------------------------------------


@mutant("targets-not-shifted", "the loader gives each token as its own answer")
def targets_not_shifted() -> Any:
    return edited("nanochat.dataloader.TokenLoader.next_batch", "rows[:, 1:].copy()", "rows[:, :-1].copy()")


@mutant("rows-carry-on", "a document that does not fit goes on in the next row")
def rows_carry_on() -> Any:
    return edited(
        "nanochat.dataloader.TokenLoader._fill",
        "start = self._starts[document]\n        take = min(self._lengths[document], len(row) - filled)",
        "start = self._starts[document] + 1\n        take = min(self._lengths[document] - 1, len(row) - filled)",
    )


@mutant("loss-in-bits", "the loss takes logarithms of base two")
def loss_in_bits() -> Any:
    return edited(
        "nanochat.gpt.GPT.forward",
        'return loss.view_as(targets) if reduction == "none" else loss',
        'return (loss.view_as(targets) if reduction == "none" else loss) * 1.4426950408889634',
    )


@mutant("head-starts-random", "the output head starts with random numbers and not with zeros")
def head_starts_random() -> Any:
    return edited("nanochat.gpt.GPT.init_weights", "self.head.weight.zero_()", "normal_(self.head.weight, 0.5)")


@mutant("ignored-in-mean", "positions without a target still count in the mean")
def ignored_in_mean() -> Any:
    return edited(
        "nanochat.gpt.GPT.forward",
        'return loss.view_as(targets) if reduction == "none" else loss',
        'return loss.view_as(targets) if reduction == "none" else loss * (targets >= 0).float().mean()',
    )


@mutant("mlp-forgets-gradient", "the way back through the MLP is cut")
def mlp_forgets_gradient() -> Any:
    return edited(
        "nanochat.gpt.Block.forward", "return x + self.mlp(rms_norm(x))", "return x + self.mlp(rms_norm(x)).detach()"
    )


@mutant("writers-start-random", "the matrices that write to the stream start with random numbers")
def writers_start_random() -> Any:
    return edited(
        "nanochat.gpt.GPT.init_weights",
        "block.attention.output.weight.zero_()",
        "normal_(block.attention.output.weight, 0.1)",
        "block.mlp.down.weight.zero_()",
        "normal_(block.mlp.down.weight, 0.1)",
        "self.head.weight.zero_()",
        "normal_(self.head.weight, 0.1)",
    )


@mutant("accumulation-summed", "each round is divided by its own questions, and the rounds are added up")
def accumulation_summed() -> Any:
    return edited(
        "nanochat.train.train_step", 'model(inputs, targets, reduction="sum") / counted', "model(inputs, targets)"
    )


@mutant("rounds-weigh-alike", "a round with few questions counts as much as one with many")
def rounds_weigh_alike() -> Any:
    return edited(
        "nanochat.train.train_step",
        'model(inputs, targets, reduction="sum") / counted',
        "model(inputs, targets) / rounds",
    )


@mutant("clip-off", "a long gradient is not shortened")
def clip_off() -> Any:
    return edited("nanochat.train.train_step", "if plan.grad_clip > 0 else math.inf", "if False else math.inf")


@mutant("divergence-unnoticed", "a loss that is no number goes on to the weights")
def divergence_unnoticed() -> Any:
    return edited(
        "nanochat.train.train_step",
        "if not (math.isfinite(mean_loss) and math.isfinite(grad_norm)):",
        "if False:",
    )


@mutant("gradients-kept", "the gradients of a step are not cleared before the next one")
def gradients_kept() -> Any:
    return edited("nanochat.train.train_step", "model.zero_grad(set_to_none=True)", "pass")


@mutant("learning-rate-zero", "the schedule multiplies the learning rates by nothing")
def learning_rate_zero() -> Any:
    return edited("nanochat.train.train_step", "factor = lr_multiplier(state.step, plan)", "factor = 0.0")


@mutant("warmdown-skipped", "the learning rates do not fall at the end")
def warmdown_skipped() -> Any:
    return edited("nanochat.optim.lr_multiplier", "if left >= plan.warmdown_steps:", "if True:")


@mutant("muon-without-orthogonalisation", "Muon takes the gradient's direction as it is, at length one")
def muon_without_orthogonalisation() -> Any:
    return swapped("nanochat.optim.orthogonalize", lambda g, rounds=5: g / (g.norm(dim=(-2, -1), keepdim=True) + 1e-7))


@mutant("orthogonalise-once", "the matrix goes through one round and not five")
def orthogonalise_once() -> Any:
    return edited("nanochat.optim.orthogonalize", "for _ in range(rounds):", "for _ in range(1):")


@mutant("muon-scale-gone", "Muon moves a tall matrix no further than a square one")
def muon_scale_gone() -> Any:
    return edited("nanochat.optim.Muon._step_stack", "alpha=-lr * scale", "alpha=-lr")


@mutant("embedding-to-muon", "the embedding goes to Muon with the matrices")
def embedding_to_muon() -> Any:
    return edited(
        "nanochat.optim.make_optimizers",
        "model.blocks.parameters()",
        "[*model.blocks.parameters(), *model.embed.parameters()]",
        '{"params": list(model.embed.parameters()), "lr": plan.embedding_lr * shrink},',
        "",
    )


@mutant("plain-descent", "plain gradient descent in the place of AdamW")
@contextmanager
def plain_descent() -> Iterator[None]:
    def descent(params: Any, betas: Any = None, eps: float = 0.0, fused: bool = False, **rest: Any) -> torch.optim.SGD:
        return torch.optim.SGD(params, **rest)

    kept = torch.optim.AdamW
    torch.optim.AdamW = descent  # type: ignore[assignment, misc]
    try:
        yield
    finally:
        torch.optim.AdamW = kept  # type: ignore[misc]


@mutant("rates-ignore-width", "embedding and head keep their learning rates at every width")
def rates_ignore_width() -> Any:
    return edited(
        "nanochat.optim.make_optimizers",
        "shrink = (model.config.n_embd / REFERENCE_WIDTH) ** -0.5",
        "shrink = 1.0",
    )


@mutant("weights-in-bfloat16", "the weights themselves are kept in bfloat16")
def weights_in_bfloat16() -> Any:
    return edited(
        "nanochat.train.TrainState.start", "model.to(runtime.device)", "model.to(runtime.device, runtime.dtype)"
    )


@mutant("split-by-length", "the split goes by the length of a text, so that no share is fixed")
def split_by_length() -> Any:
    return edited("nanochat.corpora.split_of", "if number % 100 < VAL_PERCENT", "if len(text) % 2")


@mutant("bits-per-token", "bits are divided by tokens and not by bytes")
def bits_per_token() -> Any:
    return edited("nanochat.evaluate.TextScore.bits_per_byte", "/ self.bytes", "/ self.tokens")


@mutant("nats-per-byte", "nats are taken for bits")
def nats_per_byte() -> Any:
    return edited(
        "nanochat.evaluate.TextScore.bits_per_byte", "self.nats / math.log(2) / self.bytes", "self.nats / self.bytes"
    )


@mutant("long-text-cropped", "what does not fit into the context is not scored")
def long_text_cropped() -> Any:
    return edited("nanochat.evaluate.score_text", "range(0, len(ids) - 1, context)", "range(0, 1)")


@mutant("yardstick-in-bytes", "the compressor's bytes are not turned into bits")
def yardstick_in_bytes() -> Any:
    return edited("nanochat.evaluate.xz_bits_per_byte", "return 8 * len(", "return len(")


@mutant("embedding-counted-as-work", "the operations of a token include the table that is only looked up")
def embedding_counted_as_work() -> Any:
    return edited("nanochat.accounting.flops_per_token", "6 * (counted.matrices + counted.head)", "6 * counted.total")


@mutant("ratio-ten", "ten tokens for each parameter")
def ratio_ten() -> Any:
    return swapped("nanochat.accounting.CHINCHILLA_RATIO", 10)


@mutant("epochs-alike", "every epoch has the order of the first")
def epochs_alike() -> Any:
    return edited("nanochat.dataloader.TokenLoader._plan_epoch", "self.seed, self._epoch", "self.seed, 0")


@mutant("muon-keeps-squares", "Muon remembers a second number for each weight")
def muon_keeps_squares() -> Any:
    return edited(
        "nanochat.optim.Muon._step_stack",
        'self.state[p]["mean"] = torch.zeros_like(p)',
        "self.state[p].update(mean=torch.zeros_like(p), squares=torch.zeros_like(p))",
    )


@mutant("specials-have-bytes", "a special token counts as one byte of text")
def specials_have_bytes() -> Any:
    return edited("nanochat.tokenizer.Tokenizer.n_bytes_per_token", "(0 for _", "(1 for _")


@mutant("muon-in-float32", "Muon evens out stretches in float32 whatever the model computes in")
def muon_in_float32() -> Any:
    return edited("nanochat.optim.make_optimizers", "dtype=model.compute_dtype", "dtype=torch.float32")


@mutant("optimizers-forget", "a resumed run starts with optimizers that remember nothing")
def optimizers_forget() -> Any:
    return swapped("nanochat.checkpoint._load_optimizers", lambda *a, **k: None)


# ---- the chapter's first page ---------------------------------------------------------------------------------


@claim(
    "training-pupil-sizes",
    about=("nanochat.gpt.GPTConfig.from_depth", "nanochat.accounting.count_parameters"),
    killed_by="head-tied",
)
def pupil_sizes() -> str:
    model = pupil.new().model
    counted = accounting.count_parameters(model.config)
    check(sum(p.numel() for p in model.parameters()), counted.total, "the model holds as many numbers as are counted")
    c = model.config
    return (
        f"The pupil has {c.n_layer} layers of width {c.n_embd}, a vocabulary of {c.vocab_size} tokens, and "
        f"{counted.total:,} weights."
    )


@mutant("head-tied", "the head is left out of the count, as if it shared the embedding's numbers")
def head_tied() -> Any:
    return edited("nanochat.accounting.count_parameters", "head=table)", "head=0)")


@claim("training-targets-shifted", about="nanochat.dataloader.TokenLoader.next_batch", killed_by="targets-not-shifted")
def shifted() -> str:
    inputs, targets = pupil.batch(pupil.new())
    check(targets[:, :-1], inputs[:, 1:], "the target of each place is the input of the next place")
    return (
        "The targets are the inputs, moved one place to the left: the answer at each place is the token that "
        "stands at the next."
    )


@claim("training-questions-in-a-batch", about="nanochat.dataloader.TokenLoader.next_batch", killed_by="rows-carry-on")
def questions() -> str:
    one = pupil.new()
    inputs, targets = pupil.batch(one)
    check(inputs[:, 0], torch.full((len(inputs),), one.tokenizer.bos), "each row starts with the token <|bos|>")
    check.true((targets >= 0).all(), "each place of a full row has an answer")
    B, T = inputs.shape
    return f"Each of its {B} rows starts with `<|bos|>` and asks {T} questions, so one step answers {B * T} of them."


@claim("training-next-epoch", about="nanochat.dataloader.TokenLoader", killed_by="epochs-alike")
def next_epoch() -> str:
    stories = [[number] * 3 for number in range(1, 41)]
    loader = dataloader.TokenLoader(stories, batch_size=1, sequence_len=7, bos=0)
    orders: list[list[int]] = [[], []]
    while (epoch := loader.epoch) < 2:
        inputs, _ = loader.next_batch()
        orders[epoch] += inputs[0, 1::4].tolist()  # the first token of each of the two stories of a row
    check([sorted(order) for order in orders], [list(range(1, 41))] * 2, "each epoch hands out every story once")
    check.true(orders[0] != orders[1], "the second epoch has another order")
    return "Once all stories have been handed out, the loader begins again, in another order."


@claim("training-loss-is-mean-surprise", about="nanochat.gpt.GPT.forward", killed_by="loss-in-bits")
def loss_is_mean_surprise() -> str:
    one = pupil.taught(3)
    inputs, targets = pupil.batch(one)
    with torch.no_grad():
        right = one.model(inputs).softmax(dim=-1).gather(-1, targets[..., None]).squeeze(-1)
        got = one.model(inputs, targets).item()
    check.close(got, -right.log().mean().item(), "the loss is the mean of -log p over all places", abs=1e-4)
    return (
        "The loss of a batch is the mean of $-\\log p$ over all its places, where $p$ is the probability that the "
        "model gave to the token that really came."
    )


@claim("training-ignored-places", about="nanochat.gpt.GPT.forward", killed_by="ignored-in-mean")
def ignored_places() -> str:
    one = pupil.taught(3)
    inputs, targets = pupil.batch(one)
    with torch.no_grad():
        each = one.model(inputs, targets, reduction="none")
        targets[:, 100:] = IGNORED
        got = one.model(inputs, targets).item()
    check.close(got, each[:, :100].mean().item(), "the mean is taken over the places that have a target", abs=1e-4)
    return f"A place whose target is {IGNORED} asks nothing: it is left out of the mean."


@claim("training-first-loss", about="nanochat.gpt.GPT.init_weights", killed_by="head-starts-random")
def first_loss() -> str:
    one = pupil.new()
    inputs, targets = pupil.batch(one)
    with torch.no_grad():
        got = one.model(inputs, targets).item()
        p = one.model(inputs).softmax(dim=-1)
        V = one.model.config.vocab_size
        nonsense = one.model(torch.randint(V, (1, 50)), torch.randint(V, (1, 50))).item()
    check.close(got, math.log(V), "the loss of a new model is log V", abs=1e-4)
    check.close(p.max().item(), p.min().item(), "all tokens are equally likely", abs=1e-8)
    check.close(nonsense, got, "random tokens with random answers give the same loss", abs=1e-4)
    return (
        f"Before its first step the pupil's loss is {got:.3f}, which is $\\log V$ for $V = {V}$, and it is so on "
        "any text, with any answers."
    )


@claim("training-slope-is-gradient", about="nanochat.gpt.GPT.forward", killed_by="mlp-forgets-gradient")
def slope_is_gradient() -> str:
    one = pupil.taught(8)
    inputs, targets = pupil.batch(one)
    one.model(inputs, targets).backward()
    weight = one.model.blocks[0].mlp.up.weight
    if weight.grad is None:
        weight.grad = torch.zeros_like(weight)
    place = divmod(int(weight.grad.abs().argmax()), weight.size(1))
    slope, step = weight.grad[place].item(), 0.05
    with torch.no_grad():
        weight[place] += step
        above = one.model(inputs, targets).item()
        weight[place] -= 2 * step
        below = one.model(inputs, targets).item()
    measured = (above - below) / (2 * step)
    check.above(abs(measured), 1e-4, "the weight matters")
    check.close(slope, measured, "the gradient of a weight is the slope that nudging it shows", rel=0.05)
    return (
        "For one weight of the pupil after 8 steps, the slope measured by nudging it to both sides and the slope "
        "from the "
        "backward pass agree to within five percent."
    )


def _alive(model: gpt.GPT) -> set[str]:
    """The names of the parameters that have a gradient that is not zero."""
    return {
        name.removesuffix(".weight")
        for name, p in model.named_parameters()
        if p.grad is not None and bool((p.grad != 0).any())
    }


@claim(
    "training-waking-up",
    about=("nanochat.gpt.GPT.init_weights", "nanochat.train.train_step"),
    killed_by="writers-start-random",
)
def waking_up() -> str:
    one = pupil.new()
    seen = []
    for _ in range(3):
        one.model(*pupil.batch(one)).backward()
        seen.append(_alive(one.model))
        one.model.zero_grad()
        train.train_step(one.state)
    everything = {name.removesuffix(".weight") for name, _ in one.model.named_parameters()}
    writers = {name for name in everything if name.endswith(("attention.output", "mlp.down"))}
    check(len(writers), 2 * one.model.config.n_layer, "two matrices of each block write to the stream")
    check(sorted(seen[0]), ["head"], "at the first step only the head has a gradient")
    check(seen[1], {"embed", "head"} | writers, "at the second step the matrices that write to the stream follow")
    check(seen[2], everything, "at the third step all have one")
    return (
        "At the first step only the head has a gradient that is not zero. At the second, the embedding and the "
        "matrices that write to the "
        "stream have one too. From the third on, every matrix has."
    )


@claim("training-one-step", about="nanochat.train.train_step", killed_by=("learning-rate-zero", "targets-not-shifted"))
def one_step() -> str:
    one = pupil.new()
    batch = pupil.batch(one)
    one.state.loader = pupil.Batches(batch)
    before = train.train_step(one.state).loss
    with torch.no_grad():
        after = one.model(*batch).item()
    return f"One step takes the pupil's loss on the very batch that it learned from, from {before:.1f} to {after:.1f}."


@claim("training-four-of-the-same", about="nanochat.train.train_step", killed_by="gradients-kept")
def gradients_are_cleared() -> str:
    one = pupil.new(grad_clip=0.0)
    batch = pupil.batch(one)
    one.state.loader = pupil.Batches(batch)
    one.state.optimizers = []
    norms = [train.train_step(one.state).grad_norm for _ in range(3)]
    check.close(norms[2], norms[0], "with nothing to move the weights, each step finds the same gradient", rel=1e-5)
    return "At the end of a step all gradients are thrown away; without that, old slopes would be added to new ones."


@claim("training-accumulation", about="nanochat.train.train_step", killed_by="accumulation-summed")
def accumulation() -> str:
    whole, parts = (pupil.new(rows=rows) for rows in (2, 1))
    found = []
    for one in (whole, parts):
        recorder = _Recorder(one.model)
        one.state.optimizers = [recorder]
        train.train_step(one.state)
        found.append(recorder.gradient)
    rounds = parts.state.plan.accumulation(1)
    length = found[0].norm().item()
    check(rounds, 2, "one row at a time takes two rounds")
    check.below((found[0] - found[1]).norm().item(), 1e-4 * length, "the gradients differ by rounding alone")
    return (
        f"The pupil's step of two rows, computed one row at a time in {rounds} rounds, has the same gradient to "
        "within a "
        "ten-thousandth of its length."
    )


@claim("training-uneven-rounds", about="nanochat.train.train_step", killed_by="rounds-weigh-alike")
def uneven_rounds() -> str:
    inputs, targets = pupil.batch(pupil.new())
    targets[1, 20:] = IGNORED
    found = []
    for rows in (2, 1):
        one = pupil.new(rows=rows)
        one.state.loader = pupil.Batches(*zip(inputs.split(rows), targets.split(rows), strict=True))
        recorder = _Recorder(one.model)
        one.state.optimizers = [recorder]
        train.train_step(one.state)
        found.append(recorder.gradient)
    length = found[0].norm().item()
    check.below((found[0] - found[1]).norm().item(), 1e-4 * length, "the gradients differ by rounding alone")
    return "That holds even when one of the rows asks 256 questions and the other only 20."


class _Recorder(torch.optim.Optimizer):
    """An optimizer that writes down the gradient it is given and moves nothing."""

    def __init__(self, model: gpt.GPT) -> None:
        super().__init__([{"params": list(model.parameters()), "initial_lr": 1.0, "lr": 1.0}], {})
        self.gradient = torch.empty(0)

    def step(self, closure: Any = None) -> None:
        self.gradient = torch.cat([p.grad.flatten() for p in self.param_groups[0]["params"] if p.grad is not None])


@claim("training-whole-run", about="nanochat.train.fit", killed_by=("learning-rate-zero", "targets-not-shifted"))
def whole_run() -> str:
    losses = [metrics.loss for metrics in pupil.whole().state.history]
    last = sum(losses[-5:]) / 5
    check.below(last, 3.0, "the loss falls below 3")
    check.above(last, 2.0, "a real model does not learn stories within seconds")
    return f"In {len(losses)} steps the loss falls from {losses[0]:.1f} to below 3."


def counting_losses() -> tuple[float, float]:
    """The loss of one who knows how common each token is, and of one who knows how common each pair is."""
    tok, rows = pupil.tokens(pupil.VOCABULARY)
    pairs = Counter(pair for row in rows for pair in pairwise([tok.bos, *row]))
    firsts, seconds = Counter(), Counter()
    for (first, second), count in pairs.items():
        firsts[first] += count
        seconds[second] += count
    n = sum(pairs.values())
    alone = -sum(count / n * math.log(count / n) for count in seconds.values())
    return alone, -sum(count / n * math.log(count / firsts[pair[0]]) for pair, count in pairs.items())


@claim("training-counting", about="nanochat.train.fit", killed_by="learning-rate-zero")
def counting() -> str:
    losses = [metrics.loss for metrics in pupil.whole().state.history]
    alone, pairs = counting_losses()
    check.below(sum(losses[8:12]) / 4, alone, "by the tenth step the pupil beats the first guesser")
    check.above(sum(losses[-5:]) / 5, pairs, "after the last step it does not yet beat the second")
    return (
        "A guesser who knows nothing but how common each token is in the stories has a loss of "
        f"{alone:.1f}, and by step 10 the pupil is below that. One who knows for each token how often each other "
        f"follows it has {pairs:.1f}, and after {len(losses)} steps the pupil is still above that."
    )


# ---- two optimizers -------------------------------------------------------------------------------------------


@claim("optim-adamw-first-step", about="nanochat.optim.make_optimizers", killed_by="plain-descent")
def adamw_first_step() -> str:
    one = pupil.new()
    head = one.model.head.weight
    one.model(*pupil.batch(one)).backward()
    slopes = head.grad.abs()
    rate = one.state.optimizers[0].param_groups[1]["lr"]
    one.state.optimizers[0].step()
    moved = head.detach().abs()[slopes > 0]
    spread = (slopes.max() / slopes[slopes > 0].median()).item()
    check.above(spread, 100, "the slopes are very unlike")
    check.close(moved, torch.full_like(moved, rate), "every weight moves by the learning rate", rel=0.01)
    return (
        "The steepest slope in the pupil's head is over 100 times the middle one, and AdamW's first step moves "
        "both weights equally far: by the learning rate."
    )


@claim("optim-who-gets-what", about="nanochat.optim.make_optimizers", killed_by="embedding-to-muon")
def who_gets_what() -> str:
    model = pupil.new().model
    adamw, muon = optim.make_optimizers(model, pupil.plan())
    share = [sum(p.numel() for group in o.param_groups for p in group["params"]) for o in (adamw, muon)]
    check(sum(share), accounting.count_parameters(model.config).total, "every weight has one optimizer")
    inside = {id(p) for p in model.blocks.parameters()}
    given = {id(p) for group in muon.param_groups for p in group["params"]}
    check(given, inside, "Muon has the matrices of the blocks and nothing else")
    return (
        f"Of the pupil's weights, AdamW moves the {share[0]:,} of embedding and head, and Muon the {share[1]:,} in "
        "the matrices of the blocks."
    )


@claim("optim-memory", about=("nanochat.optim.make_optimizers", "nanochat.optim.Muon"), killed_by="muon-keeps-squares")
def memory() -> str:
    one = pupil.taught(1)
    kept = []
    for optimizer in one.state.optimizers:
        weights = [p for group in optimizer.param_groups for p in group["params"]]
        numbers = [v for p in weights for v in optimizer.state[p].values() if v.dim() > 0]
        kept.append(sum(v.numel() for v in numbers) / sum(p.numel() for p in weights))
    check(kept[0], 2.0, "numbers that AdamW keeps for each weight")
    check(kept[1], 1.0, "numbers that Muon keeps for each weight")
    return f"AdamW keeps {kept[0]:.0f} more numbers for every weight that it moves, Muon only {kept[1]:.0f}."


def gradient_of_up(steps: int = 5) -> Tensor:
    """The gradient of the pupil's first widening matrix, ``(4 C, C)``, after some steps."""
    one = pupil.taught(steps)
    one.model(*pupil.batch(one)).backward()
    return one.model.blocks[0].mlp.up.weight.grad


@claim(
    "optim-stretches-evened",
    about="nanochat.optim.orthogonalize",
    killed_by=("muon-without-orthogonalisation", "orthogonalise-once"),
)
def stretches_evened() -> str:
    g = gradient_of_up()
    before, after = torch.linalg.svdvals(g), torch.linalg.svdvals(optim.orthogonalize(g))
    ratio = (before[0] / before[-1]).item()
    check.above(ratio, 20, "the longest stretch of the gradient is many times the shortest")
    check.above(after.min().item(), 0.65, "no stretch is left far below 1")
    check.below(after.max().item(), 1.25, "none is far above 1")
    return (
        "In the gradient the longest stretch is over 20 times the shortest; after `orthogonalize` all lie between "
        "0.65 and 1.25."
    )


@claim(
    "optim-muon-length", about="nanochat.optim.Muon", killed_by=("muon-scale-gone", "muon-without-orthogonalisation")
)
def muon_length() -> str:
    torch.manual_seed(0)
    found = {}
    for name, shape in (("square", (64, 64)), ("tall", (256, 64)), ("wide", (64, 256))):
        for size in (1.0, 1000.0):
            weight = torch.nn.Parameter(torch.zeros(shape))
            weight.grad = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * size
            optim.Muon([weight], lr=0.02).step()
            found[name, size] = torch.linalg.svdvals(weight.detach()).median().item() / 0.02
    for name, expected in (("square", 0.9), ("tall", 1.8), ("wide", 0.9)):
        check.close(
            found[name, 1.0],
            expected,
            f"the middle stretch of a {name} matrix's step, in learning rates",
            abs=0.2 * expected,
        )
        check.close(
            found[name, 1000.0], found[name, 1.0], "a gradient a thousand times as long moves no further", rel=0.01
        )
    return (
        "A gradient a thousand times as long moves a matrix no further; a matrix with four times as many rows as "
        "columns moves twice as far as a square one."
    )


def _share_of_rounds(config: gpt.GPTConfig, tokens: int) -> float:
    """What evening out all stretches adds to the arithmetic of a step; it grows with the third power of the width."""
    small = gpt.GPTConfig.from_depth(1, 64, 8, width=32)
    with FlopCounterMode(display=False) as counter:
        for p in gpt.Block(small, 0).parameters():
            optim.orthogonalize(p.detach())
    of_block = counter.get_total_flops() * (config.n_embd / small.n_embd) ** 3
    return config.n_layer * of_block / (tokens * accounting.flops_per_token(config))


@claim("optim-rounds-cost", about="nanochat.optim.orthogonalize", killed_by="orthogonalise-once")
def rounds_cost() -> str:
    plan, large, tokens = pupil.plan(), gpt.GPTConfig.from_depth(20, 65536, 2048), 524288
    small = _share_of_rounds(plan.model, plan.total_batch_size)
    return (
        f"In the pupil's steps of {plan.total_batch_size} tokens they add {small:.0%} to the arithmetic; in those of a "
        f"model of depth 20 with {tokens:,} tokens, {_share_of_rounds(large, tokens):.1%}."
    )


@claim(
    "optim-duel",
    about=("nanochat.optim.Muon", "nanochat.train.fit"),
    killed_by=("muon-without-orthogonalisation", "learning-rate-zero"),
)
def duel() -> str:
    muon = [trials.late(trials.muon(rate, True)) for rate in trials.MUON_RATES]
    adamw = [trials.late(trials.adamw_alone(rate)) for rate in trials.ADAMW_RATES]
    check.below(min(muon), min(adamw) - 0.1, "Muon at its best rate ends below AdamW at its best")
    return (
        f"Each way was tried with {len(muon)} learning rates for {trials.DUEL_STEPS} steps: Muon at its best rate "
        "ends more than 0.1 nats below AdamW alone at its best."
    )


@claim("optim-rates-and-width", about="nanochat.optim.make_optimizers", killed_by="rates-ignore-width")
def rates_and_width() -> str:
    def rates(width: int) -> list[float]:
        config = gpt.GPTConfig.from_depth(1, vocab_size=64, sequence_len=8, width=width)
        plan = train.Plan(model=config, device_batch_size=1, total_batch_size=8)
        adamw, muon = optim.make_optimizers(gpt.GPT(config), plan)
        return [group["lr"] for group in (*adamw.param_groups, *muon.param_groups)]

    narrow, wide = rates(192), rates(768)
    check.close(narrow[0] / wide[0], 2.0, "a quarter of the width, twice the rate of the embedding", rel=1e-6)
    check(narrow[2], wide[2], "Muon's rate does not depend on the width")
    return (
        f"At width 768 the embedding's rate is {wide[0]:g} and the head's {wide[1]:g}; at width 192 they are "
        f"{narrow[0]:g} and "
        f"{narrow[1]:g}, while Muon keeps {narrow[2]:g}."
    )


def full_rate(plan: train.Plan) -> int:
    """How many steps of a plan are taken at full rate."""
    return sum(optim.lr_multiplier(step, plan) == 1.0 for step in range(plan.num_iterations))


@claim("optim-schedule", about="nanochat.optim.lr_multiplier", killed_by="warmdown-skipped")
def schedule() -> str:
    plan = pupil.plan()
    values = [optim.lr_multiplier(step, plan) for step in range(plan.num_iterations)]
    level = full_rate(plan)
    check.true(all(a >= b for a, b in zip(values, values[1:], strict=False)), "the rates never rise again")
    last = plan.num_iterations - plan.warmdown_steps
    middle = optim.lr_multiplier(last + plan.warmdown_steps // 2, plan)
    return (
        f"Of the pupil's {plan.num_iterations} steps the first {level} are taken at full rate; then the rate falls "
        "evenly, is at "
        f"{middle:.0%} half-way down, and at {values[-1]:.1%} in the last step."
    )


@claim("optim-warmdown-pays", about="nanochat.optim.lr_multiplier", killed_by="warmdown-skipped")
def warmdown_pays() -> str:
    rate = trials.MUON_RATES[-1]
    with_it, without = (trials.held_loss(trials.muon(rate, down)) for down in (True, False))
    check.below(with_it, without - 0.03, "stories that were kept aside surprise less after a warm-down")
    return (
        "The sister's run with Muon at the largest of these rates, repeated without a warm-down, ends with a higher "
        "loss on stories kept aside."
    )


@claim("optim-clip", about="nanochat.train.train_step", killed_by="clip-off")
def clip() -> str:
    found = []
    for limit in (0.0, 0.1):
        one = pupil.new(grad_clip=limit)
        recorder = _Recorder(one.model)
        one.state.optimizers = [recorder]
        train.train_step(one.state)
        found.append(recorder.gradient)
    free, clipped = found
    check.above(free.norm().item(), 0.1, "the gradient is longer than the limit")
    check.close(clipped.norm().item(), 0.1, "it is shortened to the limit", rel=1e-3)
    cosine = torch.nn.functional.cosine_similarity(free, clipped, dim=0).item()
    check.close(cosine, 1.0, "its direction stays", abs=1e-4)
    return "A gradient that is longer than `grad_clip` is shortened to that length and keeps its direction."


@claim("optim-divergence-stops", about="nanochat.train.train_step", killed_by="divergence-unnoticed")
def divergence_stops() -> str:
    one = pupil.taught(3)
    with torch.no_grad():
        one.model.blocks[0].mlp.up.weight[0, 0] = math.nan
    before = one.model.head.weight.clone()
    message = check.raises(
        InputError, lambda: train.train_step(one.state).loss, "a loss that is no number stops the run"
    )
    check.true("lower the learning rates" in message, "the message names the cure")
    check(one.model.head.weight, before, "the weights were not touched")
    return "A loss or a gradient that is no longer a number stops the run with a message, before any weight has moved."


# ---- measuring ------------------------------------------------------------------------------------------------


@claim("measuring-split", about="nanochat.corpora.split_of", killed_by="split-by-length")
def split() -> str:
    training, held = pupil.texts("train"), pupil.texts("val")
    check(len(set(training) & set(held)), 0, "no story stands in both")
    check(len(training) + len(held), pupil.STORIES, "each story stands in one")
    check([corpora.split_of(text) for text in held], ["val"] * len(held), "the text alone decides")
    check.close(len(training) / pupil.STORIES, 0.9, "the share of the training split", abs=0.04)
    return f"Of the pupil's {pupil.STORIES} stories, about nine in ten are for training; the others are kept aside."


@claim("measuring-by-heart", about="nanochat.evaluate.bits_per_byte", killed_by="learning-rate-zero")
def measured_by_heart() -> str:
    rows = trials.by_heart()
    steps, own, others = rows[-1]
    best = min(row[2] for row in rows)
    check.below(own, 0.6, "the four stories are nearly known by heart")
    check.above(others, best + 0.25, "other stories became harder again")
    return (
        f"After {steps} steps on four stories, the pupil needs less than 0.6 bits for a byte of those four. For other "
        "stories it needs about "
        f"{others:.0f} bits, more than it needed early in the training."
    )


@claim("measuring-formula", about="nanochat.evaluate.TextScore", killed_by=("bits-per-token", "nats-per-byte"))
def formula() -> str:
    one = pupil.new()
    held = pupil.texts("val")
    score = evaluate.score_text(one.model, one.tokenizer, held)
    length = score.bytes / score.tokens
    check.close(score.bits_per_byte, 9 / length, "nine bits a token, spread over its bytes", abs=1e-4)
    return (
        f"The new pupil needs {math.log2(one.model.config.vocab_size):.0f} bits for each token, a token holds about "
        f"{length:.1f} bytes on average, "
        f"and so it needs about {score.bits_per_byte:.1f} bits per byte."
    )


@claim("measuring-every-byte-once", about="nanochat.evaluate.score_text", killed_by="long-text-cropped")
def every_byte_once() -> str:
    one = pupil.new()
    text = " ".join(pupil.texts("val")[:5])
    score = evaluate.score_text(one.model, one.tokenizer, [text])
    check.above(len(one.tokenizer.encode(text)), pupil.CONTEXT, "the text is longer than the context")
    check(score.tokens, len(one.tokenizer.encode(text)), "each token is predicted once")
    check(score.bytes, len(text.encode()), "each byte is counted once")
    return "A text longer than the context is cut into rows so that each of its bytes is counted exactly once."


@claim("measuring-specials", about="nanochat.tokenizer.Tokenizer.n_bytes_per_token", killed_by="specials-have-bytes")
def specials() -> str:
    tok = pupil.new().tokenizer
    lengths = tok.n_bytes_per_token()
    check(lengths[tok.special("<|bos|>")], 0, "the special token <|bos|> holds no text")
    check(lengths[-len(SPECIAL_TOKENS) :], [0] * len(SPECIAL_TOKENS), "nor does any other")
    check.above(min(lengths[: -len(SPECIAL_TOKENS)]), 0, "every other token has at least a byte")
    return "Special tokens such as `<|bos|>` stand for no text, so they count as 0 bytes."


@claim("measuring-trap", about="nanochat.evaluate.TextScore", killed_by="bits-per-token")
def trap() -> str:
    scores = trials.trap()
    small, large = (scores[V] for V in trials.TRAP_VOCABULARIES)
    check.below(small.loss, large.loss - 0.3, "the smaller vocabulary has the lower loss for each token")
    check.above(small.bits_per_byte, large.bits_per_byte + 1, "and needs far more bits for each byte")
    return (
        f"After the same {trials.TRAP_STEPS} steps the pupil with 320 tokens has the lower loss, by more "
        "than 0.3 nats a token. Yet it needs over one bit more "
        "for each byte than the pupil with 1,024 tokens."
    )


@claim("measuring-xz", about="nanochat.evaluate.xz_bits_per_byte", killed_by="yardstick-in-bytes")
def yardstick() -> str:
    held, training = pupil.texts("val"), pupil.texts("train")
    one = pupil.whole()
    more = sum(map(len, training)) / sum(map(len, held))
    mine = evaluate.bits_per_byte(one.model, one.tokenizer, held)
    alone, many = evaluate.xz_bits_per_byte(held), evaluate.xz_bits_per_byte(training)
    check.close(alone, 2.0, "xz alone on the held-out stories", abs=0.3)
    check.below(mine, 1.7, "the pupil on the same stories")
    check.below(many, 1.2, "xz with more stories to copy from")
    check.above(mine, many + 0.2, "which is fewer than the pupil needs")
    return (
        "On the held-out stories xz needs about 2 bits per byte and the trained pupil fewer than 1.7; on the training "
        f"stories, which are about {more:.0f} times as long, xz needs hardly more than 1."
    )


# ---- the budget -----------------------------------------------------------------------------------------------


@claim("budget-flops", about="nanochat.accounting.flops_per_token", killed_by="embedding-counted-as-work")
def flops() -> str:
    config = pupil.plan().model
    n = accounting.count_parameters(config)
    got = accounting.flops_per_token(config)
    reading = 12 * config.n_layer * config.n_embd * config.sequence_len
    check(got, 6 * (n.matrices + n.head) + reading, "6 operations a weight and the attention")
    return (
        f"For each token that it learns from, the pupil does {got:,} operations: 6 for each of the "
        f"{n.matrices + n.head:,} weights in matrices "
        f"and head, and {reading:,} for attention."
    )


@claim(
    "budget-twenty", about=("nanochat.accounting.compute_optimal_tokens", "nanochat.train.Plan"), killed_by="ratio-ten"
)
def twenty() -> str:
    plan = train.Plan.from_depth(20, vocab_size=65536, sequence_len=2048, device_batch_size=32, total_batch_size=524288)
    n = accounting.count_parameters(plan.model).total
    tokens = accounting.compute_optimal_tokens(plan.model)
    run = replace(plan, num_iterations=plan.compute_optimal_iterations)
    return (
        f"A model of depth 20 with {plan.model.vocab_size:,} tokens has {n / 1e6:.0f} million weights and deserves "
        f"{tokens / 1e9:.1f} billion tokens: "
        f"{run.num_iterations:,} steps of {run.total_batch_size:,} tokens, {run.flops:.1e} operations, "
        f"a number of {len(str(run.flops))} digits."
    )


@claim("budget-pupil", about="nanochat.accounting.compute_optimal_tokens", killed_by="ratio-ten")
def pupil_budget() -> str:
    plan = pupil.plan()
    tokens = accounting.compute_optimal_tokens(plan.model)
    return (
        f"The pupil reads {plan.tokens:,} tokens in its {plan.num_iterations} steps; by the rule it would deserve "
        f"{tokens:,}, about "
        f"{tokens / plan.tokens:.0f} times as many."
    )


@claim(
    "budget-precision",
    about=("nanochat.train.TrainState.start", "nanochat.optim.make_optimizers"),
    killed_by=("weights-in-bfloat16", "muon-in-float32"),
)
def precision() -> str:
    one = pupil.new(runtime=Runtime(torch.device("cpu"), torch.bfloat16))
    inside: list[torch.dtype] = []
    one.model.blocks[0].mlp.register_forward_hook(lambda module, args, out: inside.append(out.dtype))
    train.train_step(one.state)
    check(inside[0], torch.bfloat16, "what flows through the blocks is bfloat16")
    check(one.state.optimizers[1].dtype, torch.bfloat16, "Muon evens out stretches in bfloat16")
    check({p.dtype for p in one.model.parameters()}, {torch.float32}, "the weights stay in float32")
    remembered = {v.dtype for o in one.state.optimizers for s in o.state.values() for v in s.values() if v.dim() > 0}
    check(remembered, {torch.float32}, "and so does what the optimizers remember")
    return (
        "With `bfloat16` chosen, what flows through the blocks is bfloat16, and Muon evens out its "
        "stretches in it, while the weights and all that the "
        "optimizers remember stay in float32."
    )


@claim("budget-resume", about="nanochat.checkpoint.resume", killed_by="optimizers-forget")
def resumed() -> str:
    unbroken = pupil.taught(6)
    broken = pupil.taught(3)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save_checkpoint(broken.state, folder)
        state = checkpoint.resume(folder, pupil.new().state.loader, pupil.CPU)
    train.fit(state, until=6, progress=False)
    got, expected = ([m.loss for m in s.history[3:]] for s in (state, unbroken.state))
    check(got, expected, "the losses after the break are those of the unbroken run, to the last digit")
    for mine, theirs in zip(state.model.parameters(), unbroken.model.parameters(), strict=True):
        check(mine, theirs, "the weights are those of the unbroken run")
    return (
        "A pupil that is saved after 3 steps, loaded again and trained for 3 more has, digit for digit, the "
        "weights of one that was never interrupted."
    )
