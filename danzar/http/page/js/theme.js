// Runs before the first paint, so that the chosen appearance is there from the beginning.
"use strict";

(() => {
  try {
    const chosen = localStorage.getItem("danzar-theme");
    if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
  } catch { /* private windows keep nothing */ }
})();
