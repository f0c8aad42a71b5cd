// The gallery: justified rows of photos, each under a colour mask. Overlay, opacity, size and selection change in the
// browser at once; the server is informed afterwards. Tab reaches one tile, the arrow keys move to the others; Space
// selects, Enter opens.
const states = new WeakMap();
const WIDEST = 2.6;
const NARROWEST = 0.6;
const AT_ONCE = 8; // tiles that are certainly in view; their images load before the page is laid out

// --- one tile --------------------------------------------------------------------------------------------------------

function image(address, className, alt, loading) {
  const made = element("img", className);
  made.src = address;
  made.alt = alt;
  made.loading = loading;
  made.decoding = "async";
  made.draggable = false;
  return made;
}

function pictureOf(tile, loading) {
  const picture = element("div", "picture");
  picture.style.aspectRatio = String(tile.aspect);
  if (tile.photo) picture.append(image(tile.photo, "photo", tile.alt, loading));
  if (tile.mask) picture.append(image(tile.mask, "mask", "", loading));
  return picture;
}

// The picture is a link if there is a page to open. A plain click opens it without a reload; the browser handles all
// other clicks, such as those that open a new tab.
function openerOf(tile, state, loading) {
  const opener = element(tile.href ? "a" : "div", "open");
  opener.append(pictureOf(tile, loading));
  if (!tile.photo) opener.setAttribute("aria-label", tile.alt);
  if (!tile.href) return opener;
  opener.href = tile.href;
  opener.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    state.trigger("open", tile.id);
  });
  return opener;
}

function checkOf(tile) {
  const check = element("button", "check");
  check.type = "button";
  check.setAttribute("role", "checkbox");
  check.setAttribute("aria-label", `Select ${tile.name}`);
  check.append(icon(TICK, "tick"));
  return check;
}

// A link to the photos that are similar to this one.
function similarOf(tile, state) {
  const link = element("a", "similar");
  link.href = tile.similar;
  link.title = "Similar photos";
  link.setAttribute("aria-label", `Similar photos: ${tile.name}`);
  link.append(icon(LOOKALIKES));
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    state.trigger("similar", tile.id);
  });
  return link;
}

function frameOf(tile, state, loading) {
  const frame = element("div", "frame");
  frame.classList.toggle("tall", tile.aspect < NARROWEST);
  frame.append(openerOf(tile, state, loading), checkOf(tile));
  if (tile.similar) frame.append(similarOf(tile, state));
  const gone = [tile.photo ? "" : "thumbnail", tile.mask ? "" : "mask"].filter(Boolean).join(" and ");
  if (gone) frame.append(element("div", "missing", `The ${gone} is missing in the store.`));
  return frame;
}

function barOf(tile) {
  const bar = element("div", "classes");
  for (const [name, share, colour] of tile.bar) {
    const part = element("i");
    part.style.width = `${share * 100}%`;
    part.style.background = colour;
    part.title = `${name} ${Math.round(share * 100)} %`;
    bar.append(part);
  }
  return bar;
}

function warningOf(text) {
  const line = element("div", "warning");
  line.title = text;
  line.append(icon(TRIANGLE, "mark"), element("span", "", text));
  return line;
}

function tagsOf(names) {
  const list = element("ul", "tags");
  list.setAttribute("aria-label", "Tags");
  for (const name of names) {
    const chip = element("li");
    chip.title = name;
    chip.append(element("bdi", "", name));
    list.append(chip);
  }
  return list;
}

function tileOf(tile, state, loading) {
  const figure = element("figure", tile.warning ? "tile flagged" : "tile");
  figure.style.setProperty("--aspect", String(Math.min(WIDEST, Math.max(NARROWEST, tile.aspect))));
  const caption = element("figcaption");
  const line = element("div", "line");
  line.append(element("span", "found", `${tile.found} ${tile.share}`.trim()));
  line.append(element("span", "quiet", tile.aside));
  const name = element("span", "name quiet");
  name.append(element("bdi", "", tile.name));
  name.title = tile.name;
  caption.append(line, barOf(tile));
  if (tile.warning) caption.append(warningOf(tile.warning));
  caption.append(...tile.lines.map((text) => element("div", "wrapped", text)), name);
  if (tile.tags.length) caption.append(tagsOf(tile.tags));
  if (tile.note) caption.append(element("div", "quiet", tile.note));
  figure.append(frameOf(tile, state, loading), caption);
  return figure;
}

// --- the bar above ---------------------------------------------------------------------------------------------------

function control(label, input, extra) {
  const box = element("label");
  box.append(element("span", "", label), input, ...extra);
  return box;
}

