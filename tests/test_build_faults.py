"""Faults of a build: each is named with its place, stops every build until it is mended, and leaves no wrong page."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy_site import ROOT, ToySite, run_sphinx

from docs import build
from docs._ext import bounds
from docs._ext.ending import Busy, lock


@pytest.fixture
def site(tmp_path: Path) -> ToySite:
    return ToySite(tmp_path)


def pages(site: ToySite, out: str = "html") -> dict[str, bytes]:
    """What a reader is served: every page, and the guides of one file."""
    folder = site.root / "docs" / "_build" / out
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".html", ".md", ".txt")
    }


def fresh(site: ToySite) -> dict[str, bytes]:
    """The pages of a build that knows no other."""
    built = run_sphinx(site.root, "-n", "-W", "-b", "html", "-d", "docs/_build/new", "docs", "docs/_build/fresh")
    assert built.status == 0, built.output
    return pages(site, "fresh")


def complaints(output: str) -> list[str]:
    """What a build says is wrong, in an order of its own."""
    return sorted(line for line in output.splitlines() if "WARNING:" in line or "ERROR:" in line)


# ---- a guide that cites what is not there ----

GUIDE_FAULTS = """
{src}`toy/nothing.py` is not there.

Nor is {src}`speedrun.sh` here.

See maths.py:4000 for it.

{src}`toy.maths.Thing.aera` is it.

{val}`1 / 0` of them, and the 7 dwarfs.

{val}`exit(3)` of them.

```{in-code} toy.maths.Thing
:from: def volume
```

A [page](missing.md), ![a picture](missing.svg) and {doc}`missing`.

```{nonesuch}
```

```{literalinclude} ../../toy/missing.py
```

{claim}`nobody` and {py:func}`toy.maths.qsuare` and {download}`missing.zip`.

