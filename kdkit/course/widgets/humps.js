// Normal densities, drawn in the browser: no kernel is asked while the slider moves. Where the students stand, what is
// written beside them and the sentences come from Python.

const FROM = -9, TO = 9, TOP = 0.5, POINTS = 361; // what is drawn: places on the x axis, densities up to TOP

const normal = (x, mean, deviation) => Math.exp(-0.5 * ((x - mean) / deviation) ** 2) / (deviation * Math.sqrt(2 * Math.PI));
const places = Array.from({ length: POINTS }, (_, k) => FROM + ((TO - FROM) * k) / (POINTS - 1));

function drawing(svg, teacher, curves, width, em) {
  const height = 18 * em, ground = height - 2 * em;
  const across = (x) => ((x - FROM) / (TO - FROM)) * width, up = (density) => ground - (density / TOP) * (ground - 3 * em);
  const path = (density) => places.map((x, k) => `${k ? "L" : "M"}${across(x).toFixed(1)} ${up(density(x)).toFixed(1)}`).join("");
  const humps = (x) => teacher.reduce((sum, [weight, mean]) => sum + weight * normal(x, mean, 1), 0);
  begin(svg, width, height, em);
  add(svg, "path", { d: `${path(humps)}L${width} ${ground}L0 ${ground}Z`, fill: "#dddddd", stroke: "#000000" });
  for (let x = FROM + 3; x < TO; x += 3) add(svg, "text", { x: across(x), y: height - 0.5 * em, "text-anchor": "middle" }, String(x).replace("-", "−"));
  add(svg, "text", { x: across(-5), y: up(0.1), "text-anchor": "end" }, "teacher");
  for (const { mean, deviation, words, colour, dash } of curves) {
    add(svg, "path", { class: "student", d: path((x) => normal(x, mean, deviation)), fill: "none", stroke: colour, "stroke-width": 3, "stroke-dasharray": dash });
    words.forEach((line, k) => add(svg, "text", { x: across(mean), y: up(normal(mean, mean, deviation)) - (words.length - k - 0.5) * 1.2 * em, "text-anchor": "middle", style: `fill:color-mix(in srgb, ${colour} 65%, black)`, stroke: "#ffffff", "stroke-width": 3, "paint-order": "stroke" }, line));
  }
}

const render = drawn({
  name: "kdkit-humps",
  least: 29,
  label: "The teacher's two humps and the students' Gaussians; the sentence below says where they rest.",
  draw(svg, model, width, em) {
    drawing(svg, model.get("teacher"), model.get("curves")[model.get("stop")], width, em);
    return model.get("sentences")[model.get("stop")];
  },
});

export default { render };
