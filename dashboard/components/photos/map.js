// A map of photos: one point per photo, coloured by a field. Drag draws a lasso or a box, whose photos the server then
// shows; the wheel zooms, and the tool Move, the middle button or Shift moves the map. A point names its photo, and a
// click opens it. By keyboard: arrows move, + and - zoom, 0 shows all, Enter chooses what is in view, Escape nothing.
const maps = new WeakMap();
const MOST_ZOOM = 400;
const QUICK_POINTS = 150_000; // drawn while the map moves
const CALM_MS = 140;
const HOVER_MS = 60;
const ANSWER_MS = 4000;
const TOOLS = {
  lasso: ["Lasso", "M8 2c3.6 0 6.5 2 6.5 4.5S11.6 11 8 11c-.7 0-1.4-.1-2-.2L5 14l-1.3-.4.9-3C2.6 9.7 1.500 8.200 1.500 6.500 1.500 4 4.4 2 8 2Zm0 1.4C5.100 3.4 2.9 4.800 2.9 6.500S5.100 9.6 8 9.6s5.1-1.4 5.1-3.100S10.9 3.4 8 3.4Z"],
  box: ["Box", "M2 3h12v10H2V3Zm1.4 1.4v7.200h9.200V4.4H3.4Z"],
  move: ["Move", "m8 1 2.200 2.3H8.7v4h4V5.800L15 8l-2.3 2.200V8.7h-4v4h1.500L8 15l-2.2-2.3h1.500v-4h-4v1.500L1 8l2.3-2.200v1.500h4v-4H5.800L8 1Z"],
};

// --- where the map stands: pixel = (unit - view.x) * view.scale ---

function fitView(map) {
  const { width, height } = map.base;
  const [x0, y0, x1, y1] = map.bounds;
  const margin = 16 * map.ratio;
  const wide = Math.max(x1 - x0, 1);
  const high = Math.max(y1 - y0, 1);
  const scale = Math.min((width - 2 * margin) / wide, (height - 2 * margin) / high);
  return { scale, x: (x0 + x1) / 2 - width / 2 / scale, y: (y0 + y1) / 2 - height / 2 / scale };
}

function boundsOf({ xy, codes }) {
  let [x0, y0, x1, y1] = [MAP_UNITS, MAP_UNITS, 0, 0];
  for (let at = 0; at < codes.length; at += 1) {
    if (codes[at] === HIDDEN) continue;
    const [x, y] = [xy[2 * at], xy[2 * at + 1]];
    if (x < x0) x0 = x;
    if (x > x1) x1 = x;
    if (y < y0) y0 = y;
    if (y > y1) y1 = y;
  }
  return x0 > x1 ? [0, 0, MAP_UNITS, MAP_UNITS] : [x0, y0, x1, y1];
}

function toUnits(map, px, py) {
  return [px * map.ratio / map.view.scale + map.view.x, py * map.ratio / map.view.scale + map.view.y];
}

function toPixels(map, x, y) {
  return [(x - map.view.x) * map.view.scale, (y - map.view.y) * map.view.scale];
}

function zoom(map, factor, px = map.base.width / 2 / map.ratio, py = map.base.height / 2 / map.ratio) {
  const least = fitView(map).scale;
  const scale = Math.min(Math.max(map.view.scale * factor, least * 0.8), least * MOST_ZOOM);
  const [x, y] = toUnits(map, px, py);
  map.view = { scale, x: x - px * map.ratio / scale, y: y - py * map.ratio / scale };
  map.isWhole = false;
  moved(map);
}

function pan(map, dx, dy) {
  map.view = { ...map.view, x: map.view.x - dx * map.ratio / map.view.scale, y: map.view.y - dy * map.ratio / map.view.scale };
  map.isWhole = false;
  moved(map);
}

// The view has changed: draw fewer points while the map moves, and all of them once it stands.
function moved(map) {
  draw(map, QUICK_POINTS);
  clearTimeout(map.calm);
  if (map.points && map.points.codes.length > QUICK_POINTS) map.calm = setTimeout(() => draw(map), CALM_MS);
}

// --- drawing ---

