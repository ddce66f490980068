"""What the chapters on inference and on the pipeline say about the code, and the mutants that must make it false."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from docs._ext.claims import check, claim, mutant
from docs._ext.mutation import edited, swapped
from docs.pictures import bench, storyteller
from nanochat import engine, interop, stages
from nanochat.accounting import cache_bytes, count_parameters, flops_per_token
from nanochat.common import InputError
from nanochat.engine import KVCache
from nanochat.gpt import GPTConfig

STREAM = "nanochat.engine.Engine.stream"
STEPS = "nanochat.engine.Engine._steps"
PROBABILITIES = "nanochat.engine.next_token_probabilities"


# ---- ways to break the package -------------------------------------------------------------------------------


@mutant("greedy-takes-worst", "temperature 0 takes the token with the lowest score")
def greedy_takes_worst() -> AbstractContextManager[object]:
    return edited(PROBABILITIES, "logits.argmax(-1, keepdim=True)", "logits.argmin(-1, keepdim=True)")


@mutant("engine-seed-ignored", "every seed is seed 0")
def seed_ignored() -> AbstractContextManager[object]:
    return edited(STREAM, ".manual_seed(seed)", ".manual_seed(0)")


@mutant("prompt-read-for-each", "the prompt is read once for each sample")
def prompt_read_for_each() -> AbstractContextManager[object]:
    return edited(
        STEPS,
        *(
            "logits = model(rows, cache=cache)",
            "[model(rows) for _ in range(1, num_samples)]; logits = model(rows, cache=cache)",
        ),
    )


@mutant("stops-at-bos-only", "the end of an answer does not end a row")
def stops_at_bos_only() -> AbstractContextManager[object]:
    return edited(
        "nanochat.engine.Engine.default_stop",
        *('(self.tokenizer.bos, self.tokenizer.special("<|assistant_end|>"))', "(self.tokenizer.bos,)"),
    )


@mutant("draw-always-best", "the likeliest token is taken, whatever the dice say")
def draw_always_best() -> AbstractContextManager[object]:
    return edited("nanochat.engine._draw", "p.argmax(-1) if best else", "p.argmax(-1) if True else")


@mutant("scores-count-double", "scores count double, whatever the temperature")
def scores_count_double() -> AbstractContextManager[object]:
    return edited(PROBABILITIES, "logits / temperature", "2 * logits / temperature")


@mutant("draw-flat", "every token that may be drawn is drawn equally often")
def draw_flat() -> AbstractContextManager[object]:
    return edited("nanochat.engine._draw", "torch.multinomial(p,", "torch.multinomial((p > 0).float(),")


@mutant("temperature-below-zero", "scores are divided by minus the temperature")
def temperature_below_zero() -> AbstractContextManager[object]:
    return edited(PROBABILITIES, "logits / temperature", "logits / -temperature")


@mutant("top-k-keeps-worst", "top-k keeps the tokens with the lowest scores")
def top_k_keeps_worst() -> AbstractContextManager[object]:
    return edited(PROBABILITIES, "torch.topk(logits, top_k)", "torch.topk(logits, top_k, largest=False)")


@mutant("room-one-too-many", "the engine finds room for one token more than there is")
def room_one_too_many() -> AbstractContextManager[object]:
    return edited(STREAM, "room = context - len(tokens)", "room = context - len(tokens) + 1")


@mutant("first-row-ends-all", "all rows end when one of them has ended")
def first_row_ends_all() -> AbstractContextManager[object]:
    return edited(STEPS, "not any(state.active for state in states)", "not all(state.active for state in states)")


@mutant("dice-of-the-program", "all answers of a program throw the same dice in turn")
def dice_of_the_program() -> AbstractContextManager[object]:
    return edited(STREAM, "torch.Generator(device=model.device).manual_seed(seed)", "torch.default_generator")


@mutant("cache-never-made", "the engine computes everything again, whatever it was asked")
def cache_never_made() -> AbstractContextManager[object]:
    return edited(STEPS, "if use_cache:", "if False:")


@mutant("cache-claims-context", "the engine claims a cache for the whole context, whatever it was asked")
def cache_claims_context() -> AbstractContextManager[object]:
    return edited(STEPS, "len(tokens) + budget", "model.config.sequence_len")


@mutant("cache-holds-all-heads", "the cache has room for the keys and values of every query head")
def cache_holds_all_heads() -> AbstractContextManager[object]:
    return edited("nanochat.engine.KVCache.__init__", "config.n_kv_head", "config.n_head")


@mutant("cache-drops-silently", "positions that do not fit into the cache are dropped without a word")
def cache_drops_silently() -> AbstractContextManager[object]:
    return edited(
        "nanochat.engine.KVCache.extend",
        *("if end > self.capacity:", "if False:"),
        *("self.length : end] = k", "self.length :] = k[:, : self.capacity - self.length]"),
        *("self.length : end] = v", "self.length :] = v[:, : self.capacity - self.length]"),
    )


@mutant("copied-notes-empty", "the copies of a cache begin at position 0 again")
def copied_notes_empty() -> AbstractContextManager[object]:
    return edited("nanochat.engine.KVCache.repeat", "copy.length = self.length", "copy.length = 0")


@mutant("cache-forgets-values", "the accounting counts keys and leaves out values")
def cache_forgets_values() -> AbstractContextManager[object]:
    return edited("nanochat.accounting.cache_bytes", "2 * config.n_layer", "config.n_layer")


@mutant("stages-by-name", "the stages are listed by name and not in the order of the work")
def stages_by_name() -> AbstractContextManager[object]:
    return edited("nanochat.stages.stages", "[name for name in ORDER if name in found]", "[]")


@mutant("export-without-head", "the export forgets the output head")
def export_without_head() -> AbstractContextManager[object]:
    return swapped("nanochat.interop.NAMES", interop.NAMES[:-1])


# ---- choosing a token ----------------------------------------------------------------------------------------


@claim("infer-one-call-a-token", about=STREAM, killed_by="prompt-read-for-each")
def infer_one_call() -> str:
    """Count how often the model is asked."""
    writer, calls = bench.writer(), []
    writer.model.register_forward_pre_hook(lambda *_: calls.append(1))
    tokens = writer.generate([1, 2, 3], num_samples=2, max_tokens=10, stop=())
    check([len(row) for row in tokens], [10, 10], "two rows of ten tokens")
    return f"To continue a text by 10 tokens, in 2 versions at once, the engine calls the model {len(calls)} times."


@claim("infer-temperature", about=PROBABILITIES, killed_by=("temperature-ignored", "temperature-multiplied"))
def infer_temperature() -> str:
    """The probability of the best of four tokens."""
    best = {t: bench.kite(t)[0] for t in (0.5, 1.0, 2.0)}
    check.true(best[0.5] > best[1.0] > best[2.0], "the colder, the surer")
    return (
        f"At temperature 1 the first token has a probability of {best[1.0]:.2f}; at 0.5 it has {best[0.5]:.2f}, "
        f"and at 2 it has {best[2.0]:.2f}."
    )


@claim("infer-greedy", about=("nanochat.engine.sample", PROBABILITIES), killed_by="greedy-takes-worst")
def infer_greedy() -> str:
    """Write with temperature 0 and look up the scores at each place."""
    writer = bench.writer()
    tokens = writer.generate([5], max_tokens=20, temperature=0, seed=1, stop=())[0]
    with torch.no_grad():
        scores = writer.model(torch.tensor([[5, *tokens[:-1]]]))[0]
    check(tokens, scores.argmax(dim=-1).tolist(), "each token is the one with the highest score")
    again = writer.generate([5], max_tokens=20, temperature=0, seed=2, stop=())[0]
    check(again, tokens, "the seed does not matter")
    return "At temperature 0, each of 20 tokens is the one with the highest score, and another seed changes nothing."


@claim("infer-top-k", about=PROBABILITIES, killed_by="top-k-ignored")
def infer_top_k() -> str:
    """Keep two of four tokens."""
    kept = bench.kite(1.0, top_k=2)
    check([p > 0 for p in kept], [True, True, False, False], "the two best stay")
    check.close(sum(kept), 1.0, "what is left sums to 1", abs=1e-6)
    return f"With `top_k=2` only the two best tokens stay, with probabilities of {kept[0]:.2f} and {kept[1]:.2f}."


@claim("infer-seed", about=STREAM, killed_by="engine-seed-ignored")
def infer_seed() -> str:
    """Write twice with one seed and once with another."""
    writer = bench.writer()
    first, again, other = (writer.generate([5], max_tokens=20, seed=seed, stop=())[0] for seed in (1, 1, 2))
    check(again, first, "the same seed, the same tokens")
    check.true(other != first, "another seed, other tokens")
    return "Ask twice with seed 1, and the 20 tokens are the same; ask with seed 2, and they are others."


@claim("infer-prefill", about=STREAM, killed_by="prompt-read-for-each")
def infer_prefill() -> str:
    """Count the positions that are computed for the first token of five samples."""
    once = bench.positions(n_prompt=12, n_new=1, num_samples=5)
    return f"For 5 continuations of a prompt of 12 tokens, the model reads {once} tokens of prompt and not 60."


@claim("infer-stop", about="nanochat.engine.Engine.default_stop", killed_by="stops-at-bos-only")
def infer_stop() -> str:
    """Look up the names of the ids that end a row."""
    writer = bench.writer()
    names = {token: name for name, token in writer.tokenizer.special_ids.items()}
    return f"Unless you say otherwise, a row ends with {' or '.join(f'`{names[t]}`' for t in writer.default_stop())}."


@claim("infer-circles", about=("nanochat.engine.sample", STREAM), killed_by="draw-always-best")
def infer_circles() -> str:
    """Count the different runs of four tokens in what the pupil writes."""
    greedy, drawn = storyteller.written(0.0), storyteller.written(1.0)
    check.below(storyteller.different(greedy), 0.5, "the share of different runs, greedily")
    check.above(storyteller.different(drawn), 0.9, "the share of different runs, by chance")
    return (
        f"In {len(greedy)} tokens that the pupil writes greedily, fewer than half of the runs of four tokens are "
        "different "
        f"ones; in {len(drawn)} that it draws by chance, more than nine in ten are."
    )


@claim("infer-pairs", about="nanochat.engine.sample", killed_by="greedy-takes-worst")
def infer_pairs() -> str:
    """Compute the probability of every pair of next tokens."""
    pairs, greedy = storyteller.all_pairs(5)
    best = pairs.argmax().item()
    V = pairs.size(0)
    check.true(best != greedy[0] * V + greedy[1], "another pair is the likeliest")
    ranks = (pairs > pairs[greedy]).sum().item()
    check.below(ranks, 100, "pairs that are likelier than the greedy one: it is a good pair all the same")
    return (
        f"For a small model with random weights we computed all {pairs.numel():,} pairs of next tokens: the greedy "
        "pair is "
        "not the likeliest one."
    )


@claim("infer-shares", about="nanochat.engine.sample", killed_by=("draw-always-best", "draw-flat"))
def infer_shares() -> str:
    """Draw many times with the scores of the four tokens."""
    times = 10_000
    rows = torch.tensor([[2.0, 1.0, 0.0, -1.0]]).repeat(times, 1)
    drawn = engine.sample(rows, generator=torch.Generator().manual_seed(1))
    for token, share in enumerate(bench.kite(1.0)):
        check.close((drawn == token).float().mean().item(), share, f"the share of token {token}", abs=0.02)
    return f"In {times:,} draws with these four scores, each token comes as often as its share says, to within 0.02."


@claim("infer-order", about=PROBABILITIES, killed_by="temperature-below-zero")
def infer_order() -> str:
    """Sort the four tokens at several temperatures."""
    temperatures = (0.2, 0.5, 1.0, 2.0, 5.0)
    for temperature in temperatures:
        shares = bench.kite(temperature)
        check(sorted(range(4), key=lambda token: -shares[token]), [0, 1, 2, 3], f"the order at {temperature}")
    return (
        f"At each of {len(temperatures)} temperatures from {temperatures[0]} to {temperatures[-1]:g} the four "
        "tokens stay "
        "in the same order."
    )


@claim("infer-pupil-temperature", about=PROBABILITIES, killed_by=("temperature-ignored", "temperature-multiplied"))
def infer_pupil_temperature() -> str:
    """The pupil's mean probability of its favourite."""
    check.above(storyteller.favourite(0.5), 0.5, "at 0.5")
    check.below(storyteller.favourite(1.0), 0.4, "at 1")
    check.below(storyteller.favourite(2.0), 0.1, "at 2")
    return (
        "At temperature 0.5 the pupil's favourite has more than half of the probability on average, at 1 less than "
        "0.4, "
        "and at 2 less than 0.1."
    )


