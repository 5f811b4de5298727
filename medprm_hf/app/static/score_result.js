// Scored solutions: each step with its level (colour, sign and word), its bar and number; and the best of several.
import { digits, h } from "./base.js";

const SIGNS = { high: "✓", mid: "~", low: "✗", unknown: "?" };

/** One solution. `how`: {by, several, open, toggle, edit}. */
export function scoredCard(t, told, place, how) {
  const one = told.solutions[place];
  const best = how.several && told.best[how.by] === place;
  const title = how.several ? t("score.solution", { number: place + 1 }) : t("score.solution_one");
  const head = h("div", { class: "row head" },
    how.several
      ? h("button", { type: "button", class: "plain fold", "aria-expanded": String(how.open), onclick: how.toggle }, h("span", { class: "caret", "aria-hidden": "true" }, how.open ? "▾" : "▸"), title)
      : h("h2", {}, title),
    best && h("span", { class: "chip accent" }, t("score.best")),
    one.answer !== null && h("span", { class: "chip" }, t("score.answer", { answer: short(one.answer) })),
    how.several && !how.open && strip(t, one),
    h("span", { class: "push" }),
    h("span", { class: "total number", title: how.by }, h("span", { class: "small quiet" }, `${how.by} `), digits(one.aggregates[how.by])),
    h("button", { type: "button", class: "plain", onclick: how.edit }, t("score.edit")));
  return h("article", { class: `card solution scored${best ? " best" : ""}`, "aria-label": title }, head,
    one.message && h("div", { class: "notice bad small" }, one.message),
    how.open && h("ol", { class: "steps" }, one.steps.map((step, number) => stepLine(t, step, number, one.falls_at === number))),
    how.open && h("div", { class: "row foot small" },
      one.falls_at === null && one.known === one.steps.length && h("span", { class: "quiet" }, t("score.never_falls", { threshold: digits(told.threshold) })),
      one.known < one.steps.length && h("span", { class: "quiet" }, t("score.partly", { known: one.known, steps: one.steps.length })),
      h("dl", { class: "push" }, Object.entries(one.aggregates).map(([name, value]) =>
        h("div", { class: name === how.by ? "used" : "" }, h("dt", {}, name), h("dd", { class: "number" }, digits(value)))))));
}

function stepLine(t, step, number, falls) {
  const word = t(`score.level_${step.level}`);
  const known = step.score !== null;
  return h("li", { class: `step ${step.level}${falls ? " falls" : ""}` },
    h("span", { class: "place number" }, String(number + 1)),
    h("div", { class: "said" },
      falls && h("div", { class: "first small" }, t("score.falls_first")),
      step.title && h("div", { class: "small quiet" }, step.title),
      h("div", { class: "text" }, step.text)),
    h("div", { class: "measure", title: known ? `${word}: ${step.score.toFixed(4)}` : word },
      h("span", { class: "bar", "aria-hidden": "true" }, h("span", { class: "fill", style: `width:${known ? Math.max(2, step.score * 100) : 0}%` })),
      h("span", { class: "value number" }, digits(step.score)),
      h("span", { class: "sign", "aria-hidden": "true" }, SIGNS[step.level]),
      h("span", { class: "sr" }, known ? word : t("score.reason", { reason: step.reason ?? "" }))),
    !known && h("span", { class: "small quiet why" }, t("score.reason", { reason: step.reason ?? "" })));
}

/** A step each: small pillars, so that folded solutions can be compared at a glance. */
function strip(t, one) {
  return h("span", { class: "strip", role: "img", "aria-label": t("score.strip", { scores: one.steps.map((step) => digits(step.score)).join(", ") }) },
    one.steps.slice(0, 40).map((step) => h("span", { class: step.level, style: `height:${Math.round(4 + 16 * (step.score ?? 0.5))}px` })));
}

/** Which solution wins by which aggregate, and what a majority vote would say. */
export function summaryCard(t, told, by, choose) {
  const best = told.best[by];
  const won = best === null ? null : told.solutions[best];
  const select = h("select", { id: "score-by", onchange: (event) => choose(event.target.value) },
    Object.keys(told.best).map((name) => h("option", { value: name, selected: name === by }, name === told.aggregator ? t("score.own", { name }) : name)));
  const votes = [];
  if (told.majority !== null) votes.push(h("div", {}, h("dt", {}, t("score.majority")), h("dd", {}, short(told.majority))));
  if (told.weighted[by] !== null) votes.push(h("div", {}, h("dt", {}, t("score.weighted")), h("dd", {}, short(told.weighted[by]))));
  return h("div", { class: "card summary" },
    h("div", { class: "won", "aria-live": "polite" },
      h("div", { class: "small quiet" }, t("score.best_of", { n: told.solutions.length })),
      h("div", { class: "big" }, best === null ? t("common.unknown") : t("score.solution", { number: best + 1 }),
        won?.answer != null && h("span", { class: "chip accent" }, t("score.answer", { answer: short(won.answer) })))),
    h("dl", {}, votes),
    h("div", { class: "by" }, h("label", { htmlFor: "score-by" }, t("score.by")), select));
}

function short(text) {
  return text.length > 40 ? `${text.slice(0, 39)}…` : text;
}
