"use strict";
const $ = id => document.getElementById(id), all = (selector, root = document) => [...root.querySelectorAll(selector)];
const SVG = "http://www.w3.org/2000/svg", WAIT = 350, canvas = $("canvas"), context = canvas.getContext("2d");
const NAMES = {refined: "refined", coarse: "as drawn", rejected: "rejected", 1: "candidate 1", 2: "candidate 2", 3: "candidate 3"};
let photo = null, picture = null, objects = [], current = 0, tool = "brush", stroke = null, corners = [], latest = 0, waiting = null;
let folder = null, place = 0;

function element(name, attributes, ...children) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}
function tag(name, properties, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}

// Requests

async function request(action, given = {}) {
  const answer = await fetch("/" + action, {method: "POST", headers: {"X-Samref": "1", "Content-Type": "application/json"}, body: JSON.stringify(given)});
  const values = await answer.json();
  if (!answer.ok) throw new Error(values.problem);
  return values;
}
async function trying(work) {
  try {
    say("");
    return await work();
  } catch (error) {
    say(error.message);
  }
}
function say(problem) {
  $("problem").textContent = problem;
  $("problem").hidden = !problem;
}
async function content(file) {
  const url = await new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = () => failed(new Error(`${file.name} cannot be read`));
    reader.readAsDataURL(file);
  });
  return {name: file.name, content: url.slice(url.indexOf(",") + 1)};
}
function loaded(url) {
  return new Promise((done, failed) => {
    const image = new Image();
    image.onload = () => done(image);
    image.onerror = () => failed(new Error("the picture cannot be shown"));
    image.src = url;
  });
}

// Photo and objects

async function open(answer) {
  picture = await loaded(answer.picture);
  photo = answer;
  [canvas.width, canvas.height] = answer.size;
  $("stage").style.setProperty("--ratio", answer.size[0] / answer.size[1]);
  $("overlay").setAttribute("viewBox", `0 0 ${answer.size[0]} ${answer.size[1]}`);
  objects = [];
  corners = [];
  for (const url of answer.masks) (await addObject()).getContext("2d").drawImage(await loaded(url), 0, 0);
  objects.forEach(object => tint(object.layer));
  if (!objects.length) await addObject();
  select(0);
  refine();
}
async function addObject() {
  const layer = tag("canvas", {width: photo.size[0], height: photo.size[1]});
  objects.push({layer, undo: [], result: null, chosen: "refined"});
  return layer;
}
function tint(layer) {
  const pen = layer.getContext("2d");
  pen.globalCompositeOperation = "source-in";
  pen.fillStyle = "#ffa600";
  pen.fillRect(0, 0, layer.width, layer.height);
  pen.globalCompositeOperation = "source-over";
}
function select(k) {
  current = Math.min(Math.max(k, 0), objects.length - 1);
  corners = [];
  $("objects").replaceChildren(...objects.map((_, n) => {
    const button = tag("button", {type: "button", className: "chip", textContent: `object ${n + 1}`, onclick: () => select(n)});
    button.setAttribute("aria-current", n === current);
    return button;
  }), tag("button", {type: "button", id: "add", textContent: "+ object", onclick: async () => { await addObject(); select(objects.length - 1); }}),
  tag("button", {type: "button", id: "remove", textContent: "remove", disabled: objects.length < 2, onclick: () => { objects.splice(current, 1); select(current); refine(); }}));
  draw();
  describe();
}

// Drawing

const scale = () => canvas.width / canvas.getBoundingClientRect().width;
function at(event) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) * scale(), (event.clientY - box.top) * scale()];
}
function remember() {
  const {layer, undo} = objects[current];
  undo.push(layer.getContext("2d").getImageData(0, 0, layer.width, layer.height));
  if (undo.length > 20) undo.shift();
}
function fill(path, erase = false) {
  const pen = objects[current].layer.getContext("2d");
  pen.fillStyle = pen.strokeStyle = "#ffa600";
  pen.globalCompositeOperation = erase ? "destination-out" : "source-over";
  path(pen);
  pen.globalCompositeOperation = "source-over";
}
function line(from, to) {
  fill(pen => {
    pen.lineWidth = $("width").value * scale();
    pen.lineCap = "round";
    pen.beginPath();
    pen.moveTo(...from);
    pen.lineTo(...to);
    pen.stroke();
  }, tool === "erase");
}
function finishPolygon() {
  if (corners.length > 2) {
    remember();
    fill(pen => {
      pen.beginPath();
      corners.forEach(corner => pen.lineTo(...corner));
      pen.fill();
    });
    refine();
  }
  corners = [];
  draw();
}
canvas.onpointerdown = event => {
  const point = at(event);
  if (tool === "polygon") {
    // A click beside the first corner closes it.
    if (corners.length > 2 && Math.hypot(point[0] - corners[0][0], point[1] - corners[0][1]) < 12 * scale()) return finishPolygon();
    corners.push(point);
    return draw();
  }
  canvas.setPointerCapture(event.pointerId);
  remember();
  stroke = [point, point];
  if (tool !== "box") line(point, point);
  draw();
};
canvas.onpointermove = event => {
  if (!stroke) return;
  const point = at(event);
  if (tool !== "box") line(stroke[1], point);
  stroke[1] = point;
  draw();
};
canvas.onpointerup = canvas.onpointercancel = () => {
  if (!stroke) return;
  const [[x0, y0], [x1, y1]] = stroke;
  if (tool === "box") fill(pen => pen.fillRect(Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0)));
  stroke = null;
  draw();
  refine();
};
canvas.ondblclick = () => tool === "polygon" && finishPolygon();

