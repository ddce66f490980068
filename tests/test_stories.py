import random
import re
from collections import Counter

import pytest

from nanochat.common import InputError
from nanochat.corpora.stories import (
    COMMON_ROLES,
    FOODS,
    FRIENDS,
    HEROES,
    PLACES,
    PLOTS,
    THINGS,
    Story,
    StoryIndex,
    check_story,
    nearest_story,
    split_sentences,
    stories,
    write_story,
)

PLOT_NAMES = [plot.name for plot in PLOTS]


@pytest.fixture(scope="module")
def told() -> list[Story]:
    return stories(2000, seed=11)


def test_whatever_is_told_is_read_back(told: list[Story]) -> None:
    for story in told:
        check = check_story(story.text)
        assert check.problems == () and check.consistent, story.text
        assert check.parsed == check.sentences == len(split_sentences(story.text))
        assert check.plot == story.plot
        assert {role: check.facts[role] for role in story.facts} == dict(story.facts), story.text


def test_every_template_is_told_and_every_sentence_is_clean() -> None:
    for plot in PLOTS:
        rng = random.Random(3)
        for _ in range(150):
            story = write_story(rng, plot.name)
            assert not re.search(r"[{}]|  |\s$|^\s| [.,!?]|\ba [aeiou]", story.text), story.text
            assert story.text.count('"') % 2 == 0, story.text
            assert not re.search(r'[.!?]" "', story.text), "two speakers in a row, where print would start a new line"
            assert all(re.match(r'"?[A-Z]', sentence) for sentence in split_sentences(story.text)), story.text
            assert story.text[-1] in '.!?"'


def test_no_story_says_a_sentence_twice(told: list[Story]) -> None:
    for story in told:
        sentences = split_sentences(story.text)
        assert len(set(sentences)) == len(sentences), story.text


def test_stories_have_the_length_that_a_row_holds(told: list[Story]) -> None:
    words = [len(story.text.split()) for story in told]
    assert min(words) >= 60 and max(words) <= 120
    assert 75 <= sum(words) / len(words) <= 110


def test_the_vocabulary_is_a_few_hundred_words(told: list[Story]) -> None:
    assert 300 < len({word for story in told for word in re.findall(r"[a-z]+", story.text.lower())}) < 600


def test_all_plots_names_and_things_are_told_about_equally_often(told: list[Story]) -> None:
    for counts, options in (
        (Counter(story.plot for story in told), PLOT_NAMES),
        (Counter(story.facts["hero"] for story in told), list(HEROES)),
        (Counter(story.facts["friend"] for story in told), list(FRIENDS)),
        (Counter(story.facts["thing"] for story in told if "thing" in story.facts), list(THINGS)),
        (Counter(story.facts["place"] for story in told if "place" in story.facts), list(PLACES)),
    ):
        assert sorted(counts) == sorted(options)
        assert min(counts.values()) > 0.4 * sum(counts.values()) / len(options)


def test_there_are_many_plots_and_tens_of_thousands_of_stories() -> None:
    assert len(PLOTS) >= 8 and len(set(PLOT_NAMES)) == len(PLOTS)
    for plot in PLOTS:
        tellings = 1
        for beat in plot.beats:
            assert len(beat) >= 3 and len(set(beat)) == len(beat)
            tellings *= len(beat)
        assert tellings * len(HEROES) * len(FRIENDS) > 100_000


def test_the_same_seed_tells_the_same_stories_on_every_machine(told: list[Story]) -> None:
    assert stories(20, seed=11) == told[:20]
    assert stories(20, seed=12) != told[:20]
    assert len({story.text for story in told}) == 2000
    assert write_story(random.Random(0)).text == FIRST_STORY


FIRST_STORY = (
    "There once was a young rabbit called Daisy. She dreamed of a boat, but there was none in the "
    "shop. Daisy worked for five days, and then the boat was done. But in the forest the boat fell "
    'apart, because the wind was strong. "All my work is gone," said Daisy. She threw the wood away. '
    '"It was a good boat," said Otto the otter. "We can make a strong one." Daisy and Otto worked '
    "together. This time the boat was strong. Everyone in the village wanted to see the blue boat."
)


def swap(story: Story, role: str, options: list[str], word: str, others: set[str]) -> list[str]:
    """Replace one mention of a role by another value, at each place but the first; keep those that read otherwise."""
    places = [match.span() for match in re.finditer(rf"\b{word}\b", story.text)]
    new = next(option for option in options if option not in others)
    return [story.text[:start] + new + story.text[end:] for start, end in places[1:]]


