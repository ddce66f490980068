"""Pictures of the chapter on training, all drawn from what the package computes."""

from __future__ import annotations

import math
import re
from functools import lru_cache

import torch
from torch import Tensor

from docs._ext.drawing import (
    SMALL,
    TEXT,
    WIDTH,
    Box,
    Drawing,
    Picture,
    arrow,
    bars,
    colour,
    flow,
    grid,
    label,
    lines,
    path,
    rect,
    stack,
    title,
    token_strip,
)
from docs.claims import training as claims
from docs.pictures import pupil, trials
from nanochat import accounting, evaluate, optim, train
from nanochat.engine import Engine
from nanochat.figures import show_piece, token_colour
from nanochat.gpt import GPTConfig


def _pieces(one: pupil.Pupil, ids: list[int]) -> list[str | bytes]:
    return ["<|bos|>" if token == one.tokenizer.bos else one.tokenizer.token_bytes(token) for token in ids]


# ---- one step -------------------------------------------------------------------------------------------------


def targets() -> Picture:
    """The start of a row and its answers."""
    one = pupil.new()
    inputs, answers = pupil.batch(one)
    few = 7
    ids = [inputs[0, :few].tolist(), answers[0, :few].tolist()]
    wide, deep = 55.0, 30.0
    shapes, rows = [], []
    for row, (name, tokens) in enumerate(zip(("what the pupil reads", "what it should answer"), ids, strict=True)):
        top = 24 + row * 104.0
        shapes.append(label(2, top - 14, name, TEXT, "ink", "start", bold=True))
        pieces = [show_piece(piece) for piece in _pieces(one, tokens)]
        for k, (piece, token) in enumerate(zip(_pieces(one, tokens), tokens, strict=True)):
            left = 1 + k * (wide + 1.5)
            shown = show_piece(piece)
            size = min(SMALL, (wide - 6) / (0.61 * len(shown)))
            shapes.append(rect(left, top, wide, deep, token_colour(piece), 0.16))
            shapes.append(label(left + wide / 2, top + deep / 2, shown, size, mono=True))
            shapes.append(label(left + wide / 2, top + deep + 10, str(token), SMALL, "muted", mono=True))
            if not row:
                shapes.append(arrow(left + wide / 2, top + deep + 22, left + wide / 2, top + 78, "muted"))
        rows.append(f"{name:<22}" + " ".join(f"{piece:>8}" for piece in pieces))
        rows.append(f"{'':<22}" + " ".join(f"{token:>8}" for token in tokens))
    drawn = Drawing("".join(shapes), 178, "\n".join(rows))
    return drawn.picture(
        f"The first {few} tokens of a row, and below them the same tokens moved by one place: under each token "
        "stands the next.",
        f"The first {few} of the {inputs.size(1)} places of a row, with the number of each token below it. Read "
        "downwards: under each token "
        "stands the one that comes after it.",
    )


def surprise() -> Picture:
    """How surprised the trained pupil is by each token of a story that it has not read."""
    one = pupil.whole()
    text = pupil.texts("val")[0]
    ids = [one.tokenizer.bos, *one.tokenizer.encode(text)][:41]
    tokens = torch.tensor([ids])
    with torch.no_grad():
        each = one.model(tokens[:, :-1], tokens[:, 1:], reduction="none")[0].tolist()
    pieces = [one.tokenizer.token_bytes(token) for token in ids[1:]]
    hardest = max(range(len(each)), key=each.__getitem__)
    word = show_piece(pieces[hardest])
    drawn = token_strip(pieces, marks=[f"{value:.1f}" for value in each])
    return drawn.picture(
        "The beginning of a story, token by token, with the surprise of the trained pupil above each: small for "
        "most, large for a few.",
        "A story that the pupil has never read, with its surprise in nats above each token. The mean is "
        f"{sum(each) / len(each):.1f}; the "
        f"largest surprise, {each[hardest]:.1f}, is at “{word}”, to which the pupil had given a probability of "
        f"{math.exp(-each[hardest]):.1%}.",
    )


