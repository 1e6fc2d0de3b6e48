// The page of a generator: a sheet of patches, and one patch that can be changed.

const NUM_SHOWN = 64;
const NUM_COLUMNS = 8;
const BATCH = 8; // patches that the network makes at once
const LARGEST_SEED = 2 ** 31;
const STRIP_PLACES = [0, 0.25, 0.5, 0.75, 1]; // parts of a slider's way
const STRIP_PAUSE = 250; // milliseconds without a change after which strips are drawn anew

let patches = []; // of the sheet: { number, label, latent, image }
let chosen = 0; // the number of the patch that is large, or had the focus last
let latent = null; // of the large patch, as the sliders have changed it
let shown = null; // its ImageData
let sheetView = 0; // counts the sheets that were asked for: the making of an older one stops

if (innerWidth < 704) document.querySelector("input[name=size][value='1']").checked = true;
chooseSize();
makeTiles();
makeDirections();
begin(() => {
  connect();
  return newSheet();
});

/** Makes images, some at a time; calls onImage(number, image) for each. Stops when isWanted() is false. */
async function makeImages(latents, labels, onImage, isWanted = () => true) {
  for (let first = 0; first < latents.length && isWanted(); first += BATCH) {
    const some = latents.slice(first, first + BATCH);
    const z = new Float32Array(some.length * description.z_dim);
    some.forEach((one, index) => z.set(one, index * description.z_dim));
    const inputs = { z: { type: "float32", data: z, dims: [some.length, description.z_dim] } };
    if (description.labels.length) {
      const chosenLabels = Int32Array.from(labels.slice(first, first + BATCH));
      inputs.label = { type: "int32", data: chosenLabels, dims: [some.length] };
    }
    const images = toImages(await ask({ network: 0, inputs }));
    if (!isWanted()) return;
    for (const [index, image] of images.entries()) await onImage(first + index, image);
  }
}

// --- The sheet

/** Returns the patch of a number as --mode=generate makes it for the page's seed and class. */
function patchOf(number) {
  const labelChoice = element("label")?.value ?? "";
  const numLabels = Math.max(1, description.labels.length);
  return {
    number,
    label: description.only_label ?? (labelChoice === "" ? number % numLabels : Number(labelChoice)),
    latent: latentOf(seed(), number, description.z_dim, description.z_dist),
    image: null,
  };
}

function nameOf({ number, label }) {
  const kind = description.labels.length ? `, ${description.labels[label]}` : "";
  return `Patch ${number}${kind}`;
}

function seed() {
  return Number(element("seed").value);
}

function newSheet() {
  element("seed").value = Math.floor(Math.random() * LARGEST_SEED);
  return showSheet();
}

async function showSheet() {
  const mine = ++sheetView;
  const started = performance.now();
  const made = Array.from({ length: NUM_SHOWN }, (_, number) => patchOf(number));
  patches = made;
  tellCommand();
  const onImage = (number, image) => {
    made[number].image = image;
    const tile = element("tiles").children[number];
    draw(tile.firstChild, image);
    tile.setAttribute("aria-label", nameOf(made[number]));
  };
  say("Making patches …");
  try {
    await makeImages(made.map((patch) => patch.latent), made.map((patch) => patch.label), onImage, () => mine === sheetView);
  } catch (error) {
    say(`The network failed: ${error.message}`, true);
    return;
  }
  if (mine !== sheetView) return;
  const kind = element("label")?.value ? ` of ${description.labels[made[0].label]}` : "";
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  say(`${NUM_SHOWN} patches${kind}, seed ${seed()}, made in ${seconds} s.`);
}

function tellCommand() {
  const labelChoice = element("label")?.value ?? "";
  const label = labelChoice === "" ? "" : ` --label=${labelChoice}`;
  const command = `python main.py --mode=generate --run=${description.run} --seed=${seed()} --num_images=${count()}${label}`;
  // A line may end between two flags, not between the hyphens of one and its name.
  const words = command.split(" ").map((word) => {
    const whole = document.createElement("span");
    whole.className = "word";
    whole.textContent = word;
    return whole;
  });
  element("command").replaceChildren(...words.flatMap((word) => [word, " "]).slice(0, -1));
}

function count() {
  return Number(element("count").value);
}

function makeTiles() {
  const tiles = Array.from({ length: NUM_SHOWN }, (_, number) => {
    const tile = document.createElement("button");
    tile.type = "button";
    tile.tabIndex = number === 0 ? 0 : -1;
    const canvas = document.createElement("canvas");
    canvas.width = description.width;
    canvas.height = description.height;
    tile.append(canvas);
    tile.addEventListener("click", () => openPatch(number));
    tile.addEventListener("keydown", (event) => moveFocus(event, number));
    return tile;
  });
  element("tiles").replaceChildren(...tiles);
}

