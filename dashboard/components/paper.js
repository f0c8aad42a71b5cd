// Pictures for slides and documents: a figure on white, whatever the theme, below its title and notes.
const PAPER_FONT = "Helvetica, Arial, sans-serif";
const PAPER_INK = "#1f2733";
const PAPER_GREY = "#5b6472";
const PAPER_SIDES = [560, 1100]; // least and greatest width of a figure in pixels
const PAPER_MARGIN = 24;
const PAPER_SCALE = 2;

function escapeXml(text) {
  const allowed = String(text).replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "\ufffd");
  return allowed.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

let ruler;

function textWidth(text, size, weight = 400) {
  ruler ??= document.createElement("canvas").getContext("2d");
  ruler.font = `${weight} ${size}px ${PAPER_FONT}`;
  return ruler.measureText(text).width;
}

function wrapText(text, width, size, weight) {
  const lines = [];
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const longer = lines.length ? `${lines.at(-1)} ${word}` : word;
    if (lines.length && textWidth(longer, size, weight) <= width) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

function svgText(text, x, y, { size = 12, weight = 400, fill = PAPER_INK, anchor = "start" } = {}) {
  return `<text x="${x}" y="${y}" font-size="${size}" font-weight="${weight}" fill="${fill}" `
    + `text-anchor="${anchor}">${escapeXml(text)}</text>`;
}

// The whole picture as SVG. `inner`: {svg, width, height}, an <svg> element without a background.
function paperSvg(inner, { title, note, about }) {
  const width = inner.width + 2 * PAPER_MARGIN;
  const parts = [];
  let y = PAPER_MARGIN;
  const write = (text, size, look) => {
    for (const line of wrapText(text, inner.width, size, look.weight)) {
      y += Math.round(size * 1.35);
      parts.push(svgText(line, PAPER_MARGIN, y - Math.round(size * 0.3), { size, ...look }));
    }
  };
  write(title, 18, { weight: 700 });
  y += 2;
  write(note, 13, { fill: PAPER_GREY });
  write(about, 13, { fill: PAPER_GREY });
  y += 14;
  const height = y + inner.height + PAPER_MARGIN;
  const placed = inner.svg.replace("<svg", `<svg x="${PAPER_MARGIN}" y="${y}"`);
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="${width}" `
    + `height="${height}" viewBox="0 0 ${width} ${height}" font-family="${PAPER_FONT}">`
    + `<rect width="100%" height="100%" fill="#ffffff"/>${parts.join("")}${placed}</svg>`;
  return { svg, width, height };
}

async function paperPng({ svg, width, height }) {
  const address = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
  try {
    const image = new Image();
    image.src = address;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = width * PAPER_SCALE;
    canvas.height = height * PAPER_SCALE;
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    return await new Promise((resolve, reject) => {
      canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the picture is too large"))), "image/png");
    });
  } finally {
    URL.revokeObjectURL(address);
  }
}

function paperWidth(width) {
  return Math.round(Math.min(Math.max(width, PAPER_SIDES[0]), PAPER_SIDES[1]));
}
