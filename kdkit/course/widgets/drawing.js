// A canvas of 32 x 32 to draw on. With each stroke the network answers, here in the browser, and the sentences for all
// temperatures are written anew; the bars beside follow. Mouse, finger and keys do the same.

const SIDE = 32, UNDOS = 50;
const BRUSHES = [["1 pixel", 1], ["2 pixels", 2], ["4 pixels", 4]];
const COLOURS = [
  ["dark brown", "#3b2a20"], ["brown", "#a87847"], ["red", "#c8442e"], ["yellow", "#e3b13c"], ["green", "#3f7d58"],
  ["blue", "#3d6fa5"], ["grey", "#5d6670"], ["cream", "#f4e3bd"],
];
const PAPER = "#f4e3bd";

const LOOK = `
.kdkit-drawing { background: white; color: black; color-scheme: light; padding: 4px 8px; font-family: sans-serif; font-size: max(15px, 1em); position: relative; display: flex; flex-wrap: wrap; gap: 4px 20px; }
.kdkit-drawing .kdkit-side { flex: 1 1 16em; }
.kdkit-drawing p { margin: 6px 0; }
.kdkit-drawing .kdkit-tools { display: flex; flex-wrap: wrap; gap: 8px 12px; align-items: center; margin: 6px 0; }
.kdkit-drawing canvas { width: 100%; aspect-ratio: 1; image-rendering: pixelated; touch-action: none; cursor: crosshair; border: 2px solid #5d6670; box-sizing: border-box; display: block; }
.kdkit-drawing .kdkit-sheet { position: relative; width: min(20em, 100%); align-self: start; }
.kdkit-drawing .kdkit-cursor { position: absolute; box-sizing: border-box; border: 2px solid black; outline: 2px solid white; pointer-events: none; display: none; }
.kdkit-drawing canvas:focus-visible + .kdkit-cursor { display: block; }
.kdkit-drawing button, .kdkit-drawing select { font: inherit; min-height: 2em; padding: 2px 12px; }
.kdkit-drawing button.kdkit-colour { width: 2em; padding: 0; border: 1px solid black; }
.kdkit-drawing [aria-pressed=true] { outline: 3px solid #1e5fa8; outline-offset: 2px; }
.kdkit-drawing :focus-visible { outline: 3px dashed #1e5fa8; outline-offset: 2px; }
.kdkit-drawing .kdkit-heard { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
`;

// ------------------------------------------------------------------------------------------------ the picture

// Red, green and blue planes of what the canvas shows: 3 x 32 x 32 bytes.
function planes(context) {
  const { data } = context.getImageData(0, 0, SIDE, SIDE);
  return Uint8Array.from({ length: 3 * SIDE * SIDE }, (_, k) => data[4 * (k % (SIDE * SIDE)) + Math.floor(k / (SIDE * SIDE))]);
}

function show(context, pixels) {
  const image = context.createImageData(SIDE, SIDE);
  for (let k = 0; k < SIDE * SIDE; k++) image.data.set([pixels[k], pixels[SIDE * SIDE + k], pixels[2 * SIDE * SIDE + k], 255], 4 * k);
  context.putImageData(image, 0, 0);
}

// All pixels on the way from one to the other, painted in whole squares: nothing is smoothed.
function paint(context, [x, y], [toX, toY], { colour, brush }) {
  const steps = Math.max(1, Math.abs(toX - x), Math.abs(toY - y)), off = Math.floor((brush - 1) / 2);
  context.fillStyle = colour;
  for (let k = 0; k <= steps; k++) {
    context.fillRect(Math.round(x + ((toX - x) * k) / steps) - off, Math.round(y + ((toY - y) * k) / steps) - off, brush, brush);
  }
}

// ------------------------------------------------------------------------------------------------ the tools

function made(parent, tag, attributes = {}, text = "") {
  const element = parent.appendChild(document.createElement(tag));
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text) element.textContent = text;
  return element;
}

// Buttons of which one is pressed.
function choice(parent, name, options, chosen, choose, look) {
  const group = made(parent, "div", { role: "group", "aria-label": name });
  const buttons = options.map(([words, value]) => {
    const button = look(group, words, value);
    button.style.marginRight = "8px";
    button.addEventListener("click", () => press(value));
    return [button, value];
  });
  const press = (value) => {
    choose(value);
    for (const [button, its] of buttons) button.setAttribute("aria-pressed", String(its === value));
  };
  press(chosen);
}

function tools(root, pen, act, starts) {
  const first = made(root, "div", { class: "kdkit-tools" }), second = made(root, "div", { class: "kdkit-tools" });
  const plain = (group, words) => made(group, "button", { type: "button" }, words);
  const dot = (group, words, value) => made(group, "button", { type: "button", class: "kdkit-colour", "aria-label": words, title: words, style: `background:${value}` });
  choice(first, "colour", COLOURS, pen.colour, (colour) => (pen.colour = colour), dot);
  choice(second, "brush", BRUSHES, pen.brush, (brush) => (pen.brush = brush), plain);
  const third = made(root, "div", { class: "kdkit-tools" });
  for (const [words, action] of [["Undo", act.undo], ["Clear", act.clear]]) plain(third, words).addEventListener("click", action);
  const label = made(third, "label", {}, "Start from a drawn ");
  const menu = made(label, "select");
  for (const name of Object.keys(starts)) made(menu, "option", { value: name }, name);
  plain(third, "Start").addEventListener("click", () => act.start(menu.value));
}

