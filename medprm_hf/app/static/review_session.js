// What a reviewer does, without a page: the item, its labels, undo, time, lease, and the outbox behind them.
//
//     const session = new Session(me, screen);
//     await session.open({ item: "phantom-train-000001-s0" });
//     session.label("-");  session.amend(2, { error_type: "factual_error" });  session.undo();  await session.finish();
//
// `screen` is told what changed: item(), step(index), moved(), unveiled(), marks(), say(key, values),
// refused(entry, error), signedOut(). A key changes the page at once; the server hears of it through the outbox, in order.

import { Outbox, isPassing } from "./review_outbox.js";
import { StepClock } from "./review_clock.js";
import { farewell, keep, post, recall } from "./review_dom.js";

const BEAT_MS = 30000;
const GONE_MS = 600000;
const RETRY_MS = 3000;
export const SPECIALTY = "medprm.specialty";
const FIELDS = ["label", "error_type", "severity", "note", "box"];

/** One reviewer at one item after another. */
export class Session {
  #history = [];
  #beats = null;

  constructor(me, screen) {
    Object.assign(this, { me, screen, item: null, current: 0, last: null, busy: false, trail: [], times: [] });
    this.counts = me.counts ?? null;
    this.clock = new StepClock();
    this.outbox = new Outbox(me.name, post, {
      changed: () => screen.marks(),
      done: (entry, answer) => this.#done(entry, answer),
      refused: (entry, error) => this.#refused(entry, error),
    });
    this.#beats = setInterval(() => this.#beat(), BEAT_MS);
    this.listening = new AbortController();
    const options = { signal: this.listening.signal };
    addEventListener("pagehide", () => this.#leave(), options);
    addEventListener("pageshow", (event) => event.persisted && this.item && this.open({ item: this.item.item_id }), options);
  }

  /** The page is gone (another one has taken its place): nothing is sent from here any more but what waits. */
  stop() {
    clearInterval(this.#beats);
    this.listening.abort();
    this.clock.stop();
  }

  /** Labels a minute over the last twenty; null before five. */
  get pace() {
    const recent = this.times.slice(-20);
    return recent.length < 5 ? null : (recent.length - 1) / Math.max((recent.at(-1) - recent[0]) / 60000, 1 / 60);
  }

  /** Steps of the item; empty without one. */
  get steps() {
    return this.item?.steps ?? [];
  }

  /** Indices of asked steps that have no label of ours yet. */
  get openSteps() {
    return this.steps.flatMap((step, index) => (step.asked && !step.mine?.label ? [index] : []));
  }

  /** The step that error type, note and box speak of: the current one if it has a label, else the last labelled. */
  get target() {
    if (this.steps[this.current]?.mine?.label || this.last === null) return this.current;
    return this.last;
  }

  /** Opens an item by name, or the next of the queue; waits for the network if there is none. */
  async open(wish = {}) {
    if (this.busy) return;
    this.busy = true;
    this.screen.marks();
    const specialty = wish.item ? null : recall(SPECIALTY, null);
    let answer;
    while (!answer) {
      try {
        answer = await post("next", specialty ? { ...wish, specialty } : wish);
      } catch (error) {
        if (error.status === 401) return this.#fail(() => this.screen.signedOut());
        if (!isPassing(error)) return this.#fail(() => this.screen.refused({ path: "next", body: wish }, error));
        this.screen.say("waiting_network");
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
    this.busy = false;
    this.#enter(answer.item);
  }

  #fail(tell) {
    this.busy = false;
    this.screen.marks();
    tell();
  }

  #enter(item) {
    this.item = item;
    this.#history = [];
    this.last = null;
    this.clock.reset();
    if (item) {
      this.#overlay();
      if (this.trail.at(-1) !== item.item_id) this.trail.push(item.item_id);
    }
    this.current = this.openSteps[0] ?? Math.max(0, this.steps.findLastIndex((step) => step.mine?.label));
    this.clock.turn(this.current);
    this.screen.item();
  }

  /** Decisions that still wait in the outbox are shown as made, and drafts of notes and boxes come back. */
  #overlay() {
    for (const { path, body } of this.outbox.entries) {
      if (body.item_id !== this.item.item_id || !this.steps[body.step]) continue;
      if (path === "save") this.steps[body.step].mine = pick(body);
      if (path === "undo") this.steps[body.step].mine = null;
    }
    for (const [index, draft] of Object.entries(recall(this.#draftName, {}))) {
      const step = this.steps[index];
      if (step && !step.mine?.label) step.mine = { label: null, ...draft };
      else if (step && draft.note !== step.mine.note) this.#save([Number(index)], [{ ...step.mine, note: draft.note }]);
    }
  }

  get #draftName() {
    return `medprm.draft/${encodeURIComponent(this.me.name)}/${this.item.item_id}`;
  }

  /** Goes to a step. */
  move(index) {
    if (!this.steps[index]) return;
    this.current = index;
    this.clock.turn(index);
    this.screen.moved();
  }

  /** Labels the current step (or another) and goes on to the next asked one. */
  label(label, index = this.current) {
    if (!this.#ready(index)) return;
    const before = this.steps[index].mine;
    const mine = { ...before, label };
    if (label !== "-") Object.assign(mine, { error_type: null, severity: null });
    this.#save([index], [mine]);
    this.last = index;
    if (!before?.label) this.times.push(performance.now());
    this.#advance(index);
  }

  /** Labels all asked steps that are still open as right: one key, one undo, one decision each. */
  allRight() {
    const open = this.openSteps;
    if (!open.length || !this.#ready(open[0])) return;
    this.#save(open, open.map((index) => ({ ...this.steps[index].mine, label: "+" })));
    this.last = open.at(-1);
    this.times.push(...open.map(() => performance.now()));
    this.#advance(this.last);
  }

  /** Changes error type, severity, note or box of a step; kept as a draft until the step has a label. */
  amend(index, change) {
    if (!this.#ready(index)) return;
    const mine = { label: null, ...this.steps[index].mine, ...change };
    if (change.error_type) mine.label = "-";
    if (FIELDS.every((field) => (this.steps[index].mine?.[field] ?? null) === (mine[field] ?? null))) return;
    if (mine.label) this.#save([index], [mine]);
    else {
      this.steps[index].mine = mine;
      this.draft(index, pick(mine));
      this.screen.step(index);
    }
  }

  /** Keeps what is being typed for a step, so that a crash loses no word of it. */
  draft(index, content) {
    const drafts = recall(this.#draftName, {});
    if (content === null) delete drafts[index];
    else drafts[index] = content;
    keep(this.#draftName, Object.keys(drafts).length ? drafts : null);
  }

  #ready(index) {
    return Boolean(this.item) && !this.busy && Boolean(this.steps[index]);
  }

  #save(indices, contents) {
    const share = indices.length;
    this.#history.push(indices.map((index) => ({ index, before: this.steps[index].mine })));
    const spent = this.clock.take(this.current) / share;
    indices.forEach((index, at) => {
      this.steps[index].mine = contents[at];
      const seconds = Math.round((spent + (index === this.current ? 0 : this.clock.take(index))) * 1000) / 1000;
      const place = { item_id: this.item.item_id, version: this.item.version, step: index };
      this.outbox.add("save", { ...place, ...pick(contents[at]), seconds });
      this.draft(index, null);
      this.screen.step(index);
    });
  }

  #advance(from) {
    const open = this.openSteps;
    if (open.length) this.move(open.find((index) => index > from) ?? open[0]);
    else {
      this.move(from);
      if (recall("medprm.flow", false)) this.finish();
      else this.screen.say("all_labelled");
    }
  }

  /** Takes the last change back, also one made before a reload; at a fresh item it goes back to the item before. */
  undo() {
    if (this.busy) return;
    const group = this.#history.pop();
    if (group) return this.#takeBack(group);
    const labelled = this.steps.flatMap((step, index) => (step.mine?.label ? [index] : []));
    if (labelled.length) {
      const index = labelled.includes(this.current) ? this.current : labelled.at(-1);
      return this.#takeBack([{ index, before: null }]);
    }
    const at = this.trail.lastIndexOf(this.item?.item_id);
    const before = this.item ? this.trail[at - 1] : this.trail.at(-1);
    if (before) this.open({ item: before }).then(() => this.screen.say("back_at_item"));
    else this.screen.say("nothing_to_undo");
  }

  #takeBack(group) {
    for (const { index, before } of group.reverse()) {
      this.steps[index].mine = before;
      this.outbox.add("undo", { item_id: this.item.item_id, step: index });
      this.screen.step(index);
    }
    this.last = null;
    this.move(group.at(-1).index);
    this.screen.say("undone", { n: group.at(-1).index + 1 });
  }

  /** Closes the item and opens the next; an item with open steps stays. */
  async finish() {
    if (this.busy) return;
    if (!this.item) return this.open();
    const open = this.openSteps;
    if (open.length) {
      this.screen.say("still_open", { n: open.length });
      return this.move(open[0]);
    }
    if (!this.steps.length && !this.item.question_review) return this.screen.say("question_first");
    await this.#close("finish");
  }

  /** Gives the item back to the queue unfinished and opens another. */
  async skip() {
    if (this.item && !this.busy) await this.#close("skip");
  }

  /** With all its steps answered the item is finished for the server: the next one need not wait for that word. */
  async #close(how) {
    this.busy = true;
    const item_id = this.item.item_id;
    this.screen.marks();
    await this.outbox.drained();
    if (how === "finish") this.outbox.add("finish", { item_id }, false);
    if (!this.steps.length) await this.outbox.drained();
    this.busy = false;
    await this.open(how === "skip" ? { skip: true } : {});
  }

  /** Stores the review of the question itself. */
  judgeQuestion(content) {
    this.item.question_review = content;
    this.outbox.add("question", { item_id: this.item.item_id, ...content });
  }

  #done(entry, answer) {
    const { item_id, step } = entry.body;
    const later = () => this.outbox.entries.some(({ body }) => body.item_id === item_id && body.step === step);
    if (answer.counts) this.counts = answer.counts;
    if (this.item?.item_id !== item_id || !this.steps[step]) return;
    const mine = this.steps[step].mine;
    if (entry.path === "undo" && (mine?.label ?? null) !== answer.label && !later()) {
      this.steps[step].mine = answer.label ? { ...mine, label: answer.label } : null;
    }
    const news = answer.signals && !this.steps[step].signals;
    if (news) {
      this.steps[step].signals = answer.signals;
      for (const passage of this.item.evidence ?? []) passage.cited = answer.evidence?.[passage.id] ?? passage.cited;
      this.screen.unveiled();
    }
    if (news || entry.path === "undo") this.screen.step(step);
  }

  /** The words have changed since they were shown: the decision is not bent to the new ones; they are shown instead. */
  #refused(entry, error) {
    if (error.status === 401) return this.screen.signedOut();
    this.screen.refused(entry, error);
    if (error.kind === "changed" && this.item?.item_id === entry.body.item_id) this.open({ item: this.item.item_id });
  }

  async #beat() {
    if (!this.item || this.clock.idle > GONE_MS) return;
    const { held } = await post("beat", { item_id: this.item.item_id }).catch(() => ({ held: true }));
    if (!held) this.screen.say("lease_lost");
  }

  #leave() {
    if (this.item && !this.outbox.entries.length) farewell("release", { item_id: this.item.item_id });
  }
}

function pick(content) {
  return Object.fromEntries(FIELDS.map((field) => [field, content[field] ?? null]));
}
