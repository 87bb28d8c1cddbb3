// Numbers and times as people read them.

let ahead = 0; // milliseconds that the process's clock is ahead of this browser's
let held = null; // the moment, in this browser's time, at which the clock stands still

export function setClock(now) {
  const moment = Date.parse(now);
  if (!Number.isNaN(moment)) ahead = moment - Date.now();
}

/** Has the clock stand still at a moment; null has it go on. */
export function holdClock(moment) {
  held = moment;
}

/** Seconds from a moment until now, by the process's clock; null if there is no moment. */
export function secondsSince(moment) {
  const then = Date.parse(moment);
  return Number.isNaN(then) ? null : ((held ?? Date.now()) + ahead - then) / 1000;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  const minutes = Math.round(whole / 60);
  if (minutes < 2880) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${Math.round(minutes / 1440)} days`;
}

/** A length without small parts, for texts that count: "12 s", "3 min", "2 h", "4 days". */
export function roughly(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

export function relative(moment) {
  const seconds = secondsSince(moment);
  if (seconds === null) return "–";
  if (Math.abs(seconds) < 1) return "now";
  return seconds > 0 ? `${roughly(seconds)} ago` : `in ${roughly(-seconds)}`;
}

export function clock(moment) {
  const date = new Date(moment);
  if (Number.isNaN(date.getTime())) return "–";
  const today = date.toDateString() === new Date().toDateString();
  const time = date.toLocaleTimeString([], { hour12: false });
  return today ? time : `${date.toLocaleDateString([], { day: "numeric", month: "short" })}, ${time}`;
}

export const count = (number) => (number === null || number === undefined ? "–" : number.toLocaleString("en"));

export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/** "lastEventAt" as "Last event", "lag" as "Lag". */
export function label(name) {
  const words = name.replace(/At$/, "").replace(/_/g, " ").replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

const MOMENT = /^\d{4}-\d\d-\d\dT/;

/** Any plain value in one line. */
export function value(name, given) {
  if (given === null || given === undefined) return "–";
  if (given === true) return "yes";
  if (given === false) return "no";
  if (typeof given === "number") return count(given);
  if (typeof given === "string") return MOMENT.test(given) ? relative(given) : given;
  if (Array.isArray(given)) return given.map((item) => value(name, item)).join(", ") || "none";
  const parts = Object.entries(given).map(([key, item]) => `${key}: ${value(key, item)}`);
  return parts.join(", ") || "none";
}
