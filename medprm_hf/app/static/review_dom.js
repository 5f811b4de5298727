// Small helpers of the review and agreement pages; elements, texts and requests come from base.js.
//
//     button(t("undo"), "u", undo)              a button with its key printed on it
//     keep("medprm.note", "…"); recall("medprm.note", "")

import { api, h } from "./base.js";

export const TIMEOUT_MS = 20000;

/** A key as it is printed on a button. */
export function keyName(key) {
  const names = { Enter: "⏎", ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→", " ": "␣", "-": "−" };
  return key
    .split(/(?<=.)\+(?=.)/)
    .map((part) => names[part] ?? (part === "Shift" ? "⇧" : part))
    .join("");
}

/** A button with its key printed on it; the key is also told to screen readers. */
export function button(label, key, action, attributes = {}) {
  const hint = key ? h("kbd", { "aria-hidden": "true" }, keyName(key)) : null;
  const shortcut = key ? { "aria-keyshortcuts": key } : {};
  return h("button", { type: "button", ...shortcut, ...attributes, onclick: action }, h("span", {}, label), hint);
}

/** The text of a name within a kind ("error", "severity"); the name itself where it is not one of ours. */
export function named(t, kind, name) {
  const shown = t(`${kind}_${name}`);
  return shown.endsWith(`.${kind}_${name}`) ? name : shown;
}

/** A random name of a decision; `crypto.randomUUID` is missing where a page is served without https. */
export function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/** Reads JSON from localStorage; the fallback where nothing is kept or the browser keeps nothing. */
export function recall(name, fallback) {
  try {
    const kept = localStorage.getItem(name);
    return kept === null ? fallback : JSON.parse(kept);
  } catch {
    return fallback;
  }
}

/** Keeps JSON in localStorage (null forgets); false where the browser refuses (private mode, full). */
export function keep(name, value) {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

/** POST to the review API; no answer within 20 seconds counts as no network. */
export const post = (path, body = {}) =>
  api("POST", `review/api/${path}`, body, { signal: AbortSignal.timeout(TIMEOUT_MS) });

/** GET from the review API. */
export const get = (path) =>
  api("GET", `review/api/${path}`, undefined, { signal: AbortSignal.timeout(TIMEOUT_MS) });

/** Sends without waiting, also while the page goes away. */
export function farewell(path, body) {
  api("POST", `review/api/${path}`, body, { keepalive: true }).catch(() => {});
}