def three_rates() -> Picture:
    """The same descent with three learning rates."""
    curves = {}
    for rate in (0.03, 0.3, 1.05):
        w, points = 0.0, [(0.0, 0.0)]
        for step in range(1, 13):
            w -= rate * 2 * (w - 3)
            points.append((step, w))
        curves[f"rate {rate:g}"] = points
    drawn = lines(curves, x="step", y="the weight; the valley is at 3", marks=True)
    last = {name: points[-1][1] for name, points in curves.items()}
    return drawn.picture(
        "Three curves of a weight over twelve steps: one creeps towards 3, one reaches it, one swings ever further "
        "to both sides.",
        f"After 12 steps the smallest rate has brought the weight to {last['rate 0.03']:.2f} and the middle one to "
        f"{last['rate 0.3']:.2f}. "
        f"The largest jumps from side to side, further each time, and stands at {last['rate 1.05']:.1f}.",
    )


@lru_cache(maxsize=1)
def _one_weight() -> tuple[list[tuple[float, float]], float, float, float, str]:
    """Loss by the value of one weight of the head; its value, loss, slope and token."""
    one = pupil.taught(8)
    inputs, answers = pupil.batch(one)
    loss = one.model(inputs, answers)
    loss.backward()
    weight = one.model.head.weight
    place = divmod(int(weight.grad.abs().argmax()), weight.size(1))
    value, slope = weight[place].item(), weight.grad[place].item()
    points = []
    with torch.no_grad():
        for k in range(-20, 21):
            weight[place] = value + k * 0.2
            points.append((value + k * 0.2, one.model(inputs, answers).item()))
        weight[place] = value
    return points, value, loss.item(), slope, one.tokenizer.decode([place[0]]) if place[0] < 503 else "a special token"


def one_weight() -> Picture:
    """The loss as one weight moves, with the slope where it stands."""
    points, value, loss, slope, _ = _one_weight()
    lowest = min(points, key=lambda point: point[1])
    half = 0.45 * (points[-1][0] - points[0][0])
    tangent = [(value - half, loss - half * slope), (value + half, loss + half * slope)]
    drawn = lines({"loss": points, "slope at its place": tangent}, x="value of the weight", y="loss in nats")
    return drawn.picture(
        "A smooth curve with one lowest point; a straight line touches it at the place where the weight stands now.",
        f"One weight of the pupil's head after 8 steps stands at {value:.2f}, where the slope is {slope:+.3f}. So "
        "it should move "
        f"{'down' if slope > 0 else 'up'}; the lowest point is at {lowest[0]:.2f}.",
    )


def backward() -> Picture:
    """Two weights in a row, forward and back, with numbers."""
    x, w1, w2, t = (torch.tensor(v, requires_grad=True) for v in (2.0, 3.0, 0.5, 5.0))
    h = w1 * x
    y = w2 * h
    loss = (y - t) ** 2
    for middle in (h, y):
        middle.retain_grad()
    loss.backward()
    names = ("x", "h = w₁·x", "y = w₂·h", "(y − t)²")
    values = [v.item() for v in (x, h, y, loss)]
    slopes = [v.grad.item() for v in (x, h, y)] + [1.0]
    wide, gap, top = 82.0, 22.0, 44.0
    shapes = [label(2, 10, "forward: values", SMALL, "accent", "start", bold=True)]
    for k, (name, value, slope) in enumerate(zip(names, values, slopes, strict=True)):
        left = 2 + k * (wide + gap)
        shapes.append(rect(left, top, wide, 46, "accent"))
        shapes.append(label(left + wide / 2, top + 15, name, 13, bold=True))
        shapes.append(label(left + wide / 2, top + 33, f"{value:g}", TEXT, "accent", mono=True))
        shapes.append(label(left + wide / 2, top + 92, f"{slope:+g}", TEXT, "rose", mono=True))
        if k:
            shapes.append(arrow(left - gap + 1, top + 23, left - 1, top + 23, "accent"))
            shapes.append(arrow(left + 10, top + 92, left - gap - 10, top + 92, "rose"))
    for k, (name, weight) in enumerate((("w₁", w1), ("w₂", w2))):
        middle = 2 + (k + 1) * (wide + gap) - gap / 2
        shapes.append(label(middle, top - 12, f"{name} = {weight.item():g}", SMALL, "ink"))
        shapes.append(label(middle, top + 120, f"slope of {name}: {weight.grad.item():+g}", SMALL, "rose"))
    shapes.append(label(2, top + 68, "backward: slopes", SMALL, "rose", "start", bold=True))
    rows = [
        "forward    " + "  ->  ".join(f"{name} = {value:g}" for name, value in zip(names, values, strict=True)),
        "backward   " + "  <-  ".join(f"{slope:+g}" for slope in slopes),
        f"slope of w1: {w1.grad.item():+g}, slope of w2: {w2.grad.item():+g}",
    ]
    return Drawing("".join(shapes), top + 130, "\n".join(rows)).picture(
        "Four boxes in a row with their values; below them the slopes, which are passed from right to left.",
        "Forward, values go from left to right. Backward, slopes go from right to left, and each is the one on its "
        "right times one more "
        f"factor: ${slopes[2]:g} \\cdot {w2.item():g} = {slopes[1]:g}$, and then $w_1$ has the slope ${slopes[1]:g} "
        f"\\cdot {x.item():g} = {w1.grad.item():g}$. "
        "Computed by PyTorch, as in training.",
    )


