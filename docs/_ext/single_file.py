"""Each guide as ONE plain Markdown file, for a pager, an editor beside the code, or another model.

NANO.md, NANOMATH.md, VERIFICATION.md, README_GUIDES.md and llms-full.txt stand beside the site's pages.
References become ``path:line``, pictures their text form, computed values their numbers.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

from docs._ext import guides
from docs._ext.counted import FILES, TABLES, table
from docs._ext.gate import MARKS, report_of
from docs._ext.project import Project
from docs._ext.references import excerpt, lexer_of
from docs._ext.skin import link, project_of
from docs._ext.sources import Index, display
from docs._ext.symbols import SymbolTable
from docs._ext.values import ValueFailed, evaluate, works

FRONT = "guides"
"""The page that becomes README_GUIDES.md, with the finder; the home page where there is none."""
ENTRY = "README_GUIDES.md"
"""The file that leads to the guides."""
PRINTED = "print"
"""Where the pages to print lie."""
DROPPED = frozenset("toctree contents include raw eval-rst references only index grid letters".split())
_FENCE = re.compile(r"^(\s*)(`{3,}|~{3,}|:{3,})\s*(?:\{([\w:-]+)\}\s*(.*)|(.*))$")
_SPAN_OR_ROLE = re.compile(r"(\{[\w:+-]+\})?(`+)(?!`)(.+?)(?<!`)\2(?!`)", re.DOTALL)
_LINK = re.compile(r"(?<!!)\[([^\[\]]*)\]\(([^()\s]+)\)")
_MERMAID = re.compile(r"^\s*(graph|flowchart|sequenceDiagram|stateDiagram)\b")


def slug(title: str) -> str:
    """The anchor that GitHub and most readers of Markdown give a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


