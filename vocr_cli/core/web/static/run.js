// The training page: the commands of the next run, and how runs go.

import { ask, element, make } from "./api.js";
import { chart } from "./charts.js";
import { percent, t, translatePage } from "./strings.js";

let chosen = null, overview = null;

function showOverview(said) {
  overview = said;
  element("commands").textContent = said.commands.join("\n");
  element("start").hidden = element("minutes-label").hidden = !said.allowed;
  element("start").disabled = Boolean(said.running);
  element("stop").hidden = !said.running;
  element("status").textContent = said.allowed ? (said.running ?? t("outcomes")[said.outcome] ?? said.outcome) : t("notAllowed");
  element("log-box").hidden = !said.log;
  if (element("log").textContent !== said.log) {
    element("log").textContent = said.log;
    element("log").scrollTop = element("log").scrollHeight;
  }
  const names = said.runs, old = [...element("runs").options].map((one) => one.value);
  if (String(old) !== String(names)) element("runs").replaceChildren(...names.map((name) => make("option", { value: name, textContent: name })));
  if (!names.includes(chosen)) chosen = names[0] ?? null;
  if (chosen) element("runs").value = chosen;
  element("runs").hidden = !names.length;
  element("no-runs").hidden = names.length > 0;
}

function showRun(run) {
  element("facts").tBodies[0].replaceChildren(...Object.entries(run.facts).map(([name, value]) => make("tr", {}, make("th", { scope: "row", textContent: name }), make("td", { textContent: String(value) }))));
  const curve = (name) => run.curves[name] ?? [];
  element("charts").replaceChildren(...[
    chart(t("loss"), [{ name: t("training"), points: curve("StepDone.loss") }, { name: t("validation"), points: curve("Validated.loss") }], { log: true, label: (value) => value.toPrecision(2) }),
    chart(t("cer"), [{ name: t("training"), points: curve("Validated.train_cer") }, { name: t("validation"), points: curve("Validated.cer") }, { name: t("quick"), points: curve("quick.cer") }], { log: true, label: (value) => percent(value, 2) }),
    chart(t("rate"), [{ name: t("rate"), points: curve("StepDone.learning_rate") }], { label: (value) => (value ? value.toExponential(1) : "0") }),
    chart(t("speed"), [{ name: t("speed"), points: curve("StepDone.lines_per_s") }]),
  ].filter(Boolean));
  element("samples-card").hidden = !run.samples.length;
  element("samples").replaceChildren(...run.samples.map((one) => make("tr", {}, make("td", { textContent: one.label }), make("td", {}, ...differing(one.label, one.reading)))));
  element("worst-card").hidden = !String(run.facts.model).endsWith("safetensors");
}

// A reading whose characters are marked where they are not those of the label, by a longest common subsequence.
function differing(label, reading) {
  const a = [...label], b = [...reading];
  const common = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i -= 1) for (let j = b.length - 1; j >= 0; j -= 1) common[i][j] = a[i] === b[j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
  const made = [];
  let i = 0, j = 0;
  while (j < b.length) {
    if (i < a.length && a[i] === b[j]) { made.push(b[j]); i += 1; j += 1; }
    else if (i < a.length && common[i + 1][j] >= common[i][j + 1]) i += 1;
    else { made.push(make("mark", { textContent: b[j] })); j += 1; }
  }
  return made;
}

function showWorst(said) {
  element("compute").hidden = said.state === "reading" || said.state === "done";
  const texts = { none: "", reading: t("loading"), failed: `${said.problem} ${said.fix}`, done: said.state === "done" ? `${said.read} ${t("matching")}, CER ${percent(said.cer, 2)}` : "" };
  element("worst-status").textContent = texts[said.state];
  element("worst").replaceChildren(...(said.lines ?? []).map((one) => {
    const link = one.line === null ? "" : make("a", { href: `/#line=${one.line}`, textContent: t("open") });
    return make("tr", {}, make("td", {}, make("div", { textContent: one.label }), make("div", {}, ...differing(one.label, one.reading)), make("small", { className: "dim", textContent: one.name })), make("td", {}, link));
  }));
}

async function refresh(post = false) {
  try {
    showOverview(await ask("/api/runs"));
    if (!chosen) return;
    const name = encodeURIComponent(chosen);
    showRun(await ask(`/api/runs/${name}`));
    showWorst(await (post ? ask(`/api/runs/${name}/worst`, {}) : ask(`/api/runs/${name}/worst`)));
  } catch (error) {
    element("status").textContent = error.status === 0 ? t("silent") : error.message;
  }
}

element("runs").addEventListener("change", () => { chosen = element("runs").value; refresh(); });
element("compute").addEventListener("click", () => refresh(true));
element("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(element("commands").textContent);
    element("status").textContent = t("copied");
  } catch {
    getSelection().selectAllChildren(element("commands"));  // the browser gives no clipboard: Ctrl+C does
  }
});
element("start").addEventListener("click", async () => {
  const minutes = Number(element("minutes").value.replace(",", ".")) || 0;
  try { chosen = (await ask("/api/train", { minutes })).run; } catch (error) { element("status").textContent = `${error.message} ${error.fix}`; return; }
  refresh();
});
element("stop").addEventListener("click", async () => { await ask("/api/train/stop", {}).catch(() => {}); refresh(); });
translatePage(() => refresh());
refresh();
setInterval(() => { if (!document.hidden && (overview?.running || element("worst-status").textContent === t("loading"))) refresh(); }, 2000);
