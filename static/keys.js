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
  return target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]") !== null;
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

// While typing: Ctrl Enter submits what is marked for it, Escape leaves the field.
document.addEventListener("keydown", (event) => {
  if (!typing(event.target)) return;
  const submit = event.target.form?.querySelector("[data-ctrl-enter]");
  if (event.key === "Escape") event.target.blur();
  else if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && submit) submit.click();
});

// Opening a section that holds a text to edit puts the cursor into it.
document.addEventListener("toggle", (event) => {
  if (event.target.open) event.target.querySelector("textarea")?.focus();
}, true);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.isComposing) return;
  if (typing(event.target) || dialog.open || !allowed.checked) return;
  const found = keyed().find((el) => el.dataset.key === event.key);
  if (!found) return;
  event.preventDefault();
  if (found.matches("input, textarea, select")) found.focus();
  else found.click();
});

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-keys-dialog]")) showKeys();
  const asked = event.target.closest("[data-confirm]");
  if (asked && !window.confirm(asked.dataset.confirm)) event.preventDefault();
});