def waking_up() -> Picture:
    """Which kinds of weights have a gradient in the first three steps."""
    one = pupil.new()
    kinds = {"embed": "embedding", "read": "readers", "write": "writers", "head": "head"}
    groups = {
        "embed": [one.model.embed],
        "read": [
            m for b in one.model.blocks for m in (b.attention.query, b.attention.key, b.attention.value, b.mlp.up)
        ],
        "write": [m for b in one.model.blocks for m in (b.attention.output, b.mlp.down)],
        "head": [one.model.head],
    }
    table = []
    for _ in range(3):
        one.model(*pupil.batch(one)).backward()
        row: list[float | None] = []
        for kind in kinds:
            squares = sum(float(p.grad.square().sum()) for m in groups[kind] for p in m.parameters())
            row.append(math.sqrt(squares) or None)
        table.append(row)
        one.model.zero_grad()
        train.train_step(one.state)
    drawn = grid(
        table,
        ["step 1", "step 2", "step 3"],
        list(kinds.values()),
        show="{:.2g}".format,
        note="length of the gradient; a stroke is zero",
    )
    return drawn.picture(
        "A table of the length of the gradient: at step 1 only the head has one, at step 2 all but the readers, at "
        "step 3 all.",
        "“Writers” are the matrices that write to the stream (output and down), “readers” all others in the "
        "blocks. At step 1 the head alone "
        f"has a gradient, of length {table[0][3]:.2f}; the readers follow at step 3 with {table[2][1]:.2g}.",
    )


def one_step() -> Picture:
    """The first step of the pupil in numbers."""
    one = pupil.new()
    config = one.model.config
    before = one.model.head.weight.clone()
    batch = pupil.batch(one)
    one.state.loader = pupil.Batches(batch)
    metrics = train.train_step(one.state)
    moved = (one.model.head.weight - before).abs().max().item()
    with torch.no_grad():
        after = one.model(*batch).item()
    B, T = batch[0].shape
    drawn = flow(
        [
            Box("inputs and targets", f"{B} x {T} tokens", "blue"),
            Box("scores for every next token", f"{B} x {T} x {config.vocab_size}"),
            Box("loss", f"{metrics.loss:.3f} nats", "amber"),
            Box("gradient", f"length {metrics.grad_norm:.3f}", "rose"),
            Box("weights move", f"in the head by up to {moved:.4f}", "violet"),
            Box("loss on the same batch", f"{after:.3f} nats", "green"),
        ],
        [
            "forward",
            "compare with targets",
            "backward",
            f"clip at {one.state.plan.grad_clip:g}, rate x {metrics.lr_multiplier:g}",
            "look again",
        ],
    )
    return drawn.picture(
        "A flow of six boxes: tokens, scores, loss, gradient, weights move, smaller loss.",
        f"The very first step of the pupil. Its loss falls from {metrics.loss:.3f} to {after:.3f} although no "
        "weight of the head moved by more "
        f"than {moved:.4f}: many small moves in the right direction add up.",
    )


