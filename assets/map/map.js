// The map of latents: pan, zoom, hover, pick, lasso. Data come down as blocks of bytes (app/map_data.py packs them);
// only a polygon or a row number goes back, so 200 000 points cost a selection no more than 200.

const STILL = 4;        // px a press may move and still be a click
const REACH = 9;        // px within which a point answers the pointer
const ZOOM = [0.6, 400]; // bounds, relative to the fitted view
const STRAY = 0.002;    // share of points at either end that may lie outside the first view,
const STRETCH = 1.5;    // where they would make it so many times as large
const MOST_NEAR = 20;   // zoom at which a few points are shown
const ROLL = 250;       // ms between turns of the wheel that are one gesture
const GLIDE = 450;      // ms in which points move to their places on another map of the same run
const PATIENCE = [400, 4_000, 10_000, 20_000]; // ms after which missing blocks are asked for, if no message has come
const maps = new WeakMap();
const pictures = (window.geldaPictures ??= new Map());  // run -> its pictures, brought by pictures.js

const rgb = (text) => {
  const hex = text.trim().match(/^#?([0-9a-f]{6})/i);
  if (hex) return [0, 2, 4].map((i) => parseInt(hex[1].slice(i, i + 2), 16) / 255);
  return (text.match(/[\d.]+/g) ?? [255, 255, 255]).slice(0, 3).map((v) => v / 255);
};

function element(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
}

class LatentMap {
  constructor(root) {
    this.root = root;
    this.tool = "";
    this.canvas = element("canvas");
    this.canvas.setAttribute("role", "img");
    this.names = element("div", "names");
    this.names.setAttribute("aria-hidden", "true");
    this.rope = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    this.rope.setAttribute("class", "rope");
    this.rope.append(document.createElementNS("http://www.w3.org/2000/svg", "path"));
    this.card = element("div", "card");
    this.tools = element("div", "tools");
    this.ring = element("div", "ring");
    root.replaceChildren(this.canvas, this.names, this.rope, this.ring, this.card, this.tools);
    root.tabIndex = 0;
    this.layer = new PointLayer(this.canvas);
    this.brought = () => this.pictured();
    this.rolled = (e) => {  // a page that is being scrolled does not stop at a map that comes under the pointer
      if (e.timeStamp - (this.lastRoll ?? -Infinity) > ROLL) this.rolling = e.composedPath().includes(this.root);
      this.lastRoll = e.timeStamp;
    };
    this.buttons();
    this.listen();
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(root);
  }

  // ---- data -------------------------------------------------------------------------------------------------

  async update(bytes, send, ask) {
    const start = performance.now();
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const head = unpack(bytes);
    const known = new Set(blocks.keys());
    const addresses = Object.values(head.blocks);
    let parts;
    try {
      parts = await Promise.all(addresses.map(fetchBlock));
    } catch (error) {  // a newer message has taken its place, or the server forgot its blocks: it drops those of a
      this.miss(turn, ask, error);  // page that is being drawn when another page ends
      return;
    }
    if (turn !== this.turn || this.released) return;
    this.asks = 0;
    const fresh = parts.reduce((sum, part, k) => sum + (known.has(addresses[k]) ? 0 : part.bytes), 0);
    const before = this.data;
    const data = Object.assign({}, ...parts, head);
    this.send = send;
    this.data = data;
    this.count = data.kind.length;
    this.root.style.height = data.height;
    this.root.classList.toggle("quiet", !data.interactive);
    this.root.setAttribute("aria-label", data.interactive ? data.help : data.alt);
    this.canvas.setAttribute("aria-label", data.alt);
    const moved = !before || before.view !== data.view;
    const from = moved && this.same(before, data) && { xy: this.between ?? before.xy, view: { ...this.view } };
    this.land();
    if (moved || before.blocks.places !== data.blocks.places) {
      this.hover(-1);
      this.layer.setPlaces(data.xy);
      const every = this.bounds();
      this.box = this.bounds(undefined, STRAY);
      this.grid = new PointGrid(data.xy, every);
    }
    this.paint();
    this.resize(moved);
    if (from) this.glide(from);
    this.root.dataset.points = String(this.shown());
    this.root.dataset.selected = String(this.chosen());
    this.root.dataset.bytes = String(bytes.length + fresh);
    this.root.dataset.turn = String(turn);
    this.pictured();
    requestAnimationFrame(() => {
      this.root.dataset.drawn = (performance.now() - start).toFixed(0);
    });
  }

  // Are these the same points, on another map of one run?
  same(before, data) {
    const rows = before?.blocks.facts === data.blocks.facts; // of many points, each map has a sample of its own
    return before && this.view && rows && before.run === data.run && before.kind.length === data.kind.length &&
      !matchMedia("(prefers-reduced-motion: reduce)").matches;
  }

  // Points keep their identity through a change of map: each moves from its old place to its new one.
  glide(from) {
    const { xy } = this.data;
    const to = { ...this.view };
    const start = performance.now();
    this.between = new Float32Array(xy.length);
    this.root.classList.add("gliding");
    const step = (now) => {
      const t = Math.max(0, Math.min(1, (now - start) / GLIDE));
      const part = t < 0.5 ? 2 * t * t : 1 - 2 * (1 - t) ** 2;
      for (let i = 0; i < xy.length; i++) {
        this.between[i] = Number.isNaN(from.xy[i]) ? xy[i] : from.xy[i] + (xy[i] - from.xy[i]) * part;
      }
      this.layer.setPlaces(this.between);
      if (!this.touched) {
        const mix = (name) => from.view[name] + (to[name] - from.view[name]) * part;
        this.view = { x: mix("x"), y: mix("y"), unit: from.view.unit * (to.unit / from.view.unit) ** part };
      }
      if (t < 1) this.gliding = requestAnimationFrame(step);
      else this.land();
      this.render();
    };
    step(start);
  }

  land() {  // what glides arrives at once
    if (!this.between) return;
    cancelAnimationFrame(this.gliding);
    this.between = null;
    this.layer.setPlaces(this.data.xy);
    this.root.classList.remove("gliding");
    this.resize();
  }

  miss(turn, ask, error) {  // asked, the server draws the page anew, and has the blocks again
    this.asks ??= 0;
    if (this.asks === PATIENCE.length) {
      console.warn("The map's points could not be fetched:", error.message);
      return;
    }
    setTimeout(() => {
      if (turn !== this.turn || this.released) return;
      this.asks++;
      ask();
      this.miss(turn, ask, error);  // what is asked may be lost, where the tick of a timer overtakes it
    }, PATIENCE[this.asks]);
  }

  pictured() {  // they come a little later than the points: a card that is open gets its own
    if (!this.data) return;
    this.root.dataset.pictures = String(pictures.has(this.data.run));
    if (this.over >= 0) this.fillCard(this.over);
  }

  // Where the points lie that `wanted` names; what few strays stretch is cut off at the share `stray` of either end.
  bounds(wanted = () => true, stray = 0) {
    const xy = this.data.xy;
    const sides = [[], []];
    for (let i = 0; i < this.count; i++) {
      if (Number.isNaN(xy[2 * i]) || !wanted(i)) continue;
      sides[0].push(xy[2 * i]);
      sides[1].push(xy[2 * i + 1]);
    }
    if (!sides[0].length) return { left: 0, right: 1, bottom: 0, top: 1 };
    const [[left, right], [bottom, top]] = sides.map((values) => {
      const sorted = Float32Array.from(values).sort();
      const at = Math.floor(stray * sorted.length);
      const [low, high] = [sorted[at], sorted[sorted.length - 1 - at]];
      const [first, last] = [sorted[0], sorted[sorted.length - 1]];
      return last - first > STRETCH * (high - low) ? [low, high] : [first, last];
    });
    return { left, right, bottom, top };
  }

  visible(row) {
    return (this.data.kind[row] & KIND.visible) !== 0;
  }

  tally(bits) {
    let sum = 0;
    for (let i = 0; i < this.count; i++) if ((this.data.kind[i] & bits) === bits) sum++;
    return sum;
  }

  shown() {
    return this.tally(KIND.visible);
  }

  chosen() {
    return this.tally(KIND.visible | KIND.selected);
  }

  paint() {
    const { colour, kind } = this.data;
    const looks = new Uint8Array(2 * this.count);
    for (let i = 0; i < this.count; i++) {
      looks[2 * i] = colour[i];
      looks[2 * i + 1] = kind[i];
    }
    this.layer.setLooks(looks, this.data.under);
    this.layer.setLines(this.data.lines);
    this.layer.setDensity(this.data.field, this.data.density);
    this.dim = this.chosen() > 0;
    this.near.hidden = !this.dim;
    const style = getComputedStyle(this.root);
    this.paper = rgb(style.getPropertyValue("--st-background-color") || "#ffffff");
    this.ink = rgb(style.getPropertyValue("--st-text-color") || "#000000");
    const dark = this.paper[0] + this.paper[1] + this.paper[2] < 1.5;
    this.colours = dark ? this.data.palette.dark : this.data.palette.light;
    this.palette = new Float32Array(96 * 3);
    this.colours.forEach((c, i) => this.palette.set(rgb(c), 3 * i));
    this.writeNames();
  }

  // ---- view -------------------------------------------------------------------------------------------------

  resize(fit) {
    const { clientWidth: width, clientHeight: height } = this.root;
    if (!width || !height || !this.data) return;
    const first = !this.width;
    [this.width, this.height] = [width, height];
    const { left, right, bottom, top } = this.box;
    const unit = Math.min((width - 72) / (right - left || 1), (height - 64) / (top - bottom || 1));
    if (first || fit === true || !this.touched) {
      this.view = { x: (left + right) / 2, y: (bottom + top) / 2, unit };
      this.touched = false;
    }
    this.fitted = unit;
    this.render();
  }

  fit() {  // first what is visible, then the whole map
    const seen = this.shown() === this.count || !this.shown() ? null : this.bounds((row) => this.visible(row), STRAY);
    if (seen && this.zoomTo(seen)) return;
    this.touched = false;
    this.resize(true);
  }

  // Shows a part of the map; says whether that was another view.
  zoomTo({ left, right, bottom, top }) {
    const room = Math.min((this.width - 72) / (right - left || 1e-9), (this.height - 64) / (top - bottom || 1e-9));
    const view = { x: (left + right) / 2, y: (bottom + top) / 2, unit: Math.min(room, MOST_NEAR * this.fitted) };
    const moved = Math.hypot(view.x - this.view.x, view.y - this.view.y) * view.unit;
    const same = moved < 1 && Math.abs(Math.log(view.unit / this.view.unit)) < 0.01;
    this.view = view;
    this.touched = true;
    this.render();
    return !same;
  }

  toChosen() {
    if (this.dim) this.zoomTo(this.bounds((row) => (this.data.kind[row] & KIND.selected) !== 0));
  }

  zoom(factor, px = this.width / 2, py = this.height / 2) {
    const [x, y] = this.toData(px, py);
    const unit = Math.max(this.fitted * ZOOM[0], Math.min(this.fitted * ZOOM[1], this.view.unit * factor));
    this.view.x = x - (px - this.width / 2) / unit;
    this.view.y = y + (py - this.height / 2) / unit;
    this.view.unit = unit;
    this.touched = true;
    this.render();
  }

  toData(px, py) {
    return [this.view.x + (px - this.width / 2) / this.view.unit, this.view.y - (py - this.height / 2) / this.view.unit];
  }

  toScreen(x, y) {
    return [this.width / 2 + (x - this.view.x) * this.view.unit, this.height / 2 - (y - this.view.y) * this.view.unit];
  }

  size() {  // few points are large, many are small; both grow slowly with the zoom
    const shown = Math.max(1, Number(this.root.dataset.points) || this.count);
    const base = Math.max(2.4, Math.min(8, 13 - 2.1 * Math.log10(shown)));
    return Math.min(15, base * Math.max(0.8, this.view.unit / this.fitted) ** 0.4);
  }

  render() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => {
      const { width, height, palette, paper, ink, dim } = this;
      const ratio = window.devicePixelRatio || 1;
      this.layer.draw(this.view, { width, height, ratio, size: this.size(), palette, paper, ink, dim });
      this.placeNames();
      this.placeRing();
    });
  }

  // ---- names ------------------------------------------------------------------------------------------------

  writeNames() {
    this.names.replaceChildren(
      ...this.data.labels.map((label) => {
        const name = element("span", "", label.text);
        name.style.setProperty("--hue", this.colours[label.colour]);
        return name;
      }),
    );
    this.spans = [...this.names.children].map((span) => [span.offsetWidth, span.offsetHeight]);
  }

  placeNames() {
    const taken = [];
    this.data.labels.forEach((label, i) => {
      const span = this.names.children[i];
      let [x, y] = this.toScreen(label.x, label.y);
      const [w, h] = this.spans[i][0] ? this.spans[i] : (this.spans[i] = [span.offsetWidth, span.offsetHeight]);
      const home = y;
      const free = () => !taken.some(([tx, ty, tw]) => Math.abs(tx - x) < (tw + w) / 2 && Math.abs(ty - y) < h - 1);
      // A name far from its points would mislead: where there is no room it waits for the zoom (the legend has it).
      for (let k = 1; !free() && k <= 6; k++) y = home + (k % 2 ? 1 : -1) * Math.ceil(k / 2) * 0.5 * h;
      const crowded = !free();
      if (!crowded) taken.push([x, y, w]);
      const out = crowded || x < w / 2 || y < h / 2 || x > this.width - w / 2 || y > this.height - h / 2;
      span.style.visibility = out ? "hidden" : "visible";
      span.style.transform = `translate(${(x - w / 2).toFixed(1)}px, ${(y - h / 2).toFixed(1)}px)`;
    });
  }

  // ---- hover ------------------------------------------------------------------------------------------------

  hover(row) {
    if (row === this.over) return;
    this.over = row;
    this.card.classList.toggle("open", row >= 0);
    this.placeRing();
    if (row >= 0) this.fillCard(row);
  }

  fillCard(row) {
    const d = this.data;
    const synthetic = (d.kind[row] & KIND.synthetic) !== 0;
    const title = element("p", "title");
    const where = d.subdomains.length > 1 ? `, ${d.subdomains[d.subdomain[row]]}` : "";
    title.append(synthetic ? "synthetic latent for " : "", element("em", "", d.classes[d.label[row]]), where);
    const rejected = (d.kind[row] & KIND.rejected) !== 0;
    const told = this.told(row);
    const facts = [synthetic ? d.sources[d.source[row]] : "real", d.splits[d.split[row]], rejected ? "set aside or dropped" : ""];
    const strip = element("div", "strip");
    if (synthetic) {
      for (let k = 0; k < 3; k++) strip.append(this.picture(d.near[3 * row + k], this.caption(d.near[3 * row + k])));
    } else strip.append(this.picture(row, ""));
    const note = synthetic && Number.isFinite(d.distance[row]) ? `nearest real training ${d.things}, the first at distance ${d.distance[row].toFixed(1)}` : "";
    this.card.replaceChildren(title, element("p", "facts", facts.filter(Boolean).join(" · ")), element("p", "facts", told), strip, element("p", "facts", note));
    this.placeCard();
  }

  told(row) {  // what the colour says of a point, in words
    const { value, valueNames, valueTitle } = this.data;
    if (!value || Number.isNaN(value[row])) return "";
    const name = valueNames.length ? valueNames[value[row]] : String(Number(value[row].toPrecision(3)));
    if (name === undefined) return "";
    return valueTitle === "right or wrong" ? `taken for ${name}` : `${valueTitle}: ${name}`;
  }

  caption(row) {
    if (row < 0) return "";
    const { classes, subdomains, label, subdomain } = this.data;
    return subdomains.length > 1 ? `${classes[label[row]]}, ${subdomains[subdomain[row]]}` : classes[label[row]];
  }

  picture(row, caption) {
    const figure = element("figure");
    const sheet = pictures.get(this.data.run);
    const slot = sheet?.slots.get(this.data.rows ? this.data.rows[row] : row);
    if (slot !== undefined) {
      const side = 64;
      const image = element("div", "image");
      image.setAttribute("role", "img");
      image.setAttribute("aria-label", caption || this.caption(row));
      image.style.backgroundImage = `url(${sheet.url})`;
      image.style.backgroundSize = `${sheet.across * side}px auto`;
      image.style.backgroundPosition = `${-(slot % sheet.across) * side}px ${-Math.floor(slot / sheet.across) * side}px`;
      figure.append(image);
    }
    if (caption) figure.append(element("figcaption", "", caption));
    return figure;
  }

  place(row) {
    return this.toScreen(this.data.xy[2 * row], this.data.xy[2 * row + 1]);
  }

  placeRing() {
    this.ring.style.display = this.over >= 0 ? "block" : "none";
    if (this.over < 0 || !this.view) return;
    const [x, y] = this.place(this.over);
    this.ring.style.transform = `translate(${x}px, ${y}px)`;
  }

  placeCard() {
    const [x, y] = this.place(this.over);
    const { offsetWidth: w, offsetHeight: h } = this.card;
    const left = x + 16 + w < this.width ? x + 16 : Math.max(4, x - 16 - w);
    const top = Math.max(4, Math.min(this.height - h - 4, y - h / 2));
    this.card.style.transform = `translate(${left}px, ${top}px)`;
  }

  // ---- pointer and keys -------------------------------------------------------------------------------------

  buttons() {
    const make = (text, label, act) => {
      const button = element("button", "", text);
      button.type = "button";
      button.title = label;
      button.setAttribute("aria-label", label);
      button.addEventListener("click", act);
      this.tools.append(button);
      return button;
    };
    this.drawing = {
      lasso: make("Lasso", "Draw around points to select them (L; shift and drag does the same)", () => this.take("lasso")),
      box: make("Box", "Drag a rectangle around points to select them (B)", () => this.take("box")),
    };
    make("+", "Zoom in (+)", () => this.zoom(1.5));
    make("\u2212", "Zoom out (\u2212)", () => this.zoom(1 / 1.5));
    this.near = make("Selected", "Zoom to what is selected (S)", () => this.toChosen());
    make("Fit", "Show all points in view; again for the whole map (0)", () => this.fit());
  }

  take(tool) {  // taking a tool again puts it away
    this.tool = tool === this.tool ? "" : tool;
    for (const [name, button] of Object.entries(this.drawing)) button.setAttribute("aria-pressed", String(name === this.tool));
    this.root.classList.toggle("lasso", this.tool !== "");
  }

  listen() {
    const c = this.canvas;
    c.addEventListener("pointerdown", (e) => this.press(e));
    c.addEventListener("pointermove", (e) => this.move(e));
    c.addEventListener("pointerup", (e) => this.lift(e));
    c.addEventListener("pointercancel", () => this.drop());
    c.addEventListener("pointerleave", () => this.hover(-1));
    window.addEventListener("wheel", this.rolled, { capture: true, passive: true });
    c.addEventListener("wheel", (e) => {
      if (!this.data?.interactive || !this.rolling) return;
      e.preventDefault();
      this.zoom(Math.exp(-e.deltaY * (e.deltaMode ? 0.05 : 0.0015)), e.offsetX, e.offsetY);
    }, { passive: false });
    c.addEventListener("webglcontextlost", (e) => e.preventDefault());
    c.addEventListener("webglcontextrestored", () => {
      this.layer = new PointLayer(c);
      if (!this.data) return;
      this.layer.setPlaces(this.data.xy);
      this.paint();
      this.render();
    });
    this.root.addEventListener("keydown", (e) => this.key(e));
    window.addEventListener("gelda-pictures", this.brought);
  }

  press(e) {
    if (!this.data?.interactive || e.button) return;
    this.root.focus({ preventScroll: true });
    this.canvas.setPointerCapture(e.pointerId);
    this.held = { x: e.offsetX, y: e.offsetY, view: { ...this.view }, tool: this.tool || (e.shiftKey ? "lasso" : ""), more: e.shiftKey || e.ctrlKey || e.metaKey, far: false };
    this.line = [[e.offsetX, e.offsetY]];
  }

  move(e) {
    const [x, y] = [e.offsetX, e.offsetY];
    const held = this.held;
    if (!held) {
      if (!this.data) return;
      const [dx, dy] = this.toData(x, y);
      return this.hover(this.grid.nearest(dx, dy, REACH / this.view.unit, (row) => this.visible(row)));
    }
    held.far ||= Math.hypot(x - held.x, y - held.y) > STILL;
    if (!held.far) return;
    this.hover(-1);
    if (held.tool) {
      const [lx, ly] = this.line.at(-1);
      if (held.tool === "box") this.line = [[held.x, held.y], [x, held.y], [x, y], [held.x, y]];
      else if (Math.hypot(x - lx, y - ly) > 3) this.line.push([x, y]);
      this.rope.firstChild.setAttribute("d", `M${this.line.map((p) => p.join(" ")).join("L")}Z`);
    } else {
      this.view.x = held.view.x - (x - held.x) / this.view.unit;
      this.view.y = held.view.y + (y - held.y) / this.view.unit;
      this.touched = true;
      this.render();
    }
  }

  lift(e) {
    const held = this.held;
    this.drop();
    if (!held) return;
    if (!held.far) {
      const [x, y] = this.toData(e.offsetX, e.offsetY);
      const row = this.grid.nearest(x, y, REACH / this.view.unit, (r) => this.visible(r));
      if (row >= 0) this.pick({ row: this.data.rows ? this.data.rows[row] : row, more: held.more }, (r) => r === row, held.more ? "toggle" : this.data.mode);
      else if (this.dim && !held.more) this.pick({ clear: true }, () => false, "replace");
    } else if (held.tool && this.line.length > 2) {
      const polygon = this.line.map(([px, py]) => this.toData(px, py));
      if (this.tool) this.take(this.tool);
      this.pick({ polygon }, (r) => inside(polygon, this.data.xy[2 * r], this.data.xy[2 * r + 1]), this.data.mode);
    }
  }

  drop() {
    this.held = null;
    this.rope.firstChild.setAttribute("d", "");
  }

  // Show the selection at once; the server finds the same points from the polygon, and combines them the same way.
  pick(what, chosen, mode) {
    const kind = this.data.kind;
    const join = {
      replace: (was, picked) => picked, add: (was, picked) => was || picked, common: (was, picked) => was && picked,
      remove: (was, picked) => was && !picked, toggle: (was, picked) => was !== picked,
    }[mode];
    for (let i = 0; i < this.count; i++) {
      const on = (kind[i] & KIND.visible) !== 0 && join((kind[i] & KIND.selected) !== 0, chosen(i));
      kind[i] = on ? kind[i] | KIND.selected : kind[i] & ~KIND.selected;
    }
    this.paint();
    this.root.dataset.selected = String(this.chosen());
    this.render();
    this.send(what);
  }

  key(e) {
    if (!this.data?.interactive) return;
    const step = 60 / this.view.unit;
    const pan = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] }[e.key];
    if (e.key === "Escape") {
      if (this.tool) this.take(this.tool);
      else if (this.dim) this.pick({ clear: true }, () => false, "replace");
    } else if (e.key === "+" || e.key === "=") this.zoom(1.3);
    else if (e.key === "-") this.zoom(1 / 1.3);
    else if (e.key === "0") this.fit();
    else if (e.key === "s") this.toChosen();
    else if (e.key === "l") this.take("lasso");
    else if (e.key === "b") this.take("box");
    else if (pan) {
      this.view.x += pan[0];
      this.view.y += pan[1];
      this.touched = true;
      this.render();
    } else return;
    e.preventDefault();
    e.stopPropagation();  // Streamlit has shortcuts of its own
  }

  release() {
    this.released = true;
    window.removeEventListener("gelda-pictures", this.brought);
    window.removeEventListener("wheel", this.rolled, { capture: true });
    this.sizes.disconnect();
    this.layer.release();
  }
}

export default function ({ data, parentElement, setTriggerValue, setStateValue }) {
  if (!data) return;
  const root = parentElement.querySelector(".map");
  if (outdated(root, data)) return;
  let map = maps.get(root);
  if (!map) {
    try {
      map = new LatentMap(root);
    } catch (error) {
      console.warn("The map needs WebGL2:", error.message);
      setStateValue("fallback", true);
      return;
    }
    maps.set(root, map);
  }
  map.update(
    data,
    (what) => setTriggerValue("pick", { ...what, press: performance.now() }),
    () => setTriggerValue("missing", performance.now()),
  );
  return onceGone(root, () => {
    maps.delete(root);
    map.release();
  });
}
