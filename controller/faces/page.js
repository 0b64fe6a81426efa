document.documentElement.classList.add("scripted");
document.addEventListener("click", (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    navigator.clipboard?.writeText(copy.dataset.copy);
    copy.textContent = "copied"; setTimeout(() => (copy.textContent = "copy"), 1200);
  }
  if (event.target.id === "theme") {
    const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = (root.dataset.theme ?? (dark ? "dark" : "light")) === "dark" ? "light" : "dark";
  }
});
addEventListener("beforeprint", () => document.querySelectorAll("details[data-print]").forEach((d) => (d.open = true)));
