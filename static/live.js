// Live pages. A frame from the socket is the whole state of a part of the page as HTML; it is
// morphed into what stands there, so that focus, scroll, selection, open details and plots stay.
// Ages count on between frames by the server's clock.
"use strict";

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE && node.id) || "";
const alike = (a, b) => a.nodeName === b.nodeName && keyOf(a) === keyOf(b);

function morph(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType !== Node.ELEMENT_NODE) {
    old.data = fresh.data;
    return;
  }
  morphAttributes(old, fresh);
  if (old.hasAttribute("data-plot")) return; // plot.js draws inside it
  const stuck = old.matches("[data-stick]") && old.scrollHeight - old.scrollTop - old.clientHeight < 24;
  morphChildren(old, fresh);
  if (stuck) old.scrollTop = old.scrollHeight;
}

function morphAttributes(old, fresh) {
  const drawn = old.hasAttribute("data-plot");
  for (const { name } of [...old.attributes]) {
    const opened = name === "open" && old.nodeName === "DETAILS";
    if (!fresh.hasAttribute(name) && !opened && !drawn) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (drawn && name === "class") continue; // Plotly adds classes of its own
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
}

function morphChildren(old, fresh) {
  let at = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const key = keyOf(child);
    let match = at;
    if (key) match = [...old.children].find((el) => el.id === key) || null;
    if (match && alike(match, child)) {
      if (match === at) at = at.nextSibling;
      else old.insertBefore(match, at);
      morph(match, child);
    } else {
      old.insertBefore(child, at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

htmx.defineExtension("morph", {
  isInlineSwap: (style) => style === "morph",
  handleSwap(style, target, fragment) {
    if (style !== "morph") return false;
    const fresh = fragment.nodeType === Node.ELEMENT_NODE ? fragment : fragment.firstElementChild;
    fresh.removeAttribute("hx-swap-oob");
    morph(target, fresh);
    countAges();
    return [target];
  },
});

function words(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds / 60) % 60} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor(seconds / 3600) % 24} h`;
}

// data-age: seconds when the frame was made; it grows by the time since the frame came.
const came = new WeakMap();
function countAges() {
  for (const el of document.querySelectorAll("[data-age]")) {
    const known = came.get(el);
    if (!known || known.age !== el.dataset.age) came.set(el, { age: el.dataset.age, at: performance.now() });
    const { age, at } = came.get(el);
    const text = words(Number(age) + (performance.now() - at) / 1000);
    if (el.textContent !== text) el.textContent = text;
  }
}
setInterval(countAges, 1000);
countAges();
for (const el of document.querySelectorAll("[data-stick]")) el.scrollTop = el.scrollHeight;

// Says so when the feed is cut; the socket tries again by itself, and its first frame heals all.
const cut = document.getElementById("feed-cut");
document.addEventListener("htmx:wsClose", () => { if (cut) cut.hidden = false; });
document.addEventListener("htmx:wsOpen", () => { if (cut) cut.hidden = true; });