function themeOf(map) {
  const style = getComputedStyle(map.root);
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const read = (name, other) => {
    canvas.fillStyle = other;
    canvas.fillStyle = style.getPropertyValue(name).trim() || other;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const background = read("--st-background-color", "#ffffff");
  return { background, text: read("--st-text-color", "#1c2333"), accent: read("--st-primary-color", "#1f4fd8"),
    isDark: luminance(background) < 0.2 };
}

function coloursOf({ palette }, theme) {
  const { background, text, isDark } = theme;
  const missing = mix(background, text, 0.3);
  const paint = (colour) => (colour ? readable(parseColour(colour), background, text) : mix(background, text, 0.5));
  const colours = [background, missing];
  if (palette.kind === "scale") for (let level = 0; level < 254; level += 1) colours.push(scaleColour(level / 253, isDark));
  else colours.push(...palette.entries.map((entry) => paint(entry.colour)));
  return colours;
}

function radiusOf(map) {
  const shown = map.shown || 1;
  const size = Math.min(5, Math.max(1, 7.2 - 1.15 * Math.log10(shown)));
  const closer = (map.view.scale / fitView(map).scale) ** 0.3;
  return Math.min(6, size * Math.max(1, closer)) * map.ratio;
}

function draw(map, most = Infinity) {
  if (!map.points || !map.theme || !map.base.width) return;
  const { width, height } = map.base;
  const context = map.base.getContext("2d");
  if (map.image?.width !== width || map.image?.height !== height) map.image = context.createImageData(width, height);
  const pixels = new Uint32Array(map.image.data.buffer);
  pixels.fill(pixelColour(map.theme.background));
  const surface = { pixels, width, height };
  const stamp = stampOf(radiusOf(map), map.shown > 20_000 ? 0.7 : 0.85);
  const bright = Uint32Array.from(map.colours, pixelColour);
  if (map.inside) {
    const pale = Uint32Array.from(map.colours, (colour) => pixelColour(mix(map.theme.background, colour, 0.22)));
    paintPoints(surface, map.points, map.view, { colours: pale, stamp, most, wants: (at) => !map.inside[at] });
    paintPoints(surface, map.points, map.view, { colours: bright, stamp, most, wants: (at) => map.inside[at] });
  } else {
    paintPoints(surface, map.points, map.view, { colours: bright, stamp, most });
  }
  context.putImageData(map.image, 0, 0);
  map.base.setAttribute("aria-busy", "false");
  drawOver(map);
}

// The lasso and the point below the pointer, over the points.
function drawOver(map) {
  const context = map.over.getContext("2d");
  context.clearRect(0, 0, map.over.width, map.over.height);
  context.lineWidth = 1.6 * map.ratio;
  context.strokeStyle = cssColour(map.theme.accent);
  const drawn = map.path ?? map.lasso?.corners;
  if (drawn) {
    context.beginPath();
    drawn.forEach(([x, y], at) => context[at ? "lineTo" : "moveTo"](...toPixels(map, x, y)));
    context.closePath();
    context.setLineDash([5 * map.ratio, 4 * map.ratio]);
    context.stroke();
    context.setLineDash([]);
    context.globalAlpha = 0.06;
    context.fillStyle = context.strokeStyle;
    context.fill("evenodd");
    context.globalAlpha = 1;
  }
  if (map.hovered >= 0) {
    const [x, y] = toPixels(map, map.points.xy[2 * map.hovered], map.points.xy[2 * map.hovered + 1]);
    context.beginPath();
    context.arc(x, y, radiusOf(map) + 3 * map.ratio, 0, 2 * Math.PI);
    context.strokeStyle = cssColour(map.theme.text);
    context.stroke();
  }
}

function resize(map) {
  const { clientWidth: width, clientHeight: height } = map.stage;
  if (!width || !height) return;
  const ratio = Math.min(2, window.devicePixelRatio || 1);
  if (map.base.width === Math.round(width * ratio) && map.base.height === Math.round(height * ratio)) return;
  map.ratio = ratio;
  for (const canvas of [map.base, map.over]) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  if (map.isWhole) map.view = fitView(map);
  draw(map);
}

// --- the lasso ---

function setLasso(map, text) {
  map.lasso = text ? { text, corners: decodeLasso(text) } : undefined;
  map.inside = undefined;
  map.chosen = 0;
  if (map.lasso && map.points) {
    const { xy, codes } = map.points;
    const { corners } = map.lasso;
    const [xs, ys] = [corners.map(([x]) => x), corners.map(([, y]) => y)];
    const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    map.inside = new Uint8Array(codes.length);
    for (let at = 0; at < codes.length; at += 1) {
      const [x, y] = [xy[2 * at], xy[2 * at + 1]];
      if (codes[at] === HIDDEN || x < x0 || x > x1 || y < y0 || y > y1 || !isInside(corners, x, y)) continue;
      map.inside[at] = 1;
      map.chosen += 1;
    }
  }
  map.clear.hidden = !map.lasso;
}

function photosText(number) {
  return `${number.toLocaleString("en")} photo${number === 1 ? "" : "s"}`;
}

function choose(map, path) {
  const corners = path.map((corner) => corner.map((value) => Math.round(Math.min(Math.max(value, 0), MAP_UNITS))));
  const text = corners.length > 2 ? encodeLasso(corners) : "";
  if (!text && !map.lasso) return;
  setLasso(map, text);
  map.said.textContent = text ? `${photosText(map.chosen)} chosen` : "Nothing is chosen: all photos are shown";
  map.waiting = { text, until: performance.now() + ANSWER_MS };
  draw(map);
  map.send("lasso", text && `${map.data.map}.${text}`);
}

function boxOf([xa, ya], [xb, yb]) {
  return [[xa, ya], [xb, ya], [xb, yb], [xa, yb]];
}

function chooseView(map) {
  choose(map, boxOf(toUnits(map, 0, 0), toUnits(map, map.base.width / map.ratio, map.base.height / map.ratio)));
}

function sayView(map) {
  const { xy, codes } = map.points;
  const [x0, y0] = toUnits(map, 0, 0);
  const [x1, y1] = toUnits(map, map.base.width / map.ratio, map.base.height / map.ratio);
  let number = 0;
  for (let at = 0; at < codes.length; at += 1) {
    const [x, y] = [xy[2 * at], xy[2 * at + 1]];
    if (codes[at] !== HIDDEN && x >= x0 && x <= x1 && y >= y0 && y <= y1) number += 1;
  }
  map.said.textContent = `${photosText(number)} in view`;
}

// --- the photo below the pointer ---

function hover(map, at, px, py) {
  if (at !== map.hovered) {
    map.hovered = at;
    drawOver(map);
    map.tip.hidden = true;
    clearTimeout(map.asking);
    if (at >= 0) map.asking = setTimeout(() => describe(map, at), HOVER_MS);
  }
  map.stage.style.cursor = at >= 0 ? "pointer" : "";
  if (at >= 0) map.pointer = [px, py];
}

async function detailsOf(map, at) {
  const { details } = map.data;
  const known = map.details.get(at);
  if (known) return known;
  const answer = await fetch(`${details}/${at}.json`);
  if (!answer.ok) throw new Error("not there");
  const found = await answer.json();
  if (details === map.data.details) map.details.set(at, found);
  return found;
}

async function describe(map, at) {
  const found = await detailsOf(map, at).catch(() => undefined);
  if (!found || map.hovered !== at) return;
  const parts = [];
  if (found.photo) {
    const image = element("img");
    image.src = found.photo;
    image.alt = "";
    image.style.aspectRatio = String(found.aspect);
    parts.push(image);
  }
  parts.push(element("bdi", "name", found.name), element("span", "quiet", `${map.data.field}: ${found.value}`));
  map.tip.replaceChildren(...parts);
  map.tip.hidden = false;
  const [px, py] = map.pointer;
  const { clientWidth: width, clientHeight: height } = map.stage;
  map.tip.style.left = `${Math.max(4, Math.min(px + 14, width - map.tip.offsetWidth - 4))}px`;
  const below = py + 16;
  map.tip.style.top = `${below + map.tip.offsetHeight < height ? below : Math.max(4, py - map.tip.offsetHeight - 14)}px`;
}

async function open(map, at) {
  const found = await detailsOf(map, at).catch(() => undefined);
  if (found) map.send("open", found.id);
}

// --- pointer and keyboard ---

function pointAt(map, px, py, reach = 8) {
  if (!map.points) return -1;
  const [x, y] = toUnits(map, px, py);
  return nearestPoint(map.index, map.points.xy, map.points.codes, x, y, Math.max(1, reach * map.ratio / map.view.scale));
}

function placeOf(map, event) {
  const box = map.stage.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

function pressed(map, event) {
  if (event.button > 1 || event.target.closest("button")) return;
  map.stage.setPointerCapture(event.pointerId);
  const place = placeOf(map, event);
  map.pointers.set(event.pointerId, place);
  map.begun = place;
  map.moves = map.pointers.size > 1 || map.tool === "move" || event.shiftKey || event.button === 1;
  map.path = undefined;
  hover(map, -1);
}

function dragged(map, event) {
  const place = placeOf(map, event);
  const before = map.pointers.get(event.pointerId);
  if (!before) {
    hover(map, pointAt(map, ...place), ...place);
    return;
  }
  map.pointers.set(event.pointerId, place);
  if (map.pointers.size === 2) {
    const [[, other]] = [...map.pointers].filter(([id]) => id !== event.pointerId);
    const [was, is] = [before, place].map((p) => Math.hypot(p[0] - other[0], p[1] - other[1]));
    map.begun = undefined;
    pan(map, (place[0] - before[0]) / 2, (place[1] - before[1]) / 2);
    if (was > 0) zoom(map, is / was, (place[0] + other[0]) / 2, (place[1] + other[1]) / 2);
  } else if (map.moves) {
    pan(map, place[0] - before[0], place[1] - before[1]);
  } else if (map.begun && (map.path || Math.hypot(place[0] - map.begun[0], place[1] - map.begun[1]) > 4)) {
    const [from, to] = [toUnits(map, ...map.begun), toUnits(map, ...place)];
    map.path = map.tool === "box" ? boxOf(from, to) : [...(map.path ?? [from]), to];
    drawOver(map);
  }
}

function released(map, event) {
  const place = placeOf(map, event);
  if (!map.pointers.delete(event.pointerId)) return;
  const { path, begun } = map;
  map.path = undefined;
  if (path) {
    choose(map, map.tool === "box" ? path : simplify(path, 1.5 * map.ratio / map.view.scale));
  } else if (begun && Math.hypot(place[0] - begun[0], place[1] - begun[1]) <= 4 && event.type === "pointerup") {
    const at = pointAt(map, ...place, event.pointerType === "touch" ? 16 : 8);
    if (at >= 0) open(map, at);
    else if (!map.moves) choose(map, []);
  }
}

const KEYS = {
  ArrowLeft: (map) => pan(map, 80, 0),
  ArrowRight: (map) => pan(map, -80, 0),
  ArrowUp: (map) => pan(map, 0, 80),
  ArrowDown: (map) => pan(map, 0, -80),
  "+": (map) => zoom(map, 1.4),
  "=": (map) => zoom(map, 1.4),
  "-": (map) => zoom(map, 1 / 1.4),
  0: (map) => showWhole(map),
};

function keyPressed(map, event) {
  if (!map.points || event.ctrlKey || event.metaKey || event.altKey) return;
  if (KEYS[event.key]) {
    KEYS[event.key](map);
    sayView(map);
  } else if (event.key === "Enter") chooseView(map);
  else if (event.key === "Escape" && map.lasso) choose(map, []);
  else return;
  event.preventDefault();
  event.stopPropagation();
}

function showWhole(map) {
  map.view = fitView(map);
  map.isWhole = true;
  moved(map);
}

// --- what surrounds it ---

function toolButton(text, shape, act) {
  const button = element("button", "tool");
  button.type = "button";
  button.title = text;
  button.setAttribute("aria-label", text);
  button.append(icon(shape), element("span", "", text));
  button.addEventListener("click", act);
  return button;
}

function plainButton(sign, text, act) {
  const button = element("button", "tool sign", sign);
  button.type = "button";
  button.title = text;
  button.setAttribute("aria-label", text);
  button.addEventListener("click", act);
  return button;
}

function buildBar(map) {
  const bar = element("div", "bar");
  const tools = element("div", "tools");
  tools.setAttribute("role", "radiogroup");
  tools.setAttribute("aria-label", "What dragging does");
  const buttons = Object.entries(TOOLS).map(([name, [text, shape]]) => {
    const button = toolButton(text, shape, () => useTool(map, name));
    button.setAttribute("role", "radio");
    button.dataset.tool = name;
    return button;
  });
  tools.append(...buttons);
  map.toolButtons = buttons;
  tools.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = (buttons.findIndex((button) => button.dataset.tool === map.tool) + step + buttons.length) % buttons.length;
    useTool(map, buttons[at].dataset.tool);
    buttons[at].focus();
  });
  map.clear = plainButton("Clear", "Clear the lasso", () => { choose(map, []); map.stage.focus(); });
  map.clear.hidden = true;
  bar.append(
    tools,
    plainButton("−", "Zoom out", () => zoom(map, 1 / 1.4)),
    plainButton("+", "Zoom in", () => zoom(map, 1.4)),
    plainButton("Whole map", "Show the whole map", () => showWhole(map)),
    plainButton("All in view", "Choose the photos in view", () => chooseView(map)),
    map.clear,
  );
  return bar;
}

