r"""The engine: from tokens to more tokens, one at a time, without computing anything twice.

A model scores every possible next token. The engine picks one, appends it, and asks again. The keys and values of
the positions before are kept in a :class:`KVCache`, so that each new token costs one pass over one position and not
over the whole text.

In an answer the model may ask for a calculation. Then the engine does not draw for a while: it forces the result on the
row, token by token, and the model goes on from there as if it had written it itself:

.. code-block:: text

    drawn    Together <|python_start|>12+30<|python_end|>                                   42 apples.
    forced                                               <|output_start|>42<|output_end|>
"""

from __future__ import annotations

import codecs
import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nanochat.calculator import MAX_EXPRESSION, calculate
from nanochat.common import InputError
from nanochat.conversation import Conversation, Message, fit_prompt, parse_answer
from nanochat.gpt import GPT, GPTConfig
from nanochat.tokenizer import Tokenizer

MIN_TEMPERATURE = 1e-3
"""Temperatures between 0 and this would overflow the division and are refused; 0 itself means the best token."""


class KVCache:
    """The keys and values of all positions so far, of every layer, in memory that is claimed once.

    Args:
        config: The sizes of the model.
        batch_size: B, the number of rows.
        capacity: S, the number of positions that fit.
        dtype: The precision of keys and values.
        device: Where they live.

    Raises:
        InputError: If rows or positions are fewer than 1 or the positions more than the context of the model.

    Guide:
        "So queries may be forgotten. Keys and values are needed again and again."
        (nano/inference/kv-cache)
    """

    def __init__(
        self,
        config: GPTConfig,
        batch_size: int,
        capacity: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
    ) -> None:
        if batch_size < 1 or not 1 <= capacity <= config.sequence_len:
            raise InputError(
                f"a cache of {batch_size} rows and {capacity} positions is impossible: at least 1 row, and from 1 to "
                f"{config.sequence_len} positions (the context)"
            )
        shape = (config.n_layer, batch_size, capacity, config.n_kv_head, config.head_size)
        self.keys = torch.empty(shape, dtype=dtype, device=device)
        """Keys, ``(L, B, S, G, D)``; what lies beyond ``length`` has no meaning."""
        self.values = torch.empty(shape, dtype=dtype, device=device)
        """Values, ``(L, B, S, G, D)``."""
        self.length = 0
        """Positions held so far; the model moves it on after its last layer."""

    @property
    def capacity(self) -> int:
        """The number of positions that fit."""
        return self.keys.size(2)

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Add the keys and values of new positions to one layer.

        Args:
            layer: The number of the layer, from 0.
            k: New keys, ``(B, T, G, D)``.
            v: New values, ``(B, T, G, D)``.

        Returns:
            Keys and values of all positions so far, each ``(B, S, G, D)``, where S counts the new ones too.

        Raises:
            InputError: If the new positions do not fit.

        Guide:
            "A new position is written behind the old ones, and attention gets a view of everything up to it."
            (nano/inference/kv-cache)
        """
        end = self.length + k.size(1)
        if end > self.capacity:
            raise InputError(
                f"{end} positions do not fit into a cache of {self.capacity}: make it larger or drop the oldest tokens"
            )
        self.keys[layer, :, self.length : end] = k
        self.values[layer, :, self.length : end] = v
        return self.keys[layer, :, :end], self.values[layer, :, :end]

    def repeat(self, batch_size: int) -> KVCache:
        """Copy the cache of one row into a new one with ``batch_size`` equal rows of the same capacity.

        Guide:
            "The engine reads the beginning once and copies the notes to five rows." (nano/inference/kv-cache)
        """
        copy = object.__new__(KVCache)
        copy.keys = self.keys.repeat(1, batch_size, 1, 1, 1)
        copy.values = self.values.repeat(1, batch_size, 1, 1, 1)
        copy.length = self.length
        return copy


def check_sampling(temperature: float, top_k: int | None, vocab_size: int) -> None:
    """Refuse settings of :func:`sample` that have no meaning.

    Args:
        temperature: 0, or a finite number of at least 0.001.
        top_k: None, or a whole number of at least 1; more than the vocabulary means all of it.
        vocab_size: The size of the vocabulary, V.

    Raises:
        InputError: The message names the value and the rule.
    """
    number = isinstance(temperature, (int, float)) and not isinstance(temperature, bool)
    if not number or not math.isfinite(temperature) or temperature < 0 or 0 < temperature < MIN_TEMPERATURE:
        raise InputError(
            f"temperature={temperature!r} must be 0 (always the best token) or a finite number of at least "
            f"{MIN_TEMPERATURE}; 1 leaves the model's probabilities as they are"
        )
    if top_k is not None and (not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1):
        raise InputError(
            f"top_k={top_k!r} must be None (no limit) or a whole number from 1 to the vocabulary's {vocab_size}"
        )


def next_token_probabilities(logits: Tensor, temperature: float = 1.0, top_k: int | None = None) -> Tensor:
    r"""Turn scores into the probabilities from which the next token is drawn.

    :math:`p = \mathrm{softmax}(z / \tau)` over the ``top_k`` best tokens, zero for all others. A temperature below 1
    favours the likely tokens more, one above 1 less.

    Args:
        logits: Scores :math:`z`, ``(B, V)``.
        temperature: :math:`\tau`; 0 puts everything on the best token.
        top_k: How many of the best tokens stay in the game; None means all.

    Returns:
        Probabilities, ``(B, V)``; each row sums to 1.

    Raises:
        InputError: If a setting has no meaning, or the model produced NaN or infinity.

    Example:
        >>> next_token_probabilities(torch.tensor([[0.0, 0.0, -1.0]]), top_k=2).tolist()
        [[0.5, 0.5, 0.0]]

    Guide:
        "Below one, differences grow, and the favourites win more often." (nano/inference/index)
    """
    check_sampling(temperature, top_k, logits.size(-1))
    if not torch.isfinite(logits).all():
        raise InputError("the model produced NaN or infinity instead of scores: its weights are damaged")
    logits = logits.float()
    if temperature == 0:
        return torch.zeros_like(logits).scatter_(-1, logits.argmax(-1, keepdim=True), 1.0)
    if top_k is not None and top_k < logits.size(-1):
        kept = torch.topk(logits, top_k)
        logits = torch.full_like(logits, -math.inf).scatter_(-1, kept.indices, kept.values)
    return torch.softmax(logits / temperature, dim=-1)


def sample(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw the next token of each row.

    Args:
        logits: Scores, ``(B, V)``.
        temperature: See :func:`next_token_probabilities`.
        top_k: See :func:`next_token_probabilities`.
        generator: Source of chance; the same one in the same state draws the same tokens.

    Returns:
        Ids, ``(B,)``.

    Raises:
        InputError: If a setting has no meaning, or the model produced NaN or infinity.

    Example:
        >>> sample(torch.tensor([[0.0, 2.0, 1.0]]), temperature=0).tolist()
        [1]

    Guide:
        "A token with a probability of one in ten is taken about one time in ten." (nano/inference/index)
    """
    return _draw(next_token_probabilities(logits, temperature, top_k), generator, temperature == 0)


