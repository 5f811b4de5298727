// Which key does what, and how a reviewer changes it.
//
//     keys.actionOf(event)          // "right" for +, = or 1; null while somebody types
//     keys.change("right", "g")     // null, or the action that has this key already
//
// Keys are read as characters, so that they follow the keyboard's layout; where an input method swallows the
// character (Hangul, Pinyin), the key's place gives the letter.

import { keep, recall } from "./review_dom.js";

/** Actions in the order of the help page: [action, group, default keys]. */
export const ACTIONS = [
  ["right", "label", ["+", "=", "1"]],
  ["wrong", "label", ["-", "2"]],
  ["neutral", "label", ["0", "3"]],
  ["unsure", "label", ["4"]],
  ["all_right", "label", ["a"]],
  ["undo", "label", ["u"]],
  ["error", "label", ["e"]],
  ["note", "label", ["n"]],
  ["box", "label", ["b"]],
  ["next", "move", ["j", "ArrowDown"]],
  ["previous", "move", ["k", "ArrowUp"]],
  ["finish", "move", ["Enter"]],
  ["skip", "move", ["s"]],
  ["question", "move", ["q"]],
  ["reason", "move", ["r"]],
  ["help", "move", ["?"]],
  ["zoom_in", "image", ["z"]],
  ["zoom_out", "image", ["x"]],
  ["fit", "image", ["f"]],
  ["invert", "image", ["i"]],
  ["preset", "image", ["w"]],
  ["window_narrow", "image", ["["]],
  ["window_wide", "image", ["]"]],
  ["level_down", "image", [","]],
  ["level_up", "image", ["."]],
  ["pan_left", "image", ["ArrowLeft"]],
  ["pan_right", "image", ["ArrowRight"]],
  ["pan_up", "image", ["Shift+ArrowUp"]],
  ["pan_down", "image", ["Shift+ArrowDown"]],
];

/** Actions that a held key may repeat; a held + must not label the whole item. */
const REPEATABLE = new Set(["next", "previous", ...ACTIONS.filter(([, group]) => group === "image").map(([id]) => id)]);
const NEVER = new Set(["Tab", "Escape", "Shift", "Control", "Alt", "Meta", "CapsLock", "Dead", "Process", "Unidentified"]);
const STORE = "medprm.keys";

/** The name of what was pressed: "j", "+", "Enter", "Shift+ArrowUp". */
export function chord(event) {
  let key = event.key;
  const letter = /^Key([A-Z])$/.exec(event.code ?? "");
  if (letter && (key === "Process" || (key.length === 1 && key > "\u007f"))) key = letter[1].toLowerCase();
  if (key.length === 1) return event.shiftKey && /[A-Z]/.test(key) ? key : key.toLowerCase();
  return event.shiftKey ? `Shift+${key}` : key;
}

/** Whether the key belongs to a text field (or a list) and not to us. */
export function isTyping(event) {
  if (event.isComposing) return true;
  const place = event.target instanceof Element ? event.target : null;
  const field = place?.closest("input, textarea, select, [contenteditable='true'], [contenteditable='']");
  return Boolean(field) && !["range", "checkbox", "radio", "button"].includes(field.type);
}

/** Whether the focused control does something of its own with this key: a button with Enter, a slider with arrows. */
function isItsOwn(event) {
  const place = event.target instanceof Element ? event.target : null;
  if (!place) return false;
  if (["Enter", " "].includes(event.key)) return Boolean(place.closest("button, a[href], summary, [role='option']"));
  return event.key.startsWith("Arrow") && Boolean(place.closest("input, select, [role='listbox'], [role='tab']"));
}

/** The map from keys to actions, kept in this browser. */
export class KeyMap {
  constructor() {
    this.own = recall(STORE, {});
  }

  /** Keys of an action, the printed one first. */
  keysOf(action) {
    return this.own[action] ?? ACTIONS.find(([id]) => id === action)?.[2] ?? [];
  }

  /** The key that is printed on the action's button. */
  hint(action) {
    return this.keysOf(action)[0] ?? "";
  }

  /** The key that is printed where the first one stands already as the button's sign: 1 beside +. */
  digit(action) {
    return this.keysOf(action).at(-1) ?? "";
  }

  /** The action that has a key, or null. */
  holder(key) {
    return ACTIONS.map(([id]) => id).find((id) => this.keysOf(id).includes(key)) ?? null;
  }

  /** What a key event asks for, or null: nothing, text is being typed, or a shortcut of the browser. */
  actionOf(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event) || isItsOwn(event)) return null;
    const action = this.holder(chord(event));
    return event.repeat && !REPEATABLE.has(action) ? null : action;
  }

  /** Gives an action one key; returns null, or the action that has the key already, or "browser". */
  change(action, key) {
    if (NEVER.has(key) || NEVER.has(key.replace("Shift+", ""))) return "browser";
    const holder = this.holder(key);
    if (holder !== null && holder !== action) return holder;
    this.own = { ...this.own, [action]: [key] };
    keep(STORE, this.own);
    return null;
  }

  /** All keys as they were delivered. */
  reset() {
    this.own = {};
    keep(STORE, null);
  }
}
