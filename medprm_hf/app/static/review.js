// The review page: puts the parts together, shows what the session does, and hands keys to it.
//
//     import { start } from "./review.js";
//     start(host, page);                 // called by the panel; page.texts, page.error_groups
//
// Parts: review_session.js (state, no page), review_steps.js, review_dock.js, review_question.js, review_dialogs.js,
// review_head.js (progress, saved mark), viewer.js and viewer_bar.js (image), review_keys.js (which key does what).

import { fill, h, route, setRoute, texts } from "./base.js";
import { dialog, dialogOpen, pickError, showKeys, showRefused } from "./review_dialogs.js";
import { Dock } from "./review_dock.js";
import { Head } from "./review_head.js";
import { KeyMap, isTyping } from "./review_keys.js";
import { done as doneView, enter } from "./review_door.js";
import { VERDICTS, choose, evidence, form, questionCard, questionNotes, similarCases } from "./review_question.js";
import { Session } from "./review_session.js";
import { StepList } from "./review_steps.js";
import { Viewer } from "./viewer.js";
import { ViewerBar } from "./viewer_bar.js";

/** Starts the page inside `host`; a second start in the same place replaces the first. */
export async function start(host, page) {
  const t = (key, values) => texts(page)(`review.${key}`, values);
  const me = await enter(host, t);
  if (me) new ReviewPage(host, page, t, me).begin();
}

class ReviewPage {
  constructor(host, page, t, me) {
    Object.assign(this, { host, page, t, keys: new KeyMap(), refusals: [] });
    this.session = new Session(me, this);
    this.head = new Head(this.session, {
      t, keys: this.keys, domains: page.domains, help: () => this.act("help"), refused: () => this.#showRefused(),
    });
    this.#build();
    this.listening = new AbortController();
    const options = { signal: this.listening.signal };
    document.addEventListener("keydown", (event) => this.#key(event), options);
    addEventListener("hashchange", () => this.#follow(), options);
    new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && this.#shown()).observe(host);
  }

  /** Opens the item that the address names, or the next one. */
  begin() {
    const { item } = route().params;
    this.session.open(item ? { item } : {});
  }

  #build() {
    const { t, keys, session } = this;
    this.canvas = h("canvas", { class: "rv-canvas", tabindex: "0", role: "img", "aria-label": t("image") });
    this.nothing = h("p", { class: "rv-no-image quiet" });
    this.viewer = new Viewer(this.canvas);
    this.bar = new ViewerBar(this.viewer, { t, keys, say: (text) => this.#announce(text), boxDone: (box) => this.#boxed(box) });
    this.bar.onBox = () => this.act("box");
    this.card = h("section", { class: "card rv-card", "aria-label": t("question") });
    this.list = new StepList(session, { t, keys, goto: (index) => session.move(index) });
    this.below = h("div", { class: "stack rv-below" });
    this.dock = new Dock(session, { t, keys, act: (action) => this.act(action) });
    this.right = h("div", { class: "rv-right" }, this.card, this.list.node, this.below, this.dock.node);
    this.left = h("section", { class: "rv-left", "aria-label": t("image") },
      h("div", { class: "rv-stage" }, this.canvas, this.nothing), this.bar.node);
    this.voice = h("div", { class: "sr", role: "status", "aria-live": "polite" });
    this.body = h("div", { class: "rv-body" }, this.left, this.right);
    this.empty = h("div", { class: "card empty", hidden: true });
    fill(this.host, h("div", { class: "page rv" }, this.head.node, this.body, this.empty, this.voice));
  }

  // --- what the session tells ------------------------------------------------------------------------------

  /** A new item, or none. */
  item() {
    const { item } = this.session;
    this.body.hidden = !item;
    this.empty.hidden = Boolean(item);
    this.head.render();
    if (!item) return fill(this.empty, doneView(this.session, this.t, () => this.session.open()));
    if (this.host.offsetParent !== null) setRoute("review", { item: item.item_id });
    fill(this.card, questionCard(item, this.t));
    this.list.render();
    this.#below();
    this.dock.render();
    this.#image(item);
    this.#top();
    this.list.current(!matchMedia("(max-width: 900px)").matches);
    if (!item.steps.length) return this.#announce(this.t("question_opened"));
    this.#announce(this.t("item_opened", { n: item.steps.length, open: this.session.openSteps.length }));
  }

  /** One step changed. */
  step(index) {
    this.list.update(index);
    this.dock.render();
    this.#boxes();
  }

  /** Signals that were not there before have come: the evidence shows what the judge relied on. */
  unveiled() {
    this.#below();
  }

  /** Another step is the current one. */
  moved() {
    this.list.current();
    this.dock.render();
    this.#boxes();
  }

  /** Something is sent, waits or has arrived. */
  marks() {
    this.head?.render();
  }

  /** A short sentence for everyone: shown in the head line and read out. */
  say(key, values) {
    this.#announce(this.t(key, values));
  }

  /** The server did not take something. */
  refused(entry, error) {
    this.refusals.push({ entry, error });
    this.head.render(this.refusals.length);
    this.#announce(`${this.t("not_taken")} ${error.message}`);
    if (entry.path === "next" && entry.body.item) this.session.open();
  }

  /** The login has run out: nothing is lost, the outbox waits. */
  async signedOut() {
    if (this.asking?.isConnected) return;
    const box = h("div");
    this.asking = dialog(this.host, this.t("signed_out"), this.t, box);
    const me = await enter(box, this.t);
    if (!me) return;
    if (me.name !== this.session.me.name) return location.reload();
    this.asking.close();
    this.session.outbox.retry();
    if (!this.session.item) this.session.open();
  }

  // --- parts of an item --------------------------------------------------------------------------------------

  #below() {
    const { item } = this.session;
    const open = item.steps.length === 0;
    this.form = open ? form(item, this.t, (content) => { this.session.judgeQuestion(content); this.session.finish(); }) : null;
    fill(this.below,
      open ? h("section", { class: "card stack tight", "aria-label": this.t("question_review") },
        h("h3", {}, this.t("question_review")), questionNotes(item, this.t), this.form) : null,
      evidence(item, this.t), similarCases(item, this.t));
  }

  async #image(item) {
    const problem = item.image_problem ?? null;
    this.left.classList.toggle("rv-empty", !item.image);
    this.nothing.textContent = item.image ? "" : problem ?? this.t("no_image");
    try {
      await this.viewer.show(item.image ? new URL(item.image.url.replace(/^\//, ""), document.baseURI).href : null);
    } catch {
      this.nothing.textContent = this.t("image_failed");
    }
    if (this.session.item !== item) return;
    this.bar.reset();
    this.#boxes();
  }

  #boxes() {
    const { steps, target } = this.session;
    const boxes = steps.flatMap(({ mine }, index) =>
      (mine?.box ? [{ box: mine.box, current: index === target, name: String(index + 1) }] : []));
    if (JSON.stringify(boxes) === JSON.stringify(this.viewer.boxes)) return;
    this.viewer.boxes = boxes;
    this.viewer.render();
  }

  #boxed(box) {
    this.session.amend(this.boxStep, { box });
    this.#boxes();
    this.act("back_to_steps");
  }

  /** A new item begins with its question, not where the one before was left. */
  #top() {
    if (this.host.getBoundingClientRect().top < 0) this.host.scrollIntoView({ block: "start" });
  }

  #announce(text) {
    this.voice.textContent = "";
    this.voice.textContent = text;
    this.head.tell(text);
  }

