// Who hears whom, as the media path does it now: a row for each ear, a column for each mouth.

import { me } from "./api.js";
import { h } from "./dom.js";
import { house, legName } from "./house.js";
import { ROLES, round } from "./words.js";

// Below this a meter shows nothing: the noise of a quiet room.
const FLOOR_DBFS = -60;

const PLANS = { silence: "hears nothing", ringback: "hears ringing", music: "hears music", relay: "one voice, unchanged", mix: "a mix" };

export function matrix(call) {
  const table = house.audio.get(call.id);
  const legs = call.legs.filter((leg) => ["talking", "waiting", "early"].includes(leg.presence));
  if (!table || !legs.length) return h("p", { class: "empty" }, "Nobody is connected yet.");
  return h("div", { class: "scroll" },
    h("table", { class: "matrix" },
      h("caption", { class: "unseen" }, "Rows are ears, columns are mouths."),
      h("thead", {}, h("tr", {}, h("td", {}, h("span", { class: "soft" }, "in the ear of")),
        ...legs.map((leg) => h("th", { scope: "col", key: leg.id }, who(call, leg))))),
      h("tbody", {}, ...legs.map((ear) => row(call, legs, ear, table.ears.find((one) => one.leg === ear.id))))));
}

function row(call, legs, ear, heard) {
  return h("tr", { key: ear.id },
    h("th", { scope: "row" }, who(call, ear), h("span", { class: "plan" }, PLANS[heard?.plan] ?? "hears nothing")),
    ...legs.map((mouth) => {
      if (mouth.id === ear.id) return h("td", { class: "self", key: mouth.id }, h("span", { "aria-hidden": "true" }, "·"));
      const found = heard?.mouths.find((one) => one.leg === mouth.id);
      return h("td", { key: mouth.id, class: found ? "hears" : "deaf" },
        found ? [h("span", { class: "mark" }, "hears"), meter(found.level_dbfs)] : h("span", { class: "mark" }, "–", h("span", { class: "unseen" }, " does not hear")));
    }));
}

function who(call, leg) {
  const mine = leg.person && leg.person === me().person;
  const name = mine ? "You" : leg.person ? legName(call, leg.id) : null;
  return h("span", {}, h("strong", {}, name ?? ROLES[leg.role]), name && h("span", { class: "soft" }, ` ${ROLES[leg.role]}`));
}

// How loud a mouth is. One that is only relayed is never decoded, so its level is not known.
function meter(level) {
  if (level === undefined) return h("span", { class: "meter unknown", title: "relayed without being decoded: not measured" });
  const share = Math.max(0, Math.min(1, (level - FLOOR_DBFS) / -FLOOR_DBFS));
  return h("span", { class: "meter", role: "meter", "aria-label": "level", "aria-valuemin": FLOOR_DBFS, "aria-valuemax": 0, "aria-valuenow": Math.round(level), level: share, title: `${round(level)} dBFS` });
}