function keyHint(key) {
  const hint = element("kbd", "", key);
  hint.title = `Press ${key} to show or hide the overlay`;
  hint.setAttribute("aria-hidden", "true");
  return hint;
}

function range(low, high, step) {
  const input = element("input");
  input.type = "range";
  input.min = low;
  input.max = high;
  input.step = step;
  return input;
}

function button(text) {
  const made = element("button", "plain", text);
  made.type = "button";
  return made;
}

function build(parent, sizes) {
  const root = element("div", "root");
  const bar = element("div", "bar");
  const overlay = element("input");
  overlay.type = "checkbox";
  const opacity = range(0, 100, 5);
  const percent = element("output");
  const size = range(sizes[0], sizes[1], 10);
  const page = button("Select page");
  const all = button("");
  const legend = element("ul", "legend");
  legend.setAttribute("aria-label", "Classes and their colours");
  const tiles = element("div", "tiles");
  tiles.setAttribute("role", "group");
  tiles.setAttribute("aria-label", "Photos: arrow keys move, Space selects, Escape clears the selection");
  const statusLine = element("div", "visually-hidden");
  statusLine.setAttribute("role", "status");
  bar.append(
    control("Overlay", overlay, [keyHint("o")]),
    control("Opacity", opacity, [percent]),
    control("Size", size, []),
    page,
    all,
    legend,
  );
  root.append(bar, tiles, statusLine);
  parent.append(root);
  return { root, overlay, opacity, percent, size, page, all, legend, tiles, statusLine };
}

// --- overlay, opacity, size ------------------------------------------------------------------------------------------

function lookOf({ parts }) {
  return { overlay: parts.overlay.checked, opacity: Number(parts.opacity.value), size: Number(parts.size.value) };
}

function show(state) {
  const { parts } = state;
  const { overlay, opacity, size } = lookOf(state);
  parts.root.classList.toggle("bare", !overlay);
  parts.opacity.disabled = !overlay;
  parts.percent.textContent = `${opacity} %`;
  parts.root.style.setProperty("--opacity", String(opacity / 100));
  parts.root.style.setProperty("--row", `${size}px`);
}

function apply(state, look) {
  state.parts.overlay.checked = look.overlay;
  state.parts.opacity.value = look.opacity;
  state.parts.size.value = look.size;
  show(state);
}

// --- picking ---------------------------------------------------------------------------------------------------------

function figures(state) {
  return [...state.parts.tiles.querySelectorAll("figure.tile")];
}

function photos(number) {
  return `${number.toLocaleString("en")} photo${number === 1 ? "" : "s"}`;
}

function allPicked(state) {
  return state.tiles.length > 0 && state.tiles.every((tile) => state.picked.has(tile.id));
}

function showPicks(state) {
  const { parts } = state;
  const number = state.elsewhere + state.picked.size;
  figures(state).forEach((figure, at) => {
    const on = state.picked.has(state.tiles[at].id);
    figure.classList.toggle("picked", on);
    figure.querySelector(".check").setAttribute("aria-checked", String(on));
  });
  parts.root.classList.toggle("picking", number > 0);
  parts.page.textContent = allPicked(state) ? "Unselect page" : "Select page";
  const text = number ? `${photos(number)} selected` : "";
  if (parts.statusLine.textContent !== text) parts.statusLine.textContent = text;
}

// Send the state of the whole page each time, so that nothing is lost if two messages are merged on the way. The number
// distinguishes the answer to this message from the answer to an earlier one.
function sendPicks(state) {
  state.sent += 1;
  showPicks(state);
  state.send("picks", { n: state.sent, shown: state.tiles.map((tile) => tile.id), picked: [...state.picked] });
}

function toggle(state, at, { wide = false } = {}) {
  const on = !state.picked.has(state.tiles[at].id);
  const from = wide && state.anchor !== null ? Math.min(state.anchor, state.tiles.length - 1) : at;
  for (const tile of state.tiles.slice(Math.min(from, at), Math.max(from, at) + 1)) {
    if (on) state.picked.add(tile.id);
    else state.picked.delete(tile.id);
  }
  state.anchor = at;
  sendPicks(state);
}

function pickPage(state) {
  const on = !allPicked(state);
  state.picked = new Set(on ? state.tiles.map((tile) => tile.id) : []);
  sendPicks(state);
}

function pickAll(state) {
  state.picked = new Set(state.tiles.map((tile) => tile.id));
  state.elsewhere = Math.max(state.elsewhere, state.data.total - state.tiles.length);
  showPicks(state);
  state.trigger("all", true);
}

