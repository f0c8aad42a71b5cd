// The gallery: justified rows of photos with a colour mask on each. Overlay, opacity and size change here, at once and
// without the server, which is told afterwards so that the URL can follow.
const states = new WeakMap();
const WIDEST = 2.6;
const NARROWEST = 0.6;

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function image(address, className, alt) {
  const made = element("img", className);
  made.src = address;
  made.alt = alt;
  made.loading = "lazy";
  made.decoding = "async";
  made.draggable = false;
  return made;
}

function pictureOf(tile) {
  const frame = element("div", "frame");
  const picture = element("div", "picture");
  picture.style.aspectRatio = String(tile.aspect);
  frame.classList.toggle("tall", tile.aspect < NARROWEST);
  if (tile.photo) picture.append(image(tile.photo, "photo", tile.alt));
  if (tile.mask) picture.append(image(tile.mask, "mask", ""));
  frame.append(picture);
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
    part.title = name;
    bar.append(part);
  }
  return bar;
}

const TRIANGLE = "M8 1.8 15 14.2H1L8 1.8Zm-.8 4.4v4h1.6v-4H7.2Zm0 5.2v1.5h1.6v-1.5H7.2Z";

function warningOf(text) {
  const line = element("div", "warning");
  const mark = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  mark.setAttribute("viewBox", "0 0 16 16");
  mark.setAttribute("width", "13");
  mark.setAttribute("height", "13");
  mark.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", TRIANGLE);
  path.setAttribute("fill", "currentColor");
  path.setAttribute("fill-rule", "evenodd");
  mark.append(path);
  line.title = text;
  line.append(mark, element("span", "", text));
  return line;
}

function tileOf(tile) {
  const figure = element("figure", tile.warning ? "tile flagged" : "tile");
  figure.style.setProperty("--aspect", String(Math.min(WIDEST, Math.max(NARROWEST, tile.aspect))));
  const caption = element("figcaption");
  const line = element("div", "line");
  line.append(element("span", "found", `${tile.found} ${tile.share}`.trim()));
  line.append(element("span", "quiet", `conf ${tile.confidence}`));
  const name = element("span", "name quiet");
  name.append(element("bdi", "", tile.name));
  name.title = tile.name;
  caption.append(line, barOf(tile));
  if (tile.warning) caption.append(warningOf(tile.warning));
  caption.append(name);
  if (tile.note) caption.append(element("div", "quiet", tile.note));
  figure.append(pictureOf(tile), caption);
  return figure;
}

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

function build(parent, sizes) {
  const root = element("div", "root");
  const bar = element("div", "bar");
  const overlay = element("input");
  overlay.type = "checkbox";
  const opacity = range(0, 100, 5);
  const percent = element("output");
  const size = range(sizes[0], sizes[1], 10);
  const legend = element("ul", "legend");
  const tiles = element("div", "tiles");
  bar.append(
    control("Overlay", overlay, [keyHint("o")]),
    control("Opacity", opacity, [percent]),
    control("Size", size, []),
    legend,
  );
  root.append(bar, tiles);
  parent.append(root);
  return { root, overlay, opacity, percent, size, legend, tiles };
}

function lookOf({ parts }) {
  return { overlay: parts.overlay.checked, opacity: Number(parts.opacity.value), size: Number(parts.size.value) };
}

function show({ parts }) {
  const { overlay, opacity, size } = { overlay: parts.overlay.checked, opacity: parts.opacity.value, size: parts.size.value };
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

function typing(event) {
  const target = event.composedPath()[0];
  return target.isContentEditable || /^(TEXTAREA|SELECT)$/.test(target.tagName)
    || (target.tagName === "INPUT" && !/^(checkbox|range|radio)$/.test(target.type));
}

function listen(state) {
  const { parts, abort } = state;
  const options = { signal: abort.signal };
  const tell = () => { show(state); state.waiting = JSON.stringify(lookOf(state)); state.send("look", lookOf(state)); };
  for (const input of [parts.opacity, parts.size]) {
    input.addEventListener("input", () => { state.waiting = "dragging"; show(state); }, options);
    input.addEventListener("change", tell, options);
  }
  parts.overlay.addEventListener("change", tell, options);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "o" || event.ctrlKey || event.metaKey || event.altKey || event.repeat || typing(event)) return;
    parts.overlay.checked = !parts.overlay.checked;
    tell();
  }, options);
}

export default function ({ parentElement, data, setStateValue }) {
  let state = states.get(parentElement);
  if (!state) {
    state = { abort: new AbortController(), parts: build(parentElement, data.sizes), waiting: "" };
    states.set(parentElement, state);
    listen(state);
  }
  state.send = setStateValue;
  const look = JSON.stringify(data.look);
  if (!state.waiting || state.waiting === look) {
    state.waiting = "";
    apply(state, data.look);
  }
  const text = JSON.stringify([data.tiles, data.legend]);
  if (text !== state.text) {
    state.text = text;
    const rest = element("div", "rest");
    state.parts.tiles.replaceChildren(...data.tiles.map(tileOf), rest);
    state.parts.legend.replaceChildren(...data.legend.map(([name, colour]) => {
      const entry = element("li");
      const swatch = element("span", "swatch");
      swatch.style.background = colour;
      entry.append(swatch, element("span", "", name));
      return entry;
    }));
  }
  return () => { state.abort.abort(); states.delete(parentElement); };
}
