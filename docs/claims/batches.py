"""What the page on batches says about the code, proved by running it."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from docs._ext.claims import check, claim, mutant
from docs._ext.mutation import edited
from docs.pictures import batches as road
from docs.pictures import pupil
from nanochat.common import IGNORED

LOADER = "nanochat.dataloader.TokenLoader"

# ---- ways to break the package --------------------------------------------------------------------------------


@mutant("order-ignores-seed", "the order of the documents does not depend on the seed")
def seed_ignored() -> AbstractContextManager[object]:
    return edited(f"{LOADER}._plan_epoch", "self.seed, self._epoch", "0, self._epoch")


@mutant("row-forgotten", "a loader that is sent to a place goes to the beginning of its epoch")
def row_forgotten() -> AbstractContextManager[object]:
    return edited(
        "nanochat.dataloader.Rows.load_state_dict",
        'self._epoch, self._row = int(state["epoch"]), int(state["row"])',
        'self._epoch, self._row = int(state["epoch"]), 0',
    )


# ---- the road -------------------------------------------------------------------------------------------------


@claim("batches-cropped", about=LOADER, killed_by="rows-carry-on")
def cropped() -> str:
    loader = pupil.new(rows=1).state.loader
    rows, n, given = loader.rows_per_epoch, loader.n_tokens, 0
    stories = len(pupil.texts("train"))
    share = loader.cropped_share
    for _ in range(rows):
        inputs, targets = loader.next_batch()
        given += 1 + int((targets != IGNORED).sum())
    check.close(1 - given / n, share, "the tokens that were not handed out", abs=1e-9)
    return (
        f"In the first epoch the pupil's {stories} training stories of {n:,} tokens fill {rows} rows, and {share:.0%} "
        "of the tokens are cropped where rows end."
    )


@claim("batches-order", about=f"{LOADER}.next_batch", killed_by=("order-ignores-seed", "epochs-alike"))
def order() -> str:
    def rows(seed: int, epoch: int = 0) -> torch.Tensor:
        loader = road.loader(seed)
        while loader.epoch < epoch:
            loader.next_batch()
        return torch.stack([loader.next_batch()[0] for _ in range(5)])

    check.true(torch.equal(rows(1), rows(1)), "the same seed gives the same rows")
    check.true(not torch.equal(rows(1), rows(2)), "another seed gives others")
    check.true(not torch.equal(rows(1), rows(1, epoch=1)), "and so does another epoch")
    return "Two loaders with the same seed give the same batches; with another seed, or in another epoch, others come."


@claim("batches-place", about=f"{LOADER}.next_batch", killed_by="row-forgotten")
def place() -> str:
    one, other = road.loader(1), road.loader(1)
    for _ in range(3):
        one.next_batch()
    held = one.state_dict()
    other.load_state_dict(held)
    check.true(torch.equal(one.next_batch()[0], other.next_batch()[0]), "the fourth batch of both")
    return (
        f"After 3 batches of 2 rows the place is epoch {held['epoch']}, row {held['row']}; a new loader that is sent "
        "there gives the fourth batch."
    )


@claim("batches-luck", about=("nanochat.train.train_step", "nanochat.gpt.GPT.forward"), killed_by="learning-rate-zero")
def luck() -> str:
    alike = road.likeness()
    few, many = alike[1], alike[16]
    check.below(few, 0.5, "the gradients of two single rows")
    check.above(many, few + 0.2, "the gradients of two batches of sixteen rows")
    return (
        f"In the matrices of the pupil's blocks, after {road.AFTER} steps, the cosine between the gradients of two "
        "single rows is below 0.5 on average; between those of two batches of 16 rows it is more than 0.2 higher."
    )
