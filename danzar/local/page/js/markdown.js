// Discord's markdown, the part that chat needs, as nodes. Input is never parsed as HTML.

import { h, webAddress } from "/static/js/dom.js";
import { state, userName } from "/static/js/state.js";

const MAX_DEPTH = 8;

// Order matters: what stands first wins at the same place.
const INLINE = [
  [/`([^`\n]+)`/, (m) => h("code", {}, m[1])],
  [/<@!?(\d+)>/, (m) => mention(`@${userName(m[1])}`, m[1] === state.me?.id)],
  [/<@&(\d+)>/, (m) => mention(`@${state.roles.find((r) => r.id === m[1])?.name ?? "role"}`)],
  [/<#(\d+)>/, (m) => mention(`#${state.channels.get(m[1])?.name ?? "channel"}`)],
  [/<t:(-?\d{1,12})(?::([tTdDfFR]))?>/, (m) => timestamp(Number(m[1]), m[2])],
  [/<a?:(\w+):\d+>/, (m) => h("span", { class: "emoji" }, `:${m[1]}:`)],
  [/\[([^\]\n]{1,300})\]\((https?:\/\/[^\s)]+)\)/, (m, depth) => link(m[2], inline(m[1], depth))],
  [/<(https?:\/\/[^\s>]+)>/, (m) => link(m[1], [m[1]])],
  [/https?:\/\/[^\s<>"]*[^\s<>".,;:!?)\]}'*_~|]/, (m) => link(m[0], [m[0]])],
  [/\*\*\*([\s\S]+?)\*\*\*/, (m, depth) => h("strong", {}, h("em", {}, inline(m[1], depth)))],
  [/\*\*([\s\S]+?)\*\*/, (m, depth) => h("strong", {}, inline(m[1], depth))],
  [/__([\s\S]+?)__/, (m, depth) => h("u", {}, inline(m[1], depth))],
  [/\*([^\s*](?:[^*]*[^\s*])?)\*/, (m, depth) => h("em", {}, inline(m[1], depth))],
  [/(?<![\w])_([^\s_](?:[^_]*[^\s_])?)_(?![\w])/, (m, depth) => h("em", {}, inline(m[1], depth))],
  [/~~([\s\S]+?)~~/, (m, depth) => h("s", {}, inline(m[1], depth))],
  [/\|\|([\s\S]+?)\|\|/, (m, depth) => spoiler(inline(m[1], depth))],
  [/\\([\\*_~`|>#@-])/, (m) => m[1]],
];

function mention(text, toMe = false) {
  return h("span", { class: toMe ? "mention to-me" : "mention" }, text);
}

const STYLES = {
  t: { timeStyle: "short" }, T: { timeStyle: "medium" }, d: { dateStyle: "short" }, D: { dateStyle: "long" },
  f: { dateStyle: "long", timeStyle: "short" }, F: { dateStyle: "full", timeStyle: "short" },
};

function timestamp(seconds, style = "f") {
  const date = new Date(seconds * 1000);
  const valid = !Number.isNaN(date.getTime());
  const text = !valid ? "an unknown time" : style === "R" ? relative(seconds) : new Intl.DateTimeFormat(undefined, STYLES[style]).format(date);
  return h("time", { datetime: valid ? date.toISOString() : null, title: valid ? date.toLocaleString() : null }, text);
}

function relative(seconds) {
  const ago = seconds - Date.now() / 1000;
  const [unit, length] = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]].find(([, l]) => Math.abs(ago) >= l) ?? ["second", 1];
  return new Intl.RelativeTimeFormat(undefined, { numeric: "auto" }).format(Math.round(ago / length), unit);
}

function link(url, children) {
  const safe = webAddress(url);
  return safe ? h("a", { href: safe, target: "_blank", rel: "noopener noreferrer" }, children) : h("span", {}, children);
}

function spoiler(children) {
  const box = h("button", { class: "spoiler", type: "button", "aria-label": "Hidden text; press to show" }, children);
  box.addEventListener("click", () => { box.classList.add("open"); box.removeAttribute("aria-label"); });
  return box;
}

/** Nodes for one run of text. */
export function inline(text, depth = 0) {
  if (depth > MAX_DEPTH) return [text];
  const nodes = [];
  let rest = text;
  while (rest) {
    let best = null;
    for (const [pattern, make] of INLINE) {
      const match = pattern.exec(rest);
      if (match && (best === null || match.index < best.match.index)) best = { match, make };
    }
    if (!best) break;
    if (best.match.index > 0) nodes.push(rest.slice(0, best.match.index));
    nodes.push(best.make(best.match, depth + 1));
    rest = rest.slice(best.match.index + best.match[0].length);
  }
  if (rest) nodes.push(rest);
  return nodes;
}

const BLOCKS = [
  [/^#{1,3} +(.*)$/, (m) => h(`h${Math.min(m[0].indexOf(" ") + 2, 5)}`, {}, inline(m[1]))],
  [/^-# +(.*)$/, (m) => h("small", {}, inline(m[1]))],
];
const LIST = /^(\s*)(?:[-*]|\d{1,3}\.) +(.*)$/;

/** Nodes for a whole message: code blocks first, then quotes, lists, headings and lines. */
export function markdown(text) {
  const nodes = [];
  // A block that is still being streamed has no end yet; it counts as code up to there.
  const parts = String(text).split("```");
  parts.forEach((part, index) => {
    if (index % 2 === 1) nodes.push(codeBlock(part));
    else nodes.push(...blocks(index > 0 ? part.replace(/^\n/, "") : part));
  });
  return nodes;
}

function codeBlock(text) {
  const match = /^([\w+-]{1,20})\n([\s\S]*)$/.exec(text);
  const [language, code] = match ? [match[1], match[2]] : [null, text.replace(/^\n/, "")];
  return h("pre", { tabindex: "0", "data-language": language }, h("code", {}, code.replace(/\n$/, "")));
}

function blocks(text) {
  const nodes = [];
  const lines = text.replace(/\n+$/, "").split("\n");
  let at = 0;
  const take = (test) => {
    const taken = [];
    while (at < lines.length && test(lines[at])) taken.push(lines[at++]);
    return taken;
  };
  while (at < lines.length) {
    const line = lines[at];
    const block = BLOCKS.map(([pattern, make]) => [pattern.exec(line), make]).find(([match]) => match);
    if (/^> ?/.test(line)) {
      const quoted = take((l) => /^> ?/.test(l)).map((l) => l.replace(/^> ?/, ""));
      nodes.push(h("blockquote", {}, blocks(quoted.map((l) => l.replace(/^>+/, "")).join("\n"))));
    } else if (LIST.test(line)) {
      const items = take((l) => LIST.test(l)).map((l) => LIST.exec(l));
      const tag = /^\s*\d/.test(items[0][0]) ? "ol" : "ul";
      nodes.push(h(tag, {}, items.map((m) => h("li", { class: m[1] ? "nested" : null }, inline(m[2])))));
    } else if (block) {
      nodes.push(block[1](block[0]));
      at += 1;
    } else {
      const paragraph = take((l) => !/^> ?/.test(l) && !LIST.test(l) && !BLOCKS.some(([p]) => p.test(l)));
      nodes.push(...inline(paragraph.join("\n")).map((n) => (typeof n === "string" ? h("span", {}, n) : n)));
    }
  }
  return nodes;
}
