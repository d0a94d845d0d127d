// The review page: drafts saved while somebody types, the lease kept while the page is used and
// given back on leaving, both forms of the diff, and where the focus goes after a decision.
"use strict";

const BEAT = 60_000, UNUSED = 300_000, PAUSE = 600, AGAIN = 3_000, LOOK = 10_000, UNSEEN = 400;
const LEAVES = {
  approve: "Approve the rewrite as it was suggested? Your edit is not in it.",
  skip: "Skip the rewrite? Your edit of it is not kept.",
  other: "Go on without it? What you wrote below is not sent.",
};
const card = () => document.getElementById("card");
const page = () => document.getElementById("review");
let shown = 0, told = 0, used = Date.now(), unsaved = false, saving = false, waiting = 0, edits = 0;

// What the page sends beside htmx. The token is the newest: another tab may have signed in again.
function filled(form) {
  const data = new FormData(form);
  // Words behind a closed panel are a draft of its decision still.
  const panel = form.querySelector(".panel[open]") ?? [...form.querySelectorAll(".panel")].find(holdsWords);
  data.set("decision", panel ? panel.dataset.decision : "");
  data.set("csrfmiddlewaretoken", token() || data.get("csrfmiddlewaretoken"));
  return data;
}

function token() {
  return document.cookie.match(/(?:^|; )csrftoken=([^;]+)/)?.[1];
}

async function send(address, data) {
  const reply = await fetch(address, { method: "POST", body: data, redirect: "manual" });
  if (reply.type === "opaqueredirect") throw new Error("you were signed out; sign in again in another tab");
  if (!reply.ok && reply.headers.get("Content-Type") !== "application/json") throw turnedDown(reply.status, await reply.text());
  return [reply.ok, await reply.json()];
}

// An answer that is no word on the rewrite, as an error; one that stays so is `final`.
function turnedDown(status, page) {
  if (status === 403 && page.includes("data-stale")) return Object.assign(new Error("this page is out of date; reload it"), { final: true });
  if (status !== 403 && status !== 404) return new Error("the console did not take it");
  return Object.assign(new Error("you may not review here any more, for your role was changed or you were removed; ask one of the project's owners"), { final: true });
}

// Drafts: saved when the typing pauses, again and again until the server has them.
function touched() {
  unsaved = true;
  edits += 1;
  later(PAUSE);
}

function later(delay) {
  clearTimeout(waiting);
  waiting = setTimeout(save, delay);
}

async function save() {
  const form = card(), upTo = edits;
  let again = true;
  if (!form || !unsaved || saving) return;
  saving = true;
  try {
    const [ok, said] = await send(form.dataset.draft, filled(form));
    if (form !== card()) return;
    if (ok) saved(said);
    else tell(`not saved: ${said.error}`);
    unsaved = edits > upTo;
  } catch (error) {
    if (form !== card()) return;
    const why = error instanceof TypeError ? "no connection" : error.message;
    again = !error.final;
    tell(again ? `not saved yet: ${why}. Your text stays here and is sent again.` : `not saved: ${why}. Your text stays here.`);
  } finally {
    saving = false;
    if (unsaved && (again || edits > upTo)) later(edits > upTo ? PAUSE : AGAIN);
  }
}

function saved({ saved_at: at, changes }) {
  const time = Object.assign(document.createElement("time"), { dateTime: at, textContent: clock(at) });
  document.getElementById("saved").replaceChildren("draft saved ", time);
  document.getElementById("saved").dataset.at = at;
  document.getElementById("saved").classList.remove("bad");
  document.getElementById("changes").innerHTML = changes; // the server's own, escaped
}

function tell(words) {
  document.getElementById("saved").textContent = words;
  document.getElementById("saved").classList.add("bad");
}

