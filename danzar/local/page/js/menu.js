// The menu of one message: reply, copy, delete, reactions, and the bot's own message commands.

import { h, icon, toast } from "/static/js/dom.js";
import { act } from "/static/js/net.js";
import { react } from "/static/js/messages.js";
import { EPHEMERAL, state } from "/static/js/state.js";

const REACTIONS = ["👍", "👀", "🎯", "😂"];
let open = null;

export function closeMenu() {
  open?.dispatchEvent(new Event("close-menu"));
}

/** Shows the menu at a place of the window; reply(message) starts an answer. */
export function openMenu(message, place, reply) {
  closeMenu();
  const back = document.activeElement;
  const item = (iconName, label, run) => h("button", { type: "button", role: "menuitem", class: "menu-item", onclick: () => { close(); run(); } },
    icon(iconName), label);
  const ids = { user_id: state.me.id, channel_id: message.channel_id, message_id: message.id };
  const commands = state.commands.menu.map((command) =>
    item("spark", command.name, () => act("menu", { ...ids, command_id: command.id })));
  const own = message.author.id === state.me.id || state.me.operator || message.flags & EPHEMERAL;
  const menu = h("div", { class: "menu", role: "menu", "aria-label": "Message", "data-testid": "message-menu" },
    h("div", { class: "menu-row" }, REACTIONS.map((emoji) =>
      h("button", { type: "button", role: "menuitem", "aria-label": `React with ${emoji}`, onclick: () => { close(); react(message, emoji); } }, emoji))),
    commands.length ? [commands, h("hr", {})] : null,
    item("reply", "Reply", () => reply(message)),
    item("copy", "Copy text", () => copy(message.content)),
    own ? item("trash", "Delete", () => act("delete", ids)) : null);

  function close() {
    menu.remove();
    removeEventListener("pointerdown", outside, true);
    open = null;
    back?.focus?.();
  }
  function outside(event) {
    if (!menu.contains(event.target)) close();
  }
  menu.addEventListener("close-menu", close);
  menu.addEventListener("keydown", (event) => {
    const items = [...menu.querySelectorAll("[role=menuitem]")];
    const at = items.indexOf(document.activeElement);
    if (event.key === "Escape") { event.stopPropagation(); close(); }
    else if (event.key === "ArrowDown") items[(at + 1) % items.length].focus();
    else if (event.key === "ArrowUp") items[(at - 1 + items.length) % items.length].focus();
    else return;
    event.preventDefault();
  });
  document.body.append(menu);
  const { offsetWidth: width, offsetHeight: height } = menu;
  menu.style.left = `${Math.max(8, Math.min(place.x - (place.x > width ? width : 0), innerWidth - width - 8))}px`;
  menu.style.top = `${Math.max(8, Math.min(place.y, innerHeight - height - 8))}px`;
  open = menu;
  menu.querySelector(".menu-item").focus();
  addEventListener("pointerdown", outside, true);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied.");
  } catch {
    toast("The browser did not allow copying.");
  }
}
