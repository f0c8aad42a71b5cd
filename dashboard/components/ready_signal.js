// Signal the server, once, that the visible images of the gallery have loaded or that two seconds have passed, so that
// the charts may follow. Their script is fetched only then, since it would delay the images.
const signalled = new WeakSet();
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
  if (signalled.has(parentElement)) return;
  signalled.add(parentElement);
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
