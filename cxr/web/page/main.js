// The page: what is open, how it is shown, and what the buttons do.

import { Drawing, SIDE } from "./draw.js";
import { bindInput, KEYS } from "./input.js";
import { Ruler, told } from "./ruler.js";
import { Tiles } from "./tiles.js";
import { bounded, clamped, fine, fitted, geometry, scaleFor, sides, toImage, toScreen, turned, visible } from "./view.js";

const element = (name) => document.getElementById(name);
const LENS = 260; // screen pixels a side
const LONGEST = 32700; // rows or columns, enhanced, whose places are still 32 bits
const TOGETHER = 300; // milliseconds in which tiles that come are drawn together: without a GPU drawing takes the cores that make the next ones
const NARROW = 120; // pixels of a half that has no room for its label
const KNOWN = 240000; // milliseconds, after which the server is told that the page is still open
const where = document.documentElement.dataset.where; // demo, local or remote: who serves the page

export const page = {
  drawing: null, images: [], opened: 0, current: null, tool: "window",
  enhanced: false, strength: 100, compare: "", swipe: 0.5, holding: false,
  cursor: [0, 0], lens: null, bare: false, stale: true, frames: 0, soon: 0, ratio: 1,
};
globalThis.cxr = page; // for tests, and for the curious

const stage = element("stage");
const canvas = element("canvas");
const ruler = new Ruler(page, element("lines"), element("marks"), () => refresh());

// ---- drawing

export function refresh(stale = false) {
  page.stale ||= stale;
  if (!page.frame) page.frame = requestAnimationFrame(frame);
}

// Find out what came in, which the server does once the original is there; if that fails, the next call tries again.
function know(image) {
  image.knowing ||= (async () => {
    try {
      let answer = await fetch(`${image.url}/told`, { signal: image.leaving.signal });
      while (answer.status === 503) { // too much waits at the server
        await new Promise((done) => setTimeout(done, 1000 * (Number(answer.headers.get("retry-after")) || 1)));
        answer = await fetch(`${image.url}/told`, { signal: image.leaving.signal });
      }
      const said = await answer.json();
      if (!answer.ok) throw new Error(said.error);
      Object.assign(image, said, { scaleNames: Object.keys(said.scales).map(Number).sort() });
      if (image.failed) say("");
    } catch (error) {
      Object.assign(image, { knowing: null, failed: true });
      if (!image.closed) say(`Not enhanced: ${error.message}`, true);
    }
    if (image === page.current) update();
  })();
  return image.knowing;
}

// Tell whether enhanced pixels are on the screen, or to come.
export function comparing() {
  const image = page.current;
  return Boolean(image && page.enhanced && scaleFor(image.view.zoom, usable(image)));
}

// Return the size of the part of the canvas that shows the image once.
export function shownSize() {
  return [comparing() && page.compare === "pair" ? Math.floor(canvas.width / 2) : canvas.width, canvas.height];
}

export const usable = (image) => image.scaleNames.filter((scale) => image.scales[scale].cap > 0 && Math.max(image.rows, image.columns) * scale < LONGEST);

export function activeTiles(image) {
  const scale = page.enhanced ? scaleFor(image.view.zoom, usable(image)) : 0;
  for (const [other, tiles] of Object.entries(image.tiles)) if (Number(other) !== scale) tiles.rest();
  if (!scale) return null;
  image.tiles[scale] ||= new Tiles(
    page.drawing, image, scale, image.url, () => { if (image === page.current) refreshWith(image.tiles[scale]); }, (reason) => failedTiles(image, reason),
  );
  return image.tiles[scale];
}

// Draw a tile that has come: the first and the last at once, others together.
function refreshWith(tiles) {
  if (tiles.off.size === 1 || !tiles.missing) refresh(true);
  else page.soon ||= setTimeout(() => { page.soon = 0; refresh(true); }, TOGETHER);
}

function failedTiles(image, reason) {
  if (image !== page.current) return;
  page.enhanced = false;
  say(`Not enhanced: ${reason}`, true);
  update();
}

