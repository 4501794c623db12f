"use strict";
// The integer networks: section 5.4. Whole numbers in float64; the sums stay below 2^53, which the program that wrote the
// weights has proved.

mcm.part(function networks(mcm) {
  const clamp = (value, low, high) => (value < low ? low : value > high ? high : value);
  mcm.clamp = clamp;
  const INPUT = 16383;
  const OUTPUT = 32767;
  mcm.PASSES = [[0, 0], [1, 1], [0, 1], [1, 0]];

  /** Parameters by quality: a tensor of six rows to one row. */
  mcm.byQuality = function byQuality({ shape, data }, quality) {
    const n = shape[1];
    const [k, p] = [Math.floor(quality / 20), quality % 20];
    const next = Math.min(k + 1, 5);
    return Float64Array.from({ length: n }, (_, i) => Math.floor((data[k * n + i] * (20 - p) + data[next * n + i] * p) / 20));
  };

  /** The end of a layer, in place. */
  function shift(values, low) {
    for (let i = 0; i < values.length; i++) values[i] = clamp(Math.floor(values[i] / 4096), low, OUTPUT);
  }

  /** clamp((a * f) >> bits): the product may exceed 2^53, so f is taken apart. */
  mcm.scaled = function scaled(a, f, bits) {
    const unit = 2 ** bits;
    return clamp(a * Math.floor(f / unit) + Math.floor((a * (f % unit)) / unit), -INPUT, INPUT);
  };

  /** Numbers at the places of a grid with a border of one place around it, `depth` of them at each. */
  mcm.Grid = class Grid {
    constructor(machine, kind, rows, cols, depth) {
      Object.assign(this, { machine, kind, rows, cols, depth, pitch: cols + 2 });
      this.bytes = kind === "f64" ? 8 : 4;
      this.size = (rows + 2) * this.pitch * depth;
      this.at = machine.alloc(this.size * this.bytes);
    }

    get view() {
      return this.machine[this.kind](this.at, this.size);
    }

    /** Number in `view` of the first component at a place; -1 and `rows`, `cols` are the border. */
    index(row, col) {
      return ((row + 1) * this.pitch + col + 1) * this.depth;
    }

    /** The same in memory. */
    address(row, col) {
      return this.at + this.index(row, col) * this.bytes;
    }

    /** From one place to the last one, borders of the rows between them included, there are so many. */
    get span() {
      return this.rows * this.pitch - 2;
    }
  };

  /**
   * 3x3 convolution with weights [outputs][inputs][3][3] of the first `inputs` numbers of a grid: a layer for each tap, or
   * if these are all numbers of the grid, for each row of taps, whose inputs lie side by side.
   */
  mcm.Convolution = class Convolution {
    constructor(machine, kind, weight, { depth, offset = 0, bias = null }) {
      const [outputs, inputs] = weight.shape.slice(-4);
      const side = depth ?? inputs; // numbers of the grid at a place, which may have more than there are inputs
      const taps = depth ? 3 : 1;
      this.layers = [0, 1, 2].map((i) =>
        Array.from({ length: 3 / taps }, (_, j) => {
          const layer = new mcm.Layer(machine, kind, outputs, side * taps, i || j ? null : bias);
          for (let n = 0; n < taps; n++) {
            layer.fill(weight.data, (o) => offset + o * inputs * 9 + i * 3 + j + n, 9, n * side, inputs);
          }
          return layer;
        }),
      );
      this.width = this.layers[0][0].width;
    }

    setBias(values) {
      this.layers[0][0].setBias(values);
    }

    /** At `count` places, `step` places apart, the first of which is (row, col). */
    run(grid, row, col, count, step, to, toStride, { add = false, relu = false } = {}) {
      this.layers.forEach((layers, i) =>
        layers.forEach((layer, j) => {
          const last = i === 2 && j === layers.length - 1;
          const options = { add: add || i > 0 || j > 0, relu: relu && last };
          layer.run(count, grid.address(row + i - 1, col + j - 1), step * grid.depth, to, toStride, options);
        }),
      );
    }
  };

  function matrix(machine, { shape: [outputs, inputs], data }, bias = null) {
    return new mcm.Layer(machine, "f64", outputs, inputs, bias).fill(data, (o) => o * inputs, 1);
  }

  /** A context network: what is known of the neighbours of a place, to means and table indices of a slice. */
  mcm.ContextNet = class ContextNet {
    constructor(machine, tensors, name) {
      const at = (part) => tensors[`entropy.${name}.${part}`];
      Object.assign(this, { machine, bias1: at("bias1"), biasPass: at("bias_pass"), bias3: at("bias3") });
      this.hidden = at("bias2").shape[0];
      this.outputs = at("bias3").shape[1];
      this.context = new mcm.Convolution(machine, "f64", at("context"), {});
      const [passes, , current] = at("current").shape;
      const size = at("current").data.length / passes;
      this.current = [0, 1, 2].map(
        (n) => new mcm.Convolution(machine, "f64", at("current"), { depth: current, offset: n * size }),
      );
      this.layer2 = matrix(machine, at("weight2"), at("bias2").data);
      this.layer3 = matrix(machine, at("weight3"));
    }

    /**
     * Ask for every pass in turn: `answer(positions, outputs, width)` gets the positions (row, column) in raster order and
     * the network's outputs r, of `width` numbers at each, and sets `current` before the next pass.
     */
    run(known, current, quality, answer) {
      const { machine, hidden } = this;
      const mark = machine.top;
      const width = this.context.width;
      this.context.setBias(mcm.byQuality(this.bias1, quality));
      this.layer3.setBias(mcm.byQuality(this.bias3, quality));
      const u = machine.alloc(known.span * width * 8);
      this.context.run(known, 0, 0, known.span, 1, u, width);
      mcm.PASSES.forEach(([top, left], n) => {
        const positions = [];
        for (let row = top; row < known.rows; row += 2) for (let col = left; col < known.cols; col += 2) positions.push([row, col]);
        const count = positions.length;
        if (!count) return;
        const inner = machine.top;
        const place = (row, col) => (row * known.pitch + col) * width;
        if (n) {
          const across = Math.ceil((known.cols - left) / 2);
          for (let row = top; row < known.rows; row += 2) {
            this.current[n - 1].run(current, row, left, across, 2, u + place(row, left) * 8, 2 * width, { add: true });
          }
        }
        const h1 = machine.alloc(count * width * 8);
        const h2 = machine.alloc(count * this.layer2.width * 8);
        const out = machine.alloc(count * this.layer3.width * 8);
        const sums = machine.f64(u, known.span * width);
        const first = machine.f64(h1, count * width);
        const bias = this.biasPass.data.subarray(n * hidden, (n + 1) * hidden);
        positions.forEach(([row, col], i) => {
          const from = place(row, col);
          for (let c = 0; c < hidden; c++) {
            first[i * width + c] = clamp(Math.floor((sums[from + c] + bias[c]) / 4096), 0, OUTPUT);
          }
        });
        this.layer2.run(count, h1, width, h2, this.layer2.width);
        shift(machine.f64(h2, count * this.layer2.width), 0);
        this.layer3.run(count, h2, this.layer2.width, out, this.layer3.width);
        const outputs = machine.f64(out, count * this.layer3.width);
        shift(outputs, -OUTPUT);
        answer(positions, outputs, this.layer3.width);
        machine.release(inner);
      });
      machine.release(mark);
    }
  };

  /** Numbers of cells to those of the side x side places of each; what is outside is dropped. Calls put(row, col, n, value). */
  function unfold(values, width, cells, side, rows, cols, depth, put) {
    for (let row = 0; row < rows; row++) {
      for (let col = 0; col < cols; col++) {
        const cell = Math.floor(row / side) * cells.pitch + Math.floor(col / side);
        const from = cell * width + ((row % side) * side + (col % side)) * depth;
        for (let n = 0; n < depth; n++) put(row, col, n, values[from + n]);
      }
    }
  }

  /** The hyper-decoder: z_hat to psi and psi_coarse. */
  mcm.HyperDecoder = class HyperDecoder {
    constructor(machine, tensors, coarse) {
      const at = (part) => tensors[`entropy.hyper.${part}`];
      const [hidden, depth] = at("weight1").shape;
      Object.assign(this, { machine, hidden, depth, bias1: at("bias1") });
      this.layer1 = new mcm.Convolution(machine, "f64", at("weight1"), { depth });
      const output = (n) => matrix(machine, at(`weight${n}`), at(`bias${n}`).data);
      this.layers = [output(2), ...(coarse ? [output(3)] : [])];
      this.features = at("weight2").shape[0] / 16;
    }

    /** `cells` is a grid with z_hat, clamped; `put` and `putCoarse` get (row, column, number, value). */
    run(cells, quality, rows, cols, put, putCoarse) {
      const { machine } = this;
      const mark = machine.top;
      const width = this.layer1.width;
      this.layer1.setBias(mcm.byQuality(this.bias1, quality));
      const h = machine.alloc(cells.span * width * 8);
      this.layer1.run(cells, 0, 0, cells.span, 1, h, width);
      shift(machine.f64(h, cells.span * width), 0);
      const sizes = [[4, rows, cols, put], [2, Math.ceil(rows / 2), Math.ceil(cols / 2), putCoarse]];
      this.layers.forEach((layer, i) => {
        const out = machine.alloc(cells.span * layer.width * 8);
        layer.run(cells.span, h, width, out, layer.width);
        const values = machine.f64(out, cells.span * layer.width);
        shift(values, -OUTPUT);
        const [side, height, across, take] = sizes[i];
        unfold(values, layer.width, cells, side, height, across, this.features, take);
      });
      machine.release(mark);
    }
  };

  /** What the coarse latents say of the first fine latents. */
  mcm.Predictor = class Predictor {
    constructor(machine, tensors) {
      const at = (part) => tensors[`entropy.${part}`];
      const [outputs, depth] = at("expect_weight").shape;
      Object.assign(this, { machine, depth, expected: outputs / 4, from: at("expect_from").data, to: at("expect_to").data });
      this.layer = new mcm.Convolution(machine, "f64", at("expect_weight"), { depth, bias: at("expect_bias").data });
    }

    /** `cHat(row, col, channel)` of the coarse cells; `put` gets (row, column, channel, expected value) of patches. */
    run(cHat, quality, rows, cols, put) {
      const { machine, depth, expected } = this;
      const mark = machine.top;
      const cells = new mcm.Grid(machine, "f64", Math.ceil(rows / 2), Math.ceil(cols / 2), depth);
      const real = cells.view;
      for (let row = -1; row <= cells.rows; row++) {
        for (let col = -1; col <= cells.cols; col++) {
          const [y, x] = [clamp(row, 0, cells.rows - 1), clamp(col, 0, cells.cols - 1)];
          for (let c = 0; c < depth; c++) {
            real[cells.index(row, col) + c] = mcm.scaled(cHat(y, x, c), this.from[quality * depth + c], 16);
          }
        }
      }
      const width = this.layer.width;
      const out = machine.alloc(cells.span * width * 8);
      this.layer.run(cells, 0, 0, cells.span, 1, out, width);
      const values = machine.f64(out, cells.span * width);
      shift(values, -OUTPUT);
      unfold(values, width, cells, 2, rows, cols, expected, (row, col, e, value) =>
        put(row, col, e, mcm.scaled(value, this.to[quality * expected + e], 16)),
      );
      machine.release(mark);
    }
  };
});