  #showRefused() {
    showRefused({ host: this.host, t: this.t, refused: this.refusals });
  }

  // --- keys ----------------------------------------------------------------------------------------------------

  #key(event) {
    if (!this.host.isConnected) {
      this.session.stop();
      return this.listening.abort();
    }
    if (this.host.offsetParent === null || dialogOpen() || event.defaultPrevented) return;
    if (this.bar.boxing && !isTyping(event) && this.bar.boxKey(event)) return event.preventDefault();
    const action = this.keys.actionOf(event);
    if (!action) return;
    event.preventDefault();
    this.act(action);
  }

  /** Does what a key or a button asks for. */
  act(action) {
    const { session } = this;
    if (this.form && this.#onQuestion(action)) return;
    const acts = {
      right: () => session.label("+"),
      wrong: () => session.label("-"),
      neutral: () => session.label("0"),
      unsure: () => session.label("?"),
      all_right: () => session.allRight(),
      undo: () => session.undo(),
      next: () => session.move(session.current + 1),
      previous: () => session.move(session.current - 1),
      finish: () => session.finish(),
      skip: () => session.skip(),
      error: () => this.#error(),
      note: () => this.dock.writeNote(),
      box: () => this.#box(),
      question: () => this.#question(),
      reason: () => this.list.toggleReasons(),
      help: () => showKeys({ host: this.host, t: this.t, keys: this.keys, changed: () => this.#keysChanged() }),
      back_to_steps: () => this.list.current(),
    };
    if (acts[action]) acts[action]();
    else this.bar.act(action);
  }

  /** An item that asks about a question has no steps: the label keys choose the verdict, Enter stores it. */
  #onQuestion(action) {
    const verdict = VERDICTS[["right", "wrong", "neutral"].indexOf(action)];
    if (verdict) choose(this.form, verdict);
    else if (action === "finish") this.form.requestSubmit();
    return Boolean(verdict) || action === "finish";
  }

  #error() {
    const index = this.session.target;
    const step = this.session.steps[index];
    if (!step || this.session.busy) return;
    pickError({
      host: this.host, t: this.t, groups: this.page.error_groups, n: index + 1, mine: step.mine,
      done: (chosen) => { this.session.amend(index, chosen); this.act("back_to_steps"); },
    });
  }

  #box() {
    if (!this.session.steps.length) return;
    this.boxStep = this.session.target;
    this.bar.startBox(this.session.steps[this.boxStep].mine?.box ?? null);
  }

  #question() {
    const { item } = this.session;
    if (!item || this.form) return this.form?.querySelector("input").focus();
    const node = dialog(this.host, this.t("question_review"), this.t,
      form(item, this.t, (content) => { node.close(); this.session.judgeQuestion(content); }));
    node.querySelector("input").focus();
  }

  #keysChanged() {
    this.list.render();
    this.list.current();
    this.dock.render();
    this.head.render();
  }

  /** The tab is in sight again: the address names the item, and the keys belong to it. */
  #shown() {
    const { item } = this.session;
    if (!item || route().params.item) return;
    setRoute("review", { item: item.item_id });
    this.list.current();
  }

  #follow() {
    const { tab, params } = route();
    if (tab === "review" && params.item && params.item !== this.session.item?.item_id) this.session.open({ item: params.item });
  }
}
