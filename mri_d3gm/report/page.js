"use strict";

const facts = JSON.parse(document.getElementById("facts").textContent);
const UNIT = 100 / facts.white; // NiiVue cannot show values near 1e-6: on the page white is 100
const place = { mm: null, slice: 0, frame: 0, shown: "result", overlay: 0, low: 0, high: 100 };
const images = {}; // NVImage by role; overlay is a second one of std
const LINE = 0.2; // width of the large view's crosshair, percent of it
const DOUBT = { R: [160, 220, 255, 255], G: [40, 80, 150, 240], B: [40, 30, 40, 120], A: [1, 255, 255, 255], I: [0, 80, 170, 255] };
const FADING = 1; // NiiVue's ZERO_TO_MAX_TRANSPARENT_BELOW_MIN
const panes = []; // {role, nv, stage}
const { Niivue, NVImage, DRAG_MODE, SLICE_TYPE } = globalThis.niivue;

function element(parent, name, options = {}, text = "") {
  const made = Object.assign(document.createElement(name), options);
  made.textContent = text;
  parent.append(made);
  return made;
}

function hasWebGL2() {
  return document.createElement("canvas").getContext("webgl2") !== null;
}

function short(value) {
  if (value === null || value === undefined) return "unknown";
  return value && Math.abs(value) < 1e-3 ? value.toExponential(2) : Number(value.toPrecision(3)).toString();
}

function times(matrix, vector) {
  return [0, 1, 2].map((row) => matrix[row][0] * vector[0] + matrix[row][1] * vector[1] + matrix[row][2] * vector[2] + matrix[row][3]);
}

// of all slices of all frames that there are, the record of one of those embedded
function numberOf(slice, frame) {
  return facts.keptFrames[frame] * facts.count + facts.keptSlices[slice];
}

async function volume(role) {
  const text = document.getElementById(`volume-${role}`).textContent;
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const image = await NVImage.loadFromUrl({ url: bytes.buffer, name: `${role}.nii.gz` });
  image.hdr.scl_slope *= UNIT;
  image.hdr.scl_inter *= UNIT;
  [image.global_min, image.global_max] = [0, 300]; // how far a drag can move the window
  return image;
}

// the absolute difference of two volumes on one grid
async function difference(one, other) {
  const made = await volume("result"), values = new Float32Array(one.img.length);
  const value = (image, index) => image.img[index] * image.hdr.scl_slope + image.hdr.scl_inter;
  for (let index = 0; index < values.length; index += 1) values[index] = Math.abs(value(one, index) - value(other, index));
  made.img = values;
  Object.assign(made.hdr, { datatypeCode: 16, numBitsPerVoxel: 32, scl_slope: 1, scl_inter: 0 });
  return made;
}

function window_(image, map) {
  const factor = map ? 1 / facts.gain : 1;
  image.cal_min = place.low * factor;
  image.cal_max = place.high * factor;
}

function windowed() {
  for (const view of facts.views) window_(images[view.role], view.map);
  if (images.overlay) {
    window_(images.overlay, true);
    images.overlay.cal_min = 0.6 * images.overlay.cal_max; // below, it fades with the square
  }
  document.getElementById("window").textContent = `window ${short(place.low / UNIT)} – ${short(place.high / UNIT)}`;
}

function redraw() {
  for (const pane of panes) {
    const base = images[pane.large ? place.shown : pane.role];
    pane.nv.volumes = pane.large && images.overlay ? [base, images.overlay] : [base];
    pane.nv.back = base;
    pane.nv.overlays = pane.nv.volumes.slice(1);
    pane.nv.updateGLVolume();
  }
}

function show(role) {
  if (!images[role] || role === place.shown) return;
  place.shown = role;
  const large = panes[0], view = roleOf(role);
  large.nv.volumes[0] = large.nv.back = images[role];
  large.nv.updateGLVolume();
  large.tag.textContent = view.name;
  large.tag.className = `tag ${colour(role)}`;
  for (const button of document.querySelectorAll(".choice button")) button.ariaPressed = String(button.dataset.role === role);
}