// The lease: renewed while the page is seen and used; taken again where it had lapsed unnoticed.
async function beat() {
  const form = card();
  if (!form?.lease?.value || document.hidden || Date.now() - used > UNUSED) return;
  try {
    const [ok, said] = await send(form.dataset.hold, filled(form));
    if (form !== card()) return;
    document.getElementById("lost").hidden = ok;
    if (ok) {
      form.lease.value = said.lease;
      const left = document.querySelector("#held [data-left]");
      if (left) left.dataset.left = said.seconds;
      count();
    } else document.getElementById("lost").textContent = `${said.error}. What you wrote stays as your draft.`;
  } catch (error) { // without a connection the next beat asks again
    if (error.final) refused(`${error.message}. Your text stays here.`, true);
  }
}

function leave() {
  const form = card();
  if (!form) return;
  if (unsaved) {
    const fields = [...filled(form)].filter(([name]) => !["csrfmiddlewaretoken", "lease", "guideline"].includes(name));
    sessionStorage.setItem(form.dataset.draft, JSON.stringify({ after: savedAt(), fields }));
    navigator.sendBeacon(form.dataset.draft, filled(form));
  }
  if (form.dataset.release) navigator.sendBeacon(form.dataset.release, filled(form));
}

// When the server last saved the draft; it outlives what `tell` writes in the time's place.
const savedAt = () => document.getElementById("saved")?.dataset.at ?? "";

// What was typed last before a reload may not have reached the server when the page came again.
// A draft saved since is that text, or a newer one of another device.
function restore() {
  const form = card(), kept = form && sessionStorage.getItem(form.dataset.draft);
  if (!kept) return;
  sessionStorage.removeItem(form.dataset.draft);
  const { after, fields } = JSON.parse(kept);
  if (after !== savedAt()) return;
  for (const [name, value] of fields) {
    if (name === "decision") form.querySelector(`.panel[data-decision="${value}"]`)?.setAttribute("open", "");
    else if (form.elements[name]) form.elements[name].value = value;
  }
  touched();
}

// Seconds that run down, in words as the server writes them, and times by the reader's clock.
function duration(seconds) {
  return seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}

function count() {
  for (const el of document.querySelectorAll("[data-left]")) {
    el.until = el.dataset.left === el.set ? el.until : Date.now() + 1000 * el.dataset.left;
    el.set = el.dataset.left;
    el.textContent = duration(Math.max(0, el.until - Date.now()) / 1000);
  }
}

const clock = (at) => new Date(at).toTimeString().slice(0, 8);

function look() {
  const idle = document.hidden || Date.now() - used > UNUSED;
  const isTold = told > used; // why something was refused stays until it was seen
  if (page()?.hasAttribute("data-empty") && !idle && !isTold) htmx.ajax("GET", location.pathname, { target: "#review", swap: "outerHTML" });
}

// The diff, side by side or as one text, as this browser was last asked for.
function show() {
  document.documentElement.dataset.diff = localStorage.getItem("diff") || "sides";
  for (const el of document.querySelectorAll("[data-diff-toggle], [data-looks]")) el.hidden = false;
  for (const el of document.querySelectorAll("time[data-clock]")) el.textContent = clock(el.dateTime);
  for (const el of document.querySelectorAll("details[data-remember]")) el.open = localStorage.getItem(el.dataset.remember) !== "folded";
  count();
}

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-diff-toggle]")) {
    localStorage.setItem("diff", document.documentElement.dataset.diff === "sides" ? "inline" : "sides");
    show();
  }
  if (event.target.closest("a[href='#guideline']")) {
    event.preventDefault();
    const guideline = document.getElementById("guideline");
    const seen = guideline.open && guideline.getBoundingClientRect().top < innerHeight;
    guideline.open = !seen;
    if (!seen) guideline.scrollIntoView({ block: "nearest" });
  }
});
document.addEventListener("toggle", ({ target }) => {
  if (target.dataset.remember) localStorage.setItem(target.dataset.remember, target.open ? "open" : "folded");
}, true);

for (const kind of ["pointerdown", "keydown", "scroll"]) document.addEventListener(kind, () => { used = Date.now(); }, { capture: true, passive: true });
document.addEventListener("input", (event) => { if (event.target.form?.id === "card") touched(); });
document.addEventListener("visibilitychange", beat);
window.addEventListener("online", () => { later(0); beat(); });
window.addEventListener("pagehide", leave);
window.addEventListener("pageshow", () => setTimeout(beat, 1500));
window.addEventListener("beforeunload", (event) => { if (unsaved && !navigator.onLine) event.preventDefault(); });
setInterval(beat, BEAT);
setInterval(count, 1000);
setInterval(look, LOOK);

