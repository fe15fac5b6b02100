// Runs before anything is drawn: the theme chosen here before, and that scripts run at all.
const root = document.documentElement;
root.classList.add("js");
try { root.dataset.theme = localStorage.getItem("gitexp-theme") || "auto"; } catch { /* storage is off */ }
