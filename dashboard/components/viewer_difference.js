// Two runs, A and B, on one photo: a map of their differences, or a swipe view with a divider. Which two, the letters that
// stand for them (`sides`), and the categories' names and colours come from the server (seglib.masks.difference); the
// category of each pixel is computed here from the two masks, in the same way. The last section holds what the viewer's
// frames need to show both runs at once.
const DIVIDER_STEP = 0.02;
const NEXT_MODE = {
  "": ["overlay", "Difference"],
  overlay: ["swipe", "Swipe"],
  swipe: ["", "Side by side"],
};

// Value in A, value in B -> category: Uint8Array (256 * 256). Classes are matched by name.
function categoryTable(one, other, categories) {
  const is = Object.fromEntries(categories.map(({ key }, value) => [key, value]));
  const common = new Set(one.names.filter((name) => other.names.includes(name)));
  const first = (value) => (common.has(one.names[value]) ? one.names[value] : null);
  const second = (value) => (common.has(other.names[value]) ? other.names[value] : null);
  const table = new Uint8Array(256 * 256);
  for (let a = 0; a < 256; a += 1) {
    for (let b = 0; b < 256; b += 1) {
      const [x, y] = [first(a), second(b)];
      let key = "other";
      if (x === null || y === null) key = "uncompared";
      else if (x === y) key = x === "background" ? "both_background" : "same";
      else if (y === "background") key = "only_a";
      else if (x === "background") key = "only_b";
      table[256 * a + b] = is[key];
    }
  }
  return table;
}

// {width, height, ids, pixels}: the map of categories on the finer grid (more pixels; if equal, the wider).
function differenceOf(a, b, table) {
  const finer = (one, other) => one.width * one.height - other.width * other.height || one.width - other.width;
  const { width, height } = finer(a, b) >= 0 ? a : b;
  const ids = new Uint8Array(width * height);
  const pixels = new Uint32Array(256);
  const nearest = (size, from) => Uint32Array.from({ length: size }, (_, i) => Math.floor(((i + 0.5) * from) / size));
  const [ax, bx] = [nearest(width, a.width), nearest(width, b.width)];
  const [ay, by] = [nearest(height, a.height), nearest(height, b.height)];
  for (let y = 0, at = 0; y < height; y += 1) {
    const [rowA, rowB] = [ay[y] * a.width, by[y] * b.width];
    for (let x = 0; x < width; x += 1, at += 1) {
      ids[at] = table[256 * a.ids[rowA + ax[x]] + b.ids[rowB + bx[x]]];
      pixels[ids[at]] += 1;
    }
  }
  return { width, height, ids, pixels };
}

// RGBA (256): the colour of each category.
function differencePaint(categories) {
  const table = new Uint8ClampedArray(4 * 256);
  categories.forEach(({ colour, opacity }, value) => table.set([...rgbOf(colour), opacity], 4 * value));
  return table;
}

// The map of two layers and its coloured image, cached in `store` for these two masks.
function differenceLayer(store, layers, runs, categories) {
  const [a, b] = layers.map(({ mask }) => mask);
  if (!a || !b) return null;
  if (store.a !== a || store.b !== b) {
    const mask = differenceOf(a, b, categoryTable(runs[0], runs[1], categories));
    Object.assign(store, { a, b, mask, paint: paintToCanvas(mask, differencePaint(categories)) });
  }
  return store;
}

// Draw the photo in grey, with the differences in colour.
function drawDifference(context, { photo, layer, look, box }) {
  drawPhoto(context, photo, box);
  if (look.overlay && layer) drawOnGrey(context, layer.paint, look, box);
}

// Draw A left of `at` (0..1 of the canvas) and B right of it; `paint(side)` draws all of A (0) or B (1).
function drawSwipe(context, at, paint) {
  const { width, height } = context.canvas;
  const x = Math.round(at * width);
  for (const [side, from, wide] of [[0, 0, x], [1, x, width - x]]) {
    context.save();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.beginPath();
    context.rect(from, 0, wide, height);
    context.clip();
    paint(side);
    context.restore();
  }
}

// "only A 3 %, only B 2 %": the map's categories, largest first.
function describeDifference(mask, categories) {
  const shares = categories.map(({ label, opacity }, value) => [label, opacity ? mask.pixels[value] / mask.ids.length : 0]);
  const there = shares.filter(([, share]) => share > 0).sort((one, other) => other[1] - one[1]);
  return there.map(([label, share]) => `${label} ${percent(share)}`).join(", ") || "both see background only";
}

// The legend: each category with its colour and share of the photo.
function differenceTable(mask, { title, categories }) {
  const table = element("table", "classes");
  const head = table.createTHead().insertRow();
  for (const [text, name] of [[title, "corner"], ["share", ""]]) {
    const cell = element("th", name, text);
    cell.scope = "col";
    head.append(cell);
  }
  const body = table.createTBody();
  categories.forEach(({ key, label, colour, opacity }, value) => {
    if (key === "uncompared" && !mask?.pixels[value]) return;
    const row = body.insertRow();
    row.dataset.name = key;
    const cell = element("th");
    cell.scope = "row";
    const line = element("span", "entry");
    const swatch = element("i", "swatch");
    swatch.style.background = opacity ? colour : "transparent";
    line.append(swatch, element("span", "name", label));
    cell.append(line);
    row.append(cell, element("td", "", mask ? percent(mask.pixels[value] / mask.ids.length) : "–"));
  });
  return table;
}