def whole_run() -> Picture:
    """The loss of the pupil, step by step."""
    one = pupil.whole()
    losses = [metrics.loss for metrics in one.state.history]
    guess = math.log(one.model.config.vocab_size)
    points = [(step, loss) for step, loss in enumerate(losses)]
    alone, pairs = claims.counting_losses()
    levels = {"nothing": guess, "tokens": alone, "pairs": pairs}
    ends = (0, len(losses) - 1)
    drawn = lines(
        {"the pupil": points, **{name: [(end, level) for end in ends] for name, level in levels.items()}},
        x="step",
        y="nats a token",
        y_from=0,
    )
    tenth = losses[10]
    return drawn.picture(
        "A curve that falls steeply in the first ten steps and ever more slowly after, with three level lines: it "
        "starts at the highest, soon crosses the second and ends a little above the lowest.",
        f"The pupil's loss over {len(losses)} steps. The first ten bring it from {losses[0]:.1f} to {tenth:.1f}; "
        f"all others together bring it down to {losses[-1]:.1f}. The level lines are three guessers who only count: "
        f"one knows nothing ({guess:.1f}), one how common each token is ({alone:.1f}), one how common each pair of "
        f"neighbours is ({pairs:.1f}).",
    )


def _wrapped(words: str, columns: int = 50) -> list[str]:
    out, line = [], ""
    for word in words.split():
        if line and len(line) + 1 + len(word) > columns:
            out.append(line)
            line = ""
        line = f"{line} {word}".strip()
    return [*out, line]


def _paragraph(words: str) -> Drawing:
    rows = _wrapped("".join(c if c.isprintable() else " " for c in words))
    shapes = "".join(label(2, 9 + 18 * k, row, 13, "ink", "start", mono=True) for k, row in enumerate(rows))
    return Drawing(shapes, 18.0 * len(rows), "\n".join(rows))


def words() -> Picture:
    """What the pupil says before and after its training."""
    parts, shares = [], []
    known = set(re.findall(r"[a-z]+", " ".join(pupil.texts("train")).lower()))
    start = "Once there was a little"
    for name, one in (("before the first step", pupil.new()), (f"after step {pupil.STEPS}", pupil.whole())):
        said = Engine(one.model, one.tokenizer).complete(start, temperature=0.7, max_tokens=45, seed=3)[0]
        new = re.findall(r"[a-z]+", said.removeprefix(start).lower())
        shares.append((sum(word in known for word in new), len(new)))
        parts += [title(name), _paragraph(said if said.startswith(start) else start + said)]
    return stack(*parts, gap=6).picture(
        "Two short texts: before training random pieces of words, after it mostly words, and no sense yet.",
        f"Both pupils were given the words “{start}”. Of the {shares[0][1]} pieces between blanks and signs that "
        f"the new pupil adds, {shares[0][0]} are words of the stories, letters such as “a” included; of the "
        f"{shares[1][1]} after step {pupil.STEPS}, {shares[1][0]}. It is no story yet.",
    )


# ---- two optimizers -------------------------------------------------------------------------------------------


def valley() -> Picture:
    """Gradient descent in a narrow valley, seen from above."""
    steep = 20.0
    walks = {}
    for rate in (0.097, 0.02):
        x, y, points = -4.0, 0.9, [(-4.0, 0.9)]
        for _ in range(25):
            x, y = x - rate * x, y - rate * steep * y
            points.append((x, y))
        walks[rate] = points

    def place(x: float, y: float) -> tuple[float, float]:
        return 200 + 39 * x, 100 - 80 * y

    shapes = []
    for level in (0.5, 2.0, 4.5, 8.0, 12.5):
        a, b = math.sqrt(2 * level), math.sqrt(2 * level / steep)
        ring = [place(a * math.cos(k * math.pi / 40), b * math.sin(k * math.pi / 40)) for k in range(81)]
        shapes.append(path([(min(max(px, 2), WIDTH - 2), py) for px, py in ring], "line", 1.5))
    goal = place(0, 0)
    shapes.append(f'<circle cx="{goal[0]:g}" cy="{goal[1]:g}" r="5" style="fill:{colour("green")}"/>')
    for (rate, points), ink in zip(walks.items(), ("rose", "accent"), strict=True):
        shapes.append(path([place(*point) for point in points], ink, 1.8))
        for point in points:
            px, py = place(*point)
            shapes.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="2.2" style="fill:{colour(ink)}"/>')
        number = "0.097: from wall to wall" if rate > 0.05 else "0.02: a crawl along the floor"
        shapes.append(label(2, 198 if rate > 0.05 else 216, f"rate {number}", SMALL, ink, "start", bold=True))
    far = {rate: math.hypot(*points[-1]) for rate, points in walks.items()}
    rows = [
        f"rate {rate:g}: starts {math.hypot(-4, 0.9):.2f} from the lowest point, is {far[rate]:.2f} away after 25 steps"
        for rate in walks
    ]
    return Drawing("".join(shapes), 226, "\n".join(rows)).picture(
        "A long narrow valley from above, with two walks: one zigzags between the walls, one creeps along the floor.",
        f"A valley whose walls are {steep:.0f} times as steep as its floor, seen from above; the green point is the "
        "lowest. After 25 steps the careful "
        f"walk is still {far[0.02]:.1f} away from it. The bold one is closer, at {far[0.097]:.1f}, but it cannot be "
        "any bolder: from a rate of "
        f"{2 / steep:g} on it would bounce for ever.",
    )


