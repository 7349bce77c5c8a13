// Who is typing in the open channel.

import { byId, h } from "/static/js/dom.js";
import { state, userName } from "/static/js/state.js";

const SHOWN_MS = 10_000;

export function sawTyping(event) {
  if (event.user_id === state.me?.id) return;
  state.typing.set(`${event.channel_id}:${event.user_id}`, Date.now());
  drawTyping();
  setTimeout(drawTyping, SHOWN_MS + 50);
}

export function drawTyping() {
  const oldest = Date.now() - SHOWN_MS;
  const names = [];
  for (const [key, at] of state.typing) {
    const [channelId, userId] = key.split(":");
    if (at < oldest) state.typing.delete(key);
    else if (channelId === state.current) names.push(userName(userId));
  }
  const text = names.length ? `${names.join(" and ")} ${names.length > 1 ? "are" : "is"} typing` : "";
  const box = byId("typing");
  if (box.dataset.text === text) return;
  box.dataset.text = text;
  box.replaceChildren(...(text ? [h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i")), text] : []));
}