@claim("infer-tail", about=PROBABILITIES, killed_by="scores-count-double")
def infer_tail() -> str:
    """Add up what lies beyond the best fifty."""
    tail = storyteller.left_out(50)
    check.above(tail, 0.055, "the share of all others")
    check.below(tail, 0.12, "and it is not large")
    others = storyteller.scores().size(-1) - 50
    return (
        f"At the average place of a story the pupil gives more than 0.05 to the {others} tokens that are not among "
        "its best "
        "50; over 100 tokens that makes more than 5 such draws."
    )


@claim("infer-either-first", about=PROBABILITIES, killed_by=("top-k-ignored", "temperature-ignored"))
def infer_either_first() -> str:
    """Cut before the temperature and after it."""
    scores = bench.vectors(1, 64)
    both = engine.next_token_probabilities(scores, temperature=0.7, top_k=5)
    warm = (scores / 0.7).softmax(dim=-1)
    kept = warm.topk(5)
    later = torch.zeros_like(warm).scatter_(-1, kept.indices, kept.values / kept.values.sum())
    check.close(both, later, "the shares, cut after the temperature", abs=1e-6)
    return "It makes no difference whether the best are picked before the temperature or after it."


@claim("infer-top-one", about=PROBABILITIES, killed_by=("top-k-ignored", "top-k-keeps-worst"))
def infer_top_one() -> str:
    """Leave one token."""
    scores = bench.vectors(3, 64)
    best = engine.next_token_probabilities(scores, temperature=0)
    for temperature in (0.5, 1.0, 3.0):
        check.close(engine.next_token_probabilities(scores, temperature, top_k=1), best, f"at {temperature}", abs=1e-6)
    return "with `top_k=1` every temperature gives the same as temperature 0."


