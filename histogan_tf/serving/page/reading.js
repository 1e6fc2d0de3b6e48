// The reader's own image files: decoded, and prepared as the run prepared its training images.

const MOST_BYTES = 100e6;
const MOST_PIXELS = 16e6; // a canvas takes 4 bytes for each
const IMAGE_SUFFIX = /\.(bmp|jfif|jif|jpe|jpeg|jpg|png|tif|tiff|webp)$/i;

/** Reads and prepares an image file: ImageData of the network's size. Throws a Refusal that says why it cannot be used. */
async function readImage(file) {
  if (file.size > MOST_BYTES) throw new Refusal(`it has more than ${MOST_BYTES / 1e6} MB`);
  checkContent(new Uint8Array(await file.arrayBuffer()));
  const image = prepared(await decoded(file));
  const { width, height, channels } = description;
  if (image.width !== width || image.height !== height) {
    throw new Refusal(`it has ${image.width} × ${image.height} pixels, and the network takes ${width} × ${height}: cut or resize it to that, at the same magnification`);
  }
  if (channels === 1 && !isGrey(image.data)) throw new Refusal("it is in colour, and the network takes grey images");
  return image;
}

/** Refuses what is no whole, still image: browsers show the first part of a damaged file without a word. */
function checkContent(bytes) {
  const text = (from, to) => String.fromCharCode(...bytes.subarray(from, to));
  if (text(0, 8) === "\x89PNG\r\n\x1a\n") checkPng(bytes);
  else if (bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff) {
    if (!hasEndOfJpeg(bytes)) throw new Refusal("it is truncated: its end is missing");
  } else if (text(0, 4) === "RIFF" && text(8, 12) === "WEBP") {
    if (text(12, 16) === "VP8X" && bytes[20] & 2) throw new Refusal("it is animated");
    if (bytes.length < 8 + new DataView(bytes.buffer).getUint32(4, true)) throw new Refusal("it is truncated: its end is missing");
  } else if (text(0, 4) === "II*\0" || text(0, 4) === "MM\0*") throw new Refusal("browsers cannot read TIFF: save it as PNG");
  else if (text(0, 2) !== "BM") throw new Refusal("it is not a PNG, JPEG, WebP or BMP image");
}

function checkPng(bytes) {
  const view = new DataView(bytes.buffer);
  for (let position = 8; ; ) {
    const end = position + 12 + (position + 8 <= bytes.length ? view.getUint32(position) : Infinity);
    if (end > bytes.length) throw new Refusal("it is truncated: its end is missing");
    const kind = String.fromCharCode(...bytes.subarray(position + 4, position + 8));
    if (kind === "acTL") throw new Refusal("it is animated");
    if (crc32(bytes.subarray(position + 4, end - 4)) !== view.getUint32(end - 4)) {
      throw new Refusal(`it is damaged: its chunk ${kind} has another checksum than it records`);
    }
    if (kind === "IEND") return;
    position = end;
  }
}

function hasEndOfJpeg(bytes) {
  for (let index = bytes.length - 2; index > 2; index--) if (bytes[index] === 0xff && bytes[index + 1] === 0xd9) return true;
  return false;
}