function useTool(map, name) {
  map.tool = name;
  for (const button of map.toolButtons) {
    button.setAttribute("aria-checked", String(button.dataset.tool === name));
    button.tabIndex = button.dataset.tool === name ? 0 : -1;
  }
  map.stage.dataset.tool = name;
}

function drawLegend(map) {
  const { palette, field } = map.data;
  const swatchOf = (colour) => {
    const swatch = element("span", "swatch");
    swatch.style.background = cssColour(colour);
    return swatch;
  };
  const entryOf = (name, number, colour) => {
    const entry = element("li");
    entry.append(swatchOf(colour), element("bdi", "", name), element("span", "quiet", number.toLocaleString("en")));
    return entry;
  };
  const entries = [];
  if (palette.kind === "scale") {
    const entry = element("li", "scale");
    const bar = element("span", "ramp");
    const stops = Array.from({ length: 9 }, (_, at) => cssColour(scaleColour(at / 8, map.theme.isDark)));
    bar.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
    entry.append(element("span", "", palette.low), bar, element("span", "", palette.high));
    entries.push(entry);
  } else {
    entries.push(...palette.entries.map((one, at) => entryOf(one.name, one.count, map.colours[at + 2])));
  }
  if (palette.missing) entries.push(entryOf(palette.missing_name, palette.missing, map.colours[1]));
  map.legend.setAttribute("aria-label", `Colours: ${field}`);
  map.legend.replaceChildren(...entries);
}

