"use strict";
// Lists the lines of the report: all are in memory, those in sight are in the document.

const BLOCK_LINES = 20;
const data = JSON.parse(document.getElementById("data").textContent);
const COUNT = data.labels.length;
const form = document.querySelector("#lines form");
const list = document.getElementById("list");
const heading = document.querySelector("#lines h2");
const field = form.elements;

// The worst lines came drawn, for readers without scripts: their images lie nowhere else.
for (const image of list.querySelectorAll("article img"))
  data.images[image.closest("article").dataset.index] = image.src;

// --- What is known of each line ---

const lengths = data.labels.map((label) => Array.from(label).length);
const reading = (line) => data.readings[line] ?? data.labels[line];
const cer = (line) => (lengths[line] ? data.edits[line] / lengths[line] : Number(data.edits[line] > 0));
const KEYS = {
  edits: (line) => data.edits[line],
  cer,
  confidence: (line) => data.confidences[line],
  length: (line) => lengths[line],
  order: (line) => line,
};
const RISING = new Set(["confidence", "order"]); // what is looked for first there is the lowest

const folded = (text) => text.normalize("NFC").toLowerCase();
const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase().replaceAll("đ", "d");
const haystacks = new Map(); // texts to search in, by how they are folded

function haystack(fold) {
  if (!haystacks.has(fold)) {
    const texts = data.labels.map((label, line) => [label, data.readings[line] ?? "", data.paths[line]]);
    haystacks.set(fold, texts.map((text) => fold(text.join("\n"))));
  }
  return haystacks.get(fold);
}

// The edits of a line: pairs of what is written and what was read, "" for nothing. `spans` part stretches of
// edits: where both sides have characters, each replaces one.
function* editsOf(line) {
  const label = Array.from(data.labels[line]);
  const read = Array.from(reading(line));
  const spans = data.spans[line];
  for (let at = 0; at < spans.length; at += 4) {
    const [from, to, start, end] = spans.slice(at, at + 4);
    for (let step = 0; step < Math.max(to - from, end - start); step++)
      yield [from + step < to ? label[from + step] : "", start + step < end ? read[start + step] : ""];
  }
}

// --- Which lines are shown, in which order ---

let confusion = null; // [written, read]
let falling = true;
let shown = []; // lines, in the order of the list

function chosen() {
  const fold = field.plain.checked ? plain : folded;
  const text = fold(field.text.value.trim());
  const texts = text ? haystack(fold) : [];
  const kind = field.kind.value;
  const kinds = 1 << data.edit_classes.indexOf(kind);
  const flag = field.flag.value === "" ? 0 : 1 << Number(field.flag.value);
  const low = field.low.valueAsNumber || 0;
  const high = Number.isNaN(field.high.valueAsNumber) ? 1 : field.high.valueAsNumber;
  const all = low <= 0 && high >= 1; // lines without a confidence among them
  const fits = (line) =>
    (!text || texts[line].includes(text)) &&
    (kind === "" || (kind === "wrong" ? data.edits[line] > 0 : kind === "right" ? !data.edits[line]
      : (data.kinds[line] & kinds) !== 0)) &&
    (!flag || (data.marks[line] & flag) !== 0) &&
    (all || inRange(data.confidences[line], low, high)) &&
    (confusion === null || someEdit(line, ...confusion));
  return [...Array(COUNT).keys()].filter(fits);
}

const inRange = (confidence, low, high) =>
  confidence !== null && confidence >= low && (confidence < high || high >= 1);

function someEdit(line, written, read) {
  for (const edit of editsOf(line)) if (edit[0] === written && edit[1] === read) return true;
  return false;
}

// Sorts by a key; lines without one come last either way, equal ones in their order.
function sorted(lines) {
  const key = KEYS[field.sort.value];
  const sign = falling ? -1 : 1;
  const keys = new Map(lines.map((line) => [line, key(line)]));
  return lines.sort((one, other) => {
    const [left, right] = [keys.get(one), keys.get(other)];
    if (left === null || right === null) return (left === null) - (right === null) || one - other;
    return sign * (left - right) || one - other;
  });
}

// --- Drawing: blocks of lines, empty boxes until they come near the screen ---

let lineHeight = 110; // px, with its margin; the mean of those measured, once there are some

const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting) fill(entry.target);
    else if (entry.target.childElementCount && !entry.target.contains(document.activeElement))
      empty(entry.target, entry.boundingClientRect.height);
  }
}, { rootMargin: "1200px 0px" });

function fill(block) {
  if (block.childElementCount) return;
  const first = Number(block.dataset.first);
  block.append(...shown.slice(first, first + BLOCK_LINES).map((line, at) => article(line, first + at)));
  block.style.height = "";
}

function empty(block, height) {
  block.replaceChildren();
  block.style.height = `${height}px`;
}

function draw() {
  shown = sorted(chosen());
  watcher.disconnect();
  const blocks = [];
  for (let first = 0; first < shown.length; first += BLOCK_LINES) {
    const block = document.createElement("div");
    block.dataset.first = first;
    block.style.height = `${lineHeight * Math.min(BLOCK_LINES, shown.length - first)}px`;
    blocks.push(block);
  }
  if (blocks.length) fill(blocks[0]);
  list.replaceChildren(...blocks);
  if (blocks.length > 1) {
    lineHeight = blocks[0].offsetHeight / BLOCK_LINES || lineHeight;
    for (const block of blocks.slice(1, -1)) block.style.height = `${lineHeight * BLOCK_LINES}px`;
  }
  for (const block of blocks) watcher.observe(block);
  const all = shown.length === COUNT ? "" : ` of ${COUNT.toLocaleString("en")}`;
  field.count.value = `${shown.length.toLocaleString("en")}${all} ${COUNT === 1 ? "line" : "lines"}`;
  field.direction.textContent = falling ? "↓ highest first" : "↑ lowest first";
  field.confusion.hidden = confusion === null;
  if (confusion) field.confusion.textContent = `${confusion.map(visible).join("→")} ✕`;
  if (list.getBoundingClientRect().top < 0) heading.scrollIntoView({ block: "start" });
}

