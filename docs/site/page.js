// Brings the panels of a page to life: each .kdkit-alive holds the state of its parts and the links between them, as
// Panel.alive gives them. Its still picture, just before it, stays where anything fails.

// ------------------------------------------------------------------------------------------------ models and parts

// What anywidget gives a view, without a kernel behind it.
function modelOf(state) {
  const listeners = [];
  const tell = (name) => listeners.filter(([its]) => its === name).forEach(([, listener]) => listener());
  return {
    get: (name) => state[name],
    set: (name, value) => {
      if (state[name] === value) return;
      state[name] = value;
      for (const event of [`change:${name}`, "change"]) tell(event);
    },
    save_changes: () => {},
    on: (name, listener) => listeners.push([name, listener]),
    off: (name, listener) => listeners.splice(listeners.findIndex(([, its]) => its === listener), 1),
  };
}

function made(parent, tag, attributes = {}, text = "") {
  const element = parent.appendChild(document.createElement(tag));
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text) element.textContent = text;
  return element;
}

// A slider over named stops, or a menu of them; its model has the ``index``.
const chosen = {
  slider(el, { description, options }, model) {
    const label = made(el, "label", { class: "kdkit-control" });
    made(label, "span", {}, description);
    const input = made(label, "input", { "aria-label": description, type: "range", min: 0, max: options.length - 1, step: 1 });
    const output = made(label, "output");
    input.addEventListener("input", () => model.set("index", Number(input.value)));
    return () => {
      input.value = model.get("index");
      output.textContent = options[model.get("index")];
      input.setAttribute("aria-valuetext", output.textContent);
    };
  },
  menu(el, { description, options }, model) {
    const label = made(el, "label", { class: "kdkit-control" });
    made(label, "span", {}, description);
    const select = made(label, "select", { "aria-label": description });
    options.forEach((option) => made(select, "option", {}, option));
    select.addEventListener("change", () => model.set("index", select.selectedIndex));
    return () => (select.selectedIndex = model.get("index"));
  },
};

// Which names of a state stand in a link, and how: of a slider its label, of a morph three things, of others nothing.
function shared(part, model) {
  if (part.kind === "morph") {
    const last = 50, stepOf = (amount) => Math.round(Math.min(1, Math.max(0, amount)) * last);
    return {
      pair: [() => model.get("pair"), (text) => text in model.get("strips") && model.set("pair", text)],
      amount: [() => String(model.get("step") / last), (text) => Number.isFinite(Number(text)) && model.set("step", stepOf(Number(text)))],
    };
  }
  if (!part.options) return {};
  const name = part.description === "Temperature" ? "T" : part.description.toLowerCase().replace(/\W+/g, "-");
  const take = (text) => part.options.includes(text) && model.set("index", part.options.indexOf(text));
  return { [name]: [() => part.options[model.get("index")], take] };
}

// ------------------------------------------------------------------------------------------------ networks

// The teacher's weights lie in a file of their own, fetched by the pages that need them; a script may be, from a folder.
let teacher;
function fetched(fingerprint) {
  teacher ??= new Promise((resolve, reject) => {
    const root = document.documentElement.dataset.content_root ?? "";
    const script = made(document.head, "script", { src: `${root}_static/teacher.js` });
    script.addEventListener("load", resolve);
    script.addEventListener("error", () => reject(new Error("the teacher's weights are missing")));
  });
  return teacher.then(() => {
    const network = kdkit.networks[fingerprint];
    if (!network) throw new Error("this page does not have the panel's network");
    const bytes = Uint8Array.from(atob(network.weights), (letter) => letter.charCodeAt(0));
    return { ...network, weights: new DataView(bytes.buffer) };
  });
}

// ------------------------------------------------------------------------------------------------ a panel

async function brought(holder, number) {
  const { parts, links } = JSON.parse(holder.dataset.alive);
  const root = document.createElement("div");
  root.className = "kdkit-panel";
  const models = [];
  for (const part of parts) {
    const state = part.state ?? { index: part.index };
    models.push(modelOf(state.network ? { ...state, ...(await fetched(state.network)) } : state));
  }
  for (const [source, trait, target, follower] of links) {
    models[source].on(`change:${trait}`, () => models[target].set(follower, models[source].get(trait)));
  }
  holder.appendChild(root); // before the views are drawn, which ask how wide they are
  parts.forEach((part, k) => {
    const el = made(root, "div");
    if (!chosen[part.kind]) return void kdkit.views[part.kind].render({ model: models[k], el });
    const update = chosen[part.kind](el, part, models[k]);
    models[k].on("change", update);
    update();
  });
  kdkit.views.looks.render({ el: made(root, "div") });
  const state = Object.assign({}, ...parts.map((part, k) => shared(part, models[k])));
  return { holder, root, models, state, number };
}

