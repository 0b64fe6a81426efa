(() => {
  const findings = [...document.querySelectorAll("details.finding")], search = document.getElementById("search");
  let wanted = {};
  const show = () => {
    const text = (search?.value ?? "").trim().toLowerCase();
    for (const one of findings) {
      const { state, kind, environments } = one.dataset;
      const fits = (!wanted.state || wanted.state === state) && (!wanted.kind || wanted.kind === kind)
        && (!wanted.environment || environments.split(" ").includes(wanted.environment));
      one.hidden = !(fits && one.textContent.toLowerCase().includes(text));
    }
    for (const group of document.querySelectorAll("[data-group]")) {
      group.hidden = !group.querySelector("details.finding:not([hidden])");
    }
    for (const button of document.querySelectorAll(".filters [data-state]")) {
      button.setAttribute("aria-pressed", String((wanted.state ?? "") === button.dataset.state && !wanted.kind));
    }
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-state], [data-cell]");
    if (!button || button.matches("details")) return;
    const { state, cell } = button.dataset;
    if (cell) {
      const [kind, environment] = cell.split(" ");
      wanted = { kind, environment };
      document.getElementById("findings").scrollIntoView({ behavior: "smooth" });
    } else if (button.closest(".filters")) wanted = state ? { state } : {};
    else return;
    show();
  });
  search?.addEventListener("input", show);
  const named = () => { const one = document.getElementById(location.hash.slice(1)); if (one?.matches("details")) one.open = true; };
  addEventListener("hashchange", named); named();
})();
