// Bars of a teacher's next token, drawn in the browser: no kernel is asked while the slider moves. Probabilities and
// sentences come from Python; what the kept ones become when they are renormalised is computed here.

const SVG = "http://www.w3.org/2000/svg";
const BLUE = "#0072B2", ORANGE = "#E69F00", BLACK = "#000000";

export function rows(tokens, teacher, k, share, vocabSize) {
  const drawn = Math.min(k, tokens.length), further = Math.max(0, k - tokens.length);
  const seen = teacher.slice(0, drawn).reduce((sum, probability) => sum + probability, 0);
  return [
    ...tokens.map((name, at) => ({ name, probability: teacher[at], kept: at < k })),
    { name: `${further.toLocaleString("en")} more kept`, probability: further ? Math.max(0, share - seen) : 0, kept: true },
    { name: `tail: ${(vocabSize - k).toLocaleString("en")} tokens`, probability: Math.max(0, 1 - share), kept: false, tail: true },
  ].map((row) => ({ ...row, renormalised: row.kept ? row.probability / share : 0 }));
}

export function short(value) {
  if (value >= 0.0005) return value.toFixed(3);
  return value === 0 ? "0" : value.toExponential(0).replace("e-0", "e-");
}

function add(parent, name, attributes = {}, text) {
  const element = parent.appendChild(document.createElementNS(SVG, name));
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function drawing(svg, found, width, em) {
  const line = 1.5 * em, left = 11 * em, room = 13 * em, height = found.length * line;
  const across = (probability) => probability * (width - left - room);
  svg.replaceChildren();
  for (const [key, value] of Object.entries({ viewBox: `0 0 ${width} ${height}`, "font-size": em })) svg.setAttribute(key, value);
  const hatch = add(add(svg, "defs"), "pattern", { id: "kdkit-tail", width: 8, height: 8, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" });
  add(hatch, "rect", { width: 8, height: 8, fill: ORANGE });
  add(hatch, "rect", { width: 1.5, height: 8, fill: BLACK });
  found.forEach(({ name, probability, kept, tail, renormalised }, at) => {
    const box = { x: left, y: at * line + 0.15 * em, height: line - 0.3 * em }, base = at * line + 0.75 * line;
    add(svg, "text", { x: left - 0.5 * em, y: base, "text-anchor": "end", fill: BLACK }, name);
    const look = tail ? { fill: "url(#kdkit-tail)", stroke: BLACK } : kept ? { fill: BLUE } : { fill: "#ffffff", stroke: BLACK, "stroke-dasharray": "2 3" };
    add(svg, "rect", { ...box, ...look, class: tail ? "tail" : kept ? "kept" : "left-out", width: across(probability) });
    if (kept) add(svg, "rect", { ...box, class: "renormalised", width: across(renormalised), fill: "none", stroke: BLACK, "stroke-dasharray": "6 3" });
    const words = short(probability) + (renormalised ? `, renormalised ${short(renormalised)}` : "");
    add(svg, "text", { x: left + across(Math.max(probability, renormalised)) + 0.4 * em, y: base, fill: BLACK }, words);
  });
}

function render({ model, el }) {
  const root = el.appendChild(document.createElement("div"));
  root.className = "kdkit-top-k";
  root.style.cssText = "background:white;color:black;padding:4px 8px;font-family:sans-serif;font-size:max(15px, 1em)";
  const svg = root.appendChild(document.createElementNS(SVG, "svg"));
  svg.setAttribute("role", "img");
  svg.style.cssText = "display:block;width:100%";
  const room = root.appendChild(document.createElement("div"));
  room.className = "kdkit-steady";
  const words = room.appendChild(document.createElement("p"));
  words.setAttribute("aria-live", "polite");
  const draw = () => {
    if (!root.isConnected) return; // it has no width yet, and letters no height
    try {
      const stop = model.get("stop"), place = model.get("place"), em = parseFloat(getComputedStyle(root).fontSize);
      const found = rows(model.get("tokens")[place], model.get("teacher")[place], model.get("stops")[stop], model.get("shares")[place][stop], model.get("vocab_size"));
      drawing(svg, found, Math.max(33 * em, root.clientWidth - 16), em);
      room.setAttribute("data-longest", model.get("longest"));
      words.textContent = model.get("sentences")[place][stop];
      words.setAttribute("aria-live", "polite");
      words.removeAttribute("role");
      svg.setAttribute("aria-label", "Bars of the likeliest next tokens, what is kept of them, and the tail; the sentence below says the same.");
    } catch (error) {
      words.textContent = `This drawing failed: ${error.message}`;
      words.setAttribute("role", "alert");
    }
  };
  model.on("change", draw);
  let width = -1;
  const resized = new ResizeObserver(() => width !== root.clientWidth && ((width = root.clientWidth), draw()));
  resized.observe(root);
  draw();
  return () => {
    resized.disconnect();
    model.off("change", draw);
  };
}

export default { render };
