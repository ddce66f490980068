"""What the page on the pipeline says about the stages, proved by running their parts in an empty folder."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from unittest import mock

from docs._ext.claims import check, claim, mutant
from docs._ext.mutation import edited
from docs.pictures import pupil
from nanochat.accounting import compute_optimal_tokens, flops_per_token
from nanochat.checkpoint import save_checkpoint
from nanochat.corpora import Corpus, split_of
from nanochat.gpt import GPTConfig
from nanochat.stages import base_train, chat_cli, chat_web, chats, models, tok_train
from nanochat.tasks import story_questions
from nanochat.tokenizer import Tokenizer

FIND = "nanochat.stages.models.find_run"
TOKENIZER = "nanochat.stages.base_train.load_or_train_tokenizer"
TOK_TRAIN = "nanochat.stages.tok_train.main"
DOCUMENTS = "nanochat.stages.base_train.load_documents"
MIXED_IN = "nanochat.stages.chats.rendered_text"
TOLD = "nanochat.tasks.story_questions.stories_of"
PEAK = 989e12
"""Operations a second of one H100, in bfloat16, as its maker states them."""
SHARE, GPUS, PRICE = 0.4, 8, 24
"""What is supposed: the share of the peak that training reaches, the processors, dollars for an hour of all of them."""


@mutant("least-finished-first", "the search begins with the least finished stage")
def least_finished_first() -> AbstractContextManager[object]:
    return edited(FIND, "for stage in reversed(among):", "for stage in among:")


@mutant("tokenizer-always-trained", "base-train trains a tokenizer although there is one")
def tokenizer_always_trained() -> AbstractContextManager[object]:
    return edited(TOKENIZER, "if runtime.is_main and not path.exists():", "if runtime.is_main:")


@mutant("tokenizer-reads-held-out", "the tokenizer learns from the text that is held out")
def tokenizer_reads_held_out() -> AbstractContextManager[object]:
    return edited(TOKENIZER, 'corpus.documents("train")', 'corpus.documents("val")')


@mutant("model-reads-held-out", "base-train learns from the text that is held out")
def model_reads_held_out() -> AbstractContextManager[object]:
    return edited(DOCUMENTS, 'load_tokens(corpus, tokenizer, "train")', 'load_tokens(corpus, tokenizer, "val")')


@mutant("chats-read-held-out", "mid-train mixes in text that is held out")
def chats_read_held_out() -> AbstractContextManager[object]:
    return edited(MIXED_IN, 'load_tokens(corpus, tokenizer, "train"', 'load_tokens(corpus, tokenizer, "val"')


@mutant("questions-of-held-out", "the questions to learn from are about stories that are held out")
def questions_of_held_out() -> AbstractContextManager[object]:
    return edited(TOLD, "if in_split(story.text, split)", "if not in_split(story.text, split)")


@contextlib.contextmanager
def _empty_base() -> Iterator[Path]:
    """A base folder with nothing in it, for the block."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, {"NANOCHAT_BASE_DIR": folder}):
        yield Path(folder)


@claim("pipeline-most-finished", about=("nanochat.stages.models.find_model", FIND), killed_by="least-finished-first")
def most_finished() -> str:
    """Save two models, of two stages, and see which one is found."""
    for stage in (chat_cli, chat_web):
        check(stage.Settings().source, "auto", f"what {stage.__name__} asks for")
    one = pupil.new(pupil.SMALL_VOCABULARY)
    with _empty_base():
        before = models.find_model()[2]
        for stage in ("sft", "base"):  # the base model is the newer one
            folder = models.run_folder(stage, "small")
            save_checkpoint(one.state, folder, one.tokenizer.fingerprint)
            one.tokenizer.save(folder / "tokenizer.json")
        found = Path(models.find_model()[2])
    check(before, "the model that comes with nanochat", "what is found where nothing was trained")
    check(found.parts[-3], "sft", "the stage of the model that is found")
    return (
        "With a base model and a fine-tuned one at hand, both take the fine-tuned one, also where the base model is "
        "newer; with none, the one that comes along with the package."
    )


