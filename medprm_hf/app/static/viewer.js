// The image viewer: one canvas with zoom, pan, window, level, invert and boxes.
//
//     const viewer = new Viewer(canvas, { changed: (view) => …, drawn: (box) => … });
//     await viewer.show("/review/api/image/…");
//     viewer.zoomBy(1.25);  viewer.window({ width: 120, level: 90 });  viewer.boxes = [{ box, current: true }];
//
// Wheel zooms at the pointer, dragging pans, dragging with the right button (or Shift) changes window and level, two
// fingers pinch. Boxes are [x0, y0, x1, y1] in 0..1 of the image. Nothing leaves the page.

import { FULL, apply, histogram, lookup, presets } from "./viewer_pixels.js";

const LIMITS = { zoom: [0.05, 40], width: [2, 510], level: [-64, 320] };
const clamp = (value, [low, high]) => Math.min(high, Math.max(low, value));

const SWIFT_PIXELS = 1500000;
const REST_MS = 150;

/** Pixels as they came, and a surface of the same size to draw from. */
function layer(image, width, height) {
  const surface = document.createElement("canvas");
  [surface.width, surface.height] = [width, height];
  const context = surface.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0, width, height);
  return { surface, source: context.getImageData(0, 0, width, height) };
}

/** One canvas and what it shows. */
export class Viewer {
  #pointers = new Map();
  #frame = 0;
  #ask = 0;
  #stale = false;
  #sketching = false;
  #resting = null;

  constructor(canvas, { changed = () => {}, drawn = () => {} } = {}) {
    this.canvas = canvas;
    this.changed = changed;
    this.drawn = drawn;
    this.boxes = [];
    this.presets = [];
    this.pixels = { ...FULL };
    this.view = { zoom: 1, x: 0, y: 0, fitted: true };
    this.#listen();
    this.sizes = new ResizeObserver(() => this.#resized());
    this.sizes.observe(canvas);
  }

  /** Whether an image is on the canvas. */
  get ready() {
    return Boolean(this.source);
  }

  /** Loads an image and fits it; an address of null empties the canvas. Raises where it cannot be read. */
  async show(address) {
    const ask = ++this.#ask;
    this.source = null;
    this.boxes = [];
    this.drawing = null;
    this.pixels = { ...FULL };
    this.render();
    if (!address) return;
    const image = new Image();
    image.src = address;
    await image.decode();
    if (ask !== this.#ask) return;
    this.#take(image);
    this.fit();
  }

  #take(image) {
    const { naturalWidth: width, naturalHeight: height } = image;
    this.whole = layer(image, width, height);
    const shrink = Math.sqrt(SWIFT_PIXELS / (width * height));
    this.rough = shrink < 1 ? layer(image, Math.ceil(width * shrink), Math.ceil(height * shrink)) : null;
    this.source = this.whole.source;
    this.presets = presets(histogram(this.source.data));
    this.#sketching = false;
    this.#develop();
  }

  /** Puts the source through window and level onto the hidden surface. */
  #develop() {
    if (!this.source) return;
    const { source, surface } = this.#layer;
    const shown = new ImageData(source.width, source.height);
    apply(lookup(this.pixels), source.data, shown.data);
    surface.getContext("2d").putImageData(shown, 0, 0);
  }

