// Placing a call, and the keypad.

import { post } from "./api.js";
import { act, h, note } from "./dom.js";
import { house } from "./house.js";
import { expectCall, phone, placeCall } from "./phone.js";

const KEYS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "0", "#"];

export function dialForm() {
  const submit = async (event) => {
    event.preventDefault();
    const to = new FormData(event.target).get("to").trim();
    try {
      if (phone.ready) {
        await placeCall(to);
      } else {
        await expectCall();
        await post("/v1/calls", { to });
        note("Your telephone rings; answer it, and the number is dialled.");
      }
      event.target.reset();
    } catch (problem) {
      note(problem.message, "bad");
    }
  };
  return h("section", { class: "card", key: "dial", "aria-labelledby": "dial-title" },
    h("h2", { id: "dial-title" }, "Call somebody"),
    h("form", { class: "row", onsubmit: submit },
      h("label", { for: "to", class: "unseen" }, "Number or colleague"),
      h("input", { id: "to", name: "to", type: "text", inputmode: "tel", required: true, maxlength: 128, placeholder: "+15550100", autocomplete: "off", list: "colleagues" }),
      h("button", { type: "submit", class: "primary" }, "Call")));
}

// Names to choose from, for every field that takes a person.
export function colleagues() {
  return h("datalist", { id: "colleagues" }, ...(house.overview?.people ?? []).map((one) => h("option", { key: one.id, value: one.id }, one.name)));
}

// Twelve keys; the digits of the computer's keyboard work as well while one has the focus.
export function keypad(send) {
  const press = (digit) => send(digit);
  const typed = (event) => {
    if (!KEYS.includes(event.key)) return;
    event.preventDefault();
    press(event.key).catch((problem) => note(problem.message, "bad"));
  };
  return h("details", { class: "keypad" }, h("summary", {}, "Keypad"),
    h("div", { class: "keys", role: "group", "aria-label": "Send a tone to the customer", onkeydown: typed },
      ...KEYS.map((digit) => act(digit, () => press(digit), { key: digit, "aria-label": { "*": "star", "#": "hash" }[digit] ?? digit }))));
}