@pytest.mark.parametrize(
    ("role", "options"), [
        ("hero", list(HEROES)), ("friend", list(FRIENDS)), ("thing", list(THINGS)),
        ("food", list(FOODS)), ("place", list(PLACES)), ("skill", ["dance", "sing", "juggle"]),
    ],
)  # fmt: skip
def test_a_swapped_word_is_found(told: list[Story], role: str, options: list[str]) -> None:
    tried = 0
    for story in told:
        if role not in story.facts or tried > 300:
            continue
        allowed = [each for each in options if each in dict(_plot(story.plot).roles)[role]]
        for text in swap(story, role, allowed, story.facts[role], set(story.facts.values())):
            tried += 1
            check = check_story(text)
            assert not check.consistent and check.problems, text
            assert check.parsed == check.sentences or role == "thing", text  # "tiny kite" is in no sentence
    assert tried >= 30


def _plot(name: str):
    return next(plot for plot in PLOTS if plot.name == name)


def test_a_name_with_the_wrong_animal_or_pronoun_is_found() -> None:
    wrong = check_story("Once there was a little mouse named Ruby.")
    assert 'hero is Pip ("mouse"), but also Ruby' in wrong.problems[0]
    story = next(s for s in stories(300, 1) if s.plot == "lost" and s.facts["hero"] == "Ruby" and " she " in s.text)
    check = check_story(story.text.replace(" she ", " he ", 1))
    assert not check.consistent and 'hero is Ruby ("fox"), but also "he"' in " ".join(check.problems)


def test_a_half_that_does_not_fit_the_number_is_found() -> None:
    shared = (s for s in stories(300, 1) if s.plot == "share" and s.facts["number"] == "four")
    story = next(s for s in shared if "ate two" in s.text)
    check = check_story(story.text.replace("ate two", "ate three"))
    assert not check.consistent and 'number is four, but also six ("three")' in " ".join(check.problems)


def test_a_story_cut_or_shuffled_or_mixed_is_found(told: list[Story]) -> None:
    for one, two in zip(told[:100], told[100:200], strict=True):
        sentences = split_sentences(one.text)
        shuffled = [*sentences[:1], *sentences[2:], sentences[1]]
        assert not check_story(" ".join(sentences[:-1])).consistent
        assert not check_story(" ".join(shuffled)).consistent
        assert not check_story(one.text + " " + sentences[-1]).consistent
        if one.plot != two.plot:
            mixed = sentences[: len(sentences) // 2] + split_sentences(two.text)[-3:]
            assert not check_story(" ".join(mixed)).consistent
    assert "the story stops before its end" in check_story(" ".join(split_sentences(told[0].text)[:-3])).problems


@pytest.mark.parametrize("text", ["", "   ", "Hello", "Pip.", '"', "There was a king. He sang.", "\x00\ud800"])
def test_any_text_can_be_checked(text: str) -> None:
    check = check_story(text)
    assert not check.consistent and check.parsed == 0 and check.plot is None and check.problems


def test_answers_follow_from_the_text(told: list[Story]) -> None:
    kinds = Counter()
    for story in told:
        assert len(story.questions) >= 3, story.text
        for question in story.questions:
            kinds[question.kind] += 1
            assert question.question[0].isupper() and question.question.endswith("?")
            assert question.reply[0].isupper() and question.reply.endswith(".")
            assert not re.search(r"[{}]", question.question + question.answer + question.reply)
            if question.kind != "why":
                assert question.answer.split()[-1] in re.findall(r"\w+", story.text + story.text.lower())
            assert question.answer.split()[-1] in question.reply
    assert set(kinds) == {"who", "what", "where", "why", "how many"} and min(kinds.values()) > 300


def test_write_story_takes_a_plot_or_says_which_there_are() -> None:
    assert all(write_story(random.Random(1), name).plot == name for name in PLOT_NAMES)
    with pytest.raises(InputError, match="plot 'war' is unknown: use one of lost, share"):
        write_story(random.Random(1), "war")
    with pytest.raises(InputError, match="n=-1"):
        stories(-1, 0)
    assert stories(0, 0) == []


def test_the_nearest_story_is_found_among_thousands(told: list[Story]) -> None:
    texts = [story.text for story in told]
    index = StoryIndex(texts)
    assert index.nearest(texts[1234]).index == 1234 and index.nearest(texts[1234]).share == 1.0
    changed = texts[77].replace(told[77].facts["hero"], "Zorro")
    assert index.nearest(changed).index == 77 and 0.3 < index.nearest(changed).share < 1.0
    other = index.nearest("Nothing like this was ever said by anybody anywhere.")
    assert other.share == 0.0 and other.text == texts[0]
    assert nearest_story(texts[5], texts[:10]).index == 5
    with pytest.raises(InputError, match="no stories to compare"):
        StoryIndex([])


def test_the_roles_of_plots_are_used_and_known() -> None:
    for plot in PLOTS:
        assert set(plot.own) <= set(plot.roles), f"{plot.name} describes a role that no beat mentions"
        assert set(plot.roles) <= {*COMMON_ROLES, *plot.own}
