// The page: the sliders hold the latent vector, and every change of them draws a new image.

import { RANGES, drawLatent, middleLatent, mixLatents } from "./latents.js";

const GRID_SIDE = 4;
const GRID_GAP = 2; // pixels
const WALK_FRAMES = 40;

const element = (id) => document.getElementById(id);
const canvas = element("image");
const context = canvas.getContext("2d");

let model; // model.json
let network; // (latent, label) => Promise of ImageData
let sliders = [];
let view = 0; // counts the views that were asked for: a drawing that is not of the newest one stops
let gridLatents = null; // latents of the tiles while the grid is shown, else null

start().catch((error) => {
  console.error(error);
  element("progress").hidden = true;
  say(`This does not work here: ${error.message}`, true);
});

async function start() {
  if (location.protocol === "file:") {
    throw new Error("browsers cannot load a network from a local file; run “python -m http.server” in this folder");
  }
  model = await (await get("model.json")).json();
  describe();
  makeSliders();
  const ort = await import("./onnxruntime-web/ort.wasm.min.mjs");
  ort.env.wasm.numThreads = 1; // more threads need headers that a plain file server does not send
  ort.env.wasm.proxy = true; // runs in a worker, so that the page does not freeze
  const bytes = await download("model.onnx", model.num_bytes);
  say("Starting the network …");
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
  network = async (latent, label) => {
    try {
      return await run(ort, session, latent, label);
    } catch (error) {
      say(`The network failed: ${error.message}`, true);
      throw error;
    }
  };
  element("progress").hidden = true;
  connect();
  setLatent(drawLatent(model.z_dim, model.z_dist));
  await showOne();
}

async function get(name) {
  const response = await fetch(name);
  if (!response.ok) throw new Error(`${name} is missing (${response.status})`);
  return response;
}

async function download(name, numBytes) {
  const bytes = new Uint8Array(numBytes);
  const reader = (await get(name)).body.getReader();
  const total = megabytes(numBytes);
  let numRead = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (numRead + value.length > numBytes) throw new Error(`${name} is longer than it should be`);
    bytes.set(value, numRead);
    numRead += value.length;
    element("progress").value = numRead / numBytes;
    say(`Loading the network: ${megabytes(numRead)} of ${total} MB`);
  }
  if (numRead !== numBytes) throw new Error(`${name} ended after ${numRead} of ${numBytes} bytes`);
  return bytes;
}

function megabytes(numBytes) {
  return (numBytes / 1e6).toFixed(1);
}

async function run(ort, session, latent, label) {
  const inputs = { z: new ort.Tensor("float32", Float32Array.from(latent), [1, model.z_dim]) };
  if (model.labels.length) inputs.label = new ort.Tensor("int32", Int32Array.of(label), [1]);
  const { images } = await session.run(inputs);
  const pixels = new Uint8ClampedArray(4 * model.height * model.width); // rounds to the nearest and clips
  for (let pixel = 0; pixel < model.height * model.width; pixel++) {
    for (let channel = 0; channel < 3; channel++) {
      const source = model.channels === 1 ? pixel : 3 * pixel + channel;
      pixels[4 * pixel + channel] = (images.data[source] + 1) * 127.5;
    }
    pixels[4 * pixel + 3] = 255;
  }
  return new ImageData(pixels, model.width, model.height);
}

function describe() {
  document.title = model.name;
  element("name").textContent = model.name;
  element("warning").textContent = model.warning;
  for (const [term, fact] of Object.entries(model.facts)) {
    for (const [tag, text] of [["dt", term], ["dd", fact]]) {
      const item = document.createElement(tag);
      item.textContent = text;
      element("facts").append(item);
    }
  }
  model.labels.forEach((name, number) => element("label").add(new Option(`${number}: ${name}`, number)));
  element("label-choice").hidden = !model.labels.length;
}

function makeSliders() {
  const [min, max] = RANGES[model.z_dist];
  sliders = Array.from({ length: model.z_dim }, (_, index) => {
    const slider = Object.assign(document.createElement("input"), { type: "range", min, max, step: 0.01, disabled: true });
    slider.value = (min + max) / 2;
    const label = document.createElement("label");
    label.append(String(index), slider);
    element("sliders").append(label);
    return slider;
  });
}

