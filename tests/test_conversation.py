import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanochat import conversation
from nanochat.common import InputError
from nanochat.conversation import (
    Conversation,
    Message,
    Part,
    fit_prompt,
    parse_answer,
    render,
    render_prompt,
)
from nanochat.tokenizer import SPECIAL_TOKENS, Tokenizer

TOKENIZER = Tokenizer([b"th", b"the", b" the"])
MARKS = TOKENIZER.special_ids

words = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12) | st.sampled_from(SPECIAL_TOKENS)
tools = st.builds(
    lambda call, result: [Part("python", call)] + ([] if result is None else [Part("output", result)]),
    words | st.just(""),
    st.none() | words | st.just(""),
)
answers = st.lists(words.map(lambda text: [Part("text", text)]) | tools, max_size=5).map(
    lambda runs: Message("assistant", tuple(part for run in runs for part in run))
)
users = words.filter(str.strip).map(Message.user)
chats = st.lists(st.tuples(users, answers), min_size=1, max_size=4).map(
    lambda turns: Conversation(tuple(message for turn in turns for message in turn))
)


def ids(*pieces: str) -> list[int]:
    """Tokens of an answer: a piece that is the name of a mark becomes the mark."""
    return [t for piece in pieces for t in ([MARKS[piece]] if piece in MARKS else TOKENIZER.encode(piece))]


def split_of_tokens(tokens: list[int], mask: list[int], own: int) -> str:
    return TOKENIZER.decode(token for token, mine in zip(tokens, mask, strict=True) if mine == own)


def test_the_examples_of_the_module() -> None:
    assert not doctest.testmod(conversation).failed


def test_the_format_and_the_mask() -> None:
    chat = Conversation.of(
        [
            {"role": "user", "content": "17*3?"},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "It is "},
                    {"type": "python", "text": "17*3"},
                    {"type": "python_output", "text": "51"},
                    {"type": "text", "text": "51."},
                ],
            },
            {"role": "user", "content": "Thanks"},
            {"role": "assistant", "content": "Bye"},
        ]
    )
    rendered = render(TOKENIZER, chat)
    assert TOKENIZER.decode(rendered.ids) == (
        "<|bos|><|user_start|>17*3?<|user_end|><|assistant_start|>It is <|python_start|>17*3<|python_end|>"
        "<|output_start|>51<|output_end|>51.<|assistant_end|>"
        "<|user_start|>Thanks<|user_end|><|assistant_start|>Bye<|assistant_end|>"
    )
    assert len(rendered.ids) == len(rendered.mask)
    assert split_of_tokens(rendered.ids, rendered.mask, 1) == (
        "It is <|python_start|>17*3<|python_end|>51.<|assistant_end|>Bye<|assistant_end|>"
    )
    assert split_of_tokens(rendered.ids, rendered.mask, 0) == (
        "<|bos|><|user_start|>17*3?<|user_end|><|assistant_start|><|output_start|>51<|output_end|>"
        "<|user_start|>Thanks<|user_end|><|assistant_start|>"
    )


@given(chats)
def test_what_is_rendered_is_read_back(chat: Conversation) -> None:
    rendered = render(TOKENIZER, chat)
    at = 0
    for message in chat.messages[1::2]:
        at = rendered.ids.index(MARKS["<|assistant_start|>"], at) + 1
        assert parse_answer(TOKENIZER, rendered.ids[at:]) == message
    assert Conversation.of(chat.as_dicts()).as_dicts() == chat.as_dicts()


@given(chats)
def test_only_the_format_makes_special_tokens(chat: Conversation) -> None:
    """Fault row 40: words, calls and results that spell a mark stay words."""
    expected = {"<|bos|>": 1}
    for message in chat.messages:
        for kind in (message.role, *(part.kind for part in message.parts if part.kind != "text")):
            for end in ("start", "end"):
                expected[f"<|{kind}_{end}|>"] = expected.get(f"<|{kind}_{end}|>", 0) + 1
    got = render(TOKENIZER, chat).ids
    assert {name: got.count(number) for name, number in MARKS.items() if number in got} == expected


@given(chats)
def test_a_prompt_is_the_beginning_of_the_training_row(chat: Conversation) -> None:
    prompt = render_prompt(TOKENIZER, Conversation(chat.messages[:-1]))
    row = render(TOKENIZER, chat)
    assert row.ids[: len(prompt)] == prompt
    assert not row.mask[len(prompt) - 1], "the mark that begins the turn is given"
    assert not chat.messages[-1].parts or chat.messages[-1].parts[0].kind == "output" or row.mask[len(prompt)]


def test_the_same_words_are_the_same_tokens_in_however_many_parts() -> None:
    parts = (Part("text", "th"), Part("text", ""), Part("text", "e cat"), Part("python", "1"), Part("text", ""))
    message = Message("assistant", parts)
    assert message == Message.assistant("the cat", Part("python", "1"))
    assert Message("user", (Part("text", "th"), Part("text", "e"))) == Message.user("the")
    assert TOKENIZER.encode("the") != [*TOKENIZER.encode("th"), *TOKENIZER.encode("e")]


