// Requests to the server. A problem is thrown with its remedy; silence of the server as one of its own.

export class Problem extends Error {
  constructor(status, said) {
    super(said.problem || `HTTP ${status}`);
    this.status = status;
    this.fix = said.fix || "";
    this.line = said.line;
  }
}

export async function ask(path, sent, method = "POST") {
  let answer;
  try {
    answer = await fetch(path, sent === undefined ? {} : {
      method, body: JSON.stringify(sent), headers: { "content-type": "application/json" },
    });
  } catch {
    throw new Problem(0, {});
  }
  let said = {};
  try { said = await answer.json(); } catch { /* no JSON: the status tells enough */ }
  if (!answer.ok) throw new Problem(answer.status, said);
  return said;
}

export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export const element = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// An element of a drawing.
export function svg(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// The token came with the address; a cookie holds it by now, and the address need not show it.
if (location.search.includes("token=")) history.replaceState(null, "", location.pathname + location.hash);
