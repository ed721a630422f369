// Bars of softmax(logits / T) on a log scale, computed and drawn in the browser: no kernel is asked while a slider moves.
// The numbers are plain arithmetic in double precision; tests hold them against kdkit.losses at every stop.

// ------------------------------------------------------------------------------------------------ numbers

function logSoftmax(logits, temperature) {
  const scaled = logits.map((z) => z / temperature);
  const top = Math.max(...scaled);
  const logSum = Math.log(scaled.reduce((sum, z) => sum + Math.exp(z - top), 0));
  return scaled.map((z) => z - top - logSum);
}

const sum = (values) => values.reduce((total, value) => total + value, 0);

// Everything the view says about one picture. With a student: KL(teacher || student) in nats, and the length of its
// gradient with respect to the student's logits, (s - t) / T.
function numbers(teacherLogits, studentLogits, temperature) {
  const logT = logSoftmax(teacherLogits, temperature);
  const t = logT.map(Math.exp);
  const ranked = t.map((_, k) => k).sort((a, b) => t[b] - t[a]);
  const found = { t, ranked, entropy: sum(t.map((p, k) => (p > 0 ? -p * logT[k] : 0))) / Math.LN2 };
  if (!studentLogits) return found;
  const logS = logSoftmax(studentLogits, temperature);
  const s = logS.map(Math.exp);
  const kl = Math.max(0, sum(t.map((p, k) => (p > 0 ? p * (logT[k] - logS[k]) : 0))));
  return { ...found, s, kl, gradient: Math.hypot(...s.map((p, k) => p - t[k])) / temperature };
}

// 0.672, 7e-10
const short = (value) => (value >= 0.0005 ? value.toFixed(3) : value === 0 ? "0" : value.toExponential(0));
const precise = (value) => (value === 0 ? "0" : value < 0.0005 ? value.toExponential(1) : Number(value.toPrecision(3)).toString());

function sentence(found, classes, temperature) {
  const top = found.ranked.slice(0, 3).map((k) => `${classes[k]} ${short(found.t[k])}`);
  const last = found.ranked[found.ranked.length - 1];
  const whose = found.s ? "the teacher says" : "";
  let words = `At T = ${temperature}${whose && ", "}${whose}: ${top.join(", ")}; least ${classes[last]} ${short(found.t[last])}. `;
  words += `Entropy ${found.entropy.toFixed(2)} bits.`;
  if (!found.s) return words;
  const best = found.s.indexOf(Math.max(...found.s));
  const squared = temperature * temperature;
  return (
    `${words} The student: ${classes[best]} ${short(found.s[best])}. KL ${precise(found.kl)} nats, its gradient ` +
    `${precise(found.gradient)} long; times T²: ${precise(squared * found.kl)} and ${precise(squared * found.gradient)}.`
  );
}

// ------------------------------------------------------------------------------------------------ drawing

const WIDTH = 680, HEIGHT = 300, TOP = 58, BOTTOM = 66, LEFT = 52;
const FLOOR = -8; // the bars begin at 10^-8
const COLOURS = { label: "#E69F00", teacher: "#56B4E9", student: "#D55E00", line: "#000000" };
const SVG = "http://www.w3.org/2000/svg";

