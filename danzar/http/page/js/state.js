// What the page knows. One object, changed only here; views read it.

const MOST_DECISIONS = 300, MOST_LINES = 1000;

export const state = {
  connected: false,
  atS: 0,
  bot: null,
  devices: null,
  models: [],
  queues: [],
  watches: [],
  incidents: [],
  jobs: [],
  jobs_error: null,
  readiness: null,
  decisions: [],
  log: [],
};

const SECTIONS = ["bot", "devices", "models", "queues", "watches", "incidents", "jobs", "jobs_error", "readiness"];
let counted = 0;

/** Takes over one event of the stream; returns the names of what changed. */
export function take(event) {
  state.atS = event.at_s;
  if (event.full) Object.assign(state, { decisions: [], log: [] });
  const changed = SECTIONS.filter((name) => name in event);
  for (const name of changed) state[name] = event[name];
  if (event.decisions) {
    const numbered = event.decisions.map((decision) => ({ ...decision, key: ++counted }));
    state.decisions = [...state.decisions, ...numbered].slice(-MOST_DECISIONS);
    changed.push("decisions");
  }
  if (event.log) {
    state.log = [...state.log, ...event.log].slice(-MOST_LINES);
    changed.push("log");
  }
  return changed;
}
