// The page's dialogs: error type and severity, the keys and how to change them, what the server refused.
//
//     pickError({ t, groups, mine, done: ({ error_type, severity }) => … });
//     showKeys({ t, keys, changed: () => … });
//
// They are <dialog> elements: the browser keeps the focus inside, Escape closes, and the focus goes back to where it
// was. Keys of the page do nothing while one is open.

import { fill, h } from "./base.js";
import { button, keep, keyName, recall } from "./review_dom.js";
import { ACTIONS, chord } from "./review_keys.js";

export const SEVERITIES = ["minor", "moderate", "major", "critical"];
const LETTERS = "abcdefghijklmnopqrstuvwxyz";

/** Opens a modal dialog; it is taken out of the page when it closes. */
export function dialog(host, title, t, ...content) {
  const close = button(t("close"), "Esc", () => node.close(), { class: "plain" });
  const node = h("dialog", { class: "rv-dialog", "aria-label": title },
    h("div", { class: "row spread rv-dialog-head" }, h("h2", {}, title), close), ...content);
  const before = document.activeElement;
  node.addEventListener("close", () => {
    node.remove();
    if (before?.isConnected) before.focus({ preventScroll: true });
  });
  node.addEventListener("click", (event) => event.target === node && node.close());
  host.append(node);
  node.showModal();
  return node;
}

/** Whether a dialog of ours is open. */
export const dialogOpen = () => Boolean(document.querySelector("dialog.rv-dialog[open]"));

/** One letter picks the error type, a digit its severity, Enter keeps, Backspace takes it away. */
export function pickError({ host, t, groups, n, mine, done }) {
  const chosen = { error_type: mine?.error_type ?? null, severity: mine?.severity ?? null };
  const types = Object.values(groups).flat();
  const typeButton = (name) => {
    const letter = LETTERS[types.indexOf(name)];
    return h("button", {
      type: "button", class: "rv-choice", "data-type": name, "aria-keyshortcuts": letter,
      onclick: () => choose({ error_type: name }),
    }, h("kbd", { "aria-hidden": "true" }, letter),
      h("span", {}, h("strong", {}, t(`error_${name}`)), h("span", { class: "quiet small" }, ` ${t(`about_${name}`)}`)));
  };
  const severities = SEVERITIES.map((name, at) => button(t(`severity_${name}`), String(at + 1), () => choose({ severity: name }),
    { "data-severity": name }));
  const node = dialog(host, t("error_title", { n }), t,
    ...Object.entries(groups).map(([group, names]) =>
      h("div", { class: "rv-group", role: "group", "aria-label": t(`group_${group}`) },
        h("h3", {}, t(`group_${group}`)), h("div", { class: "rv-choices" }, names.map(typeButton)))),
    h("div", { class: "row rv-severity", role: "group", "aria-label": t("severity") }, h("h3", {}, t("severity")), severities),
    h("div", { class: "row spread" },
      button(t("no_error_type"), "Backspace", () => choose({ error_type: null, severity: null })),
      button(t("keep"), "Enter", () => finish(), { class: "primary" })));
  const show = () => {
    for (const one of node.querySelectorAll("[data-type]")) one.setAttribute("aria-pressed", String(one.dataset.type === chosen.error_type));
    for (const one of node.querySelectorAll("[data-severity]")) one.setAttribute("aria-pressed", String(one.dataset.severity === chosen.severity));
  };
  const choose = (change) => {
    Object.assign(chosen, change);
    show();
    node.querySelector(change.severity ? `[data-severity=${change.severity}]` : `[data-type="${chosen.error_type ?? types[0]}"]`)?.focus();
  };
  const finish = () => { node.close(); done(chosen); };
  node.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const key = chord(event);
    if (LETTERS.indexOf(key) >= 0 && types[LETTERS.indexOf(key)]) choose({ error_type: types[LETTERS.indexOf(key)] });
    else if (SEVERITIES[Number(key) - 1]) choose({ severity: SEVERITIES[Number(key) - 1] });
    else if (key === "Backspace") choose({ error_type: null, severity: null });
    else if (key === "Enter") finish();
    else if (["ArrowDown", "ArrowUp"].includes(key)) step(key === "ArrowDown" ? 1 : -1);
    else return;
    event.preventDefault();
  });
  const step = (by) => {
    const at = (types.indexOf(chosen.error_type) + by + types.length) % types.length;
    choose({ error_type: types[at] });
  };
  show();
  node.querySelector(`[data-type="${chosen.error_type ?? types[0]}"]`)?.focus();
}

/** Every key in a table; a click on one and the next key pressed becomes the new one, unless it is taken. */
export function showKeys({ host, t, keys, changed }) {
  let waiting = null;
  const message = h("p", { class: "rv-key-message", role: "status" }, t("keys_help"));
  const table = h("div", { class: "rv-key-table" });
  const row = ([action]) => h("div", { class: "rv-key-row" },
    h("span", {}, t(`key_${action}`)),
    h("button", {
      type: "button", class: "rv-key", "data-key-of": action, "aria-label": t("change_key", { action: t(`key_${action}`) }),
      onclick: () => ask(action),
    }, action === waiting ? t("press_key") : keys.keysOf(action).map((key) => h("kbd", {}, keyName(key)))));
  const draw = () => fill(table, ["label", "move", "image"].map((group) =>
    h("section", {}, h("h3", {}, t(`keys_${group}`)), ACTIONS.filter(([, of]) => of === group).map(row))));
  const ask = (action) => {
    waiting = action;
    draw();
    table.querySelector(`[data-key-of="${action}"]`).focus();
  };
  const flow = h("input", { type: "checkbox", checked: recall("medprm.flow", false), onchange: () => keep("medprm.flow", flow.checked || null) });
  const node = dialog(host, t("keys_title"), t, table, message,
    h("div", { class: "row spread" }, h("label", { class: "rv-check" }, flow, h("span", {}, t("flow"))),
      h("button", { type: "button", onclick: () => { keys.reset(); waiting = null; draw(); changed(); } }, t("keys_reset"))));
  node.addEventListener("keydown", (event) => {
    if (waiting === null || ["Shift", "Control", "Alt", "Meta"].includes(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    const [action, key] = [waiting, chord(event)];
    waiting = null;
    const holder = key === "Escape" ? null : keys.change(action, key);
    message.textContent = holder === null ? t("keys_help")
      : holder === "browser" ? t("key_browser", { key: keyName(key) })
      : t("key_taken", { key: keyName(key), action: t(`key_${holder}`) });
    message.classList.toggle("bad", holder !== null);
    draw();
    table.querySelector(`[data-key-of="${action}"]`).focus();
    changed();
  });
  draw();
}

/** What the server did not take, with its reason; nothing of it is thrown away in silence. */
export function showRefused({ host, t, refused }) {
  dialog(host, t("refused_title"), t, h("p", { class: "quiet" }, t("refused_help")),
    h("ul", { class: "rv-refused" }, refused.map(({ entry, error }) => {
      const { item_id, step, label } = entry.body ?? {};
      const place = [item_id, step === undefined ? null : t("step_n", { n: step + 1 }), label].filter(Boolean).join(" · ");
      return h("li", {}, h("strong", {}, place || entry.path), " ", h("span", { class: "quiet" }, error.message));
    })));
}
