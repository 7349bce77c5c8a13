// The models and what was done with them: states, bytes, rungs, pins, and reasons.

import { formatSize, h } from "/static/js/dom.js";

const SHOWN_DECISIONS = 8;
const KINDS = { load: "loaded", unload: "unloaded", evict: "evicted", yield: "made way", failed: "failed", lost: "lost" };

/** One model: its place, what it holds, what keeps it there, and what losing it would cost. */
export function modelRow(reading) {
  return h("li", { class: "model", "data-testid": "model-row", "data-model": reading.name, title: reading.text },
    h("div", { class: "model-head" }, h("span", { class: `state ${reading.state}` }), h("b", {}, reading.name),
      h("span", { class: "number" }, place(reading))),
    tags(reading),
    h("div", { class: "model-facts muted" }, [size(reading), reading.rung_text, reading.queue ? `${reading.queue} waiting` : null,
      reading.in_flight ? `${reading.in_flight} running` : null, idle(reading)].filter(Boolean).join(" · ")),
    cost(reading),
    reading.degraded || reading.error ? h("p", { class: "model-note" }, reading.degraded ?? reading.error) : null,
    reading.yielded ? h("p", { class: "model-note" }, "left for other programs; comes back when they are gone") : null);
}

/** The last steps of the memory manager, newest first. */
export function decisionRows(decisions) {
  return [...decisions].slice(-SHOWN_DECISIONS).reverse().map((step) => {
    const when = new Date(step.at);
    const what = step.model ? [h("b", {}, step.model), ` ${KINDS[step.kind] ?? step.kind}`, step.device ? ` · ${step.device}` : null] : step.text;
    return h("li", { class: `decision ${step.kind ?? ""}`, "data-testid": "decision", title: step.text },
      h("div", { class: "decision-head" }, h("span", { class: "decision-mark", "aria-hidden": "true" }), h("span", {}, what),
        h("time", { class: "number", datetime: step.at }, Number.isNaN(when.getTime()) ? "" : when.toLocaleTimeString())),
      step.reason ? h("p", { class: "muted" }, step.reason) : null);
  });
}

function place(reading) {
  if (!reading.device) return reading.state;
  return `${reading.state === "ready" ? "" : `${reading.state} · `}${reading.device}`;
}

function size(reading) {
  if (reading.bytes === null || reading.bytes === undefined) {
    return reading.estimated_bytes ? `needs about ${formatSize(reading.estimated_bytes)}` : null;
  }
  const hosts = (reading.shares ?? []).filter((share) => share.uuid !== "cpu" || reading.device === "cpu");
  const estimated = hosts.reduce((sum, share) => sum + share.estimated_bytes, 0);
  return `${formatSize(reading.bytes)}${estimated === reading.bytes ? "" : ` (estimated ${formatSize(estimated)})`}`;
}

function idle(reading) {
  if (reading.idle_s === null || reading.idle_s === undefined) return null;
  const minutes = Math.floor(reading.idle_s / 60);
  return minutes ? `idle ${minutes} min` : `idle ${Math.round(reading.idle_s)} s`;
}

function cost(reading) {
  if (!reading.reload_s || !reading.bytes) return null;
  const chance = Math.round((reading.use_probability ?? 0) * 100);
  return h("div", { class: "model-facts muted" }, `reload ${reading.reload_s.toFixed(1)} s · wanted within 2 min: ${chance} %`);
}

function tags(reading) {
  const shown = [
    reading.pinned ? h("span", { class: "model-tag", title: "Never evicted and never unloaded by itself" }, "pinned") : null,
    reading.protected ? h("span", { class: "model-tag", title: "Never moved because another program wants the card" }, "protected") : null,
  ].filter(Boolean);
  return shown.length ? h("div", { class: "model-tags" }, shown) : null;
}
