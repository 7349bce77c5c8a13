// What an empty channel says: what can be tried here, each one click away.

import { h } from "/static/js/dom.js";
import { fill } from "/static/js/composer.js";
import { attach } from "/static/js/frames.js";
import { channelTitle, currentChannel, state } from "/static/js/state.js";

export function emptyState() {
  const channel = currentChannel();
  const direct = channel.personId !== null;
  const to = direct ? "" : `@${state.bot.name} `;
  const frame = state.frames.find((name) => name.includes("health")) ?? state.frames[0];
  const tries = [
    ["Ask a question", `${to}What can you do?`, null],
    frame ? ["Post a frame and ask", `${to}Is my health low?`, frame] : null,
    ["See the cards", "!gpu status", null],
    ["Let it watch the sample clip", "!watch start sample", null],
  ].filter(Boolean);
  return h("section", { class: "empty", "data-testid": "empty" },
    h("h2", {}, direct ? `A direct line to ${state.bot.name}` : `# ${channelTitle(channel)}`),
    h("p", {}, state.bot.online
      ? "Nothing was said here yet. Everything stays on this machine."
      : `${state.bot.name} is not connected yet. What you write now waits here, but it is not answered later.`),
    h("p", { class: "try" }, "Try:"),
    h("div", { class: "tries" }, tries.map(([title, text, picture]) => h("button", {
      type: "button", class: "suggestion", "data-testid": "suggestion",
      onclick: async () => { fill(text); if (picture) await attach(picture); },
    }, h("b", {}, title), h("span", {}, text, picture ? h("em", {}, ` + ${picture}`) : null)))));
}
