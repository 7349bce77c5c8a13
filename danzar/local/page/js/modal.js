// A form that the bot opens.

import { h } from "/static/js/dom.js";
import { act } from "/static/js/net.js";
import { state } from "/static/js/state.js";

const STRING_SELECT = 3, PARAGRAPH = 2;

/** Shows the form; what the person enters goes to the bot when it is sent. */
export function openModal(form) {
  document.querySelector("dialog.form")?.close();
  const controls = form.fields.map((field) => [field.custom_id, control(field)]);
  const send = h("button", { type: "submit", class: "button primary", "data-testid": "modal-submit" }, "Send");
  const body = h("form", { method: "dialog", novalidate: true },
    h("h2", {}, form.title),
    form.fields.map((field, index) => h("label", {}, h("span", {}, field.label ?? field.custom_id, field.required === false ? h("em", {}, "optional") : null),
      controls[index][1], field.description ? h("small", { class: "muted" }, field.description) : null)),
    h("div", { class: "form-foot" }, h("button", { type: "button", class: "button secondary", onclick: () => dialog.close() }, "Cancel"), send));
  const dialog = h("dialog", { class: "form", "aria-label": form.title, "data-testid": "modal" }, body);
  body.addEventListener("submit", async (event) => {
    event.preventDefault();
    send.disabled = true;
    const values = Object.fromEntries(controls.map(([id, element]) => [id, element.value]));
    const sent = await act("modal", { user_id: state.me.id, interaction_id: form.id, values });
    send.disabled = false;
    if (sent) dialog.close();
  });
  body.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) body.requestSubmit();
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  (controls[0]?.[1] ?? send).focus();
}

function control(field) {
  const common = { "data-testid": `field-${field.custom_id}`, placeholder: field.placeholder };
  if (field.type === STRING_SELECT) return h("select", common, (field.options ?? []).map((o) => h("option", { value: o.value, selected: o.default === true }, o.label)));
  const attributes = { ...common, maxlength: field.max_length ?? 4000 };
  const element = field.style === PARAGRAPH ? h("textarea", { ...attributes, rows: 5 }) : h("input", { ...attributes, type: "text", autocomplete: "off" });
  element.value = field.value ?? "";
  return element;
}
