/* A field for the reader's own answer to each practice problem. The same rule as Problem.accepts in docs/problems. */
(function () {
  "use strict";
  function right(given, data) {
    if (data.kind === "text") {
      return given.replace(/\s+/g, "").toLowerCase() === data.answer.replace(/\s+/g, "").toLowerCase();
    }
    var cleaned = given.replace(/,/g, "").replace("\u2212", "-").trim();
    var number = Number(cleaned);
    return cleaned !== "" && Math.abs(number - Number(data.answer)) <= Number(data.tolerance) + 1e-12;
  }
  document.querySelectorAll(".nc-problem").forEach(function (problem) {
    var details = problem.querySelector("details"), form = document.createElement("form"), name = problem.id + "-answer";
    var label = document.createElement("label"), field = document.createElement("input");
    var button = document.createElement("button"), verdict = document.createElement("p");
    label.htmlFor = field.id = name;
    label.textContent = "Your answer" + (problem.dataset.unit ? " (" + problem.dataset.unit + ")" : "");
    field.autocomplete = "off";
    field.inputMode = problem.dataset.kind === "text" ? "text" : "decimal";
    button.textContent = "Check";
    verdict.setAttribute("role", "status");
    form.append(label, field, button, verdict);
    form.addEventListener("submit", function (event) {
      event.preventDefault();
      if (!field.value.trim()) { verdict.textContent = "Type an answer first."; verdict.className = ""; return; }
      var good = right(field.value, problem.dataset);
      verdict.className = good ? "nc-right" : "nc-wrong";
      verdict.textContent = good ? "✓ Right. The steps are below." : "✗ Not yet. Try again, or open the answer.";
      if (good) details.open = true;
    });
    problem.insertBefore(form, details);
  });
})();
