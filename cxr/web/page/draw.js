// Drawing: stored values in integer textures, resampled once per pan or zoom into an integer target, then windowed.
// All arithmetic is of integers, so that tests can do the same sums and compare every pixel.

export const SIDE = 1024; // pixels a side of a tile of the original
export const UNIT = 65536; // of a position: one pixel
const TAPS = 1024; // what the weights of four neighbours add up to
const FINE = 16; // parts of a value that resampling keeps
export const WIDEST = 250000; // values of a window, beyond which products leave 32 bits

const VERTEX = `#version 300 es
void main() { gl_Position = vec4(vec2(gl_VertexID & 1, gl_VertexID >> 1) * 4.0 - 1.0, 0.0, 1.0); }`;

const HEAD = `#version 300 es
precision highp float; precision highp int;
precision highp usampler2D; precision highp usampler2DArray; precision highp isampler2D;`;

// Keys' cubic where the screen magnifies; where it shrinks, the mean of up to 4x4 samples.
const RESAMPLE = (name, at) => `
int ${name}(ivec2 place, int step, ivec2 last) {
  if (step <= ${UNIT}) {
    ivec2 first = place >> 16;
    ivec4 down = texelFetch(weights, ivec2((place.y >> 8) & 255, 0), 0), across = texelFetch(weights, ivec2((place.x >> 8) & 255, 0), 0);
    int sum = 0;
    for (int j = 0; j < 4; j++) {
      int row = 0;
      for (int i = 0; i < 4; i++) row += across[i] * ${at}(clamp(first + ivec2(i - 1, j - 1), ivec2(0), last));
      sum += down[j] * ((row + 32) >> 6);
    }
    return clamp((sum + 512) >> 10, 0, ${65535 * FINE});
  }
  int count = min((step + ${UNIT - 1}) >> 16, 4), sum = 0;
  ivec2 edge = place + 32768 - step / 2;
  for (int j = 0; j < count; j++)
    for (int i = 0; i < count; i++)
      sum += ${at}(clamp((edge + ivec2((2 * i + 1) * (step / (2 * count)), (2 * j + 1) * (step / (2 * count)))) >> 16, ivec2(0), last));
  return (sum * ${2 * FINE} + count * count) / (2 * count * count);
}`;

const SAMPLE = `${HEAD}
uniform usampler2DArray original, tiles;
uniform usampler2D places;
uniform isampler2D weights;
uniform ivec2 size, larger, along, down, from, fromLarger;
uniform int across, side, scale, step, tall;
out uvec4 made;
bool missing = false;
int plain(ivec2 at) { return int(texelFetch(original, ivec3(at & ${SIDE - 1}, (at.y >> 10) * across + (at.x >> 10)), 0).r); }
int better(ivec2 at) {
  ivec2 tile = at / side;
  int layer = int(texelFetch(places, tile, 0).r);
  if (layer == 0) { missing = true; return 0; }
  return int(texelFetch(tiles, ivec3(at - tile * side, layer - 1), 0).r);
}
${RESAMPLE("ofOriginal", "plain")}
${RESAMPLE("ofTiles", "better")}
void main() {
  ivec2 pixel = ivec2(int(gl_FragCoord.x), tall - 1 - int(gl_FragCoord.y));
  ivec2 steps = along * pixel.x + down * pixel.y;
  ivec2 place = from + steps * step, nearest = (place + 32768) >> 16;
  made = uvec4(0u);
  if (any(lessThan(nearest, ivec2(0))) || any(greaterThanEqual(nearest, size))) return;
  int value = ofOriginal(place, step, size - 1);
  made = uvec4(value, value, 1u, 0u);
  if (scale == 0) return;
  int found = ofTiles(fromLarger + steps * step * scale, step * scale, larger - 1);
  if (!missing) made = uvec4(value, found, 2u, 0u);
}`;

