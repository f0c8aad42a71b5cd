// Tells the server, once, that the pictures in view are there, or that two seconds have passed: the charts may follow.
const told = new WeakSet();
const PATIENCE_MS = 2000;

function picturesInView() {
  return [...document.querySelectorAll("[data-testid=stBidiComponentIsolated]")]
    .flatMap((host) => [...(host.shadowRoot?.querySelectorAll("img") ?? [])])
    .filter((picture) => {
      const box = picture.getBoundingClientRect();
      return box.width > 0 && box.bottom > 0 && box.top < innerHeight;
    });
}

export default function ({ parentElement, setTriggerValue }) {
  if (told.has(parentElement)) return;
  told.add(parentElement);
  const deadline = performance.now() + PATIENCE_MS;
  const look = () => {
    const pictures = picturesInView();
    const there = pictures.length > 0 && pictures.every((picture) => picture.complete);
    if (there || performance.now() > deadline) setTriggerValue("drawn", true);
    else setTimeout(look, 30);
  };
  setTimeout(look, 30);
}
