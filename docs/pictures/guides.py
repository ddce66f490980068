"""How to use the guides, and how they hang together."""

from docs.pictures import SMALL, WIDTH, Box, Drawing, Picture, arrow, flow, label, rect

TREE = """\
NANO
  |-- leads to ---> NANOMATH       at every letter and sign
  |-- leads to ---> the code       by file and lines
  '-- proved by --> VERIFICATION   sentence by sentence
NANOMATH
  |-- serves NANO, and can be read alone
  '-- leads to ---> the code       where a piece of mathematics is used
VERIFICATION
  |-- runs -------> the code       at every build
  '-- shows ------> the lines that each sentence is about"""


def path() -> Picture:
    """What to open first, and what next."""
    drawing = flow(
        [
            Box("NANO", "read it from the top"),
            [Box("NANOMATH", "when a sign is strange", "violet"), Box("VERIFICATION", "when you doubt", "amber")],
            Box("the code", "follow a file and its lines", "blue"),
        ],
        graph=True,
    )
    return drawing.picture(
        "From NANO two arrows lead on: to NANOMATH, when a sign is strange, and to VERIFICATION, when you doubt. Both "
        "lead to the code.",
        "Begin with NANO. The other two stand beside it, and all three lead to the code.",
    )


def relations() -> Picture:
    """Which guide leads where."""
    places = {
        "NANO": (WIDTH / 2, 28, "accent", "how it works"),
        "NANOMATH": (70, 148, "violet", "the mathematics"),
        "VERIFICATION": (WIDTH - 70, 148, "amber", "the proofs"),
        "the code": (WIDTH / 2, 268, "blue", "what it is all about"),
    }
    shapes = []
    for words, (x, y, ink, note) in places.items():
        shapes.append(rect(x - 68, y - 26, 136, 52, ink))
        shapes.append(label(x, y - 7, words, bold=True))
        shapes.append(label(x, y + 13, note, SMALL, "muted"))
    middle, left, right = WIDTH / 2, 70, WIDTH - 70
    for start, end, words, at in (
        ((middle - 50, 56), (left + 20, 120), "a strange sign", (left - 4, 84)),
        ((right - 20, 120), (middle + 50, 56), "proves it", (right + 12, 84)),
        ((middle, 56), (middle, 240), "file, lines", (middle, 106)),
        ((left + 20, 176), (middle - 50, 240), "used here", (left + 2, 214)),
        ((right - 20, 176), (middle + 50, 240), "runs it", (right + 8, 214)),
    ):
        shapes.append(arrow(*start, *end))
        if words == "file, lines":
            shapes.append(rect(at[0] - 36, at[1] - 10, 72, 20, "paper", 1, 0, edge=False))
        shapes.append(label(*at, words, SMALL, "muted"))
    return Drawing("".join(shapes), 296, TREE).picture(
        "NANO leads to NANOMATH at a strange sign and to the code by file and lines. VERIFICATION proves NANO by "
        "running the code. NANOMATH leads to the code where its mathematics is used.",
        "Every way ends at the code. VERIFICATION is the only guide that no person wrote: the build does.",
    )
