// Asks for the status again and again, and has it drawn.

import { byId, make, setAttribute, setText, show } from "./dom.js";
import { clock, holdClock, setClock } from "./format.js";
import { drawEvents, drawStatus, stateName } from "./panels.js";
import { drawSteering, steerWith } from "./steering.js";

const BUSY = 1000; // milliseconds between two questions while a run is in flight
const QUIET = 2000;
const HIDDEN = 15000; // while nobody sees the page
const PATIENCE = 5000; // for an answer
const EVENTS = 100;

let token = sessionStorage.getItem("token");
let status = null;
let etag = null;
let events = [];
let instance = null;
let lastAnswer = null; // when the process answered last
let silent = false; // whether it does not answer any more
let timer = null;
let asking = false;
let choice = 0; // counts the choices of an integration: an answer about another one is dropped
let lastOutcome = null;

class Refused extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

async function call(path, options = {}) {
  const headers = { ...options.headers };
  if (token) headers.Authorization = `Bearer ${token}`;
  const chosen = byId("integration").value;
  const address = new URL(path, document.baseURI);
  if (chosen) address.searchParams.set("integration", chosen);
  const response = await fetch(address, {
    ...options, headers, cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(PATIENCE),
  });
  if (response.ok || response.status === 304) return response;
  const told = await response.json().catch(() => ({}));
  throw new Refused(response.status, told.message ?? `The server answered ${response.status}.`);
}

async function ask() {
  const asked = choice;
  const response = await call("api/status", { headers: etag ? { "If-None-Match": etag } : {} });
  if (response.status === 304) return;
  const answer = await response.json();
  if (asked !== choice) return;
  etag = response.headers.get("ETag");
  status = answer;
  setClock(status.now);
  const known = status.events ?? {};
  const newest = events.length ? events[events.length - 1].number : 0;
  if (known.instance !== instance || known.latest !== newest) await askEvents(known.instance);
}

async function askEvents(current) {
  const again = current === instance;
  const after = again && events.length ? events[events.length - 1].number : 0;
  const asked = choice;
  const answer = await (await call(`api/events?after=${after}`)).json();
  if (asked !== choice) return;
  events = [...(again ? events : []), ...answer.events].slice(-EVENTS);
  instance = answer.instance;
}

function draw() {
  if (!status) return;
  show(byId("content"), true);
  drawStatus(status);
  drawEvents(events, instance);
  drawSteering(status, !silent);
  document.title = `${silent ? "No answer" : stateName(status)} · ${status.integration}`;
  announceOutcome();
}

function announceOutcome() {
  const runs = status.resync?.runs ?? [];
  const last = runs[runs.length - 1];
  if (!last) return;
  if (lastOutcome !== null && lastOutcome !== last.id) setText(byId("announcement"), `Run ${last.id} ${last.status}.`);
  lastOutcome = last.id;
}

function drawConnection() {
  const banner = byId("banner");
  setAttribute(byId("live"), "data-state", silent ? "silent" : "live");
  setText(byId("live-text"), silent ? "No answer" : "Live");
  if (silent) {
    const since = lastAnswer === null ? "" : ` since ${clock(lastAnswer)}`;
    setText(banner, `The process does not answer${since}. This page keeps asking; what it shows is from then.`);
  }
  show(banner, silent);
  document.body.classList.toggle("silent", silent);
}

async function poll() {
  if (asking) return;
  asking = true;
  clearTimeout(timer);
  try {
    if (status === null) await listIntegrations();
    await ask();
    if (silent) setText(byId("announcement"), "The process answers again.");
    silent = false;
    lastAnswer = Date.now();
    show(byId("token-form"), false);
  } catch (error) {
    if (error.code === 401) {
      asking = false;
      askForToken();
      return;
    }
    silent = true;
    etag = null;
  }
  asking = false;
  holdClock(silent ? lastAnswer : null); // what is shown is from then
  drawConnection();
  draw();
  const busy = status?.resync?.run && !silent;
  const dropped = status === null && !silent; // the answer was about another integration
  timer = setTimeout(poll, dropped ? 0 : document.hidden ? HIDDEN : busy ? BUSY : QUIET);
}

async function listIntegrations() {
  const chooser = byId("integration");
  if (chooser.options.length) return;
  const { integrations } = await (await call("api/integrations")).json();
  chooser.append(...integrations.map((name) => make("option", { value: name }, name)));
  const linked = integrations.find((name) => `#${encodeURIComponent(name)}` === location.hash);
  if (linked) chooser.value = linked;
  show(byId("chooser"), integrations.length > 1);
}

function askForToken() {
  setText(byId("live-text"), "Token needed");
  setAttribute(byId("live"), "data-state", null);
  setText(byId("token-problem"), token ? "That token is wrong." : "");
  show(byId("token-form"), true);
  show(byId("content"), false);
  byId("token").focus();
}

byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = byId("token").value.trim();
  byId("token").value = "";
  sessionStorage.setItem("token", token);
  poll();
});

byId("integration").addEventListener("change", (event) => {
  choice += 1;
  status = etag = instance = lastOutcome = null;
  events = [];
  show(byId("content"), false); // until the chosen one is known
  setText(byId("outcome"), "");
  history.replaceState(null, "", `#${encodeURIComponent(event.target.value)}`); // for a reload
  poll();
});

steerWith(async (path, body) => {
  const headers = { "Content-Type": "application/json", "X-Ocean-Actors": "1" };
  let response;
  try {
    response = await call(path, { method: "POST", headers, body: JSON.stringify(body) });
  } catch (error) {
    throw error.code ? error : new Error("The process does not answer.");
  }
  const answer = await response.json();
  setTimeout(poll, 150);
  return answer;
});

byId("runs-details").addEventListener("toggle", draw);
document.addEventListener("visibilitychange", () => document.hidden || poll());
setInterval(() => document.hidden || draw(), 1000); // ages and lengths grow between the answers
poll();
