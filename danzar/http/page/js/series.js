// The cards' past: what was in use at which time, and whose it was. Nothing here draws.

const LEAST_STEP_S = 2, LEAST_GAP_S = 12, MOST_POINTS = 450;

/** Between two points of a chart of this span. */
function stepOf(spanS) {
  return Math.max(LEAST_STEP_S, spanS / MOST_POINTS);
}

/** A silence of so long is shown as one. */
export function gapOf(spanS) {
  return Math.max(LEAST_GAP_S, 2.5 * stepOf(spanS));
}

/** Points of one card from the columns of /v1/use. */
export function fromColumns(device) {
  return device.at_s.map((at, n) => ({
    at, used: device.used_bytes[n], own: device.own_bytes[n], busy: device.utilisation_pct[n],
    leases: device.lease_sets[device.leases[n]],
  }));
}

/** A card as it stands, as a point. */
export function fromDevice(device, at) {
  return {
    at, used: device.used_bytes, busy: device.utilisation_pct,
    own: device.used_bytes === null ? 0 : device.used_bytes - (device.foreign_bytes ?? 0),
    leases: device.leases.map(({ model, bytes }) => ({ model, bytes })),
  };
}

/** Adds the newest point, and drops what is too old; between two steps it takes the last one's place. */
export function append(points, point, spanS) {
  const last = points.at(-1), before = points.at(-2);
  if (last && point.at <= last.at) return;
  if (last && before && last.at - before.at < stepOf(spanS)) points[points.length - 1] = point;
  else points.push(point);
  while (points[0].at < point.at - 1.1 * spanS) points.shift();
}

/** The point nearest to a time; null where nothing is known near it. */
export function nearest(points, at, gapS) {
  let best = null;
  for (const point of points) if (!best || Math.abs(point.at - at) < Math.abs(best.at - at)) best = point;
  return best && Math.abs(best.at - at) <= gapS ? best : null;
}

/** Whose the used bytes of a point are: each model's, the rest of Danzar's, other programs'. */
export function shares(point) {
  const used = point.used ?? 0;
  let left = Math.min(point.own, used);
  const models = new Map();
  for (const { model, bytes } of point.leases) {
    const taken = Math.min(bytes, left);
    models.set(model, (models.get(model) ?? 0) + taken);
    left -= taken;
  }
  return { models, rest: left, foreign: Math.max(0, used - point.own) };
}

/** The points in runs without a gap: in between, nothing is known. */
export function runs(points, gapS) {
  const found = [];
  let run = [];
  for (const point of points) {
    const broken = point.used === null || (run.length && point.at - run.at(-1).at > gapS);
    if (broken && run.length) { found.push(run); run = []; }
    if (point.used !== null) run.push(point);
  }
  if (run.length) found.push(run);
  return found;
}

/** The layers of a run from the bottom up: { kind, name, low[], high[] } in bytes. */
export function layers(run, models) {
  const split = run.map(shares);
  const kinds = [
    ...models.map((name) => ({ kind: "lease", name, of: (share) => share.models.get(name) ?? 0 })),
    { kind: "rest", name: "Danzar, not booked", of: (share) => share.rest },
    { kind: "foreign", name: "other programs and driver", of: (share) => share.foreign },
  ];
  let low = run.map(() => 0);
  return kinds.map(({ kind, name, of }) => {
    const high = split.map((share, n) => low[n] + of(share));
    const layer = { kind, name, low, high };
    low = high;
    return layer;
  }).filter((layer) => layer.high.some((value, n) => value > layer.low[n]));
}
