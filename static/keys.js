// Single keys: an element with data-key="a" is clicked (or a field focused) when that key is
// pressed, never while somebody types. `?` lists the keys of the page.
"use strict";

const dialog = document.getElementById("keys");
const allowed = document.getElementById("keys-on");
allowed.checked = localStorage.getItem("keys") !== "off";
allowed.addEventListener("change", () => localStorage.setItem("keys", allowed.checked ? "on" : "off"));
document.querySelector("[data-keys-dialog]").hidden = false;

function keyed() {
  return [...document.querySelectorAll("[data-key]")].filter((el) => el.checkVisibility() && !el.disabled);
}

function typing(target) {
  return target.closest("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable], .panel[open]") !== null;
}

function showKeys() {
  const rows = keyed().flatMap((el) => {
    const key = document.createElement("dt");
    const does = document.createElement("dd");
    key.append(Object.assign(document.createElement("kbd"), { textContent: el.dataset.key }));
    const words = el.dataset.does || [...el.childNodes].filter((n) => n.nodeName !== "KBD").map((n) => n.textContent).join("");
    does.textContent = words.trim();
    return [key, does];
  });
  dialog.querySelector("dl").replaceChildren(...rows);
  dialog.showModal();
}

// While typing: Ctrl Enter submits what is marked for it, Escape leaves the field or its panel.
document.addEventListener("keydown", (event) => {
  if (!typing(event.target)) return;
  const panel = event.target.closest(".panel[open]");
  const submit = (panel ?? event.target.form)?.querySelector("[data-ctrl-enter]");
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && submit) submit.click();
  else if (event.key === "Escape" && panel) {
    panel.open = false;
    panel.querySelector("summary").focus();
  } else if (event.key === "Escape") event.target.blur();
});

// Opening a panel closes its neighbours and puts the cursor into its first field: at once by key,
// so that what is typed next goes there.
function enter(panel) {
  if (!panel.open) return;
  for (const other of panel.parentElement.querySelectorAll(".panel[open]")) other.open = other === panel;
  if (panel.contains(document.activeElement?.closest(".inside"))) return;
  const field = panel.querySelector("[type=radio]:checked") ?? panel.querySelector("textarea, input");
  field.focus();
  if (field.matches("textarea")) field.setSelectionRange(field.value.length, field.value.length);
}

document.addEventListener("toggle", ({ target }) => {
  if (target.matches(".panel")) enter(target);
}, true);

// A page that comes with an open panel, as after a reload, goes on where it was left.
const begun = document.querySelector(".panel[open]");
if (begun && document.activeElement === document.body) enter(begun);

// A digit picks that one of the radio buttons that have the focus.
document.addEventListener("keydown", (event) => {
  const group = event.target.closest("[data-digits]");
  const picked = group && !event.ctrlKey && !event.altKey && group.querySelectorAll("[type=radio]")[Number(event.key) - 1];
  if (!picked) return;
  event.preventDefault();
  picked.focus();
  picked.click();
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.isComposing) return;
  if (typing(event.target) || dialog.open || !allowed.checked) return;
  const found = keyed().find((el) => el.dataset.key === event.key);
  if (!found) return;
  event.preventDefault();
  const panel = found.matches(".panel > summary") ? found.parentElement : null;
  if (found.matches("input:not([type=checkbox]), textarea, select")) found.focus();
  else if (!panel?.open) found.click();
  if (panel) enter(panel);
});

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-keys-dialog]")) showKeys();
  const copied = event.target.closest("[data-copy]");
  if (copied) copy(copied);
  const asked = event.target.closest("[data-confirm]");
  if (asked && !window.confirm(asked.dataset.confirm)) event.preventDefault();
});

// A button that copies the field that it names; where the browser lets no page copy, it selects it.
function copy(button) {
  const field = document.getElementById(button.dataset.copy);
  field.select();
  const done = () => { button.textContent = "Copied"; };
  navigator.clipboard?.writeText(field.value).then(done, () => {});
}
for (const button of document.querySelectorAll("[data-copy]")) button.hidden = false;
