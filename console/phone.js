// The telephone in this browser: a WebRTC leg, its devices, and how loud it is. For people whose calls ring in a browser.

import { me, post, remove, send } from "./api.js";
import { cardOf, cardView } from "./card.js";
import { act, h, note } from "./dom.js";
import { changed, house, onEvent, person, setReady } from "./house.js";

// How long a click that makes the own telephone ring also answers it.
const EXPECTED_FOR = 30_000;
const DEVICES = "sidetone-devices";
const FLOOR_DBFS = -60;

export const phone = {
  // "off", "starting" or "ready".
  state: "off",
  get ready() { return phone.state === "ready"; },
  microphones: [],
  loudspeakers: [],
  chosen: readChoice(),
  // The call in this browser: its peer connection, its leg, where it stands, and how to hear how loud it is.
  line: null,
  // What the microphone hears.
  mouth: null,
};

let microphone = null;
let sounds = null;
let expected = 0;
// Legs that ring here, with what was said of them.
const offers = new Map();
const listeners = new Set();
export const onPhone = (listener) => listeners.add(listener);
const tell = () => listeners.forEach((listener) => listener());

async function switchOn() {
  phone.state = "starting";
  tell();
  try {
    if (!navigator.mediaDevices) throw new Error("Over http the browser gives no page a microphone: open the console over https.");
    await openMicrophone();
    await lookAtDevices();
    await setReady(true);
    phone.state = "ready";
  } catch (error) {
    phone.state = "off";
    const refused = { NotAllowedError: "The browser was not allowed to use the microphone.", NotFoundError: "There is no microphone." };
    note(refused[error.name] ?? error.message, "bad");
  }
  tell();
}

// Which devices there are is known once the page may use one; what is plugged in later is there, too.
async function lookAtDevices() {
  const all = await navigator.mediaDevices.enumerateDevices();
  phone.microphones = all.filter((one) => one.kind === "audioinput");
  phone.loudspeakers = all.filter((one) => one.kind === "audiooutput");
  tell();
}

navigator.mediaDevices?.addEventListener("devicechange", () => phone.ready && lookAtDevices().catch(() => {}));

export function stopPhone() {
  hangUp();
  setReady(false);
  microphone?.getTracks().forEach((track) => track.stop());
  microphone = null;
  phone.state = "off";
  phone.mouth = null;
  offers.clear();
  tell();
}

async function openMicrophone() {
  const wanted = phone.chosen.microphone ? { deviceId: { exact: phone.chosen.microphone } } : true;
  const stream = await navigator.mediaDevices.getUserMedia({ audio: wanted }).catch((error) => {
    // The device of last time may be gone.
    if (error.name !== "OverconstrainedError") throw error;
    return navigator.mediaDevices.getUserMedia({ audio: true });
  });
  microphone?.getTracks().forEach((track) => track.stop());
  microphone = stream;
  const [track] = stream.getAudioTracks();
  await phone.line?.peer.getSenders().find((sender) => sender.track?.kind === "audio")?.replaceTrack(track);
  sounds ??= new AudioContext();
  await sounds.resume();
  phone.mouth = listenTo(stream);
}

// How loud something is, in dBFS, whenever it is asked.
function listenTo(stream) {
  const analyser = new AnalyserNode(sounds, { fftSize: 2048 });
  sounds.createMediaStreamSource(stream).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  return {
    analyser,
    level() {
      analyser.getFloatTimeDomainData(samples);
      const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
      return 10 * Math.log10(power + 1e-12);
    },
  };
}

// Says that a ring of the own telephone is wanted, so that it is answered without another click. Whose telephone is the
// browser has it switched on by the same click.
export async function expectCall() {
  if (person(me()?.person)?.browser && !phone.ready) {
    await switchOn();
    if (!phone.ready) throw new Error("Without a microphone this browser cannot join.");
  }
  expected = Date.now() + EXPECTED_FOR;
}

