// Talks to the server: one socket that tells what happens, and one form per action.

import { toast } from "/static/js/dom.js";

const RETRY_MS = [500, 1000, 2000, 4000];

/** Keeps the feed open; calls onMessage(kind, data) and onState("open" | "lost"). */
export function openFeed(onMessage, onState) {
  let failures = 0;
  function connect() {
    const socket = new WebSocket(`ws://${location.host}/page/feed`);
    socket.addEventListener("message", (event) => {
      failures = 0;
      const { t, d } = JSON.parse(event.data);
      if (t === "hello") onState("open");
      onMessage(t, d);
    });
    socket.addEventListener("close", () => {
      onState("lost");
      setTimeout(connect, RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)]);
    });
  }
  connect();
}

/** Carries out one action; files are [field, File] pairs. Returns the answer, or null after a toast. */
export async function act(action, body, files = []) {
  try {
    const response = await post(action, body, files);
    const answer = await response.json();
    if (response.ok) {
      if (answer.id) remember(answer.id);
      return answer;
    }
    toast(answer.message ?? `Refused with status ${response.status}`);
  } catch {
    toast("The server did not answer; nothing was sent.");
  }
  return null;
}

/** Like act(), for what no one would miss, such as that someone types. */
export function mention(action, body) {
  post(action, body, []).catch(() => {});
}

function post(action, body, files) {
  const form = new FormData();
  form.append("json", JSON.stringify(body));
  for (const [name, file] of files) form.append(name, file, file.name);
  return fetch(`/page/${action}`, { method: "POST", body: form });
}

const own = new Set();

function remember(id) {
  own.add(id);
  if (own.size > 50) own.delete(own.values().next().value);
}

/** Whether this page, not another one of the same person, began an interaction. */
export async function isOwn(interactionId) {
  // The socket may be faster than the answer to the form that began it.
  for (let tries = 0; tries < 10 && !own.has(interactionId); tries += 1) await new Promise((done) => setTimeout(done, 50));
  return own.has(interactionId);
}

export async function fetchCommands(channelId, userId) {
  try {
    const response = await fetch(`/page/commands?channel=${channelId}&user=${userId}`);
    return response.ok ? await response.json() : { slash: [], menu: [] };
  } catch {
    return { slash: [], menu: [] };
  }
}
