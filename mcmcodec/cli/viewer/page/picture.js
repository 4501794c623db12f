"use strict";
// What happens to a decoded picture: it is scaled up (section 4.5), made grey, made transparent.

mcm.part(function picture(mcm) {
  /** 0.299 R + 0.587 G + 0.114 B, as Pillow rounds it. */
  mcm.luma = (red, green, blue) => (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16;

  const keys = (x) => (x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0);
  mcm.CUBIC = { reach: 2, weight: (distance) => keys(Math.abs(distance)) };

  /** For each of `size` places: the first sample that counts, and weights whose sum is 1. */
  function kernel({ reach, weight }, factor, size, samples) {
    return Array.from({ length: size }, (_, x) => {
      const centre = (x + 0.5) / factor - 0.5;
      const first = Math.max(0, Math.ceil(centre - reach));
      const last = Math.min(samples - 1, Math.floor(centre + reach));
      const weights = Array.from({ length: last - first + 1 }, (_, i) => weight(first + i - centre));
      const sum = weights.reduce((a, b) => a + b, 0);
      return { first, weights: weights.map((one) => one / sum) };
    });
  }

  /** Scale (rows, cols, depth) bytes up by a factor, and cut the result to (height, width, depth). */
  mcm.enlarge = function enlarge(small, cols, rows, depth, factor, width, height, shape) {
    const across = kernel(shape, factor, width, cols);
    const wide = new Float32Array(rows * width * depth);
    for (let row = 0; row < rows; row++) {
      across.forEach(({ first, weights }, x) => {
        for (let c = 0; c < depth; c++) {
          let sum = 0;
          for (let i = 0; i < weights.length; i++) sum += weights[i] * small[(row * cols + first + i) * depth + c];
          wide[(row * width + x) * depth + c] = sum;
        }
      });
    }
    const out = new Uint8ClampedArray(height * width * depth);
    kernel(shape, factor, height, rows).forEach(({ first, weights }, y) => {
      for (let x = 0; x < width * depth; x++) {
        let sum = 0;
        for (let i = 0; i < weights.length; i++) sum += weights[i] * wide[(first + i) * width * depth + x];
        out[y * width * depth + x] = sum;
      }
    });
    return out;
  };

  /** The pixels that are shown, (height, width, 4), of those that a decoder made. */
  mcm.restore = function restore(rgb, head, alpha) {
    const { width, height } = head;
    const whole = head.reduction === 1
      ? rgb : mcm.enlarge(rgb, head.codedWidth, head.codedHeight, 3, head.reduction, width, height, mcm.CUBIC);
    const out = new Uint8ClampedArray(width * height * 4).fill(255);
    for (let i = 0; i < width * height; i++) {
      const [red, green, blue] = [whole[3 * i], whole[3 * i + 1], whole[3 * i + 2]];
      if (head.grey) out.fill(mcm.luma(red, green, blue), 4 * i, 4 * i + 3);
      else [out[4 * i], out[4 * i + 1], out[4 * i + 2]] = [red, green, blue];
      if (alpha) out[4 * i + 3] = alpha[i];
    }
    return out;
  };
});
