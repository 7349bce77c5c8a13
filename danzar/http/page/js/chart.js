// One card's past as a picture: leases stacked, other programs hatched, and how busy it was below.

import { hueOf } from "/static/js/colours.js";
import { h, put, s, set } from "/static/js/dom.js";
import { clock, duration, gib, known, rounded, size } from "/static/js/format.js";
import { gapOf, layers, nearest, runs, shares } from "/static/js/series.js";

const HEIGHT = 176, TOP = 10, PLOT = 116, BUSY_TOP = 136, BUSY = 26, LEFT = 34, RIGHT = 6;
let number = 0;

/** A chart that is drawn again with draw(); its element is role "slider": arrow keys read it. */
export function makeChart(label) {
  const id = `hatch-${++number}`;
  const areas = s("g"), busy = s("g"), marks = s("g"), grid = s("g", { class: "grid" });
  const cross = s("line", { class: "cross", y1: TOP, y2: BUSY_TOP + BUSY, visibility: "hidden" });
  const svg = s("svg", { class: "chart-svg", height: HEIGHT, "aria-hidden": "true", focusable: "false" },
    s("defs", {}, s("pattern", { id, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      s("rect", { class: "hatch-ground", width: 6, height: 6 }), s("rect", { class: "hatch-line", width: 2.4, height: 6 }))),
    grid, areas, busy, marks, cross);
  const tip = h("div", { class: "tip", hidden: true, "data-testid": "tip" });
  const element = h("div", { class: "chart", tabindex: 0, role: "slider", "aria-label": `${label}: the past`, "data-testid": "chart" }, svg, tip);
  const chart = { element, svg, areas, busy, marks, grid, cross, tip, hatch: `url(#${id})`, view: null, at: null };
  listen(chart);
  return chart;
}

/** view: { points, models, totalBytes, nowS, spanS, decisions }. */
export function draw(chart, view) {
  const width = chart.element.clientWidth;
  if (!width) return;
  chart.view = { ...view, width, fromS: view.nowS - view.spanS };
  set(chart.svg, { width, viewBox: `0 0 ${width} ${HEIGHT}` });
  drawGrid(chart);
  drawAreas(chart);
  drawMarks(chart);
  if (chart.at === null) sayNow(chart);
  else point(chart, chart.at);
}

function x(view, at) {
  return LEFT + (at - view.fromS) / view.spanS * (view.width - LEFT - RIGHT);
}

function y(view, bytes) {
  return TOP + PLOT * (1 - Math.min(1, bytes / view.totalBytes));
}

function drawGrid(chart) {
  const view = chart.view, right = view.width - RIGHT;
  const lines = [0, 0.5, 1].map((part) => {
    const at = TOP + PLOT * (1 - part);
    return [s("line", { x1: LEFT, x2: right, y1: at, y2: at }),
      s("text", { x: LEFT - 6, y: at + 4, "text-anchor": "end" }, gib(view.totalBytes * part).replace(".0", ""))];
  });
  const times = [0, 0.5, 1].map((part) => s("text", {
    x: LEFT + part * (right - LEFT), y: HEIGHT - 2, "text-anchor": ["start", "middle", "end"][part * 2],
  }, part === 1 ? "now" : `−${duration(view.spanS * (1 - part))}`));
  put(chart.grid, lines, s("line", { x1: LEFT, x2: right, y1: BUSY_TOP + BUSY, y2: BUSY_TOP + BUSY }),
    s("text", { x: LEFT - 6, y: BUSY_TOP + BUSY - 2, "text-anchor": "end" }, "busy"), times);
}

function drawAreas(chart) {
  const view = chart.view, inside = visible(view);
  const areas = [], busy = [];
  for (const run of runs(inside, gapOf(view.spanS))) {
    for (const layer of layers(run, view.models)) {
      areas.push(s("path", {
        class: `area ${layer.kind}`, d: area(run, layer.low, layer.high, view),
        fill: layer.kind === "foreign" ? chart.hatch : null, style: layer.kind === "lease" ? { "--hue": hueOf(layer.name) } : {},
        "data-layer": layer.kind, "data-name": layer.name,
      }));
    }
    const level = run.map((p) => BUSY_TOP + BUSY * (1 - (p.busy ?? 0) / 100));
    if (run.some((p) => known(p.busy))) busy.push(s("path", { class: "busy", d: closed(run.map((p) => x(view, p.at)), level, run.map(() => BUSY_TOP + BUSY)) }));
  }
  put(chart.areas, areas);
  put(chart.busy, busy);
}

/** What lies within. */
function visible(view) {
  const first = view.points.findIndex((p) => p.at >= view.fromS);
  return first < 0 ? [] : view.points.slice(first);
}

function area(run, low, high, view) {
  return closed(run.map((p) => x(view, p.at)), high.map((b) => y(view, b)), low.map((b) => y(view, b)));
}

function closed(xs, tops, bottoms) {
  // A single reading is still seen: as wide as a hair.
  const wide = xs.length === 1 ? [xs[0] - 1, xs[0] + 1] : xs;
  const of = (values) => (values.length === 1 ? [values[0], values[0]] : values);
  const there = wide.map((at, n) => `${at.toFixed(1)},${of(tops)[n].toFixed(1)}`);
  const back = wide.map((at, n) => `${at.toFixed(1)},${of(bottoms)[n].toFixed(1)}`).reverse();
  return `M${there.join("L")}L${back.join("L")}Z`;
}

function drawMarks(chart) {
  const view = chart.view;
  put(chart.marks, view.decisions.filter((d) => d.atS >= view.fromS).map((d) => {
    const at = x(view, d.atS), up = d.kind === "load";
    const base = TOP + PLOT + (up ? 9 : 2), tip = TOP + PLOT + (up ? 2 : 9);
    return s("path", { class: `mark ${d.kind ?? ""}`, d: `M${at - 4} ${base}L${at + 4} ${base}L${at} ${tip}Z`, "data-kind": d.kind });
  }));
}

function listen(chart) {
  const element = chart.element;
  element.addEventListener("pointermove", (event) => {
    if (!chart.view) return;
    const left = event.clientX - element.getBoundingClientRect().left;
    const view = chart.view;
    point(chart, view.fromS + (left - LEFT) / (view.width - LEFT - RIGHT) * view.spanS);
  });
  for (const name of ["pointerleave", "blur"]) element.addEventListener(name, () => leave(chart));
  element.addEventListener("keydown", (event) => {
    const view = chart.view;
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
    if (!view || (step === undefined && !["Home", "End", "Escape"].includes(event.key))) return;
    event.preventDefault();
    if (event.key === "Escape") leave(chart);
    else if (event.key === "Home") point(chart, view.fromS);
    else if (event.key === "End") point(chart, view.nowS);
    else point(chart, (chart.at ?? view.nowS) + step * view.spanS / 60);
  });
}

function leave(chart) {
  chart.at = null;
  chart.tip.hidden = true;
  set(chart.cross, { visibility: "hidden" });
  if (chart.view) sayNow(chart);
}

function sayNow(chart) {
  const last = chart.view.points.at(-1);
  tell(chart, chart.view.nowS, last ? words(last).join(", ") : "nothing is known yet");
}

/** Shows what was at a time. */
function point(chart, at) {
  const view = chart.view;
  chart.at = Math.min(view.nowS, Math.max(view.fromS, at));
  const found = nearest(view.points, chart.at, gapOf(view.spanS));
  const place = x(view, chart.at);
  set(chart.cross, { x1: place, x2: place, visibility: "visible" });
  const lines = found ? words(found) : ["nothing is known of this time"];
  put(chart.tip, h("b", {}, clock(chart.at * 1000)), lines.map((line) => h("span", {}, line)));
  chart.tip.hidden = false;
  chart.tip.classList.toggle("to-left", place > view.width / 2);
  chart.tip.style.setProperty("--at", `${place}px`);
  tell(chart, chart.at, `${clock(chart.at * 1000)}: ${lines.join(", ")}`);
}

function tell(chart, at, text) {
  set(chart.element, {
    "aria-valuemin": Math.round(chart.view.fromS), "aria-valuemax": Math.round(chart.view.nowS),
    "aria-valuenow": Math.round(at), "aria-valuetext": text,
  });
}

function words(found) {
  if (found.used === null) return ["use unknown"];
  const whose = shares(found);
  return [
    `${size(found.used)} in use`,
    ...[...whose.models].map(([model, bytes]) => `${model} ${size(bytes)}`),
    ...(whose.foreign ? [`others ${size(whose.foreign)}`] : []),
    `busy ${rounded(found.busy, "%")}`,
  ];
}
