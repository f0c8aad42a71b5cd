// A table of numbers whose cells are buttons, redrawn only when its data changes. Tab reaches one cell, the arrow keys
// move to the others. Its menu saves it as a picture or as data.
const states = new WeakMap();
const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

function cellOf(cell, row, column, state) {
  const box = element("td", cell.tone);
  if (cell.level > 0) box.style.setProperty("--level", `${Math.round(6 + 34 * cell.level)}%`);
  box.classList.toggle("tinted", cell.level > 0);
  if (cell.value === 0) {
    box.append(element("span", "zero", cell.text || "0"));
    return box;
  }
  box.classList.toggle("faded", cell.chosen === false);
  const button = element("button", "", cell.text || cell.value.toLocaleString("en"));
  button.type = "button";
  button.tabIndex = -1;
  if (cell.tone === "contradicts") button.prepend(icon(TRIANGLE));
  button.title = cell.hint;
  button.setAttribute("aria-label", cell.hint);
  if (cell.chosen !== null) button.setAttribute("aria-pressed", String(cell.chosen));
  button.addEventListener("click", () => state.send("cell", { row, column }));
  box.append(button);
  return box;
}

function draw(data, state) {
  const table = element("table");
  table.style.setProperty("--columns", String(data.columns.length));
  table.style.setProperty("--longest", String(Math.max(...data.columns.map((name) => name.length))));
  const head = table.createTHead().insertRow();
  head.append(element(data.corner ? "th" : "td", "corner", data.corner));
  for (const name of data.columns) {
    const cell = element("th", "", name);
    cell.scope = "col";
    cell.title = name;
    head.append(cell);
  }
  const body = table.createTBody();
  data.rows.forEach((row, i) => {
    const line = body.insertRow();
    const name = element("th", "", row.name);
    name.scope = "row";
    name.title = row.name;
    line.append(name, ...row.cells.map((cell, j) => cellOf(cell, i, j, state)));
  });
  const frame = element("div", "frame");
  frame.append(table);
  frame.addEventListener("keydown", (event) => pressed(frame, state, event));
  frame.addEventListener("focusin", (event) => reach(frame, state, placeOf(event.target)));
  return frame;
}

// --- the keyboard ---

function buttonAt(frame, [row, column]) {
  return frame.querySelector("tbody").rows[row]?.cells[column + 1]?.querySelector("button");
}

function placeOf(button) {
  const cell = button.closest("td");
  return [cell.parentElement.sectionRowIndex, cell.cellIndex - 1];
}

// Make the button of this cell, or else the first one of the table, the one that Tab reaches, and return it.
function reach(frame, state, place) {
  const button = buttonAt(frame, place) ?? frame.querySelector("button");
  if (!button) return undefined;
  for (const other of frame.querySelectorAll("button")) other.tabIndex = other === button ? 0 : -1;
  state.place = placeOf(button);
  return button;
}

// Move to the next button in this direction, skipping zeros, which are not buttons.
function pressed(frame, state, event) {
  const move = MOVES[event.key];
  if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  event.stopPropagation();
  const { rows } = frame.querySelector("tbody");
  let [row, column] = placeOf(event.target);
  do {
    [row, column] = [row + move[0], column + move[1]];
    if (row < 0 || row >= rows.length || column < 0 || column + 1 >= rows[row].cells.length) return;
  } while (!buttonAt(frame, [row, column]));
  reach(frame, state, [row, column]).focus();
}

function createState(parentElement) {
  const state = { place: [0, 0] };
  state.menu = createFigureMenu({
    texts: () => state.data.menu,
    inner: async () => matrixSvg(state.data),
    table: () => state.data.menu.table,
  });
  state.box = element("div", "box");
  parentElement.append(state.menu.root, state.box);
  return state;
}

export default function ({ parentElement, data, setTriggerValue }) {
  let state = states.get(parentElement);
  if (!state) states.set(parentElement, (state = createState(parentElement)));
  state.send = setTriggerValue;
  state.data = data;
  state.menu.update();
  const text = JSON.stringify(data);
  if (text === state.text) return;
  state.text = text;
  const held = state.frame?.contains(parentElement.getRootNode().activeElement);
  const frame = draw(data, state);
  state.box.replaceChildren(frame);
  state.frame = frame;
  const button = reach(frame, state, state.place);
  if (held) button?.focus({ preventScroll: true });
}
