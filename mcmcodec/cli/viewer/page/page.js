"use strict";
// What is seen: opening files, showing them, saving pictures. All text of a file is put in as text, never as markup.

(() => {
  const $ = (id) => document.getElementById(id);
  const BETWEEN = " "; // no decoder has this name
  const COLOURS = {
    header: "#7f8c8d", metadata: "#b08d57", alpha: "#8e6bbf", grey: "#9aa5b1", caption: "#d98c1f", structure: "#c9a227",
    base: "#1f78b4", mask: "#c2557a", latents: "#33a06f", tail: "#b5b5b5", crc: "#5d6d7e",
  };
  const MODES = { base: "the base layer only", sketch: "caption and edges only", caption: "the caption only" };

  // ---- the decoder, in a worker where there is one ----

  const texts = new Map();
  mcm.deliver = (file, text) => texts.set(file, text);

  const loads = new Map();
  /** The text of a file of weights, or undefined if there is none. A load that began earlier is taken up once. */
  function loadWeights(file) {
    const load = loads.get(file) ?? loadScript(file);
    loads.delete(file);
    return load;
  }

  /** Begin to load what a file will need, while the decoder is busy with the beginning. */
  function prefetch(data) {
    try {
      const head = mcm.header(data);
      const model = mcm.installed.models.find(({ id }) => id === head.model);
      const decoder = model.decoders.find(({ name }) => name === $("decoder").value) ?? model.decoders[0];
      const needed = [model.stream, ...(head.hasCaption ? [model.captions] : []), ...(head.captionOnly ? [] : [decoder.file])];
      for (const file of needed) if (!asked.has(file) && !loads.has(file)) loads.set(file, loadScript(file));
    } catch {
      // the decoder will say what is wrong
    }
  }

  function loadScript(file) {
    return new Promise((resolve) => {
      const script = document.createElement("script");
      script.src = `weights/${file}.js`;
      script.onload = script.onerror = () => {
        script.remove();
        const text = texts.get(file);
        texts.delete(file);
        resolve(text);
      };
      document.head.append(script);
    });
  }

  const asked = new Set(); // files of weights that the decoder has

  function start(receive) {
    const parts = mcm.parts.map((part) => `(${part})(mcm);`);
    const source = [
      '"use strict"; const mcm = {};', ...parts,
      "const answer = mcm.serve((message, transfer = []) => postMessage(message, transfer));",
      "onmessage = ({ data }) => answer(data);",
    ];
    try {
      const worker = new Worker(URL.createObjectURL(new Blob([source.join("\n")], { type: "text/javascript" })));
      worker.onmessage = ({ data }) => receive(data);
      worker.onerror = ({ message }) => receive({ broken: message || "the browser does not say why" });
      return (message) => worker.postMessage(message);
    } catch {
      const answer = mcm.serve((message) => setTimeout(receive, 0, message));
      return (message) => setTimeout(answer, 0, message);
    }
  }

  let requests = 0;
  const open = new Map();
  const send = start(async (message) => {
    if (message.need) {
      const text = await loadWeights(message.need);
      if (text) asked.add(message.need);
      send({ file: message.need, text });
      return;
    }
    if (message.broken) {
      const refused = { reason: "failed", cause: `the decoder cannot run (${message.broken})`, remedy: "try another browser" };
      for (const request of open.values()) request.reject(refused);
      open.clear();
      return;
    }
    const request = open.get(message.id);
    if (message.progress !== undefined) request.progress?.(message.progress);
    else {
      open.delete(message.id);
      if (message.refused) request.reject(message.refused);
      else request.resolve(message.opened ?? message.painted);
    }
  });
  send({ installed: mcm.installed });

  function ask(message, progress) {
    return new Promise((resolve, reject) => {
      const id = ++requests;
      open.set(id, { resolve, reject, progress });
      send({ id, ...message });
    });
  }

  // ---- what is shown ----

  const say = (text) => {
    if ($("status").textContent !== text) $("status").textContent = text; // else it might be read out again
  };
  const number = (value, digits = 0) =>
    value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

  function refuse({ reason, cause, remedy }, name) {
    $("progress").hidden = true;
    say("");
    const heading = document.createElement("strong");
    heading.textContent = name ? `${name} cannot be shown` : "It cannot be shown";
    $("refused").replaceChildren(heading, remedy ? `${cause}; ${remedy}` : cause);
    $("refused").dataset.reason = reason;
    $("refused").hidden = false;
  }

  function element(tag, content, attributes = {}) {
    const made = document.createElement(tag);
    made.append(...[content].flat());
    Object.assign(made, attributes);
    return made;
  }

  const hasPicture = ({ mode }) => mode === "full" || mode === "base";

  function describe(facts, name) {
    $("name").textContent = name;
    document.title = `${name} – mcm viewer`;
    $("caption").textContent = facts.caption || "No caption.";
    $("caption").classList.toggle("none", !facts.caption);
    const rows = [
      ["Picture", `${facts.width} × ${facts.height} pixels`],
      ["File", `${number(facts.total)} bytes`],
      ["Rate", `${facts.bpp.toPrecision(3)} bits per pixel`],
      ["Quality", hasPicture(facts) ? String(facts.quality) : ""],
      ["Holds", MODES[facts.mode] ?? ""],
      ["Coded at", facts.reduction > 1 ? `1/${facts.reduction} of its size` : ""],
      ["Visible", facts.mode === "full" ? `${number(facts.visible)} of ${number(facts.patches)} patches` : ""],
      ["Edges", facts.edges ? `a map of ${facts.edges.cols} × ${facts.edges.rows}` : ""],
      ["Model", facts.model],
    ];
    $("facts").replaceChildren(...rows.filter(([, value]) => value).flatMap(([key, value]) => [element("dt", key), element("dd", value)]));
    $("regions-part").hidden = !facts.regions.length;
    $("regions").replaceChildren(
      ...facts.regions.map(({ x, y, w, h, text }) =>
        element("li", [element("bdi", text), " ", element("small", `at ${16 * x}, ${16 * y}: ${16 * w} × ${16 * h}`)])),
    );
    const parts = Object.entries(facts.bytes).filter(([, bytes]) => bytes > 0);
    const colour = (part) => COLOURS[part] ?? "#888";
    $("bar").replaceChildren(...parts.map(([part, bytes]) => {
      const piece = element("span", "");
      piece.style.cssText = `flex: ${bytes} 0 0; background: ${colour(part)}`;
      return piece;
    }));
    const row = (part, bytes, swatch) => element("tr", [
      element("th", swatch ? [swatch, part] : part, { scope: "row" }),
      ...[number(bytes, 1), number((100 * bytes) / facts.total, 1), ((8 * bytes) / (facts.width * facts.height)).toFixed(5)]
        .map((value) => element("td", value)),
    ]);
    $("bytes").replaceChildren(
      ...parts.map(([part, bytes]) => {
        const swatch = element("span", "", { className: "swatch" });
        swatch.style.background = colour(part);
        return row(part, bytes, swatch);
      }),
      row("total", facts.total),
    );
  }

  function offer(facts) {
    const before = $("decoder").value;
    const named = facts.decoders.map((name, i) => element("option", i ? name : `${name} (default)`, { value: name }));
    const between = facts.blends ? [element("option", "by realism, 0 to 1", { value: BETWEEN })] : [];
    $("decoder").replaceChildren(...named, ...between);
    if ([...facts.decoders, ...(facts.blends ? [BETWEEN] : [])].includes(before)) $("decoder").value = before;
    $("controls").hidden = facts.mode === "caption";
    $("decoder-row").hidden = !hasPicture(facts);
    $("realism-row").hidden = !hasPicture(facts) || $("decoder").value !== BETWEEN;
  }

  let current = null;
  let latest = 0; // of several requests, the last one counts

  async function paint() {
    const turn = ++latest;
    const { name, facts } = current;
    const began = performance.now();
    $("save").disabled = true;
    $("progress").hidden = false;
    $("progress").value = 0;
    say("Decoding…");
    const choice = $("decoder").value === BETWEEN ? Number($("realism").value) : $("decoder").value;
    try {
      const { width, height, rgba } = await ask({ paint: choice }, (share) => {
        if (turn !== latest) return;
        say("Decoding…");
        $("progress").value = share;
      });
      if (turn !== latest) return;
      const canvas = $("canvas");
      [canvas.width, canvas.height] = [width, height];
      canvas.getContext("2d").putImageData(new ImageData(rgba, width, height), 0, 0);
      canvas.setAttribute("aria-label", facts.caption || `Picture ${name}, without a caption`);
      $("frame").hidden = false;
      $("save").disabled = false;
      $("progress").hidden = true;
      const seconds = (performance.now() - began) / 1000;
      say(`Decoded in ${seconds.toFixed(1)} s.`);
      Object.assign(document.body.dataset, { painted: turn, seconds: seconds.toFixed(3) });
    } catch (error) {
      if (turn === latest) refuse(error, name);
    }
  }

  /** The lines of a sketch: every sample of an edge is joined to its neighbours. */
  function sketch({ name, facts: { width, height, edges, caption } }) {
    const canvas = $("canvas");
    [canvas.width, canvas.height] = [width, height];
    const pen = canvas.getContext("2d");
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, width, height);
    pen.scale(2 ** edges.scale, 2 ** edges.scale);
    [pen.strokeStyle, pen.lineWidth, pen.lineCap] = ["#000", Math.max(2 ** -edges.scale, 1 / 3), "round"];
    const at = (row, col) => row < edges.rows && col >= 0 && col < edges.cols && edges.edges[row * edges.cols + col];
    pen.beginPath();
    for (let row = 0; row < edges.rows; row++) {
      for (let col = 0; col < edges.cols; col++) {
        if (!at(row, col)) continue;
        const ends = [[row, col + 1], [row + 1, col - 1], [row + 1, col], [row + 1, col + 1]].filter((end) => at(...end));
        for (const [y, x] of [[row, col], ...ends]) {
          pen.moveTo(col + 0.5, row + 0.5);
          pen.lineTo(x + 0.5, y + 0.5);
        }
      }
    }
    pen.stroke();
    canvas.setAttribute("aria-label", caption ? `Edges: ${caption}` : `Edges of ${name}`);
    $("frame").hidden = $("save").disabled = false;
    $("progress").hidden = true;
    say("The file holds a caption and edges, and no picture: the edges are drawn.");
  }

  async function show(name, data) {
    const turn = ++latest;
    const began = performance.now();
    $("refused").hidden = $("empty").hidden = true;
    $("shown").hidden = true;
    $("progress").hidden = false;
    $("progress").removeAttribute("value");
    say("Reading…");
    prefetch(data);
    try {
      const facts = await ask({ open: data });
      if (turn !== latest) return;
      current = { name, facts };
      describe(facts, name);
      offer(facts);
      $("shown").hidden = false;
      $("frame").hidden = true;
      document.body.dataset.read = ((performance.now() - began) / 1000).toFixed(3);
      if (hasPicture(facts)) await paint();
      else if (facts.edges) sketch(current);
      else {
        $("progress").hidden = true;
        say("The file holds a caption and no picture.");
      }
    } catch (error) {
      if (turn !== latest) return;
      $("empty").hidden = false;
      refuse(error, name);
    }
  }

  // ---- how files come in, and pictures go out ----

  const showFile = async (file) => show(file.name, new Uint8Array(await file.arrayBuffer()));

  $("file").addEventListener("change", ({ target }) => {
    if (target.files.length) showFile(target.files[0]);
    target.value = ""; // so that the same file can be opened again
  });
  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("over");
  });
  addEventListener("dragleave", ({ relatedTarget }) => {
    if (!relatedTarget) document.body.classList.remove("over");
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (file) showFile(file);
  });
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("decoder").addEventListener("change", () => {
    $("realism-row").hidden = $("decoder").value !== BETWEEN;
    paint();
  });
  $("realism").addEventListener("input", () => ($("realism-value").value = Number($("realism").value).toFixed(2)));
  $("realism").addEventListener("change", paint);
  $("save").addEventListener("click", () => {
    $("canvas").toBlob((blob) => {
      if (!blob) return say("This browser makes no PNG of so large a picture.");
      const link = element("a", "", { href: URL.createObjectURL(blob), download: current.name.replace(/(\.mcm)?$/i, ".png") });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60000);
      say(`Saved as ${link.download}.`);
    }, "image/png");
  });

  async function showAddress(address) {
    const name = decodeURIComponent(address.split(/[?#]/)[0].split("/").pop()) || address;
    try {
      const response = await fetch(address);
      if (!response.ok) throw new Error(`the server says ${response.status}`);
      await show(name, new Uint8Array(await response.arrayBuffer()));
    } catch (error) {
      const remedy = location.protocol === "file:"
        ? "a page on this disk may fetch no files: open it with the button above"
        : "check the address, and whether its server lets other sites fetch it";
      refuse({ reason: "failed", cause: `${address} cannot be fetched (${error.message})`, remedy }, name);
    }
  }

  const source = new URLSearchParams(location.search).get("src");
  if (mcm.given) show(mcm.given.name, Uint8Array.from(atob(mcm.given.data), (letter) => letter.charCodeAt(0)));
  else if (source) showAddress(source);
  document.body.dataset.ready = "";
})();
