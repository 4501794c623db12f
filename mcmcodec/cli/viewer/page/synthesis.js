"use strict";
// Latents to pixels: section 5.7, in float32.

mcm.part(function synthesis(mcm) {
  const INTERIOR = 96; // side in patches of a tile's own part, as in the codec: memory stays bounded
  const HALO = 16;
  const BAND = 32; // rows of patches whose pixels are made at once; a patch on either side is enough for the three 3x3
  const ROWS = 2048; // blocks of 4x4 pixels that the renderer does at once
  const NOISE = 32;

  /** By quality: the interpolation of six rows of `depth` numbers. */
  function byQuality({ shape, data }, quality) {
    const depth = shape[1];
    const [k, p] = [Math.floor(quality / 20), (quality % 20) / 20];
    const next = Math.min(k + 1, 5);
    return Float32Array.from({ length: depth }, (_, i) => data[k * depth + i] * (1 - p) + data[next * depth + i] * p);
  }

  /** Where the blocks of a plan stand in a longer one that has them in the same order; null if it lacks some. */
  function places(old, longer) {
    let at = 0;
    const found = [...old].map((letter) => (at = longer.indexOf(letter, at) + 1) - 1);
    return found.includes(-1) ? null : found;
  }

  /** Whether others lie between two decoders: they are of one shape, but for what the second one has in addition. */
  mcm.blends = function blends(first, last) {
    const grown = { ...first, plan: last.plan };
    for (const name of ["noise_channels", "renderer"]) grown[name] ||= last[name];
    return places(first.plan, last.plan) !== null && Object.keys(last).every((name) => `${grown[name]}` === `${last[name]}`);
  };

  /**
   * The weights on the line between two decoders. What the first one lacks it gets from the second, but without effect:
   * with zeros at the ends of blocks and renderer, and in layers for the inputs that it does not have.
   */
  mcm.blend = function blend(first, last, share, plan, longer) {
    const blocks = places(plan, longer);
    const moved = (name) => name.replace(/^blocks\.(\d+)/, (_, number) => `blocks.${blocks[number]}`);
    const mine = Object.fromEntries(Object.entries(first).map(([name, tensor]) => [moved(name), tensor]));
    const ends = (name) => /^(blocks|renderer)\b.*\.(out|down|expand)\.(weight|bias)$/.test(name);
    const inputs = ({ shape }) => shape.slice(1).reduce((a, b) => a * b, 1);
    const mixed = (name, { shape, data }) => {
      const out = new Float32Array(data.length);
      const far = !mine[name] && !ends(name) ? 1 : share;
      for (let i = 0; i < out.length; i++) out[i] = data[i] * far;
      if (mine[name]) {
        const [long, short] = [inputs({ shape }), inputs(mine[name])];
        for (let row = 0; row < shape[0]; row++) {
          for (let i = 0; i < short; i++) out[row * long + i] += mine[name].data[row * short + i] * (1 - share);
        }
      }
      return { shape, data: out };
    };
    return Object.fromEntries(Object.entries(last).map(([name, tensor]) => [name, mixed(name, tensor)]));
  };

  /** A decoder: its weights, its sizes, and of the stream model `log_gain`. */
  mcm.Decoder = class Decoder {
    constructor(tensors, config, logGain) {
      this.machine = new mcm.Machine();
      Object.assign(this, { tensors, config, logGain });
      this.enter = this.linear("enter");
      this.blocks = [...config.plan].map((letter, i) => mcm.block(this, letter, `blocks.${i}`));
      this.norm = new mcm.Norm(this, "norm");
      [this.direct, this.out, this.side] = ["linear", "out", "side"].map((name) => this.linear(name));
      this.inputs = 48 + config.head_features + config.noise_channels;
      this.depth = mcm.padded(this.inputs, "f32"); // of the numbers at a block of 4x4 pixels
      this.head1 = this.convolution("head1", this.depth);
      this.head2 = this.convolution("head2", this.head1.width);
      this.head3 = this.convolution("head3", this.head2.width);
      if (config.renderer) {
        this.code = this.linear("code");
        const parts = ["enter", "modulate", "up", "down", "out"];
        this.renderer = Object.fromEntries(parts.map((name) => [name, this.linear(`renderer.${name}`)]));
      }
    }

    data(name) {
      if (!this.tensors[name]) throw new mcm.Refused("model", `the decoder's weights have no ${name}`, "update mcmcodec");
      return this.tensors[name].data;
    }

    linear(name) {
      const weight = this.data(`${name}.weight`);
      const [outputs, inputs] = this.tensors[`${name}.weight`].shape;
      const layer = new mcm.Layer(this.machine, "f32", outputs, inputs, this.data(`${name}.bias`));
      return layer.fill(weight, (o) => o * inputs, 1);
    }

    /** A 3x3 convolution of grids with `depth` numbers at a place. */
    convolution(name, depth) {
      this.data(`${name}.weight`);
      const bias = this.data(`${name}.bias`);
      return new mcm.Convolution(this.machine, "f32", this.tensors[`${name}.weight`], { depth, bias });
    }

    /**
     * Pixels of a picture, (height, width, 3) bytes. `symbols` is what mcm.symbols gives; `progress` is told the share that
     * is done.
     */
    paint(symbols, quality, height, width, progress = () => {}) {
      const out = new Uint8ClampedArray(height * width * 3);
      const spans = (length) => {
        const step = length <= INTERIOR + 2 * HALO ? length : INTERIOR;
        return Array.from({ length: Math.ceil(length / step) }, (_, i) => [i * step, Math.min(length, (i + 1) * step)]);
      };
      const tiles = spans(symbols.rows).flatMap(([top, bottom]) => spans(symbols.cols).map(([left, right]) => ({ top, bottom, left, right })));
      tiles.forEach((tile, i) => {
        this._tile(symbols, quality, tile, out, height, width, (share) => progress((i + share) / tiles.length));
      });
      return out;
    }

    _tile(symbols, quality, tile, out, height, width, progress) {
      const { machine, config } = this;
      const mark = machine.top;
      const [top, left] = [Math.max(0, tile.top - HALO), Math.max(0, tile.left - HALO)];
      const rows = Math.min(symbols.rows, tile.bottom + HALO) - top;
      const cols = Math.min(symbols.cols, tile.right + HALO) - left;
      const depth = config.width;
      const count = rows * cols;
      const latents = this.logGain.shape[1];
      const { features } = config;

      const yHat = machine.alloc(count * latents * 4);
      const read = machine.alloc(count * (latents + features) * 4);
      const t = machine.alloc(count * this.enter.width * 4);
      const gain = byQuality(this.logGain, quality).map(Math.exp);
      const scale = this.data("scale");
      const [y, x] = [machine.f32(yHat, count * latents), machine.f32(read, count * (latents + features))];
      for (let i = 0; i < count; i++) {
        const place = (top + Math.floor(i / cols)) * symbols.cols + left + (i % cols);
        for (let c = 0; c < latents; c++) {
          y[i * latents + c] = symbols.vHat[place * latents + c] / (64 * gain[c]);
          x[i * (latents + features) + c] = y[i * latents + c] * scale[c];
        }
        for (let f = 0; f < features; f++) x[i * (latents + features) + latents + f] = symbols.psi[place * features + f] / 64;
      }
      this.enter.run(count, read, latents + features, t, depth);
      const tokens = machine.f32(t, count * depth);
      const [offset, hidden] = [byQuality(this.tensors.quality, quality), this.data("mask_token")];
      for (let i = 0; i < count; i++) {
        const shown = symbols.mask[(top + Math.floor(i / cols)) * symbols.cols + left + (i % cols)];
        for (let c = 0; c < depth; c++) tokens[i * depth + c] += offset[c] + (shown ? 0 : hidden[c]);
      }
      this.blocks.forEach((block, i) => {
        const inner = machine.top;
        block.run(machine, t, rows, cols, depth);
        machine.release(inner);
        progress((0.75 * (i + 1)) / this.blocks.length);
      });
      this.norm.run(count, t, t);
      for (let row = tile.top - top; row < tile.bottom - top; row += BAND) {
        const end = Math.min(row + BAND, tile.bottom - top);
        const pixels = this._band(yHat, t, Math.max(0, row - 1), Math.min(rows, end + 1), cols);
        this._place(pixels, row, end, { top, left, from: Math.max(0, row - 1), own: tile }, cols, out, height, width);
        machine.release(pixels.mark);
        progress(0.75 + (0.25 * (end - tile.top + top)) / (tile.bottom - tile.top));
      }
      machine.release(mark);
    }

    /** The picture of some rows of patches: a grid of blocks with 48 numbers, its border included. */
    _band(yHat, t, from, to, cols) {
      const { machine, config } = this;
      const mark = machine.top;
      const count = (to - from) * cols;
      const depth = config.width;
      const features = config.head_features;
      const at = { rows: 4 * (to - from), cols: 4 * cols };

      const picture = machine.alloc(count * this.direct.width * 4);
      const tokens = t + from * cols * depth * 4;
      this.direct.run(count, yHat + from * cols * this.direct.depth * 4, this.direct.depth, picture, this.direct.width);
      this.out.run(count, tokens, depth, picture, this.direct.width, { add: true });
      const side = machine.alloc(count * this.side.width * 4);
      this.side.run(count, tokens, depth, side, this.side.width);
      const u = new mcm.Grid(machine, "f32", at.rows, at.cols, this.depth);
      // 48 numbers at every block of the grid, and between the ends of its rows: as the convolutions write them
      const painted = { at: machine.alloc(u.span * 48 * 4), pitch: u.pitch, mark };
      const { view } = u;
      const sum = machine.f32(painted.at, u.span * 48);
      const toBlocks = (values, width, size, put) => {
        for (let i = 0; i < count; i++) {
          const [row, col] = [4 * Math.floor(i / cols), 4 * (i % cols)];
          for (let b = 0; b < 16; b++) put(row + (b >> 2), col + (b & 3), values, i * width + b * size);
        }
      };
      toBlocks(machine.f32(picture, count * this.direct.width), this.direct.width, 48, (row, col, values, start) => {
        const part = values.subarray(start, start + 48);
        view.set(part, u.index(row, col));
        sum.set(part, (row * u.pitch + col) * 48);
      });
      toBlocks(machine.f32(side, count * this.side.width), this.side.width, features, (row, col, values, start) => {
        view.set(values.subarray(start, start + features), u.index(row, col) + 48);
      });
      if (config.noise_channels) this._noise(u, 4 * from);

      const layers = [this.head1, this.head2];
      let grid = u;
      for (const layer of layers) {
        const next = new mcm.Grid(machine, "f32", at.rows, at.cols, layer.width);
        layer.run(grid, 0, 0, grid.span, 1, next.address(0, 0), next.depth, { relu: true });
        const values = next.view; // what was written between the ends of the rows is border
        for (let row = 0; row < at.rows; row++) {
          for (const col of [-1, at.cols]) values.fill(0, next.index(row, col), next.index(row, col) + next.depth);
        }
        grid = next;
      }
      this.head3.run(grid, 0, 0, grid.span, 1, painted.at, 48, { add: true });
      if (config.renderer) this._render(u, tokens, count, cols, toBlocks, painted);
      return painted;
    }

    /** Channels of frozen noise, repeated from the upper left corner on. */
    _noise(u, top) {
      const { noise_channels: channels, head_features: features } = this.config;
      const [noise, view] = [this.data("noise"), u.view];
      for (let row = 0; row < u.rows; row++) {
        for (let col = 0; col < u.cols; col++) {
          const from = ((top + row) % NOISE) * NOISE + (col % NOISE);
          const to = u.index(row, col) + 48 + features;
          for (let c = 0; c < channels; c++) view[to + c] = noise[c * NOISE * NOISE + from];
        }
      }
    }

    /** `detail`, added to the picture. */
    _render(u, tokens, count, cols, toBlocks, painted) {
      const { machine, config } = this;
      const { enter, modulate, up, down, out } = this.renderer;
      const features = config.head_features;
      const inner = config.renderer;
      const side = machine.alloc(count * this.code.width * 4);
      this.code.run(count, tokens, config.width, side, this.code.width);
      const codes = machine.alloc(u.span * features * 4);
      const laid = machine.f32(codes, u.span * features);
      toBlocks(machine.f32(side, count * this.code.width), this.code.width, features, (row, col, values, start) => {
        laid.set(values.subarray(start, start + features), (row * u.pitch + col) * features);
      });
      const [g, m, w, d] = [enter, modulate, up, down].map((layer) => machine.alloc(ROWS * layer.width * 4));
      for (let row = 0; row < u.span; row += ROWS) {
        const n = Math.min(ROWS, u.span - row);
        enter.run(n, u.address(0, 0) + row * u.depth * 4, u.depth, g, enter.width);
        modulate.run(n, codes + row * features * 4, features, m, modulate.width);
        const [v, mod] = [machine.f32(g, n * enter.width), machine.f32(m, n * modulate.width)];
        for (let i = 0; i < n; i++) {
          for (let c = 0; c < inner; c++) {
            const at = i * enter.width + c;
            v[at] = mod[i * modulate.width + inner + c] + mod[i * modulate.width + c] * v[at];
          }
        }
        up.run(n, g, enter.width, w, up.width);
        mcm.silu(machine.f32(w, n * up.width));
        down.run(n, w, up.width, d, down.width);
        const detail = machine.f32(d, n * down.width);
        for (let i = 0; i < n; i++) {
          for (let c = 0; c < inner; c++) {
            v[i * enter.width + c] += mod[i * modulate.width + 2 * inner + c] * detail[i * down.width + c];
          }
        }
        out.run(n, g, enter.width, painted.at + row * 48 * 4, 48, { add: true });
      }
    }

    /** The pixels of the rows of patches `row` to `end` of a tile, without its halo. */
    _place(painted, row, end, tile, cols, out, height, width) {
      const span = (tile.from === row ? 0 : 4) + 4 * (end - row);
      const values = this.machine.f32(painted.at, ((span - 1) * painted.pitch + 4 * cols) * 48);
      const lastRow = Math.min(16 * (tile.top + end), height);
      const lastCol = Math.min(16 * tile.own.right, width);
      for (let y = 16 * (tile.top + row); y < lastRow; y++) {
        const line = y - 16 * (tile.top + tile.from);
        for (let x = 16 * tile.own.left; x < lastCol; x++) {
          const column = x - 16 * tile.left;
          const from = ((line >> 2) * painted.pitch + (column >> 2)) * 48 + 12 * (line & 3) + 3 * (column & 3);
          // a Uint8ClampedArray rounds halves to even
          for (let c = 0; c < 3; c++) out[(y * width + x) * 3 + c] = 255 * (values[from + c] + 0.5);
        }
      }
    }
  };
});