/** Returns the pixels of a file, turned upright by its EXIF orientation; transparent ones are white. */
async function decoded(file) {
  const address = URL.createObjectURL(file);
  const picture = new Image();
  try {
    await new Promise((resolve, reject) => Object.assign(picture, { onload: resolve, onerror: reject, src: address }));
  } catch {
    throw new Refusal("it is damaged");
  } finally {
    URL.revokeObjectURL(address);
  }
  const { naturalWidth: width, naturalHeight: height } = picture; // known before the pixels are decoded
  if (width * height > MOST_PIXELS) throw new Refusal(`its ${width} × ${height} pixels are more than ${MOST_PIXELS / 1e6} million`);
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
  } catch {
    throw new Refusal("it is damaged");
  }
  const canvas = Object.assign(document.createElement("canvas"), { width: bitmap.width, height: bitmap.height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

/** Pads, crops and resizes an image as the run did. */
function prepared(image) {
  const { pad, crop, size } = description.preparation;
  if (pad) image = paddedTo(image, pad);
  if (crop) image = cropped(image, ...crop);
  return size ? resized(image, ...size) : image;
}

/** Reflects an image at the right and at the bottom, to a square of `side` pixels. */
function paddedTo(image, side) {
  if (image.width > side || image.height > side) {
    throw new Refusal(`its ${image.width} × ${image.height} pixels are more than those of a patch, ${side} × ${side}`);
  }
  const place = (index, length) => {
    const last = length - 1;
    const folded = index % Math.max(2 * last, 1);
    return folded <= last ? folded : 2 * last - folded;
  };
  return newImage(side, side, (row, column) => 4 * (place(row, image.height) * image.width + place(column, image.width)), image.data);
}

function cropped(image, height, width) {
  if (image.width < width || image.height < height) {
    throw new Refusal(`its ${image.width} × ${image.height} pixels are too few for a crop of ${width} × ${height}`);
  }
  const [top, left] = [roundHalfToEven((image.height - height) / 2), roundHalfToEven((image.width - width) / 2)];
  return newImage(width, height, (row, column) => 4 * ((row + top) * image.width + column + left), image.data);
}

function roundHalfToEven(value) {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 ? floor + 1 : floor;
}

/** Returns an image whose pixel at (row, column) is the one that begins at sourceOf(row, column) in `data`. */
function newImage(width, height, sourceOf, data) {
  const image = new ImageData(width, height);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const source = sourceOf(row, column);
      image.data.set(data.subarray(source, source + 4), 4 * (row * width + column));
    }
  }
  return image;
}

/** Resizes an image bilinearly, antialiased where it shrinks: Pillow's method, to the last bit. */
function resized(image, height, width) {
  if (image.width === width && image.height === height) return image;
  let { data } = image;
  if (image.width !== width) data = resampled(data, image.height, image.width, width, 4 * image.width, 4, 4 * width);
  if (image.height !== height) data = resampled(data, width, image.height, height, 4, 4 * width, 4);
  return new ImageData(data, width, height);
}

/**
 * Resizes lines of pixels from `length` to `newLength`. A line begins every `lineStep` bytes (every `newLineStep` in the
 * result), and its pixels follow every `step` bytes.
 */
function resampled(data, numLines, length, newLength, lineStep, step, newLineStep) {
  const PRECISION = 22; // bits behind the point, as in Pillow
  const result = new Uint8ClampedArray(numLines * newLength * 4);
  const scale = length / newLength;
  const support = Math.max(scale, 1);
  for (let target = 0; target < newLength; target++) {
    const centre = (target + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(length, Math.trunc(centre + support + 0.5));
    const weights = Array.from({ length: last - first }, (_, index) => {
      return Math.max(0, 1 - Math.abs((index + first - centre + 0.5) / support));
    });
    const sum = weights.reduce((total, weight) => total + weight, 0);
    const whole = weights.map((weight) => Math.trunc((weight / sum) * 2 ** PRECISION + 0.5));
    for (let line = 0; line < numLines; line++) {
      for (let channel = 0; channel < 4; channel++) {
        let total = 2 ** (PRECISION - 1);
        whole.forEach((weight, index) => (total += weight * data[line * lineStep + (first + index) * step + channel]));
        result[line * newLineStep + target * step + channel] = total >> PRECISION;
      }
    }
  }
  return result;
}

function isGrey(pixels) {
  for (let index = 0; index < pixels.length; index += 4) {
    if (pixels[index] !== pixels[index + 1] || pixels[index] !== pixels[index + 2]) return false;
  }
  return true;
}

/** Returns the levels of an image without its opacity, one or three for each pixel. */
function levelsOf(image) {
  const { channels } = description;
  const levels = new Uint8Array(image.width * image.height * channels);
  for (let pixel = 0; pixel < image.width * image.height; pixel++) {
    for (let channel = 0; channel < channels; channel++) levels[pixel * channels + channel] = image.data[4 * pixel + channel];
  }
  return levels;
}
