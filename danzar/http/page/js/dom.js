// Builds elements from data. Text always goes in as text nodes: nothing here parses HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes, listeners (keys that begin with "on") and children. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  set(element, attributes);
  element.append(...present(children));
  return element;
}

/** Sets attributes; null and false take one away. */
export function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [k, v] of Object.entries(value)) element.style.setProperty(k, v);
    else if (value === null || value === undefined || value === false) element.removeAttribute(name);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
}

function present(children) {
  return children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false);
}

export function byId(id) {
  return document.getElementById(id);
}

/** Replaces all children; lists may be nested, and what is missing is left out. */
export function put(element, ...children) {
  element.replaceChildren(...present(children));
}

/** Changes a text only when it differs: what a reader has selected stays selected. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A sentence whose commands stand between backticks, as Discord has them. */
export function sentence(text) {
  return text.split("`").map((part, n) => (n % 2 ? h("code", {}, part) : part));
}

const shown = new WeakMap();

/**
 * Shows a list so that what has not changed stays the same element: focus, selection and scrolling stay.
 * items: what is shown; keyOf(item): identity; make(item): its element; empty: the words for no items.
 */
export function showList(parent, items, keyOf, make, empty) {
  const before = shown.get(parent) ?? new Map();
  const after = new Map();
  const elements = items.map((item) => {
    const key = keyOf(item);
    const text = JSON.stringify(item);
    const old = before.get(key);
    const entry = old?.text === text ? old : { text, element: make(item) };
    after.set(key, entry);
    return entry.element;
  });
  shown.set(parent, after);
  if (!elements.length) {
    if (parent.dataset.empty !== empty) { parent.dataset.empty = empty; put(parent, h("li", { class: "nothing muted" }, empty)); }
    return;
  }
  delete parent.dataset.empty;
  arrange(parent, elements);
}

/** Brings the children into this order, moving as few as possible. */
export function arrange(parent, elements) {
  const wanted = new Set(elements);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let at = parent.firstElementChild;
  for (const element of elements) {
    if (element === at) at = at.nextElementSibling;
    else parent.insertBefore(element, at);
  }
}

const ICONS = {
  sun: "M12 3v2M12 19v2M4.6 4.6 6 6M18 18l1.4 1.4M3 12h2M19 12h2M4.6 19.4 6 18M18 6l1.4-1.4M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z",
  moon: "M20 14.5A8 8 0 1 1 9.5 4a6.5 6.5 0 0 0 10.5 10.5z",
  half: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 4v16M15 5v14M18 7v10",
  close: "M6 6l12 12M18 6 6 18",
};

/** A line icon; decorative, so hidden from screen readers. */
export function icon(name) {
  return s("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" }, s("path", { d: ICONS[name] }));
}
