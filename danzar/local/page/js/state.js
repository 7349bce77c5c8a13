// What the page knows. One object, changed only here; views ask it.

const KEEP_MESSAGES = 500;
export const EPHEMERAL = 1 << 6;
export const LOADING = 1 << 7;

export const state = {
  ready: false,
  connected: false,
  guild: null,
  bot: { id: "", name: "Danzar", online: false },
  people: [],
  roles: [],
  channels: new Map(),
  current: null,
  me: null,
  frames: [],
  limits: { upload_bytes: 0, files: 10 },
  hasStatus: false,
  status: undefined,
  typing: new Map(),
  commands: { slash: [], menu: [] },
};

/** Takes over the server's greeting; keeps the open channel and counted edits across reconnects. */
export function greet(hello) {
  const before = state.channels;
  state.channels = new Map();
  for (const channel of [...hello.channels, ...hello.direct]) {
    const known = before.get(channel.id);
    const messages = new Map(
      channel.messages.map((m) => [m.id, { ...m, edits: known?.messages.get(m.id)?.edits ?? 0 }]),
    );
    state.channels.set(channel.id, {
      id: channel.id, name: channel.name, topic: channel.topic, personId: channel.person_id ?? null,
      messages, unread: known?.unread ?? 0,
    });
  }
  Object.assign(state, {
    ready: true, guild: hello.guild, bot: hello.bot, people: hello.people, roles: hello.roles,
    frames: hello.frames, limits: hello.limits, hasStatus: hello.has_status,
  });
  state.me = state.people.find((p) => p.id === state.me?.id) ?? state.people[0];
  if (!state.channels.has(state.current)) state.current = hello.channels[0]?.id ?? null;
}

export function currentChannel() {
  return state.channels.get(state.current);
}

/** Guild channels first, then the direct channel of whoever sits here. */
export function visibleChannels() {
  return [...state.channels.values()].filter((c) => c.personId === null || c.personId === state.me.id);
}

export function channelTitle(channel) {
  return channel.personId === null ? channel.name : state.bot.name;
}

/** Whether the person at the page may see a message: ephemeral ones have one viewer. */
export function maySee(message) {
  return !(message.flags & EPHEMERAL) || message.viewer_id === state.me.id;
}

export function addMessage(message) {
  const channel = state.channels.get(message.channel_id);
  if (!channel) return;
  channel.messages.set(message.id, { ...message, edits: 0 });
  if (channel.messages.size > KEEP_MESSAGES) channel.messages.delete(channel.messages.keys().next().value);
  state.typing.delete(`${message.channel_id}:${message.author.id}`);
  if (channel.id !== state.current && maySee(message)) channel.unread += 1;
}

export function changeMessage(message) {
  const channel = state.channels.get(message.channel_id);
  const known = channel?.messages.get(message.id);
  if (!channel || !known) return;
  channel.messages.set(message.id, { ...known, ...message, edits: known.edits + 1 });
  // Whoever edits shows progress in the message itself.
  state.typing.delete(`${message.channel_id}:${message.author.id}`);
}

export function dropMessage(channelId, messageId) {
  state.channels.get(channelId)?.messages.delete(messageId);
}

/** Applies one reaction event to the stored message; returns its id when it is known. */
export function changeReaction(event, added) {
  const message = state.channels.get(event.channel_id)?.messages.get(event.message_id);
  if (!message) return null;
  const name = event.emoji.name;
  const found = (message.reactions ??= []).find((r) => r.emoji.name === name);
  if (found) found.count += added ? 1 : -1;
  else if (added) message.reactions.push({ emoji: event.emoji, count: 1 });
  message.reactions = message.reactions.filter((r) => r.count > 0);
  return message.id;
}

export function userName(id) {
  if (id === state.bot.id) return state.bot.name;
  return state.people.find((p) => p.id === id)?.name ?? "someone";
}
