// The stream of what changes. When it breaks, or says nothing for too long, it is opened again.

const SILENCE_MS = 8000;
const RETRY_MS = [500, 1000, 2000, 4000, 8000];
// A page that nobody looks at holds no stream: browsers allow six for each server.
const HIDDEN_MS = 60_000;

/** Follows the server; told(event) gets each event, changed(word) "live" or why there is none. */
export function follow(told, changed) {
  let source = null, silence = 0, retry = 0, failures = 0, hidden = 0;

  function open() {
    clearTimeout(retry);
    source = new EventSource("/v1/live");
    source.addEventListener("message", (message) => {
      failures = 0;
      listen();
      changed("live");
      told(JSON.parse(message.data));
    });
    source.addEventListener("error", lost);
    listen();
  }

  function listen() {
    clearTimeout(silence);
    silence = setTimeout(lost, SILENCE_MS);
  }

  function close() {
    clearTimeout(silence);
    clearTimeout(retry);
    source?.close();
    source = null;
  }

  async function lost() {
    close();
    retry = setTimeout(open, RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)]);
    changed(await reason());
  }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(hidden);
    if (document.hidden) hidden = setTimeout(close, HIDDEN_MS);
    else if (!source) open();
  });
  open();
}

async function reason() {
  try {
    const answer = await fetch("/v1/devices", { method: "HEAD", signal: AbortSignal.timeout(3000) });
    if (answer.status === 401) return "The key is no longer valid: reload the page to give another one.";
    return answer.ok ? "Danzar is there, but takes no more open pages now." : "Danzar refuses this page.";
  } catch {
    return "The connection to Danzar was lost. What is shown is from before.";
  }
}

/** The JSON of one path; the server's own words where it refuses. */
export async function ask(path, query = {}) {
  const answer = await fetch(`${path}?${new URLSearchParams(query)}`, { signal: AbortSignal.timeout(10_000) });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error ?? `HTTP ${answer.status}`);
  return body;
}
