// Curves as SVG: steps to the right, values upwards, on a logarithmic axis where that is asked for.

import { make, svg } from "./api.js";

const WIDTH = 520, HEIGHT = 220, LEFT = 52, RIGHT = 10, TOP = 10, BOTTOM = 24;

function ticks(low, high) {
  const step = 10 ** Math.floor(Math.log10((high - low) / 3 || 1));
  const size = [1, 2, 5, 10].map((factor) => factor * step).find((one) => (high - low) / one <= 5);
  const found = [];
  for (let at = Math.ceil(low / size); at * size <= high * 1.0001; at += 1) found.push(at * size);
  return found;
}

function decades(low, high) {
  const found = [];
  for (let power = Math.floor(low); power <= Math.ceil(high); power += 1) {
    for (const factor of high - low < 2 ? [1, 2, 5] : [1]) found.push(power + Math.log10(factor));
  }
  return found.filter((one) => one >= low - 0.01 && one <= high + 0.01);
}

// series: [{ name, points: [[step, value], ...] }]; label writes a value.
export function chart(title, series, { log = false, label = String } = {}) {
  const rises = log ? Math.log10 : (value) => value;
  const shown = series.map((one, at) => ({ ...one, at, points: one.points.filter(([, y]) => Number.isFinite(y) && (y > 0 || !log)).map(([x, y]) => [x, rises(y)]) })).filter((one) => one.points.length);
  const caption = make("figcaption", {}, make("strong", { textContent: title }), ...shown.map((one) => make("span", { className: `key c${one.at + 1}`, textContent: one.name })));
  if (!shown.length) return null;
  const ys = shown.flatMap((one) => one.points.map(([, y]) => y));
  let low = Math.min(...ys, log ? Infinity : 0), high = Math.max(...ys);
  if (high - low < 1e-9) { high += log ? 0.3 : Math.abs(high) || 1; low -= log ? 0.3 : 0; }
  const most = Math.max(1, ...shown.flatMap((one) => one.points.map(([x]) => x)));
  const toX = (x) => LEFT + ((WIDTH - LEFT - RIGHT) * x) / most;
  const toY = (y) => HEIGHT - BOTTOM - ((HEIGHT - TOP - BOTTOM) * (y - low)) / (high - low);
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title });
  for (const tick of log ? decades(low, high) : ticks(low, high)) {
    drawing.append(svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: toY(tick), y2: toY(tick) }));
    drawing.append(svg("text", { x: LEFT - 6, y: toY(tick) + 4, "text-anchor": "end" }, label(log ? 10 ** tick : tick)));
  }
  for (const tick of ticks(0, most)) drawing.append(svg("text", { x: toX(tick), y: HEIGHT - 6, "text-anchor": "middle" }, tick.toLocaleString()));
  for (const one of shown) {
    drawing.append(svg("polyline", { class: `curve c${one.at + 1}`, points: one.points.map(([x, y]) => `${toX(x).toFixed(1)},${toY(y).toFixed(1)}`).join(" ") }));
    const [x, y] = one.points.at(-1);
    drawing.append(svg("circle", { class: `curve c${one.at + 1}`, cx: toX(x), cy: toY(y), r: 2 }));
  }
  return make("figure", {}, caption, drawing);
}
