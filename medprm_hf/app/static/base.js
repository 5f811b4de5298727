// What all tabs share: elements without HTML strings, requests, texts, addresses (#tab?key=value), short messages.
//
//     import { h, api, texts, route } from "./base.js";
//     const t = texts(page);
//     host.append(h("p", { class: "quiet" }, t("common.none")));
//     const found = await api("POST", "score/api/score", { question, solutions });
//
// `h` takes text as text: nothing that a user wrote can become markup.

/** An element: attributes, `on…` handlers, `class`, `style` and `data-…`; children are texts, elements, lists or null. */
export function h(tag, attributes = {}, ...children) {
  const [name, ns] = tag.startsWith("svg:") ? [tag.slice(4), "http://www.w3.org/2000/svg"] : [tag, null];
  const made = ns ? document.createElementNS(ns, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key in made && !ns && !["class", "style", "list", "form"].includes(key)) made[key] = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** Puts other children into an element. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A text by its key, `{name}` filled in; the key itself where there is none, so that a gap is seen. */
export function texts(page) {
  return (key, values = {}) =>
    (page.texts[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** What the server refused, or that it could not be reached (status 0). */
export class ApiError extends Error {
  constructor(status, kind, message) {
    super(message);
    this.status = status;
    this.kind = kind;
  }
}

/** Asks the server: `body` as JSON (or as it is: Blob); gives JSON, or a Blob for another type. */
export async function api(method, path, body, options = {}) {
  const raw = body instanceof Blob;
  let answer;
  try {
    answer = await fetch(new URL(path, document.baseURI), {
      method,
      credentials: "same-origin",
      headers: body === undefined ? {} : { "content-type": raw ? body.type || "application/octet-stream" : "application/json" },
      body: body === undefined ? undefined : raw ? body : JSON.stringify(body),
      ...options,
    });
  } catch (error) {
    throw new ApiError(0, "network", error.message);
  }
  const json = (answer.headers.get("content-type") || "").includes("json");
  const found = json ? await answer.json() : await answer.blob();
  if (!answer.ok) {
    const said = json ? found.error ?? found.detail : null;
    throw new ApiError(answer.status, said?.kind ?? "http", said?.message ?? `HTTP ${answer.status}`);
  }
  return options.headersToo ? { found, headers: answer.headers } : found;
}

/** The address: which tab, and what for. `#review?item=abc` -> {tab: "review", params: {item: "abc"}} */
export function route() {
  const [tab, query = ""] = location.hash.slice(1).split("?");
  return { tab, params: Object.fromEntries(new URLSearchParams(query)) };
}

/** Writes the address without a new entry in the history. */
export function setRoute(tab, params = {}) {
  const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value)).toString();
  history.replaceState(null, "", `#${tab}${query ? `?${query}` : ""}`);
}

/** Shows a tab, as if it had been clicked; false where the page has none of that name. */
export function showTab(tab) {
  const button = document.getElementById(`tab-${tab}-button`);
  if (button && button.getAttribute("aria-selected") !== "true") button.click();
  return Boolean(button);
}

/** A short message at the lower edge; read out by screen readers. */
export function toast(message, bad = false) {
  let line = document.getElementById("mp-toast");
  if (!line) {
    line = h("div", { id: "mp-toast", role: "status", "aria-live": "polite" });
    document.body.append(line);
  }
  line.textContent = message;
  line.className = bad ? "bad shown" : "shown";
  clearTimeout(line.timer);
  line.timer = setTimeout(() => (line.className = bad ? "bad" : ""), bad ? 7000 : 3500);
}

/** Calls `run` when nothing has called for `ms`. */
export function later(run, ms = 250) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => run(...given), ms);
  };
}

/** A number between 0 and 1 as two digits; an en dash where it is unknown. */
export function digits(value, places = 2) {
  return value === null || value === undefined ? "–" : value.toFixed(places);
}

/** Gives a file to the reader. */
export function download(blob, name) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
