// Bars of a teacher's next token, drawn in the browser: no kernel is asked while the slider moves. Probabilities and
// sentences come from Python; what the kept ones become when they are renormalised is computed here.

const BLUE = "#0072B2", ORANGE = "#E69F00", BLACK = "#000000";

function rows(tokens, teacher, k, share, vocabSize) {
  const further = Math.max(0, k - tokens.length);
  const seen = teacher.slice(0, k).reduce((sum, probability) => sum + probability, 0);
  return [
    ...tokens.map((name, at) => ({ name, probability: teacher[at], kept: at < k })),
    { name: `${further.toLocaleString("en")} more kept`, probability: further ? Math.max(0, share - seen) : 0, kept: true },
    { name: `tail: ${(vocabSize - k).toLocaleString("en")} tokens`, probability: Math.max(0, 1 - share), kept: false, tail: true },
  ].map((row) => ({ ...row, renormalised: row.kept ? row.probability / share : 0 }));
}

function drawing(svg, found, width, em) {
  const line = 1.5 * em, left = 11 * em, room = 13 * em, height = found.length * line;
  const across = (probability) => probability * (width - left - room);
  begin(svg, width, height, em);
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

const render = drawn({
  name: "kdkit-top-k",
  least: 33,
  label: "Bars of the likeliest next tokens, what is kept of them, and the tail; the sentence below says the same.",
  draw(svg, model, width, em) {
    const stop = model.get("stop"), place = model.get("place"), share = model.get("shares")[place][stop];
    const found = rows(model.get("tokens")[place], model.get("teacher")[place], model.get("stops")[stop], share, model.get("vocab_size"));
    drawing(svg, found, width, em);
    return model.get("sentences")[place][stop];
  },
});

export default { render };
