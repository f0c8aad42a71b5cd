// The viewer's controls: one canvas per run, table of classes, toolbar, keyboard and pointers. Everything happens in the
// browser; when the visitor moves to another image, the server receives its id and the look, and sends its neighbours.
const states = new WeakMap();
const MOST_ZOOM = 40;
const KEPT_PICTURES = 12;
const TALLEST = 0.7; // of the window
const LOOK_SECONDS = 0.3;
const GIVE_UP_SECONDS = 5;
const MOST_CLASSES = 16; // in the table before the visitor asks for the others
const KEYS = [
  ["← →", "previous and next image"],
  ["1 … 9", "show or hide a class"],
  ["0", "all classes"],
  ["+ −", "opacity"],
  ["o or m", "mask on and off"],
  ["space", "photo alone, while held on the photo"],
  ["b", "borders or fill"],
  ["n", "names on the photo"],
  ["u", "uncertainty"],
  ["d", "side by side, difference, swipe"],
  ["z, Shift z", "zoom in and out"],
  ["Shift ← → ↑ ↓", "move the zoomed photo"],
  ["f", "whole photo"],
  ["?", "these keys"],
  ["Escape", "close this list"],
];
const MARK_KEYS = [["s", "select the photo"], ["t", "tag the photo"]]; // on the page that offers it
let lastChosenLook = null; // the visitor's last look and the server's look at that time; outlives the component

