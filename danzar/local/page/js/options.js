// One field of a slash command's form, by the kind of its option.

import { h } from "/static/js/dom.js";
import { readFrame } from "/static/js/frames.js";
import { act } from "/static/js/net.js";
import { state } from "/static/js/state.js";

const STRING = 3, INTEGER = 4, BOOLEAN = 5, USER = 6, CHANNEL = 7, ROLE = 8, MENTIONABLE = 9, NUMBER = 10, ATTACHMENT = 11;
const SUGGEST_AFTER_MS = 250;

/** Returns { option, element, control, frame }. */
export function optionField(option, leaf) {
  const field = { option, control: control(option), frame: null };
  const attributes = { "data-testid": `option-${option.name}`, name: option.name, required: option.required === true };
  for (const [name, value] of Object.entries(attributes)) if (value !== false) field.control.setAttribute(name, value === true ? "" : value);
  if (option.type === ATTACHMENT && state.frames.length) field.frame = choice([["", "or a sample frame"], ...state.frames.map((n) => [n, n])]);
  field.element = h("label", { class: "option-field" },
    h("span", { class: "option-name" }, option.name, option.required ? null : h("em", {}, "optional")),
    field.control, field.frame, h("small", { class: "muted" }, option.description ?? ""));
  if (option.autocomplete) suggest(field, leaf);
  return field;
}

function control(option) {
  const empty = [["", option.required ? "Choose…" : "not given"]];
  if (option.choices?.length) return choice([...empty, ...option.choices.map((c) => [String(c.value), c.name])]);
  switch (option.type) {
    case BOOLEAN: return choice([...empty, ["true", "Yes"], ["false", "No"]]);
    case USER:
    case MENTIONABLE: return choice([...empty, ...[state.bot, ...state.people].map((p) => [p.id, p.name])]);
    case CHANNEL: return choice([...empty, ...[...state.channels.values()].filter((c) => c.name).map((c) => [c.id, `#${c.name}`])]);
    case ROLE: return choice([...empty, ...state.roles.map((r) => [r.id, r.name])]);
    case INTEGER: return h("input", { type: "number", step: "1", min: option.min_value, max: option.max_value });
    case NUMBER: return h("input", { type: "number", step: "any", min: option.min_value, max: option.max_value });
    case ATTACHMENT: return h("input", { type: "file" });
    case STRING:
    default: return h("input", { type: "text", maxlength: option.max_length ?? 6000, autocomplete: "off" });
  }
}

function choice(pairs) {
  return h("select", {}, pairs.map(([value, label]) => h("option", { value }, label)));
}

/** Adds what the person entered: values by name, and [name, File] pairs. */
export async function readField({ option, control: field, frame }, values, files) {
  if (option.type === ATTACHMENT) {
    const file = field.files[0] ?? (frame?.value ? await readFrame(frame.value) : null);
    if (file) files.push([option.name, file]);
  } else if (field.value !== "") {
    values[option.name] = option.type === BOOLEAN ? field.value === "true" : field.value;
  }
}

/** Asks the bot for choices while the person types. */
function suggest({ option, control: field, element }, leaf) {
  const list = h("datalist", { id: `choices-${option.name}` });
  field.setAttribute("list", list.id);
  element.append(list);
  let timer = null;
  const ask = async () => {
    const choices = await act("autocomplete", {
      user_id: state.me.id, channel_id: state.current, command_id: leaf.command.id, path: leaf.path,
      options: { [option.name]: field.value }, focused: option.name,
    });
    list.replaceChildren(...(choices ?? []).map((c) => h("option", { value: String(c.value) }, c.name)));
  };
  const later = () => { clearTimeout(timer); timer = setTimeout(ask, SUGGEST_AFTER_MS); };
  field.addEventListener("focus", later);
  field.addEventListener("input", later);
}
