/* Meanings of symbols and terms: on hovering, on keyboard focus and on a tap. Without this script they are plain links
   whose title says the same. The data are the titles of the page itself, so it works from a file too. */
(function () {
  "use strict";
  var box = document.createElement("div");
  box.id = "nc-tip-box";
  box.setAttribute("role", "tooltip");
  box.hidden = true;
  document.body.appendChild(box);
  var shown = null, touch = false, timer = 0;

  function entry(link, word) {
    var text = link.dataset.tip, cut = link.classList.contains("nc-sym") ? text.indexOf(": ") : -1;
    var line = document.createElement("p");
    if (word) { var sign = word.cloneNode(true); sign.removeAttribute("id"); line.appendChild(sign); }
    if (cut > 0) {
      var name = document.createElement("strong");
      name.textContent = text.slice(0, cut);
      line.append(name, " ", text.slice(cut + 2));
    } else line.append(text);
    return line;
  }
  function symbol(link) {
    var span = document.createElement("span");
    span.className = "katex nc-tip-sign";
    if (!link.querySelector("svg")) Array.from(link.childNodes).forEach(function (n) { span.appendChild(n.cloneNode(true)); });
    return span;
  }
  function show(anchor, lines, href) {
    hide();
    box.replaceChildren.apply(box, lines);
    if (href) {
      var more = document.createElement("a");
      more.href = href; more.textContent = "Read more"; more.tabIndex = -1;
      box.appendChild(more);
    }
    box.hidden = false;
    var rect = anchor.getClientRects()[0] || anchor.getBoundingClientRect(), wide = document.documentElement.clientWidth;
    box.style.left = Math.max(8, Math.min(rect.left, wide - box.offsetWidth - 8)) + window.scrollX + "px";
    var above = rect.bottom + box.offsetHeight + 12 > window.innerHeight && rect.top > box.offsetHeight + 12;
    box.style.top = (above ? rect.top - box.offsetHeight - 6 : rect.bottom + 6) + window.scrollY + "px";
    anchor.setAttribute("aria-describedby", box.id);
    shown = anchor;
  }
  function hide() {
    clearTimeout(timer);
    if (shown) shown.removeAttribute("aria-describedby");
    shown = null;
    box.hidden = true;
  }
  function one(link, href) { show(link, [entry(link, link.classList.contains("nc-sym") ? symbol(link) : null)], href); }
  function all(formula) {
    var seen = {}, lines = [];
    formula.querySelectorAll("a.nc-sym").forEach(function (link) {
      if (!seen[link.dataset.tip]) { seen[link.dataset.tip] = true; lines.push(entry(link, symbol(link))); }
    });
    show(formula, lines);
  }
  function later() { clearTimeout(timer); timer = setTimeout(hide, 250); }

  document.querySelectorAll("a.nc-tip").forEach(function (link) {
    link.dataset.tip = link.title;
    link.removeAttribute("title");
    link.addEventListener("mouseenter", function () { if (!touch) { clearTimeout(timer); one(link); } });
    link.addEventListener("mouseleave", function () { if (!touch) later(); });
    link.addEventListener("click", function (event) {
      if (!touch) return;
      event.preventDefault();
      event.stopPropagation();
      if (shown === link) hide(); else one(link, link.href);
    });
    if (link.classList.contains("nc-term")) {
      link.addEventListener("focus", function () { if (!touch) one(link); });
      link.addEventListener("blur", later);
    }
  });
  /* One stop of the tab key for a formula, which then names all of its symbols; a screen reader hears its MathML. */
  document.querySelectorAll(".math").forEach(function (formula) {
    var visible = formula.querySelector(".katex-html");
    if (!visible || !formula.querySelector("a.nc-sym")) return;
    visible.setAttribute("aria-hidden", "true");
    formula.querySelectorAll("a.nc-sym").forEach(function (link) { link.tabIndex = -1; });
    formula.tabIndex = 0;
    formula.setAttribute("role", "group");
    formula.setAttribute("aria-label", "formula");
    formula.addEventListener("focus", function () { if (!touch) all(formula); });
    formula.addEventListener("blur", later);
  });
  box.addEventListener("mouseenter", function () { clearTimeout(timer); });
  box.addEventListener("mouseleave", later);
  document.addEventListener("pointerdown", function (event) { touch = event.pointerType === "touch"; }, true);
  document.addEventListener("keydown", function (event) { touch = false; if (event.key === "Escape") hide(); }, true);
  document.addEventListener("click", function (event) { if (shown && !box.contains(event.target)) hide(); });
})();
