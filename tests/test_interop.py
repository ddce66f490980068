"""The same logits here and in transformers, both ways, and a plain word where the other model is another one."""

import builtins
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat import gpt
from nanochat.common import InputError
from nanochat.gpt import GPT
from nanochat.interop import export_folder, from_transformers, to_transformers, to_transformers_tokenizer, weight_names
from nanochat.tokenizer import Tokenizer

MakeModel = Callable[..., GPT]


@pytest.fixture
def model(make_model: MakeModel) -> GPT:
    """Three layers, fewer key/value heads than query heads: nothing is equal by accident."""
    return make_model(depth=3, n_kv_head=2)


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randint(320, (3, 24), generator=torch.Generator().manual_seed(1))


def difference(model: GPT, other: transformers.PreTrainedModel, tokens: torch.Tensor) -> float:
    with torch.no_grad():
        return float((model(tokens) - other(tokens).logits).abs().max())


@pytest.mark.parametrize("n_kv_head", [1, 2, 4])
@pytest.mark.parametrize("depth", [1, 3])
def test_logits_agree(depth: int, n_kv_head: int, make_model: MakeModel, tokens: torch.Tensor) -> None:
    model = make_model(depth=depth, n_kv_head=n_kv_head)
    other = to_transformers(model)
    assert isinstance(other, transformers.NanoChatForCausalLM)
    assert difference(model, other, tokens) < 1e-4
    with torch.no_grad():
        assert float(model(tokens).abs().max()) > 1, "logits near zero would agree with anything"