// Return how strongly the network may be used, and is.
export function strength(image, tiles) {
  return tiles ? Math.min(page.strength, percent(image.scales[tiles.scale].cap)) : 0;
}

const percent = (share) => Math.floor(100 * share + 1e-6);

export function how(image, tiles) {
  const [width] = shownSize();
  const both = Boolean(tiles);
  return {
    ...fine(image.window), inverse: image.inverted !== image.invert ? 1 : 0, strength: strength(image, tiles), enhanced: both ? 1 : 0,
    split: both && page.compare === "swipe" ? Math.round(page.swipe * width) : -1,
    pair: both && page.compare === "pair" ? width : 0,
    difference: both && page.compare === "difference" ? 1 : 0, original: page.holding ? 1 : 0,
  };
}

function frame() {
  page.frame = 0;
  const began = performance.now();
  const image = page.current;
  if (page.lost) return;
  if (!image) {
    page.stale = false;
    page.drawing.clear();
    ruler.draw(null, canvas.width, canvas.height, page.ratio);
    frameLens(null);
    drawSplit(0);
    return;
  }
  const [width, height] = shownSize();
  const tiles = activeTiles(image);
  if (page.stale) {
    page.stale = false;
    if (tiles) tiles.want(visible(image.view, image, width, height), toImage(image.view, width, height, ...page.cursor));
    tell();
    page.drawing.resample(0, image.textures, tiles && tiles.textures, geometry(image.view, width, height, tiles ? tiles.scale : 1));
  }
  page.drawing.present(0, image.textures, 0, 0, canvas.width, canvas.height, how(image, tiles));
  frameLens(page.tool === "lens" && page.lens ? drawLens(image, tiles, width, height) : null);
  ruler.draw(page.tool === "lens" ? null : image, width, height, page.ratio); // under a lens it would be at another scale
  overlay(image, tiles);
  page.frames++;
  page.spent = performance.now() - began;
}

function drawLens(image, tiles, width, height) {
  const second = page.lens[0] >= width; // of a pair
  const [x, y] = toImage(image.view, width, height, second ? page.lens[0] - width : page.lens[0], page.lens[1]);
  const view = { ...image.view, x, y, zoom: clamped(image.view.zoom * 2) };
  const side = Math.min(Math.round(LENS * page.ratio), Math.floor(canvas.width / 2), Math.floor(canvas.height / 2));
  const [left, top] = [0, 1].map((axis) => Math.min(Math.max(Math.round(page.lens[axis] - side / 2), 0), [canvas.width, canvas.height][axis] - side));
  const all = how(image, tiles);
  const before = all.pair ? !second : all.split >= 0 && page.lens[0] < all.split; // it shows what lies under it
  page.drawing.resample(1, image.textures, tiles && tiles.textures, geometry(view, side, side, tiles ? tiles.scale : 1));
  page.drawing.present(1, image.textures, left, top, side, side, { ...all, split: -1, pair: 0, original: page.holding || before ? 1 : 0 });
  return { left: left / page.ratio, top: top / page.ratio, side: side / page.ratio, text: `${tiles && !before && !page.holding ? "ENHANCED" : "ORIGINAL"} ${number(view.zoom)}:1` };
}

// Put a frame around the lens, or none.
function frameLens(place) {
  const rim = element("rim");
  rim.hidden = !place;
  if (!place) return;
  Object.assign(rim.style, { left: `${place.left}px`, top: `${place.top}px`, width: `${place.side}px`, height: `${place.side}px` });
  written(rim, place.text);
}

// ---- texts

const number = (value) => (Math.abs(value) >= 100 ? Math.round(value).toString() : Number(value.toPrecision(3)).toString());