def test_a_prompt_ends_with_the_user() -> None:
    chat = Conversation((Message.user("Hi"), Message.assistant("Hello")))
    for call in (lambda: render_prompt(TOKENIZER, chat), lambda: fit_prompt(TOKENIZER, chat, 100)):
        with pytest.raises(InputError, match="ends with the assistant"):
            call()


# --- Reading answers -----------------------------------------------------------------------------------------------

PS, PE, OS, OE = "<|python_start|>", "<|python_end|>", "<|output_start|>", "<|output_end|>"


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([], []),
        (["<|assistant_end|>"], []),
        (["a", "<|assistant_end|>", PS, "1+1", PE], [("text", "a")]),
        (["a", "<|user_start|>", "b"], [("text", "a")]),
        (["a", "<|bos|>", "b"], [("text", "a")]),
        (["a", PS, "1+1", PE, OS, "2", OE, "b"], [("text", "a"), ("python", "1+1"), ("output", "2"), ("text", "b")]),
        (["a", PS, "1+"], [("text", "a1+")]),
        (["a", PS], [("text", "a")]),
        ([PS, "1", PS, "2", PE], [("text", "1"), ("python", "2")]),
        ([PS, "1", OS, "2", OE, "3", PE], [("text", "123")]),
        ([PS, "1", OE, "2", PE], [("text", "12")]),
        ([PS, "1+1", PE, OS, "2"], [("python", "1+1"), ("text", "2")]),
        ([PS, "1+1", PE, OS, PS, "2", PE], [("python", "1+1"), ("python", "2")]),
        ([PS, "1+1", PE, "x", OS, "2", OE], [("python", "1+1"), ("text", "x2")]),
        ([PS, "1+1", PE, OS, "2", OE, OS, "3", OE], [("python", "1+1"), ("output", "2"), ("text", "3")]),
        ([OS, "2", OE, "b"], [("text", "2b")]),
        (["a", PE, "b", OE, "c"], [("text", "abc")]),
        ([PS, PE, OS, OE], [("python", ""), ("output", "")]),
        ([PS, "1", PE, OS, "<|assistant_end|> 2", OE], [("python", "1"), ("output", "<|assistant_end|> 2")]),
    ],
)
def test_broken_blocks_are_text(pieces: list[str], expected: list[tuple[str, str]]) -> None:
    """Fault row 40: nested, stray and unterminated blocks, calls after the end, results that spell a mark."""
    # A piece that only contains a mark's name, like the last one, is text of a tool.
    assert [(part.kind, part.text) for part in parse_answer(TOKENIZER, ids(*pieces)).parts] == expected


@given(st.lists(st.integers(0, TOKENIZER.vocab_size - 1), max_size=60))
def test_any_tokens_can_be_read(tokens: list[int]) -> None:
    message = parse_answer(TOKENIZER, tokens)
    chat = Conversation((Message.user("Hi"), message))
    prompt = render_prompt(TOKENIZER, Conversation(chat.messages[:1]))
    assert parse_answer(TOKENIZER, render(TOKENIZER, chat).ids[len(prompt) :]) == message


def test_a_character_cut_off_at_the_end_is_left_out() -> None:
    tokens = TOKENIZER.encode("ok 🦊")
    for stop in range(len(tokens) - 3, len(tokens)):
        assert parse_answer(TOKENIZER, tokens[:stop]).text == "ok "
    assert parse_answer(TOKENIZER, tokens).text == "ok 🦊"
    assert parse_answer(TOKENIZER, [*tokens[:-1], *ids(PS, "1", PE)]).text == "ok \ufffd"


# --- Rules (fault row 48) ------------------------------------------------------------------------------------------


