"""The engine's tools: calculations inside an answer, what each step reports, and text that arrives token by token."""

import gc
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat import engine as engine_module
from nanochat.common import InputError
from nanochat.conversation import Conversation, Message, Part, render_prompt
from nanochat.engine import Engine, Step, TextStream, next_token_probabilities
from nanochat.gpt import GPT, GPTConfig
from nanochat.tokenizer import Tokenizer

TOKENIZER = Tokenizer([])  # every byte is a token


def mark(name: str) -> int:
    return TOKENIZER.special(f"<|{name}|>")


def ids(text: str) -> list[int]:
    """Tokens of a text in which ``[python_start]`` stands for the mark."""
    tokens: list[int] = []
    for piece in text.split("["):
        name, closed, rest = piece.partition("]")
        tokens += [mark(name), *TOKENIZER.encode(rest)] if closed else TOKENIZER.encode(piece)
    return tokens


def shown(tokens: Sequence[int]) -> str:
    """The reverse of :func:`ids`."""
    return TOKENIZER.decode(tokens).replace("<|", "[").replace("|>", "]")


def chained(*chains: str, sequence_len: int = 64) -> Engine:
    """A real model of one layer that knows one thing: which token follows which; several may be equally likely."""
    config = GPTConfig.from_depth(1, vocab_size=TOKENIZER.vocab_size, sequence_len=sequence_len, width=272)
    model = GPT(config)
    with torch.no_grad():
        model.embed.weight.copy_(torch.eye(config.n_embd)[: config.vocab_size])
        for chain in map(ids, chains):
            for token, follower in zip(chain, chain[1:], strict=False):
                model.head.weight[follower, token] = 10.0
    return Engine(model, TOKENIZER)


PROMPT = ids("[bos][user_start]?[user_end][assistant_start]")
SUM = "[assistant_start]=[python_start]12+30[python_end]", "[output_end]![assistant_end]"
ANSWER = "=[python_start]12+30[python_end][output_start]42[output_end]!"


def test_a_result_is_forced_into_the_answer() -> None:
    steps = list(chained(*SUM).stream(PROMPT, temperature=0))
    tokens = [step.tokens[0] for step in steps]
    assert shown(tokens) == f"{ANSWER}[assistant_end]"
    forced = [token for token, step in zip(tokens, steps, strict=True) if step.forced[0]]
    assert shown(forced) == "[output_start]42[output_end]"


def test_the_cache_holds_forced_tokens_too(make_model: Callable[..., GPT]) -> None:
    """Row 38: with tools in use, cached and uncached rows are the same; a random model shows every slip."""
    engine = Engine(make_model(sequence_len=64), TOKENIZER)
    prompt = [*PROMPT, *ids("[python_start]12+30[python_end]")]  # the call is complete: its output comes first
    for num_samples in (1, 3):
        with_cache, without = (
            engine.generate(prompt, num_samples, temperature=0, stop=(), use_cache=use) for use in (True, False)
        )
        assert with_cache == without
        assert shown(with_cache[0][:4]) == "[output_start]42[output_end]"


def test_rows_in_different_states() -> None:
    """Some rows calculate at once, some first say something, some do not calculate; none disturbs another."""
    engine = chained(
        "[assistant_start][python_start]1+2[python_end]",
        "[assistant_start]no[assistant_end]",
        "[assistant_start]w[python_start]6*7[python_end]",
        "[output_end]![assistant_end]",
    )
    # After [python_start] both 1 and 6 are likely, so four answers and all of them right are possible.
    rows = {shown(row) for row in engine.generate(PROMPT, 64, seed=1)}
    results = {"1+2": "3", "6*7": "42"}
    calls = {
        f"{head}[python_start]{call}[python_end][output_start]{result}[output_end]!"
        for head in ("", "w")
        for call, result in results.items()
    }
    assert rows == calls | {"no"}
    plain = engine.generate(PROMPT, 64, seed=1, tools=False)
    with_tools = engine.generate(PROMPT, 64, seed=1)
    for one, other in zip(plain, with_tools, strict=True):
        place = one.index(mark("python_end")) + 1 if mark("python_end") in one else None
        assert one[:place] == other[:place], "until its own result comes, a row is drawn as without tools"