@lru_cache(maxsize=1)
def _stretches() -> tuple[Tensor, Tensor]:
    g = claims.gradient_of_up()
    return torch.linalg.svdvals(g), torch.linalg.svdvals(optim.orthogonalize(g))


def stretches() -> Picture:
    """The stretches of a gradient before and after it is made orthogonal."""
    before, after = _stretches()
    relative = (before / before[0]).tolist()
    drawn = lines(
        {"gradient": list(enumerate(relative, 1)), "after orthogonalize": list(enumerate(after.tolist(), 1))},
        x="direction, from the loudest to the quietest",
        y="stretch; the loudest of the gradient is 1",
        y_from=0,
    )
    small = sum(value < 0.1 for value in relative)
    return drawn.picture(
        "Two curves over the directions of a matrix: the gradient's stretches fall quickly towards zero, the "
        "others stay near one.",
        f"The gradient of the pupil's first widening matrix after 5 steps. {small} of its {len(relative)} "
        "stretches are less than a tenth of the "
        f"longest; after five rounds all lie between {after.min():.2f} and {after.max():.2f}.",
    )


def _smooth(one: pupil.Pupil, width: int = 10) -> list[tuple[float, float]]:
    """Step and mean loss of the last steps, from the first step that has so many behind it."""
    values = [metrics.loss for metrics in one.state.history]
    return [(k + 1, sum(values[k + 1 - width : k + 1]) / width) for k in range(width - 1, len(values))]


def duel() -> Picture:
    """Muon and AdamW together, and AdamW alone, each at the best of its rates."""
    best = {
        "Muon for the matrices": min((trials.muon(rate, True) for rate in trials.MUON_RATES), key=trials.late),
        "AdamW alone": min((trials.adamw_alone(rate) for rate in trials.ADAMW_RATES), key=trials.late),
    }
    curves = {name: _smooth(one) for name, one in best.items()}
    drawn = lines(curves, x="step", y="loss in nats, mean of the last ten steps")
    ends = {name: points[-1][1] for name, points in curves.items()}
    return drawn.picture(
        "Two falling curves; the one with Muon ends lower.",
        f"The pupil's little sister, trained in two ways, each at the best of {len(trials.MUON_RATES)} learning rates. "
        f"With Muon for the matrices she ends at {ends['Muon for the matrices']:.2f}, "
        f"with AdamW alone at {ends['AdamW alone']:.2f}.",
    )


def schedule() -> Picture:
    """The factor of the learning rates over a run."""
    plain = pupil.plan()
    warm = pupil.plan(warmup_ratio=0.1)
    curves = {
        name: [(step, optim.lr_multiplier(step, plan)) for step in range(plan.num_iterations)]
        for name, plan in (("our plans", plain), ("with a warm-up", warm))
    }
    drawn = lines(curves, x="step", y="share of the full learning rate", y_from=0, y_to=1)
    return drawn.picture(
        "A curve that stays level at one and falls evenly to nearly zero over the last part; a second one also "
        "rises at the start.",
        f"The schedule of the pupil's run: level for {claims.full_rate(plain)} steps, then down "
        f"over the last {plain.num_iterations - claims.full_rate(plain)}. A warm-up "
        f"would rise over the first {warm.warmup_steps}.",
    )


