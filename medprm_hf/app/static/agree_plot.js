// Intervals as a picture: one row a figure, a line from low to high, a dot at the value, a dashed line at the target.
//
//     host.append(intervals([{ name: "all", value: 0.83, low: 0.78, high: 0.88, n: 120 }], { target: 0.8, t }));
//
// The same numbers stand as text at the end of each row, so that nothing is told by the picture alone.

import { digits, h } from "./base.js";

const ROW = 30;
const LEFT = 170;
const WIDTH = 420;
const RIGHT = 190;

/** Where a value lies on the axis, in pixels. */
function scale(least) {
  return (value) => LEFT + ((Math.min(1, Math.max(least, value)) - least) / (1 - least)) * WIDTH;
}

/** An SVG of rows {name, value, low, high, n}; value null is said to be unknown, not drawn at 0. */
export function intervals(rows, { target = null, t, title = "" }) {
  const least = Math.min(0, ...rows.flatMap(({ low, value }) => [low ?? 0, value ?? 0])) < -0.005 ? -1 : 0;
  const x = scale(least);
  const height = rows.length * ROW + 26;
  const ticks = least < 0 ? [-1, -0.5, 0, 0.5, 1] : [0, 0.2, 0.4, 0.6, 0.8, 1];
  return h("svg:svg", {
    class: "ag-plot", viewBox: `0 0 ${LEFT + WIDTH + RIGHT} ${height}`, role: "img", "aria-label": `${title}. ${rows.map(said(t)).join("; ")}`,
  },
    ticks.map((tick) => [
      h("svg:line", { x1: x(tick), x2: x(tick), y1: 0, y2: rows.length * ROW, class: "ag-grid" }),
      h("svg:text", { x: x(tick), y: height - 6, class: "ag-tick", "text-anchor": "middle" }, String(tick).replace("-", "−")),
    ]),
    target === null ? [] : h("svg:line", { x1: x(target), x2: x(target), y1: 0, y2: rows.length * ROW, class: "ag-target" }),
    rows.map((row, index) => drawn(row, index * ROW + ROW / 2, x, target, t)));
}

const said = (t) => ({ name, value, low, high, n }) => `${name}: ${text({ value, low, high, n }, t)}`;

/** "0.83 (0.78–0.88), n = 120" */
export function text({ value, low, high, n }, t) {
  if (value === null || value === undefined) return t("not_enough", { n: n ?? 0 });
  const range = low === null || low === undefined ? "" : ` (${minus(low)}–${minus(high)})`;
  return `${minus(value)}${range}, n = ${n}`;
}

const minus = (value) => digits(value).replace("-", "−");

function drawn(row, y, x, target, t) {
  const { name, value, low, high } = row;
  const short = name.length > 24 ? `${name.slice(0, 23)}…` : name;
  const parts = [
    h("svg:text", { x: LEFT - 12, y: y + 4, "text-anchor": "end", class: row.main ? "ag-name main" : "ag-name" }, h("svg:title", {}, name), short),
    h("svg:text", { x: LEFT + WIDTH + 14, y: y + 4, class: "ag-value" }, text(row, t)),
  ];
  if (value === null || value === undefined) return parts;
  const colour = target === null ? "" : (low ?? value) >= target ? "plus" : (high ?? value) < target ? "minus" : "amber";
  if (low !== null && low !== undefined) {
    parts.push(h("svg:line", { x1: x(low), x2: x(high), y1: y, y2: y, class: `ag-line ${colour}` }));
  }
  parts.push(h("svg:circle", { cx: x(value), cy: y, r: row.main ? 6 : 5, class: `ag-dot ${colour}` }));
  return parts;
}