class Flattener:
    """Turn pages of the site into plain Markdown."""

    def __init__(self, project: Project, marks: Mapping[str, str] | None = None) -> None:
        self.project = project
        self.marks = marks or {}
        """Claim -> the mark behind it, which leads to its proof."""
        self.index = Index(project)
        self.works = works(project)
        self.homes: dict[str, str] = {}
        self.places: dict[str, tuple[int, int]] = {}
        """Page -> its first and last line in the file of its guide, once that is written."""
        self.sections: dict[tuple[str, str], tuple[int, int]] = {}
        """Page and anchor of a heading -> the lines of its section, in the same way."""
        self.front = [name for name in (FRONT, "finder") if (project.docs / f"{name}.md").is_file()]
        """The pages of README_GUIDES.md."""
        self.tables: dict[str, str] = {}
        """What ``{counted}`` shows."""
        for file, start in FILES.items():
            for path in guides.reading_order(project, start):
                self.homes.setdefault(project.docname(path), file)
        self.claims: dict[str, str] = {}
        for page in project.pages():
            for sentence in guides.sentences(page):
                self.claims.setdefault(sentence.id, f"{project.relative(page)}:{sentence.line}")

    def guide(self, file: str) -> str:
        """One whole guide, with the line that says what it was written from."""
        pages = guides.reading_order(self.project, FILES[file])
        top = len(FILES[file].split("/")) - 1
        parts, line = [stamp(self.project)], 3
        for path in pages:
            docname = self.project.docname(path)
            parts_of = docname.split("/")
            depth = len(parts_of) - top - (parts_of[-1] == "index")
            text = self.page(docname, max(depth, 0))
            last = line + text.count("\n")
            self.places[docname] = (line, last)
            heads = guides.headings(text)
            for place, (number, level, title) in enumerate(heads):
                end = next((below - 2 for below, high, _ in heads[place + 1 :] if high <= level), last - line + 1)
                self.sections.setdefault((docname, slug(title)), (line + number - 1, line + end - 1))
            parts.append(text)
            line = last + 2
        return "\n\n".join(parts) + "\n"

    def page(self, docname: str, shift: int = 0) -> str:
        """One page, its headings moved down by ``shift`` levels."""
        path = self.project.docs / f"{docname}.md"
        lines = path.read_text(encoding="utf-8").splitlines()
        if lines and lines[0] == "---" and "---" in lines[1:]:
            lines = lines[lines.index("---", 1) + 1 :]
        text = "\n".join(self._blocks(lines, docname, shift))
        return re.sub(r"\n{3,}", "\n\n", text).strip("\n")

    def _blocks(self, lines: list[str], docname: str, shift: int) -> list[str]:
        out: list[str] = []
        prose: list[str] = []

        def flush() -> None:
            if prose:
                out.extend(self.inline("\n".join(prose), docname).splitlines())
                prose.clear()

        at = 0
        while at < len(lines):
            line = lines[at]
            fence = _FENCE.match(line)
            if fence and (fence[3] or fence[2][0] != ":"):
                end = self._end(lines, at, fence[2])
                body = lines[at + 1 : end]
                flush()
                if fence[3]:
                    block = self._directive(fence[3], fence[4].strip(), body, docname, shift)
                    out += ["", *(fence[1] + row if row else row for row in block), ""]
                else:
                    out += lines[at : end + 1]
                at = end + 1
                continue
            heading = re.match(r"^(#{1,6})(\s.*)$", line)
            if re.fullmatch(r"\s*\([\w.:-]+\)=\s*|\s*%.*|\s*\{[.#][^}]*\}\s*", line):
                at += 1
                continue
            if heading:
                line = "#" * min(len(heading[1]) + shift, 6) + heading[2]
            prose.append(line)
            if not line.strip():
                flush()
                out.append("")
            at += 1
        flush()
        return out

    @staticmethod
    def _end(lines: list[str], start: int, mark: str) -> int:
        for number in range(start + 1, len(lines)):
            bare = lines[number].strip()
            if bare and set(bare) == {mark[0]} and len(bare) >= len(mark):
                return number
        return len(lines)

    def _directive(self, name: str, argument: str, body: list[str], docname: str, shift: int) -> list[str]:
        options: dict[str, str] = {}
        while body and re.match(r"\s*:[\w-]+:", body[0]):
            key, _, value = body[0].strip()[1:].partition(":")
            options[key] = value.strip().strip("\"'")
            body = body[1:]
        if name in DROPPED:
            return []
        if name == "counted":
            return self._blocks(self.tables.get(argument, "").splitlines(), docname, shift)
        if name == "picture":
            from docs._ext.pictures import load

            try:
                picture = load(argument)
            except ValueError:
                return [argument]  # reported by the directive
            kind = "mermaid" if _MERMAID.match(picture.text) else "text"
            return [
                f"```{kind}",
                *picture.text.strip("\n").splitlines(),
                "```",
                "",
                self.inline(picture.caption, docname),
            ]
        if name == "problem":
            from docs._ext.problems import load as load_problem

            try:
                problem = load_problem(argument)
            except ValueError:
                return [argument]
            steps = [f"{number}. {self.inline(step, docname)}" for number, step in enumerate(problem.steps, 1)]
            answer = f"Answer: {problem.shown}"
            return [f"**Practice problem.** {self.inline(problem.question, docname)}", "", answer, "", *steps]
        if name == "in-code":
            try:
                source = self.index.lookup(argument)
                code = excerpt(source, options.get("from", ""), options.get("to", ""), "docstring" in options)
            except LookupError:
                return [argument]  # reported by the directive
            fence = f"```{lexer_of(source.path)}"
            return [f"`{display(self.project, source)}`", "", fence, *code.splitlines(), "```"]
        if name == "math":
            return ["$$", *body, "$$"]
        if name == "symbol-table":
            return self._symbols(argument)
        if name in ("code-block", "code", "sourcecode", "mermaid"):
            return [f"```{argument or name}", *body, "```"]
        if name in ("image", "figure"):
            return [f"[picture: {options.get('alt', argument)}]", "", *self._blocks(body, docname, shift)]
        inner = self._blocks(body, docname, shift)
        if name in guides.PROSE_DIRECTIVES and name not in ("glossary", "list-table", "container", "div", "compound"):
            title = argument if name in ("admonition", "dropdown", "topic", "card") else name.capitalize()
            return [f"> **{self.inline(title, docname)}.**", ">", *(f"> {row}".rstrip() for row in inner)]
        return inner

    def _symbols(self, group: str) -> list[str]:
        """The symbols of a group, as a table."""
        symbols = SymbolTable.load(self.project.docs / "nanomath" / "symbols.toml").symbols.values()
        rows = [
            f"| ${symbol.show or symbol.tex[0]}$ | {symbol.name} | {symbol.say} | {symbol.meaning} |"
            for symbol in symbols
            if group in ("", symbol.group)
        ]
        return ["| Symbol | Name | Say | Meaning |", "|---|---|---|---|", *rows]

    def inline(self, text: str, docname: str) -> str:
        """Roles, spans and links of a run of prose."""
        cuts = []
        for span in guides.spans(text):
            close = text.index("}", span.end) + 1
            claim = span.id.removeprefix("claim-")
            mark = self.marks.get(claim, "") and f" [{self.marks[claim]}](#verified-{claim})"
            cuts += [(span.start - 1, span.start, ""), (span.end, close, mark)]
        for first, last, new in sorted(cuts, reverse=True):
            text = text[:first] + new + text[last:]
        text = _LINK.sub(lambda match: self._link(match, docname), text)
        return _SPAN_OR_ROLE.sub(lambda m: self._role(m[1][1:-1], m[3], docname) if m[1] else m[0], text)

    def _role(self, name: str, content: str, docname: str) -> str:
        title, _, target = content.rpartition("<")
        title, target = (title.strip(), target.rstrip("> ")) if title else ("", content.strip())
        handlers: dict[str, Callable[[], str]] = {
            "src": lambda: f"`{display(self.project, self.index.lookup(target))}`",
            "val": lambda: evaluate(self.project, content),
            "cite": lambda: f"({self.works[target].short}, {self.works[target].url})",
            "math": lambda: f"${content}$",
            "claim": lambda: f"`{self.claims[target]}`",
            "whole": lambda: f"[{content}]({content})",
            "printed": lambda: f"`{PRINTED}/{content}.html`",
            "doc": lambda: self._to(title, self._page(target, docname), "", docname) or target,
            "ref": lambda: title or target,
        }
        if name in handlers:
            try:
                shown = handlers[name]()
            except (LookupError, ValueFailed):
                shown = content  # reported by the feature that owns the role
            return f"{title} ({shown})" if title and name == "src" else shown
        if ":" in name:  # a name of the code: {py:func}`~nanochat.gpt.attend`
            return f"`{title or target.removeprefix('~')}`"
        return title or content

    def _title(self, docname: str) -> str:
        path = self.project.docs / f"{docname}.md"
        return guides.title(path.read_text(encoding="utf-8")) if path.is_file() else ""

    def _link(self, match: re.Match[str], docname: str) -> str:
        text, target = match[1], match[2]
        if re.match(r"[a-z]+:", target):
            return match[0]
        page, _, anchor = target.partition("#")
        if anchor.startswith("verified-"):
            return f"[{text or anchor[9:]}](VERIFICATION.md#{slug(anchor[9:])})"
        if anchor.startswith("claim-"):
            return f"{text} (`{self.claims.get(anchor[6:], anchor)}`)".strip()
        return self._to(text, self._page(page, docname) if page else docname, anchor, docname)

    @staticmethod
    def _page(target: str, docname: str) -> str:
        """The docname that a target means on a page."""
        if target.startswith("/"):
            return target.lstrip("/").removesuffix(".md")
        return posixpath.normpath(posixpath.join(posixpath.dirname(docname), target.removesuffix(".md")))

    def _to(self, text: str, there: str, anchor: str, docname: str) -> str:
        """A link into the file that holds another page; to the page, which lies beside the files, where none does."""
        title = self._title(there)
        home = self.homes.get(there, "") or (ENTRY if there in self.front else "")
        if not home:
            shown = text or title
            return f"[{shown}]({there}.html{anchor and f'#{anchor}'})" if shown else ""
        here = self.homes.get(docname, "") or (ENTRY if docname in self.front else "")
        file = "" if home == here else home
        outside = docname not in self.homes and home != here
        lines = (self.sections.get((there, slug(anchor))) or self.places.get(there)) if outside else None
        where = f" ({file}:{lines[0]}-{lines[1]})" if lines else ""
        return f"[{text or title}]({file}#{slug(anchor or title)}){where}"


