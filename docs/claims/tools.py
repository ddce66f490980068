"""What the chapters on tools and on the journey of a token say about the code, proved by running it."""

from __future__ import annotations

import ast
import operator
from contextlib import AbstractContextManager

import torch

from docs._ext.claims import check, claim, mutant
from docs._ext.mutation import edited, swapped
from docs.pictures import tools
from nanochat import calculator, conversation, engine
from nanochat.bpe import split_text
from nanochat.calculator import CalculatorError, calculate
from nanochat.engine import TextStream
from nanochat.tokenizer import SPLIT_PATTERN

STREAM = "nanochat.engine.Engine.stream"
STEPS = "nanochat.engine.Engine._steps"
OUTPUT = "nanochat.engine._Row._output"
CALCULATE = "nanochat.calculator.calculate"
PROBABILITIES = "nanochat.engine.next_token_probabilities"
REFUSED = (
    "2**9", "'a'*9", "x", "[1, 2]", "True", "().__class__", "(lambda: 1)()", "__import__('os').getcwd()",
    "'a'.upper()", "1/0",
)  # fmt: skip
"""What the page says is refused; harmless where a mutant runs it after all."""


# ---- ways to break the package -------------------------------------------------------------------------------


@mutant("calculator-is-eval", "the calculator runs whatever it is given as a program")
def calculator_is_eval() -> AbstractContextManager[object]:
    return edited(
        CALCULATE,
        *("if not _ALLOWED.fullmatch(text):", "if False:"),
        *('result = _Reader(text).value(ast.parse(text, mode="eval").body)', "result = eval(text)"),
        *("return _written(result)", "return str(result)"),
    )


@mutant("powers-allowed", "the calculator's list of signs has the power")
def powers_allowed() -> AbstractContextManager[object]:
    return swapped("nanochat.calculator._TWO", {**calculator._TWO, ast.Pow: operator.pow})


@mutant("fractions-are-floats", "the calculator computes with rounded numbers")
def fractions_are_floats() -> AbstractContextManager[object]:
    return edited(
        "nanochat.calculator._Reader._compute",
        'return Fraction(self.source[node.col_offset : node.end_col_offset].decode("ascii"))',
        "return float(node.value)",
        "return Fraction(_TWO[type(sign)](self.value(left), self.value(right)))",
        "return Fraction(float(_TWO[type(sign)](float(self.value(left)), float(self.value(right)))))",
    )


@mutant("calculator-silent", "no calculation ever has an output")
def calculator_silent() -> AbstractContextManager[object]:
    return edited(OUTPUT, "return [start, *self.tokenizer.encode(result), end]", "return []")


@mutant("output-without-marks", "the result is forced without its marks")
def output_without_marks() -> AbstractContextManager[object]:
    return edited(OUTPUT, "return [start, *self.tokenizer.encode(result), end]", "return self.tokenizer.encode(result)")


@mutant("refusal-is-forced", "a refused expression gets the word error for an output")
def refusal_is_forced() -> AbstractContextManager[object]:
    return edited(OUTPUT, "except InputError:\n        return []", "except InputError:\n        result = 'error'")


@mutant("forced-not-shown", "in place of a forced token the model is shown token 0")
def forced_not_shown() -> AbstractContextManager[object]:
    return edited(
        STEPS,
        "torch.tensor(step.tokens, device",
        "torch.tensor([0 if put else t for t, put in zip(step.tokens, step.forced)], device",
    )


@mutant("one-state-for-all", "all rows share one open expression and one line of forced tokens")
def one_state_for_all() -> AbstractContextManager[object]:
    return edited(STREAM, "[_Row(self.tokenizer) for _ in range(num_samples)]", "[_Row(self.tokenizer)] * num_samples")


@mutant("tools-everywhere", "calculations are done outside of answers too")
def tools_everywhere() -> AbstractContextManager[object]:
    return edited(STREAM, "self._open_answer(tokens) if tools else None", "[]")


