// A length between two places in the image, with the kind of millimetre that it is.

import { toImage, toScreen } from "./view.js";

export class Ruler {
  constructor(page, lines, marks, changed) {
    Object.assign(this, { page, lines, marks, changed });
    page.ruler = this;
    this.ends = [0, 1].map((end) => this.mark(end));
    this.text = Object.assign(document.createElement("span"), { className: "length", hidden: true });
    this.line = document.createElementNS("http://www.w3.org/2000/svg", "line");
    this.line.style.display = "none";
    lines.append(this.line);
    marks.append(...this.ends, this.text);
  }

  mark(end) {
    const button = Object.assign(document.createElement("button"), { hidden: true, className: "mark", title: "Move with the arrow keys; Delete removes the length" });
    button.setAttribute("aria-label", `${end ? "End" : "Start"} of the length`);
    let held = false;
    button.addEventListener("pointerdown", (event) => { held = true; button.setPointerCapture(event.pointerId); event.preventDefault(); button.focus(); });
    button.addEventListener("pointerup", () => { held = false; });
    button.addEventListener("pointermove", (event) => held && this.move(end, event.movementX, event.movementY));
    button.addEventListener("keydown", (event) => {
      const by = event.shiftKey ? 10 : 1;
      const [right, below] = { ArrowLeft: [-by, 0], ArrowRight: [by, 0], ArrowUp: [0, -by], ArrowDown: [0, by] }[event.key] || [0, 0];
      if (right || below) this.move(end, right, below);
      else if (event.key === "Delete" && this.page.current) { this.page.current.line = null; this.changed(); }
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    return button;
  }

  // End a drag: a click alone is no length, and takes away the one there was.
  ended(image) {
    if (!image || !image.line) return;
    const [from, to] = image.line;
    if (from[0] === to[0] && from[1] === to[1]) image.line = null;
    this.changed();
  }

  // Begin in the middle of the view, for who has no mouse.
  begin(image, width, height) {
    image.line = [0.4, 0.6].map((share) => toImage(image.view, width, height, width * share, height / 2));
    this.changed();
  }

  start(image, width, height, x, y) {
    const at = toImage(image.view, width, height, x, y);
    image.line = [at, [...at]];
    this.changed();
  }

  drag(image, width, height, x, y) {
    if (image.line) image.line[1] = toImage(image.view, width, height, x, y);
    this.changed();
  }

  move(end, right, below) {
    const { current: image, ratio, size } = this.page;
    if (!image || !image.line) return;
    const [width, height] = size;
    const [x, y] = toScreen(image.view, width, height, ...image.line[end]);
    image.line[end] = toImage(image.view, width, height, x + right * ratio, y + below * ratio);
    this.changed();
  }

  draw(image, width, height, ratio) {
    this.page.size = [width, height];
    const shown = Boolean(image && image.line);
    this.line.style.display = shown ? "" : "none";
    for (const each of [...this.ends, this.text]) each.hidden = !shown;
    if (!shown) return;
    const [from, to] = image.line.map(([x, y]) => toScreen(image.view, width, height, x, y).map((each) => each / ratio));
    for (const [name, value] of Object.entries({ x1: from[0], y1: from[1], x2: to[0], y2: to[1] })) this.line.setAttribute(name, value);
    [from, to].forEach(([x, y], end) => Object.assign(this.ends[end].style, { left: `${x}px`, top: `${y}px` }));
    this.text.textContent = told(image);
    const most = this.marks.parentElement.clientWidth - this.text.offsetWidth - 4;
    Object.assign(this.text.style, { left: `${Math.max(Math.min(Math.max(from[0], to[0]) + 14, most), 4)}px`, top: `${(from[1] + to[1]) / 2 + 14}px` });
  }
}

export function told(image) {
  const [across, down] = [0, 1].map((axis) => image.line[1][axis] - image.line[0][axis]);
  if (!image.spacing) return `${Math.hypot(across, down).toFixed(1)} pixels (the file tells no millimetres)`;
  return `${Math.hypot(across * image.spacing.across, down * image.spacing.down).toFixed(1)} ${image.spacing.kind}`;
}