const on = layer => $("drawing").querySelector(`[data-layer=${layer}]`).getAttribute("aria-pressed") === "true";
function draw() {
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (picture) context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  if (on("drawn")) {
    objects.forEach(({layer}, k) => {
      context.globalAlpha = k === current ? 0.5 : 0.25;
      context.drawImage(layer, 0, 0);
    });
    context.globalAlpha = 1;
  }
  const parts = [];
  objects.forEach((object, k) => {
    const found = object.result && object.result.choices.find(choice => choice.name === object.chosen);
    if (on("result") && found) parts.push(outlined(found, k === current ? "current" : ""));
  });
  if (on("prompts") && objects[current] && objects[current].result) parts.push(...prompts(objects[current].result));
  if (stroke && tool === "box") {
    const [[x0, y0], [x1, y1]] = stroke;
    parts.push(element("rect", {class: "box", x: Math.min(x0, x1), y: Math.min(y0, y1), width: Math.abs(x1 - x0), height: Math.abs(y1 - y0)}));
  }
  if (corners.length) parts.push(element("path", {class: "box", d: "M" + corners.map(corner => corner.join(" ")).join("L")}),
    element("circle", {cx: corners[0][0], cy: corners[0][1], r: 6 * scale(), class: "plus"}));
  $("overlay").replaceChildren(...parts);
}
function outlined(choice, className) {
  return element("g", {class: `${className} ${choice.name === "coarse" || choice.name === "rejected" ? choice.name : ""}`},
    element("path", {class: "halo", d: choice.path}), element("path", {class: "mask", d: choice.path}));
}
function prompts({points, box}) {
  const parts = points.map(([cx, cy, label]) => element("circle", {cx, cy, r: 6 * scale(), class: label === 1 ? "plus" : "minus"}));
  if (box) parts.unshift(element("rect", {class: "box", x: box[0], y: box[1], width: box[2] - box[0] + 1, height: box[3] - box[1] + 1}));
  return parts;
}

// Refining: the latest drawing wins

function settings() {
  return Object.fromEntries(all("[data-key]").map(input => [input.dataset.key, input.type === "checkbox" ? input.checked : input.type === "range" ? +input.value : input.value]));
}
const preset = () => document.querySelector("[name=preset]:checked").value;
function refine() {
  clearTimeout(waiting);
  waiting = setTimeout(() => trying(refineNow), WAIT);
}
async function refineNow() {
  const number = ++latest, sent = [...objects], given = {photo: photo.photo, masks: sent.map(({layer}) => layer.toDataURL()), settings: settings(), preset: preset()};
  if (!sent.some(({layer}) => layer.getContext("2d").getImageData(0, 0, layer.width, layer.height).data.some((value, k) => k % 4 === 3 && value))) {
    objects.forEach(object => { object.result = null; });
    document.body.classList.remove("busy");
    draw();
    return describe();
  }
  document.body.classList.add("busy");
  try {
    const answer = await request("refine", given);
    if (number !== latest) return;
    sent.forEach((object, k) => {
      object.result = answer.objects[k];
      // What came out of another drawing is chosen anew.
      object.chosen = "refined";
    });
    $("seconds").textContent = Object.entries(answer.seconds).map(([stage, value]) => `${stage} ${value.toFixed(2)} s`).join(", ");
    $("command").textContent = answer.command;
    draw();
    describe();
  } finally {
    if (number === latest) document.body.classList.remove("busy");
  }
}
function describe() {
  const object = objects[current], result = object && object.result;
  $("choices").replaceChildren(...(result ? result.choices.map(choice => makeChoice(object, choice)) : []));
  if (!result) return $("verdict").replaceChildren("Draw over an object.");
  const words = [tag("b", {textContent: result.flag})];
  if (result.reason) words.push(`: ${result.reason}`);
  if (result.score !== null) words.push(`. Score ${result.score.toFixed(3)}`);
  $("verdict").replaceChildren(...words);
}
function makeChoice(object, choice) {
  const box = bounds(), name = tag("b", {textContent: NAMES[choice.name]}), facts = [`IoU with yours ${choice.agreement.toFixed(3)}`];
  if (choice.predicted !== null) facts.unshift(`predicted ${choice.predicted.toFixed(3)}`);
  if (+choice.name === object.result.candidate && object.result.flag === "refined") facts.push("the model's choice");
  const shown = element("svg", {viewBox: box.join(" ")}, element("image", {href: photo.picture, width: photo.size[0], height: photo.size[1]}), outlined(choice, "current"));
  const button = tag("button", {type: "button", className: "choice", onclick: () => { object.chosen = choice.name; draw(); describe(); $("choices").querySelector(`[data-name="${choice.name}"]`).focus(); }},
    shown, tag("span", {}, name, tag("small", {textContent: facts.join(", ")})));
  button.dataset.name = choice.name;
  button.setAttribute("role", "radio");
  button.setAttribute("aria-checked", object.chosen === choice.name);
  return button;
}
// What thumbnails show: the surroundings of the object's refined mask.
function bounds() {
  const holder = element("svg", {style: "position:absolute;visibility:hidden"}), choices = objects[current].result.choices.filter(({name}) => name === "refined" || name === "coarse");
  holder.append(...choices.map(({path}) => element("path", {d: path})));
  document.body.append(holder);
  const {x, y, width, height} = holder.getBBox(), margin = 0.2 * Math.max(width, height, 20);
  holder.remove();
  const [left, top] = [Math.max(x - margin, 0), Math.max(y - margin, 0)];
  return [left, top, Math.min(x + width + margin, photo.size[0]) - left, Math.min(y + height + margin, photo.size[1]) - top];
}

