// Who comes in: a name once (local), a login (Hugging Face), or a visitor who is told why nothing can be labelled.
//
//     const me = await enter(host, t);        // null for a visitor: the page says so
//
// What the page shows is a courtesy; the server refuses whoever may not review.

import { fill, h, toast } from "./base.js";
import { button, get, post } from "./review_dom.js";

const RETRY_MS = 3000;
const MAY_REVIEW = new Set(["reviewer", "adjudicator", "admin"]);

/** Who is there and may review; null for somebody who may not, and the page says why. */
export async function enter(host, t) {
  let me = await whoami(host, t);
  if (!me.name && me.mode === "local") me = await askName(host, t);
  if (MAY_REVIEW.has(me.role)) return me;
  const again = async () => location.reload(await askName(host, t));
  fill(host, blocked(me, t, me.mode === "local" ? again : null));
  const back = async () => (await get("me").catch(() => me)).role !== me.role && location.reload();
  addEventListener("focus", back);
  return null;
}

async function whoami(host, t) {
  for (;;) {
    try {
      return await get("me");
    } catch (error) {
      if (error.status === 401) return { role: "visitor", mode: "local", name: null };
      fill(host, h("div", { class: "page" }, h("div", { class: "card empty", role: "status" },
        h("h2", {}, t("no_server")), h("p", {}, error.message))));
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

function askName(host, t) {
  const name = h("input", { type: "text", id: "rv-name", maxlength: 64, required: true, autocomplete: "username", spellcheck: false });
  const message = h("p", { class: "rv-door-message", role: "alert" });
  return new Promise((resolve) => {
    const send = async (event) => {
      event.preventDefault();
      try {
        resolve(await post("login", { name: name.value.trim() }));
      } catch (error) {
        message.textContent = error.message;
      }
    };
    fill(host, h("div", { class: "page" }, h("form", { class: "card rv-door stack tight", onsubmit: send },
      h("h2", {}, t("who")), h("p", { class: "quiet" }, t("who_help")),
      h("label", { for: "rv-name" }, t("name")), name, message,
      h("div", {}, button(t("begin"), "Enter", null, { type: "submit", class: "primary" })))));
    name.focus({ preventScroll: true });
  });
}

/** What a visitor sees: why, and what to do. */
function blocked(me, t, again) {
  // Within a frame of huggingface.co the login needs a window of its own; on the way back the page asks again.
  const target = self === top ? null : "_blank";
  const login = h("a", { class: "button primary", href: "oauth/huggingface/login", target }, t("login"));
  const other = again ? h("p", {}, button(t("other_name"), "", again)) : null;
  return h("div", { class: "page" }, h("div", { class: "card empty rv-visitor", role: "region", "aria-label": t("visitor_title") },
    h("h2", {}, t(me.name ? "visitor_title" : "login_title")),
    h("p", {}, me.name ? t("visitor", { name: me.name }) : t("login_help")),
    me.name ? other : h("p", {}, login)));
}

/** The name in the page's head; in local mode a click asks for another one. */
export function nameplate({ name, mode }, t) {
  const place = document.getElementById("mp-who");
  if (!place || !name) return;
  const leave = () => post("logout").then(() => location.reload()).catch((error) => toast(error.message, true));
  fill(place, mode === "local"
    ? h("button", { type: "button", class: "plain rv-name", title: t("signed_in_as", { name }), onclick: leave }, name)
    : h("span", { class: "rv-name" }, name));
}

/** Nothing left to review. */
export function done(session, t, again) {
  const { mine = 0 } = session.counts ?? {};
  return [
    h("h2", {}, t("all_done")), h("p", {}, t("all_done_help", { mine })),
    h("p", {}, button(t("look_again"), "Enter", again)),
  ];
}
