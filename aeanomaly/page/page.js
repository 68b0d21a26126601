// What happens when something is chosen or moved.

let waiting = 0;

function setThreshold(value) {
  if (!Number.isFinite(value)) return;
  choice.threshold = value;
  const now = judged();
  for (const [id, text] of Object.entries({
    "normal-accuracy": percent(now.normalAccuracy),
    "anomaly-accuracy": percent(now.recall),
    precision: percent(now.precision),
    passed: whole(now.passed),
    alarms: whole(now.alarms),
    missed: whole(now.missed),
    caught: whole(now.caught),
  }))
    byId(id).textContent = text;
  const [slider, exact] = [byId("threshold"), byId("exact")];
  slider.value = value; // to the nearest step; the threshold itself stays exact
  slider.setAttribute(
    "aria-valuetext",
    `${number(value)}: normal accuracy ${percent(now.normalAccuracy)}, anomaly accuracy ${percent(now.recall)}`,
  );
  if (document.activeElement !== exact) exact.value = number(value);
  for (const button of byId("presets").children)
    button.setAttribute("aria-pressed", String(Number(button.value) === value));

  const { min, max } = charts.densities.options.scales.y;
  charts.densities.data.datasets[0].data = points([value, value], [min, max]);
  charts.densities.update("none");
  byId("densities").setAttribute(
    "aria-label",
    `Densities of the ${choice.score} scores of normal and anomalous test images, with the threshold at ${number(value)}.`,
  );
  if (!byId("curves").hidden && choice.run.scores[choice.score].roc) {
    const [rate, recall] = [1 - now.normalAccuracy, now.recall];
    for (const [id, x, y, text] of [
      ["roc", rate, recall, "ROC curve. At the threshold: false positive rate"],
      ["pr", recall, now.precision, "Precision against recall. At the threshold: recall"],
    ]) {
      charts[id].data.datasets[0].data = Number.isNaN(y) ? [] : points([x], [y]);
      charts[id].update("none");
      byId(id).setAttribute(
        "aria-label",
        `${text} ${percent(x)}, ${id === "roc" ? "true positive rate" : "precision"} ${percent(y)}.`,
      );
    }
  }
  // What is long to make or read aloud waits until the threshold rests.
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    byId("said").textContent =
      `At ${number(value)}: of ${whole(now.passed + now.alarms)} normal images ${whole(now.alarms)} raise a false alarm, of ${whole(now.caught + now.missed)} anomalous images ${whole(now.missed)} are missed.`;
    showGallery();
  }, 120);
}

function showScore(name) {
  choice.score = name;
  const score = choice.run.scores[name];
  drawDensities();
  drawCurves();
  showSuspects();
  const [slider, [low, high]] = [byId("threshold"), [score.density.x[0], score.density.x[score.density.x.length - 1]]];
  Object.assign(slider, { min: low, max: high, step: (high - low) / 500 });
  byId("presets").replaceChildren(
    ...Object.entries(score.thresholds).map(([label, value]) => {
      const button = element("button", `${label} = ${number(value)}`);
      Object.assign(button, { type: "button", value: String(value), onclick: () => setThreshold(value) });
      return button;
    }),
  );
  setThreshold(score.start);
}

function showRun(place) {
  choice.run = RUNS[place];
  for (const part of document.querySelectorAll("[data-run]")) part.hidden = part.dataset.run !== String(place);
  const names = Object.keys(choice.run.scores);
  const options = names.map((name) => Object.assign(element("option", name), { value: name }));
  byId("score").replaceChildren(...options);
  byId("score").value = names.includes(choice.score) ? choice.score : choice.run.main;
  showScore(byId("score").value);
}

// A drag may begin anywhere on the chart: the line comes to the pointer.
function drag(event) {
  const { x } = charts.densities.scales;
  const place = event.clientX - byId("densities").getBoundingClientRect().left;
  setThreshold(Math.min(x.max, Math.max(x.min, x.getValueForPixel(place))));
}
byId("densities").addEventListener("pointerdown", (event) => {
  if (event.button) return;
  byId("densities").setPointerCapture(event.pointerId);
  drag(event);
});
byId("densities").addEventListener("pointermove", (event) => {
  if (byId("densities").hasPointerCapture(event.pointerId)) drag(event);
});
byId("threshold").addEventListener("input", () => setThreshold(byId("threshold").valueAsNumber));
byId("exact").addEventListener("input", () => setThreshold(byId("exact").valueAsNumber));
byId("filter").addEventListener("change", showGallery);
byId("save-exclude").addEventListener("click", saveExcluded);
byId("run").addEventListener("change", () => showRun(Number(byId("run").value)));
byId("score").addEventListener("change", () => showScore(byId("score").value));
for (const form of document.forms) form.addEventListener("submit", (event) => event.preventDefault());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  const { threshold } = choice;
  showScore(choice.score);
  setThreshold(threshold);
});

byId("choices").hidden = byId("explore").hidden = false;
Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
showRun(0);
