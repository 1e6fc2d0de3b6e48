// Files that the reader takes along: pictures, and zip archives of them.

function draw(canvas, image) {
  if (canvas.width !== image.width) canvas.width = image.width;
  if (canvas.height !== image.height) canvas.height = image.height;
  canvas.getContext("2d").putImageData(image, 0, 0);
}

async function pngOf(image) {
  const canvas = document.createElement("canvas");
  draw(canvas, image);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

/** Puts images of one size on a white sheet, as reporting/pictures.py does. Returns a canvas. */
function sheetOf(images, numColumns) {
  const gap = 2; // pixels
  const { width, height } = images[0];
  const canvas = document.createElement("canvas");
  canvas.width = numColumns * (width + gap) - gap;
  canvas.height = Math.ceil(images.length / numColumns) * (height + gap) - gap;
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  images.forEach((image, number) => {
    context.putImageData(image, (number % numColumns) * (width + gap), Math.floor(number / numColumns) * (height + gap));
  });
  return canvas;
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, value) => {
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

function crc32(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = (value >>> 8) ^ CRC_TABLE[(value ^ byte) & 0xff];
  return (value ^ 0xffffffff) >>> 0;
}

/** Collects files into a zip archive without compression (PKWARE's APPNOTE, sections 4.3.7, 4.3.12 and 4.3.16). */
class Zip {
  #parts = [];
  #directory = [];
  #numBytes = 0;

  /** Adds a file; `content` is text or a Blob. */
  async add(name, content) {
    const bytes = new Uint8Array(await new Blob([content]).arrayBuffer());
    const encoded = new TextEncoder().encode(name);
    // Version 2.0, names in UTF-8, stored, the first day that a zip archive knows, checksum, sizes, length of the name.
    const facts = [20, 2, 0x0800, 2, 0, 2, 0, 2, 0x21, 2, crc32(bytes), 4, bytes.length, 4, bytes.length, 4];
    const header = [...facts, encoded.length, 2, 0, 2];
    const entry = [0x02014b50, 4, 20, 2, ...header, 0, 2, 0, 2, 0, 2, 0, 4, this.#numBytes, 4];
    this.#directory.push(numbers(entry), encoded);
    this.#put(numbers([0x04034b50, 4, ...header]), encoded, bytes);
  }

  blob() {
    const begin = this.#numBytes;
    const count = this.#directory.length / 2;
    this.#put(...this.#directory);
    const size = this.#numBytes - begin;
    this.#put(numbers([0x06054b50, 4, 0, 2, 0, 2, count, 2, count, 2, size, 4, begin, 4, 0, 2]));
    return new Blob(this.#parts, { type: "application/zip" });
  }

  #put(...parts) {
    for (const part of parts) this.#numBytes += part.length;
    this.#parts.push(...parts);
  }
}

/** Returns the bytes of numbers that are given as value, number of bytes, value, number of bytes, …, lowest byte first. */
function numbers(valuesAndSizes) {
  const bytes = [];
  for (let index = 0; index < valuesAndSizes.length; index += 2) {
    for (let byte = 0; byte < valuesAndSizes[index + 1]; byte++) {
      bytes.push(Math.floor(valuesAndSizes[index] / 256 ** byte) & 0xff);
    }
  }
  return Uint8Array.from(bytes);
}
