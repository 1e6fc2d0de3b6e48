// Runs in a worker behind onnxruntime-web's script, so that the page stays awake while the network computes.

let sessions = []; // the networks, once they are started

self.onmessage = async ({ data: { id, start, network, inputs } }) => {
  try {
    const result = start ? await startNetworks(start) : await compute(sessions[network], inputs);
    self.postMessage({ id, result }, result ? [result.data.buffer] : []);
  } catch (error) {
    self.postMessage({ id, error: String(error?.message ?? error) });
  }
};

async function startNetworks({ models, wasm, glue }) {
  ort.env.wasm.numThreads = 1; // more threads need headers that a file does not have
  ort.env.wasm.proxy = false;
  ort.env.wasm.wasmBinary = wasm;
  ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(new Blob([glue], { type: "text/javascript" })) };
  for (const model of models) {
    sessions.push(await ort.InferenceSession.create(new Uint8Array(model), { executionProviders: ["wasm"] }));
  }
}

/** Returns a network's first output for inputs that are given as { name: { type, data, dims } }. */
async function compute(session, inputs) {
  const feeds = {};
  for (const [name, { type, data, dims }] of Object.entries(inputs)) feeds[name] = new ort.Tensor(type, data, dims);
  const outputs = await session.run(feeds);
  const { data, dims } = outputs[session.outputNames[0]];
  return { data: data.slice(), dims };
}