function build(parentElement) {
  const map = {
    root: element("div", "root"), stage: element("div", "stage"), base: element("canvas"), over: element("canvas"),
    tip: element("div", "tip"), legend: element("ul", "legend"), said: element("div", "visually-hidden"),
    problem: element("p", "problem"), tool: "lasso", ratio: 1, hovered: -1, details: new Map(), pointers: new Map(),
    abort: new AbortController(), isWhole: true, bounds: [0, 0, MAP_UNITS, MAP_UNITS],
  };
  map.menu = createFigureMenu({ texts: () => map.data.menu, inner: async () => pictureOf(map), table: () => tableOf(map) });
  map.stage.tabIndex = 0;
  map.stage.setAttribute("role", "application");
  map.stage.setAttribute("aria-roledescription", "map of photos");
  map.over.className = "over";
  for (const canvas of [map.base, map.over]) canvas.setAttribute("aria-hidden", "true");
  map.base.setAttribute("aria-busy", "true");
  map.tip.hidden = map.problem.hidden = true;
  map.said.setAttribute("role", "status");
  map.stage.append(map.base, map.over, map.tip, map.problem);
  map.root.append(buildBar(map), map.stage, map.legend, map.said);
  parentElement.append(map.menu.root, map.root);
  useTool(map, map.tool);
  listen(map);
  return map;
}

