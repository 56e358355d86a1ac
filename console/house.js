// What is known of the house: its people, its trunks, the live calls. Events say what to look at again; the API says
// how it is. So a lost event costs a moment and never a wrong picture for good.

import { get, me, renew, socket } from "./api.js";

const RETRY_FIRST = 500;
const RETRY_MAX = 10_000;
// Trunks and accounts are told to administrators only; the others look.
const LOOK_AGAIN = 15_000;

export const house = {
  // "connecting", "live" or "away".
  line: "connecting",
  overview: null,
  calls: new Map(),
  // By call: supervisions, table of who hears whom, timeline.
  supervisions: new Map(),
  audio: new Map(),
  timeline: new Map(),
};

const listeners = new Set();
const watchers = new Set();
let ws = null;
let seen = null;
let retry = RETRY_FIRST;
let timer = 0;
let looking = 0;
const stale = new Set();
// The latest look at each call that is under way.
const latest = new Map();
// Calls that ended of late: nothing is asked about them again.
const over = new Set();
const OVER_MAX = 200;
let ready = false;
let whenOpen = null;

// Called when something changed.
export const onChange = (listener) => listeners.add(listener);
// Called with every event.
export const onEvent = (watcher) => watchers.add(watcher);
export const changed = () => listeners.forEach((listener) => listener());

export const person = (id) => house.overview?.people.find((one) => one.id === id);
export const nameOf = (id) => person(id)?.name ?? id;

export async function open() {
  close();
  seen = null;
  connect();
  await everything();
  looking = setInterval(() => overview().then(changed, () => {}), LOOK_AGAIN);
}

export function close() {
  clearTimeout(timer);
  clearInterval(looking);
  const old = ws;
  ws = null;
  old?.close();
  for (const map of [house.calls, house.supervisions, house.audio, house.timeline, over]) map.clear();
  house.overview = null;
}

// Says whether calls may ring in this browser. The gateway knows it by the connection, so that is made anew; done when
// it stands.
export async function setReady(now) {
  if (ready === now) return;
  ready = now;
  if (!ws || !me()) return;
  const old = ws;
  clearTimeout(timer);
  const open = new Promise((resolve) => { whenOpen = resolve; });
  connect();
  old.close();
  await open;
}

function connect() {
  if (!me()) return;
  house.line = "connecting";
  const asked = new URLSearchParams();
  if (seen !== null) asked.set("after", seen);
  if (ready) asked.set("ready", "true");
  const mine = socket(`/v1/events/ws${asked.size ? `?${asked}` : ""}`);
  ws = mine;
  const resuming = seen !== null;
  mine.onopen = () => {
    retry = RETRY_FIRST;
    house.line = "live";
    whenOpen?.();
    // Where it went on from the number seen last, nothing was missed.
    if (!resuming) everything().catch(() => {});
    changed();
  };
  mine.onmessage = ({ data }) => hear(JSON.parse(data));
  mine.onclose = async ({ code }) => {
    if (ws !== mine) return;
    house.line = "away";
    changed();
    // 1008: the token is no longer good. Either it can be renewed, or this signs out.
    if (code === 1008) await renew().catch(() => {});
    timer = setTimeout(connect, retry * (0.75 + Math.random() / 2));
    retry = Math.min(retry * 2, RETRY_MAX);
  };
}

function hear(event) {
  if (event.type === "journal.gap") {
    everything().catch(() => {});
    return;
  }
  seen = Number(event.seq);
  const call = event.subject;
  if (call) {
    house.timeline.get(call)?.push(event);
    if (event.type === "call.ended") {
      over.add(call);
      if (over.size > OVER_MAX) over.delete(over.values().next().value);
      for (const map of [house.calls, house.supervisions, house.audio]) map.delete(call);
      changed();
    } else if (!over.has(call)) {
      refresh(call);
    }
  } else {
    overview().then(changed, () => {});
  }
  for (const watcher of watchers) watcher(event);
}

async function everything() {
  const [, { items }] = await Promise.all([overview(), get("/v1/calls")]);
  const joined = await Promise.all(items.map(supervisions));
  house.calls = new Map(items.map((call) => [call.id, call]));
  house.supervisions = new Map(items.map((call, n) => [call.id, joined[n]]));
  changed();
}

async function overview() {
  house.overview = await get("/v1/overview");
}

// Looks at a call again, once for all events of a moment.
export function refresh(call) {
  if (stale.has(call)) return;
  stale.add(call);
  queueMicrotask(async () => {
    // What comes from now on may be newer than the answer.
    stale.delete(call);
    const mine = Symbol(call);
    latest.set(call, mine);
    try {
      const fresh = await get(`/v1/calls/${call}`);
      const [joined, audio] = await Promise.all([supervisions(fresh), house.audio.has(call) ? get(`/v1/calls/${call}/audio`) : null]);
      // An answer that was overtaken says how it was.
      if (latest.get(call) !== mine || over.has(call)) return;
      house.calls.set(call, fresh);
      house.supervisions.set(call, joined);
      if (audio) house.audio.set(call, audio);
    } catch (problem) {
      if (problem.status === 404 || problem.status === 403) for (const map of [house.calls, house.supervisions, house.audio]) map.delete(call);
    }
    if (latest.get(call) === mine) latest.delete(call);
    changed();
  });
}

// Most calls have none, and the call says so. Agents are not told.
async function supervisions(call) {
  if (!call.supervisions.length || me()?.role === "agent") return [];
  return (await get(`/v1/calls/${call.id}/supervisions`)).items;
}

// Begins to look at who hears whom in a call. Agents are not told who listens, so they have no table.
export async function lookAtAudio(call) {
  if (me()?.role === "agent") return;
  house.audio.set(call, await get(`/v1/calls/${call}/audio`));
}

// Everything a call has been through.
export async function lookAtTimeline(call) {
  const { items } = await get(`/v1/calls/${call}/timeline`);
  house.timeline.set(call, items);
  changed();
}

// The leg of whoever is signed in, in this call.
export const myLeg = (call) => call?.legs.find((leg) => leg.person && leg.person === me()?.person);
// Who a leg is, for people.
export function legName(call, id) {
  const leg = call?.legs.find((one) => one.id === id);
  if (!leg) return "someone";
  if (leg.person) return nameOf(leg.person);
  return leg.role === "customer" ? "the customer" : leg.role === "expert" ? "the expert" : "someone";
}
