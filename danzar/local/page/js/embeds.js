// Embeds and message components.

import { h, webAddress } from "/static/js/dom.js";
import { markdown, inline } from "/static/js/markdown.js";
import { picture } from "/static/js/media.js";

const BUTTON_STYLES = { 1: "primary", 2: "secondary", 3: "success", 4: "danger", 5: "link" };
const ACTION_ROW = 1, BUTTON = 2, SELECT = 3;

export function renderEmbeds(embeds) {
  return (embeds ?? []).map(renderEmbed);
}

function renderEmbed(embed) {
  const colour = Number.isInteger(embed.color) ? `#${embed.color.toString(16).padStart(6, "0")}` : null;
  return h("article", { class: "embed", "data-testid": "embed", style: colour ? { "--embed": colour } : {} },
    embed.thumbnail?.url ? h("div", { class: "embed-thumbnail" }, picture(embed.thumbnail.url, "thumbnail")) : null,
    embed.author?.name ? h("div", { class: "embed-author" }, embed.author.name) : null,
    embed.title ? h("h3", { class: "embed-title" }, title(embed)) : null,
    embed.description ? h("div", { class: "embed-text content" }, markdown(embed.description)) : null,
    embed.fields?.length ? h("dl", { class: "embed-fields" }, embed.fields.map(renderField)) : null,
    embed.image?.url ? h("div", { class: "embed-image" }, picture(embed.image.url, embed.title ?? "picture", embed.image)) : null,
    embed.footer?.text || embed.timestamp ? h("footer", { class: "embed-foot" }, footer(embed)) : null);
}

function title(embed) {
  const url = embed.url ? webAddress(embed.url) : null;
  return url ? h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, inline(embed.title)) : inline(embed.title);
}

function footer(embed) {
  const when = embed.timestamp ? new Date(embed.timestamp).toLocaleString() : null;
  return [embed.footer?.text, when].filter(Boolean).join(" · ");
}

function renderField(field) {
  return h("div", { class: field.inline ? "field inline" : "field" },
    h("dt", {}, inline(field.name ?? "")), h("dd", { class: "content" }, markdown(field.value ?? "")));
}

/** Buttons and menus; press(customId, values) carries them out and resolves when that was sent. */
export function renderComponents(components, press) {
  return (components ?? []).filter((row) => row.type === ACTION_ROW).map((row) =>
    h("div", { class: "components", role: "group" }, (row.components ?? []).map((c) => renderComponent(c, press))));
}

function renderComponent(component, press) {
  if (component.type === SELECT) return renderSelect(component, press);
  if (component.type !== BUTTON) return h("span", { class: "muted" }, "(a control that this page can't show)");
  const name = component.label ?? component.emoji?.name ?? "button";
  const label = [component.emoji?.name && component.label ? `${component.emoji.name} ` : "", name].join("");
  const attributes = { class: `button ${BUTTON_STYLES[component.style] ?? "secondary"}`, "data-testid": `button-${name}` };
  if (component.style === 5) {
    return h("a", { ...attributes, href: webAddress(component.url) ?? "#", target: "_blank", rel: "noopener noreferrer" }, label);
  }
  const button = h("button", { ...attributes, type: "button", disabled: component.disabled === true }, label);
  button.addEventListener("click", async () => {
    button.setAttribute("aria-busy", "true");
    await press(component.custom_id, null);
    setTimeout(() => button.removeAttribute("aria-busy"), 800);
  });
  return button;
}

function renderSelect(component, press) {
  const many = (component.max_values ?? 1) > 1;
  const options = (component.options ?? []).map((o) => h("option", { value: o.value, selected: o.default === true }, o.label));
  const hint = many ? null : h("option", { value: "", disabled: true, selected: !component.options?.some((o) => o.default) }, component.placeholder ?? "Choose…");
  const select = h("select", { multiple: many, disabled: component.disabled === true, "aria-label": component.placeholder ?? "Choose" }, hint, options);
  select.addEventListener("change", () => press(component.custom_id, [...select.selectedOptions].map((o) => o.value)));
  return select;
}

