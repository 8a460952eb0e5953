// Where an image lies on the screen: its centre there, its zoom, and how it is turned. Pure sums.

import { UNIT, WIDEST } from "./draw.js";

export const LEAST = 1 / 32; // screen pixels for a pixel
export const MOST = 32;

// By quarter turns to the right, how steps on the screen are steps in the image.
const TURNS = [[1, 0, 0, 1], [0, 1, -1, 0], [-1, 0, 0, -1], [0, -1, 1, 0]];

export function matrix(view) {
  const [a, b, c, d] = TURNS[view.turns & 3];
  return view.mirrored ? [-a, -b, c, d] : [a, b, c, d];
}

// Return the steps and the first place of resampling, in parts of a pixel (UNIT), for a part of the screen.
// At whole zooms the first place is moved by less than half a screen pixel, so that 1:1 shows values as they are, and the
// enhanced image of scale 2 at 2:1 as well.
export function geometry(view, width, height, scale = 1) {
  const [a, b, c, d] = matrix(view);
  const step = Math.round(UNIT / view.zoom);
  const whole = Number.isInteger(view.zoom) ? view.zoom : 0;
  const first = (centre, x, y, times) => {
    const middle = ((x * (1 - width) + y * (1 - height)) * step) / 2;
    if (whole) {
      const pixel = Math.round((centre + middle / UNIT) * whole - 0.5); // of an image of so many times the pixels
      return Math.round((((pixel + 0.5) / whole) * times - 0.5) * UNIT);
    }
    return Math.round((centre * times - 0.5) * UNIT) + Math.floor(middle * times);
  };
  return {
    width, height, step,
    along: [a, c], down: [b, d],
    from: [first(view.x, a, b, 1), first(view.y, c, d, 1)],
    fromLarger: [first(view.x, a, b, scale), first(view.y, c, d, scale)],
  };
}

// Return the place in the image under a place on the screen, both counted from the corner, and the other way round.
export function toImage(view, width, height, x, y) {
  const [a, b, c, d] = matrix(view);
  const [right, below] = [(x - width / 2) / view.zoom, (y - height / 2) / view.zoom];
  return [view.x + a * right + b * below, view.y + c * right + d * below];
}

export function toScreen(view, width, height, x, y) {
  const [a, b, c, d] = matrix(view);
  const [along, down] = [(x - view.x) * view.zoom, (y - view.y) * view.zoom];
  return [width / 2 + a * along + c * down, height / 2 + b * along + d * down];
}

export function fitted(image, width, height, turns) {
  const [columns, rows] = turns & 1 ? [image.rows, image.columns] : [image.columns, image.rows];
  return clamped(Math.min(width / columns, height / rows));
}

export const clamped = (zoom) => Math.min(Math.max(zoom, LEAST), MOST);

// Return the part of the image on the screen: [left, top, right, bottom], inside the image.
export function visible(view, image, width, height) {
  const corners = [[0, 0], [width, height]].map(([x, y]) => toImage(view, width, height, x, y));
  const [left, right] = [corners[0][0], corners[1][0]].sort((a, b) => a - b);
  const [top, bottom] = [corners[0][1], corners[1][1]].sort((a, b) => a - b);
  return [Math.max(left, 0), Math.max(top, 0), Math.min(right, image.columns), Math.min(bottom, image.rows)];
}

// Return a window that the shader can take: its sums have 32 bits.
export function bounded({ low, high }) {
  const width = Math.min(Math.max(high - low, 0.25), WIDEST);
  const middle = Math.min(Math.max((low + high) / 2, -WIDEST), WIDEST);
  return { low: middle - width / 2, high: middle + width / 2 };
}

// Return a window as the shader takes it: sixteenths of a value.
export function fine(window) {
  return { low: Math.round(window.low * 16), width: Math.max(Math.round((window.high - window.low) * 16), 1) };
}

const OTHER = { L: "R", R: "L", A: "P", P: "A", H: "F", F: "H" };

// Return the sides of the patient at the left, right, top and bottom of the screen.
export function sides(view, [along, down]) {
  const [a, b, c, d] = matrix(view);
  const other = (side) => [...side].map((letter) => OTHER[letter]).join("");
  const toward = (x, y) => (x ? (x > 0 ? along : other(along)) : y > 0 ? down : other(down));
  return [toward(-a, -c), toward(a, c), toward(-b, -d), toward(b, d)];
}

// Return in words how a picture is turned, or nothing.
export function turned(view) {
  const degrees = [0, 90, 180, 270][view.turns & 3];
  return [view.mirrored ? "MIRRORED" : "", degrees ? `TURNED ${degrees}°` : ""].filter(Boolean).join(", ");
}

// Return the scale at which what is on the screen is enhanced: the least that has as many pixels; 0 where the screen shrinks.
export function scaleFor(zoom, scales) {
  if (zoom <= 1) return 0;
  return scales.find((scale) => scale >= zoom) || scales[scales.length - 1] || 0;
}
