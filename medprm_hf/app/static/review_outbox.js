// The outbox: what a reviewer did, kept in the browser until the server has acknowledged it.
//
// Each entry has a random key, lies in localStorage before anything is sent, is sent in order, and is removed only
// after the server's answer. A reload, a crash or a cut network therefore loses nothing; the server stores one key
// once, so that sending twice doubles nothing.
//
//     const outbox = new Outbox("anna", post, { changed, done, refused });
//     outbox.add("save", { item_id, step: 2, label: "-" });
//     await outbox.drained();
//
// A passing failure (network, 429, 5xx) is tried again after 0.5, 1, 2 … 30 seconds, or at once when the browser says
// that it is online. A refusal (403, 404, 409, 422) leaves the queue, and `refused` is told.

import { keep, uuid } from "./review_dom.js";

const PREFIX = "medprm.outbox";
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 30000;

/** Whether the same request may well succeed later: no network, a server that restarts, a rate limit. */
export function isPassing(error) {
  return !error.status || error.status === 408 || error.status === 429 || error.status >= 500;
}

/** One reviewer's decisions on their way. */
export class Outbox {
  #queue = [];
  #waiters = [];
  #timer = null;
  #sending = false;
  #tries = 0;
  #count = 0;

  /** `send(path, body)` resolves with the answer; `heard` = {changed(), done(entry, answer), refused(entry, error)}. */
  constructor(owner, send, heard) {
    this.prefix = `${PREFIX}/${encodeURIComponent(owner)}/`;
    this.send = send;
    this.heard = heard;
    this.online = true;
    this.locked = false;
    this.kept = true;
    this.#queue = this.#stored();
    addEventListener("online", () => this.retry());
    queueMicrotask(() => this.#pump());
  }

  /** Entries not acknowledged yet, oldest first. */
  get entries() {
    return [...this.#queue];
  }

  /** Keeps one request and starts sending; a decision (`keyed`) carries its random key to the server. */
  add(path, body, keyed = true) {
    const key = uuid();
    const order = `${Date.now().toString().padStart(14, "0")}.${String(this.#count++).padStart(6, "0")}`;
    const entry = { name: `${this.prefix}${order}.${key}`, path, body: keyed ? { key, ...body } : body };
    this.kept = keep(entry.name, entry);
    this.#queue.push(entry);
    this.#settle();
    this.#pump();
  }

  /** Resolves when nothing waits any more (at once if nothing does). */
  drained() {
    return this.#queue.length ? new Promise((resolve) => this.#waiters.push(resolve)) : Promise.resolve();
  }

  /** Tries at once: the network is back, or the reviewer is logged in again. */
  retry() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.locked = false;
    this.#pump();
  }

  #stored() {
    try {
      return Object.keys(localStorage)
        .filter((name) => name.startsWith(this.prefix))
        .sort()
        .map((name) => JSON.parse(localStorage.getItem(name)));
    } catch {
      return [];
    }
  }

  async #pump() {
    if (this.#sending || this.#timer !== null || this.locked) return;
    this.#sending = true;
    while (this.#queue.length) {
      const entry = this.#queue[0];
      try {
        const answer = await this.send(entry.path, entry.body);
        this.#forget(entry);
        this.heard.done(entry, answer);
      } catch (error) {
        if (!this.#keepsGoing(entry, error)) break;
      }
      this.#settle();
    }
    this.#sending = false;
    this.#settle();
  }

  /** After a failure: true to go on with the next entry, false to stop for now. */
  #keepsGoing(entry, error) {
    if (error.status === 401) {
      this.locked = true;
      this.heard.refused(null, error);
      return false;
    }
    if (isPassing(error)) {
      this.online = false;
      const wait = Math.min(FIRST_WAIT_MS * 2 ** this.#tries++, LONGEST_WAIT_MS) * (0.8 + 0.4 * Math.random());
      this.#timer = setTimeout(() => this.retry(), wait);
      return false;
    }
    this.#forget(entry);
    this.heard.refused(entry, error);
    return true;
  }

  #forget(entry) {
    keep(entry.name, null);
    this.#queue = this.#queue.filter((other) => other !== entry);
    this.online = true;
    this.#tries = 0;
  }

  #settle() {
    this.heard.changed();
    if (!this.#queue.length) this.#waiters.splice(0).forEach((resolve) => resolve());
  }
}
