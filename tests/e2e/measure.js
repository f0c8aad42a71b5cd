// What does not fit on the page: one line per fault. Text is cut if it lies beyond an ancestor that clips it, or beyond the
// card around it, unless that ancestor scrolls and shows that it does, or ends in an ellipsis with the whole text in a tip.
() => {
  const faults = [];
  const parentOf = (node) => node.assignedSlot ?? node.parentElement ?? node.getRootNode().host ?? null;
  const isHidden = (element) => {
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) return true;
    for (let at = element; at; at = parentOf(at)) if (getComputedStyle(at).clipPath !== "none") return true; // for screen readers
    return false;
  };
  const saysThatItScrolls = (style) => /auto|scroll/.test(style.overflowX) && style.backgroundAttachment.includes("local");
  const hasTip = (element, style) => {
    for (let at = element; at; at = parentOf(at)) if (at.title || at.dataset?.testid === "stMarkdownContainer") return style.textOverflow === "ellipsis";
    return false;
  };
  const place = (element) => {
    const names = [];
    for (let at = element; at && names.length < 4; at = parentOf(at)) names.unshift(`${at.tagName.toLowerCase()}.${String(at.getAttribute("class") ?? at.dataset?.testid ?? "").split(" ")[0]}`);
    return names.join(" > ");
  };
  const check = (element, box, text) => {
    for (let at = element; at && at !== document.body; at = parentOf(at)) {
      const style = getComputedStyle(at);
      const own = at.getBoundingClientRect();
      const clips = style.overflowX !== "visible" && at.tagName !== "BODY";
      const frames = Number.parseFloat(style.borderRightWidth) > 0 && style.borderRightStyle !== "none" && !at.matches("i, span, button, input, kbd, th, td");
      if (!clips && !frames) continue;
      if (box.right > own.right + 2 || box.left < own.left - 2) { // a letter's box is wider than the letter
        if (saysThatItScrolls(style) || hasTip(at, style)) return;
        faults.push(`"${text.slice(0, 40)}" ${Math.round(box.left)}..${Math.round(box.right)} beyond ${Math.round(own.left)}..${Math.round(own.right)} of ${place(at)}`);
        return;
      }
    }
  };
  const visit = (root) => {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      if (node.nodeType === Node.ELEMENT_NODE) {
        if (node.shadowRoot) visit(node.shadowRoot);
        continue;
      }
      const text = node.textContent.trim();
      const element = node.parentElement;
      if (!text || !element || /^(STYLE|SCRIPT|OPTION|TITLE)$/.test(element.tagName)) continue;
      const range = document.createRange();
      range.selectNodeContents(node);
      const box = element instanceof SVGElement ? element.getBoundingClientRect() : range.getBoundingClientRect();
      if (box.width < 1 || box.height < 1 || isHidden(element)) continue;
      check(element, box, text);
    }
  };
  for (const element of [document.documentElement, document.querySelector("[data-testid=stMain]")]) {
    if (element.scrollWidth > element.clientWidth) faults.push(`${place(element)} scrolls sideways by ${element.scrollWidth - element.clientWidth}`);
  }
  visit(document.querySelector("[data-testid=stMain]"));
  document.querySelector("[data-testid=stMain]").scrollTo(0, 0);
  for (const element of document.querySelectorAll(".st-key-heading :is(h1, button, [data-testid=stBidiComponentIsolated])")) {
    const { left, right, top, bottom } = element.getBoundingClientRect();
    if (right - left < 4) continue; // in a closed menu
    for (const [x, y] of [[left + 3, top + 3], [(left + right) / 2, (top + bottom) / 2], [right - 3, bottom - 3]]) {
      const hit = document.elementFromPoint(x, y);
      if (!hit || !(element.contains(hit) || hit.contains(element)) || hit.closest("[data-testid=stHeader]")) faults.push(`${place(element)} is covered at ${Math.round(x)}, ${Math.round(y)} by ${hit && place(hit)}`);
    }
  }
  return [...new Set(faults)];
}
