// What the API's words are called on the screen.

export const ROLES = {
  agent: "Agent", supervisor: "Supervisor", tenant_admin: "Administrator", customer: "Customer", expert: "Expert",
  unassigned: "Caller", integration: "Software", operator: "Operator",
};

export const COACHING = { monitor: "Listening", whisper: "Whispering", barge: "In the call", takeover: "Has taken over" };

const EVENTS = {
  "call.initiated": "Call began", "call.ringing": "Ringing", "call.answered": "Answered", "call.bridged": "Connected",
  "call.attempt_failed": "Attempt failed", "call.held": "On hold", "call.resumed": "Off hold", "call.ended": "Ended",
  "call.emergency": "Emergency call",
  "supervision.requested": "Supervisor asked to join", "supervision.started": "Supervisor joined",
  "supervision.role_changed": "Supervisor changed role", "supervision.ended": "Supervisor left",
  "supervision.denied": "Supervision refused",
  "consult.card": "Card shown to the expert", "transfer.card": "Card shown to the target",
  "consult.requested": "Consult began", "consult.preflight": "Prerequisites checked", "consult.dialing": "Expert rung",
  "consult.fell_back": "Next expert rung", "consult.attempt_failed": "Expert not reached",
  "consult.answered": "Expert answered", "consult.speak_to_changed": "Consult switched",
  "consult.completed": "Handed over to the expert", "consult.failed": "Consult failed", "consult.ended": "Consult over",
  "transfer.preflight": "Prerequisites checked", "transfer.started": "Transfer began", "transfer.progress": "Target rings", "transfer.completed": "Transferred",
  "transfer.failed": "Transfer failed", "transfer.rolled_back": "Transfer called off",
  "leg.offered": "Rings in the browser", "leg.ended": "Browser's leg ended", "leg.quality": "Media figures",
  "leg.media_missing": "No sound comes", "leg.media_back": "Sound comes again",
};

export function eventName(type) {
  return EVENTS[type] ?? type.replace(/[._]/g, " ");
}

// What an event says, in a few words.
export function eventDetail({ type, data }, nameOf) {
  const said = [];
  if (data.person || data.role) said.push(data.person ? nameOf(data.person) : (ROLES[data.role] ?? data.role));
  if (data.supervisor) said.push(nameOf(data.supervisor));
  if (data.from && data.to && type !== "consult.speak_to_changed") said.push(`${data.from} → ${data.to}`);
  else if (data.to) said.push(`to ${data.to}`);
  if (data.cause) said.push(sentence(data.cause));
  if (data.detail) said.push(data.detail);
  if (type === "leg.quality") {
    said.push(...[
      ["loss", data.packets_lost, ""], ["jitter", data.jitter_ms, " ms"], ["round trip", data.round_trip_ms, " ms"], ["MOS", data.mos, ""],
    ].filter(([, value]) => value !== null && value !== undefined).map(([name, value, unit]) => `${name} ${round(value)}${unit}`));
  }
  return said.join(", ");
}

export function sentence(word) {
  const text = String(word ?? "").replace(/_/g, " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function round(value) {
  return Math.round(value * 10) / 10;
}

// How long ago, as a clock: 0:07, 12:30, 1:02:03.
export function since(time, now = Date.now()) {
  const seconds = Math.max(0, Math.floor((now - Date.parse(time)) / 1000));
  const two = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

export function clock(time) {
  return new Date(time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

export function day(time) {
  return new Date(time).toLocaleDateString([], { year: "numeric", month: "short", day: "numeric" });
}

// "Alice", "Alice and Bob", "Alice, Bob and Carol".
export function list(names) {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}
