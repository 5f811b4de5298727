// One row as in the dataset's card: image, question, and each step with its label and both signals.
import { digits, h } from "./base.js";

const KINDS = { "+": "plus", "-": "minus", 0: "neutral" };
const SIGNS = { "+": "+", "-": "−", 0: "0" };

export function rowView(t, row, image) {
  const letter = (place) => String.fromCharCode(65 + place);
  return h("article", { class: "stack one" },
    h("div", { class: "card case" },
      row.has_image && h("img", { src: new URL(image, document.baseURI).href, alt: t("explore.image"), loading: "lazy" }),
      h("div", { class: "stack tight told" },
        row.clinical_context && h("p", { class: "quiet text" }, row.clinical_context),
        (row.turns ?? []).map((turn) => h("p", { class: "text" }, h("span", { class: "quiet" }, `${turn.role}: `), turn.text)),
        h("h2", { class: "text" }, row.question),
        row.options?.length > 0 && h("ol", { class: "options" }, row.options.map((option, place) => h("li", { class: place === row.answer_index ? "gold" : "" },
          h("span", { class: "letter" }, letter(place)), h("span", { class: "text" }, option), place === row.answer_index && h("span", { class: "chip plus" }, t("explore.gold"))))),
        !row.options?.length && row.answer && h("p", {}, h("span", { class: "quiet" }, `${t("explore.gold")}: `), h("span", { class: "text" }, row.answer)),
        h("div", { class: "row" }, [row.modality, row.difficulty, row.split].filter(Boolean).map((one) => h("span", { class: "chip" }, one.replaceAll("_", " "))),
          row.final_answer !== null && row.final_answer !== undefined && h("span", { class: `chip ${row.is_correct === true ? "plus" : row.is_correct === false ? "minus" : ""}` },
            t("explore.answered", { answer: row.final_answer }), row.is_correct === true ? " ✓" : row.is_correct === false ? " ✗" : "")))),
    h("div", { class: "card steps-card" },
      h("div", { class: "row spread" }, h("h2", {}, t("explore.steps")), h("span", { class: "small quiet" }, t("explore.steps_about"))),
      h("ol", { class: "steps" }, row.steps.map((step, place) => stepView(t, step, place)))),
    evidence(t, row), facts(t, row));
}

function stepView(t, step, place) {
  const judged = step.judge_labels !== null && step.judge_labels !== undefined;
  const rolled = step.rollout_total !== null && step.rollout_total !== undefined && step.rollout_total > 0;
  return h("li", { class: "step" },
    h("span", { class: `mark big ${KINDS[step.label] ?? "unknown"}`, title: step.label_method ?? "" }, SIGNS[step.label] ?? "?"),
    h("div", { class: "stack tight" },
      h("div", {}, step.step_titles && h("span", { class: "quiet" }, `${step.step_titles} · `), h("span", { class: "quiet number" }, `${place + 1}  `), h("span", { class: "text" }, step.text)),
      h("dl", { class: "small" },
        step.label_p !== null && h("div", {}, h("dt", {}, t("explore.p_right")), h("dd", { class: "number" }, digits(step.label_p))),
        judged && h("div", {}, h("dt", {}, t("explore.judge")), h("dd", {}, h("span", { class: `mark ${KINDS[step.judge_labels] ?? "unknown"}` }, SIGNS[step.judge_labels] ?? "?"), step.judge_confidence && ` ${step.judge_confidence}`, step.judge_p_plus !== null && h("span", { class: "number" }, ` ${digits(step.judge_p_plus)}`))),
        rolled && h("div", {}, h("dt", {}, t("explore.rollouts")), h("dd", { class: "number" }, `${step.rollout_correct}/${step.rollout_total}`)),
        (step.reviews ?? []).map((one) => h("div", {}, h("dt", {}, one.reviewer ?? t("explore.expert")), h("dd", {}, h("span", { class: `mark ${KINDS[one.label] ?? "unknown"}` }, SIGNS[one.label] ?? "?"), one.error_type && ` ${one.error_type.replaceAll("_", " ")}`, one.note && h("span", { class: "text" }, ` · ${one.note}`)))),
        step.label_method && h("div", {}, h("dt", {}, t("explore.method")), h("dd", {}, step.label_method.replaceAll("_", " ").replace(":", ": "))),
        step.needs_review && step.review_labels !== "+" && step.review_labels !== "-" && step.review_labels !== "0" && h("div", {}, h("dd", {}, h("span", { class: "chip amber" }, t("explore.review_asked"))))),
      step.judge_reasons && h("p", { class: "small quiet text" }, step.judge_reasons)));
}

function evidence(t, row) {
  if (!row.evidence?.length && !row.similar_cases?.length) return null;
  return h("details", { class: "card" }, h("summary", {}, h("h2", {}, t("explore.evidence", { count: row.evidence?.length ?? 0 }))),
    h("div", { class: "stack tight passages" }, (row.evidence ?? []).map((one) => h("blockquote", {}, h("p", { class: "text" }, one.text), h("p", { class: "small quiet" }, [one.id, one.source, one.license].filter(Boolean).join(" · ")))),
      (row.similar_cases ?? []).map((one) => h("p", {}, h("span", { class: "text" }, one.diagnosis ?? one.question_id), h("span", { class: "quiet number" }, ` ${digits(one.similarity)}`)))));
}

function facts(t, row) {
  const said = [
    ["solution_id", row.solution_id ?? row.question_id], ["source", row.source], ["license", row.license],
    ["generator", row.generator?.model], ["judge", row.judge?.model], ["rollouts", row.rollout_method && [row.rollout_method.estimator, row.rollout_method.completer].filter(Boolean).join(", ")],
    ["dropped", row.keep === false ? row.drop_reason ?? "" : null], ["flags", row.flags?.join(", ")],
    ["image_notes", row.image_notes?.join(", ")], ["errors", row.errors?.map((one) => `${one.stage}: ${one.kind}`).join("; ")],
  ].filter(([, value]) => value);
  return h("details", { class: "card" }, h("summary", {}, h("h2", {}, t("explore.origin"))),
    h("dl", { class: "facts" }, said.map(([name, value]) => [h("dt", {}, t(`explore.${name}`)), h("dd", { class: "text" }, String(value))])));
}
