"""An example of the gallery runs again when the code that it reaches has changed, and only then."""

from pathlib import Path

import pytest
from toy_site import ToySite

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