def test_direction_of_rotation_matters(model: GPT, tokens: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail: turning the other way gives other logits."""
    other = to_transformers(model)
    rotate = gpt.apply_rotary
    monkeypatch.setattr(gpt, "apply_rotary", lambda x, cos, sin: rotate(x, cos, -sin))
    assert difference(model, other, tokens) > 0.1


def test_order_of_rotation_and_norm_cannot_matter_but_the_norm_does(
    model: GPT, tokens: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = to_transformers(model)
    monkeypatch.setattr(gpt, "rms_norm", lambda x: x)
    assert difference(model, other, tokens) > 0.1


def test_every_weight_matters(model: GPT, tokens: torch.Tensor) -> None:
    """A name of the table that led nowhere, or twice to the same place, would be seen."""
    other = to_transformers(model)
    ours = {name: weight.clone() for name, weight in model.state_dict().items()}
    theirs = other.state_dict()
    names = weight_names(model.config.n_layer)
    assert {name for name, _ in names} == set(ours)
    assert {name for _, name in names} == set(theirs)
    for name, _ in names:
        changed = {**ours, name: ours[name].flip(0)}  # not a multiple: the norms would hide it
        model.load_state_dict(changed)
        assert difference(model, other, tokens) > 1e-3, name
    model.load_state_dict(ours)
    assert difference(model, other, tokens) < 1e-4


def test_there_and_back(model: GPT, tokens: torch.Tensor) -> None:
    back = from_transformers(to_transformers(model))
    assert back.config == model.config
    assert all(torch.equal(back.state_dict()[name], weight) for name, weight in model.state_dict().items())
    assert back.state_dict().keys() == model.state_dict().keys()


def test_the_copy_is_a_copy(model: GPT) -> None:
    other = to_transformers(model)
    with torch.no_grad():
        other.lm_head.weight.zero_()
    assert model.head.weight.abs().max() > 0


def test_their_fresh_model_runs_here(tokens: torch.Tensor) -> None:
    """A model that was never ours, with their epsilon and half precision on the disk."""
    torch.manual_seed(0)
    other = transformers.NanoChatForCausalLM(
        transformers.NanoChatConfig(
            vocab_size=320, hidden_size=64, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=32, initializer_range=0.3,
        )
    ).eval()  # fmt: skip
    assert difference(from_transformers(other), other, tokens) < 1e-4
    half = other.state_dict()["lm_head.weight"].to(torch.bfloat16)
    rounded = from_transformers(other.to(torch.bfloat16))
    assert rounded.head.weight.dtype == torch.float32 and torch.equal(rounded.head.weight, half.float())


def test_folder_is_loaded_by_name_of_the_architecture_alone(
    model: GPT, tokens: torch.Tensor, byte_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    folder = export_folder(model, tmp_path / "exported", byte_tokenizer)
    other = transformers.AutoModelForCausalLM.from_pretrained(folder)
    assert isinstance(other, transformers.NanoChatForCausalLM)
    assert difference(model, other, tokens) < 1e-4
    end = byte_tokenizer.special("<|assistant_end|>")
    assert other.config.bos_token_id == byte_tokenizer.bos
    assert other.config.eos_token_id == [end, byte_tokenizer.bos]
    assert difference(from_transformers(folder), other, tokens) < 1e-4
    config = json.loads((folder / "config.json").read_text())
    assert config["rms_norm_eps"] == torch.finfo(torch.float32).eps and config["intermediate_size"] == 256


def test_greedy_text_agrees(model: GPT, byte_tokenizer: Tokenizer) -> None:
    """Their cache and ours lead to the same tokens."""
    from nanochat.engine import Engine

    prompt = [byte_tokenizer.bos, 72, 105]
    assert to_transformers(model, byte_tokenizer).generation_config.pad_token_id not in prompt
    ours = Engine(model, byte_tokenizer).generate(prompt, temperature=0, max_tokens=15, stop=())[0]
    other = to_transformers(model, byte_tokenizer)
    theirs = other.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=15, eos_token_id=None)
    assert theirs[0, 3:].tolist() == ours


def test_folder_in_use_or_unwritable_is_refused(model: GPT, tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "notes").write_text("mine")
    with pytest.raises(InputError, match="used is not empty: give a new folder"):
        export_folder(model, tmp_path / "used")
    with pytest.raises(InputError, match="notes is a file: give a new folder"):
        export_folder(model, tmp_path / "used" / "notes")
    with pytest.raises(InputError, match="could not be exported"):
        export_folder(model, tmp_path / "used" / "notes" / "deeper")
    assert (tmp_path / "used" / "notes").read_text() == "mine"


CONFIG = {
    "vocab_size": 320, "hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 1, "num_attention_heads": 4,
    "max_position_embeddings": 32,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"intermediate_size": 128}, ["intermediate_size is 128, ours is 256"]),
        ({"hidden_act": "gelu"}, ["hidden_act is 'gelu'"]),
        ({"attention_bias": True}, ["attention_bias is True"]),
        ({"tie_word_embeddings": True}, ["tie_word_embeddings is True"]),
        ({"final_logit_softcapping": None}, ["final_logit_softcapping is None"]),
        ({"rms_norm_eps": 1e-3}, ["rms_norm_eps is 0.001"]),
        ({"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}}, ["rope_type is 'linear'"]),
        ({"hidden_act": "silu", "attention_bias": True}, ["hidden_act", "attention_bias"]),
    ],
)
def test_another_architecture_is_refused_line_by_line(changed: dict, expected: list[str]) -> None:
    other = transformers.NanoChatForCausalLM(transformers.NanoChatConfig(**{**CONFIG, **changed}))
    with pytest.raises(InputError) as caught:
        from_transformers(other)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(expected)
    assert all(words in line for words, line in zip(expected, lines, strict=True))


def test_no_such_folder_or_another_family_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="config.json is missing"):
        from_transformers(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(InputError, match="type 'gpt2'"):
        from_transformers(tmp_path)


def test_missing_library_is_named_with_the_command(model: GPT, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name == "transformers":
            raise ImportError("No module named 'transformers'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    for use in (
        to_transformers,
        lambda model: export_folder(model, tmp_path / "x"),
    ):
        with pytest.raises(InputError, match=r"pip install 'nanochat\[export\]'"):
            use(model)
    assert not (tmp_path / "x").exists()


@pytest.fixture(scope="module")
def trained() -> Tokenizer:
    """A tokenizer whose merges come in many sizes, from the text of this package."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(Path(gpt.__file__).parent.glob("*.py"))]
    return Tokenizer.train(texts, vocab_size=2048)


TEXTS = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="ab  \n\t'1239.,!éA\u00a0", max_size=60),
    st.lists(st.sampled_from(["model", "the ", "tokens", " 12345", "\n\n", "  ", "it's", "<|bos|", "東京", "🙂"])).map(
        "".join
    ),
)


@settings(max_examples=200, deadline=None)
@given(text=TEXTS)
def test_their_tokenizer_gives_our_ids(text: str, trained: Tokenizer) -> None:
    """Of any text that names no special token whole: those are text for ours and special tokens for theirs."""
    other = their_tokenizer(trained)
    ids = trained.encode(text)
    assert other.encode(text) == [trained.bos, *ids]
    assert other.decode(ids) == text


@cache
def their_tokenizer(tokenizer: Tokenizer) -> transformers.PreTrainedTokenizerFast:
    return to_transformers_tokenizer(tokenizer)


def test_their_tokenizer_comes_from_the_folder(make_model: MakeModel, trained: Tokenizer, tmp_path: Path) -> None:
    export_folder(make_model(vocab_size=2048), tmp_path, trained)
    other = transformers.AutoTokenizer.from_pretrained(tmp_path)
    text = Path(gpt.__file__).read_text(encoding="utf-8")
    assert other.encode(text) == [trained.bos, *trained.encode(text)]
    names = ["<|bos|>", "<|user_start|>", "<|output_end|>"]
    assert other.convert_tokens_to_ids(names) == [trained.special(name) for name in names]
    assert (other.bos_token_id, other.eos_token_id) == (trained.bos, trained.special("<|assistant_end|>"))
    assert other.encode("<|user_start|>hi", add_special_tokens=False)[0] == trained.special("<|user_start|>")
