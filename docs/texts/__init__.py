"""Real text that the guides measure on, the same on every machine.

``alice.txt`` is the whole of *Alice's Adventures in Wonderland* by Lewis Carroll (1865), which is in the public
domain: one paragraph a line, with straight quotation marks. The other text is the first article of the Universal
Declaration of Human Rights (1948), one meaning in many languages.
"""

from __future__ import annotations

from pathlib import Path

ALICE = "docs/texts/alice.txt"
"""The file of the book, from the root of the repository."""

RHYME = "How much wood would a woodchuck chuck if a woodchuck could chuck wood?"
"""An old tongue-twister: so repetitive that a few merges change it a lot."""

ARTICLE_ONE = {
    "English": (
        "All human beings are born free and equal in dignity and rights. They are endowed with reason and "
        "conscience and should act towards one another in a spirit of brotherhood."
    ),
    "German": (
        "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und Gewissen "
        "begabt und sollen einander im Geist der Brüderlichkeit begegnen."
    ),
    "Greek": (
        "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα. Είναι "
        "προικισμένοι με λογική και συνείδηση, και οφείλουν να συμπεριφέρονται μεταξύ τους με πνεύμα αδελφοσύνης."
    ),
    "Russian": (
        "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены разумом и совестью "
        "и должны поступать в отношении друг друга в духе братства."
    ),
    "Hindi": (
        "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है। उन्हें "
        "बुद्धि और अन्तरात्मा की देन "
        "प्राप्त है और परस्पर उन्हें भाईचारे के भाव से बर्ताव करना चाहिए।"
    ),
    "Chinese": "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。",
}
"""Article 1 of the Universal Declaration of Human Rights, by language."""


def alice() -> str:
    """Return the whole book."""
    return (Path(__file__).parent / "alice.txt").read_text(encoding="utf-8")


def alice_split() -> tuple[str, str]:
    """Return the first ten chapters, to learn from, and the last two, to test on."""
    book = alice()
    cut = book.index("CHAPTER XI\n")
    return book[:cut], book[cut:]


def alice_chapter_one() -> str:
    """Return the first chapter alone, for what would take long on more."""
    book = alice()
    return book[: book.index("CHAPTER II\n")]
