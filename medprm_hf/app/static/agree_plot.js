// Intervals as a picture: one row a figure, a line from low to high, a dot at the value, a dashed line at the target.
//
//     host.append(intervals([{ name: "all", value: 0.83, low: 0.78, high: 0.88, n: 120 }], { target: 0.8, t }));
//
// The same numbers stand as text at the end of each row, so that nothing is told by the picture alone.

import { digits, h } from "./base.js";

const ROW = 42;
const WIDTH = 460;
const EDGE = 14;

/** Where a value lies on the axis, in pixels. */
function scale(least) {
  return (value) => EDGE + ((Math.min(1, Math.max(least, value)) - least) / (1 - least)) * (WIDTH - 2 * EDGE);
}

/** An SVG of rows {name, value, low, high, n}; value null is said to be unknown, not drawn at 0. */
export function intervals(rows, { target = null, t, title = "" }) {
  const least = Math.min(0, ...rows.flatMap(({ low, value }) => [low ?? 0, value ?? 0])) < -0.005 ? -1 : 0;
  const x = scale(least);
  const height = rows.length * ROW + 20;
  const ticks = least < 0 ? [-1, -0.5, 0, 0.5, 1] : [0, 0.2, 0.4, 0.6, 0.8, 1];
  return h("svg:svg", {
    class: "ag-plot", viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": `${title}. ${rows.map(said(t)).join("; ")}`,
  },
    rows.map((_, index) => axis(ticks, x, (index + 1) * ROW - 10, target)),
    ticks.map((tick) => h("svg:text", { x: x(tick), y: height - 6, class: "ag-tick", "text-anchor": "middle" }, minus(tick, 1))),
    rows.map((row, index) => drawn(row, (index + 1) * ROW - 10, x, target, t)));
}

/** A quiet line with its ticks and the target, under one row's words. */
function axis(ticks, x, y, target) {
  const mark = (value, name, size) => h("svg:line", { x1: x(value), x2: x(value), y1: y - size, y2: y + size, class: name });
  return [
    h("svg:line", { x1: x(ticks[0]), x2: x(1), y1: y, y2: y, class: "ag-grid" }),
    ...ticks.map((tick) => mark(tick, "ag-grid", 3)),
    target === null ? null : mark(target, "ag-target", 6),
  ];
}

const said = (t) => ({ name, value, low, high, n }) => `${name}: ${text({ value, low, high, n }, t)}`;

/** "0.83 (0.78–0.88), n = 120" */
export function text({ value, low, high, n }, t) {
  if (value === null || value === undefined) return t("not_enough", { n: n ?? 0 });
  const range = low === null || low === undefined ? "" : ` (${minus(low)}–${minus(high)})`;
  return `${minus(value)}${range}, n = ${n}`;
}

const minus = (value, places = 2) => digits(value, places).replace("-", "−");

function drawn(row, y, x, target, t) {
  const { name, value, low, high } = row;
  const short = name.length > 34 ? `${name.slice(0, 33)}…` : name;
  const parts = [
    h("svg:text", { x: 0, y: y - 14, class: row.main ? "ag-name main" : "ag-name" }, h("svg:title", {}, name), short),
    h("svg:text", { x: WIDTH, y: y - 14, "text-anchor": "end", class: "ag-value" }, text(row, t)),
  ];
  if (value === null || value === undefined) return parts;
  const colour = target === null ? "" : (low ?? value) >= target ? "plus" : (high ?? value) < target ? "minus" : "amber";
  if (low !== null && low !== undefined) {
    parts.push(h("svg:line", { x1: x(low), x2: x(high), y1: y, y2: y, class: `ag-line ${colour}` }));
  }
  parts.push(h("svg:circle", { cx: x(value), cy: y, r: row.main ? 6 : 5, class: `ag-dot ${colour}` }));
  return parts;
}
