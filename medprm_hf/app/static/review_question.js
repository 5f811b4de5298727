// The question and what belongs to it: options, context, evidence with the cited words marked, similar cases, and the
// review of the question itself (keep, correct, reject).
//
//     fill(card, questionCard(item, t));   fill(below, evidence(item, t), similarCases(item, t));
//     form(item, t, (content) => session.judgeQuestion(content))

import { digits, h } from "./base.js";
import { button } from "./review_dom.js";

export const VERDICTS = ["keep", "correct", "reject"];
const DIFFICULTIES = ["easy", "medium", "hard"];
const ROLES = new Set(["user", "assistant", "system"]);

/** A letter for each option, also beyond 26: A … Z, AA … */
export function letter(index) {
  return (index >= 26 ? letter(Math.floor(index / 26) - 1) : "") + String.fromCharCode(65 + (index % 26));
}

/** Chips, context, question and options. */
export function questionCard(item, t) {
  const chips = [item.modality, item.difficulty, item.source, item.license].filter(Boolean);
  const turns = (item.turns ?? []).map(({ role, text }) =>
    h("p", { class: "rv-turn" }, h("strong", {}, ROLES.has(role) ? t(`role_${role}`) : role), " ", h("span", { class: "text" }, text)));
  return [
    h("div", { class: "row rv-chips" }, chips.map((chip) => h("span", { class: "chip" }, chip))),
    item.clinical_context ? h("p", { class: "quiet text rv-context" }, item.clinical_context) : null,
    turns.length ? h("div", { class: "rv-turns" }, turns) : null,
    h("h2", { class: "text rv-question", id: "rv-question" }, item.question),
    item.options?.length
      ? h("ol", { class: "rv-options", "aria-label": t("options") }, item.options.map((option, index) => optionRow(item, option, index, t)))
      : null,
    item.answer_shown && !item.options?.includes(item.answer_shown)
      ? h("p", { class: "small" }, t("answer_is"), " ", h("strong", { class: "text" }, item.answer_shown)) : null,
  ];
}

function optionRow(item, option, index, t) {
  const gold = item.answer_shown && option === item.answer_shown;
  return h("li", { class: gold ? "gold" : null }, h("span", { class: "rv-letter", "aria-hidden": "true" }, letter(index)),
    h("span", { class: "text" }, option), gold ? h("span", { class: "chip accent" }, t("answer_key")) : null);
}

/** A passage with marks; `ranges` count characters as Python does, so that an emoji before them moves nothing. */
export function marked(text, ranges) {
  const letters = Array.from(text);
  const parts = [];
  let at = 0;
  for (const [start, end] of [...ranges].sort((one, other) => one[0] - other[0])) {
    if (start < at || end > letters.length || start >= end) continue;
    parts.push(letters.slice(at, start).join(""), h("mark", {}, letters.slice(start, end).join("")));
    at = end;
  }
  return [...parts, letters.slice(at).join("")];
}

/** Passages; `steps` tells which step's judge cites a passage, as far as this reviewer may know. */
export function evidence(item, t) {
  if (!item.evidence?.length) return null;
  const cites = (id) => item.steps.flatMap(({ signals }, index) => (signals?.judge?.citations?.includes(id) ? [index + 1] : []));
  return h("section", { class: "rv-evidence", "aria-label": t("evidence") },
    h("h3", {}, t("evidence")),
    item.evidence.map((passage) => {
      const steps = cites(passage.id);
      return h("details", { class: "card rv-passage", open: true },
        h("summary", {}, h("span", { class: "rv-passage-id" }, passage.id),
          h("span", { class: "quiet small" }, [passage.source, passage.license].filter(Boolean).join(" · ")),
          steps.length ? h("span", { class: "chip accent push" }, t("cited_by", { steps: steps.join(", ") })) : null),
        h("p", { class: "text" }, marked(passage.text, passage.cited ?? [])));
    }));
}

/** Similar cases with diagnosis and similarity. */
export function similarCases(item, t) {
  if (!item.similar_cases?.length) return null;
  return h("section", { class: "rv-similar", "aria-label": t("similar") },
    h("h3", {}, t("similar")),
    h("ol", {}, item.similar_cases.map((one) =>
      h("li", {}, h("span", { class: "text" }, one.diagnosis ?? t("unknown")), h("span", { class: "quiet small" }, one.question_id ?? ""),
        h("span", { class: "quiet number push" }, digits(one.similarity))))));
}

/** Why a question came up by itself, and how its writer explains it. */
export function questionNotes(item, t) {
  return [
    item.asked_because ? h("p", { class: "small quiet" }, t("asked_because"), " ", h("span", { class: "text" }, item.asked_because)) : null,
    item.explanation ? h("p", { class: "small text" }, item.explanation) : null,
  ];
}

/** Chooses a verdict in the form, and puts the focus there. */
export function choose(node, verdict) {
  const input = node.querySelector(`[value="${verdict}"]`);
  input.checked = true;
  input.focus();
}

/** The form of the question's review; `done` gets {verdict, answer, difficulty, feedback, question}. */
export function form(item, t, done) {
  const before = item.question_review ?? {};
  const verdicts = VERDICTS.map((name, at) => {
    const input = h("input", { type: "radio", name: "rv-verdict", value: name, checked: before.verdict === name, required: true });
    return h("label", { class: "rv-check" }, input, h("span", {}, t(`verdict_${name}`)), h("kbd", { "aria-hidden": "true" }, at + 1));
  });
  const answer = item.options?.length
    ? h("select", {}, h("option", { value: "" }, t("unchanged")), item.options.map((option, index) =>
      h("option", { value: option, selected: before.answer === option }, `${letter(index)}. ${option}`)))
    : h("input", { type: "text", maxlength: 2000, value: before.answer ?? "" });
  const difficulty = h("select", {}, h("option", { value: "" }, t("unchanged")), DIFFICULTIES.map((name) =>
    h("option", { value: name, selected: before.difficulty === name }, t(`difficulty_${name}`))));
  const words = h("textarea", { rows: 2, maxlength: 4000, value: before.question ?? item.question });
  const feedback = h("textarea", { rows: 3, maxlength: 4000, value: before.feedback ?? "" });
  const node = h("form", { class: "stack tight rv-question-form" },
    h("div", { class: "row", role: "radiogroup", "aria-label": t("verdict") }, verdicts),
    h("div", { class: "row rv-question-fields" },
      h("label", {}, t("correct_answer"), answer), h("label", {}, t("difficulty"), difficulty)),
    h("label", {}, t("question_words"), words),
    h("label", {}, t("feedback"), feedback),
    h("div", { class: "row" }, button(t("save"), "Enter", null, { type: "submit", class: "primary push" })));
  node.addEventListener("submit", (event) => {
    event.preventDefault();
    done({
      verdict: new FormData(node).get("rv-verdict"), answer: answer.value || null,
      difficulty: difficulty.value || null, feedback: feedback.value.trim() || null,
      question: words.value.trim() === item.question.trim() ? null : words.value.trim() || null,
    });
  });
  node.addEventListener("keydown", (event) => {
    const verdict = VERDICTS[Number(event.key) - 1];
    const typing = event.target.matches("textarea, select, input[type='text']");
    const enter = event.key === "Enter" && event.target.matches("input[type='radio']");
    if (verdict && !typing) choose(node, verdict);
    else if (enter) node.requestSubmit();
    else return;
    event.preventDefault();
  });
  return node;
}