function clear(state) {
  if (!state.picked.size && !state.elsewhere) return;
  state.picked = new Set();
  state.elsewhere = 0;
  state.anchor = null;
  state.sent += 1;
  showPicks(state);
  state.send("picks", { n: state.sent, none: true });
}

// --- the keyboard ----------------------------------------------------------------------------------------------------

function opener(figure) {
  return figure.querySelector("a.open") ?? figure.querySelector(".check");
}

function reach(state, at) {
  state.active = Math.max(0, Math.min(at, state.tiles.length - 1));
  figures(state).forEach((figure, index) => {
    for (const part of figure.querySelectorAll("a.open, a.similar, .check")) part.tabIndex = index === state.active ? 0 : -1;
  });
}

function focus(state, at) {
  reach(state, at);
  const figure = figures(state)[state.active];
  opener(figure).focus({ preventScroll: true });
  figure.scrollIntoView({ block: "nearest" });
}

// Index of the tile in the row above (-1) or below (+1) that is horizontally nearest; the active one if there is no row.
function indexInNextRow(state, direction) {
  const boxes = figures(state).map((figure) => figure.getBoundingClientRect());
  const here = boxes[state.active];
  const middle = (here.left + here.right) / 2;
  const tops = [...new Set(boxes.map((box) => Math.round(box.top)))].sort((a, b) => a - b);
  const row = tops[tops.indexOf(Math.round(here.top)) + direction];
  if (row === undefined) return state.active;
  const away = (box) => (Math.round(box.top) === row ? Math.abs((box.left + box.right) / 2 - middle) : Infinity);
  return boxes.reduce((best, box, at) => (away(box) < away(boxes[best]) ? at : best), boxes.findIndex((b) => away(b) < Infinity));
}

const MOVES = {
  ArrowRight: (state) => state.active + 1,
  ArrowLeft: (state) => state.active - 1,
  ArrowDown: (state) => indexInNextRow(state, 1),
  ArrowUp: (state) => indexInNextRow(state, -1),
  Home: () => 0,
  End: (state) => state.tiles.length - 1,
};

function pressed(state, event) {
  const figure = event.target.closest("figure.tile");
  if (!figure || event.altKey) return;
  const at = figures(state).indexOf(figure);
  if ((event.ctrlKey || event.metaKey) && event.key === "a") {
    if (!allPicked(state)) pickPage(state);
  } else if (event.ctrlKey || event.metaKey) {
    return;
  } else if (event.key === " ") {
    toggle(state, at, { wide: event.shiftKey });
  } else if (MOVES[event.key]) {
    state.active = at;
    focus(state, MOVES[event.key](state));
  } else {
    return;
  }
  event.preventDefault();
  event.stopPropagation();
}

function typing(event) {
  const target = event.composedPath()[0];
  return target.isContentEditable || /^(TEXTAREA|SELECT)$/.test(target.tagName)
    || (target.tagName === "INPUT" && !/^(checkbox|range|radio)$/.test(target.type));
}

function ignoresKey(event) {
  return event.ctrlKey || event.metaKey || event.altKey || event.repeat || typing(event);
}

// While a popup is open, Escape closes it.
function hasOpenPopup() {
  return document.querySelector('[role="dialog"], [role="listbox"], [role="menu"]:not([popover]), [data-testid="stPopoverBody"]') !== null;
}

// --- coming and going ------------------------------------------------------------------------------------------------

// Return to the photo that was last shown in the viewer, if what had the focus is gone with that page.
function returnToPhoto(state) {
  const { viewed } = document.documentElement.dataset;
  delete document.documentElement.dataset.viewed;
  onceFocusIsLost(state.abort.signal, () => {
    const at = state.tiles.findIndex((tile) => tile.id === viewed);
    if (at < 0) return;
    focus(state, at);
    figures(state)[at].scrollIntoView({ block: "center" });
  });
}

