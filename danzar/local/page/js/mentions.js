// Completes @names while one is being typed.

import { h } from "/static/js/dom.js";
import { listbox } from "/static/js/listbox.js";
import { state } from "/static/js/state.js";

export function attachMentions(input, box) {
  const list = listbox(input, box, { label: "People", testid: "mention-picker" });

  function word() {
    return /(?:^|\s)@([\w ]{0,20})$/.exec(input.value.slice(0, input.selectionStart));
  }

  input.addEventListener("input", () => {
    const match = input.value.startsWith("/") ? null : word();
    const typed = match?.[1].toLowerCase();
    const found = match ? [state.bot, ...state.people].filter((p) => p.name.toLowerCase().startsWith(typed) && p.name.toLowerCase() !== typed) : [];
    list.show(found.map((person) => ({
      key: person.id,
      node: [h("b", {}, `@${person.name}`), h("span", { class: "muted" }, person.id === state.bot.id ? "the bot" : "")],
      choose: () => complete(person),
    })));
  });

  function complete(person) {
    const match = word();
    if (!match) return;
    const end = input.selectionStart;
    const start = end - match[1].length;
    input.setRangeText(`${person.name} `, start, end, "end");
    list.hide();
    input.focus();
    input.dispatchEvent(new Event("input"));
  }
}