def _watched() -> tuple[Corpus, list[str]]:
    """A corpus, and the list of its parts that were read."""
    asked: list[str] = []

    def read(split: str) -> list[str]:
        asked.append(split)
        return pupil.texts(split)

    return Corpus("few", "a few stories", "", lambda: pupil.texts("train"), read_split=read), asked


@claim("pipeline-first-tokenizer", about=TOKENIZER, killed_by=("tokenizer-always-trained", "tokenizer-reads-held-out"))
def first_tokenizer() -> str:
    """Ask for a tokenizer twice, with nothing prepared."""
    corpus, asked = _watched()
    with _empty_base(), contextlib.redirect_stdout(io.StringIO()):
        first, second = (base_train.load_or_train_tokenizer(corpus, pupil.CPU) for _ in range(2))
    check(asked, ["train"], "the parts of the corpus that were read")
    check(first.fingerprint, second.fingerprint, "the two tokenizers")
    return (
        "If there is no tokenizer, it trains one from the part to learn from, and saves it; the next time it finds it "
        "there."
    )


@mutant("tok-train-reads-held-out", "tok-train learns from the text that is held out")
def tok_train_reads_held_out() -> AbstractContextManager[object]:
    return edited(TOK_TRAIN, 'Counted(corpus.documents("train")', 'Counted(corpus.documents("val")')


@claim(
    "pipeline-held-out",
    about=(TOK_TRAIN, TOKENIZER, DOCUMENTS, MIXED_IN, TOLD),
    killed_by=(
        "tok-train-reads-held-out",
        "tokenizer-reads-held-out",
        "model-reads-held-out",
        "chats-read-held-out",
        "questions-of-held-out",
    ),
)
def held_out() -> str:
    """Let each stage that learns from a corpus read one, and see what it took."""
    corpus, asked = _watched()
    with _empty_base() as folder, contextlib.redirect_stdout(io.StringIO()):
        with mock.patch.object(tok_train, "load_corpus", lambda name: corpus):
            tok_train.main(["--vocab-size=300", f"--output={folder / 'own.json'}"])
        learned, asked[:] = Tokenizer.load(folder / "own.json"), []
        base_train.load_or_train_tokenizer(corpus, pupil.CPU)
        documents = base_train.load_documents(corpus, learned, 1000, pupil.CPU)
        mixed = list(chats.rendered_text(corpus, learned, 64, 1000, 1))
    check(learned.fingerprint, Tokenizer.train(pupil.texts("train"), 300).fingerprint, "what tok-train learned from")
    check(asked, ["train"] * 3, "what the tokenizer of base-train, its model, and mid-train read")
    check(len(documents), len(pupil.texts("train")), "the documents of base-train")
    check.true(bool(mixed), "mid-train reads some text too")
    told = story_questions.stories_of("train", 40, 1)
    check({split_of(story.text) for story in told}, {"train"}, "the stories that are asked about in training")
    return "A part of it is held out, and no stage learns from that part."


@claim(
    "pipeline-hours",
    about="nanochat.accounting.flops_per_token",
    undecided="It takes eight H100 for hours. Computed instead: the operations that the code counts, divided by 40 % "
    "of what the maker states for these processors, at a supposed price.",
    decide_with="bash speedrun.sh --depth=20 && python -m scripts.report --run=d20 --price-per-hour=24",
)
def hours() -> str:
    """Divide operations by operations a second."""
    config = GPTConfig.from_depth(20, vocab_size=32768, sequence_len=2048)
    operations = flops_per_token(config) * compute_optimal_tokens(config)
    took = operations / (GPUS * SHARE * PEAK) / 3600
    return (
        f"A base model of depth {config.n_layer} with 32,768 tokens takes {operations:.1e} operations; on {GPUS} "
        "H100 that "
        f"reach {SHARE:.0%} of their peak, that is {took:.1f} hours, or {took * PRICE:.0f} dollars at {PRICE} "
        "dollars an hour."
    )
