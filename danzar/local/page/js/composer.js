// Writing a message: text, pictures, replies, mentions.

import { byId, formatSize, h, icon, toast } from "/static/js/dom.js";
import { mountFrames } from "/static/js/frames.js";
import { act, mention } from "/static/js/net.js";
import { attachPicker } from "/static/js/picker.js";
import { attachMentions } from "/static/js/mentions.js";
import { channelTitle, currentChannel, state } from "/static/js/state.js";

const MAX_CONTENT = 2000;
const TYPING_EVERY_MS = 8000;
const draft = { files: [], reply: null };
let input, tray, banner, counter, sendButton, sending = false, typedAt = 0;

/** Builds the composer once. */
export function mountComposer() {
  input = h("textarea", { id: "composer-input", "data-testid": "composer", rows: 1, "aria-label": "Message", autocomplete: "off", spellcheck: "true" });
  tray = h("ul", { class: "tray", "aria-label": "Pictures and files to send" });
  banner = h("div", { class: "replying", hidden: true });
  counter = h("span", { class: "counter", "aria-live": "polite" });
  const picker = h("input", { type: "file", multiple: true, hidden: true, "data-testid": "file-input" });
  picker.addEventListener("change", () => { addFiles(picker.files); picker.value = ""; });
  sendButton = h("button", { type: "button", class: "send", "data-testid": "send", "aria-label": "Send", title: "Send (Enter)", onclick: send }, icon("send"));
  const box = h("div", { class: "composer" }, banner, tray, h("div", { class: "composer-row" },
    h("button", { type: "button", class: "tool", "aria-label": "Add pictures or files", title: "Add pictures or files", onclick: () => picker.click() }, icon("plus")),
    input, counter, sendButton));
  const frames = h("div", { class: "frames" });
  byId("dock").replaceChildren(frames, box, picker);
  mountFrames(frames, (file) => { addFiles([file]); input.focus(); });
  attachPicker(input, box);
  attachMentions(input, box);
  input.addEventListener("input", () => { grow(); sayTyping(); });
  input.addEventListener("keydown", onKey);
  input.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) { event.preventDefault(); addFiles(event.clipboardData.files); }
  });
  catchDrops();
}

/** Adapts the placeholder to channel and person. */
export function refreshComposer() {
  const channel = currentChannel();
  if (!channel) return;
  input.placeholder = `Message ${channel.personId === null ? "#" : ""}${channelTitle(channel)} as ${state.me.name}`;
  grow();
}

/** Puts text into the composer, for a suggestion. */
export function fill(text) {
  input.value = text;
  input.focus();
  input.dispatchEvent(new Event("input"));
}

export function startReply(message) {
  draft.reply = message;
  const name = message.author.global_name ?? message.author.username;
  banner.replaceChildren(icon("reply"), h("span", {}, "Replying to ", h("b", {}, name)),
    h("button", { type: "button", class: "tool", "aria-label": "Don't reply", onclick: stopReply }, icon("close")));
  banner.hidden = false;
  input.focus();
}

export function stopReply() {
  draft.reply = null;
  banner.hidden = true;
}

export function addFiles(files) {
  for (const file of files) {
    if (draft.files.length >= state.limits.files) {
      toast(`At most ${state.limits.files} files go into one message.`);
      break;
    }
    if (file.size > state.limits.upload_bytes) {
      toast(`${file.name} has ${formatSize(file.size)}; at most ${formatSize(state.limits.upload_bytes)} can be posted here.`);
      continue;
    }
    const url = file.type.startsWith("image/") ? URL.createObjectURL(file) : null;
    draft.files.push({ file, url });
  }
  drawTray();
}

function drawTray() {
  tray.replaceChildren(...draft.files.map((entry) => h("li", { class: "ticket", "data-testid": "ticket" },
    entry.url ? h("img", { src: entry.url, alt: "" }) : icon("file"),
    h("span", { class: "ticket-name" }, entry.file.name, h("small", {}, formatSize(entry.file.size))),
    h("button", { type: "button", class: "tool", "aria-label": `Remove ${entry.file.name}`, onclick: () => removeFile(entry) }, icon("close")))));
  grow();
}

function removeFile(entry) {
  if (entry.url) URL.revokeObjectURL(entry.url);
  draft.files = draft.files.filter((other) => other !== entry);
  drawTray();
  input.focus();
}

function grow() {
  input.style.height = "auto";
  input.style.height = `${Math.min(input.scrollHeight, 220)}px`;
  const left = MAX_CONTENT - wire(input.value).length;
  counter.textContent = left < 200 ? String(left) : "";
  counter.classList.toggle("over", left < 0);
  sendButton.disabled = sending || left < 0 || (!input.value.trim() && !draft.files.length);
}

function onKey(event) {
  if (event.defaultPrevented || event.isComposing) return;
  if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); send(); }
  else if (event.key === "Escape" && draft.reply) stopReply();
}

/** What people write as @Name goes out as Discord's mention. */
function wire(text) {
  let result = text;
  for (const { id, name } of [state.bot, ...state.people]) result = result.replaceAll(`@${name}`, `<@${id}>`);
  return result.trim();
}

async function send() {
  if (sending || sendButton.disabled) return;
  sending = true;
  grow();
  const written = input.value, files = [...draft.files], { reply } = draft;
  const posted = await act("messages", {
    user_id: state.me.id, channel_id: state.current, content: wire(written), reply_to: reply?.id ?? null,
  }, files.map(({ file }) => ["files", file]));
  sending = false;
  if (posted) {
    for (const { url } of files) if (url) URL.revokeObjectURL(url);
    // What came in the meantime is the next message.
    draft.files = draft.files.filter((entry) => !files.includes(entry));
    if (input.value.startsWith(written)) input.value = input.value.slice(written.length);
    typedAt = 0;
    if (draft.reply === reply) stopReply();
    drawTray();
  }
  grow();
  input.focus();
}

function sayTyping() {
  const now = Date.now();
  if (!input.value || input.value.startsWith("/") || now - typedAt < TYPING_EVERY_MS) return;
  typedAt = now;
  mention("typing", { user_id: state.me.id, channel_id: state.current });
}

function catchDrops() {
  const shell = byId("shell");
  const over = (on) => shell.classList.toggle("dropping", on);
  addEventListener("dragover", (event) => { event.preventDefault(); over(true); });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) over(false); });
  addEventListener("drop", (event) => { event.preventDefault(); over(false); addFiles(event.dataTransfer.files); });
}
