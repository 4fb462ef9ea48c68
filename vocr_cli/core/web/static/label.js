// The labelling page: one line after the other, each decision sent before the next is shown.

import { Problem, ask, element, make, randomId } from "./api.js";
import { BUTTONS, applyMark } from "./marks.js";
import { count, percent, remember, remembered, t, translatePage } from "./strings.js";

const AHEAD = 4;
const DOUBTFUL = 0.9;
const ZOOMS = ["1", "1.5", "2", "3"];
const CURSOR_KEYS = new Set(["ArrowLeft", "ArrowRight", "Home", "End"]);
const tab = randomId();
const text = element("text"), view = element("view"), work = element("work");

let image = element("image");

let line = null;          // what is shown, as the server described it
let ahead = [];           // what comes next
let passed = [];          // shown and left undecided: not to be shown again at once
let before = [];          // indices that "back" leads to
let fetching = null, busy = false, state = {}, matching = 0;
let noting = 0, title = "vocr label";
let touched = false, rotated = false, turned = null, options = [], option = 0, pending = null;
let choices = { order: "", show: "undecided", search: "" };

// --- what is shown ---------------------------------------------------------------------------------------

function currentReading() { return rotated ? turned : line.reading; }

function startText() {
  if (!rotated && line.decision?.verdict === "text") return line.decision.text;
  if (!rotated && line.label !== null) return line.label;
  return currentReading()?.text ?? "";
}

function showLine(next) {
  line = next;
  touched = rotated = false;
  turned = null;
  options = [];
  pending = null;
  work.hidden = false;
  work.dataset.line = line.id;
  element("done").hidden = true;
  element("rotate").setAttribute("aria-pressed", "false");
  showPicture(next);
  closeAlternatives();
  hideBanner();
  if (line.error) banner(line.error, "");
  else if (line.changed) banner(t("changedImage"), "");
  fillReading();
  setText(startText());
  zoom("1");
  view.scrollLeft = 0;
  if (document.activeElement !== text) text.focus({ preventScroll: true });
  if (line.reading === null && state.models?.length && !line.error) fetchReading(line);
  noteInBrowser();
  for (const row of element("rows").querySelectorAll("button")) row.setAttribute("aria-current", String(Number(row.dataset.id) === line.id));
}

// The picture of a line, fetched and decoded before the line is shown.
function loadPicture(of) {
  if (of.picture || of.error) return;
  of.picture = make("img", { id: "image", alt: "", src: `/api/lines/${of.id}/image?v=${of.image}` });
  of.picture.addEventListener("load", () => of.picture.style.setProperty("--shape", of.picture.naturalWidth / Math.max(1, of.picture.naturalHeight)));
  of.picture.decode().catch(() => {});
}

function showPicture(of) {
  loadPicture(of);
  const next = of.picture ?? make("img", { id: "image", alt: "", hidden: true });
  next.classList.remove("rotated");
  image.replaceWith(next);
  image = next;
}

// Address and title of the page: the browser takes its time for them, and nobody waits for them.
function noteInBrowser() {
  noting ||= setTimeout(() => {
    noting = 0;
    document.title = title;
    if (line) history.replaceState(null, "", `#line=${line.id}`);
  }, 200);
}

function setText(value) {
  text.value = value;
  if (text.selectionStart !== value.length) text.setSelectionRange(value.length, value.length);
  touched = false;
}

function fillReading() {
  const reading = currentReading(), row = element("reading-row");
  row.hidden = !(reading || (state.models?.length && !line.error));
  element("reading-tag").textContent = state.models?.[0] ?? t("model");
  if (reading?.error) element("reading").replaceChildren(reading.error);
  else element("reading").replaceChildren(...(reading ? markedText(reading) : [t("loading")]));
  element("second-row").hidden = !line.second;
  element("second-tag").textContent = state.models?.[1] ?? t("second");
  element("second").textContent = line.second ? line.second.error || line.second.text : "";
  const facts = [line.name];
  if (reading && !reading.error) facts.push(`${t("confidence")} ${percent(reading.confidence)}`, ...reading.flags);
  if (line.decision) facts.push(`${t("shows")[line.decision.verdict]} ${t("by")} ${line.decision.by}`);
  element("facts").textContent = facts.join(" · ");
}

