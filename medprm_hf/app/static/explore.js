// The Explore tab: filters at the left, rows at the right; a row opens in place of the list.
import { api, fill, h, later, route, setRoute, texts } from "./base.js";
import { rowView } from "./explore_row.js";

const GROUPS = ["label", "doubt", "review", "modality", "difficulty", "answer", "kept", "method", "source", "split"];
const NAMED = new Set(["label", "doubt", "review", "answer", "kept"]);

export function start(host, page) {
  new ExploreTab(host, texts(page)).open();
}

class ExploreTab {
  constructor(host, t) {
    Object.assign(this, { host, t, dataset: 0, filters: {}, page: 0, found: null, facets: null, asked: 0 });
  }

  async open() {
    const t = this.t;
    this.side = h("section", { class: "left", "aria-label": t("explore.filters") });
    this.main = h("section", { class: "stack", "aria-label": t("explore.rows") });
    fill(this.host, h("div", { class: "page two" }, this.side, this.main));
    window.addEventListener("hashchange", () => this.fromAddress());
    await this.begin();
  }

  async begin() {
    const t = this.t;
    fill(this.main, h("div", { class: "card empty" }, t("common.loading")));
    try {
      this.datasets = await api("GET", "explore/api/datasets");
    } catch (error) { return this.fail(error); }
    if (!this.datasets.length) {
      this.host.firstChild.classList.remove("two");
      fill(this.side);
      return fill(this.main, h("div", { class: "card empty" }, h("h2", {}, t("explore.no_dataset")), h("p", {}, t("explore.no_dataset_how")), h("p", {}, h("code", {}, "medprm space runs/demo"))));
    }
    const { params } = route();
    if (params.dataset) this.dataset = Math.min(Number(params.dataset) || 0, this.datasets.length - 1);
    await this.choose(this.dataset);
  }

  async choose(dataset) {
    Object.assign(this, { dataset, filters: {}, page: 0 });
    fill(this.main, h("div", { class: "card empty" }, this.t("explore.reading")));
    try {
      this.facets = await api("GET", `explore/api/facets?dataset=${dataset}`);
    } catch (error) { return this.fail(error); }
    this.drawFilters();
    if (!(await this.fromAddress())) await this.load();
  }

  async fromAddress() {
    const { tab, params } = route();
    if (tab !== "explore" || params.row === undefined || !this.facets) {
      if (tab === "explore" && this.shown) { this.shown = false; this.load(); }
      return false;
    }
    await this.showRow(Number(params.row));
    return true;
  }

  fail(error) {
    const t = this.t;
    fill(this.main, h("div", { class: "notice bad", role: "alert" }, error.status === 0 ? t("common.offline") : error.message),
      error.status !== 403 && h("div", {}, h("button", { type: "button", onclick: () => this.begin() }, t("common.retry"))));
  }

  // --- filters -------------------------------------------------------------------------------------------------

  drawFilters() {
    const t = this.t;
    // A filter that all rows pass tells nothing.
    const groups = GROUPS.filter((name) => Object.values(this.facets.facets[name] ?? {}).some((count) => count < this.facets.rows));
    const sources = this.datasets.length > 1 && h("div", {}, h("label", { htmlFor: "explore-dataset" }, t("explore.dataset")),
      h("select", { id: "explore-dataset", onchange: (event) => this.choose(Number(event.target.value)) },
        this.datasets.map((one) => h("option", { value: one.number, selected: one.number === this.dataset }, one.title))));
    const text = h("input", { type: "search", id: "explore-text", placeholder: t("explore.text_hint"), value: this.filters.text ?? "",
      oninput: later((event) => { this.filters.text = event.target.value; this.refilter(); }, 300) });
    this.clearing = h("button", { type: "button", class: "plain", onclick: () => { this.filters = {}; this.drawFilters(); this.refilter(); } }, t("explore.clear"));
    const body = h("div", { class: "stack filters" }, sources,
      h("div", {}, h("label", { htmlFor: "explore-text" }, t("explore.text")), text),
      groups.map((name) => this.group(name)), this.confidence());
    const wide = matchMedia("(min-width: 901px)").matches;
    fill(this.side, h("details", { class: "card", open: wide }, h("summary", {}, h("h2", {}, t("explore.filters")), this.clearing), body));
    this.clearing.hidden = !this.any();
  }

  group(name) {
    const t = this.t;
    const values = Object.entries(this.facets.facets[name]);
    const chosen = new Set(this.filters[name] ?? []);
    const box = ([value, count]) => h("label", { class: "check" },
      h("input", { type: "checkbox", checked: chosen.has(value), onchange: (event) => this.toggle(name, value, event.target.checked) }),
      h("span", { class: "text" }, this.name(name, value)), h("span", { class: "count number" }, count.toLocaleString()));
    const first = values.slice(0, 6), rest = values.slice(6);
    return h("fieldset", {}, h("legend", {}, t(`explore.${name}`)), first.map(box),
      rest.length > 0 && h("details", {}, h("summary", { class: "small" }, t("explore.more", { count: rest.length })), rest.map(box)));
  }

  name(group, value) {
    return NAMED.has(group) ? this.t(`explore.${group}_${{ "+": "plus", "-": "minus", 0: "neutral", "?": "unknown" }[value] ?? value}`) : value.replaceAll("_", " ").replace(/:(?=\S)/g, ": ");
  }

