"use strict";
// Shows the plan, the band and the probabilities for the budgets that were computed with the page.
(function () {
  const content = JSON.parse(document.getElementById("content").textContent);
  const points = content.outlook.budgets;
  const rows = document.querySelectorAll("#budgets tbody tr");
  const box = document.getElementById("explore");
  if (!points.length || rows.length !== points.length) return;
  const slider = box.querySelector("input");
  const own = points.reduce((best, p, i) => Math.abs(Math.log(p.factor)) < Math.abs(Math.log(points[best].factor)) ? i : best, 0);
  const goals = ["incumbent", "target"].map((name) => content.recommendation[name]).filter((loss) => loss !== null);
  const losses = [...points.map((p) => p.low), ...points.map((p) => p.high), ...goals];
  const ends = [Math.min(...losses), Math.max(...losses)];
  const place = (loss) => (100 * (loss - ends[0])) / (ends[1] - ends[0]);
  const set = (selector, left, right) => {
    const mark = box.querySelector(selector);
    if (!mark) return;
    mark.style.left = place(left) + "%";
    if (right !== undefined) mark.style.width = place(right) - place(left) + "%";
  };
  for (const name of ["incumbent", "target"]) {
    const loss = content.recommendation[name];
    if (loss === null) continue;
    set(".gauge ." + name, loss);
    const side = place(loss) > 85 ? "end" : place(loss) < 15 ? "start" : "";
    if (side) box.querySelector(".gauge ." + name).classList.add(side);
  }
  function show(index) {
    const point = points[index];
    for (const cell of rows[index].querySelectorAll("td[data-name]")) {
      const out = box.querySelector('output[name="' + cell.dataset.name + '"]');
      if (out) out.innerHTML = cell.innerHTML;
    }
    rows.forEach((row, i) => row.classList.toggle("chosen", i === index));
    set(".gauge .outer", point.low, point.high);
    set(".gauge .inner", point.lower, point.upper);
    set(".gauge .middle", point.expected_loss);
    slider.setAttribute("aria-valuetext", rows[index].querySelector("td").textContent + " " + content.budget_unit);
  }
  slider.max = points.length - 1;
  slider.value = own;
  slider.addEventListener("input", () => show(Number(slider.value)));
  box.hidden = false;
  show(own);
})();
