// A chart, drawn by plotly.js once per change. A click on a mark, or a box drawn around marks, sends their filters to the
// server: the first entry of their `customdata`; a double click sends none. With the keyboard, the arrows move from mark
// to mark, and Enter or Space chooses one. Its menu saves a copy of it on white.
const charts = new WeakMap();
const CONFIG = { displayModeBar: false, doubleClick: false };

let script;

function plotly(address) {
  script ??= import(new URL(address, document.baseURI).href).then(() => window.Plotly);
  script.catch(() => { script = undefined; }); // the next chart tries again
  return script;
}

function filterTexts(points) {
  return points.map((point) => point.customdata?.[0]).filter((text) => typeof text === "string");
}

// --- fonts and colours of the page ---

function theme(box) {
  const style = getComputedStyle(box);
  const value = (name, other) => style.getPropertyValue(name).trim() || other;
  const font = { family: style.fontFamily, size: 12, color: style.color };
  return template(font, value("--st-background-color", "Canvas"), value("--st-border-color", "#888"));
}

function template(font, background, border) {
  const axis = { automargin: true, title: { font: { size: 13 } } };
  return {
    font,
    xaxis: { ...axis, showgrid: false },
    yaxis: { ...axis, ticklabelposition: "outside" },
    legend: { valign: "top", borderwidth: 0, font: { size: 12 } },
    hoverlabel: { bgcolor: background, bordercolor: border, font },
  };
}

// --- one chart ---

function draw(chart, width = chart.box.clientWidth) {
  const { data, layout } = JSON.parse(chart.figure);
  if (!width) return; // hidden; drawn once it has a width
  chart.width = width;
  chart.Plotly.react(chart.box, data, { ...layout, width, template: { layout: theme(chart.box) } }, CONFIG);
  // the figure has a description; plotly's pictures, and its ruler outside of the page, have no names
  for (const part of [chart.box.querySelector(".plot-container"), document.getElementById("js-plotly-tester")]) {
    part?.setAttribute("aria-hidden", "true");
  }
  if (!chart.listens) listen(chart);
}

function listen(chart) {
  chart.listens = true;
  chart.box.on("plotly_click", ({ points }) => { if (!chart.boxes) chart.send(filterTexts(points)); });
  chart.box.on("plotly_deselect", () => { if (chart.boxes) chart.send([]); });
  chart.box.on("plotly_selected", (event) => {
    if (!event?.points.length) return;
    chart.send(filterTexts(event.points));
    draw(chart); // remove the box: the server's answer draws its own frame
  });
}

// --- the menu ---

async function chartSvg(chart) {
  const { data, layout } = JSON.parse(chart.figure);
  const width = paperWidth(chart.box.clientWidth);
  const look = template({ family: PAPER_FONT, size: 12, color: PAPER_INK }, "#ffffff", PAPER_GREY);
  const copy = { data, layout: { ...layout, width, template: { layout: look } }, config: { staticPlot: true } };
  const Plotly = await plotly(chart.script);
  const svg = await Plotly.toImage(copy, { format: "svg", width, height: layout.height, imageDataOnly: true });
  return { svg, width, height: layout.height };
}

// --- the keyboard ---

const WRITTEN_MS = 100;
const STEPS = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };

// The marks that react to the pointer: {curveNumber, pointNumber}.
function marks(chart) {
  return chart.box.data.flatMap((trace, curveNumber) => (trace.hovertemplate && !trace.base
    ? trace.customdata.map((_, pointNumber) => ({ curveNumber, pointNumber })) : []));
}

function moveTo(chart, at) {
  const all = marks(chart);
  if (!all.length) return;
  chart.at = Math.min(Math.max(at, 0), all.length - 1);
  chart.Plotly.Fx.hover(chart.box, [all[chart.at]]);
  setTimeout(() => announce(chart), WRITTEN_MS);
}

// Repeat the text that plotly shows beside the mark (after 50 ms) for screen readers.
function announce(chart) {
  if (document.activeElement !== chart.box) return;
  const lines = [...chart.box.querySelectorAll(".hovertext :is(text, tspan)")].filter((node) => !node.children.length);
  chart.live.textContent = lines.map((node) => node.textContent).join(", ");
}

function pressed(chart, event) {
  if (!chart.Plotly || !chart.clicks || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in STEPS) moveTo(chart, (chart.at ?? -1) + STEPS[event.key]);
  else if ((event.key === "Enter" || event.key === " ") && chart.at !== undefined) {
    const { curveNumber, pointNumber } = marks(chart)[chart.at] ?? {};
    chart.send(filterTexts([{ customdata: chart.box.data[curveNumber]?.customdata[pointNumber] }]));
  } else return;
  event.preventDefault();
  event.stopPropagation();
}

function createChart(parentElement) {
  const box = element("div", "chart");
  box.setAttribute("role", "figure");
  const live = element("div", "visually-hidden");
  live.setAttribute("aria-live", "polite");
  const chart = { box, live };
  chart.menu = createFigureMenu({
    texts: () => chart.texts,
    inner: () => chartSvg(chart),
    table: () => JSON.parse(chart.figure).layout.meta,
  });
  parentElement.append(chart.menu.root, box, live);
  box.addEventListener("keydown", (event) => pressed(chart, event));
  box.addEventListener("blur", () => { chart.Plotly?.Fx.unhover(box); live.textContent = ""; });
  new ResizeObserver(([{ contentRect }]) => { // asking the box itself would lay out the page, once per chart
    if (chart.Plotly && Math.round(contentRect.width) !== chart.width) draw(chart, Math.round(contentRect.width));
  }).observe(box);
  return chart;
}

export default function ({ parentElement, data, setTriggerValue }) {
  let chart = charts.get(parentElement);
  if (!chart) charts.set(parentElement, (chart = createChart(parentElement)));
  chart.send = (marks) => { if (data.listens) setTriggerValue("marks", marks); };
  chart.boxes = data.boxes;
  chart.clicks = data.listens && !data.boxes;
  chart.script = data.script;
  chart.texts = data.menu;
  chart.menu.update();
  if (chart.clicks) chart.box.tabIndex = 0;
  chart.box.setAttribute("aria-label", data.alt);
  chart.box.style.height = `${data.height}px`;
  if (chart.figure === data.figure) return undefined;
  chart.figure = data.figure;
  plotly(data.script).then(
    (Plotly) => { chart.Plotly = Plotly; draw(chart); },
    () => { chart.box.textContent = "This chart cannot be drawn: its script did not arrive. Reload the page."; },
  );
  return undefined;
}
