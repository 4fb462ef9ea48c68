// Reads lines and pages that are dropped, pasted or chosen.

import { element, make, svg } from "./api.js";
import { percent, t, translatePage } from "./strings.js";

const DOUBTFUL = 0.9;
const KEPT = 50;
const UNREADABLE = 422;

class Refusal extends Error {
  constructor(status, said) {
    super([said.error ?? said.problem, said.fix].filter(Boolean).join(" "));
    this.status = status;
  }
}

async function send(path, file) {
  const answer = await fetch(path, { method: "POST", body: file, headers: { "content-type": "application/octet-stream" } });
  const said = await answer.json();
  if (!answer.ok) throw new Refusal(answer.status, said);
  return said;
}

const nameOf = (file) => encodeURIComponent(file.name || "image");
const readLine = (file) => send(`/read?name=${nameOf(file)}`, file);
const readPages = (file, pictures) => send(`/read/page?name=${nameOf(file)}${pictures ? "&pictures=1" : ""}`, file);

// What a file holds: a line, or else pages. Which of them is what the user chose, or what reading it shows.
async function readFile(file, asked, drawn) {
  if (asked === "line") return { line: await readLine(file) };
  if (asked === "page" || file.type === "application/pdf") return { pages: await readPages(file, !drawn) };
  try {
    return { line: await readLine(file) };
  } catch (error) {
    if (error.status !== UNREADABLE) throw error;
    return { pages: await readPages(file, !drawn) };
  }
}

// The doubtful characters of a reading are marked.
function marked(text, confidences) {
  return [...text].map((char, at) => {
    const sure = confidences[at] ?? 1;
    return sure < DOUBTFUL ? make("mark", { textContent: char === " " ? "␣" : char, title: percent(sure, 0) }) : char;
  });
}

function showLine(card, file, address, reading) {
  const said = make("p", { className: "said", lang: "vi" }, ...marked(reading.text, reading.char_confidences));
  const facts = [file.name, `${reading.width_px} × ${reading.height_px} px`, `${t("confidence")} ${percent(reading.confidence)}`, ...reading.flags];
  const others = (reading.alternatives ?? []).slice(1).map((one) => make("li", { textContent: one.text }));
  card.append(make("img", { src: address, alt: "" }), said, make("p", { className: "dim", textContent: facts.join(" · ") }));
  if (others.length) card.append(make("ol", {}, ...others));
  return reading.text;
}

function showPages(card, file, address, pages) {
  for (const page of pages) {
    const count = pages.length > 1 ? `${t("page")} ${page.page}/${pages.length}` : "";
    if (page.error) {
      card.append(make("div", { className: "problem" }, make("p", {}, make("strong", { textContent: page.error }), ` ${page.fix}`)));
      continue;
    }
    const facts = [file.name, count, `${page.width_px} × ${page.height_px} px`, `${page.lines.length} ${t("matching")}`, page.turned ? `${t("turned")} ${page.turned}°` : ""];
    const boxes = page.lines.map((line) => svg("polygon", { points: line.corners.map((corner) => corner.join(",")).join(" ") }));
    const rows = page.lines.map((line, at) => make("li", { tabIndex: 0, lang: "vi", className: at && line.block !== page.lines[at - 1].block ? "block" : "" }, ...marked(line.text, line.char_confidences)));
    boxes.forEach((box, at) => join(box, rows[at]));
    const drawing = svg("svg", { viewBox: `0 0 ${page.width_px} ${page.height_px}`, role: "img", "aria-label": t("boxes") });
    drawing.append(...boxes);
    const picture = page.picture ? URL.createObjectURL(new Blob([Uint8Array.from(atob(page.picture), (char) => char.charCodeAt(0))], { type: "image/jpeg" })) : address;
    const sheet = make("div", { className: "sheet" }, make("img", { src: picture, alt: "" }), drawing);
    card.append(make("p", { className: "dim", textContent: facts.filter(Boolean).join(" · ") }));
    if (page.warnings) card.append(make("p", { className: "dim", textContent: page.warnings.join(" ") }));
    card.append(make("div", { className: "page" }, sheet, rows.length ? make("ol", {}, ...rows) : make("p", { textContent: t("nothing") })));
  }
  return pages.map((page) => page.text ?? "").join("\n");
}

