"use strict";
const $ = id => document.getElementById(id), all = (selector, root = document) => [...root.querySelectorAll(selector)];
const SVG = "http://www.w3.org/2000/svg", MASKS = ["coarse", "refined", "truth", "rejected"];
// Later ones lie over earlier ones.
const DRAWN = ["truth", "coarse", "refined", "rejected", "prompts"];
const grid = $("grid"), dialog = $("dialog"), index = JSON.parse($("index").textContent), sources = all("script.item");
const names = index.map(entry => `${entry.image} ${entry.object}`);
const switches = all(".layer").map(button => button.dataset.layer);
// Rows beyond the window that are kept, so that none is seen being drawn.
const AHEAD = 2, ROW = 372, GAP = 16;
let group = "", order = [], current = null, view = "compare";

function element(name, attributes, ...children) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function tag(name, className, ...children) {
  const node = document.createElement(name);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

const fraction = value => value.toFixed(3);
const signed = value => (value < 0 ? "−" : "+") + Math.abs(100 * value).toFixed(1);
const item = n => JSON.parse(sources[n].textContent);

// Pictures

function picture(drawn) {
  const [height, width] = drawn.size;
  return drawn.picture ? [element("image", {width, height, href: drawn.picture})] : [];
}

function layer(drawn, name, className = "") {
  if (name === "prompts") return element("g", {class: `prompts ${className}`}, ...prompts(drawn));
  const d = drawn.paths[name];
  return element("g", {class: `${name} ${className}`}, element("path", {class: "halo", d}), element("path", {class: "mask", d}));
}

function prompts(drawn) {
  const [height, width] = drawn.size, parts = [];
  if (drawn.heat) parts.push(element("image", {class: "heat", width, height, preserveAspectRatio: "none", href: drawn.heat}));
  if (drawn.box) {
    const [x0, y0, x1, y1] = drawn.box, place = {x: x0, y: y0, width: x1 - x0, height: y1 - y0};
    parts.push(element("rect", {class: "under", ...place}), element("rect", {class: "box", ...place}));
  }
  // Marks keep their size on screen by being sized in shares of the picture.
  const unit = Math.max(height, width) / 100;
  for (const [x, y, label] of drawn.points) {
    parts.push(element("g", {transform: `translate(${x} ${y}) scale(${unit})`},
      element("circle", {class: `dot ${label === 1 ? "plus" : "minus"}`, r: 2.6}),
      element("path", {class: "sign", d: label === 1 ? "M-1.4 0H1.4M0 -1.4V1.4" : "M-1.4 0H1.4"})));
  }
  return parts;
}

function svg(drawn, label, ...layers) {
  const [height, width] = drawn.size;
  return element("svg", {class: "view", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label}, ...picture(drawn), ...layers);
}

const layersOf = drawn => DRAWN.filter(name => name === "prompts" ? drawn.points.length || drawn.box || drawn.heat : name in drawn.paths);
const masksOf = drawn => MASKS.filter(name => name in drawn.paths);

// Cards

function makeCard(n) {
  const {image, object, groups, numbers} = index[n], drawn = item(n);
  const card = tag("article", "card", svg(drawn, "picture with outlines", ...layersOf(drawn).map(name => layer(drawn, name, "toggled"))));
  card.tabIndex = 0;
  card.dataset.n = n;
  card.setAttribute("aria-label", names[n]);
  const about = tag("div", "about", tag("div", "name", `${image} `, tag("span", "", object)), measured(numbers));
  about.firstChild.title = names[n];
  if (drawn.reason) {
    about.append(tag("div", "why", drawn.reason));
    about.lastChild.title = drawn.reason;
  }
  about.append(tags(drawn, groups));
  if (drawn.paths.rejected) about.append(rejectedButton(card));
  card.append(about);
  return card;
}

function measured(numbers) {
  const row = tag("div", "numbers");
  if ("gain" in numbers) {
    row.append(tag("span", "", tag("small", "", "IoU"), ` ${fraction(numbers.coarse_iou)} → `, tag("b", "", fraction(numbers.refined_iou)), " ",
      tag("span", numbers.gain >= 0 ? "won" : "lost", signed(numbers.gain))));
  }
  // A score contains the predicted IoU.
  const more = "score" in numbers ? ["score", "agreement"] : ["predicted_iou", "agreement"];
  for (const name of more)
    if (name in numbers) row.append(tag("span", "", tag("small", "", name.split("_")[0]), ` ${fraction(numbers[name])}`));
  return row;
}

function tags(drawn, groups) {
  return tag("div", "tags", ...(drawn.flag === "refined" ? [] : [tag("span", "tag flag", drawn.flag)]),
    ...groups.filter(name => name !== drawn.flag).map(name => tag("span", "tag", name)));
}

function rejectedButton(card) {
  const button = tag("button", "against", "what was rejected");
  button.type = "button";
  button.setAttribute("aria-pressed", "false");
  button.onclick = event => {
    event.stopPropagation();
    button.setAttribute("aria-pressed", card.classList.toggle("shows-rejected"));
  };
  return button;
}

// The grid holds the cards in view only.

const made = new Map();
function columns() { return Math.max(Math.floor((grid.clientWidth + GAP) / (Math.min(270, grid.clientWidth) + GAP)), 1); }

function fill() {
  const across = columns(), rows = Math.ceil(order.length / across), step = ROW + GAP, top = -grid.getBoundingClientRect().top;
  const first = Math.max(Math.floor(top / step) - AHEAD, 0), last = Math.min(Math.ceil((top + innerHeight) / step) + AHEAD, rows);
  place(order.slice(first * across, last * across), first, rows);
}

function place(wanted, first, rows) {
  const step = ROW + GAP, keep = new Set(wanted);
  for (const [n, card] of made) if (!keep.has(n)) { card.remove(); made.delete(n); }
  let before = null;
  for (const n of wanted) {
    if (!made.has(n)) made.set(n, makeCard(n));
    const card = made.get(n), next = before ? before.nextSibling : grid.firstChild;
    // A card in its place is not moved: it would lose the focus.
    if (card !== next) grid.insertBefore(card, next);
    before = card;
  }
  grid.style.paddingTop = `${first * step}px`;
  grid.style.height = `${Math.max(rows * step - GAP, 0)}px`;
}

function focusCard(position) {
  const n = order[Math.min(Math.max(position, 0), order.length - 1)];
  if (n === undefined) return;
  if (!made.has(n)) {
    const step = ROW + GAP, row = Math.floor(order.indexOf(n) / columns());
    scrollTo(0, grid.getBoundingClientRect().top + scrollY + row * step - innerHeight / 3);
    fill();
  }
  made.get(n).focus();
}

function arrange() {
  const [name, way] = $("sort").value.split(" "), sign = way === "down" ? -1 : 1, text = $("search").value.toLowerCase();
  order = index.map((_, n) => n).filter(n => (!group || index[n].groups.includes(group)) && names[n].toLowerCase().includes(text));
  if (name === "name") {
    const collator = new Intl.Collator(undefined, {numeric: true});
    order.sort((a, b) => collator.compare(names[a], names[b]));
  } else if (name) {
    // What was not measured stands last, whichever way.
    const known = n => name in index[n].numbers;
    order.sort((a, b) => known(b) - known(a) || (known(a) && sign * (index[a].numbers[name] - index[b].numbers[name])) || a - b);
  }
  $("shown").textContent = `${order.length} sample${order.length === 1 ? "" : "s"}`;
  $("none").hidden = order.length > 0;
  fill();
}

// One sample, large

function show(n) {
  const drawn = item(n), masks = masksOf(drawn), changed = current !== n;
  current = n;
  $("heading").textContent = names[n];
  if (changed) {
    // A kept mask is its coarse one: what it is to be compared with is what was rejected.
    const right = masks.includes("rejected") ? "rejected" : masks.includes("refined") ? "refined" : "image";
    for (const [id, chosen] of [["left", masks.includes("coarse") ? "coarse" : "image"], ["right", right]])
      $(id).replaceChildren(...["image", ...masks].map(name => new Option(name, name, false, name === chosen)));
  }
  stage(drawn);
  const mined = layersOf(drawn).includes("prompts") ? [layer(drawn, "prompts")] : [];
  $("side").replaceChildren(...(drawn.reason ? [tag("p", "", drawn.reason)] : []), tags(drawn, index[n].groups),
    tag("div", "panels", ...masks.map(name => name === "coarse" && mined.length
      ? panel(drawn, "coarse, with its prompts", layer(drawn, name), ...mined) : panel(drawn, name, layer(drawn, name, "filled")))),
    ...tables(drawn, index[n].numbers));
  if (!dialog.open) dialog.showModal();
}

function panel(drawn, caption, ...layers) { return tag("figure", "", tag("figcaption", "", caption), svg(drawn, caption, ...layers)); }

function stage(drawn) {
  $("comparing").hidden = $("slider").hidden = view !== "compare";
  $("outlining").hidden = view === "compare";
  $("stage").classList.toggle("compared", view === "compare");
  const overlay = layersOf(drawn).includes("prompts") ? [layer(drawn, "prompts", "toggled")] : [];
  if (view === "compare") {
    const sides = ["left", "right"].map(side => element("g", {"clip-path": `url(#clip-${side})`},
      ...($(side).value === "image" ? [] : [layer(drawn, $(side).value, "filled")])));
    const clips = ["left", "right"].map(side => element("clipPath", {id: `clip-${side}`}, element("rect", {y: 0, height: drawn.size[0]})));
    const edges = ["edge under", "edge"].map(name => element("line", {class: name, y1: 0, y2: drawn.size[0]}));
    $("view").replaceChildren(svg(drawn, `${$("left").value} left, ${$("right").value} right of the line`, ...clips, ...sides, ...overlay, ...edges));
    divide();
  } else $("view").replaceChildren(svg(drawn, "image with what is switched on", ...layersOf(drawn).map(name => layer(drawn, name, "toggled"))));
}

function divide() {
  const box = $("view").querySelector("svg").viewBox.baseVal, x = $("slider").value * box.width;
  const place = (side, from, to) => { const rect = $("clip-" + side).firstChild; rect.setAttribute("x", from); rect.setAttribute("width", to - from); };
  place("left", 0, x);
  place("right", x, box.width);
  all(".edge", $("view")).forEach(line => { line.setAttribute("x1", x); line.setAttribute("x2", x); });
}

function drag(event) {
  const shown = $("view").querySelector("svg");
  if (view !== "compare" || !shown || (event.type === "pointermove" && !event.buttons)) return;
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(shown.getScreenCTM().inverse());
  $("slider").value = Math.min(Math.max(point.x / shown.viewBox.baseVal.width, 0), 1);
  divide();
}

function tables(drawn, numbers) {
  const row = (head, ...cells) => tag("tr", "", tag("th", "", head), ...cells.map(cell => tag("td", "", cell)));
  const [x0, y0, x1, y1] = drawn.window, about = tag("table", "");
  for (const [name, value] of Object.entries(numbers)) about.append(row(name.replaceAll("_", " ").replace("iou", "IoU"), fraction(value)));
  if (drawn.picture) about.append(row("shown", `x ${x0} to ${x1}, y ${y0} to ${y1} of the image`));
  if (!drawn.candidates.length) return [about];
  const truth = drawn.candidates[0][1] !== null, head = tag("tr", "", ...["candidate", "predicted IoU", ...(truth ? ["true IoU"] : [])].map(word => tag("th", "", word)));
  const rows = drawn.candidates.map(([predicted, actual], k) => {
    const chosen = k === drawn.chosen, line = tag("tr", chosen ? "chosen" : "", tag("td", "", `${k + 1}${chosen ? " (chosen)" : ""}`), tag("td", "", fraction(predicted)));
    if (truth && actual !== null) line.append(tag("td", "", fraction(actual)));
    return line;
  });
  return [about, tag("table", "", head, ...rows)];
}

// Controls

function toggle(name) {
  const hidden = document.body.classList.toggle("hide-" + name);
  all(`.layer[data-layer=${name}]`).forEach(button => button.setAttribute("aria-pressed", !hidden));
}

function look(name) {
  view = name;
  all("[data-view]").forEach(button => button.setAttribute("aria-pressed", button.dataset.view === name));
  stage(item(current));
}

function walk(step) { show(order[Math.min(Math.max(order.indexOf(current) + step, 0), order.length - 1)]); }

function theme() {
  const root = document.documentElement, dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
}

all("[data-group]").forEach(button => button.onclick = () => {
  group = button.dataset.group;
  all("[data-group]").forEach(other => other.setAttribute("aria-pressed", other === button));
  arrange();
});
all(".layer").forEach(button => $("outlining").append(button.cloneNode(true)));
all(".layer").forEach(button => button.onclick = () => toggle(button.dataset.layer));
all("[data-view]").forEach(button => button.onclick = () => look(button.dataset.view));
grid.onclick = event => { const card = event.target.closest(".card"); if (card) show(+card.dataset.n); };
for (const id of ["sort", "search"]) $(id).oninput = arrange;
for (const id of ["left", "right"]) $(id).onchange = () => stage(item(current));
$("slider").oninput = divide;
$("view").onpointerdown = $("view").onpointermove = drag;
$("previous").onclick = () => walk(-1);
$("next").onclick = () => walk(1);
$("close").onclick = () => dialog.close();
dialog.onclose = () => focusCard(order.indexOf(current));
$("theme").onclick = theme;
addEventListener("scroll", fill, {passive: true});
addEventListener("resize", fill);
addEventListener("beforeprint", () => place(order, 0, Math.ceil(order.length / columns())));
addEventListener("afterprint", fill);

document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select")) return;
  const focused = document.activeElement.closest(".card"), at = focused ? order.indexOf(+focused.dataset.n) : -1;
  const steps = {ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns(), ArrowUp: -columns(), Home: -order.length, End: order.length};
  const switched = switches[event.key - 1];
  if (switched) toggle(switched);
  else if (event.key === "d") theme();
  else if (dialog.open && (event.key === "c" || event.key === "o")) look(event.key === "c" ? "compare" : "outlines");
  else if (dialog.open && Math.abs(steps[event.key]) === 1) walk(steps[event.key]);
  else if (!dialog.open && event.key in steps && (focused || document.activeElement === document.body)) focusCard(focused ? at + steps[event.key] : 0);
  else if (event.key === "Enter" && document.activeElement === focused && focused && !dialog.open) show(+focused.dataset.n);
  else return;
  event.preventDefault();
});
arrange();
