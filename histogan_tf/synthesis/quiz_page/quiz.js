"use strict";
// The quiz: one patch after the other, then the result. Answers are kept on this device, so that a reader can go on
// after the page was closed.

const element = (id) => document.getElementById(id);
const { quiz, salt, questions } = JSON.parse(element("data").textContent);
const storageKey = `histogan-quiz-${quiz}`;
const Z = 1.959963984540054; // the 97.5th percentile of the normal distribution

let answers = []; // of each question up to the last one answered: { origin, sure, width, seconds }
let current = 0; // the number of the question that is shown, from 0
let chosen = null; // "real" or "synthetic", before the reader has said how sure
let shownSince = 0; // milliseconds

read();
connect();
showStart();

// --- One question after the other

function showStart() {
  show("start");
  const isBegun = answers.length > 0;
  element("begin").textContent = !isBegun
    ? "Start"
    : answers.length < questions.length
      ? `Go on with patch ${answers.length + 1} of ${questions.length}`
      : "Show the result";
  element("discard").hidden = !isBegun;
}

function show(name) {
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== name;
  window.scrollTo(0, 0);
}

function go(number) {
  current = number;
  if (current >= questions.length) {
    showResult();
    return;
  }
  const { image, size } = questions[current];
  show("question");
  element("count").textContent = `Patch ${current + 1} of ${questions.length}`;
  element("progress").value = current;
  element("back").disabled = current === 0;
  fit(element("patch"), image, size);
  const before = answers[current];
  choose(before ? before.origin : null);
  for (const step of steps()) step.setAttribute("aria-pressed", String(before?.sure === Number(step.value)));
  element("count").focus({ preventScroll: true });
  shownSince = performance.now();
}

/** Shows a patch so that its longer side has `size` CSS pixels, or as many as the page is wide. */
function fit(picture, image, size) {
  picture.src = `data:image/png;base64,${image}`;
  picture.decode().then(
    () => {
      const { naturalWidth: width, naturalHeight: height } = picture;
      picture.style.width = `${Math.round((size * width) / Math.max(width, height))}px`;
    },
    () => {}, // the next patch came before this one was decoded
  );
}

function choose(origin) {
  chosen = origin;
  for (const name of ["real", "synthetic"]) element(name).setAttribute("aria-pressed", String(name === origin));
  for (const step of steps()) step.disabled = origin === null;
}

function answer(sure) {
  const seconds = Math.round((performance.now() - shownSince) / 100) / 10;
  const width = Math.round(element("patch").getBoundingClientRect().width);
  answers[current] = { origin: chosen, sure, width, seconds };
  keep();
  go(current + 1);
}

function steps() {
  return [...document.querySelectorAll("#steps button")];
}

function connect() {
  const onClick = (id, action) => element(id).addEventListener("click", action);
  onClick("begin", () => go(answers.length));
  onClick("discard", startAnew);
  onClick("again", startAnew);
  onClick("back", () => go(current - 1));
  onClick("real", () => choose("real"));
  onClick("synthetic", () => choose("synthetic"));
  onClick("download", download);
  for (const step of steps()) step.addEventListener("click", () => answer(Number(step.value)));
  element("reader").addEventListener("input", keep);
  element("reader").addEventListener("keydown", (event) => {
    if (event.key === "Enter") element("begin").click();
  });
  document.addEventListener("keydown", onKey);
  const largest = Math.max(...questions.map((question) => question.size));
  element("stage").style.minHeight = `min(${largest}px, 100vw)`; // so that the buttons stay in one place
}