@claim("infer-own-dice", about=STREAM, killed_by="dice-of-the-program")
def infer_own_dice() -> str:
    """Write one answer by itself, and one with another in between."""
    writer = bench.writer()
    alone = writer.generate([5], max_tokens=10, seed=1, stop=())[0]
    first, other = (writer.stream([5], max_tokens=10, seed=seed, stop=()) for seed in (1, 2))
    check([step.tokens[0] for step, _ in zip(first, other, strict=True)], alone, "the first answer")
    return "A second answer, written in between with other dice, changes nothing about the first."


@claim("infer-room", about=STREAM, killed_by="room-one-too-many")
def infer_room() -> str:
    """Ask for as many tokens as fit, and for one more."""
    writer, prompt = bench.writer(), list(range(1, 13))
    context = writer.model.config.sequence_len
    room = context - len(prompt)
    calls: list[int] = []
    writer.model.register_forward_pre_hook(lambda *_: calls.append(1))
    check.raises(InputError, lambda: writer.stream(prompt, max_tokens=room + 1), "one more is refused")
    check(calls, [], "calls of the model until then")
    written = len(writer.generate(prompt, stop=())[0])
    check(written, room, "written until the context is full")
    return (
        f"In a context of {context} tokens, a prompt of {len(prompt)} leaves room for {written}, and a request for "
        f"{written + 1} is refused before anything is computed."
    )