onEvent((event) => {
  const { leg, person: whose } = event.data;
  if (event.type === "leg.offered" && whose === me()?.person) {
    offers.set(leg, { ...event.data, call: event.subject });
    if (Date.now() < expected && !phone.line) {
      expected = 0;
      answer(leg).catch((problem) => note(problem.message, "bad"));
    }
    tell();
  } else if (event.type === "leg.ended" && whose === me()?.person) {
    offers.delete(leg);
    if (phone.line?.leg === leg) end(phone.line);
    tell();
  }
});

const answer = (leg) => {
  offers.delete(leg);
  return connect({ leg });
};
export const placeCall = (to) => connect({ to });

// Offers, asks the gateway, and takes its answer.
async function connect(whom) {
  if (phone.line) throw new Error("This browser is in a call already.");
  const line = { peer: new RTCPeerConnection(), state: "connecting" };
  phone.line = line;
  tell();
  try {
    for (const track of microphone.getAudioTracks()) line.peer.addTrack(track, microphone);
    line.peer.ontrack = ({ track }) => hear(line, new MediaStream([track]));
    line.peer.onconnectionstatechange = () => moved(line);
    await line.peer.setLocalDescription();
    const made = await post("/v1/legs/webrtc", { sdp: line.peer.localDescription.sdp, ...whom });
    line.leg = made.leg;
    // Over before it was answered: another browser or a hang-up was quicker.
    if (phone.line !== line) {
      await remove(`/v1/legs/webrtc/${line.leg}`);
      return;
    }
    line.peer.onicecandidate = ({ candidate }) => candidate?.candidate && trickle(line).catch(() => {});
    await line.peer.setRemoteDescription({ type: "answer", sdp: made.sdp });
  } catch (problem) {
    end(line);
    throw problem;
  }
}

// Tells the gateway our candidates, with the credentials in force (RFC 8840). Its own are all in its answer.
function trickle(line) {
  return send("PATCH", `/v1/legs/webrtc/${line.leg}`, fragment(line.peer.localDescription.sdp), "application/trickle-ice-sdpfrag");
}

function fragment(sdp) {
  const lines = sdp.split("\r\n");
  const first = (start) => lines.find((one) => one.startsWith(start));
  const kept = [first("a=ice-ufrag:"), first("a=ice-pwd:"), first("m="), first("a=mid:"), ...lines.filter((one) => one.startsWith("a=candidate:"))];
  return `${kept.filter(Boolean).join("\r\n")}\r\n`;
}

// The network changed: new credentials, and the call goes on meanwhile.
async function restart(line) {
  if (line.restarting || !line.leg) return;
  line.restarting = true;
  try {
    await line.peer.setLocalDescription(await line.peer.createOffer({ iceRestart: true }));
    const theirs = await trickle(line);
    const ice = theirs.split(/\r?\n/).filter((one) => /^a=(ice-ufrag|ice-pwd|candidate|end-of-candidates)/.test(one));
    const without = line.peer.remoteDescription.sdp.split("\r\n").filter((one) => one && !/^a=(ice-ufrag|ice-pwd|candidate|end-of-candidates)/.test(one));
    const at = without.findIndex((one) => one.startsWith("m=")) + 1;
    without.splice(at + (without[at]?.startsWith("c=") ? 1 : 0), 0, ...ice);
    await line.peer.setRemoteDescription({ type: "answer", sdp: `${without.join("\r\n")}\r\n` });
  } finally {
    line.restarting = false;
  }
}

addEventListener("online", () => phone.line && restart(phone.line).catch(() => {}));

function hear(line, stream) {
  const earpiece = document.getElementById("earpiece");
  earpiece.srcObject = stream;
  if (phone.chosen.loudspeaker) earpiece.setSinkId?.(phone.chosen.loudspeaker).catch(() => {});
  earpiece.play().catch(() => note("The browser lets no sound out before you click something.", "bad"));
  line.ear = listenTo(stream);
}

