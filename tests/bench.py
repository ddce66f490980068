"""Measure the speed beside public peers, and the chat server under load: ``make bench``.

Ours and the peer take turns in one process, so that a busy machine slows both; the medians are printed, with their
ratio. The numbers depend on the machine and its load; nothing here passes or fails. ``python tests/bench.py server``
measures the server alone.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import platform
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import httpx
import torch

from nanochat.common import Runtime
from nanochat.corpora import prose_corpus
from nanochat.engine import Engine
from nanochat.gpt import GPT, GPTConfig
from nanochat.interop import to_transformers
from nanochat.tokenizer import Tokenizer
from nanochat.train import Plan, TrainState, keep_freed_memory, train_step

ROUNDS = 5
CHATS = 32
HEALTH_AIM_MS = 200


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


async def load(address: str) -> tuple[list[float], list[int], float]:
    """Let 32 clients chat at once and ask for the server's health all the while.

    Returns:
        Milliseconds of each answer about its health while all chats were being written, the tokens of each chat, and
        the seconds of all.
    """
    story = {"messages": [{"role": "user", "content": "Tell me a story."}], "temperature": 1.0}
    tokens, milliseconds = [0] * CHATS, []
    running = CHATS

    async def chat(client: httpx.AsyncClient, number: int) -> None:
        nonlocal running
        async with client.stream("POST", f"{address}/api/chat", json={**story, "seed": number}) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                tokens[number] += line.startswith('data: {"type":"token"')
        running -= 1

    limits = httpx.Limits(max_connections=CHATS + 8)
    async with httpx.AsyncClient(timeout=300, limits=limits) as client:
        begin = time.perf_counter()
        chats = [asyncio.create_task(chat(client, number)) for number in range(CHATS)]
        while running:
            await asyncio.sleep(0.02)
            asked = time.perf_counter()
            (await client.get(f"{address}/health")).raise_for_status()
            if running == CHATS and all(tokens):
                milliseconds.append(1000 * (time.perf_counter() - asked))
        await asyncio.gather(*chats)
        return milliseconds, tokens, time.perf_counter() - begin


def bench_server() -> None:
    """Measure how soon the server says that it is well while it writes 32 answers of the shipped model."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    flags = ["--source=shipped", f"--port={port}", "--tokens-per-minute=0", "--deadline=600", "--threads=1"]
    command = [sys.executable, "-m", "scripts.chat_web", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            if not any(line.startswith("ready") for line in server.stdout):
                raise SystemExit("the server does not start")
            milliseconds, tokens, seconds = asyncio.run(load(f"http://127.0.0.1:{port}"))
        finally:
            server.terminate()
    *_, late = statistics.quantiles(milliseconds, n=20)
    print(f"\n{CHATS} chats at once with the shipped model, {len(milliseconds)} questions about the server's health")
    print(f"  answered within{statistics.median(milliseconds):10,.0f} ms (half of them)")
    print(f"  {'':15}{late:10,.0f} ms (95 of 100; the aim is {HEALTH_AIM_MS})")
    print(f"  {'':15}{max(milliseconds):10,.0f} ms (the last one)")
    print(f"  all chats      {sum(tokens) / seconds:10,.0f} tokens/s, the shortest {min(tokens)} tokens")


def main() -> None:
    """Run all comparisons."""
    if sys.argv[1:] == ["server"]:
        bench_server()
        return
    keep_freed_memory()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, ", end="")
    print(f"{torch.get_num_threads()} threads; medians of {ROUNDS} rounds in turn")
    for dtype in (torch.float32, torch.bfloat16):
        bench_training(dtype)
    bench_decoding()
    bench_tokenizer()
    bench_server()


if __name__ == "__main__":
    main()
