// The Score tab: question and image at the left, solutions at the right; each solution is an editor until it is scored.
import { api, fill, h, later, route, setRoute, texts, toast } from "./base.js";
import { imagePane } from "./score_image.js";
import { scoredCard, summaryCard } from "./score_result.js";
import { packed, unpacked } from "./score_share.js";

const KEPT = "medprm.score";
const MOST = 8;

export function start(host, page) {
  new ScoreTab(host, texts(page)).open();
}

class ScoreTab {
  constructor(host, t) {
    Object.assign(this, { host, t, solutions: [""], editing: [true], told: null, by: null, busy: false, example: null });
    this.keep = later(() => this.store(), 400);
  }

  async open() {
    const t = this.t;
    this.image = imagePane(t, () => this.changed(true));
    this.question = h("textarea", { id: "score-question", rows: 2, placeholder: t("score.question_hint"), oninput: () => this.changed() });
    this.options = h("textarea", { id: "score-options", rows: 4, placeholder: t("score.options_hint"), oninput: () => this.changed() });
    this.model = h("p", { class: "small quiet", "aria-live": "polite" });
    this.examples = h("div", { class: "row examples" });
    this.alert = h("div", { class: "notice bad", role: "alert", hidden: true });
    this.summary = h("div");
    this.list = h("div", { class: "stack" });
    this.actions = h("div", { class: "row actions" });
    const left = h("section", { class: "left stack", "aria-label": t("score.case") },
      h("div", { class: "card stack" }, this.image.element,
        h("div", {}, h("label", { htmlFor: "score-question" }, t("score.question")), this.question),
        h("div", {}, h("label", { htmlFor: "score-options" }, t("score.options")), this.options)),
      this.model);
    const right = h("section", { class: "stack", "aria-label": t("score.solutions") },
      h("div", { class: "row spread" }, this.examples,
        h("div", { class: "row" },
          h("button", { type: "button", class: "plain", onclick: () => this.share() }, t("score.share")),
          h("button", { type: "button", class: "plain", onclick: () => this.clear() }, t("score.clear")))),
      this.alert, this.summary, this.list, this.actions);
    fill(this.host, h("div", { class: "page two" }, left, right));
    this.host.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); this.score(); }
    });
    this.draw();
    this.listExamples();
    this.watchModel();
    window.addEventListener("hashchange", () => this.fromAddress());
    if (!(await this.fromAddress())) this.restore();
  }

  // --- what is written -----------------------------------------------------------------------------------------

  state() {
    return { question: this.question.value, options: this.optionList(), solutions: this.solutions, example: this.example };
  }

  put(state) {
    this.question.value = state.question ?? "";
    this.options.value = (state.options ?? []).join("\n");
    this.solutions = (state.solutions?.length ? state.solutions : [""]).slice(0, MOST).map(String);
    this.editing = this.solutions.map(() => true);
    this.example = state.example ?? null;
    this.told = null;
    this.draw();
  }

  optionList() {
    return this.options.value.split("\n").map((one) => one.trim().replace(/^\(?[A-Z][.):]\s+/, "")).filter(Boolean);
  }

  changed(image = false) {
    if (image) this.example = null;
    if (this.told) {
      this.told = null;
      this.editing = this.solutions.map(() => true);
      this.draw();
    }
    this.keep();
  }

  store() {
    try { sessionStorage.setItem(KEPT, JSON.stringify(this.state())); } catch { /* a full or closed storage loses nothing here */ }
  }

  restore() {
    const kept = sessionStorage.getItem(KEPT);
    if (!kept) return;
    const state = JSON.parse(kept);
    this.put(state);
    if (state.example) this.exampleImage(state.example);
  }

  clear() {
    this.image.set(null);
    this.put({});
    setRoute("score");
    this.store();
    this.question.focus();
  }

  // --- examples, links -----------------------------------------------------------------------------------------

  async listExamples() {
    const t = this.t;
    try {
      const found = await api("GET", "score/api/examples");
      fill(this.examples, h("span", { class: "small quiet" }, t("score.examples")),
        found.map((one) => h("button", { type: "button", "data-example": one.id, onclick: () => this.load(one.id) }, t(`score.example_${one.id}`))));
    } catch { fill(this.examples); }
  }

  async load(id) {
    let found = null;
    await this.trying(async () => { found = await api("GET", `score/api/examples/${encodeURIComponent(id)}`); });
    if (!found) return;
    this.image.set(found.image);
    this.put({ ...found, example: id });
    this.keep();
    await this.score();
  }

  async exampleImage(id) {
    try { this.image.set((await api("GET", `score/api/examples/${encodeURIComponent(id)}`)).image); } catch { /* then without */ }
  }

  async share() {
    const link = new URL(location.href);
    link.hash = `score?s=${await packed(this.state())}`;
    try {
      await navigator.clipboard.writeText(link.href);
      toast(this.t(this.image.value() && !this.example ? "score.shared_no_image" : "score.shared"));
    } catch {
      history.replaceState(null, "", link.hash);
      toast(this.t("score.shared_address"));
    }
  }

  async fromAddress() {
    const { tab, params } = route();
    if (tab !== "score" || !params.s) return false;
    try {
      const state = await unpacked(params.s);
      setRoute("score");
      this.put(state);
      this.image.set(null);
      if (state.example) await this.exampleImage(state.example);
      return true;
    } catch {
      this.fail(this.t("score.bad_link"));
      return false;
    }
  }

  // --- the model -----------------------------------------------------------------------------------------------

  async watchModel() {
    const t = this.t;
    try {
      const model = await api("GET", "score/api/model");
      this.writer = model.writer;
      const key = { ready: model.simulated ? "score.model_simulated" : "score.model_ready", failed: "score.model_failed" }[model.state];
      this.model.textContent = t(key ?? "score.model_loading", { model: model.model, message: model.message });
      this.drawActions();
      if (model.state === "ready" || model.state === "failed") return;
    } catch { /* asked again below */ }
    setTimeout(() => this.watchModel(), 1500);
  }

  async score() {
    const written = this.solutions.map((text, place) => ({ text, place })).filter((one) => one.text.trim());
    if (!written.length) return this.fail(this.t("score.no_solution"));
    if (!this.question.value.trim()) return this.fail(this.t("score.no_question"));
    await this.trying(async () => {
      if (written.length < this.solutions.length) this.solutions = written.map((one) => one.text);
      const told = await api("POST", "score/api/score", {
        question: this.question.value, options: this.optionList(), image: this.image.value(), solutions: this.solutions,
      });
      this.told = told;
      this.by = this.by in told.best ? this.by : told.aggregator;
      this.editing = this.solutions.map(() => false);
      const best = told.best[this.by];
      this.opened = this.solutions.map((_, place) => this.solutions.length < 3 || place === best);
    });
    this.watchModel();
  }

  async write(n) {
    await this.trying(async () => {
      const found = await api("POST", "score/api/write", {
        question: this.question.value, options: this.optionList(), image: this.image.value(), n,
      });
      const own = this.solutions.filter((text) => text.trim());
      this.solutions = [...own, ...found.solutions].slice(0, MOST);
      if (!this.solutions.length) this.solutions = [""];
      this.editing = this.solutions.map(() => true);
      this.told = null;
      if (found.failed.length) toast(this.t("score.write_failed", { count: found.failed.length, why: found.failed[0] }), true);
    });
    this.store();
  }

  async trying(run) {
    if (this.busy) return;
    this.busy = true;
    this.fail("");
    this.drawActions();
    try { await run(); } catch (error) { this.fail(error.status === 0 ? this.t("common.offline") : error.message); }
    this.busy = false;
    this.draw();
  }

  fail(message) {
    this.alert.textContent = message;
    this.alert.hidden = !message;
  }

  // --- drawing -------------------------------------------------------------------------------------------------

  draw() {
    fill(this.summary, this.told && this.solutions.length > 1 ? summaryCard(this.t, this.told, this.by, (by) => { this.by = by; this.draw(); }) : null);
    fill(this.list, this.solutions.map((text, place) => (this.told && !this.editing[place] ? this.scored(place) : this.editor(text, place))));
    this.drawActions();
  }

  scored(place) {
    const several = this.solutions.length > 1;
    return scoredCard(this.t, this.told, place, {
      by: this.by,
      several,
      open: !several || this.opened[place],
      toggle: () => { this.opened[place] = !this.opened[place]; this.draw(); this.focusCard(place); },
      edit: () => { this.told = null; this.editing = this.solutions.map(() => true); this.draw(); document.getElementById(`score-solution-${place}`).focus(); },
    });
  }

  focusCard(place) {
    this.list.children[place]?.querySelector("button")?.focus();
  }

  editor(text, place) {
    const t = this.t;
    const id = `score-solution-${place}`;
    const rows = Math.min(18, Math.max(7, text.split("\n").length + 1));
    const area = h("textarea", { id, rows, placeholder: t("score.solution_hint"), value: text,
      oninput: (event) => { this.solutions[place] = event.target.value; this.changed(); } });
    const remove = this.solutions.length > 1 && h("button", { type: "button", class: "plain", "aria-label": t("score.remove", { number: place + 1 }),
      onclick: () => { this.solutions.splice(place, 1); this.editing.splice(place, 1); this.draw(); this.keep(); } }, "✕");
    return h("div", { class: "card solution" },
      h("div", { class: "row spread" }, h("label", { htmlFor: id }, this.solutions.length > 1 ? t("score.solution", { number: place + 1 }) : t("score.solution_one")), remove),
      area);
  }

  drawActions() {
    const t = this.t;
    const room = this.solutions.length < MOST;
    const add = h("button", { type: "button", disabled: !room, onclick: () => {
      this.solutions.push(""); this.editing = this.solutions.map(() => true); this.told = null; this.draw();
      document.getElementById(`score-solution-${this.solutions.length - 1}`).focus(); } }, t("score.add"));
    const write = this.writer && h("button", { type: "button", disabled: this.busy || !room || !this.question.value.trim(), title: t("score.write_title", { writer: this.writer }),
      onclick: () => this.write(Math.min(4, MOST - this.solutions.filter((one) => one.trim()).length)) }, t("score.write"));
    const run = h("button", { type: "button", class: "primary push", id: "score-run", disabled: this.busy, onclick: () => this.score() },
      this.busy ? t("score.running") : t("score.run"), h("kbd", {}, navigator.platform.startsWith("Mac") ? "⌘ ↵" : "Ctrl ↵"));
    fill(this.actions, add, write, this.told ? null : run);
  }
}
