// The frame around the views: who is signed in, which view is asked for, and drawing when something changed.

import { me, onSession, resume, signIn, signOut } from "./api.js";
import { colleagues } from "./dial.js";
import { act, h, note, show } from "./dom.js";
import { close, house, lookAtAudio, lookAtTimeline, myLeg, onChange, open, refresh } from "./house.js";
import { callView } from "./call.js";
import { air } from "./supervise.js";
import { onPhone, phonePanel, stopPhone } from "./phone.js";
import { signInView } from "./signin.js";
import { wallboard } from "./wallboard.js";
import { ROLES } from "./words.js";

// Levels move; twice a second is lively enough and costs the gateway little.
const LEVELS_EVERY = 500;
const CLOCKS_EVERY = 1000;
const QUALITY_EVERY = 5000;

const content = document.getElementById("content");
let drawing = false;
let opened = null;
let shownCall = null;

function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    const who = me();
    show(document.getElementById("top"), ...(who ? top(who) : []));
    const banner = who ? air() : [];
    show(document.getElementById("air"), ...banner);
    if (!who) {
      show(content, signInView());
      document.title = "Sign in · Sidetone";
      return;
    }
    const call = callAsked();
    // The tab says who hears, too.
    const heard = banner[0]?.querySelector("strong").textContent;
    document.title = `${heard ?? (call ? "Call" : "Wallboard")} · Sidetone`;
    show(content, phonePanel(), call ? callView(call) : wallboard(), colleagues());
  });
}

function callAsked() {
  const [, id] = location.hash.match(/^#\/calls\/(call_[0-9a-f]+)$/) ?? [];
  return id ?? null;
}

function top(who) {
  const lines = { live: ["live", "Live"], connecting: ["wait", "Connecting…"], away: ["down", "No connection, trying again"] };
  const [kind, text] = lines[house.line];
  return [
    h("a", { class: "brand", href: "#/" }, h("span", { class: "mark", "aria-hidden": "true" }), "Sidetone"),
    h("nav", { "aria-label": "Views" },
      h("a", { href: "#/", "aria-current": callAsked() ? null : "page" }, "Wallboard"),
      ...[...house.calls.values()].filter(myLeg).map((call) =>
        h("a", { key: call.id, href: `#/calls/${call.id}`, "aria-current": callAsked() === call.id ? "page" : null }, "My call"))),
    h("span", { class: "grow" }),
    h("span", { class: `line ${kind}`, role: "status" }, h("span", { class: "dot", "aria-hidden": "true" }), text),
    h("button", { type: "button", class: "quiet", onclick: turnLights, "aria-label": "Change between light and dark" }, "◐"),
    h("span", { class: "who" }, h("strong", {}, who.name ?? who.person ?? who.tenant), " ", h("span", { class: "soft" }, ROLES[who.role] ?? who.role)),
    act("Sign out", signOut, { class: "quiet" }),
  ];
}

function turnLights() {
  const dark = document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  setLights(dark ? "light" : "dark");
}

function setLights(theme) {
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("sidetone-theme", theme);
}

async function route() {
  await useCode();
  const call = callAsked();
  if (call !== shownCall) {
    if (shownCall) for (const map of [house.audio, house.timeline]) map.delete(shownCall);
    shownCall = call;
    if (call && me()) {
      refresh(call);
      lookAtAudio(call).catch(() => {});
      lookAtTimeline(call).catch(() => {});
    }
    if (call !== null || opened) content.focus({ preventScroll: true });
  }
  draw();
}

// Whether a link signed somebody in. It carries its code after the #. It is taken out of the address at once, so that it is neither in the
// history nor in a bookmark.
async function useCode() {
  const [, code] = location.hash.match(/^#sign-in=(.+)$/) ?? [];
  if (!code) return false;
  history.replaceState(null, "", location.pathname);
  try {
    await signIn(code);
    return true;
  } catch (problem) {
    note(problem.message, "bad");
    return false;
  }
}

onSession((session) => {
  const name = session ? `${session.role}/${session.person}/${session.session?.id}` : null;
  if (name !== opened) {
    opened = name;
    if (session) {
      open().catch((problem) => note(problem.message, "bad"));
      shownCall = null;
      route();
    } else {
      stopPhone();
      close();
    }
  }
  draw();
});
onChange(draw);
onPhone(draw);
addEventListener("hashchange", route);
setInterval(() => me() && draw(), CLOCKS_EVERY);
// Events tell of a leg that sounds worse; how it sounds now is looked at.
setInterval(() => {
  if (me() && house.calls.has(shownCall) && document.visibilityState === "visible") refresh(shownCall);
}, QUALITY_EVERY);
setInterval(() => {
  // Whoever is in a call sees who hears them, whatever view is open.
  const mine = [...house.calls.values()].find(myLeg)?.id;
  for (const call of new Set([shownCall, mine])) {
    if (call && me() && house.calls.has(call) && document.visibilityState === "visible") lookAtAudio(call).then(draw, () => {});
  }
}, LEVELS_EVERY);

const kept = localStorage.getItem("sidetone-theme");
if (kept) document.documentElement.dataset.theme = kept;
if (!(await useCode())) await resume().catch((problem) => note(problem.message, "bad"));
await route();
