// The Score tab.
import { fill, h, texts } from "./base.js";

export function start(host, page) {
  const t = texts(page);
  fill(host, h("div", { class: "page" }, h("div", { class: "card empty" }, t("common.loading"))));
}
