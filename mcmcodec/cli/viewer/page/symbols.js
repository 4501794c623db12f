"use strict";
// Symbols and the order of everything: sections 5.5 and 5.6.

mcm.part(function symbols(mcm) {
  const { clamp } = mcm;
  const INPUT = 16383;
  const KNOWN = 32767;
  const MASK_CONFIDENCE = 24;

  /** The frozen integers of a stream model; `config` has the card's sizes. */
  mcm.StreamModel = class StreamModel {
    constructor(tensors, config) {
      this.machine = new mcm.Machine();
      Object.assign(this, { tensors, config });
      const at = (name) => tensors[`entropy.${name}`].data;
      this.reach = at("tables.reach");
      let start = 0;
      this.tables = Array.from(this.reach, (t, i) => {
        if (i === 0) return null;
        start += 2 * t + 2;
        return mcm.tableOf(at("tables.frequencies").subarray(start - 2 * t - 2, start));
      });
      const net = (name) => new mcm.ContextNet(this.machine, tensors, name);
      this.hyper = new mcm.HyperDecoder(this.machine, tensors, config.coarse_slices.length > 0);
      this.coarseNets = config.coarse_slices.map((_, k) => net(`coarse_slices.${k}`));
      this.nets = config.slices.map((_, k) => net(`slices.${k}`));
      this.mask = net("mask");
      if (config.coarse_slices.length) this.predictor = new mcm.Predictor(this.machine, tensors);
    }
  };

  /** A group of symbols with their table indices. */
  function group(model, decoder, indices) {
    const found = new Int32Array(indices.length);
    const starts = new Uint32Array(65);
    for (const index of indices) starts[index + 1]++;
    for (let i = 0; i < 64; i++) starts[i + 1] += starts[i];
    const order = new Uint32Array(indices.length);
    const next = starts.slice();
    for (let i = 0; i < indices.length; i++) order[next[indices[i]]++] = i;
    for (let index = 1; index < 64; index++) {
      const t = model.reach[index];
      const here = order.subarray(starts[index], starts[index + 1]);
      for (const place of here) found[place] = decoder.symbol(model.tables[index]) - t;
      for (const place of here) {
        if (found[place] > t) found[place] = escape(decoder, t);
      }
    }
    return found;
  }

  function escape(decoder, t) {
    const negative = decoder.bits(1);
    let zeros = 0;
    while (!decoder.bits(1)) if (++zeros > 19) throw mcm.damaged(mcm.PAYLOAD);
    const magnitude = t + 2 ** zeros + decoder.bits(zeros);
    return negative ? -magnitude : magnitude;
  }

  const sum = (values) => values.reduce((a, b) => a + b, 0);

  /**
   * The symbols of a picture: psi and v_hat (rows, columns, channels), mask (rows, columns), and the bits of the parts of
   * the payload.
   */
  mcm.symbols = function symbols(model, decoder, head) {
    const { machine, config } = model;
    const { rows, cols, quality } = head;
    const mark = machine.top;
    const bits = {};
    let [part, began] = ["base", decoder.position()];
    const begin = (name) => {
      const now = decoder.position();
      bits[part] = now - began;
      [part, began] = [name, now];
    };

    // hyper-latent
    const features = config.features;
    const tensor = (name) => model.tensors[`entropy.${name}`];
    const loc = mcm.byQuality(tensor("hyper.loc"), quality).map((value) => Math.floor((value + 2048) / 4096));
    const scales = mcm.byQuality(tensor("hyper.index"), quality).map((value) => clamp(Math.floor((16 * value) / 2 ** 18), 0, 63));
    const cells = new mcm.Grid(machine, "f64", Math.ceil(rows / 4), Math.ceil(cols / 4), scales.length);
    const z = group(model, decoder, Uint8Array.from({ length: cells.rows * cells.cols * scales.length }, (_, i) => scales[i % scales.length]));
    const zHat = cells.view;
    for (let row = 0, i = 0; row < cells.rows; row++) {
      for (let col = 0; col < cells.cols; col++) {
        for (let c = 0; c < scales.length; c++) zHat[cells.index(row, col) + c] = clamp(64 * z[i++] + loc[c], -INPUT, INPUT);
      }
    }
    const expectedCount = sum(config.slices.slice(0, config.expected_slices));
    const latents = sum(config.slices);
    const coarse = sum(config.coarse_slices);
    const known = new mcm.Grid(machine, "f64", rows, cols, features + expectedCount + 1 + latents);
    const coarseKnown = coarse
      ? new mcm.Grid(machine, "f64", Math.ceil(rows / 2), Math.ceil(cols / 2), features + coarse) : null;
    const psi = new Int32Array(rows * cols * features);
    model.hyper.run(cells, quality, rows, cols,
      (row, col, f, value) => {
        psi[(row * cols + col) * features + f] = value;
        known.view[known.index(row, col) + f] = value;
      },
      (row, col, f, value) => (coarseKnown.view[coarseKnown.index(row, col) + f] = value),
    );

    /**
     * One slice of `channels`, whose first channel in `values` is `start`, into `known` from channel `at` on. `shown` says
     * whether a place is coded; `given` has expected values and offsets, if the slice has any.
     */
    function slice(net, grid, at, channels, values, depth, start, shown, given) {
      const inner = machine.top;
      const current = new mcm.Grid(machine, "f64", grid.rows, grid.cols, channels * (given ? 2 : 1));
      net.run(grid, current, quality, (positions, outputs, width) => {
        const count = positions.length;
        const visible = positions.map(([row, col]) => !shown || shown[row * grid.cols + col] === 1);
        const indices = new Uint8Array(visible.filter(Boolean).length * channels);
        for (let i = 0, n = 0; i < count; i++) {
          if (!visible[i]) continue;
          for (let c = 0; c < channels; c++) {
            indices[n++] = clamp(Math.floor((outputs[i * width + channels + c] + 384) / 16), 0, 63);
          }
        }
        const found = group(model, decoder, indices);
        const beside = current.view;
        for (let i = 0, n = 0; i < count; i++) {
          const [row, col] = positions[i];
          const place = row * grid.cols + col;
          const to = current.index(row, col);
          for (let c = 0; c < channels; c++) {
            const offset = given ? given.offset[place * given.depth + start + c] : 0;
            const mu = clamp(outputs[i * width + c] + offset, -INPUT, INPUT);
            const value = visible[i] ? 64 * found[n++] + mu : mu;
            values[place * depth + start + c] = value;
            beside[to + c] = clamp(value, -INPUT, INPUT);
            if (given) beside[to + channels + c] = given.expected[place * given.depth + start + c];
          }
        }
      });
      const all = grid.view;
      for (let row = 0; row < grid.rows; row++) {
        for (let col = 0; col < grid.cols; col++) {
          const from = (row * grid.cols + col) * depth + start;
          for (let c = 0; c < channels; c++) all[grid.index(row, col) + at + c] = clamp(values[from + c], -KNOWN, KNOWN);
        }
      }
      machine.release(inner);
    }

    // coarse latents
    let given = null;
    if (coarse) {
      const cHat = new Int32Array(coarseKnown.rows * coarseKnown.cols * coarse);
      let start = 0;
      config.coarse_slices.forEach((channels, k) => {
        slice(model.coarseNets[k], coarseKnown, features + start, channels, cHat, coarse, start, null, null);
        start += channels;
      });
      const weight = tensor("offset_weight").data;
      given = { depth: expectedCount, expected: new Int32Array(rows * cols * expectedCount), offset: new Int32Array(rows * cols * expectedCount) };
      model.predictor.run((y, x, c) => cHat[(y * coarseKnown.cols + x) * coarse + c], quality, rows, cols, (row, col, e, value) => {
        const i = (row * cols + col) * expectedCount + e;
        given.expected[i] = value;
        given.offset[i] = mcm.scaled(value, weight[e], 12);
        known.view[known.index(row, col) + features + e] = value;
      });
    }

    // fine latents, with the mask between base slices and the others
    const vHat = new Int32Array(rows * cols * latents);
    const mask = new Uint8Array(rows * cols).fill(head.noMask && head.keep === 0 ? 0 : 1);
    let [at, start] = [features + expectedCount, 0];
    config.slices.forEach((channels, k) => {
      if (k === config.base_slices) codeMask();
      const shown = k < config.base_slices ? null : mask;
      slice(model.nets[k], known, at, channels, vHat, latents, start, shown, k < config.expected_slices ? given : null);
      [at, start] = [at + channels, start + channels];
    });
    if (config.base_slices >= config.slices.length) codeMask();
    begin("tail");
    machine.release(mark);
    return { rows, cols, psi, vHat, mask, bits };

    function everywhere(number) {
      const all = known.view;
      for (let row = 0; row < rows; row++) for (let col = 0; col < cols; col++) all[known.index(row, col) + at] = number(row * cols + col);
    }

    function codeMask() {
      if (!head.noMask) {
        begin("mask");
        everywhere(() => head.keep);
        const states = Array.from(tensor("mask.p1").data, (p1) => new mcm.AdaptiveBit(p1, MASK_CONFIDENCE));
        const inner = machine.top;
        const signs = new mcm.Grid(machine, "f64", rows, cols, 1);
        model.mask.run(known, signs, quality, (positions, outputs, width) => {
          const beside = signs.view;
          positions.forEach(([row, col], i) => {
            const state = states[clamp(Math.floor(outputs[i * width] / 16) + 32, 0, 63)];
            const bit = state.decode(decoder);
            mask[row * cols + col] = bit;
            beside[signs.index(row, col)] = bit ? 64 : -64;
          });
        });
        machine.release(inner);
      }
      begin("latents");
      everywhere((place) => 64 * mask[place]);
      at += 1;
    }
  };
});