// Controls

all("[data-tool]").forEach(button => button.onclick = () => {
  if (tool === "polygon") finishPolygon();
  tool = button.dataset.tool;
  all("[data-tool]").forEach(other => other.setAttribute("aria-pressed", other === button));
});
all(".layer").forEach(button => button.onclick = () => { button.setAttribute("aria-pressed", !on(button.dataset.layer)); draw(); });
$("undo").onclick = () => {
  if (corners.length) corners.pop();
  else if (objects[current].undo.length) {
    objects[current].layer.getContext("2d").putImageData(objects[current].undo.pop(), 0, 0);
    refine();
  }
  draw();
};
$("clear").onclick = () => {
  remember();
  objects[current].layer.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  draw();
  refine();
};
$("photo").onchange = event => trying(async () => {
  if (event.target.files[0]) await open(await request("photo", await content(event.target.files[0])));
  event.target.value = "";
});
$("maskfile").onchange = event => trying(async () => {
  for (const file of event.target.files) {
    const {mask} = await request("mask", {photo: photo.photo, ...await content(file)}), drawn = await loaded(mask);
    const blank = document.createElement("canvas");
    [blank.width, blank.height] = photo.size;
    if (objects[current].layer.toDataURL() !== blank.toDataURL()) { await addObject(); current = objects.length - 1; }
    objects[current].layer.getContext("2d").drawImage(drawn, 0, 0);
    tint(objects[current].layer);
  }
  event.target.value = "";
  select(current);
  refine();
});
all("[data-key]").forEach(input => input.oninput = () => {
  const output = input.parentNode.querySelector("output");
  if (output) output.textContent = input.value;
  refine();
});
all("[name=preset]").forEach(radio => radio.onchange = () => trying(async () => {
  for (const [key, value] of Object.entries(await request("settings", {preset: preset()}))) {
    const input = document.querySelector(`[data-key="${key}"]`), output = input.parentNode.querySelector("output");
    if (input.type === "checkbox") input.checked = value; else input.value = value;
    if (output) output.textContent = input.value;
  }
  refine();
}));
const chosen = () => objects.map(object => object.chosen);
$("download").onclick = () => trying(async () => {
  const {name, content} = await request("save", {photo: photo.photo, chosen: chosen(), form: $("form").value});
  tag("a", {href: "data:application/octet-stream;base64," + content, download: name}).click();
});

// A folder

$("folders").onclick = () => {
  $("folder").hidden = !$("folder").hidden;
  $("folders").setAttribute("aria-pressed", !$("folder").hidden);
};
$("folder").onsubmit = event => {
  event.preventDefault();
  trying(async () => {
    folder = await request("folder", Object.fromEntries(["images", "masks", "output"].map(key => [key, $(key).value])));
    $("walk").hidden = false;
    await go(Math.max(folder.written.indexOf(false), 0));
  });
};
async function go(k) {
  place = Math.min(Math.max(k, 0), folder.names.length - 1);
  $("where").textContent = `${place + 1} of ${folder.names.length}: ${folder.names[place]}`;
  $("done").textContent = `${folder.written.filter(Boolean).length} written${folder.written[place] ? ", this one too" : ""}`;
  // Nothing is written of an image that could not be opened.
  $("accept").disabled = $("reject").disabled = true;
  await open(await request("item", {index: place}));
  $("accept").disabled = $("reject").disabled = false;
}
async function write(action, given) {
  await request(action, {photo: photo.photo, ...given});
  folder.written[place] = true;
  await go(place + 1);
}
$("back").onclick = () => trying(() => go(place - 1));
$("forth").onclick = () => trying(() => go(place + 1));
$("accept").onclick = () => trying(() => write("accept", {chosen: chosen()}));
$("reject").onclick = () => trying(() => write("keep", {}));

trying(async () => open(await request("example")));
