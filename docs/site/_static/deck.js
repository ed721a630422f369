// From slide to slide by keys and buttons; the lecturer's notes beneath the slide, or in a window of their own.

const deck = document.body, slides = [...document.querySelectorAll("main > section")];
let desk; // the lecturer's window
let began; // when the first slide was left

function current() {
  const far = slides.map((slide) => Math.abs(slide.getBoundingClientRect().top));
  return far.indexOf(Math.min(...far));
}

function go(to) {
  began ??= Date.now();
  slides[Math.max(0, Math.min(slides.length - 1, to))].scrollIntoView({ behavior: "instant" });
  tell();
}

const title = (slide) => slide?.querySelector("h1, h2").textContent ?? "the end";

// Where we are, here and in the lecturer's window.
function tell() {
  const at = current();
  where.textContent = `${at + 1} of ${slides.length}`;
  if (!desk || desk.closed) return;
  const main = desk.document.querySelector("main"), minutes = Math.floor((Date.now() - (began ?? Date.now())) / 60000);
  const heading = made(null, "h1", title(slides[at]));
  const state = made(null, "p", `Slide ${where.textContent}. Next: ${title(slides[at + 1])}. ${minutes} minutes since the first slide was left.`);
  main.replaceChildren(heading, desk.document.importNode(slides[at].querySelector(".note"), true), state);
}

// A window that shows no page of its own belongs to this one, so this works from a folder, too.
function openDesk() {
  desk = window.open("", "kdkit-notes", "width=900,height=700");
  if (!desk) return;
  const page = desk.document;
  page.documentElement.lang = "en";
  page.title = `Notes: ${document.title}`;
  page.head.replaceChildren(...[...document.querySelectorAll("link[rel=stylesheet]")].map((link) => Object.assign(page.createElement("link"), { rel: "stylesheet", href: link.href })));
  page.body.className = "deck desk";
  page.body.replaceChildren(page.createElement("main"));
  page.onkeydown = pressed;
  tell();
}

function made(parent, tag, words) {
  const element = document.createElement(tag);
  element.textContent = words;
  parent?.append(element);
  return element;
}

const next = () => go(current() + 1), back = () => go(current() - 1);
const notes = () => deck.classList.toggle("with-notes");
const fill = () => (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen());
const keys = {
  ArrowRight: next, ArrowDown: next, PageDown: next, " ": next, ArrowLeft: back, ArrowUp: back, PageUp: back,
  Home: () => go(0), End: () => go(slides.length - 1), n: notes, p: openDesk, f: fill,
};

// A panel's own controls keep their keys, but for those of a clicker; a panel that fills the screen keeps them all.
function pressed(event) {
  const act = keys[event.key], control = event.target.closest?.("input, select, button, a");
  if (!act || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (control && !event.key.startsWith("Page")) return;
  event.preventDefault();
  act();
}

const bar = document.body.appendChild(document.createElement("nav"));
bar.setAttribute("aria-label", "slides");
for (const [words, label, act] of [["‹", "back", back], ["›", "on", next], ["notes", "", notes], ["notes in a window", "", openDesk]]) {
  const button = made(bar, "button", words);
  if (label) button.setAttribute("aria-label", label);
  button.addEventListener("click", act);
}
const where = made(bar, "span", "");

document.addEventListener("keydown", pressed);
document.addEventListener("scroll", tell, { passive: true });
setInterval(tell, 15000);
tell();