@mutant("bytes-not-held-back", "each token becomes characters at once, whole or not")
def bytes_not_held_back() -> AbstractContextManager[object]:
    return edited(
        "nanochat.engine.TextStream.push",
        "self._decoder.decode(self._tokenizer.token_bytes(token))",
        "self._tokenizer.token_bytes(token).decode('utf-8', 'replace')",
    )


@mutant("prompt-without-mark", "a prompt does not open the assistant's turn")
def prompt_without_mark() -> AbstractContextManager[object]:
    return edited(
        "nanochat.conversation.render_prompt",
        '[*render(tokenizer, conversation).ids, tokenizer.special("<|assistant_start|>")]',
        "list(render(tokenizer, conversation).ids)",
    )


@mutant("last-place-only", "the model gives the scores of the last place alone")
def last_place_only() -> AbstractContextManager[object]:
    return edited(
        "nanochat.gpt.GPT.forward",
        "if targets is None:\n        return logits",
        "if targets is None:\n        return logits[:, -1:]",
    )


@mutant("page-without-start", "the stream to the page begins with the first token")
def page_without_start() -> AbstractContextManager[object]:
    return edited("nanochat.web.server.page_events", 'type="token",', 'type="start" if event.forced else "token",')


# ---- tools ---------------------------------------------------------------------------------------------------


def _right(**settings: bool) -> tuple[int, int]:
    """Questions that the pupil is asked, and how many of its greedy answers end with the right sum."""
    writer, tok = tools.engine(), tools.tokenizer()
    pairs = [(a, b) for a in range(1, tools.LARGEST + 1) for b in range(1, tools.LARGEST + 1)]
    right = 0
    for a, b in pairs:
        ids = writer.generate(tools.prompt(a, b), temperature=0, max_tokens=24, **settings)[0]
        right += conversation.parse_answer(tok, ids).text.split()[-2:] == [str(a + b), "€."]
    return len(pairs), right


@claim("tools-on-off", about=STREAM, killed_by="calculator-silent")
def on_off() -> str:
    asked, on = _right()
    off = _right(tools=False)[1]
    check.above(on, 0.9 * asked, "right answers with the calculator")
    check.below(off, 0.2 * asked, "right answers without it")
    return (
        f"With the calculator more than nine in ten of the pupil's answers to {asked} questions are right; with the "
        "calculator switched off, fewer than two in ten of the same model's."
    )


@claim("tools-pieces", about="nanochat.tokenizer.SPLIT_PATTERN", killed_by="digits-three-by-three")
def pieces() -> str:
    cut = {text: split_text(text, SPLIT_PATTERN) for text in ("1234", "934")}
    check(cut, {"1234": ["12", "34"], "934": ["93", "4"]}, "two digits a piece, from the left")
    return f"Before any merge, 1234 is cut into {' and '.join(cut['1234'])}, and 934 into {' and '.join(cut['934'])}."


@claim("tools-forced", about=STREAM, killed_by=("output-without-marks", "calculator-silent"))
def forced() -> str:
    steps, _ = tools.parroted(["<|python_start|>", "12*12", "<|python_end|>", ".", "<|assistant_end|>"], forced=5)
    put = [step.tokens[0] for step in steps if step.forced[0]]
    check(tools.PLAIN.decode(put), "<|output_start|>144<|output_end|>", "what was forced")
    return (
        f"To `12*12` the engine adds {len(put)} tokens: `<|output_start|>`, the three digits of 144, `<|output_end|>`."
    )


@claim("tools-shown", about=STREAM, killed_by="forced-not-shown")
def shown() -> str:
    steps, seen = tools.parroted(["<|python_start|>", "6*7", "<|python_end|>", "42", "<|assistant_end|>"], forced=4)
    tokens = [step.tokens[0] for step in steps]
    check(seen[2:], tokens[:-1], "the model is shown each new token but the last, forced or not")
    return (
        f"In an answer of {len(tokens)} tokens, {sum(step.forced[0] for step in steps)} of them forced, the model is "
        f"asked {len(tokens)} times, and it is shown the forced tokens like its own."
    )


