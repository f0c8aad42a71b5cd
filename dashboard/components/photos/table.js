// A table of photos, redrawn only when its data changes. A click anywhere on a row opens its photo. Tab reaches the
// headings and one row; the arrow keys move to the other rows, Enter opens.
const states = new WeakMap();
const ZERO = "0\u00a0%";

function thumbnailOf(row) {
  const box = element("span", "thumb");
  for (const [address, className] of [[row.photo, "photo"], [row.mask, "mask"]]) {
    if (!address) continue;
    const image = element("img", className);
    image.src = address;
    image.alt = className === "photo" ? row.alt : "";
    image.loading = "lazy";
    image.decoding = "async";
    box.append(image);
  }
  return box;
}

function linkOf(row) {
  const link = element("a");
  link.href = row.href;
  link.tabIndex = -1;
  const name = element("span", "name");
  name.append(element("bdi", "", row.name));
  name.title = row.name;
  link.append(thumbnailOf(row), name);
  return link;
}

function cellOf(column, text) {
  const cell = element("td", column.number ? "number" : "");
  cell.classList.toggle("zero", text === ZERO);
  cell.append(element("bdi", "", text));
  return cell;
}

function rowOf(columns, row) {
  const line = element("tr", row.warning ? "flagged" : "");
  const head = element("th");
  head.scope = "row";
  head.append(linkOf(row));
  if (row.warning) {
    const warning = element("span", "warning");
    warning.append(icon(TRIANGLE), element("span", "", row.warning));
    head.append(warning);
  }
  if (row.tags.length) {
    const tags = element("span", "tags");
    tags.setAttribute("role", "list");
    tags.setAttribute("aria-label", "Tags");
    for (const name of row.tags) {
      const tag = element("span", "tag");
      tag.setAttribute("role", "listitem");
      tag.append(element("bdi", "", name));
      tags.append(tag);
    }
    head.append(tags);
  }
  line.append(head, ...columns.map((column, at) => cellOf(column, row.cells[at])));
  return line;
}

function headingOf(column, at, state) {
  const cell = element("th", column.number ? "number" : "");
  cell.scope = "col";
  if (column.hint) cell.title = column.hint;
  if (column.order) cell.setAttribute("aria-sort", column.order);
  if (!column.sortable) {
    cell.textContent = column.title;
    return cell;
  }
  const button = element("button", "", column.title);
  button.type = "button";
  if (column.order) {
    const arrow = element("span", "", column.order === "ascending" ? "↑" : "↓");
    arrow.setAttribute("aria-hidden", "true");
    button.append(arrow);
  }
  button.addEventListener("click", () => state.trigger("sort", at));
  cell.append(button);
  return cell;
}

function draw(data, state) {
  const table = element("table");
  table.setAttribute("aria-label", data.name);
  const head = table.createTHead().insertRow();
  const first = element("th", "", "Photo");
  first.scope = "col";
  head.append(first, ...data.columns.map((column, at) => headingOf(column, at, state)));
  const body = table.createTBody();
  body.append(...data.rows.map((row) => rowOf(data.columns, row)));
  body.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return; // the browser's own, on the link
    const at = event.target.closest("tr")?.sectionRowIndex;
    if (at === undefined || getSelection()?.toString()) return; // text is being selected
    event.preventDefault();
    state.trigger("open", data.rows[at].id);
  });
  body.addEventListener("keydown", (event) => pressed(state, event));
  const frame = element("div", "frame");
  frame.style.setProperty("--opacity", String(data.opacity));
  frame.append(table);
  return frame;
}

// --- the keyboard ----------------------------------------------------------------------------------------------------

const MOVES = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity };

function links(frame) {
  return [...frame.querySelectorAll("tbody a")];
}

function reach(state, at) {
  const all = links(state.frame);
  state.active = Math.max(0, Math.min(at, all.length - 1));
  all.forEach((link, index) => { link.tabIndex = index === state.active ? 0 : -1; });
  return all[state.active];
}

function pressed(state, event) {
  if (!(event.key in MOVES) || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  event.stopPropagation();
  const link = reach(state, links(state.frame).indexOf(event.target.closest("a")) + MOVES[event.key]);
  link?.focus({ preventScroll: true });
  link?.closest("tr").scrollIntoView({ block: "nearest" });
}

export default function ({ parentElement, data, setTriggerValue }) {
  let state = states.get(parentElement);
  if (!state) states.set(parentElement, (state = { active: 0 }));
  state.trigger = setTriggerValue;
  const text = JSON.stringify(data);
  if (text !== state.text) show(parentElement, state, data, text);
  return withdrawSkipLink;
}

function show(parentElement, state, data, text) {
  const before = state.data;
  Object.assign(state, { text, data });
  const held = state.frame?.contains(parentElement.getRootNode().activeElement);
  const heading = [...(state.frame?.querySelectorAll("thead button") ?? [])]
    .findIndex((button) => button === parentElement.getRootNode().activeElement);
  const frame = draw(data, state);
  if (state.frame) state.frame.replaceWith(frame);
  else parentElement.append(frame);
  state.frame = frame;
  const same = before?.rows.map((row) => row.id).join() === data.rows.map((row) => row.id).join();
  const link = reach(state, same ? state.active : 0);
  if (heading >= 0) frame.querySelectorAll("thead button")[heading]?.focus({ preventScroll: true });
  else if (held) link?.focus({ preventScroll: true });
  offerSkipLink();
}