function button(text, name, act) {
  const made = element("button", name, text);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

function label(made, text) {
  made.setAttribute("aria-label", text);
  made.title = text;
  return made;
}

// --- building -------------------------------------------------------------------------------------------------

function build(parent, state, keys) {
  const root = element("div", "root");
  const part = { root };
  part.previous = label(button("‹", "step", () => step(state, -1)), "Previous image (←)");
  part.position = element("span", "position");
  part.next = label(button("›", "step", () => step(state, 1)), "Next image (→)");
  part.mask = button("Mask", "toggle", () => change(state, { overlay: !state.look.overlay }));
  part.fill = button("Fill", "toggle", () => change(state, { outline: false }));
  part.outline = button("Borders", "toggle", () => change(state, { outline: true }));
  part.names = button("Names", "toggle", () => change(state, { names: !state.look.names }));
  part.uncertainty = button("Uncertainty", "toggle", () => change(state, { uncertainty: !state.look.uncertainty }));
  part.apart = button("Side by side", "toggle", () => change(state, { difference: "" }));
  part.differ = button("Difference", "toggle", () => change(state, { difference: "overlay" }));
  part.swipe = button("Swipe", "toggle", () => change(state, { difference: "swipe" }));
  part.opacity = element("input");
  Object.assign(part.opacity, { type: "range", min: 0, max: 100, step: 5 });
  part.opacity.addEventListener("input", () => change(state, { opacity: Number(part.opacity.value) }));
  part.percent = element("output", "percent");
  const opacity = element("label", "opacity");
  opacity.append(element("span", "", "Opacity"), part.opacity, part.percent);
  part.out = label(button("−", "step", () => zoomBy(state, 1 / 1.5)), "Zoom out (Shift z)");
  part.zoom = label(button("100 %", "zoom", () => fit(state)), "Show the whole photo (f)");
  part.in = label(button("+", "step", () => zoomBy(state, 1.5)), "Zoom in (z)");
  part.keys = label(button("?", "step", () => showKeys(state, part.help.hidden)), "Keys (?)");
  const group = (...parts) => {
    const box = element("div", "group");
    box.append(...parts);
    return box;
  };
  part.modes = label(group(part.apart, part.differ, part.swipe), "How the runs are shown");
  part.modes.setAttribute("role", "group");
  const bar = element("div", "bar");
  bar.append(
    group(part.previous, part.position, part.next),
    part.modes,
    group(part.mask),
    group(part.fill, part.outline),
    group(part.names),
    group(part.uncertainty),
    opacity,
    group(part.out, part.zoom, part.in, part.keys),
  );
  part.help = helpOf(keys);
  part.note = element("div", "note");
  part.stage = element("div", "stage");
  part.side = element("div", "side");
  part.table = element("div");
  part.scale = scaleOf();
  part.side.append(part.table, part.scale);
  part.live = element("div", "aside");
  part.live.setAttribute("aria-live", "polite");
  const body = element("div", "body");
  body.append(part.stage, part.side);
  root.append(bar, part.help, part.note, body, part.live);
  parent.append(root);
  return part;
}

function scaleOf() {
  const scale = element("div", "scale");
  const ramp = element("i");
  ramp.style.background = `linear-gradient(to right, ${HEAT.map((rgb) => `rgb(${rgb.join(" ")})`).join(", ")})`;
  scale.append(element("span", "", "sure 0"), ramp, element("span", "", "1 unsure"));
  scale.title = "Uncertainty: entropy of the class probabilities of a pixel, divided by its largest value";
  return scale;
}

function helpOf(keys) {
  const help = element("dl", "help");
  help.hidden = true;
  for (const [key, meaning] of keys) {
    const line = element("div");
    line.append(element("dt", "", key), element("dd", "", meaning));
    help.append(line);
  }
  return help;
}

function showKeys({ part }, shown) {
  part.help.hidden = !shown;
  part.keys.setAttribute("aria-expanded", String(shown));
}

// Build one figure per run, or one for A and B; rebuilt only when the runs or the mode change.
function buildFrames(state) {
  const mode = modeOf(state);
  const text = JSON.stringify([mode, state.pair, state.runs.map(({ run, title }) => [run, title])]);
  if (text === state.framesText) return;
  const focused = state.part.root.getRootNode().activeElement;
  const held = state.part.stage.contains(focused);
  state.framesText = text;
  state.hover = null;
  state.sizes.disconnect();
  const [first] = state.pair.runs;
  state.frames = mode ? [frameOf(state, state.runs[first], first, mode)] : state.runs.map((run, index) => frameOf(state, run, index, ""));
  state.part.stage.replaceChildren(...state.frames.map((frame) => frame.figure));
  state.part.stage.dataset.runs = String(state.frames.length);
  if (held) state.frames[0].canvas.focus({ preventScroll: true });
  for (const frame of state.frames) state.sizes.observe(frame.screen);
}

function titleOf(name) {
  const made = element("span", "title", name);
  made.title = name; // it may be cut
  return made;
}

function frameOf(state, { run, title }, index, mode) {
  const frame = { run, title, index, mode };
  frame.figure = element("figure", "frame");
  frame.screen = element("div", "screen");
  frame.canvas = element("canvas");
  frame.canvas.tabIndex = 0;
  frame.canvas.setAttribute("role", "img");
  frame.context = frame.canvas.getContext("2d");
  frame.readout = element("div", "readout");
  frame.readout.hidden = true;
  frame.status = element("div", "status");
  frame.status.setAttribute("role", "status");
  frame.screen.append(frame.canvas, frame.readout, frame.status);
  const caption = element("figcaption");
  if (mode) {
    const both = state.pair.runs.map((place, at) => [state.pair.sides[at], state.runs[place].title]);
    both.forEach(([side, name], at) => caption.append(element("span", `number side-${"ab"[at]}`, side), titleOf(name)));
    frame.title = both.map((words) => words.join(" ")).join(", ");
  } else {
    if (state.runs.length > 1) caption.append(element("span", "number", String(index + 1)));
    caption.append(titleOf(title));
  }
  if (mode === "swipe") {
    frame.divider = dividerOf(state.pair.sides, (at) => { state.swipe = Math.min(1, Math.max(0, at)); redraw(state); }, state.abort.signal);
    frame.screen.append(frame.divider);
  }
  caption.append(label(button("PNG", "save", () => download(state, frame)), `Download photo and mask of ${frame.title} as PNG`));
  frame.figure.append(caption, frame.screen);
  listenToPointers(state, frame);
  return frame;
}

// --- loading -------------------------------------------------------------------------------------------------------

function pictureOf(state) {
  return state.pictures[state.at];
}

function layerOf(state, picture, run) {
  return state.layers.get(`${picture.image_id} ${run}`) ?? {};
}

// Show the thumbnail, which usually loads at once, until the photo replaces it.
function loadPhoto(state, picture) {
  const entry = state.photos.get(picture.image_id) ?? { bitmap: null, whole: false, note: picture.note };
  state.photos.set(picture.image_id, entry);
  entry.loaded ??= loadWhole(state, picture, entry);
  return entry.loaded;
}

async function loadWhole(state, picture, entry) {
  const { signal } = state.abort;
  const shown = (bitmap, whole) => {
    if (entry.whole) return;
    Object.assign(entry, { bitmap, whole });
    if (pictureOf(state)?.image_id === picture.image_id) refresh(state);
  };
  const thumbnail = picture.thumbnail ? bitmapOf(picture.thumbnail, signal).then((b) => shown(b, false), () => null) : null;
  try {
    if (picture.note) throw new PictureUnavailable("");
    shown(await bitmapOf(picture.photo, signal), true);
  } catch {
    await thumbnail;
    const rest = entry.bitmap ? "this is its thumbnail from then" : "and the store has no thumbnail of it";
    entry.note = picture.note ? `${picture.note}: ${rest}.` : `The photo cannot be shown: ${rest}.`;
    if (pictureOf(state)?.image_id === picture.image_id) refresh(state);
  }
}

async function loadMask(state, picture, run) {
  const name = `${picture.image_id} ${run.run}`;
  const address = picture.masks[run.run];
  if (state.layers.get(name)?.address === address) return;
  const layer = { address };
  state.layers.set(name, layer);
  try {
    if (!address) throw new PictureUnavailable("This run has no mask of this photo.");
    layer.mask = await maskOf(address, state.abort.signal);
  } catch (error) {
    layer.missing = (error instanceof PictureUnavailable && error.message) || "The mask is missing in the store.";
  }
  if (pictureOf(state)?.image_id === picture.image_id) refresh(state);
}

// The server computes one map at a time, so they are requested one after the other, and only for the current image.
async function loadHeats(state) {
  const picture = pictureOf(state);
  if (!state.look.uncertainty || state.heating === picture.image_id) return;
  state.heating = picture.image_id;
  state.heatAbort?.abort();
  state.heatAbort = new AbortController();
  const { signal } = state.heatAbort;
  for (const run of state.runs) {
    const layer = layerOf(state, picture, run.run);
    if (layer.heat || signal.aborted || !picture.heats[run.run]) continue;
    layer.heatMessage = "";
    layer.heatLoading = true;
    refresh(state);
    try {
      layer.heat = await heatOf(picture.heats[run.run], signal);
    } catch (error) {
      layer.heatMessage = (error instanceof PictureUnavailable && error.message) || "The uncertainty map could not be had.";
      layer.heatIsFinal = error instanceof PictureUnavailable && error.isFinal;
    }
    layer.heatLoading = false;
    if (signal.aborted) return;
    refresh(state);
  }
  state.heating = null;
}

async function loadAll(state) {
  const here = pictureOf(state);
  const load = (picture) => [loadPhoto(state, picture), ...state.runs.map((run) => loadMask(state, picture, run))];
  await Promise.all(load(here));
  if (state.look.uncertainty) loadHeats(state);
  for (const near of [state.pictures[state.at + 1], state.pictures[state.at - 1]]) {
    if (near && pictureOf(state) === here) await Promise.all(load(near));
  }
  evictImages(state);
}

// Images use much memory, so only those near the current one are kept.
function evictImages(state) {
  const near = new Set(state.pictures.map((picture) => picture.image_id));
  if (state.photos.size <= KEPT_PICTURES) return;
  for (const id of [...state.photos.keys()]) {
    if (near.has(id)) continue;
    state.photos.get(id).bitmap?.close();
    state.photos.delete(id);
    for (const name of [...state.layers.keys()]) if (name.startsWith(id)) state.layers.delete(name);
  }
}

// --- drawing -------------------------------------------------------------------------------------------------------

// Update all texts and buttons now, and draw the canvases in the next animation frame.
function refresh(state) {
  const { part, look } = state;
  const picture = pictureOf(state);
  const photo = state.photos.get(picture.image_id);
  part.note.textContent = photo?.note && (photo.whole || photo.note !== picture.note) ? photo.note : "";
  part.note.hidden = !part.note.textContent;
  const { position, total } = state.place;
  const of = `of ${total.toLocaleString("en")}`;
  part.position.textContent = position === null ? `not among the ${total.toLocaleString("en")}` : `${(position + 1).toLocaleString("en")} ${of}`;
  part.previous.disabled = position === null || position === 0;
  part.next.disabled = position === null ? state.pictures.length < 2 : position >= total - 1;
  const pressed = (made, on) => made.setAttribute("aria-pressed", String(on));
  pressed(part.mask, look.overlay);
  pressed(part.fill, !look.outline);
  pressed(part.outline, look.outline);
  pressed(part.names, look.names);
  pressed(part.uncertainty, look.uncertainty);
  const mode = modeOf(state);
  part.modes.hidden = state.runs.length < 2;
  pressed(part.apart, mode === "");
  pressed(part.differ, mode === "overlay");
  pressed(part.swipe, mode === "swipe");
  part.uncertainty.hidden = !state.runs.some(({ run }) => picture.heats[run]);
  for (const one of [part.fill, part.outline, part.names]) one.disabled = !look.overlay || mode === "overlay";
  part.uncertainty.disabled = mode === "overlay";
  part.scale.hidden = !look.uncertainty || mode === "overlay";
  part.opacity.value = String(look.opacity);
  part.percent.textContent = `${look.opacity} %`;
  buildFrames(state);
  for (const frame of state.frames) {
    if (frame.mode) {
      describePair(state, frame, picture);
      continue;
    }
    const layer = layerOf(state, picture, frame.run);
    const seen = layer.mask ? describeMask(layer.mask, state.runs[frame.index].names) : (layer.missing ?? "loading");
    frame.canvas.setAttribute("aria-label", `${picture.name}, ${frame.title}: ${seen}`);
    frame.canvas.setAttribute("aria-busy", String(!layer.mask && !layer.missing));
    showStatus(state, frame, layer);
  }
  showClasses(state);
  resize(state);
}

function showStatus(state, frame, layer) {
  const waits = state.look.uncertainty && layer.heatLoading;
  const failed = state.look.uncertainty ? layer.heatMessage : "";
  const text = [layer.missing, waits ? "Computing where the model was unsure …" : failed].filter(Boolean).join(" ");
  frame.status.classList.toggle("waits", Boolean(waits));
  if (frame.status.dataset.text === text) return;
  frame.status.dataset.text = text;
  frame.status.replaceChildren(...(text ? [element("span", "", text)] : []));
  if (failed && !layer.heatIsFinal) frame.status.append(button("Try again", "again", () => loadHeats(state)));
}

function resize(state) {
  const picture = pictureOf(state);
  const aspect = picture.width / picture.height;
  const density = window.devicePixelRatio || 1;
  for (const { screen, canvas } of state.frames) {
    const width = Math.floor(Math.min(screen.clientWidth, Math.max(240, window.innerHeight * TALLEST) * aspect));
    const size = [width, Math.max(1, Math.round(width / aspect))];
    canvas.style.width = `${size[0]}px`;
    canvas.style.height = `${size[1]}px`;
    const [w, h] = size.map((side) => Math.max(1, Math.round(side * density)));
    if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  }
  redraw(state);
}

function redraw(state) {
  if (state.drawing) return;
  state.drawing = requestAnimationFrame(() => {
    state.drawing = 0;
    if (!pictureOf(state)) return;
    for (const frame of state.frames) drawFrame(state, frame);
    state.part.zoom.textContent = `${Math.round(state.view.zoom * 100)} %`;
    state.part.root.classList.toggle("zoomed", state.view.zoom > 1);
  });
}

function drawFrame(state, frame) {
  const picture = pictureOf(state);
  const run = state.runs[frame.index];
  const layer = layerOf(state, picture, frame.run);
  const { canvas, context } = frame;
  const { zoom, u, v } = state.view;
  const size = [canvas.width * zoom, canvas.height * zoom];
  const box = [canvas.width / 2 - u * size[0], canvas.height / 2 - v * size[1], ...size];
  const density = canvas.width / Math.max(1, canvas.clientWidth);
  const look = state.peeking ? { ...state.look, overlay: false, uncertainty: false } : state.look;
  drawInto(state, frame, context, { look, box, density });
  if (frame.divider) positionDivider(frame.divider, canvas, state.swipe, state.pair.sides);
  if (state.hover) showReadout(state, frame, layer, run, box, density);
  else frame.readout.hidden = true;
}

// Draw what a frame shows of the current image.
function drawInto(state, frame, context, { look, box, density }) {
  const picture = pictureOf(state);
  const photo = state.photos.get(picture.image_id)?.bitmap;
  const hidden = new Set(state.look.hidden);
  if (frame.mode === "overlay") {
    drawDifference(context, { photo, layer: pairOf(state, picture).difference, look, box });
    return;
  }
  const paint = (index) => {
    const run = state.runs[index];
    const layer = layerOf(state, picture, run.run);
    prepare(layer, run, state.look.hidden);
    draw(context, { photo, layer, run, look, hidden, box, density });
  };
  if (frame.mode === "swipe") drawSwipe(context, state.swipe, (side) => paint(state.pair.runs[side]));
  else paint(frame.index);
}

// Update the layer's coloured mask if hidden classes or colours have changed.
function prepare(layer, run, hidden) {
  const paintText = JSON.stringify([run.colours, hidden]);
  if (!layer.mask || layer.paintText === paintText) return;
  layer.paintText = paintText;
  layer.paint = paintToCanvas(layer.mask, paintTable(run, new Set(hidden)));
}

function showReadout(state, frame, layer, run, [left, top, width, height], density) {
  const { place, run: hovered } = state.hover;
  const own = hovered === frame.run;
  if (!own) {
    const { context } = frame;
    const [x, y] = [left + place[0] * width, top + place[1] * height];
    for (const [colour, thick] of [["rgb(0 0 0 / 0.7)", 4], ["#fff", 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = thick * density;
      context.beginPath();
      context.arc(x, y, 6 * density, 0, 2 * Math.PI);
      context.stroke();
    }
  }
  frame.readout.textContent = frame.mode ? readoutOfPair(state) : readout(state, layer, run, own);
  frame.readout.hidden = !frame.readout.textContent;
}

function classAt(layer, run, place) {
  if (!layer.mask) return "";
  const id = valueAt(layer.mask, layer.mask.ids, place);
  return run.names[id] ?? "void";
}

function readout(state, layer, run, withPlace) {
  const { place } = state.hover;
  const picture = pictureOf(state);
  const parts = [classAt(layer, run, place)];
  if (layer.heat) parts.push(`uncertainty ${(valueAt(layer.heat, layer.heat.values, place) / 255).toFixed(2)}`);
  if (withPlace) parts.push(`(${Math.floor(place[0] * picture.width)}, ${Math.floor(place[1] * picture.height)})`);
  return parts.filter(Boolean).join(" · ");
}

// --- classes -------------------------------------------------------------------------------------------------------

// [name, colour, share per run], the largest first, background last.
function classesOf(state) {
  const picture = pictureOf(state);
  const shares = state.runs.map((run) => {
    const { mask } = layerOf(state, picture, run.run);
    return mask ? sharesOf(mask, run.names) : null;
  });
  const found = new Map();
  shares.forEach((there, index) => there?.forEach((_, name) => {
    const { names, colours } = state.runs[index];
    found.set(name, found.get(name) ?? [name, colours[names.indexOf(name)], []]);
  }));
  for (const entry of found.values()) { // null where a run does not know the class, or its mask is not there
    entry[2] = shares.map((there, index) => (there && state.runs[index].names.includes(entry[0]) ? there.get(entry[0]) ?? 0 : null));
  }
  const rank = ([name, , parts]) => (name === "background" ? -1 : Math.max(...parts));
  return [...found.values()].sort((one, other) => rank(other) - rank(one));
}

function showClasses(state) {
  const classes = classesOf(state);
  const differing = modeOf(state) === "overlay" ? pairOf(state, pictureOf(state)).difference : null;
  state.classes = classes.map(([name]) => name).filter((name) => name !== "background");
  const text = JSON.stringify([modeOf(state), differing && [...differing.mask.pixels.slice(0, 8)], classes, state.runs.length]);
  if (text !== state.classesText) {
    state.classesText = text;
    state.toggles = new Map();
    const made = modeOf(state) === "overlay" ? differenceTable(differing?.mask, state.pair) : classTable(state, classes);
    state.part.table.replaceChildren(...(classes.length ? [made] : []));
  }
  for (const [name, made] of state.toggles) made.setAttribute("aria-pressed", String(!state.look.hidden.includes(name)));
}

function classTable(state, classes) {
  const table = element("table", "classes");
  const head = table.createTHead().insertRow();
  const corner = element("th", "corner", "Class");
  corner.scope = "col";
  const titles = state.runs.length > 1 ? state.runs.map((_, index) => String(index + 1)) : ["share"];
  head.append(corner, ...titles.map((title, index) => {
    const cell = element("th", "", title);
    cell.scope = "col";
    cell.title = `Share of the mask by ${state.runs[index].title}`;
    return cell;
  }));
  const body = table.createTBody();
  const many = classes.length > MOST_CLASSES + 1;
  classes.forEach(([name, colour, shares], place) => {
    const row = body.insertRow();
    row.dataset.name = name;
    row.hidden = many && !state.allClasses && place >= MOST_CLASSES;
    const cell = element("th");
    cell.scope = "row";
    cell.append(name === "background" ? element("span", "plain", name) : toggleOf(state, name, colour));
    row.append(cell, ...shares.map((share) => element("td", "", share === null ? "–" : percent(share))));
  });
  if (many) body.append(moreClasses(state, classes.length - MOST_CLASSES, [...body.rows].slice(MOST_CLASSES)));
  return table;
}

// The last row of the table: shows or hides the rows of the smallest classes.
function moreClasses(state, number, rows) {
  const row = element("tr");
  const cell = element("td");
  cell.colSpan = state.runs.length + 1;
  const open = button("", "more", () => { state.allClasses = !state.allClasses; tell(); });
  const tell = () => {
    open.textContent = state.allClasses ? "Fewer classes" : `${number} more classes`;
    open.setAttribute("aria-expanded", String(Boolean(state.allClasses)));
    for (const one of rows) one.hidden = !state.allClasses;
  };
  tell();
  cell.append(open);
  row.append(cell);
  return row;
}

function toggleOf(state, name, colour) {
  const number = state.classes.indexOf(name) + 1;
  const made = button(undefined, "class", () => toggle(state, name));
  made.title = "Show or hide this class";
  const swatch = element("i", "swatch");
  swatch.style.background = colour;
  const key = element("kbd", "", number < 10 ? String(number) : "");
  key.setAttribute("aria-hidden", "true");
  made.append(swatch, element("span", "name", name), key);
  state.toggles.set(name, made);
  return made;
}

function toggle(state, name) {
  const { hidden } = state.look;
  const shown = hidden.includes(name);
  change(state, { hidden: shown ? hidden.filter((one) => one !== name) : [...hidden, name].sort() });
  announce(state, `${name} ${shown ? "shown" : "hidden"}`);
}

function announce(state, text) {
  state.part.live.textContent = text;
}

// --- look, zoom, steps ---------------------------------------------------------------------------------------------

function change(state, parts) {
  state.look = { ...state.look, ...parts };
  lastChosenLook = { server: state.serverLook, look: state.look };
  refresh(state);
  if (parts.uncertainty) loadHeats(state);
  writeAddress(state);
}

// Write the look to the URL without a round trip to the server, so that a copied link opens the same look.
function writeAddress(state) {
  clearTimeout(state.writing);
  state.writing = setTimeout(() => replaceAddress(state, {}), LOOK_SECONDS * 1000);
}

// Replace the history's entry with the URL of the look, and of `more` keys. Written as the server writes it, key by key,
// the server finds nothing to change and adds no entry: Back leads to the gallery, however many photos were looked at.
function replaceAddress(state, more) {
  clearTimeout(state.writing);
  if (window.location.pathname !== state.path) return;
  const { look } = state;
  const wanted = {
    overlay: look.overlay ? [] : ["off"],
    opacity: look.opacity === state.usualOpacity ? [] : [look.opacity],
    mask: look.outline ? ["outline"] : [],
    uncertainty: look.uncertainty ? ["on"] : [],
    names: look.names ? ["on"] : [],
    hide: look.hidden,
    difference: look.difference ? [look.difference] : [],
    ...more,
  };
  const kept = [...new URLSearchParams(window.location.search)].filter(([key]) => !(key in wanted));
  const pairs = [...kept, ...Object.entries(wanted).flatMap(([key, values]) => values.map((value) => [key, value]))];
  const rank = ([key]) => state.urlKeys.indexOf(key); // the filters first, as they are
  pairs.sort((one, other) => rank(one) - rank(other));
  const query = pairs.map((pair) => pair.map(quoted).join("=")).join("&");
  const address = `${window.location.pathname}${query ? "?" : ""}${query}`;
  if (query !== window.location.search.slice(1)) window.history.replaceState(window.history.state, "", address);
}

// As Python's urllib.parse.quote_plus.
function quoted(text) {
  const rest = (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`;
  return encodeURIComponent(text).replace(/[!'()*]/g, rest).replaceAll("%20", "+");
}

// The gallery's page that holds the photo shown, for the URL.
function pageOf({ place }) {
  if (!place.page_key || place.position === null) return {};
  const page = Math.floor(place.position / place.page_size) + 1;
  return { [place.page_key]: page > 1 ? [page] : [] };
}

function setView(state, { zoom, u, v }) {
  const within = (value) => Math.min(1 - 0.5 / zoom, Math.max(0.5 / zoom, value));
  state.view = { zoom, u: within(u), v: within(v) };
  redraw(state);
}

function fit(state) {
  setView(state, { zoom: 1, u: 0.5, v: 0.5 });
}

// Zoom around the point `at` (0..1 of the canvas), which stays in place.
function zoomBy(state, factor, at = [0.5, 0.5]) {
  const { zoom, u, v } = state.view;
  const next = Math.min(MOST_ZOOM, Math.max(1, zoom * factor));
  const moved = (centre, place) => centre + (place - 0.5) * (1 / zoom - 1 / next);
  setView(state, { zoom: next, u: moved(u, at[0]), v: moved(v, at[1]) });
}

function pan(state, right, down) {
  const { zoom, u, v } = state.view;
  setView(state, { zoom, u: u + right / zoom, v: v + down / zoom });
}

function step(state, by) {
  const next = state.pictures[state.at + by];
  if (!next) {
    if (state.place.position !== null) announce(state, by > 0 ? "This is the last image." : "This is the first image.");
    return;
  }
  state.at += by;
  state.place = { ...state.place, position: state.place.position === null ? 0 : state.place.position + by };
  state.wanted = { id: next.image_id, until: performance.now() + GIVE_UP_SECONDS * 1000 };
  openImage(state);
  announce(state, `${next.name}, ${state.part.position.textContent}`);
  clearTimeout(state.going);
  state.going = setTimeout(() => {
    if (state.place.page_key !== null) replaceAddress(state, { image: [next.image_id], ...pageOf(state) });
    state.send("go", { image: next.image_id, look: state.look });
  }, 60);
}

// Show the current image, unzoomed.
function openImage(state) {
  document.documentElement.dataset.viewed = pictureOf(state).image_id; // the gallery returns to it
  state.heatAbort?.abort();
  state.heating = null;
  state.hover = null;
  fit(state);
  refresh(state);
  loadAll(state);
}

async function download(state, frame) {
  const picture = pictureOf(state);
  await loadPhoto(state, picture);
  const photo = state.photos.get(picture.image_id)?.bitmap;
  const layer = layerOf(state, picture, frame.run);
  const canvas = element("canvas");
  canvas.width = photo?.width ?? layer.mask?.width ?? 1;
  canvas.height = photo?.height ?? layer.mask?.height ?? 1;
  const box = [0, 0, canvas.width, canvas.height];
  drawInto(state, frame, canvas.getContext("2d"), { look: state.look, box, density: Math.max(1, canvas.width / 800) });
  canvas.toBlob((blob) => {
    const link = element("a");
    link.href = URL.createObjectURL(blob);
    const stem = picture.name.split("/").pop().replace(/\.[^.]*$/, "").replace(/[^\p{L}\p{N}_.-]+/gu, "_");
    link.download = `${stem}-${frame.mode ? frame.mode.replace("overlay", "difference") : frame.run}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }, "image/png");
}

// --- pointers and keys ---------------------------------------------------------------------------------------------

function listenToPointers(state, frame) {
  const { canvas } = frame;
  const down = new Map();
  const options = { signal: state.abort.signal };
  const on = (kind, act, more) => canvas.addEventListener(kind, act, { ...options, ...more });
  const spot = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  const hover = (event) => {
    const [x, y] = spot(event);
    const { zoom, u, v } = state.view;
    const inside = x >= 0 && x < 1 && y >= 0 && y < 1;
    const place = [u + (x - 0.5) / zoom, v + (y - 0.5) / zoom].map((value) => Math.min(0.999999, Math.max(0, value)));
    state.hover = inside ? { run: frame.run, place } : null;
    highlightRow(state, inside ? rowAt(state, frame, place, x) : "");
    redraw(state);
  };
  const apart = () => {
    const [one, other] = [...down.values()];
    return { far: Math.hypot(one[0] - other[0], one[1] - other[1]), middle: [(one[0] + other[0]) / 2, (one[1] + other[1]) / 2] };
  };
  on("pointerdown", (event) => {
    down.set(event.pointerId, spot(event));
    canvas.setPointerCapture(event.pointerId);
    hover(event);
  });
  on("pointermove", (event) => {
    const before = down.get(event.pointerId);
    if (before && down.size === 1) {
      const now = spot(event);
      pan(state, before[0] - now[0], before[1] - now[1]);
      down.set(event.pointerId, now);
    } else if (before) {
      const was = apart();
      down.set(event.pointerId, spot(event));
      const is = apart();
      zoomBy(state, is.far / Math.max(was.far, 0.001), is.middle);
      pan(state, was.middle[0] - is.middle[0], was.middle[1] - is.middle[1]);
    }
    hover(event);
  });
  for (const kind of ["pointerup", "pointercancel"]) on(kind, (event) => down.delete(event.pointerId));
  on("pointerleave", (event) => {
    if (down.size || event.pointerType === "touch") return;
    state.hover = null;
    highlightRow(state, "");
    redraw(state);
  });
  on("dblclick", (event) => (state.view.zoom > 1 ? fit(state) : zoomBy(state, 2.5, spot(event))));
  on("wheel", (event) => {
    if (state.view.zoom === 1 && event.deltaY > 0) return; // the page scrolls on
    event.preventDefault();
    const pixels = event.deltaY * [1, 16, 400][event.deltaMode];
    zoomBy(state, Math.exp(-pixels * (event.ctrlKey ? 0.01 : 0.0018)), spot(event));
    hover(event);
  }, { passive: false });
}

function highlightRow(state, name) {
  for (const row of state.part.side.querySelectorAll("tr[data-name]")) row.classList.toggle("under", row.dataset.name === name);
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// An input of the page's row to select and tag the photo.
function mark(selector) {
  return document.querySelector(`.st-key-marks ${selector}`);
}

// Return what a key does; null if it does nothing.
function commandOf(state, { key, shiftKey }) {
  if (key in ARROWS) {
    const [right, down] = ARROWS[key];
    if (shiftKey) return () => pan(state, right * 0.1, down * 0.1);
    return right ? () => step(state, right) : null;
  }
  if (/^[1-9]$/.test(key)) return state.classes[key - 1] ? () => toggle(state, state.classes[key - 1]) : null;
  const set = (parts, message) => () => { change(state, parts); announce(state, message); };
  const { look } = state;
  const opacity = (by) => Math.min(100, Math.max(0, look.opacity + by));
  const commands = {
    0: set({ hidden: [] }, "All classes shown"),
    "+": set({ opacity: opacity(10) }, `Opacity ${opacity(10)} %`),
    "=": set({ opacity: opacity(10) }, `Opacity ${opacity(10)} %`),
    "-": set({ opacity: opacity(-10) }, `Opacity ${opacity(-10)} %`),
    o: set({ overlay: !look.overlay }, look.overlay ? "Mask off" : "Mask on"),
    b: set({ outline: !look.outline }, look.outline ? "Classes filled" : "Borders of classes"),
    n: set({ names: !look.names }, look.names ? "Names off" : "Names on"),
    u: set({ uncertainty: !look.uncertainty }, look.uncertainty ? "Uncertainty off" : "Uncertainty on"),
    z: () => zoomBy(state, 1.5),
    Z: () => zoomBy(state, 1 / 1.5),
    f: () => fit(state),
    "?": () => showKeys(state, state.part.help.hidden),
  };
  commands.m = commands.o;
  if (state.place.page_key !== null) {
    commands.s = () => mark("input[type=checkbox]")?.click();
    commands.t = () => mark("[data-testid=stSelectbox] input")?.focus();
  }
  if (state.runs.length > 1) {
    const [next, message] = NEXT_MODE[modeOf(state)];
    commands.d = set({ difference: next }, message);
  }
  return Object.hasOwn(commands, key) ? commands[key] : null;
}

// Whether the focused element uses this key itself: letters in a field, arrows on a slider, in a list or table.
function isKeyTaken(event) {
  const target = event.composedPath()[0];
  if (!(target instanceof Element) || target.isContentEditable || target.closest("[role=dialog]")) return true;
  const moves = /^(Arrow|Home|End|Page)/.test(event.key);
  if (moves && target.closest("[role=grid],[role=slider],[role=radiogroup],[role=tablist],[role=menu]")) return true;
  if (target.closest("[role=listbox],[role=combobox]") || /^(TEXTAREA|SELECT)$/.test(target.tagName)) return true;
  return target.tagName === "INPUT" && (moves || !/^(checkbox|radio|range)$/.test(target.type));
}

function listenToKeys(state) {
  const options = { signal: state.abort.signal };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isKeyTaken(event)) return;
    if (event.key === "Escape") showKeys(state, false);
    const command = commandOf(state, event);
    if (!command) return;
    event.preventDefault();
    command();
  }, options);
  const { root } = state.part;
  const peek = (on) => (event) => {
    if (event.key !== " " || event.composedPath()[0].tagName !== "CANVAS") return;
    event.preventDefault();
    if (state.peeking === on) return;
    state.peeking = on;
    redraw(state);
  };
  root.addEventListener("keydown", peek(true), options);
  root.addEventListener("keyup", peek(false), options);
  root.addEventListener("keydown", (event) => {
    if (event.key === "c" || event.key === "r") event.stopPropagation(); // Streamlit's own keys
  }, options);
}