function listen(map) {
  const { stage } = map;
  stage.addEventListener("pointerdown", (event) => pressed(map, event));
  stage.addEventListener("pointermove", (event) => dragged(map, event));
  stage.addEventListener("pointerup", (event) => released(map, event));
  stage.addEventListener("pointercancel", (event) => { map.path = undefined; released(map, event); drawOver(map); });
  stage.addEventListener("pointerleave", () => { if (!map.pointers.size) hover(map, -1); });
  stage.addEventListener("keydown", (event) => keyPressed(map, event));
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (map.points) zoom(map, Math.exp(-Math.max(-120, Math.min(120, event.deltaY)) / 300), ...placeOf(map, event));
  }, { passive: false });
  new ResizeObserver(() => resize(map)).observe(stage);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", () => setTimeout(() => paintAll(map), 100), { signal: map.abort.signal });
}

// --- copies ---

function pictureOf(map) {
  const { width, height } = map.base;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const theme = { background: [255, 255, 255], text: [31, 39, 51], accent: [31, 79, 216], isDark: false };
  const copy = { ...map, base: canvas, over: document.createElement("canvas"), image: undefined, theme, hovered: -1 };
  [copy.over.width, copy.over.height] = [width, height];
  copy.colours = coloursOf(map.data, theme);
  draw(copy);
  canvas.getContext("2d").drawImage(copy.over, 0, 0);
  const [wide, high] = [Math.round(width / map.ratio), Math.round(height / map.ratio)];
  const line = 20;
  let [x, y] = [0, high + line];
  const parts = [];
  for (const entry of map.legend.children) {
    const text = [...entry.children].map((part) => part.textContent).filter(Boolean).join(" ");
    const needs = textWidth(text, 12) + 34;
    if (x && x + needs > wide) [x, y] = [0, y + line];
    const at = [...map.legend.children].indexOf(entry) + 2;
    const colour = copy.colours[map.data.palette.kind === "scale" || at - 2 >= map.data.palette.entries.length ? 1 : at];
    parts.push(`<rect x="${x}" y="${y - 10}" width="11" height="11" rx="2" fill="${cssColour(colour)}"/>`, svgText(text, x + 16, y));
    x += needs;
  }
  const total = y + 8;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${wide}" height="${total}" viewBox="0 0 ${wide} ${total}">`
    + `<image href="${canvas.toDataURL("image/png")}" width="${wide}" height="${high}"/>${parts.join("")}</svg>`;
  return { svg, width: wide, height: total };
}

