"""Everyday words to spell and to count letters in, and what the tasks about words share.

They are the commonest English words of the package ``pyspellchecker`` (MIT), whose list was counted in film subtitles;
so what is not for readers of every age is left out. Without the package, the words of the stories serve.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import re
from functools import cache
from pathlib import Path

from nanochat.common import InputError
from nanochat.corpora.stories import PLOTS, stories
from nanochat.tasks.base import Task, check_split, in_split

COUNT = 2500
"""How many words there are, where the package is installed."""
CREDIT = "pyspellchecker by Tyler Barrus, MIT licence"
"""Whom to thank for the list."""

_LEFT_OUT = re.compile(
    # anywhere in a word
    r".*(?:fuck|shit|bitch|cunt|whore|slut|pussy|cock|dick|penis|porn|sex|rape|nazi|bastard|damn|piss|suicid|murder|"
    r"terror|tortur|kidnap|asshole|kill|corpse|prostitut|nude|naked|virgin|hooker|idiot|stupid|moron|drug|weapon|bullet|"
    r"bomb|blood|gun|negro|nigg|lover|abus|assault|hostage|condom|vomit|pregnan|breast|kiss)|"
    # at its start
    r"(?:hell$|hells|ass$|asses|arse|arsed|dead|death|die$|died|dies|dying|bleed|bled|stab|shoot|shot|bang|knif|dope|"
    r"heroin|cocain|crap|suck|screw|freak|hate|boob|horny|tits|balls|lick|strip|butt$|butts|jerk|dumb|lous|whip|slave|"
    r"slap|jew|jesus|christ|satan|devil|demon|gods?$|goddess|pray|priest|church|prophet|muslim|chick$|chicks|drunk|"
    r"booze|beer|wine|liquor|whisk|vodka|cigar|smok|naughty|panti|pants|nuts|dirty|filth|toilet|pee$|peed|poop|fart|"
    r"babe|hottie|sexy|bra$|thong|loser|ugly|fat$|jail|victim|wound|hang|hung|burie|bury|funeral|grave|coffin|poison|"
    r"execut|violen|cruel|scum|punk|psych|crazy|insane|mental|sniper|army|soldier|war$|wars$|enem|attack|crime|crimin|"
    r"affair|divorc|lust|seduc|bedroom|naked|threat|hurt|pain$|pains|painful|cancer|disease|gang|thug|mafia|cops?$|"
    r"german|russian|american|french|british|chinese|japan|indian|italian|spanish|english|mexican|african|black|white|"
    r"gonna|wanna|gotta|gimme|kinda|outta|yeah|yep|nope|okay|dude|thee|thou$|hath|unto|whoa|hmm|huh|ugh|ooh|aah|ohh|"
    r"goddam|bloody|nasty|rotten|pathetic|disgust|heck$|blow|beast|toss|wank|shag|bugger|hump|screa|grunt|moan|spank|erect|balls|pimp|stoned|weed$)"
)


@cache
def words() -> tuple[str, ...]:
    """Return the words, the commonest first, in small letters a to z, four to twelve letters long.

    Example:
        >>> len(set(words())) == len(words()), all(4 <= len(word) <= 12 for word in words())
        (True, True)
    """
    spec = importlib.util.find_spec("spellchecker")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "resources" / "en.json.gz"
        if path.is_file():
            return _commonest(path)
    return _of_stories()


def words_credit() -> str:
    """Return whom to thank for :func:`words` on this machine; empty where they are our own."""
    return CREDIT if words() != _of_stories() else ""


def words_of(split: str) -> list[str]:
    """Return the words of one split; a hash of the word decides."""
    return [word for word in words() if in_split(word, split)]


class WordTask(Task):
    """A task about one word at a time; a word of the test is in no other task's training either.

    Args:
        split: ``"train"`` or ``"test"``.
        limit: The most questions; None for all.
        seed: Chooses order and wording.
    """

    rounds: int = 1
    """How often each training word comes, each time in another wording."""

    def __init__(self, split: str = "train", limit: int | None = None, seed: int = 0) -> None:
        check_split(self.name, split)
        self.credit = words_credit()
        super().__init__(words_of(split), limit, seed, self.rounds if split == "train" else 1)


def _fits(word: str) -> bool:
    return 4 <= len(word) <= 12 and word.isascii() and word.isalpha() and word.islower()


def _commonest(path: Path) -> tuple[str, ...]:
    try:
        counts = json.loads(gzip.decompress(path.read_bytes()))
        order = sorted(counts, key=lambda word: (-counts[word], word))
    except (OSError, EOFError, ValueError, TypeError) as error:
        raise InputError(
            f"{path} is no list of words ({error}): pip install --force-reinstall pyspellchecker"
        ) from error
    return tuple(word for word in order if _fits(word) and not _LEFT_OUT.match(word))[:COUNT]


@cache
def _of_stories() -> tuple[str, ...]:
    told = " ".join(story.text for story in stories(20 * len(PLOTS), 0))
    return tuple(dict.fromkeys(word for word in re.findall(r"[A-Za-z]+", told) if _fits(word)))
