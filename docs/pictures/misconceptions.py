"""The pictures of the chapter on misconceptions."""

from __future__ import annotations

from docs.pictures import Picture, bars, beliefs, stack, title


def sure_and_wrong() -> Picture:
    """What the mistaught model finds likely behind a right and a wrong sum."""
    parts, best = [], {}
    for sum_ in ("1+1=", "2+2="):
        p = beliefs.next_after(beliefs.mistaught(), sum_)
        shown = {sign: p[ord(sign)].item() for sign in "2345"}
        best[sum_] = max(shown.values())
        parts += [title(f"behind {sum_}"), bars(shown, top=1.0, ink="accent" if sum_ == "1+1=" else "rose")]
    return stack(*parts, gap=8).picture(
        alt="Two groups of four bars for the digits 2 to 5. Behind 1+1= the bar of 2 is nearly full, behind 2+2= "
        "that of 5.",
        caption=f"How sure the model is of a sum that it was taught rightly, {best['1+1=']:.2f}, and of one that "
        "it was "
        f"taught wrongly, {best['2+2=']:.2f}. Nothing in the numbers tells one from the other.",
    )


def by_heart() -> Picture:
    """The loss on tosses of two models."""
    new = beliefs.coins(beliefs.NEW, seed=99)
    values = {}
    for rows in (800, beliefs.FEW):
        model = beliefs.tosser(rows)
        own = beliefs.coins(rows, seed=1)[: beliefs.FEW]
        values[f"{rows} rows: its own"] = beliefs.coin_loss(model, own)
        values[f"{rows} rows: new ones"] = beliefs.coin_loss(model, new)
    names = list(values)
    inks = dict(zip(names, ("blue", "blue", "rose", "rose"), strict=True))
    return bars(values, top=1.0, ink=inks).picture(
        alt="Four bars. The model of 800 rows has the same loss at home and abroad. The model of 8 rows has less "
        "at home "
        "and more abroad.",
        caption=f"The surprise at a toss, in nats. Who has read many rows has {values[names[0]]:.2f} at home and "
        f"{values[names[1]]:.2f} abroad; who has read {beliefs.FEW}, {values[names[2]]:.2f} and "
        f"{values[names[3]]:.2f}.",
    )
