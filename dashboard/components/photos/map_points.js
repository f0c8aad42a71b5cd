// The points of a map: two coordinates of 16 bits each, and a code of 8 bits that says how a point is coloured. They are
// painted into the pixels of a canvas by this script, since WebGL is missing on machines without a graphics card.
const MAP_UNITS = 65535;
const HIDDEN = 0; // the code of a point that is not shown
const MOST_CORNERS = 64;
const CELL_BITS = 8; // a cell of the index is 256 units wide and high

// --- the lasso: a polygon in the units of the map, as text: 4 bytes per corner in base64url ---

function encodeLasso(corners) {
  const bytes = new Uint8Array(corners.length * 4);
  const view = new DataView(bytes.buffer);
  corners.forEach(([x, y], at) => { view.setUint16(4 * at, x, true); view.setUint16(4 * at + 2, y, true); });
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

function decodeLasso(text) {
  const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (sign) => sign.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Array.from({ length: bytes.length >> 2 }, (_, at) => [view.getUint16(4 * at, true), view.getUint16(4 * at + 2, true)]);
}

// Whether a point lies in the polygon, by the even-odd rule; in whole numbers, so that the server finds the same points.
function isInside(corners, x, y) {
  let inside = false;
  for (let at = 0, before = corners.length - 1; at < corners.length; before = at, at += 1) {
    const [xa, ya] = corners[at];
    const [xb, yb] = corners[before];
    if ((ya > y) === (yb > y)) continue;
    const side = (xb - xa) * (y - ya) - (x - xa) * (yb - ya);
    if (yb > ya ? side > 0 : side < 0) inside = !inside;
  }
  return inside;
}

// The corners of a drawn path that matter (Ramer, Douglas and Peucker), at most `MOST_CORNERS`.
function simplify(path, tolerance) {
  for (let wide = tolerance; ; wide *= 1.5) {
    const kept = keepCorners(path, wide);
    if (kept.length <= MOST_CORNERS) return kept;
  }
}

function keepCorners(path, tolerance) {
  const keep = new Set([0, path.length - 1]);
  const parts = [[0, path.length - 1]];
  while (parts.length) {
    const [first, last] = parts.pop();
    const [xa, ya] = path[first];
    const [dx, dy] = [path[last][0] - xa, path[last][1] - ya];
    const length = Math.hypot(dx, dy);
    let [far, at] = [tolerance, -1];
    for (let i = first + 1; i < last; i += 1) {
      const [px, py] = [path[i][0] - xa, path[i][1] - ya];
      const away = length ? Math.abs(dx * py - dy * px) / length : Math.hypot(px, py);
      if (away > far) [far, at] = [away, i];
    }
    if (at < 0) continue;
    keep.add(at);
    parts.push([first, at], [at, last]);
  }
  return [...keep].sort((a, b) => a - b).map((at) => path[at]);
}

// --- an index of the points by cell, for those near the pointer ---

function indexPoints(xy) {
  const cellOf = (at) => ((xy[2 * at + 1] >> CELL_BITS) << 8) | (xy[2 * at] >> CELL_BITS);
  const count = xy.length >> 1;
  const start = new Uint32Array(65537);
  for (let at = 0; at < count; at += 1) start[cellOf(at) + 1] += 1;
  for (let cell = 0; cell < 65536; cell += 1) start[cell + 1] += start[cell];
  const next = start.slice();
  const order = new Uint32Array(count);
  for (let at = 0; at < count; at += 1) order[next[cellOf(at)]++] = at;
  return { start, order };
}

// The shown point nearest to (x, y), at most `reach` units away; -1 without any.
function nearestPoint({ start, order }, xy, codes, x, y, reach) {
  const cell = (value) => Math.max(0, Math.min(255, Math.floor(value) >> CELL_BITS));
  let [best, found] = [reach * reach, -1];
  for (let row = cell(y - reach); row <= cell(y + reach); row += 1) {
    const line = row << 8;
    for (let i = start[line | cell(x - reach)]; i < start[(line | cell(x + reach)) + 1]; i += 1) {
      const at = order[i];
      const [dx, dy] = [xy[2 * at] - x, xy[2 * at + 1] - y];
      const away = dx * dx + dy * dy;
      if (away <= best && codes[at] !== HIDDEN) [best, found] = [away, at];
    }
  }
  return found;
}

// --- painting ---

// The pixels that a point of this radius covers: (dx, dy, coverage 1..256).
function stampOf(radius, opacity) {
  const reach = Math.ceil(radius);
  const parts = [];
  for (let dy = -reach; dy <= reach; dy += 1) {
    for (let dx = -reach; dx <= reach; dx += 1) {
      const coverage = Math.min(1, Math.max(0, radius + 0.5 - Math.hypot(dx, dy)));
      const alpha = Math.round(coverage * opacity * 256);
      if (alpha > 0) parts.push([dx, dy, alpha]);
    }
  }
  return { reach, parts };
}

function blend(under, over, alpha) {
  const [rb, g] = [under & 0xff00ff, under & 0x00ff00];
  return (0xff000000 | ((rb + (Math.imul((over & 0xff00ff) - rb, alpha) >> 8)) & 0xff00ff)
    | ((g + (Math.imul((over & 0x00ff00) - g, alpha) >> 8)) & 0x00ff00)) >>> 0;
}

function stepThrough(count) {
  const dividesBoth = (a, b) => (b ? dividesBoth(b, a % b) : a);
  let step = Math.max(1, Math.floor(count * 0.618));
  while (dividesBoth(count, step) !== 1) step += 1;
  return step;
}

// Paint points into `pixels`, a Uint32Array of width * height. They are taken in a scattered order, so that no group
// always covers another, and at most `most` of them. `wants(at)` chooses; `colours[code]` is 0xffbbggrr.
function paintPoints({ pixels, width, height }, { xy, codes }, view, { colours, stamp, most, wants }) {
  const count = codes.length;
  const step = stepThrough(count);
  const { reach, parts } = stamp;
  const offsets = Int32Array.from(parts, ([dx, dy]) => dy * width + dx);
  const alphas = Int32Array.from(parts, ([, , alpha]) => alpha);
  const number = Math.min(count, most);
  for (let k = 0, at = 0; k < number; k += 1, at = at + step < count ? at + step : at + step - count) {
    const code = codes[at];
    if (code === HIDDEN || (wants && !wants(at))) continue;
    const x = Math.round((xy[2 * at] - view.x) * view.scale);
    const y = Math.round((xy[2 * at + 1] - view.y) * view.scale);
    if (x < -reach || y < -reach || x >= width + reach || y >= height + reach) continue;
    const colour = colours[code];
    if (x >= reach && y >= reach && x < width - reach && y < height - reach) {
      const place = y * width + x;
      for (let i = 0; i < offsets.length; i += 1) {
        const pixel = place + offsets[i];
        pixels[pixel] = alphas[i] > 255 ? colour : blend(pixels[pixel], colour, alphas[i]);
      }
    } else {
      for (const [dx, dy, alpha] of parts) {
        const [px, py] = [x + dx, y + dy];
        if (px < 0 || py < 0 || px >= width || py >= height) continue;
        pixels[py * width + px] = blend(pixels[py * width + px], colour, alpha);
      }
    }
  }
}

// --- colours: [red, green, blue], 0..255 ---

const VIRIDIS = ["#440154", "#482475", "#414487", "#355f8d", "#2a788e", "#21908d", "#22a884", "#42be71", "#7ad151", "#bddf26", "#fde725"];

function parseColour(text) {
  const hex = /^#([0-9a-f]{6})$/i.exec(text);
  if (hex) return [16, 8, 0].map((shift) => (Number.parseInt(hex[1], 16) >> shift) & 255);
  return (text.match(/[\d.]+/g) ?? [128, 128, 128]).slice(0, 3).map(Number);
}

function mix(a, b, part) {
  return a.map((value, at) => Math.round(value + (b[at] - value) * part));
}

function luminance(rgb) {
  const [r, g, b] = rgb.map((value) => (value <= 10.3 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

// The colour, moved towards that of the text until it stands out from the background (contrast of WCAG 2).
function readable(rgb, background, text, least = 1.9) {
  const ground = luminance(background);
  const contrast = (c) => (Math.max(c, ground) + 0.05) / (Math.min(c, ground) + 0.05);
  for (let part = 0; part < 1; part += 0.1) {
    const moved = mix(rgb, text, part);
    if (contrast(luminance(moved)) >= least) return moved;
  }
  return text;
}

// `part` 0..1 of the scale; its pale end is left out on white, its dark end on black.
function scaleColour(part, isDark) {
  const at = (isDark ? 0.25 + 0.75 * part : 0.9 * part) * (VIRIDIS.length - 1);
  const below = Math.min(VIRIDIS.length - 2, Math.floor(at));
  return mix(parseColour(VIRIDIS[below]), parseColour(VIRIDIS[below + 1]), at - below);
}

function cssColour([r, g, b]) {
  return `rgb(${r}, ${g}, ${b})`;
}

function pixelColour([r, g, b]) {
  return (0xff000000 | (b << 16) | (g << 8) | r) >>> 0;
}
