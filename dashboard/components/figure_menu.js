// The menu of a chart or a matrix: its picture as PNG or SVG, its data as CSV, its picture to the clipboard. It opens by
// click, Enter, Space or an arrow key; arrows, Home and End move in it, Escape and Tab close it, and focus returns.
const FIGURE_DOTS = "M3 6.7a1.4 1.4 0 1 1 0 2.8 1.4 1.4 0 0 1 0-2.8Zm5 0a1.4 1.4 0 1 1 0 2.8 1.4 1.4 0 0 1 0-2.8Z"
  + "m5 0a1.4 1.4 0 1 1 0 2.8 1.4 1.4 0 0 1 0-2.8Z";
const FIGURE_SAID_MS = 8000;
const CAN_COPY = Boolean(navigator.clipboard?.write && window.ClipboardItem);

let figureMenus = 0;

function saveFile(blob, name) {
  const link = element("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// `source`: {texts(), inner(), table()}: title, note, what it is about, file name; the figure as SVG and its CSV, perhaps later.
function createFigureMenu(source) {
  const paper = async () => paperSvg(await source.inner(), source.texts());
  const save = async (kind, make) => saveFile(await make(), `${source.texts().file}.${kind}`);
  const svg = async () => new Blob([(await paper()).svg], { type: "image/svg+xml" });
  const png = async () => paperPng(await paper());
  const csv = async () => new Blob([await source.table()], { type: "text/csv;charset=utf-8" });
  const copy = () => navigator.clipboard.write([new ClipboardItem({ "image/png": png() })]);
  const actions = [
    ["Picture as PNG", () => save("png", png), "Saved"],
    ["Picture as SVG", () => save("svg", svg), "Saved"],
    ["Data as CSV", () => save("csv", csv), "Saved"],
    ...(CAN_COPY ? [["Copy picture", copy, "Copied"]] : []),
  ];

  const root = element("div", "figure-menu");
  const button = element("button", "figure-menu-button");
  button.type = "button";
  button.append(icon(FIGURE_DOTS, "figure-menu-icon"));
  const list = element("div", "figure-menu-list");
  list.id = `figure-menu-${(figureMenus += 1)}`;
  list.popover = "auto";
  list.setAttribute("role", "menu");
  button.setAttribute("aria-haspopup", "menu");
  button.setAttribute("aria-expanded", "false");
  button.popoverTargetElement = list;
  const status = element("div", "figure-menu-status");
  status.setAttribute("role", "status");
  root.append(button, list, status);

  let timer;
  const say = (sentence, failed) => {
    status.textContent = sentence;
    clearTimeout(timer);
    if (!failed) timer = setTimeout(() => { status.textContent = ""; }, FIGURE_SAID_MS);
  };
  const items = actions.map(([text, act, done]) => {
    const item = element("button", "", text);
    item.type = "button";
    item.tabIndex = -1;
    item.setAttribute("role", "menuitem");
    item.addEventListener("click", () => {
      list.hidePopover();
      button.focus();
      act().then(() => say(done), () => say("This browser could not do that.", true));
    });
    list.append(item);
    return item;
  });

  // Shown unseen, placed, then seen.
  let opened;
  const settle = (at) => {
    placeFigureMenu(list, button);
    list.style.visibility = "";
    items.at(at).focus({ preventScroll: true });
  };
  list.addEventListener("beforetoggle", ({ newState }) => {
    button.setAttribute("aria-expanded", String(newState === "open"));
    opened?.abort();
    if (newState !== "open") return;
    list.style.visibility = "hidden";
    opened = new AbortController();
    const { signal } = opened;
    const follow = () => placeFigureMenu(list, button);
    window.addEventListener("scroll", follow, { capture: true, passive: true, signal });
    window.addEventListener("resize", follow, { signal });
  });
  list.addEventListener("toggle", () => { if (list.matches(":popover-open") && list.style.visibility) settle(0); });
  const open = (at) => {
    list.showPopover();
    settle(at);
  };
  button.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") open(0);
    else if (event.key === "ArrowUp") open(-1);
    else {
      if (event.key === "c" || event.key === "r") event.stopPropagation(); // Streamlit's own keys
      return;
    }
    event.preventDefault();
  });
  list.addEventListener("keydown", (event) => {
    const at = items.indexOf(list.getRootNode().activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1 + items.length, Home: 0, End: items.length - 1 }[event.key];
    if (to !== undefined) items[to % items.length].focus();
    else if (event.key === "Escape" || event.key === "Tab") {
      list.hidePopover();
      button.focus();
    }
    if (to !== undefined || event.key === "Escape") event.preventDefault();
    event.stopPropagation();
  });
  return {
    root,
    update() {
      const { title, corner } = source.texts();
      root.classList.toggle("corner", Boolean(corner));
      button.setAttribute("aria-label", title ? `Save or copy: ${title}` : "Save or copy this figure");
      button.title = "Save or copy";
      list.setAttribute("aria-label", button.getAttribute("aria-label"));
    },
  };
}

// Below the button, its right edge below the button's, or above it where there is no room; never outside the window.
function placeFigureMenu(list, button) {
  const at = button.getBoundingClientRect();
  const { width, height } = list.getBoundingClientRect();
  const below = at.bottom + 4;
  const top = below + height <= window.innerHeight ? below : Math.max(4, at.top - height - 4);
  list.style.top = `${top}px`;
  list.style.left = `${Math.max(4, Math.min(at.right - width, window.innerWidth - width - 4))}px`;
}
