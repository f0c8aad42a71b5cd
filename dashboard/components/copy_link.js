// Copy the page's current URL. If the clipboard is not available, the URL is selected instead.
const states = new WeakMap();

async function copyText(text, field) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    field.select();
    return document.execCommand("copy");
  }
}

function readOnly(label) {
  const field = element("input");
  field.readOnly = true;
  field.setAttribute("aria-label", label);
  field.addEventListener("focus", () => field.select());
  return field;
}

function build(parent) {
  const button = element("button", "", "Copy link");
  button.type = "button";
  const card = element("div", "card");
  card.hidden = true;
  const note = element("div");
  note.setAttribute("role", "status");
  const field = readOnly("Link to this view");
  const hint = element("div", "", "The same rows in the shell:");
  const command = readOnly("Command that writes the same rows");
  card.append(note, field, hint, command);
  const close = () => { card.hidden = true; };
  button.addEventListener("click", async () => {
    field.value = window.location.href;
    card.hidden = false;
    note.textContent = (await copyText(field.value, field))
      ? "Copied. Whoever opens it sees this view:"
      : "Copy this address; it opens this view:";
  });
  for (const part of [button, card]) {
    part.addEventListener("keydown", (event) => {
      if (event.key === "Escape") close();
      if (event.key === "c" || event.key === "r") event.stopPropagation(); // Streamlit's own keys
    });
  }
  const outside = (event) => { if (!event.composedPath().includes(parent)) close(); };
  document.addEventListener("pointerdown", outside);
  parent.append(button, card);
  return { command, leave: () => document.removeEventListener("pointerdown", outside) };
}

export default function ({ parentElement, data }) {
  if (!states.has(parentElement)) states.set(parentElement, build(parentElement));
  states.get(parentElement).command.value = data.command;
  return () => {
    states.get(parentElement)?.leave();
    states.delete(parentElement);
  };
}
