import json

import numpy as np
import pytest
import torch

from nanochat.common import IGNORED, InputError
from nanochat.corpora import load_corpus
from nanochat.dataloader import TokenLoader, load_tokens
from nanochat.tokenizer import Tokenizer

BOS = 500


def documents(n: int = 90, longest: int = 40) -> list[list[int]]:
    """Every document is marked: its tokens are all its own number, so rows show where they come from."""
    rng = np.random.default_rng(0)
    return [[number] * int(rng.integers(1, longest)) for number in range(n)]


def loader(**changed: object) -> TokenLoader:
    usual = {"documents": documents(), "batch_size": 3, "sequence_len": 32, "bos": BOS, "seed": 5}
    return TokenLoader(**{**usual, **changed})


def take(source: TokenLoader, n: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [source.next_batch() for _ in range(n)]


def same(a: list, b: list) -> bool:
    return len(a) == len(b) and all(torch.equal(torch.stack(x), torch.stack(y)) for x, y in zip(a, b, strict=True))


def test_shapes_types_and_shift() -> None:
    inputs, targets = loader().next_batch()
    assert inputs.shape == targets.shape == (3, 32)
    assert inputs.dtype == targets.dtype == torch.int64
    assert torch.equal(inputs[:, 1:], targets[:, :-1])


def test_an_epoch_holds_whole_documents_in_rows_that_start_with_bos() -> None:
    source, lengths = loader(batch_size=1), {number: len(each) for number, each in enumerate(documents())}
    seen: list[int] = []
    while source.epoch == 0:
        inputs, targets = source.next_batch()
        row = [*inputs[0].tolist(), int(targets[0, -1])]
        assert row[0] == BOS
        starts = [i for i, token in enumerate(row) if token == BOS and i < 32 and targets[0, i] != IGNORED]
        for start, end in zip(starts, [*starts[1:], len(row)], strict=True):
            held = [token for token in row[start + 1 : end] if token not in (BOS, IGNORED)]
            assert len(set(held)) == 1
            seen.append(held[0])
            if end < len(row):  # not the last of its row, so whole
                assert len(held) == lengths[held[0]]
    assert sorted(seen + cropped_to_bos(source)) == list(range(90))


def cropped_to_bos(source: TokenLoader) -> list[int]:
    """Documents of which a row of epoch 0 shows nothing but the bos token, as the very last target."""
    first = loader(batch_size=1)
    hidden = []
    for row in range(first.rows_per_epoch):
        last = first._order[first._firsts[row + 1] - 1]
        whole = sum(len(documents()[d]) + 1 for d in first._order[first._firsts[row] : first._firsts[row + 1] - 1])
        if whole == 32:
            hidden.append(int(last))
    return hidden


def test_cropped_share_is_what_the_rows_lack() -> None:
    source = loader(batch_size=1)
    expected = source.cropped_share
    shown = 0
    for _ in range(source.rows_per_epoch):
        _, targets = source.next_batch()
        shown += 1 + int((targets != IGNORED).sum())
    assert expected == pytest.approx(1 - shown / source.n_tokens)
    assert 0 < expected < 0.5


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    assert same(take(loader(), 60), take(loader(), 60))
    assert not same(take(loader(), 1), take(loader(seed=6), 1))
    source = loader(batch_size=1)
    first = take(source, source.rows_per_epoch)
    assert source.epoch == 1
    assert not same(first[:5], take(source, 5))


def test_the_order_is_the_same_on_every_machine() -> None:
    source = TokenLoader([[i] for i in range(10)], batch_size=1, sequence_len=20, bos=99, seed=1)
    assert source.next_batch()[0][0, 1::2].tolist() == [9, 2, 4, 7, 5, 0, 8, 6, 3, 1]


@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_together_see_what_one_process_sees(world_size: int) -> None:
    together = take(loader(batch_size=2 * world_size), 40)
    ranks = [take(loader(batch_size=2, rank=rank, world_size=world_size), 40) for rank in range(world_size)]
    for step, (inputs, targets) in enumerate(together):
        assert torch.equal(inputs, torch.cat([batches[step][0] for batches in ranks]))
        assert torch.equal(targets, torch.cat([batches[step][1] for batches in ranks]))


def test_resuming_gives_the_batches_that_would_have_come() -> None:
    straight = take(loader(), 30)
    assert loader().rows_per_epoch < 90, "the 30 batches must cross into the next epoch"
    source = loader()
    begun = take(source, 17)
    state = json.loads(json.dumps(source.state_dict()))
    resumed = loader()
    resumed.load_state_dict(state)
    assert same(begun + take(resumed, 13), straight)
    assert resumed.epoch > 0


def test_resuming_with_another_number_of_processes() -> None:
    straight = take(loader(batch_size=4), 20)
    source = loader(batch_size=4)
    take(source, 8)
    two = [loader(batch_size=2, rank=rank, world_size=2) for rank in range(2)]
    for each in two:
        each.load_state_dict(source.state_dict())
    for inputs, _ in straight[8:]:
        assert torch.equal(inputs, torch.cat([each.next_batch()[0] for each in two]))


def test_a_changed_corpus_is_refused_and_the_position_kept() -> None:
    state = loader().state_dict()
    changed = documents()
    changed[7] = [*changed[7][:-1], 8]
    joined = documents()
    joined[:2] = [joined[0] + joined[1]]
    for other in (changed, joined, documents()[:-1], documents()[::-1]):
        with pytest.raises(InputError, match="the data changed"):
            loader(documents=other).load_state_dict(state)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 6}, "seed=6, this loader has seed=5"),
        ({"sequence_len": 64}, "sequence_len=64"),
        ({"row": 10**6}, "row 1000000 is no position"),
        ({"row": -1}, "is no position"),
        ({"epoch": -1}, "is no position"),
    ],
)
def test_a_position_of_another_run_is_refused(change: dict, message: str) -> None:
    source = loader()
    take(source, 2)
    before = source.state_dict()
    with pytest.raises(InputError, match=message):
        source.load_state_dict({**before, **change})
    assert source.state_dict() == before
    assert source.next_batch()[0].shape == (3, 32)


