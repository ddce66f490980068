// VERIFICATION: search the claims and filter them by status. The pages are whole without this.
(function () {
  "use strict";
  const STATES = [["", "all"], ["verified", "verified"], ["undecided", "needs clarification"], ["false", "false"]];

  /** A field, a choice of the status where there is one, and a count. `apply` gets the words and the status. */
  function makeForm(name, states, apply) {
    const form = document.createElement("form"), label = document.createElement("label");
    const field = document.createElement("input"), count = document.createElement("output");
    form.className = "claim-filter";
    form.setAttribute("role", "search");
    form.setAttribute("aria-label", name);
    form.addEventListener("submit", (event) => event.preventDefault());
    field.type = "search";
    label.append(name + " ", field);
    form.append(label);
    const choice = document.createElement("select");
    if (states.length) {
      choice.setAttribute("aria-label", "status");
      for (const [value, text] of STATES) if (!value || states.includes(value)) choice.append(new Option(text, value));
      form.append(choice);
    }
    form.append(count);
    const run = () => { count.textContent = apply(field.value.toLowerCase().split(/\s+/).filter(Boolean), choice.value); };
    form.addEventListener("input", run);
    run();
    return form;
  }
  const fits = (text, words) => words.every((word) => text.includes(word));

  // The summary: all claims of all chapters, listed once somebody asks.
  const search = document.querySelector(".nc-claim-search");
  if (search && window.nanoClaims) {
    const list = document.createElement("ul");
    const states = Array.from(new Set(nanoClaims.map((claim) => claim[0])));
    const show = (words, state) => {
      const found = nanoClaims.filter((claim) => (!state || claim[0] === state) && fits((claim[1] + " " + claim[3]).toLowerCase(), words));
      const listed = words.length || state ? found : [];
      list.replaceChildren(...listed.map((claim) => {
        const item = document.createElement("li"), link = document.createElement("a"), chapter = document.createElement("span");
        link.href = claim[2];
        link.textContent = claim[1];
        chapter.className = "claim-chapter";
        chapter.textContent = " " + claim[3] + (claim[0] === "verified" ? "" : ", " + STATES.find((one) => one[0] === claim[0])[1]);
        item.append(link, chapter);
        return item;
      }));
      return found.length + " of " + nanoClaims.length;
    };
    search.replaceChildren(makeForm("Find a claim", states, show), list);
  }

  // A table of many rows.
  for (const box of document.querySelectorAll(".nc-filter")) {
    const table = box.parentElement.querySelector("table"), rows = Array.from(table ? table.tBodies[0].rows : []);
    box.append(makeForm("Find in the table", [], (words) => {
      let shown = 0;
      for (const row of rows) shown += !(row.hidden = !fits(row.textContent.toLowerCase(), words));
      return shown + " of " + rows.length;
    }));
  }

  // A page of proofs.
  const proofs = Array.from(document.querySelectorAll("section > p > .claim-status")).map((badge) => ({ badge, box: badge.closest("section") }));
  if (proofs.length > 1) {
    const states = Array.from(new Set(proofs.map(({ badge }) => STATES.find((one) => one[0] && badge.classList.contains(one[0]))[0])));
    proofs[0].box.before(makeForm("Find a claim", states, (words, state) => {
      let shown = 0;
      for (const { badge, box } of proofs) {
        box.hidden = !((!state || badge.classList.contains(state)) && fits(box.textContent.toLowerCase(), words));
        shown += !box.hidden;
      }
      return shown + " of " + proofs.length;
    }));
  }
})();
