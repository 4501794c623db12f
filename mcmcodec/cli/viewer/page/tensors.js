"use strict";
// Weights: files of the safetensors format (section 7).

mcm.part(function tensors(mcm) {
  const TYPES = {
    I8: Int8Array, U8: Uint8Array, I16: Int16Array, U16: Uint16Array, I32: Int32Array, U32: Uint32Array, F32: Float32Array,
  };

  /** Half precision to single: exact. */
  function widen(halves) {
    const out = new Float32Array(halves.length);
    for (let i = 0; i < halves.length; i++) {
      const [exponent, fraction] = [(halves[i] >> 10) & 31, halves[i] & 1023];
      const size = exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24;
      out[i] = halves[i] & 0x8000 ? -size : size;
    }
    return out;
  }

  /** The tensors of a file by their names, each a shape and numbers; little-endian, as all machines are by now. */
  mcm.tensors = function tensors(bytes) {
    const size = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
    const listed = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + size)));
    delete listed.__metadata__;
    const read = ({ dtype, shape, data_offsets: [start, end] }) => {
      const body = bytes.slice(8 + size + start, 8 + size + end).buffer;
      return { shape, data: dtype === "F16" ? widen(new Uint16Array(body)) : new TYPES[dtype](body) };
    };
    return Object.fromEntries(Object.entries(listed).map(([name, entry]) => [name, read(entry)]));
  };
});