def stamp(project: Project) -> str:
    """The line that each file begins with."""
    return f"Written by the build of commit {project.commit()}; the site has pictures and links."


def whole_guides(app: Sphinx) -> dict[str, str]:
    """File -> the text of a whole guide. Written once in a build, after all that is shown in it has been computed."""
    flat = Flattener(project_of(app), {one.claim.id: MARKS[one.status] for one in report_of(app).verdicts})
    app.truth_flat = flat  # type: ignore[attr-defined]
    starts = {file: flat.project.docs / f"{start}.md" for file, start in FILES.items()}
    app.truth_whole = {file: flat.guide(file) for file, path in starts.items() if path.is_file()}  # type: ignore[attr-defined]
    return app.truth_whole  # type: ignore[attr-defined]


def front(app: Sphinx, flat: Flattener) -> str:
    """README_GUIDES.md: the page that leads to the guides, with the lines of each chapter in its file."""
    flat.tables = {name: table(app, name) for name in TABLES}
    texts = [flat.page(name, min(place, 1)) for place, name in enumerate(flat.front)] or [
        flat.page("index"),
        "\n".join(flat._blocks(flat.tables["statistics"].splitlines(), "index", 0)),
    ]
    return "\n\n".join([stamp(flat.project), *texts]) + "\n"


def write_files(app: Sphinx, exception: Exception | None) -> None:
    """Write the files beside the pages."""
    if exception is not None or app.builder.format != "html":
        return
    project = project_of(app)
    texts = {ENTRY: front(app, app.truth_flat), **app.truth_whole}  # type: ignore[attr-defined]
    for file, text in texts.items():
        project.write(Path(app.outdir, file), text)
    project.write(Path(app.outdir, "llms-full.txt"), "\n\n".join(texts.values()))


class WholeRole(SphinxRole):
    """``{whole}`NANO.md``` links to a guide as one file."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Make the link."""
        return [link(f"/{self.text}", "", self.text, classes=["whole-file"])], []


def setup_single_file(app: Sphinx) -> None:
    """Write the files when the pages are done."""
    app.add_role("whole", WholeRole())
    app.connect("build-finished", write_files)
