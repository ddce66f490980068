"""Practice problems of the page on several processes; the answers are computed."""

from __future__ import annotations

from docs.problems import Problem
from nanochat import dataloader, distributed


def whose_rows() -> Problem:
    """Which rows a process reads."""
    rows, rank, processes = 3, 2, 4
    loader = dataloader.TokenLoader([[1]], rows, 1, bos=0, rank=rank, world_size=processes)
    answer = loader._mine().start
    return Problem(
        f"The rows of a step are numbered from 0. {processes} processes read {rows} rows each, and the processes are "
        f"numbered from 0 too. Which is the first row of process {rank}?",
        answer,
        [
            f"Before process {rank} come {rank} others.",
            f"They read ${rank} \\cdot {rows} = {rank * rows}$ rows, from 0 to {rank * rows - 1}.",
            f"So process {rank} begins with row {answer}.",
        ],
    )


def mean_of_all() -> Problem:
    """The loss of two processes with unlike numbers of questions."""
    losses, counts = (2.0, 4.0), (300, 100)
    total = sum(loss * count for loss, count in zip(losses, counts, strict=True))
    answer = total / sum(counts)
    return Problem(
        f"One process asks {counts[0]} questions with a mean surprise of {losses[0]:g} nats, another {counts[1]} "
        f"questions with {losses[1]:g} nats. What is the loss of the step? (one decimal)",
        answer,
        [
            f"The surprises of the first add up to ${counts[0]} \\cdot {losses[0]:g} = {counts[0] * losses[0]:g}$, "
            f"those of the second to ${counts[1]} \\cdot {losses[1]:g} = {counts[1] * losses[1]:g}$.",
            f"Together they are ${total:g}$, over ${sum(counts)}$ questions.",
            f"${total:g} / {sum(counts)} = {answer:g}$. The mean of the two means would be {sum(losses) / 2:g}.",
        ],
        tolerance=0.05,
        unit="nats",
    )


def fuller_share() -> Problem:
    """Sharing out parameters by hand."""
    sizes = [4, 8, 5, 7, 6]
    ranks = distributed.owners(sizes, 2)
    loads, steps = [0, 0], []
    for size in sorted(sizes, reverse=True):
        owner = ranks[sizes.index(size)]
        loads[owner] += size
        steps.append(f"{size} goes to process {owner}, which then has {loads[owner]}.")
    return Problem(
        f"Parameters of {', '.join(map(str, sizes[:-1]))} and {sizes[-1]} thousand numbers are shared out between two "
        "processes: the largest first, each to the process that has least, and to process 0 where both have as much. "
        "How many thousand numbers does the fuller process move in the end?",
        max(loads),
        [*steps, f"The fuller one has {max(loads)} thousand."],
        unit="thousand",
    )
