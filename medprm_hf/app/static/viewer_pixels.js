// Window and level on 8-bit pixels, without a page: pure functions on arrays.
//
// A window of width w around level l shows the values l − w/2 … l + w/2 from black to white, as on a reading
// station. Colour images get the same curve on each channel.
//
//     lookup({ width: 255, level: 127.5, invert: false })[200]      // 200

export const FULL = { width: 255, level: 127.5, invert: false };

/** Output value for each input value 0..255: [256]. */
export function lookup({ width, level, invert }) {
  const table = new Uint8ClampedArray(256);
  const low = level - width / 2;
  for (let value = 0; value < 256; value += 1) {
    const shown = ((value - low) / Math.max(width, 1)) * 255;
    table[value] = invert ? 255 - Math.min(255, Math.max(0, shown)) : shown;
  }
  return table;
}

/** Writes `source` (RGBA) through the table into `target` (RGBA); alpha is kept. */
export function apply(table, source, target) {
  for (let at = 0; at < source.length; at += 4) {
    target[at] = table[source[at]];
    target[at + 1] = table[source[at + 1]];
    target[at + 2] = table[source[at + 2]];
    target[at + 3] = source[at + 3];
  }
}

/** How many pixels have each brightness: [256]; a sample of at most about 250,000 pixels. */
export function histogram(source) {
  const counts = new Uint32Array(256);
  const stride = 4 * Math.max(1, Math.floor(source.length / 4 / 250000));
  for (let at = 0; at < source.length; at += stride) {
    counts[Math.round(0.299 * source[at] + 0.587 * source[at + 1] + 0.114 * source[at + 2])] += 1;
  }
  return counts;
}

/** The brightness below which a share (0..1) of the pixels lies. */
export function percentile(counts, share) {
  const wanted = counts.reduce((sum, count) => sum + count, 0) * share;
  let seen = 0;
  for (let value = 0; value < 256; value += 1) {
    seen += counts[value];
    if (seen >= wanted) return value;
  }
  return 255;
}

function between(low, high) {
  return { width: Math.max(high - low, 8), level: (low + high) / 2 };
}

/** Named windows for an image: [name, {width, level}]; no Hounsfield units are claimed, an image of 8 bits has none. */
export function presets(counts) {
  const at = (share) => percentile(counts, share);
  return [
    ["full", { width: FULL.width, level: FULL.level }],
    ["auto", between(at(0.01), at(0.99))],
    ["dark", between(at(0.01), Math.max(at(0.5), at(0.01) + 24))],
    ["bright", between(Math.min(at(0.5), at(0.99) - 24), at(0.99))],
    ["contrast", between(at(0.25), at(0.9))],
  ];
}
