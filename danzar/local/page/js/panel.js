// The cards: what each device holds, who holds it, and what is booked.

import { byId, formatSize, h, icon, put } from "/static/js/dom.js";
import { decisionRows, modelRow } from "/static/js/panel_models.js";
import { state } from "/static/js/state.js";

const HUES = 6;
// Models keep the colour that they first had.
const seen = new Map();

const slots = { head: h("header", { class: "panel-head" }), devices: h("div"), rest: h("div") };
const cards = new Map();

export function drawPanel() {
  const status = state.status;
  const panel = byId("panel");
  if (!slots.head.isConnected) panel.replaceChildren(slots.head, slots.devices, slots.rest);
  put(slots.head, icon("chip"), h("h2", {}, "Cards"), latency(status));
  drawDevices(status?.devices ?? []);
  put(slots.rest, !status ? waiting() : [
    section("Models", [...(status.models ?? [])].sort((a, b) => Number(!a.device) - Number(!b.device)).map(modelRow), "No model is configured."),
    section("Watching", (status.watches ?? []).map(watch), null),
    section("Alerts", [...(status.alerts ?? [])].reverse().slice(0, 6).map(alert), null),
    section("What happened, and why", decisionRows(status.decisions ?? []), null),
  ]);
}

/** Changes the cards in place: a bar that is replaced each second could not glide to its new value. */
function drawDevices(devices) {
  const ids = devices.map((d) => d.uuid);
  if (ids.join() !== [...cards.keys()].join()) {
    cards.clear();
    for (const id of ids) {
      const card = { top: h("header"), bar: h("div", { class: "meter", "data-testid": "device-bar", role: "img" }), rest: h("div") };
      cards.set(id, { ...card, section: h("section", { class: "device" }, card.top, card.bar, card.rest) });
    }
    put(slots.devices, [...cards.values()].map((c) => c.section));
  }
  for (const reading of devices) drawDevice(cards.get(reading.uuid), reading);
}

function waiting() {
  const text = !state.hasStatus ? "This server was started without the address of the bot's status."
    : state.status === null ? "The bot's status does not answer. It shows here as soon as the bot is up." : "Waiting for the first reading…";
  return h("p", { class: "muted panel-wait" }, text);
}

function latency(status) {
  const seconds = status?.bot?.latency_s;
  return seconds === null || seconds === undefined ? null : h("span", { class: "muted", title: "Gateway latency of the bot" }, `${Math.round(seconds * 1000)} ms`);
}

/** Adds up the parts of one card. What is unknown stays null and takes no room in the bar. */
export function parts(device) {
  const leases = (device.leases ?? []).map((l) => ({ kind: "lease", name: l.model, purpose: l.purpose ?? l.model, state: l.state, bytes: l.bytes ?? 0 }));
  const leased = sum(leases.map((l) => l.bytes));
  // The part of a reservation that its own model does not fill yet.
  const reservations = (device.reservations ?? []).map((r) => ({
    kind: "reserved", name: r.purpose, tone: leases.find((l) => l.purpose === r.purpose)?.name ?? r.purpose,
    by: r.by, bytes: Math.max(0, r.bytes - sum(leases.filter((l) => l.purpose === r.purpose).map((l) => l.bytes))),
  }));
  const foreign = device.foreign_bytes ?? 0;
  const resident = sum(leases.filter((l) => l.state !== "claimed").map((l) => l.bytes));
  const rest = device.used_bytes === null || device.used_bytes === undefined ? 0 : Math.max(0, device.used_bytes - resident - foreign);
  const other = rest > device.total_bytes * 0.01 ? rest : 0;
  const listed = [
    ...leases, ...reservations,
    { kind: "other", name: "driver and rest", bytes: other }, { kind: "foreign", name: "other programs", bytes: foreign },
  ].filter((p) => p.bytes > 0);
  const free = Math.max(0, device.total_bytes - leased - sum(listed.filter((p) => p.kind !== "lease").map((p) => p.bytes)));
  return [...listed, { kind: "free", name: "free", bytes: free }];
}

