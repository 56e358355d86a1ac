// Asking an expert, and giving the call away; both say before anybody is rung what stands in the way.

import { get, me, patch, post } from "./api.js";
import { act, copyButton, h, note } from "./dom.js";
import { changed, house, legName, nameOf, onEvent, refresh } from "./house.js";
import { clock, sentence } from "./words.js";

const SPEAK_TO = [["expert", "The expert", "the customer hears music"], ["customer", "The customer", "the expert hears music"],
  ["both", "Both, apart", "they do not hear each other"], ["conference", "Everybody", "all hear all"]];

const WHO = { operator: "You or your operator", teams_administrator: "A Teams administrator" };
const MARKS = { pass: ["up", "OK"], fail: ["down", "Missing"], unknown: ["unknown", "Not known"], not_applicable: ["free", "Does not apply"] };

// By call: what was asked for, what a check said, and the consult that goes on.
const asked = new Map();
const checked = new Map();
const going = new Map();

const OUTCOMES = {
  "transfer.completed": ["The call was transferred", "info"],
  "transfer.failed": ["The transfer failed", "bad"],
  "transfer.rolled_back": ["The transfer was called off", "info"],
};

onEvent((event) => {
  const [outcome, kind] = OUTCOMES[event.type] ?? [];
  if (outcome && house.calls.get(event.subject)?.legs.some((leg) => leg.person === me().person)) {
    note(event.data.outcome && kind === "bad" ? `${outcome}: ${sentence(event.data.outcome)}` : outcome, kind);
  }
  if (!event.subject || !event.type.startsWith("consult.")) return;
  if (["consult.completed", "consult.failed", "consult.ended"].includes(event.type)) {
    going.delete(event.subject);
    if (event.type === "consult.failed") note(`The consult failed: ${sentence(event.data.cause)}`, "bad");
  } else if (event.data.consult) {
    look(event.subject, event.data.consult);
  }
});

async function look(call, id) {
  try {
    going.set(call, await get(`/v1/consults/${id}`));
  } catch (problem) {
    if (problem.status === 404) going.delete(call);
  }
  changed();
}

// After a reload the consult that goes on is known from what happened.
function recall(call) {
  if (going.has(call.id)) return;
  const events = house.timeline.get(call.id) ?? [];
  const last = events.findLast?.((event) => event.type.startsWith("consult.") && event.data.consult);
  if (!last || ["consult.completed", "consult.failed", "consult.ended"].includes(last.type)) return;
  going.set(call.id, null);
  look(call.id, last.data.consult);
}

// The consult that goes on in a call; null while it begins.
export const consultOf = (call) => going.get(call.id);

export function consultPanel(call, own) {
  recall(call);
  const consult = going.get(call.id);
  return h("section", { class: "card", key: "consult", "aria-labelledby": "consult-title" },
    h("h2", { id: "consult-title" }, "Consult"),
    consult ? running(call, consult) : begin(call, own, "consult", "Ask an expert", (wish) => post(`/v1/calls/${call.id}/consults`, wish)));
}

export function transferPanel(call, own) {
  if (going.get(call.id)) return null;
  return h("section", { class: "card", key: "transfer", "aria-labelledby": "transfer-title" },
    h("h2", { id: "transfer-title" }, "Transfer"),
    begin(call, own, "transfer", "Transfer the call", async ({ target }) => {
      await post(`/v1/calls/${call.id}/transfers`, { mode: "blind", target });
      note(`${nameOf(target)} is being rung; you stay until somebody answers.`);
    }));
}

function running(call, consult) {
  const path = `/v1/consults/${consult.id}`;
  const change = (does) => async () => {
    await does();
    await look(call.id, consult.id);
    refresh(call.id);
  };
  if (consult.state === "ringing") {
    return [h("p", { role: "status" }, "The expert is being rung; the customer hears music."),
      act("Stop ringing", change(() => post(`${path}/cancel`)), { class: "danger" })];
  }
  return [
    h("p", {}, `${legName(call, consult.expert_leg)} is on the line.`),
    h("div", { class: "roles", role: "group", "aria-label": "Whom you speak to" },
      ...SPEAK_TO.map(([to, label, meaning]) => act([h("strong", {}, label), h("span", {}, meaning)],
        change(() => patch(path, { speak_to: to })), { key: to, class: "role", "aria-pressed": String(consult.speak_to === to) }))),
    h("div", { class: "buttons" },
      act("Hand the call over", change(() => post(`${path}/complete`)), { class: "primary" }),
      act("Let the expert go", change(() => post(`${path}/cancel`)))),
  ];
}