function roleOf(role) {
  return facts.views.find((view) => view.role === role);
}

function colour(role) {
  return role === "result" && facts.ai ? "ai" : role === "result" ? "plain" : role;
}

function flicker() {
  show(place.shown === "result" ? (images.plain ? "plain" : "reference") : "result");
}

function overlay(share) {
  place.overlay = share;
  document.getElementById("overlay").value = Math.round(100 * share);
  images.overlay.opacity = share;
  panes[0].nv.updateGLVolume();
}

// all panes to where one of them is
function follow(pane, mm) {
  const voxel = times(facts.inverse, mm);
  place.mm = Array.from(mm).slice(0, 3);
  place.slice = Math.min(Math.max(Math.round(voxel[2]), 0), facts.keptSlices.length - 1);
  for (const other of panes) {
    if (other === pane) continue;
    other.nv.scene.crosshairPos = [...pane.nv.scene.crosshairPos];
    other.nv.scene.pan2Dxyzmm = [...pane.nv.scene.pan2Dxyzmm];
    other.nv.drawScene();
  }
  describe();
}

function go(slice) {
  const wanted = Math.min(Math.max(slice, 0), facts.keptSlices.length - 1);
  const voxel = times(facts.inverse, place.mm);
  const large = panes[0];
  large.nv.scene.crosshairPos = large.nv.mm2frac(times(facts.affine, [voxel[0], voxel[1], wanted]), 0, true);
  large.nv.drawScene();
  follow(large, large.nv.frac2mm(large.nv.scene.crosshairPos, 0, true));
}

function goNear(number) {
  const slice = number % facts.count, frame = Math.floor(number / facts.count);
  const nearest = (kept, wanted) => kept.reduce((best, one, index) => (Math.abs(one - wanted) < Math.abs(kept[best] - wanted) ? index : best), 0);
  toFrame(nearest(facts.keptFrames, frame));
  go(nearest(facts.keptSlices, slice));
}

function toFrame(frame) {
  if (frame === place.frame) return;
  place.frame = frame;
  for (const image of Object.values(images)) image.frame4D = frame;
  document.getElementById("frame").value = frame;
  redraw();
  strip();
  describe();
}

function zoom(factor) {
  const { nv } = panes[0], pan = nv.scene.pan2Dxyzmm;
  const size = factor ? Math.min(Math.max(pan[3] * factor, 1), 10) : 1;
  for (const pane of panes) {
    pane.nv.scene.pan2Dxyzmm = size === 1 ? [0, 0, 0, 1] : [pan[0], pan[1], pan[2], size];
    pane.nv.drawScene();
  }
}

// the words on the slice that is shown
function describe() {
  const number = numberOf(place.slice, place.frame), one = facts.slices[number];
  const section = document.getElementById("slice");
  section.replaceChildren();
  element(section, "h2", {}, `Slice ${one.Slice} · ${facts.keptSlices[place.slice] + 1} of ${facts.count}`);
  const table = element(section, "table");
  const row = (name, value, doubted = false) => {
    const line = element(table, "tr");
    element(line, "th", {}, name);
    return element(line, "td", { className: doubted ? "doubted" : "" }, value);
  };
  for (const lane of facts.lanes) {
    const value = lane.values[number];
    row(lane.name, value === null ? "unknown" : short(value) + lane.unit, lane.doubted[number]);
  }
  if (one.Light) row("Light", one.Light).dataset.light = one.Light;
  if (one.CoilMaps) row("Coil maps", one.CoilMaps);
  element(element(table, "tr"), "th", { className: "part", colSpan: 2 }, "At the crosshair");
  for (const view of facts.views) {
    const image = images[view.role], voxel = image.mm2vox(place.mm);
    row(view.name, short(image.getValue(voxel[0], voxel[1], voxel[2], place.frame) / UNIT));
  }
  const list = element(section, "ul");
  for (const flag of one.Flags) element(list, "li", { className: facts.notes.includes(flag) ? "" : "doubted" }, facts.flags[flag]);
  for (const pick of document.querySelectorAll(".pick")) pick.ariaCurrent = String(Number(pick.dataset.number) === number);
}

