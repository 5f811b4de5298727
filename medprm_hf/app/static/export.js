// The Export tab: what, in which format, what will be missing in it, and then the file.
import { api, fill, h, texts, toast } from "./base.js";

export function start(host, page) {
  new ExportTab(host, texts(page)).open();
}

class ExportTab {
  constructor(host, t) {
    Object.assign(this, { host, t, dataset: 0, format: "visualprm", only: "all", images: true, told: null, done: null, busy: false });
  }

  async open() {
    const t = this.t;
    this.left = h("section", { class: "left stack", "aria-label": t("export.what") });
    this.right = h("section", { class: "stack", "aria-label": t("export.file") });
    fill(this.host, h("div", { class: "page two" }, this.left, this.right));
    fill(this.right, h("div", { class: "card empty" }, t("common.loading")));
    try {
      const found = await api("GET", "export/api/formats");
      Object.assign(this, { formats: found.formats, datasets: found.datasets, repo: found.hub_repo });
    } catch (error) { return this.fail(error); }
    if (!this.datasets.length) {
      this.host.firstChild.classList.remove("two");
      fill(this.left);
      return fill(this.right, h("div", { class: "card empty" }, h("h2", {}, t("export.no_dataset")), h("p", {}, t("export.no_dataset_how")), h("p", {}, h("code", {}, "medprm space runs/demo"))));
    }
    await this.look();
  }

  fail(error) {
    fill(this.right, h("div", { class: "notice bad", role: "alert" }, error.status === 0 ? this.t("common.offline") : error.message),
      error.status !== 403 && h("div", {}, h("button", { type: "button", onclick: () => this.look() }, this.t("common.retry"))));
  }

  async look() {
    this.done = null;
    this.drawLeft();
    const format = this.format;
    try {
      const told = await api("GET", `export/api/told?dataset=${this.dataset}&format=${encodeURIComponent(format)}`);
      if (format !== this.format) return;
      this.told = told;
      this.drawLeft();
      this.drawRight();
    } catch (error) { this.fail(error); }
  }

  // --- what ----------------------------------------------------------------------------------------------------

  drawLeft() {
    const t = this.t, told = this.told;
    const rest = this.formats.filter((one) => !one.featured);
    const choice = (value, count) => h("label", { class: "choice" },
      h("input", { type: "radio", name: "export-only", value, checked: this.only === value, onchange: () => { this.only = value; this.done = null; this.drawRight(); } }),
      h("span", {}, h("span", { class: "strong" }, t(`export.only_${value}`)), h("span", { class: "small quiet" }, t(`export.only_${value}_how`))),
      told && count !== null && h("span", { class: "count number quiet" }, count.toLocaleString()));
    const known = rest.some((one) => one.id === this.format);
    fill(this.left, h("div", { class: "card stack" },
      this.datasets.length > 1 && h("div", {}, h("label", { htmlFor: "export-dataset" }, t("export.dataset")),
        h("select", { id: "export-dataset", onchange: (event) => { this.dataset = Number(event.target.value); this.told = null; this.look(); } },
          this.datasets.map((one) => h("option", { value: one.number, selected: one.number === this.dataset }, one.title)))),
      h("fieldset", {}, h("legend", {}, t("export.rows")), choice("all", told?.rows), choice("approved", told?.approved)),
      h("fieldset", {}, h("legend", {}, t("export.format")), this.formats.filter((one) => one.featured).map((one) => this.formatChoice(one)),
        h("details", { open: known }, h("summary", { class: "small" }, t("export.more", { count: rest.length })), rest.map((one) => this.formatChoice(one)))),
      h("label", { class: "choice" }, h("input", { type: "checkbox", checked: this.images, onchange: (event) => { this.images = event.target.checked; this.done = null; this.drawRight(); } }),
        h("span", {}, h("span", { class: "strong" }, t("export.images")), h("span", { class: "small quiet" }, t("export.images_how"))))));
  }