/** Moves the focus over the sheet by the arrow keys; Tab leaves the sheet. */
function moveFocus(event, number) {
  const columns = getComputedStyle(element("tiles")).gridTemplateColumns.split(" ").length;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
  const targets = { Home: 0, End: NUM_SHOWN - 1 };
  const target = targets[event.key] ?? number + (steps[event.key] ?? NaN);
  if (!(target >= 0 && target < NUM_SHOWN)) return;
  event.preventDefault();
  focusTile(target);
}

function focusTile(number) {
  const tiles = element("tiles").children;
  for (const [index, tile] of [...tiles].entries()) tile.tabIndex = index === number ? 0 : -1;
  tiles[number].focus();
}

function chooseSize() {
  const times = Number(document.querySelector("input[name=size]:checked").value);
  element("tiles").style.setProperty("--tile", `${times * description.width}px`);
  element("tiles").style.setProperty("--columns", NUM_COLUMNS);
}

// --- One patch

async function openPatch(number) {
  if (!patches[number].image) return;
  chosen = number;
  latent = patches[number].latent.slice();
  element("sheet").hidden = true;
  element("one").hidden = false;
  window.scrollTo(0, 0);
  element("one-title").textContent = nameOf(patches[number]);
  element("image").setAttribute("aria-label", nameOf(patches[number]));
  element("previous").disabled = number === 0;
  element("next").disabled = number === NUM_SHOWN - 1;
  element("image").style.setProperty("--width", `${description.width * Math.max(1, Math.floor(416 / description.width))}px`);
  showImage(patches[number].image);
  element("undo").disabled = true;
  setSliders();
  if (element("all").open) makeNumbers();
  drawStrips();
  element("one-title").focus({ preventScroll: true });
}

function closePatch() {
  element("one").hidden = true;
  element("sheet").hidden = false;
  focusTile(chosen);
}

function showImage(image) {
  shown = image;
  draw(element("image"), image);
}

const drawing = { isBusy: false, isAsked: false };

/** Draws the large patch for the latent as it is now. While the network is busy, only the newest request counts. */
async function changeTo(newLatent) {
  latent = newLatent;
  element("undo").disabled = false;
  drawing.isAsked = true;
  if (drawing.isBusy) return;
  drawing.isBusy = true;
  try {
    while (drawing.isAsked) {
      drawing.isAsked = false;
      const asked = latent;
      await makeImages([asked], [patches[chosen].label], (_, image) => showImage(image), () => !element("one").hidden && sameImageIsOpen(asked));
    }
  } finally {
    drawing.isBusy = false;
  }
  say("Changed.");
}

/** Returns whether the latent that was asked for is of the patch that is still open, or of its newest state. */
function sameImageIsOpen(asked) {
  return asked === latent || drawing.isAsked;
}

function makeDirections() {
  for (const [index, direction] of description.directions.entries()) {
    const row = document.createElement("div");
    row.className = "direction";
    const label = Object.assign(document.createElement("label"), { htmlFor: `direction-${index}`, textContent: direction.name });
    const slider = document.createElement("input");
    Object.assign(slider, { id: `direction-${index}`, type: "range", min: direction.low, max: direction.high, step: "any" });
    slider.addEventListener("input", () => {
      changeTo(movedTo(latent, direction, Number(slider.value), description.z_dist));
      setSliders(slider);
      drawStripsSoon();
    });
    const strip = document.createElement("div");
    strip.className = "strip";
    for (const place of STRIP_PLACES) strip.append(stripButton(direction, place));
    row.append(label, slider, strip);
    element("directions").append(row);
  }
}

function stripButton(direction, place) {
  const button = document.createElement("button");
  const words = ["far to the left", "to the left", "in the middle", "to the right", "far to the right"];
  Object.assign(button, { type: "button", tabIndex: -1 });
  button.setAttribute("aria-label", `${direction.name}: ${words[STRIP_PLACES.indexOf(place)]}`);
  const canvas = Object.assign(document.createElement("canvas"), { width: description.width, height: description.height });
  button.append(canvas);
  button.addEventListener("click", () => {
    changeTo(movedTo(latent, direction, placeOf(direction, place), description.z_dist));
    setSliders();
    drawStripsSoon();
  });
  return button;
}

function placeOf(direction, part) {
  return direction.low + part * (direction.high - direction.low);
}

/** Sets all sliders to where the latent is; `except` is the one that the reader holds. */
function setSliders(except = null) {
  for (const [index, direction] of description.directions.entries()) {
    const slider = element(`direction-${index}`);
    const place = coordinate(latent, direction);
    if (slider !== except) slider.value = place;
    const part = (place - direction.low) / (direction.high - direction.low);
    slider.setAttribute("aria-valuetext", `${Math.round(100 * Math.min(1, Math.max(0, part)))} %`);
  }
  for (const [index, slider] of [...document.querySelectorAll("#numbers input")].entries()) {
    if (slider !== except) slider.value = latent[index];
  }
}

let stripTimer = 0;
let stripView = 0;

function drawStripsSoon() {
  clearTimeout(stripTimer);
  stripView++;
  stripTimer = setTimeout(drawStrips, STRIP_PAUSE);
}