function strip() {
  const footer = document.getElementById("strip");
  footer.replaceChildren();
  const names = element(footer, "div", { className: "names" });
  element(names, "span");
  for (const lane of facts.lanes) {
    const name = element(names, "span", { title: lane.meaning }, `${lane.name} `);
    element(name, "b", {}, `≤ ${short(lane.top)}${lane.unit}`);
  }
  element(names, "span", {}, "Slice");
  const bars = element(footer, "div", { className: "bars" });
  const first = facts.keptFrames[place.frame] * facts.count, every = Math.ceil(facts.count / 36);
  for (let index = 0; index < facts.count; index += 1) {
    const number = first + index, one = facts.slices[number];
    const doubts = one.Flags.filter((flag) => !facts.notes.includes(flag));
    const said = facts.lanes.map((lane) => `${lane.name}: ${lane.values[number] === null ? "unknown" : short(lane.values[number]) + lane.unit}`);
    const pick = element(bars, "button", { className: "pick", title: [`Slice ${one.Slice}`, ...said, ...one.Flags.map((flag) => facts.flags[flag])].join("\n") });
    pick.dataset.number = number;
    if (one.Light) pick.dataset.light = one.Light;
    pick.classList.toggle("left", !facts.keptSlices.includes(index));
    element(pick, "span", { className: "mark" }, doubts.length ? "▲" : "");
    for (const lane of facts.lanes) {
      const place = element(pick, "span", { className: "lane" }), value = lane.values[number];
      if (value === null) continue;
      element(place, "i", { className: lane.doubted[number] ? "doubted" : "" }).style.height = `${(100 * value) / lane.top}%`;
    }
    element(pick, "span", { className: "number" }, index % every === 0 ? one.Slice : "");
    pick.addEventListener("click", () => goNear(number));
  }
}

function frameChoice(parent) {
  const label = element(parent, "label", {}, "Frame ");
  const select = element(label, "select", { id: "frame" });
  facts.keptFrames.forEach((frame, index) => element(select, "option", { value: index }, facts.slices[frame * facts.count].Frame ?? frame));
  select.addEventListener("change", () => toFrame(Number(select.value)));
}

// the controls above the large view
function controls(heading) {
  const choice = element(heading, "div", { className: "choice" });
  for (const view of facts.views.filter((one) => !one.map)) {
    const button = element(choice, "button", { ariaPressed: String(view.role === place.shown) }, view.name.split(" · ")[0]);
    button.dataset.role = view.role;
    button.addEventListener("click", () => show(view.role));
  }
  if (choice.children.length > 1) {
    const button = element(heading, "button", { title: "The other image in place of this one, and back" }, "flicker ");
    element(button, "kbd", {}, "F");
    button.addEventListener("click", flicker);
  }
  if (roleOf("std")) {
    const label = element(heading, "label", { title: "Lays the map of the expected error over the image" }, "error map ");
    const slider = element(label, "input", { id: "overlay", type: "range", min: 0, max: 100, value: 0 });
    slider.addEventListener("input", () => overlay(slider.value / 100));
  }
  if (facts.keptFrames.length > 1) frameChoice(heading);
}

