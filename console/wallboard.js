// The wallboard: live calls, and beside them people, trunks and the account at Microsoft.

import { me } from "./api.js";
import { act, h } from "./dom.js";
import { house, legName, nameOf } from "./house.js";
import { dialForm } from "./dial.js";
import { account, agents, supervisors, trunks } from "./people.js";
import { startSupervision } from "./supervise.js";
import { COACHING, list, sentence, since } from "./words.js";

// Rows shown; nobody reads more, and a page with thousands is slow.
const ROWS_MAX = 200;

export function wallboard() {
  const calls = [...house.calls.values()];
  const count = (wanted) => calls.filter(wanted).length;
  const supervised = count((call) => (house.supervisions.get(call.id) ?? []).some((one) => one.state === "active"));
  const held = count((call) => call.legs.some((leg) => leg.role === "customer" && leg.hold !== "none"));
  return h("div", { key: "wallboard" },
    h("h1", {}, house.overview?.name ?? "Wallboard"),
    house.overview?.draining && h("p", { class: "note bad" }, "This gateway is draining: it takes no new calls."),
    h("ul", { class: "tiles", "aria-label": "In numbers" },
      tile(calls.length, calls.length === 1 ? "live call" : "live calls"),
      tile(count((call) => call.state === "ringing"), "ringing"),
      tile(held, "on hold"),
      me().role !== "agent" && tile(supervised, "supervised")),
    h("div", { class: "board" },
      h("section", { class: "card wide", "aria-labelledby": "calls-title" },
        h("h2", { id: "calls-title" }, me().role === "agent" ? "Your calls" : "Calls"),
        calls.length ? callTable(calls) : h("p", { class: "empty" }, "No call at the moment.")),
      me().role === "agent" && dialForm(),
      agents(), supervisors(), trunks(), account()));
}

function tile(number, label) {
  return h("li", {}, h("strong", {}, String(number)), " ", h("span", {}, label));
}

function callTable(calls) {
  return h("div", { class: "scroll" }, h("table", {},
    h("thead", {}, h("tr", {}, ...["State", "From", "To", "With", "Lasts", "Heard by", ""].map((title) =>
      h("th", { scope: "col" }, title || h("span", { class: "unseen" }, "Actions"))))),
    h("tbody", {}, ...calls.slice(0, ROWS_MAX).map(callRow))),
    calls.length > ROWS_MAX && h("p", { class: "soft" }, `and ${calls.length - ROWS_MAX} more`));
}

function callRow(call) {
  const staff = call.legs.filter((leg) => ["agent", "expert"].includes(leg.role)).map((leg) => legName(call, leg.id));
  const held = call.legs.some((leg) => leg.role === "customer" && leg.hold !== "none");
  const state = held ? "held" : call.state;
  const watching = (house.supervisions.get(call.id) ?? []).filter((one) => one.state !== "waiting");
  const mayJoin = me().role === "supervisor" && call.state === "talking" && !watching.some((one) => one.supervisor === me().person);
  return h("tr", { key: call.id },
    h("td", {}, h("span", { class: `chip ${state}` }, sentence(state === "held" ? "on hold" : state))),
    h("td", { class: "number" }, call.from), h("td", { class: "number" }, call.to),
    h("td", {}, list(staff) || h("span", { class: "soft" }, "nobody yet")),
    h("td", { class: "clock" }, since(call.answered_at ?? call.started_at)),
    h("td", {}, watching.length
      ? watching.map((one) => h("span", { key: one.id, class: `chip ${one.role}` }, `${nameOf(one.supervisor)}: ${COACHING[one.role].toLowerCase()}`))
      : h("span", { class: "soft" }, "–")),
    h("td", { class: "acts" },
      mayJoin && act("Listen", async () => {
        await startSupervision(call, "monitor");
        location.hash = `#/calls/${call.id}`;
      }, { class: "small", "aria-label": `Listen to the call from ${call.from}` }),
      h("a", { class: "button small", href: `#/calls/${call.id}`, "aria-label": `Open the call from ${call.from}` }, "Open")));
}
