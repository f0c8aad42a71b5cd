// Tells the server, once, that the gallery's pictures in view are there, or that two seconds have passed: the charts
// may follow. Their script is fetched from then on, not before: it would take the pictures' time.
const told = new WeakSet();
const PATIENCE_MS = 2000;

function pictures() {
  return [...document.querySelectorAll("[data-testid=stBidiComponentIsolated]")]
    .flatMap((host) => [...(host.shadowRoot?.querySelectorAll("img") ?? [])]);
}

function isInView(picture) {
  const box = picture.getBoundingClientRect();
  return box.width > 0 && box.bottom > 0 && box.top < innerHeight;
}

function fetchAhead(address) {
  const link = document.createElement("link");
  Object.assign(link, { rel: "modulepreload", crossOrigin: "", href: address });
  document.head.append(link);
}

export default function ({ parentElement, data, setTriggerValue }) {
  if (told.has(parentElement)) return;
  told.add(parentElement);
  const deadline = performance.now() + PATIENCE_MS;
  const look = () => {
    const all = pictures();
    const there = all.length > 0 && all.filter(isInView).every((picture) => picture.complete);
    if (!there && performance.now() < deadline) {
      setTimeout(look, 30);
      return;
    }
    fetchAhead(data.script);
    setTriggerValue("drawn", true);
  };
  setTimeout(look, 30);
}
