"""Known ways to break the model and the engine, shared by the chapters. A claim must fall under those that it names.

A chapter's own mutants stand in the chapter's file. See ``docs/_ext/mutation.py`` for ``edited`` and ``swapped``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager

from docs._ext.claims import mutant
from docs._ext.mutation import edited


@mutant("mask-off-by-one", "each position may read one position of its future")
def mask_off_by_one() -> AbstractContextManager[object]:
    return edited("nanochat.gpt.causal_mask", "[None, :] <= last_visible", "[None, :] <= last_visible + 1")


@mutant("rotation-reversed", "queries and keys are turned counterclockwise")
def rotation_reversed() -> AbstractContextManager[object]:
    return edited(
        "nanochat.gpt.apply_rotary", "a * cos + b * sin, b * cos - a * sin", "a * cos - b * sin, b * cos + a * sin"
    )


@mutant("rotation-at-one-speed", "every pair turns by one radian a token")
def rotation_at_one_speed() -> AbstractContextManager[object]:
    return edited("nanochat.gpt.rotary_tables", "theta ** (-torch", "1.0 ** (-torch")


@mutant("no-softcap", "the logits are not bent")
def no_softcap() -> AbstractContextManager[object]:
    return edited("nanochat.gpt.soft_cap", "return cap * torch.tanh(z / cap)", "return z")


@mutant("softcap-clips", "the logits are cut off at the bound instead of bent")
def softcap_clips() -> AbstractContextManager[object]:
    return edited("nanochat.gpt.soft_cap", "cap * torch.tanh(z / cap)", "z.clamp(-cap, cap)")


@mutant("relu-for-relu2", "the MLP does not square what the ReLU lets through")
def relu_for_relu2() -> AbstractContextManager[object]:
    return edited("nanochat.gpt.MLP.forward", ".relu().square()", ".relu()")


@mutant("square-for-relu2", "the MLP squares also what is negative")
def square_for_relu2() -> AbstractContextManager[object]:
    return edited("nanochat.gpt.MLP.forward", ".relu().square()", ".square()")


@mutant("mlp-twice-as-wide", "the MLP is twice as wide inside as outside")
def mlp_twice_as_wide() -> AbstractContextManager[object]:
    return edited(
        "nanochat.gpt.MLP.__init__",
        *("Linear(config.n_embd, 4 *", "Linear(config.n_embd, 2 *"),
        *("Linear(4 * config.n_embd, ", "Linear(2 * config.n_embd, "),
    )


@mutant("no-norm", "vectors are not normalised, anywhere")
def no_norm() -> AbstractContextManager[object]:
    return edited(
        "nanochat.gpt.rms_norm", "return F.rms_norm(x, (x.size(-1),), eps=torch.finfo(torch.float32).eps)", "return x"
    )


@mutant("norm-by-sum", "the channels are divided by the root of their sum of squares and not of its mean")
def norm_by_sum() -> AbstractContextManager[object]:
    return edited("nanochat.gpt.rms_norm", "eps=torch.finfo(torch.float32).eps)", "eps=1.2e-7) * x.size(-1) ** -0.5")


@mutant("stream-overwritten", "a block replaces the stream instead of adding to it")
def stream_overwritten() -> AbstractContextManager[object]:
    return edited(
        "nanochat.gpt.Block.forward",
        *("x = x + self.attention(", "x = self.attention("),
        *("return x + self.mlp(", "return self.mlp("),
    )


@mutant("no-last-norm", "the head reads a stream that is not normalised")
def no_last_norm() -> AbstractContextManager[object]:
    return edited("nanochat.gpt.GPT.stream", "return rms_norm(x)", "return x")


@mutant("embedding-not-normed", "the embedding enters the first block as it is")
def embedding_not_normed() -> AbstractContextManager[object]:
    return edited(
        "nanochat.gpt.GPT.stream", "rms_norm(self.embed(tokens).to(self.compute_dtype))", "self.embed(tokens)"
    )


@mutant("cache-overwrites", "every new position is written over the first one of the cache")
def cache_overwrites() -> Iterator[None]:
    first = ("self.keys[layer, :, self.length : end] = k", "self.keys[layer, :, : k.size(1)] = k")
    # What is never written holds zeros here, and not whatever the memory held before: that may be no number at all.
    empty = ("self.keys = torch.empty(", "self.keys = torch.zeros(")
    with edited("nanochat.engine.KVCache.extend", *first), edited("nanochat.engine.KVCache.__init__", *empty):
        yield


@mutant("cache-position-lost", "with a cache, every token is rotated as if it were the first")
def cache_position_lost() -> AbstractContextManager[object]:
    return edited(
        "nanochat.gpt.GPT.stream",
        "self.cos[start:end], self.sin[start:end]",
        "self.cos[: end - start], self.sin[: end - start]",
    )


@mutant("temperature-ignored", "the temperature changes nothing")
def temperature_ignored() -> AbstractContextManager[object]:
    return edited(
        "nanochat.engine.next_token_probabilities", "torch.softmax(logits / temperature,", "torch.softmax(logits,"
    )


@mutant("temperature-multiplied", "the scores are multiplied by the temperature")
def temperature_multiplied() -> AbstractContextManager[object]:
    return edited("nanochat.engine.next_token_probabilities", "logits / temperature", "logits * temperature")


@mutant("top-k-ignored", "every token stays in the game, whatever top_k says")
def top_k_ignored() -> AbstractContextManager[object]:
    return edited(
        "nanochat.engine.next_token_probabilities", "if top_k is not None and top_k <", "if top_k == -1 and top_k <"
    )