def say(*pairs: tuple[object, object]) -> list[dict[str, object]]:
    return [{"role": role, "content": content} for role, content in pairs]


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        ([], "no message"),
        (say(("assistant", "Hi")), "message 1 is the assistant's, expected the user's"),
        (say(("user", "a"), ("user", "b")), "message 2 is the user's, expected the assistant's"),
        (say(("user", "a"), ("assistant", "b"), ("assistant", "c")), "message 3 is the assistant's"),
        (say(("user", "")), "message 1: a user's message is empty"),
        (say(("user", " \n")), "message 1: a user's message is empty"),
        (say(("user", [])), "message 1: a user's message is empty"),
        (say(("system", "Be kind."), ("user", "")), "message 2: a user's message is empty"),
        (say(("system", "Be kind.")), "a system text alone"),
        (say(("user", "a"), ("system", "b")), "message 2: a system text may only come first"),
        (say(("system", "a"), ("system", "b")), "message 2: a system text may only come first"),
        (say(("tool", "a")), "message 1 has role 'tool'"),
        (say(("", "a")), "message 1 has role ''"),
        (say((None, "a")), "message 1 has role None"),
        (say((["user"], "a")), r"message 1 has role \['user'\]"),
        (say(("user", None)), "message 1 has content of type NoneType"),
        (say(("user", 5)), "message 1 has content of type int"),
        (say(("user", b"a")), "message 1 has content of type bytes"),
        (say(("user", {"type": "text", "text": "a"})), "message 1 has content of type dict"),
        (say(("user", ["a"])), "message 1, part 1 is no object"),
        (say(("user", [{"type": "text"}])), "message 1, part 1 is no object"),
        (say(("user", [{"type": "image_url", "text": "a"}])), "message 1, part 1 has type 'image_url'"),
        (say(("user", [{"type": ["text"], "text": "a"}])), "message 1, part 1 has type"),
        (say(("user", [{"type": "python", "text": "1"}])), "message 1: a user's message has a tool call"),
        (say(("system", [{"type": "python", "text": "1"}])), "message 1: a system text has a tool call"),
        (say(("user", "a"), ("assistant", [{"type": "python_output", "text": "1"}])), "message 2: an output stands"),
        (["Hi"], "message 1 is a str"),
        ([{"role": "user"}], "message 1 has no 'content'"),
        ([{"content": "a"}], "message 1 has no 'role'"),
        ("Hi", "messages is a str"),
        ({"role": "user", "content": "Hi"}, "messages is a dict"),
        (None, "messages is a NoneType"),
    ],
)
def test_one_rule_for_roles_and_content(messages: object, problem: str) -> None:
    """Fault row 48: every way to break the rule is refused with the number of the message."""
    with pytest.raises(InputError, match=problem) as error:
        Conversation.of(messages)
    assert "\n" not in str(error.value)


def test_what_the_rule_allows() -> None:
    """Fault row 48: a system text first, lists of parts, an assistant that said nothing."""
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    chat = Conversation.of(say(("system", " Be kind. "), ("user", parts), ("assistant", ""), ("user", "c")))
    assert chat == Conversation((Message.user("Be kind.\n\nab"), Message.assistant(), Message.user("c")))
    assert Conversation.of(say(("system", "  "), ("user", "a"))) == Conversation((Message.user("a"),))
    assert Conversation.of(iter(say(("user", "a")))).then(Message.assistant("b")).messages[1].text == "b"


@pytest.mark.parametrize(
    "make",
    [
        lambda: Part("code", "1"),
        lambda: Part("text", None),
        lambda: Message("system", (Part("text", "a"),)),
        lambda: Message("user", ()),
        lambda: Message.user("\t"),
        lambda: Message("user", (Part("text", "a"), Part("python", "1"))),
        lambda: Message.assistant(Part("output", "1")),
        lambda: Message.assistant(Part("python", "1"), "a", Part("output", "1")),
        lambda: Conversation(()),
    ],
)
def test_impossible_messages_are_refused(make: object) -> None:
    with pytest.raises(InputError):
        make()


# --- What fits (fault row 22) --------------------------------------------------------------------------------------


def test_a_conversation_longer_than_the_context_is_seen() -> None:
    """Fault row 22: the length is known before any training step."""
    chat = Conversation((Message.user("a" * 500), Message.assistant("b")))
    rendered = render(Tokenizer([]), chat)
    assert len(rendered.ids) == len(rendered.mask) == 500 + 1 + 5
    assert sum(rendered.mask) == 2 and not any(rendered.mask[:503]), "cut to 256 tokens nothing is left to learn"


@given(st.lists(st.tuples(users, answers), max_size=4), users, st.integers(1, 200))
def test_the_oldest_turns_go_first(turns: list[tuple[Message, Message]], last: Message, limit: int) -> None:
    """Fault row 59: a prompt is never longer than the limit, and no more is forgotten than needed."""
    messages = (*(message for turn in turns for message in turn), last)
    whole = render_prompt(TOKENIZER, Conversation(messages))
    assert fit_prompt(TOKENIZER, Conversation(messages), len(whole)) == (whole, 0)
    if len(render_prompt(TOKENIZER, Conversation((last,)))) > limit:
        with pytest.raises(InputError, match=f"the limit is {limit}: shorten it"):
            fit_prompt(TOKENIZER, Conversation(messages), limit)
        return
    tokens, dropped = fit_prompt(TOKENIZER, Conversation(messages), limit)
    assert len(tokens) <= limit and dropped % 2 == 0
    assert tokens == render_prompt(TOKENIZER, Conversation(messages[dropped:]))
    assert not dropped or len(render_prompt(TOKENIZER, Conversation(messages[dropped - 2 :]))) > limit


@pytest.mark.parametrize("limit", [0, -1, True, 5.0, "9", None])
def test_the_limit_is_a_whole_number(limit: object) -> None:
    with pytest.raises(InputError, match="whole number of tokens"):
        fit_prompt(TOKENIZER, Conversation((Message.user("a"),)), limit)