async function makePane(view, large) {
  const section = element(document.getElementById("views"), "section", { className: large ? "view large" : "view" });
  const heading = element(section, "h2");
  const stage = element(section, "div", { className: "stage" });
  const canvas = element(stage, "canvas", { id: large ? "view-large" : `view-${view.role}` });
  const pane = { role: view.role, large, stage };
  if (large) {
    controls(heading);
    pane.tag = element(stage, "p", { className: `tag ${colour(view.role)}` }, view.name);
  } else {
    element(heading, "span", { className: colour(view.role) }, view.name);
    if (view.map) element(heading, "span", { className: "end" }, `× ${facts.gain}`);
  }
  if (large && !facts.sidesKnown) element(stage, "p", { className: "sides" }, "left / right unknown");
  if (large) element(stage, "p", { id: "window" });
  pane.nv = new Niivue({
    backColor: [0, 0, 0, 1],
    crosshairColor: [0.35, 0.79, 0.76, 0.4],
    crosshairGap: 12,
    crosshairWidth: large ? LINE : 2 * LINE,
    crosshairWidthUnit: "percent",
    dragAndDropEnabled: false,
    isOrientationTextVisible: false, // it is cut off where an image fills the width
    isRadiologicalConvention: true,
    loadingText: "",
    logLevel: "error",
    sagittalNoseLeft: true,
    windowingGainFactor: 0.5, // percent of white a pixel
  });
  pane.nv.onLocationChange = (found) => follow(pane, found.mm);
  await pane.nv.attachToCanvas(canvas);
  pane.nv.setMouseEventConfig({
    leftButton: { primary: DRAG_MODE.crosshair },
    rightButton: DRAG_MODE.windowing,
    centerButton: DRAG_MODE.pan,
  });
  listen(canvas, pane);
  return pane;
}

function listen(canvas, pane) {
  canvas.addEventListener("mousemove", (event) => {
    if (event.buttons & 2) {
      const base = pane.nv.volumes[0], factor = roleOf(pane.large ? place.shown : pane.role).map ? facts.gain : 1;
      [place.low, place.high] = [base.cal_min * factor, base.cal_max * factor];
      windowed();
      requestAnimationFrame(redraw);
    } else if (event.buttons & 4) {
      follow(pane, place.mm);
    }
  });
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.shiftKey) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    zoom(event.deltaY < 0 || event.deltaX < 0 ? 1.15 : 1 / 1.15);
  }, { capture: true, passive: false });
  canvas.addEventListener("dblclick", (event) => {
    event.stopImmediatePropagation();
    reset();
  }, { capture: true });
}

function crosshair() {
  for (const pane of panes) {
    pane.nv.opts.crosshairWidth = pane.nv.opts.crosshairWidth ? 0 : pane.large ? LINE : 2 * LINE;
    pane.nv.drawScene();
  }
}

function reset() {
  [place.low, place.high] = [0, 100];
  windowed();
  redraw();
  zoom(0);
}

const KEYS = {
  f: flicker,
  o: () => images.overlay && overlay(place.overlay ? 0 : 0.6),
  x: crosshair,
  r: reset,
  ArrowUp: () => go(place.slice + 1),
  ArrowDown: () => go(place.slice - 1),
  ArrowRight: () => go(place.slice + 1),
  ArrowLeft: () => go(place.slice - 1),
  Home: () => go(0),
  End: () => go(facts.keptSlices.length - 1),
};

