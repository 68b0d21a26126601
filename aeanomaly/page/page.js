"use strict";
// Everything below shows one choice of run, score and threshold. The data is that of `run_data` in content.py.

const RUNS = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const choice = { run: RUNS[0], score: "", threshold: 0 };
const DASHES = [[], [7, 3], [2, 3], [9, 3, 2, 3], [4, 2], [1, 2]];

// ---- data ----

function bytes(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

for (const run of RUNS) {
  run.anomalous = bytes(run.anomalous);
  for (const score of Object.values(run.scores)) {
    score.values = new Float32Array(bytes(score.values).buffer);
    // Ascending, so that a threshold's counts are two binary searches, however many images there are.
    score.sorted = [0, 1].map((kind) => score.values.filter((_, row) => run.anomalous[row] === kind).sort());
  }
}

// How many of the ascending values lie above a threshold; as in the test, both are float32. NaN stands at the end, and
// is not above anything.
function above(sorted, threshold) {
  const search = (right) => {
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (right(sorted[middle])) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  const limit = Math.fround(threshold);
  return search((value) => !Number.isNaN(value)) - search((value) => value <= limit);
}

function counted(score, threshold) {
  const [normal, anomalous] = score.sorted;
  const [alarms, caught] = [above(normal, threshold), above(anomalous, threshold)];
  return { alarms, caught, passed: normal.length - alarms, missed: anomalous.length - caught };
}

const ratio = (part, whole) => (whole ? part / whole : NaN);
const percent = (share) => (Number.isNaN(share) ? "–" : `${(100 * share).toFixed(2)} %`);
const number = (value) => (value === 0 ? "0" : Math.abs(value) >= 1e6 || Math.abs(value) < 1e-3 ? value.toExponential(3) : String(Number(value.toPrecision(5))));
const whole = (count) => count.toLocaleString("en");

function judged() {
  const counts = counted(choice.run.scores[choice.score], choice.threshold);
  return {
    ...counts,
    normalAccuracy: ratio(counts.passed, counts.passed + counts.alarms),
    recall: ratio(counts.caught, counts.caught + counts.missed),
    precision: ratio(counts.caught, counts.caught + counts.alarms),
  };
}

// ---- charts ----

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const charts = {};

function axis(title, extra = {}) {
  return {
    type: "linear",
    title: { display: true, text: title, color: colour("quiet") },
    ticks: { color: colour("quiet"), maxRotation: 0 },
    grid: { color: colour("line"), lineWidth: 0.5 },
    ...extra,
  };
}

function draw(id, datasets, scales, tooltip) {
  charts[id]?.destroy();
  charts[id] = new Chart(byId(id), {
    type: "line",
    data: { datasets },
    options: {
      animation: false,
      maintainAspectRatio: false,
      parsing: false,
      interaction: { mode: "nearest", intersect: false },
      elements: { point: { radius: 0, hitRadius: 6 } },
      scales,
      plugins: { legend: { display: false }, tooltip: { enabled: Boolean(tooltip), ...tooltip } },
    },
  });
}

const points = (x, y) => x.map((value, place) => ({ x: value, y: y[place] }));

function drawDensities() {
  const { density } = choice.run.scores[choice.score];
  const kinds = [["normal", [], (x) => x > choice.threshold], ["anomalous", [7, 4], (x) => x <= choice.threshold]];
  const highest = Math.max(...kinds.flatMap(([kind]) => density[kind].y ?? [0])) * 1.08 || 1;
  const lines = kinds
    .filter(([kind]) => density[kind].y || density[kind].median !== null)
    .map(([kind, dash, wrong]) => ({
      label: kind,
      data: density[kind].y
        ? points(density.x, density[kind].y)
        : [{ x: density[kind].median, y: 0 }, { x: density[kind].median, y: highest }], // nearly equal scores
      borderColor: colour(kind),
      borderDash: dash,
      borderWidth: 2,
      backgroundColor: colour(`${kind}-pale`),
      segment: { backgroundColor: (part) => colours[kind][wrong((part.p0.parsed.x + part.p1.parsed.x) / 2)] },
      fill: "origin",
    }));
  const colours = Object.fromEntries(
    kinds.map(([kind]) => [kind, { true: colour(`${kind}-full`), false: colour(`${kind}-pale`) }]));
  const line = { label: "threshold", data: [], borderColor: colour("mark"), borderWidth: 2, borderDash: [4, 3] };
  draw("densities", [line, ...lines], {
    x: axis(`${choice.score} score`, { min: density.x[0], max: density.x[density.x.length - 1] }),
    y: axis("density", { min: 0, max: highest, ticks: { display: false }, grid: { display: false } }),
  });
}

// Several runs: a line for each that has the score. One run: a line for each score.
function competitors() {
  const lines = RUNS.length > 1
    ? RUNS.filter((run) => choice.score in run.scores).map((run) => ({ name: run.name, score: run.scores[choice.score], chosen: run === choice.run }))
    : Object.entries(choice.run.scores).map(([name, score]) => ({ name, score, chosen: name === choice.score }));
  return lines.filter((line) => line.score.roc);
}

// Okabe and Ito again, but for yellow, which is too pale for a line on white.
const lineColour = (place) => ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#8A8F94"][place % 7];

function drawCurves() {
  const lines = competitors();
  byId("curves").hidden = byId("legend").hidden = !lines.length;
  byId("no-curves").hidden = lines.length > 0;
  byId("legend").replaceChildren(...lines.map((line, place) => legendEntry(line, place)));
  if (!lines.length) return;
  const ends = { min: 0, max: 1 };
  const tooltip = { callbacks: { label: (item) => `${item.dataset.label}: ${item.parsed.x.toFixed(3)}, ${item.parsed.y.toFixed(3)}` } };
  const share = ratio(choice.run.scores[choice.score].sorted[1].length, choice.run.anomalous.length);
  for (const [id, x, y, chance] of [
    ["roc", "false positive rate", "true positive rate", [0, 1]],
    ["pr", "recall", "precision", [share, share]],
  ]) {
    const dot = { label: "threshold", data: [], pointRadius: 7, pointHoverRadius: 8, pointBorderWidth: 2, pointBorderColor: colour("ground"), pointBackgroundColor: colour("mark") };
    const curves = lines.map(({ name, score, chosen }, place) => ({
      label: name,
      data: points(score[id][0], score[id][1]),
      borderColor: lineColour(place),
      borderDash: DASHES[place % DASHES.length],
      borderWidth: chosen ? 3 : 1.5,
      order: chosen ? 1 : 2,
    }));
    const guess = { label: "by chance", data: points([0, 1], chance), borderColor: colour("quiet"), borderWidth: 1, borderDash: [2, 4], order: 3 };
    draw(id, [dot, ...curves, guess], { x: axis(x, ends), y: axis(y, ends) }, tooltip);
  }
}

function element(name, text = "", classes = "") {
  const made = document.createElement(name);
  made.textContent = text; // never as HTML: names come from files
  if (classes) made.className = classes;
  return made;
}

function legendEntry({ name, score, chosen }, place) {
  const entry = element("li", "", chosen ? "chosen" : "");
  const [svg, line] = ["svg", "line"].map((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));
  const set = (node, values) => Object.entries(values).forEach(([key, value]) => node.setAttribute(key, value));
  set(svg, { width: 34, height: 10, "aria-hidden": "true" });
  set(line, { x1: 0, x2: 34, y1: 5, y2: 5, stroke: lineColour(place), "stroke-width": chosen ? 3 : 2, "stroke-dasharray": DASHES[place % DASHES.length].join(" ") });
  svg.append(line);
  const value = (share) => (share === null ? "–" : share.toFixed(4));
  entry.append(svg, element("span", `${name}: AUROC ${value(score.auroc)}, AUPR ${value(score.aupr)}`));
  return entry;
}

// ---- images ----

function card(pictures, heading, lines, verdict, kind) {
  const entry = element("li", "", `card ${kind}`);
  const places = choice.score && pictures[`map:${choice.score}`] ? `map:${choice.score}` : "squared error";
  const shown = [["input", "input"], ["reconstruction", "reconstr."], [places, places === "squared error" ? "error" : "map"]];
  const row = element("div", "", "pictures");
  for (const [key, caption] of shown.filter(([key]) => pictures[key])) {
    const [figure, image] = [element("figure"), element("img")];
    image.src = pictures[key];
    image.alt = key === "input" ? heading : `${caption === "reconstr." ? "its reconstruction" : `its ${caption}`}`;
    image.onload = () => image.classList.toggle("smooth", image.naturalWidth > 64);
    figure.append(image, element("figcaption", caption));
    row.append(figure);
  }
  entry.append(row);
  if (verdict) entry.append(element("p", verdict, "verdict"));
  for (const line of [heading, ...lines]) entry.append(element("p", line));
  return entry;
}

function showGallery() {
  const { run, score, threshold } = choice;
  byId("gallery-part").hidden = !run.images.length;
  const [values, limit] = [run.scores[score].values, Math.fround(threshold)];
  const verdicts = { alarm: "False alarm", miss: "Missed anomaly", right: "" };
  const judgedImages = run.images.map((image) => {
    const [value, anomalous] = [values[image.row], run.anomalous[image.row] === 1];
    const verdict = value > limit === anomalous ? "right" : anomalous ? "miss" : "alarm";
    // How far on the wrong side; rightly judged images follow from the highest score to the lowest.
    return { ...image, value, anomalous, verdict, wrong: verdict === "right" ? -1 : Math.abs(value - limit) };
  });
  judgedImages.sort((one, other) => (other.verdict !== "right") - (one.verdict !== "right") || (one.wrong >= 0 ? other.wrong - one.wrong : other.value - one.value));
  const shown = judgedImages.filter((image) => !byId("filter").value || image.verdict === byId("filter").value);
  const wrong = judgedImages.filter((image) => image.verdict !== "right").length;
  byId("gallery-said").textContent = `${whole(shown.length)} shown. Of the ${whole(run.images.length)} images kept here (of ${whole(values.length)}), ${whole(wrong)} are misjudged at this threshold.`;
  byId("gallery").classList.toggle("few", Object.keys(run.images[0]?.pictures ?? {}).length < 2);
  byId("gallery").replaceChildren(...shown.map((image) => {
    const kind = image.anomalous ? "anomalous" : "normal";
    return card(image.pictures, `Image ${image.index}, class ${image.label} (${kind})`, [`score ${number(image.value)}`], verdicts[image.verdict], image.verdict);
  }));
}

function showSuspects() {
  const { run, score } = choice;
  const ranking = run.ranking[score] ?? [];
  byId("suspects-part").hidden = !ranking.length;
  if (!ranking.length) return;
  byId("suspects-said").textContent = `The ${ranking.length} highest ${score} scores among ${whole(run.looked_at[score])} normal images that were kept apart from what judges them. ${run.notes[score]} If one of them is not normal, take it out of the training data.`;
  byId("suspects").classList.toggle("few", Object.keys(run.suspects[0].pictures).length < 2);
  byId("suspects").replaceChildren(...ranking.map(([place, value]) => {
    const image = run.suspects[place];
    return card(image.pictures, `Training split, image ${image.index}, class ${image.label}`, [`score ${number(value)}, ${image.trained ? "left out of the bank" : "held out"}`], "", "");
  }));
}

// ---- what happens when ----

let waiting = 0;

function setThreshold(value) {
  if (!Number.isFinite(value)) return;
  choice.threshold = value;
  const now = judged();
  for (const [id, text] of Object.entries({
    "normal-accuracy": percent(now.normalAccuracy), "anomaly-accuracy": percent(now.recall), precision: percent(now.precision),
    passed: whole(now.passed), alarms: whole(now.alarms), missed: whole(now.missed), caught: whole(now.caught),
  })) byId(id).textContent = text;
  const [slider, exact] = [byId("threshold"), byId("exact")];
  slider.value = value; // to the nearest step; the threshold itself stays exact
  slider.setAttribute("aria-valuetext", `${number(value)}: normal accuracy ${percent(now.normalAccuracy)}, anomaly accuracy ${percent(now.recall)}`);
  if (document.activeElement !== exact) exact.value = number(value);
  for (const button of byId("presets").children) button.setAttribute("aria-pressed", String(Number(button.value) === value));

  const { min, max } = charts.densities.options.scales.y;
  charts.densities.data.datasets[0].data = points([value, value], [min, max]);
  charts.densities.update("none");
  byId("densities").setAttribute("aria-label", `Densities of the ${choice.score} scores of normal and anomalous test images, with the threshold at ${number(value)}.`);
  if (!byId("curves").hidden && choice.run.scores[choice.score].roc) {
    const [rate, recall] = [1 - now.normalAccuracy, now.recall];
    for (const [id, x, y, text] of [["roc", rate, recall, "ROC curve. At the threshold: false positive rate"], ["pr", recall, now.precision, "Precision against recall. At the threshold: recall"]]) {
      charts[id].data.datasets[0].data = Number.isNaN(y) ? [] : points([x], [y]);
      charts[id].update("none");
      byId(id).setAttribute("aria-label", `${text} ${percent(x)}, ${id === "roc" ? "true positive rate" : "precision"} ${percent(y)}.`);
    }
  }
  // What is long to make or read aloud waits until the threshold rests.
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    byId("said").textContent = `At ${number(value)}: of ${whole(now.passed + now.alarms)} normal images ${whole(now.alarms)} raise a false alarm, of ${whole(now.caught + now.missed)} anomalous images ${whole(now.missed)} are missed.`;
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
  byId("presets").replaceChildren(...Object.entries(score.thresholds).map(([label, value]) => {
    const button = element("button", `${label} = ${number(value)}`);
    Object.assign(button, { type: "button", value: String(value), onclick: () => setThreshold(value) });
    return button;
  }));
  setThreshold(score.start);
}

function showRun(place) {
  choice.run = RUNS[place];
  for (const part of document.querySelectorAll("[data-run]")) part.hidden = part.dataset.run !== String(place);
  const names = Object.keys(choice.run.scores);
  const options = names.map((name) => Object.assign(element("option", name), { value: name }));
  byId("score").replaceChildren(...options);
  byId("score").value = names.includes(choice.score) ? choice.score : names[0];
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
