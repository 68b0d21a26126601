// The charts of the chosen run and score, drawn by Chart.js.

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const charts = {};

function axis(title, extra = {}) {
  return {
    type: "linear",
    title: { display: true, text: title, color: colour("quiet") },
    ticks: { color: colour("quiet"), maxRotation: 0, includeBounds: false },
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
  const kinds = [
    ["normal", [], (x) => x > choice.threshold],
    ["anomalous", [7, 4], (x) => x <= choice.threshold],
  ];
  const highest = Math.max(...kinds.flatMap(([kind]) => density[kind].y ?? [0])) * 1.08 || 1;
  const lines = kinds
    .filter(([kind]) => density[kind].y || density[kind].median !== null)
    .map(([kind, dash, wrong]) => ({
      label: kind,
      data: density[kind].y
        ? points(density.x, density[kind].y)
        : [
            { x: density[kind].median, y: 0 },
            { x: density[kind].median, y: highest },
          ], // nearly equal scores
      borderColor: colour(kind),
      borderDash: dash,
      borderWidth: 2,
      backgroundColor: colour(`${kind}-pale`),
      segment: { backgroundColor: (part) => colours[kind][wrong((part.p0.parsed.x + part.p1.parsed.x) / 2)] },
      fill: "origin",
    }));
  const colours = Object.fromEntries(
    kinds.map(([kind]) => [kind, { true: colour(`${kind}-full`), false: colour(`${kind}-pale`) }]),
  );
  const line = { label: "threshold", data: [], borderColor: colour("mark"), borderWidth: 2, borderDash: [4, 3] };
  draw("densities", [line, ...lines], {
    x: axis(`${choice.score} score (higher = more anomalous)`, {
      min: density.x[0],
      max: density.x[density.x.length - 1],
    }),
    y: axis("density", { min: 0, max: highest, ticks: { display: false }, grid: { display: false } }),
  });
}

// Several runs: a line for each that has the score. One run: a line for each score.
function competitors() {
  const lines =
    RUNS.length > 1
      ? RUNS.filter((run) => choice.score in run.scores).map((run) => ({
          name: run.name,
          score: run.scores[choice.score],
          chosen: run === choice.run,
        }))
      : Object.entries(choice.run.scores).map(([name, score]) => ({ name, score, chosen: name === choice.score }));
  return lines.filter((line) => line.score.roc);
}

const lineColour = (place) => colour(`line-${place % 6}`);

function drawCurves() {
  const lines = competitors();
  byId("curves").hidden = byId("legend").hidden = byId("about-dot").hidden = !lines.length;
  byId("no-curves").hidden = lines.length > 0;
  byId("legend").replaceChildren(...lines.map((line, place) => legendEntry(line, place)));
  if (!lines.length) return;
  const ends = { min: 0, max: 1 };
  const tooltip = {
    callbacks: { label: (item) => `${item.dataset.label}: ${item.parsed.x.toFixed(3)}, ${item.parsed.y.toFixed(3)}` },
  };
  const share = ratio(choice.run.scores[choice.score].sorted[1].length, choice.run.counted);
  for (const [id, x, y, chance] of [
    ["roc", "false positive rate", "true positive rate", [0, 1]],
    ["pr", "recall", "precision", [share, share]],
  ]) {
    const dot = {
      label: "threshold",
      data: [],
      pointRadius: 7,
      pointHoverRadius: 8,
      pointBorderWidth: 2,
      pointBorderColor: colour("ground"),
      pointBackgroundColor: colour("mark"),
    };
    const curves = lines.map(({ name, score, chosen }, place) => ({
      label: name,
      data: points(score[id][0], score[id][1]),
      borderColor: lineColour(place),
      borderDash: DASHES[place % DASHES.length],
      borderWidth: chosen ? 3 : 1.5,
      order: chosen ? 1 : 2,
    }));
    const guess = {
      label: "by chance",
      data: points([0, 1], chance),
      borderColor: colour("quiet"),
      borderWidth: 1,
      borderDash: [2, 4],
      order: 3,
    };
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
  set(line, {
    x1: 0,
    x2: 34,
    y1: 5,
    y2: 5,
    stroke: lineColour(place),
    "stroke-width": chosen ? 3 : 2,
    "stroke-dasharray": DASHES[place % DASHES.length].join(" "),
  });
  svg.append(line);
  const value = (share) => (share === null ? "–" : share.toFixed(4));
  entry.append(svg, element("span", `${name}: AUROC ${value(score.auroc)}, AUPR ${value(score.aupr)}`));
  return entry;
}
