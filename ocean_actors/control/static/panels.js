// What each part of the page shows of a status.

import { byId, keyed, make, setAttribute, setText, show } from "./dom.js";
import { clock, count, duration, label, plural, relative, roughly, secondsSince, value } from "./format.js";
import { describeRuns, drawTimeline, lengthOf } from "./timeline.js";

const STATES = {
  idle: "Idle", waiting: "Waiting", preparing: "Preparing", running: "Running", aborting: "Aborting",
  standby: "Standing by", paused: "Paused", stopping: "Stopping", stopped: "Stopped", unknown: "Unknown",
};

export function stateOf(status) {
  if (status.stopped) return "stopped";
  const resync = status.resync;
  if (!resync) return "unknown";
  return resync.pauses && resync.pauses.length && !resync.run ? "paused" : resync.state;
}

export const stateName = (status) => STATES[stateOf(status)] ?? label(stateOf(status));

export function drawStatus(status) {
  const resync = status.resync ?? {};
  const run = resync.run ?? null;
  const ended = resync.runs ?? [];
  setText(byId("name"), status.integration);
  drawMeta(status);
  const badge = byId("state");
  setText(badge, stateName(status));
  setAttribute(badge, "data-state", stateOf(status));
  drawPauses(resync.pauses ?? []);
  drawNow(status, run, ended);
  drawBars(resync, run);
  drawListening(status);
  drawRequests(resync);
  setText(byId("runs-summary"), describeRuns(ended));
  drawTimeline(run ? [...ended, { ...run, status: "running" }] : ended);
  drawTable(ended);
  drawActors(status);
}

function drawMeta(status) {
  const parts = [`listens by ${status.listener}`];
  if (status.version) parts.push(`ocean_actors ${status.version}`);
  if (status.startedAt && !status.stopped) parts.push(`up ${roughly(Math.max(0, secondsSince(status.startedAt)))}`);
  setText(byId("meta"), parts.join(" · "));
}

function drawPauses(pauses) {
  keyed(byId("pauses"), pauses, (pause) => pause.owner,
    () => make("p", { class: "notice" }),
    (line, pause) => setText(line, `Paused by ${pause.owner} ${relative(pause.since)}: ${pause.reason}`));
}

function drawNow(status, run, ended) {
  const last = ended[ended.length - 1];
  const lastRun = last
    ? `The last run ${last.status} ${relative(new Date(Date.parse(last.startedAt) + last.seconds * 1000).toISOString())}, after ${duration(last.seconds)}.`
    : "Nothing has run in this process yet.";
  let headline;
  let subline;
  if (status.stopped) {
    headline = "The integration has stopped.";
    subline = status.cause ?? (last ? lastRun : "");
  } else if (!status.resync) {
    headline = status.startedAt
      ? "The coordinator does not answer." : "The integration is starting.";
    subline = "";
  } else if (run) {
    headline = run.reason;
    const covered = run.covered > 1 ? ` · covers ${plural(run.covered, "request")}` : "";
    const kinds = run.kinds ? ` · only ${run.kinds.join(", ")}` : "";
    subline = `Run ${run.id} · requested by ${run.trigger} · for ${duration(lengthOf({ ...run, status: "running" }))}${covered}${kinds}`;
  } else {
    headline = {
      standby: "Another instance runs the resyncs.", waiting: "A resync is waiting to start.",
      preparing: "A resync is about to start.", stopped: "No more runs are started.",
    }[status.resync.state] ?? (status.registered ? "No run in flight." : "Not registered with Port yet.");
    subline = lastRun;
  }
  setText(byId("headline"), headline);
  setText(byId("subline"), subline);
}

function drawBars(resync, run) {
  const names = new Set();
  if (run) {
    if (!run.kinds) Object.keys(resync.kinds ?? {}).forEach((name) => names.add(name));
    Object.keys(run.progress).forEach((name) => names.add(name));
    run.handlers.forEach((name) => names.add(name));
  }
  const bars = [...names].map((name) => ({ name, works: run.handlers.includes(name), waiting: run.waiting?.[name], ...(run.progress[name] ?? {}) }));
  show(byId("bars"), bars.length > 0);
  keyed(byId("bars"), bars, (bar) => bar.name, createBar, updateBar);
}