  formatChoice(one) {
    return h("label", { class: "choice" },
      h("input", { type: "radio", name: "export-format", value: one.id, checked: this.format === one.id, onchange: () => { this.format = one.id; this.look(); this.keepFocus(one.id); } }),
      h("span", {}, h("span", { class: "strong" }, one.id), h("span", { class: "small quiet" }, one.text)));
  }

  keepFocus(id) {
    this.left.querySelector(`input[value="${CSS.escape(id)}"]`)?.focus();
  }

  // --- the file ------------------------------------------------------------------------------------------------

  drawRight() {
    const t = this.t, told = this.told;
    if (!told) return;
    const count = this.only === "approved" ? told.approved : told.rows;
    fill(this.right, h("div", { class: "card stack" },
      h("div", {}, h("h2", {}, told.file), count !== null && h("p", { class: "quiet" }, t("export.count", { count: count.toLocaleString() }))),
      this.missing(told),
      h("div", { class: "row" },
        h("button", { type: "button", class: "primary", id: "export-run", disabled: this.busy || count === 0, onclick: () => this.write(true) }, this.busy ? t("export.writing") : t("export.download")),
        this.repo && h("button", { type: "button", disabled: this.busy || count === 0, title: this.repo, onclick: () => this.propose() }, t("export.propose", { repo: this.repo }))),
      count === 0 && h("p", { class: "quiet" }, t(this.only === "approved" ? "export.none_approved" : "export.none"))),
    this.done && this.report(this.done));
  }

  missing(told) {
    const t = this.t;
    if (!told.columns.length && !told.losses.length) return h("p", { class: "notice" }, t("export.lossless"));
    return h("div", { class: "notice missing" }, h("h3", {}, t("export.missing")),
      h("ul", {}, told.losses.map((loss) => h("li", {}, loss))),
      told.columns.length > 0 && h("p", { class: "small" }, t("export.columns", { count: told.columns.length })),
      h("div", { class: "columns" }, told.columns.map((one) => h("code", { title: one.text }, one.name))));
  }

  async write(fetchIt) {
    this.busy = true;
    this.drawRight();
    try {
      this.done = await api("POST", "export/api/write", { dataset: this.dataset, format: this.format, only: this.only, images: this.images, public: !fetchIt });
      if (fetchIt) h("a", { href: new URL(`export/api/file/${this.done.job}`, document.baseURI).href, download: this.done.file }).click();
      this.busy = false;
      this.drawRight();
      return this.done;
    } catch (error) {
      this.busy = false;
      this.drawRight();
      this.right.append(h("div", { class: "notice bad", role: "alert" }, error.status === 0 ? this.t("common.offline") : error.message));
      return null;
    }
  }

  async propose() {
    const done = await this.write(false);
    if (!done) return;
    try {
      const made = await api("POST", "export/api/propose", { job: done.job });
      this.right.append(h("div", { class: "notice" }, this.t("export.proposed"), " ", h("a", { href: made.url, target: "_blank", rel: "noopener" }, `#${made.number ?? ""} ${this.repo}`)));
    } catch (error) { toast(error.message, true); }
  }

  report(done) {
    const t = this.t, told = done.report;
    const list = (name, values) => Object.entries(values).map(([what, count]) => h("li", {}, t(name, { count: count.toLocaleString(), what })));
    return h("div", { class: "card stack tight", role: "status" },
      h("h2", {}, t("export.done", { file: done.file })),
      h("p", { class: "quiet" }, t("export.written", { written: told.written.toLocaleString(), records: told.records.toLocaleString(), images: told.images.toLocaleString(), size: size(done.bytes) })),
      h("ul", { class: "small" }, list("export.left_out", told.left_out), list("export.rejected", told.rejections)),
      Object.keys(told.losses).length > 0 && h("details", {}, h("summary", { class: "small" }, t("export.lost_columns", { count: Object.keys(told.losses).length })), h("ul", { class: "small" }, list("export.lost", told.losses))));
  }
}

function size(bytes) {
  const units = ["B", "kB", "MB", "GB"];
  let place = 0;
  while (bytes >= 1000 && place < 3) { bytes /= 1000; place++; }
  return `${bytes.toFixed(place && bytes < 10 ? 1 : 0)} ${units[place]}`;
}
