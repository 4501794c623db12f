"use strict";
// Varints, header, extension sections and checksum: sections 2, 3, 4 and 6.

mcm.part(function container(mcm) {
  const MAGIC = [0x8a, 0x4d, 0x43];
  const [METADATA, ALPHA, GREY, CAPTION_ONLY, STRUCTURE, REDUCED] = [2, 4, 6, 9, 10, 11];
  const NAMES = { [METADATA]: "metadata", [ALPHA]: "alpha", [GREY]: "grey", [STRUCTURE]: "structure" };

  /** Bits of a whole number: as Python's int.bit_length. */
  const bitLength = (value) => 32 - Math.clz32(value);

  class Cursor {
    constructor(data, at, end) {
      Object.assign(this, { data, at, end });
    }

    byte() {
      if (this.at >= this.end) throw mcm.damaged("cut short inside the header");
      return this.data[this.at++];
    }

    varint(limit, name) {
      let value = 0;
      for (let shift = 0; ; ) {
        const byte = this.byte();
        value += (byte & 127) * 2 ** shift; // no shift: five bytes have more than 32 bits
        shift += 7;
        if (value > limit) throw mcm.damaged(`damaged header: ${name} is over ${limit}`);
        const late = byte < 128 ? byte === 0 && shift > 7 : shift > bitLength(limit);
        if (late) throw mcm.damaged(`damaged header: ${name} is not in its shortest form`);
        if (byte < 128) return value;
      }
    }
  }

  /** The first four bytes: magic, length, version, flags; returns the flags. */
  function start(data) {
    if (!data.length) throw mcm.damaged("the file is empty");
    if (MAGIC.slice(0, data.length).some((byte, i) => byte !== data[i])) {
      throw new mcm.Refused("not an .mcm file", "not an .mcm file", "give a file that codec encode wrote");
    }
    if (data.length < 13) throw mcm.damaged(`cut short: ${data.length} bytes`);
    const version = data[3] & 15;
    if (version === 0) throw mcm.damaged("damaged header: there is no format 0");
    if (version > 1) throw mcm.newer(`made by a newer version: it is format ${version}`);
    if (data[3] & 0x80) throw mcm.newer("made by a newer version: it has a flag that must be understood");
    return data[3];
  }

  function sections(cursor) {
    const found = [];
    const count = cursor.varint(64, "number of extensions");
    if (!count) throw mcm.damaged("damaged header: extensions are announced but there are none");
    for (let i = 0; i < count; i++) {
      const type = cursor.varint(65535, "extension type");
      const size = cursor.varint(2 ** 24, "extension length");
      if (cursor.at + size > cursor.end) throw mcm.damaged("cut short inside an extension");
      found.push({ type, body: cursor.data.subarray(cursor.at, cursor.at + size) });
      cursor.at += size;
    }
    return found;
  }

  /** What is wrong with fields that could be read, or nothing. */
  function problem(head) {
    const ranges = [
      ["width", head.width, 1, 65535], ["height", head.height, 1, 65535], ["quality", head.quality, 0, 100],
    ];
    for (const [name, value, low, high] of ranges) {
      if (value < low || value > high) return `${name} is ${value}, not ${low} to ${high}`;
    }
    if (head.noMask && head.keep !== 0 && head.keep !== 255) {
      return `keep is ${head.keep} although every patch is visible`;
    }
    let before = -1;
    for (const { type, body } of head.sections) {
      if (type <= before) return `extension type ${type} is out of order or over 65535`;
      if (type === CAPTION_ONLY && (body.length || !head.hasCaption || head.noMask || head.keep || head.quality)) {
        return "a file of a caption only has a quality, patches, or no caption";
      }
      const whole = !head.sections.some((other) => other.type === CAPTION_ONLY);
      if (type === REDUCED && !(body.length === 1 && [2, 4, 8].includes(body[0]) && whole)) {
        return "the reduction is not 2, 4 or 8, or there is no picture";
      }
      before = type;
    }
    return "";
  }

  /** The header of a file (sections 3 and 4), all but the checksum. */
  mcm.header = function header(data) {
    const flags = start(data);
    const cursor = new Cursor(data, 4, data.length - 4);
    const head = { bytes: data.length, hasCaption: !!(flags & 16), noMask: !!(flags & 64), sections: [] };
    head.width = cursor.varint(65535, "width");
    head.height = cursor.varint(65535, "height");
    const model = cursor.varint(32767, "model");
    Object.assign(head, { model: model >> 3, variant: model & 7, quality: cursor.byte(), keep: cursor.byte() });
    if (flags & 32) head.sections = sections(cursor);
    const wrong = problem(head);
    if (wrong) throw mcm.damaged(`damaged header: ${wrong}`);
    if (head.sections.some(({ type }) => type % 2 && type !== CAPTION_ONLY && type !== REDUCED)) {
      throw mcm.newer("made by a newer version: it has an extension that must be understood");
    }
    const body = (type) => head.sections.find((section) => section.type === type)?.body;
    head.captionOnly = body(CAPTION_ONLY) !== undefined;
    head.reduction = body(REDUCED)?.[0] ?? 1;
    Object.assign(head, { metadata: body(METADATA), alpha: body(ALPHA), grey: body(GREY), structure: body(STRUCTURE) });
    head.codedHeight = Math.ceil(head.height / head.reduction);
    head.codedWidth = Math.ceil(head.width / head.reduction);
    head.rows = Math.ceil(head.codedHeight / 16);
    head.cols = Math.ceil(head.codedWidth / 16);
    head.payloadAt = cursor.at;
    head.crc = (data.at(-1) * 2 ** 24 + data.at(-2) * 65536 + data.at(-3) * 256 + data.at(-4)) >>> 0;
    return head;
  };

  /** Bytes of the extension sections by name; those of a reduction count as the header's. */
  mcm.sectionSizes = function sectionSizes(head) {
    const named = head.sections.filter(({ type, body }) => type !== REDUCED && (body.length || type in NAMES));
    return Object.fromEntries(named.map(({ type, body }) => [NAMES[type] ?? `section ${type}`, body.length]));
  };

  const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
    for (let i = 0; i < 8; i++) byte = byte & 1 ? (byte >>> 1) ^ 0xedb88320 : byte >>> 1;
    return byte;
  });

  /** CRC-32 over several arrays of bytes (section 6). */
  mcm.crc32 = function crc32(...parts) {
    let crc = 0xffffffff;
    for (const part of parts) for (const byte of part) crc = CRC[(crc ^ byte) & 255] ^ (crc >>> 8);
    return ~crc >>> 0;
  };

  /** Refuse a file whose checksum is wrong for a model with this fingerprint. */
  mcm.checkCrc = function checkCrc(data, head, fingerprint) {
    if (mcm.crc32(fingerprint, data.subarray(0, -4)) !== head.crc) {
      throw new mcm.Refused(
        "damaged", "checksum is wrong: the file is damaged, or its model's weights are not these",
        "get a whole copy of the file, or the weights that it was made with",
      );
    }
  };

  /** Metadata has to unpack (section 4.3), although nothing of it is shown. */
  mcm.checkMetadata = async function checkMetadata(body) {
    const limit = 2 ** 22;
    const start = new Uint8Array(4);
    let size = 0;
    try {
      const reader = new Blob([body]).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
      for (let step = await reader.read(); !step.done; step = await reader.read()) {
        if (size < 4) start.set(step.value.subarray(0, 4 - size), size);
        size += step.value.length;
        if (size > limit) break;
      }
    } catch {
      size = 0;
    }
    const exif = new DataView(start.buffer).getUint32(0, true);
    if (size < 4 || size > limit || 4 + exif > size) throw mcm.damaged("the metadata is damaged");
  };
});