// ------------------------------------------------------------------------------------------------ links

const write = (panel, more = {}) => {
  const found = Object.entries(panel.state).map(([name, [get]]) => [name, get()]);
  const which = panel.number > 1 ? [["panel", panel.number]] : [];
  return `#${new URLSearchParams([...which, ...found, ...Object.entries(more)])}`;
};

function read(panels) {
  if (!location.hash.includes("=")) return;
  const asked = new URLSearchParams(location.hash.slice(1)), panel = panels[Number(asked.get("panel") ?? 1) - 1];
  if (!panel) return;
  for (const [name, [, take]] of Object.entries(panel.state)) if (asked.has(name)) take(asked.get(name));
  if (asked.has("present")) panel.present();
  else panel.root.scrollIntoView({ block: "nearest" });
}

function code(text) {
  const drawn = qrcode(0, "M");
  drawn.addData(text);
  drawn.make();
  return drawn.createSvgTag({ cellSize: 6, margin: 24, scalable: true, alt: { text: `QR code for ${text}` } });
}

// Copy a link, show it as a QR code, go back to the beginning, fill the screen.
function toolbar(panel) {
  const bar = made(panel.root, "div", { class: "kdkit-bar", role: "group", "aria-label": "this panel" });
  const button = (words, act) => made(bar, "button", { type: "button" }, words).addEventListener("click", act);
  const shown = made(panel.root, "div", { class: "kdkit-shown", "aria-live": "polite" });
  const here = () => location.href.split("#")[0] + write(panel, panel.dialog.open ? { present: 1 } : {});
  const first = Object.values(panel.state).map(([get, take]) => [get(), take]);
  const address = () => {
    shown.replaceChildren();
    const field = made(made(shown, "label", { class: "kdkit-control" }, "link "), "input", { readonly: "", value: here() });
    field.select();
    return field;
  };
  if (Object.keys(panel.state).length) {
    button("Copy link", async () => {
      const field = address();
      const copied = await navigator.clipboard?.writeText(field.value).then(() => true, () => false);
      made(shown, "p", {}, copied ? "Copied." : "Copy it from here.");
    });
    if (window.qrcode) {
      button("QR code", () => {
        address();
        made(shown, "div", { class: "kdkit-qr" }).innerHTML = code(here());
        if (location.protocol === "file:") made(shown, "p", {}, "This page lies in a folder of yours: others cannot open its link. On a web server they can.");
      });
    }
    button("Reset", () => (shown.replaceChildren(), first.forEach(([value, take]) => take(value))));
  }
  const label = made(bar, "button", { type: "button" }, "Fill the screen");
  label.addEventListener("click", () => (panel.dialog.open ? panel.dialog.close() : panel.present()));
  panel.dialog.addEventListener("close", () => (label.textContent = "Fill the screen"));
  panel.present = () => {
    panel.dialog.append(panel.root);
    panel.dialog.showModal();
    label.textContent = "Back to the page";
  };
}

function presentable(panel) {
  panel.dialog = made(document.body, "dialog", { class: "kdkit-presented", "aria-label": "The panel, on the whole screen" });
  panel.dialog.addEventListener("close", () => panel.holder.append(panel.root));
  toolbar(panel);
  let waiting;
  const remember = () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => history.replaceState(null, "", write(panel, panel.dialog.open ? { present: 1 } : {})), 400);
  };
  for (const name of ["input", "change"]) panel.root.addEventListener(name, remember);
}

// What is wider than its place scrolls there; with the keys, too, if it takes the focus. (The theme sees to code.)
function reachable() {
  for (const place of document.querySelectorAll("article :is(table, .formula)")) {
    if (place.scrollWidth > place.clientWidth) place.tabIndex = 0;
    else place.removeAttribute("tabindex");
  }
}

// In a folder no page can read another, so a search shows titles only.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

async function begin() {
  const panels = [];
  for (const holder of document.querySelectorAll(".kdkit-alive")) {
    try {
      panels.push(await brought(holder, panels.length + 1));
      presentable(panels[panels.length - 1]);
      holder.classList.add("kdkit-moves"); // hides the still picture
    } catch (error) {
      holder.replaceChildren();
      console.warn(`A panel stays a picture: ${error.message}`);
    }
  }
  reachable();
  read(panels);
  window.addEventListener("hashchange", () => read(panels));
}

document.addEventListener("DOMContentLoaded", begin);
window.addEventListener("resize", reachable);