function add(parent, name, attributes = {}, text) {
  const element = parent.appendChild(document.createElementNS(SVG, name));
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

const height = (value) => (value > 0 ? Math.max(0, 1 - Math.log10(value) / FLOOR) * (HEIGHT - TOP - BOTTOM) : 0);

// Patterns say the same as colours: label hatched, student dotted.
function patterns(svg, id) {
  const hatch = add(add(svg, "defs"), "pattern", { id: `${id}-label`, width: 7, height: 7, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" });
  add(hatch, "rect", { width: 7, height: 7, fill: COLOURS.label });
  add(hatch, "line", { x1: 0, y1: 0, x2: 0, y2: 7, stroke: COLOURS.line, "stroke-width": 1.5 });
  const dots = add(svg.firstChild, "pattern", { id: `${id}-student`, width: 6, height: 6, patternUnits: "userSpaceOnUse" });
  add(dots, "rect", { width: 6, height: 6, fill: COLOURS.student });
  add(dots, "circle", { cx: 3, cy: 3, r: 1.3, fill: "#ffffff" });
}

function scale(svg) {
  for (let power = FLOOR; power <= 0; power++) {
    const y = HEIGHT - BOTTOM - height(10 ** power);
    add(svg, "line", { x1: LEFT, x2: WIDTH, y1: y, y2: y, stroke: "#cccccc" });
    const label = add(svg, "text", { x: LEFT - 5, y: y + 4, "font-size": 12, "text-anchor": "end" }, power > -3 ? String(10 ** power) : "10");
    if (power <= -3) add(label, "tspan", { dy: -5, "font-size": 10 }, `−${-power}`);
  }
}

function legend(svg, id, twoNetworks) {
  const entries = twoNetworks ? [["teacher", COLOURS.teacher], ["teacher, the true class", `url(#${id}-label)`], ["student", `url(#${id}-student)`]] : [["teacher", COLOURS.teacher], ["the true class", `url(#${id}-label)`]];
  entries.forEach(([words, fill], k) => {
    add(svg, "rect", { x: LEFT + 190 * k, y: 4, width: 14, height: 14, fill, stroke: COLOURS.line });
    add(svg, "text", { x: LEFT + 190 * k + 20, y: 16, "font-size": 13 }, words);
  });
}

// The parts that move: one bar with its number for each class (and network).
function bars(svg, classes, networks) {
  const step = (WIDTH - LEFT) / classes.length;
  const wide = (0.8 * step) / networks;
  return classes.map((name, k) => {
    const middle = LEFT + step * (k + 0.5);
    add(svg, "text", { transform: `translate(${middle + 4} ${HEIGHT - BOTTOM + 14}) rotate(-35)`, "font-size": 13, "text-anchor": "end" }, name);
    return Array.from({ length: networks }, (_, n) => {
      const x = middle + (n - networks / 2) * wide;
      const bar = add(svg, "rect", { x, width: wide, stroke: COLOURS.line });
      return { bar, x: x + wide / 2, number: add(svg, "text", { "font-size": networks > 1 ? 10 : 12, "text-anchor": "middle" }) };
    });
  });
}

function place({ bar, number, x }, value, fill, turned) {
  const high = height(value), ground = HEIGHT - BOTTOM;
  bar.setAttribute("y", ground - high);
  bar.setAttribute("height", high);
  bar.setAttribute("fill", fill);
  number.textContent = short(value);
  if (turned) {
    number.setAttribute("transform", `translate(${x + 4} ${ground - high - 4}) rotate(-90)`);
    number.setAttribute("text-anchor", "start");
  } else {
    number.setAttribute("x", x);
    number.setAttribute("y", ground - high - 4);
  }
}

let views = 0; // patterns need names of their own on a page with several views

function drawing(classes, twoNetworks) {
  const id = `kdkit-bars-${views++}`;
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({ role: "img", viewBox: `0 0 ${WIDTH} ${HEIGHT}` })) svg.setAttribute(key, value);
  svg.style.cssText = "flex:1 1 420px;max-width:860px;min-width:0";
  patterns(svg, id);
  scale(svg);
  legend(svg, id, twoNetworks);
  const parts = bars(svg, classes, twoNetworks ? 2 : 1);
  const update = (found, label) => {
    parts.forEach(([first, second], k) => {
      place(first, found.t[k], k === label ? `url(#${id}-label)` : COLOURS.teacher, twoNetworks);
      if (second) place(second, found.s[k], `url(#${id}-student)`, true);
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
    const button = element(group, "button", "font-size:14px;margin-right:6px;padding:2px 12px", { type: "button" });
    button.textContent = `T = ${preset}`;
    button.addEventListener("click", () => {
      model.set("stop", stops.indexOf(preset));
      model.save_changes();
    });
  }
}

const stateOf = (model) => `T=${model.get("stops")[model.get("stop")]} picture=${model.get("picture")}`;

// What ``text`` asks for, or an Error that says what is wrong with it.
function parseState(text, stops, pictures) {
  const parts = /^\s*T=(\d+(?:\.\d+)?)\s+picture=(\d+)\s*$/.exec(text);
  if (!parts) throw new Error(`a state looks like "T=4 picture=0"; got "${text}"`);
  const stop = stops.indexOf(Number(parts[1]));
  if (stop < 0) throw new Error(`T=${parts[1]} is no stop of this slider: ${stops.join(", ")}`);
  if (Number(parts[2]) >= pictures) throw new Error(`there is no picture ${parts[2]}: they are numbered 0 to ${pictures - 1}`);
  return { stop, picture: Number(parts[2]) };
}

// A line of text that holds the state: copy it into a chat; paste another here and press Enter.
function stateLine(parent, model) {
  const label = element(parent, "label", "font-size:13px;color:black");
  label.append("state to share: ");
  const field = element(label, "input", "width:15em;font-family:monospace", { type: "text", spellcheck: "false", "data-lm-suppress-shortcuts": "true" });
  const complaint = element(parent, "span", "color:#a00000;font-size:13px;margin-left:8px", { role: "alert" });
  const apply = () => {
    try {
      const { stop, picture } = parseState(field.value, model.get("stops"), model.get("teacher").length);
      model.set("stop", stop);
      model.set("picture", picture);
      model.save_changes();
      complaint.textContent = "";
    } catch (error) {
      complaint.textContent = error.message;
    }
  };
  field.addEventListener("keydown", (event) => {
    event.stopPropagation(); // the notebook around has plans of its own for Enter and for letters
    if (event.key === "Enter") apply();
  });
  return () => {
    field.value = stateOf(model);
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

// ipywidgets gives its slider no name, and lets it speak the number of a stop instead of its label.
function nameSlider(el, name, text) {
  requestAnimationFrame(() => {
    const handle = el.closest(".widget-vbox")?.querySelector(".noUi-handle");
    handle?.setAttribute("aria-label", name);
    handle?.setAttribute("data-lm-suppress-shortcuts", "true"); // or Notebook 7 takes the arrow keys
    handle?.setAttribute("aria-valuetext", text);
  });
}

function render({ model, el }) {
  // Without the attribute JupyterLab would take letters and arrows that are meant for the buttons here.
  const root = element(el, "div", "background:white;color:black;padding:4px 8px;font-family:sans-serif", { class: "kdkit-bars", "data-lm-suppress-shortcuts": "true" });
  const moving = model.get("stops").length > 1;
  if (moving) presets(root, model);
  const row = element(root, "div", "display:flex;flex-wrap:wrap;gap:12px;align-items:center");
  const image = model.get("pictures").length ? element(row, "img", "width:150px;image-rendering:pixelated") : null;
  const { svg, update } = drawing(model.get("classes"), model.get("student").length > 0);
  row.append(svg);
  const words = element(root, "p", "margin:4px 0;font-size:15px");
  const say = announcer(root);
  const showState = moving ? stateLine(root, model) : () => {};

  const draw = () => {
    try {
      const which = model.get("picture"), temperature = model.get("stops")[model.get("stop")];
      const label = model.get("labels")[which], classes = model.get("classes");
      const found = numbers(model.get("teacher")[which], model.get("student")[which], temperature);
      update(found, label);
      words.textContent = model.get("sentence") || sentence(found, classes, temperature);
      words.removeAttribute("role");
      svg.setAttribute("aria-label", moving ? `Bars at T = ${temperature}; the sentence below tells them.` : "Bars; the sentence below tells them.");
      say(words.textContent);
      nameSlider(el, model.get("slider_name"), model.get("slider_text") || `T = ${temperature}`);
      svg.style.visibility = model.get("covered") ? "hidden" : "";
      if (image) {
        image.src = model.get("pictures")[which];
        image.alt = model.get("caption") || `The picture, 32 by 32 pixels; its label is ${classes[label]}.`;
      }
      root.numbers = { temperature, picture: which, ...found }; // for whoever wants to check
      showState();
    } catch (error) {
      words.textContent = `These bars failed: ${error.message}`;
      words.setAttribute("role", "alert");
    }
  };
  model.on("change", draw);
  draw();
  return () => model.off("change", draw);
}

export default { render };
