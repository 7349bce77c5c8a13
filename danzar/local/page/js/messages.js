// The messages of the open channel: added, changed in place as edits arrive, and removed.

import { byId, h, icon, toast } from "/static/js/dom.js";
import { renderComponents, renderEmbeds } from "/static/js/embeds.js";
import { markdown } from "/static/js/markdown.js";
import { renderAttachments } from "/static/js/media.js";
import { act } from "/static/js/net.js";
import { currentChannel, EPHEMERAL, LOADING, maySee, state, userName } from "/static/js/state.js";

const GROUP_MS = 5 * 60 * 1000;
const LIVE_MS = 1600;
const NEAR_BOTTOM_PX = 120;
const hooks = { reply: () => {}, menu: () => {}, empty: () => null };
const fading = new Map();
// While a pointer is down in a message, drawing it anew would take the click's target away.
const held = { message: null, waits: null };
let pinned = true;

/** Sets what a message's buttons call: reply(message), menu(message, anchor), empty(). */
export function onMessageActions(given) {
  Object.assign(hooks, given);
}

/** Draws the open channel anew. */
export function drawAll() {
  const log = byId("log");
  const shown = [...(currentChannel()?.messages.values() ?? [])].filter(maySee);
  log.setAttribute("aria-live", "off");
  log.replaceChildren();
  if (!shown.length) log.append(hooks.empty());
  let previous = null;
  for (const message of shown) {
    log.append(render(message, previous));
    previous = message;
  }
  log.setAttribute("aria-live", "polite");
  toBottom();
}

export function appendMessage(message) {
  if (message.channel_id !== state.current || !maySee(message)) return;
  const log = byId("log");
  log.querySelector(".empty")?.remove();
  const last = log.lastElementChild;
  const previous = last?.dataset.messageId ? currentChannel().messages.get(last.dataset.messageId) : null;
  log.append(render(currentChannel().messages.get(message.id), previous));
  while (log.childElementCount > 400) log.firstElementChild.remove();
  if (pinned || message.author.id === state.me.id) toBottom();
  else byId("jump").hidden = false;
}

export function redrawMessage(channelId, messageId) {
  const old = find(messageId);
  const message = state.channels.get(channelId)?.messages.get(messageId);
  if (!old || !message) return;
  if (held.message === messageId) {
    held.waits = channelId;
    return;
  }
  const before = old.previousElementSibling?.dataset.messageId;
  const fresh = render(message, before ? currentChannel().messages.get(before) : null);
  // Moving the focus would throw a keyboard user out of the message that is still being written.
  const focused = old.contains(document.activeElement) ? document.activeElement.dataset.testid : null;
  old.replaceWith(fresh);
  if (focused) fresh.querySelector(`[data-testid="${CSS.escape(focused)}"]`)?.focus();
  if (message.edited_timestamp && message.author.id === state.bot.id) showLive(messageId);
}

export function removeMessage(messageId) {
  const old = find(messageId);
  if (!old) return;
  old.remove();
  if (!byId("log").childElementCount) byId("log").append(hooks.empty());
}

/** A line from the page itself, such as that a command was not answered. */
export function appendNotice(text) {
  byId("log").append(h("div", { class: "notice" }, text));
  toBottom();
}

export function toBottom() {
  const scroller = byId("scroller");
  pinned = true;
  scroller.scrollTop = scroller.scrollHeight;
  byId("jump").hidden = true;
}

/** Keeps the newest message in sight while pictures load and texts grow, unless the reader went up. */
export function followNewest() {
  const scroller = byId("scroller");
  scroller.addEventListener("scroll", () => {
    pinned = isNearBottom();
    if (pinned) byId("jump").hidden = true;
  }, { passive: true });
  const observer = new ResizeObserver(() => { if (pinned) scroller.scrollTop = scroller.scrollHeight; });
  observer.observe(byId("log"));
  observer.observe(scroller);
}

/** Lets a press on a message end in a click although edits of that message arrive meanwhile. */
export function keepPresses() {
  byId("log").addEventListener("pointerdown", (event) => {
    held.message = event.target.closest("[data-message-id]")?.dataset.messageId ?? null;
  });
  // The click comes right after the pointer's last event.
  for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => setTimeout(letGo));
}

function letGo() {
  const { message, waits } = held;
  Object.assign(held, { message: null, waits: null });
  if (waits !== null) redrawMessage(waits, message);
}

function isNearBottom() {
  const { scrollTop, scrollHeight, clientHeight } = byId("scroller");
  return scrollHeight - scrollTop - clientHeight < NEAR_BOTTOM_PX;
}

/** Marks a message as being written, until no edit came for a while. */
function showLive(messageId) {
  find(messageId)?.classList.add("live");
  clearTimeout(fading.get(messageId));
  fading.set(messageId, setTimeout(() => {
    fading.delete(messageId);
    find(messageId)?.classList.remove("live");
  }, LIVE_MS));
}

function find(messageId) {
  return byId("log").querySelector(`[data-message-id="${messageId}"]`);
}

function authorName(message) {
  return message.author.global_name ?? message.author.username;
}