@claim("tools-refuses", about=CALCULATE, killed_by=("calculator-is-eval", "powers-allowed"))
def refuses() -> str:
    for expression in REFUSED:
        check.raises(CalculatorError, lambda text=expression: calculate(text), f"{expression} is refused")
    return f"All {len(REFUSED)} of these are refused: {', '.join(f'`{one}`' for one in REFUSED)}."


@claim("tools-exact", about=CALCULATE, killed_by="fractions-are-floats")
def exact() -> str:
    n = 987_654_321
    got = calculate(f"{n}*{n}")
    check(got, str(n * n), "whole numbers are exact")
    check.true(int(float(n) * float(n)) != n * n, "rounded numbers would be wrong here")
    return f"`{n}*{n}` is {got}, right to the last digit."


@claim("tools-refused-goes-on", about=STREAM, killed_by="refusal-is-forced")
def refused_goes_on() -> str:
    steps, _ = tools.parroted(["<|python_start|>", "9**9", "<|python_end|>", "Sorry", "<|assistant_end|>"])
    count = sum(step.forced[0] for step in steps)
    check(tools.PLAIN.decode(step.tokens[0] for step in steps[-6:-1]), "Sorry", "the model writes on")
    return f"Behind a refused expression the engine forces {count} tokens, and the model writes on by itself."


@claim("tools-rows", about=STREAM, killed_by="one-state-for-all")
def rows() -> str:
    tok, number = tools.tokenizer(), 8
    answers = tools.engine().generate(tools.prompt(), number, **tools.SETTINGS, seed=tools.SEED)
    said = [tok.decode(answer) for answer in answers]
    check(
        sum("4+3<|python_end|><|output_start|>7<|output_end|>7 €." in text for text in said), number, "each by itself"
    )
    calls = {text.index("<|output_start|>") for text in said}
    check.above(len(calls), 1, "places at which a call ends")
    return (
        f"Of {number} answers written at once, all {number} get their own result, although their calls end at "
        "different steps."
    )


@claim("tools-only-in-answers", about=STREAM, killed_by="tools-everywhere")
def only_in_answers() -> str:
    parts = ["<|python_start|>", "6*7", "<|python_end|>", "!", "<|assistant_end|>"]
    outside, _ = tools.parroted(parts, before="<|user_start|>")
    inside, _ = tools.parroted(parts, forced=4)
    counts = [sum(step.forced[0] for step in steps) for steps in (inside, outside)]
    check(counts[0], 4, "forced in an answer")
    return f"The same call gets {counts[0]} forced tokens in the assistant's turn, and {counts[1]} in the user's."


# ---- the journey ---------------------------------------------------------------------------------------------


@claim("journey-bytes", about="nanochat.tokenizer.Tokenizer.encode", killed_by="bytes-backwards")
def as_bytes() -> str:
    tok, words = tools.tokenizer(), tools.question(4, 3).messages[0].text
    ids = tok.encode(words)
    check(tok.decode(ids), words, "nothing is lost")
    return (
        f"The {len(words)} characters of `{words}` are {len(words.encode())} bytes and become {len(ids)} tokens: "
        f"{', '.join(map(str, ids))}."
    )


@claim("journey-prompt", about="nanochat.conversation.render_prompt", killed_by="prompt-without-mark")
def the_prompt() -> str:
    ids = tools.prompt()
    check(ids[-1], tools.tokenizer().special("<|assistant_start|>"), "the last token opens the assistant's turn")
    return f"The prompt has {len(ids)} tokens; our 4 is number {ids[2]} at place 2, and number {ids[-1]} comes last."


