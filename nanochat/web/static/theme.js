// Sets the colours that were chosen before, ahead of the first paint; the page itself is in app.js.
"use strict";
try {
  const chosen = localStorage.getItem("nanochat-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch { /* a browser that keeps nothing follows the system */ }
