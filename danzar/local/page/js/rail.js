// Channels on the left, and who sits at the page.

import { byId, h, put } from "/static/js/dom.js";
import { channelTitle, state, visibleChannels } from "/static/js/state.js";

/** Draws the rail; choose(channelId) opens a channel, become(person) changes who is speaking. */
export function drawRail(choose, become) {
  const channels = visibleChannels();
  const row = (channel) => h("button", {
    type: "button", class: "channel", "data-testid": `channel-${channel.personId === null ? channel.name : "direct"}`,
    "aria-current": channel.id === state.current ? "page" : null, onclick: () => choose(channel.id),
  },
    channel.personId === null ? h("span", { class: "hash", "aria-hidden": "true" }, "#") : h("span", { class: state.bot.online ? "dot on" : "dot", "aria-hidden": "true" }),
    h("span", { class: "channel-name" }, channelTitle(channel)),
    channel.unread ? h("span", { class: "unread", "aria-label": `${channel.unread} unread` }, Math.min(channel.unread, 99)) : null);
  put(byId("rail"),
    h("div", { class: "brand" }, h("img", { src: "/static/icon.svg", alt: "", width: 30, height: 30 }),
      h("div", {}, h("strong", {}, state.guild?.name ?? "Danzar"), h("small", {}, "a local server, on this machine"))),
    h("h2", { class: "rail-title" }, "Channels"), channels.filter((c) => c.personId === null).map(row),
    h("h2", { class: "rail-title" }, "Direct"), channels.filter((c) => c.personId !== null).map(row),
    h("div", { class: "spring" }), identity(become));
}

function identity(become) {
  const choices = state.people.map((person, index) => h("button", {
    type: "button", class: "person", "aria-pressed": String(person.id === state.me.id), "data-testid": `person-${person.name}`,
    onclick: () => become(person),
  },
    h("span", { class: "tile small", "aria-hidden": "true", style: { "--hue": `var(--person-${index % 2 === 0 ? "a" : "b"})` } }, person.name.slice(0, 1)),
    h("span", {}, person.name, h("small", {}, person.operator ? "operator" : "no role"))));
  return h("div", { class: "identity", role: "group", "aria-label": "Speak as" }, h("h2", { class: "rail-title" }, "Speak as"), choices);
}
