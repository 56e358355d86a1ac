// Who is there, which trunks are up, and how long the account at Microsoft is good: the right side of the wallboard.

import { me } from "./api.js";
import { h } from "./dom.js";
import { house } from "./house.js";
import { COACHING, day, sentence, since } from "./words.js";

const DAY = 24 * 3600 * 1000;

export function agents() {
  return peopleCard("agents", "Agents", "agent");
}

export function supervisors() {
  return peopleCard("supervisors", "Supervisors", "supervisor");
}

function peopleCard(id, title, role) {
  const people = (house.overview?.people ?? []).filter((one) => one.role === role);
  return h("section", { class: "card", "aria-labelledby": `${id}-title` },
    h("h2", { id: `${id}-title` }, title),
    people.length
      ? h("ul", { class: "people" }, ...people.map(personRow))
      : h("p", { class: "empty" }, `No ${title.toLowerCase()}.`));
}

function personRow(one) {
  const found = whereIs(one.id);
  return h("li", { key: one.id },
    h("span", { class: `chip ${found.kind}` }, found.text),
    h("span", { class: "grow" }, one.name, one.extension && h("span", { class: "soft" }, ` ${one.extension}`)),
    found.call
      ? h("a", { href: `#/calls/${found.call.id}`, class: "clock", "aria-label": `Open ${one.name}'s call` }, since(found.call.answered_at ?? found.call.started_at))
      : h("span", { class: "soft" }, one.signed_in ? "signed in" : ""));
}

function whereIs(person) {
  for (const call of house.calls.values()) {
    const leg = call.legs.find((one) => one.person === person);
    if (!leg) continue;
    if (leg.presence === "ringing") return { kind: "ringing", text: "Ringing", call };
    if (leg.coaching) return { kind: leg.coaching, text: COACHING[leg.coaching], call };
    if (leg.hold === "held") return { kind: "held", text: "On hold", call };
    return { kind: "talking", text: "In a call", call };
  }
  // An agent sees their own calls only, so of a colleague without one nothing is known.
  return me().role === "agent" && person !== me().person ? { kind: "unknown", text: "Colleague" } : { kind: "free", text: "Free" };
}

export function trunks() {
  const all = house.overview?.trunks ?? [];
  if (!all.length) return null;
  const states = { true: ["up", "Up"], false: ["down", "Down"], undefined: ["unknown", "Not asked"] };
  return h("section", { class: "card", key: "trunks", "aria-labelledby": "trunks-title" },
    h("h2", { id: "trunks-title" }, "Trunks"),
    h("ul", { class: "people" }, ...all.map((trunk) => {
      const [kind, text] = states[trunk.up];
      return h("li", { key: trunk.id },
        h("span", { class: `chip ${kind}` }, text),
        h("span", { class: "grow" }, trunk.id, trunk.detail && h("span", { class: "soft" }, ` ${trunk.detail}`)),
        trunk.since && h("span", { class: "clock soft" }, since(trunk.since)));
    })));
}

export function account() {
  const known = house.overview?.integration;
  if (!known) return null;
  const ends = known.ends_at && Date.parse(known.ends_at);
  const left = ends && Math.floor((ends - Date.now()) / DAY);
  const states = { pass: ["up", "Good"], fail: ["down", sentence(known.code ?? "fails")], unknown: ["unknown", "Not known"] };
  const [kind, text] = states[known.state] ?? states.unknown;
  return h("section", { class: "card", key: "account", "aria-labelledby": "account-title" },
    h("h2", { id: "account-title" }, "Microsoft account"),
    h("ul", { class: "people" }, h("li", {},
      h("span", { class: `chip ${kind}` }, text),
      h("span", { class: "grow" }, ends ? `Credential ends ${day(known.ends_at)}` : "No end of the credential is known"),
      ends && h("span", { class: "soft" }, left >= 0 ? `${left} days left` : "over"))));
}
