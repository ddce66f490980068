"""Measure the speed beside public peers: ``make bench``.

Ours and the peer take turns in one process, so that a busy machine slows both; the medians are printed, with their
ratio. The numbers depend on the machine and its load; nothing here passes or fails.
"""

from __future__ import annotations

import itertools
import os
import platform
import statistics
import time
from collections.abc import Callable

import torch

from nanochat.common import Runtime
from nanochat.corpora import prose_corpus
from nanochat.engine import Engine
from nanochat.gpt import GPT, GPTConfig
from nanochat.interop import to_transformers
from nanochat.tokenizer import Tokenizer
from nanochat.train import Plan, TrainState, keep_freed_memory, train_step

ROUNDS = 5


class SameBatch:
    """A loader whose every batch is the same: the data pipeline is not what is measured."""

    def __init__(self, tokens: torch.Tensor) -> None:
        self.tokens = tokens

    def next_batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return inputs and targets, each ``(B, T)``."""
        return self.tokens[:, :-1], self.tokens[:, 1:]


def compare(what: str, unit: str, amount: float, contestants: dict[str, Callable[[], object]]) -> None:
    """Let the contestants take turns and print the medians of their speeds."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for work in contestants.values():
        work()  # the first time pays for memory and caches
    for _, (name, work) in itertools.product(range(ROUNDS), contestants.items()):
        begin = time.perf_counter()
        work()
        seconds[name].append(time.perf_counter() - begin)
    speeds = {name: amount / statistics.median(measured) for name, measured in seconds.items()}
    first = next(iter(speeds.values()))
    print(f"\n{what}")
    for name, speed in speeds.items():
        print(f"  {name:44}{speed:14,.0f} {unit}   {speed / first:5.2f} x")


def bench_training(dtype: torch.dtype) -> None:
    """Compare whole training steps: ours with Muon, and transformers' NanoChat with AdamW alone."""
    config = GPTConfig.from_depth(4, vocab_size=4096, sequence_len=256)
    tokens = torch.randint(config.vocab_size, (8, config.sequence_len + 1), generator=torch.Generator().manual_seed(0))
    plan = Plan(model=config, device_batch_size=8, total_batch_size=8 * 256, num_iterations=10**6)
    state = TrainState.start(plan, SameBatch(tokens), Runtime(torch.device("cpu"), dtype))
    peer = to_transformers(GPT(config)).to(dtype)
    adamw = torch.optim.AdamW(peer.parameters(), lr=1e-4, fused=True)

    def peer_step() -> None:
        logits = peer(input_ids=tokens[:, :-1]).logits
        torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten()).backward()
        adamw.step()
        adamw.zero_grad()

    name = str(dtype).removeprefix("torch.")
    compare(
        f"training, depth 4, 2048 tokens a step, {name}",
        "tokens/s",
        plan.total_batch_size,
        {"nanochat (Muon and AdamW)": lambda: train_step(state), "transformers (AdamW)": peer_step},
    )


def bench_decoding() -> None:
    """Compare generation of one row, with and without the cache, beside transformers' generate."""
    config = GPTConfig.from_depth(4, vocab_size=4096, sequence_len=256)
    model = GPT(config)
    with torch.no_grad():
        model.head.weight.normal_(generator=torch.Generator().manual_seed(0), std=0.05)
    engine, peer = Engine(model, Tokenizer([])), to_transformers(model)
    prompt, new = list(range(32)), 128

    def peer_generate() -> None:
        peer.generate(torch.tensor([prompt]), max_new_tokens=new, min_new_tokens=new, do_sample=False, pad_token_id=0)

    compare(
        f"writing {new} tokens after 32, depth 4, float32",
        "tokens/s",
        new,
        {
            "nanochat": lambda: engine.generate(prompt, max_tokens=new, temperature=0, stop=()),
            "nanochat without the cache": lambda: engine.generate(
                prompt, max_tokens=new, temperature=0, stop=(), use_cache=False
            ),
            "transformers generate": peer_generate,
        },
    )


def bench_tokenizer() -> None:
    """Compare the two trainers, which learn the same tokens."""
    texts = list(itertools.islice(prose_corpus().documents("train"), 2000))
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    compare(
        "training a tokenizer of 4096 entries",
        "kB/s",
        megabytes * 1000,
        {trainer: lambda trainer=trainer: Tokenizer.train(texts, 4096, trainer) for trainer in ("rust", "python")},
    )


def main() -> None:
    """Run all comparisons."""
    keep_freed_memory()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, ", end="")
    print(f"{torch.get_num_threads()} threads; medians of {ROUNDS} rounds in turn")
    for dtype in (torch.float32, torch.bfloat16):
        bench_training(dtype)
    bench_decoding()
    bench_tokenizer()


if __name__ == "__main__":
    main()
