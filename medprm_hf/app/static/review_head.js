// The head line: how far the queue is, how fast it goes, and whether everything is saved.
//
//     const head = new Head(session, { t, keys, help, refused });
//     host.append(head.node);   head.render();   head.tell("Step 2: undone");
//
// "Saved" is said only when the server has acknowledged everything; until then the number that waits in this browser
// is shown, and "offline" where the last try got no answer.

import { fill, h } from "./base.js";
import { button, get, keep, recall } from "./review_dom.js";
import { nameplate } from "./review_door.js";
import { SPECIALTY } from "./review_session.js";

const PROGRESS_MS = 30000;
const SAID_MS = 5000;

/** Progress on the left, the saved mark and the keys on the right. */
export class Head {
  constructor(session, { t, keys, help, refused, domains }) {
    Object.assign(this, { session, t, keys, progress: null, refusals: 0 });
    this.bar = h("span", { class: "rv-done" });
    this.numbers = h("span", { class: "rv-numbers number" });
    this.said = h("span", { class: "rv-said quiet" });
    this.saved = h("span", { class: "rv-saved", "data-state": "saved" });
    this.refusedButton = h("button", { type: "button", class: "plain rv-refused-button", hidden: true, onclick: refused });
    this.node = h("header", { class: "rv-head" },
      h("span", { class: "rv-progress", "aria-hidden": "true" }, this.bar),
      this.numbers, this.said, h("span", { class: "push" }), this.refusedButton, this.saved, this.#specialty(domains),
      session.me.blind ? h("span", { class: "chip accent", title: t("blind_help") }, t("blind")) : null,
      button(t("keys"), keys.hint("help"), help, { class: "plain", "data-action": "help" }));
    nameplate(session.me, t);
    this.timer = setInterval(() => this.#ask(), PROGRESS_MS);
    this.#ask();
  }

  /** The field whose items are offered; it holds from the next item on, and is kept in this browser. */
  #specialty(domains) {
    const chosen = recall(SPECIALTY, null);
    const options = domains.map((name) => h("option", { value: name, selected: name === chosen }, this.t(`domain_${name}`)));
    return h("select", {
      class: "rv-specialty", "aria-label": this.t("specialty"), title: this.t("specialty"),
      onchange: (event) => {
        keep(SPECIALTY, event.target.value || null);
        this.tell(this.t("specialty_next"));
        if (!this.session.item) this.session.open();
      },
    }, h("option", { value: "" }, this.t("all_fields")), options);
  }

  /** Numbers and the saved mark as they are now; `refusals` changes how many were not taken. */
  render(refusals = this.refusals) {
    const { t, session } = this;
    const { entries, online, kept } = session.outbox ?? { entries: [], online: true, kept: true };
    const n = entries.length;
    this.refusals = refusals;
    this.refusedButton.hidden = !refusals;
    this.refusedButton.textContent = t("refused", { n: refusals });
    const state = !online ? "offline" : n ? "waiting" : "saved";
    this.saved.dataset.state = state;
    this.saved.textContent = !kept ? t("not_kept") : t(state, { n });
    this.#numbers();
  }

  /** A short message that goes away by itself. */
  tell(text) {
    this.said.textContent = text;
    clearTimeout(this.clear);
    this.clear = setTimeout(() => (this.said.textContent = ""), SAID_MS);
  }

  #numbers() {
    const { t, session } = this;
    const counts = session.counts ?? {};
    const [open, done, mine] = [counts.open ?? 0, counts.done ?? 0, counts.mine ?? 0];
    this.bar.style.width = `${Math.round((100 * done) / Math.max(open + done, 1))}%`;
    const speed = session.pace === null ? null : t("per_minute", { n: session.pace.toFixed(1) });
    const pace = this.progress?.seconds_per_step ? t("per_step", { n: this.progress.seconds_per_step.toFixed(1) }) : null;
    fill(this.numbers, [t("counts", { done, open, mine }), speed, pace].filter(Boolean).join(" · "));
  }

  async #ask() {
    if (!this.node.isConnected && this.progress) return clearInterval(this.timer);
    try {
      this.progress = await get("progress");
      this.#numbers();
    } catch {
      // The numbers of before stay; whether the server is there is said by the saved mark.
    }
  }
}
