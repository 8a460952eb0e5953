// Enhanced tiles: which are wanted, nearest to the cursor first, and where they are kept.

const AT_ONCE = 4; // requests that wait at the server

export class Tiles {
  constructor(drawing, image, scale, url, changed, failed) {
    Object.assign(this, { drawing, image, scale, url, changed, failed });
    this.side = Math.floor(256 / scale) * scale; // as the server has it
    this.down = Math.ceil((image.rows * scale) / this.side);
    this.across = Math.ceil((image.columns * scale) / this.side);
    const screen = drawing.canvas.width * drawing.canvas.height;
    const layers = drawing.layersFor(2 * Math.ceil(screen / (this.side / scale) ** 2) + 128, this.down * this.across);
    this.textures = Object.assign(drawing.tiles(this.side, this.down, this.across, layers), { scale });
    this.layers = new Map(); // by layer, the key of its tile, least lately used first
    this.free = [...Array(layers).keys()];
    this.layerCount = layers;
    this.loading = new Map();
    this.off = new Map(); // by tile, its mean square from the input
    this.wanted = [];
    this.beyond = 0;
    this.over = false;
  }

  // Want the tiles in a part of the image, [left, top, right, bottom], those nearest to `at` first; give up all others.
  want([left, top, right, bottom], at) {
    const side = this.side / this.scale;
    const around = 2 / this.scale; // pixels whose neighbours lie in the next tile
    this.wanted = [];
    if (right <= left || bottom <= top) return this.abandon(new Set());
    const [firstRow, lastRow] = [Math.max(Math.floor((top - around) / side), 0), Math.min(Math.floor((bottom + around) / side), this.down - 1)];
    const [firstColumn, lastColumn] = [Math.max(Math.floor((left - around) / side), 0), Math.min(Math.floor((right + around) / side), this.across - 1)];
    for (let row = firstRow; row <= lastRow; row++)
      for (let column = firstColumn; column <= lastColumn; column++)
        this.wanted.push({
          key: row * this.across + column, row, column,
          distance: Math.hypot((column + 0.5) * side - at[0], (row + 0.5) * side - at[1]),
        });
    this.wanted.sort((a, b) => a.distance - b.distance);
    this.beyond = Math.max(this.wanted.length - this.layerCount, 0); // more than the graphics hold
    this.wanted.length -= this.beyond;
    const keys = new Set(this.wanted.map((tile) => tile.key));
    for (const [layer, key] of [...this.layers]) // what is on the screen is used
      if (keys.has(key)) { this.layers.delete(layer); this.layers.set(layer, key); }
    this.abandon(keys);
    this.next();
  }

  // Want nothing any more, for now.
  rest() {
    this.wanted = [];
    this.beyond = 0;
    this.abandon(new Set());
  }

  abandon(keys) {
    for (const [key, abort] of this.loading) if (!keys.has(key)) abort.abort();
  }

  get missing() {
    return this.beyond + this.wanted.filter((tile) => !this.textures.table[tile.key]).length;
  }

  // The RMS of what is on the screen, reduced again, from the input, in grey levels; null until all of it is there.
  get rms() {
    const found = this.wanted.map((tile) => this.off.get(tile.key));
    if (!found.length || this.missing || found.includes(undefined)) return null;
    return Math.sqrt(found.reduce((sum, each) => sum + each) / found.length);
  }

  next() {
    for (const tile of this.wanted) {
      if (this.over || this.loading.size >= AT_ONCE) return;
      if (!this.textures.table[tile.key] && !this.loading.has(tile.key)) this.load(tile);
    }
  }

  async load(tile) {
    const abort = new AbortController();
    this.loading.set(tile.key, abort);
    let wait = 0;
    try {
      const answer = await fetch(`${this.url}/enhanced/${this.scale}/${tile.row}/${tile.column}?distance=${Math.round(tile.distance)}`, { signal: abort.signal });
      if (answer.status === 503) wait = 1000 * (Number(answer.headers.get("retry-after")) || 1);
      else if (!answer.ok) throw new Error((await answer.json()).error);
      else {
        const values = new Uint16Array(await answer.arrayBuffer());
        if (this.over) return;
        this.keep(tile, Number(answer.headers.get("x-rows")), Number(answer.headers.get("x-columns")), values);
        this.off.set(tile.key, Number(answer.headers.get("x-off")));
        this.changed();
      }
    } catch (error) {
      if (error.name !== "AbortError" && !this.over) { this.over = true; this.failed(error.message); }
    } finally {
      if (wait) await new Promise((done) => setTimeout(done, wait));
      this.loading.delete(tile.key);
      if (!this.over) this.next();
    }
  }

  keep(tile, rows, columns, values) {
    let layer = this.free.pop();
    if (layer === undefined) {
      const [oldest, key] = this.layers.entries().next().value;
      this.textures.table[key] = 0;
      this.layers.delete(oldest);
      layer = oldest;
    }
    this.layers.set(layer, tile.key);
    this.drawing.fill(this.textures.values, layer, columns, rows, values);
    this.textures.table[tile.key] = layer + 1;
    this.drawing.place(this.textures);
  }

  close() {
    this.over = true;
    this.abandon(new Set());
    this.drawing.forget(this.textures.values, this.textures.places);
  }
}
