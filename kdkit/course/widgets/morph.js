// One thing turns into another, on a page without a kernel: the frames are there, and either what a network said to
// each, or the network itself, which then answers here. The bars beside follow what this sets: logits, sentences,
// pictures, caption, covered, each as it is now.

const SIDE = 32;
const COVERED = "What will the network say? Move the slider to where YOU would switch to the other name, and keep that.";

function made(parent, tag, attributes = {}, text = "") {
  const element = parent.appendChild(document.createElement(tag));
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text) element.textContent = text;
  return element;
}

// The frames of a strip, which stand one below the other: the address of each, and its bytes.
async function framesOf(strip) {
  const image = new Image();
  image.src = strip;
  await image.decode();
  return Array.from({ length: image.height / SIDE }, (_, step) => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = SIDE;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, -SIDE * step);
    const { data } = context.getImageData(0, 0, SIDE, SIDE);
    const pixels = Uint8Array.from({ length: 3 * SIDE * SIDE }, (_, k) => data[4 * (k % (SIDE * SIDE)) + Math.floor(k / (SIDE * SIDE))]);
    return { address: canvas.toDataURL(), pixels };
  });
}

// The steps at which a network changes its mind as to which of both it is.
function tips(scan, start, end) {
  const leads = scan.map((logits) => logits[end] > logits[start]);
  return leads.flatMap((now, step) => (step && now !== leads[step - 1] ? [step / (scan.length - 1)] : []));
}

function compared(guess, found, [start, end]) {
  const said = guess === null ? "" : `; you said ${guess.toFixed(2)}`;
  if (!found.length) return ` Between ${start} and ${end} the network never changes its mind here${said}.`;
  const more = found.length > 1 ? `, and back and forth until ${found[found.length - 1].toFixed(2)}` : "";
  const words = ` For the network it tips at ${found[0].toFixed(2)}${more}`;
  if (guess === null) return `${words}.`;
  const apart = Math.round(100 * (guess - found[found.length - 1])) / 100;
  return `${words}${said}: ${apart ? `${Math.abs(apart).toFixed(2)} ${apart > 0 ? "later" : "earlier"}` : "the same place"}.`;
}

// Menu and slider, in labels.
function controls(root, model) {
  const pairs = Object.keys(model.get("strips")), label = made(root, "label", { class: "kdkit-control" });
  made(label, "span", {}, "A thing on its way from");
  const menu = made(label, "select", { "aria-label": "which thing turns into which" });
  for (const pair of pairs) made(menu, "option", { value: pair }, pair.replace("-", " to "));
  if (pairs.length === 1) label.hidden = true;
  const row = made(root, "label", { class: "kdkit-control" });
  made(row, "span", {}, "How far");
  const slider = made(row, "input", { "aria-label": "How far", type: "range", min: 0, step: 1 });
  const output = made(row, "output");
  menu.addEventListener("change", () => (model.set("pair", menu.value), model.save_changes()));
  slider.addEventListener("input", () => (model.set("step", Number(slider.value)), model.save_changes()));
  return (last) => {
    slider.max = last;
    [menu.value, slider.value] = [model.get("pair"), model.get("step")];
    output.textContent = (model.get("step") / last).toFixed(2);
    slider.setAttribute("aria-valuetext", output.textContent);
  };
}

// Until the reader has said where they would switch, the bars are covered.
function guessing(root, keep) {
  const row = made(root, "div", { class: "kdkit-control" });
  made(row, "button", { type: "button" }, "✓ I would switch here").addEventListener("click", () => keep(true));
  made(row, "button", { type: "button" }, "show without a guess").addEventListener("click", () => keep(false));
}

function render({ model, el }) {
  const root = made(el, "div", { class: "kdkit-morph" });
  const network = model.get("layers") ? readNetwork(model.get("layers"), model.get("weights"), model.get("half")) : null;
  const update = controls(root, model), kept = {};
  const amount = () => model.get("step") / (kept.frames.length - 1);
  const draw = async () => {
    const pair = model.get("pair"), names = pair.split("-"), scan = model.get("logits")?.[pair];
    if (kept.pair !== pair) Object.assign(kept, { frames: await framesOf(model.get("strips")[pair]), pair, guess: undefined });
    if (model.get("pair") !== pair) return; // another was chosen meanwhile
    const step = Math.min(model.get("step"), kept.frames.length - 1), { address, pixels } = kept.frames[step];
    const logits = scan ? scan[step] : logitsOf(network, pixels), classes = model.get("classes");
    const covered = model.get("guessing") && kept.guess === undefined;
    const where = `${amount().toFixed(2)} of the way from ${names[0]} to ${names[1]}. `;
    const after = model.get("guessing") && !covered ? compared(kept.guess, tips(scan, ...names.map((name) => classes.indexOf(name))), names) : "";
    const words = (stop) => (covered ? COVERED : where + sentence(classes, logits, stop) + after);
    update(kept.frames.length - 1);
    const now = { pictures: [address], caption: where.trim(), covered, sentences: [model.get("stops").map(words)], logits: [logits] };
    for (const [name, value] of Object.entries(now)) model.set(`${name}_now`, value);
    model.save_changes();
  };
  if (model.get("guessing")) guessing(root, (mine) => ((kept.guess = mine ? amount() : null), draw()));
  for (const name of ["pair", "step"]) model.on(`change:${name}`, draw);
  draw();
}

export default { render };
