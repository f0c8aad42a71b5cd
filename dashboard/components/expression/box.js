// A text box for an expression. Enter applies it; the list beneath offers what can be typed next, chosen by the arrows and
// Enter, by Tab, or by a click. A mistake is underlined, and said beneath.
const boxes = new WeakMap();

function build(parentElement) {
  const root = element("div", "box");
  const label = element("label", "", "Expression");
  const field = element("div", "field");
  const marks = element("div", "marks");
  marks.setAttribute("aria-hidden", "true");
  const input = element("textarea");
  const list = element("ul");
  const foot = element("div", "foot");
  const apply = element("button", "apply", "Apply");
  const clear = element("button", "clear", "Clear");
  const mistake = element("p", "mistake");
  const hints = element("div", "hints");
  Object.assign(input, { rows: 1, spellcheck: false, placeholder: "share.cat > 10% and not label = dogs", id: "text" });
  const attributes = { "aria-autocomplete": "list", "aria-controls": "list", "aria-describedby": "mistake",
    autocomplete: "off", autocapitalize: "off", enterkeyhint: "go" };
  for (const [name, value] of Object.entries(attributes)) input.setAttribute(name, value);
  Object.assign(list, { id: "list", hidden: true });
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "What can be typed here");
  mistake.id = "mistake";
  mistake.setAttribute("role", "alert");
  hints.setAttribute("role", "status");
  label.htmlFor = "text";
  apply.type = clear.type = "button";
  foot.append(apply, clear);
  field.append(marks, input);
  root.append(label, field, list, mistake, hints, foot);
  parentElement.append(root);
  const box = { input, marks, list, mistake, hints, apply, clear, foot, entries: [], start: 0, active: -1 };
  listen(box);
  return box;
}

function listen(box) {
  const { input, list, apply, clear } = box;
  input.addEventListener("input", () => { edited(box); offer(box); });
  input.addEventListener("click", () => offer(box));
  input.addEventListener("focus", () => { if (!input.value) offer(box); });
  input.addEventListener("blur", () => close(box));
  input.addEventListener("scroll", () => { box.marks.scrollTop = input.scrollTop; });
  input.addEventListener("keydown", (event) => pressed(box, event));
  list.addEventListener("pointerdown", (event) => event.preventDefault()); // the text keeps the focus
  list.addEventListener("click", (event) => {
    const item = event.target.closest("li");
    if (item) choose(box, [...list.children].indexOf(item));
  });
  apply.addEventListener("click", () => send(box));
  clear.addEventListener("click", () => { input.value = ""; edited(box); send(box); input.focus(); });
  new ResizeObserver(() => fit(box)).observe(input.parentElement);
}

function pressed(box, event) {
  const { list, entries } = box;
  event.stopPropagation(); // Streamlit's own keys
  if (event.isComposing) return;
  const open = !list.hidden && entries.length > 0;
  if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    if (open && box.active >= 0) choose(box, box.active);
    else send(box);
  } else if (event.key === "Escape" && open) {
    event.preventDefault();
    close(box);
  } else if (event.key === "Tab" && !event.shiftKey && open && (box.active >= 0 || box.typed)) {
    event.preventDefault();
    choose(box, Math.max(box.active, 0));
  } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && (open || event.altKey)) {
    event.preventDefault();
    if (!open) offer(box);
    else mark(box, (box.active + (event.key === "ArrowDown" ? 1 : entries.length + (box.active < 0 ? 0 : -1))) % entries.length);
  }
}

// --- completion ---

function offer(box) {
  const { input, list } = box;
  if (input.selectionStart !== input.selectionEnd) return close(box);
  const { start, entries } = complete(input.value, input.selectionStart, box.vocabulary);
  Object.assign(box, { start, entries, active: -1, typed: start < input.selectionStart });
  list.replaceChildren(...entries.map(({ text, label }, index) => {
    const item = element("li");
    Object.assign(item, { id: `option-${index}` });
    item.setAttribute("role", "option");
    item.setAttribute("aria-selected", "false");
    item.append(element("span", "", text), element("small", "", label));
    return item;
  }));
  list.hidden = entries.length === 0;
  input.removeAttribute("aria-activedescendant");
  return undefined;
}

function mark(box, index) {
  box.active = index;
  [...box.list.children].forEach((item, place) => item.setAttribute("aria-selected", String(place === index)));
  box.input.setAttribute("aria-activedescendant", `option-${index}`);
  box.list.children[index].scrollIntoView({ block: "nearest" });
}

function choose(box, index) {
  const { input } = box;
  const { text } = box.entries[index];
  const end = input.selectionStart;
  const space = text.endsWith("(") || input.value[end] === " " ? "" : " ";
  input.setRangeText(text + space, box.start, end, "end");
  edited(box);
  offer(box);
}

function close(box) {
  box.list.hidden = true;
  box.active = -1;
  box.input.removeAttribute("aria-activedescendant");
}

// --- the text ---

function edited(box) {
  box.marks.replaceChildren();
  box.mistake.textContent = "";
  box.hints.replaceChildren();
  fit(box);
  showButtons(box);
}

function showButtons(box) {
  const text = box.input.value.trim();
  box.apply.hidden = text === box.applied || !text;
  box.clear.hidden = !text;
  box.foot.hidden = box.apply.hidden && box.clear.hidden;
}

function fit(box) {
  box.input.style.height = "auto";
  box.input.style.height = `${box.input.scrollHeight + 2}px`;
}

function send(box) {
  close(box);
  box.applyText(box.input.value.replaceAll("\n", " "));
}

// Underline the mistake: the same text lies behind the box, invisible but for the mark.
function underline(box, text, mistake) {
  if (!mistake) return box.marks.replaceChildren();
  const wrong = text.slice(mistake.start, mistake.end);
  const mark = element("mark", wrong ? "" : "end", wrong || "\u00a0");
  return box.marks.replaceChildren(text.slice(0, mistake.start), mark, text.slice(mistake.end));
}

export default function ({ parentElement, data, setTriggerValue }) {
  if (!boxes.has(parentElement)) boxes.set(parentElement, build(parentElement));
  const box = boxes.get(parentElement);
  box.applyText = (text) => setTriggerValue("applied", text);
  box.vocabulary = data.vocabulary;
  box.applied = data.applied;
  const answer = JSON.stringify([data.text, data.applied, data.mistake, data.hints, data.answers]);
  if (box.answer !== answer) {
    box.answer = answer;
    box.input.value = data.text;
    box.mistake.textContent = data.mistake?.sentence ?? "";
    box.hints.replaceChildren(...data.hints.map((hint) => element("p", "", hint)));
    underline(box, data.text, data.mistake);
    fit(box);
  }
  showButtons(box);
  return undefined;
}
