"""Checkpoints for other libraries: the same model as a model of ``transformers``, and back.

The architecture is the one that ``transformers`` calls ``NanoChatForCausalLM``. No matrix is transposed or
reordered on the way; only the names change, by the table below. What the other side computes agrees with what
:class:`~nanochat.gpt.GPT` computes, so that a model trained here can be served by every engine that reads that format,
and published weights of that format run here.

``transformers`` is needed for this module only, and is imported when one of its functions is called.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nanochat.common import InputError
from nanochat.gpt import GPT, GPTConfig
from nanochat.tokenizer import SPECIAL_TOKENS, Tokenizer

NAMES = (
    ("embed.weight", "model.embed_tokens.weight"),
    ("blocks.{}.attention.query.weight", "model.layers.{}.self_attn.q_proj.weight"),
    ("blocks.{}.attention.key.weight", "model.layers.{}.self_attn.k_proj.weight"),
    ("blocks.{}.attention.value.weight", "model.layers.{}.self_attn.v_proj.weight"),
    ("blocks.{}.attention.output.weight", "model.layers.{}.self_attn.o_proj.weight"),
    ("blocks.{}.mlp.up.weight", "model.layers.{}.mlp.fc1.weight"),
    ("blocks.{}.mlp.down.weight", "model.layers.{}.mlp.fc2.weight"),
    ("head.weight", "lm_head.weight"),
)
"""Our name and theirs of every weight; ``{}`` stands for the number of the layer."""

SIZES = (
    ("vocab_size", "vocab_size"),
    ("sequence_len", "max_position_embeddings"),
    ("n_layer", "num_hidden_layers"),
    ("n_head", "num_attention_heads"),
    ("n_kv_head", "num_key_value_heads"),
    ("n_embd", "hidden_size"),
    ("softcap", "final_logit_softcapping"),
)
"""Our name and theirs of every size."""

LARGEST_EPSILON = 1e-5
"""Weights whose RMSNorm adds more than this to the mean square would compute something visibly different here."""


def weight_names(n_layer: int) -> list[tuple[str, str]]:
    """Write the table of names out for a model of so many layers.

    Args:
        n_layer: L, the number of layers.

    Returns:
        Pairs: our name, their name.

    Example:
        >>> weight_names(1)[1]
        ('blocks.0.attention.query.weight', 'model.layers.0.self_attn.q_proj.weight')
    """
    return [
        (ours.format(layer), theirs.format(layer))
        for ours, theirs in NAMES
        for layer in (range(n_layer) if "{}" in ours else (0,))
    ]


def to_transformers(model: GPT, tokenizer: Tokenizer | None = None) -> Any:
    """Make a ``NanoChatForCausalLM`` with the weights of a model.

    Args:
        model: The model.
        tokenizer: The tokenizer of the model; its ids for the start of a text and the end of an answer are written
            into the configuration, so that ``generate`` knows where to stop.

    Returns:
        The model of ``transformers``, in float32 on the CPU, with a copy of the weights.

    Raises:
        InputError: If ``transformers`` is not installed.
    """
    transformers = _transformers()
    config = model.config
    sizes = {theirs: getattr(config, ours) for ours, theirs in SIZES}
    ends = [tokenizer.special("<|assistant_end|>"), tokenizer.bos] if tokenizer else None
    # No pad_token_id here: their embedding would freeze the vector of that token.
    other = transformers.NanoChatForCausalLM(
        transformers.NanoChatConfig(
            **sizes,
            intermediate_size=4 * config.n_embd,
            hidden_act="relu2",
            rms_norm_eps=torch.finfo(torch.float32).eps,
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
            attention_bias=False,
            tie_word_embeddings=False,
            bos_token_id=tokenizer.bos if tokenizer else None,
            eos_token_id=ends,
            pad_token_id=None,
        )
    )
    if tokenizer:
        # Not <|bos|>: generate() may hide pad tokens from attention, and every prompt starts with <|bos|>.
        other.generation_config.pad_token_id = ends[0]
    ours = model.state_dict()
    other.load_state_dict({theirs: ours[name].float().cpu() for name, theirs in weight_names(config.n_layer)})
    return other.eval()


def from_transformers(source: Any) -> GPT:
    """Make a :class:`~nanochat.gpt.GPT` with the weights of a ``NanoChatForCausalLM``.

    Args:
        source: The model of ``transformers``, or the folder (or the name on the hub) of one.

    Returns:
        The model, on the CPU, its weights in float32.

    Raises:
        InputError: If ``transformers`` is not installed, there is no such model, or it is built otherwise than ours:
            one line for each difference.
    """
    if isinstance(source, (str, Path)):
        source = _load(source)
    config = source.config
    _refuse_differences(config)
    sizes = {ours: getattr(config, theirs) for ours, theirs in SIZES}
    model = GPT(GPTConfig(**sizes, rope_theta=float(config.rope_parameters["rope_theta"])))
    weights: dict[str, Tensor] = source.state_dict()
    names = weight_names(model.config.n_layer)
    model.load_state_dict({ours: weights[theirs].float().cpu() for ours, theirs in names})
    return model.eval()


def export_folder(model: GPT, folder: Path | str, tokenizer: Tokenizer | None = None) -> Path:
    """Save a model as a folder that ``AutoModelForCausalLM`` and ``AutoTokenizer`` load with ``from_pretrained``.

    Args:
        model: The model.
        folder: Where to; a new or empty folder.
        tokenizer: The tokenizer of the model, saved along; see :func:`to_transformers_tokenizer`.

    Returns:
        The folder.

    Raises:
        InputError: If ``transformers`` is not installed, or the folder holds something already or cannot be written to.
    """
    folder = Path(folder)
    other = to_transformers(model, tokenizer)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise InputError(f"{folder} is not empty: give a new folder, so that nothing is overwritten")
        other.save_pretrained(folder)
        if tokenizer:
            to_transformers_tokenizer(tokenizer).save_pretrained(folder)
    except OSError as error:
        raise InputError(
            f"the model could not be exported to {folder}: {error}; give a folder that can be written to"
        ) from error
    return folder


def to_transformers_tokenizer(tokenizer: Tokenizer) -> Any:
    """Make a ``PreTrainedTokenizerFast`` that gives the ids of a tokenizer.

    It puts ``<|bos|>`` before a text, as training did. Unlike ours it turns the names of special tokens in a text into
    these tokens, which the chat templates of that library rely on.

    Args:
        tokenizer: The tokenizer.

    Returns:
        The tokenizer of ``transformers``.

    Raises:
        InputError: If ``transformers`` is not installed.
    """
    transformers = _transformers()
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, processors

    letters = _byte_letters()
    plain = [tokenizer.token_bytes(token) for token in range(tokenizer.special(SPECIAL_TOKENS[0]))]
    ids = {"".join(letters[byte] for byte in token): rank for rank, token in enumerate(plain)}
    # Ours merges any two neighbours that make a token together; theirs must be told each such pair, in order of rank.
    merges = [(name[:cut], name[cut:]) for name in ids for cut in range(1, len(name))]
    merges = [(left, right) for left, right in merges if left in ids and right in ids]
    other = tokenizers.Tokenizer(models.BPE(vocab=ids, merges=merges, ignore_merges=True))
    # Their regular expressions read {1,2}+ as a repeated repetition; (?>...) says possessive in both.
    pattern = re.sub(r"(\\p\{\w+\}\{\d+,\d+\})\+", r"(?>\1)", tokenizer.pattern)
    other.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    other.decoder = decoders.ByteLevel()
    other.add_special_tokens([tokenizers.AddedToken(name, special=True, normalized=False) for name in SPECIAL_TOKENS])
    bos = SPECIAL_TOKENS[0]
    other.post_processor = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=[(bos, tokenizer.bos)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=other, bos_token=bos, eos_token="<|assistant_end|>", clean_up_tokenization_spaces=False
    )


def _byte_letters() -> list[str]:
    """Give every byte a visible letter, as that library writes bytes in its files: its own, or one past 255."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return [chr(byte) if byte in visible else chr(256 + hidden.index(byte)) for byte in range(256)]


