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

// An address that only this computer can open. The report, which a page may offer, can be sent instead.
const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;
const REPORT = ".st-key-download-report button";

function localNote() {
  const box = element("div", "local");
  box.append(element("span", "", "This address opens on this computer only."));
  const report = document.querySelector(REPORT);
  if (report) {
    const send = element("button", "", "Download the report");
    send.type = "button";
    send.addEventListener("click", () => report.click());
    box.append(element("span", "", " Send the report instead: "), send);
  }
  return box;
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
  const local = element("div");
  card.append(note, field, local, hint, command);
  const close = () => { card.hidden = true; };
  button.addEventListener("click", async () => {
    field.value = window.location.href;
    card.hidden = false;
    const isLocal = LOOPBACK.test(window.location.hostname);
    local.replaceChildren(...(isLocal ? [localNote()] : []));
    note.textContent = (await copyText(field.value, field))
      ? `Copied. ${isLocal ? "It opens" : "Whoever opens it sees"} this view:`
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
