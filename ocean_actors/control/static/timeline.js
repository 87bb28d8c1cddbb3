// The picture of the latest runs: one bar each, its height the length of the run. The outcome shows
// in the colour and in the shape: a cross above a failed run, a diamond above a hollow aborted one.

import { byId, keyed, make, makeSvg, setAttribute, setText } from "./dom.js";
import { clock, count, duration, relative, secondsSince } from "./format.js";

const HEIGHT = 148;
const TOP = 20; // above the highest bar, for its mark
const BOTTOM = 6;
const NARROWEST = 8;
const WIDEST = 26;

const chart = byId("chart");
const picture = byId("timeline");
const detail = byId("run-detail");

let runs = [];
let chosen = null; // the id of the run that has the focus or the pointer
let pinnedToEnd = true;

export const lengthOf = (run) => (run.status === "running" ? secondsSince(run.startedAt) ?? 0 : run.seconds);

export function summary(run) {
  const outcome = run.status === "running" ? "running for" : `${run.status} after`;
  const parts = [`Run ${run.id}, ${outcome} ${duration(lengthOf(run))}`, `started ${clock(run.startedAt)}`, run.reason];
  if (run.failures && run.failures.length) parts.push(run.failures[0]);
  return parts.join(", ");
}

export function drawTimeline(latest) {
  runs = latest;
  draw();
}

function draw() {
  const width = chart.clientWidth;
  if (!width) return;
  const slot = Math.min(WIDEST, Math.max(NARROWEST, width / Math.max(1, runs.length)));
  const full = Math.max(width, slot * runs.length);
  setAttribute(picture, "width", full);
  setAttribute(picture, "height", HEIGHT);
  setAttribute(picture, "viewBox", `0 0 ${full} ${HEIGHT}`);
  const longest = Math.max(1, ...runs.map(lengthOf));
  const first = full - slot * runs.length;
  const places = new Map(runs.map((run, index) => [run.id, first + slot * index]));
  keyed(picture, runs, (run) => run.id, create, (bar, run) => update(bar, run, places.get(run.id), slot, longest));
  if (pinnedToEnd) chart.scrollLeft = full;
  const focusable = runs.find((run) => run.id === chosen) ?? runs[runs.length - 1];
  for (const bar of picture.children) setAttribute(bar, "tabindex", focusable && bar.dataset.key === focusable.id ? 0 : -1);
  tell(focusable);
}

function create() {
  return makeSvg("g", { role: "img" },
    makeSvg("rect", { class: "hit", y: 0, height: HEIGHT }),
    makeSvg("rect", { class: "bar" }),
    makeSvg("path", { class: "mark" }));
}

function update(bar, run, x, slot, longest) {
  const [hit, body, mark] = bar.children;
  // The square root keeps short runs visible beside long ones.
  const height = Math.max(4, Math.sqrt(lengthOf(run) / longest) * (HEIGHT - TOP - BOTTOM));
  const hollow = run.status === "aborted" ? 0.75 : 0;
  const wide = Math.max(5, slot - 4);
  const left = (slot - wide) / 2;
  setAttribute(bar, "class", `run ${run.status}`);
  setAttribute(bar, "transform", `translate(${x.toFixed(1)} 0)`);
  setAttribute(bar, "aria-label", summary(run));
  setAttribute(hit, "width", slot);
  setAttribute(body, "class", `bar ${run.status}`);
  setAttribute(body, "x", left + hollow);
  setAttribute(body, "width", wide - 2 * hollow);
  setAttribute(body, "y", (HEIGHT - BOTTOM - height + hollow).toFixed(1));
  setAttribute(body, "height", (height - 2 * hollow).toFixed(1));
  setAttribute(body, "rx", 1.5);
  setAttribute(mark, "class", `mark ${run.status}`);
  setAttribute(mark, "d", markOf(run.status, slot / 2, HEIGHT - BOTTOM - height - 8));
}

function markOf(status, x, y) {
  if (status === "failed") return `M${x - 3} ${y - 3}l6 6m0-6l-6 6`;
  if (status === "aborted") return `M${x} ${y - 3.5}l3.5 3.5l-3.5 3.5l-3.5-3.5z`;
  return "";
}

/** Shows all that is known of a run below the picture. */
function tell(run) {
  for (const bar of picture.children) bar.classList.toggle("chosen", run !== undefined && bar.dataset.key === run.id);
  if (!run) {
    detail.replaceChildren(make("p", { class: "muted" }, "No run has started yet."));
    return;
  }
  if (!detail.firstElementChild || !detail.firstElementChild.matches("dl")) {
    detail.replaceChildren(make("dl", { class: "facts row" }));
  }
  const facts = [
    ["Run", run.id],
    ["Outcome", run.status],
    ["Started", `${clock(run.startedAt)} (${relative(run.startedAt)})`],
    ["Length", duration(lengthOf(run))],
    ["Reason", run.reason],
    ["Trigger", run.trigger],
    ["Kinds", run.kinds ? run.kinds.join(", ") : null],
    ["Entities", entities(run)],
    ["Requests covered", run.covered === undefined ? null : count(run.covered)],
    ["Failures", run.failures && run.failures.length ? run.failures.join("; ") : null],
  ].filter(([, text]) => text !== null);
  keyed(detail.firstElementChild, facts, ([name]) => name,
    ([name]) => make("div", { class: name === "Failures" ? "whole" : null }, make("dt", {}, name), make("dd")),
    (fact, [name, text]) => {
      setText(fact.lastElementChild, text);
      setAttribute(fact.lastElementChild, "data-outcome", name === "Outcome" ? run.status : null);
    });
}

function entities(run) {
  const parts = [[run.entities, "sent"], [run.failedEntities, "refused"], [run.deletedEntities, "deleted"]];
  return parts.filter(([number]) => number).map(([number, what]) => `${count(number)} ${what}`).join(", ") || "none";
}

export function describeRuns(ended) {
  if (!ended.length) return "No run has ended in this process yet.";
  const of = (status) => ended.filter((run) => run.status === status).length;
  const last = ended.length === 1 ? "The only run so far" : `The last ${count(ended.length)} runs`;
  return `${last}: ${of("completed")} completed, ${of("failed")} failed, ${of("aborted")} aborted. The longest took ${duration(Math.max(...ended.map(lengthOf)))}.`;
}

function choose(bar, focus) {
  chosen = bar.dataset.key;
  for (const other of picture.children) setAttribute(other, "tabindex", other === bar ? 0 : -1);
  if (focus) {
    bar.focus({ preventScroll: true });
    bar.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  tell(runs.find((run) => run.id === chosen));
}

const barAt = (event) => event.target.closest("g.run");

picture.addEventListener("focusin", (event) => barAt(event) && choose(barAt(event), false));
picture.addEventListener("pointerover", (event) => barAt(event) && choose(barAt(event), false));
picture.addEventListener("click", (event) => barAt(event) && choose(barAt(event), true));
picture.addEventListener("keydown", (event) => {
  const bar = barAt(event);
  const target = bar && {
    ArrowLeft: bar.previousElementSibling,
    ArrowRight: bar.nextElementSibling,
    Home: picture.firstElementChild,
    End: picture.lastElementChild,
  }[event.key];
  if (!target) return;
  event.preventDefault();
  choose(target, true);
});
picture.addEventListener("pointerleave", () => {
  if (picture.contains(document.activeElement)) return;
  chosen = null;
  draw();
});
chart.addEventListener("scroll", () => {
  pinnedToEnd = chart.scrollLeft + chart.clientWidth >= picture.clientWidth - 2;
}, { passive: true });
new ResizeObserver(draw).observe(chart);
