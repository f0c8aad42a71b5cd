// A chart, drawn by plotly.js once for each change. A click on a mark, or a box drawn around marks, tells the server what
// they carry, the first entry of their `customdata`; a double click tells it of nothing. By keyboard, arrows go from mark
// to mark, and Enter or Space chooses one.
const charts = new WeakMap();
const CONFIG = { displayModeBar: false, doubleClick: false };

let script;

function plotly(address) {
  script ??= import(new URL(address, document.baseURI).href).then(() => window.Plotly);
  script.catch(() => { script = undefined; }); // the next chart tries again
  return script;
}

function carried(points) {
  return points.map((point) => point.customdata?.[0]).filter((text) => typeof text === "string");
}

// --- how it looks: as the rest of the page ---

function theme(box) {
  const style = getComputedStyle(box);
  const font = { family: style.fontFamily, size: 12, color: style.color };
  const axis = { automargin: true, title: { font: { size: 13 } } };
  const value = (name, other) => style.getPropertyValue(name).trim() || other;
  return {
    font,
    xaxis: { ...axis, showgrid: false },
    yaxis: { ...axis, ticklabelposition: "outside" },
    legend: { valign: "top", borderwidth: 0, font: { size: 12 } },
    hoverlabel: {
      bgcolor: value("--st-background-color", "Canvas"), bordercolor: value("--st-border-color", "#888"), font,
    },
  };
}

// --- one chart ---

function draw(chart) {
  const { data, layout } = JSON.parse(chart.figure);
  const width = chart.box.clientWidth;
  if (!width) return; // hidden; it is drawn when it gets a width
  chart.width = width;
  chart.Plotly.react(chart.box, data, { ...layout, width, template: { layout: theme(chart.box) } }, CONFIG);
  if (!chart.listens) listen(chart);
}

function listen(chart) {
  chart.listens = true;
  chart.box.on("plotly_click", ({ points }) => { if (!chart.boxes) chart.tell(carried(points)); });
  chart.box.on("plotly_deselect", () => { if (chart.boxes) chart.tell([]); });
  chart.box.on("plotly_selected", (event) => {
    if (!event?.points.length) return;
    chart.tell(carried(event.points));
    draw(chart); // without the box: the server's answer has a frame of its own
  });
}

// --- the keyboard ---

const WRITTEN_MS = 100;
const STEPS = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };

// Those that take the pointer: {curveNumber, pointNumber}.
function marks(chart) {
  return chart.box.data.flatMap((trace, curveNumber) => (trace.hovertemplate && !trace.base
    ? trace.customdata.map((_, pointNumber) => ({ curveNumber, pointNumber })) : []));
}

function reach(chart, at) {
  const all = marks(chart);
  if (!all.length) return;
  chart.at = Math.min(Math.max(at, 0), all.length - 1);
  chart.Plotly.Fx.hover(chart.box, [all[chart.at]]);
  setTimeout(() => say(chart), WRITTEN_MS);
}

// What plotly writes beside the mark, within its 50 ms, for those who cannot see it.
function say(chart) {
  if (document.activeElement !== chart.box) return;
  const lines = [...chart.box.querySelectorAll(".hovertext :is(text, tspan)")].filter((node) => !node.children.length);
  chart.said.textContent = lines.map((node) => node.textContent).join(", ");
}

function pressed(chart, event) {
  if (!chart.Plotly || !chart.clicks || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in STEPS) reach(chart, (chart.at ?? -1) + STEPS[event.key]);
  else if ((event.key === "Enter" || event.key === " ") && chart.at !== undefined) {
    const { curveNumber, pointNumber } = marks(chart)[chart.at] ?? {};
    chart.tell(carried([{ customdata: chart.box.data[curveNumber]?.customdata[pointNumber] }]));
  } else return;
  event.preventDefault();
  event.stopPropagation();
}

function begin(parentElement) {
  const box = document.createElement("div");
  box.className = "chart";
  box.setAttribute("role", "figure");
  const said = document.createElement("div");
  said.className = "said";
  said.setAttribute("aria-live", "polite");
  parentElement.append(box, said);
  const chart = { box, said };
  box.addEventListener("keydown", (event) => pressed(chart, event));
  box.addEventListener("blur", () => { chart.Plotly?.Fx.unhover(box); said.textContent = ""; });
  new ResizeObserver(() => { if (chart.Plotly && box.clientWidth !== chart.width) draw(chart); }).observe(box);
  return chart;
}

export default function ({ parentElement, data, setTriggerValue }) {
  let chart = charts.get(parentElement);
  if (!chart) charts.set(parentElement, (chart = begin(parentElement)));
  chart.tell = (marks) => { if (data.listens) setTriggerValue("marks", marks); };
  chart.boxes = data.boxes;
  chart.clicks = data.listens && !data.boxes;
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
