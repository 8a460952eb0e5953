// Pointer, wheel, touch and keys.

import { act, choosing, comparing, hold, openFiles, page, panBy, preset, refresh, shownSize, windowBy, zoomTo } from "./main.js";

// By key what happens; keys are those of OHIF where it has one.
const ACTIONS = {
  "=": "fit", 0: "one", 9: "two", "+": "in", "-": "out", i: "invert", l: "left", r: "right", h: "flipAcross", v: "flipDown", " ": "reset",
  f: "full", t: "texts", e: "enhance", s: "swipe", b: "pair", d: "difference", PageUp: "previous", PageDown: "next",
};
const TOOLS = { w: "window", p: "pan", z: "zoom", m: "measure", x: "lens" };
const PRESETS = { 1: "file", 2: "all", 3: "most", 4: "more", 5: "less" };

const LIST = [
  ["E", "enhance what is on screen, or not"], ["O, held", "the original"], ["S, B, D", "swipe, side by side, difference"],
  ["W, P, Z, M, X", "window, pan, zoom, length, lens"], ["arrows", "use the chosen tool on the picture, with Shift ten times as far; of Length the first one begins it, Tab leads to its ends"],
  ["=, 0, 9, +, -", "fit, 1:1, 2:1, magnify, shrink"], ["1 to 5", "windows"], ["I, L, R, H, V", "invert, turn left, turn right, flip left-right, flip top-bottom"], ["F", "full screen"], ["T", "hide the texts over the picture, or show them"],
  ["space", "as it was opened"], ["PageUp, PageDown", "previous and next radiograph"], ["Ctrl+O", "open"], ["?", "this list"],
  ["mouse", "left button: the tool (window: down brightens, right widens); middle: pan; right: window; wheel: zoom"],
];
const TOUCH = ["touch", "one finger: the tool; two: zoom and pan"];
export const KEYS = globalThis.matchMedia("(pointer: coarse)").matches ? [TOUCH, ...LIST] : [...LIST, TOUCH];

export function bindInput(stage, canvas) {
  const pointers = new Map();
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * page.ratio, (event.clientY - box.top) * page.ratio];
  };
  // In a pair of pictures both halves show the same place.
  const inView = ([x, y]) => { const [width] = shownSize(); return [x >= width && width < canvas.width ? x - width : x, y]; };

  canvas.addEventListener("pointerdown", (event) => {
    if (!page.current) return;
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    const at = place(event);
    const tool = { 1: "pan", 2: "window" }[event.button] || page.tool;
    pointers.set(event.pointerId, { at, tool: nearSplit(at) ? "split" : tool });
    if (tool === "measure" && pointers.size === 1 && !nearSplit(at)) page.ruler.start(page.current, ...shownSize(), ...inView(at));
    event.preventDefault();
  });
  canvas.addEventListener("pointermove", (event) => {
    const at = place(event);
    page.cursor = inView(at);
    if (!page.current) return;
    if (page.tool === "lens") { page.lens = at; refresh(); }
    const pointer = pointers.get(event.pointerId);
    if (!pointer) { canvas.style.cursor = nearSplit(at) ? "ew-resize" : "crosshair"; return; }
    const [right, below] = [at[0] - pointer.at[0], at[1] - pointer.at[1]];
    if (pointers.size === 2) pinch(event.pointerId, at);
    else if (pointer.tool === "split") { page.swipe = Math.min(Math.max(at[0] / canvas.width, 0), 1); document.getElementById("swipe").value = Math.round(page.swipe * 1000); refresh(); }
    else if (pointer.tool === "measure") page.ruler.drag(page.current, ...shownSize(), ...inView(at));
    else use(pointer.tool, right, below, inView(at));
    pointer.at = at;
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => {
    if (pointers.get(event.pointerId)?.tool === "measure") page.ruler.ended(page.current);
    pointers.delete(event.pointerId);
  });
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (page.current) zoomTo(page.current.view.zoom * 2 ** (-event.deltaY / 400), inView(place(event)));
  }, { passive: false });
  canvas.addEventListener("dblclick", () => act("fit"));

  function nearSplit([x]) {
    return comparing() && page.compare === "swipe" && Math.abs(x - page.swipe * canvas.width) < 12 * page.ratio;
  }

  function pinch(moved, at) {
    const [[, other]] = [...pointers].filter(([id]) => id !== moved);
    const before = pointers.get(moved).at;
    const apart = (a, b) => Math.max(Math.hypot(a[0] - b[0], a[1] - b[1]), 1);
    panBy((at[0] - before[0]) / 2, (at[1] - before[1]) / 2);
    zoomTo(page.current.view.zoom * (apart(at, other.at) / apart(before, other.at)), inView([(at[0] + other.at[0]) / 2, (at[1] + other.at[1]) / 2]));
  }

  function use(tool, right, below, at) {
    if (tool === "window") windowBy(right / page.ratio, below / page.ratio);
    else if (tool === "pan") panBy(right, below);
    else if (tool === "zoom") zoomTo(page.current.view.zoom * 2 ** (-below / page.ratio / 150), at);
  }

  document.addEventListener("keydown", (event) => {
    const typing = ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName);
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "o") { document.getElementById("files").click(); event.preventDefault(); return; }
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (key.length === 1 && !document.getElementById("letters").checked) return;
    if (typing && (key.startsWith("Arrow") || /^[0-9 ]$/.test(key) || ["Home", "End", "PageUp", "PageDown"].includes(key))) return;
    if (key === " " && event.target.tagName === "BUTTON") return;
    if (key === "?") document.getElementById("keys").showModal();
    else if (key === "o" && !event.repeat) hold(true);
    else if (TOOLS[key]) choosing(TOOLS[key]);
    else if (PRESETS[key] && page.current) preset(PRESETS[key]);
    else if (ACTIONS[key]) act(ACTIONS[key]);
    else if (key.startsWith("Arrow") && event.target === canvas && page.current) arrow(key, event.shiftKey ? 50 : 5);
    else return;
    event.preventDefault();
  });
  document.addEventListener("keyup", (event) => event.key.toLowerCase() === "o" && hold(false));
  globalThis.addEventListener("blur", () => hold(false));

  function arrow(key, by) {
    const [right, below] = { ArrowLeft: [-by, 0], ArrowRight: [by, 0], ArrowUp: [0, -by], ArrowDown: [0, by] }[key];
    const [width, height] = shownSize();
    if (page.tool === "lens") { page.lens = [page.lens[0] + right, page.lens[1] + below]; page.cursor = inView(page.lens); refresh(); return; }
    if (page.tool === "measure" && !page.current.line) page.ruler.begin(page.current, width, height);
    else use(page.tool === "measure" ? "pan" : page.tool, right, below, [width / 2, height / 2]);
  }

  // Wherever a file is dropped: else the browser would leave the page for it.
  for (const name of ["dragenter", "dragover"]) document.addEventListener(name, (event) => { event.preventDefault(); stage.classList.add("over"); });
  for (const name of ["dragleave", "drop"]) document.addEventListener(name, () => stage.classList.remove("over"));
  document.addEventListener("drop", (event) => { event.preventDefault(); openFiles([...event.dataTransfer.files]); });
  // After a click a key is for the picture again, not for the button.
  document.addEventListener("click", (event) => event.detail && event.target.closest("header button, [data-do]") && canvas.focus({ preventScroll: true }));
}
