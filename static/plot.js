// Draws every [data-plot] element from the JSON figure in the script element that it names, and
// again whenever that figure changes. Zoom and selection stay (uirevision). Colours are names of
// our tokens, so a plot follows light and dark.
"use strict";

const token = /var\((--[a-z0-9-]+)\)/g;
const drawn = new WeakMap();
const config = {
  displaylogo: false,
  responsive: true,
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "sendDataToCloud", "sendChartToCloud"],
  toImageButtonOptions: { format: "svg" },
};

function draw() {
  const style = getComputedStyle(document.documentElement);
  const filled = (_, value) => typeof value === "string"
    ? value.replace(token, (_, name) => style.getPropertyValue(name).trim()) : value;
  for (const el of document.querySelectorAll("[data-plot]")) {
    const json = document.getElementById(el.dataset.plot).textContent;
    const seen = style.getPropertyValue("--text") + json;
    if (drawn.get(el) === seen) continue;
    if (!drawn.has(el)) requestAnimationFrame(() => el.on("plotly_click", follow));
    drawn.set(el, seen);
    const figure = JSON.parse(json, filled);
    Plotly.react(el, figure.data, figure.layout, config);
  }
}

// A point that has a page leads to it.
function follow({ points }) {
  if (points[0].customdata) window.location.assign(points[0].customdata);
}

draw();
document.addEventListener("htmx:wsAfterMessage", draw);
document.addEventListener("htmx:afterSettle", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
