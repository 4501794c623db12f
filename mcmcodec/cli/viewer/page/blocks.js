"use strict";
// The blocks of a decoder's plan: section 5.7, in float32. Names are those of the tensors. Tokens lie row after row; where
// a 3x3 convolution reads them, in a Grid with a border of zeros. A block changes the tokens `t` in place. A decoder of
// another kind of block needs one more class, and its letter in KINDS.

mcm.part(function blocks(mcm) {
  const WINDOW = 8;
  const ROWS = 512; // rows that wide layers do at once
  const EPSILON = 1e-5;

  const sigmoid = (x) => 1 / (1 + Math.exp(-x));
  mcm.silu = function silu(values) {
    for (let i = 0; i < values.length; i++) values[i] *= sigmoid(values[i]);
  };

  /** The windows of a grid: top, left, height and width of each. */
  function windows(rows, cols) {
    const found = [];
    for (let top = 0; top < rows; top += WINDOW) {
      for (let left = 0; left < cols; left += WINDOW) {
        found.push([top, left, Math.min(WINDOW, rows - top), Math.min(WINDOW, cols - left)]);
      }
    }
    return found;
  }

  mcm.Norm = class Norm {
    constructor(net, name) {
      Object.assign(this, { machine: net.machine, weight: net.data(`${name}.weight`), bias: net.data(`${name}.bias`) });
    }

    run(count, from, to) {
      const { weight, bias } = this;
      const depth = weight.length;
      const [x, y] = [this.machine.f32(from, count * depth), this.machine.f32(to, count * depth)];
      for (let start = 0; start < count * depth; start += depth) {
        let [mean, variance] = [0, 0];
        for (let c = 0; c < depth; c++) mean += x[start + c];
        mean /= depth;
        for (let c = 0; c < depth; c++) variance += (x[start + c] - mean) * (x[start + c] - mean);
        const scale = 1 / Math.sqrt(variance / depth + EPSILON);
        for (let c = 0; c < depth; c++) y[start + c] = (x[start + c] - mean) * scale * weight[c] + bias[c];
      }
    }
  };

  /** t + down(act(up(x))), some rows at a time; `fold` brings the wide rows to those that `down` reads, in place. */
  function feedForward(machine, { up, down }, count, x, t, depth, options, fold = null) {
    const wide = machine.alloc(ROWS * up.width * 4);
    for (let row = 0; row < count; row += ROWS) {
      const rows = Math.min(ROWS, count - row);
      up.run(rows, x + row * depth * 4, depth, wide, up.width, options);
      if (fold) fold(machine.f32(wide, rows * up.width), rows);
      down.run(rows, wide, up.width, t + row * depth * 4, depth, { add: true });
    }
  }

  /** Letters c and l. */
  class Bottleneck {
    constructor(net, name) {
      this.norm = new mcm.Norm(net, `${name}.norm`);
      this.reduce = net.linear(`${name}.reduce`);
      this.mix = net.convolution(`${name}.mix`, this.reduce.width);
      this.expand = net.linear(`${name}.expand`);
    }

    run(machine, t, rows, cols, depth) {
      const x = machine.alloc(rows * cols * depth * 4);
      this.norm.run(rows * cols, t, x);
      const grid = new mcm.Grid(machine, "f32", rows, cols, this.reduce.width);
      for (let row = 0; row < rows; row++) {
        this.reduce.run(cols, x + row * cols * depth * 4, depth, grid.address(row, 0), grid.depth, { relu: true });
      }
      const { width } = this.mix;
      const mixed = machine.alloc(grid.span * width * 4);
      this.mix.run(grid, 0, 0, grid.span, 1, mixed, width, { relu: true });
      for (let row = 0; row < rows; row++) {
        this.expand.run(cols, mixed + row * grid.pitch * width * 4, width, t + row * cols * depth * 4, depth, { add: true });
      }
    }
  }

  /** Letter a. */
  class Attention {
    constructor(net, name) {
      this.norm1 = new mcm.Norm(net, `${name}.norm1`);
      this.norm2 = new mcm.Norm(net, `${name}.norm2`);
      this.place = net.data(`${name}.place`);
      for (const part of ["qkv", "out", "up", "down"]) this[part] = net.linear(`${name}.${part}`);
      this.heads = Math.max(1, Math.floor(net.config.width / net.config.head_dim));
    }

    run(machine, t, rows, cols, depth) {
      const count = rows * cols;
      const x = machine.alloc(count * depth * 4);
      this.norm1.run(count, t, x);
      const placed = machine.f32(x, count * depth);
      for (let row = 0, i = 0; row < rows; row++) {
        for (let col = 0; col < cols; col++) {
          const from = ((row % WINDOW) * WINDOW + (col % WINDOW)) * depth;
          for (let c = 0; c < depth; c++) placed[i++] += this.place[from + c];
        }
      }
      const qkv = machine.alloc(count * this.qkv.width * 4);
      this.qkv.run(count, x, depth, qkv, this.qkv.width);
      for (const [top, left, height, width] of windows(rows, cols)) {
        const places = Array.from({ length: height * width }, (_, i) => (top + Math.floor(i / width)) * cols + left + (i % width));
        for (let head = 0; head < this.heads; head++) this._attend(machine, qkv, x, places, head, depth);
      }
      this.out.run(count, x, depth, t, depth, { add: true });
      this.norm2.run(count, t, x);
      feedForward(machine, this, count, x, t, depth, { relu: true });
    }

    /** What one head of the places of a window takes from the others, into `to`. */
    _attend(machine, qkv, to, places, head, depth) {
      const mark = machine.top;
      const [n, size, stride] = [places.length, depth / this.heads, this.qkv.width];
      const most = Math.max(...places) + 1;
      const start = (place, part) => place * stride + part * depth + head * size;
      const query = machine.alloc(n * size * 4);
      const weights = machine.alloc(n * mcm.padded(n, "f32") * 4);
      const mixed = machine.alloc(n * mcm.padded(size, "f32") * 4);
      const keys = new mcm.Layer(machine, "f32", n, size);
      const values = new mcm.Layer(machine, "f32", size, n);
      const all = machine.f32(qkv, most * stride); // nothing is allocated from here on
      keys.fill(all, (o) => start(places[o], 1), 1);
      places.forEach((place, k) => values.fill(all, (c) => start(place, 2) + c, 0, k, 1));
      const q = machine.f32(query, n * size);
      const scale = 1 / Math.sqrt(size);
      places.forEach((place, i) => {
        for (let c = 0; c < size; c++) q[i * size + c] = all[start(place, 0) + c] * scale;
      });
      keys.run(n, query, size, weights, keys.width);
      const logits = machine.f32(weights, n * keys.width);
      for (let i = 0; i < n; i++) softmax(logits, i * keys.width, n);
      values.run(n, weights, keys.width, mixed, values.width);
      const [out, target] = [machine.f32(mixed, n * values.width), machine.f32(to, most * depth)];
      places.forEach((place, i) => {
        for (let c = 0; c < size; c++) target[place * depth + head * size + c] = out[i * values.width + c];
      });
      machine.release(mark);
    }
  }

  function softmax(values, start, count) {
    let [most, sum] = [-Infinity, 0];
    for (let i = start; i < start + count; i++) most = Math.max(most, values[i]);
    for (let i = start; i < start + count; i++) sum += values[i] = Math.exp(values[i] - most);
    for (let i = start; i < start + count; i++) values[i] /= sum;
  }

  /** Letter d. */
  class Depthwise {
    constructor(net, name) {
      this.norm1 = new mcm.Norm(net, `${name}.norm1`);
      this.norm2 = new mcm.Norm(net, `${name}.norm2`);
      for (const part of ["enter", "attend", "out", "up", "down"]) this[part] = net.linear(`${name}.${part}`);
      [this.taps, this.bias] = [net.data(`${name}.mix.weight`), net.data(`${name}.mix.bias`)];
    }

    run(machine, t, rows, cols, depth) {
      const count = rows * cols;
      const x = machine.alloc(count * depth * 4);
      const grid = new mcm.Grid(machine, "f32", rows, cols, depth);
      const mean = machine.alloc(depth * 4);
      const gate = machine.alloc(this.attend.width * 4);
      this.norm1.run(count, t, x);
      for (let row = 0; row < rows; row++) {
        this.enter.run(cols, x + row * cols * depth * 4, depth, grid.address(row, 0), depth);
      }
      mcm.silu(grid.view); // zeros stay zeros
      this._mix(grid, machine.f32(x, count * depth));
      for (const [top, left, height, width] of windows(rows, cols)) {
        const [u, average] = [machine.f32(x, count * depth), machine.f32(mean, depth).fill(0)];
        const each = (change) => {
          for (let row = top; row < top + height; row++) {
            for (let col = left; col < left + width; col++) change((row * cols + col) * depth);
          }
        };
        each((from) => {
          for (let c = 0; c < depth; c++) average[c] += u[from + c] / (height * width);
        });
        this.attend.run(1, mean, depth, gate, this.attend.width);
        const scale = machine.f32(gate, depth).map((value) => 2 * sigmoid(value));
        each((from) => {
          for (let c = 0; c < depth; c++) u[from + c] *= scale[c];
        });
      }
      this.out.run(count, x, depth, t, depth, { add: true });
      this.norm2.run(count, t, x);
      feedForward(machine, this, count, x, t, depth, {}, (wide, n) => {
        mcm.silu(wide);
        for (let row = 0; row < n; row++) {
          const from = row * this.up.width;
          for (let c = from; c < from + depth; c++) wide[c] += wide[c + depth] + wide[c + 2 * depth] + wide[c + 3 * depth];
        }
      });
    }

    /** The depthwise 3x3 convolution of a grid. */
    _mix(grid, out) {
      const { taps, bias } = this;
      const { rows, cols, depth } = grid;
      const weight = Float32Array.from({ length: 9 * depth }, (_, i) => taps[(i % depth) * 9 + Math.floor(i / depth)]);
      const v = grid.view;
      for (let row = 0, to = 0; row < rows; row++) {
        for (let col = 0; col < cols; col++, to += depth) {
          for (let c = 0; c < depth; c++) out[to + c] = bias[c];
          for (let tap = 0; tap < 9; tap++) {
            const from = grid.index(row + Math.floor(tap / 3) - 1, col + (tap % 3) - 1);
            for (let c = 0, w = tap * depth; c < depth; c++, w++) out[to + c] += v[from + c] * weight[w];
          }
        }
      }
    }
  }

  /** Letter w: Bi-RWKV, linear attention over all tokens of a tile in two running sums. */
  class BiRwkv {
    constructor(net, name) {
      this.norm1 = new mcm.Norm(net, `${name}.norm1`);
      this.norm2 = new mcm.Norm(net, `${name}.norm2`);
      for (const part of ["rkv", "out", "up", "down", "receive"]) this[part] = net.linear(`${name}.${part}`);
      for (const part of ["shift.weight", "decay", "bonus"]) this[part] = net.data(`${name}.${part}`);
    }

    run(machine, t, rows, cols, depth) {
      const count = rows * cols;
      const x = machine.alloc(count * depth * 4);
      const y = machine.alloc(count * depth * 4);
      const rkv = machine.alloc(count * this.rkv.width * 4);
      this.norm1.run(count, t, x);
      this._shift(machine.f32(x, count * depth), machine.f32(y, count * depth), rows, cols, depth);
      this.rkv.run(count, y, depth, rkv, this.rkv.width);
      this._mix(machine.f32(rkv, count * this.rkv.width), machine.f32(y, count * depth), count, depth);
      this.out.run(count, y, depth, t, depth, { add: true });
      this.norm2.run(count, t, x);
      const [wide, down, gate] = [this.up, this.down, this.receive].map((layer) => machine.alloc(ROWS * layer.width * 4));
      for (let row = 0; row < count; row += ROWS) {
        const n = Math.min(ROWS, count - row);
        const from = x + row * depth * 4;
        this.up.run(n, from, depth, wide, this.up.width, { relu: true });
        const u = machine.f32(wide, n * this.up.width);
        for (let i = 0; i < u.length; i++) u[i] *= u[i];
        this.down.run(n, wide, this.up.width, down, this.down.width);
        this.receive.run(n, from, depth, gate, this.receive.width);
        const [d, g] = [machine.f32(down, n * this.down.width), machine.f32(gate, n * this.receive.width)];
        const tokens = machine.f32(t + row * depth * 4, n * depth);
        for (let i = 0; i < n; i++) {
          for (let c = 0; c < depth; c++) tokens[i * depth + c] += sigmoid(g[i * this.receive.width + c]) * d[i * this.down.width + c];
        }
      }
    }

    /** u + shift(u), a depthwise 5x5 convolution. */
    _shift(u, to, rows, cols, depth) {
      const taps = this["shift.weight"];
      to.set(u);
      for (let row = 0; row < rows; row++) {
        for (let col = 0; col < cols; col++) {
          for (let tap = 0; tap < 25; tap++) {
            const [y, x] = [row + Math.floor(tap / 5) - 2, col + (tap % 5) - 2];
            if (y < 0 || y >= rows || x < 0 || x >= cols) continue;
            const [at, from] = [(row * cols + col) * depth, (y * cols + x) * depth];
            for (let c = 0; c < depth; c++) to[at + c] += u[from + c] * taps[c * 25 + tap];
          }
        }
      }
    }

    /** sigmoid(r) times the mean of all values v, weighted by e^(k - decay x (distance - 1)); the place itself by e^(bonus + k). */
    _mix(rkv, to, count, depth) {
      const stride = this.rkv.width;
      const a = new Float64Array(count);
      const [over, under] = [new Float64Array(count), new Float64Array(count)];
      for (let c = 0; c < depth; c++) {
        let most = -Infinity;
        for (let i = 0; i < count; i++) most = Math.max(most, rkv[i * stride + depth + c]);
        const fall = Math.exp(-Math.log1p(Math.exp(this.decay[c])) / count);
        const own = Math.exp(this.bonus[c]);
        const value = (i) => rkv[i * stride + 2 * depth + c];
        for (let i = 0, v = 0, w = 0; i < count; i++) {
          a[i] = Math.exp(rkv[i * stride + depth + c] - most);
          over[i] = v + own * a[i] * value(i);
          under[i] = w + own * a[i];
          v = v * fall + a[i] * value(i);
          w = w * fall + a[i];
        }
        for (let i = count - 1, v = 0, w = 0; i >= 0; i--) {
          to[i * depth + c] = (sigmoid(rkv[i * stride + c]) * (over[i] + v)) / (under[i] + w + 1e-9);
          v = v * fall + a[i] * value(i);
          w = w * fall + a[i];
        }
      }
    }
  }

  const KINDS = { a: Attention, c: Bottleneck, l: Bottleneck, d: Depthwise, w: BiRwkv };

  mcm.block = function block(net, letter, name) {
    if (!(letter in KINDS)) throw new mcm.Refused("model", `the decoder has blocks of a kind ${letter}`, "update mcmcodec");
    return new KINDS[letter](net, name);
  };
});
