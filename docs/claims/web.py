"""What the chapter on the web page says about the server, proved by asking a real one inside this process."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager

from docs._ext.claims import check, claim, mutant
from docs._ext.mutation import edited, swapped
from docs.pictures import bench, serving, tools
from nanochat.engine import Step
from nanochat.web import guard
from nanochat.web.server import Limits, Served, page_files

EVENTS = "nanochat.web.server.page_events"
PROMPT = "nanochat.web.server.Chat.prompt"
READER = "nanochat.web.answers.AnswerReader"
WORKER = "nanochat.web.worker.Worker"
GUARD = "nanochat.web.guard.Guard"
APP = "nanochat.web.server.create_app"


# ---- ways to break the package -------------------------------------------------------------------------------


@mutant("server-reads-last-only", "the server makes the prompt of the last message alone")
def reads_last_only() -> AbstractContextManager[object]:
    return edited(PROMPT, "for message in request.messages]", "for message in request.messages[-1:]]")


@mutant("server-never-forgets", "a chat that does not fit is refused, also where it comes from the page")
def never_forgets() -> AbstractContextManager[object]:
    return edited(PROMPT, "if forget:", "if forget and False:")


@mutant("server-always-forgets", "a chat that does not fit is shortened, also where a program asks")
def always_forgets() -> AbstractContextManager[object]:
    return edited(PROMPT, "if forget:", "if True:")


@mutant("marks-not-sent", "tokens that are marks are not sent to the page")
def marks_not_sent() -> AbstractContextManager[object]:
    return edited(
        EVENTS,
        *('if isinstance(event, Written):\n', 'if isinstance(event, Written) and event.kind == "mark":\n            '
          'continue\n        elif isinstance(event, Written):\n'),
    )  # fmt: skip


@mutant("reader-holds-nothing-back", "each token is shown as what its bytes alone say")
def holds_nothing_back() -> AbstractContextManager[object]:
    return edited(
        f"{READER}._text",
        "self._decoder.decode(self._tokenizer.decode_bytes(tokens))",
        "self._tokenizer.decode_bytes(tokens).decode('utf-8', 'replace')",
    )


@mutant("whole-answers-in-turn", "the worker writes one answer to its end before it looks at the next")
def whole_answers_in_turn() -> AbstractContextManager[object]:
    return edited(f"{WORKER}._run", "for job in list(self._active):", "for job in list(self._active)[:1]:")


@mutant("places-unlimited", "every chat gets a place at once")
def places_unlimited() -> AbstractContextManager[object]:
    return edited(
        f"{WORKER}._admit", "while self._waiting and len(self._active) < self.max_active:", "while self._waiting:"
    )


@mutant("queue-unlimited", "any number of chats may wait")
def queue_unlimited() -> AbstractContextManager[object]:
    return edited(f"{WORKER}.submit", "if len(self._waiting) >= self.max_waiting and", "if False and")


@mutant("cancel-ignored", "the worker does not look whether anybody still reads")
def cancel_ignored() -> AbstractContextManager[object]:
    return edited("nanochat.web.worker.Job.over", "if self._cancelled.is_set():", "if False:")


@mutant("candidates-of-the-draw", "the panel gets the probabilities of the draw in place of the model's own")
def candidates_of_the_draw() -> AbstractContextManager[object]:
    return edited(
        "nanochat.web.answers.Answer.take",
        "own = next_token_probabilities(scores)[0]",
        "own = next_token_probabilities(scores, self._temperature, self._top_k)[0]",
    )


@mutant("unknown-fields-ignored", "a request may hold fields that nobody knows")
def unknown_fields_ignored() -> AbstractContextManager[object]:
    return edited("nanochat.web.messages.read_request", "return kind.model_validate(found)",
                  "return kind.model_validate({k: v for k, v in found.items() if k in kind.model_fields})")  # fmt: skip


@mutant("key-not-looked-at", "every key is the right one")
def key_not_looked_at() -> AbstractContextManager[object]:
    return edited(f"{GUARD}._refuse", "if self._key is not None and", "if False and")


@mutant("bucket-never-empties", "tokens cost nothing")
def bucket_never_empties() -> AbstractContextManager[object]:
    return edited("nanochat.web.guard.TokenBuckets.spend", "self._level(client) - tokens", "self._level(client)")


@mutant("any-script-may-run", "the browser is told that scripts of any origin may run")
def any_script_may_run() -> AbstractContextManager[object]:
    policy = guard.SECURITY_HEADERS["content-security-policy"].replace("script-src 'self'", "script-src *")
    return swapped("nanochat.web.guard.SECURITY_HEADERS", {**guard.SECURITY_HEADERS, "content-security-policy": policy})


@mutant("marks-in-the-words", "the second door sends calculations as words")
def calculations_as_words() -> AbstractContextManager[object]:
    return edited(
        "nanochat.web.server._whole_completion",
        'words += [part.text for part in event.parts if part.kind == "text"]',
        "words += [part.text for part in event.parts]",
    )


@mutant("dice-shared", "all chats throw one pair of dice")
def dice_shared() -> AbstractContextManager[object]:
    return edited(
        "nanochat.engine.Engine.stream",
        *("torch.Generator(device=model.device).manual_seed(seed)", "torch.default_generator"),
    )


@mutant("server-computes", "whoever takes a job writes the whole answer before doing anything else")
def server_computes() -> AbstractContextManager[object]:
    return edited(
        f"{WORKER}.submit",
        "self._waiting.append(job)",
        "[job.emit(step) for step in job.steps]; job.emit(Ended('stop'))",
    )


@mutant("start-names-no-seed", "the reply says that the seed was 0")
def start_names_no_seed() -> AbstractContextManager[object]:
    return edited(EVENTS, 'seed=settings["seed"]', "seed=0")


@mutant("every-end-is-good", "an answer that failed ends like any other")
def every_end_is_good() -> AbstractContextManager[object]:
    return edited("nanochat.web.server.ended_badly", 'if ended.reason in ("stop", "length"):', "if True:")


@mutant("nobody-waits-before", "whoever comes is told to be the next")
def nobody_waits_before() -> AbstractContextManager[object]:
    return edited(f"{WORKER}.submit", "ahead = len(self._waiting) if", "ahead = 0 if")


@mutant("deadline-ignored", "the worker does not look at the clock")
def deadline_ignored() -> AbstractContextManager[object]:
    return edited("nanochat.web.worker.Job.over", "if time.monotonic() > self.deadline:", "if False:")


# ---- what is asked -------------------------------------------------------------------------------------------

FIRST = (serving.QUESTION, "It is 7 €.", "5+1 €?")
"""A chat with a second question."""


def _large() -> Served:
    """A model with room for a longer chat, whose answers mean nothing."""
    writer = bench.writer()
    return Served(writer.model, writer.tokenizer)


@claim("web-whole-chat", about=(PROMPT, EVENTS), killed_by="server-reads-last-only")
def whole_chat() -> str:
    """Ask a second question with its chat and without, and read what the server says that it read."""
    with serving.serving(served=_large()) as app:
        start = serving.ask(app, "/api/chat", serving.chat(*FIRST, max_tokens=1)).events()[0]
        alone = [
            serving.ask(app, "/api/chat", serving.chat(FIRST[-1], max_tokens=1)).events()[0]["prompt"] for _ in "ab"
        ]
    check(alone[0], alone[1], "the question alone is read alike before and after")
    return (
        f"A second question travels with all {len(FIRST)} messages of the chat, and the model reads "
        f"{start['prompt_tokens']} tokens. Sent alone, the question makes it read {len(alone[0])}, the same "
        f"{len(alone[0])} as if "
        "nobody "
        "had ever asked before."
    )


@claim("web-forgets", about=PROMPT, killed_by="server-never-forgets")
def forgets() -> str:
    """Send the same chat to a model with a short context."""
    with serving.serving() as app:
        reply = serving.ask(app, "/api/chat", serving.chat(*FIRST, max_tokens=10))
        check(reply.status, 200, "the chat is answered")
        dropped = reply.events()[0]["dropped"]
    return (
        f"In a context of {tools.CONTEXT} tokens, 10 of them kept free for the answer, {dropped} of the {len(FIRST)} "
        "messages of our chat are left out, and the reply says so."
    )


@claim("web-seed-said", about=(APP, EVENTS), killed_by="start-names-no-seed")
def seed_said() -> str:
    """Ask without a seed, and then with the one that was taken."""
    wishes = {"max_tokens": 10, "temperature": 1.0}
    with serving.serving(served=_large()) as app:
        first = serving.ask(app, "/api/chat", serving.chat("Hi", **wishes)).events()
        seed = first[0]["seed"]
        again = serving.ask(app, "/api/chat", serving.chat("Hi", **wishes, seed=seed)).events()
    rows = [[event["id"] for event in events if event["type"] == "token"] for events in (first, again)]
    check(rows[1], rows[0], "the tokens of both answers")
    return "Ask without a seed, and then once more with the one that the reply names: the same 10 tokens come."


# ---- what is sent --------------------------------------------------------------------------------------------


@claim("web-pieces", about=EVENTS, killed_by=("marks-not-sent", "page-without-start"))
def pieces() -> str:
    """Count the pieces in which the answer leaves the server."""
    reply = serving.answered()
    kinds = [event["type"] for event in reply.events()]
    tokens = kinds.count("token")
    check(kinds, ["start", *["token"] * tokens, "end"], "the order of the events")
    check(len(tools.written()), tokens, "the tokens that the engine writes")
    check(reply.headers["content-type"].partition(";")[0], "text/event-stream", "the kind of the reply")
    return f"The answer of {tokens} tokens arrives as {len(kinds)} events in {len(reply.pieces)} pieces."


@claim("web-held-back", about=READER, killed_by="reader-holds-nothing-back")
def held_back() -> str:
    """Look which tokens of the answer bring a part."""
    tokens = [event for event in serving.answered().events() if event["type"] == "token"]
    call = next(place for place, event in enumerate(tokens) if any(p["kind"] == "python" for p in event["parts"]))
    opened = next(place for place, event in enumerate(tokens) if event["piece"] == "<|python_start|>")
    check(
        [event["parts"] for event in tokens[opened:call]], [[]] * (call - opened), "nothing comes before the end mark"
    )
    check("".join(p["text"] for e in tokens for p in e["parts"] if p["kind"] == "text"), "It is 7 €.", "the words")
    number = {5: "fifth"}[call - opened + 1]
    return (
        f"Of the {len(tokens)} tokens of our answer, {sum(bool(event['parts']) for event in tokens)} bring "
        "something to "
        f"show; the call `{tokens[call]['parts'][-1]['text']}` comes whole, with the {number} of its "
        f"{call - opened + 1} tokens."
    )


@claim("web-error", about=(EVENTS, "nanochat.web.server.ended_badly"), killed_by="every-end-is-good")
def error() -> str:
    """Let the model fail at its third token."""
    calls: list[int] = []

    def fail(*_: object) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise ArithmeticError("a model that fails on purpose")

    with serving.serving() as app, serving.quiet():
        hook = app.chat.served.model.register_forward_pre_hook(fail)
        try:
            reply = serving.ask(app, "/api/chat", serving.chat(serving.QUESTION))
        finally:
            hook.remove()
    kinds = [event["type"] for event in reply.events()]
    check(kinds, ["start", "token", "token", "error"], "the events")
    return (
        f"A model that fails at its third token leaves a start, {kinds.count('token')} tokens and an `error` in place "
        "of the `end`."
    )


# ---- who writes when -----------------------------------------------------------------------------------------


@claim("web-turns", about=WORKER, killed_by="whole-answers-in-turn")
def turns() -> str:
    """Let three jobs begin together and note who writes."""
    order = serving.turns((3, 3, 3), 3)
    return f"Three answers of 3 tokens that begin together are written in the order {' '.join(order)}."


@claim("web-place-freed", about=WORKER, killed_by="places-unlimited")
def place_freed() -> str:
    """Give three jobs two places."""
    order = serving.turns((2, 4, 2), 2)
    check(order, ["A", "B", "A", "B", "B", "B", "C", "C"], "C writes once A has ended")
    return "With 2 places, a third answer begins in the round after the first one has ended."


@claim("web-company", about=(WORKER, "nanochat.engine.Engine.stream"), killed_by="dice-shared")
def company() -> str:
    """Let the worker write an answer alone, and in turn with three others."""
    writer = bench.writer()

    def stream(seed: int) -> Iterator[Step]:
        return writer.stream([5, seed], max_tokens=8, seed=seed, stop=())

    (alone,) = serving.written_together([stream(1)])
    together = serving.written_together([stream(seed) for seed in (1, 2, 3, 4)])
    check(len(alone), 8, "tokens of the answer")
    check(together[0], alone, "the same tokens")
    return f"A question gets the same tokens alone as in company of {len(together) - 1} others."


@claim("web-ahead", about=f"{WORKER}.submit", killed_by="nobody-waits-before")
def ahead() -> str:
    """Let three jobs come to one place."""
    shared = serving.Bench(1)
    told = [shared.put(name, 1) for name in "ABC"]
    shared.run()
    check(told[:2], [0, 0], "what the first two are told")
    return (
        f"With a single place taken, the second to come is next, and the third is told that {told[2]} waits before it."
    )


@claim("web-busy", about=(f"{WORKER}.submit", APP), killed_by="queue-unlimited")
def busy() -> str:
    """Fill the only place and the only seat to wait in, and ask once more."""
    with serving.serving(Limits(max_active=1, max_waiting=1)) as app:
        shared = serving.Bench(1, 1)
        shared.put("A", 2)
        shared.put("B", 2)
        kept, app.chat.worker = app.chat.worker, shared.worker
        try:
            with shared.held_while_refusing():
                reply = serving.ask(app, "/api/chat", serving.chat(serving.QUESTION))
        finally:
            app.chat.worker = kept
            shared.run()
    check(reply.status, 503, "the request is refused")
    return (
        f"With 1 place taken and 1 to wait in taken too, a third request gets the status {reply.status} and the "
        "advice "
        f"to try again after {reply.headers['retry-after']} seconds."
    )


@claim("web-health", about=(WORKER, APP), killed_by="server-computes")
def health() -> str:
    """Hold the model in the middle of a token and ask the server how it is."""
    with serving.serving() as app:
        state = serving.asked_meanwhile(app, serving.chat(serving.QUESTION, max_tokens=1), "/health").json()
    check(state["status"], "ok", "how it is")
    return (
        "While the model is held in the middle of a token, the server still answers when it is asked how it is: "
        f"{state['active']} answer is being written, {state['waiting']} wait."
    )


@claim("web-stop", about=("nanochat.web.worker.Job.cancel", WORKER), killed_by="cancel-ignored")
def stop() -> str:
    """Stop a job of ten tokens from the place that hears of its third."""
    shared = serving.Bench(1)

    def third(name: str) -> None:
        if shared.order.count(name) == 3:
            shared.jobs[name].cancel()

    shared.put("A", 10, third)
    order = shared.run()
    check(order, ["A"] * 3, "three tokens were written")
    check(shared.ended["A"], "cancelled", "why it ended")
    check(shared.worker.active, 0, "places taken")
    return "A job that is stopped after its third token of ten writes no fourth, and its place is free."


@claim("web-deadline", about="nanochat.web.worker.Job.over", killed_by="deadline-ignored")
def deadline() -> str:
    """Submit a job whose time was over before it came."""
    written, reason = serving.late()
    check(written, 0, "tokens written")
    return f"A job whose time is over writes nothing more, and ends with the reason `{reason}`."


# ---- what is shown and what is refused -----------------------------------------------------------------------


@claim("web-panel", about="nanochat.web.answers.Answer", killed_by="candidates-of-the-draw")
def panel() -> str:
    """Look at the candidates of a greedy answer."""
    tokens = [event for event in serving.answered(temperature=0.0).events() if event["type"] == "token"]
    chosen = [event for event in tokens if not event["forced"]]
    counts = {len(event["candidates"]) for event in chosen}
    check([event["candidates"] for event in tokens if event["forced"]], [[]] * (len(tokens) - len(chosen)), "forced")
    check({event["chosen"]["drawn_with"] for event in chosen}, {1.0}, "the draw is certain")
    check.below(min(event["chosen"]["own"] for event in chosen), 0.9, "the model is not, at one place at least")
    (count,) = counts
    return (
        f"The page gets {count} candidates for each token that the model chose, and none for one that was forced. At "
        "temperature 0 the chosen one is drawn with 1, whatever the model gave it."
    )


@claim(
    "web-refusals",
    about=("nanochat.web.messages.read_request", GUARD),
    killed_by=("unknown-fields-ignored", "key-not-looked-at"),
)
def refusals() -> str:
    """Ask in five wrong ways."""
    good = serving.chat(serving.QUESTION, max_tokens=1)
    with serving.serving(Limits(max_body=1000), key="sesame") as app:

        def status(content: object, **headers: str) -> int:
            return serving.ask(app, "/api/chat", content, {"authorization": "Bearer sesame", **headers}).status

        check(status(good), 200, "a good request is answered")
        broken, unknown = status(b"4+3?"), status({**good, "temprature": 1.0})
        large, key, host = (
            status(b" " * 1001),
            status(good, authorization="Bearer simsim"),
            status(good, host="foe.example"),
        )
    return (
        f"A text that is no JSON gets the status {broken}, an unknown field {unknown}, a body over the limit "
        f"{large}, a "
        f"wrong key {key}, and a server asked under a foreign name says {host}."
    )


@claim("web-bucket", about="nanochat.web.guard.TokenBuckets", killed_by="bucket-never-empties")
def bucket() -> str:
    """Empty a bucket with a clock that stands still."""
    buckets = guard.TokenBuckets(60, clock=lambda: 0.0)
    buckets.spend("one", 90)
    check(buckets.wait_s("another"), 0.0, "another client")
    return (
        f"Who takes 90 tokens out of a full bucket of {buckets.per_minute} waits {buckets.wait_s('one'):.0f} seconds, "
        "and others do not wait."
    )


@claim("web-no-markup", about=("nanochat.web.server.page_files", GUARD), killed_by="any-script-may-run")
def no_markup() -> str:
    """Read the page's scripts, and the header of a reply."""
    scripts = {name: content.decode() for name, (content, _, _) in page_files().items() if name.endswith(".js")}
    ways = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(")
    check([name for name, text in scripts.items() if ways.search(text)], [], "scripts that make markup of text")
    with serving.serving() as app:
        policy = serving.ask(app, "/").headers["content-security-policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; ") if " " in rule)
    check(rules["script-src"], "'self'", "scripts that may run")
    check(rules["default-src"], "'none'", "all else")
    return (
        f"The page makes text nodes of all that comes: none of its {len(scripts)} scripts holds `innerHTML`, and "
        "each "
        "reply forbids the browser to run any script that is not the server's own."
    )