// The reading, its doubtful characters marked: a click puts the cursor there.
function markedText(reading) {
  const made = [];
  [...reading.text].forEach((char, at) => {
    const sure = (reading.chars[at] ?? 255) / 255;
    if (sure >= DOUBTFUL) return made.push(char);
    const mark = make("mark", { textContent: char === " " ? "␣" : char, title: percent(sure, 0) });
    mark.addEventListener("click", () => selectCharacter(at));
    return made.push(mark);
  });
  return made;
}

function selectCharacter(at) {
  text.focus();
  text.setSelectionRange(at, at + 1);
  follow();
}

function nextDoubt() {
  const reading = line && currentReading();
  if (!reading || !reading.chars.length) return;
  const start = text.selectionEnd > text.selectionStart ? text.selectionStart + 1 : text.selectionStart;
  const doubts = reading.chars.flatMap((sure, at) => (sure / 255 < DOUBTFUL && at < text.value.length ? [at] : []));
  if (doubts.length) selectCharacter(doubts.find((at) => at >= start) ?? doubts[0]);
}

async function fetchReading(of) {
  try {
    const { reading } = await ask(`/api/lines/${of.id}/reading`);
    of.reading = reading;
    if (line !== of) return;
    fillReading();
    if (!touched && !rotated && of.label === null && !of.decision) setText(reading?.text ?? "");
  } catch (error) {
    if (line === of) say(error.message);
  }
}

function showState(now) {
  state = now;
  const pick = now.order === "teach" && now.pick ? now : null;
  const total = pick ? pick.chosen : now.total;
  const done = pick ? pick.chosen_done : now.total - now.undecided;
  element("progress").max = Math.max(1, total);
  element("progress").value = done;
  const parts = [`${count(done)} ${t("of")} ${count(total)}${now.listed ? "" : "+"}`, `${count(now.text)} ${t("labelled")}`];
  if (now.unreadable) parts.push(`${count(now.unreadable)} ${t("shows").unreadable}`);
  if (now.not_a_line) parts.push(`${count(now.not_a_line)} ${t("shows")["not-a-line"]}`);
  if (now.changed) parts.push(`${count(now.changed)} ${t("shows").changed}`);
  if (now.models.length && now.read < now.total) parts.push(`${t("read")} ${percent(now.read / Math.max(1, now.total), 0)}`);
  element("counts").textContent = parts.join(" · ");
  title = `${count(done)}/${count(total)} – vocr label`;
  noteInBrowser();
  element("problems").hidden = !now.problems.length;
  element("problems").replaceChildren(...now.problems.map((one) => make("p", {}, make("strong", { textContent: one.problem }), ` ${one.fix}`)));
  element("notes").hidden = !now.notes.length;
  element("notes").replaceChildren(...now.notes.map((note) => make("li", { textContent: note })));
}

function say(said) { element("status").textContent = said; }

function banner(said, fix, ...buttons) {
  element("banner").replaceChildren(make("p", {}, make("strong", { textContent: said })), make("p", { textContent: fix }), ...buttons);
  element("banner").hidden = false;
}

function hideBanner() { element("banner").hidden = true; }

function showProblem(error) {
  if (error.status === 0) banner(t("silent"), t("silentFix"));
  else if (error.status === 403) banner(t("newToken"), t("newTokenFix"));
  else banner(`${t("notTaken")} ${error.message}`, error.fix);
}

// --- from line to line -----------------------------------------------------------------------------------

function fetchAhead() {
  if (fetching) return fetching;
  const asked = choices;
  const held = [...passed.slice(-400), ...ahead.map((one) => one.id), ...(line ? [line.id] : [])];
  fetching = ask("/api/next", { ...choices, tab, passed: held, count: AHEAD })
    .then((said) => {
      showState(said.state);
      matching = said.matching;
      if (asked !== choices) return;
      for (const one of said.lines) {
        ahead.push(one);
        loadPicture(one);
      }
    })
    .finally(() => { fetching = null; });
  return fetching;
}

async function advance() {
  if (!ahead.length) await fetchAhead();
  const next = ahead.shift();
  if (next) showLine(next);
  else showDone();
  if (ahead.length < AHEAD - 1) fetchAhead().catch(() => {});
}

