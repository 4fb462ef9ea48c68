// Reads images that are dropped, pasted or chosen.

import { element, make } from "./api.js";
import { percent, t, translatePage } from "./strings.js";

const DOUBTFUL = 0.9;
const KEPT = 50;

async function read(file) {
  const address = URL.createObjectURL(file);
  const image = make("img", { src: address, alt: "" });
  const said = make("p", { className: "said", textContent: t("loading") });
  const facts = make("p", { className: "dim", textContent: file.name });
  const card = make("section", { className: "card result" }, image, said, facts);
  element("results").prepend(card);
  while (element("results").childElementCount > KEPT) {
    const last = element("results").lastElementChild;
    URL.revokeObjectURL(last.querySelector("img").src);
    last.remove();
  }
  try {
    const answer = await fetch(`/read?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file, headers: { "content-type": "application/octet-stream" } });
    const reading = await answer.json();
    if (!answer.ok) throw new Error([reading.error ?? reading.problem, reading.fix].join(" "));
    said.replaceChildren(...[...reading.text].map((char, at) => {
      const sure = reading.char_confidences[at] ?? 1;
      return sure < DOUBTFUL ? make("mark", { textContent: char, title: percent(sure, 0) }) : char;
    }));
    facts.textContent = [file.name, `${reading.width_px} × ${reading.height_px} px`, `${t("confidence")} ${percent(reading.confidence)}`, ...reading.flags].join(" · ");
    const others = (reading.alternatives ?? []).slice(1);
    if (others.length) card.append(make("ol", {}, ...others.map((one) => make("li", { textContent: one.text }))));
  } catch (error) {
    card.classList.add("problem");
    said.textContent = error instanceof TypeError ? t("silent") : error.message;
  }
}

async function readAll(files) {
  for (const file of files) await read(file);
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

// Beside labelling there are other pages; a server that only reads has none.
fetch("/api/state").then((answer) => {
  if (!answer.ok) return;
  element("pages").prepend(make("a", { href: "/", textContent: t("label") }), make("a", { href: "/run", textContent: t("train") }));
}).catch(() => {});
translatePage();