const visible = (text) => (text ? text.replaceAll(" ", "␣") : "∅");

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// A text with its differing spans in an element each; `side` is where their bounds stand in `spans`.
function marked(text, spans, side, name) {
  const points = Array.from(text);
  const parts = [];
  let at = 0;
  for (let span = side; span < spans.length; span += 4) {
    parts.push(points.slice(at, spans[span]).join(""));
    parts.push(element(name, {}, visible(points.slice(spans[span], spans[span + 1]).join(""))));
    at = spans[span + 1];
  }
  return element("span", { class: "text", lang: "vi" }, ...parts, points.slice(at).join(""));
}

const row = (name, text) => element("p", {}, element("span", { class: "soft" }, name), text);

function article(line, position) {
  const [edits, confidence] = [data.edits[line], data.confidences[line]];
  const facts = [edits ? `${edits} ${edits === 1 ? "edit" : "edits"}` : "read right"];
  if (edits) facts.push(`CER ${(100 * cer(line)).toFixed(1)}%`);
  if (confidence !== null) facts.push(`confidence ${confidence.toFixed(3)}`);
  facts.push(...data.flags.filter((_, bit) => data.marks[line] & (1 << bit)));
  const path = element("span", { class: "path" }, data.paths[line]);
  const parts = [element("header", { class: "soft" }, path, ` · ${facts.join(" · ")}`)];
  const image = data.images[data.index[line]];
  if (image) parts.push(element("div", { class: "strip" }, element("img", { alt: "", src: image })));
  parts.push(row(edits ? "label" : "both", marked(data.labels[line], data.spans[line], 0, "del")));
  if (edits) parts.push(row("reading", marked(reading(line), data.spans[line], 2, "ins")));
  const place = { "aria-posinset": position + 1, "aria-setsize": shown.length, "data-position": position };
  return element("article", { class: "line", tabindex: 0, "data-index": data.index[line], ...place }, ...parts);
}

// --- What the reader does ---

function clear() {
  form.reset();
  confusion = null;
  falling = true;
}

function choose(changes) {
  clear();
  confusion = changes.confusion ?? null;
  for (const [name, value] of Object.entries(changes.fields ?? {})) field[name].value = value;
  draw();
  heading.scrollIntoView({ block: "start" });
  heading.focus({ preventScroll: true });
}

// Turns a name in the tables above into a button that chooses its lines.
function link(cell, label, changes) {
  const button = element("button", { type: "button", class: "pick", title: label }, ...cell.childNodes);
  button.addEventListener("click", () => choose(changes));
  cell.append(button);
}

function move(event) {
  const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, Home: -Infinity, End: Infinity }[event.key];
  const focused = event.target.closest("article");
  if (!step || !focused || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  const position = Math.min(Math.max(Number(focused.dataset.position) + step, 0), shown.length - 1);
  const block = list.children[Math.floor(position / BLOCK_LINES)];
  fill(block);
  const next = block.children[position % BLOCK_LINES];
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}

function offer() {
  const counts = data.edit_classes.map((_, bit) => data.kinds.filter((kinds) => kinds & (1 << bit)).length);
  data.edit_classes.forEach((name, bit) => {
    const text = `${name} (${counts[bit].toLocaleString("en")})`;
    if (counts[bit]) field.kind.append(element("option", { value: name }, text));
  });
  data.flags.forEach((name, bit) => {
    const count = data.marks.filter((marks) => marks & (1 << bit)).length;
    field.flag.append(element("option", { value: bit }, `${name} (${count.toLocaleString("en")})`));
  });
  field.flag.parentElement.hidden = !data.flags.length;
  if (data.confidences.every((confidence) => confidence === null)) {
    field.range.hidden = true;
    field.sort.querySelector("[value=confidence]").remove();
  }
  for (const cell of document.querySelectorAll("[data-kind]"))
    if (counts[data.edit_classes.indexOf(cell.dataset.kind)])
      link(cell, "Show the lines", { fields: { kind: cell.dataset.kind } });
  for (const item of document.querySelectorAll("[data-reference]"))
    link(item, "Show the lines", { confusion: [item.dataset.reference, item.dataset.reading] });
  for (const cell of document.querySelectorAll("[data-low]"))
    link(cell, "Show the lines", { fields: { low: cell.dataset.low, high: cell.dataset.high } });
}

form.addEventListener("input", (event) => {
  if (event.target === field.sort) falling = !RISING.has(field.sort.value);
  draw();
});
form.addEventListener("submit", (event) => event.preventDefault());
field.clear.addEventListener("click", () => {
  clear();
  draw();
});
field.direction.addEventListener("click", () => {
  falling = !falling;
  draw();
});
field.confusion.addEventListener("click", () => {
  confusion = null;
  draw();
  field.text.focus();
});
list.addEventListener("keydown", move);
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.closest("input, select")) return;
  event.preventDefault();
  field.text.focus();
});

offer();
form.hidden = false;
list.setAttribute("role", "feed");
list.setAttribute("aria-label", "Lines; arrow keys go from one to the next");
draw();
