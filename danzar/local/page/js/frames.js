// Sample frames, one click away from being posted.

import { h, icon, toast } from "/static/js/dom.js";
import { state } from "/static/js/state.js";

let place, add;

export function mountFrames(element, onFile) {
  place = element;
  add = onFile;
}

/** Draws the strip; nothing where the server has no frames. */
export function drawFrames() {
  place.hidden = state.frames.length === 0;
  place.replaceChildren(h("span", { class: "frames-title" }, icon("frames"), "Sample frames"),
    h("div", { class: "frames-row" }, state.frames.map((name) =>
      h("button", { type: "button", class: "frame", "data-testid": "sample-frame", "data-name": name, title: `Attach ${name}`, "aria-label": `Attach the sample frame ${name}`, onclick: () => attach(name) },
        h("img", { src: address(name), alt: "", loading: "lazy" })))));
}

export async function attach(name) {
  const file = await readFrame(name);
  if (file) add(file);
}

/** A sample frame as a file; null after a toast. */
export async function readFrame(name) {
  try {
    const response = await fetch(address(name));
    if (!response.ok) throw new Error(String(response.status));
    const blob = await response.blob();
    return new File([blob], name, { type: blob.type });
  } catch {
    toast(`The sample frame ${name} could not be read.`);
    return null;
  }
}

function address(name) {
  return `/page/frames/${encodeURIComponent(name)}`;
}
