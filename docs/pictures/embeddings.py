"""Pictures of the chapter on embeddings, each drawn from what the package computes."""

from __future__ import annotations

import torch

from docs.pictures import SMALL, WIDTH, Drawing, Picture, bars, colour, grid, label, rect, shipped, stack, title

INKS = {"names": "rose", "animals": "amber", "places": "green", "things": "blue", "colours": "violet"}
CHANNELS = 6


def lookup() -> Picture:
    """A few words, their numbers, and the beginnings of their rows."""
    model, tokenizer = shipped.whole()
    text = " the dog saw the kite"
    ids = tokenizer.encode(text)
    pieces = [tokenizer.decode([token]).strip() for token in ids]
    table = model.embed.weight
    drawn = grid(
        [table[token, :CHANNELS].tolist() for token in ids],
        [f"{piece} {token}" for piece, token in zip(pieces, ids, strict=True)],
        [f"{channel}" for channel in range(CHANNELS)],
        show="{:.1f}".format,
        note=f"the first {CHANNELS} of {table.size(1)} channels",
    )
    first, second = (place for place, piece in enumerate(pieces) if piece == "the")
    same = torch.equal(table[ids[first]], table[ids[second]])
    return drawn.picture(
        alt="A table with a row for each of five words, each with its token number: six numbers of its vector. The two "
        "rows of the word the are equal.",
        caption=f"A short text, the number of each token, and the row that it fetches from a trained table. Token "
        f"{ids[first]} stands twice in the text, and fetches {'the same row' if same else 'another row'} both times.",
    )


def neighbours() -> Picture:
    """Whose vectors are nearest to four words."""
    asked = {"river": "green", "dog": "amber", "three": "blue", "red": "violet"}
    parts, best = [], {}
    for word, ink in asked.items():
        found = shipped.nearest(word, 4)
        best[word] = max(found.values())
        parts += [title(f"nearest to {word}"), bars(found, top=1.0, ink=ink)]
    return stack(*parts, gap=8).picture(
        alt="Four groups of bars. Nearest to river are other places, to dog other animals, to three other numbers; "
        "nothing is near to red.",
        caption="The words whose vectors point most nearly where that of another word points. The bars are cosines. "
        f"The nearest neighbour of *river* has {best['river']:.2f}, that of *red* only {best['red']:.2f}.",
    )


def kinds() -> Picture:
    """Words of five kinds on a map of two directions."""
    members = [(word, group) for group, words in shipped.GROUPS.items() for word in words]
    rows = shipped.table()[[shipped.words()[word] for word, _ in members]]
    centred = rows - rows.mean(dim=0)
    _, stretches, directions = torch.linalg.svd(centred, full_matrices=False)
    places = centred @ directions[:2].T
    places *= torch.stack([-places[0, 0].sign(), -places[12, 1].sign()])  # names to the left, places below
    share = (stretches[:2].square().sum() / stretches.square().sum()).item()
    wide, high = WIDTH - 40.0, 260.0
    low, far = places.amin(dim=0), places.amax(dim=0)
    spot = ((places - low) / (far - low)).tolist()
    shapes = [rect(1, 1, WIDTH - 2, high + 46, "line", 0.1)]
    at: dict[str, list[tuple[float, float]]] = {}
    for (_, group), (x, y) in zip(members, spot, strict=True):
        point = (20 + x * wide, 34 + (1 - y) * high)
        at.setdefault(group, []).append(point)
        shapes.append(
            f'<circle cx="{point[0]:.1f}" cy="{point[1]:.1f}" r="5" '
            f'style="fill:{colour(INKS[group])};fill-opacity:0.75"/>'
        )
    for group, points in at.items():
        x = sum(p[0] for p in points) / len(points)
        top, bottom = min(p[1] for p in points), max(p[1] for p in points)
        half = 4.3 * len(group) + 2
        x = min(max(x, half + 4), WIDTH - half - 4)
        above = group != "colours" and (top > 34 + high / 8 or group == "animals")
        y = top - 16 if above else bottom + 18
        shapes.append(label(x, y, group, SMALL, INKS[group], bold=True))
    lines = [f"{word:<8} {group:<8} {x:5.2f} {y:5.2f}" for (word, group), (x, y) in zip(members, spot, strict=True)]
    text = "\n".join([f"{'word':<8} {'kind':<8} right    up", *lines])
    return Drawing("".join(shapes), high + 48, text).picture(
        alt="Thirty dots in five colours on a map. Names, animals and things lie in three heaps far apart. Places and "
        "colours lie side by side in the middle, the colours more scattered.",
        caption="Thirty words of a trained table, laid flat: of all directions, the two along which they differ most. "
        f"These two hold {share:.0%} of all differences; the rest does not fit on paper.",
    )


def two_tables() -> Picture:
    """How alike words of a kind are in the table and in the head."""
    values = [[shipped.alike(group, shipped.table()), shipped.alike(group, shipped.head())] for group in shipped.GROUPS]
    drawn = grid(values, list(shipped.GROUPS), ["read", "due"], top=1.0, note="mean cosine of two words of the kind")
    names = values[list(shipped.GROUPS).index("names")]
    return drawn.picture(
        alt="A table of five kinds of words with two columns. In the head, animals and colours are much more alike "
        "than in the table; names are about as alike in both.",
        caption="How alike six words of a kind are where they are read (the table of embeddings) and where they are "
        f"due (the output head). For names the two hardly differ: {names[0]:.2f} and {names[1]:.2f}.",
    )