const SHOW = `${HEAD}
uniform usampler2D made, curve;
uniform int low, width, strength, split, pair, left, bottom;
uniform bool inverse, curved, difference, original, enhanced;
out vec4 colour;
int value(int fine) {
  if (!curved) return fine;
  int index = clamp((fine + 8) >> 4, 0, 65535);
  return int(texelFetch(curve, ivec2(index & 255, index >> 8), 0).r) * ${FINE};
}
int grey(int fine) {
  int above = clamp(value(fine) - low, 0, width), found = (above * 510 + width) / (2 * width);
  return inverse ? 255 - found : found;
}
void main() {
  ivec2 pixel = ivec2(int(gl_FragCoord.x) - left, int(gl_FragCoord.y) - bottom);
  bool before = original || !enhanced, second = false;
  if (pair > 0) { second = pixel.x >= pair; before = before || !second; if (second) pixel.x -= pair; }
  else if (split >= 0 && pixel.x < split) before = true;
  uvec4 found = texelFetch(made, pixel, 0);
  colour = vec4(0.0, 0.0, 0.0, 1.0);
  if (found.b == 0u) return;
  int plain = int(found.r), better = (plain * (100 - strength) + int(found.g) * strength + 50) / 100;
  int shown = grey(before ? plain : better);
  if (!before && difference) {
    int change = value(better) - value(plain);
    shown = clamp(128 * width + (inverse ? -change : change) * 1020, 0, 255 * width) / width;
  }
  // Where a tile is not there yet the original shows, and a fine dotted grid says so.
  if (!before && found.b == 1u && ((pixel.x & 15) == 0 || (pixel.y & 15) == 0) && ((pixel.x + pixel.y) & 3) == 0) shown = shown < 128 ? 255 : 0;
  colour = vec4(vec3(float(shown) / 255.0), 1.0);
}`;

// By 1/256 of a pixel, the weights of four neighbours: R. G. Keys, IEEE TASSP 29(6), 1981, a = -1/2, in TAPS parts.
export function keys() {
  const weights = new Int16Array(256 * 4);
  for (let phase = 0; phase < 256; phase++) {
    const f = phase / 256;
    const exact = [
      ((-0.5 * f + 1) * f - 0.5) * f,
      (1.5 * f - 2.5) * f * f + 1,
      ((-1.5 * f + 2) * f + 0.5) * f,
      (0.5 * f - 0.5) * f * f,
    ];
    const whole = exact.map((each) => Math.floor(each * TAPS + 0.5));
    whole[f < 0.5 ? 1 : 2] += TAPS - whole.reduce((sum, each) => sum + each);
    weights.set(whole, phase * 4);
  }
  return weights;
}

