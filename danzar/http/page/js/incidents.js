// What is wrong, and what was: open incidents on top, closed ones with their duration.

import { byId, h, say, sentence, showList } from "/static/js/dom.js";
import { clock, duration, known, plural, seconds } from "/static/js/format.js";
import { state } from "/static/js/state.js";

const MOST_CLOSED = 20, MOST_DONE = 4;

export function drawIncidents() {
  const open = state.incidents.filter((i) => !i.closed_at);
  const closed = state.incidents.filter((i) => i.closed_at).slice(0, MOST_CLOSED);
  say(byId("incidents-count"), open.length ? plural(open.length, "open", "open") : "");
  byId("incidents").classList.toggle("alarmed", open.length > 0);
  showList(byId("incident-list"), [...open, ...closed].map(facts), (i) => i.id, incidentRow, "Nothing went wrong.");
  tick();
}

/** An incident without what changes each second, so that its row stays. */
function facts({ lasted_s: _, timeline: __, ...rest }) {
  return rest;
}

function incidentRow(incident) {
  const tags = [
    incident.flapping ? h("span", { class: "tag bad" }, "flapping") : null,
    incident.count > 1 ? h("span", { class: "tag" }, `came ${plural(incident.count, "time")}`) : null,
    incident.muted ? h("span", { class: "tag" }, "muted") : null,
    incident.calm_since && !incident.closed_at ? h("span", { class: "tag" }, "calming down") : null,
  ];
  return h("li", { class: `row incident ${incident.closed_at ? "closed" : "open"} ${incident.worst} ${incident.told ? "" : "blip"}`, "data-testid": "incident-row" },
    h("div", { class: "row-main" },
      h("div", { class: "row-head" }, h("b", { class: "level" }, incident.closed_at ? incident.worst : incident.calm_since ? "eased" : incident.level),
        h("span", { class: "muted" }, clock(incident.opened_at)),
        h("span", { class: "number lasting", "data-opened": incident.opened_at, "data-closed": incident.closed_at ?? incident.calm_since ?? "" }), tags),
      h("p", {}, sentence(incident.closed_at ? incident.worst_text : incident.text)),
      incident.grew ? h("p", { class: "note" }, incident.grew) : null,
      incident.done.slice(-MOST_DONE).map((step) => h("p", { class: "did" }, h("time", { class: "number" }, clock(step.at)), ` ${step.text}`))));
}

/** Moves the durations on, without touching the rows. */
export function tick() {
  for (const span of document.querySelectorAll(".lasting")) {
    const { opened, closed } = span.dataset;
    const end = closed ? seconds(closed) : state.atS;
    const lasted = end - seconds(opened);
    say(span, known(lasted) && lasted >= 0 ? `${closed ? "lasted" : "for"} ${duration(Math.max(1, Math.round(lasted)))}` : "");
  }
}
