document.querySelectorAll(".chart").forEach((chart) => {
  const svg = chart.querySelector("svg.timeline"), tip = chart.querySelector(".tip"), line = svg.querySelector(".cursor");
  const data = JSON.parse(chart.querySelector("script[type='application/json']").textContent);
  const hide = () => { line.style.display = tip.style.display = "none"; };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect(), scale = data.width / box.width, x = (event.clientX - box.left) * scale;
    const t = data.begin + (x - data.left) / (data.width - data.left - data.right) * (data.end - data.begin);
    const tick = data.ticks.findLast((k) => k.t <= t);
    if (!tick || t > data.end || x < data.left) return hide();
    line.style.display = tip.style.display = "block";
    line.setAttribute("transform", `translate(${x} 0)`);
    tip.textContent = tick.says;
    tip.style.left = Math.min(x / scale + 12, box.width - tip.offsetWidth - 4) + "px"; tip.style.top = "44px";
  });
  svg.addEventListener("pointerleave", hide);
});