def _draw(p: Tensor, generator: torch.Generator | None, best: bool) -> Tensor:
    """Choose by the probabilities ``(B, V)``; the best token for sure where chance has no say."""
    return p.argmax(-1) if best else torch.multinomial(p, 1, generator=generator).squeeze(-1)


@dataclass(frozen=True)
class Step:
    """One new token for each row, as :meth:`Engine.stream` yields it."""

    tokens: list[int]
    """The new id of each row; rows that have ended repeat their last one."""
    active: list[bool]
    """Whether the token of each row counts: False once a row has ended."""
    forced: list[bool]
    """Whether the token of each row was put there by the engine and not chosen by the model."""
    probabilities: list[float]
    """How likely the token of each row was, at the temperature in force; 1 where nothing was chosen, because the token
    was forced or the row has ended."""
    candidates: list[list[tuple[int, float]]]
    """For each row the most likely tokens with their probabilities, the best one first: as many as were asked for,
    without those that could not be drawn; none where nothing was chosen."""


class _Row:
    """One row while it is written: whether it goes on, the expression that stands open, what is to be forced on it.

    Args:
        tokenizer: Knows the marks; decodes the expression, encodes its result.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.first_mark = tokenizer.bos  # special tokens have the last numbers, and <|bos|> is the first of them
        self.python_start, self.python_end = (tokenizer.special(f"<|python_{side}|>") for side in ("start", "end"))
        self.active = True
        self.last = -1
        self.forced: deque[int] = deque()
        self.expression: list[int] | None = None

    def read(self, token: int) -> None:
        """Follow the marks; at the end of an expression, line up its output."""
        if token >= self.first_mark:  # whatever mark comes, it closes what stood open
            if token == self.python_end and self.expression is not None:
                self.forced.extend(self._output(self.expression))
            self.expression = [] if token == self.python_start else None
        elif self.expression is not None and len(self.expression) <= 4 * MAX_EXPRESSION:
            # A character has at most four bytes: beyond this the calculator refuses anyway, so no more is kept.
            self.expression.append(token)

    def _output(self, expression: list[int]) -> list[int]:
        """The result between its marks, as ordinary text; nothing if the calculator refuses."""
        try:
            result = calculate(self.tokenizer.decode(expression))
        except InputError:
            return []
        start, end = (self.tokenizer.special(f"<|output_{side}|>") for side in ("start", "end"))
        return [start, *self.tokenizer.encode(result), end]


class TextStream:
    """Tokens to text while they arrive: nothing is printed that a later token would change.

    A character may be spread over several tokens. Its bytes are held back until it is complete, so that no
    replacement sign flickers on the screen. Marks are not printed.

    Args:
        tokenizer: Knows the bytes of each token.

    Example:
        >>> tokenizer = Tokenizer([])
        >>> text = TextStream(tokenizer)
        >>> [text.push(token) for token in tokenizer.encode("né")], text.end()
        (['n', '', 'é'], '')

    Guide:
        "Its first byte alone is no character; a screen would show a strange sign, and replace it a moment later."
        (nano/inference/journey)
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._marks = {number: name for name, number in tokenizer.special_ids.items()}
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._next_kind = "text"
        self.kind = "text"
        """What the text of the last :meth:`push` belongs to: ``text``, ``python`` (a calculation) or ``output`` (what
        came of it)."""

    def push(self, token: int) -> str:
        """Take the next token.

        Args:
            token: Its id.

        Returns:
            The characters that are complete now, often none; for a mark, U+FFFD if it cuts off a character.

        Raises:
            InputError: If the id is not in the tokenizer.
        """
        self.kind = self._next_kind
        name = self._marks.get(token)
        if name is None:
            return self._decoder.decode(self._tokenizer.token_bytes(token))
        opened = {"<|python_start|>": "python", "<|output_start|>": "output"}
        self._next_kind = opened.get(name, "text")
        return self.end()

    def end(self) -> str:
        """Return what is held back when no token follows: U+FFFD for a character that was cut off, else nothing."""
        return self._decoder.decode(b"", final=True)


