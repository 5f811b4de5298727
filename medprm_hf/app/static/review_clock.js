// Time per step, in seconds: runs only while the page is visible and somebody is there.
//
//     clock.turn(2);            // from now on the time belongs to step 2
//     clock.take(2);            // 14.2: seconds spent on step 2 since it was last taken
//
// After two minutes without a key, a click, a move or a scroll the clock stands still until the next one.

export const IDLE_MS = 120000;

/** A stop watch with one total for each step. */
export class StepClock {
  #spent = new Map();
  #step = null;
  #since = null;
  #seen = 0;
  #stop = new AbortController();

  constructor(now = () => performance.now()) {
    this.now = now;
    this.#seen = now();
    const options = { signal: this.#stop.signal, passive: true, capture: true };
    document.addEventListener("visibilitychange", () => this.#visibility(), options);
    for (const kind of ["keydown", "pointerdown", "pointermove", "wheel"]) {
      document.addEventListener(kind, () => this.#alive(), options);
    }
    this.#since = document.hidden ? null : now();
  }

  /** Milliseconds since the last sign of life. */
  get idle() {
    return this.now() - this.#seen;
  }

  /** Books the time so far on the step before and goes on with this one. */
  turn(step) {
    this.#book();
    this.#step = step;
  }

  /** Seconds spent on a step since they were last taken. */
  take(step) {
    this.#book();
    const spent = this.#spent.get(step) ?? 0;
    this.#spent.set(step, 0);
    return Math.round(spent) / 1000;
  }

  /** A new item: all totals start from zero. */
  reset() {
    this.#spent.clear();
    this.#step = null;
    this.#since = document.hidden ? null : this.now();
  }

  /** Takes the listeners away. */
  stop() {
    this.#stop.abort();
  }

  #book() {
    if (this.#since === null) return;
    const end = Math.min(this.now(), this.#seen + IDLE_MS);
    if (this.#step !== null && end > this.#since) {
      this.#spent.set(this.#step, (this.#spent.get(this.#step) ?? 0) + end - this.#since);
    }
    this.#since = this.now();
  }

  #alive() {
    this.#book();
    this.#seen = this.now();
  }

  #visibility() {
    this.#book();
    this.#seen = this.now();
    this.#since = document.hidden ? null : this.now();
  }
}