# ---- measuring ------------------------------------------------------------------------------------------------


def by_heart() -> Picture:
    """What happens when only four stories are read."""
    rows = trials.by_heart()
    curves = {
        "the four stories": [(step, own) for step, own, _ in rows],
        "other stories": [(step, others) for step, _, others in rows],
    }
    drawn = lines(curves, x="step", y="bits per byte", y_from=0)
    best = min(rows, key=lambda row: row[2])
    return drawn.picture(
        "Two curves: the one for the four stories falls ever lower, the one for other stories falls, turns and "
        "rises again.",
        f"Training on four stories only. Other stories are easiest at step {best[0]}, with {best[2]:.1f} bits per "
        "byte. From there on the pupil learns by "
        f"heart: at step {rows[-1][0]} it needs {rows[-1][1]:.1f} for the four stories and {rows[-1][2]:.1f} for "
        "the others.",
    )


def trap() -> Picture:
    """Two vocabularies, two measures, two winners."""
    scores = trials.trap()
    per_token = {f"V = {V}": score.loss for V, score in scores.items()}
    per_byte = {f"V = {V}": score.bits_per_byte for V, score in scores.items()}
    drawn = stack(
        title("loss in nats a token"), bars(per_token), title("bits per byte"), bars(per_byte, ink="amber"), gap=6
    )
    small, large = (scores[V].bits_per_byte for V in trials.TRAP_VOCABULARIES)
    ratio = small / large
    return drawn.picture(
        "Two pairs of bars: by loss per token the small vocabulary is better, by bits per byte the large one.",
        "The shorter the bar, the better. The small vocabulary wins by loss per token; per byte it needs "
        f"{ratio:.1f} times as many bits.",
    )


def yardstick() -> Picture:
    """The pupil beside a file compressor."""
    held = pupil.texts("val")
    new, old = pupil.new(), pupil.whole()
    more = sum(map(len, pupil.texts("train"))) / sum(map(len, held))
    values = {
        "plain text": 8.0,
        "new pupil": evaluate.bits_per_byte(new.model, new.tokenizer, held),
        "xz, same stories": evaluate.xz_bits_per_byte(held),
        "trained pupil": evaluate.bits_per_byte(old.model, old.tokenizer, held),
        f"xz, {more:.0f}x the stories": evaluate.xz_bits_per_byte(pupil.texts("train")),
    }
    ink = {name: "violet" if "xz" in name else "accent" if "pupil" in name else "muted" for name in values}
    return bars(values, ink=ink).picture(
        "Bars of bits per byte: plain text 8, then the new pupil, xz on the same stories, the trained pupil, and "
        "xz on many stories, the shortest.",
        f"Bits for each byte of text; shorter is better. On the {len(held)} held-out stories the trained pupil "
        f"needs {values['trained pupil']:.2f} and xz "
        f"{values['xz, same stories']:.2f}.",
    )


# ---- the budget -----------------------------------------------------------------------------------------------


def budget() -> Picture:
    """Weights, tokens and operations by depth."""
    costs, sizes = {}, {}
    for depth in (4, 8, 12, 20, 32):
        config = GPTConfig.from_depth(depth, vocab_size=65536, sequence_len=2048)
        tokens = accounting.compute_optimal_tokens(config)
        sizes[f"depth {depth}"] = accounting.count_parameters(config).total / 1e6
        costs[f"depth {depth}"] = math.log10(tokens * accounting.flops_per_token(config))
    drawn = stack(
        title("weights, in millions"),
        bars(sizes, show="{:,.0f}".format),
        title("operations of a whole training, as a power of ten"),
        bars(costs, show="{:.1f}".format, ink="amber"),
        gap=6,
    )
    factor = 10 ** (costs["depth 32"] - costs["depth 4"])
    grown = sizes["depth 32"] / sizes["depth 4"]
    return drawn.picture(
        "Bars by depth: the weights grow quickly, the operations even more.",
        "Models of five depths, each trained on 20 tokens for each weight. From depth 4 to depth 32 the weights "
        f"grow {grown:.0f}-fold and the "
        f"work {factor:,.0f}-fold. In the lower half a bar that is longer by 1 means ten times the work.",
    )
