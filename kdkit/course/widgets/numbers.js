// What all views say about numbers. Tests hold the sentences against those that Python writes.

function softmax(logits, temperature) {
  const top = Math.max(...logits);
  const powers = logits.map((z) => Math.exp((z - top) / temperature));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

// 0.672, 7e-10
const short = (value) => (value >= 0.0005 ? value.toFixed(3) : value === 0 ? "0" : value.toExponential(0));

// e to a power that is not negative: 6.0, 1,293.6, 4e15
function ratio(power) {
  if (power > 700) return "more than 1e300";
  const value = Math.exp(power);
  return value < 1e6 ? value.toLocaleString("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 }) : value.toExponential(0).replace("+", "");
}

// What the bars show of one soft target, in words.
function sentence(classes, logits, temperature) {
  const p = softmax(logits, temperature);
  const order = logits.map((_, k) => k).sort((a, b) => logits[b] - logits[a]);
  const said = order.slice(0, 3).map((k) => `${classes[k]} ${short(p[k])}`).join(", ");
  const last = order[order.length - 1];
  const words = `At T = ${temperature}: ${said}; least ${classes[last]} ${short(p[last])}.`;
  return order.length > 1 ? `${words} First to second: ${ratio((logits[order[0]] - logits[order[1]]) / temperature)} to 1.` : words;
}
