// Slash commands: a list while "/" is typed, then a form for the chosen one.

import { h, icon } from "/static/js/dom.js";
import { listbox } from "/static/js/listbox.js";
import { act, fetchCommands } from "/static/js/net.js";
import { optionField, readField } from "/static/js/options.js";
import { state } from "/static/js/state.js";

const SUBCOMMAND = 1, GROUP = 2;
const MAX_SHOWN = 25;

/** Loads what the bot offers to this person in this channel. */
export async function loadCommands() {
  if (state.current) state.commands = await fetchCommands(state.current, state.me.id);
}

/** All commands that can be used as they are: "/gpu status" rather than "/gpu". */
export function leaves(commands) {
  const found = [];
  const visit = (command, node, path) => {
    const children = (node.options ?? []).filter((o) => o.type === SUBCOMMAND || o.type === GROUP);
    if (!children.length) found.push({ command, node, path, name: `/${[command.name, ...path].join(" ")}` });
    for (const child of children) visit(command, child, [...path, child.name]);
  };
  for (const command of commands) visit(command, command, []);
  return found;
}

export function attachPicker(input, box) {
  const list = listbox(input, box, { label: "Commands", testid: "command-picker" });
  input.addEventListener("input", async () => {
    if (!/^\/[\w -]*$/.test(input.value)) return list.hide();
    if (input.value === "/") await loadCommands();
    const typed = input.value.trim().toLowerCase();
    const all = leaves(state.commands.slash);
    const matches = all.filter((l) => l.name.startsWith(typed));
    const others = all.filter((l) => !matches.includes(l) && typed.length > 1 && l.name.includes(typed.slice(1)));
    return list.show([...matches, ...others].slice(0, MAX_SHOWN).map((leaf) => ({
      key: leaf.name, node: row(leaf), choose: () => { list.hide(); openForm(leaf, input, box); },
    })));
  });
}

function row(leaf) {
  const names = (leaf.node.options ?? []).map((o) => h("span", { class: o.required ? "slot" : "slot optional" }, o.name));
  return [h("b", {}, leaf.name), names, h("span", { class: "muted" }, leaf.node.description ?? "")];
}

function openForm(leaf, input, box) {
  box.querySelector(".command-form")?.remove();
  const fields = (leaf.node.options ?? []).map((option) => optionField(option, leaf));
  const use = h("button", { type: "submit", class: "button primary", "data-testid": "command-use" }, "Use");
  const form = h("form", { class: "command-form", "data-testid": "command-form", "aria-label": leaf.name, novalidate: true },
    h("header", {}, h("b", {}, leaf.name), h("span", { class: "muted" }, leaf.node.description ?? ""),
      h("button", { type: "button", class: "tool", "aria-label": "Don't use this command", onclick: close }, icon("close"))),
    fields.map((f) => f.element), use);
  function close() {
    form.remove();
    box.classList.remove("commanding");
    input.value = "";
    input.dispatchEvent(new Event("input"));
    input.focus();
  }
  form.addEventListener("keydown", (event) => { if (event.key === "Escape") { event.preventDefault(); close(); } });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    use.disabled = true;
    const values = {}, files = [];
    for (const field of fields) await readField(field, values, files);
    const sent = await act("command", {
      user_id: state.me.id, channel_id: state.current, command_id: leaf.command.id, path: leaf.path, options: values,
    }, files);
    use.disabled = false;
    if (sent) close();
  });
  box.classList.add("commanding");
  box.prepend(form);
  (form.querySelector("input, select") ?? use).focus();
}
