"use strict";
// Matrix products, where nearly all of the time goes: a WebAssembly program of two functions, in float32 for the networks
// that make pixels and in float64 for those that must be exact (sums of whole numbers below 2^53: section 5.4). It is put
// together here, instruction by instruction, so that there is nothing to build or to download.

mcm.part(function kernels(mcm) {
  const [I32, V128, VOID] = [0x7f, 0x7b, 0x40];
  const leb = (n) => (n < 128 ? [n] : [(n & 127) | 128, ...leb(n >>> 7)]);
  const sleb = (n) => (n >= -64 && n < 64 ? [n & 127] : [(n & 127) | 128, ...sleb(n >> 7)]);
  const vector = (items) => [...leb(items.length), ...items.flat()];
  const section = (id, body) => [id, ...leb(body.length), ...body];

  const get = (local) => [0x20, ...leb(local)];
  const set = (local) => [0x21, ...leb(local)];
  const number = (value) => [0x41, ...sleb(value)];
  const [ADD, SUB, MUL, AND, LESS] = [0x6a, 0x6b, 0x6c, 0x71, 0x48].map((code) => [code]);
  const simd = (code) => [0xfd, ...leb(code)];
  const at = (offset) => [0, ...leb(offset)]; // alignment 2^0: a hint
  const load = (offset) => [...simd(0), ...at(offset)];
  const store = (offset) => [...simd(11), ...at(offset)];
  const advance = (local, ...by) => [get(local), ...by, ADD, set(local)];
  /** Repeat while the condition holds. */
  const loop = (condition, ...body) =>
    [[0x02, VOID], [0x03, VOID], ...condition, [0x45], [0x0d, 1], ...body, [0x0c, 0], [0x0b], [0x0b]];
  const when = (condition, ...body) => [...condition, [0x04, VOID], ...body, [0x0b]];

  const KINDS = {
    f32: { bytes: 4, splat: 0x09, add: 0xe4, mul: 0xe6, max: 0xe9, fused: 0x105 },
    f64: { bytes: 8, splat: 0x0a, add: 0xf0, mul: 0xf2, max: 0xf5, fused: 0x107 },
  };
  const PANEL = 32;
  const ROWS = 4;
  const CACHED = 2 ** 16; // bytes of rows that all panels are multiplied with in turn: they stay near the processor
  const PARAMETERS = ["a", "aStride", "b", "bias", "c", "cStride", "rows", "depth", "panels", "flags"];

  /**
   * One function (all arguments are 32-bit integers, strides in bytes):
   *   for every row r and panel p: c[r][p] = bias[p] + sum over k of a[r][k] * b[p][k]
   * where b has, panel after panel, `depth` rows of 32 bytes. flags & 1 adds to what c has, flags & 2 cuts at 0.
   * Four rows of a panel at a time keep eight vectors in registers.
   */
  function product(kind, fused) {
    const names = {};
    const local = (name) => (names[name] ??= Object.keys(names).length);
    PARAMETERS.forEach(local);
    ["row", "aAt", "cAt", "bAt", "end"].forEach(local);
    const pointers = Array.from({ length: ROWS }, (_, r) => local(`a${r}`));
    const outs = Array.from({ length: ROWS }, (_, r) => local(`c${r}`));
    const integers = Object.keys(names).length - PARAMETERS.length;
    const halves = [local("b0"), local("b1")];
    const splat = local("splat");
    const sums = Array.from({ length: ROWS }, (_, r) => [local(`sum${r}0`), local(`sum${r}1`)]);
    const vectors = Object.keys(names).length - PARAMETERS.length - integers;
    const g = (name) => get(local(name));
    const s = (name) => set(local(name));
    const flag = (bit) => [g("flags"), number(bit), AND];

    function tile(rows) {
      const each = (make) => Array.from({ length: rows }, (_, r) => [0, 1].flatMap((h) => make(r, h))).flat();
      const begin = Array.from({ length: rows }, (_, r) => [
        ...(r ? [get(pointers[r - 1]), g("aStride"), ADD, set(pointers[r])] : [g("aAt"), set(pointers[0])]),
        ...(r ? [get(outs[r - 1]), g("cStride"), ADD, set(outs[r])] : [g("cAt"), set(outs[0])]),
      ]).flat();
      const accumulate = (sum, half) =>
        fused
          ? [get(splat), get(half), get(sum), simd(kind.fused), set(sum)]
          : [get(splat), get(half), simd(kind.mul), get(sum), simd(kind.add), set(sum)];
      return [
        ...begin,
        ...each((r, h) => [g("bias"), load(16 * h), set(sums[r][h])]),
        ...when(flag(1), ...each((r, h) => [get(outs[r]), load(16 * h), get(sums[r][h]), simd(kind.add), set(sums[r][h])])),
        g("b"), s("bAt"),
        g("b"), g("depth"), number(PANEL), MUL, ADD, s("end"),
        ...loop(
          [g("bAt"), g("end"), LESS],
          g("bAt"), load(0), set(halves[0]), g("bAt"), load(16), set(halves[1]),
          ...Array.from({ length: rows }, (_, r) => [
            get(pointers[r]), [...simd(kind.splat), ...at(0)], set(splat),
            ...[0, 1].flatMap((h) => accumulate(sums[r][h], halves[h])),
            ...advance(pointers[r], number(kind.bytes)),
          ]).flat(),
          ...advance(local("bAt"), number(PANEL)),
        ),
        ...when(flag(2), ...each((r, h) => [get(sums[r][h]), [...simd(12), ...Array(16).fill(0)], simd(kind.max), set(sums[r][h])])),
        ...each((r, h) => [get(outs[r]), get(sums[r][h]), store(16 * h)]),
        ...advance(local("aAt"), g("aStride"), number(rows), MUL),
        ...advance(local("cAt"), g("cStride"), number(rows), MUL),
        ...advance(local("row"), number(rows)),
      ];
    }

    const code = loop(
      [number(0), g("panels"), LESS],
      number(0), s("row"), g("a"), s("aAt"), g("c"), s("cAt"),
      ...loop([g("row"), number(ROWS - 1), ADD, g("rows"), LESS], ...tile(ROWS)),
      ...loop([g("row"), g("rows"), LESS], ...tile(1)),
      ...advance(local("b"), g("depth"), number(PANEL), MUL),
      ...advance(local("bias"), number(PANEL)),
      ...advance(local("c"), number(PANEL)),
      g("panels"), number(1), SUB, s("panels"),
    );
    const locals = vector([[...leb(integers), I32], [...leb(vectors), V128]]);
    const body = [...locals, ...code.flat(), 0x0b];
    return [...leb(body.length), ...body];
  }

  function program(fused) {
    const name = (text) => vector([...text].map((letter) => [letter.charCodeAt(0)]));
    return Uint8Array.from([
      0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
      ...section(1, vector([[0x60, ...vector(PARAMETERS.map(() => [I32])), 0]])),
      ...section(2, vector([[...name("m"), ...name("memory"), 0x02, 0x00, 1]])),
      ...section(3, vector([[0], [0]])),
      ...section(7, vector([[...name("f32"), 0, 0], [...name("f64"), 0, 1]])),
      ...section(10, vector([product(KINDS.f32, fused), product(KINDS.f64, fused)])),
    ]);
  }

  /**
   * Memory for the networks and the products in it. Numbers are given out from its lower end and taken back in the order
   * last in, first out: `mark` and `release`. Views die when it grows, so they are made anew whenever something is asked
   * for: keep offsets, not views, across calls of `alloc`.
   */
  mcm.Machine = class Machine {
    constructor() {
      this.memory = new WebAssembly.Memory({ initial: 16 });
      const bytes = [true, false].map(program).find((one) => WebAssembly.validate(one));
      if (!bytes) throw new Error("this browser is too old: it has no WebAssembly SIMD");
      const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { m: { memory: this.memory } });
      this.kernels = { f32: exports.f32, f64: exports.f64 };
      this.top = 64;
    }

    /** Bytes, filled with zeros; with room behind them, where kernels may read beyond the end. */
    alloc(bytes) {
      const at = this.top;
      const end = at + Math.ceil(bytes / 64) * 64 + 64;
      const missing = end - this.memory.buffer.byteLength;
      if (missing > 0) {
        try {
          this.memory.grow(Math.ceil(missing / 65536));
        } catch {
          throw new mcm.Refused("too large", "the picture needs more memory than this browser gives", "decode it with codec");
        }
      }
      this.top = end;
      new Uint8Array(this.memory.buffer, at, end - at).fill(0);
      return at;
    }

    release(mark) {
      this.top = mark;
    }

    f32(at, length) {
      return new Float32Array(this.memory.buffer, at, length);
    }

    f64(at, length) {
      return new Float64Array(this.memory.buffer, at, length);
    }
  };

  /**
   * A layer of weights [outputs][depth], packed into panels. Outputs are written in whole panels: `width` of them, the ones behind `outputs` are zero.
   */
  mcm.Layer = class Layer {
    constructor(machine, kind, outputs, depth, bias = null) {
      const { bytes } = KINDS[kind];
      const lanes = PANEL / bytes;
      Object.assign(this, { machine, kind, bytes, outputs, depth, panels: Math.ceil(outputs / lanes) });
      this.width = this.panels * lanes;
      this.weights = machine.alloc(this.width * depth * bytes);
      this.bias = machine.alloc(this.width * bytes);
      if (bias) this.setBias(bias);
    }

    /**
     * Set the weights of `count` inputs from `first` on, all of them by default, from an array: that of output o and input
     * k is number start(o) + k * step. Returns the layer.
     */
    fill(data, start, step, first = 0, count = this.depth) {
      const { machine, kind, outputs, depth, width, panels } = this;
      const packed = machine[kind](this.weights, width * depth);
      const lanes = width / panels;
      for (let o = 0; o < outputs; o++) {
        let to = Math.floor(o / lanes) * lanes * depth + (o % lanes) + first * lanes;
        for (let k = 0, from = start(o); k < count; k++, from += step, to += lanes) packed[to] = data[from];
      }
      return this;
    }

    setBias(values) {
      this.machine[this.kind](this.bias, this.outputs).set(values);
    }

    /** Rows of a at `from` to rows of c at `to`; strides in numbers. */
    run(rows, from, fromStride, to, toStride, { add = false, relu = false } = {}) {
      const { weights, bias, bytes, depth, panels } = this;
      const flags = (add ? 1 : 0) + (relu ? 2 : 0);
      const product = this.machine.kernels[this.kind];
      const [a, c] = [fromStride * bytes, toStride * bytes];
      const step = 4 * Math.max(4, Math.floor(CACHED / (4 * depth * bytes)));
      for (let row = 0; row < rows; row += step) {
        product(from + row * a, a, weights, bias, to + row * c, c, Math.min(step, rows - row), depth, panels, flags);
      }
    }
  };

  /** Numbers up to a whole count of panels. */
  mcm.padded = (count, kind) => Math.ceil(count / (PANEL / KINDS[kind].bytes)) * (PANEL / KINDS[kind].bytes);
});