function createBar(bar) {
  return make("li", {},
    make("div", { class: "bar-head" }, make("span", { class: "bar-name" }, bar.name), make("span", { class: "bar-figures" })),
    make("div", { class: "meter", role: "progressbar", "aria-label": bar.name, "aria-valuemin": 0 }, make("span")),
    make("p", { class: "bar-note muted" }));
}

function updateBar(item, { works, done, total, message, rate, secondsLeft, waiting }) {
  const [head, meter, note] = item.children;
  const known = total !== null && total !== undefined && total > 0;
  const share = works ? (known ? Math.min(1, done / total) : null) : 1;
  let figures = works ? "at work" : "finished";
  if (known) figures = `${count(done)} of ${count(total)} · ${Math.floor(Math.min(1, done / total) * 100)} %`;
  else if (done !== undefined) figures = count(done);
  if (!works && done !== undefined) figures += " · finished";
  setText(head.lastElementChild, figures);
  setAttribute(meter, "data-state", works ? (share === null ? "unknown" : "works") : "finished");
  setAttribute(meter, "aria-valuemax", 100);
  setAttribute(meter, "aria-valuenow", share === null ? null : Math.floor(share * 100));
  setAttribute(meter, "aria-valuetext", figures);
  meter.firstElementChild.style.transform = share === null ? "" : `scaleX(${share})`;
  const notes = [];
  if (message) notes.push(message);
  if (works && waiting) notes.push(`waits for the rate limit: ${plural(waiting, "call")}`);
  if (works && rate) notes.push(`${rate >= 10 ? count(Math.round(rate)) : rate.toFixed(1)} per second`);
  if (works && secondsLeft !== null && secondsLeft !== undefined) notes.push(`about ${roughly(secondsLeft)} left`);
  setText(note, notes.join(" · "));
  show(note, notes.length > 0);
}

function drawListening(status) {
  const { state, ...details } = status.listening ?? { state: null };
  const badge = byId("listener-state");
  const listens = state === "running" || state === "active";
  const absent = status.registered ? "Not running" : "Waiting for registration";
  setText(badge, listens ? "Listening" : state === null ? absent : label(state));
  setAttribute(badge, "data-state", listens ? "listening" : state ?? "waiting");
  const facts = [
    ["Listener", status.listener],
    ["Port", status.registered ? "registered" : "not registered yet"],
    ...Object.entries(details).map(([name, given]) => [label(name), value(name, given)]),
  ];
  drawFacts(byId("listening"), facts);
}

function drawFacts(list, facts) {
  keyed(list, facts, ([name]) => name,
    ([name]) => make("div", {}, make("dt", {}, name), make("dd")),
    (fact, [, text]) => setText(fact.lastElementChild, text));
}

function drawRequests(resync) {
  const pending = (resync.pending ?? []).map((request) => (typeof request === "string" ? { trigger: request } : request));
  const numbers = [
    ["taken", resync.requests], ["covered", resync.covered], ["ignored", resync.ignored],
    ["waiting", pending.length], ["late results", resync.late],
  ].filter(([, number]) => number !== undefined);
  keyed(byId("requests"), numbers, ([name]) => name,
    ([name]) => make("div", {}, make("dt", {}, name), make("dd")),
    (entry, [, number]) => setText(entry.lastElementChild, count(number)));
  show(byId("pending"), pending.length > 0);
  keyed(byId("pending"), pending.slice(0, 20), (request) => request.id ?? request.trigger,
    () => make("li"),
    (line, request) => {
      const kinds = request.kinds ? ` (${request.kinds.join(", ")})` : "";
      const waits = request.requestedAt ? `, ${relative(request.requestedAt)}` : "";
      setText(line, `${request.reason ?? "a resync"}${kinds}: by ${request.trigger}${waits}`);
    });
}

