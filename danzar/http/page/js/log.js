// The log: the newest line below, as in a terminal; it stands still while it is paused or scrolled up.

import { arrange, byId, h, put, say, set } from "/static/js/dom.js";
import { clock, plural } from "/static/js/format.js";
import { state } from "/static/js/state.js";

const LEVELS = ["debug", "info", "warning", "error", "critical"];
const MOST_SHOWN = 400;
const rows = new Map();
let pausedAt = null;

export function mountLog() {
  const level = byId("log-level");
  put(level, LEVELS.slice(0, 4).map((name) => h("option", { value: name, selected: name === "info" }, name === "error" ? "errors only" : `${name} and above`)));
  level.addEventListener("change", drawLog);
  byId("log-text").addEventListener("input", drawLog);
  byId("log-pause").addEventListener("click", () => {
    pausedAt = pausedAt === null ? (state.log.at(-1)?.number ?? 0) : null;
    set(byId("log-pause"), { "aria-pressed": String(pausedAt !== null) });
    drawLog();
  });
}

/** Begins anew: line numbers count from the server's start. */
export function forgetLog() {
  rows.clear();
  if (pausedAt !== null) pausedAt = state.log.at(-1)?.number ?? 0;
}

export function drawLog() {
  const box = byId("log-lines");
  const newer = pausedAt === null ? 0 : state.log.filter((line) => line.number > pausedAt && fits(line)).length;
  say(byId("log-pause"), pausedAt === null ? "Pause" : newer ? `Go on (${plural(newer, "new line")})` : "Go on");
  const lines = state.log.filter((line) => fits(line) && (pausedAt === null || line.number <= pausedAt)).slice(-MOST_SHOWN);
  const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 24;
  if (!lines.length) return put(box, h("p", { class: "nothing muted" }, state.log.length ? "No line is like that." : "Nothing was logged yet."));
  const kept = new Set(lines.map((line) => line.number));
  for (const number of [...rows.keys()]) if (!kept.has(number)) rows.delete(number);
  for (const line of lines) if (!rows.has(line.number)) rows.set(line.number, lineRow(line));
  arrange(box, lines.map((line) => rows.get(line.number)));
  if (atEnd && pausedAt === null) box.scrollTop = box.scrollHeight;
}

function fits(line) {
  if (LEVELS.indexOf(line.level) < LEVELS.indexOf(byId("log-level").value)) return false;
  const words = byId("log-text").value.trim().toLowerCase();
  return !words || [line.text, line.logger, line.request ?? ""].some((part) => part.toLowerCase().includes(words));
}

function lineRow(line) {
  const text = [h("span", { class: "log-text" }, line.text), line.request ? h("span", { class: "request", title: "Request" }, line.request) : null];
  return h("div", { class: `line ${line.level}`, "data-testid": "log-line", "data-level": line.level },
    h("time", { datetime: line.at }, clock(line.at)), h("span", { class: "level" }, line.level),
    h("span", { class: "logger", title: line.logger }, line.logger.replace(/^danzar\./, "")),
    h("div", { class: "said" }, line.error ? h("details", {}, h("summary", {}, text), h("pre", {}, line.error)) : text));
}