function showDone() {
  line = null;
  work.hidden = true;
  element("done").hidden = false;
  let waiting = t("doneText");
  if (!state.listed) waiting = t("listing");
  else if (matching) waiting = t("elsewhere");
  else if (choices.order === "teach" && state.read < state.total) waiting = t("stillReading");
  element("done-text").textContent = waiting;
  element("again").focus();
}

async function openLine(id) {
  try {
    const opened = await ask(`/api/lines/${id}`);
    if (line && line.id !== id) before.push(line.id);
    showLine(opened);
  } catch (error) { showProblem(error); }
}

async function goBack() {
  const id = before.pop();
  if (id === undefined || busy) return;
  if (line && !line.decision) ahead.unshift(line);
  try { showLine(await ask(`/api/lines/${id}`)); } catch (error) { before.push(id); showProblem(error); }
}

async function skip() {
  if (!line || busy) return;
  passed.push(line.id);
  before.push(line.id);
  await advance().catch(showProblem);
}

async function choose() {
  choices = { order: element("order").value, show: element("show").value, search: element("search").value };
  ahead = [];
  passed = [];
  line = null;
  element("facts").textContent = "";
  if (fetching) await fetching.catch(() => {});
  ahead = [];
  await advance().catch(showProblem);
  if (!element("list").hidden) fillList();
}

// --- decisions -------------------------------------------------------------------------------------------

async function decide(verdict, version = line?.version) {
  if (!line || busy) return;
  busy = true;
  const said = verdict === "text" ? text.value : "";
  // The same decision sent again, after the server was silent, has the same id and counts once.
  if (pending?.verdict !== verdict || pending?.text !== said || pending?.rotated !== rotated) pending = { verdict, text: said, rotated, id: randomId() };
  try {
    const answer = await ask("/api/decide", { ...pending, line: line.id, version, image: line.image, by: element("by").value });
    showState(answer.state);
    say(answer.unknown ? `${t("unknownChars")} ${answer.unknown}` : t("saved"));
    updateRow(answer.line);
    before.push(line.id);
    if (verdict === "undecided") passed.push(line.id);
    await advance();
  } catch (error) {
    if (error.status === 409) showConflict(verdict, error);
    else showProblem(error);
    text.focus();
  } finally { busy = false; }
}

// Somebody else decided about the line since it was shown, or its image changed.
function showConflict(verdict, error) {
  const theirs = error.line;
  if (theirs.image !== line.image) {
    const typed = text.value;
    showLine(theirs);
    setText(typed);
    touched = true;
    return banner(error.message, error.fix);
  }
  const said = theirs.decision ? `${t("shows")[theirs.decision.verdict]} ${theirs.decision.text}` : t("shows").undecided;
  const keep = make("button", { textContent: t("theirs") });
  keep.addEventListener("click", () => { before.push(line.id); advance().catch(showProblem); });
  const replace = make("button", { textContent: t("mine") });
  replace.addEventListener("click", () => { line.version = theirs.version; decide(verdict, theirs.version); });
  return banner(error.message, `${theirs.decision?.by ?? ""}: ${said}`, keep, replace);
}

// --- alternatives, zoom, rotation ------------------------------------------------------------------------

async function alternatives(step) {
  if (!line || line.error) return;
  const of = line;
  if (!options.length) {
    const known = [text.value, line.label, currentReading()?.text, rotated ? null : line.second?.text];
    try {
      const said = await ask(`/api/lines/${of.id}/alternatives?rotated=${rotated ? 1 : 0}`);
      known.push(...said.alternatives.map((one) => one.text));
    } catch (error) { say(error.message); }
    if (of !== line) return;
    options = [...new Set(known.filter((one) => one))];
    option = 0;
  }
  if (options.length < 2) return say(t("noAlternatives"));
  option = (option + step + options.length) % options.length;
  setText(options[option]);
  touched = true;
  element("alternatives").hidden = false;
  element("alternatives").replaceChildren(...options.map((one, at) => {
    const button = make("button", { type: "button", textContent: one });
    button.setAttribute("aria-current", String(at === option));
    button.addEventListener("click", () => { option = at; setText(one); touched = true; alternatives(0); text.focus(); });
    return make("li", {}, button);
  }));
  say(`${option + 1}/${options.length}: ${options[option]}`);
}

