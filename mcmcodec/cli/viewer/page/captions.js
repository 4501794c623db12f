"use strict";
// Captions and phrases about boxes: formats/captions.md.

mcm.part(function captions(mcm) {
  const STYLES = mcm.tableFromWeights([2200, 300, 100, 1300, 6000, 300, 60, 20, 4, 40, 20, 4, 60]);
  const PHRASE_STYLES = mcm.tableFromWeights([8000, 100, 20, 800, 800, 20, 60, 20, 4, 40, 20, 4, 60]);
  const ENDINGS = [[], [0x2e], [0x20, 0x2e]];
  const BYTE_BY_BYTE = 12;
  const MAX_BYTES = 4096;
  const [SPACE, HYPHEN] = [0x20, 0x2d];
  const isLetter = (byte) => byte >= 97 && byte <= 122;
  const tooLong = () => mcm.damaged("the caption is longer than the format allows");
  const invalid = () => mcm.damaged("the caption is not valid text");
  const even = (decoder, n) => decoder.symbol(mcm.tableFromWeights(Array(n).fill(1)));

  /** Running sums of whole numbers, beginning with 0. */
  function sums(values) {
    const out = new Uint32Array(values.length + 1);
    values.forEach((value, i) => (out[i + 1] = out[i] + value));
    return out;
  }

  class LanguageModel {
    constructor(tensors) {
      const at = (name) => tensors[name].data;
      const ends = sums(at("lengths"));
      this.size = ends.length - 1;
      this.token = (t) => at("text").subarray(ends[t], ends[t + 1]);
      this.base = Float64Array.from(at("base"));
      this.orders = [];
      for (let k = 2; `children.${k}` in tensors; k++) {
        this.orders[k] = { start: sums(at(`children.${k}`)), next: at(`next.${k}`), code: at(`code.${k}`) };
      }
      this.room = 2 ** 24 - this.size;
    }

    /** First and last number, the latter excluded, of the n-grams that go on from one; null if there is none. */
    _successors(gram) {
      let number = gram[0];
      for (let k = 2; k <= gram.length; k++) {
        const { start, next } = this.orders[k];
        let [low, high] = [start[number], start[number + 1]];
        const end = high;
        while (low < high) {
          const middle = (low + high) >> 1;
          if (next[middle] < gram[k - 1]) low = middle + 1;
          else high = middle;
        }
        if (low === end || next[low] !== gram[k - 1]) return null;
        number = low;
      }
      const { start } = this.orders[gram.length + 1];
      return start[number] < start[number + 1] ? [start[number], start[number + 1]] : null;
    }

    /** Cumulative frequencies of the next token; products stay below 2^45. */
    cumulative(before, echo) {
      const share = this.base.slice();
      for (let m = 1; m <= Math.min(before.length, this.orders.length - 2); m++) {
        const found = this._successors(before.slice(-m));
        if (!found) continue;
        const { next, code } = this.orders[m + 1];
        const value = (i) => (16 + (code[i] % 16)) * 2 ** Math.floor(code[i] / 16);
        let sum = 0;
        for (let i = found[0]; i < found[1]; i++) sum += value(i);
        const rest = 2 ** 20 - sum;
        for (let t = 0; t < this.size; t++) share[t] = Math.floor((share[t] * rest) / 2 ** 20);
        for (let i = found[0]; i < found[1]; i++) share[next[i]] += Math.floor((value(i) * this.room) / 2 ** 20);
      }
      if (echo.size) {
        for (let t = 0; t < this.size; t++) share[t] = Math.floor((share[t] * 7) / 8);
        const each = Math.floor(Math.floor(this.room / 8) / echo.size);
        for (const token of echo) share[token] += each;
      }
      let [largest, total] = [0, 0];
      for (let t = 0; t < this.size; t++) {
        total += ++share[t];
        if (share[t] > share[largest]) largest = t;
      }
      share[largest] += 2 ** 24 - total;
      const table = new Float64Array(this.size + 1);
      for (let t = 0; t < this.size; t++) table[t + 1] = table[t] + share[t];
      return table;
    }
  }

  function byteByByte(decoder) {
    const data = [];
    const contexts = new Map();
    for (let left = decoder.bits(12) + 1; left > 0; left--) {
      let node = 1;
      while (node < 256) {
        const key = ((data.at(-1) ?? 0) >> 6) * 256 + node;
        if (!contexts.has(key)) contexts.set(key, new mcm.AdaptiveBit());
        node = node * 2 + contexts.get(key).decode(decoder);
      }
      data.push(node - 256);
    }
    return data;
  }

  function capitalise(body, how) {
    return body.map((byte, i) => {
      const starts = i === 0 || (how === 2 && [SPACE, HYPHEN].includes(body[i - 1]));
      return isLetter(byte) && (how === 3 || (how > 0 && starts)) ? byte - 32 : byte;
    });
  }

  /** The caption and the regions of a file with R rows and C columns of patches. */
  mcm.words = function words(decoder, tensors, rows, cols) {
    const model = new LanguageModel(tensors);
    const echo = new Set();
    let left = MAX_BYTES;

    function text(styles) {
      const style = decoder.symbol(styles);
      let data;
      const tokens = [0];
      if (style === BYTE_BY_BYTE) data = byteByByte(decoder);
      else {
        let body = [];
        for (let token; (token = decoder.symbol(model.cumulative(tokens, echo))); ) {
          tokens.push(token);
          body.push(...model.token(token));
          if (body.length > left + 1) throw tooLong();
        }
        if (body.length && body[0] !== SPACE) throw invalid();
        body = body.slice(1);
        data = [...capitalise(body, Math.floor(style / 3)), ...ENDINGS[style % 3]];
      }
      left -= data.length;
      if (left < 0) throw tooLong();
      if (!echo.size) tokens.slice(1).forEach((token) => echo.add(token));
      try {
        return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(data));
      } catch {
        throw invalid();
      }
    }

    const caption = text(STYLES);
    const regions = [];
    while (regions.length < 64 && decoder.bit(regions.length ? 2048 : 16)) {
      const x = even(decoder, cols);
      const w = 1 + even(decoder, cols - x);
      const y = even(decoder, rows);
      const h = 1 + even(decoder, rows - y);
      const phrase = text(PHRASE_STYLES);
      if (!phrase) throw invalid();
      regions.push({ x, y, w, h, text: phrase });
    }
    return { caption, regions };
  };
});