  /** A large image is drawn from a smaller copy while its window changes, and from itself when the hand rests. */
  get #layer() {
    return this.#sketching && this.rough ? this.rough : this.whole;
  }

  #sketch() {
    this.#stale = true;
    if (!this.rough) return;
    this.#sketching = true;
    clearTimeout(this.#resting);
    this.#resting = setTimeout(() => {
      this.#sketching = false;
      this.#stale = true;
      this.render();
    }, REST_MS);
  }

  /** The whole image, centred. */
  fit() {
    const { clientWidth, clientHeight } = this.canvas;
    if (!this.source || !clientWidth || !clientHeight) return;
    const zoom = Math.min(clientWidth / this.source.width, clientHeight / this.source.height);
    const [x, y] = [(clientWidth - this.source.width * zoom) / 2, (clientHeight - this.source.height * zoom) / 2];
    this.view = { zoom, x, y, fitted: true };
    this.render();
  }

  /** Zooms by a factor about a point of the canvas (CSS pixels), its middle if none is given. */
  zoomBy(factor, at = { x: this.canvas.clientWidth / 2, y: this.canvas.clientHeight / 2 }) {
    const zoom = clamp(this.view.zoom * factor, LIMITS.zoom);
    const ratio = zoom / this.view.zoom;
    this.view = { zoom, x: at.x - (at.x - this.view.x) * ratio, y: at.y - (at.y - this.view.y) * ratio, fitted: false };
    this.render();
  }

  /** Moves the image by CSS pixels. */
  panBy(dx, dy) {
    this.view = { ...this.view, x: this.view.x + dx, y: this.view.y + dy, fitted: false };
    this.render();
  }

  /** Sets window width, level or invert; what is left out stays. */
  window(change) {
    const next = { ...this.pixels, ...change };
    this.pixels = { ...next, width: clamp(next.width, LIMITS.width), level: clamp(next.level, LIMITS.level) };
    this.#sketch();
    this.render();
  }

  /** From a point of the canvas (CSS pixels) to the image: [x, y] in 0..1, cut at its edges. */
  toImage(x, y) {
    const at = (value, offset, size) => clamp((value - offset) / (size * this.view.zoom), [0, 1]);
    return [at(x, this.view.x, this.source.width), at(y, this.view.y, this.source.height)];
  }

  /** Draws at the next frame; many calls make one picture. */
  render() {
    if (this.#frame) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      if (this.#stale) this.#develop();
      this.#stale = false;
      this.#draw();
      this.changed(this);
    });
  }

  #draw() {
    const context = this.canvas.getContext("2d");
    const scale = this.canvas.width / Math.max(this.canvas.clientWidth, 1);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (!this.source) return;
    const { zoom, x, y } = this.view;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.imageSmoothingEnabled = zoom < 3;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.#layer.surface, x, y, this.source.width * zoom, this.source.height * zoom);
    for (const { box, current, name } of this.boxes) this.#drawBox(context, box, current, name);
    if (this.drawing) this.#drawBox(context, this.drawing, true, "");
  }

  #drawBox(context, [x0, y0, x1, y1], current, name) {
    const [width, height] = [this.source.width * this.view.zoom, this.source.height * this.view.zoom];
    const place = [this.view.x + x0 * width, this.view.y + y0 * height, (x1 - x0) * width, (y1 - y0) * height];
    context.lineWidth = current ? 4 : 3;
    context.strokeStyle = "#000c";
    context.strokeRect(...place);
    context.lineWidth = current ? 2 : 1;
    context.strokeStyle = current ? "#ffd23f" : "#fff";
    context.strokeRect(...place);
    if (!name) return;
    context.font = "600 12px system-ui, sans-serif";
    context.fillStyle = "#000c";
    context.fillRect(place[0], place[1] - 17, context.measureText(name).width + 8, 17);
    context.fillStyle = "#fff";
    context.fillText(name, place[0] + 4, place[1] - 4);
  }

  #resized() {
    const density = globalThis.devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.canvas;
    if (!clientWidth || !clientHeight) return;
    [this.canvas.width, this.canvas.height] = [Math.round(clientWidth * density), Math.round(clientHeight * density)];
    if (this.view.fitted) this.fit();
    this.render();
  }

  #listen() {
    const on = (kind, act, options) => this.canvas.addEventListener(kind, act, options);
    on("wheel", (event) => this.#wheel(event), { passive: false });
    on("contextmenu", (event) => event.preventDefault());
    on("dblclick", () => this.fit());
    on("pointerdown", (event) => this.#down(event));
    on("pointermove", (event) => this.#move(event));
    on("pointerup", (event) => this.#up(event));
    on("pointercancel", (event) => this.#up(event));
  }

  #wheel(event) {
    if (!this.source) return;
    event.preventDefault();
    this.zoomBy(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), { x: event.offsetX, y: event.offsetY });
  }

  #down(event) {
    if (!this.source) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    const windowing = event.button === 2 || event.shiftKey;
    this.dragging = this.boxing && !windowing ? "box" : windowing ? "window" : "pan";
    if (this.dragging === "box") this.corner = this.toImage(event.offsetX, event.offsetY);
  }

  #move(event) {
    const last = this.#pointers.get(event.pointerId);
    if (!last) return;
    const [dx, dy] = [event.offsetX - last.x, event.offsetY - last.y];
    if (this.#pointers.size === 2) this.#pinch(event);
    else if (this.dragging === "pan") this.panBy(dx, dy);
    else if (this.dragging === "window") this.window({ width: this.pixels.width + dx, level: this.pixels.level - dy });
    else this.#stretch(event);
    this.#pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
  }

  #pinch(event) {
    const other = [...this.#pointers].find(([id]) => id !== event.pointerId)[1];
    const before = this.#pointers.get(event.pointerId);
    const apart = (point) => Math.hypot(point.x - other.x, point.y - other.y) || 1;
    const now = { x: event.offsetX, y: event.offsetY };
    this.zoomBy(apart(now) / apart(before), { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 });
  }

  #stretch(event) {
    const [[x0, y0], [x1, y1]] = [this.corner, this.toImage(event.offsetX, event.offsetY)];
    this.drawing = [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)];
    this.render();
  }

  #up(event) {
    this.#pointers.delete(event.pointerId);
    if (this.dragging !== "box" || !this.drawing) return;
    const [x0, y0, x1, y1] = this.drawing;
    if (x1 - x0 > 0.005 && y1 - y0 > 0.005) this.drawn(this.drawing);
    else this.drawing = null;
    this.dragging = null;
  }
}