async function tableOf(map) {
  const answer = await fetch(map.data.table);
  if (!answer.ok) throw new Error("not there");
  return answer.text();
}

// --- data from the server ---

async function fetchBytes(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${answer.status}`);
  return answer.arrayBuffer();
}

// Fetch what has changed of coordinates and codes, then draw.
async function load(map) {
  const { points, codes } = map.data;
  map.base.setAttribute("aria-busy", "true");
  try {
    const [places, colours] = await Promise.all([
      points === map.loaded?.points ? map.points.xy : fetchBytes(points).then((bytes) => new Uint16Array(bytes)),
      codes === map.loaded?.codes ? map.points.codes : fetchBytes(codes).then((bytes) => new Uint8Array(bytes)),
    ]);
    if (points !== map.data.points || codes !== map.data.codes) return; // a later change is on its way
    if (places.length !== 2 * colours.length) throw new Error("they do not fit");
    const isNew = points !== map.loaded?.points;
    map.points = { xy: places, codes: colours };
    map.loaded = { points, codes };
    if (isNew) map.index = indexPoints(places);
    map.shown = colours.reduce((sum, code) => sum + (code !== HIDDEN), 0);
    map.problem.hidden = true;
    map.hovered = -1;
    map.tip.hidden = true;
    setLasso(map, map.lasso?.text ?? "");
    map.bounds = boundsOf(map.points);
    map.isWhole ||= isNew;
    if (!map.base.width) resize(map);
    if (map.isWhole && map.base.width) map.view = fitView(map);
    paintAll(map);
  } catch {
    map.base.setAttribute("aria-busy", "false");
    map.problem.hidden = false;
    map.problem.textContent = "The map cannot be drawn: its points did not arrive. Reload the page.";
    map.loaded = undefined;
    map.key = "";
  }
}

function paintAll(map) {
  map.theme = themeOf(map);
  map.colours = coloursOf(map.data, map.theme);
  drawLegend(map);
  draw(map);
}

export default function ({ parentElement, data, setTriggerValue }) {
  let map = maps.get(parentElement);
  if (!map) maps.set(parentElement, (map = build(parentElement)));
  map.send = setTriggerValue;
  map.data = data;
  map.menu.update();
  map.stage.setAttribute("aria-label", data.alt);
  if (!map.waiting || map.waiting.text === data.lasso || performance.now() > map.waiting.until) {
    map.waiting = undefined;
    if (data.lasso !== (map.lasso?.text ?? "")) { setLasso(map, data.lasso); map.stale = true; }
  }
  const key = JSON.stringify([data.points, data.codes, data.palette, data.details]);
  if (key !== map.key) {
    map.key = key;
    map.details.clear();
    load(map);
  } else if (map.stale) draw(map);
  map.stale = false;
  return () => { map.abort.abort(); maps.delete(parentElement); };
}
