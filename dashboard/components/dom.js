// Create HTML and SVG elements. Texts are set as text, never as HTML.
const TRIANGLE = "M8 1.8 15 14.2H1L8 1.8Zm-.8 4.4v4h1.6v-4H7.2Zm0 5.2v1.5h1.6v-1.5H7.2Z"; // a warning sign
const TICK = "M6.4 12.4 2.2 8.2l1.5-1.5 2.7 2.7 5.9-5.9 1.5 1.5z";

const LOOKALIKES = "M1.5 2.5h9v7h-9v-7Zm1.4 1.4v4.2h6.2V3.9H2.9ZM12 5.5h2.5v8h-10V11H6v1.1h7.1V6.9H12V5.5Z"; // two pictures

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// An icon of 16 x 16 units in the colour of the text; hidden from screen readers.
function icon(path, className) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  if (className) svg.setAttribute("class", className);
  svg.setAttribute("aria-hidden", "true");
  const shape = document.createElementNS("http://www.w3.org/2000/svg", "path");
  shape.setAttribute("d", path);
  shape.setAttribute("fill", "currentColor");
  shape.setAttribute("fill-rule", "evenodd");
  svg.append(shape);
  return svg;
}

// Call `act` once nothing has the focus, as after the page that had it is gone; give up after a few seconds.
const FOCUS_SECONDS = 3;
function onceFocusIsLost(signal, act) {
  const until = performance.now() + FOCUS_SECONDS * 1000;
  const look = () => {
    if (signal.aborted) return;
    if (document.activeElement === document.body) act();
    else if (performance.now() < until) setTimeout(look, 50);
  };
  requestAnimationFrame(look);
}

// --- a way past the menu and the filters ---

// The first photo of each component on the page that shows photos as links.
function firstPhotos() {
  const hosts = [...document.querySelectorAll("[data-testid=stBidiComponentIsolated]")];
  return hosts.map((host) => host.shadowRoot?.querySelector("a:has(img):not([tabindex='-1'])")).filter(Boolean);
}

// Make a link to the photos the first stop of the Tab key; call when photos are drawn.
function offerSkipLink() {
  if (document.querySelector(".skip-to-photos")) return;
  const link = element("a", "skip-to-photos", "Skip to the photos");
  link.href = "#stMain";
  link.addEventListener("click", (event) => {
    event.preventDefault();
    const [photo] = firstPhotos();
    photo?.focus();
    photo?.scrollIntoView({ block: "center" });
  });
  document.body.prepend(link);
}

// Remove the link if no photos are left; call when a component with photos is gone.
function withdrawSkipLink() {
  setTimeout(() => { if (!firstPhotos().length) document.querySelector(".skip-to-photos")?.remove(); });
}