// ------------------------------------------------------------------------------------------------ pen and keys

// Where in the picture a pointer stands.
function pixelOf(canvas, event) {
  const box = canvas.getBoundingClientRect(), inside = (value) => Math.max(0, Math.min(SIDE - 1, Math.floor(value * SIDE)));
  return [inside((event.clientX - box.x) / box.width), inside((event.clientY - box.y) / box.height)];
}

function pointer(canvas, stroke) {
  let last;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    last = pixelOf(canvas, event);
    stroke(last, last, true);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last) return;
    const next = pixelOf(canvas, event);
    stroke(last, next, false);
    last = next;
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (last = undefined));
}

const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function keys(canvas, cursor, stroke, undo, say) {
  let at = [SIDE / 2, SIDE / 2];
  const place = () => (cursor.style.cssText = `left:${(100 * at[0]) / SIDE}%;top:${(100 * at[1]) / SIDE}%;width:${100 / SIDE}%;height:${100 / SIDE}%`);
  place();
  canvas.addEventListener("keydown", (event) => {
    const move = MOVES[event.key], before = at;
    if (move) at = at.map((value, k) => Math.max(0, Math.min(SIDE - 1, value + move[k])));
    else if (event.key === "z" && (event.ctrlKey || event.metaKey)) undo();
    else if (event.key !== " ") return;
    event.preventDefault();
    event.stopPropagation(); // the notebook around has plans of its own for these keys
    place();
    const painted = event.key === " " || (move && event.shiftKey);
    if (painted) stroke(before, at, true);
    say(`column ${at[0] + 1}, row ${at[1] + 1}${painted ? ", painted" : ""}`);
  });
}

// ------------------------------------------------------------------------------------------------ the view

// The two first of a soft target, for those who do not see the bars.
function likeliest(classes, logits) {
  const p = softmax(logits, 1), order = logits.map((_, k) => k).sort((a, b) => logits[b] - logits[a]);
  return order.slice(0, 2).map((k) => `${classes[k]} ${short(p[k])}`).join(", ");
}

// Ask the network about what stands there, once a frame at most, and hand on what it says.
function asking(context, network, model, said, complain) {
  let waiting;
  const ask = () => {
    waiting = undefined;
    try {
      const pixels = planes(context), logits = logitsOf(network, pixels), classes = model.get("classes");
      said.textContent = `To the network: ${likeliest(classes, logits)}`;
      model.set("pixels", new DataView(pixels.buffer));
      model.set("logits", [logits]);
      model.set("sentences", [model.get("stops").map((stop) => sentence(classes, logits, stop))]);
      model.save_changes();
      complain("");
    } catch (error) {
      complain(`The network failed: ${error.message}`);
    }
  };
  return () => (waiting ??= requestAnimationFrame(ask));
}

// The canvas with the square that shows where the pen stands.
function sheet(root) {
  const place = made(root, "div", { class: "kdkit-sheet" });
  const canvas = made(place, "canvas", { width: SIDE, height: SIDE, tabindex: 0, role: "application", "data-lm-suppress-shortcuts": "true" });
  canvas.setAttribute("aria-label", "Drawing, 32 by 32 pixels. Arrow keys move the pen, Space paints, Shift with an arrow key draws a line, Control Z takes back.");
  return [canvas, made(place, "div", { class: "kdkit-cursor" })];
}

function render({ model, el }) {
  made(el, "style", {}, LOOK);
  const root = made(el, "div", { class: "kdkit-drawing", "data-lm-suppress-shortcuts": "true" });
  const pen = { colour: COLOURS[0][1], brush: 2 }, past = [];
  const [canvas, cursor] = sheet(root), side = made(root, "div", { class: "kdkit-side" });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const heard = made(root, "div", { class: "kdkit-heard", "aria-live": "polite" });
  const complaint = made(side, "div", { role: "alert", style: "color:#a00000" });
  const network = readNetwork(model.get("layers"), model.get("weights"), model.get("half"));
  const said = made(canvas.parentElement, "p");
  const ask = asking(context, network, model, said, (words) => (complaint.textContent = words));
  const remember = () => past.push(planes(context)) > UNDOS && past.shift();
  const stroke = (from, to, begins) => {
    if (begins) remember();
    paint(context, from, to, pen);
    ask();
  };
  const replace = (change) => {
    remember();
    change();
    ask();
  };
  const clear = () => {
    context.fillStyle = PAPER;
    context.fillRect(0, 0, SIDE, SIDE);
  };
  const starts = model.get("starts"), bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const undo = () => past.length && (show(context, past.pop()), ask());
  tools(side, pen, { undo, clear: () => replace(clear), start: (name) => replace(() => show(context, bytes(starts[name]))) }, starts);
  pointer(canvas, stroke);
  keys(canvas, cursor, stroke, undo, (words) => (heard.textContent = words));
  made(side, "p", {}, "Keys: arrows move the pen, Space paints, Shift with an arrow draws a line.");
  made(side, "p", {}, model.get("caution"));
  const { buffer, byteOffset, byteLength } = model.get("pixels") ?? bytes(starts[model.get("start")]);
  show(context, new Uint8Array(buffer, byteOffset, byteLength));
  ask();
  root.drawn = () => planes(context); // for whoever wants to check
}

export default { render };
