"use strict";
// Transparency: section 4.4.

mcm.part(function alpha(mcm) {
  const BLOCK = 8;
  const damaged = () => mcm.damaged("the alpha plane is damaged");

  /** The luma of the content of a WebP chunk, decoded by the browser; the whole file is made around it. */
  async function fromWebp(tag, body, width, height) {
    const view = new DataView(body.buffer, body.byteOffset, body.length);
    if (body.length < 10) throw damaged();
    const sides = tag === "VP8L"
      ? [(view.getUint32(1, true) & 0x3fff) + 1, ((view.getUint32(1, true) >> 14) & 0x3fff) + 1]
      : [view.getUint16(6, true) & 0x3fff, view.getUint16(8, true) & 0x3fff];
    if (sides[0] !== width || sides[1] !== height) throw damaged();
    const file = new Uint8Array(20 + body.length + (body.length % 2));
    const lengths = new DataView(file.buffer);
    file.set(new TextEncoder().encode(`RIFF....WEBP${tag}`));
    lengths.setUint32(4, file.length - 8, true);
    lengths.setUint32(16, body.length, true);
    file.set(body, 20);
    let picture;
    try {
      picture = await createImageBitmap(new Blob([file], { type: "image/webp" }), { colorSpaceConversion: "none" });
    } catch {
      throw damaged();
    }
    const context = new OffscreenCanvas(width, height).getContext("2d");
    context.drawImage(picture, 0, 0);
    const rgba = context.getImageData(0, 0, width, height).data;
    return Uint8Array.from({ length: width * height }, (_, i) => mcm.luma(rgba[4 * i], rgba[4 * i + 1], rgba[4 * i + 2]));
  }

  /** Method 1: levels 0 to 3, block by block. */
  function byContexts(body, width, height, four) {
    if (width * height > 2 ** 19) throw damaged();
    const decoder = new mcm.RangeDecoder(body);
    const bits = (count, p1 = () => 2048, confidence = 0) =>
      Array.from({ length: count }, (_, context) => new mcm.AdaptiveBit(p1(context), confidence));
    const [mixed, fill, low] = [bits(9), bits(16), bits(512)];
    const levels = (context) => [0, 2, 4, 6].reduce((sum, shift) => sum + ((context >> shift) & 3), 0);
    const high = bits(256, (context) => 128 + 320 * levels(context), 2);
    const pitch = width + 2; // with a border of zeros above, left and right
    const known = new Uint8Array((height + 1) * pitch);
    const above = new Uint8Array(Math.ceil(width / BLOCK));
    for (let top = 0; top < height; top += BLOCK) {
      let before = 0;
      for (let left = 0; left < width; left += BLOCK) {
        const [bottom, right] = [Math.min(top + BLOCK, height), Math.min(left + BLOCK, width)];
        const isMixed = mixed[3 * before + above[left / BLOCK]].decode(decoder);
        let level = 0;
        if (!isMixed) {
          const at = (top + 1) * pitch + left + 1;
          level = 3 * fill[4 * known[at - 1] + known[at - pitch]].decode(decoder);
        }
        for (let row = top; row < bottom; row++) {
          for (let col = left; col < right; col++) {
            const at = (row + 1) * pitch + col + 1;
            if (isMixed) {
              const context = 64 * known[at - 1] + 16 * known[at - pitch] + 4 * known[at - pitch - 1] + known[at - pitch + 1];
              const upper = high[context].decode(decoder);
              known[at] = 2 * upper + (four ? low[2 * context + upper].decode(decoder) : upper);
            } else known[at] = level;
          }
        }
        before = above[left / BLOCK] = 1 + isMixed;
      }
    }
    try {
      decoder.finish();
    } catch {
      throw damaged();
    }
    return Uint8Array.from({ length: width * height }, (_, i) => 85 * known[(Math.floor(i / width) + 1) * pitch + (i % width) + 1]);
  }

  /** The plane (height, width) of a section's body. */
  mcm.alphaPlane = async function alphaPlane(body, width, height) {
    if (body.length < 2) throw damaged();
    const [method, scale, detail] = [body[0] & 3, (body[0] >> 2) & 7, body[0] >> 5];
    if (method === 0) {
      if (body.length > 2 || body[0]) throw damaged();
      return new Uint8Array(width * height).fill(body[1]);
    }
    if (scale > 5 || detail > (method === 1 ? 3 : 2) || (method !== 1 && detail & 1)) throw damaged();
    const side = 2 ** scale;
    const [across, down] = [Math.ceil(width / side), Math.ceil(height / side)];
    const small = method === 1
      ? byContexts(body.subarray(1), across, down, (detail & 1) === 1)
      : await fromWebp(method === 2 ? "VP8L" : "VP8 ", body.subarray(1), across, down);
    const triangle = { reach: 1, weight: (distance) => Math.max(0, 1 - Math.abs(distance)) };
    const plane = side === 1 ? small : mcm.enlarge(small, across, down, 1, side, width, height, triangle);
    return detail & 2 ? plane.map((value) => (value < 128 ? 0 : 255)) : plane;
  };
});
