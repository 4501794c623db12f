"use strict";
// The viewer is a handful of classic scripts: a page that was opened from a file: URL may load no modules, and a worker
// of it no scripts. So every script hands over one function, the page runs it, and the worker is made of the functions'
// texts (see page.js). Section numbers in these files are those of formats/mcm.md.

const mcm = {
  parts: [],
  /** Run a part of the program, and keep its text for the worker. */
  part(run) {
    mcm.parts.push(run);
    run(mcm);
  },
};

mcm.part(function errors(mcm) {
  /** Why a file is refused: one of the five reasons at the beginning of the specification, a cause and a remedy. */
  mcm.Refused = class Refused extends Error {
    constructor(reason, cause, remedy) {
      super(`${cause}; ${remedy}`);
      Object.assign(this, { name: "Refused", reason, cause, remedy });
    }
  };
  mcm.damaged = (cause) => new mcm.Refused("damaged", cause, "get a whole copy of the file");
  mcm.newer = (cause) => new mcm.Refused("newer", cause, "update mcmcodec");
  mcm.PAYLOAD = "the coded picture data is damaged";
});
