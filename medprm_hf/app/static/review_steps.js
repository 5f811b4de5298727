// The list of steps: text, the labels, and the signals of rollouts and judge where they may be seen.
//
//     const list = new StepList(session, { t, keys });
//     right.append(list.node);   list.render();   list.update(2);   list.current();
//
// The place of the signals is kept free before they are shown, so that nothing jumps when a label is set. While an
// item is blind the server sends no signal of a step that this reviewer has not answered; there is nothing to hide.

import { digits, fill, h } from "./base.js";
import { button, keep, named, recall } from "./review_dom.js";

export const LABELS = [["+", "right", "plus"], ["-", "wrong", "minus"], ["0", "neutral", "neutral"], ["?", "unsure", "unsure"]];
export const SIGN = { "+": "+", "-": "−", "0": "0", "?": "?" };

/** One row a step. */
export class StepList {
  constructor(session, { t, keys, goto }) {
    Object.assign(this, { session, t, keys, goto, rows: [] });
    this.node = h("ol", { class: "rv-steps", "aria-label": t("steps") });
  }

  /** All rows anew, for a new item. */
  render() {
    this.rows = this.session.steps.map((step, index) => this.#row(step, index));
    fill(this.node, this.rows);
    this.node.classList.toggle("blind", Boolean(this.session.item?.blind));
    this.node.classList.toggle("full", recall("medprm.reasons", false));
    this.session.steps.forEach((step, index) => this.update(index));
  }

  #row(step, index) {
    const { t } = this;
    const labels = LABELS.map(([label, name, colour]) =>
      button(SIGN[label], this.keys.digit(name), () => this.session.label(label, index), {
        class: `rv-label ${colour}`, "data-label": label, "aria-label": t("label_step", { label: t(name), n: index + 1 }),
        "aria-pressed": "false", title: t(name),
      }));
    const head = step.title ? h("span", { class: "rv-title" }, step.title) : null;
    return h("li", {
      class: `rv-step${step.asked ? " asked" : ""}`, tabindex: "-1", "data-step": index,
      onclick: (event) => event.target.closest("button, a") || this.goto(index),
    },
      h("span", { class: "rv-number", "aria-hidden": "true" }, index + 1),
      h("div", { class: "rv-words" }, head, h("div", { class: "text rv-text" }, step.text), h("div", { class: "rv-signals" })),
      h("div", { class: "rv-side" },
        h("div", { class: "rv-labels", role: "group", "aria-label": t("labels_of", { n: index + 1 }) }, labels),
        h("div", { class: "rv-remark" })));
  }

  /** Reasons of the judge in one line each, or in full; the choice is kept. */
  toggleReasons() {
    const full = this.node.classList.toggle("full");
    keep("medprm.reasons", full || null);
    this.rows[this.session.current]?.scrollIntoView({ block: "nearest" });
  }

  /** One row after a change. */
  update(index) {
    const [step, row] = [this.session.steps[index], this.rows[index]];
    if (!row) return;
    const mine = step.mine?.label ?? null;
    row.dataset.mine = mine ?? "";
    for (const one of row.querySelectorAll(".rv-label")) {
      one.setAttribute("aria-pressed", String(one.dataset.label === mine));
    }
    const said = mine ? this.t("labelled_as", { label: this.#name(mine) }) : this.t(step.asked ? "asked" : "not_asked");
    row.setAttribute("aria-label", `${this.t("step_n", { n: index + 1 })}. ${said}. ${step.text}`);
    fill(row.querySelector(".rv-signals"), this.#signals(step));
    const remark = row.querySelector(".rv-remark");
    remark.textContent = remark.title = this.#remark(step.mine);
  }

  #name(label) {
    return this.t(LABELS.find(([sign]) => sign === label)?.[1] ?? "unknown");
  }

  /** Marks the current row, gives it the focus and brings it into sight. */
  current(intoSight = true) {
    this.rows.forEach((row, index) => {
      if (index === this.session.current) row.setAttribute("aria-current", "step");
      else row.removeAttribute("aria-current");
    });
    const row = this.rows[this.session.current];
    row?.focus({ preventScroll: true });
    if (intoSight) row?.scrollIntoView({ block: "nearest" });
  }

  #signals(step) {
    const { t } = this;
    if (!step.signals) {
      const why = this.session.item.blind && step.asked ? "hidden_until" : null;
      return why ? h("span", { class: "rv-hidden" }, t(why)) : [];
    }
    const { rollouts, judge, label, label_p: p } = step.signals;
    return [
      label ? h("span", { class: "rv-signal" }, h("span", { class: "rv-what" }, t("merged")), this.#chip(label),
        p === null || p === undefined ? null : h("span", { class: "number" }, digits(p))) : null,
      rollouts ? this.#rollouts(rollouts) : null,
      judge ? this.#judge(judge) : null,
    ];
  }

  #chip(label) {
    const colour = LABELS.find(([sign]) => sign === label)?.[2] ?? "";
    return h("span", { class: `rv-chip ${colour}`, title: this.#name(label) }, SIGN[label] ?? label);
  }

  #rollouts({ correct, total, expected_accuracy: accuracy }) {
    const share = accuracy ?? (total ? correct / total : null);
    const colour = share === null ? "" : share > 0.7 ? "plus" : share > 0.4 ? "amber" : "minus";
    return h("span", { class: "rv-signal", title: this.t("rollouts_help") },
      h("span", { class: "rv-what" }, this.t("rollouts")),
      h("span", { class: "rv-meter", "aria-hidden": "true" },
        h("span", { class: colour, style: `width: ${Math.round((share ?? 0) * 100)}%` })),
      h("span", { class: "number" }, total ? this.t("of", { correct, total }) : this.t("not_sampled")));
  }

  #judge({ label, confidence, reason }) {
    return h("span", { class: "rv-signal rv-judge", title: reason ?? "" },
      h("span", { class: "rv-what" }, this.t("judge")), this.#chip(label),
      confidence ? h("span", {}, named(this.t, "confidence", confidence)) : null,
      reason ? h("span", { class: "rv-reason", onclick: () => this.toggleReasons() }, reason) : null);
  }

  /** Error type, severity, box and note in one line below the labels, where there is room for it already. */
  #remark(mine) {
    const { t } = this;
    if (!mine) return "";
    const error = mine.error_type ? named(t, "error", mine.error_type) : null;
    const severity = mine.severity ? named(t, "severity", mine.severity) : null;
    return [error, severity, mine.box ? t("box") : null, mine.note ? `“${mine.note}”` : null].filter(Boolean).join(" · ");
  }
}
