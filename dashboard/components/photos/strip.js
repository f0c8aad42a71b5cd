// Groups of a few photos under their masks, redrawn only when their data changes.
const states = new WeakMap();

function pictureOf(tile) {
  const picture = element("div", "picture");
  for (const [address, className] of [[tile.photo, "photo"], [tile.mask, "mask"]]) {
    if (!address) continue;
    const image = element("img", className);
    image.src = address;
    image.alt = className === "photo" ? tile.alt : "";
    image.loading = "lazy";
    image.decoding = "async";
    image.draggable = false;
    picture.append(image);
  }
  return picture;
}

// A plain click opens the photo without a reload; the browser handles all other clicks, such as those that open a new
// tab.
function tileOf(tile, group, state) {
  const figure = element("figure", "shot");
  const link = element("a", "open");
  link.href = tile.href;
  if (!tile.photo) link.setAttribute("aria-label", tile.alt);
  link.append(pictureOf(tile));
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    state.trigger("open", { group, id: tile.id });
  });
  const caption = element("figcaption", tile.warning ? "warning" : "");
  const text = element("span", "text", tile.caption);
  text.title = tile.caption;
  caption.append(text);
  if (tile.aside) caption.append(element("span", "quiet", tile.aside));
  figure.append(link, caption);
  return figure;
}

function groupOf(group, at, state) {
  const section = element("section", "group");
  const line = element("div", "line");
  const title = element("h2", "", group.title);
  const more = element("button", "", group.more);
  more.type = "button";
  more.setAttribute("aria-label", `${group.more}: ${group.title}`);
  more.addEventListener("click", () => state.trigger("all", at));
  line.append(title, more);
  const tiles = element("div", "tiles");
  tiles.append(...group.tiles.map((tile) => tileOf(tile, at, state)));
  const note = element("p", "quiet", group.note);
  note.title = group.note; // it may be cut
  section.append(line, note, tiles);
  return section;
}

export default function ({ parentElement, data, setTriggerValue }) {
  let state = states.get(parentElement);
  if (!state) {
    state = { root: element("div", "root") };
    states.set(parentElement, state);
    parentElement.append(state.root);
  }
  state.trigger = setTriggerValue;
  const text = JSON.stringify(data);
  if (text !== state.text) draw(state, data, text);
  return withdrawSkipLink;
}

function draw(state, data, text) {
  state.text = text;
  state.root.style.setProperty("--opacity", String(data.opacity));
  state.root.style.setProperty("--groups", String(data.groups.length));
  state.root.dataset.groups = String(data.groups.length);
  state.root.replaceChildren(...data.groups.map((group, at) => groupOf(group, at, state)));
  offerSkipLink();
}
