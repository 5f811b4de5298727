"""Two other ways to label steps, for `review_effort.py`: the ancestor's page as we know it, and one radio a step.

    ancestor_page(items)       an HTML text: one centred column, chips, + and − beside each step; its keys are
                               1–4 toggle a step, A approves all, arrows and space reach the others, Enter submits
    radio_app(items, heard)    a plain Gradio Blocks: one gr.Radio a step, and a button

Both are written anew from a description of what such pages do (the tool VisualPRM-Medical-PRM and Gradio's manual).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

MOST_STEPS = 9

_PAGE = """<!doctype html><meta charset="utf-8"><title>labelling</title>
<style>body{font:16px sans-serif;max-width:720px;margin:2em auto}
li{margin:8px 0}.at{background:#eef}.on{font-weight:700}
button{margin-left:6px}.chip{border:1px solid #ccc;border-radius:9px;padding:0 8px;margin-right:6px}</style>
<p><span class="chip">chest_xray</span><span class="chip">medium</span></p><h2></h2><ol></ol>
<p>A approve all · S skip · ↑ ↓ move · space toggle · 1–4 toggle · Enter submit</p>
<script>
const items = ITEMS, result = []; let number = -1, at = 0, labels = [];
function draw() {
  document.querySelector("h2").textContent = items[number] ? items[number].question : "done";
  const list = document.querySelector("ol"); list.replaceChildren();
  (items[number] ? items[number].steps : []).forEach((text, index) => {
    const row = document.createElement("li"); row.className = index === at ? "at" : ""; row.append(text);
    for (const label of ["+", "-"]) {
      const button = document.createElement("button"); button.textContent = label;
      button.className = labels[index] === label ? "on" : ""; button.onclick = () => { labels[index] = label; draw(); };
      row.append(button);
    }
    list.append(row);
  });
  document.body.dataset.item = number;
}
function next() { number += 1; at = 0; labels = items[number] ? items[number].steps.map(() => null) : []; draw(); }
function toggle(index) { if (index < labels.length) labels[index] = labels[index] === "-" ? "+" : "-"; }
addEventListener("keydown", ({ key }) => {
  if (!items[number]) return;
  if ("1234".includes(key)) toggle(Number(key) - 1);
  else if (key === " ") toggle(at);
  else if (key === "ArrowDown") at = Math.min(at + 1, labels.length - 1);
  else if (key === "ArrowUp") at = Math.max(at - 1, 0);
  else if (key.toLowerCase() === "a") labels = labels.map(() => "+");
  else if (key.toLowerCase() === "s") return next();
  else if (key === "Enter") { result.push(labels); return next(); }
  draw();
});
next();
</script>"""


def ancestor_page(items: Sequence[dict[str, Any]]) -> str:
    """The page with these items ({question, steps}); `result` in the page holds a list of labels for each."""
    return _PAGE.replace("ITEMS", json.dumps(list(items)))


def radio_app(items: Sequence[dict[str, Any]], heard: Callable[[list[str]], None]) -> Any:
    """A Blocks with one gr.Radio a step; `heard` gets the labels of each submitted item."""
    import gradio as gr

    def shown(number: int) -> list[Any]:
        item = items[number] if number < len(items) else {"question": "done", "steps": []}
        steps = item["steps"]
        labels = [*steps, *[""] * (MOST_STEPS - len(steps))]
        groups = [gr.Radio(label=label, visible=bool(label), value=None) for label in labels]
        return [number, f"{number}: {item['question']}", *groups]

    def submit(number: int, *labels: str | None) -> list[Any]:
        heard([label for label in labels if label])
        return shown(number + 1)

    with gr.Blocks(analytics_enabled=False) as blocks:
        state = gr.State(0)
        question = gr.Textbox(interactive=False, elem_id="question", label="Question")
        radios = [gr.Radio(["+", "-"], elem_id=f"step-{n}", interactive=True) for n in range(MOST_STEPS)]
        button = gr.Button("Submit", elem_id="submit")
        button.click(submit, [state, *radios], [state, question, *radios], concurrency_limit=1)
        blocks.load(lambda: shown(0), None, [state, question, *radios])
    return blocks