def _transformers() -> Any:
    """Import the library, or say how to install it."""
    try:
        import transformers
    except ImportError as error:
        raise InputError(
            f"transformers is needed for this and missing ({error}): pip install 'nanochat[export]'"
        ) from error
    if not hasattr(transformers, "NanoChatForCausalLM"):
        raise InputError(
            f"transformers {transformers.__version__} does not know NanoChatForCausalLM: "
            f"pip install --upgrade transformers"
        )
    return transformers


def _load(source: str | Path) -> Any:
    """Load a model of ``transformers`` from a folder or from the hub."""
    transformers = _transformers()
    try:
        config = transformers.AutoConfig.from_pretrained(source)
        if config.model_type != "nanochat":
            raise InputError(f"{source} is a model of type {config.model_type!r}: only 'nanochat' has our architecture")
        return transformers.NanoChatForCausalLM.from_pretrained(source, dtype=torch.float32)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"{source} is no model of transformers that can be loaded: {first}") from error


def _refuse_differences(config: Any) -> None:
    """Compare how a model of ``transformers`` is built with how ours is."""
    rope = config.rope_parameters or {}
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    rules = (
        ("model_type", config.model_type, "nanochat"),
        ("intermediate_size", config.intermediate_size, 4 * config.hidden_size),
        ("head_dim", head_size, config.hidden_size // config.num_attention_heads),
        ("hidden_act", config.hidden_act, "relu2"),
        ("attention_bias", config.attention_bias, False),
        ("tie_word_embeddings", config.tie_word_embeddings, False),
        ("rope_type", rope.get("rope_type", "default"), "default"),
        ("rope_theta", rope.get("rope_theta"), rope.get("rope_theta") or "a number"),
        ("final_logit_softcapping", config.final_logit_softcapping, config.final_logit_softcapping or "a number"),
    )
    problems = [f"{name} is {value!r}, ours is {ours!r}" for name, value, ours in rules if value != ours]
    if config.rms_norm_eps > LARGEST_EPSILON:
        problems.append(f"rms_norm_eps is {config.rms_norm_eps}, ours is {torch.finfo(torch.float32).eps:.3g}")
    if problems:
        raise InputError("\n".join(f"this model cannot run here: {problem}" for problem in problems))
