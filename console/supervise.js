// Supervision: one click for each role, and a banner that nobody can overlook about who can hear you.

import { me, patch, post, remove } from "./api.js";
import { act, h } from "./dom.js";
import { house, legName, myLeg, nameOf, refresh } from "./house.js";
import { consultOf } from "./consult.js";
import { expectCall, phone } from "./phone.js";
import { COACHING, list } from "./words.js";

const ROLES = [
  ["monitor", "Monitor", "hear all, be heard by nobody"],
  ["whisper", "Whisper", "be heard by the agent alone"],
  ["barge", "Barge in", "be heard by everybody"],
];

export async function startSupervision(call, role) {
  await expectCall();
  await post(`/v1/calls/${call.id}/supervisions`, { role });
  refresh(call.id);
}

const mine = (call) => (house.supervisions.get(call.id) ?? []).find((one) => one.supervisor === me().person);

export function supervisePanel(call) {
  if (me().role !== "supervisor") return null;
  const own = mine(call);
  const switchTo = async (role) => {
    if (own) await patch(`/v1/supervisions/${own.id}`, { role });
    else await startSupervision(call, role);
    refresh(call.id);
  };
  const waits = own?.state === "requested";
  return h("section", { class: "card supervise", key: "supervise", "aria-labelledby": "supervise-title" },
    h("h2", { id: "supervise-title" }, "Supervise"),
    h("div", { class: "roles", role: "group", "aria-label": "Your role in this call" },
      ...ROLES.map(([role, label, meaning]) => {
        const allowed = !own || own.allowed_roles.includes(role);
        return act([h("strong", {}, label), h("span", {}, meaning)], () => switchTo(role), {
          key: role, class: `role ${role}`, "aria-pressed": own?.state === "active" && own.role === role ? "true" : "false",
          disabled: !allowed || waits || own?.role === "takeover" || call.state !== "talking",
        });
      }),
      act([h("strong", {}, "Take over"), h("span", {}, "the call becomes yours")], async () => {
        await post(`/v1/supervisions/${own.id}/takeover`);
        refresh(call.id);
      }, { key: "takeover", class: "role takeover", disabled: own?.state !== "active" || own.role === "takeover" || !own.allowed_roles.includes("takeover"), "aria-pressed": own?.role === "takeover" ? "true" : "false" })),
    waits && h("p", { role: "status" }, phone.ready ? "Joining…" : "Your telephone rings: answer it."),
    own && own.role !== "takeover" && act("Leave the call", async () => {
      await remove(`/v1/supervisions/${own.id}`);
      refresh(call.id);
    }, { class: "leave" }),
    others(call));
}

function others(call) {
  const all = (house.supervisions.get(call.id) ?? []).filter((one) => one.supervisor !== me().person);
  if (!all.length) return null;
  return h("p", { class: "soft", key: "others" }, "Also here: ", list(all.map((one) => `${nameOf(one.supervisor)} (${COACHING[one.role].toLowerCase()})`)), ".");
}

// Who hears whoever is signed in. Supervisors have it from the table that governs the media. Agents have no table,
// which would show who listens; what they may know is who is in the call, on hold, and in their consult.
function ears(call, leg) {
  if (leg.muted || leg.hold === "held") return [];
  if (me().role !== "agent") {
    const rows = house.audio.get(call.id)?.ears;
    return rows?.filter((ear) => ear.mouths.some((mouth) => mouth.leg === leg.id)).map((ear) => ear.leg);
  }
  const consult = consultOf(call);
  const there = call.legs.filter((one) => one.id !== leg.id && one.presence === "talking" && one.hold === "none").map((one) => one.id);
  if (consult?.by_leg !== leg.id || consult.speak_to === "conference") return there;
  if (consult.state === "ringing") return [];
  const asked = { expert: [true, false], customer: [false, true], both: [true, true] }[consult.speak_to] ?? [false, false];
  return there.filter((one) => asked[one === consult.expert_leg ? 0 : 1]);
}

// The banner about it; nothing while they are in no call.
export function air() {
  for (const call of house.calls.values()) {
    const leg = myLeg(call);
    if (!leg || leg.presence !== "talking") continue;
    const hear = ears(call, leg);
    if (!hear) continue;
    const customer = hear.some((ear) => call.legs.find((one) => one.id === ear)?.role === "customer");
    const names = list(hear.map((ear) => legName(call, ear)));
    const kind = !hear.length ? "unheard" : !customer ? "private" : leg.role === "supervisor" ? "open" : "usual";
    const text = leg.muted ? "You are muted: nobody hears you"
      : !hear.length ? "Nobody hears you"
      : `${names.charAt(0).toUpperCase()}${names.slice(1)} ${hear.length > 1 ? "hear" : "hears"} you${customer || leg.role !== "supervisor" ? "" : ", the customer does not"}`;
    return [h("p", { class: `air ${kind}`, "data-role": leg.coaching ?? leg.role }, h("span", { class: "lamp", "aria-hidden": "true" }), h("strong", {}, text),
      leg.coaching && h("span", {}, ` · ${COACHING[leg.coaching]}`),
      h("a", { href: `#/calls/${call.id}` }, "Show the call"))];
  }
  return [];
}
