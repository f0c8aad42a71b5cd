// Load and draw the viewer's images: photos, masks of class indices, uncertainty maps.
const VOID = 255;
const BACKGROUND = "background";
const PRESENT_SHARE = 0.005; // as in seglib.classes
const HEAT = [[87, 16, 110], [188, 55, 84], [237, 105, 37], [251, 180, 26], [252, 255, 164]]; // from certain to uncertain

// The server has no such image. The message is a sentence for the visitor, or empty.
class PictureUnavailable extends Error {
  constructor(sentence, status = 404) {
    super(sentence);
    this.isFinal = status !== 503;
  }
}

async function bitmapOf(address, signal) {
  const answer = await fetch(address, { signal });
  const kind = answer.headers.get("content-type") ?? "";
  if (!answer.ok) {
    const sentence = kind.startsWith("text/plain") && answer.status !== 404 ? await answer.text() : "";
    throw new PictureUnavailable(sentence, answer.status);
  }
  if (!kind.startsWith("image/")) throw new PictureUnavailable("");
  return createImageBitmap(await answer.blob(), { colorSpaceConversion: "none", premultiplyAlpha: "none" });
}

// Uint8Array (H * W): the exact grey values of an image.
function greysOf(bitmap) {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  const greys = new Uint8Array(bitmap.width * bitmap.height);
  for (let i = 0; i < greys.length; i += 1) greys[i] = data[4 * i];
  return greys;
}

// {width, height, ids, pixels (256)}: a mask and its pixels per class.
async function maskOf(address, signal) {
  return countMask(await bitmapOf(address, signal));
}

function countMask(bitmap) {
  const { width, height } = bitmap;
  const ids = greysOf(bitmap);
  const pixels = new Uint32Array(256);
  for (const id of ids) pixels[id] += 1;
  return { width, height, ids, pixels };
}

async function heatOf(address, signal) {
  const bitmap = await bitmapOf(address, signal);
  const { width, height } = bitmap;
  const values = greysOf(bitmap);
  return { width, height, values, picture: paintToCanvas({ width, height, ids: values }, heatTable()) };
}

let madeHeatTable;
function heatTable() {
  if (madeHeatTable) return madeHeatTable;
  madeHeatTable = new Uint8ClampedArray(4 * 256);
  for (let value = 0; value < 256; value += 1) {
    const at = (value / 255) * (HEAT.length - 1);
    const low = Math.min(HEAT.length - 2, Math.floor(at));
    for (let i = 0; i < 3; i += 1) {
      madeHeatTable[4 * value + i] = HEAT[low][i] + (at - low) * (HEAT[low + 1][i] - HEAT[low][i]);
    }
    madeHeatTable[4 * value + 3] = 255 * Math.min(1, value / 110) ** 0.7; // the photo shows through where the model is certain
  }
  return madeHeatTable;
}

function rgbOf(colour) {
  return [1, 3, 5].map((start) => Number.parseInt(colour.slice(start, start + 2), 16));
}

// RGBA (256): the colour of each visible class; transparent for all others, including background and void.
function paintTable(run, hidden) {
  const table = new Uint8ClampedArray(4 * 256);
  run.names.forEach((name, id) => {
    if (name !== BACKGROUND && !hidden.has(name)) table.set([...rgbOf(run.colours[id]), 255], 4 * id);
  });
  return table;
}

// Return a canvas of the grid's size with the colour of each value: a new one, or the given one.
function paintToCanvas({ width, height, ids }, table, canvas = new OffscreenCanvas(width, height)) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const colours = new Uint32Array(table.buffer);
  const picture = new ImageData(width, height);
  const cells = new Uint32Array(picture.data.buffer);
  for (let i = 0; i < ids.length; i += 1) cells[i] = colours[ids[i]];
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas;
}

// Class -> Path2D of its border, in units of the grid; adjacent edges on one line are merged.
function bordersOf({ width, height, ids }, names) {
  const paths = new Map();
  const line = (id, x0, y0, x1, y1) => {
    if (id === VOID || names[id] === BACKGROUND) return;
    if (!paths.has(id)) paths.set(id, new Path2D());
    paths.get(id).moveTo(x0, y0);
    paths.get(id).lineTo(x1, y1);
  };
  const walk = (lines, length, pair, draw) => {
    for (let at = 1; at < lines; at += 1) {
      let start = 0;
      let [before, after] = pair(at, 0);
      for (let along = 1; along <= length; along += 1) {
        const [b, a] = along < length ? pair(at, along) : [-1, -1];
        if (b === before && a === after) continue;
        if (before !== after) for (const id of [before, after]) draw(id, at, start, along);
        [start, before, after] = [along, b, a];
      }
    }
  };
  const row = (y, x) => [ids[(y - 1) * width + x], ids[y * width + x]];
  const column = (x, y) => [ids[y * width + x - 1], ids[y * width + x]];
  walk(height, width, row, (id, y, from, to) => line(id, from, y, to, y));
  walk(width, height, column, (id, x, from, to) => line(id, x, from, x, to));
  return paths;
}

