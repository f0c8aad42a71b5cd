// The table of runs. Each row has a button that opens its menu: arrows, Home and End move in it, Escape closes it.
const DOTS = "M3.5 6.5a1.5 1.5 0 1 1 0 3 1.5 1.5 0 0 1 0-3Zm4.5 0a1.5 1.5 0 1 1 0 3 1.5 1.5 0 0 1 0-3Zm4.5 0a1.5 1.5 0 1 1 0 3 1.5 1.5 0 0 1 0-3Z";
const HEADS = ["Run", "Model, size", "Photos", "Last used, speed", "Disk", "State", ""];
const states = new WeakMap();

function lines(tag, role, head, ...texts) {
  const cell = element(tag);
  cell.setAttribute("role", role);
  cell.dataset.head = head;
  texts.filter(Boolean).forEach((text, i) => cell.append(element("div", i ? "more" : "", text)));
  return cell;
}

function titleOf(run, state) {
  const cell = lines("th", "rowheader", HEADS[0], run.title, run.title === run.run ? "" : run.run);
  cell.scope = "row";
  cell.title = run.run;
  const [first] = run.actions;
  if (first && !first.why_not) {
    const button = element("button", "title", run.title);
    button.type = "button";
    button.addEventListener("click", () => state.send("action", { run: run.run, action: first.id }));
    cell.firstChild.replaceChildren(button);
  }
  return cell;
}

function stateOf(run) {
  const cell = lines("td", "cell", HEADS[5], run.state.replaceAll(/(\d) of (\d)/g, "$1\u00a0of\u00a0$2"), run.note);
  cell.firstChild.className = `state ${run.tone}`;
  return cell;
}

function usedOf(run) {
  const cell = lines("td", "cell", HEADS[3], run.used, run.speed);
  cell.className = "used";
  return cell;
}

// --- the menu ---

function itemOf(run, action, close, state) {
  const item = element("button", "item");
  item.type = "button";
  item.tabIndex = -1;
  item.setAttribute("role", "menuitem");
  item.append(element("span", "", action.label));
  const note = action.why_not || action.hint;
  if (note) item.append(element("span", "more", note));
  if (action.why_not) item.setAttribute("aria-disabled", "true");
  item.addEventListener("click", () => {
    if (action.why_not) return;
    close();
    state.send("action", { run: run.run, action: action.id });
  });
  return item;
}

function place(menu, button) {
  const box = button.getBoundingClientRect();
  const below = window.innerHeight - box.bottom;
  const up = below < menu.offsetHeight + 8 && box.top > below;
  const top = up ? Math.max(8, box.top - menu.offsetHeight - 4) : box.bottom + 4;
  menu.style.top = `${Math.max(8, Math.min(top, window.innerHeight - menu.offsetHeight - 8))}px`;
  menu.style.left = `${Math.max(8, Math.min(box.right - menu.offsetWidth, window.innerWidth - menu.offsetWidth - 8))}px`;
}

function moveIn(menu, event) {
  const items = [...menu.querySelectorAll(".item")];
  const at = items.indexOf(menu.getRootNode().activeElement);
  const to = { ArrowDown: at + 1, ArrowUp: at < 0 ? items.length - 1 : at - 1, Home: 0, End: items.length - 1 }[event.key];
  event.stopPropagation(); // letters are shortcuts of the page
  if (to === undefined) return;
  event.preventDefault();
  items[(to + items.length) % items.length].focus();
}

function menuOf(run, state) {
  const cell = lines("td", "cell", "");
  cell.className = "actions";
  const name = `Actions for ${run.title}`;
  const button = element("button", "dots");
  button.type = "button";
  button.setAttribute("aria-haspopup", "menu");
  button.setAttribute("aria-expanded", "false");
  button.setAttribute("aria-label", name);
  button.append(icon(DOTS));
  const menu = element("div", "menu");
  menu.popover = "auto";
  menu.setAttribute("role", "menu");
  menu.setAttribute("aria-label", name);
  const close = () => menu.hidePopover();
  const scrolled = (event) => { if (!event.composedPath().includes(menu)) close(); };
  menu.append(...run.actions.map((action) => itemOf(run, action, close, state)));
  button.popoverTargetElement = menu;
  menu.addEventListener("toggle", (event) => {
    const open = event.newState === "open";
    button.setAttribute("aria-expanded", String(open));
    if (open) {
      place(menu, button);
      menu.querySelector(".item")?.focus({ preventScroll: true });
      window.addEventListener("scroll", scrolled, { capture: true });
    } else {
      window.removeEventListener("scroll", scrolled, { capture: true });
      state.closed();
    }
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key === "Tab") close();
    else if (event.key !== "Escape") moveIn(menu, event);
  });
  button.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown") return;
    event.preventDefault();
    menu.showPopover();
  });
  cell.append(button, menu);
  return cell;
}

function draw(data, state) {
  const table = element("table");
  table.setAttribute("role", "table");
  table.setAttribute("aria-label", "Runs in this store");
  const head = table.createTHead();
  head.setAttribute("role", "rowgroup");
  const titles = head.insertRow();
  titles.setAttribute("role", "row");
  for (const text of HEADS) {
    const cell = element("th", "", text);
    cell.scope = "col";
    cell.setAttribute("role", "columnheader");
    if (!text) cell.append(element("span", "hidden", "Actions"));
    titles.append(cell);
  }
  const body = table.createTBody();
  body.setAttribute("role", "rowgroup");
  for (const run of data.runs) {
    const row = body.insertRow();
    row.setAttribute("role", "row");
    row.append(
      titleOf(run, state),
      lines("td", "cell", HEADS[1], run.model, run.size),
      lines("td", "cell", HEADS[2], run.photos, run.datasets),
      usedOf(run),
      lines("td", "cell", HEADS[4], run.disk),
      stateOf(run),
      menuOf(run, state),
    );
  }
  const frame = element("div", "frame");
  frame.append(table);
  return frame;
}

// Draws what was last sent, unless a menu is open: it is drawn once that is closed.
function show(parentElement, state) {
  const text = JSON.stringify(state.data);
  if (text === state.text || state.frame?.querySelector(".menu:popover-open")) return;
  state.text = text;
  const held = parentElement.getRootNode().activeElement?.getAttribute("aria-label");
  const frame = draw(state.data, state);
  if (state.frame) state.frame.replaceWith(frame);
  else parentElement.append(frame);
  state.frame = frame;
  if (held) [...frame.querySelectorAll(".dots")].find((one) => one.getAttribute("aria-label") === held)?.focus();
}

export default function ({ parentElement, data, setTriggerValue }) {
  let state = states.get(parentElement);
  if (!state) states.set(parentElement, (state = { closed: () => show(parentElement, state) }));
  Object.assign(state, { data, send: setTriggerValue });
  show(parentElement, state);
}