function drawDevice(card, reading) {
  const all = parts(reading);
  card.section.setAttribute("aria-label", reading.label);
  card.bar.setAttribute("aria-label", `${reading.label}: ${all.map((p) => `${p.name} ${formatSize(p.bytes)}`).join(", ")}`);
  put(card.top, h("span", { class: "device-label" }, reading.label),
    reading.simulated ? h("span", { class: "badge", title: "Invented figures: no such card is in this machine" }, "simulated") : null,
    h("span", { class: "device-name", title: reading.uuid }, reading.name ?? "unknown device"));
  drawBar(card.bar, all);
  // Host RAM has no legend: its bar says who holds what, and the cards matter more.
  put(card.rest, figures(reading), reading.uuid === "cpu" ? null : [legend(all), foreign(reading.foreign)]);
}

function drawBar(bar, all) {
  const total = sum(all.map((p) => p.bytes)) || 1;
  const keys = all.map((p) => `${p.kind} ${p.name}`);
  const shown = [...bar.children];
  const old = new Map(shown.map((s) => [s.dataset.key, s]));
  const segments = keys.map((key) => old.get(key) ?? h("span", { "data-key": key }));
  if (keys.join() !== shown.map((s) => s.dataset.key).join()) put(bar, segments);
  all.forEach((part, index) => {
    const segment = segments[index];
    segment.className = `seg ${part.kind} ${part.state ?? ""}`;
    segment.title = `${part.name}: ${formatSize(part.bytes)}${part.state ? ` (${part.state})` : ""}`;
    segment.style.setProperty("--seg", tone(part));
    segment.style.setProperty("flex-grow", String(part.bytes / total));
  });
}

function figures(reading) {
  return h("div", { class: "figures" },
    figure("used", `${gib(reading.used_bytes)} of ${gib(reading.total_bytes)} GiB`),
    figure("busy", rounded(reading.utilisation_pct, "%")), figure("temp", rounded(reading.temperature_c, "°C")));
}

function legend(all) {
  return h("ul", { class: "legend" }, all.filter((p) => p.kind !== "free").map((p) =>
    h("li", {}, h("span", { class: `swatch ${p.kind} ${p.state ?? ""}`, style: { "--seg": tone(p) } }),
      h("span", { class: "legend-name" }, p.kind === "reserved" ? `kept for ${p.name}${p.by ? ` by ${p.by}` : ""}` : p.name, p.state && p.state !== "resident" ? h("em", {}, p.state) : null),
      h("span", { class: "number" }, formatSize(p.bytes)))));
}

function foreign(programs) {
  if (!programs?.length) return null;
  return h("ul", { class: "programs" }, programs.slice(0, 4).map((p) =>
    h("li", {}, h("span", {}, p.name ?? `process ${p.pid}`), h("span", { class: "number" }, formatSize(p.used_bytes)))));
}

function figure(name, value) {
  return h("span", { class: `figure ${value === "unknown" ? "unknown" : ""}` }, h("b", {}, value), h("small", {}, name));
}

function rounded(value, unit) {
  return value === null || value === undefined ? "unknown" : `${Math.round(value)} ${unit}`;
}

function watch(reading) {
  return h("li", {}, h("b", {}, `#${reading.id} ${reading.source}`), h("span", { class: "number" }, `${reading.frames} frames${reading.device ? ` · ${reading.device}` : ""}`));
}

function alert(reading) {
  const when = new Date(reading.at);
  return h("li", { class: "alert" }, h("time", { class: "number" }, Number.isNaN(when.getTime()) ? "" : when.toLocaleTimeString()), h("span", {}, reading.text));
}

function section(title, items, empty) {
  if (!items.length && !empty) return null;
  return h("section", { class: "block" }, h("h3", {}, title), items.length ? h("ul", {}, items) : h("p", { class: "muted" }, empty));
}

function tone(part) {
  if (part.kind !== "lease" && part.kind !== "reserved") return "var(--seg-other)";
  const name = part.tone ?? part.name;
  if (!seen.has(name)) seen.set(name, seen.size % HUES);
  return `var(--seg-${seen.get(name)})`;
}

function sum(numbers) {
  return numbers.reduce((a, b) => a + b, 0);
}

function gib(bytes) {
  return bytes === null || bytes === undefined ? "?" : (bytes / 2 ** 30).toFixed(1);
}