[The limit is 15, I say.]{#claim-empty-no-more .claim}
"""
GUIDE_EXPECTED = {
    "{src}`toy/nothing.py`": "no file toy/nothing.py",
    "{src}`speedrun.sh`": "no 'speedrun.sh'",
    "maths.py:4000": "'maths.py:4000' will rot",
    "toy.maths.Thing.aera": "did you mean toy.maths.Thing.area or",
    "{val}`1 / 0`": "ZeroDivisionError",
    "{val}`exit(3)`": "SystemExit: 3",
    "the 7 dwarfs": "'7' is only typed",
    "{in-code} toy.maths.Thing\n:from: def volume": "no line with 'def volume'",
    "A [page](missing.md)": "missing",
    "![a picture]": "missing.svg",
    "{doc}`missing`": "unknown document: 'missing'",
    "{nonesuch}": "nonesuch",
    "{literalinclude}": "missing.py",
    "{claim}`nobody`": "no claim 'nobody'",
    "{py:func}`toy.maths.qsuare`": "toy.maths.qsuare",
    "{download}`missing.zip`": "missing.zip",
    "claim-empty-no-more": "'empty-no-more' has no function",
    "The *square* of $3$ is": "the code says: 'The square of 3 is 9, for any_thing.'",
}
"""What stands in the guide, on the line that must be named, and what must be said of it."""


def test_every_fault_of_a_guide_stops_every_build_until_it_is_mended(site: ToySite) -> None:
    right = site.guide.read_text()
    site.edit(site.guide, "**9**", "**8**")
    wrong = site.guide.read_text() + GUIDE_FAULTS
    site.guide.write_text(wrong)
    index, other = site.root / "docs" / "nano" / "index.md", site.root / "docs" / "nano" / "y.md"
    # A page whose faults only Sphinx sees, and forgets: no file that is missing makes it read the page again.
    other.write_text("# Other\n\n```{nonesuch}\n```\n\n{py:func}`toy.nothing` and [](nothing.md)\n")
    site.edit(index, "\nx\n", "\nx\ny\n")
    first = site.build()
    assert first.status != 0
    for marked, reason in GUIDE_EXPECTED.items():
        assert wrong.count(marked) == 1
        line = wrong[: wrong.index(marked)].count("\n") + 1
        place = re.compile(rf"docs/nano/x\.md:{line}: (WARNING|ERROR): ")
        assert any(place.search(said) and reason in said for said in complaints(first.output)), (
            f"line {line}: {reason}",
            first.output,
        )
    assert len([said for said in complaints(first.output) if "nano/y.md" in said]) == 3
    for options, edit in (((), ""), (("-j", "2"), ""), ((), "\nMore.\n"), (("-E", "-a", "-j", "2"), "")):
        if edit:  # a page without faults
            index.write_text(index.read_text() + edit)
        again = site.build(*options)
        assert again.status != 0 and complaints(again.output) == complaints(first.output), options
    site.guide.write_text(right)
    other.write_text("# Other\n")
    mended = site.build()
    assert (mended.status, complaints(mended.output)) == (0, []), mended.output
    assert pages(site) == fresh(site)
    assert "no targets are out of date" in site.build().output


# ---- claims ----

CLAIM_FAULTS = {
    "empty": ("[]{#claim-empty .claim}", '@claim("empty")\ndef empty():\n    return "x"\n'),
    "duplicate": ("[The limit is 15.]{#claim-lim .claim}", ""),
    "unknown": ("[Nobody checks.]{#claim-nobody .claim}", ""),
    "raises": ("[It raises.]{#claim-raises .claim}", '@claim("raises")\ndef raises():\n    return 1 / 0\n'),
    "leaves": (
        "[It leaves.]{#claim-leaves .claim}",
        '@claim("leaves")\ndef leaves():\n    raise SystemExit("gone")\n',
    ),
    "silent": ("[It is silent.]{#claim-silent .claim}", '@claim("silent")\ndef silent():\n    print("x")\n'),
}
CLAIM_SAID = {
    "empty": "claim 'empty' has an empty sentence",
    "duplicate": "claim 'lim' stands at docs/nano/x.md:6 already",
    "unknown": "claim 'nobody' has no function",
    "raises": "raised ZeroDivisionError: division by zero",
    "leaves": "raised SystemExit: gone",
    "silent": "returned None, not a sentence",
}


def test_a_claim_that_fails_hides_no_other(site: ToySite) -> None:
    right, functions = site.guide.read_text(), site.claims.read_text()
    lines = {}
    for name, (sentence, function) in CLAIM_FAULTS.items():
        site.guide.write_text(site.guide.read_text() + f"\n{sentence}\n")
        lines[name] = len(site.guide.read_text().splitlines())
        site.claims.write_text(site.claims.read_text() + function)
    for options in ((), (), ("-j", "2")):
        built = site.build(*options)
        assert built.status != 0
        for name, said in CLAIM_SAID.items():
            place = f"docs/nano/x.md:{lines[name]}: WARNING: "
            assert any(place in one and said in one for one in built.warnings), (name, built.output)
        assert "5 claims: 2 verified" in built.output, built.output
    page = site.html("nano/x")
    assert page.count("✅") == 2 and "two squared" in site.html("verification/x")
    site.guide.write_text(right)
    site.claims.write_text(functions)
    assert site.build().status == 0


# ---- builds that meet, and builds that were killed ----


def test_second_build_at_once_is_refused(site: ToySite) -> None:
    with lock(site.root / "docs" / "_build" / ".pages.lock"):
        for out in ("docs/_build/html", "elsewhere"):  # the generated pages are the same
            built = run_sphinx(site.root, "-n", "-W", "-b", "html", "docs", out)
            assert built.status != 0 and f"another build (process {os.getpid()}) is writing" in built.output
            assert "wait until it is done" in built.output and not list((site.root / out).rglob("*.html"))
    built = site.build()
    assert built.status == 0, built.output


def test_two_builds_that_meet_leave_a_right_site(site: ToySite) -> None:
    conf = site.root / "docs" / "conf.py"
    ready, go = site.root / "ready", site.root / "go"
    conf.write_text(
        conf.read_text().replace(
            "def setup(app):",
            "def wait(app, env, docnames):\n    import pathlib, time\n"
            f"    pathlib.Path({str(ready)!r}).touch()\n"
            f"    while not pathlib.Path({str(go)!r}).exists():\n        time.sleep(0.01)\n\n\n"
            "def setup(app):\n    app.connect('env-before-read-docs', wait)",
        )
    )
    command = [sys.executable, "-m", "sphinx", "-n", "-W", "-q", "-b", "html", "docs", "docs/_build/html"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=site.root, env=environment, stderr=subprocess.PIPE, text=True) as first:
        end = time.monotonic() + 120
        while not ready.exists() and first.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        second = site.build()
        go.touch()
        said = first.communicate(timeout=120)[1]
    assert second.status != 0 and f"process {first.pid}" in second.output
    assert first.returncode == 0, said
    assert pages(site) == fresh(site)


KILL = """def die(app, page=None, *rest):
    import os, signal
    if {condition}:
        os.kill(os.getpid(), signal.SIGKILL)


def setup(app):
    app.connect({event!r}, die, priority=950)"""


@pytest.mark.parametrize(
    ("event", "condition", "before"),
    [
        ("html-page-context", "page == 'nano/x'", False),
        ("html-page-context", "page == 'nano/x'", True),
        ("env-updated", "True", True),
        ("build-finished", "True", False),
    ],
)
def test_killed_build_leaves_no_old_page(site: ToySite, event: str, condition: str, before: bool) -> None:
    site.guide.write_text(site.guide.read_text() + "\nIt is {val}`Thing.size`.\n")
    if before:
        assert site.build().status == 0
        site.edit(site.code, "size: int = 3", "size: int = 5")
    conf = site.root / "docs" / "conf.py"
    right = conf.read_text()
    conf.write_text(right.replace("def setup(app):", KILL.format(event=event, condition=condition)))
    assert site.build().status == -signal.SIGKILL
    conf.write_text(right)
    built = site.build()
    assert built.status == 0, built.output
    assert pages(site) == fresh(site)
    assert f'<span class="val">{5 if before else 3}</span>' in site.html("nano/x")
    assert "no targets are out of date" in site.build().output


def test_pages_of_sources_that_are_gone_go_too(site: ToySite) -> None:
    second, module = site.root / "docs" / "nano" / "y.md", site.root / "toy" / "more.py"
    second.write_text("# More\n\nSee {src}`toy.more.LEAST`.\n")
    module.write_text("LEAST = 3\n")
    index = site.root / "docs" / "nano" / "index.md"
    site.edit(index, "x\n", "x\ny\n")
    built = site.build()
    assert built.status == 0, built.output
    assert "More" in site.html("nano/y") and "LEAST" in site.html("source/toy/more")
    second.unlink()
    module.unlink()
    site.edit(index, "x\ny\n", "x\n")
    built = site.build()
    assert built.status == 0, built.output
    assert pages(site) == fresh(site)


@pytest.mark.parametrize("name", ["environment.pickle", "nano/x.doctree", "claims.json", "unfinished.json"])
def test_damaged_memory_is_no_memory(site: ToySite, name: str) -> None:
    assert site.build("-d", "docs/_build/trees").status == 0
    path = site.root / "docs" / "_build" / ("claims.json" if name == "claims.json" else f"trees/{name}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if path.exists() else b'["nano')
    site.edit(site.code, "return square(self.size)", "return square(self.size) + 0")
    built = site.build("-d", "docs/_build/trees")
    assert built.status == 0, built.output
    assert pages(site) == fresh(site)


# ---- python -m docs.build ----


@pytest.fixture
def own_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that ``docs.build`` takes for the repository, with a site of one page."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.rst").write_text("Door\n====\n")
    (tmp_path / "conf.py").write_text(
        "html_theme = 'basic'\n\n\ndef setup(app):\n    app.add_config_value('plot_gallery', True, '')\n"
    )
    monkeypatch.setattr(build, "ROOT", tmp_path)
    monkeypatch.setattr(build, "BUILD", tmp_path / "docs" / "_build")
    monkeypatch.setenv("NANOCHAT_BASE_DIR", str(tmp_path / "base"))
    return tmp_path / "docs" / "_build"


def test_second_docs_build_is_refused_before_it_touches_anything(
    own_build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NANOCHAT_BASE_DIR")
    older = own_build / "base" / "older"
    older.mkdir(parents=True)
    with lock(own_build / ".lock"):
        with pytest.raises(SystemExit, match=r"another build \(process \d+\) is writing into"):
            build.main(["--draft"])
    assert older.is_dir() and not (own_build / "draft").exists()


def test_docs_build_says_what_became_of_it(own_build: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert build.main(["--draft"]) == 0
    assert (own_build / "draft" / "index.html").is_file() and "open docs" in capfd.readouterr().out
    page = own_build.parent / "index.rst"
    page.write_text(page.read_text() + "\n.. image:: missing.png\n")
    assert build.main(["--draft"]) != 0
    assert "NOT built" in capfd.readouterr().err
    with lock(own_build / ".lock"):
        pass  # it was let go


def test_lock_outlives_whom_its_children_outlive(tmp_path: Path) -> None:
    path = tmp_path / "folder" / ".lock"
    held = lock(path)
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=(held.fileno(),))
    held.close()
    with pytest.raises(Busy, match=str(os.getpid())):
        lock(path)
    child.communicate()
    lock(path).close()


def test_docs_build_refuses_optimised_python() -> None:
    command = [sys.executable, "-O", "-m", "docs.build", "--draft"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0 and "without -O" in done.stderr and not done.stdout


# ---- examples ----

GALLERY = """
extensions.append("sphinx_gallery.gen_gallery")
sphinx_gallery_conf = {
    "examples_dirs": str(Path(__file__).parents[1] / "examples"), "gallery_dirs": "gallery",
    "filename_pattern": "/0", "show_memory": False, "write_computation_times": False, "min_reported_time": 1e9,
}
example_seconds = 0.3
"""
HEAD = '"""\n{title}\n========\n\nWords.\n"""\nfrom toy.maths import square\n\n# %%\n# More words.\n\n'


@pytest.fixture
def gallery(site: ToySite) -> ToySite:
    """A site with a good example."""
    folder = site.root / "examples"
    folder.mkdir()
    (folder / "GALLERY_HEADER.rst").write_text("Examples\n========\n")
    (folder / "01_one.py").write_text(HEAD.format(title="one") + "print(square(3))\n")
    conf = site.root / "docs" / "conf.py"
    conf.write_text(conf.read_text() + GALLERY)
    site.edit(site.root / "docs" / "index.md", "api\n", "api\ngallery/index\n")
    return site


EXAMPLE_FAULTS = {
    "raises": ("1 / 0", "ZeroDivisionError: division by zero"),
    "too_long": (
        "import time\nwhile True:\n    try:\n        time.sleep(60)\n    except ZeroDivisionError:\n        pass",
        "TooLong: 03_too_long.py ran longer than 0.3 s: make it do less, or raise example_seconds in conf.py",
    ),
    "here": ("import toy\nprint(toy.__file__)", "04_here.py:11: WARNING: 04_here.py shows '{root}/toy/__init__.py'"),
    "home": (
        "from pathlib import Path\nprint(Path.home() / 'x')",
        "05_home.py:11: WARNING: 05_home.py shows '{home}/x'",
    ),
    "time": (
        "print('took 0.3 s')\n\n# %%\n# Where the words of the page say 5 s, that is another thing.\nprint('done')",
        "06_time.py:11: WARNING: 06_time.py prints '0.3 s', which another build measures differently",
    ),
}


def test_examples_that_fail_stop_every_build_until_they_are_mended(gallery: ToySite) -> None:
    for number, (name, (body, _)) in enumerate(EXAMPLE_FAULTS.items(), 2):
        text = HEAD.format(title=name) + f"print({name!r} * 2)\n{body}\n"
        (gallery.root / "examples" / f"{number:02}_{name}.py").write_text(text)
    for options in ((), (), ("-j", "2")):
        built = gallery.build(*options)
        assert built.status != 0
        for _, said in EXAMPLE_FAULTS.values():
            assert said.format(root=gallery.root, home=Path.home()) in built.output, built.output
        assert built.output.count("a folder of this machine: print a relative path") == 2
        assert "<pre>9" in re.sub("<span></span>", "", gallery.html("gallery/01_one"))  # the good one is shown
    for number, name in enumerate(EXAMPLE_FAULTS, 2):
        (gallery.root / "examples" / f"{number:02}_{name}.py").write_text(HEAD.format(title=name) + "print(1)\n")
    built = gallery.build()
    assert (built.status, built.warnings) == (0, []), built.output


def test_example_that_no_exception_ends_ends_the_build(gallery: ToySite) -> None:
    conf = gallery.root / "docs" / "conf.py"
    conf.write_text(conf.read_text() + "import docs._ext.bounds\ndocs._ext.bounds.GRACE = 0.5\n")
    example = gallery.root / "examples" / "01_one.py"
    example.write_text(
        example.read_text()
        + "import time\nwhile True:\n    try:\n        time.sleep(60)\n    except Exception:\n        pass\n"
    )
    built = gallery.build()
    assert built.status != 0 and "Timeout (0:00:00.8" in built.output and "01_one.py" in built.output


def test_draft_and_full_build_do_not_make_each_other_stale(gallery: ToySite) -> None:
    draft = ("-D", "plot_gallery=0", "-d", "docs/_build/doctrees-draft", "docs", "docs/_build/draft")

    def build_draft() -> str:
        built = run_sphinx(gallery.root, "-n", "-W", "-b", "html", *draft)
        assert built.status == 0, built.output
        return built.output

    build_draft()
    full = gallery.build()
    assert full.status == 0, full.output
    assert "01_one.py" in full.output and b"<pre>9" in pages(gallery)["gallery/01_one.html"].replace(
        b"<span></span>", b""
    )
    whole = pages(gallery)
    build_draft()  # it sees what the examples now show
    for _ in range(2):
        assert "no targets are out of date" in build_draft()
        again = gallery.build()
        assert again.status == 0 and "no targets are out of date" in again.output, again.output
        assert "1 file that had previously been run" in again.output
        assert pages(gallery) == whole


def test_private_paths_are_found_as_a_reader_sees_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    pattern = bounds.private(Path("/srv/nano chat"))
    page = (
        ".. GENERATED FROM PYTHON SOURCE LINES 4-9\n\n saved in /srv/nano chat/out.pt.\n"
        ".. GENERATED FROM PYTHON SOURCE LINES 12-19\n\n('/home/ada', '/home/adam', 'x/home/ada', '/home/ada/b c')\n"
    )
    assert list(bounds.shown_paths(page, pattern)) == [
        (4, "/srv/nano chat/out.pt."),
        (12, "/home/ada"),
        (12, "/home/ada/b"),
    ]
    monkeypatch.setenv("HOME", "/")
    assert not list(bounds.shown_paths("/usr and /", bounds.private(Path("/srv/x"))))
