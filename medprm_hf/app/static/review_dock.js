// The bar below the steps: error type, box and note of one step, and what ends an item. Its height never changes.
//
//     const dock = new Dock(session, { t, keys, act });
//     right.append(dock.node);   dock.render();
//
// It speaks of the current step if that has a label, else of the step labelled last, and says which: after − the page
// has gone on to the next step, and e, n and b still belong to the one just judged.

import { fill, h } from "./base.js";
import { button, named } from "./review_dom.js";
import { LABELS, SIGN } from "./review_steps.js";

/** Details of one step. */
export class Dock {
  constructor(session, { t, keys, act }) {
    Object.assign(this, { session, t, keys, act, shown: null });
    this.about = h("div", { class: "rv-about" });
    this.error = h("span", { class: "rv-error-name" });
    this.errorButton = h("button", { type: "button", class: "rv-error", onclick: () => act("error") }, this.error, this.#hint("error"));
    this.box = h("span", {});
    this.boxButton = h("button", { type: "button", onclick: () => act("box"), "aria-pressed": "false" }, this.box, this.#hint("box"));
    this.note = h("input", {
      type: "text", class: "rv-note-field", maxlength: 4000, "aria-label": t("note"), autocomplete: "off",
      oninput: () => this.#draft(), onkeydown: (event) => this.#key(event), onblur: () => this.#commit(),
    });
    this.finishButton = this.#action("finish", "primary rv-of-step");
    this.node = h("div", { class: "rv-dock", role: "region", "aria-label": t("details") },
      h("div", { class: "row rv-dock-row rv-of-step" }, this.about, this.errorButton, this.boxButton,
        h("label", { class: "rv-note-label" }, h("span", { class: "sr" }, t("note")), this.note, this.#hint("note"))),
      h("div", { class: "row rv-dock-row" },
        h("div", { class: "row rv-of-step" },
          this.#action("undo", "plain"), this.#action("all_right", "plain"), this.#action("question", "plain")),
        h("span", { class: "push" }), this.#action("skip", "plain"), this.finishButton));
  }

  #hint(action) {
    return h("kbd", { "aria-hidden": "true", "data-hint": action }, "");
  }

  #action(action, style) {
    return button(this.t(`do_${action}`), this.keys.hint(action), () => this.act(action), { class: style, "data-action": action });
  }

  /** The details of the step that is spoken of now. */
  render() {
    const { t, session } = this;
    const index = session.target;
    const mine = session.steps[index]?.mine ?? null;
    if (this.shown !== this.#place(index)) this.#commit();
    this.shown = this.#place(index);
    this.index = index;
    this.node.hidden = !session.item;
    fill(this.about, session.steps.length ? t("step_n", { n: index + 1 }) : "", mine?.label ? this.#chip(mine.label) : null);
    const severity = mine?.severity ? ` · ${named(t, "severity", mine.severity)}` : "";
    this.error.textContent = mine?.error_type ? named(t, "error", mine.error_type) + severity : t("error_type");
    this.errorButton.setAttribute("aria-pressed", String(Boolean(mine?.error_type)));
    this.box.textContent = t("box");
    this.boxButton.setAttribute("aria-pressed", String(Boolean(mine?.box)));
    this.boxButton.disabled = !session.item?.image;
    if (document.activeElement !== this.note) this.note.value = mine?.note ?? "";
    this.note.placeholder = t("note_of", { n: index + 1 });
    for (const part of this.node.querySelectorAll(".rv-of-step")) part.hidden = !session.steps.length;
    this.finishButton.classList.toggle("rv-ready", Boolean(session.item) && !session.openSteps.length);
    for (const hint of this.node.querySelectorAll("[data-hint]")) hint.textContent = this.keys.hint(hint.dataset.hint);
  }

  #place(index) {
    return `${this.session.item?.item_id}/${index}`;
  }

  #chip(label) {
    const [, name, colour] = LABELS.find(([sign]) => sign === label);
    return h("span", { class: `rv-chip ${colour}`, title: this.t(name) }, SIGN[label]);
  }

  /** Puts the cursor into the note. */
  writeNote() {
    this.note.focus();
    this.note.select();
  }

  #draft() {
    const mine = this.session.steps[this.index]?.mine;
    this.session.draft(this.index, { ...(mine ?? {}), note: this.note.value });
    this.edited = true;
  }

  #commit() {
    if (!this.edited) return;
    this.edited = false;
    if (this.shown === this.#place(this.index)) this.session.amend(this.index, { note: this.note.value.trim() || null });
  }

  #key(event) {
    if (event.isComposing) return;
    if (!["Enter", "Escape"].includes(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    this.#commit();
    this.act("back_to_steps");
  }
}