// --- data from the server ------------------------------------------------------------------------------------------

function createState(parent, data) {
  const state = {
    abort: new AbortController(),
    photos: new Map(),
    layers: new Map(),
    frames: [],
    toggles: new Map(),
    classes: [],
    view: { zoom: 1, u: 0.5, v: 0.5 },
    swipe: 0.5,
    differing: {},
    path: window.location.pathname,
  };
  state.part = build(parent, state, data.place.page_key === null ? KEYS : [...MARK_KEYS, ...KEYS]);
  state.sizes = new ResizeObserver(() => { if (pictureOf(state)) resize(state); });
  state.pictures = [];
  window.addEventListener("resize", () => { if (pictureOf(state)) resize(state); }, { signal: state.abort.signal });
  listenToKeys(state);
  return state;
}

function applyServerData(state, data) {
  const shown = data.pictures[data.shown].image_id;
  const waits = state.wanted && performance.now() < state.wanted.until;
  if (waits && state.wanted.id !== shown) return; // the answer to an earlier step; the visitor has moved on
  state.wanted = null;
  const server = JSON.stringify(data.look);
  if (server !== state.serverLook) {
    state.serverLook = server;
    state.look = lastChosenLook?.server === server ? lastChosenLook.look : data.look;
  }
  state.usualOpacity = data.usual_opacity;
  state.urlKeys = data.url_keys;
  const before = pictureOf(state)?.image_id;
  Object.assign(state, { pictures: data.pictures, at: data.shown, place: data.place, runs: data.runs, pair: data.pair });
  buildFrames(state);
  if (before === shown) {
    refresh(state);
    loadAll(state);
  } else {
    openImage(state);
  }
  if (JSON.stringify(state.look) !== server) writeAddress(state);
}

// Scroll up to the photo if the visitor came from far down another page, and move the focus to the photo if what had it
// is gone with that page. A link opened in a new tab leaves the focus at the top.
function arrive(state) {
  if (state.part.root.getBoundingClientRect().top < 0) document.querySelector("[data-testid=stMain]")?.scrollTo(0, 0);
  if (!navigator.userActivation?.hasBeenActive) return;
  onceFocusIsLost(state.abort.signal, () => state.frames[0]?.canvas.focus({ preventScroll: true }));
}

export default function ({ parentElement, data, setTriggerValue }) {
  let state = states.get(parentElement);
  if (!state) {
    states.set(parentElement, (state = createState(parentElement, data)));
    requestAnimationFrame(() => arrive(state));
  }
  state.send = setTriggerValue;
  applyServerData(state, data);
  return () => {
    state.abort.abort();
    state.heatAbort?.abort();
    state.sizes.disconnect();
    clearTimeout(state.writing);
    cancelAnimationFrame(state.drawing);
    states.delete(parentElement);
  };
}
