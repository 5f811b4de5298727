// The head line of the page, and the tab that the address names.
import { h, route, setRoute, showTab, texts } from "./base.js";

const MOON = "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5Z";
const SUN = "M12 7a5 5 0 1 0 0 10 5 5 0 0 0 0-10ZM12 1v3M12 20v3M1 12h3M20 12h3M4.2 4.2l2.1 2.1M17.7 17.7l2.1 2.1M4.2 19.8l2.1-2.1M17.7 6.3l2.1-2.1";

export function start(host, page) {
  const t = texts(page);
  document.documentElement.lang = page.lang;
  const colours = h("button", { class: "plain", type: "button", onclick: () => paint(!dark()) });
  const dark = () => document.body.classList.contains("dark");
  function paint(wanted) {
    document.body.classList.toggle("dark", wanted);
    localStorage.setItem("medprm.colours", wanted ? "dark" : "light");
    name();
  }
  function name() {
    const next = t(dark() ? "frame.light" : "frame.dark");
    colours.title = next;
    colours.setAttribute("aria-label", next);
    colours.replaceChildren(
      h("svg:svg", { viewBox: "0 0 24 24", fill: "none", stroke: "currentColor", "stroke-width": "1.8", "aria-hidden": "true" },
        h("svg:path", { d: dark() ? SUN : MOON, "stroke-linecap": "round", "stroke-linejoin": "round" })),
    );
  }
  const kept = localStorage.getItem("medprm.colours");
  const asked = new URLSearchParams(location.search).get("__theme");
  if (kept && !asked) document.body.classList.toggle("dark", kept === "dark");
  host.append(
    h("h1", { class: "name" }, page.title),
    h("div", { class: "intended" }, t("frame.intended")),
    h("div", { class: "push" }, h("span", { id: "mp-who" }), colours),
  );
  name();
  follow(page);
}

/** Keeps the address and the shown tab together, both ways. */
function follow(page) {
  const go = () => showTab(route().tab);
  window.addEventListener("hashchange", go);
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("#tabs [role=tab]");
    const tab = button && page.tabs.find((name) => button.id === `tab-${name}-button`);
    if (tab && route().tab !== tab) setRoute(tab);
  });
  let tries = 0;
  const waiting = setInterval(() => {
    if (!route().tab || showTab(route().tab) || ++tries > 100) clearInterval(waiting);
  }, 50);
}