@claim("infer-rows-end", about=STREAM, killed_by="first-row-ends-all")
def infer_rows_end() -> str:
    """Let four rows end at different steps."""
    ends = (2, 4, 6, 8)
    counted = [step.active for step in storyteller.rows_that_end(ends)]
    check([sum(column) for column in zip(*counted, strict=True)], list(ends), "tokens that count in each row")
    return (
        f"Of {len(ends)} rows that end after {', '.join(map(str, ends[:-1]))} and {ends[-1]} tokens, the engine "
        "yields "
        f"{len(counted)} steps, and says at each which rows still count."
    )


# ---- the cache -----------------------------------------------------------------------------------------------


@claim("cache-past-stays", about=("nanochat.gpt.GPT.stream", "nanochat.engine.KVCache"), killed_by="attend-sees-all")
def cache_past_stays() -> str:
    """Compare the keys and values of the first tokens, read alone and read with more behind them."""
    model, tokens = bench.lively(depth=4), bench.row(12)
    caches = [KVCache(model.config, 1, n) for n in (6, 12)]
    with torch.no_grad():
        for cache in caches:
            model(tokens[:, : cache.capacity], cache=cache)
    for short, long in ((caches[0].keys, caches[1].keys), (caches[0].values, caches[1].values)):
        check.close(long[:, :, :6], short, "what is kept of the first six tokens", abs=1e-4)
    return "Add 6 tokens to a row of 6: no key and no value of the first 6 changes by more than 0.0001, in any layer."


