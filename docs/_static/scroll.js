/* What is too wide for the page can be scrolled with the keyboard: it gets a stop of the tab key, and only then. */
(function () {
  "use strict";
  function mark() {
    document.querySelectorAll("pre, .table-wrapper, div.math, #nc-tip-box").forEach(function (part) {
      if (part.scrollWidth > part.clientWidth + 1) part.tabIndex = 0;
    });
  }
  mark();
  window.addEventListener("resize", mark);
})();