/** Draws for each direction what the patch would be at five places along it. */
async function drawStrips() {
  const mine = ++stripView;
  const isWanted = () => mine === stripView && !element("one").hidden;
  for (const [index, strip] of [...document.querySelectorAll(".strip")].entries()) {
    const direction = description.directions[index];
    const latents = STRIP_PLACES.map((part) => movedTo(latent, direction, placeOf(direction, part), description.z_dist));
    const labels = latents.map(() => patches[chosen].label);
    await makeImages(latents, labels, (number, image) => draw(strip.children[number].firstChild, image), isWanted);
    if (!isWanted()) return;
  }
}

/** Makes the sliders of the numbers of z. */
function makeNumbers() {
  const [min, max] = RANGES[description.z_dist];
  const rows = Array.from(latent, (value, index) => {
    const slider = Object.assign(document.createElement("input"), { type: "range", min, max, step: "any" });
    slider.value = value;
    slider.addEventListener("input", () => {
      const changed = latent.slice();
      changed[index] = Number(slider.value);
      changeTo(changed);
      setSliders(slider);
      drawStripsSoon();
    });
    const row = document.createElement("label");
    row.append(String(index), slider);
    return row;
  });
  element("numbers").replaceChildren(...rows);
}

// --- What the reader takes along

function saveSheet() {
  const canvas = sheetOf(patches.map((patch) => patch.image), NUM_COLUMNS);
  canvas.toBlob((blob) => save(blob, `${description.name}-seed-${seed()}.png`), "image/png");
}

async function saveImage() {
  const isChanged = !element("undo").disabled;
  const name = `${description.name}-seed-${seed()}-patch-${patches[chosen].number}${isChanged ? "-changed" : ""}.png`;
  save(await pngOf(shown), name);
}

/** Saves what --mode=generate would write to its folder, and patches.csv, which names the seed of each patch. */
async function saveZip() {
  const made = Array.from({ length: count() }, (_, number) => patchOf(number));
  const [madeBy, numDigits] = [seed(), Math.max(5, String(made.length - 1).length)];
  const zip = new Zip();
  const lines = ["file,seed,number,label"];
  const isLabelled = description.labels.length > 0 || description.only_label !== null;
  const onImage = async (number, image) => {
    const { label } = made[number];
    const file = `${isLabelled ? label : "images"}/${String(number).padStart(numDigits, "0")}.png`;
    await zip.add(file, await pngOf(image));
    lines.push(`${file},${madeBy},${number},${isLabelled ? label : ""}`);
    if (number % BATCH === 0) say(`Patch ${number + 1} of ${made.length} …`);
  };
  element("save-zip").disabled = true;
  try {
    await makeImages(made.map((patch) => patch.latent), made.map((patch) => patch.label), onImage);
    await zip.add("patches.csv", `${lines.join("\n")}\n`);
    if (isLabelled) await zip.add("classes.json", description.class_file);
    save(zip.blob(), `${description.name}-seed-${madeBy}.zip`);
    say(`In the zip archive: ${made.length} ${made.length === 1 ? "patch" : "patches"}.`);
  } catch (error) {
    say(`The zip archive was not made: ${error.message}`, true);
  } finally {
    element("save-zip").disabled = false;
  }
}

// --- Controls

function connect() {
  const onClick = (id, action) => element(id).addEventListener("click", action);
  onClick("new", newSheet);
  onClick("save-sheet", saveSheet);
  onClick("save-zip", saveZip);
  onClick("save-image", saveImage);
  onClick("back", closePatch);
  onClick("previous", () => openPatch(chosen - 1));
  onClick("next", () => openPatch(chosen + 1));
  onClick("undo", () => openPatch(chosen));
  element("label")?.addEventListener("change", showSheet);
  element("seed").addEventListener("change", () => correct("seed", showSheet));
  element("count").addEventListener("change", () => correct("count", tellCommand));
  element("smooth").addEventListener("change", () => document.body.classList.toggle("smooth", element("smooth").checked));
  element("sizes").addEventListener("change", chooseSize);
  element("all").addEventListener("toggle", () => element("all").open && makeNumbers());
  document.addEventListener("keydown", onKey);
  for (const control of document.querySelectorAll("#sheet [disabled]")) control.disabled = false;
}

/** Keeps a number in its range, then goes on. */
function correct(id, action) {
  const field = element(id);
  const value = Math.floor(Number(field.value)) || 0;
  field.value = Math.min(Number(field.max), Math.max(Number(field.min), value));
  action();
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.matches("input[type=number], select")) return;
  const isOne = !element("one").hidden;
  if (event.key.toLowerCase() === "n" && !isOne) newSheet();
  else if (event.key === "Escape" && isOne) closePatch();
  else if (event.key === "PageUp" && isOne && chosen > 0) openPatch(chosen - 1);
  else if (event.key === "PageDown" && isOne && chosen < NUM_SHOWN - 1) openPatch(chosen + 1);
  else return;
  event.preventDefault();
}
