"""Practice problems: ``{problem} module:function`` asks, and shows the computed answer with its steps.

Without a script the answer unfolds. With ``problems.js`` the page also has a field for the reader's own answer.
"""

from __future__ import annotations

import html
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from docs._ext import runs
from docs.problems import Problem
from nanochat.common import InputError


class problem(nodes.General, nodes.Element):  # noqa: N801 - docutils names its nodes so
    """A problem; its children are the question and the steps."""


class problem_steps(nodes.General, nodes.Element):  # noqa: N801
    """The part of a problem that is folded away."""


def load(target: str) -> Problem:
    """Run a function of docs/problems; guides in one file use the result."""
    return runs.load(target, Problem)


class ProblemDirective(SphinxDirective):
    """Ask a question whose answer a function computes."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Run the function; a failure is a warning on the directive's line at every build."""
        target = self.arguments[0].strip()
        runs.connect(self.env.app)
        try:
            asked = load(target)
        except InputError as error:
            runs.note(self.env, target, Problem, None)
            return [self.state_machine.reporter.warning(f"problem: {error}", line=self.lineno)]
        runs.note(self.env, target, Problem, asked)
        number = self.env.current_document.get("nano_problems", 0) + 1
        self.env.current_document["nano_problems"] = number
        node = problem(
            answer=str(asked.answer),
            kind="text" if isinstance(asked.answer, str) else "number",
            tolerance=asked.tolerance,
            unit=asked.unit,
            shown=asked.shown,
            number=number,
            ids=[f"problem-{number}"],
        )
        self.set_source_info(node)
        node += self._parse(asked.question)
        steps = problem_steps(shown=asked.shown)
        steps += nodes.enumerated_list(
            "", *(nodes.list_item("", *self._parse(step)) for step in asked.steps), enumtype="arabic"
        )
        node += steps
        return [node]

    def _parse(self, words: str) -> list[nodes.Node]:
        return self.parse_text_to_nodes(words, offset=self.lineno)


def visit_problem(translator: Any, node: problem) -> None:
    """Open the box."""
    data = {"answer": node["answer"], "kind": node["kind"], "tolerance": node["tolerance"], "unit": node["unit"]}
    attributes = "".join(f' data-{name}="{html.escape(str(value))}"' for name, value in data.items())
    label = f"Practice problem {node['number']}"
    translator.body.append(
        f'<section class="nc-problem" id="{node["ids"][0]}" aria-label="{label}"{attributes}>'
        f'<p class="nc-problem-title">{label}</p>'
    )


def depart_problem(translator: Any, node: problem) -> None:
    """Close the box."""
    translator.body.append("</section>\n")


def visit_steps(translator: Any, node: problem_steps) -> None:
    """Open the fold."""
    shown = html.escape(node["shown"])
    translator.body.append(f"<details><summary>Show the answer</summary><p>The answer is <strong>{shown}</strong>.</p>")


def depart_steps(translator: Any, node: problem_steps) -> None:
    """Close the fold."""
    translator.body.append("</details>")


def _nothing(translator: Any, node: nodes.Node) -> None:
    """Text builders print the children as they are."""


def setup_problems(app: Any) -> None:
    """Register the directive ``problem``."""
    runs.connect(app)
    app.add_node(problem, html=(visit_problem, depart_problem), text=(_nothing, _nothing))
    app.add_node(problem_steps, html=(visit_steps, depart_steps), text=(_nothing, _nothing))
    app.add_directive("problem", ProblemDirective)
