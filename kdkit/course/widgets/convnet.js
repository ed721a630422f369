// A network of kdkit.models (ConvNet) that answers in the browser. What it computes is what torch computes; tests hold
// its logits against torch's. ``layers`` and ``weights`` come from convnet.py.

// IEEE 754 half precision, which numbers in JavaScript do not know, as a number.
function fromHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, part = bits & 1023;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + part / 1024) : 2 ** -14 * (part / 1024));
}

// The layers with their weights read from ``view``, a DataView: half precision where ``half``, else single.
function readNetwork(layers, view, half) {
  let place = 0;
  const numbers = (count, short) => {
    const found = new Float32Array(count);
    for (let i = 0; i < count; i++, place += short ? 2 : 4) found[i] = short ? fromHalf(view.getUint16(place, true)) : view.getFloat32(place, true);
    return found;
  };
  return layers.map((layer) => ({
    ...layer,
    weights: numbers(layer.after * layer.before * layer.kernel ** 2, half),
    scale: numbers(layer.after, false),
    shift: numbers(layer.after, false),
  }));
}

// ``x`` with a border of zeros, and two numbers more, so that three at a time can be read to the very end.
function bordered(x, size, channels, padding) {
  const wide = size + 2 * padding, y = new Float32Array(channels * wide * wide + 2);
  for (let line = 0; line < channels * size; line++) {
    const channel = Math.floor(line / size), row = (line % size) + padding;
    y.set(x.subarray(line * size, (line + 1) * size), (channel * wide + row) * wide + padding);
  }
  return y;
}

// [before, size, size] to [after, size + 2 padding - kernel + 1, the same]. Kernels are at most 3 wide.
function convolved(x, size, { before, after, kernel, padding, weights }) {
  const given = size + 2 * padding, wide = given - kernel + 1;
  const from = bordered(x, size, before, padding), y = new Float32Array(after * wide * wide);
  for (let next = 0, to = 0; to < after; to++) {
    for (let channel = 0; channel < before; channel++) {
      for (let line = 0; line < kernel; line++, next += kernel) {
        const first = weights[next], second = kernel > 1 ? weights[next + 1] : 0, third = kernel > 2 ? weights[next + 2] : 0;
        for (let row = 0; row < wide; row++) {
          let at = (to * wide + row) * wide, read = (channel * given + row + line) * given;
          for (const end = at + wide; at < end; at++, read++) y[at] += first * from[read] + second * from[read + 1] + third * from[read + 2];
        }
      }
    }
  }
  return { x: y, size: wide };
}

// The largest of each 2x2 square; a last odd row and column are left out.
function pooled(x, size, channels) {
  const wide = size >> 1, y = new Float32Array(channels * wide * wide);
  for (let at = 0, channel = 0; channel < channels; channel++) {
    for (let row = 0; row < wide; row++) {
      for (let column = 0; column < wide; column++, at++) {
        const corner = (channel * size + 2 * row) * size + 2 * column;
        y[at] = Math.max(x[corner], x[corner + 1], x[corner + size], x[corner + size + 1]);
      }
    }
  }
  return { x: y, size: wide };
}

// A number for each channel times what is there, plus another: what is left of BatchNorm. Then ReLU.
function normalised(x, size, { after, scale, shift }) {
  for (let at = 0, channel = 0; channel < after; channel++) {
    for (const end = at + size * size; at < end; at++) x[at] = Math.max(0, scale[channel] * x[at] + shift[channel]);
  }
}

// Logits for one picture: ``pixels``, numbers from 0 to 255, all red ones first, then green, then blue.
function logitsOf(network, pixels) {
  let size = Math.sqrt(pixels.length / network[0].before), x = Float32Array.from(pixels, (value) => value / 255);
  for (const layer of network.slice(0, -1)) {
    const given = x;
    if (layer.kernel) ({ x, size } = convolved(x, size, layer));
    if (layer.pool) ({ x, size } = pooled(x, size, layer.kernel ? layer.after : layer.before));
    if (layer.kernel) normalised(x, size, layer);
    if (layer.added) for (let at = 0; at < x.length; at++) x[at] += given[at];
  }
  const { before, after, weights, shift } = network[network.length - 1];
  const largest = Array.from({ length: before }, (_, channel) => x.subarray(channel * size * size, (channel + 1) * size * size).reduce((a, b) => Math.max(a, b)));
  return Array.from({ length: after }, (_, k) => largest.reduce((sum, value, channel) => sum + value * weights[k * before + channel], shift[k]));
}
