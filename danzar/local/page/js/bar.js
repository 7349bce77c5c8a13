// The bar above the messages: channel, connection, appearance, panel.

import { byId, h, icon } from "/static/js/dom.js";
import { channelTitle, currentChannel, state } from "/static/js/state.js";

const THEMES = { auto: "dark", dark: "light", light: "auto" };

export function applyTheme() {
  const theme = read("theme") ?? "auto";
  if (theme === "auto") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.setAttribute("data-theme", theme);
}

export function drawBar() {
  const channel = currentChannel();
  const theme = read("theme") ?? "auto";
  const [mood, words] = connection();
  byId("bar").replaceChildren(
    h("button", { type: "button", class: "tool only-narrow", "aria-label": "Channels", onclick: () => toggle("rail-open") }, icon("menu")),
    h("div", { class: "bar-title" },
      h("h1", {}, channel ? (channel.personId === null ? `# ${channel.name}` : channelTitle(channel)) : "…"),
      h("p", {}, channel ? channel.topic ?? "Only you and the bot" : "")),
    h("span", { class: `pill ${mood}`, "data-testid": "connection", role: "status" }, h("i", {}), words),
    h("button", { type: "button", class: "tool", "aria-label": `Appearance: ${theme}; change to ${THEMES[theme]}`, title: `Appearance: ${theme}`, "data-testid": "theme",
      onclick: () => { write("theme", THEMES[theme]); applyTheme(); drawBar(); } }, icon(isDark() ? "moon" : "sun")),
    h("button", { type: "button", class: "tool", "aria-label": "Show or hide the cards", title: "Cards", "data-testid": "toggle-panel", onclick: () => toggle("panel-shut", "panel-open") }, icon("panel")));
}

function connection() {
  if (!state.connected) return ["bad", "reconnecting"];
  return state.bot.online ? ["good", `${state.bot.name} is here`] : ["waiting", `${state.bot.name} is offline`];
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

/** On wide screens the panel is there until it is shut; on narrow ones it is away until it is opened. */
function toggle(wide, narrow = wide) {
  const shell = byId("shell");
  const name = matchMedia("(max-width: 1000px)").matches ? narrow : wide;
  shell.classList.toggle(name);
}

function read(key) {
  try { return localStorage.getItem(key); } catch { return null; }
}

function write(key, value) {
  try { localStorage.setItem(key, value); } catch { /* private windows keep nothing */ }
}