function overlay(image, tiles) {
  element("synthetic").hidden = !image.synthetic;
  element("turned").textContent = changedLabel(image);
  element("turned").hidden = !changedLabel(image);
  const ends = image.orientation ? sides(image.view, image.orientation) : ["", "", "", ""];
  ["sideLeft", "sideRight", "sideTop", "sideBottom", "innerLeft", "innerRight"].forEach((name, index) => { element(name).textContent = ends[index % 4]; });
  const own = image.linear ? [1, 0.5] : [0, 0]; // of DICOM's LINEAR function
  const middle = ((image.window.low + image.window.high) / 2 + own[1]) * image.slope + image.intercept;
  const width = (image.window.high - image.window.low + own[0]) * Math.abs(image.slope);
  written(element("numbers"), `Window ${number(width)}, level ${number(middle)}${image.table ? " of the file's curve" : ""}\nZoom ${number(image.view.zoom)}:1`);
  const split = tiles && halved() ? splitAt() : 0;
  drawSplit(split);
  labelHalves(split, image, tiles);
  const label = element("enhanced");
  label.textContent = !image.complete ? "LOADING: black parts are not there yet" : tiles ? shownLabel(image, tiles) : page.enhanced ? "NOT ENHANCED at this zoom" : "";
  label.hidden = !label.textContent || Boolean(tiles && halved() && !tiles.missing && !element("after").hidden); // then each half has its own
  canvas.setAttribute("aria-label", `Radiograph ${image.number}, ${image.columns} by ${image.rows} pixels, ${tiles && !page.holding ? label.textContent : "original"}`);
}

const halved = () => ["swipe", "pair"].includes(page.compare) && !page.holding;

// Write a text over the picture, on ground of its own, line by line.
function written(place, text) {
  const line = document.createElement("span");
  line.textContent = text;
  place.replaceChildren(...(text ? [line] : []));
}

// Say on each side of the line what is shown there; of a pair each half has its sides of the patient.
function labelHalves(split, image, tiles) {
  const [at, width] = [split / page.ratio, canvas.width / page.ratio];
  element("before").hidden = !split || at < NARROW;
  element("after").hidden = !split || width - at < NARROW;
  element("before").style.right = element("innerRight").style.right = `${width - at}px`;
  element("after").style.left = element("innerLeft").style.left = `${at}px`;
  element("after").textContent = split ? enhancedLabel(image, tiles) : "";
  for (const name of ["innerLeft", "innerRight"]) element(name).hidden = !split || page.compare !== "pair";
}

const splitAt = () => (page.compare === "pair" ? shownSize()[0] : Math.round(page.swipe * canvas.width));

function drawSplit(at) {
  const line = element("lines").querySelector(".split");
  if (line) line.remove();
  if (!at) return;
  const drawn = document.createElementNS("http://www.w3.org/2000/svg", "line");
  drawn.setAttribute("class", "split");
  for (const [name, value] of Object.entries({ x1: at / page.ratio, x2: at / page.ratio, y1: 0, y2: canvas.height / page.ratio })) drawn.setAttribute(name, value);
  element("lines").append(drawn);
}

// What was done to the picture as such.
const changedLabel = (image) => [turned(image.view), image.invert ? "INVERTED" : ""].filter(Boolean).join(", ");

// What is shown where enhanced tiles are, or are to come.
function shownLabel(image, tiles) {
  if (page.holding) return "ORIGINAL (held)";
  const by = `${image.network} x${tiles.scale}, ${strength(image, tiles)}%`;
  if (tiles.missing) return `ENHANCING ${by}: ${tiles.missing} of ${tiles.wanted.length + tiles.beyond} tiles still original`;
  if (page.compare === "difference") return `DIFFERENCE x4, ${by}: mid-grey unchanged, white 1/8 of the window brighter`;
  return halved() ? `ORIGINAL | ENHANCED ${by}` : `ENHANCED ${by}`;
}

const enhancedLabel = (image, tiles) => `${tiles.missing ? "ENHANCING" : "ENHANCED"} ${image.network} x${tiles.scale}, ${strength(image, tiles)}%`;

export function say(text, wrong = false) {
  element("status").textContent = text;
  element("status").classList.toggle("wrong", wrong);
}