@claim(
    "cache-keys-turned",
    about=("nanochat.gpt.CausalSelfAttention.forward", "nanochat.engine.KVCache.extend"),
    killed_by=("only-queries-rotated", "values-rotated"),
)
def cache_keys_turned() -> str:
    """Read one token twice in a row and look at what it leaves in the first layer."""
    model = bench.lively()
    cache = KVCache(model.config, 1, 2)
    with torch.no_grad():
        model(torch.tensor([[5, 5]]), cache=cache)
    (first, second), (one, other) = cache.keys[0, 0], cache.values[0, 0]
    check.above((first - second).abs().max().item(), 0.1, "how far apart the keys are")
    check.close(one, other, "the values", abs=1e-5)
    return "The same token at two places leaves two different keys in the first layer, and twice the same value."


@claim(
    "cache-same-text",
    about=(STREAM, "nanochat.engine.KVCache.extend"),
    killed_by=("cache-overwrites", "cache-position-lost"),
)
def cache_same_text() -> str:
    """Write with and without a cache."""
    writer = bench.writer()
    settings = {"max_tokens": 50, "stop": (), "temperature": 0}
    kept, anew = (writer.generate([5, 6, 7], use_cache=use, **settings)[0] for use in (True, False))
    check(kept, anew, "the same tokens")
    return f"With the cache and without it, the engine writes the same {len(kept)} tokens."


@claim("cache-work", about=STREAM, killed_by="cache-never-made")
def cache_work() -> str:
    """Count the positions that go through the model."""
    kept, anew = (bench.positions(1, 100, use_cache=use) for use in (True, False))
    return (
        f"To write 100 tokens after a prompt of 1, the model computes {kept:,} positions with the cache and {anew:,} "
        "without it."
    )


@claim(
    "cache-weight",
    about=("nanochat.accounting.cache_bytes", "nanochat.engine.KVCache"),
    killed_by="cache-forgets-values",
)
def cache_weight() -> str:
    """Weigh a real cache and compare it with the accounting."""
    config = GPTConfig.from_depth(4)
    cache = KVCache(config, 1, 512)
    real = cache.keys.nbytes + cache.values.nbytes
    counted = cache_bytes(config, 1, 512)
    check(counted, real, "what is counted is what the tensors take")
    return (
        f"At depth 4, each token costs {counted // 512:,} bytes of cache, and a full context of 512 tokens "
        f"{counted / 1e6:.1f} megabytes."
    )


@claim("cache-operations", about=STREAM, killed_by="cache-never-made")
def cache_operations() -> str:
    """Let PyTorch count the operations in the matrices."""
    kept, anew = (storyteller.operations(100, use_cache=use) for use in (True, False))
    check.close(anew / kept, 50.5, "as many times as there are positions", rel=1e-6)
    return (
        f"For these 100 tokens it counts {kept / 1e6:.0f} million operations in the matrices with the cache and "
        f"{anew / 1e6:,.0f} million without: {anew / kept:.1f} times as many."
    )


@claim("cache-crossing", about="nanochat.accounting.flops_per_token", killed_by="attention-costs-nothing")
def cache_crossing() -> str:
    """Find the length at which reading costs as much as the matrices, from the count of operations."""
    config = GPTConfig.from_depth(20)
    matrices = 6 * count_parameters(config).matrices
    reading = flops_per_token(config, 1) - flops_per_token(config, 0)
    check.above(reading, 0, "operations for each position that is read")
    return (
        f"At depth {config.n_layer}, with {config.n_embd:,} channels, reading the cache costs as much as the "
        "matrices of "
        f"the blocks once it holds {matrices // reading:,} tokens."
    )