# ---- the second door -----------------------------------------------------------------------------------------


@claim("web-second-door", about=APP, killed_by="marks-in-the-words")
def second_door() -> str:
    """Ask the same at both doors."""
    wishes = {"seed": tools.SEED, **tools.SETTINGS}
    with serving.serving() as app:
        events = serving.ask(app, "/api/chat", serving.chat(serving.QUESTION, **wishes)).events()
        whole = serving.ask(app, "/v1/chat/completions", serving.chat(serving.QUESTION, **wishes)).json()
    first = "".join(part["text"] for event in events[1:] for part in event["parts"] if part["kind"] == "text")
    second = whole["choices"][0]["message"]["content"]
    check(second, first, "the words at both doors")
    usage = whole["usage"]
    return (
        f"The same question with the same settings gets the same words at both doors, `{second}`; at the second one "
        f"they come with a count: {usage['prompt_tokens']} tokens read, {usage['completion_tokens']} written."
    )


@claim("web-door-strict", about=PROMPT, killed_by="server-always-forgets")
def door_strict() -> str:
    """Send the chat that is too long to the second door."""
    with serving.serving() as app:
        reply = serving.ask(app, "/v1/chat/completions", serving.chat(*FIRST, max_tokens=10))
    check(reply.json().get("error", {}).get("type"), "invalid_request_error", "what the reply says")
    return f"The chat that the page shortens is refused at the second door, with the status {reply.status}."