function continues(message, previous) {
  return previous && previous.author.id === message.author.id && !message.message_reference
    && !message.interaction_metadata && !(message.flags & EPHEMERAL) && !(previous.flags & EPHEMERAL)
    && new Date(message.timestamp) - new Date(previous.timestamp) < GROUP_MS;
}

function render(message, previous) {
  const bot = message.author.bot === true;
  const classes = ["message", bot ? "from-bot" : "from-person", message.author.id === state.me.id ? "own" : "",
    continues(message, previous) ? "continued" : "", message.flags & EPHEMERAL ? "ephemeral" : "", mentionsMe(message) ? "mentioned" : ""];
  const article = h("article", {
    class: classes.filter(Boolean).join(" "), "data-testid": "message", "data-author": authorName(message),
    "data-message-id": message.id, "data-edits": message.edits ?? 0, "aria-label": `${authorName(message)} wrote`,
  },
    context(message),
    h("div", { class: "tile", "aria-hidden": "true", style: { "--hue": hue(message.author) } }, bot ? icon("spark") : authorName(message).slice(0, 1)),
    h("div", { class: "body" }, header(message, bot), body(message), reactions(message), foot(message)),
    tools(message));
  article.addEventListener("contextmenu", (event) => {
    if (event.target.closest("a, img, pre")) return;
    event.preventDefault();
    hooks.menu(message, { x: event.clientX, y: event.clientY });
  });
  return article;
}

function mentionsMe(message) {
  // A reply pings too, but marking every answer would mark nothing.
  return message.mention_everyone || new RegExp(`<@!?${state.me.id}>`).test(message.content);
}

function hue(author) {
  if (author.bot) return "var(--accent)";
  return `var(--person-${state.people.findIndex((p) => p.id === author.id) % 2 === 0 ? "a" : "b"})`;
}

function context(message) {
  const used = message.interaction_metadata;
  if (used) {
    const what = used.name ? [h("span", { class: "command-name" }, used.command_type === 3 ? used.name : `/${used.name}`)] : ["a button"];
    return h("div", { class: "context" }, `${userName(used.user.id)} used `, what);
  }
  if (!message.message_reference) return null;
  const quoted = message.referenced_message;
  if (!quoted) return h("div", { class: "context" }, "In reply to a deleted message");
  const said = quoted.content.replace(/<@!?(\d+)>/g, (_, id) => `@${userName(id)}`).replace(/[*_`~|]+/g, "").slice(0, 120) || "a picture";
  return h("button", { class: "context quoted", type: "button", onclick: () => reveal(quoted.id) },
    icon("reply"), h("b", {}, authorName(quoted)), h("span", {}, said));
}

function reveal(messageId) {
  const target = find(messageId);
  if (!target) return toast("That message is no longer shown.");
  target.scrollIntoView({ block: "center", behavior: "smooth" });
  target.classList.add("flash");
  setTimeout(() => target.classList.remove("flash"), 1500);
}

function header(message, bot) {
  const when = new Date(message.timestamp);
  const edited = message.edited_timestamp ? ` · edited ${new Date(message.edited_timestamp).toLocaleTimeString()}` : "";
  return h("header", { class: "who" }, h("span", { class: "name" }, authorName(message)), bot ? h("span", { class: "chip" }, "bot") : null,
    h("time", { datetime: message.timestamp, title: when.toLocaleString() + edited }, when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })));
}

function body(message) {
  if (message.flags & LOADING) return h("p", { class: "thinking" }, `${authorName(message)} is thinking`, h("i", {}), h("i", {}), h("i", {}));
  const press = (customId, values) => act("component", {
    user_id: state.me.id, channel_id: message.channel_id, message_id: message.id, custom_id: customId, values,
  });
  return [
    message.content ? h("div", { class: "content", "data-testid": "content" }, markdown(message.content)) : null,
    renderAttachments(message), renderEmbeds(message.embeds), renderComponents(message.components, press),
  ];
}

function reactions(message) {
  if (!message.reactions?.length) return null;
  return h("div", { class: "reactions" }, message.reactions.map((r) =>
    h("button", { type: "button", class: "reaction", "aria-label": `${r.emoji.name}, ${r.count}`, onclick: () => react(message, r.emoji.name) }, `${r.emoji.name} ${r.count}`)));
}

export function react(message, emoji) {
  return act("reactions", { user_id: state.me.id, channel_id: message.channel_id, message_id: message.id, emoji });
}

function foot(message) {
  if (!(message.flags & EPHEMERAL)) return null;
  const dismiss = () => act("delete", { user_id: state.me.id, channel_id: message.channel_id, message_id: message.id });
  return h("p", { class: "only-you" }, "Only you can see this · ", h("button", { type: "button", class: "text-button", onclick: dismiss }, "Dismiss"));
}

function tools(message) {
  const tool = (name, label, act) => h("button", { type: "button", class: "tool", "aria-label": label, title: label, onclick: act }, icon(name));
  return h("div", { class: "tools" },
    tool("reply", "Reply", () => hooks.reply(message)),
    tool("more", "More for this message", (event) => {
      const box = event.currentTarget.getBoundingClientRect();
      hooks.menu(message, { x: box.right, y: box.bottom + 4 });
    }));
}