export class Drawing {
  constructor(canvas) {
    this.canvas = canvas;
    const gl = canvas.getContext("webgl2", { antialias: false, alpha: false, preserveDrawingBuffer: true, depth: false });
    if (!gl) throw new Error("this browser has no WebGL2, which the page draws with");
    this.gl = gl;
    this.most = gl.getParameter(gl.MAX_ARRAY_TEXTURE_LAYERS);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    this.sample = this.program(SAMPLE);
    this.show = this.program(SHOW);
    this.weights = this.texture(gl.TEXTURE_2D, gl.RGBA16I, 256, 1);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, 256, 1, gl.RGBA_INTEGER, gl.SHORT, keys());
    this.nothing = this.texture(gl.TEXTURE_2D, gl.R16UI, 1, 1);
    this.noTiles = this.texture(gl.TEXTURE_2D_ARRAY, gl.R16UI, 1, 1, 1);
    this.targets = [this.target(), this.target()]; // of the view, and of the lens
    this.uploads = 0;
  }

  program(fragment) {
    const gl = this.gl;
    const program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
    const places = {};
    for (let i = 0; i < gl.getProgramParameter(program, gl.ACTIVE_UNIFORMS); i++) {
      const { name, type } = gl.getActiveUniform(program, i);
      places[name] = { at: gl.getUniformLocation(program, name), pair: type === gl.INT_VEC2 };
    }
    return { program, places };
  }

  set({ places }, values) {
    for (const [name, value] of Object.entries(values)) {
      if (!places[name]) continue;
      if (places[name].pair) this.gl.uniform2iv(places[name].at, value);
      else this.gl.uniform1i(places[name].at, value);
    }
  }

  texture(kind, format, width, height, layers = 0) {
    const gl = this.gl;
    const texture = gl.createTexture();
    gl.bindTexture(kind, texture);
    if (layers) gl.texStorage3D(kind, 1, format, width, height, layers);
    else gl.texStorage2D(kind, 1, format, width, height);
    for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(kind, name, gl.NEAREST);
    return texture;
  }

  target() {
    return { frame: this.gl.createFramebuffer(), texture: null, width: 0, height: 0 };
  }

  // Return textures for an image: tiles of its values, which `upload` fills.
  image(rows, columns) {
    const across = Math.ceil(columns / SIDE);
    const layers = across * Math.ceil(rows / SIDE);
    return { across, values: this.texture(this.gl.TEXTURE_2D_ARRAY, this.gl.R16UI, SIDE, SIDE, layers), curve: null, rows, columns };
  }

  upload(image, row, column, width, height, values) {
    this.fill(image.values, row * image.across + column, width, height, values);
  }

  curve(image, values) {
    const gl = this.gl;
    image.curve = this.texture(gl.TEXTURE_2D, gl.R16UI, 256, 256);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, 256, 256, gl.RED_INTEGER, gl.UNSIGNED_SHORT, values);
  }

  // Return textures for the enhanced tiles of an image: their values, and where the tile of a place lies.
  tiles(side, down, across, layers) {
    const gl = this.gl;
    return {
      side, down, across,
      values: this.texture(gl.TEXTURE_2D_ARRAY, gl.R16UI, side, side, layers),
      places: this.texture(gl.TEXTURE_2D, gl.R16UI, across, down),
      table: new Uint16Array(down * across),
    };
  }

  fill(texture, layer, width, height, values) {
    const gl = this.gl;
    gl.bindTexture(gl.TEXTURE_2D_ARRAY, texture);
    gl.texSubImage3D(gl.TEXTURE_2D_ARRAY, 0, 0, 0, layer, width, height, 1, gl.RED_INTEGER, gl.UNSIGNED_SHORT, values);
    gl.bindTexture(gl.TEXTURE_2D_ARRAY, null); // so that nothing is ever written into what was bound before
    this.uploads++;
  }

  place(tiles) {
    const gl = this.gl;
    gl.bindTexture(gl.TEXTURE_2D, tiles.places);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, tiles.across, tiles.down, gl.RED_INTEGER, gl.UNSIGNED_SHORT, tiles.table);
    this.uploads++;
  }

  // Return how many tiles are kept: as many as are wanted, or there can be.
  layersFor(wanted, all) {
    return Math.min(wanted, all, this.most);
  }

  forget(...textures) {
    for (const texture of textures) if (texture) this.gl.deleteTexture(texture);
  }

  bind(unit, kind, texture) {
    this.gl.activeTexture(this.gl.TEXTURE0 + unit);
    this.gl.bindTexture(kind, texture);
    return unit;
  }

  // Resample `image`, and its enhanced `tiles` if any, into target `number`, as `at` of `geometry` says.
  resample(number, image, tiles, at) {
    const gl = this.gl;
    const target = this.targets[number];
    if (target.width !== at.width || target.height !== at.height) {
      this.forget(target.texture);
      gl.activeTexture(gl.TEXTURE0);
      Object.assign(target, { texture: this.texture(gl.TEXTURE_2D, gl.RGBA32UI, at.width, at.height), width: at.width, height: at.height });
      gl.bindFramebuffer(gl.FRAMEBUFFER, target.frame);
      gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, target.texture, 0);
    }
    gl.bindFramebuffer(gl.FRAMEBUFFER, target.frame);
    gl.viewport(0, 0, at.width, at.height);
    gl.useProgram(this.sample.program);
    this.set(this.sample, {
      original: this.bind(0, gl.TEXTURE_2D_ARRAY, image.values),
      weights: this.bind(1, gl.TEXTURE_2D, this.weights),
      tiles: this.bind(2, gl.TEXTURE_2D_ARRAY, tiles ? tiles.values : this.noTiles),
      places: this.bind(3, gl.TEXTURE_2D, tiles ? tiles.places : this.nothing),
      size: [image.columns, image.rows], across: image.across, tall: at.height,
      along: at.along, down: at.down, from: at.from, step: at.step,
      scale: tiles ? tiles.scale : 0, side: tiles ? tiles.side : 1,
      larger: tiles ? [image.columns * tiles.scale, image.rows * tiles.scale] : [1, 1], fromLarger: at.fromLarger,
    });
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  // Show target `number` on the canvas at `left`, `top`, by the window and the comparison in `how`.
  present(number, image, left, top, width, height, how) {
    const gl = this.gl;
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.viewport(left, this.canvas.height - top - height, width, height);
    gl.enable(gl.SCISSOR_TEST);
    gl.scissor(left, this.canvas.height - top - height, width, height);
    gl.useProgram(this.show.program);
    this.set(this.show, {
      made: this.bind(0, gl.TEXTURE_2D, this.targets[number].texture),
      curve: this.bind(1, gl.TEXTURE_2D, image.curve || this.nothing),
      curved: image.curve ? 1 : 0, left, bottom: this.canvas.height - top - height, ...how,
    });
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    gl.disable(gl.SCISSOR_TEST);
  }

  clear() {
    const gl = this.gl;
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.clearColor(0, 0, 0, 1);
    gl.clear(gl.COLOR_BUFFER_BIT);
  }
}