@torch.no_grad()
def _through() -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
    """What enters each block and leaves the last, the scores before the cap, and the scores."""
    model, kept, raw = tools.model(), [], []
    hooks = [block.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0])) for block in model.blocks]
    hooks += [model.blocks[-1].register_forward_hook(lambda _, __, out: kept.append(out))]
    hooks += [model.head.register_forward_hook(lambda _, __, out: raw.append(out))]
    try:
        scores = model(torch.tensor([tools.prompt()]))
    finally:
        for hook in hooks:
            hook.remove()
    return kept, raw[0], scores


@claim("journey-row", about="nanochat.gpt.GPT.stream", killed_by="embedding-not-normed")
def row() -> str:
    model, (stream, _, _) = tools.model(), _through()
    vector = stream[0][0, 2]
    check.close(vector.square().mean().item(), 1.0, "the mean square after the norm", abs=1e-3)
    table = model.embed.weight
    return (
        f"The table has {table.size(0)} rows of {table.size(1)} numbers; row 52 is copied out and scaled, so that the "
        f"mean of its squares is {vector.square().mean():.2f}."
    )


@claim("journey-shapes", about="nanochat.gpt.GPT.forward", killed_by="last-place-only")
def shapes() -> str:
    stream, _, scores = _through()
    seen = {tuple(x.shape) for x in stream}
    check(len(seen), 1, "a block changes no shape")
    return (
        f"Into each of the {len(stream) - 1} blocks and out of it goes a stream of shape {tuple(stream[0].shape)}; "
        f"the head makes scores of shape {tuple(scores.shape)} from it."
    )


@claim("journey-cap", about="nanochat.gpt.soft_cap", killed_by=("no-softcap", "softcap-clips"))
def cap() -> str:
    _, raw, scores = _through()
    high, low = raw[0, -1].max().item(), scores[0, -1].max().item()
    check.above(high - low, 0.5, "what the cap takes off the highest score")
    check(scores[0, -1].topk(3).indices.tolist(), raw[0, -1].topk(3).indices.tolist(), "the order of the best three")
    return (
        "At this place the cap takes more than half a point off the highest score, and the order of the best three "
        "stays."
    )


@claim(
    "journey-three", about=PROBABILITIES, killed_by=("temperature-ignored", "temperature-multiplied", "top-k-ignored")
)
def three() -> str:
    own = engine.next_token_probabilities(tools.scores()[None])[0]
    drawn = engine.next_token_probabilities(tools.scores()[None], **tools.SETTINGS)[0]
    best = own.topk(3).indices
    check.above(own[best].sum().item(), 0.95, "the share of the three best")
    check.above((drawn[best[0]] - own[best[0]]).item(), 0.01, "what the first one wins by the temperature")
    left = int((drawn > 0).sum())
    return (
        f"Three tokens hold more than 95% of the probability; at temperature {tools.SETTINGS['temperature']} the first "
        f"of them gains a little, and with top-k {left} only {left} of {own.numel()} tokens can still be drawn."
    )


@claim("journey-held-back", about="nanochat.engine.TextStream.push", killed_by="bytes-not-held-back")
def held_back() -> str:
    text = TextStream(tools.tokenizer())
    ids = tools.tokenizer().encode("€")
    shown = [text.push(token) for token in ids]
    check(shown, ["", "", "€"], "what each token adds")
    return f"The tokens {ids[0]} and {ids[1]} add nothing to the text, and {ids[2]} adds the whole sign €."


@claim("journey-events", about="nanochat.web.server.page_events", killed_by="page-without-start")
def sent() -> str:
    found = tools.events()
    kinds = [event["type"] for event in found]
    tokens = kinds.count("token")
    check(kinds, ["start", *["token"] * tokens, "end"], "the order of the events")
    said = "".join(part["text"] for event in found[1:] for part in event["parts"] if part["kind"] == "text")
    check(said, "It is 7 €.", "the words that the page puts together")
    return f"An answer of {tokens} tokens arrives as {len(found)} events: one start, {tokens} tokens, one end."
