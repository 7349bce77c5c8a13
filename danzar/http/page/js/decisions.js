// What the memory manager did, and why; a click shows the numbers.

import { byId, h, put, showList } from "/static/js/dom.js";
import { clock } from "/static/js/format.js";
import { state } from "/static/js/state.js";
import { openWhy } from "/static/js/why.js";

const KINDS = {
  load: "loaded", unload: "unloaded", evict: "evicted", yield: "made way", failed: "failed to load", lost: "was lost",
};

export function mountDecisions() {
  const kind = byId("decision-kind");
  put(kind, h("option", { value: "" }, "all kinds"), Object.keys(KINDS).map((name) => h("option", { value: name }, name)));
  kind.addEventListener("change", drawDecisions);
  byId("decision-text").addEventListener("input", drawDecisions);
}

export function drawDecisions() {
  const kind = byId("decision-kind").value;
  const words = byId("decision-text").value.trim().toLowerCase();
  const fitting = state.decisions.filter((d) => (!kind || d.kind === kind) && (!words || d.text.toLowerCase().includes(words)));
  const empty = state.decisions.length ? "No decision is like that." : "Nothing was decided yet.";
  showList(byId("decision-list"), fitting.reverse(), (d) => d.key, decisionRow, empty);
}

function decisionRow(step) {
  const words = step.model ? [h("b", {}, step.model), ` ${KINDS[step.kind] ?? step.kind ?? ""}`, step.device ? ` · ${step.device}` : ""] : step.text;
  const inside = [
    h("span", { class: `mark ${step.kind ?? ""}`, "aria-hidden": "true" }),
    h("span", { class: "row-main" }, h("span", { class: "row-head" }, h("span", {}, words), h("time", { class: "number", datetime: step.at }, clock(step.at))),
      step.reason ? h("span", { class: "reason" }, step.reason) : null),
  ];
  return h("li", { "data-testid": "decision", "data-kind": step.kind, "data-model": step.model },
    step.model ? h("button", { type: "button", class: "row decision", title: "Show the numbers", onclick: () => openWhy(step) }, inside)
      : h("div", { class: "row decision" }, inside));
}
