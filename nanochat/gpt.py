r"""The model: from a batch of tokens to a score for every possible next token.

Read it from top to bottom: the configuration, four small functions, then the parts in the order in which
a token meets them (attention, MLP, block, the whole model).

The letters, here and in the guides: B rows in a batch, T tokens in a row, S positions that are attended to,
V entries of the vocabulary, C channels (the width), L layers (the depth), H query heads, G key/value heads
(G divides H), D channels of a head (:math:`D = C / H`).

The architecture is the published one that ``transformers`` calls ``NanoChatForCausalLM``: rotary positions,
root-mean-square normalisation without parameters (of the embedding, before each part, of queries and keys, and
before the head), squared ReLU, an output head of its own, no biases, logits bent to stay within
:math:`\pm 15`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanochat.common import IGNORED, InputError

if TYPE_CHECKING:
    from nanochat.engine import KVCache

WIDTH_PER_LAYER = 64
"""Channels that each layer of depth adds to the width."""
MAX_HEAD_SIZE = 128
"""A head has at most so many channels."""
MIN_HEADS = 4
"""A model has at least so many query heads."""


@dataclass(frozen=True)
class GPTConfig:
    """The sizes of a model; everything else about its shape follows from them.

    Example:
        >>> GPTConfig.from_depth(4).n_embd
        256

    Raises:
        InputError: If the sizes do not fit together; the message names both numbers and the nearest that do.
    """

    vocab_size: int = 16384
    """V, the number of different tokens, special tokens included."""
    sequence_len: int = 512
    """The longest row of tokens that the model can read, its context."""
    n_layer: int = 4
    """L, the number of blocks, one after the other: the depth."""
    n_head: int = 4
    """H, the number of query heads in each layer."""
    n_kv_head: int = 4
    """G, the number of key/value heads in each layer; it divides H."""
    n_embd: int = 256
    """C, the number of channels that stand for one token: the width."""

    softcap: float = 15.0
    """The logits are bent so that none is further from zero than this."""
    rope_theta: float = 10000.0
    """The base of the rotary frequencies: the slowest pair turns by about a radian in this many tokens."""

    def __post_init__(self) -> None:
        for name in ("vocab_size", "sequence_len", "n_layer", "n_head", "n_kv_head", "n_embd"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InputError(f"{name}={value!r} must be a whole number of at least 1")
        if self.n_embd % self.n_head:
            raise InputError(
                f"n_embd={self.n_embd} is not divisible by n_head={self.n_head}: heads share the width evenly; "
                f"take n_head={_nearest_divisor(self.n_embd, self.n_head)}"
            )
        if self.head_size % 2:
            raise InputError(
                f"n_embd={self.n_embd} with n_head={self.n_head} gives heads of {self.head_size} channels: rotation "
                f"works on pairs, so the head size must be even; double n_embd or take another n_head"
            )
        if self.n_head % self.n_kv_head:
            raise InputError(
                f"n_head={self.n_head} is not divisible by n_kv_head={self.n_kv_head}: each key/value head serves "
                f"the same number of query heads; take n_kv_head={_nearest_divisor(self.n_head, self.n_kv_head)}"
            )

    @property
    def head_size(self) -> int:
        """D, the number of channels of one head."""
        return self.n_embd // self.n_head

    @classmethod
    def from_depth(
        cls,
        depth: int,
        vocab_size: int = 16384,
        sequence_len: int = 512,
        width: int | None = None,
        n_kv_head: int | None = None,
    ) -> GPTConfig:
        """Derive all sizes from the depth, the one dial of this project.

        The width is 64 channels for each layer. There are as few heads as possible, but not fewer than four, such
        that every head has the same even number of channels and at most 128 of them.

        Args:
            depth: L, the number of layers, from 1 up.
            vocab_size: The size of the vocabulary, V.
            sequence_len: The context in tokens.
            width: C where it shall differ from 64 times the depth; a multiple of 8.
            n_kv_head: G; None means as many as query heads.

        Returns:
            The configuration.

        Raises:
            InputError: If the depth or the width is out of range.

        Example:
            >>> config = GPTConfig.from_depth(20)
            >>> config.n_embd, config.n_head, config.head_size
            (1280, 10, 128)

        Guide:
            "So the blocks grow with its third power." (nano/model/complete)
        """
        if not isinstance(depth, int) or isinstance(depth, bool) or depth < 1:
            raise InputError(f"depth={depth!r} must be a whole number of layers, at least 1")
        n_embd = WIDTH_PER_LAYER * depth if width is None else width
        if not isinstance(n_embd, int) or isinstance(n_embd, bool) or n_embd < 8 or n_embd % 8:
            raise InputError(f"width={n_embd!r} must be a positive multiple of 8, such as {WIDTH_PER_LAYER * depth}")
        n_head = next(
            heads
            for heads in range(max(MIN_HEADS, -(-n_embd // MAX_HEAD_SIZE)), n_embd + 1)
            if n_embd % (2 * heads) == 0
        )
        return cls(
            vocab_size=vocab_size,
            sequence_len=sequence_len,
            n_layer=depth,
            n_head=n_head,
            n_kv_head=n_head if n_kv_head is None else n_kv_head,
            n_embd=n_embd,
        )


def _nearest_divisor(number: int, wanted: int) -> int:
    """Return the divisor of ``number`` that is closest to ``wanted``."""
    divisors = [i for i in range(1, number + 1) if number % i == 0]
    return min(divisors, key=lambda i: (abs(i - wanted), i))


def rms_norm(x: Tensor) -> Tensor:
    r"""Scale every vector so that its channels have a root mean square of 1.

    :math:`x_i \mapsto x_i / \sqrt{\frac{1}{C} \sum_j x_j^2 + \epsilon}`. There is nothing to learn in it, and it does
    not take the mean away. :math:`\epsilon` is the distance between 1 and the next float32, so that a vector of zeros
    stays a vector of zeros. After :arxiv:`1910.07467`, eq. 4, without the gain.

    Args:
        x: Vectors, ``(..., C)``.

    Returns:
        The scaled vectors, in the shape and dtype of ``x``.

    Example:
        >>> rms_norm(torch.tensor([3.0, 4.0])).square().mean().item()
        1.0

    Guide:
        "The direction stays, the volume is gone." (nano/model/normalization)
    """
    return F.rms_norm(x, (x.size(-1),), eps=torch.finfo(torch.float32).eps)


def rotary_tables(sequence_len: int, head_size: int, theta: float = 10000.0) -> tuple[Tensor, Tensor]:
    r"""Tabulate the cosines and sines by which each position is rotated.

    Pair :math:`i` of a head turns by the angle :math:`m \, b^{-2i/D}` at position :math:`m`: the first pair by one
    radian a token, the last one hardly at all. After :arxiv:`2104.09864`, eq. 15.

    Args:
        sequence_len: The number of positions.
        head_size: D, even.
        theta: The base :math:`b` of the frequencies.

    Returns:
        Cosines and sines, each ``(sequence_len, D / 2)`` in float32.

    Example:
        >>> cos, sin = rotary_tables(3, 4)
        >>> cos.shape
        torch.Size([3, 2])

    Guide:
        "So each head has many clocks: some whirl, some creep." (nano/model/positions)
    """
    frequencies = theta ** (-torch.arange(0, head_size, 2, dtype=torch.float32) / head_size)
    angles = torch.outer(torch.arange(sequence_len, dtype=torch.float32), frequencies)
    return angles.cos(), angles.sin()


def apply_rotary(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    r"""Rotate queries or keys by an angle that grows with their position.

    Channel :math:`i` of the first half and channel :math:`i` of the second half of a head form a pair, which is turned
    clockwise: :math:`(a, b) \mapsto (a \cos + b \sin,\; b \cos - a \sin)`. The dot product of a rotated query and
    a rotated key depends on how far apart they stand and not on where. After :arxiv:`2104.09864`.

    Args:
        x: Queries or keys, ``(B, T, H, D)``.
        cos: Cosines, ``(T, D / 2)``.
        sin: Sines, ``(T, D / 2)``.

    Returns:
        The rotated vectors, in the shape and dtype of ``x``.

    Example:
        >>> cos, sin = rotary_tables(1, 2)
        >>> apply_rotary(torch.ones(1, 1, 1, 2), cos, sin).flatten().tolist()  # position 0 does not turn
        [1.0, 1.0]

    Guide:
        "Turn both hands by the same amount, and the angle between them stays." (nano/model/positions)
    """
    cos, sin = cos[:, None, :].to(x.dtype), sin[:, None, :].to(x.dtype)
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos + b * sin, b * cos - a * sin), dim=-1)


def causal_mask(n_queries: int, n_keys: int, device: torch.device | None = None) -> Tensor:
    """Say which keys each query may read: those at its own position and before it.

    The queries are the last ``n_queries`` of the ``n_keys`` positions, as they are when a cache holds what came before.

    Args:
        n_queries: T, the number of queries.
        n_keys: S, the number of keys, at least T.
        device: Where the mask shall live.

    Returns:
        Booleans, ``(T, S)``; True where the query may read the key.

    Example:
        >>> causal_mask(2, 3).tolist()
        [[True, True, False], [True, True, True]]

    Guide:
        "Every token may read itself and all that came before." (nano/model/attention)
    """
    last_visible = torch.arange(n_queries, device=device)[:, None] + (n_keys - n_queries)
    return torch.arange(n_keys, device=device)[None, :] <= last_visible


def attention_weights(q: Tensor, k: Tensor) -> Tensor:
    r"""Compute how much every position reads from each position up to its own.

    :math:`\mathrm{softmax}(q k^\top / \sqrt D)` with the future masked out. This is the readable form, for pictures
    and checks; :func:`attend` computes the same weights on its way and never stores them.

    Args:
        q: Queries, ``(B, T, H, D)``.
        k: Keys, ``(B, S, G, D)``.

    Returns:
        Weights, ``(B, H, T, S)`` in float32. Each row sums to 1.

    Example:
        >>> q = k = torch.zeros(1, 2, 1, 4)
        >>> attention_weights(q, k)[0, 0].tolist()
        [[1.0, 0.0], [0.5, 0.5]]

    Guide:
        "Softmax makes shares that add up to one." (nano/model/attention/heads)
    """
    k = k.repeat_interleave(q.size(2) // k.size(2), dim=2)
    scores = torch.einsum("bthd,bshd->bhts", q.float(), k.float()) / math.sqrt(q.size(-1))
    visible = causal_mask(q.size(1), k.size(1), q.device)
    return scores.masked_fill(~visible, -math.inf).softmax(dim=-1)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    r"""Let every position read from itself and the positions before it.

    :math:`\mathrm{softmax}(q k^\top / \sqrt D)\, v`, one head at a time. Without the :math:`\sqrt D` the scores would
    grow with the head size and the softmax would pick one position almost always. After :arxiv:`1706.03762`, eq. 1.

    Args:
        q: Queries, ``(B, T, H, D)``; the last T of the S positions.
        k: Keys, ``(B, S, G, D)``.
        v: Values, ``(B, S, G, D)``.

    Returns:
        What each position read, ``(B, T, H, D)``, in the dtype of ``q``.

    Example:
        >>> v = torch.tensor([1.0, 3.0]).view(1, 2, 1, 1).expand(1, 2, 1, 4)
        >>> attend(torch.zeros(1, 2, 1, 4), torch.zeros(1, 2, 1, 4), v)[0, :, 0, 0].tolist()
        [1.0, 2.0]

    Guide:
        "Attention is a weighted average of notes." (nano/model/attention/heads)
    """
    n_queries, n_keys = q.size(1), k.size(1)
    # A single query is the last position and may read everything; a full square has a kernel of its own.
    mask = causal_mask(n_queries, n_keys, q.device) if 1 < n_queries < n_keys else None
    out = F.scaled_dot_product_attention(
        q.transpose(1, 2),
        k.transpose(1, 2),
        v.transpose(1, 2),
        attn_mask=mask,
        is_causal=1 < n_queries == n_keys,
        enable_gqa=q.size(2) != k.size(2),
    )
    return out.transpose(1, 2)


def soft_cap(z: Tensor, cap: float) -> Tensor:
    r"""Bend numbers so that none is further from zero than ``cap``, while small ones stay as they are.

    :math:`z \mapsto c \tanh(z / c)`. After :arxiv:`2408.00118`, section 2.

    Args:
        z: Logits of any shape.
        cap: The bound :math:`c`, positive.

    Returns:
        The bent logits, in the shape of ``z``.

    Example:
        >>> soft_cap(torch.tensor([0.0, 1000.0]), 15.0).tolist()
        [0.0, 15.0]

    Guide:
        "Far out it is a ceiling that is approached and never broken." (nano/model/complete)
    """
    return cap * torch.tanh(z / cap)


class Linear(nn.Linear):
    """A matrix without bias that works in the precision of its input, while its weights stay in float32."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(n_in, n_out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply the vectors ``x``, ``(..., n_in)``, with the matrix: ``(..., n_out)``."""
        return F.linear(x, self.weight.to(x.dtype))


