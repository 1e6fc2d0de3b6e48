// The page of a classifier or of a CycleGAN: what the network makes of the reader's own images.

const waiting = []; // { file, name } of images that were given and are still to be read
let results = []; // { name, figure, probability or translation }
let round = 0; // counts how often the reader removed all: what is computed for an older round is forgotten
let isWorking = false;

begin(() => {
  connect();
  say("Ready for your images.");
});

function give(files) {
  const isFolder = [...files].some((file) => file.webkitRelativePath);
  for (const file of files) {
    // The name of a file in a folder is its path below it, as in Python.
    const name = file.webkitRelativePath ? file.webkitRelativePath.split("/").slice(1).join("/") : file.name;
    const isHidden = name.split("/").some((part) => part.startsWith("."));
    if (!isFolder || (IMAGE_SUFFIX.test(name) && !isHidden)) waiting.push({ file, name });
  }
  work();
}

/** Reads the images that wait and shows what the network makes of them, one after the other. */
async function work() {
  if (isWorking) return;
  isWorking = true;
  let numDone = 0;
  while (waiting.length) {
    const mine = round;
    const { file, name } = waiting.shift();
    if (numDone % 10 === 0) say(`Image ${numDone + 1} of ${numDone + 1 + waiting.length} …`);
    try {
      const result = await computed(await readImage(file), name);
      if (mine === round) show(result);
    } catch (error) {
      if (mine === round) refuse(name, error.message);
    }
    numDone++;
  }
  isWorking = false;
  sortResults();
  const numRefused = element("refused").querySelectorAll("li").length;
  const isEmpty = results.length + numRefused === 0;
  const used = `${results.length} ${results.length === 1 ? "image" : "images"} used`;
  say(isEmpty ? "Ready for your images." : `${used}${numRefused ? `, ${numRefused} not used` : ""}.`);
  element("save").disabled = results.length === 0;
  element("clear").disabled = isEmpty;
}

async function computed(image, name) {
  if (description.kind === "classifier") {
    const { data } = await ask({ network: 0, inputs: { image: tensorOf(image, "uint8", levelsOf(image)) } });
    return { name, probability: data[0], figure: await figureOf(name, [["", image]], predictionText(data[0])) };
  }
  const chosen = Number(element("network")?.value ?? 0);
  const translation = await translated(image, chosen);
  const { source, target } = description.networks[chosen];
  const pictures = [[source, image], [target, translation]];
  if (description.networks.length > 1) pictures.push([`back to ${source}`, await translated(translation, 1 - chosen)]);
  const figure = await figureOf(name, pictures, "");
  return { name, figure, translation: await (await pngOf(translation)).arrayBuffer() };
}

async function translated(image, network) {
  const pixels = Float32Array.from(levelsOf(image), (level) => Math.fround(level / 127.5) - 1);
  return toImages(await ask({ network, inputs: { image: tensorOf(image, "float32", pixels) } }))[0];
}

function tensorOf(image, type, data) {
  return { type, data, dims: [1, image.height, image.width, description.channels] };
}

function predictionText(probability) {
  const isPositive = probability >= description.threshold;
  const name = isPositive ? description.positive_class : description.negative_class;
  return `${name} (${description.positive_class}: ${(100 * probability).toFixed(1)} %)`;
}

async function figureOf(name, pictures, text) {
  const figure = document.createElement("figure");
  const row = document.createElement("div");
  row.className = "pictures";
  for (const [meaning, image] of pictures) {
    const picture = document.createElement("img");
    Object.assign(picture, { src: URL.createObjectURL(await pngOf(image)), alt: [name, meaning].filter(Boolean).join(", ") });
    Object.assign(picture, { width: image.width, height: image.height, loading: "lazy" });
    const part = document.createElement("div");
    part.append(picture);
    if (meaning) part.append(Object.assign(document.createElement("span"), { textContent: meaning }));
    row.append(part);
  }
  const caption = document.createElement("figcaption");
  if (text) caption.append(Object.assign(document.createElement("b"), { textContent: text }), document.createElement("br"));
  caption.append(name);
  figure.append(row, caption);
  return figure;
}

function show(result) {
  results.push(result);
  element("results").append(result.figure);
}

function refuse(name, reason) {
  element("refused").hidden = false;
  const item = Object.assign(document.createElement("li"), { textContent: `${name}: ${reason}` });
  element("refused").querySelector("ul").append(item);
}

function byName(one, other) {
  return one.name < other.name ? -1 : one.name > other.name ? 1 : 0;
}

function sortResults() {
  const orders = {
    name: byName,
    high: (one, other) => other.probability - one.probability,
    low: (one, other) => one.probability - other.probability,
  };
  results.sort(orders[element("order")?.value ?? "name"]);
  element("results").replaceChildren(...results.map((result) => result.figure));
}

function clear() {
  round++;
  waiting.length = 0;
  for (const picture of element("results").querySelectorAll("img")) URL.revokeObjectURL(picture.src);
  results = [];
  element("results").replaceChildren();
  element("refused").hidden = true;
  element("refused").querySelector("ul").replaceChildren();
  element("save").disabled = element("clear").disabled = true;
  if (!isWorking) say("Ready for your images.");
}

// --- What the reader takes along

/** Saves what --mode=classify writes to predictions.csv. */
function saveTable() {
  const extra = description.columns;
  const rows = [["id", "probability", ...extra.map(([name]) => name)]];
  for (const { name, probability } of [...results].sort(byName)) {
    rows.push([name, probability.toFixed(6), ...extra.map(([, value]) => value)].map(neutral));
  }
  const text = rows.map((row) => `${row.map(quoted).join(",")}\r\n`).join("");
  save(new Blob([text], { type: "text/csv" }), "predictions.csv");
}

/** Puts an apostrophe before a text that a spreadsheet would take for a formula; runs/csv_cells.py does the same. */
function neutral(cell) {
  const isFormula = /^'*[=+\-@\t\r\n]/.test(cell) && !/^[+-]?\d+(\.\d*)?([eE][+-]?\d+)?$/.test(cell);
  return isFormula ? `'${cell}` : cell;
}

function quoted(cell) {
  return /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}

async function saveTranslations() {
  const zip = new Zip();
  const names = new Set();
  for (const { name, translation } of [...results].sort(byName)) {
    const stem = name.replace(IMAGE_SUFFIX, "");
    let file = `${stem}.png`;
    for (let number = 2; names.has(file); number++) file = `${stem}-${number}.png`;
    names.add(file);
    await zip.add(file, translation);
  }
  save(zip.blob(), `${description.name}-translations.zip`);
}

// --- Controls

function connect() {
  for (const id of ["files", "folder"]) {
    element(id).addEventListener("change", () => {
      give([...element(id).files]);
      element(id).value = "";
    });
    element(id).disabled = false;
  }
  element("order")?.addEventListener("change", sortResults);
  for (const choice of document.querySelectorAll("#own select")) choice.disabled = false;
  element("save").addEventListener("click", description.kind === "classifier" ? saveTable : saveTranslations);
  element("clear").addEventListener("click", clear);
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    give([...event.dataTransfer.files]);
  });
  document.addEventListener("paste", (event) => give([...event.clipboardData.files]));
}