function connect() {
  const onClick = (id, action) => element(id).addEventListener("click", action);
  onClick("random", () => showLatent(drawLatent(model.z_dim, model.z_dist)));
  onClick("interpolate", toggleWalk);
  onClick("grid", showGrid);
  onClick("download", save);
  onClick("reset", () => showLatent(middleLatent(model.z_dim, model.z_dist)));
  element("label").addEventListener("change", () => (gridLatents ? showGrid(gridLatents) : showOne()));
  canvas.addEventListener("click", chooseTile);
  sliders.forEach((slider) => slider.addEventListener("input", showOne));
  document.querySelectorAll("button, input").forEach((control) => (control.disabled = false));
}

function latentOnSliders() {
  return sliders.map((slider) => Number(slider.value));
}

function setLatent(latent) {
  sliders.forEach((slider, index) => (slider.value = latent[index]));
}

function showLatent(latent) {
  setLatent(latent);
  return showOne();
}

/** Begins a new view and ends the one before. Returns a function that tells whether this view is still the newest. */
function beginView(shownLatents = null) {
  gridLatents = shownLatents;
  canvas.style.cursor = gridLatents ? "pointer" : "";
  element("interpolate").setAttribute("aria-pressed", "false");
  const mine = ++view;
  return () => mine === view;
}

const drawing = { isBusy: false, next: null };

/** Draws the image of the sliders' latent. While the network is busy, only the newest request is kept. */
async function showOne() {
  const isNewest = beginView();
  drawing.next = isNewest;
  if (drawing.isBusy) return;
  drawing.isBusy = true;
  try {
    while (drawing.next) {
      const isWanted = drawing.next;
      drawing.next = null;
      await drawOne(isWanted);
    }
  } finally {
    drawing.isBusy = false;
  }
}

async function drawOne(isWanted) {
  const started = performance.now();
  const image = await network(latentOnSliders(), Number(element("label").value));
  if (!isWanted()) return;
  canvas.width = model.width;
  canvas.height = model.height;
  context.putImageData(image, 0, 0);
  say(`${model.width} x ${model.height} pixels, made in ${Math.round(performance.now() - started)} ms`);
}

async function toggleWalk() {
  if (element("interpolate").getAttribute("aria-pressed") === "true") {
    beginView();
    return;
  }
  const isWanted = beginView();
  element("interpolate").setAttribute("aria-pressed", "true");
  while (isWanted()) {
    const begin = latentOnSliders();
    const end = drawLatent(model.z_dim, model.z_dist);
    for (let frame = 1; frame <= WALK_FRAMES && isWanted(); frame++) {
      setLatent(mixLatents(begin, end, frame / WALK_FRAMES, model.z_dist));
      await drawOne(isWanted);
      await new Promise(requestAnimationFrame);
    }
  }
}

async function showGrid(latents) {
  const numTiles = GRID_SIDE ** 2;
  const chosen = Array.isArray(latents)
    ? latents
    : Array.from({ length: numTiles }, () => drawLatent(model.z_dim, model.z_dist));
  const isWanted = beginView(chosen);
  const [tileWidth, tileHeight] = [model.width + GRID_GAP, model.height + GRID_GAP];
  canvas.width = GRID_SIDE * tileWidth - GRID_GAP;
  canvas.height = GRID_SIDE * tileHeight - GRID_GAP;
  const label = Number(element("label").value);
  for (const [number, latent] of chosen.entries()) {
    say(`Image ${number + 1} of ${numTiles} …`);
    const image = await network(latent, label);
    if (!isWanted()) return;
    context.putImageData(image, (number % GRID_SIDE) * tileWidth, Math.floor(number / GRID_SIDE) * tileHeight);
  }
  say("Choose one to see it alone");
}

function chooseTile(event) {
  if (!gridLatents) return;
  const column = Math.floor((GRID_SIDE * event.offsetX) / canvas.clientWidth);
  const row = Math.floor((GRID_SIDE * event.offsetY) / canvas.clientHeight);
  showLatent(gridLatents[Math.min(row, GRID_SIDE - 1) * GRID_SIDE + Math.min(column, GRID_SIDE - 1)]);
}

function save() {
  canvas.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${model.name}${gridLatents ? "-grid" : ""}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }, "image/png");
}

function say(text, isError = false) {
  element("status").textContent = text;
  element("status").classList.toggle("error", isError);
}
