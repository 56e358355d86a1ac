// Asking an expert, and giving the call away; both say before anybody is rung what stands in the way.

import { get, me, patch, post } from "./api.js";
import { act, copyButton, h, note } from "./dom.js";
import { changed, house, legName, nameOf, onEvent, refresh } from "./house.js";
import { ROLES, clock, sentence } from "./words.js";

const SPEAK_TO = [["expert", "The expert", "the customer hears music"], ["customer", "The customer", "the expert hears music"],
  ["both", "Both, apart", "they do not hear each other"], ["conference", "Everybody", "all hear all"]];

const ROUTES = { voip: "Teams, over the internet", direct_routing: "Teams, by Direct Routing", pstn: "The telephone network" };
const OBSTACLES = {
  not_cleared: "refused by what was found", no_carrier: "no trunk leads there", no_route_for_number: "no route for the number",
  prerequisites_unavailable: "the prerequisites cannot be looked at now",
};
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

export function consultPanel(call) {
  recall(call);
  const consult = going.get(call.id);
  return h("section", { class: "card", key: "consult", "aria-labelledby": "consult-title" },
    h("h2", { id: "consult-title" }, "Consult"),
    consult ? running(call, consult) : begin(call, "consult", "Ask an expert", (wish) => post(`/v1/calls/${call.id}/consults`, wish)));
}

export function transferPanel(call) {
  if (going.get(call.id)) return null;
  return h("section", { class: "card", key: "transfer", "aria-labelledby": "transfer-title" },
    h("h2", { id: "transfer-title" }, "Transfer"),
    begin(call, "transfer", "Transfer the call", async (wish) => {
      const answer = await post(`/v1/calls/${call.id}/transfers`, { mode: "blind", ...wish });
      if (!wish.dry_run) note(`${nameOf(wish.target)} is being rung; you stay until somebody answers.`);
      return answer;
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

// A form with a check before the ring; `ask` is the request, and the check is the same one, only looked at. `what` keeps
// the two forms of a call apart.
function begin(call, what, label, ask) {
  const id = `${what}-${call.id}`;
  const wish = asked.get(id) ?? { target: "", via: "auto" };
  const report = checked.get(id);
  const read = (event) => {
    const data = new FormData(event.target.form ?? event.target);
    asked.set(id, { target: data.get("target").trim(), via: data.get("via") });
    checked.delete(id);
    changed();
  };
  const check = async () => {
    const wanted = asked.get(id) ?? wish;
    if (!wanted.target) throw new Error("Say whom first.");
    checked.set(id, await ask({ ...wanted, dry_run: true }));
    changed();
  };
  const submit = async (event) => {
    event.preventDefault();
    read(event);
    try {
      await ask(asked.get(id));
      asked.delete(id);
      checked.delete(id);
      refresh(call.id);
    } catch (problem) {
      // A refusal for missing prerequisites carries the ways.
      if (problem.document?.preview) checked.set(id, problem.document.preview);
      note(problem.message, "bad");
    }
    changed();
  };
  return [
    h("form", { onsubmit: submit, key: id, class: "wish" },
      h("label", { for: `${id}-target` }, "Colleague, number, or somebody at Teams"),
      h("input", { id: `${id}-target`, name: "target", type: "text", required: true, maxlength: 256, autocomplete: "off", list: "colleagues", value: wish.target, onchange: read }),
      h("label", { for: `${id}-via` }, "Which way"),
      h("select", { id: `${id}-via`, name: "via", onchange: read },
        ...[["auto", "The cheapest that works"], ...Object.entries(ROUTES)]
          .map(([value, text]) => h("option", { value, selected: wish.via === value }, text))),
      h("div", { class: "buttons" }, act("Check first", check), h("button", { type: "submit", class: "primary" }, label))),
    report && ways(report, id),
  ];
}

// The ways as they would be tried, the one that would be taken first marked.
function ways({ ways: all, taken, up }, id) {
  const first = all[taken];
  return h("div", { key: `${id}-report`, class: "report", role: "status" },
    h("p", {}, first
      ? ["Would be rung over ", h("strong", {}, wayName(first)), cost(first.cost), first.findings.length ? "." : ": nothing to check."]
      : h("strong", {}, "Nobody can be rung yet. This is missing:")),
    ...all.map((way, n) => h("details", { key: `${way.target} ${way.via} ${way.clear}`, open: n === taken || !first },
      h("summary", {}, h("span", { class: `chip ${way.clear ? "up" : "down"}` }, n === taken ? "Taken" : way.clear ? "Clear" : "Refused"), " ",
        wayName(way), cost(way.cost), h("span", { class: "soft" }, wayNote(way))),
      h("ul", { class: "findings" }, ...way.findings.map(finding)))),
    up.length > 0 && h("p", { class: "soft" }, "Meanwhile: ", up.map((leg) => [ROLES[leg.leg] ?? sentence(leg.leg), cost(leg)].join("")).join(", ")));
}

function wayName(way) {
  const name = way.via ? ROUTES[way.via] : `${nameOf(way.target)}'s telephone`;
  return way.over ? `${name}, ${way.over}` : name;
}

function wayNote(way) {
  if (way.obstacle) return ` ${OBSTACLES[way.obstacle] ?? sentence(way.obstacle)}`;
  return way.only_if_not_reached ? " if the way before reaches nobody" : "";
}

// " (about 0.004 USD a minute)", when the price is known.
function cost(known) {
  return known ? ` (about ${known.per_minute} ${known.currency} a minute)` : "";
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
