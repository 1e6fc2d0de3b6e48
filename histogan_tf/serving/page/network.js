// The network in its worker: the page's own blocks of data hold all that it needs.

const element = (id) => document.getElementById(id);
const description = JSON.parse(element("description").textContent);

const network = { worker: null, waiting: new Map(), numAsked: 0 };

/** A reason why the page cannot do its work, as a sentence for the reader. */
class Refusal extends Error {}

/** Starts the network. Throws a Refusal if this browser cannot run it. */
async function startNetwork() {
  if (typeof WebAssembly !== "object" || typeof Worker !== "function" || typeof DecompressionStream !== "function") {
    const what = typeof WebAssembly !== "object" ? "WebAssembly, which the network needs, is missing or switched off" : "it is too old";
    throw new Refusal(`This browser cannot run the page: ${what}. Open the file in a current Chrome, Edge, Firefox or Safari.`);
  }
  try {
    const names = description.networks.map((_, number) => `model-${number}`);
    const [script, glue, wasm, ...models] = await Promise.all(["runtime", "glue", "wasm", ...names].map(unpacked));
    network.worker = new Worker(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
    network.worker.onmessage = ({ data }) => settle(data.id, data.error, data.result);
    network.worker.onerror = (event) => {
      for (const id of [...network.waiting.keys()]) settle(id, event.message || "its worker stopped");
    };
    await ask({ start: { models, wasm, glue } }, [...models, wasm]);
  } catch (error) {
    throw new Refusal(reasonOf(error));
  }
}

function reasonOf(error) {
  const message = String(error?.message ?? error);
  if (/memory|allocat/i.test(message)) {
    return `This device has too little free memory for the network (${message}). Close other tabs and programs, and open the page again.`;
  }
  return `The network cannot start in this browser (${message}). Open the file in a current Chrome, Edge, Firefox or Safari.`;
}

/** Takes one of the page's blocks of data, gzip in base 64, and forgets its text. Returns an ArrayBuffer. */
async function unpacked(id) {
  const block = element(id);
  const text = atob(block.textContent.trim());
  block.remove();
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index++) bytes[index] = text.charCodeAt(index);
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

function ask(request, transferred = []) {
  return new Promise((resolve, reject) => {
    const id = network.numAsked++;
    network.waiting.set(id, { resolve, reject });
    network.worker.postMessage({ id, ...request }, transferred);
  });
}

function settle(id, error, result) {
  const { resolve, reject } = network.waiting.get(id);
  network.waiting.delete(id);
  if (error) reject(new Error(error));
  else resolve(result);
}

/** Returns images as ImageData from a network's output: float (batch, height, width, 1 or 3) in [-1, 1]. */
function toImages({ data, dims: [batch, height, width, channels] }) {
  const numPixels = height * width;
  return Array.from({ length: batch }, (_, number) => {
    const pixels = new Uint8ClampedArray(4 * numPixels); // rounds to the nearest and clips
    const first = number * numPixels * channels;
    for (let pixel = 0; pixel < numPixels; pixel++) {
      for (let channel = 0; channel < 3; channel++) {
        const source = channels === 1 ? pixel : 3 * pixel + channel;
        pixels[4 * pixel + channel] = Math.fround(Math.fround(data[first + source] + 1) * 127.5);
      }
      pixels[4 * pixel + 3] = 255;
    }
    return new ImageData(pixels, width, height);
  });
}

function say(text, isError = false) {
  element("status").textContent = text;
  element("status").classList.toggle("error", isError);
}

/** Tells the reader of what nobody caught, such as a network that fails while a slider moves. */
addEventListener("unhandledrejection", ({ reason }) => say(`The page failed: ${reason?.message ?? reason}`, true));

/** Begins the page's work, and tells the reader if it fails. */
async function begin(work) {
  try {
    say("Starting the network …");
    await startNetwork();
    await work();
  } catch (error) {
    console.error(error);
    say(error instanceof Refusal ? error.message : `The page failed: ${error.message}`, true);
  }
}
