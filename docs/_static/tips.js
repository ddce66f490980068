/* Meanings of symbols and terms on hovering, focus and a tap. Without it they are links with a title that says the same. */
(function () {
  "use strict";
  var box = document.createElement("div"), shown = null, touch = false, timer = 0;
  box.id = "nc-tip-box";
  box.setAttribute("role", "tooltip");
  box.hidden = true;
  document.body.appendChild(box);

  function entry(link) {
    var text = link.dataset.tip, line = document.createElement("p"), name = document.createElement("strong");
    var cut = link.classList.contains("nc-sym") ? text.indexOf(": ") : -1;
    if (cut > 0) {
      if (!link.querySelector("svg")) {
        var sign = document.createElement("span");
        sign.className = "katex nc-tip-sign";
        link.childNodes.forEach(function (part) { sign.appendChild(part.cloneNode(true)); });
        line.appendChild(sign);
      }
      name.textContent = text.slice(0, cut + 1);
      line.append(name, " ", text.slice(cut + 2));
    } else line.append(text);
    return line;
  }
  function show(anchor, links, href) {
    hide();
    box.replaceChildren.apply(box, links.map(entry));
    if (href) {
      var more = document.createElement("a");
      more.href = href;
      more.textContent = "Read more";
      box.appendChild(more);
    }
    box.hidden = false;
    var at = anchor.getClientRects()[0], wide = document.documentElement.clientWidth, high = box.offsetHeight;
    var above = at.bottom + high + 12 > window.innerHeight && at.top > high + 12;
    box.style.left = Math.max(8, Math.min(at.left, wide - box.offsetWidth - 8)) + window.scrollX + "px";
    box.style.top = (above ? at.top - high - 6 : at.bottom + 6) + window.scrollY + "px";
    anchor.setAttribute("aria-describedby", box.id);
    shown = anchor;
  }
  function hide() {
    clearTimeout(timer);
    if (shown) shown.removeAttribute("aria-describedby");
    shown = null;
    box.hidden = true;
  }
  function later() { clearTimeout(timer); timer = setTimeout(hide, 250); }
  function stay() { clearTimeout(timer); }

  document.querySelectorAll("a.nc-tip").forEach(function (link) {
    link.dataset.tip = link.title;
    link.removeAttribute("title");
    link.addEventListener("mouseenter", function () { if (!touch) show(link, [link]); });
    link.addEventListener("mouseleave", later);
    link.addEventListener("click", function (event) {
      if (!touch) return;
      event.preventDefault();
      event.stopPropagation();
      if (shown === link) hide(); else show(link, [link], link.href);
    });
    if (link.classList.contains("nc-sym")) return;
    link.addEventListener("focus", function () { if (!touch) show(link, [link]); });
    link.addEventListener("blur", later);
  });
  /* A formula is one stop of the tab key and then names all of its symbols; a screen reader hears its MathML. */
  document.querySelectorAll(".math").forEach(function (formula) {
    var seen = {}, links = Array.from(formula.querySelectorAll("a.nc-sym"));
    if (!links.length) return;
    links.forEach(function (link) { link.tabIndex = -1; });
    links = links.filter(function (link) { return !seen[link.dataset.tip] && (seen[link.dataset.tip] = true); });
    formula.querySelectorAll(".katex-html").forEach(function (part) { part.setAttribute("aria-hidden", "true"); });
    formula.tabIndex = 0;
    formula.setAttribute("role", "group");
    formula.setAttribute("aria-label", "formula");
    formula.addEventListener("focus", function () { if (!touch) show(formula, links); });
    formula.addEventListener("blur", later);
  });
  box.addEventListener("mouseenter", stay);
  box.addEventListener("mouseleave", later);
  document.addEventListener("pointerdown", function (event) { touch = event.pointerType === "touch"; }, true);
  document.addEventListener("click", function (event) { if (shown && !box.contains(event.target)) hide(); });
  document.addEventListener("keydown", function (event) { touch = false; if (event.key === "Escape") hide(); }, true);
})();
