// Elements from plain functions, and the least change that turns what is shown into what should be. A view is a
// function from state to elements; `show` keeps the ones that are there, and with them focus, selection and scroll.

// An element. Properties that begin with `on` are listeners, `class` and the rest are attributes; null and false are
// left out. Children are elements, texts, or lists of them. A `key` tells siblings apart when their order changes.
export function h(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element[name.toLowerCase()] = value;
    else if (name === "value") { element.value = value; element.setAttribute("value", value); }
    else if (name === "level") element.style.setProperty("--level", value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// Makes the children of `parent` what `wanted` says.
export function show(parent, ...wanted) {
  alignChildren(parent, wanted.flat(3).filter(Boolean).map(asNode));
}

function asNode(child) {
  return child instanceof Node ? child : document.createTextNode(String(child));
}

const LISTENERS = ["onclick", "onsubmit", "oninput", "onchange", "onkeydown", "onpointerdown", "onpointerup"];

function alignChildren(parent, wanted) {
  const keyed = new Map();
  for (const child of parent.childNodes) {
    const key = keyOf(child);
    if (key) keyed.set(key, child);
  }
  let at = parent.firstChild;
  for (const fresh of wanted) {
    const key = keyOf(fresh);
    const known = key ? keyed.get(key) : at && !keyOf(at) ? at : null;
    if (known && sameKind(known, fresh)) {
      if (known === at) at = at.nextSibling;
      else parent.insertBefore(known, at);
      align(known, fresh);
    } else {
      parent.insertBefore(fresh, at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function keyOf(node) {
  return node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("key") : null;
}

function sameKind(known, fresh) {
  return known.nodeType === fresh.nodeType && known.nodeName === fresh.nodeName;
}

function align(known, fresh) {
  if (known.nodeType === Node.TEXT_NODE) {
    if (known.data !== fresh.data) known.data = fresh.data;
    return;
  }
  // The style attribute is what `level` set; the policy allows it through the object only.
  for (const { name } of [...known.attributes]) {
    if (!fresh.hasAttribute(name) && name !== "style" && name !== "open") known.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (name !== "style" && name !== "open" && known.getAttribute(name) !== value) known.setAttribute(name, value);
  }
  const level = fresh.style?.getPropertyValue("--level");
  if (level) known.style.setProperty("--level", level);
  for (const listener of LISTENERS) known[listener] = fresh[listener];
  // What somebody is typing is theirs.
  if (known.tagName === "TEXTAREA" || (known.tagName === "INPUT" && known !== document.activeElement)) {
    if (fresh.hasAttribute("value") && known.value !== fresh.value) known.value = fresh.value;
  }
  alignChildren(known, [...fresh.childNodes]);
  if (known.tagName === "SELECT" && known !== document.activeElement && fresh.value) known.value = fresh.value;
}

// A note for everybody, read out by screen readers, that goes by itself. Bad news stays until it is closed.
export function note(text, kind = "info") {
  const place = document.getElementById("notes");
  const close = h("button", { type: "button", class: "quiet", "aria-label": "Close this notice", onclick: () => shown.remove() }, "×");
  const shown = h("p", { class: `note ${kind}` }, h("span", {}, text), close);
  place.append(shown);
  while (place.children.length > 4) place.firstChild.remove();
  if (kind !== "bad") setTimeout(() => shown.remove(), 6000);
}

// A button that does something which may be refused; the refusal is told.
export function act(label, does, properties = {}) {
  const onclick = async (event) => {
    const button = event.currentTarget;
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-busy", "true");
    try {
      await does(event);
    } catch (problem) {
      note(problem.message, "bad");
    } finally {
      button.removeAttribute("aria-busy");
    }
  };
  return h("button", { type: "button", ...properties, onclick }, label);
}

// A button that copies a text.
export function copyButton(text, what) {
  const copy = async () => {
    // Browsers give a page the clipboard, as the microphone, over https or from this machine only.
    if (!navigator.clipboard) throw new Error("Over http the browser lets no page copy: mark the text and copy it.");
    await navigator.clipboard.writeText(text);
    note(`Copied: ${what}`);
  };
  return act("Copy", copy, { class: "small", "aria-label": `Copy ${what}` });
}