def test_stories_are_not_concerned(make_model: Callable[..., GPT]) -> None:
    """A fresh base model draws marks by chance: without an open answer nothing is forced, nothing drawn differs."""
    engine = chained("[bos][python_start]1+1[python_end]x[python_end]")
    for prompt in ("[bos]", "[bos][assistant_start]a[assistant_end]", "[assistant_start][bos]", "[user_start]a"):
        on, off = (
            list(engine.stream(ids(prompt), 3, seed=5, max_tokens=20, stop=(), tools=tools)) for tools in (True, False)
        )
        assert on == off and not any(any(step.forced) for step in on)


def test_tools_can_be_switched_off() -> None:
    row = chained(*SUM, "[python_end]x[assistant_end]").generate(PROMPT, temperature=0, tools=False)[0]
    assert shown(row) == "=[python_start]12+30[python_end]x"


@pytest.mark.parametrize("call", ["1/0", "9**9", "x", "", "1+", "<|bos|>", "print(1)", "9" * 40 + "*" + "8" * 40])
def test_a_refused_expression_has_no_output(call: str) -> None:
    prompt = [*PROMPT, mark("python_start"), *TOKENIZER.encode(call), mark("python_end")]
    row = chained("[python_end]so[assistant_end]", sequence_len=256).generate(prompt, temperature=0)[0]
    assert shown(row) == "so"


@pytest.mark.parametrize(
    ("written", "then"),
    [
        ("[python_start]1+[python_start]2+3[python_end]", "[output_start]5[output_end]"),  # the inner one counts
        ("[python_start]1+1[output_start]2+3[python_end]", "x"),  # another mark ends the block
        ("[python_start]1+1[output_end]2+3[python_end]", "x"),
        ("1+1[python_end]", "x"),  # never begun
        ("[python_start][python_end]", "x"),
        ("[python_start]1+1[python_end][output_start]7[output_end][python_end]", "x"),  # done already
        ("[python_start]1+1[python_end]2", "x"),  # the prompt went on without the result
        ("[python_start]2+3", "x"),
    ],
)
def test_nested_and_broken_blocks(written: str, then: str) -> None:
    """Row 40."""
    engine = chained("[python_end]x", "2x", "3x", "[output_end]![assistant_end]")
    row = engine.generate([*PROMPT, *ids(written)], temperature=0, max_tokens=len(ids(then)))[0]
    assert shown(row) == then


