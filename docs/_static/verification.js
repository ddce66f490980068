// VERIFICATION: search the claims and filter them by status. The page is whole without this.
(function () {
  "use strict";
  const badges = Array.from(document.querySelectorAll(".claim-status"));
  if (badges.length < 2) return;
  const items = badges
    .map((badge) => ({ badge, box: badge.closest("tr") || badge.closest("section") }))
    .filter((item) => item.box && item.box.parentElement);
  const names = [["", "all"], ["verified", "verified"], ["undecided", "needs clarification"], ["false", "false"]];
  const bar = document.createElement("form");
  bar.className = "claim-filter";
  bar.setAttribute("role", "search");
  bar.addEventListener("submit", (event) => event.preventDefault());
  const label = document.createElement("label");
  label.textContent = "Find a claim ";
  const field = document.createElement("input");
  field.type = "search";
  label.append(field);
  const choice = document.createElement("select");
  choice.setAttribute("aria-label", "status");
  for (const [value, text] of names) {
    if (value && !badges.some((badge) => badge.classList.contains(value))) continue;
    choice.append(new Option(text, value));
  }
  const count = document.createElement("output");
  bar.append(label, choice, count);
  function apply() {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const { badge, box } of items) {
      const text = box.textContent.toLowerCase();
      const fits = (!choice.value || badge.classList.contains(choice.value)) && words.every((w) => text.includes(w));
      box.hidden = !fits;
      shown += fits;
    }
    count.textContent = " " + shown + " of " + items.length;
  }
  bar.addEventListener("input", apply);
  const first = items[0].box.tagName === "TR" ? items[0].box.closest("table") : items[0].box;
  const anchor = first.closest(".table-wrapper") || first;
  anchor.before(bar);
  apply();
})();