function moved(line) {
  line.state = line.peer.connectionState;
  if (line.state === "failed") restart(line).catch(() => end(line));
  if (line.state === "closed") end(line);
  tell();
}

export async function hangUp() {
  const line = phone.line;
  if (!line) return;
  end(line);
  if (line.leg) await remove(`/v1/legs/webrtc/${line.leg}`).catch(() => {});
}

function end(line) {
  line.peer.close();
  if (phone.line !== line) return;
  phone.line = null;
  document.getElementById("earpiece").srcObject = null;
  tell();
  changed();
}

export function phonePanel() {
  if (!person(me()?.person)?.browser) return null;
  const ringing = [...offers].filter(() => phone.ready && !phone.line);
  return h("section", { class: `card phone${ringing.length ? " rings" : ""}`, key: "phone", "aria-label": "Your telephone" },
    ...ringing.map(incoming),
    phone.line && inCall(),
    !phone.ready && h("div", { class: "row", key: "off" },
      h("span", { class: "grow" }, "No call reaches you yet: this browser is your telephone."),
      act(phone.state === "starting" ? "One moment…" : "Take calls here", switchOn, { class: "primary", disabled: phone.state === "starting" })),
    phone.ready && devices());
}

function incoming([leg, said]) {
  const from = said.from_name ?? said.from ?? "somebody who withholds their number";
  const what = said.role === "supervisor" ? `Join the call from ${from}` : said.role === "expert" ? `Asked to help with a call from ${from}` : `Call from ${from}`;
  return h("div", { class: "row", key: leg, role: "alert" },
    h("div", { class: "grow" }, h("strong", {}, what), cardView(cardOf(said.call, leg))),
    act("Answer", () => answer(leg), { class: "primary" }),
    act("Decline", async () => {
      offers.delete(leg);
      await remove(`/v1/legs/webrtc/${leg}`);
      tell();
    }, { class: "danger" }));
}

function inCall() {
  const words = { connecting: "Connecting…", new: "Connecting…", connected: "In a call", disconnected: "The network is away…" };
  return h("div", { class: "row", key: "in-call" },
    h("strong", { class: "grow", role: "status" }, words[phone.line.state] ?? phone.line.state),
    level("You hear", phone.line.ear), level("You say", phone.mouth),
    act("Hang up", hangUp, { class: "danger" }));
}

function level(name, ear) {
  const now = Math.max(FLOOR_DBFS, ear ? ear.level() : FLOOR_DBFS);
  return h("span", { class: "row" }, h("span", { class: "soft" }, name),
    h("span", { class: "meter", role: "meter", "aria-label": name, "aria-valuemin": FLOOR_DBFS, "aria-valuemax": 0, "aria-valuenow": Math.round(now), level: 1 - now / FLOOR_DBFS }));
}

function devices() {
  const choose = (kind) => async (event) => {
    phone.chosen[kind] = event.target.value;
    localStorage.setItem(DEVICES, JSON.stringify(phone.chosen));
    try {
      if (kind === "microphone") await openMicrophone();
      else await document.getElementById("earpiece").setSinkId?.(event.target.value);
    } catch (error) {
      note(error.message, "bad");
    }
    tell();
  };
  const field = (kind, label, all) => h("label", { key: kind }, h("span", {}, `${label} `), h("select", { onchange: choose(kind) },
    ...all.map((one, n) => h("option", { value: one.deviceId, selected: one.deviceId === phone.chosen[kind] }, one.label || `${label} ${n + 1}`))));
  return h("details", { key: "devices" }, h("summary", {}, "Calls ring in this browser · microphone and loudspeaker"),
    h("div", { class: "row" }, field("microphone", "Microphone", phone.microphones), field("loudspeaker", "Loudspeaker", phone.loudspeakers),
      act("Take no calls here", async () => stopPhone())));
}

function readChoice() {
  try {
    return JSON.parse(localStorage.getItem(DEVICES)) ?? {};
  } catch {
    return {};
  }
}