def test_marks_in_a_result_are_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 40: the calculator never says such a thing, so something else has to stand in for it."""
    monkeypatch.setattr(engine_module, "calculate", lambda text: "<|assistant_end|><|bos|>")
    row = chained(*SUM, sequence_len=128).generate(PROMPT, temperature=0)[0]
    assert mark("assistant_end") not in row and mark("bos") not in row
    assert TOKENIZER.decode(row).endswith("<|output_start|><|assistant_end|><|bos|><|output_end|>!")


def test_ended_rows_run_no_tools() -> None:
    """Row 40: a stop ends the row, whatever it has begun."""
    asked: list[str] = []
    calculate = engine_module.calculate
    engine = chained(*SUM, "[python_end]x[assistant_end]")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_module, "calculate", lambda text: asked.append(text) or calculate(text))
        rows = engine.generate(PROMPT, 2, temperature=0, stop=[mark("python_end")])
        assert [shown(row) for row in rows] == ["=[python_start]12+30"] * 2 and asked == []
        # One row ends at once; the other goes on, and only it may calculate.
        engine = chained("[assistant_start][assistant_end][python_start]1+1[python_end]", "[assistant_start]a", "aa")
        steps = list(engine.stream(PROMPT, 8, seed=2, max_tokens=20))
        assert any(not all(step.active) for step in steps) and asked == []


def test_ended_rows_repeat_their_last_token() -> None:
    engine = chained("[assistant_start]a[assistant_end]", "[assistant_start]bcd[assistant_end]xyz")
    steps = list(engine.stream(PROMPT, 16, seed=3))
    for row in range(16):
        tokens = [step.tokens[row] for step in steps]
        length = tokens.index(mark("assistant_end")) + 1
        assert tokens[length:] == [mark("assistant_end")] * (len(tokens) - length)
        assert [step.active[row] for step in steps] == [True] * length + [False] * (len(tokens) - length)


@pytest.mark.parametrize("max_tokens", range(len(ids(ANSWER)) + 2))
def test_the_budget_may_end_anywhere(max_tokens: int) -> None:
    """Row 39: in the middle of the call, of its result, or behind the answer."""
    row = chained(*SUM).generate(PROMPT, temperature=0, max_tokens=max_tokens)[0]
    assert shown(row) == shown(ids(ANSWER)[:max_tokens])


def test_the_context_may_end_anywhere() -> None:
    for length in range(len(PROMPT), len(PROMPT) + len(ids(ANSWER)) + 2):
        row = chained(*SUM, sequence_len=length).generate(PROMPT, temperature=0)[0]
        assert row == ids(ANSWER)[: length - len(PROMPT)]


def test_an_endless_expression_is_not_kept() -> None:
    """Row 40: what the model writes without end costs no memory; what was kept of it is refused as too long."""
    row = engine_module._Row(TOKENIZER)
    for token in ids("[python_start]" + "1" * 5000):
        row.read(token)
    assert row.expression is not None and len(row.expression) < 1100
    row.read(mark("python_end"))
    assert not row.forced and row.expression is None


def test_candidates_and_probabilities() -> None:
    engine = chained("[assistant_start]ab", "[assistant_start]cd", "a[python_start]1+1[python_end]")
    settings = {"temperature": 2.0, "top_k": 5, "seed": 1, "max_tokens": 12, "stop": ()}
    steps = list(engine.stream(PROMPT, 4, top=3, **settings))
    first = steps[0]
    scores = engine.model(torch.tensor([PROMPT]))[:, -1]
    p = next_token_probabilities(scores, 2.0, 5)[0]
    assert first.probabilities == [p[token].item() for token in first.tokens]
    assert first.candidates == [[(i, p[i].item()) for i in p.topk(3).indices.tolist()]] * 4
    assert {first.candidates[0][0][0], first.candidates[0][1][0]} == set(ids("ac"))
    for step in steps:
        for forced, q, candidates in zip(step.forced, step.probabilities, step.candidates, strict=True):
            assert (q, candidates) == (1.0, []) if forced else 0 < q < 1 and len(candidates) == 3
    assert any(any(step.forced) for step in steps)
    plain = list(engine.stream(PROMPT, 4, **settings))
    assert [s.tokens for s in plain] == [s.tokens for s in steps], "looking changes nothing"
    assert all(s.candidates == [[]] * 4 for s in plain)


def test_candidates_without_a_chance_are_not_listed() -> None:
    engine = chained("[assistant_start]ab")
    (step,) = engine.stream(PROMPT, max_tokens=1, temperature=0, top=5)
    assert step.candidates == [[(ids("a")[0], 1.0)]] and step.probabilities == [1.0]
    (step,) = engine.stream(PROMPT, max_tokens=1, top_k=2, top=5)
    assert len(step.candidates[0]) == 2


@pytest.mark.parametrize("top", [-1, 1.0, True, "3", 266, 10**9])
def test_top_without_meaning(top: object) -> None:
    """Row 36."""
    with pytest.raises(InputError, match="top="):
        chained("ab").stream(PROMPT, top=top)


@pytest.mark.parametrize("temperature", [0, 1.0])
def test_damaged_weights_stop_the_engine(temperature: float) -> None:
    """Row 37: at the token where the damage shows, after those before it."""
    engine = chained("[assistant_start]abc")
    with torch.no_grad():
        engine.model.head.weight[:, ids("b")[0]] = float("nan")
        engine.model.embed.weight[:, ids("b")[0]] = 0  # only the token b itself turns on the damaged column
        engine.model.embed.weight[ids("b")[0], ids("b")[0]] = 1
    with pytest.raises(InputError, match="NaN"):
        engine.generate(PROMPT, temperature=temperature)


def resident() -> int:
    """Memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the kernel tells the memory only under /proc")