// A form with a check before the ring. `what` keeps the two forms of a call apart.
function begin(call, own, what, label, ring) {
  const id = `${what}-${call.id}`;
  const wish = asked.get(id) ?? { target: "", via: "auto" };
  const report = checked.get(id);
  const read = (event) => {
    const data = new FormData(event.target.form ?? event.target);
    asked.set(id, { target: data.get("target").trim(), via: data.get("via") });
    checked.delete(id);
    changed();
  };
  // The way is for the check alone: the gateway takes none with a consult or transfer, and rings a colleague at their own
  // telephone and a number over its trunk.
  const body = ({ target }) => ({ target });
  const check = async () => {
    const { target, via } = asked.get(id) ?? wish;
    if (!target) throw new Error("Say whom first.");
    checked.set(id, await preview(call, target, via));
    changed();
  };
  const submit = async (event) => {
    event.preventDefault();
    read(event);
    try {
      await ring(body(asked.get(id)));
      asked.delete(id);
      checked.delete(id);
      refresh(call.id);
    } catch (problem) {
      // A refusal for missing prerequisites carries them.
      if (problem.document?.findings || problem.document?.routes) checked.set(id, problem.document);
      note(problem.message, "bad");
    }
    changed();
  };
  return [
    h("form", { onsubmit: submit, key: id, class: "wish" },
      h("label", { for: `${id}-target` }, "Colleague, number, or somebody at Teams"),
      h("input", { id: `${id}-target`, name: "target", type: "text", required: true, maxlength: 64, autocomplete: "off", list: "colleagues", value: wish.target, onchange: read }),
      h("label", { for: `${id}-via` }, "Which ways to check"),
      h("select", { id: `${id}-via`, name: "via", onchange: read },
        ...[["auto", "all, the cheapest first"], ["voip", "Teams, over the internet"], ["direct_routing", "Direct Routing"], ["pstn", "the telephone network"]]
          .map(([value, text]) => h("option", { value, selected: wish.via === value }, text))),
      h("div", { class: "buttons" }, act("Check first", check), h("button", { type: "submit", class: "primary" }, label))),
    report && findings(report, id),
  ];
}

// What would happen, without ringing anybody.
async function preview(call, target, via) {
  if (house.overview?.people.some((one) => one.id === target)) {
    return { routes: [], colleague: target };
  }
  return post("/v1/preflights", { target, via });
}

function findings(report, id) {
  if (report.colleague) return h("p", { class: "note good", key: `${id}-report`, role: "status" }, `${nameOf(report.colleague)} is a colleague: nothing to check, and it costs nothing.`);
  const routes = report.routes ?? [{ via: report.via ?? "", clear: false, findings: report.findings ?? [] }];
  return h("div", { key: `${id}-report`, class: "report", role: "status" },
    h("p", {}, report.route ? ["Would be rung over ", h("strong", {}, sentence(report.route)), cost(report.cost), "."] : h("strong", {}, "Nobody can be rung yet. This is missing:")),
    ...routes.map((route) => h("details", { key: route.via, open: !report.route || route.via === report.route },
      h("summary", {}, h("span", { class: `chip ${route.clear ? "up" : "down"}` }, route.clear ? "Clear" : "Refused"), " ", sentence(route.via), cost(route.cost)),
      h("ul", { class: "findings" }, ...route.findings.map(finding)))));
}

// "about 0.04 EUR a minute", when the gateway knows.
function cost(known) {
  if (!known) return null;
  if (typeof known === "string") return ` (${known})`;
  const amount = known.per_minute ?? known.amount;
  return amount === undefined ? null : ` (about ${amount} ${known.currency ?? ""} a minute)`;
}

function finding(one) {
  const [kind, word] = MARKS[one.verdict] ?? MARKS.unknown;
  const remedy = one.weight !== "clear" && one.remedy;
  return h("li", { key: one.check },
    h("span", { class: `chip ${kind}` }, word), " ", h("span", {}, one.title),
    one.evidence?.detail && h("span", { class: "soft" }, ` ${one.evidence.detail} (${one.evidence.source}, ${clock(one.evidence.observed_at)})`),
    remedy && h("div", { class: "remedy" },
      h("p", {}, h("strong", {}, `${WHO[remedy.who] ?? sentence(remedy.who)}: `), remedy.text),
      remedy.command && h("div", { class: "command" }, h("pre", { tabindex: "0" }, remedy.command), copyButton(remedy.command, `the command for ${one.check}`)),
      remedy.portal && h("p", { class: "soft" }, remedy.portal)));
}