// What the panel says while tiles come and the view changes.
export function tell() {
  const image = page.current;
  const tiles = image && activeTiles(image);
  let hint = "";
  if (image && !image.told) hint = "Looking for noise and compression, before anything can be enhanced.";
  else if (image && !usable(image).length) hint = `Not enhanced: ${Object.values(image.scales)[0].why || "it is too long for this"}.`;
  else if (image && page.enhanced && !tiles) hint = "At this size the screen shows no more pixels than there are, so enhancement would not show. Go to 2:1.";
  else if (image && !page.enhanced) hint = "Shows where the screen magnifies: above 1:1. The original stays as it is.";
  else if (tiles && tiles.beyond) hint = "The graphics hold no more tiles; dotted parts are the original. Zoom in.";
  else if (tiles && tiles.missing) hint = `${tiles.missing} of ${tiles.wanted.length} tiles to come; dotted parts are the original.`;
  else if (tiles && image.scales[tiles.scale].cap < 1) hint = `Strength at most ${percent(image.scales[tiles.scale].cap)}%: at more, ${image.scales[tiles.scale].why}.`;
  element("hint").textContent = hint;
  const scale = image && (tiles ? tiles.scale : usable(image)[0]);
  const used = scale ? Math.min(page.strength, percent(image.scales[scale].cap)) : page.strength;
  element("saveResult").textContent = scale ? `Save enhanced x${scale}, ${used}%` : "Save enhanced";
  element("strengthShown").textContent = used < page.strength ? `${page.strength}% asked for, ${used}% used` : `${page.strength}%`;
  const off = tiles && strength(image, tiles) === percent(image.scales[tiles.scale].cap) ? tiles.rms : null; // which is of the greatest
  element("consistency").textContent = off === null || !tiles ? "" :
    `Consistent with the input: made small again, what is on screen differs from it by ${off.toFixed(2)} of 255 grey levels. This does not say that added detail is real.`;
}

