// Joins the parts: what the server tells goes into the state, and the views draw it.

import { advanceCards, drawCards, loadPast, mountCards } from "/static/js/cards.js";
import { drawDecisions, mountDecisions } from "/static/js/decisions.js";
import { byId, icon, put, say } from "/static/js/dom.js";
import { duration, known, size } from "/static/js/format.js";
import { drawIncidents, tick } from "/static/js/incidents.js";
import { follow } from "/static/js/live.js";
import { drawLog, forgetLog, mountLog } from "/static/js/log.js";
import { drawJobs, drawModels, drawQueue, drawReadiness, drawWatches } from "/static/js/rows.js";
import { state, take } from "/static/js/state.js";
import { mountWhy } from "/static/js/why.js";

const VIEWS = {
  bot: drawBot, devices: drawCards, models: drawModels, queues: drawQueue, watches: drawWatches, incidents: drawIncidents,
  jobs: drawJobs, jobs_error: drawJobs, readiness: drawReadiness, decisions: drawDecisions, log: drawLog,
};
const THEMES = { auto: "dark", dark: "light", light: "auto" };
const THEME_ICONS = { auto: "half", dark: "moon", light: "sun" };

function told(event) {
  const changed = take(event);
  if (event.full) forgetLog();
  for (const draw of new Set(changed.map((name) => VIEWS[name]))) draw();
  advanceCards();
  tick();
  drawTitle();
  if (event.full) {
    byId("page").removeAttribute("aria-busy");
    loadPast();
  }
}

function connectionChanged(word) {
  const live = word === "live";
  if (state.connected === live && byId("lost").textContent === (live ? "" : word)) return;
  state.connected = live;
  const pill = byId("live-pill"), lost = byId("lost");
  pill.className = `pill ${live ? "good" : "bad"}`;
  say(pill.lastChild, live ? "live" : "reconnecting…");
  lost.hidden = live;
  say(lost, live ? "" : word);
  byId("page").classList.toggle("stale", !live);
}

function drawBot() {
  const bot = state.bot;
  const facts = [
    known(bot.latency_s) ? `Discord ${Math.round(bot.latency_s * 1000)} ms` : bot.ready ? "Discord connected" : null,
    known(bot.loop_lag_p99_s) ? `loop ${duration(bot.loop_lag_p99_s)} late` : null,
    known(bot.rss_bytes) ? size(bot.rss_bytes) : null,
  ].filter(Boolean);
  say(byId("name"), bot.name);
  say(byId("facts"), facts.join(" · ") || "GPU memory, live");
}

/** The tab's title says what one would look for: open incidents and how full the cards are. */
function drawTitle() {
  const open = state.incidents.some((i) => !i.closed_at) ? "(!) " : "";
  const cards = (state.devices ?? []).filter((d) => d.uuid !== "cpu" && known(d.used_bytes))
    .map((d) => `${d.label} ${Math.round(100 * d.used_bytes / d.total_bytes)} %`);
  const title = `${open}${[state.bot?.name ?? "Danzar", ...cards.slice(0, 4)].join(" · ")}`;
  if (document.title !== title) document.title = title;
}

function mountTheme() {
  const button = byId("theme");
  const current = () => document.documentElement.dataset.theme ?? "auto";
  const show = () => {
    put(button, icon(THEME_ICONS[current()]));
    button.title = `Appearance: ${current() === "auto" ? "as the system's" : current()}`;
    button.setAttribute("aria-label", `${button.title}; change to ${THEMES[current()]}`);
  };
  button.addEventListener("click", () => {
    const next = THEMES[current()];
    if (next === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    try { localStorage.setItem("danzar-theme", next); } catch { /* private windows keep nothing */ }
    show();
  });
  show();
}

mountTheme();
mountCards();
mountDecisions();
mountWhy();
mountLog();
follow(told, connectionChanged);
