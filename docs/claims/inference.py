"""What the chapters on inference and on the pipeline say about the code, and the mutants that must make it false."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from docs._ext.claims import check, claim, mutant
from docs._ext.mutation import edited, swapped
from docs.pictures import bench
from nanochat import interop, stages
from nanochat.accounting import cache_bytes
from nanochat.engine import KVCache
from nanochat.gpt import GPTConfig

STREAM = "nanochat.engine.Engine.stream"
STEPS = "nanochat.engine.Engine._steps"
PROBABILITIES = "nanochat.engine.next_token_probabilities"


# ---- ways to break the package -------------------------------------------------------------------------------


@mutant("greedy-takes-worst", "temperature 0 takes the token with the lowest score")
def greedy_takes_worst() -> AbstractContextManager[object]:
    return edited(PROBABILITIES, "logits.argmax(-1, keepdim=True)", "logits.argmin(-1, keepdim=True)")


@mutant("seed-ignored", "every seed is seed 0")
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


@mutant("cache-never-made", "the engine computes everything again, whatever it was asked")
def cache_never_made() -> AbstractContextManager[object]:
    return edited(STEPS, "if use_cache:", "if False:")


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


@claim("infer-seed", about=STREAM, killed_by="seed-ignored")
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
        f"{counted / 2**20:.0f} MiB."
    )


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
