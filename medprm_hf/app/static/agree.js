// The Agree tab: how far reviewers and machines agree, where they differ, and whether a batch may go out.
//
//     import { start } from "./agree.js";
//     start(host, page);                 // called by the panel
//
// Parts: agree_plot.js (intervals as SVG), agree_list.js (disagreements), agree_gate.js (acceptance sampling).

import { fill, h, texts } from "./base.js";
import { Disagreements } from "./agree_list.js";
import { Gate } from "./agree_gate.js";
import { intervals } from "./agree_plot.js";
import { nameplate } from "./review_door.js";
import { get } from "./review_dom.js";
import { KeyMap } from "./review_keys.js";

const BY = ["modality", "difficulty", "reviewer"];
const MAY_DECIDE = new Set(["adjudicator", "admin"]);

/** Starts the tab inside `host`: it asks the server when it is seen, and again each time it is shown. */
export function start(host, page) {
  const all = texts(page);
  const t = (key, values) => (`agree.${key}` in page.texts ? all(`agree.${key}`, values) : all(`review.${key}`, values));
  const tab = new AgreePage(host, t);
  const seen = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && tab.load());
  seen.observe(host);
}

class AgreePage {
  constructor(host, t) {
    Object.assign(this, { host, t, keys: new KeyMap(), by: "modality", me: null });
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Asks who this is, and for everything shown. */
  async load() {
    try {
      this.me = await get("me");
      nameplate(this.me, this.t);
      if (this.me.role === "visitor") return this.#closed(this.t("visitors_not"));
      if (!this.list || !this.list.node.isConnected) this.#build();
      await Promise.all([this.list.load(), this.#figures(), this.gate.load()]);
    } catch (error) {
      this.#closed(error.message);
    }
  }

  #closed(message) {
    fill(this.host, h("div", { class: "page" }, h("div", { class: "card empty", role: "status" }, h("h2", {}, this.t("title")), h("p", {}, message))));
  }

  #build() {
    const { t } = this;
    const may = MAY_DECIDE.has(this.me.role);
    this.plot = h("div", { class: "stack tight", "aria-live": "polite" });
    this.buttons = BY.map((name) => h("button", {
      type: "button", "aria-pressed": String(name === this.by), "data-by": name, onclick: () => this.#choose(name),
    }, t(`by_${name}`)));
    this.list = new Disagreements({ t, keys: this.keys, may });
    this.gate = new Gate({ t, may, rejected: () => this.load() });
    const figures = h("section", { class: "card stack tight", "aria-label": t("title") },
      h("div", { class: "row spread" }, h("h2", {}, t("title")),
        h("div", { class: "row", role: "group", "aria-label": t("by") }, this.buttons)),
      this.plot);
    fill(this.host, h("div", { class: "page" }, h("div", { class: "ag-top" },
      this.list.node, h("div", { class: "stack ag-side" }, figures, this.gate.node))));
  }

  async #choose(by) {
    this.by = by;
    for (const one of this.buttons) one.setAttribute("aria-pressed", String(one.dataset.by === by));
    await this.#figures();
  }

  async #figures() {
    const { t } = this;
    const found = await get(`agreement?by=${this.by}`);
    const target = found.revise?.target ?? 0.8;
    const row = (name, figure, main = false) => ({ name, main, ...figure });
    const people = [
      row(t("krippendorff"), found.krippendorff, true), row(t("fleiss"), found.fleiss),
      ...found.cohen.map((pair) => row(pair.raters.join(" – "), pair)),
    ];
    const groups = Object.entries(found.by).map(([name, figure]) => row(name, figure));
    const machines = Object.entries(found.machines).map(([name, figure]) => row(t(`machine_${name}`), figure));
    fill(this.plot,
      h("p", { class: "quiet small" }, t("figures_help", { target }), found.blind ? ` ${t("figures_blind")}` : ""),
      this.#part("people", people, target),
      groups.length ? this.#part(this.by === "reviewer" ? "each_reviewer" : "by_group", groups, target) : null,
      machines.some(({ n }) => n > 0) ? this.#part("machines", machines, target) : null,
      this.#revision(found.revise));
  }

  #part(name, rows, target) {
    return h("div", { class: "ag-part" }, h("h3", {}, this.t(name)), intervals(rows, { target, t: this.t, title: this.t(name) }));
  }

  /** Which instruction of the judge to revise, where it agrees too little with the experts. */
  #revision(revise) {
    if (!revise?.below || !revise.proposals.length) return null;
    const percent = (share) => `${Math.round(share * 100)} %`;
    return h("div", { class: "notice" }, h("h3", {}, this.t("revise")), h("ul", {}, revise.proposals.map((one) =>
      h("li", {}, this.t("proposal", {
        by: this.t(`revise_${one.by}`), value: one.value, differs: percent(one.differs), elsewhere: percent(one.elsewhere), n: one.n,
      })))));
  }

  #key(event) {
    if (!this.list || this.host.offsetParent === null || event.defaultPrevented) return;
    const action = this.keys.actionOf(event);
    if (action && this.list.act(action)) event.preventDefault();
  }
}
