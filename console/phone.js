// The telephone in this browser: a WebRTC leg, its devices and how loud it is.

import { me, patch, post, remove } from "./api.js";
import { act, h, note } from "./dom.js";
import { changed, house, onEvent } from "./house.js";

// How long a click that makes the own telephone ring also answers it.
const EXPECTED_FOR = 30_000;
const DEVICES = "sidetone-devices";

export const phone = {
  // "off", "starting", "ready", or why it cannot be used.
  state: "off",
  get ready() { return phone.state === "ready"; },
  microphones: [],
  loudspeakers: [],
  chosen: readChoice(),
  // The call in this browser: peer connection, leg, and where it stands.
  line: null,
};

let microphone = null;
let sounds = null;
let expected = 0;
const listeners = new Set();
export const onPhone = (listener) => listeners.add(listener);
const tell = () => listeners.forEach((listener) => listener());

export function startPhone() {}

export function stopPhone() {
  hangUp();
  microphone?.getTracks().forEach((track) => track.stop());
  microphone = null;
  phone.state = "off";
}

async function switchOn() {
  phone.state = "starting";
  tell();
  try {
    await openMicrophone();
    await lookAtDevices();
    phone.state = "ready";
  } catch (error) {
    phone.state = "off";
    const refused = { NotAllowedError: "The browser was not allowed to use the microphone.", NotFoundError: "There is no microphone." };
    note(refused[error.name] ?? error.message, "bad");
  }
  tell();
}

async function openMicrophone() {
  const wanted = phone.chosen.microphone ? { deviceId: { exact: phone.chosen.microphone } } : {};
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
  phone.mouth = listen(stream);
}

async function lookAtDevices() {
  const all = await navigator.mediaDevices.enumerateDevices();
  phone.microphones = all.filter((one) => one.kind === "audioinput");
  phone.loudspeakers = all.filter((one) => one.kind === "audiooutput");
}

