// Attachments, and a picture shown large.

import { formatSize, h, icon, ownPath } from "/static/js/dom.js";

const MAX_WIDTH = 460;
const MAX_HEIGHT = 340;
const PICTURE = /^image\/(png|jpe?g|gif|webp)$/;

export function isPicture(attachment) {
  return PICTURE.test(attachment.content_type ?? "") && ownPath(attachment.url) !== null;
}

/** All attachments of a message that none of its embeds shows already. */
export function renderAttachments(message) {
  const shown = new Set((message.embeds ?? []).flatMap((e) => [e.image?.url, e.thumbnail?.url]));
  const rest = (message.attachments ?? []).filter((a) => !shown.has(a.url));
  if (!rest.length) return null;
  const pictures = rest.filter(isPicture);
  return h("div", { class: "attachments" },
    pictures.length ? h("div", { class: `pictures count-${Math.min(pictures.length, 4)}` }, pictures.map(renderPicture)) : null,
    rest.filter((a) => !isPicture(a)).map(renderFile));
}

function renderPicture(attachment) {
  const label = attachment.description ?? attachment.filename;
  return picture(attachment.url, label, attachment);
}

/** A picture that opens large when it is pressed. */
export function picture(url, label, size = {}) {
  const path = ownPath(url);
  if (path === null) return h("span", { class: "muted" }, `Picture on another server: ${url}`);
  const image = h("img", {
    src: path, alt: label, decoding: "async", "data-testid": "attachment-image", style: place(size),
  });
  const button = h("button", { class: "picture", type: "button", "aria-label": `Enlarge ${label}`, onclick: () => enlarge(path, label) }, image);
  image.addEventListener("error", () => button.replaceWith(h("span", { class: "file broken" }, icon("file"), `${label} can't be shown as a picture`)));
  return button;
}

/** Room for a picture before it is loaded, so that nothing jumps. */
function place({ width, height }) {
  if (!width || !height) return {};
  const scale = Math.min(1, MAX_WIDTH / width, MAX_HEIGHT / height);
  return { "--shown-width": `${Math.max(1, Math.round(width * scale))}px`, "--shape": `${width} / ${height}` };
}

function renderFile(attachment) {
  const path = ownPath(attachment.url);
  return h("a", { class: "file", href: path ?? "#", download: attachment.filename, "data-testid": "attachment-file" },
    icon("file"), h("span", { class: "file-name" }, attachment.filename), h("span", { class: "muted" }, formatSize(attachment.size)));
}

function enlarge(path, label) {
  const dialog = h("dialog", { class: "lightbox", "aria-label": label },
    h("img", { src: path, alt: label }),
    h("div", { class: "lightbox-foot" }, h("span", {}, label),
      h("a", { href: path, download: true }, "Save"),
      h("button", { type: "button", onclick: () => dialog.close() }, "Close")));
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
