// The session and the way to the API. The token lives in this tab: in memory, and in sessionStorage so that a reload
// does not sign anybody out. It is a bearer token and no cookie, so no other page can use it by way of the browser, and
// two tabs can be two people.

const KEPT = "sidetone-session";
// Renewed when a third of its life is left.
const RENEW_AT = 2 / 3;

let session = read();
let renewal = 0;
const listeners = new Set();

// A refusal of the gateway (RFC 9457), or that it cannot be reached.
export class Problem extends Error {
  constructor(status, document) {
    super(document?.detail || document?.title || `the gateway answered ${status}`);
    this.status = status;
    this.code = document?.code ?? "unreachable";
    this.document = document;
  }
}

// Who is signed in; null when nobody is.
export const me = () => session;
export const onSession = (listener) => listeners.add(listener);

export async function signIn(code) {
  keep(await request("POST", "/v1/session", { code }, null));
}

export async function signOut() {
  try {
    await request("DELETE", "/v1/session");
  } finally {
    keep(null);
  }
}

// Takes the session of before a reload up again, if it is still good.
export async function resume() {
  if (!session) return;
  try {
    keep({ ...session, ...(await request("GET", "/v1/session")) });
    await renew();
  } catch (problem) {
    if (problem.status !== 401) throw problem;
  }
}

export async function renew() {
  if (session?.session) keep(await request("POST", "/v1/session/renew"));
}

export const get = (path) => request("GET", path);
export const post = (path, body) => request("POST", path, body);
export const patch = (path, body) => request("PATCH", path, body);
export const remove = (path) => request("DELETE", path);

// A WebSocket of the API: a page can say its token in the list of subprotocols only, and the gateway agrees on the
// other one.
export function socket(path) {
  const at = new URL(path, location.href);
  at.protocol = at.protocol === "https:" ? "wss:" : "ws:";
  return new WebSocket(at, ["sidetone", `bearer.${session.token}`]);
}

// Sends a text that is not JSON.
export const send = (method, path, text, kind) => exchange(method, path, text, kind, session?.token);

function request(method, path, body, token = session?.token) {
  return exchange(method, path, body === undefined ? undefined : JSON.stringify(body), "application/json", token);
}

async function exchange(method, path, body, kind, token) {
  const headers = {};
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = kind;
  let response;
  try {
    response = await fetch(path, { method, headers, body, credentials: "omit", cache: "no-store" });
  } catch {
    throw new Problem(0, { detail: "the gateway cannot be reached" });
  }
  const text = await response.text();
  const answer = text && (response.headers.get("content-type") ?? "").includes("json") ? JSON.parse(text) : text;
  if (response.ok) return answer;
  if (response.status === 401 && token && token === session?.token) keep(null);
  throw new Problem(response.status, answer);
}

function keep(next) {
  session = next;
  clearTimeout(renewal);
  if (next) {
    sessionStorage.setItem(KEPT, JSON.stringify(next));
    if (next.session) {
      const left = Date.parse(next.session.token_expires_at) - Date.now();
      renewal = setTimeout(() => renew().catch(again), Math.max(1000, left * RENEW_AT));
    }
  } else {
    sessionStorage.removeItem(KEPT);
  }
  for (const listener of listeners) listener(session);
}

// A gateway that was away for a moment is asked again; a session that is over has ended in `request` already.
function again(problem) {
  if (problem.status !== 401 && session) renewal = setTimeout(() => renew().catch(again), 5000);
}

function read() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT));
  } catch {
    return null;
  }
}
