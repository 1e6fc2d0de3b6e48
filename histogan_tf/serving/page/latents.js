// Latent vectors z. A seed has an endless list of them, the one from which --mode=generate makes its images: TensorFlow
// draws the numbers by Philox (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011), and so does this.

const CHUNK_SIZE = 1024; // latents that TensorFlow draws at once; models/latents.py has the same
const GENERATED_LATENTS = 5; // machine/randomness.py has the same
const RANGES = { uniform_signed: [-1, 1], uniform_unsigned: [0, 1], normal01: [-3, 3] };

/** Returns latent number `number` of a seed, Float32Array(dimensions); numbers count from 0. */
function latentOf(seed, number, dimensions, distribution) {
  const { key, counter } = startOfChunk(seed, Math.floor(number / CHUNK_SIZE));
  const first = (number % CHUNK_SIZE) * dimensions;
  const latent = new Float32Array(dimensions);
  let group = -1;
  let values = [];
  for (let index = 0; index < dimensions; index++) {
    const position = first + index;
    if (position >>> 2 !== group) {
      group = position >>> 2;
      values = toNumbers(philox([group, 0, counter[2], counter[3]], key), distribution);
    }
    latent[index] = values[position & 3];
  }
  return latent;
}

/** TensorFlow scrambles the two 64-bit halves of its seed to a key and the upper half of the counter. */
function startOfChunk(seed, chunk) {
  const mixed = philox([GENERATED_LATENTS << 20, seed, chunk, 0], [0x3ec8f720, 0x02461e29]);
  return { key: mixed.slice(0, 2), counter: [0, 0, mixed[2], mixed[3]] };
}

/** Returns 4 random 32-bit numbers: Philox 4x32 with 10 rounds. */
function philox([a, b, c, d], [key0, key1]) {
  for (let round = 0; round < 10; round++) {
    const [high0, low0] = product(0xd2511f53, a);
    const [high1, low1] = product(0xcd9e8d57, c);
    [a, b, c, d] = [(high1 ^ b ^ key0) >>> 0, low1, (high0 ^ d ^ key1) >>> 0, low0];
    key0 = (key0 + 0x9e3779b9) >>> 0;
    key1 = (key1 + 0xbb67ae85) >>> 0;
  }
  return [a, b, c, d];
}

/** Returns the upper and the lower 32 bits of the product of two 32-bit numbers. */
function product(one, other) {
  const [oneHigh, oneLow, otherHigh, otherLow] = [one >>> 16, one & 0xffff, other >>> 16, other & 0xffff];
  const [lowest, cross, crossed] = [oneLow * otherLow, oneLow * otherHigh, oneHigh * otherLow];
  const carry = Math.floor(lowest / 65536) + (cross & 0xffff) + (crossed & 0xffff);
  const upper = oneHigh * otherHigh + Math.floor(cross / 65536) + Math.floor(crossed / 65536);
  return [(upper + Math.floor(carry / 65536)) >>> 0, Math.imul(one, other) >>> 0];
}

/**
 * Turns 4 random 32-bit numbers into 4 numbers of a distribution, pairs of normal ones by Box and Muller's way.
 *
 * Each step is rounded to 32 bits, as in TensorFlow: the first number of z may choose a pixel to begin at, and the last
 * bit decides.
 */
function toNumbers(bits, distribution) {
  const uniform = bits.map((number) => (number & 0x7fffff) / 2 ** 23);
  if (distribution === "uniform_unsigned") return uniform;
  if (distribution === "uniform_signed") return uniform.map((value) => 2 * value - 1);
  return [0, 2].flatMap((index) => {
    const { fround } = Math;
    const angle = fround(2 * Math.PI * uniform[index + 1]);
    const length = fround(Math.sqrt(-2 * fround(Math.log(Math.max(uniform[index], fround(1e-7))))));
    return [fround(Math.sin(angle)) * length, fround(Math.cos(angle)) * length];
  });
}

/** Returns where a latent stands along a direction, in the unit of z. */
function coordinate(latent, direction) {
  return direction.vector.reduce((sum, weight, index) => sum + weight * latent[index], 0);
}

/** Returns the latent moved along a direction to a given place; numbers of a uniform distribution stay in its range. */
function movedTo(latent, direction, place, distribution) {
  const distance = place - coordinate(latent, direction);
  const [lowest, highest] = distribution === "normal01" ? [-Infinity, Infinity] : RANGES[distribution];
  return latent.map((value, index) => {
    return Math.min(highest, Math.max(lowest, value + distance * direction.vector[index]));
  });
}