function drawTable(ended) {
  if (!byId("runs-details").open) return;
  keyed(byId("runs-table"), [...ended].reverse(), (run) => run.id, createRow, () => {});
}

function createRow(run) {
  const cell = (text, className) => make("td", { class: className }, text);
  return make("tr", {},
    make("th", { scope: "row" }, run.id),
    make("td", {}, make("span", { class: "badge", "data-state": run.status }, run.status)),
    cell(clock(run.startedAt)), cell(duration(run.seconds), "figure"), cell(run.reason, "long"), cell(run.trigger),
    cell(count(run.entities ?? 0), "figure"), cell(count(run.failedEntities ?? 0), "figure"), cell(count(run.deletedEntities ?? 0), "figure"),
    cell((run.failures ?? []).join("; "), "long"));
}

/** The actors as a tree: each followed by its children. */
function asTree(actors) {
  const names = new Set(actors.map((actor) => actor.name));
  const below = new Map();
  for (const actor of actors) {
    const parent = names.has(actor.parent) ? actor.parent : null;
    below.set(parent, [...(below.get(parent) ?? []), actor]);
  }
  const tree = [];
  const walk = (parent, depth) => (below.get(parent) ?? []).forEach((actor) => {
    tree.push({ ...actor, depth });
    if (depth < 20) walk(actor.name, depth + 1);
  });
  walk(null, 0);
  return tree;
}

function drawActors(status) {
  const actors = status.actors ?? [];
  const letters = Object.values(status.deadLetters ?? {}).reduce((sum, number) => sum + number, 0);
  const restarts = actors.reduce((sum, actor) => sum + actor.restarts, 0);
  setText(byId("actors-summary"), `${actors.length} · ${plural(restarts, "restart")} · ${plural(letters, "dead letter")}`);
  const left = status.leftBehind ?? [];
  setText(byId("left-behind"), left.length ? `Left behind, as they do not end: ${left.join(", ")}` : "");
  keyed(byId("actors"), asTree(actors), (actor) => actor.name,
    (actor) => make("tr", {},
      make("th", { scope: "row" }, make("span", { class: "actor" }, actor.name), make("span", { class: "unseen" })),
      make("td", {}, make("span", { class: "badge" })), make("td", { class: "figure" }), make("td", { class: "figure" }), make("td", { class: "long" })),
    (row, actor) => {
      const [name, state, mailbox, restarted, note] = row.children;
      name.firstElementChild.style.setProperty("--depth", actor.depth);
      setText(name.lastElementChild, actor.parent ? `, child of ${actor.parent}` : "");
      const word = actor.hung ? "hung" : actor.state === "running" ? (actor.message ? "at work" : "idle") : actor.state;
      setText(state.firstElementChild, word);
      setAttribute(state.firstElementChild, "data-state", word === "at work" ? "running" : word);
      setText(mailbox, count(actor.mailbox));
      setText(restarted, count(actor.restarts));
      const work = actor.message ? `${actor.message} for ${duration(actor.message_seconds)}` : "";
      const lost = [[actor.refused, "refused"], [actor.dropped, "dropped"]].filter(([number]) => number);
      setText(note, [actor.message_seconds > 1 || actor.hung ? work : "", actor.failure ?? "", ...lost.map(([number, what]) => `${plural(number, "message")} ${what}`)].filter(Boolean).join("; "));
    });
}

/** `instance` differs in each process, whose events are numbered anew. */
export function drawEvents(events, instance) {
  keyed(byId("events"), [...events].reverse(), (event) => `${instance}-${event.number}`,
    (event) => make("li", { class: "event", "data-level": event.level },
      make("time", { datetime: event.at, title: event.at }, clock(event.at)),
      make("span", { class: "event-kind" }, event.kind),
      make("span", { class: "event-text" }, event.text)),
    () => {});
}