// A slider between A and B over the photo; dragging it calls `move(at)` with its new position, 0..1.
function dividerOf(sides, move, signal) {
  const divider = element("div", "divider");
  divider.tabIndex = 0;
  divider.setAttribute("role", "slider");
  divider.setAttribute("aria-label", `Divider: ${sides[0]} on its left, ${sides[1]} on its right`);
  divider.setAttribute("aria-valuemin", "0");
  divider.setAttribute("aria-valuemax", "100");
  const [a, b] = sides.map((text) => element("span", "side-name", text));
  divider.append(a, element("i"), b);
  let held = false;
  const to = (event) => {
    const box = divider.parentElement.querySelector("canvas").getBoundingClientRect();
    move((event.clientX - box.left) / box.width);
  };
  const options = { signal };
  divider.addEventListener("pointerdown", (event) => {
    held = true;
    divider.setPointerCapture(event.pointerId);
    event.preventDefault();
    divider.focus({ preventScroll: true });
  }, options);
  divider.addEventListener("pointermove", (event) => { if (held) to(event); }, options);
  for (const kind of ["pointerup", "pointercancel"]) divider.addEventListener(kind, () => { held = false; }, options);
  const steps = {
    ArrowLeft: (at) => at - DIVIDER_STEP, ArrowRight: (at) => at + DIVIDER_STEP,
    ArrowDown: (at) => at - DIVIDER_STEP, ArrowUp: (at) => at + DIVIDER_STEP,
    PageDown: (at) => at - 0.1, PageUp: (at) => at + 0.1, Home: () => 0, End: () => 1,
  };
  divider.addEventListener("keydown", (event) => {
    if (!steps[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    move(steps[event.key](Number(divider.dataset.at)));
  }, options);
  return divider;
}

// Position the divider over its canvas, which may be narrower than the frame.
function positionDivider(divider, canvas, at, sides) {
  divider.dataset.at = String(at);
  divider.style.left = `${canvas.offsetLeft + at * canvas.clientWidth}px`;
  divider.style.top = `${canvas.offsetTop}px`;
  divider.style.height = `${canvas.clientHeight}px`;
  divider.setAttribute("aria-valuenow", String(Math.round(at * 100)));
  divider.setAttribute("aria-valuetext", `${sides[0]} ${Math.round(at * 100)} %, ${sides[1]} ${Math.round(100 - at * 100)} %`);
}

// --- in the viewer ------------------------------------------------------------------------------------------------

// How the runs are shown: side by side (""), or two of them, A and B, as "overlay" or "swipe".
function modeOf(state) {
  return state.runs.length > 1 ? state.look.difference : "";
}

// The layers of A and B, and the map of their differences.
function pairOf(state, picture) {
  const runs = state.pair.runs.map((place) => state.runs[place]).filter(Boolean);
  const layers = runs.map(({ run }) => layerOf(state, picture, run));
  const difference = runs.length > 1 ? differenceLayer(state.differing, layers, runs, state.pair.categories) : null;
  return { runs, layers, difference };
}

// Update the accessible description of a frame of A and B, and its status line.
function describePair(state, frame, picture) {
  const { runs, layers, difference } = pairOf(state, picture);
  const { sides, categories } = state.pair;
  const lacks = layers.map((layer, side) => (layer.missing ? `${sides[side]}: ${layer.missing}` : ""));
  const missing = lacks.filter(Boolean).join(" ");
  const each = () => layers.map((layer, side) => `${sides[side]} ${describeMask(layer.mask, runs[side].names)}`).join("; ");
  const differs = () => `difference: ${describeDifference(difference.mask, categories)}`;
  const seen = difference ? (frame.mode === "swipe" ? each() : differs()) : (missing || "loading");
  frame.canvas.setAttribute("aria-label", `${picture.name}, ${frame.title}: ${seen}`);
  frame.canvas.setAttribute("aria-busy", String(!difference && !missing));
  showStatus(state, frame, { missing, heatLoading: frame.mode === "swipe" && layers.some((layer) => layer.heatLoading) });
}

// The readout of A and B: "A cat · B dog · (12, 34)".
function readoutOfPair(state) {
  const { place } = state.hover;
  const picture = pictureOf(state);
  const { runs, layers } = pairOf(state, picture);
  const parts = layers.map((layer, side) => (layer.mask ? `${state.pair.sides[side]} ${classAt(layer, runs[side], place)}` : ""));
  parts.push(`(${Math.floor(place[0] * picture.width)}, ${Math.floor(place[1] * picture.height)})`);
  return parts.filter(Boolean).join(" · ");
}

// The name of the table row for a point of the photo: a class, or a category of the difference.
function rowAt(state, frame, place, x) {
  const picture = pictureOf(state);
  if (frame.mode !== "overlay") {
    const index = frame.mode === "swipe" ? state.pair.runs[Number(x >= state.swipe)] : frame.index;
    return classAt(layerOf(state, picture, state.runs[index].run), state.runs[index], place);
  }
  const { difference } = pairOf(state, picture);
  return difference ? state.pair.categories[valueAt(difference.mask, difference.mask.ids, place)].key : "";
}
