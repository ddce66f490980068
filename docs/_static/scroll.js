/* What is too wide or too long for its frame can be scrolled with the keyboard: it gets a stop of the tab key, and only then. */
(function () {
  "use strict";
  function mark() {
    document.querySelectorAll("pre, .table-wrapper, div.math, #nc-tip-box").forEach(function (part) {
      var hidden = part.scrollWidth > part.clientWidth + 1 || part.scrollHeight > part.clientHeight + 1;
      if (hidden) part.tabIndex = 0;
    });
  }
  mark();
  window.addEventListener("resize", mark);
})();
