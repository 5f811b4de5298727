// The gate before export: a sample of labels is held against an error threshold; a batch that fails goes back whole.
//
//     const gate = new Gate({ t, may: true, rejected: () => … });
//     host.append(gate.node);   await gate.load();
//
// Accepted, rejected or still open is the server's word (an exact interval, review/gate.py); this file shows it.

import { fill, h, toast } from "./base.js";
import { button, get, post, uuid } from "./review_dom.js";

const COLOUR = { accepted: "plus", rejected: "minus", open: "amber" };

/** The plan (sample, threshold, batch), the verdict, and the way back. */
export class Gate {
  constructor({ t, may, rejected }) {
    Object.assign(this, { t, may, rejected });
    this.sample = h("input", { type: "number", min: 1, max: 100000, step: 1, value: "100", required: true });
    this.threshold = h("input", { type: "number", min: 0.1, max: 50, step: 0.1, value: "5", required: true });
    this.batch = h("select", {}, h("option", { value: "" }, t("all_batches")));
    this.verdict = h("div", { class: "stack tight", role: "status" });
    this.reason = h("input", { type: "text", maxlength: 4000, required: true, "aria-label": t("reject_reason"), placeholder: t("reject_reason") });
    this.back = h("form", { class: "row", hidden: !may, onsubmit: (event) => this.#reject(event) }, this.reason,
      h("button", { type: "submit" }, t("reject")));
    this.history = h("div", { class: "small" });
    this.node = h("section", { class: "card ag-box", "aria-label": t("gate") },
      h("form", { class: "ag-gate", onsubmit: (event) => { event.preventDefault(); this.load(); } },
        h("h2", {}, t("gate")), h("p", { class: "quiet small" }, t("gate_help")),
        h("div", { class: "row" },
          h("label", {}, t("sample"), this.sample), h("label", {}, t("threshold"), this.threshold), h("label", {}, t("batch"), this.batch)),
        h("div", {}, button(t("check"), "", null, { type: "submit", class: "primary" }))),
      this.verdict, this.back, this.history);
  }

  /** Asks the server for the verdict on this plan. */
  async load() {
    const plan = new URLSearchParams({ sample: this.sample.value, threshold: String(Number(this.threshold.value) / 100), batch: this.batch.value });
    try {
      this.found = await get(`gate?${plan}`);
    } catch (error) {
      return fill(this.verdict, h("p", { class: "notice bad" }, error.message));
    }
    this.#show();
  }

  #show() {
    const { t, found } = this;
    this.#batches(found.batches ?? []);
    fill(this.verdict,
      h("p", {}, h("span", { class: `chip ag-verdict ${COLOUR[found.verdict] ?? ""}` }, t(`verdict_${found.verdict}`)), " ", found.reason),
      this.#check("labels"), this.#check("reviewers"));
    fill(this.history, (found.history ?? []).length ? h("details", {}, h("summary", {}, t("sent_back", { n: found.history.length })),
      h("ul", {}, found.history.map((one) => h("li", {}, `${one.at.slice(0, 16).replace("T", " ")} · ${one.who} · ${one.batch ?? t("all_batches")}: `, h("span", { class: "text" }, one.reason))))) : null);
  }

  #check(name) {
    const { t } = this;
    const one = this.found[name];
    if (!one) return null;
    const share = one.share === null ? t("unknown") : `${(100 * one.share).toFixed(1)} %`;
    const upper = one.upper === null ? "" : t("at_most", { n: (100 * one.upper).toFixed(1) });
    const links = one.examples.slice(0, 5).map(({ item_id, step }) =>
      h("a", { href: `#review?item=${encodeURIComponent(item_id)}` }, `${item_id} · ${step + 1}`));
    return h("div", {}, h("h3", {}, t(`gate_${name}`)),
      h("p", { class: "number small" }, t("checked", { n: one.n, sample: one.sample, errors: one.errors, allowed: one.allowed }), " ", share, " ", upper),
      links.length ? h("details", { class: "small" }, h("summary", {}, t("examples")), h("p", { class: "row" }, links)) : null);
  }

  #batches(batches) {
    const chosen = this.batch.value;
    const named = batches.filter(({ batch }) => batch !== null);
    fill(this.batch, h("option", { value: "" }, this.t("all_batches")), named.map(({ batch, items }) =>
      h("option", { value: batch }, `${batch} (${items})`)));
    this.batch.value = chosen;
  }

  async #reject(event) {
    event.preventDefault();
    const batch = this.batch.value || null;
    if (!confirm(this.t("reject_sure", { batch: batch ?? this.t("all_batches") }))) return;
    try {
      const { items } = await post("reject", { key: uuid(), batch, reason: this.reason.value });
      toast(this.t("rejected_done", { n: items }));
      this.reason.value = "";
      this.rejected();
    } catch (error) {
      toast(error.message, true);
    }
  }
}