def test_a_dropped_stream_leaves_nothing_behind() -> None:
    """Row 41: a thousand streams, each with a cache of 2.2 MB, dropped or closed after two tokens."""
    engine = chained("[assistant_start]abc", sequence_len=1024)

    def begin(close: bool) -> None:
        stream = engine.stream(PROMPT)
        next(stream), next(stream)
        if close:
            stream.close()

    for n in range(200):
        begin(close=n % 2 == 0)
    gc.collect()
    before = resident()
    for n in range(1000):
        begin(close=n % 2 == 0)
    gc.collect()
    assert resident() - before < 20e6
    assert not [1 for thing in gc.get_objects() if type(thing) is engine_module.KVCache]


# --- Text that arrives token by token -----------------------------------------------------------------------------


@settings(max_examples=200)
@given(st.text(max_size=40))
def test_a_stream_of_text_never_flickers(text: str) -> None:
    """Row 39: whole characters only; together they are the text."""
    stream = TextStream(TOKENIZER)
    pieces = [stream.push(token) for token in TOKENIZER.encode(text)]
    assert "".join(pieces) == text.encode("utf-8", "replace").decode() and stream.end() == ""
    assert "\ufffd" in text or not any("\ufffd" in piece for piece in pieces)


@settings(max_examples=200)
@given(st.lists(st.integers(0, TOKENIZER.vocab_size - 1), max_size=30))
def test_a_stream_of_any_tokens_shows_what_decoding_shows(tokens: list[int]) -> None:
    stream = TextStream(TOKENIZER)
    text = "".join(stream.push(token) for token in tokens) + stream.end()
    for name in TOKENIZER.special_ids:
        assert name not in text
    whole = TOKENIZER.decode(tokens)
    for name in TOKENIZER.special_ids:
        whole = whole.replace(name, "")
    assert text == whole


def test_a_character_that_is_cut_off() -> None:
    """Row 39: three bytes of four; nothing is shown until it is sure that the fourth never comes."""
    stream = TextStream(TOKENIZER)
    emoji = TOKENIZER.encode("🦉")
    assert [stream.push(token) for token in emoji[:3]] == ["", "", ""] and stream.end() == "\ufffd"
    assert "".join(stream.push(token) for token in [*emoji[:2], *ids("a")]) == "\ufffda"
    assert [stream.push(token) for token in emoji] == ["", "", "", "🦉"] and stream.end() == ""


def test_the_parts_of_an_answer_while_it_arrives() -> None:
    stream = TextStream(TOKENIZER)
    parts: list[tuple[str, str]] = []
    for token in ids("a[python_start]1+1[python_end][output_start]2[output_end]b[assistant_end]"):
        text = stream.push(token)
        if text:
            parts.append((stream.kind, text))
    assert parts == [("text", "a"), *[("python", sign) for sign in "1+1"], ("output", "2"), ("text", "b")]


def test_unknown_ids_are_refused() -> None:
    with pytest.raises(InputError, match="not in the vocabulary"):
        TextStream(TOKENIZER).push(TOKENIZER.vocab_size)


# --- Whole answers ------------------------------------------------------------------------------------------------


def test_answer() -> None:
    said = chained(*SUM).answer(Conversation((Message.user("?"),)), temperature=0)
    assert said == Message.assistant("=", Part("python", "12+30"), Part("output", "42"), "!")
    assert chained(*SUM).answer(Conversation((Message.user("?"),)), max_tokens=3, temperature=0).text == "=1"


def test_answer_forgets_the_oldest_turns() -> None:
    turns = [Message.user("q" * 10), Message.assistant("a" * 10)] * 5
    engine = chained(*SUM)
    said = engine.answer(Conversation((*turns, Message.user("?"))), temperature=0)
    assert said.text == "=!"
    with pytest.raises(InputError, match="shorten it"):
        engine.answer(Conversation((Message.user("q" * 64),)))
    with pytest.raises(InputError, match="max_tokens"):
        engine.answer(Conversation((Message.user("?"),)), max_tokens=-1)
    assert len(render_prompt(TOKENIZER, Conversation((Message.user("?"),)))) == len(PROMPT)


def test_steps_say_what_they_are() -> None:
    steps: list[Step] = list(chained(*SUM).stream(PROMPT, 2, temperature=0))
    fields: Mapping[str, list] = vars(steps[0])
    assert {name: len(value) for name, value in fields.items()} == dict.fromkeys(fields, 2)