function listenToKeys() {
  const take = (event) => {
    if (event.target instanceof HTMLCanvasElement) event.stopPropagation(); // NiiVue has keys of its own
    const work = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    const typed = event.target.matches?.("select, input") && event.key.length > 1;
    if (!work || typed || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (event.type === "keydown") work();
  };
  for (const kind of ["keydown", "keyup"]) window.addEventListener(kind, take, { capture: true });
}

function help() {
  const section = element(document.querySelector("aside"), "section", { id: "keys" });
  element(section, "h2", {}, "Keys and mouse");
  const table = element(section, "table");
  const rows = [["F", "AI and without AI"], ["O", "expected error on and off"], ["X", "crosshair on and off"], ["↑ ↓, wheel", "slices"], ["left button", "moves the crosshair"],
    ["right button, drag", "window, in all views"], ["middle button, drag", "move"], ["shift + wheel", "zoom"], ["R, double click", "window and zoom back"]];
  for (const [key, meaning] of rows) {
    const row = element(table, "tr");
    element(element(row, "th"), "kbd", {}, key);
    element(row, "td", {}, meaning);
  }
}

// where a direction points, of oblique ones with what it is tilted to by more than six degrees
function letters(direction) {
  const length = Math.hypot(...direction);
  const parts = direction.map((part, axis) => [Math.abs(part) / length, ["LR", "PA", "IS"][axis][Number(part > 0)]]);
  return parts.filter(([share]) => share > 0.1).sort((one, other) => other[0] - one[0]).map(([, letter]) => letter).join("");
}

// what lies where on the screen, as radiologists look: from the feet, from the front, nose to the left
function orientation(across) {
  const towards = (world) => {
    const stored = images.result.permRAS[world], column = facts.affine.slice(0, 3).map((row) => row[Math.abs(stored) - 1]);
    return column.map((part) => Math.sign(stored) * part);
  };
  const left = towards([1, 0, 0][across]), top = towards([2, 2, 1][across]);
  const sides = { left, top, right: left.map((part) => -part), bottom: top.map((part) => -part) };
  for (const [place, direction] of Object.entries(sides)) element(panes[0].stage, "p", { className: `side ${place}` }, letters(direction));
}

// numbers and light of every slice, for paper
function paper() {
  document.getElementById("paper")?.remove();
  const section = element(document.querySelector("main"), "section", { id: "paper" });
  element(section, "h2", {}, "Slices");
  const table = element(section, "table"), heading = element(element(table, "thead"), "tr");
  const lit = facts.slices.some((one) => one.Light), framed = facts.slices.some((one) => "Frame" in one);
  const columns = [...(framed ? ["Frame"] : []), "Slice", ...facts.lanes.map((lane) => lane.name), ...(lit ? ["Light"] : []), ""];
  for (const name of columns) element(heading, "th", {}, name);
  facts.slices.forEach((one, number) => {
    const row = element(table, "tr");
    if (framed) element(row, "td", {}, one.Frame);
    element(row, "td", {}, one.Slice);
    for (const lane of facts.lanes) {
      const value = lane.values[number];
      element(row, "td", { className: lane.doubted[number] ? "doubted" : "" }, value === null ? "unknown" : short(value) + lane.unit);
    }
    if (lit) element(row, "td", {}, one.Light ?? "unknown").dataset.light = one.Light;
    element(row, "td", {}, one.Flags.map((flag) => facts.flags[flag]).join(" "));
  });
}

async function start() {
  const roles = facts.views.map((view) => view.role);
  document.getElementById("views").className = `n${roles.length}`;
  document.getElementById("views").hidden = document.getElementById("slice").hidden = false;
  document.getElementById("strip").hidden = facts.slices.length === 1;
  document.getElementById("pictures").hidden = true;
  for (const view of facts.views) panes.push(await makePane(view, view.role === "result"));
  for (const role of roles.filter((one) => one !== "error")) images[role] = await volume(role);
  if (images.reference) images.error = await difference(images.result, images.reference);
  for (const view of facts.views.filter((one) => one.map)) images[view.role].colormap = "inferno";
  if (images.std) {
    images.overlay = await volume("std");
    panes[0].nv.addColormap("doubt", DOUBT);
    Object.assign(images.overlay, { colormap: "doubt", colormapType: FADING, opacity: 0 });
  }
  windowed();
  redraw();
  const across = Array.from(images.result.permRAS).findIndex((axis) => Math.abs(axis) === 3);
  const plane = [SLICE_TYPE.SAGITTAL, SLICE_TYPE.CORONAL, SLICE_TYPE.AXIAL][across];
  for (const pane of panes) pane.nv.setSliceType(plane);
  if (facts.sidesKnown) orientation(across);
  const size = images.result.hdr.dims;
  place.mm = times(facts.affine, [Math.floor(size[1] / 2), Math.floor(size[2] / 2), Math.floor(facts.keptSlices.length / 2)]);
  for (const places of document.querySelectorAll(".places")) {
    const text = places.textContent;
    places.textContent = "";
    element(places, "button", {}, text).addEventListener("click", () => goNear(JSON.parse(places.dataset.places)[0]));
  }
  strip();
  go(Math.floor(facts.keptSlices.length / 2));
  listenToKeys();
  help();
  window.addEventListener("beforeprint", paper);
}

const ready = hasWebGL2() ? start().then(() => true) : Promise.resolve(false);
globalThis.report = { facts, place, images, panes, ready };