class CausalSelfAttention(nn.Module):
    """The part of a block in which positions read from one another.

    Args:
        config: The sizes of the model.

    Guide:
        "This chapter is about the one place where tokens find out about each other." (nano/model/attention)
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.query = Linear(config.n_embd, config.n_head * config.head_size)
        self.key = Linear(config.n_embd, config.n_kv_head * config.head_size)
        self.value = Linear(config.n_embd, config.n_kv_head * config.head_size)
        self.output = Linear(config.n_head * config.head_size, config.n_embd)

    def project(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the queries, keys and values of each position.

        Queries and keys are rotated to their position first and normalised after, so that a score is the cosine of an
        angle times the square root of the head size, whatever the length of the vectors was.

        Args:
            x: The stream, ``(B, T, C)``, already normalised.
            cos: Cosines of the positions, ``(T, D / 2)``.
            sin: Sines of the positions, ``(T, D / 2)``.

        Returns:
            Queries ``(B, T, H, D)``, keys ``(B, T, G, D)`` and values ``(B, T, G, D)``.

        Guide:
            "Every token is a visitor and a stall at the same time." (nano/model/attention/scores)
        """
        B, T, _ = x.shape
        q = self.query(x).view(B, T, self.config.n_head, self.config.head_size)
        k = self.key(x).view(B, T, self.config.n_kv_head, self.config.head_size)
        v = self.value(x).view(B, T, self.config.n_kv_head, self.config.head_size)
        q, k = rms_norm(apply_rotary(q, cos, sin)), rms_norm(apply_rotary(k, cos, sin))
        return q, k, v

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, cache: KVCache | None = None, layer: int = 0) -> Tensor:
        """Read from the positions so far and write the result back into the width of the stream.

        Args:
            x: The stream, ``(B, T, C)``, already normalised.
            cos: Cosines of the positions, ``(T, D / 2)``.
            sin: Sines of the positions, ``(T, D / 2)``.
            cache: Keys and values of earlier positions; the new ones are added to it.
            layer: Which layer of the cache is ours.

        Returns:
            What is added to the stream, ``(B, T, C)``.
        """
        q, k, v = self.project(x, cos, sin)
        if cache is not None:
            k, v = cache.extend(layer, k, v)
        return self.output(attend(q, k, v).flatten(2))


