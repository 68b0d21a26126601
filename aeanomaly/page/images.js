// The pictures of test images, and of suspicious ones of the training split.

// Which picture says where, and its caption: the map of the chosen score, or else whatever there is.
function placesOf(pictures) {
  const maps = Object.keys(pictures).filter((key) => key.startsWith("map:"));
  if (pictures[`map:${choice.score}`]) return [`map:${choice.score}`, "map"];
  if (pictures["squared error"] || !maps.length) return ["squared error", "error"];
  return [maps[0], `${maps[0].slice("map:".length)} map`];
}

// Its file, which can be looked at, or its number where there is none.
function nameOf(image) {
  return image.path ?? `Image ${image.index}`;
}

function card(pictures, heading, lines, verdict, kind) {
  const entry = element("li", "", `card ${kind}`);
  const [places, said] = placesOf(pictures);
  const shown = [
    ["input", "input"],
    ["reconstruction", "reconstr."],
    [places, said],
  ];
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
    const verdict = !(value <= limit) === anomalous ? "right" : anomalous ? "miss" : "alarm";
    // How far on the wrong side; rightly judged images follow from the highest score to the lowest.
    return { ...image, value, anomalous, verdict, wrong: verdict === "right" ? -1 : Math.abs(value - limit) };
  });
  judgedImages.sort(
    (one, other) =>
      (other.verdict !== "right") - (one.verdict !== "right") ||
      (one.wrong >= 0 ? other.wrong - one.wrong : other.value - one.value),
  );
  const shown = judgedImages.filter((image) => !byId("filter").value || image.verdict === byId("filter").value);
  const wrong = judgedImages.filter((image) => image.verdict !== "right").length;
  byId("gallery-said").textContent =
    `${whole(shown.length)} shown. Of the ${whole(run.images.length)} images kept here (of ${whole(run.total)}), ${whole(wrong)} are misjudged at this threshold.`;
  byId("gallery").classList.toggle("few", Object.keys(run.images[0]?.pictures ?? {}).length < 2);
  byId("gallery").replaceChildren(
    ...shown.map((image) => {
      const kind = image.anomalous ? "anomalous" : "normal";
      const lines = [`${kind}, class ${image.class}`, `score ${number(image.value)}`];
      return card(image.pictures, nameOf(image), lines, verdicts[image.verdict], image.verdict);
    }),
  );
}

function showSuspects() {
  const { run, score } = choice;
  const ranking = run.ranking[score] ?? [];
  byId("suspects-part").hidden = !ranking.length;
  if (!ranking.length) return;
  byId("suspects-said").textContent =
    `The ${ranking.length} highest ${score} scores among ${whole(run.looked_at[score])} normal images. ${run.notes[score]} If one of them is not normal, take it out of the training data${run.suspects[0].line ? ": tick it, save the list, and train again with --data.exclude exclude.txt" : ""}.`;
  byId("suspects").classList.toggle("few", Object.keys(run.suspects[0].pictures).length < 2);
  byId("suspects").replaceChildren(
    ...ranking.map(([place, value]) => {
      const image = run.suspects[place];
      const lines = [`${image.trained ? "trained on" : "held out"}, class ${image.class}`, `score ${number(value)}`];
      const entry = card(image.pictures, nameOf(image), lines, "", "");
      if (image.line) entry.append(tick(image));
      return entry;
    }),
  );
  showExcluded();
}

// The images to leave out, ticked under any score. The list of a run names its ticked ones, and before them those that
// it left out itself, so that a run trained by it leaves out both.
const excluded = new Set();

function tick(image) {
  const [label, box] = [element("label", "", "tick"), element("input")];
  Object.assign(box, { type: "checkbox", checked: excluded.has(image) });
  box.setAttribute("aria-label", `not normal: ${image.path}`);
  box.addEventListener("change", () => {
    if (box.checked) excluded.add(image);
    else excluded.delete(image);
    showExcluded();
  });
  label.append(box, " not normal");
  return label;
}

function ticked() {
  return choice.run.suspects.filter((image) => excluded.has(image)).map((image) => image.line);
}

function showExcluded() {
  const [count, before] = [ticked().length, choice.run.left_out.length];
  byId("exclude-part").hidden = !choice.run.suspects.some((image) => image.line);
  byId("save-exclude").disabled = !count;
  byId("exclude-said").textContent =
    `${count ? whole(count) : "none"} ticked${before ? `; the list also has the ${whole(before)} left out by this run` : ""}`;
}

function saveExcluded() {
  const [link, lines] = [element("a"), [...choice.run.left_out, ...ticked()]];
  link.href = URL.createObjectURL(new Blob([`${lines.join("\n")}\n`], { type: "text/plain" }));
  link.download = "exclude.txt";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