function closeAlternatives() {
  options = [];
  element("alternatives").hidden = true;
}

function zoom(to) {
  image.dataset.zoom = to;
  image.classList.toggle("zoomed", to !== "1");
}

function zoomFurther() {
  zoom(ZOOMS[(ZOOMS.indexOf(image.dataset.zoom) + 1) % ZOOMS.length]);
  follow();
}

// Where the image is wider than its frame, the part that the cursor is at is shown.
function follow() {
  const room = view.scrollWidth - view.clientWidth;
  if (room > 0 && text.value) view.scrollLeft = Math.max(0, view.scrollWidth * (text.selectionStart / text.value.length) - view.clientWidth / 2);
}

async function rotate() {
  if (!line || line.error) return;
  const of = line;
  rotated = !rotated;
  image.classList.toggle("rotated", rotated);
  element("rotate").setAttribute("aria-pressed", String(rotated));
  closeAlternatives();
  if (rotated && !turned && state.models?.length) {
    fillReading();
    let reading = null;
    try { reading = (await ask(`/api/lines/${of.id}/reading?rotated=1`)).reading; } catch (error) { say(error.message); }
    if (of !== line) return;
    turned = reading;
  }
  fillReading();
  if (!touched) setText(startText());
}

// --- the list --------------------------------------------------------------------------------------------

async function fillList(offset = 0) {
  const said = await ask("/api/list", { ...choices, offset, count: 100 }).catch((error) => { say(error.message); return null; });
  if (!said) return;
  element("list-count").textContent = `${count(said.matching)} ${t("matching")}`;
  const rows = said.lines.map((row) => make("li", {}, rowButton(row)));
  if (offset) element("rows").append(...rows);
  else element("rows").replaceChildren(...rows);
  element("rows-more").hidden = offset + rows.length >= said.matching;
}

const SIGNS = { text: "✓", unreadable: "?", "not-a-line": "✕", undecided: "·" };

function rowButton(row) {
  const sign = make("span", { textContent: SIGNS[row.verdict], title: t("shows")[row.verdict] });
  const said = make("span", { className: "said" }, row.text || "–", make("small", { textContent: row.name }));
  const sure = make("span", { className: "dim", textContent: row.confidence === null ? "" : percent(row.confidence, 0) });
  const button = make("button", { type: "button" }, sign, said, sure);
  button.dataset.id = row.id;
  button.setAttribute("aria-current", String(row.id === line?.id));
  button.addEventListener("click", () => openLine(row.id));
  return button;
}

function updateRow(of) {
  const old = element("rows").querySelector(`button[data-id="${of.id}"]`);
  if (!old) return;
  const verdict = of.decision?.verdict ?? "undecided";
  old.replaceWith(rowButton({ id: of.id, name: of.name, verdict, text: of.decision?.text || of.reading?.text || "", confidence: of.reading?.confidence ?? null }));
}

function toggleList() {
  const list = element("list");
  list.hidden = !list.hidden;
  element("list-open").setAttribute("aria-expanded", String(!list.hidden));
  document.querySelector("main").classList.toggle("with-list", !list.hidden);
  if (!list.hidden) fillList();
}

// --- keys and buttons ------------------------------------------------------------------------------------

const ACTIONS = {
  accept: () => decide("text"), unreadable: () => decide("unreadable"), "not-a-line": () => decide("not-a-line"),
  skip, back: goBack, undo: () => (line?.version ? decide("undecided") : undefined), more: () => alternatives(1),
  doubt: nextDoubt, zoom: zoomFurther, rotate,
};
const ALT_KEYS = { KeyU: "unreadable", KeyN: "not-a-line", KeyK: "undo", KeyJ: "doubt", KeyZ: "zoom", KeyR: "rotate" };