  confidence() {
    const t = this.t;
    const bound = (place, hint) => h("input", { type: "number", min: 0.5, max: 1, step: 0.05, "aria-label": t(hint), placeholder: t(hint), value: this.filters.confidence?.[place] ?? "",
      oninput: later((event) => {
        const bounds = [...(this.filters.confidence ?? [null, null])];
        bounds[place] = event.target.value === "" ? null : Number(event.target.value);
        this.filters.confidence = bounds.every((one) => one === null) ? null : bounds;
        this.refilter();
      }, 300) });
    return h("fieldset", {}, h("legend", {}, t("explore.confidence")), h("div", { class: "row bounds" }, bound(0, "explore.from"), h("span", { "aria-hidden": "true" }, "–"), bound(1, "explore.to")));
  }

  toggle(name, value, on) {
    const chosen = new Set(this.filters[name] ?? []);
    if (on) chosen.add(value); else chosen.delete(value);
    this.filters[name] = [...chosen];
    this.refilter();
  }

  any() {
    return Object.values(this.filters).some((value) => (Array.isArray(value) ? value.length : value));
  }

  refilter() {
    this.page = 0;
    this.clearing.hidden = !this.any();
    this.load();
  }

  // --- rows ----------------------------------------------------------------------------------------------------

  async load() {
    const asked = ++this.asked;
    try {
      const found = await api("POST", "explore/api/rows", { dataset: this.dataset, filters: this.filters, page: this.page });
      if (asked !== this.asked) return;
      this.found = found;
      this.shown = false;
      this.drawRows();
    } catch (error) { if (asked === this.asked) this.fail(error); }
  }

  drawRows() {
    const t = this.t, found = this.found;
    if (!found.total) return fill(this.main, h("div", { class: "card empty" }, h("h2", {}, t("explore.nothing")), h("p", {}, t("explore.nothing_how"))));
    fill(this.main,
      h("div", { class: "row spread" }, h("p", { class: "quiet", "aria-live": "polite" }, t("explore.total", { total: found.total.toLocaleString(), rows: this.facets.rows.toLocaleString() })), this.pager()),
      h("div", { class: "card list" }, found.rows.map((row) => this.line(row))),
      found.pages > 1 && h("div", { class: "row" }, h("span", { class: "push" }), this.pager()));
  }

  pager() {
    const t = this.t, { page, pages } = this.found;
    if (pages < 2) return null;
    const go = (to) => () => { this.page = to; this.load(); window.scrollTo({ top: 0 }); };
    return h("nav", { class: "row pager", "aria-label": t("explore.pages") },
      h("button", { type: "button", disabled: page === 0, "aria-label": t("explore.before"), onclick: go(page - 1) }, "←"),
      h("span", { class: "small number" }, t("explore.page", { page: (page + 1).toLocaleString(), pages: pages.toLocaleString() })),
      h("button", { type: "button", disabled: page + 1 >= pages, "aria-label": t("explore.after"), onclick: go(page + 1) }, "→"));
  }

  line(row) {
    const t = this.t;
    return h("a", { class: "line", href: `#explore?row=${row.place}${this.dataset ? `&dataset=${this.dataset}` : ""}` },
      h("span", { class: "asked" }, h("span", { class: "text" }, row.question), h("span", { class: "small quiet" }, row.solution_id ?? row.question_id)),
      h("span", { class: "marks", role: "img", "aria-label": t("explore.labels", { labels: row.steps.map((one) => one.label).join(" ") }) },
        row.steps.slice(0, 24).map((one) => h("span", { class: `mark ${kind(one.label)}` }, sign(one.label)))),
      h("span", { class: "about" },
        row.modality && h("span", { class: "chip" }, row.modality.replaceAll("_", " ")),
        row.difficulty && h("span", { class: "chip" }, row.difficulty),
        row.is_correct !== null && row.is_correct !== undefined && h("span", { class: `chip ${row.is_correct ? "plus" : "minus"}` }, t(row.is_correct ? "explore.answer_right" : "explore.answer_wrong")),
        row.keep === false && h("span", { class: "chip amber" }, t("explore.kept_no"))));
  }

  async showRow(place) {
    const t = this.t;
    try {
      const row = await api("GET", `explore/api/row?dataset=${this.dataset}&place=${place}`);
      this.shown = true;
      const order = this.found?.rows.map((one) => one.place) ?? [];
      const at = order.indexOf(place);
      const go = (to) => to !== undefined && h("a", { class: "button", href: `#explore?row=${to}${this.dataset ? `&dataset=${this.dataset}` : ""}` }, to === order[at - 1] ? "←" : "→");
      fill(this.main, h("div", { class: "row" },
        h("button", { type: "button", onclick: () => { setRoute("explore"); if (this.found) { this.shown = false; this.drawRows(); } else this.load(); } }, "← ", t("explore.back")),
        h("span", { class: "push" }), at > 0 && go(order[at - 1]), at >= 0 && go(order[at + 1])),
      rowView(t, row, `explore/api/image?dataset=${this.dataset}&place=${place}`));
      window.scrollTo({ top: 0 });
    } catch (error) { this.fail(error); }
  }
}

export function kind(label) {
  return { "+": "plus", "-": "minus", 0: "neutral" }[label] ?? "unknown";
}

export function sign(label) {
  return { "+": "+", "-": "−", 0: "0" }[label] ?? "?";
}