def test_an_incomplete_position_is_refused() -> None:
    with pytest.raises(InputError, match="lacks epoch"):
        loader().load_state_dict({name: value for name, value in loader().state_dict().items() if name != "epoch"})


def test_a_corpus_smaller_than_a_batch_wraps() -> None:
    source = TokenLoader([[1, 2, 3]], batch_size=4, sequence_len=8, bos=0, world_size=3, rank=2)
    inputs, targets = source.next_batch()
    assert inputs.tolist() == [[0, 1, 2, 3, 0, 0, 0, 0]] * 4
    assert targets.tolist() == [[1, 2, 3, -1, -1, -1, -1, -1]] * 4
    assert source.epoch == 12


def test_a_long_document_is_cropped_and_not_continued() -> None:
    source = TokenLoader([list(range(1, 30))], batch_size=1, sequence_len=8, bos=0)
    assert source.rows_per_epoch == 1
    inputs, targets = source.next_batch()
    assert inputs.tolist() == [list(range(8))] and targets.tolist() == [list(range(1, 9))]


@pytest.mark.parametrize("empty", [[], [[]], [[], []]])
def test_no_tokens_are_refused(empty: list) -> None:
    with pytest.raises(InputError, match="no tokens at all"):
        loader(documents=empty)


@pytest.mark.parametrize("bad", [[[1, -1]], [[1.5]], [[[1, 2]]], [[2**31]]])
def test_documents_that_are_no_token_lists_are_refused(bad: list) -> None:
    with pytest.raises(InputError, match="document 0"):
        loader(documents=bad)


@pytest.mark.parametrize(
    "change",
    [
        {"batch_size": 0}, {"sequence_len": 0}, {"bos": -1}, {"seed": -1}, {"world_size": 0}, {"rank": 1}, {"rank": -1},
        {"batch_size": True}, {"batch_size": 2.0},
    ],
)  # fmt: skip
def test_sizes_out_of_range_are_refused(change: dict) -> None:
    with pytest.raises(InputError, match=next(iter(change))):
        loader(**change)


def test_load_tokens_encodes_every_document_of_the_split() -> None:
    corpus = load_corpus("pydoc")
    texts = list(corpus.documents("val"))
    tokenizer = Tokenizer.train(texts, 320)
    tokens = load_tokens(corpus, tokenizer, "val", at_once=7)
    assert [tokenizer.decode(ids.tolist()) for ids in tokens] == texts
    assert tokens[0].dtype == np.int32
    batch, _ = TokenLoader(tokens, batch_size=2, sequence_len=16, bos=tokenizer.bos).next_batch()
    assert batch[:, 0].tolist() == [tokenizer.bos] * 2
