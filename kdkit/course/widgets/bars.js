// Bars of softmax(logits / T) on a log scale, computed and drawn in the browser: no kernel is asked while a slider moves.
// The numbers are plain arithmetic in double precision; tests hold them against kdkit.losses at every stop. The
// sentences come from Python, one for each picture and stop.

// ------------------------------------------------------------------------------------------------ drawing

const FLOOR = -8; // the bars begin at 10^-8
const COLOURS = { label: "#E69F00", teacher: "#56B4E9", student: "#D55E00", line: "#000000" };
const SVG = "http://www.w3.org/2000/svg";
const LETTER = 0.62; // how wide a letter is, as a share of its height: wide enough for every usual font

function add(parent, name, attributes = {}, text) {
  const element = parent.appendChild(document.createElementNS(SVG, name));
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// Where things stand in a drawing `width` wide, whose letters are `em` high: names and numbers are turned where they
// would not fit beside each other.
function layout(width, em, classes, networks) {
  const left = 3.6 * em, step = (width - left) / classes.length, wide = (0.8 * step) / networks;
  const longest = Math.max(...classes.map((name) => name.length)) * LETTER * em;
  const turnNames = longest > step, turnNumbers = 5 * LETTER * em > wide;
  const top = em * (turnNumbers ? 5.6 : 3.4), bottom = turnNames ? 1.6 * em + 0.6 * longest : 2 * em;
  const height = Math.min(28 * em, Math.max(20 * em, 0.28 * width));
  return { width, em, left, step, wide, turnNames, turnNumbers, ground: height - bottom, full: height - top - bottom, height };
}

const high = (value, { full }) => (value > 0 ? Math.max(0, 1 - Math.log10(value) / FLOOR) * full : 0);

// Patterns say the same as colours: label hatched, student dotted.
function patterns(svg, id) {
  const hatch = add(add(svg, "defs"), "pattern", { id: `${id}-label`, width: 7, height: 7, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" });
  add(hatch, "rect", { width: 7, height: 7, fill: COLOURS.label });
  add(hatch, "line", { x1: 0, y1: 0, x2: 0, y2: 7, stroke: COLOURS.line, "stroke-width": 1.5 });
  const dots = add(svg.firstChild, "pattern", { id: `${id}-student`, width: 6, height: 6, patternUnits: "userSpaceOnUse" });
  add(dots, "rect", { width: 6, height: 6, fill: COLOURS.student });
  add(dots, "circle", { cx: 3, cy: 3, r: 1.3, fill: "#ffffff" });
}

function scale(svg, place) {
  for (let power = FLOOR; power <= 0; power++) {
    const y = place.ground - high(10 ** power, place);
    add(svg, "line", { class: "scale", x1: place.left, x2: place.width, y1: y, y2: y, stroke: "#cccccc" });
    if (power % 2 === 0) add(svg, "text", { x: place.left - 0.4 * place.em, y: y + 0.35 * place.em, "text-anchor": "end" }, String(power < -2 ? `1e${power}` : 10 ** power));
  }
}

function legend(svg, id, { em }, networks, labelled) {
  const entries = [["teacher", COLOURS.teacher]];
  if (labelled) entries.push([networks > 1 ? "teacher, the true class" : "the true class", `url(#${id}-label)`]);
  if (networks > 1) entries.push(["student", `url(#${id}-student)`]);
  let x = 1; // the border's width
  for (const [words, fill] of entries) {
    add(svg, "rect", { x, y: 1, width: em, height: em, fill, stroke: COLOURS.line });
    add(svg, "text", { x: x + 1.4 * em, y: 0.9 * em }, words);
    x += (2.8 + words.length * 0.5) * em; // all of them stand within the least width
  }
}

// The parts that move: one bar with its number for each class (and network).
function bars(svg, place, classes, networks) {
  return classes.map((name, k) => {
    const middle = place.left + place.step * (k + 0.5), below = place.ground + 1.2 * place.em;
    const turned = { transform: `translate(${middle + 0.3 * place.em} ${below}) rotate(-35)`, "text-anchor": "end" };
    add(svg, "text", place.turnNames ? turned : { x: middle, y: below, "text-anchor": "middle" }, name);
    return Array.from({ length: networks }, (_, n) => {
      const x = middle + (n - networks / 2) * place.wide;
      const bar = add(svg, "rect", { class: "bar", x, width: place.wide, stroke: COLOURS.line });
      return { bar, x: x + place.wide / 2, number: add(svg, "text", { class: "number" }) };
    });
  });
}

function raise({ bar, number, x }, value, fill, place) {
  const top = place.ground - high(value, place);
  bar.setAttribute("y", top);
  bar.setAttribute("height", place.ground - top);
  bar.setAttribute("fill", fill);
  number.textContent = short(value);
  number.setAttribute("text-anchor", place.turnNumbers ? "start" : "middle");
  number.setAttribute("transform", place.turnNumbers ? `translate(${x + 0.35 * place.em} ${top - 4}) rotate(-90)` : `translate(${x} ${top - 4})`);
}

let views = 0; // patterns need names of their own on a page with several views

// The drawing inside `holder`, as wide as that is, and a function that moves its bars.
function drawing(holder, classes, networks, labelled) {
  const id = `kdkit-bars-${views++}`, em = parseFloat(getComputedStyle(holder).fontSize);
  const place = layout(Math.max(29 * em, holder.clientWidth), em, classes, networks);
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({ role: "img", viewBox: `0 0 ${place.width} ${place.height}`, "font-size": em })) svg.setAttribute(key, value);
  svg.style.cssText = "display:block;width:100%";
  patterns(svg, id);
  scale(svg, place);
  legend(svg, id, place, networks, labelled);
  const parts = bars(svg, place, classes, networks);
  holder.replaceChildren(svg);
  const update = ({ t, s }, label) => {
    parts.forEach(([first, second], k) => {
      raise(first, t[k], k === label ? `url(#${id}-label)` : COLOURS.teacher, place);
      if (second) raise(second, s[k], `url(#${id}-student)`, place);
    });
  };
  return { svg, update };
}

// ------------------------------------------------------------------------------------------------ the view

function element(parent, tag, style, attributes = {}) {
  const made = parent.appendChild(document.createElement(tag));
  made.style.cssText = style;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// Buttons for a few temperatures.
function presets(parent, model) {
  const stops = model.get("stops");
  const group = element(parent, "div", "margin:4px 0", { role: "group", "aria-label": "temperatures at a touch" });
  for (const preset of model.get("presets")) {
    const button = element(group, "button", "font-size:inherit;margin-right:6px;padding:2px 12px", { type: "button" });
    button.textContent = `T = ${preset}`;
    button.addEventListener("click", () => {
      model.set("stop", stops.indexOf(preset));
      model.save_changes();
    });
  }
}

// What ``text`` asks for, or undefined.
function parseState(text, stops, images) {
  const parts = /^\s*T=(\d+(?:\.\d+)?)\s+image=(\d+)\s*$/.exec(text) ?? [];
  const state = { stop: stops.indexOf(Number(parts[1])), picture: Number(parts[2]) };
  return state.stop >= 0 && state.picture < images ? state : undefined;
}

// A line of text that holds the state: copy it into a chat; paste another here and press Enter.
function stateLine(parent, model) {
  const line = element(parent, "div", "min-height:3.2em");
  const label = element(line, "label", "");
  label.append("state to share: ");
  const field = element(label, "input", "width:12em;font:inherit;font-family:monospace", { type: "text", spellcheck: "false", "data-lm-suppress-shortcuts": "true" });
  const complaint = element(line, "div", "color:#a00000", { role: "alert" });
  const apply = () => {
    const state = parseState(field.value, model.get("stops"), model.get("teacher").length);
    complaint.textContent = state ? "" : `${model.get("state_form")}; got "${field.value}"`;
    if (!state) return;
    model.set("stop", state.stop);
    model.set("picture", state.picture);
    model.save_changes();
  };
  field.addEventListener("keydown", (event) => {
    event.stopPropagation(); // the notebook around has plans of its own for Enter and for letters
    if (event.key === "Enter") apply();
  });
  return () => {
    field.value = `T=${model.get("stops")[model.get("stop")]} image=${model.get("picture")}`;
    complaint.textContent = "";
  };
}

// What a screen reader says, once the slider rests: not a sentence for each key.
function announcer(parent) {
  const region = element(parent, "div", "position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)", { "aria-live": "polite" });
  let waiting;
  return (text) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => (region.textContent = text), 600);
  };
}

function render({ model, el }) {
  // Without the attribute JupyterLab would take letters and arrows that are meant for the buttons here.
  const root = element(el, "div", "background:white;color:black;color-scheme:light;padding:4px 8px;font-family:sans-serif;font-size:max(15px, 1em)", { class: "kdkit-bars", "data-lm-suppress-shortcuts": "true" });
  const moving = model.get("stops").length > 1, networks = model.get("student").length > 0 ? 2 : 1;
  const labelled = model.get("labels").some((label) => label >= 0);
  if (moving) presets(root, model);
  const row = element(root, "div", "display:flex;flex-wrap:wrap;gap:12px;align-items:center");
  const image = model.get("pictures").length ? element(row, "img", "width:clamp(9em, 14%, 16em);image-rendering:pixelated") : null;
  const holder = element(row, "div", "flex:1 1 29em;min-width:0");
  const room = element(root, "div", "", { class: "kdkit-steady" });
  const words = element(room, "p", "");
  const say = announcer(root);
  const showState = moving && model.get("state_form") ? stateLine(root, model) : () => {};
  let drawn = { width: -1 };

  const draw = () => {
    if (!root.isConnected) return; // it has no width yet, and letters no height
    try {
      if (drawn.width !== holder.clientWidth) drawn = { width: holder.clientWidth, ...drawing(holder, model.get("classes"), networks, labelled) };
      const which = model.get("picture"), stop = model.get("stop"), temperature = model.get("stops")[stop];
      const label = model.get("labels")[which];
      const found = { t: softmax(model.get("teacher")[which], temperature) };
      if (networks > 1) found.s = softmax(model.get("student")[which], temperature);
      drawn.update(found, label);
      room.setAttribute("data-longest", model.get("longest"));
      words.textContent = model.get("sentences")[which][stop];
      words.removeAttribute("role");
      drawn.svg.setAttribute("aria-label", moving ? `Bars at T = ${temperature}; the sentence below says what they show.` : "Bars; the sentence below says what they show.");
      say(words.textContent);
      drawn.svg.style.visibility = model.get("covered") ? "hidden" : "";
      if (image) {
        image.src = model.get("pictures")[which];
        image.alt = model.get("caption") || `The image, 32 by 32 pixels; its label is ${model.get("classes")[label]}.`;
      }
      root.numbers = { temperature, picture: which, ...found }; // for whoever wants to check
      showState();
    } catch (error) {
      words.textContent = `These bars failed: ${error.message}`;
      words.setAttribute("role", "alert");
    }
  };
  model.on("change", draw);
  const resized = new ResizeObserver(() => drawn.width !== holder.clientWidth && draw());
  resized.observe(holder);
  draw();
  return () => {
    resized.disconnect();
    model.off("change", draw);
  };
}

export default { render };
