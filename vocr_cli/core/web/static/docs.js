// Shows the OpenAPI document of this server.

import { ask, element, make } from "./api.js";
import { translatePage } from "./strings.js";

const row = (name, ...cells) => make("tr", {}, make("th", { scope: "row", textContent: name }), ...cells.map((cell) => make("td", { textContent: cell })));

function operation(path, method, said) {
  const card = make("section", { className: "card" }, make("h2", { textContent: `${method.toUpperCase()} ${path}` }), make("p", { textContent: said.summary }));
  if (said.description) card.append(make("p", { className: "dim", textContent: said.description }));
  const parameters = (said.parameters ?? []).map((one) => row(`?${one.name}=`, one.description));
  const kinds = Object.keys(said.requestBody?.content ?? {}).map((kind) => row("body", kind));
  const answers = Object.entries(said.responses).map(([status, one]) => row(status, one.description));
  card.append(make("table", {}, make("tbody", {}, ...parameters, ...kinds, ...answers)));
  return card;
}

function schema(name, said) {
  const rows = Object.entries(said.properties).map(([key, one]) => row(key, one.type ?? (one.const ? `"${one.const}"` : "…"), one.description ?? ""));
  return make("section", { className: "card" }, make("h2", { textContent: name }), make("table", {}, make("tbody", {}, ...rows)));
}

translatePage();
ask("/openapi.json").then((said) => {
  const example = make("pre", { textContent: `curl -H "Authorization: Bearer $VOCR_TOKEN" --data-binary @line.png ${location.origin}/read\ncurl -H "Authorization: Bearer $VOCR_TOKEN" -F image=@a.png -F image=@b.png ${location.origin}/read` });
  const cards = Object.entries(said.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, one]) => operation(path, method, one)));
  const schemas = Object.entries(said.components.schemas).map(([name, one]) => schema(name, one));
  element("docs").append(make("p", { textContent: `${said.info.title} ${said.info.version}: ${said.info.description}` }), example, ...cards, ...schemas, make("p", {}, make("a", { href: "/openapi.json", textContent: "/openapi.json" })));
}).catch((error) => element("docs").append(make("p", { className: "problem", textContent: error.message })));
