"use strict";
// The four scripts of the page stand one behind the other, in the order of `SCRIPTS` in page.py.
// Everything below shows one choice of run, score and threshold. The data is that of `run_data` in content.py.

const RUNS = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const choice = { run: RUNS[0], score: "", threshold: 0 };
const DASHES = [[], [7, 3], [2, 3], [9, 3, 2, 3], [4, 2], [1, 2]];

function bytes(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

for (const run of RUNS) {
  run.anomalous = bytes(run.anomalous);
  for (const score of Object.values(run.scores)) {
    score.values = new Float32Array(bytes(score.values).buffer);
    // Ascending, so that a threshold's counts are two binary searches, however many images there are.
    const counted = score.values.subarray(0, run.counted);
    score.sorted = [0, 1].map((kind) => counted.filter((_, row) => run.anomalous[row] === kind).sort());
  }
}

// How many of the ascending values lie above a threshold; as in the test, both are float32. NaN stands at the end, above
// any.
function above(sorted, threshold) {
  const limit = Math.fround(threshold);
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] <= limit) low = middle + 1;
    else high = middle;
  }
  return sorted.length - low;
}

function counted(score, threshold) {
  const [normal, anomalous] = score.sorted;
  const [alarms, caught] = [above(normal, threshold), above(anomalous, threshold)];
  return { alarms, caught, passed: normal.length - alarms, missed: anomalous.length - caught };
}

const ratio = (part, whole) => (whole ? part / whole : NaN);
const percent = (share) => (Number.isNaN(share) ? "–" : `${(100 * share).toFixed(2)} %`);
const number = (value) =>
  value === 0
    ? "0"
    : Math.abs(value) >= 1e6 || Math.abs(value) < 1e-3
      ? value.toExponential(3)
      : String(Number(value.toPrecision(5)));
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