@claim(
    "cache-outgrows",
    about=("nanochat.accounting.cache_bytes", "nanochat.accounting.count_parameters"),
    killed_by="cache-forgets-values",
)
def cache_outgrows() -> str:
    """Divide the bytes of the weights by those of a token."""
    config = GPTConfig.from_depth(20)
    weights = 2 * count_parameters(config).total
    tokens = -(-weights // cache_bytes(config, 1, 1, torch.bfloat16))
    check.true(cache_bytes(config, 1, tokens, torch.bfloat16) >= weights, "the cache is as large as the weights")
    check.true(cache_bytes(config, 1, tokens - 1, torch.bfloat16) < weights, "and with one token less it is not")
    return (
        f"At depth {config.n_layer}, with a vocabulary of {config.vocab_size:,}, the cache of a single talk outgrows "
        f"the weights of the whole model at {tokens:,} tokens, both in bfloat16."
    )


@claim("cache-grouped", about="nanochat.engine.KVCache", killed_by="cache-holds-all-heads")
def cache_grouped() -> str:
    """Weigh two caches that differ in the number of key/value heads."""
    configs = [GPTConfig.from_depth(2, sequence_len=64, width=64, n_kv_head=heads) for heads in (1, 4)]
    caches = [KVCache(config, 1, 64) for config in configs]
    small, large = (cache.keys.nbytes + cache.values.nbytes for cache in caches)
    check(4 * small, large, "four times the heads, four times the bytes")
    return (
        f"With {configs[0].n_kv_head} key/value head in place of {configs[1].n_kv_head}, the real cache of a model "
        "takes a "
        f"quarter of the bytes, {small:,} for 64 tokens in place of {large:,}."
    )


@claim("cache-rows-alone", about=("nanochat.engine.KVCache.repeat", STREAM), killed_by="copied-notes-empty")
def cache_rows_alone() -> str:
    """Write in five rows, and in one without a cache."""
    writer, prompt = bench.writer(), [5, 6, 7]
    settings = {"max_tokens": 20, "temperature": 0, "stop": ()}
    alone = writer.generate(prompt, use_cache=False, **settings)
    rows = writer.generate(prompt, 5, **settings)
    check(rows, 5 * alone, "each row is what one row alone is")
    return f"Each of {len(rows)} rows gets, at temperature 0, the {len(alone[0])} tokens that it gets alone."


@claim("cache-claimed", about=STEPS, killed_by="cache-claims-context")
def cache_claimed() -> str:
    """Look at the cache that comes with each call."""
    writer, seen = bench.writer(), set()
    writer.model.register_forward_pre_hook(lambda *call: seen.add(call[-1]["cache"].capacity), with_kwargs=True)
    writer.generate(list(range(1, 13)), max_tokens=20, stop=())
    (room,) = seen
    return f"For 20 tokens behind a prompt of 12, it claims room for {room} positions."


@claim("cache-full", about="nanochat.engine.KVCache.extend", killed_by="cache-drops-silently")
def cache_full() -> str:
    """Put three positions into a cache of two."""
    model = bench.lively()
    cache = KVCache(model.config, 1, 2)
    said = check.raises(InputError, lambda: model(bench.row(3), cache=cache), "three positions do not fit")
    check.true("make it larger or drop the oldest tokens" in said, "what the message advises")
    advice = "to make the cache larger or to drop the oldest tokens"
    return f"A position that does not fit is refused, with the advice {advice}."


# ---- the pipeline --------------------------------------------------------------------------------------------


@claim("pipeline-stages", about="nanochat.stages.stages", killed_by="stages-by-name")
def pipeline_stages() -> str:
    """List the commands."""
    names = list(stages.stages())
    return f"There are {len(names)} stages: {', '.join(f'`{name}`' for name in names)}."


@claim("pipeline-export", about="nanochat.interop.weight_names", killed_by="export-without-head")
def pipeline_export() -> str:
    """Compare the table of names with the weights of a model."""
    ours, theirs = zip(*interop.weight_names(2), strict=True)
    check(sorted(ours), sorted(bench.lively(depth=2).state_dict()), "every weight has a name over there")
    check(len(set(theirs)), len(ours), "and a name of its own")
    return f"A model of depth 2 has {len(ours)} matrices, and the export has a name for each of them."
