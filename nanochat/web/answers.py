"""From the tokens of an answer to what is shown: words, calculations, and what else could have been written.

A server that streams has to show each token at once, and must not take anything back later. So :class:`AnswerReader`
holds back what is not certain yet: half a character, or a calculation whose end mark has not come.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nanochat.conversation import Part
from nanochat.engine import Step, next_token_probabilities
from nanochat.figures import show_piece, token_colour
from nanochat.gpt import GPT
from nanochat.tokenizer import Tokenizer

_BLOCKS = {f"<|{kind}_{side}|>": (kind, side) for kind in ("python", "output") for side in ("start", "end")}


class AnswerReader:
    """Reads an answer token by token, as :func:`nanochat.conversation.parse_answer` reads it whole.

    All the parts that it gives, put together, are the parts of that function: text in pieces, and each calculation and
    each result whole, when its end mark has come.

    Args:
        tokenizer: Decodes the tokens.

    Example:
        >>> tokenizer = Tokenizer([])
        >>> reader = AnswerReader(tokenizer)
        >>> [reader.read(token) for token in tokenizer.encode("né")]
        [[Part(kind='text', text='n')], [], [Part(kind='text', text='é')]]

    Guide:
        "So the server holds back what is not yet certain." (nano/inference/web)
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._names = {number: name for name, number in tokenizer.special_ids.items()}
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._block: list[int] = []
        self._may_answer = False  # a calculation was the last thing, so an output may follow
        self._over = False
        self.inside: str | None = None
        """The block that stands open: ``python``, ``output``, or None."""

    def read(self, token: int) -> list[Part]:
        """Take the next token.

        Args:
            token: Its number.

        Returns:
            What has become certain with it; often nothing.

        Raises:
            InputError: If the number is not in the vocabulary.
        """
        if self._over:
            return []
        name = self._names.get(token)
        if name is None:
            if self.inside is None:
                return self._text([token])
            self._tokenizer.token_bytes(token)  # refuses what is not in the vocabulary now, and not at the end
            self._block.append(token)
            return []
        if name not in _BLOCKS:
            return self.end()
        kind, side = _BLOCKS[name]
        if side == "end" and kind == self.inside:
            words = self._tokenizer.decode_bytes(self._block).decode("utf-8", "replace")
            parts = [*self._flush(), Part(kind, words)]
            self._block, self.inside, self._may_answer = [], None, kind == "python"
            return parts
        parts = self._text(self._block)
        self._block, self.inside = [], None
        if side == "start" and (kind == "python" or self._may_answer):
            self.inside = kind
        return parts

    def end(self) -> list[Part]:
        """Return what is left when no token follows: an unfinished block is text, half a character is nothing."""
        self._over = True
        parts, self._block, self.inside = self._text(self._block), [], None
        return parts

    def _text(self, tokens: Sequence[int]) -> list[Part]:
        if tokens:
            self._may_answer = False
        words = self._decoder.decode(self._tokenizer.decode_bytes(tokens))
        return [Part("text", words)] if words else []

    def _flush(self) -> list[Part]:
        words = self._decoder.decode(b"", final=True)
        return [Part("text", words)] if words else []


class Scores:
    """Looks over the shoulder of a model and remembers the scores that it gave last.

    The engine says what it drew from, which is what temperature and top-k have left. What the model itself thought is
    the more interesting half, and this is where it is kept.

    Args:
        model: The model; what it gives is only looked at.
    """

    def __init__(self, model: GPT) -> None:
        self.last: Tensor | None = None
        """Scores of the last position, ``(V,)``, of the first row."""
        self._handle = model.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: tuple[object, ...], output: Tensor) -> None:
        if output.dim() == 3:
            self.last = output[0, -1]

    def close(self) -> None:
        """Look no longer."""
        self._handle.remove()


@dataclass(frozen=True)
class Candidate:
    """A token that could have been written."""

    token: int
    """Its number."""
    own: float
    """The probability that the model gave it."""
    drawn_with: float
    """The probability that it was drawn with, after temperature and top-k; 0 if they left it out."""


@dataclass(frozen=True)
class Written:
    """One token of an answer, with all that is known of how it came there."""

    token: int
    """Its number."""
    kind: str
    """``text``, ``python`` (an expression), ``output`` (what came of it), or ``mark`` (a special token)."""
    parts: list[Part]
    """What a reader sees of it, as far as it is certain."""
    chosen: Candidate | None
    """How likely it was; None for a token that the program put there, and where nobody asked."""
    candidates: list[Candidate]
    """The tokens that the model found most likely at this place, the likeliest first."""
    forced: bool
    """Whether the program put it there, and not the model."""


class Answer:
    """An answer while it is written: turns the steps of the engine into what is shown.

    Args:
        tokenizer: Decodes the tokens.
        scores: Remembers what the model thought.
        temperature: The temperature in force.
        top_k: The top-k in force.
        top: How many candidates each token is shown with; None to leave out probabilities altogether.

    Guide:
        "The second is the probability with which it was drawn, after temperature and top-k." (nano/inference/web)
    """

    def __init__(
        self, tokenizer: Tokenizer, scores: Scores, temperature: float, top_k: int | None, top: int | None
    ) -> None:
        self.reader = AnswerReader(tokenizer)
        self._marks = set(tokenizer.special_ids.values())
        self._scores, self._temperature, self._top_k, self._top = scores, temperature, top_k, top

    def take(self, step: Step) -> Written:
        """Take what the engine has just given; call it before the model computes anything else.

        Args:
            step: One token of one row.
        """
        (token,), (forced,) = step.tokens, step.forced
        kind = "mark" if token in self._marks else self.reader.inside or "text"
        parts = self.reader.read(token)
        if forced or self._top is None or self._scores.last is None:
            return Written(token, kind, parts, None, [], forced)
        with torch.inference_mode():
            scores = self._scores.last.float()[None]
            own = next_token_probabilities(scores)[0]
            drawn_with = next_token_probabilities(scores, self._temperature, self._top_k)[0]
            best = own.topk(min(self._top, own.numel())).indices.tolist()
            looked = [token, *best]
            pairs = torch.stack((own[looked], drawn_with[looked]), dim=1).tolist()
        chosen, *candidates = (Candidate(n, *pair) for n, pair in zip(looked, pairs, strict=True))
        return Written(token, kind, parts, chosen, candidates, forced)


def show_token(tokenizer: Tokenizer, token: int) -> dict[str, object]:
    """Describe a token for the page: what it looks like, and its colour on all pages of nanochat.

    Args:
        tokenizer: Knows the token.
        token: Its number.

    Returns:
        ``piece`` (white space made visible), ``colour``, and ``mark``, which is true for a special token.

    Example:
        >>> show_token(Tokenizer([]), 32)
        {'id': 32, 'piece': '·', 'colour': 'green', 'mark': False}
    """
    raw = tokenizer.token_bytes(token)
    mark = token in tokenizer.special_ids.values()
    return {"id": token, "piece": show_piece(raw), "colour": token_colour(raw), "mark": mark}
