// Latent vectors z: arrays of numbers, drawn from the distribution that the generator was trained with.

const STEP = 0.01; // step of the sliders; latents are rounded to it, because the sliders hold them

export const RANGES = {
  uniform_signed: [-1, 1],
  uniform_unsigned: [0, 1],
  normal01: [-3, 3],
};

/** Returns the slider value that is nearest to a number. */
export function onSlider(value, distribution) {
  const [lowest, highest] = RANGES[distribution];
  const clipped = Math.min(highest, Math.max(lowest, value));
  return Number((Math.round(clipped / STEP) * STEP).toFixed(2));
}

export function drawLatent(dimensions, distribution) {
  const [lowest, highest] = RANGES[distribution];
  const draw =
    distribution === "normal01" ? drawNormal : () => lowest + (highest - lowest) * Math.random();
  return Array.from({ length: dimensions }, () => onSlider(draw(), distribution));
}

export function middleLatent(dimensions, distribution) {
  const [lowest, highest] = RANGES[distribution];
  return Array(dimensions).fill((lowest + highest) / 2);
}

/** Returns a point between two latents: on an arc for a normal distribution (White 2016), else on a straight line. */
export function mixLatents(begin, end, fraction, distribution) {
  const [ofBegin, ofEnd] =
    distribution === "normal01" ? sphericalWeights(begin, end, fraction) : [1 - fraction, fraction];
  return begin.map((value, index) => onSlider(ofBegin * value + ofEnd * end[index], distribution));
}

function sphericalWeights(begin, end, fraction) {
  const cosine = dot(begin, end) / Math.sqrt(dot(begin, begin) * dot(end, end));
  const angle = Math.acos(Math.min(1, Math.max(-1, cosine)));
  if (!(Math.sin(angle) > 1e-6)) return [1 - fraction, fraction]; // one latent is 0, or both lie on one line
  return [Math.sin((1 - fraction) * angle), Math.sin(fraction * angle)].map((sine) => sine / Math.sin(angle));
}

function dot(a, b) {
  return a.reduce((sum, value, index) => sum + value * b[index], 0);
}

function drawNormal() {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}
