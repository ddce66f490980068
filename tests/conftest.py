"""What the tests share: a tiny plan, its data, models with random weights, a tokenizer of bytes."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from nanochat.common import Runtime
from nanochat.dataloader import TokenLoader
from nanochat.gpt import GPT, GPTConfig
from nanochat.tokenizer import Tokenizer
from nanochat.train import Plan, TrainState, fit
from tests.hub_server import Hub, serve_hub

# The same examples at every run: unchanged code passes or fails, and not now this and now that.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

DOCUMENTS = [
    f"{who} found a {what} by the {where}. {who} took the {what} home."
    for who in ("Anna", "Ben", "Cleo", "Dan", "Eve")
    for what in ("stone", "hat", "key", "shell")
    for where in ("sea", "road", "well")
]
"""Sixty short documents: enough for a few batches to differ, little enough for many epochs."""


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Small tensors gain nothing from threads, and the order of additions stays the same."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_is_heard() -> None:
    """A shell that starts the tests in the background tells them, and all that they start, to ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def runtime() -> Runtime:
    return Runtime(torch.device("cpu"), torch.float32)


@pytest.fixture(scope="session")
def byte_tokenizer() -> Tokenizer:
    """A tokenizer without merges: every byte is a token."""
    return Tokenizer([])


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A folder of text."""
    folder = tmp_path / "texts"
    folder.mkdir()
    for i in range(60):
        (folder / f"{i:02}.txt").write_text(f"Number {i} comes before number {i + 1}, and after {i - 1}.\n" * 4)
    return folder


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """An empty hub on loopback, which the package takes for the real one, and a base folder of its own."""
    with serve_hub() as server:
        monkeypatch.setenv("NANOCHAT_HUB", server.url)
        monkeypatch.setenv("NANOCHAT_BASE_DIR", str(tmp_path / "base"))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield server


@pytest.fixture
def make_model() -> Callable[..., GPT]:
    """Models whose weights are all random: a fresh one scores every token alike and hides mistakes."""

    def make(seed: int = 0, depth: int = 2, **sizes: int) -> GPT:
        model = GPT(GPTConfig.from_depth(depth, **{"vocab_size": 320, "sequence_len": 24, "width": 64, **sizes}))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for p in model.parameters():
                p.copy_(torch.randn(p.shape, generator=generator) * p.shape[-1] ** -0.5)
        return model

    return make


@pytest.fixture
def plan() -> Plan:
    """Thirty steps of two rounds of accumulation; takes about a third of a second."""
    sizes = GPTConfig.from_depth(2, vocab_size=320, sequence_len=24, width=32)
    return Plan(model=sizes, device_batch_size=2, total_batch_size=96, num_iterations=30, warmup_ratio=0.1)


@pytest.fixture
def make_loader(byte_tokenizer: Tokenizer) -> Callable[..., TokenLoader]:
    def make(plan: Plan, rank: int = 0, world_size: int = 1) -> TokenLoader:
        documents = byte_tokenizer.encode_batch(DOCUMENTS)
        return TokenLoader(
            documents, plan.device_batch_size, plan.model.sequence_len, byte_tokenizer.bos, plan.seed, rank, world_size
        )

    return make


@pytest.fixture
def make_state(plan: Plan, make_loader: Callable[..., TokenLoader], runtime: Runtime) -> Callable[..., TrainState]:
    """States that have taken some steps."""

    def make(steps: int = 0, of: Plan = plan) -> TrainState:
        return fit(TrainState.start(of, make_loader(of), runtime), until=steps, progress=False)

    return make
