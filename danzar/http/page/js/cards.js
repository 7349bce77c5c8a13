// The cards: what each holds, who holds it, and how that came.

import { draw, makeChart } from "/static/js/chart.js";
import { hueOf } from "/static/js/colours.js";
import { arrange, byId, h, put, say, set } from "/static/js/dom.js";
import { gib, known, plural, rounded, seconds, size } from "/static/js/format.js";
import { ask } from "/static/js/live.js";
import { append, fromColumns, fromDevice } from "/static/js/series.js";
import { state } from "/static/js/state.js";

const SPANS = [[300, "5 min"], [900, "15 min"], [3600, "1 h"], [86_400, "24 h"]];
const cards = new Map();
let spanS = 300;

export function mountCards() {
  put(byId("span"), SPANS.map(([value, words]) => h("button", {
    type: "button", "aria-pressed": String(value === spanS), "data-span": value, onclick: () => choose(value),
  }, words)));
  new ResizeObserver(drawCharts).observe(byId("card-list"));
}

function choose(value) {
  spanS = value;
  for (const button of byId("span").children) set(button, { "aria-pressed": String(Number(button.dataset.span) === value) });
  loadPast();
}

/** Asks for the past; what came meanwhile is kept. */
export async function loadPast() {
  const wanted = spanS;
  let answer;
  try {
    answer = await ask("/v1/use", { span_s: wanted });
  } catch {
    return; // The stream says that the connection is lost.
  }
  if (wanted !== spanS) return;
  for (const device of answer.devices) {
    const card = cards.get(device.uuid);
    if (!card) continue;
    const past = fromColumns(device);
    const last = past.at(-1)?.at ?? 0;
    card.points = [...past, ...card.points.filter((p) => p.at > last)];
  }
  drawCharts();
}

/** Takes over the newest figures. */
export function drawCards() {
  const list = byId("card-list");
  if (!state.devices?.length) return put(list, h("p", { class: "nothing muted" }, "No card and no memory was found."));
  for (const device of state.devices) {
    if (!cards.has(device.uuid)) cards.set(device.uuid, makeCard(device));
    drawCard(cards.get(device.uuid), device);
  }
  const shown = new Set(state.devices.map((d) => d.uuid));
  for (const uuid of [...cards.keys()]) if (!shown.has(uuid)) cards.delete(uuid);
  arrange(list, state.devices.map((d) => cards.get(d.uuid).element));
}

/** Moves the charts on, whether or not anything changed. */
export function advanceCards() {
  for (const device of state.devices ?? []) {
    const card = cards.get(device.uuid);
    if (card?.chart) append(card.points, fromDevice(device, state.atS), spanS);
  }
  drawCharts();
}

function makeCard(device) {
  const chart = device.uuid === "cpu" ? null : makeChart(device.label);
  const head = h("header"), figures = h("div", { class: "figures" }), legend = h("ul", { class: "legend" });
  const meter = chart ? null : h("div", { class: "meter" }, h("span"));
  const element = h("article", { class: chart ? "card" : "card host", "data-testid": "card", "data-device": device.label }, head, figures, chart?.element ?? meter, legend);
  return { element, chart, meter, head, figures, legend, points: [], device };
}

function drawCard(card, device) {
  card.device = device;
  set(card.element, { "aria-label": `${device.label} ${device.name ?? ""}` });
  const title = [device.label, device.name, device.simulated].join();
  if (card.title !== title) {
    card.title = title;
    put(card.head, h("h3", {}, h("span", { class: "device-label" }, device.label), " ", h("span", { class: "device-name", title: device.name }, shortName(device.name))),
      device.simulated ? h("span", { class: "badge", title: "Invented figures: no such card is in this machine", "data-testid": "simulated" }, "simulated") : null);
  }
  drawFigures(card, device);
  if (card.meter) card.meter.firstChild.style.setProperty("width", `${share(device)}%`);
  const rows = legendRows(device);
  const text = JSON.stringify(rows);
  if (card.rows === text) return;
  card.rows = text;
  put(card.legend, rows.map(legendRow));
}

/** Without the maker's names, which all of them share. */
function shortName(name) {
  return name?.replace(/^NVIDIA (GeForce )?/, "") ?? "unknown device";
}

function drawFigures(card, device) {
  const wanted = [
    ["in use", `${gib(device.used_bytes)} of ${gib(device.total_bytes)} GiB`],
    ["free", size(device.free_bytes)],
    ...(card.chart ? [["busy", rounded(device.utilisation_pct, "%")], ["temp", rounded(device.temperature_c, "°C")]] : []),
  ];
  if (!card.figures.children.length) put(card.figures, wanted.map(([name]) => h("span", { class: "figure" }, h("b"), h("small", {}, name))));
  wanted.forEach(([, value], n) => {
    const figure = card.figures.children[n];
    say(figure.firstChild, value);
    figure.classList.toggle("unknown", value === "unknown");
  });
}

function share(device) {
  return known(device.used_bytes) && device.total_bytes ? Math.min(100, 100 * device.used_bytes / device.total_bytes) : 0;
}

/** What stands beside the colours: leases, what is kept, other programs. */
function legendRows(device) {
  const programs = device.foreign.slice(0, 4).map((p) => ({ kind: "program", name: p.name ?? `process ${p.pid}`, bytes: p.used_bytes }));
  const rest = device.foreign.length - programs.length;
  return [
    ...device.leases.map((l) => ({ kind: "lease", name: l.model, bytes: l.bytes, note: l.state === "resident" ? l.purpose : l.state, state: l.state })),
    ...device.reservations.map((r) => ({ kind: "kept", name: `kept for ${r.purpose}`, bytes: r.bytes, note: r.by ? `by ${r.by}` : null })),
    ...(device.uuid === "cpu" ? [] : [{ kind: "foreign", name: "other programs and driver", bytes: device.foreign_bytes, note: rest > 0 ? `and ${plural(rest, "more program")}` : null }, ...programs]),
  ];
}

function legendRow(row) {
  return h("li", { class: `legend-row ${row.kind} ${row.state ?? ""}`, "data-testid": "legend-row", "data-kind": row.kind, "data-name": row.name },
    h("span", { class: "swatch", "aria-hidden": "true", style: row.kind === "lease" ? { "--hue": hueOf(row.name) } : {} }),
    h("span", { class: "legend-name" }, row.name), row.note ? h("em", {}, row.note) : null, h("span", { class: "number" }, size(row.bytes)));
}

function drawCharts() {
  for (const card of cards.values()) {
    if (!card.chart || !card.element.isConnected) continue;
    const device = card.device;
    const models = [...new Set(card.points.flatMap((p) => p.leases.map((l) => l.model)))];
    const decisions = state.decisions.filter((d) => d.device === device.label).map((d) => ({ kind: d.kind, atS: seconds(d.at) }));
    draw(card.chart, { points: card.points, models, totalBytes: device.total_bytes, nowS: state.atS, spanS, decisions });
  }
}
