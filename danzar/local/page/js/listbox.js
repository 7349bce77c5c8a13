// A list that hangs over the composer and is driven from its text field.

import { h } from "/static/js/dom.js";

let serial = 0;

/** Returns { show(items), hide(), open() }. An item is { key, node, choose }. */
export function listbox(input, box, { label, testid }) {
  const id = `list-${serial++}`;
  const list = h("ul", { class: "listbox", role: "listbox", id, "aria-label": label, "data-testid": testid, hidden: true });
  let items = [], at = 0;
  box.append(list);

  function show(next) {
    items = next;
    at = Math.min(at, Math.max(0, items.length - 1));
    if (!items.length) return hide();
    list.hidden = false;
    draw();
    return undefined;
  }

  function hide() {
    list.hidden = true;
    items = [];
    at = 0;
    input.removeAttribute("aria-activedescendant");
  }

  function draw() {
    list.replaceChildren(...items.map((item, index) => h("li", {
      role: "option", id: `${id}-${index}`, class: "option", "aria-selected": String(index === at), "data-key": item.key,
      onpointerdown: (event) => { event.preventDefault(); item.choose(); },
      onpointermove: () => { if (at !== index) { at = index; mark(); } },
    }, item.node)));
    mark();
  }

  function mark() {
    [...list.children].forEach((option, index) => option.setAttribute("aria-selected", String(index === at)));
    list.children[at]?.scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-controls", id);
    input.setAttribute("aria-activedescendant", `${id}-${at}`);
  }

  input.addEventListener("keydown", (event) => {
    if (list.hidden) return;
    if (event.key === "ArrowDown") at = (at + 1) % items.length;
    else if (event.key === "ArrowUp") at = (at - 1 + items.length) % items.length;
    else if ((event.key === "Enter" && !event.shiftKey) || event.key === "Tab") items[at].choose();
    else if (event.key === "Escape") hide();
    else return;
    event.preventDefault();
    if (!list.hidden) mark();
  }, true);
  input.addEventListener("blur", () => setTimeout(hide, 150));
  return { show, hide, open: () => !list.hidden };
}
