// One call: who is in it, who hears whom, what can be done, and what happened.

import { me, post, remove } from "./api.js";
import { cardOf, cardView } from "./card.js";
import { act, h } from "./dom.js";
import { house, legName, myLeg, nameOf, refresh } from "./house.js";
import { consultPanel, transferPanel } from "./consult.js";
import { keypad } from "./dial.js";
import { matrix } from "./matrix.js";
import { supervisePanel } from "./supervise.js";
import { COACHING, ROLES, clock, eventDetail, eventName, round, sentence, since } from "./words.js";

export function callView(id) {
  const call = house.calls.get(id);
  if (!call) {
    return h("div", { key: id }, h("h1", {}, "Call"), h("p", { class: "empty" }, "This call is over, or it is not yours to see."),
      timeline(id), h("p", {}, h("a", { class: "button", href: "#/" }, "Back to the wallboard")));
  }
  const own = myLeg(call);
  const steers = steersCall(call, own);
  return h("div", { key: id, class: "one-call" },
    h("h1", {}, h("span", { class: "number" }, call.from), h("span", { class: "soft" }, " → "), h("span", { class: "number" }, call.to)),
    h("p", { class: "facts" },
      h("span", { class: `chip ${call.state}` }, sentence(call.state)), " ",
      h("span", { class: "clock" }, since(call.answered_at ?? call.started_at)), " ",
      h("span", { class: "soft" }, call.direction === "inbound" ? "incoming" : "outgoing")),
    h("div", { class: "columns" },
      h("div", { class: "column" },
        me().role !== "agent" && h("section", { class: "card", key: "matrix", "aria-labelledby": "matrix-title" },
          h("h2", { id: "matrix-title" }, "Who hears whom"), matrix(call)),
        steers && consultPanel(call),
        steers && transferPanel(call),
        h("section", { class: "card", key: "timeline", "aria-labelledby": "timeline-title" },
          h("h2", { id: "timeline-title" }, "Timeline"), timeline(id))),
      h("div", { class: "column" },
        own && matter(call, own),
        supervisePanel(call),
        steers && controls(call, own),
        legs(call, steers))));
}

// What whoever is signed in was told when they were rung.
function matter(call, own) {
  const shown = cardView(cardOf(call.id, own.id));
  return shown && h("section", { class: "card", key: "matter", "aria-labelledby": "matter-title" },
    h("h2", { id: "matter-title" }, "What it is about"), shown);
}

// An agent steers their own calls, a supervisor once they are a party. The gateway decides; this only spares a refusal.
function steersCall(call, own) {
  if (!own) return false;
  return me().role === "agent" || ["barge", "takeover"].includes(own.coaching);
}

const legPath = (call, leg, what) => `/v1/calls/${call.id}/legs/${leg.id}/${what}`;

async function legAct(call, leg, what) {
  await post(legPath(call, leg, what));
  refresh(call.id);
}

function controls(call, own) {
  const customer = call.legs.find((leg) => leg.role === "customer" && leg.presence === "talking");
  const held = customer?.hold === "held";
  return h("section", { class: "card", key: "controls", "aria-labelledby": "controls-title" },
    h("h2", { id: "controls-title" }, "Your call"),
    h("div", { class: "buttons" },
      customer && act(held ? "Resume the customer" : "Hold the customer", () => legAct(call, customer, held ? "resume" : "hold"), { "aria-pressed": String(held) }),
      act(own.muted ? "Unmute yourself" : "Mute yourself", () => legAct(call, own, own.muted ? "unmute" : "mute"), { "aria-pressed": String(own.muted) }),
      act("Hang up", async () => {
        await remove(`/v1/calls/${call.id}`);
      }, { class: "danger" })),
    customer && keypad(async (digits) => {
      await post(legPath(call, customer, "dtmf"), { digits });
    }));
}

function legs(call, steers) {
  return h("section", { class: "card", key: "legs", "aria-labelledby": "legs-title" },
    h("h2", { id: "legs-title" }, "Parties"),
    h("ul", { class: "people" }, ...call.legs.map((leg) => h("li", { key: leg.id },
      h("span", { class: `chip ${leg.coaching ?? (leg.hold === "none" ? leg.presence : "held")}` },
        leg.coaching ? COACHING[leg.coaching] : leg.hold === "held" ? "On hold" : leg.hold === "holding" ? "Holds us" : sentence(leg.presence)),
      h("span", { class: "grow" }, h("strong", {}, leg.person ? nameOf(leg.person) : ROLES[leg.role]), " ", h("span", { class: "soft" },
        [leg.person && ROLES[leg.role], leg.trunk, leg.codec, leg.muted && "muted"].filter(Boolean).join(" · "))),
      steers && leg.role !== "customer" && leg.person !== me().person &&
        act("Hang up", () => legAct(call, leg, "hangup"), { class: "small danger", "aria-label": `Hang up ${legName(call, leg.id)}` }),
      quality(leg)))));
}

// From this score down people are not satisfied, and from the other on many are dissatisfied (ITU-T G.107 annex B).
const FAIR_BELOW = 4.0;
const POOR_BELOW = 3.6;

// How a leg sounds: in words first, for whoever has no use for the numbers.
function quality(leg) {
  const { mos, loss, jitter_ms, round_trip_ms } = leg.quality ?? {};
  if (mos === undefined) return null;
  const word = mos < POOR_BELOW ? "poor" : mos < FAIR_BELOW ? "fair" : "good";
  const figures = [["MOS", mos, ""], ["loss", loss * 100, " %"], ["jitter", jitter_ms, " ms"], ["round trip", round_trip_ms, " ms"]]
    .filter(([, value]) => value !== undefined).map(([name, value, unit]) => `${name} ${round(value)}${unit}`);
  return h("span", { class: `quality ${word}` }, h("strong", {}, `Sounds ${word}`), ` · ${figures.join(" · ")}`);
}

function timeline(id) {
  const events = house.timeline.get(id);
  if (!events?.length) return h("p", { class: "empty" }, "Nothing yet.");
  return h("ol", { class: "timeline" }, ...events.map((event) => h("li", { key: event.seq },
    h("time", { datetime: event.time }, clock(event.time)),
    h("span", { class: `what ${event.type.split(".")[0]}` }, eventName(event.type)),
    h("span", { class: "soft" }, eventDetail(event, nameOf)))));
}
