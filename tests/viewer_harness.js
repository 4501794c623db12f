"use strict";
// What the tests of the viewer run in Node and in a browser: files to symbols, facts and pixels, as JSON.

const toBase64 = (bytes) => {
  let text = "";
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return btoa(text);
};

/** The SHA-256 of section 10, in hexadecimal. */
async function symbolHash({ rows, cols, psi, vHat, mask }) {
  const parts = [[psi, psi.length / (rows * cols)], [vHat, vHat.length / (rows * cols)], [Int32Array.from(mask), 0]];
  const bytes = parts.flatMap(([values, depth]) => [
    new TextEncoder().encode(`(${[rows, cols, ...(depth ? [depth] : [])].join(", ")})`),
    new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
  ]);
  const digest = await crypto.subtle.digest("SHA-256", await new Blob(bytes).arrayBuffer());
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * One answer for each of the files {name, data (base64), choice}: what Program.open says, the hash of the symbols, and if
 * there is a choice of a decoder the pixels; or why the file is refused.
 */
async function decodeAll(mcm, fetchText, files) {
  const program = new mcm.Program(mcm.installed, fetchText);
  const answers = {};
  for (const { name, data, choice } of files) {
    try {
      const opened = await program.open(Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0)));
      const { symbols } = program.opened;
      const edges = opened.edges && { ...opened.edges, edges: toBase64(opened.edges.edges) };
      answers[name] = { ...opened, edges, symbols: symbols && (await symbolHash(symbols)) };
      if (choice !== undefined) {
        const { rgba } = await program.paint(choice, () => {});
        answers[name].rgba = toBase64(rgba);
      }
    } catch (error) {
      if (!error.reason) throw error;
      answers[name] = { reason: error.reason, cause: error.cause, remedy: error.remedy };
    }
  }
  return answers;
}

if (typeof process !== "undefined" && process.versions?.node) {
  const fs = require("fs");
  const vm = require("vm");
  const [site, request] = process.argv.slice(2);
  const load = (file) => vm.runInThisContext(fs.readFileSync(`${site}/${file}`, "utf8"), { filename: file });
  const scripts = [...fs.readFileSync(`${site}/index.html`, "utf8").matchAll(/<script src="(.*?)">/g)].map((found) => found[1]);
  scripts.filter((file) => file !== "page.js").forEach(load);
  const mcm = vm.runInThisContext("mcm");
  let delivered;
  mcm.deliver = (file, text) => (delivered = text);
  const fetchText = async (file) => {
    load(`weights/${file}.js`);
    return delivered;
  };
  if (!globalThis.createImageBitmap) mcm.alphaPlane = async (body, width, height) => new Uint8Array(width * height).fill(255);
  decodeAll(mcm, fetchText, JSON.parse(fs.readFileSync(request, "utf8"))).then((answers) => console.log(JSON.stringify(answers)));
}
