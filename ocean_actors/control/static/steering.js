// Buttons and dialogs: what is sent, and what is asked before.

import { byId, keyed, make, setAttribute, setText, show } from "./dom.js";
import { duration, secondsSince } from "./format.js";

let latest = null;
let send = null; // set by `steerWith`

/** `call(path, body)` sends a call and resolves to its answer, or throws an error to be shown. */
export function steerWith(call) {
  send = call;
}

export function drawSteering(status, reachable) {
  latest = status;
  const resync = status.resync;
  const works = reachable && Boolean(resync) && !status.stopped;
  const ours = (resync?.pauses ?? []).some((pause) => pause.owner === "api");
  for (const button of byId("actions").children) button.disabled = !works;
  byId("abort").disabled = !works || !resync.run || resync.state === "aborting";
  show(byId("pause"), !ours);
  show(byId("resume"), ours);
  if (!reachable) setText(byId("outcome"), "");
}

function prepare(dialog) {
  const run = latest.resync?.run;
  const since = run ? duration(secondsSince(run.startedAt)) : "";
  dialog.querySelector("form").reset();
  if (dialog.id === "resync-dialog") {
    const kinds = [...new Set(Object.values(latest.resync?.kinds ?? {}).flat())].sort();
    keyed(byId("kinds"), kinds, (kind) => kind,
      (kind) => make("label", { class: "check" }, make("input", { type: "checkbox", name: "kind", value: kind }), ` ${kind}`),
      () => {});
    show(byId("kinds-field"), kinds.length > 0);
    show(byId("policy-field"), Boolean(run));
    show(byId("resync-note"), Boolean(run));
    setText(byId("resync-note"), run ? `Run ${run.id} has been at work for ${since}. If it is aborted, its work so far is lost.` : "");
  }
  if (dialog.id === "abort-dialog") {
    setText(byId("abort-note"), run
      ? `Run ${run.id} (${run.reason}) has been at work for ${since}. What it sent to Port stays; the rest is not sent, nothing is reconciled, and it is not run again.`
      : "No run is in flight any more.");
  }
  if (dialog.id === "pause-dialog") show(byId("pause-abort"), Boolean(run));
  setText(dialog.querySelector(".problem"), "");
}

function bodyOf(form) {
  const fields = new FormData(form);
  const body = { reason: fields.get("reason").trim() };
  if (form.dataset.call === "resync") {
    if (!byId("all-kinds").checked) body.kinds = fields.getAll("kind");
    if (fields.get("policy") && !byId("policy-field").hidden) body.policy = fields.get("policy");
  }
  if (form.dataset.call === "pause") body.abort = fields.has("abort");
  return body;
}

const DONE = {
  resync: () => "The resync was requested.",
  abort: (answer) => (answer.aborted ? "The run is being aborted." : "No run was in flight any more."),
  pause: () => "Paused: no run starts until you resume.",
  resume: () => "Resumed.",
};

async function act(call, body) {
  const answer = await send(`api/${call}`, body);
  setText(byId("outcome"), DONE[call](answer));
}

for (const button of document.querySelectorAll("[data-opens]")) {
  button.addEventListener("click", () => {
    const dialog = byId(button.dataset.opens);
    prepare(dialog);
    dialog.showModal();
  });
}

for (const dialog of document.querySelectorAll("dialog")) {
  const form = dialog.querySelector("form");
  const submit = form.querySelector("[type=submit]");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const body = bodyOf(form);
    const problem = dialog.querySelector(".problem");
    if (body.kinds && !body.kinds.length) {
      setText(problem, "Choose a kind, or all kinds.");
      return;
    }
    submit.disabled = true;
    try {
      await act(form.dataset.call, body);
      dialog.close();
    } catch (error) {
      setText(problem, error.message);
    } finally {
      submit.disabled = false;
    }
  });
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
}

byId("kinds").addEventListener("change", () => {
  byId("all-kinds").checked = !byId("kinds").querySelector(":checked");
});
byId("all-kinds").addEventListener("change", (event) => {
  if (event.target.checked) for (const box of byId("kinds").querySelectorAll("input")) box.checked = false;
});

byId("resume").addEventListener("click", async () => {
  setAttribute(byId("resume"), "disabled", "");
  try {
    await act("resume", { reason: "resumed on the dashboard" });
  } catch (error) {
    setText(byId("outcome"), error.message);
  }
});