class MLP(nn.Module):
    r"""The part of a block in which each position thinks by itself.

    :math:`W_{\text{down}}\, \mathrm{ReLU}(W_{\text{up}}\, x)^2`, four times as wide inside as outside. Squaring the
    ReLU is after :arxiv:`2109.08668`.

    Args:
        config: The sizes of the model.

    Guide:
        "And every lamp that burns adds its own bit of knowledge to the vector." (nano/model/mlp)
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.up = Linear(config.n_embd, 4 * config.n_embd)
        self.down = Linear(4 * config.n_embd, config.n_embd)

    def forward(self, x: Tensor) -> Tensor:
        """Compute what is added to the stream, ``(B, T, C)``, from the normalised stream, ``(B, T, C)``."""
        return self.down(self.up(x).relu().square())


class Block(nn.Module):
    """One layer: read from the others, then think, and add both to the stream.

    Args:
        config: The sizes of the model.
        layer: The number of this block, from 0.

    Guide:
        "A block does not replace the vector. It adds to it." (nano/model/residual)
    """

    def __init__(self, config: GPTConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.attention = CausalSelfAttention(config)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, cache: KVCache | None = None) -> Tensor:
        """Pass the stream on, ``(B, T, C)``, with what attention and the MLP add to it."""
        x = x + self.attention(rms_norm(x), cos, sin, cache, self.layer)
        return x + self.mlp(rms_norm(x))


class GPT(nn.Module):
    """The whole model: tokens in, a score for every possible next token out.

    Args:
        config: The sizes of the model.

    Example:
        >>> model = GPT(GPTConfig.from_depth(1, vocab_size=64, sequence_len=8))
        >>> model(torch.zeros(1, 3, dtype=torch.long)).shape
        torch.Size([1, 3, 64])

    Guide:
        "The prediction of a model is read off a sum, to which every part has contributed."
        (nano/model/residual)
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.compute_dtype = torch.float32
        """The precision of the activations and matrix products; set it to bfloat16 where that is faster."""
        self.embed = nn.Embedding(config.vocab_size, config.n_embd)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        self.head = Linear(config.n_embd, config.vocab_size)
        cos, sin = rotary_tables(config.sequence_len, config.head_size, config.rope_theta)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.init_weights()

    def forward(
        self,
        tokens: Tensor,
        targets: Tensor | None = None,
        cache: KVCache | None = None,
        reduction: Literal["mean", "sum", "none"] = "mean",
    ) -> Tensor:
        """Score every possible next token, at each position.

        Args:
            tokens: Ids, ``(B, T)``, int64.
            targets: The ids that really came next, ``(B, T)``; -1 where a position shall not count. With targets,
                the loss is returned in place of the logits.
            cache: Keys and values of the positions before; the new ones are added to it.
            reduction: How the losses of the positions are put together: their ``mean``, their ``sum``, or ``none``.

        Returns:
            Logits ``(B, T, V)`` in float32, bent by :func:`soft_cap`; or, with targets, the cross-entropy in nats
            (natural logarithm): a scalar, or ``(B, T)`` with ``reduction="none"``.

        Raises:
            InputError: If a token is outside the vocabulary or the row is longer than the context.
        """
        x = self.stream(tokens, cache)
        logits = soft_cap(self.head(x).float(), self.config.softcap)
        if targets is None:
            return logits
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction=reduction)
        return loss.view_as(targets) if reduction == "none" else loss

    def stream(self, tokens: Tensor, cache: KVCache | None = None) -> Tensor:
        """Compute what the head reads: the stream after the last block, normalised, ``(B, T, C)``.

        Args:
            tokens: Ids, ``(B, T)``, int64.
            cache: Keys and values of the positions before; the new ones are added to it.

        Returns:
            The stream, ``(B, T, C)``; each vector has a root mean square of 1.

        Raises:
            InputError: If a token is outside the vocabulary or the row is longer than the context.

        Guide:
            "The meaning of a row is its direction alone." (nano/model/embeddings)
        """
        start = 0 if cache is None else cache.length
        end = start + tokens.size(1)
        self._check_tokens(tokens, end)
        cos, sin = self.cos[start:end], self.sin[start:end]
        x = rms_norm(self.embed(tokens).to(self.compute_dtype))
        for block in self.blocks:
            x = block(x, cos, sin, cache)
        if cache is not None:
            cache.length = end
        return rms_norm(x)

    @torch.no_grad()
    def attention_maps(self, tokens: Tensor) -> Iterator[Tensor]:
        """Show what each layer looks at while it reads the tokens, without changing what it computes.

        Args:
            tokens: Ids, ``(B, T)``.

        Yields:
            For each layer its weights, ``(B, H, T, T)``; entry ``[b, h, t, s]`` is how much position t reads from s.
        """
        self._check_tokens(tokens, tokens.size(1))
        cos, sin = self.cos[: tokens.size(1)], self.sin[: tokens.size(1)]
        x = rms_norm(self.embed(tokens).to(self.compute_dtype))
        for block in self.blocks:
            q, k, _ = block.attention.project(rms_norm(x), cos, sin)
            yield attention_weights(q, k)
            x = block(x, cos, sin)

    @torch.no_grad()
    def init_weights(self, seed: int = 0) -> None:
        """Give all weights the values that training starts from.

        Matrices that read the stream get random numbers that keep the size of what passes through. Matrices that write
        to the stream, and the head, start at zero: at first every block passes the stream on unchanged, and every next
        token is equally likely.

        Args:
            seed: The seed of the random numbers; the same seed gives the same weights on the CPU.

        Guide:
            "A fresh model is built so that it knows nothing and says so." (nano/model/complete)
        """
        generator = torch.Generator().manual_seed(seed)

        def normal_(weight: Tensor, std: float) -> None:
            # Drawn on the CPU so that a seed means the same weights on every device.
            weight.copy_(torch.randn(weight.shape, generator=generator) * std)

        normal_(self.embed.weight, 1.0)
        for block in self.blocks:
            for reader in (block.attention.query, block.attention.key, block.attention.value, block.mlp.up):
                normal_(reader.weight, reader.in_features**-0.5)
            block.attention.output.weight.zero_()
            block.mlp.down.weight.zero_()
        self.head.weight.zero_()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embed.weight.device

    def _check_tokens(self, tokens: Tensor, end: int) -> None:
        """Refuse what the tables below cannot hold, before a kernel reads outside of them."""
        if end > self.config.sequence_len:
            raise InputError(
                f"{end} tokens are more than the context of {self.config.sequence_len} tokens (sequence_len): "
                f"give the model at most {self.config.sequence_len}"
            )
        # On a GPU the check would wait for the device at each step. There the engine looks at each prompt first, and
        # the stages see to it that tokens and model come from one tokenizer.
        if tokens.device.type == "cpu" and tokens.numel() and not torch.compiler.is_compiling():
            low, high = (int(bound) for bound in tokens.aminmax())
            if low < 0 or high >= self.config.vocab_size:
                raise InputError(
                    f"token id {low if low < 0 else high} is outside the vocabulary (0 to "
                    f"{self.config.vocab_size - 1}): was the text encoded by the tokenizer of this model?"
                )
