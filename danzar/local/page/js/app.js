// Joins the parts: what the server tells goes into the state, and the views draw it.

import { applyTheme, drawBar } from "/static/js/bar.js";
import { mountComposer, refreshComposer, startReply, stopReply } from "/static/js/composer.js";
import { byId } from "/static/js/dom.js";
import { drawFrames } from "/static/js/frames.js";
import { closeMenu, openMenu } from "/static/js/menu.js";
import {
  appendMessage, appendNotice, drawAll, followNewest, keepPresses, onMessageActions, redrawMessage, removeMessage, toBottom,
} from "/static/js/messages.js";
import { openModal } from "/static/js/modal.js";
import { isOwn, openFeed } from "/static/js/net.js";
import { drawPanel } from "/static/js/panel.js";
import { loadCommands } from "/static/js/picker.js";
import { drawRail } from "/static/js/rail.js";
import { addMessage, changeMessage, changeReaction, currentChannel, dropMessage, greet, state, visibleChannels } from "/static/js/state.js";
import { drawTyping, sawTyping } from "/static/js/typing.js";
import { emptyState } from "/static/js/welcome.js";

const COMMANDS_AFTER_MS = 1500;

function drawEverything() {
  drawRail(openChannel, becomePerson);
  drawBar();
  drawFrames();
  refreshComposer();
  drawAll();
  drawPanel();
  drawTyping();
}

function openChannel(channelId) {
  state.current = channelId;
  currentChannel().unread = 0;
  stopReply();
  byId("shell").classList.remove("rail-open");
  drawEverything();
  loadCommands();
  byId("composer-input").focus();
}

function becomePerson(person) {
  state.me = person;
  if (!visibleChannels().some((c) => c.id === state.current)) state.current = visibleChannels().at(-1).id;
  openChannel(state.current);
}

function redrawQuoting(messageId) {
  for (const message of currentChannel()?.messages.values() ?? []) {
    if (message.message_reference?.message_id === messageId) redrawMessage(message.channel_id, message.id);
  }
}

const HANDLERS = {
  hello(hello) {
    // Only now: what is written before it is known who writes, and where, could not be sent.
    if (!state.ready) mountComposer();
    greet(hello);
    drawEverything();
    loadCommands();
  },
  bot(bot) {
    state.bot.online = bot.online;
    drawRail(openChannel, becomePerson);
    drawBar();
    if (byId("log").querySelector(".empty")) drawAll();
    // The bot registers its commands while it starts.
    if (bot.online) setTimeout(loadCommands, COMMANDS_AFTER_MS);
  },
  status(status) {
    state.status = status;
    drawPanel();
  },
  MESSAGE_CREATE(message) {
    addMessage(message);
    appendMessage(message);
    drawTyping();
    if (message.channel_id !== state.current) drawRail(openChannel, becomePerson);
  },
  MESSAGE_UPDATE(message) {
    changeMessage(message);
    redrawMessage(message.channel_id, message.id);
    drawTyping();
  },
  MESSAGE_DELETE(event) {
    dropMessage(event.channel_id, event.id);
    removeMessage(event.id);
    redrawQuoting(event.id);
  },
  MESSAGE_DELETE_BULK(event) {
    for (const id of event.ids) HANDLERS.MESSAGE_DELETE({ ...event, id });
  },
  MESSAGE_REACTION_ADD(event) {
    const id = changeReaction(event, true);
    if (id) redrawMessage(event.channel_id, id);
  },
  MESSAGE_REACTION_REMOVE(event) {
    const id = changeReaction(event, false);
    if (id) redrawMessage(event.channel_id, id);
  },
  TYPING_START: sawTyping,
  async MODAL(form) {
    if (form.user_id === state.me.id && (await isOwn(form.id))) openModal(form);
  },
  NOTICE(notice) {
    if (notice.channel_id === state.current && notice.user_id === state.me.id) appendNotice(notice.text);
  },
};

function connectionChanged(word) {
  state.connected = word === "open";
  const banner = byId("banner");
  banner.hidden = state.connected;
  banner.textContent = state.connected ? "" : "The connection to the local server was lost. Trying again…";
  if (state.ready) drawBar();
}

applyTheme();
onMessageActions({ reply: startReply, menu: (message, place) => openMenu(message, place, startReply), empty: emptyState });
byId("jump").addEventListener("click", toBottom);
followNewest();
keepPresses();
addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  closeMenu();
  byId("shell").classList.remove("rail-open", "panel-open");
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (state.ready) drawBar(); });
openFeed((kind, data) => HANDLERS[kind]?.(data), connectionChanged);
