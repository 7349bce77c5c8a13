// Numbers in words. What is unknown says so, and is never shown as zero.

const GIB = 2 ** 30, MIB = 2 ** 20;

export function known(value) {
  return value !== null && value !== undefined;
}

export function size(bytes) {
  if (!known(bytes)) return "unknown";
  const sign = bytes < 0 ? "−" : "", positive = Math.abs(bytes);
  if (positive >= GIB) return `${sign}${(positive / GIB).toFixed(1)} GiB`;
  if (positive >= MIB) return `${sign}${Math.round(positive / MIB)} MiB`;
  return positive >= 1024 ? `${sign}${Math.round(positive / 1024)} KiB` : `${sign}${positive} B`;
}

export function gib(bytes) {
  return known(bytes) ? (bytes / GIB).toFixed(1) : "?";
}

export function rounded(value, unit) {
  return known(value) ? `${Math.round(value)} ${unit}` : "unknown";
}

/** Seconds as people say them: 20 ms, 4.1 s, 52 s, 3 min 20 s, 2 h 5 min, 3 d 4 h. */
export function duration(seconds) {
  if (!known(seconds)) return "unknown";
  const whole = Math.max(0, seconds);
  if (whole < 0.1) return `${Math.round(whole * 1000)} ms`;
  if (whole < 10) return `${whole.toFixed(1)} s`;
  if (whole < 60) return `${Math.round(whole)} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return parts(minutes, "min", Math.floor(whole % 60), "s");
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? parts(hours, "h", minutes % 60, "min") : parts(Math.floor(hours / 24), "d", hours % 24, "h");
}

function parts(large, largeUnit, small, smallUnit) {
  return small ? `${large} ${largeUnit} ${small} ${smallUnit}` : `${large} ${largeUnit}`;
}

const TIME = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat([], { month: "short", day: "numeric" });

/** The time of day, with the day where it is not today's. */
export function clock(at) {
  const when = new Date(at);
  if (Number.isNaN(when.getTime())) return "";
  const time = TIME.format(when);
  return when.toDateString() === new Date().toDateString() ? time : `${DAY.format(when)} ${time}`;
}

export function seconds(iso) {
  return new Date(iso).getTime() / 1000;
}

export function plural(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}
