// For whoever has no session: paste the link or its code.

import { signIn } from "./api.js";
import { h, note } from "./dom.js";

export function signInView() {
  const submit = async (event) => {
    event.preventDefault();
    const given = new FormData(event.target).get("code").trim();
    try {
      await signIn(given.replace(/^.*#sign-in=/, ""));
    } catch (problem) {
      note(problem.message, "bad");
    }
  };
  return h("section", { class: "card narrow", key: "sign-in" },
    h("h1", {}, "Sign in"),
    h("p", {}, "Open the sign-in link that you were given, or paste it here. A link works once and for ten minutes."),
    h("form", { onsubmit: submit },
      h("label", { for: "code" }, "Sign-in link or code"),
      h("input", { id: "code", name: "code", type: "text", required: true, autocomplete: "off", spellcheck: "false" }),
      h("button", { type: "submit", class: "primary" }, "Sign in")),
    h("details", {}, h("summary", {}, "Where do I get one?"),
      h("p", {}, "From whoever runs this gateway. An administrator or your contact-centre software makes one with ",
        h("code", {}, "POST /v1/sign-ins"), "; ", h("code", {}, "sidetone demo --keep"), " prints some.")));
}