function onKey(event) {
  if (element("question").hidden || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const key = event.key.toLowerCase();
  if (key === "r" || key === "arrowleft") choose("real");
  else if (key === "s" || key === "arrowright") choose("synthetic");
  else if (/^[1-5]$/.test(key) && chosen) answer(Number(key));
  else if (key === "backspace" && current > 0) go(current - 1);
  else return;
  event.preventDefault();
}

function startAnew() {
  answers = [];
  keep();
  showStart();
}

function keep() {
  try {
    localStorage.setItem(storageKey, JSON.stringify({ reader: element("reader").value, answers }));
  } catch {
    // A browser that stores nothing loses the answers when the page is closed, and nothing else.
  }
}

function read() {
  try {
    const kept = JSON.parse(localStorage.getItem(storageKey));
    element("reader").value = kept?.reader ?? "";
    answers = Array.isArray(kept?.answers) ? kept.answers : [];
  } catch {
    answers = [];
  }
}

// --- The result

function showResult() {
  show("result");
  const isSynthetic = questions.map((_, number) => originOf(number) === "synthetic");
  const isRight = answers.map(({ origin }, number) => (origin === "synthetic") === isSynthetic[number]);
  const ratings = answers.map(({ origin, sure }) => (origin === "synthetic" ? sure : -sure));
  const among = (isCounted) => {
    const counted = isRight.filter((_, number) => isCounted(number));
    return proportion(counted.filter(Boolean).length, counted.length);
  };
  const accuracy = among(() => true);
  const auc = ratingAuc(isSynthetic, ratings);
  const rows = [
    ["Right answers", accuracy, percent, "\u00a0%"],
    ["AUC", auc, (value) => value.toFixed(2), ""],
    ["Among synthetic ones", among((number) => isSynthetic[number]), percent, "\u00a0%"],
    ["Among real ones", among((number) => !isSynthetic[number]), percent, "\u00a0%"],
  ];
  const sizes = [...new Set(questions.map((question) => question.size))].sort((first, second) => first - second);
  if (sizes.length > 1) {
    for (const size of sizes) {
      rows.push([`At ${size} pixels`, among((number) => questions[number].size === size), percent, "\u00a0%"]);
    }
  }
  element("measures").replaceChildren(...rows.map(measureRow));
  tellVerdict(isRight.filter(Boolean).length);
  for (const origin of ["real", "synthetic"]) showPatches(origin, isSynthetic, isRight);
  element("result-title").focus({ preventScroll: true });
}

function measureRow([name, { value, low, high }, format, unit]) {
  const row = document.createElement("tr");
  const heading = Object.assign(document.createElement("th"), { textContent: name, scope: "row" });
  const cells = Number.isNaN(value) ? ["–", "–"] : [format(value) + unit, `${format(low)} to ${format(high)}${unit}`];
  row.append(heading);
  for (const text of [...cells, format(0.5) + unit]) row.append(Object.assign(document.createElement("td"), { textContent: text }));
  return row;
}

function percent(share) {
  return String(Math.round(100 * share));
}

function tellVerdict(numRight) {
  const [low, high] = guessedRight(questions.length);
  const found =
    numRight > high
      ? "That is more than guessing gives: you can tell these patches apart."
      : numRight < low
        ? "That is fewer than guessing gives: you see a difference, and take it for the opposite."
        : "That is within what guessing gives.";
  element("verdict").textContent = `${numRight} of ${questions.length} right. ${found}`;
  element("guessing").textContent =
    `Of 100 people who toss a coin, 95 or more get ${low} to ${high} of ${questions.length} right. The AUC also counts ` +
    "how sure you were: it is 1 if you rated every synthetic patch above every real one.";
}

function showPatches(origin, isSynthetic, isRight) {
  const pictures = [];
  for (const [number, { image }] of questions.entries()) {
    if (isSynthetic[number] !== (origin === "synthetic")) continue;
    const picture = document.createElement("img");
    picture.src = `data:image/png;base64,${image}`;
    picture.alt = `Patch ${number + 1}, ${origin}, ${isRight[number] ? "right" : "wrong"}`;
    picture.title = picture.alt;
    picture.classList.toggle("wrong", !isRight[number]);
    pictures.push(picture);
  }
  element(`shown-${origin}`).replaceChildren(...pictures);
}

/** "real" or "synthetic": the one whose salted hash is the question's answer. */
function originOf(number) {
  return ["real", "synthetic"].find((origin) => sha256(`${salt}:${number}:${origin}`) === questions[number].answer);
}

/** The share of hits with Wilson's interval; estimates.py has the same. */
function proportion(numHits, numAll) {
  if (!numAll) return { value: NaN, low: NaN, high: NaN };
  const share = numHits / numAll;
  const scale = 1 + Z ** 2 / numAll;
  const centre = (share + Z ** 2 / (2 * numAll)) / scale;
  const half = (Z / scale) * Math.sqrt((share * (1 - share)) / numAll + Z ** 2 / (4 * numAll ** 2));
  return { value: share, low: Math.max(0, centre - half), high: Math.min(1, centre + half) };
}

/** The area under the ROC curve with Newcombe's interval, method 5; reading.py has the same and its sources. */
function ratingAuc(isSynthetic, ratings) {
  const synthetic = ratings.filter((_, number) => isSynthetic[number]);
  const real = ratings.filter((_, number) => !isSynthetic[number]);
  const numPairs = synthetic.length * real.length;
  if (!numPairs) return { value: NaN, low: NaN, high: NaN };
  let wins = 0;
  for (const one of synthetic) for (const other of real) wins += one > other ? 1 : one === other ? 0.5 : 0;
  const area = wins / numPairs;
  const meanOthers = (synthetic.length + real.length) / 2 - 1;
  const isTooFar = (supposed) => {
    const factor = 1 + meanOthers * ((1 - supposed) / (2 - supposed) + supposed / (1 + supposed));
    return Math.abs(area - supposed) > Z * Math.sqrt((supposed * (1 - supposed) * factor) / numPairs);
  };
  return { value: area, low: border(isTooFar, 0, area), high: border(isTooFar, 1, area) };
}

/** Where a condition that may hold at `outside` ceases to hold on the way to `inside`. */
function border(isTooFar, outside, inside) {
  if (outside === inside) return outside;
  for (let halving = 0; halving < 60; halving++) {
    const middle = (outside + inside) / 2;
    if (isTooFar(middle)) outside = middle;
    else inside = middle;
  }
  return outside;
}

/** The 2.5th and the 97.5th percentile of the number of heads in `numPatches` tosses of a coin. */
function guessedRight(numPatches) {
  let probability = 2 ** -numPatches;
  let sum = probability;
  let low = null;
  for (let heads = 0; ; heads++) {
    if (low === null && sum >= 0.025) low = heads;
    if (sum >= 0.975) return [low, heads];
    probability *= (numPatches - heads) / (heads + 1);
    sum += probability;
  }
}

// --- The file

function download() {
  // A name begins with a letter or digit and has no odd characters, so that no spreadsheet takes it for a formula.
  const reader = element("reader").value.replace(/^[^\p{L}\p{N}]+|[^\p{L}\p{N} ._-]/gu, "").trim();
  const rows = questions.map(({ size }, number) => {
    const { origin, sure, width, seconds } = answers[number];
    return [quiz, reader, number + 1, size, width, origin, sure, originOf(number), seconds].join(",");
  });
  const text = ["quiz,reader,question,size,width,answer,sure,truth,seconds", ...rows, ""].join("\n");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = `quiz-${quiz}-${reader.replace(/ /g, "_") || "reader"}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// --- SHA-256 (FIPS 180-4) of ASCII text: browsers offer theirs only on encrypted connections and not on every phone's
// local files

function sha256(text) {
  const [state, constants] = startOfSha256();
  const numBits = 8 * text.length;
  const bytes = [...text].map((character) => character.charCodeAt(0));
  bytes.push(0x80);
  while (bytes.length % 64 !== 56) bytes.push(0);
  bytes.push(0, 0, 0, 0); // the upper half of the 64-bit length
  bytes.push(numBits >>> 24, (numBits >>> 16) & 255, (numBits >>> 8) & 255, numBits & 255);
  for (let start = 0; start < bytes.length; start += 64) mixBlock(state, constants, bytes.slice(start, start + 64));
  return [...state].map((word) => word.toString(16).padStart(8, "0")).join("");
}

/** The first 32 bits of the fractional parts of square roots of 8 primes, and of cube roots of 64 primes. */
function startOfSha256() {
  const primes = [];
  for (let number = 2; primes.length < 64; number++) {
    if (primes.every((prime) => number % prime)) primes.push(number);
  }
  const fraction = (root) => Math.floor((root % 1) * 2 ** 32);
  return [Uint32Array.from(primes.slice(0, 8), (p) => fraction(Math.sqrt(p))), primes.map((p) => fraction(Math.cbrt(p)))];
}

function mixBlock(state, constants, block) {
  const rotate = (word, bits) => (word >>> bits) | (word << (32 - bits));
  const words = new Uint32Array(64);
  for (let index = 0; index < 64; index++) {
    if (index < 16) {
      words[index] = block.slice(4 * index, 4 * index + 4).reduce((word, byte) => (word << 8) | byte, 0);
      continue;
    }
    const [early, late] = [words[index - 15], words[index - 2]];
    const sigma0 = rotate(early, 7) ^ rotate(early, 18) ^ (early >>> 3);
    const sigma1 = rotate(late, 17) ^ rotate(late, 19) ^ (late >>> 10);
    words[index] = words[index - 16] + sigma0 + words[index - 7] + sigma1;
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let round = 0; round < 64; round++) {
    const sum1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    const first = (h + sum1 + ((e & f) ^ (~e & g)) + constants[round] + words[round]) | 0;
    const sum0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    const second = (sum0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + first) | 0, c, b, a, (first + second) | 0];
  }
  [a, b, c, d, e, f, g, h].forEach((word, index) => (state[index] += word));
}