def _step(rows: list[_Row], p: Tensor, generator: torch.Generator, best: bool, top: int) -> Step:
    """Give each row its token: the next forced one, or else the drawn one, or the last one once it has ended."""
    drawn = _draw(p, generator, best)
    tokens, active, forced = [], [], []
    for row, token in zip(rows, drawn.tolist(), strict=True):
        active.append(row.active)
        forced.append(row.active and bool(row.forced))
        tokens.append(row.forced.popleft() if forced[-1] else token if row.active else row.last)
    chosen = [on and not put for on, put in zip(active, forced, strict=True)]
    likely = p.gather(1, drawn[:, None]).tolist()
    probabilities = [q if own else 1.0 for (q,), own in zip(likely, chosen, strict=True)]
    candidates: list[list[tuple[int, float]]] = [[] for _ in rows]
    if top:
        values, indices = p.topk(top)
        for row, (ids, shares) in enumerate(zip(indices.tolist(), values.tolist(), strict=True)):
            if chosen[row]:
                candidates[row] = [(i, share) for i, share in zip(ids, shares, strict=True) if share > 0]
    return Step(tokens, active, forced, probabilities, candidates)


class Engine:
    """Generates text from a model: one prompt, one or several continuations.

    Args:
        model: The model.
        tokenizer: The tokenizer that the model was trained with.

    Raises:
        InputError: If the tokenizer knows more tokens than the model.

    Guide:
        "Somebody must choose one, put it at the end, and ask again." (nano/inference/index)
    """

    def __init__(self, model: GPT, tokenizer: Tokenizer) -> None:
        if tokenizer.vocab_size > model.config.vocab_size:
            raise InputError(
                f"the tokenizer has {tokenizer.vocab_size} tokens, the model {model.config.vocab_size}: "
                f"load the tokenizer that the model was trained with"
            )
        self.model = model
        self.tokenizer = tokenizer

    def stream(
        self,
        prompt: Sequence[int],
        num_samples: int = 1,
        max_tokens: int | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        seed: int = 42,
        stop: Sequence[int] | None = None,
        use_cache: bool = True,
        tools: bool = True,
        top: int = 0,
    ) -> Iterator[Step]:
        """Yield one new token for each row until all rows have ended.

        The prompt is read once and its keys and values are copied to all rows. A row ends after a stop token, which
        counts as part of it. The iterator may be closed or dropped at any token.

        Where a row writes an expression between ``<|python_start|>`` and ``<|python_end|>`` in an answer, its result is
        forced on it between ``<|output_start|>`` and ``<|output_end|>``. Forced tokens count as new tokens. An
        expression that the calculator refuses, or that another mark interrupts, has no output, and the model goes on.
        Rows do not wait for each other: one may be forced while the others are drawn, and their draws stay the same.

        Args:
            prompt: Ids to start from, at least one; usually the first is the ``<|bos|>`` token.
            num_samples: B, the rows to continue the prompt in.
            max_tokens: The most new tokens; None means as many as fit into the context.
            temperature: See :func:`next_token_probabilities`.
            top_k: See :func:`next_token_probabilities`.
            seed: Seed of the draws; the same one gives the same text on the same machine.
            stop: Ids that end a row; None means ``<|bos|>`` and ``<|assistant_end|>``.
            use_cache: Whether to keep keys and values. False computes everything again for each token and gives the
                same text, slower; it is there to be compared with.
            tools: Whether calculations are done. They are never done outside of an answer, so text that goes on from a
                prompt without an open ``<|assistant_start|>`` is not concerned.
            top: How many of the most likely tokens each step reports as its candidates.

        Yields:
            The new tokens, a :class:`Step` at a time.

        Raises:
            InputError: If an argument has no meaning or the prompt leaves no room in the context.

        Guide:
            "From there the dice are thrown for each row by itself." (nano/inference/kv-cache)
        """
        model, context = self.model, self.model.config.sequence_len
        tokens = self._check(prompt, num_samples, max_tokens, seed, top)
        check_sampling(temperature, top_k, model.config.vocab_size)
        room = context - len(tokens)
        budget = room if max_tokens is None else max_tokens
        if budget > room:
            raise InputError(
                f"a prompt of {len(tokens)} tokens and max_tokens={budget} do not fit into the context of {context}: "
                f"ask for at most {room} new tokens or shorten the prompt"
            )
        ends = set(self.default_stop() if stop is None else stop)
        generator = torch.Generator(device=model.device).manual_seed(seed)
        answer = self._open_answer(tokens) if tools else None
        states = [_Row(self.tokenizer) for _ in range(num_samples)]
        for state in states:
            for token in answer or ():
                state.forced.clear()  # the prompt has gone on without it
                state.read(token)
        return self._steps(
            tokens, states, budget, temperature, top_k, generator, ends, use_cache, answer is not None, top
        )

    # The decorator, and not a `with` inside, because a `with` would stay in force for the caller between two yields.
    @torch.inference_mode()
    def _steps(
        self,
        tokens: list[int],
        states: list[_Row],
        budget: int,
        temperature: float,
        top_k: int | None,
        generator: torch.Generator,
        ends: set[int],
        use_cache: bool,
        tools: bool,
        top: int,
    ) -> Iterator[Step]:
        """Do the work of :meth:`stream`, whose arguments have been checked."""
        if budget < 1:
            return
        model, num_samples = self.model, len(states)
        rows = torch.tensor([tokens], dtype=torch.long, device=model.device)
        cache = None
        if use_cache:
            cache = KVCache(model.config, 1, len(tokens) + budget, model.compute_dtype, model.device)
        logits = model(rows, cache=cache)[:, -1].repeat(num_samples, 1)
        rows = rows.repeat(num_samples, 1)
        if cache is not None and num_samples > 1:
            cache = cache.repeat(num_samples)
        for n in range(budget):
            step = _step(states, next_token_probabilities(logits, temperature, top_k), generator, temperature == 0, top)
            yield step
            for state, token in zip(states, step.tokens, strict=True):
                state.last, state.active = token, state.active and token not in ends
                if tools and state.active:
                    state.read(token)
            if n == budget - 1 or not any(state.active for state in states):
                return
            new = torch.tensor(step.tokens, device=model.device)
            if cache is not None:
                logits = model(new[:, None], cache=cache)[:, -1]
            else:
                rows = torch.cat((rows, new[:, None]), dim=1)
                logits = model(rows)[:, -1]

    def generate(self, prompt: Sequence[int], num_samples: int = 1, **settings: Any) -> list[list[int]]:
        """Continue a prompt and return all rows at once.

        Args:
            prompt: Ids to start from.
            num_samples: The rows to continue the prompt in.
            settings: The other arguments of :meth:`stream`.

        Returns:
            For each row its new ids, without the prompt and without the token that ended it.
        """
        stop = settings.get("stop")
        ends = set(self.default_stop() if stop is None else stop)
        rows: list[list[int]] = [[] for _ in range(num_samples)]
        for step in self.stream(prompt, num_samples, **settings):
            for row, token, active in zip(rows, step.tokens, step.active, strict=True):
                if active and token not in ends:
                    row.append(token)
        return rows

    def complete(self, text: str, num_samples: int = 1, **settings: Any) -> list[str]:
        """Continue a text.

        Args:
            text: The beginning; it may be empty.
            num_samples: How many continuations.
            settings: The other arguments of :meth:`stream`.

        Returns:
            For each continuation the whole text, beginning included.
        """
        prompt = self.tokenizer.encode(text)
        rows = self.generate([self.tokenizer.bos, *prompt], num_samples, **settings)
        return [self.tokenizer.decode([*prompt, *row]) for row in rows]

    def answer(
        self,
        conversation: Conversation,
        max_tokens: int | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        seed: int = 42,
    ) -> Message:
        """Answer the last message of a conversation, with the calculator at hand.

        Where the conversation is too long for the context, its oldest turns are left out
        (:func:`nanochat.conversation.fit_prompt`), so that there is room for ``max_tokens``, or for a quarter of the
        context where no number is given.

        Args:
            conversation: The conversation; the last message is the user's.
            max_tokens: The most new tokens; None means as many as fit.
            temperature: See :func:`next_token_probabilities`.
            top_k: See :func:`next_token_probabilities`.
            seed: Seed of the draws.

        Returns:
            The assistant's message, with its calculations and their results as parts of their own.

        Raises:
            InputError: If an argument has no meaning, or the last message alone does not fit.
        """
        context = self.model.config.sequence_len
        self._check([self.tokenizer.bos], 1, max_tokens, seed)
        room = -(-context // 4) if max_tokens is None else max_tokens
        prompt, _ = fit_prompt(self.tokenizer, conversation, max(1, context - room))
        settings = {"max_tokens": max_tokens, "temperature": temperature, "top_k": top_k, "seed": seed}
        return parse_answer(self.tokenizer, self.generate(prompt, **settings)[0])

    def default_stop(self) -> tuple[int, ...]:
        """Return the ids that end a row: the start of another document and the end of an answer.

        Guide:
            "The first begins another document, the second ends an answer." (nano/inference/index)
        """
        return (self.tokenizer.bos, self.tokenizer.special("<|assistant_end|>"))

    def _open_answer(self, prompt: Sequence[int]) -> Sequence[int] | None:
        """Return what the prompt has of an answer that has not ended, often no token; None outside of an answer."""
        turns = {
            self.tokenizer.special(f"<|{who}_{side}|>") for who in ("user", "assistant") for side in ("start", "end")
        }
        turns.add(self.tokenizer.bos)
        place = next((place for place in reversed(range(len(prompt))) if prompt[place] in turns), None)
        if place is None or prompt[place] != self.tokenizer.special("<|assistant_start|>"):
            return None
        return prompt[place + 1 :]

    def _check(
        self, prompt: Sequence[int], num_samples: int, max_tokens: int | None, seed: int, top: int = 0
    ) -> list[int]:
        """Refuse arguments without meaning; return the prompt as a list."""
        vocab_size, context = self.model.config.vocab_size, self.model.config.sequence_len
        for name, value, low, high in (
            ("num_samples", num_samples, 1, 1 << 20),
            ("max_tokens", 0 if max_tokens is None else max_tokens, 0, context),
            ("seed", seed, 0, 2**63 - 1),
            ("top", top, 0, vocab_size),
        ):
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise InputError(f"{name}={value!r} must be a whole number from {low} to {high}")
        tokens = list(prompt)
        if not tokens:
            raise InputError("the prompt is empty: start at least with the <|bos|> token (tokenizer.bos)")
        if len(tokens) > context:
            raise InputError(f"the prompt has {len(tokens)} tokens, the context holds {context}: shorten the prompt")
        for place, token in enumerate(tokens):
            if not isinstance(token, int) or isinstance(token, bool) or not 0 <= token < vocab_size:
                raise InputError(
                    f"prompt[{place}] is {token!r}: token ids are whole numbers from 0 to {vocab_size - 1}; "
                    f"turn text into ids with tokenizer.encode"
                )
        return tokens