// Class -> [x, y] in 0..1 of the pixel nearest to its centre, where its name is written.
function anchorsOf({ width, height, ids, pixels }, names) {
  const sums = new Map();
  ids.forEach((id, i) => {
    if (id === VOID || names[id] === BACKGROUND || pixels[id] < PRESENT_SHARE * ids.length) return;
    const sum = sums.get(id) ?? { x: 0, y: 0, least: Infinity };
    sum.x += (i % width) / pixels[id];
    sum.y += Math.floor(i / width) / pixels[id];
    sums.set(id, sum);
  });
  ids.forEach((id, i) => {
    const sum = sums.get(id);
    if (!sum) return;
    const distance = ((i % width) - sum.x) ** 2 + (Math.floor(i / width) - sum.y) ** 2;
    if (distance < sum.least) [sum.least, sum.at] = [distance, [(i % width + 0.5) / width, (Math.floor(i / width) + 0.5) / height]];
  });
  return new Map([...sums].map(([id, sum]) => [id, sum.at]));
}

// The grid's value at a point [u, v] of the photo, 0..1 each.
function valueAt({ width, height }, values, [u, v]) {
  return values[Math.min(height - 1, Math.floor(v * height)) * width + Math.min(width - 1, Math.floor(u * width))];
}

function percent(share) {
  if (share > 0 && share < 0.0005) return "<0.1 %";
  return `${share > 0 && share < 0.0995 ? (share * 100).toFixed(1).replace(".0", "") : Math.round(share * 100)} %`;
}

// Class -> share of the grid, for the classes with a pixel.
function sharesOf(mask, names) {
  return new Map(names.map((name, id) => [name, mask.pixels[id] / mask.ids.length]).filter(([, share]) => share > 0));
}

// "cat 34 %, sofa 12 %", like seglib.masks.overlay.alt_text.
function describeMask(mask, names) {
  const there = [...sharesOf(mask, names)].filter(([name, share]) => name !== BACKGROUND && share >= PRESENT_SHARE);
  there.sort((one, other) => other[1] - one[1]);
  return there.map(([name, share]) => `${name} ${Math.round(share * 100)} %`).join(", ") || "nothing but background";
}

// Draw photo and layer on a canvas. `box`: position of the whole photo, [x, y, width, height] in canvas pixels.
function draw(context, { photo, layer, run, look, hidden, box, density }) {
  drawPhoto(context, photo, box);
  const heated = look.uncertainty && layer.heat;
  if (heated) drawOnGrey(context, layer.heat.picture, look, box);
  if (!look.overlay || !layer.mask) return;
  if (look.outline || heated) {
    drawBorders(context, layer, run, hidden, box, density, look.opacity / 100);
  } else {
    context.globalAlpha = look.opacity / 100;
    context.drawImage(layer.paint, ...box);
    context.globalAlpha = 1;
  }
  if (look.names) drawNames(context, layer, run, hidden, box, density);
}

// Draw the photo smoothly; everything drawn on top of it keeps the hard edges of the mask.
function drawPhoto(context, photo, box) {
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
  context.imageSmoothingQuality = "high";
  context.imageSmoothingEnabled = true;
  if (photo) context.drawImage(photo, ...box);
  context.imageSmoothingEnabled = false;
}

// Draw an image over the photo in grey, so that all colour comes from the image.
function drawOnGrey(context, picture, look, box) {
  context.globalCompositeOperation = "saturation";
  context.fillStyle = "#808080";
  context.fillRect(...box);
  context.globalCompositeOperation = "source-over";
  context.globalAlpha = Math.min(1, (1.6 * look.opacity) / 100);
  context.drawImage(picture, ...box);
  context.globalAlpha = 1;
}

function drawBorders(context, layer, run, hidden, [left, top, width, height], density, opacity) {
  const { mask } = layer;
  layer.borders ??= bordersOf(mask, run.names);
  const place = new DOMMatrix([width / mask.width, 0, 0, height / mask.height, left, top]);
  context.lineCap = "square";
  context.globalAlpha = Math.max(0.25, opacity ** 0.4); // thin lines must stay visible
  for (const seam of [true, false]) { // a wider dark line first, so that the border is visible on any photo
    for (const [id, border] of layer.borders) {
      if (hidden.has(run.names[id])) continue;
      const path = new Path2D();
      path.addPath(border, place);
      context.strokeStyle = seam ? "rgb(0 0 0 / 0.55)" : run.colours[id];
      context.lineWidth = (seam ? 4 : 2) * density;
      context.stroke(path);
    }
  }
  context.globalAlpha = 1;
}

function drawNames(context, layer, run, hidden, [left, top, width, height], density) {
  layer.anchors ??= anchorsOf(layer.mask, run.names);
  context.font = `600 ${13 * density}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (const [id, [u, v]] of layer.anchors) {
    const name = run.names[id];
    if (name === undefined || hidden.has(name)) continue;
    const wide = context.measureText(name).width + 12 * density;
    const within = (place, half, end) => (place < 0 || place > end ? place : Math.min(end - half, Math.max(half, place)));
    const x = within(left + u * width, wide / 2, context.canvas.width);
    const y = within(top + v * height, 10 * density, context.canvas.height);
    context.fillStyle = "rgb(15 18 24 / 0.78)";
    context.beginPath();
    context.roundRect(x - wide / 2, y - 10 * density, wide, 20 * density, 5 * density);
    context.fill();
    context.fillStyle = "#fff";
    context.fillText(name, x, y);
  }
}
