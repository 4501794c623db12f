"use strict";
// The range decoder and the adaptive bit: sections 5.1 and 5.2. Numbers of 64 bits are two halves of 32 bits, because
// numbers are exact up to 2^53 only, and BigInts take several times as long.

mcm.part(function rangecoder(mcm) {
  const WORD = 2 ** 32;
  const TOTAL = 2 ** 24;

  /** The cumulative frequencies, of 24 bits, of a table of n frequencies that sum to 2^16. */
  mcm.tableOf = function tableOf(frequencies) {
    const table = new Float64Array(frequencies.length + 1);
    for (let i = 0, sum = 0; i < frequencies.length; i++) table[i + 1] = (sum += frequencies[i]) * 256;
    return table;
  };

  mcm.tableFromWeights = function tableFromWeights(weights) {
    const n = weights.length;
    const sum = weights.reduce((a, b) => a + b, 0);
    const frequencies = weights.map((weight) => 1 + Math.floor((weight * (65536 - n)) / sum));
    frequencies[weights.indexOf(Math.max(...weights))] += 65536 - frequencies.reduce((a, b) => a + b, 0);
    return mcm.tableOf(frequencies);
  };

  mcm.RangeDecoder = class RangeDecoder {
    constructor(payload) {
      this.payload = payload;
      this.next = 8;
      this.rangeHigh = this.rangeLow = WORD - 1;
      // `point - lower`, all that decoding needs; and `lower` with the words that were shifted out, for the end
      this.aheadHigh = this._word(0);
      this.aheadLow = this._word(4);
      this.lowerHigh = this.lowerLow = 0;
      this.words = [];
    }

    _word(at) {
      let word = 0;
      for (let i = 0; i < 4; i++) word = word * 256 + (this.payload[at + i] ?? 0);
      return word;
    }

    /** The number of the interval of a sequence of cumulative frequencies that the point is in. */
    decode(table) {
      const scale = this.rangeHigh * 256 + Math.floor(this.rangeLow / TOTAL);
      // An estimate of the quotient, off by one at most, finds the interval or a neighbour; the products decide.
      const quotient = Math.floor((this.aheadHigh * WORD + this.aheadLow) / scale);
      let low = 0;
      let high = table.length - 1;
      while (high - low > 1) {
        const middle = (low + high) >> 1;
        if (table[middle] <= quotient) low = middle;
        else high = middle;
      }
      while (low > 0 && !this._reaches(scale, table[low])) low--;
      while (this._reaches(scale, table[low + 1])) {
        if (++low === table.length - 1) throw mcm.damaged(mcm.PAYLOAD);
      }
      this._narrow(scale, table[low], table[low + 1]);
      return low;
    }

    /** scale * frequency as halves: scale has 40 bits, a frequency 24. */
    _product(scale, frequency) {
      const upper = Math.floor(scale / 65536) * frequency;
      const lower = (upper % 65536) * 65536 + (scale % 65536) * frequency;
      this.productHigh = Math.floor(upper / 65536) + Math.floor(lower / WORD);
      this.productLow = lower % WORD;
    }

    _reaches(scale, frequency) {
      this._product(scale, frequency);
      const high = this.aheadHigh - this.productHigh;
      return high > 0 || (high === 0 && this.aheadLow >= this.productLow);
    }

    _narrow(scale, from, to) {
      this._product(scale, from);
      let low = this.aheadLow - this.productLow;
      this.aheadHigh -= this.productHigh + (low < 0 ? 1 : 0);
      this.aheadLow = low < 0 ? low + WORD : low;
      low = this.lowerLow + this.productLow;
      this.lowerLow = low >= WORD ? low - WORD : low;
      this.lowerHigh += this.productHigh + (low >= WORD ? 1 : 0);
      if (this.lowerHigh >= WORD) {
        this.lowerHigh -= WORD;
        this._carry();
      }
      this._product(scale, to - from);
      this.rangeHigh = this.productHigh;
      this.rangeLow = this.productLow;
      if (this.rangeHigh) return;
      this.words.push(this.lowerHigh);
      this.lowerHigh = this.lowerLow;
      this.lowerLow = 0;
      this.rangeHigh = this.rangeLow;
      this.rangeLow = 0;
      this.aheadHigh = this.aheadLow;
      this.aheadLow = this._word(this.next);
      this.next += 4;
    }

    _carry() {
      for (let i = this.words.length - 1; i >= 0; i--) {
        this.words[i] = (this.words[i] + 1) % WORD;
        if (this.words[i]) return;
      }
    }

    /** A symbol of a table with n = 1 is not coded. */
    symbol(table) {
      return table.length === 2 ? 0 : this.decode(table);
    }

    bit(p1) {
      return this.decode([0, TOTAL - p1 * 4096, TOTAL]);
    }

    bits(count) {
      let value = 0;
      for (let left = count; left > 0; ) {
        const take = Math.min(left, 16);
        left -= take;
        value = value * 2 ** take + this.decode(uniform(take));
      }
      return value;
    }

    /** Bits of information read so far. */
    position() {
      return 32 * this.words.length + 64 - Math.log2(this.rangeHigh * WORD + this.rangeLow);
    }

    /** Refuse a payload that is not the shortest, and of those the lowest, byte string in the interval ("The end"). */
    finish() {
      const low = (BigInt(this.lowerHigh) << 32n) + BigInt(this.lowerLow);
      const end = low + (BigInt(this.rangeHigh) << 32n) + BigInt(this.rangeLow);
      let point = low;
      for (let zeros = 8n; zeros <= 64n; zeros += 8n) {
        const candidate = ((low + (1n << zeros) - 1n) >> zeros) << zeros;
        if (candidate >= end) break;
        point = candidate;
      }
      if (point >> 64n) this._carry();
      const words = [...this.words, Number((point >> 32n) & 0xffffffffn), Number(point & 0xffffffffn)];
      const bytes = words.flatMap((word) => [24, 16, 8, 0].map((shift) => (word >>> shift) & 255));
      while (bytes.length && !bytes.at(-1)) bytes.pop();
      if (bytes.length !== this.payload.length || bytes.some((byte, i) => byte !== this.payload[i])) {
        throw mcm.damaged("the coded picture data has bytes that belong to nothing");
      }
    }
  };

  const uniforms = [];
  function uniform(bits) {
    uniforms[bits] ??= Float64Array.from({ length: 2 ** bits + 1 }, (_, i) => i * 2 ** (24 - bits));
    return uniforms[bits];
  }

  mcm.AdaptiveBit = class AdaptiveBit {
    constructor(p1 = 2048, confidence = 0) {
      this.p = p1 * 1024;
      this.n = confidence;
    }

    decode(decoder) {
      const bit = decoder.bit(Math.min(Math.max(this.p >> 10, 1), 4095));
      const aim = bit ? 2 ** 22 : 0;
      this.p += Math.floor(((aim - this.p) * Math.floor(131072 / (2 * this.n + 3))) / 65536);
      this.n = Math.min(this.n + 1, 255);
      return bit;
    }
  };
});
