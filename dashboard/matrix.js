// A table of counts whose cells are buttons. Redrawn only when its data change.
const drawn = new WeakMap();

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function cellOf(cell, row, column, state) {
  const box = element("td", undefined, cell.tone);
  if (cell.level > 0) box.style.setProperty("--level", `${Math.round(6 + 34 * cell.level)}%`);
  box.classList.toggle("tinted", cell.level > 0);
  if (cell.value === 0) {
    box.append(element("span", "0", "zero"));
    return box;
  }
  box.classList.toggle("faded", cell.chosen === false);
  const button = element("button", cell.value.toLocaleString("en"));
  button.type = "button";
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
  const head = table.createTHead().insertRow();
  head.append(element("th", data.corner, "corner"));
  for (const name of data.columns) {
    const cell = element("th", name);
    cell.scope = "col";
    cell.title = name;
    head.append(cell);
  }
  const body = table.createTBody();
  data.rows.forEach((row, i) => {
    const line = body.insertRow();
    const name = element("th", row.name);
    name.scope = "row";
    name.title = row.name;
    line.append(name, ...row.cells.map((cell, j) => cellOf(cell, i, j, state)));
  });
  const frame = element("div", undefined, "frame");
  frame.append(table);
  return frame;
}

export default function ({ parentElement, data, setTriggerValue }) {
  let state = drawn.get(parentElement);
  if (!state) drawn.set(parentElement, (state = {}));
  state.send = setTriggerValue;
  const text = JSON.stringify(data);
  if (text === state.text) return;
  state.text = text;
  const frame = draw(data, state);
  if (state.frame) state.frame.replaceWith(frame);
  else parentElement.append(frame);
  state.frame = frame;
}
