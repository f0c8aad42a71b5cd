// How well the focus is seen: the name of the element that has it, and the highest contrast of an outline, a border or a
// shadow, of it or of what is closely around it, against the ground.
() => {
  const parentOf = (node) => node.parentElement ?? node.getRootNode().host ?? null;
  let element = document.activeElement;
  while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
  if (!element || element === document.body) return null;
  const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => {
    const [r, g, b] = rgba(colour).slice(0, 3).map((part) => part / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const groundOf = (from) => {
    for (let at = from; at; at = parentOf(at)) {
      const { backgroundColor } = getComputedStyle(at);
      if (rgba(backgroundColor)[3] === 255) return backgroundColor;
    }
    return "#fff";
  };
  let best = 1;
  for (let at = element, steps = 0; at && steps < 4; at = parentOf(at), steps += 1) {
    const style = getComputedStyle(at);
    const ring = [];
    if (style.outlineStyle !== "none" && Number.parseFloat(style.outlineWidth) >= 2) ring.push(style.outlineColor);
    if (Number.parseFloat(style.borderTopWidth) >= 1 && /input|combobox|textbox/.test(`${element.tagName} ${element.role}`.toLowerCase())) ring.push(style.borderTopColor);
    for (const colour of ring) if (rgba(colour)[3] > 200) best = Math.max(best, contrast(colour, groundOf(parentOf(at))));
  }
  const name = element.getAttribute("aria-label") ?? element.textContent.trim();
  return { name: `${element.tagName.toLowerCase()} ${name.slice(0, 40)}`, contrast: Math.round(best * 10) / 10 };
}
