"use strict";
// Edge maps: section 4.6.

mcm.part(function structure(mcm) {
  const CONTEXTS = 4096;
  const damaged = () => mcm.damaged("the edge map is damaged");

  /** The map of a section's body: `scale`, `rows`, `cols`, and `edges` (rows, cols) of 0 and 1; `tensors` are the tables. */
  mcm.edgeMap = function edgeMap(body, width, height, tensors) {
    if (!body.length || (body[0] & 7) > 5 || body[0] >> 3 > 2) throw damaged();
    const [scale, table] = [body[0] & 7, body[0] >> 3];
    const [cols, rows] = [Math.ceil(width / 2 ** scale), Math.ceil(height / 2 ** scale)];
    if (cols * rows > 2 ** 19) throw damaged();
    const decoder = new mcm.RangeDecoder(body.subarray(1));
    const { p1, confidence } = tensors;
    const states = Array.from({ length: CONTEXTS }, (_, i) =>
      new mcm.AdaptiveBit(p1.data[table * CONTEXTS + i], confidence.data[table * CONTEXTS + i]));
    const pitch = cols + 5; // with a border of zeros: two rows above, three places left, two right
    const known = new Uint8Array((rows + 2) * pitch);
    for (let y = 0; y < rows; y++) {
      for (let x = 0; x < cols; x++) {
        const at = (y + 2) * pitch + x + 3;
        let context = 0;
        for (let i = at - 2 * pitch - 1; i <= at - 2 * pitch + 2; i++) context = 2 * context + known[i];
        for (let i = at - pitch - 3; i <= at - pitch + 2; i++) context = 2 * context + known[i];
        context = 4 * context + 2 * known[at - 2] + known[at - 1];
        known[at] = states[context].decode(decoder);
      }
    }
    try {
      decoder.finish();
    } catch {
      throw damaged();
    }
    const edges = Uint8Array.from({ length: rows * cols }, (_, i) => known[(Math.floor(i / cols) + 2) * pitch + (i % cols) + 3]);
    return { scale, rows, cols, edges };
  };
});
