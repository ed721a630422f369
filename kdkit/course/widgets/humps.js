// Normal densities, drawn in the browser: no kernel is asked while the slider moves. Where the students stand, what is
// written beside them and the sentences come from Python.

const SVG = "http://www.w3.org/2000/svg";
const FROM = -9, TO = 9, TOP = 0.5, POINTS = 361; // what is drawn: places on the x axis, densities up to TOP

const normal = (x, mean, deviation) => Math.exp(-0.5 * ((x - mean) / deviation) ** 2) / (deviation * Math.sqrt(2 * Math.PI));
const places = Array.from({ length: POINTS }, (_, k) => FROM + ((TO - FROM) * k) / (POINTS - 1));

function add(parent, name, attributes = {}, text) {
  const element = parent.appendChild(document.createElementNS(SVG, name));
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function drawing(svg, teacher, curves, width, em) {
  const height = 18 * em, ground = height - 2 * em;
  const across = (x) => ((x - FROM) / (TO - FROM)) * width, up = (density) => ground - (density / TOP) * (ground - 3 * em);
  const path = (density) => places.map((x, k) => `${k ? "L" : "M"}${across(x).toFixed(1)} ${up(density(x)).toFixed(1)}`).join("");
  const humps = (x) => teacher.reduce((sum, [weight, mean]) => sum + weight * normal(x, mean, 1), 0);
  svg.replaceChildren();
  for (const [key, value] of Object.entries({ viewBox: `0 0 ${width} ${height}`, "font-size": em })) svg.setAttribute(key, value);
  add(svg, "path", { d: `${path(humps)}L${width} ${ground}L0 ${ground}Z`, fill: "#dddddd", stroke: "#000000" });
  for (let x = FROM + 3; x < TO; x += 3) add(svg, "text", { x: across(x), y: height - 0.5 * em, "text-anchor": "middle" }, String(x).replace("-", "−"));
  add(svg, "text", { x: across(-5), y: up(0.1), "text-anchor": "end" }, "teacher");
  for (const { mean, deviation, words, colour, dash } of curves) {
    add(svg, "path", { class: "student", d: path((x) => normal(x, mean, deviation)), fill: "none", stroke: colour, "stroke-width": 3, "stroke-dasharray": dash });
    words.forEach((line, k) => add(svg, "text", { x: across(mean), y: up(normal(mean, mean, deviation)) - (words.length - k - 0.5) * 1.2 * em, "text-anchor": "middle", fill: colour, stroke: "#ffffff", "stroke-width": 3, "paint-order": "stroke" }, line));
  }
}

function render({ model, el }) {
  const root = el.appendChild(document.createElement("div"));
  root.className = "kdkit-humps";
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
      const stop = model.get("stop"), em = parseFloat(getComputedStyle(root).fontSize);
      drawing(svg, model.get("teacher"), model.get("curves")[stop], Math.max(29 * em, root.clientWidth - 16), em);
      room.setAttribute("data-longest", model.get("longest"));
      words.textContent = model.get("sentences")[stop];
      words.setAttribute("aria-live", "polite");
      words.removeAttribute("role");
      svg.setAttribute("aria-label", "The teacher's two humps and the students' Gaussians; the sentence below says where they rest.");
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