// A level in dBFS whenever it is asked for.
function listen(stream) {
  const source = sounds.createMediaStreamSource(stream);
  const analyser = new AnalyserNode(sounds, { fftSize: 2048 });
  source.connect(analyser);
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

// Says that a ring of the own telephone is wanted, so that it need not be answered.
export async function expectCall() {
  expected = Date.now() + EXPECTED_FOR;
}

onEvent(() => answerExpected());

function answerExpected() {
  if (!phone.ready || phone.line || Date.now() > expected) return;
  const found = ringing();
  if (!found) return;
  expected = 0;
  answer(found.leg.id).catch((problem) => note(problem.message, "bad"));
}

// The leg that rings for whoever is signed in.
function ringing() {
  for (const call of house.calls.values()) {
    const leg = call.legs.find((one) => one.person && one.person === me()?.person && one.presence === "ringing");
    if (leg) return { call, leg };
  }
  return null;
}

const answer = (leg) => dial({ leg });
export const placeCall = (to) => dial({ to });

// Offers, asks the gateway, and takes its answer.
async function dial(whom) {
  if (phone.line) throw new Error("This browser is in a call already.");
  const peer = new RTCPeerConnection();
  const line = { peer, at: null, state: "connecting", waiting: [] };
  phone.line = line;
  tell();
  try {
    for (const track of microphone.getAudioTracks()) peer.addTrack(track, microphone);
    peer.ontrack = ({ track }) => hearing(line, new MediaStream([track]));
    peer.onicecandidate = ({ candidate }) => trickle(line, candidate);
    peer.onconnectionstatechange = () => moved(line);
    await peer.setLocalDescription();
    const made = await post("/v1/legs/webrtc", { sdp: peer.localDescription.sdp, ...whom });
    line.leg = made.leg;
    line.at = made.location ?? `/v1/legs/webrtc/${made.leg}`;
    await peer.setRemoteDescription({ type: "answer", sdp: made.sdp });
    for (const candidate of line.waiting.splice(0)) trickle(line, candidate);
  } catch (problem) {
    end(line);
    throw problem;
  }
}

function trickle(line, candidate) {
  if (!candidate?.candidate) return;
  if (!line.at) line.waiting.push(candidate);
  else patch(line.at, { candidate: candidate.candidate, sdp_mid: candidate.sdpMid }).catch(() => {});
}

function hearing(line, stream) {
  const earpiece = document.getElementById("earpiece");
  earpiece.srcObject = stream;
  if (phone.chosen.loudspeaker) earpiece.setSinkId?.(phone.chosen.loudspeaker).catch(() => {});
  earpiece.play().catch(() => note("The browser does not let sound out before you click something.", "bad"));
  line.ear = listen(stream);
}

function moved(line) {
  line.state = line.peer.connectionState;
  if (["failed", "closed"].includes(line.state)) end(line);
  tell();
}

export async function hangUp() {
  const line = phone.line;
  if (!line) return;
  end(line);
  if (line.at) await remove(line.at).catch(() => {});
}

function end(line) {
  line.peer.close();
  if (phone.line === line) phone.line = null;
  document.getElementById("earpiece").srcObject = null;
  tell();
}

// The leg is gone when its call does not have it any more.
onEvent((event) => {
  if (event.type === "call.ended" && phone.line?.leg && event.data) changed();
});

export function phonePanel() {
  if (!me()?.person) return null;
  const found = ringing();
  return h("section", { class: `card phone${found ? " rings" : ""}`, key: "phone", "aria-label": "Your telephone" },
    found && phone.ready && !phone.line ? incoming(found) : null,
    phone.line ? inCall() : null,
    !phone.ready && h("div", { class: "row" },
      h("span", { class: "grow soft" }, "Calls ring at your telephone."),
      act(phone.state === "starting" ? "One moment…" : "Use this browser as my telephone", switchOn, { disabled: phone.state === "starting" })),
    phone.ready && devices());
}

function incoming({ call, leg }) {
  return h("div", { class: "row", key: "incoming", role: "alert" },
    h("strong", { class: "grow" }, `${leg.role === "supervisor" ? "Joining the call from" : "Call from"} ${call.from}`),
    act("Answer", () => answer(leg.id), { class: "primary" }),
    act("Decline", () => post(`/v1/calls/${call.id}/legs/${leg.id}/hangup`), { class: "danger" }));
}

function inCall() {
  const words = { connecting: "Connecting…", new: "Connecting…", connected: "In a call", disconnected: "The network is away…" };
  return h("div", { class: "row", key: "in-call" },
    h("strong", { class: "grow", role: "status" }, words[phone.line.state] ?? phone.line.state),
    level("You hear", phone.line.ear), level("You say", phone.mouth),
    act("Hang up", hangUp, { class: "danger" }));
}

function level(name, ear) {
  const now = ear ? ear.level() : -100;
  const share = Math.max(0, Math.min(1, (now + 60) / 60));
  return h("span", { class: "row" }, h("span", { class: "soft" }, name), h("span", { class: "meter", role: "meter", "aria-label": name, "aria-valuemin": -60, "aria-valuemax": 0, "aria-valuenow": Math.round(Math.max(-60, now)), level: share }));
}

function devices() {
  const choose = (kind) => async (event) => {
    phone.chosen[kind] = event.target.value;
    localStorage.setItem(DEVICES, JSON.stringify(phone.chosen));
    if (kind === "microphone") await openMicrophone().catch((error) => note(error.message, "bad"));
    else await document.getElementById("earpiece").setSinkId?.(event.target.value).catch((error) => note(error.message, "bad"));
    tell();
  };
  const field = (kind, label, all) => h("label", { key: kind }, h("span", {}, label), h("select", { onchange: choose(kind) },
    ...all.map((one, n) => h("option", { value: one.deviceId, selected: one.deviceId === phone.chosen[kind] }, one.label || `${label} ${n + 1}`))));
  return h("details", { key: "devices" }, h("summary", {}, "This browser is your telephone · devices"),
    h("div", { class: "row" }, field("microphone", "Microphone", phone.microphones), field("loudspeaker", "Loudspeaker", phone.loudspeakers),
      act("Stop using this browser", async () => { stopPhone(); tell(); })));
}

function readChoice() {
  try {
    return JSON.parse(localStorage.getItem(DEVICES)) ?? {};
  } catch {
    return {};
  }
}
