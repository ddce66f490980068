"""An example of the gallery runs again when the code that it reaches has changed, and only then."""

from pathlib import Path

import pytest
from toy_site import ToySite

from docs._ext.used_in import used_names

EXAMPLE = '''"""
One
===

Words.
"""
from pathlib import Path

from toy.maths import square

with Path("log").open("a") as log:
    print(square(3), file=log)
'''
SETTINGS = """
extensions.append("sphinx_gallery.gen_gallery")
sphinx_gallery_conf = {
    "examples_dirs": str(Path(__file__).parents[1] / "examples"), "gallery_dirs": "gallery",
    "filename_pattern": "/0", "show_memory": False, "write_computation_times": False, "min_reported_time": 1e9,
}
"""


@pytest.fixture
def site(tmp_path: Path) -> ToySite:
    site = ToySite(tmp_path)
    examples = tmp_path / "examples"
    examples.mkdir()
    (examples / "GALLERY_HEADER.rst").write_text("Examples\n========\n")
    (examples / "01_one.py").write_text(EXAMPLE)
    conf = tmp_path / "docs" / "conf.py"
    conf.write_text(conf.read_text() + SETTINGS)
    site.edit(tmp_path / "docs" / "index.md", "api\n", "api\ngallery/index\n")
    return site


def test_changed_library_runs_the_example_again(site: ToySite) -> None:
    log = site.root / "examples" / "log"
    built = site.build()
    assert built.status == 0, built.output
    assert log.read_text() == "9\n"
    site.edit(site.code, '"""A thing."""', '"""A, thing."""  # and a comment')
    assert site.build().status == 0
    assert log.read_text() == "9\n"
    site.edit(site.code, "return x * x", "return x * x + 0")
    built = site.build()
    assert built.status == 0 and "01_one.py reaches has changed" in built.output
    assert log.read_text() == "9\n9\n"
    site.edit(site.code, "return x * x + 0", "return x * x if x != 3 else 1 / 0")
    site.edit(site.claims, "square(3.0)", "square(-3.0)")
    for _ in range(2):  # an example that failed is not up to date at the next build
        built = site.build()
        assert built.status != 0 and "ZeroDivisionError" in built.output
    site.edit(site.code, "1 / 0", "9")
    assert site.build().status == 0
    assert log.read_text() == "9\n9\n9\n"


def test_names_lead_back_to_the_examples_that_use_them(site: ToySite) -> None:
    assert site.build().status == 0
    before, entry = site.html("api").split('id="toy.maths.square"')
    assert "In the gallery" in entry and 'href="gallery/01_one.html"' in entry
    assert "In the gallery" not in before
    example = site.root / "examples" / "01_one.py"
    site.edit(example, "import square\n", "import Thing, square\n\nthing = Thing()\n")
    assert site.build().status == 0
    before, _ = site.html("api").split('id="toy.maths.square"')
    assert before.count("In the gallery") == 1
    site.edit(example, "import Thing,", "import undescribed, Thing,")
    site.edit(site.code, "class Thing", "def undescribed():\n    return 1\n\n\nclass Thing")
    for _ in range(2):
        built = site.build()
        assert built.status != 0
        assert "01_one.py:9" in built.output and "toy.maths.undescribed, which no page of the reference" in built.output


def test_example_that_cannot_be_read_is_named(site: ToySite) -> None:
    example = site.root / "examples" / "01_one.py"
    site.edit(example, "import square", "import cube")
    built = site.build()
    assert built.status != 0
    assert "01_one.py:1: WARNING: the example cannot be read: AttributeError" in built.output


SOURCE = """
from toy_library import make, Shelf
from toy_library import inner as renamed

shelf = make()
def look(at: Shelf):
    at.books
    shelf = None
for book in shelf.first.title, renamed.SIZE:
    print(unknown.attribute, shelf.missing)
a, b = Shelf(), shelf.any()
a.count(b.title)
"""
LIBRARY = """
class Book:
    title: str = ""
class Shelf:
    books: list[Book]
    @property
    def first(self) -> Book: ...
    def any(self) -> Book | None: ...
    def count(self, title): ...
def make() -> Shelf: ...
"""


def test_types_tell_which_methods_a_source_uses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "toy_library"
    package.mkdir()
    (package / "__init__.py").write_text(LIBRARY)
    (package / "inner.py").write_text("SIZE = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    names = used_names(SOURCE, ("toy_library",))
    assert {name.removeprefix("toy_library."): line for name, line in names.items()} == {
        "make": 2, "Shelf": 2, "Shelf.books": 7, "Shelf.first": 9, "Book.title": 9, "inner.SIZE": 9,
        "Shelf.any": 11, "Shelf.count": 12,
    }  # fmt: skip
