// Before anything is drawn, so that nobody who chose dark sees a flash of white. Not a module: those wait.
"use strict";
(() => {
  const root = document.documentElement;
  try {
    const chosen = localStorage.getItem("prefstream-theme");
    if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
  } catch {
    // storage is forbidden: as the system has it
  }
})();
