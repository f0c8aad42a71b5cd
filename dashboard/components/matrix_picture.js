// The picture of a matrix: its table drawn as SVG, with a legend of its colours.
const CELL_HEIGHT = 30;
const CELL_TINTS = { agrees: ["#3b6ff0", 0.16], contradicts: ["#e2582a", 0.3] };
const LEVEL_TINTS = { differs: "#e2782a", "": "#3b6ff0" };
const CELL_LEGEND = { agrees: "agree", contradicts: "disagree" };
const SCALE_LEGEND = { differs: "the darker, the more they differ", "": "the darker, the more" };
const CELL_WIDTH = 110; // at most, where there is room

// The colour of a cell, or none: {fill, opacity}, as matrix.css has it.
function cellTint({ tone, level }) {
  if (level > 0) return { fill: LEVEL_TINTS[tone] ?? LEVEL_TINTS[""], opacity: 0.06 + 0.34 * level };
  const [fill, opacity] = CELL_TINTS[tone] ?? [];
  return fill && { fill, opacity };
}

function cellText(cell) {
  return cell.text || cell.value.toLocaleString("en");
}

function shortened(text, width, size) {
  if (textWidth(text, size) <= width) return text;
  let cut = text;
  while (cut && textWidth(`${cut}…`, size) > width) cut = cut.slice(0, -1);
  return `${cut}…`;
}

function matrixSvg({ corner, columns, rows }) {
  const widest = (texts, low, high) => Math.ceil(Math.min(Math.max(low, ...texts.map((text) => textWidth(text, 12))), high));
  const first = widest([corner, ...rows.map((row) => row.name)], 60, 240) + 16;
  const least = widest([...columns, ...rows.flatMap((row) => row.cells.map(cellText))], 40, 120) + 20;
  const cell = Math.max(least, Math.min(CELL_WIDTH, Math.floor((PAPER_SIDES[0] - first) / columns.length)));
  const width = Math.max(first + cell * columns.length, PAPER_SIDES[0]);
  const parts = [svgText(shortened(corner, first - 16, 12), 0, 20, { fill: PAPER_GREY })];
  columns.forEach((name, j) => {
    parts.push(svgText(shortened(name, cell - 16, 12), first + cell * (j + 1) - 10, 20, { anchor: "end" }));
  });
  rows.forEach((row, i) => {
    const y = CELL_HEIGHT * (i + 1);
    parts.push(`<path d="M0 ${y}H${first + cell * columns.length}" stroke="#d5d9e0"/>`);
    parts.push(svgText(shortened(row.name, first - 16, 12), 0, y + 20));
    row.cells.forEach((one, j) => {
      const x = first + cell * j;
      const tint = cellTint(one);
      if (tint) {
        parts.push(`<rect x="${x}" y="${y}" width="${cell}" height="${CELL_HEIGHT}" fill="${tint.fill}" fill-opacity="${tint.opacity}"/>`);
      }
      const look = { anchor: "end", weight: one.value ? 700 : 400, fill: one.value ? PAPER_INK : PAPER_GREY };
      parts.push(svgText(cellText(one), x + cell - 10, y + 20, look));
      if (one.tone === "contradicts" && one.value) {
        parts.push(`<path transform="translate(${x + 8} ${y + 9}) scale(0.8)" d="${TRIANGLE}" fill="#c2410c" fill-rule="evenodd"/>`);
      }
    });
  });
  const bottom = CELL_HEIGHT * (rows.length + 1) + 12;
  const legend = matrixLegend(rows, bottom);
  const height = legend ? bottom + 20 : bottom;
  const size = `width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"`;
  return { svg: `<svg xmlns="http://www.w3.org/2000/svg" ${size}>${parts.join("")}${legend}</svg>`, width, height };
}

function matrixLegend(rows, y) {
  const cells = rows.flatMap((row) => row.cells).filter((cell) => cellTint(cell));
  const tones = new Set(cells.filter((cell) => !cell.level).map((cell) => cell.tone));
  const entries = Object.keys(CELL_LEGEND).filter((tone) => tones.has(tone)).map((tone) => [cellTint({ tone, level: 0 }), CELL_LEGEND[tone]]);
  const scaled = cells.find((cell) => cell.level);
  if (scaled) entries.push([cellTint({ tone: scaled.tone, level: 1 }), SCALE_LEGEND[scaled.tone] ?? SCALE_LEGEND[""]]);
  let x = 0;
  return entries.map(([tint, text]) => {
    const part = `<rect x="${x}" y="${y}" width="12" height="12" fill="${tint.fill}" fill-opacity="${tint.opacity}"/>`
      + svgText(text, x + 18, y + 10.5, { fill: PAPER_GREY });
    x += 36 + textWidth(text, 12);
    return part;
  }).join("");
}
