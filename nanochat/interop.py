"""Models that leave and come: to and from ``transformers``, and the small form in which a model is shipped.

The architecture is the one that ``transformers`` calls ``NanoChatForCausalLM``. No matrix is transposed or
reordered on the way; only the names change, by the table below. What the other side computes agrees with what
:class:`~nanochat.gpt.GPT` computes, so that a model trained here can be served by every engine that reads that format,
and published weights of that format run here.

Three forms, each a folder that is written whole or not at all, and that runs no code when it is read:

====================================================  ==============================================================
:func:`export_folder`, :func:`import_folder`          what ``transformers`` and the engines that read its files expect
:class:`~nanochat.checkpoint.Saved` steps             what training goes on from (:mod:`nanochat.checkpoint`)
:func:`save_int8`, :func:`load_int8`                  weights in eight bits, a quarter of the size, to be shipped
====================================================  ==============================================================

``transformers`` is needed for writing only, and is imported when one of those functions is called.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from nanochat.accounting import count_parameters
from nanochat.checkpoint import list_steps, save_checkpoint
from nanochat.common import InputError, Runtime, base_dir, push_to_disk
from nanochat.evaluate import score_text
from nanochat.gpt import GPT, GPTConfig
from nanochat.hub import DownloadError, fetch, hub_base
from nanochat.tokenizer import SPECIAL_TOKENS, Tokenizer
from nanochat.train import Plan, TrainState

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

LONGEST_CONTEXT = 2**20
"""A longer context in a file is taken for damage: the tables of the rotation would fill the memory."""

THEIR_DEFAULTS: dict[str, Any] = {
    "num_key_value_heads": None,
    "max_position_embeddings": 2048,
    "intermediate_size": 8192,
    "hidden_act": "relu2",
    "rms_norm_eps": 1e-6,
    "final_logit_softcapping": 15.0,
    "attention_bias": False,
    "tie_word_embeddings": False,
}
"""What a key of their configuration means where it is missing; the sizes that are not here must be given."""

GUARD = "\ufdd0"
"""A character that no text contains, for it is reserved for the inside of programs; see :data:`CHAT_TEMPLATE`."""

CHAT_TEMPLATE = """\
{#- Text of a message: a guard stands between '<' and '|', so that nobody can type a special token. The tokenizer takes
    the guard away again after it has looked for special tokens, so the text reaches the model as it was. -#}
{%- macro words(text) -%}
    {{- text | replace('<GUARD', '<GUARDGUARD') | replace('<|', '<GUARD|') -}}
{%- endmacro -%}
{%- set state = namespace(expected='user', system='', text='', before='') -%}
{%- if not messages -%}
    {{- raise_exception('the conversation has no message: begin with one of the user') -}}
{%- endif -%}
{{- '<|bos|>' -}}
{%- for message in messages -%}
    {%- set number = loop.index -%}
    {%- if message.content is string -%}
        {%- set parts = [{'type': 'text', 'text': message.content}] -%}
    {%- elif message.content is sequence and message.content is not mapping -%}
        {%- set parts = message.content -%}
    {%- else -%}
        {{- raise_exception('message ' ~ number ~ ' has no content: give text or a list of parts') -}}
    {%- endif -%}
    {%- if message.role not in ['system', 'user', 'assistant'] -%}
        {{- raise_exception('message ' ~ number ~ ' has role ' ~ message.role
            ~ ': use user or assistant, or system for the first') -}}
    {%- elif message.role == 'system' and not loop.first -%}
        {{- raise_exception('message ' ~ number ~ ': a system text may only come first') -}}
    {%- elif message.role != 'system' and message.role != state.expected -%}
        {{- raise_exception('message ' ~ number ~ ' is the ' ~ message.role ~ '\\'s, expected the '
            ~ state.expected ~ '\\'s: user and assistant take turns, the user begins') -}}
    {%- endif -%}
    {%- set state.text = '' -%}
    {%- for part in parts -%}
        {%- if part is not mapping or part.text is not string
            or part.type not in ['text', 'python', 'python_output', 'output'] -%}
            {{- raise_exception('message ' ~ number ~ ' has a part without a text, or of an unknown type') -}}
        {%- elif part.type == 'text' -%}
            {%- set state.text = state.text ~ part.text -%}
        {%- elif message.role != 'assistant' -%}
            {{- raise_exception('only the assistant may call tools') -}}
        {%- endif -%}
    {%- endfor -%}
    {%- if message.role == 'system' -%}
        {%- set state.system = state.text.strip() -%}
    {%- elif message.role == 'user' -%}
        {%- if not state.text.strip() -%}
            {{- raise_exception('message ' ~ number ~ ': a user\\'s message is empty') -}}
        {%- endif -%}
        {%- if state.system -%}
            {%- set state.text = state.system ~ '\\n\\n' ~ state.text -%}
            {%- set state.system = '' -%}
        {%- endif -%}
        {{- '<|user_start|>' ~ words(state.text) ~ '<|user_end|>' -}}
        {%- set state.expected = 'assistant' -%}
    {%- else -%}
        {{- '<|assistant_start|>' -}}
        {%- set state.before = '' -%}
        {%- for part in parts -%}
            {%- if part.type == 'text' -%}
                {{- words(part.text) -}}
            {%- elif part.type == 'python' -%}
                {{- '<|python_start|>' ~ words(part.text) ~ '<|python_end|>' -}}
            {%- elif state.before == 'python' -%}
                {{- '<|output_start|>' ~ words(part.text) ~ '<|output_end|>' -}}
            {%- else -%}
                {{- raise_exception('an output stands alone: put it right behind the python part that it answers') -}}
            {%- endif -%}
            {%- set state.before = part.type -%}
        {%- endfor -%}
        {{- '<|assistant_end|>' -}}
        {%- set state.expected = 'user' -%}
    {%- endif -%}
{%- endfor -%}
{%- if state.system -%}
    {{- raise_exception('the conversation is a system text alone: add a message of the user') -}}
{%- endif -%}
{%- if add_generation_prompt -%}
    {%- if state.expected == 'user' -%}
        {{- raise_exception('the conversation ends with the assistant: a prompt ends with a message of the user') -}}
    {%- endif -%}
    {{- '<|assistant_start|>' -}}
{%- endif -%}
""".replace("GUARD", GUARD)
"""How ``apply_chat_template`` of ``transformers`` writes a conversation: token for token what
:func:`~nanochat.conversation.render` and :func:`~nanochat.conversation.render_prompt` write.

That library looks for the names of special tokens in the text that a template returns, and would find those that a
user has typed as well. A guard in each of them prevents it: the template writes :data:`GUARD` behind every ``<`` that
could begin a name, and the normalizer of the exported tokenizer, which runs after special tokens were looked for, takes
it out. Text that is encoded without the template has no such protection there; ``split_special_tokens=True`` gives it
one.

:meta hide-value:
"""

INT8_FILES = ("weights.safetensors", "tokenizer.json", "record.json")
"""The files of a model in eight bits, beside the manifest that vouches for them."""

_INT8_FORMAT = "nanochat int8 1"
_MANIFEST = "manifest.json"
_GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


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


# To transformers -------------------------------------------------------------------------------------------------


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
        other.generation_config._from_model_config = False  # it is complete, and not to be derived again
    ours = model.state_dict()
    other.load_state_dict({theirs: ours[name].float().cpu() for name, theirs in weight_names(config.n_layer)})
    return other.eval()


def to_transformers_tokenizer(tokenizer: Tokenizer, sequence_len: int | None = None) -> Any:
    """Make a ``PreTrainedTokenizerFast`` that gives the ids of a tokenizer, and writes chats as they are written here.

    It puts ``<|bos|>`` before a text, as training did. Unlike ours it turns the names of special tokens in a plain text
    into these tokens; in the messages of a chat it does not (:data:`CHAT_TEMPLATE`).

    Args:
        tokenizer: The tokenizer.
        sequence_len: The context of its model, in tokens: longer texts are warned of.

    Returns:
        The tokenizer of ``transformers``.

    Raises:
        InputError: If ``transformers`` is not installed.
    """
    transformers = _transformers()
    import tokenizers
    from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

    letters = _byte_letters()
    plain = [tokenizer.token_bytes(token) for token in range(tokenizer.special(SPECIAL_TOKENS[0]))]
    ids = {"".join(letters[byte] for byte in token): rank for rank, token in enumerate(plain)}
    # Ours merges any two neighbours that make a token together; theirs must be told each such pair, in order of rank.
    merges = [(name[:cut], name[cut:]) for name in ids for cut in range(1, len(name))]
    merges = [(left, right) for left, right in merges if left in ids and right in ids]
    other = tokenizers.Tokenizer(models.BPE(vocab=ids, merges=merges, ignore_merges=True))
    other.normalizer = normalizers.Replace("<" + GUARD, "<")
    # Their regular expressions read {1,2}+ as a repeated repetition; (?>...) says possessive in both.
    pattern = re.sub(r"(\\p\{\w+\}\{\d+,\d+\})\+", r"(?>\1)", tokenizer.pattern)
    other.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    other.decoder = decoders.ByteLevel()
    # Not normalized: they are looked for before the guard is taken out.
    other.add_special_tokens([tokenizers.AddedToken(name, special=True, normalized=False) for name in SPECIAL_TOKENS])
    bos = SPECIAL_TOKENS[0]
    other.post_processor = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=[(bos, tokenizer.bos)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=other,
        bos_token=bos,
        eos_token="<|assistant_end|>",
        pad_token="<|assistant_end|>",
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
        **({} if sequence_len is None else {"model_max_length": sequence_len}),
    )


def export_folder(
    model: GPT,
    folder: Path | str,
    tokenizer: Tokenizer | None = None,
    card: str | None = None,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """Save a model as a folder that ``AutoModelForCausalLM`` and ``AutoTokenizer`` load with ``from_pretrained``.

    Args:
        model: The model.
        folder: Where to; a new or empty folder. It appears with all that is in it, or not at all.
        tokenizer: The tokenizer of the model, saved along; see :func:`to_transformers_tokenizer`.
        card: The text of its ``README.md``, such as that of :func:`model_card`.
        dtype: The precision of the saved weights. In bfloat16 the folder is half as large, and what the model computes
            is rounded.

    Returns:
        The folder.

    Raises:
        InputError: If ``transformers`` is not installed, a weight is not a finite number, or the folder holds something
            already or cannot be written to.
    """
    if tokenizer is not None:
        _check_pair(model, tokenizer)
    _refuse_broken(model.state_dict(), "exported")
    other = to_transformers(model, tokenizer).to(dtype)
    with _whole_folder(Path(folder), "exported") as draft:
        with _quiet():
            other.save_pretrained(draft)
        if tokenizer:
            to_transformers_tokenizer(tokenizer, model.config.sequence_len).save_pretrained(draft)
            path = draft / "tokenizer_config.json"
            settings = json.loads(path.read_text(encoding="utf-8"))
            # The name that versions 4 and 5 of the library both know.
            settings["tokenizer_class"] = "PreTrainedTokenizerFast"
            path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        if card is not None:
            (draft / "README.md").write_text(card, encoding="utf-8")
    return Path(folder)


def model_card(name: str, model: GPT, facts: Mapping[str, str], credit: str = "") -> str:
    """Write the page that tells those who find an exported model what it is.

    Args:
        name: The title.
        model: The model; its sizes are listed.
        facts: What else is known, such as the score on held-out text: a row each, a word of what it is and the value.
        credit: Whom to thank for the text that it learnt from; empty if nobody.

    Returns:
        Markdown, with the header that model hubs read.
    """
    config, counted = model.config, count_parameters(model.config)
    rows = {
        "layers": f"{config.n_layer}",
        "width": f"{config.n_embd} channels",
        "heads": f"{config.n_head} for queries, {config.n_kv_head} for keys and values",
        "context": f"{config.sequence_len:,} tokens",
        "vocabulary": f"{config.vocab_size:,} tokens",
        "parameters": f"{counted.total:,} (embedding {counted.embedding:,}, head {counted.head:,})",
        **facts,
    }
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in rows.items()]
    table = "\n".join(f"| {key} | {value} |" for key, value in cells)
    return f"""\
---
library_name: transformers
pipeline_tag: text-generation
tags:
- nanochat
---

# {name}

A language model trained with nanochat {_version()}, in the format of `NanoChatForCausalLM`.

| | |
|---|---|
{table}
{f"{chr(10)}Text it learnt from: {credit}.{chr(10)}" if credit else ""}
```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("FOLDER")
model = AutoModelForCausalLM.from_pretrained("FOLDER")
chat = [{{"role": "user", "content": "What is 12 + 30?"}}]
prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True, return_tensors="pt")
answer = model.generate(**prompt, max_new_tokens=100, do_sample=False)
print(tokenizer.decode(answer[0, prompt["input_ids"].shape[1] :]))
```

What to know before using it:

- It is as good as the numbers above say and not better. It states wrong things fluently, and nothing was done to
  keep it from repeating what stands in its training text.
- If it was not trained on conversations, it continues a text and does not answer.
- Where it writes `<|python_start|>...<|python_end|>`, it asks for a calculation. nanochat's own engine does the
  calculation and puts the result in; `generate` does not, and the model then makes a result up.
- The chat template lets no message become a special token. Text that you encode without it can:
  `tokenizer(text, split_special_tokens=True)` prevents that.
"""


# From transformers -----------------------------------------------------------------------------------------------


def from_transformers(source: Any) -> GPT:
    """Make a :class:`~nanochat.gpt.GPT` with the weights of a ``NanoChatForCausalLM``.

    Args:
        source: The model of ``transformers``, or the folder of one, which is read without that library.

    Returns:
        The model, on the CPU, its weights in float32, its tokens numbered as there.

    Raises:
        InputError: If there is no such model, it is damaged, or it is built otherwise than ours: one line for each
            difference.
    """
    if isinstance(source, (str, Path)):
        return _read_model(Path(source))
    return _build(_their_config(source.config.to_dict(), "config"), source.state_dict(), "weights")


@dataclass(frozen=True)
class Imported:
    """A model that came from a folder of ``transformers``, with its tokenizer."""

    model: GPT
    """The model, on the CPU in float32; its tokens are numbered as in :class:`~nanochat.tokenizer.Tokenizer`."""
    tokenizer: Tokenizer
    """The tokenizer."""
    order: list[int]
    """For each of our tokens its number in the folder."""
    left_out: int
    """Rows of the vocabulary that stood for no token and were left out; they only rounded its size up."""

    @property
    def renumbered(self) -> bool:
        """Whether tokens have other numbers here than in the folder."""
        return self.order != sorted(self.order)


def import_folder(folder: Path | str) -> Imported:
    """Read a model and its tokenizer from a folder in the format of ``transformers``; the library is not needed.

    The model may have any sizes of the architecture, weights in any floating-point precision, in one file or in many.
    The tokenizer must be a byte-level BPE with the nine special tokens of a chat. Their numbers, and those of the
    bytes, may be any: here they stand in a fixed order, and the rows of embedding and head are put into that order.

    Args:
        folder: The folder.

    Returns:
        Model and tokenizer.

    Raises:
        InputError: If a file is missing or damaged, or the model or the tokenizer is of another kind: one line for each
            problem, naming the file.
    """
    folder = Path(folder)
    model = _read_model(folder)
    path = folder / "tokenizer.json"
    tokenizer, order = _read_tokenizer(path)
    rows = model.config.vocab_size
    if max(order) >= rows:
        raise InputError(
            f"{path} has a token with the number {max(order)}, the model has {rows} rows: they do not belong together"
        )
    if order != list(range(rows)):
        config = GPTConfig(**{**asdict(model.config), "vocab_size": len(order)})
        weights = {
            name: weight[order] if name in ("embed.weight", "head.weight") else weight
            for name, weight in model.state_dict().items()
        }
        model = GPT(config)
        model.load_state_dict(weights)
    return Imported(model.eval(), tokenizer, order, rows - len(order))


def tokenizer_differences(folder: Path | str, imported: Imported, texts: Iterable[str]) -> list[str] | None:
    """Encode texts with the tokenizer of a folder, as its own library does, and with the one that was read from it.

    Two kinds of BPE look alike in a file: some merge any two neighbours that make a token, others only the pairs that
    they list. Nearly always both cut a text alike. This says whether they do.

    Args:
        folder: The folder.
        imported: What :func:`import_folder` made of it.
        texts: The texts to try.

    Returns:
        The texts that are cut otherwise; None if the library (``tokenizers``) is not installed.
    """
    try:
        import tokenizers
    except ImportError:
        return None
    theirs = tokenizers.Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    theirs.encode_special_tokens = True
    different = []
    for text in texts:
        ours = [imported.order[token] for token in imported.tokenizer.encode(text)]
        if theirs.encode(text, add_special_tokens=False).ids != ours:
            different.append(text)
    return different


class _NoData:
    """Stands where a run has its loader: an imported model was trained elsewhere."""

    def next_batch(self) -> tuple[Tensor, ...]:
        """Refuse, because there is nothing to read."""
        raise InputError("an imported model has no training data here: start a run of your own from it")

    def state_dict(self) -> dict[str, Any]:
        """Return no position."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Keep no position."""


def save_imported(imported: Imported, run: Path | str, source: str) -> Path:
    """Save an imported model as the checkpoint of a run, which all stages load, with the run's own tokenizer.

    Args:
        imported: The model and its tokenizer.
        run: The folder of the run.
        source: Where it came from; it is noted in the checkpoint.

    Returns:
        The folder of the step, which is step 0: nothing was trained here.

    Raises:
        InputError: If the run has a checkpoint already, or the disk refuses.
    """
    if list_steps(run):
        raise InputError(f"{run} holds a checkpoint already: give another folder, so that nothing is replaced")
    config = imported.model.config
    runtime = Runtime(torch.device("cpu"), torch.float32)
    plan = Plan(model=config, device_batch_size=1, total_batch_size=config.sequence_len, num_iterations=1)
    state = TrainState.start(plan, _NoData(), runtime, imported.model)
    imported.tokenizer.save(Path(run) / "tokenizer.json")
    return save_checkpoint(state, run, imported.tokenizer.fingerprint, notes={"imported_from": source})


def fetch_folder(name: str) -> Path:
    """Fetch the files of a model from the Hugging Face hub, or from the server that ``$NANOCHAT_HUB`` names.

    Files that are here already are not fetched again.

    Args:
        name: Owner and name, such as ``owner/model``.

    Returns:
        The folder with the files, in the base folder.

    Raises:
        InputError: If the name is not of that form, or a file could not be had.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", name, re.ASCII):
        raise InputError(f"{name!r} is neither a folder that exists nor a name on the hub, such as owner/model")
    folder = base_dir() / "hub" / "models" / name

    def get(file: str) -> Path:
        return fetch(f"{hub_base()}/{name}/resolve/main/{file}", folder / file)

    get("config.json")
    get("tokenizer.json")
    try:
        get("model.safetensors")
    except DownloadError as first:
        try:
            get("model.safetensors.index.json")
        except DownloadError:
            raise first from None
        for file in sorted(set(_Weights.table_of(folder / "model.safetensors.index.json").values())):
            get(file)
    return folder


# Eight bits ------------------------------------------------------------------------------------------------------


def quantize(weight: Tensor) -> tuple[Tensor, Tensor]:
    r"""Round a matrix to whole numbers from -127 to 127, with one scale for each of its rows.

    :math:`q_{ij} = w_{ij} / s_i`, rounded, with :math:`s_i = \max_j |w_{ij}| / 127`. A row of a matrix makes one
    output channel (in the embedding, one token's vector), so that a channel with small weights is not rounded away by
    one with large weights.

    Args:
        weight: ``(n_out, n_in)``.

    Returns:
        The numbers in int8, ``(n_out, n_in)``, and the scales in float32, ``(n_out,)``; their product is within half a
        scale of the weight. A row of zeros has scale 1.

    Example:
        >>> numbers, scales = quantize(torch.tensor([[0.5, -1.27], [0.0, 0.0]]))
        >>> numbers.tolist(), [round(s, 4) for s in scales.tolist()]
        ([[50, -127], [0, 0]], [0.01, 1.0])
    """
    weight = weight.float()
    scales = weight.abs().amax(dim=1) / 127
    scales = torch.where(scales > 0, scales, torch.ones_like(scales))
    return (weight / scales[:, None]).round().clamp(-127, 127).to(torch.int8), scales


def dequantize(numbers: Tensor, scales: Tensor) -> Tensor:
    """Turn what :func:`quantize` returned back into a matrix in float32, ``(n_out, n_in)``."""
    return numbers.float() * scales[:, None]


@dataclass(frozen=True)
class QuantizationCost:
    """What rounding the weights to eight bits changes, measured on text."""

    largest_change: float
    """The largest change of a logit; the logits lie between -15 and 15."""
    same_best: float
    """Share of the positions at which the best next token stays the same."""
    positions: int
    """Positions that were compared."""
    bits_per_byte_before: float
    """Bits for each byte with the weights as they were trained."""
    bits_per_byte_after: float
    """Bits for each byte with the rounded weights."""

    def __str__(self) -> str:
        return (
            f"int8: {self.bits_per_byte_before:.4f} -> {self.bits_per_byte_after:.4f} bits per byte, best token the "
            f"same at {100 * self.same_best:.2f} % of {self.positions:,} positions, logits change by at most "
            f"{self.largest_change:.3f}"
        )


@torch.no_grad()
def quantization_cost(model: GPT, tokenizer: Tokenizer, documents: Iterable[str]) -> QuantizationCost:
    """Measure what a model loses when its weights are rounded to eight bits.

    Args:
        model: The model, with the weights as they were trained.
        tokenizer: Its tokenizer.
        documents: Texts that it was not trained on.

    Returns:
        The cost.

    Raises:
        InputError: If there is no text, or a weight is not a finite number.
    """
    texts = list(documents)
    _refuse_broken(model.state_dict(), "rounded")
    rounded = GPT(model.config)
    rounded.load_state_dict({name: dequantize(*quantize(weight)).cpu() for name, weight in model.state_dict().items()})
    rounded.to(model.device).eval()
    rounded.compute_dtype = model.compute_dtype
    before, after = (score_text(m, tokenizer, texts).bits_per_byte for m in (model, rounded))
    largest, same, positions = 0.0, 0, 0
    for text in texts:
        ids = [tokenizer.bos, *tokenizer.encode(text)]
        for start in range(0, len(ids), model.config.sequence_len):
            row = torch.tensor([ids[start : start + model.config.sequence_len]], device=model.device)
            one, other = model(row), rounded(row)
            largest = max(largest, float((one - other).abs().max()))
            same += int((one.argmax(-1) == other.argmax(-1)).sum())
            positions += row.numel()
    return QuantizationCost(largest, same / positions, positions, before, after)


def save_int8(
    model: GPT, tokenizer: Tokenizer, record: Mapping[str, Any], folder: Path | str, max_bytes: int | None = None
) -> Path:
    """Save a model with its weights rounded to eight bits: a quarter of the size, to be shipped.

    The folder holds the weights (each matrix in int8 with a float32 scale for each row, :func:`quantize`), the
    tokenizer, the record, and a manifest with the size and the SHA-256 of each.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        record: How the model was made, and what it can do: plain data that JSON can hold.
        folder: Where to; a new or empty folder. It appears with all that is in it, or not at all.
        max_bytes: Refuse to write more than this in all; None means any size.

    Returns:
        The folder.

    Raises:
        InputError: If a weight is not a finite number, model and tokenizer do not fit, the record is not plain data, it
            becomes too large, or the folder holds something already or cannot be written to.
    """
    _check_pair(model, tokenizer)
    weights = model.state_dict()
    _refuse_broken(weights, "saved")
    tensors: dict[str, Tensor] = {}
    for name, weight in weights.items():
        numbers, scales = quantize(weight)
        tensors[name], tensors[f"{name}.scale"] = numbers.cpu().contiguous(), scales.cpu().contiguous()
    try:
        about = {
            "format": _INT8_FORMAT,
            "config": asdict(model.config),
            "tokenizer_fingerprint": tokenizer.fingerprint,
            "record": dict(record),
        }
        text = json.dumps(about, indent=1, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise InputError(f"the record must be plain data that JSON can hold: {error}") from error
    with _whole_folder(Path(folder), "saved") as draft:
        (draft / "weights.safetensors").write_bytes(safetensors.torch.save(tensors))
        tokenizer.save(draft / "tokenizer.json")
        (draft / "record.json").write_text(text, encoding="utf-8")
        listed = {name: _fingerprint((draft / name).read_bytes()) for name in INT8_FILES}
        manifest = json.dumps({"format": _INT8_FORMAT, "files": listed}, indent=1) + "\n"
        (draft / _MANIFEST).write_text(manifest, encoding="utf-8")
        size = sum(path.stat().st_size for path in draft.iterdir())
        if max_bytes is not None and size > max_bytes:
            parameters = count_parameters(model.config).total
            raise InputError(
                f"the model has {parameters:,} parameters and would take {size:,} bytes, more than the {max_bytes:,} "
                f"allowed: train a smaller one"
            )
    return Path(folder)


def load_int8(folder: Path | str | Traversable) -> tuple[GPT, Tokenizer, dict[str, Any]]:
    """Load a model that :func:`save_int8` wrote.

    The weights become float32 again, so that the model runs everywhere; only the files are small.

    Args:
        folder: The folder, also one inside of an installed package.

    Returns:
        The model on the CPU, its tokenizer, and the record.

    Raises:
        InputError: If a file is missing, damaged, or does not fit the others; the message names it.
    """
    folder = Path(folder) if isinstance(folder, str) else folder
    cure = "restore the folder, or save the model again"
    manifest = _json_object(_bytes_of(folder, _MANIFEST, cure), f"{folder / _MANIFEST}")
    listed = manifest.get("files")
    if manifest.get("format") != _INT8_FORMAT or not isinstance(listed, dict):
        raise InputError(f"{folder / _MANIFEST} has format {manifest.get('format')!r}, not {_INT8_FORMAT!r}: {cure}")
    if sorted(listed) != sorted(INT8_FILES):
        raise InputError(f"{folder / _MANIFEST} lists {sorted(listed)}, not {sorted(INT8_FILES)}: {cure}")
    content = {}
    for name in INT8_FILES:
        content[name] = _bytes_of(folder, name, cure)
        if _fingerprint(content[name]) != listed[name]:
            raise InputError(f"{folder / name} is not the file that the manifest vouches for (damaged?): {cure}")
    about = _json_object(content["record.json"], f"{folder / 'record.json'}")
    problem = f"{folder / 'record.json'} does not describe a model"
    sizes, record = about.get("config"), about.get("record")
    if (
        not isinstance(sizes, dict)
        or not isinstance(record, dict)
        or sizes.keys() != {f.name for f in fields(GPTConfig)}
    ):
        raise InputError(f"{problem} of this version of nanochat: {cure}")
    try:
        config = GPTConfig(**sizes)
    except (InputError, TypeError) as error:
        raise InputError(f"{problem} ({error}): {cure}") from error
    try:
        tokenizer = Tokenizer._from_content(_json_object(content["tokenizer.json"], f"{folder / 'tokenizer.json'}"))
    except InputError as error:
        raise InputError(f"{folder / 'tokenizer.json'} cannot be used ({error}): {cure}") from error
    if tokenizer.fingerprint != about.get("tokenizer_fingerprint") or tokenizer.vocab_size > config.vocab_size:
        raise InputError(f"{folder / 'tokenizer.json'} is not the tokenizer of the model: {cure}")
    path = f"{folder / 'weights.safetensors'}"
    try:
        tensors = safetensors.torch.load(content["weights.safetensors"])
    except safetensors.SafetensorError as error:
        raise InputError(f"{path} cannot be read ({error}): {cure}") from error
    expected = {}
    for name, shape in _shapes(config, f"{folder / 'record.json'}", len(tensors)).items():
        expected[name] = (shape, (torch.int8,))
        expected[f"{name}.scale"] = (shape[:1], (torch.float32,))
    _check_tensors(path, {name: (tuple(t.shape), t.dtype) for name, t in tensors.items()}, expected)
    model = GPT(config)
    model.load_state_dict({name: dequantize(tensors[name], tensors[f"{name}.scale"]) for name in model.state_dict()})
    return model.eval(), tokenizer, record


def shipped_model() -> tuple[GPT, Tokenizer, dict[str, Any]]:
    """Load the small model that comes with the package, from a checkout as well as from an installed wheel.

    Returns:
        The model on the CPU, its tokenizer, and the record of how it was made and what it can do.

    Raises:
        InputError: If this copy of the package has none, or it is damaged.
    """
    folder = files("nanochat.assets") / "shipped"
    if not (folder / _MANIFEST).is_file():
        raise InputError(
            "this copy of nanochat comes without a trained model: train one with python -m scripts.base_train --depth=4"
        )
    return load_int8(folder)


# Inside: reading their files -------------------------------------------------------------------------------------


def _read_model(folder: Path) -> GPT:
    """Read configuration and weights from a folder."""
    if not folder.is_dir():
        raise InputError(
            f"{folder} is no folder: give one with config.json, model.safetensors and tokenizer.json, such as "
            f"fetch_folder gets from the hub"
        )
    path = folder / "config.json"
    config = _json_object(_bytes_of(folder, "config.json", "give the folder of a model of transformers"), str(path))
    return _build(_their_config(config, str(path)), _Weights(folder), str(path))


def _their_config(config: Mapping[str, Any], where: str) -> GPTConfig:
    """Compare how a model of theirs is built with how ours is, and return its sizes."""
    if config.get("model_type") != "nanochat":
        raise InputError(f"{where} is of type {config.get('model_type')!r}: only 'nanochat' has our architecture")
    problems = []
    known = {**THEIR_DEFAULTS, **{key: value for key, value in config.items() if value is not None}}
    # None and a missing key are not the same where None switches something off.
    if "final_logit_softcapping" in config and config["final_logit_softcapping"] is None:
        known["final_logit_softcapping"] = None
    # Names of the first published conversions.
    for old, new in (("logits_soft_cap", "final_logit_softcapping"), ("qkv_bias", "attention_bias")):
        if new not in config and old in config:
            known[new] = config[old]
    sizes = {}
    for ours, theirs in SIZES[:-1]:
        value = known.get(theirs)
        if theirs == "num_key_value_heads" and value is None:
            value = known.get("num_attention_heads")
        if isinstance(value, bool) or not isinstance(value, int):
            problems.append(f"{theirs} is {value!r}, not a whole number")
        sizes[ours] = value
    _refuse(where, problems)
    rope = known.get("rope_parameters") or known.get("rope_scaling") or {}
    if not isinstance(rope, dict):
        rope = {"rope_type": rope}
    theta = rope.get("rope_theta", known.get("rope_theta", 10000.0))
    cap, epsilon = known["final_logit_softcapping"], known["rms_norm_eps"]
    head_size = sizes["n_embd"] // max(1, sizes["n_head"])
    for name, value, ours in (
        ("intermediate_size", known["intermediate_size"], 4 * sizes["n_embd"]),
        ("head_dim", known.get("head_dim", head_size), head_size),
        ("hidden_act", known["hidden_act"], "relu2"),
        ("attention_bias", known["attention_bias"], False),
        ("tie_word_embeddings", known["tie_word_embeddings"], False),
        ("rope_type", rope.get("rope_type", rope.get("type", "default")), "default"),
        ("quantization_config", known.get("quantization_config"), None),
    ):
        if value != ours:
            problems.append(f"{name} is {value!r}, ours is {ours!r}")
    for name, value in (("rope_theta", theta), ("final_logit_softcapping", cap), ("rms_norm_eps", epsilon)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
            problems.append(f"{name} is {value!r}, ours is a positive number")
    if not problems and epsilon > LARGEST_EPSILON:
        problems.append(f"rms_norm_eps is {epsilon}, ours is {torch.finfo(torch.float32).eps:.3g}")
    if sizes["sequence_len"] > LONGEST_CONTEXT:
        problems.append(f"max_position_embeddings is {sizes['sequence_len']}, ours is {LONGEST_CONTEXT} at most")
    _refuse(where, problems)
    try:
        return GPTConfig(**sizes, softcap=float(cap), rope_theta=float(theta))
    except InputError as error:
        raise InputError(f"{where}: this model cannot run here: {error}") from error


def _build(sizes: GPTConfig, weights: Mapping[str, Tensor], where: str) -> GPT:
    """Make a model of weights of theirs."""
    shapes = _shapes(sizes, where, len(weights))
    names = weight_names(sizes.n_layer)
    floats = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
    found = (
        weights.kinds() if isinstance(weights, _Weights) else {n: (tuple(t.shape), t.dtype) for n, t in weights.items()}
    )
    source = weights.path if isinstance(weights, _Weights) else where
    _check_tensors(str(source), found, {theirs: (shapes[ours], floats) for ours, theirs in names})
    model = GPT(sizes)
    with torch.no_grad():
        parameters = dict(model.named_parameters())
        for ours, theirs in names:
            parameters[ours].copy_(weights[theirs])
    _refuse_broken(model.state_dict(), "imported")
    return model.eval()


def _shapes(config: GPTConfig, where: str, tensors: int) -> dict[str, tuple[int, ...]]:
    """Say which tensors a model has, without making it: a wrong size in a file must not claim all the memory."""
    if config.n_layer > tensors:
        _refuse(where, [f"it asks for {config.n_layer} layers, and there are only {tensors} tensors"])
    try:
        with torch.device("meta"):
            return {name: tuple(weight.shape) for name, weight in GPT(config).named_parameters()}
    except RuntimeError as error:
        raise InputError(f"{where}: this model cannot run here: its sizes fit no memory ({error})") from error


class _Weights(Mapping[str, Tensor]):
    """The tensors of a folder, in one file or in several; each is read when it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "model.safetensors"
        index = folder / "model.safetensors.index.json"
        if not self.path.is_file() and index.is_file():
            self.path = index
            table = self.table_of(index)
            names = sorted(set(table.values()))
        elif self.path.is_file():
            table, names = None, [self.path.name]
        else:
            pickled = sorted(path.name for kind in ("*.bin", "*.pt", "*.pth") for path in folder.glob(kind))
            also = f", only {pickled[0]}, which may run code when it is read" if pickled else ""
            raise InputError(f"{folder} has no model.safetensors{also}: export the model with safetensors")
        self._files = {}
        problems = []
        for name in names:
            try:
                self._files[name] = safetensors.safe_open(folder / name, framework="pt")
            except (OSError, safetensors.SafetensorError) as error:
                problems.append(f"{folder / name} cannot be read ({error})")
        if problems:
            raise InputError("\n".join(f"{problem}: download the file again" for problem in problems))
        self._where = {tensor: file for file in self._files.values() for tensor in file.keys()}  # noqa: SIM118
        if table is not None and table.keys() != self._where.keys():
            lost = sorted(table.keys() - self._where.keys())
            more = sorted(self._where.keys() - table.keys())
            _refuse(
                str(index),
                [f"{name} is in none of the files" for name in lost] + [f"{name} is not listed" for name in more],
            )

    @staticmethod
    def table_of(index: Path) -> dict[str, str]:
        """Read in which file each tensor is; no file may be outside of the folder."""
        table = _json_object(index.read_bytes(), str(index)).get("weight_map")
        if not isinstance(table, dict) or not all(isinstance(name, str) for name in table.values()):
            raise InputError(f"{index} has no 'weight_map' from tensors to files: download the folder again")
        outside = sorted({name for name in table.values() if not re.fullmatch(r"[\w-][\w.-]*\.safetensors", name)})
        _refuse(str(index), [f"it names {name!r}, which is no file of weights of this folder" for name in outside])
        return table

    def kinds(self) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """Return shape and dtype of each tensor, from the headers of the files."""
        kinds = {"F64": torch.float64, "F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
        slices = {name: file.get_slice(name) for name, file in self._where.items()}
        return {
            name: (tuple(part.get_shape()), kinds.get(part.get_dtype(), torch.uint8)) for name, part in slices.items()
        }

    def __getitem__(self, name: str) -> Tensor:
        return self._where[name].get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def __len__(self) -> int:
        return len(self._where)


def _check_tensors(
    where: str,
    found: Mapping[str, tuple[tuple[int, ...], torch.dtype]],
    expected: Mapping[str, tuple[tuple[int, ...], tuple[torch.dtype, ...]]],
) -> None:
    """Refuse tensors that are not those expected: a line for each that is missing, too many, or of another kind."""
    problems = [f"{name} is missing" for name in expected if name not in found]
    for name, (shape, dtype) in found.items():
        if name not in expected:
            problems.append(f"{name} is there and no part of this model")
            continue
        wanted, dtypes = expected[name]
        if shape != wanted:
            problems.append(f"{name} has shape {shape}, the sizes of the model ask for {wanted}")
        if dtype not in dtypes:
            problems.append(f"{name} is {_name(dtype)}, not one of {', '.join(map(_name, dtypes))}")
    _refuse(where, problems)


def _name(dtype: torch.dtype) -> str:
    """Return the short name of a precision."""
    return str(dtype).removeprefix("torch.")


def _refuse(where: str, problems: list[str]) -> None:
    """Raise one error with a line for each problem, if there are any."""
    if problems:
        raise InputError("\n".join(f"{where}: this model cannot run here: {problem}" for problem in problems))


def _check_pair(model: GPT, tokenizer: Tokenizer) -> None:
    """Refuse a tokenizer with more tokens than the model has rows; fewer may be, where the rows were rounded up."""
    if tokenizer.vocab_size > model.config.vocab_size:
        raise InputError(
            f"the tokenizer has {tokenizer.vocab_size} tokens and the model only {model.config.vocab_size}: they do "
            f"not belong together"
        )


def _refuse_broken(weights: Mapping[str, Tensor], what: str) -> None:
    """Refuse weights that are not finite numbers."""
    broken = [name for name, weight in weights.items() if not torch.isfinite(weight).all()]
    if broken:
        raise InputError(
            f"the model is not {what}: {broken[0]} and {len(broken) - 1} more hold NaN or infinity; take another one"
        )


def _read_tokenizer(path: Path) -> tuple[Tokenizer, list[int]]:
    """Read a ``tokenizer.json``: our tokenizer, and for each of its tokens the number in the file."""
    cure = "only a byte-level BPE with the nine special tokens of a chat can be read"
    content = _json_object(_bytes_of(path.parent, path.name, "the folder must hold the tokenizer as well"), str(path))
    model = content.get("model")
    problems = []
    if not isinstance(model, dict) or model.get("type", "BPE") != "BPE":
        kind = model.get("type") if isinstance(model, dict) else None
        raise InputError(f"{path}: the kind of tokenizer is {kind!r}: {cure}")
    for name in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(name):
            problems.append(f"{name} is {model[name]!r}, ours has none")
    if content.get("normalizer") not in (None, {"type": "Replace", "pattern": {"String": "<" + GUARD}, "content": "<"}):
        problems.append("it changes text before it cuts it (normalizer), ours does not")
    pattern = _pattern_of(content.get("pre_tokenizer"))
    if pattern is None:
        problems.append("pre_tokenizer is not a regular expression and the bytes, in this order")

    added = content.get("added_tokens")
    added = added if isinstance(added, list) and all(isinstance(entry, dict) for entry in added) else []
    numbers = {entry.get("content"): entry.get("id") for entry in added}
    missing = [name for name in SPECIAL_TOKENS if name not in numbers]
    problems += [f"the special token {name} is missing" for name in missing]
    problems += [f"{name!r} is a special token that ours has not" for name in numbers if name not in SPECIAL_TOKENS]
    problems += [
        f"the special token {entry.get('content')} takes the blanks beside it, ours does not"
        for entry in added
        if entry.get("lstrip") or entry.get("rstrip")
    ]
    vocab, listed = model.get("vocab"), model.get("merges")
    if not isinstance(vocab, dict) or not isinstance(listed, list):
        problems.append("vocab is not an object, or merges is not a list")
    _refuse_tokenizer(path, problems, cure)

    letters = {letter: byte for byte, letter in enumerate(_byte_letters())}
    tokens: dict[str, None] = {letter: None for letter in letters}  # in the order of their birth
    last = ""
    for place, merge in enumerate(listed):
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(half, str) for half in pair):
            raise InputError(f"{path}: merge {place} is {merge!r}, not two tokens: {cure}")
        made = "".join(pair)
        unknown = [name for name in (*pair, made) if name not in vocab]
        if unknown:
            raise InputError(f"{path}: merge {place} is about {unknown[0]!r}, which is not in vocab: {cure}")
        if made in tokens and made != last:
            raise InputError(f"{path}: {made!r} is made a second time by merge {place}, much later: {cure}")
        tokens[made] = None
        last = made
    numbers = {name: numbers[name] for name in SPECIAL_TOKENS}
    problems = [f"the byte {letters[name]} is missing" for name in list(letters) if name not in vocab]
    problems += [f"no merge makes the token {name!r}" for name in vocab if name not in tokens and name not in numbers]
    order = [*(vocab.get(name) for name in tokens), *numbers.values()]
    if not problems and not all(isinstance(number, int) and not isinstance(number, bool) for number in order):
        problems.append("the number of a token is not a whole number")
    elif not problems and (min(order) < 0 or len(set(order)) < len(order)):
        problems.append("two tokens have the same number, or one has a negative number")
    _refuse_tokenizer(path, problems, cure)
    merges = [bytes(letters[letter] for letter in name) for name in list(tokens)[256:]]
    try:
        return Tokenizer(merges, pattern), order
    except InputError as error:
        raise InputError(f"{path}: {error}: {cure}") from error


def _refuse_tokenizer(path: Path, problems: list[str], cure: str) -> None:
    """Raise one error with a line for each problem of a tokenizer, ten at most, if there are any."""
    more = [f"{len(problems) - 10} more problems"] if len(problems) > 10 else []
    if problems:
        raise InputError("\n".join(f"{path}: {problem}: {cure}" for problem in problems[:10] + more))


def _pattern_of(steps: Any) -> str | None:
    """Find the regular expression that cuts a text into words; None if the text is cut in another way."""
    steps = steps.get("pretokenizers") if isinstance(steps, dict) and steps.get("type") == "Sequence" else [steps]
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps) or not steps:
        return None
    *cuts, last = steps
    if last.get("type") != "ByteLevel" or last.get("add_prefix_space"):
        return None
    if not cuts:
        return _GPT2_PATTERN if last.get("use_regex", True) else None
    if len(cuts) > 1 or last.get("use_regex", True) or cuts[0].get("type") != "Split":
        return None
    pattern = cuts[0].get("pattern")
    # Two ways to say the same: keep what fits as pieces, or throw away what does not fit.
    manner = (cuts[0].get("behavior"), bool(cuts[0].get("invert")))
    if (
        not isinstance(pattern, dict)
        or "Regex" not in pattern
        or manner not in (("Isolated", False), ("Removed", True))
    ):
        return None
    # Back to the way in which ours says possessive.
    return re.sub(r"\(\?>(\\p\{\w+\}\{\d+,\d+\})\)", r"\1+", str(pattern["Regex"]))


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


@contextmanager
def _quiet() -> Iterator[None]:
    """Let the library draw no progress bars for a moment: a stage prints what came of it."""
    from transformers.utils import logging

    drawn = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if drawn:
            logging.enable_progress_bar()


def _version() -> str:
    """Return the version of this package."""
    from nanochat import __version__

    return __version__


# Inside: files ---------------------------------------------------------------------------------------------------


def _bytes_of(folder: Path | Traversable, name: str, cure: str) -> bytes:
    """Read a file whole."""
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        what = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise InputError(f"{folder / name} {what}: {cure}") from error


def _json_object(content: bytes, where: str) -> dict[str, Any]:
    """Read a JSON object."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is damaged, not JSON ({error}): restore the file") from error
    if not isinstance(value, dict):
        raise InputError(f"{where} must hold a JSON object, not a {type(value).__name__}: restore the file")
    return value


def _fingerprint(content: bytes) -> dict[str, Any]:
    """Return size and SHA-256 of the content of a file."""
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


@contextmanager
def _whole_folder(folder: Path, what: str) -> Iterator[Path]:
    """Make a folder under another name, which takes the wanted one when everything is in it.

    Whatever fails before leaves nothing behind. Files get the mode that the umask gives; the libraries that write
    weights make them readable for their owner only.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file: give a new folder")
        if folder.is_dir() and any(folder.iterdir()):
            raise InputError(f"{folder} is not empty: give a new folder, so that nothing is overwritten")
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = folder.parent / f".tmp-{os.getpid()}-{secrets.token_hex(4)}"
        draft.mkdir()
        try:
            yield draft
            probe = draft / ".mode"
            probe.touch()
            mode = probe.stat().st_mode & 0o777
            probe.unlink()
            for path in draft.iterdir():
                os.chmod(path, mode)
                push_to_disk(path)
            push_to_disk(draft)
            if folder.is_dir():
                folder.rmdir()
            os.rename(draft, folder)
            push_to_disk(folder.parent)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except InputError:
        raise
    except (OSError, safetensors.SafetensorError, ValueError) as error:  # ValueError: a zero byte in the name
        raise InputError(
            f"the model could not be {what} to {folder}: {error}; give a folder that can be written to"
        ) from error
