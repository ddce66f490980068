"""How the guides are written, and what stands around them: short sentences and pages, docstrings, commands, floors."""

import ast
import importlib
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_howto import Copy, shrunk, stage_of

from docs._ext import guides
from docs._ext.claims import load
from docs._ext.counting import LISTS, count, made_in
from docs._ext.project import Project
from docs._ext.single_file import Flattener, slug
from docs.pictures.big_picture import around
from docs.pictures.inference import loop, pipeline
from nanochat.stages.flags import parse_flags

ROOT = Path(__file__).resolve().parents[1]
PROJECT = Project(ROOT)
PAGES = [*PROJECT.guide_pages(), *(ROOT / "docs" / f"{name}.md" for name in ("index", "guides", "finder", "practice"))]
AROUND = [ROOT / "docs" / "guides.md", ROOT / "README.md", ROOT / "CLAUDE.md", ROOT / "CONTRIBUTING.md"]

LONGEST_PAGE, LONGEST_SENTENCE = 3300, 15


def names(paths: list[Path]) -> list[str]:
    return [PROJECT.relative(path) for path in paths]


# ---- how it is written ----


def sentences(page: Path) -> list[int]:
    """How many words each sentence of a page has; headings and cells of tables are none."""
    lengths = []
    text = page.read_text(encoding="utf-8")
    tables = {number for number, line in enumerate(text.splitlines(), 1) if line.lstrip("> ").startswith("|")}
    told = [one.text for one in guides.paragraphs(text) if not one.heading and one.line not in tables]
    if PROJECT.docname(page) in LISTS:
        told = re.findall(r"^: (.*)$", text, re.MULTILINE)  # the definitions
    for paragraph in told:
        for sentence in re.split(r"(?<=[.!?])[\"”’)]*\s+(?=[^a-z])", guides.plain(paragraph)):
            words = [word for word in sentence.split() if re.search(r"\w", word)]
            if len(words) > 1:
                lengths.append(len(words))
    return lengths


def test_every_source_is_cited() -> None:
    sources = tomllib.loads((ROOT / "docs" / "references.toml").read_text(encoding="utf-8"))
    cited = {
        key for page in PROJECT.pages() for key in re.findall(r"\{cite\}`([^`]+)`", page.read_text(encoding="utf-8"))
    }
    assert sources.keys() - cited == set(), "nothing rests on these: cite them or take them out"


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_sentences_are_short(page: Path) -> None:
    lengths = sentences(page)
    if lengths:
        mean = sum(lengths) / len(lengths)
        assert mean <= LONGEST_SENTENCE, f"{mean:.1f} words a sentence; the longest has {max(lengths)}"


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_pages_are_one_sitting(page: Path) -> None:
    words = len(page.read_text(encoding="utf-8").split())
    assert words <= LONGEST_PAGE or PROJECT.docname(page) in LISTS, f"{words} words: cut the page in two"


# ---- what there must be ----


def test_guides_hold_what_they_promise() -> None:
    nano, maths = count(PROJECT, "nano/index"), count(PROJECT, "nanomath/index")
    assert nano.topics >= 20 and nano.references >= 50 and nano.pictures >= 25
    assert maths.topics >= 30 and maths.pictures >= 20
    assert nano.problems + maths.problems >= 60
    registry = load(PROJECT.docs / "claims")
    about_code = [claim for claim in registry.claims if claim.about]
    assert len(about_code) >= 150 and all(claim.killed_by or claim.undecided for claim in about_code)
    assert len(registry.mutants) >= 30
    places = {made.target for start in ("nano/index", "nanomath/index") for made in made_in(PROJECT, start)}
    assert len({symbol for claim in registry.claims for symbol in claim.about} | places) >= 100


def test_every_chapter_has_something_to_look_at_and_something_to_do() -> None:
    read = [page for start in ("nano/index", "nanomath/index") for page in guides.reading_order(PROJECT, start)]
    chapters = [page for page in read if PROJECT.docname(page) not in {"nano/index", "nanomath/index", *LISTS}]
    assert len(chapters) > 30
    for page in chapters:
        text = page.read_text(encoding="utf-8")
        assert "{picture}" in text or "{in-code}" in text, f"{PROJECT.docname(page)} has nothing to look at"
        leads = "{toctree}" in text  # to the pages of its part
        assert leads or "{problem}" in text or ">>> " in text or "```bash" in text, PROJECT.docname(page)


