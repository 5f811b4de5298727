// Steps on which reviewers differ, and the word that ends it: one key a step.
//
//     const list = new Disagreements({ t, keys, may: true, say });
//     host.append(list.node);   await list.load();
//
// The keys are those of the review page (+ − 0, j/k). Whoever may not adjudicate sees the list and no buttons; the
// server refuses them in any case.

import { fill, h, toast } from "./base.js";
import { button, get, named, post, uuid } from "./review_dom.js";

const LABELS = [["+", "right", "plus"], ["-", "wrong", "minus"], ["0", "neutral", "neutral"]];
const SIGN = { "+": "+", "-": "−", "0": "0", "?": "?" };
const COLOUR = { "+": "plus", "-": "minus", "0": "neutral", "?": "neutral" };

/** The list and its keys. */
export class Disagreements {
  constructor({ t, keys, may }) {
    Object.assign(this, { t, keys, may, found: [], current: 0 });
    this.count = h("span", { class: "quiet" });
    this.resolved = h("input", { type: "checkbox", onchange: () => this.load() });
    this.rows = h("ol", { class: "ag-list", "aria-label": t("disagreements") });
    this.node = h("section", { class: "stack tight", "aria-label": t("disagreements") },
      h("div", { class: "row" }, h("h2", {}, t("disagreements")), this.count,
        h("label", { class: "rv-check push" }, this.resolved, h("span", {}, t("show_resolved")))),
      h("p", { class: "quiet small" }, t(may ? "adjudicate_help" : "adjudicate_not")), this.rows);
  }

  /** Asks the server anew. */
  async load() {
    this.found = await get(`disagreements${this.resolved.checked ? "?resolved=1" : ""}`);
    this.current = 0;
    this.#draw();
  }

  #draw() {
    const { t, found } = this;
    this.count.textContent = found.length ? t("n_steps", { n: found.length }) : "";
    fill(this.rows, found.length ? found.map((entry, index) => this.#row(entry, index)) : h("li", { class: "empty card" }, t("none_differ")));
    this.#mark();
  }

  #row(entry, index) {
    const { t } = this;
    const words = entry.words ?? Object.entries(entry.labels).map(([reviewer, label]) => ({ reviewer, label }));
    const link = h("a", { href: `#review?item=${encodeURIComponent(entry.item_id)}` }, t("open_item"));
    const labels = !this.may ? [] : LABELS.map(([label, name, colour]) =>
      button(SIGN[label], this.keys.digit(name), () => this.decide(index, label), {
        class: `rv-label ${colour}`, "aria-label": t("decide", { label: t(name) }), title: t(name),
        "aria-pressed": String(entry.adjudicated?.label === label), "data-label": label,
      }));
    return h("li", { class: "card ag-row", tabindex: "-1", "data-index": index, onclick: (event) => event.target.closest("a, button") || this.#go(index) },
      h("div", { class: "ag-what" },
        h("p", { class: "quiet small text" }, entry.question),
        h("p", { class: "text" }, h("strong", {}, t("step_n", { n: entry.step + 1 })), " ", entry.text),
        h("ul", { class: "ag-words" }, words.map((word) => this.#word(word))),
        entry.adjudicated ? h("p", { class: "small quiet" }, t("adjudicated_by", { name: entry.adjudicated.reviewer, label: SIGN[entry.adjudicated.label] })) : null),
      h("div", { class: "ag-decide" }, h("div", { class: "rv-labels", role: "group", "aria-label": t("adjudicate") }, labels), h("span", { class: "small" }, link)));
  }

  #word({ reviewer, label, error_type: error, severity, note }) {
    const remark = [error ? named(this.t, "error", error) : null, severity ? named(this.t, "severity", severity) : null].filter(Boolean).join(" · ");
    return h("li", {}, h("span", { class: `rv-chip ${COLOUR[label]}` }, SIGN[label]), h("strong", {}, reviewer),
      remark ? h("span", { class: "quiet small" }, remark) : null, note ? h("span", { class: "small text" }, `“${note}”`) : null);
  }

  /** Stores the label that counts, and goes on. */
  async decide(index, label) {
    const entry = this.found[index];
    if (!entry || !this.may || this.busy) return;
    this.busy = true;
    const before = entry.adjudicated;
    entry.adjudicated = { reviewer: this.t("you"), label };
    this.#redraw(index);
    try {
      await post("adjudicate", { key: uuid(), item_id: entry.item_id, step: entry.step, label });
      this.#go(Math.min(index + 1, this.found.length - 1));
    } catch (error) {
      entry.adjudicated = before;
      this.#redraw(index);
      toast(error.message, true);
    } finally {
      this.busy = false;
    }
  }

  #redraw(index) {
    this.rows.children[index].replaceWith(this.#row(this.found[index], index));
    this.#mark();
  }

  /** What a key does here; true if it was ours. */
  act(action) {
    const label = LABELS.find(([, name]) => name === action);
    if (label) this.decide(this.current, label[0]);
    else if (action === "next") this.#go(this.current + 1);
    else if (action === "previous") this.#go(this.current - 1);
    else return false;
    return true;
  }

  #go(index) {
    if (!this.found[index]) return;
    this.current = index;
    this.#mark();
    const row = this.rows.children[index];
    row.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
  }

  #mark() {
    [...this.rows.children].forEach((row, index) => {
      if (index === this.current && this.found.length) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    });
  }
}
