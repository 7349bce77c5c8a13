// The lists beside the cards: models, queue, watches, jobs, readiness.

import { hueOf } from "/static/js/colours.js";
import { byId, h, say, showList } from "/static/js/dom.js";
import { clock, duration, known, plural, seconds, size } from "/static/js/format.js";
import { state } from "/static/js/state.js";

export function drawModels() {
  const loaded = state.models.filter((m) => m.state === "ready").length;
  say(byId("models-count"), state.models.length ? `${loaded} of ${state.models.length} loaded` : "");
  const sorted = [...state.models].sort((a, b) => Number(!a.device) - Number(!b.device));
  showList(byId("model-list"), sorted.map(modelFacts), (m) => m.name, modelRow, "No model is configured.");
}

/** What is shown of a model, so that its row stays while the rest of it changes. */
function modelFacts(model) {
  const idle = known(model.idle_s) ? Math.floor(model.idle_s / 60) : null;
  return {
    name: model.name, purpose: model.purpose, state: model.state, device: model.device, simulated: model.simulated,
    bytes: model.bytes, estimated: model.estimated_bytes, note: model.degraded ?? model.error, yielded: model.yielded,
    tags: [model.pinned && "pinned", model.protected && "protected", model.standby && "standing by"].filter(Boolean),
    work: model.in_flight ? `${model.in_flight} running` : idle === null ? null : idle ? `idle ${idle} min` : "idle",
    waits: model.queue ? `${model.queue} waiting` : null,
  };
}

function modelRow(model) {
  const place = model.device ? `${model.device}${model.simulated ? " (simulated)" : ""}` : "not loaded";
  const held = known(model.bytes) ? size(model.bytes) : `needs about ${size(model.estimated)}`;
  return h("li", { class: "row model", "data-testid": "model-row", "data-model": model.name },
    h("span", { class: `state ${model.state}`, style: { "--hue": hueOf(model.name) }, title: model.state }),
    h("div", { class: "row-main" },
      h("div", { class: "row-head" }, h("b", {}, model.name), h("span", { class: "muted" }, model.purpose),
        model.tags.map((tag) => h("span", { class: "tag" }, tag))),
      model.note ? h("p", { class: "note" }, model.note) : null,
      model.yielded ? h("p", { class: "note" }, "left for other programs; comes back when they are gone") : null),
    h("div", { class: "row-end" }, h("span", {}, model.state === "ready" || !model.device ? place : `${model.state} · ${place}`),
      h("span", { class: "number" }, [held, model.work, model.waits].filter(Boolean).join(" · "))));
}

export function drawQueue() {
  const rows = state.queues.flatMap((queue) => [
    ...queue.running.map((r) => ({ ...r, model: queue.model, runs: true })),
    ...queue.waiting.map((w) => ({ ...w, model: queue.model, runs: false })),
  ]);
  const waiting = rows.filter((r) => !r.runs).length;
  say(byId("queue-count"), [[rows.length - waiting, "runs", "run"], [waiting, "waits", "wait"]]
    .filter(([count]) => count).map((words) => plural(...words)).join(", "));
  showList(byId("queue-list"), rows, (r) => `${r.model} ${r.number}`, queueRow, "Nobody waits.");
}

function queueRow(row) {
  const who = row.person === null ? row.class : `${row.class} · person ${row.person}`;
  const expected = known(row.expected_s) ? `expected in ${duration(row.expected_s)}` : "expected: unknown";
  return h("li", { class: `row ask ${row.runs ? "runs" : ""}`, "data-testid": "queue-row" },
    h("span", { class: `state ${row.runs ? "ready" : "waits"}`, title: row.runs ? "running" : "waiting" }),
    h("div", { class: "row-main" }, h("div", { class: "row-head" }, h("b", {}, row.model), h("span", { class: "muted" }, who),
      row.late ? h("span", { class: "tag bad" }, "late") : null)),
    h("div", { class: "row-end" }, h("span", {}, row.runs ? `runs for ${duration(row.for_s)}` : `no. ${row.position}, ${expected}`),
      h("span", { class: "number" }, `waited ${duration(row.waited_s)}`)));
}

export function drawWatches() {
  showList(byId("watch-list"), state.watches, (w) => w.id, (watch) => h("li", { class: "row", "data-testid": "watch-row" },
    h("span", { class: "state ready", title: "watching" }),
    h("div", { class: "row-main" }, h("div", { class: "row-head" }, h("b", {}, watch.source), h("span", { class: "muted" }, `#${watch.id}`))),
    h("div", { class: "row-end" }, h("span", {}, watch.device ?? "place unknown"), h("span", { class: "number" }, plural(watch.frames, "frame"))),
  ), "Nothing is watched.");
}

const OVER = new Set(["completed", "failed", "cancelled"]);

export function drawJobs() {
  const going = state.jobs.filter((job) => !OVER.has(job.state)).length;
  say(byId("jobs-count"), going ? `${going} under way` : "");
  const empty = state.jobs_error ?? "No job was given yet.";
  showList(byId("job-list"), state.jobs, (job) => job.id, jobRow, empty);
}

function jobRow(job) {
  const took = job.started_at && job.ended_at ? seconds(job.ended_at) - seconds(job.started_at) : null;
  const facts = [job.device, job.node, took === null ? null : duration(took), job.position ? `no. ${job.position}` : null].filter(Boolean);
  return h("li", { class: "row job", "data-testid": "job-row" },
    h("span", { class: `state job-${job.state}`, title: job.state }),
    h("div", { class: "row-main" }, h("div", { class: "row-head" }, h("b", {}, job.model), h("code", { class: "muted" }, job.id.slice(0, 12))),
      known(job.progress) && !OVER.has(job.state) ? h("progress", { max: 1, value: job.progress, "aria-label": "progress" }) : null,
      job.error ?? job.degraded ? h("p", { class: "note" }, job.error ?? job.degraded) : null),
    h("div", { class: "row-end" }, h("span", {}, job.state), h("span", { class: "number" }, [clock(job.submitted_at), ...facts].join(" · "))));
}

export function drawReadiness() {
  const ready = state.readiness;
  const pill = byId("ready-pill");
  const missing = ready?.missing ?? [];
  pill.className = `pill ${ready?.ready ? "good" : "bad"}`;
  say(pill.lastChild, ready?.ready ? "ready" : "not ready");
  pill.title = missing.join("; ") || "Everything that is needed is there";
  const checks = Object.entries(ready?.checks ?? {}).map(([name, check]) => ({ name, ...check }));
  showList(byId("check-list"), checks, (c) => c.name, (check) => h("li", { class: "row check", "data-testid": "check-row" },
    h("span", { class: `state ${check.ok ? "ready" : "failed"}`, title: check.ok ? "fine" : "missing" }),
    h("div", { class: "row-main" }, h("div", { class: "row-head" }, h("b", {}, check.name), h("span", { class: "muted" }, check.text)))),
  "Nothing was checked yet.");
}
