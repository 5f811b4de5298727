// What stands below the image: zoom, fit, invert, window presets, two sliders, and the drawing of boxes.
//
//     const bar = new ViewerBar(viewer, { t, keys, boxDone: (box) => …, say });
//     pane.append(bar.node);   bar.act("zoom_in");   bar.startBox(current);
//
// Every button has a key (`act` is what the keyboard calls). A box can be drawn by dragging, or with the keyboard: it
// starts in the middle, arrows move it, Shift and arrows change its size, Enter keeps it, Escape leaves it.

import { h } from "./base.js";
import { button } from "./review_dom.js";

const STEP = { pan: 40, zoom: 1.25, width: 16, level: 8, box: 0.02 };
const round = (value) => Math.round(value * 10000) / 10000;

/** Buttons, sliders and box mode of one viewer. */
export class ViewerBar {
  constructor(viewer, { t, keys, boxDone, say }) {
    Object.assign(this, { viewer, t, keys, boxDone, say });
    viewer.changed = () => this.#refresh();
    viewer.drawn = (box) => this.#finishBox(box);
    this.node = h("div", { class: "rv-tools", role: "toolbar", "aria-label": t("image_tools") }, this.#buttons());
  }

  #buttons() {
    const { t } = this;
    const tool = (action, symbol) =>
      button(symbol, this.keys.hint(action), () => this.act(action), {
        class: "rv-button rv-tool", "aria-label": t(`key_${action}`), title: t(`key_${action}`), "data-action": action,
      });
    this.zoomText = h("output", { class: "rv-zoom", "aria-label": t("zoom") }, "100 %");
    this.invertButton = tool("invert", t("invert"));
    this.boxButton = button(t("box"), this.keys.hint("box"), () => this.onBox(), {
      class: "rv-button rv-tool", title: t("box_help"), "aria-pressed": "false", "data-action": "box",
    });
    this.preset = h("select", { class: "rv-select", "aria-label": t("preset"), onchange: () => this.#choose() });
    return [
      h("div", { class: "rv-tool-row" },
        tool("zoom_out", "−"), this.zoomText, tool("zoom_in", "+"), tool("fit", t("fit")),
        this.invertButton, this.boxButton),
      h("div", { class: "rv-tool-row" },
        h("label", { class: "rv-field" }, h("span", {}, t("preset")), this.preset),
        this.#slider("width", 2, 510, 1, t("window")), this.#slider("level", -64, 320, 1, t("level"))),
    ];
  }

  #slider(name, min, max, step, label) {
    const input = h("input", {
      type: "range", min, max, step, class: "rv-range", "data-window": name,
      oninput: () => this.viewer.window({ [name]: Number(input.value) }),
    });
    this[`${name}Slider`] = input;
    return h("label", { class: "rv-field" }, h("span", {}, label), input);
  }

  /** A new image: its presets, and no box mode. */
  reset() {
    this.#stopBox();
    const options = this.viewer.presets.map(([name]) => h("option", { value: name }, this.t(`preset_${name}`)));
    this.preset.replaceChildren(...options, h("option", { value: "own", hidden: true }, this.t("preset_own")));
    for (const control of this.node.querySelectorAll("button, input, select")) control.disabled = !this.viewer.ready;
    this.#refresh();
  }

  #choose() {
    const chosen = this.viewer.presets.find(([name]) => name === this.preset.value);
    if (chosen) this.viewer.window(chosen[1]);
  }

  /** What a key or a button does to the image; true if it was one of ours. */
  act(action) {
    const { viewer } = this;
    const { width, level, invert } = viewer.pixels;
    const acts = {
      zoom_in: () => viewer.zoomBy(STEP.zoom),
      zoom_out: () => viewer.zoomBy(1 / STEP.zoom),
      fit: () => viewer.fit(),
      invert: () => viewer.window({ invert: !invert }),
      preset: () => this.#nextPreset(),
      window_narrow: () => viewer.window({ width: width - STEP.width }),
      window_wide: () => viewer.window({ width: width + STEP.width }),
      level_down: () => viewer.window({ level: level - STEP.level }),
      level_up: () => viewer.window({ level: level + STEP.level }),
      pan_left: () => viewer.panBy(STEP.pan, 0),
      pan_right: () => viewer.panBy(-STEP.pan, 0),
      pan_up: () => viewer.panBy(0, STEP.pan),
      pan_down: () => viewer.panBy(0, -STEP.pan),
    };
    if (!acts[action]) return false;
    if (viewer.ready) acts[action]();
    return true;
  }

  #nextPreset() {
    const names = this.viewer.presets.map(([name]) => name);
    const next = names[(names.indexOf(this.preset.value) + 1) % names.length];
    this.viewer.window(this.viewer.presets.find(([name]) => name === next)[1]);
    this.say(this.t(`preset_${next}`));
  }

  #refresh() {
    const { view, pixels, presets } = this.viewer;
    this.zoomText.textContent = `${Math.round(view.zoom * 100)} %`;
    this.widthSlider.value = pixels.width;
    this.levelSlider.value = pixels.level;
    this.invertButton.setAttribute("aria-pressed", String(pixels.invert));
    const same = presets.find(([, one]) => one.width === pixels.width && one.level === pixels.level);
    this.preset.value = same ? same[0] : "own";
  }

  /** Starts drawing; a box that is there already can be moved by the keyboard. */
  startBox(box = null) {
    if (!this.viewer.ready) return;
    this.viewer.boxing = true;
    this.viewer.drawing = box ?? [0.35, 0.35, 0.65, 0.65];
    this.boxButton.setAttribute("aria-pressed", "true");
    this.viewer.canvas.classList.add("rv-boxing");
    this.viewer.canvas.focus({ preventScroll: true });
    this.viewer.render();
    this.say(this.t("box_help"));
  }

  /** Whether a box is being drawn. */
  get boxing() {
    return Boolean(this.viewer.boxing);
  }

  /** Keys while a box is drawn; true if the key was used. */
  boxKey(event) {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "Enter") this.#finishBox(this.viewer.drawing);
    else if (event.key === "Escape") this.#stopBox();
    else if (["Delete", "Backspace"].includes(event.key)) this.#finishBox(null);
    else if (move) this.#nudge(move[0] * STEP.box, move[1] * STEP.box, event.shiftKey);
    else return false;
    return true;
  }

  #nudge(dx, dy, resize) {
    const [x0, y0, x1, y1] = this.viewer.drawing;
    const hold = (value, low) => Math.min(1, Math.max(low, value));
    if (resize) this.viewer.drawing = [x0, y0, hold(x1 + dx, x0 + STEP.box), hold(y1 + dy, y0 + STEP.box)];
    else {
      const [mx, my] = [Math.min(1 - x1, Math.max(-x0, dx)), Math.min(1 - y1, Math.max(-y0, dy))];
      this.viewer.drawing = [x0 + mx, y0 + my, x1 + mx, y1 + my];
    }
    this.viewer.render();
  }

  #finishBox(box) {
    this.#stopBox();
    this.boxDone(box ? box.map(round) : null);
  }

  #stopBox() {
    this.viewer.boxing = false;
    this.viewer.drawing = null;
    this.viewer.canvas.classList.remove("rv-boxing");
    this.boxButton.setAttribute("aria-pressed", "false");
    this.viewer.render();
  }
}
