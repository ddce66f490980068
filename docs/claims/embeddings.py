"""What the chapter on embeddings says about the code, and the mutants that must make it false."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from docs._ext.claims import check, claim, mutant
from docs._ext.mutation import edited
from docs.pictures import bench
from nanochat import gpt
from nanochat.accounting import count_parameters
from nanochat.gpt import GPTConfig


@mutant("embedding-knows-neighbours", "the vector of a token is mixed with those before it when it is looked up")
def embedding_knows_neighbours() -> AbstractContextManager[object]:
    return edited("nanochat.gpt.GPT.stream", "self.embed(tokens)", "self.embed(tokens).cumsum(1)")


@mutant("head-shares-table", "the output head is the table of embeddings once more")
def head_shares_table() -> AbstractContextManager[object]:
    return edited("nanochat.gpt.GPT.__init__", "self.init_weights()", "self.head.weight = self.embed.weight")


@claim("embed-lookup", about="nanochat.gpt.GPT", killed_by="embedding-knows-neighbours")
def embed_lookup() -> str:
    """Read the same token at two places of two rows and see what enters the first block."""
    model = bench.lively()
    tokens = torch.tensor([[7, 9, 3], [5, 2, 7]])
    with bench.inputs_of(model.blocks[0]) as seen, torch.no_grad():
        model(tokens)
    check(tuple(model.embed.weight.shape), (64, 64), "one row for each token, as wide as the model")
    expected = gpt.rms_norm(model.embed.weight[7]).detach()
    check.close(seen[0][0, 0], expected, "token 7 at the first place is row 7 of the table", abs=1e-6)
    check.close(seen[0][1, 2], expected, "token 7 at the last place is the same", abs=1e-6)
    return "Token number 7 always enters as row 7 of the table, whatever stands around it."


@claim("embed-names-meet", about=("nanochat.gpt.GPT", "nanochat.train.fit"), killed_by="learning-rate-zero")
def embed_names_meet() -> str:
    """Compare the vectors of names before and after a short training."""
    before, after = bench.names_alike(0), bench.names_alike(bench.STEPS)
    check.below(abs(before), 0.05, "before training, the names point in unrelated directions")
    check.above(after, 0.4, "after training, they point in similar ones")
    return (
        f"Before training, the cosine of two names is close to 0 on average; after {bench.STEPS} steps it is above 0.4."
    )


@claim("embed-untied", about="nanochat.gpt.GPT", killed_by="head-shares-table")
def embed_untied() -> str:
    """Count the numbers of a real model of depth 4, each once."""
    model = bench.sized(4)
    table, head = model.embed.weight.numel(), model.head.weight.numel()
    total = sum(weight.numel() for weight in model.parameters())
    check(total, count_parameters(GPTConfig.from_depth(4)).total, "the accounting agrees with the model")
    return (
        f"At depth 4, with 16,384 tokens, the table has {table:,} numbers and the head {head:,} of its own: "
        f"together {100 * (table + head) / total:.0f} percent of the model."
    )
