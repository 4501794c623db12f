"use strict";
// Weights: files of the safetensors format (section 7).

mcm.part(function tensors(mcm) {
  const TYPES = {
    I8: Int8Array, U8: Uint8Array, I16: Int16Array, U16: Uint16Array, I32: Int32Array, U32: Uint32Array, F32: Float32Array,
  };

  /** Half precision to single, exactly: the exponents' zeros are 15 and 127. */
  function widen(halves) {
    const out = new Float32Array(halves.length);
    const bits = new Uint32Array(out.buffer);
    for (let i = 0; i < halves.length; i++) {
      const half = halves[i];
      const size = half & 0x7fff;
      if (size >= 1024) bits[i] = ((half & 0x8000) << 16) | ((size + (112 << 10)) << 13);
      else out[i] = half & 0x8000 ? -size / 2 ** 24 : size / 2 ** 24;
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