// A box and what stands in it are shown together.
function join(box, row) {
  const show = (on) => { box.classList.toggle("on", on); row.classList.toggle("on", on); };
  for (const one of [box, row]) {
    one.addEventListener("mouseenter", () => show(true));
    one.addEventListener("mouseleave", () => show(false));
  }
  row.addEventListener("focus", () => show(true));
  row.addEventListener("blur", () => show(false));
  box.addEventListener("click", () => row.focus());
}

function actions(card, file, text, asLine) {
  const copy = make("button", { type: "button", textContent: t("copyText") });
  copy.addEventListener("click", () => copyText(text));
  const other = make("button", { type: "button", textContent: asLine ? t("asPage") : t("asLine") });
  other.addEventListener("click", () => fill(card, file, asLine ? "page" : "line"));
  return make("div", { className: "bar" }, copy, other);
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    say(t("copied"));
  } catch {
    say(t("noClipboard"));
  }
}

// Whether this browser can draw a file itself; pages of others come with pictures.
async function isDrawn(address) {
  try {
    await make("img", { src: address }).decode();
    return true;
  } catch {
    return false;
  }
}

async function fill(card, file, asked) {
  free(card);
  card.address = URL.createObjectURL(file);
  card.classList.remove("problem");
  card.replaceChildren(make("p", { className: "dim", textContent: `${file.name}: ${t("loading")}` }));
  try {
    const read = await readFile(file, asked, await isDrawn(card.address));
    card.replaceChildren();
    const text = read.line ? showLine(card, file, card.address, read.line) : showPages(card, file, card.address, read.pages.pages);
    card.append(actions(card, file, text, Boolean(read.line)));
    say(`${file.name}: ${t("isRead")}`);
  } catch (error) {
    card.classList.add("problem");
    const said = error instanceof Refusal ? error.message : t("silent");
    card.replaceChildren(make("p", { textContent: said.includes(file.name) ? said : `${file.name}: ${said}` }));
    say(said);
  }
}

function free(card) {
  for (const image of card.querySelectorAll("img")) URL.revokeObjectURL(image.src);
  if (card.address) URL.revokeObjectURL(card.address);
}

function say(said) { element("status").textContent = said; }

async function readAll(files) {
  for (const file of files) {
    const card = make("section", { className: "card result" });
    element("results").prepend(card);
    while (element("results").childElementCount > KEPT) {
      free(element("results").lastElementChild);
      element("results").lastElementChild.remove();
    }
    await fill(card, file, element("kind").value);
  }
}

const zone = document.body;
zone.addEventListener("dragover", (event) => { event.preventDefault(); element("zone").classList.add("over"); });
zone.addEventListener("dragleave", () => element("zone").classList.remove("over"));
zone.addEventListener("drop", (event) => {
  event.preventDefault();
  element("zone").classList.remove("over");
  readAll([...event.dataTransfer.files]);
});
document.addEventListener("paste", (event) => readAll([...event.clipboardData.files]));
element("file").addEventListener("change", (event) => readAll([...event.target.files]));

function fillKinds() {
  const chosen = element("kind").value || "auto";
  element("kind").replaceChildren(...Object.entries(t("kinds")).map(([value, textContent]) => make("option", { value, textContent })));
  element("kind").value = chosen;
}

// Beside labelling there are other pages; a server that only reads has none.
fetch("/api/state").then((answer) => {
  if (!answer.ok) return;
  element("pages").prepend(make("a", { href: "/", textContent: t("label") }), make("a", { href: "/run", textContent: t("train") }));
}).catch(() => {});
translatePage(fillKinds);
fillKinds();
