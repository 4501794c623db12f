"use strict";
// The decoder as a program that answers messages: it runs in a worker, or where there are none, in the page.

mcm.part(function program(mcm) {
  const MAX_PIXELS = 2 ** 27;
  const BLENDED = ["fidelity", "perceptual"];

  const fromHex = (text) => Uint8Array.from(text.match(/../g), (byte) => parseInt(byte, 16));

  /** What a script of weights delivers: a zlib stream in base64. */
  async function unpack(text) {
    const packed = atob(text);
    const bytes = new Uint8Array(packed.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = packed.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  /**
   * @param installed what weights/models.js has: models, and the file of tables of edge maps.
   * @param fetchText a function that gives the text of a file of weights, by its name.
   */
  mcm.Program = class Program {
    constructor({ models, structureTables }, fetchText) {
      Object.assign(this, { models, structureTables, fetchText, kept: new Map(), opened: null });
    }

    /** Weights by name, kept once unpacked. */
    async _tensors(file) {
      if (!this.kept.has(file)) this.kept.set(file, mcm.tensors(await unpack(await this.fetchText(file))));
      return this.kept.get(file);
    }

    async _once(key, make) {
      if (!this.kept.has(key)) this.kept.set(key, await make());
      return this.kept.get(key);
    }

    /** Take a file apart, all but its pixels. Returns what there is to say about it; throws Refused. */
    async open(data) {
      this.opened = null;
      const head = mcm.header(data);
      const model = this.models.find(({ id }) => id === head.model && head.variant === 0);
      if (!model) {
        throw new mcm.Refused("model", `the file needs model ${head.model}.${head.variant}, which is not installed`, "update mcmcodec");
      }
      mcm.checkCrc(data, head, fromHex(model.fingerprint));
      const decoder = new mcm.RangeDecoder(data.subarray(head.payloadAt, -4));
      let words = { caption: "", regions: [] };
      if (head.hasCaption) words = mcm.words(decoder, await this._tensors(model.captions), head.rows, head.cols);
      const bits = { caption: decoder.position() };
      let symbols = null;
      if (!head.captionOnly || head.structure) {
        if (head.width * head.height > MAX_PIXELS) {
          const cause = `${head.width} x ${head.height} pixels are over the limit of ${MAX_PIXELS}`;
          throw new mcm.Refused("too large", cause, "decode it with codec --max-pixels if you trust the file");
        }
      }
      if (!head.captionOnly) {
        const tensors = await this._tensors(model.stream);
        const stream = await this._once(`stream ${model.name}`, () => new mcm.StreamModel(tensors, model.config));
        symbols = mcm.symbols(stream, decoder, head);
        Object.assign(bits, symbols.bits);
      }
      decoder.finish();
      let alpha = null;
      let edges = null;
      if (head.structure) edges = mcm.edgeMap(head.structure, head.width, head.height, await this._tensors(this.structureTables));
      if (!head.captionOnly) {
        if (head.metadata) await mcm.checkMetadata(head.metadata);
        if (head.alpha) alpha = await mcm.alphaPlane(head.alpha, head.width, head.height);
        if (head.grey?.length) throw mcm.damaged("the grey marker is damaged");
      }
      this.opened = { head, model, symbols, alpha, edges };
      const visible = symbols ? symbols.mask.reduce((a, b) => a + b, 0) : 0;
      return {
        ...words, width: head.width, height: head.height, quality: head.quality, model: model.name, crc: head.crc,
        reduction: head.reduction, grey: !!head.grey, transparent: !!alpha, total: data.length,
        bpp: (8 * data.length) / (head.width * head.height), visible, patches: head.rows * head.cols,
        edges, mode: head.captionOnly ? (edges ? "sketch" : "caption") : head.noMask && head.keep === 0 ? "base" : "full",
        bytes: parts(data, head, bits), decoders: model.decoders.map(({ name }) => name), blends: ends(model) !== null,
      };
    }

    /** The pixels of the file that is open, (height, width, 4) bytes; `choice` is a decoder's name or a realism. */
    async paint(choice, progress) {
      const { head, model, symbols, alpha } = this.opened;
      const decoder = await this._decoder(model, choice);
      const rgb = decoder.paint(symbols, head.quality, head.codedHeight, head.codedWidth, progress);
      return { width: head.width, height: head.height, rgba: mcm.restore(rgb, head, alpha) };
    }

    async _decoder(model, choice) {
      const gain = (await this._tensors(model.stream))["log_gain"];
      if (typeof choice === "string") {
        const { file, config } = model.decoders.find(({ name }) => name === choice);
        const tensors = await this._tensors(file);
        return this._once(`decoder ${file}`, () => new mcm.Decoder(tensors, { ...model.config, ...config }, gain));
      }
      const [first, last] = ends(model);
      const tensors = mcm.blend(
        await this._tensors(first.file), await this._tensors(last.file), choice, first.sizes.plan, last.sizes.plan,
      );
      return new mcm.Decoder(tensors, last.sizes, gain);
    }
  };

  /** The two ends of realism, each a decoder with all its sizes; null if nothing lies between them. */
  function ends(model) {
    const found = BLENDED.map((end) => model.decoders.find(({ name }) => name === end));
    if (!found.every(Boolean)) return null;
    const [first, last] = found.map(({ file, config }) => ({ file, sizes: { ...model.config, ...config } }));
    return mcm.blends(first.sizes, last.sizes) ? [first, last] : null;
  }

  /** Bytes of the parts of a file, as codec info has them. Zero bytes at the end of a payload are not written. */
  function parts(data, head, bits) {
    const beside = mcm.sectionSizes(head);
    const sections = Object.values(beside).reduce((a, b) => a + b, 0);
    const split = { header: head.payloadAt - sections, ...beside, caption: 0, base: 0, mask: 0, latents: 0, tail: 0, crc: 4 };
    for (const [name, count] of Object.entries(bits)) split[name] = count / 8;
    split.tail = data.length - Object.values(split).reduce((a, b) => a + b, 0);
    for (const name of ["latents", "mask", "base", "caption"]) {
      const spare = Math.min(Math.max(-split.tail, 0), split[name]);
      split[name] -= spare;
      split.tail += spare;
    }
    return split;
  }

  /**
   * Answer messages. In come {installed}, {open: bytes}, {paint: choice} with an `id`, and {file, text} where a {need: file}
   * went out; the answer to an `id` is {id, opened}, {id, progress}, {id, painted} or {id, refused}.
   */
  mcm.serve = function serve(send) {
    let program;
    const waiting = new Map();
    const fetchText = (file) =>
      new Promise((resolve, reject) => {
        waiting.set(file, { resolve, reject });
        send({ need: file });
      });
    const work = async ({ id, open, paint }) => {
      try {
        if (open) send({ id, opened: await program.open(open) });
        else {
          const painted = await program.paint(paint, (progress) => send({ id, progress }));
          send({ id, painted }, [painted.rgba.buffer]);
        }
      } catch (error) {
        const { reason = "failed", cause = String(error.message ?? error), remedy = "" } = error;
        send({ id, refused: { reason, cause, remedy } });
      }
    };
    let last = Promise.resolve();
    return (message) => {
      if (message.installed) program = new mcm.Program(message.installed, fetchText);
      else if (message.file) {
        const { resolve, reject } = waiting.get(message.file);
        waiting.delete(message.file);
        if (message.text) resolve(message.text);
        else reject(new mcm.Refused("model", `the weights ${message.file} could not be loaded`, "write the viewer again"));
      } else last = last.then(() => work(message)); // one after the other
    };
  };
});