// Bring every button and text in line with the state.
export function update() {
  const image = page.current;
  for (const button of document.querySelectorAll("[data-tool]")) button.setAttribute("aria-pressed", button.dataset.tool === page.tool);
  const pressed = { texts: page.bare, invert: image && image.invert, swipe: page.compare === "swipe", pair: page.compare === "pair", difference: page.compare === "difference" };
  for (const [name, on] of Object.entries(pressed)) document.querySelector(`[data-do="${name}"]`).setAttribute("aria-pressed", Boolean(on));
  const can = image && usable(image).length > 0;
  element("enhance").disabled = image ? Boolean(image.told) && !can : true; // a key that comes too soon is not lost
  element("enhance").setAttribute("aria-pressed", page.enhanced);
  element("settings").hidden = !page.enhanced;
  element("swipeAt").hidden = page.compare !== "swipe";
  element("drop").hidden = Boolean(image);
  for (const each of document.querySelectorAll("header [data-tool], header [data-do], #preset")) each.disabled = !image && each.dataset.do !== "full";
  element("saveResult").disabled = !can;
  for (const name of ["savePicture", "close"]) element(name).disabled = !image;
  if (!image) canvas.setAttribute("aria-label", "No radiograph is open");
  element("list").replaceChildren(...(page.images.length > 1 ? page.images : []).map((each) => each.button)); // which keep the focus
  for (const each of page.images) each.button.setAttribute("aria-pressed", each === image);
  element("preset").value = image ? image.preset : "file";
  for (const corner of ["patient", "study", "image"]) written(element(corner), image ? (image.corners[corner] || []).join("\n") : "");
  if (image && !(image.corners.patient || []).length) written(element("patient"), image.name); // all that tells whose it is
  if (!image) {
    for (const name of ["enhanced", "synthetic", "turned", "before", "after", "innerLeft", "innerRight"]) element(name).hidden = true;
    for (const name of ["numbers", "sideLeft", "sideRight", "sideTop", "sideBottom"]) element(name).textContent = "";
  }
  element("size").textContent = image ? `${image.columns} x ${image.rows}, ${image.bits} bits.${image.orientation ? "" : " Left and right: not told by the file."}` : "";
  element("told").textContent = image ? `Noise and compression: ${image.told || "being looked for"}.` : "Nothing is open.";
  element("remarks").replaceChildren(...(image ? image.remarks : []).map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  tell();
  refresh(true);
}

// ---- opening and closing

export async function openFiles(files) {
  if (where === "demo") { say("This page shows phantoms alone; nothing was sent."); return; }
  const began = performance.now();
  for (const file of files) {
    say(`Opening ${file.name} ...`);
    await opened(fetch("/radiographs", { method: "PUT", body: file, headers: { "content-type": "application/octet-stream" } }), file.name, began);
  }
}

export const openPhantom = () => { say("Drawing a phantom ..."); return opened(fetch("/phantoms", { method: "POST" }), "Phantom", performance.now()); };

async function opened(request, name, began) {
  try {
    const answer = await request;
    const said = await answer.json();
    if (!answer.ok) throw new Error(said.error);
    await show(said, name, began);
    say("");
  } catch (error) {
    say(`${name} was not opened: ${error.message}`, true);
  }
}

// Show what the server has opened, the original first.
async function show(said, name, began) {
  const image = {
    ...said, title: `${page.opened + 1}. ${name}`, number: ++page.opened, name, url: `/radiographs/${said.id}`,
    told: "", scales: {}, scaleNames: [], knowing: null, invert: false, tiles: {}, counts: new Uint32Array(65536), line: null, preset: "file",
    leaving: new AbortController(), textures: page.drawing.image(said.rows, said.columns), button: document.createElement("button"),
  };
  image.button.textContent = image.title;
  image.button.addEventListener("click", () => choose(image));
  image.window = bounded(image);
  page.images.push(image);
  fit(image);
  choose(image);
  try {
    await values(image);
  } catch (error) {
    if (image.closed) return;
    await close(image);
    throw error;
  }
  image.shownAfter = performance.now() - began;
  know(image);
}

async function values(image) {
  if (image.table) {
    const answer = await fetch(`${image.url}/table`, { signal: image.leaving.signal });
    if (!answer.ok) throw new Error((await answer.json()).error);
    const curve = new Uint16Array(await answer.arrayBuffer());
    if (image.closed) return;
    page.drawing.curve(image.textures, curve);
  }
  const down = Math.ceil(image.rows / SIDE);
  const across = Math.ceil(image.columns / SIDE);
  await Promise.all([...Array(down * across).keys()].map(async (index) => {
    const [row, column] = [Math.floor(index / across), index % across];
    const answer = await fetch(`${image.url}/values/${row}/${column}`, { signal: image.leaving.signal });
    if (!answer.ok) throw new Error((await answer.json()).error);
    const found = new Uint16Array(await answer.arrayBuffer());
    if (image.closed) return;
    const [height, width] = [Math.min(SIDE, image.rows - row * SIDE), Math.min(SIDE, image.columns - column * SIDE)];
    page.drawing.upload(image.textures, row, column, width, height, found);
    for (let i = 0; i < found.length; i++) image.counts[found[i]]++;
    if (image === page.current) refresh(true);
  }));
  image.complete = true;
}

// Show another radiograph: again the original first.
export function choose(image) {
  for (const other of page.images) if (other !== image) forgetTiles(other);
  Object.assign(page, { current: image, holding: false, enhanced: false, compare: "" });
  update();
  if (image) image.button.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function forgetTiles(image) {
  for (const tiles of Object.values(image.tiles)) tiles.close();
  image.tiles = {};
}

export async function close(image = page.current) {
  if (!image || image.closed) return;
  image.closed = true;
  image.leaving.abort();
  const index = page.images.indexOf(image);
  page.images.splice(index, 1);
  forgetTiles(image);
  page.drawing.forget(image.textures.values, image.textures.curve);
  if (image === page.current) choose(page.images[Math.min(index, page.images.length - 1)] || null);
  update();
  await fetch(image.url, { method: "DELETE" });
}

// ---- what buttons and keys do

export function fit(image = page.current) {
  const [width, height] = shownSize();
  const turns = image.view ? image.view.turns : 0;
  image.view = { mirrored: false, ...image.view, turns, x: image.columns / 2, y: image.rows / 2, zoom: fitted(image, width, height, turns) };
}

// Zoom by keeping what lies under a place on the canvas there.
export function zoomTo(zoom, at) {
  const view = page.current.view;
  const [width, height] = shownSize();
  const [x, y] = toImage(view, width, height, ...at);
  view.zoom = clamped(zoom);
  const [afterX, afterY] = toImage(view, width, height, ...at);
  view.x += x - afterX;
  view.y += y - afterY;
  tell();
  refresh(true);
}

export function panBy(right, below) {
  const view = page.current.view;
  const [width, height] = shownSize();
  const [x, y] = toImage(view, width, height, width / 2 - right, height / 2 - below);
  view.x = Math.min(Math.max(x, 0), page.current.columns);
  view.y = Math.min(Math.max(y, 0), page.current.rows);
  refresh(true);
}

// Down brightens, right widens: IHE Basic Image Review.
export function windowBy(right, below) {
  const image = page.current;
  const width = image.window.high - image.window.low;
  const wider = Math.max(width * (1 + right / 300), 1);
  const sign = image.inverted !== image.invert ? 1 : -1;
  const middle = (image.window.low + image.window.high) / 2 + (sign * below * width) / 300;
  image.window = bounded({ low: middle - wider / 2, high: middle + wider / 2 });
  image.preset = element("preset").value = "own";
  refresh();
}

function percentiles(image) {
  const counts = image.counts;
  const total = counts.reduce((sum, each) => sum + each, 0);
  let below = 0;
  const ends = [0, 0];
  for (let value = 0; value < counts.length; value++) {
    if (below <= total * 0.01) ends[0] = value;
    if (below <= total * 0.99) ends[1] = value;
    below += counts[value];
  }
  return ends;
}

export function preset(name) {
  const image = page.current;
  const width = image.window.high - image.window.low;
  const middle = (image.window.low + image.window.high) / 2;
  const around = (factor) => ({ low: middle - (width * factor) / 2, high: middle + (width * factor) / 2 });
  const [least, most] = percentiles(image);
  const top = image.table ? 65535 : 2 ** image.bits - 1;
  image.window = bounded({
    file: () => ({ low: image.low, high: image.high }), all: () => ({ low: 0, high: top }),
    most: () => (image.table ? { low: 655, high: 64880 } : { low: least, high: Math.max(most, least + 1) }),
    more: () => around(0.7), less: () => around(1 / 0.7),
  }[name]());
  image.preset = element("preset").value = ["more", "less"].includes(name) ? "own" : name;
  refresh();
}

const middle = () => { const [width, height] = shownSize(); return [width / 2, height / 2]; };

function turn(view, turns, flip) {
  if (flip) { view.mirrored = !view.mirrored; view.turns = (turns - view.turns) & 3; } else view.turns = (view.turns + turns) & 3;
  refresh(true);
}

function compare(name) {
  if (!page.enhanced) return;
  const atFit = page.current.view.zoom === fitted(page.current, ...shownSize(), page.current.view.turns);
  page.compare = page.compare === name ? "" : name;
  if (atFit && fitted(page.current, ...shownSize(), page.current.view.turns) > 1) fit();
  update();
}

export const actions = {
  fit: () => { fit(); update(); },
  one: () => zoomTo(1, middle()),
  two: () => zoomTo(2, middle()),
  in: () => zoomTo(page.current.view.zoom * 1.25, middle()),
  out: () => zoomTo(page.current.view.zoom / 1.25, middle()),
  invert: () => { page.current.invert = !page.current.invert; update(); },
  left: () => turn(page.current.view, 3, false),
  right: () => turn(page.current.view, 1, false),
  flipAcross: () => turn(page.current.view, 0, true),
  flipDown: () => turn(page.current.view, 2, true),
  reset: () => {
    Object.assign(page.current, { invert: false, view: null, line: null, preset: "file", window: bounded(page.current) });
    Object.assign(page, { compare: "", strength: 100, swipe: 0.5, lens: null });
    element("strength").value = 100;
    element("swipe").value = 500;
    fit();
    update();
  },
  enhance: async () => {
    const image = page.current;
    if (image.pressed) return; // once is enough
    image.pressed = true;
    await know(image);
    image.pressed = false;
    if (image !== page.current || element("enhance").disabled || !image.told) return;
    page.enhanced = !page.enhanced;
    if (!page.enhanced) page.compare = "";
    for (const [scale, tiles] of Object.entries(page.current.tiles)) if (tiles.over) delete page.current.tiles[scale];
    update();
  },
  swipe: () => compare("swipe"),
  pair: () => compare("pair"),
  difference: () => compare("difference"),
  full: () => (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen()),
  texts: () => { page.bare = stage.classList.toggle("bare"); update(); },
  previous: () => step(-1),
  next: () => step(1),
  close: () => close(),
};

function step(by) {
  const index = page.images.indexOf(page.current) + by;
  if (page.images[index]) choose(page.images[index]);
}

export function act(name) {
  if (page.current || name === "full") actions[name]();
}

export function choosing(tool) {
  page.tool = tool;
  document.querySelector(`[data-tool="${tool}"]`).scrollIntoView({ block: "nearest", inline: "nearest" }); // on a phone it may be out of sight
  if (tool === "lens") page.lens = middle();
  update();
}

export function hold(on) {
  if (page.holding === on) return;
  page.holding = on;
  refresh();
}

// ---- saving

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const stem = (name) => name.replace(/\.[^.]*$/, "");

async function saveResult() {
  const image = page.current;
  const tiles = activeTiles(image);
  const scale = tiles ? tiles.scale : usable(image)[0];
  const kind = image.dicom ? "dcm" : "png";
  const began = performance.now();
  const timer = setInterval(() => say(`Enhancing the whole radiograph: ${Math.round((performance.now() - began) / 1000)} s ...`), 1000);
  say("Enhancing the whole radiograph ...");
  try {
    const answer = await fetch(`${image.url}/result/${kind}/${scale}/${page.strength}`);
    if (!answer.ok) throw new Error((await answer.json()).error);
    const used = Math.round(100 * Number(answer.headers.get("x-strength")));
    save(await answer.blob(), `${stem(image.name)}-${used ? "enhanced" : "interpolated"}-x${scale}.${kind}`);
    say(used ? `Saved, enhanced x${scale} by ${image.network} at strength ${used}%.` : `Saved, interpolated x${scale}, not enhanced.`);
  } catch (error) {
    say(`Not saved: ${error.message}`, true);
  } finally {
    clearInterval(timer);
  }
}

// The picture as it is shown, with what the labels say written into it.
function savePicture() {
  const image = page.current;
  const tiles = activeTiles(image);
  const drawn = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
  const pen = drawn.getContext("2d");
  pen.drawImage(canvas, 0, 0);
  const enhanced = tiles && !page.holding;
  const labels = [image.synthetic ? "SYNTHETIC" : "", changedLabel(image), tiles ? shownLabel(image, tiles) : "original", "for research, not for diagnosis"];
  pen.strokeStyle = "#fff";
  pen.lineWidth = page.ratio;
  const stroke = (from, to) => { pen.beginPath(); pen.moveTo(...from); pen.lineTo(...to); pen.stroke(); };
  if (tiles && ["swipe", "pair"].includes(page.compare)) stroke([splitAt(), 0], [splitAt(), drawn.height]);
  if (image.line) {
    const [from, to] = image.line.map((end) => toScreen(image.view, ...shownSize(), ...end));
    stroke(from, to);
    labels.push(`length ${told(image)}`);
  }
  const size = Math.round(14 * page.ratio);
  pen.font = `bold ${size}px sans-serif`;
  pen.textAlign = "center";
  labels.filter(Boolean).forEach((text, line) => {
    const [x, y] = [drawn.width / 2, (line + 1) * size * 1.5];
    const width = pen.measureText(text).width;
    pen.fillStyle = "#000";
    pen.fillRect(x - width / 2 - 6, y - size, width + 12, size * 1.4);
    pen.fillStyle = "#fff";
    pen.fillText(text, x, y);
  });
  drawn.toBlob((blob) => save(blob, `${stem(image.name)}-${enhanced ? "ENHANCED" : "original"}-view.png`), "image/png");
}

// ---- start

function resized(entries) {
  page.ratio = globalThis.devicePixelRatio || 1;
  const exact = entries && entries[0].devicePixelContentBoxSize; // whole pixels of the screen, where the browser tells them
  const rough = [stage.clientWidth, stage.clientHeight].map((each) => Math.round(each * page.ratio));
  const near = exact && Math.abs(exact[0].inlineSize - rough[0]) <= 2 && Math.abs(exact[0].blockSize - rough[1]) <= 2;
  const [width, height] = near ? [exact[0].inlineSize, exact[0].blockSize] : rough;
  if (!width || !height || (width === canvas.width && height === canvas.height)) return;
  const atFit = page.current && page.current.view && page.current.view.zoom === fitted(page.current, ...shownSize(), page.current.view.turns);
  Object.assign(canvas, { width, height });
  if (atFit) fit();
  page.cursor = [width / 2, height / 2];
  refresh(true);
}

// Show again what the server still has: the page was loaded anew.
async function again() {
  const answer = await fetch("/radiographs");
  if (!answer.ok) return;
  for (const said of await answer.json()) await show(said, said.synthetic ? "Phantom" : "Radiograph", performance.now());
}

function start() {
  try {
    page.drawing = new Drawing(canvas);
  } catch (error) {
    say(error.message);
    return;
  }
  history.replaceState(null, "", "/"); // the token is used up
  canvas.addEventListener("webglcontextlost", () => {
    page.lost = true;
    for (const name of ["enhanced", "synthetic", "turned", "before", "after"]) element(name).hidden = true;
    say("The browser has lost its graphics; load the page again. What is open stays open.");
  });
  try {
    new ResizeObserver(resized).observe(stage, { box: "device-pixel-content-box" });
  } catch {
    new ResizeObserver(() => resized()).observe(stage);
  }
  resized();
  element("open").hidden = where === "demo";
  element("invitation").textContent = where === "demo" ? "Open a phantom: a drawn radiograph that shows no person." : `${matchMedia("(pointer: coarse)").matches ? "Tap to open a radiograph" : "Drop a radiograph here, or open one"}: DICOM, PNG, JPEG or TIFF, 8 to 16 bits.`;
  element("promise").textContent = {
    demo: "This page takes no files.", local: "It stays in this computer's memory and goes nowhere else.",
    remote: "It goes to the server of this page, stays in its memory, and is forgotten when you close it.",
  }[where];
  setInterval(() => { if (page.images.length && !document.hidden) fetch("/radiographs"); }, KNOWN);
  bindInput(stage, canvas);
  element("open").addEventListener("click", () => element("files").click());
  element("files").addEventListener("change", (event) => { openFiles([...event.target.files]); event.target.value = ""; });
  element("phantom").addEventListener("click", openPhantom);
  canvas.addEventListener("click", () => { if (!page.current && where !== "demo") element("files").click(); });
  element("enhance").addEventListener("click", actions.enhance);
  element("close").addEventListener("click", () => close());
  element("saveResult").addEventListener("click", saveResult);
  element("savePicture").addEventListener("click", savePicture);
  element("preset").addEventListener("change", (event) => page.current && preset(event.target.value));
  element("strength").addEventListener("input", (event) => { page.strength = Number(event.target.value); tell(); refresh(); });
  element("swipe").addEventListener("input", (event) => { page.swipe = Number(event.target.value) / 1000; refresh(); });
  for (const button of document.querySelectorAll("[data-tool]")) button.addEventListener("click", () => choosing(button.dataset.tool));
  for (const button of document.querySelectorAll("[data-do]")) button.addEventListener("click", () => act(button.dataset.do));
  const holder = element("hold");
  for (const name of ["pointerdown", "keydown"]) holder.addEventListener(name, (event) => (name === "pointerdown" || [" ", "Enter"].includes(event.key)) && hold(true));
  for (const name of ["pointerup", "pointerleave", "keyup", "blur"]) holder.addEventListener(name, () => hold(false));
  element("help").addEventListener("click", () => element("keys").showModal());
  element("keyList").replaceChildren(...KEYS.flatMap(([keys, text]) => [
    Object.assign(document.createElement("dt"), { textContent: keys }), Object.assign(document.createElement("dd"), { textContent: text }),
  ]));
  update();
  again().catch((error) => say(error.message)).finally(() => { page.ready = true; });
}

start();
