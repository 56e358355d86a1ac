// What a page owes to people who do not see it, or not well. Returns every fault in words. `tests/console/access.rs` runs it.
const faults = [];
const called = (element) => element.tagName.toLowerCase() + (element.className && typeof element.className === "string" ? "." + element.className.trim().replace(/\s+/g, ".") : "");
const shown = (element) => element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }) && element.getClientRects().length > 0;

// Everything that can be operated has a name.
for (const control of document.querySelectorAll("button, a[href], input, select, summary, [role=button]")) {
  if (!shown(control)) continue;
  const label = control.labels?.length ? [...control.labels].map((one) => one.innerText).join(" ") : "";
  const name = control.getAttribute("aria-label") || label || control.innerText || control.title;
  if (!name || !name.trim()) faults.push(`${called(control)} has no name`);
  if (control.tabIndex < 0 && !control.disabled) faults.push(`${called(control)} is out of the keyboard's reach`);
  const { width, height } = control.getBoundingClientRect();
  // WCAG 2.2, 2.5.8: targets of 24 by 24, but for links in a line of text.
  if (control.tagName === "BUTTON" && (width < 24 || height < 24)) faults.push(`${called(control)} is too small: ${width} by ${height}`);
}

// Ids are one of a kind, and what refers to one finds it.
const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
for (const id of new Set(ids)) if (ids.filter((one) => one === id).length > 1) faults.push(`the id ${id} is there twice`);
for (const one of document.querySelectorAll("[aria-labelledby], label[for]")) {
  const id = one.getAttribute("aria-labelledby") ?? one.getAttribute("for");
  if (!document.getElementById(id)) faults.push(`${called(one)} refers to ${id}, which is not there`);
}

// The outline of the page: one main heading, none skipped; a language; landmarks.
const levels = [...document.querySelectorAll("h1, h2, h3")].filter(shown).map((one) => Number(one.tagName[1]));
if (levels.filter((level) => level === 1).length !== 1) faults.push(`${levels.filter((level) => level === 1).length} main headings`);
if (levels.some((level, n) => n && level - levels[n - 1] > 1)) faults.push("a heading is skipped");
if (!document.documentElement.lang) faults.push("the language is not said");
if (document.querySelectorAll("main").length !== 1) faults.push("not one main landmark");
for (const th of document.querySelectorAll("th")) if (!th.scope) faults.push("a heading of a table without a scope");

// WCAG 2.1, 1.4.3: text reaches 4.5 to 1 on what it stands on, large text 3 to 1.
const parse = (colour) => {
  const canvas = (parse.canvas ??= Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true }));
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
};
const over = ([r, g, b, a], ground) => [r, g, b].map((value, n) => (value * a + ground[n] * (255 - a)) / 255);
const brightness = (colour) => {
  const [r, g, b] = colour.map((value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (element) => {
  const layers = [];
  for (let at = element; at; at = at.parentElement) {
    const colour = parse(getComputedStyle(at).backgroundColor);
    layers.push(colour);
    if (colour[3] === 255) break;
  }
  return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const worst = new Map();
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !shown(element) || element.closest(".unseen, .skip, script, :disabled, option")) continue;
  const style = getComputedStyle(element);
  const below = ground(element);
  const [one, other] = [brightness(over(parse(style.color), below)), brightness(below)].sort((a, b) => b - a);
  const ratio = (one + 0.05) / (other + 0.05);
  const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
  if (ratio < (large ? 3 : 4.5)) worst.set(called(element), `${called(element)} "${walker.currentNode.data.trim().slice(0, 30)}": contrast ${ratio.toFixed(2)}`);
}
faults.push(...worst.values());
return faults;
