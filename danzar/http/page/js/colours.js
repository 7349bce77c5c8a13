// Models keep the colour that they first had.

const HUES = 6;
const seen = new Map();

export function hueOf(model) {
  if (!seen.has(model)) seen.set(model, seen.size % HUES);
  return `var(--hue-${seen.get(model)})`;
}