function listen(state) {
  const { parts, abort } = state;
  const options = { signal: abort.signal };
  const sendLook = () => { show(state); state.waiting = JSON.stringify(lookOf(state)); state.send("look", lookOf(state)); };
  for (const input of [parts.opacity, parts.size]) {
    input.addEventListener("input", () => { state.waiting = "dragging"; show(state); }, options);
    input.addEventListener("change", sendLook, options);
  }
  parts.overlay.addEventListener("change", sendLook, options);
  parts.page.addEventListener("click", () => pickPage(state), options);
  parts.all.addEventListener("click", () => pickAll(state), options);
  parts.tiles.addEventListener("click", (event) => {
    const check = event.target.closest(".check");
    if (!check) return;
    const at = figures(state).indexOf(check.closest("figure.tile"));
    reach(state, at);
    toggle(state, at, { wide: event.shiftKey });
  }, options);
  parts.tiles.addEventListener("keydown", (event) => pressed(state, event), options);
  parts.tiles.addEventListener("focusin", (event) => {
    const figure = event.target.closest("figure.tile");
    if (figure) reach(state, figures(state).indexOf(figure));
  }, options);
  document.addEventListener("keydown", (event) => {
    if (event.key === "o" && !ignoresKey(event)) {
      parts.overlay.checked = !parts.overlay.checked;
      sendLook();
    }
    if (event.key === "Escape" && !ignoresKey(event) && !hasOpenPopup()) clear(state);
  }, options);
}

// --- data from the server --------------------------------------------------------------------------------------------

function drawTiles(state) {
  const { tiles } = state.parts;
  const held = tiles.contains(focused(tiles)) ? state.tiles[state.active]?.id : undefined;
  const drawn = new Map(state.drawn.map(([key, text, node]) => [key, [text, node]]));
  state.drawn = state.data.tiles.map((tile, at) => {
    const [key, text] = [`${at} ${tile.id}`, JSON.stringify(tile)];
    const [before, node] = drawn.get(key) ?? [];
    return [key, text, before === text ? node : tileOf(tile, state, at < AT_ONCE ? "eager" : "lazy")];
  });
  const headed = (node, at) => {
    const { heading } = state.data.tiles[at];
    return heading ? [element("div", "rest"), element("h2", "heading", heading), node] : [node];
  };
  tiles.replaceChildren(...state.drawn.flatMap(([, , node], at) => headed(node, at)), element("div", "rest"));
  const same = state.tiles.map((tile) => tile.id).join() === state.data.tiles.map((tile) => tile.id).join();
  state.tiles = state.data.tiles;
  if (!same) state.anchor = null;
  reach(state, same ? state.active : 0);
  if (held !== undefined && state.tiles[state.active]?.id === held) focus(state, state.active);
}

function focused(within) {
  return within.getRootNode().activeElement;
}

function drawLegend(state) {
  const { legend, more_classes: more } = state.data;
  const entryOf = ([name, colour]) => {
    const entry = element("li");
    const swatch = element("span", "swatch");
    swatch.style.background = colour;
    entry.append(swatch, element("span", "", name));
    return entry;
  };
  const opener = element("li");
  const open = button(`${more.length} more ${more.length === 1 ? "class" : "classes"}`);
  open.setAttribute("aria-expanded", "false");
  open.addEventListener("click", () => {
    const opened = open.getAttribute("aria-expanded") === "true";
    open.setAttribute("aria-expanded", String(!opened));
    if (opened) while (opener.nextSibling) opener.nextSibling.remove();
    else opener.after(...more.map(entryOf));
  });
  opener.append(open);
  state.parts.legend.replaceChildren(...legend.map(entryOf), ...(more.length ? [opener] : []));
}

function applyServerPicks(state) {
  const { picks } = state.data;
  if (picks.n < state.sent) return; // an answer to an earlier message
  state.sent = picks.n;
  state.picked = new Set(picks.on);
  state.elsewhere = picks.count - picks.on.length;
}

export default function ({ parentElement, data, setStateValue, setTriggerValue }) {
  let state = states.get(parentElement);
  if (!state) {
    state = {
      abort: new AbortController(), parts: build(parentElement, data.sizes), waiting: "",
      tiles: [], drawn: [], picked: new Set(), elsewhere: 0, sent: 0, anchor: null, active: 0,
    };
    states.set(parentElement, state);
    listen(state);
    returnToPhoto(state);
  }
  Object.assign(state, { send: setStateValue, trigger: setTriggerValue, data });
  const look = JSON.stringify(data.look);
  if (!state.waiting || state.waiting === look) {
    state.waiting = "";
    apply(state, data.look);
  }
  const text = JSON.stringify([data.tiles, data.legend, data.more_classes]);
  if (text !== state.text) {
    state.text = text;
    drawTiles(state);
    drawLegend(state);
  }
  state.parts.root.classList.toggle("grey", data.grey);
  state.parts.all.textContent = `Select all ${photos(data.total)}`;
  state.parts.all.hidden = data.total <= data.tiles.length;
  applyServerPicks(state);
  showPicks(state);
  offerSkipLink();
  return () => { state.abort.abort(); states.delete(parentElement); withdrawSkipLink(); };
}