// A second click or key of a decision would fall on the next rewrite, which nobody has seen yet.
document.addEventListener("click", (event) => {
  const button = event.target.closest("#card .decide > [name=decision]");
  if (!button) return;
  const seen = Date.now() - shown >= UNSEEN, left = leftBehind(button.value);
  if (!seen || (left && !window.confirm(left))) event.preventDefault();
}, true);

// The question to ask where a decision would leave behind what was written for another.
function leftBehind(decision) {
  const open = card().querySelector(".panel[open]");
  if (open && open.dataset.decision !== "edit" && (holdsWords(open) || open.querySelector(":checked"))) return LEAVES.other;
  return differs() && (decision === "skip" || leavesEditOut()) ? LEAVES[decision] : "";
}

const holdsWords = (panel) => Boolean(panel.querySelector("input[name^='words.']")?.value.trim());

// Whether approving would pass over an edit: one behind its closed panel, or any on a page that
// approves as suggested.
function leavesEditOut() {
  return !card().hasAttribute("hx-post") || !card().elements.text.closest(".panel").open;
}

function differs() {
  const field = card().elements.text, plain = (text) => text.replace(/\r\n?/g, "\n").trim();
  return plain(field.value) !== "" && plain(field.value) !== plain(field.dataset.suggested);
}

// A decision. Approving with an edit open approves the edit. What was typed and not yet saved goes
// with it, so no draft may come after it; before another rewrite is fetched by undo it is saved.
document.addEventListener("submit", ({ target }) => {
  if (target.id !== "card") return;
  clearTimeout(waiting);
  if (!target.hasAttribute("hx-post")) unsaved = false;
});
document.addEventListener("htmx:configRequest", ({ detail }) => {
  if (detail.parameters.csrfmiddlewaretoken) detail.parameters.csrfmiddlewaretoken = token() || detail.parameters.csrfmiddlewaretoken;
  const isEdited = detail.elt.id === "card" && card().querySelector(".panel[open]")?.dataset.decision === "edit";
  if (isEdited && detail.parameters.decision === "approve") detail.parameters.decision = "edit";
  if (detail.elt.id === "undo" && unsaved) navigator.sendBeacon(card().dataset.draft, filled(card()));
});
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.isError || event.detail.serverResponse.includes('id="review"')) return;
  event.detail.shouldSwap = false;
  refused("You were signed out. Sign in again in another tab, then send it again; your text stays here.");
});
document.addEventListener("htmx:responseError", ({ detail: { xhr } }) => {
  const { message, final } = turnedDown(xhr.status, xhr.responseText);
  refused(`${message}. Your text stays here${final ? "" : "; try again"}.`, final);
});
document.addEventListener("htmx:sendError", () => refused("No connection. Your text stays here; send it again when the connection is back."));

function refused(words, final) {
  const lost = document.getElementById("lost");
  if (!lost) return;
  lost.textContent = `Not recorded: ${words}`;
  lost.hidden = false;
  if (unsaved && !final) later(AGAIN);
}

document.addEventListener("htmx:afterSwap", ({ detail }) => {
  if (detail.target.id !== "review") return;
  const stays = detail.xhr.status === 422;
  if (detail.xhr.status === 409) told = Date.now();
  const waits = page().hasAttribute("data-empty") && detail.requestConfig.verb === "get";
  unsaved = stays && unsaved;
  clearTimeout(waiting);
  if (unsaved) later(PAUSE); // a refused answer is still a draft
  document.querySelectorAll("main > .message").forEach((told) => told.remove());
  if (!stays) shown = Date.now();
  show();
  if (waits) return;
  const panel = document.querySelector(".panel[open]");
  const first = stays && panel ? panel.querySelector("textarea, input") : page().querySelector("h1");
  first.focus();
  if (!stays) window.scrollTo({ top: 0 });
});

show();
restore();