def test_every_written_problem_and_picture_stands_on_a_page() -> None:
    shown = {
        target for page in PROJECT.pages() for target in re.findall(r"\{(?:problem|picture)\} (\S+)", page.read_text())
    }
    for folder, kind in (("problems", "Problem"), ("pictures", "Picture")):
        for path in sorted((PROJECT.docs / folder).glob("*.py")):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                public = isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and not node.args.args
                if public and node.returns is not None and ast.unparse(node.returns) == kind:
                    assert f"docs.{folder}.{path.stem}:{node.name}" in shown, (
                        f"{path.name}: {node.name} is shown nowhere"
                    )


# ---- docstrings ----


DEFINED = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def documented(path: Path) -> Iterator[tuple[str, bool]]:
    """Each public name of a file, and whether it says what it is."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    yield path.stem, bool(ast.get_docstring(tree))

    def told(body: list[ast.stmt], place: int) -> bool:
        after = body[place + 1] if place + 1 < len(body) else None
        return (
            isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str)
        )

    def walk(body: list[ast.stmt], prefix: str, fields: bool) -> Iterator[tuple[str, bool]]:
        for place, node in enumerate(body):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith(
                "_"
            ):
                yield prefix + node.name, bool(ast.get_docstring(node))
                if isinstance(node, ast.ClassDef):
                    data = any("dataclass" in ast.unparse(one) for one in node.decorator_list)
                    yield from walk(node.body, f"{prefix}{node.name}.", data)
            elif fields and isinstance(node, ast.AnnAssign | ast.Assign):
                target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
                if isinstance(target, ast.Name) and not target.id.startswith("_") and target.id != "log":
                    yield prefix + target.id, told(body, place)

    yield from walk(tree.body, f"{path.stem}.", fields=True)


def test_every_public_name_is_documented() -> None:
    modules = [path for path in (ROOT / "nanochat").rglob("*.py") if path.stem != "_sandboxed"]
    found = [(path, name, told) for path in modules for name, told in documented(path)]
    assert len(found) > 500
    assert not [f"{PROJECT.relative(path)}: {name}" for path, name, told in found if not told]


def test_every_module_stands_in_the_reference() -> None:
    pages = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "api").glob("*.md"))
    described = set(re.findall(r"(?:automodule|autoclass|autofunction):: (nanochat[\w.]*)", pages))
    for path in (ROOT / "nanochat").rglob("*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        public = not path.stem.startswith("_") or path.stem == "__init__"
        if public and len(list(documented(path))) > 1:
            assert module in described, f"{module} has no place in docs/api"


# ---- commands ----


def commands(page: Path) -> list[str]:
    """The lines of the bash blocks of a page, without their comments."""
    text = page.read_text(encoding="utf-8")
    lines = [line for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    return [line.partition("  #")[0].strip() for line in lines if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize("page", AROUND, ids=names(AROUND))
def test_commands_exist_as_they_are_typed(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    claims = {claim.id for claim in load(PROJECT.docs / "claims").claims}
    found = commands(page)
    assert found
    for line in found:
        words = shlex.split(line)
        if words[0] == "make":
            assert words[1] in targets, line
        elif words[:2] == ["bash", "speedrun.sh"] or words[0] in ("python3", "."):
            continue
        elif words[0] in ("cat", "open"):
            name = re.sub(r"\{([A-Z,]+)\}", lambda several: several[1].partition(",")[0], words[1])
            assert re.fullmatch(r"docs/_build/html/(README_GUIDES|NANO|NANOMATH|VERIFICATION)\.md", name), line
            assert words[2:] in ([], ["|", "less"]), line
        elif words[2].startswith("scripts."):
            place, stage = stage_of(words)
            assert parse_flags(importlib.import_module(f"nanochat.stages.{stage}").Settings, words[place + 1 :], stage)
        elif words[2] == "docs._ext.claims":
            assert {word for word in words[3:] if not word.startswith("--")} <= claims, line
        else:
            assert words[2] in ("pip", "docs.build", "docs._ext.lint", "http.server", "pytest"), line


@pytest.mark.slow
def test_next_steps_work_when_pasted(tmp_path: Path) -> None:
    copy = Copy(tmp_path / "copy")
    steps = [line for line in commands(ROOT / "docs" / "guides.md") if " -m scripts." in line]
    assert steps == ["python -m scripts.base_train --depth=4", "python -m scripts.base_eval"]
    for line in steps:
        copy.run(shlex.join(shrunk(shlex.split(line), "")))
    assert re.search(r"bits (per|for each) byte|bpb", copy.printed, re.IGNORECASE), copy.printed


def test_files_named_for_contributors_exist() -> None:
    for page in (ROOT / "CONTRIBUTING.md", ROOT / "CLAUDE.md", ROOT / "README.md"):
        for name in re.findall(
            r"`((?:docs|tests|nanochat|examples|scripts)/[\w./]*)`", page.read_text(encoding="utf-8")
        ):
            built = name.startswith(("docs/verification", "docs/gallery", "docs/_build"))
            assert built or "NN" in name or (ROOT / name).exists(), f"{page.name} names {name}"


def test_paths_and_promises_of_the_front_page_of_the_guides() -> None:
    text = (ROOT / "docs" / "guides.md").read_text(encoding="utf-8")
    assert len(re.findall(r"^### I want to ", text, re.MULTILINE)) == 5
    home = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for heading in re.findall(r"^### (I want to .*)$", text, re.MULTILINE):
        assert f"guides.md#{heading.lower().replace(' ', '-')}" in home
    for heading in (
        "Learning paths",
        "When you are stuck",
        "What you will understand",
        "Next steps",
        "How long they are",
    ):
        assert re.search(rf"^##+ {heading}$", text, re.MULTILINE), heading
    parts = [entry for entry in guides.toctree((ROOT / "docs" / "nano" / "index.md").read_text()) if "big" not in entry]
    assert parts[1:3] == ["model/index", "training/index"], "the paths call them the second and the third part"
    finder = (ROOT / "docs" / "finder.md").read_text(encoding="utf-8")
    for sign in ("[1, 2, 3]", r"\cdot", r"\sqrt", r"-\ln", r"\partial", "softmax", "ReLU", r"\times", "{src}"):
        assert sign in finder
    for row in re.findall(r"^\| .*\{doc\}`proofs.*$", finder, re.MULTILINE):
        assert row.count("{doc}") == 3 and row.count("{src}") == 1, row


def test_lines_in_the_front_file_are_those_of_the_section(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Flattener._directive

    def few(self: Flattener, name: str, *rest: Any) -> list[str]:  # pictures take long, and are no sections
        return ["…"] if name in ("picture", "problem", "counted") else whole(self, name, *rest)

    monkeypatch.setattr(Flattener, "_directive", few)
    flat = Flattener(PROJECT)
    files = {file: flat.guide(file).splitlines() for file in ("NANO.md", "NANOMATH.md")}
    front = "\n\n".join(flat.page(name) for name in flat.front)
    assert "finder.html" not in front and "guides.html" not in front
    found = re.findall(r"\]\((NANO|NANOMATH)\.md#([^)]+)\) \(\1\.md:(\d+)-(\d+)\)", front)
    assert len(found) > 100
    for guide, anchor, first, last in found:
        lines = files[f"{guide}.md"]
        assert slug(lines[int(first) - 1].lstrip("# ")) == anchor
        assert lines[int(last) :][:2] in ([], *([["", heading] for heading in lines if heading.startswith("#")])), (
            anchor
        )


def test_the_files_have_graphs_too() -> None:
    for draw in (around, loop, pipeline):
        assert draw().text.startswith("flowchart TD"), draw.__name__


def test_records_say_how_they_were_made() -> None:
    for path in (ROOT / "docs" / "records").glob("*.json"):
        assert isinstance(json.loads(path.read_text(encoding="utf-8")), dict | list), path.name
