// The context card: what an expert is told of the matter before they answer.

import { me } from "./api.js";
import { h } from "./dom.js";
import { house, onEvent } from "./house.js";

const KEPT_MAX = 50;

// By leg, as it was told.
const cards = new Map();

onEvent((event) => {
  if (!["consult.card", "transfer.card"].includes(event.type) || event.data.person !== me()?.person) return;
  cards.set(event.data.leg, event.data);
  if (cards.size > KEPT_MAX) cards.delete(cards.keys().next().value);
});

// The card of a leg of this call; after a reload it is known from what happened.
export function cardOf(call, leg) {
  const told = (house.timeline.get(call) ?? []).findLast?.((event) => event.type.endsWith(".card") && event.data.leg === leg);
  return cards.get(leg) ?? told?.data;
}

export function cardView(card) {
  if (!card?.fields?.length && !card?.link) return null;
  const link = card.link && address(card.link);
  return h("dl", { class: "matter", key: `card-${card.leg}` },
    ...card.fields.flatMap((field) => [h("dt", {}, field.label ?? field.name), h("dd", {}, String(field.value))]),
    link && [h("dt", {}, "Record"), h("dd", {}, h("a", { href: link, target: "_blank", rel: "noopener noreferrer" }, link))]);
}

// A link is followed only where it leads to a page: others could be scripts.
function address(text) {
  try {
    const url = new URL(text);
    return ["http:", "https:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}
