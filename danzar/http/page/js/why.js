// One decision in full, and the numbers behind the last one about its model, in a dialog.

import { byId, h, icon, put } from "/static/js/dom.js";
import { clock, duration, known, size } from "/static/js/format.js";
import { ask } from "/static/js/live.js";

/** Opens the dialog and fills it when the server has answered. */
export async function openWhy(step) {
  const dialog = byId("why");
  const what = h("p", { class: "what" }, h("time", { class: "number", datetime: step.at }, clock(step.at)), ` ${step.text}`);
  show(dialog, step.model, [what, h("p", { class: "muted" }, "Asking for the numbers…")]);
  if (!dialog.open) dialog.showModal();
  try {
    const told = await ask("/v1/why", { model: step.model });
    show(dialog, told.model, [what, explanation(told)]);
  } catch (problem) {
    show(dialog, step.model, [what, h("p", { class: "note" }, problem.message)]);
  }
}

export function mountWhy() {
  const dialog = byId("why");
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
}

function show(dialog, model, content) {
  put(dialog, h("header", { class: "block-head" }, h("h2", { id: "why-title" }, `Why: ${model}`),
    h("button", { type: "button", class: "tool", "aria-label": "Close", "data-testid": "why-close", onclick: () => dialog.close() }, icon("close"))),
  h("div", { class: "why-body" }, content));
}

function explanation(told) {
  const age = known(told.age_s) ? `The last time that a place was looked for, ${duration(told.age_s)} ago` : "A dry run";
  return [
    h("div", {}, h("p", { class: "muted small" }, age), h("p", { class: "outcome" }, told.text)),
    told.reason ? h("p", {}, told.reason) : null,
    table("What each device had room for", ["device", "free", "room", ""], told.devices.map((d) => [
      `${d.device}${d.simulated ? " (simulated)" : ""}`, size(d.free_bytes), size(d.room_bytes), d.text])),
    table("What was weighed", ["way", "needed", "room", ""], told.weighed.map((w) => [
      `${w.way}${w.device ? ` on ${w.device}` : ""}`, size(w.needed_bytes), size(w.room_bytes), `${w.text}${w.chosen ? " ← taken" : ""}`]), told.weighed.findIndex((w) => w.chosen)),
    told.leaving.length ? table("Who has to leave", ["model", "gives back", "cost", ""], told.leaving.map((l) => [
      l.model, size(l.bytes), duration(l.cost_s), l.text])) : null,
  ];
}

function table(caption, heads, rows, marked = -1) {
  if (!rows.length) return null;
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, h("table", {}, h("caption", {}, caption),
    h("thead", {}, h("tr", {}, heads.map((name) => h("th", { scope: "col" }, name || h("span", { class: "unseen" }, "in words"))))),
    h("tbody", {}, rows.map((cells, n) => h("tr", { class: n === marked ? "chosen" : null }, cells.map((cell) => h("td", {}, cell)))))));
}