function onKey(event) {
  if (event.isComposing) return;  // an input method is still at work on the word
  if (element("help").open || event.target.tagName === "SELECT") return;
  let action = null;
  if (event.altKey && !event.ctrlKey && !event.metaKey) action = ALT_KEYS[event.code] ?? null;
  else if (event.key === "PageDown") action = "skip";
  else if (event.key === "PageUp") action = "back";
  else if (event.target === text && event.key === "Enter" && !event.ctrlKey) action = "accept";
  else if (event.target === text && event.key === "ArrowDown") action = "more";
  else if (event.target === text && event.key === "ArrowUp" && options.length) { event.preventDefault(); return alternatives(-1); }
  else if (event.target === text && event.key === "Escape" && line) { closeAlternatives(); return setText(startText()); }
  if (event.altKey && event.code === "KeyH") { event.preventDefault(); return openHelp(); }
  if (action) { event.preventDefault(); ACTIONS[action](); }
}

function openHelp() {
  element("by").placeholder = state.by ?? "";
  const rows = [...document.querySelectorAll("#actions [data-key]")].map((button) => [button.dataset.key, t(button.dataset.t)]);
  rows.push(["↑", t("moreBack")], ["Esc", t("restore")], ["Alt+H", t("keys")]);
  element("help-rows").replaceChildren(...rows.map(([key, name]) => make("tr", {}, make("td", {}, make("kbd", { textContent: key })), make("td", { textContent: name }))));
  element("help").showModal();
}

function fillChoices() {
  const fill = (select, names, texts, chosen) => {
    select.replaceChildren(...names.map((name) => make("option", { value: name, textContent: texts[name] })));
    select.value = chosen;
  };
  fill(element("order"), state.orders, t("orders"), choices.order || state.order);
  fill(element("show"), Object.keys(t("shows")), t("shows"), choices.show);
}

function makeMarks() {
  element("marks").replaceChildren(...BUTTONS.map((mark) => {
    const name = mark.plain ? t("remove") : mark.name;
    const button = make("button", { type: "button", textContent: mark.shown, title: name });
    button.setAttribute("aria-label", `${t("marks")}: ${name}`);
    button.addEventListener("mousedown", (event) => event.preventDefault());  // the cursor stays in the text
    button.addEventListener("click", () => { if (applyMark(text, mark)) touched = true; text.focus(); });
    return button;
  }));
}

function listen() {
  for (const [id, action] of Object.entries(ACTIONS)) element(id).addEventListener("click", () => action());
  document.addEventListener("keydown", onKey);
  text.addEventListener("input", () => { touched = true; });
  for (const name of ["click", "input"]) text.addEventListener(name, follow);
  text.addEventListener("keyup", (event) => { if (CURSOR_KEYS.has(event.key)) follow(); });
  element("order").addEventListener("change", choose);
  element("show").addEventListener("change", choose);
  let waiting = 0;
  element("search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(choose, 250); });
  element("list-open").addEventListener("click", toggleList);
  element("rows-more").addEventListener("click", () => fillList(element("rows").childElementCount));
  element("again").addEventListener("click", choose);
  element("help-open").addEventListener("click", openHelp);
  element("by").value = remembered("vocr-name");
  element("by").addEventListener("change", () => remember("vocr-name", element("by").value.trim()));
  addEventListener("pagehide", () => navigator.sendBeacon("/api/release", JSON.stringify({ tab })));
  addEventListener("hashchange", () => {
    const id = hashLine();
    if (id !== null && id !== line?.id) openLine(id);
  });
  setInterval(() => {
    if (!document.hidden && (!state.listed || (state.models?.length && state.read < state.total) || state.problems?.length)) ask("/api/state").then(showState).catch(() => {});
  }, 3000);
}

function hashLine() {
  const match = /^#line=(\d+)$/.exec(location.hash);
  return match ? Number(match[1]) : null;
}

async function begin() {
  const opened = hashLine();
  translatePage(() => { fillChoices(); makeMarks(); showState(state); if (line) fillReading(); });
  makeMarks();
  listen();
  try {
    if (opened === null) await fetchAhead();
    else showState(await ask("/api/state"));
    choices.order = state.order;
    fillChoices();
    if (opened !== null && opened < state.total) await openLine(opened);
    else await advance();
    for (let tries = 0; !line && !state.listed && tries < 50; tries += 1) {  // nothing is listed yet
      await new Promise((resolve) => { setTimeout(resolve, 100); });
      await advance();
    }
  } catch (error) {
    work.hidden = false;
    if (error instanceof Problem) showProblem(error);
    else throw error;
  }
}

begin();
