// Guidance in two dimensions: everything was computed before (gelda/playground.py) at 25 scales; between two of
// them points and figures glide. Only the scale and the cell that a person leaves it at go back to the server.

const lessons = new WeakMap();
const CHARTS = [
  { name: "recognised", title: "Recognised as its class", unit: 100, top: () => 100, ends: ["0", "100 %"] },
  { name: "shift", title: "Mean moved away, in sd", unit: 1, top: (most) => Math.ceil(most), ends: ["0", null] },
  { name: "variance_ratio", title: "Variance, the true one is 1", unit: 1, top: () => 2, ends: ["0", "2"] },
];
const WIDTH = 260, HEIGHT = 118, PLOT = { left: 38, right: 200, top: 12, bottom: 94 };

function element(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
}

function svg(tag, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

const says = (value, digits) => value.toFixed(digits).replace("-", "−");

class Lesson {
  constructor(root) {
    this.root = root;
    this.told = [];  // views sent to the server, from the one that it answered last
    root.style.containerType = "inline-size";
    this.cells = element("div", "cells");
    this.cells.setAttribute("role", "group");
    this.cells.setAttribute("aria-label", "What is asked for");
    this.slider = element("input");
    Object.assign(this.slider, { type: "range", id: "w" });
    this.said = element("label");
    this.said.htmlFor = "w";
    this.ticks = element("div", "ticks");
    const scale = element("div", "scale");
    scale.append(this.said, this.slider, this.ticks);
    const asked = element("div", "asked");
    asked.append(this.cells, scale);
    this.panels = element("div", "panels");
    this.key = element("div", "key");
    this.charts = element("div", "charts");
    const figure = element("div", "figure");
    figure.append(this.panels, this.charts, this.key);
    root.replaceChildren(asked, figure);
    this.slider.addEventListener("input", () => this.move(Number(this.slider.value)));
    this.slider.addEventListener("change", () => this.tell());
    this.sizes = new ResizeObserver(() => this.draw());
    this.sizes.observe(this.panels);
  }

  update(data, send) {
    this.send = send;
    if (!this.data) this.load(data);
    this.data = data;
    const view = `${data.w} ${data.cell}`;
    const told = this.told.indexOf(view);
    if (told >= 0) this.told.splice(0, told);  // an answer, maybe to a view that the person has left by now
    else [this.told, this.w, this.cell] = [[view], data.w, data.cell];
    if (told >= 0 && this.look.name === data.look.name) return;
    this.look = data.look;
    this.root.style.colorScheme = data.look.name;
    this.build();
    this.move(this.w);
  }

  load(data) {
    const bytes = Uint8Array.from(atob(data.points), (c) => c.charCodeAt(0));
    this.points = new Int16Array(bytes.buffer);  // [model, cell, scale, point, 2] in units of data.step
  }

  tell() {
    const w = Number(this.w.toFixed(2));
    const view = `${w} ${this.cell}`;
    if (view === this.told.at(-1)) return;
    this.told.push(view);
    this.send("view", { w, cell: this.cell });
  }

  build() {
    const { data, look } = this;
    this.slider.min = 0;
    this.slider.max = data.scales.at(-1);
    this.slider.step = 0.05;
    this.ticks.replaceChildren(...data.ticks.map(([value, text]) => {
      const tick = element("span", "", text);
      tick.style.left = `${(100 * value) / data.scales.at(-1)}%`;
      return tick;
    }));
    this.cells.replaceChildren(...data.order.map((cell) => {
      const button = element("button", "", data.names[cell]);
      button.type = "button";
      button.setAttribute("aria-pressed", String(cell === this.cell));
      button.addEventListener("click", () => this.choose(cell));
      return button;
    }));
    this.canvases = data.models.map(({ title, note, colour }, model) => {
      const panel = element("div", "panel");
      const canvas = element("canvas");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `${title}: samples in two dimensions`);
      canvas.addEventListener("click", (event) => this.pick(event, canvas));
      const head = element("h4", "", title);
      head.style.color = look[colour];
      panel.append(head, element("p", "", note), canvas);
      return { panel, canvas, model, colour: look[colour] };
    });
    this.panels.replaceChildren(...this.canvases.map(({ panel }) => panel));
    this.buildKey();
    this.drawn = CHARTS.map((chart) => this.buildChart(chart));
    this.charts.replaceChildren(...this.drawn.map(({ box }) => box));
  }

  buildKey() {
    const { look } = this;
    const entry = (text, ...marks) => {
      const span = element("span");
      const mark = svg("svg", { viewBox: "0 0 26 14", "aria-hidden": "true" });
      mark.append(...marks);
      span.append(mark, text);
      return span;
    };
    const oval = (stroke, more = {}) => svg("ellipse", { cx: 13, cy: 7, rx: 11, ry: 5.5, fill: "none", stroke, "stroke-width": 2, ...more });
    this.key.replaceChildren(
      entry("samples, their mean and spread", oval(look.exact), svg("circle", { cx: 13, cy: 7, r: 2.6, fill: look.exact })),
      entry("the true cell", oval(look.ink, { "stroke-dasharray": "4 3" })),
      entry("other cells", oval(look.line, { "stroke-width": 1.4 })),
      entry("the density that guidance is said to sample", svg("ellipse", { cx: 13, cy: 7, rx: 12, ry: 6.5, fill: look.ink, opacity: 0.22 })),
    );
  }

  buildChart(chart) {
    const { data, look } = this;
    const box = element("div", "chart");
    const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": chart.title });
    const lines = data.lines.filter(({ name }) => data.figures[name][chart.name]);
    const most = Math.max(...lines.flatMap(({ name }) => data.figures[name][chart.name][this.cell]));
    const top = chart.top(most);
    const x = (w) => PLOT.left + ((PLOT.right - PLOT.left) * w) / data.scales.at(-1);
    const y = (v) => PLOT.bottom - ((PLOT.bottom - PLOT.top) * Math.min(v * chart.unit, top)) / top;
    const ends = chart.ends.map((text) => text ?? String(top));
    picture.append(
      svg("line", { x1: PLOT.left, x2: PLOT.right, y1: PLOT.bottom, y2: PLOT.bottom, stroke: look.line }),
      svg("line", { x1: PLOT.left, x2: PLOT.right, y1: PLOT.top, y2: PLOT.top, stroke: look.line }),
      svg("text", { x: 0, y: PLOT.bottom + 4 }, ends[0]),
      svg("text", { x: 0, y: PLOT.top + 4 }, ends[1]),
    );
    if (chart.name === "variance_ratio") {
      picture.append(svg("line", { x1: PLOT.left, x2: PLOT.right, y1: y(1), y2: y(1), stroke: look.line }), svg("text", { x: 0, y: y(1) + 4 }, "1"));
    }
    for (const w of [0, 1, 2, 3, 4, 5, 6]) picture.append(svg("text", { x: x(w), y: HEIGHT - 6, "text-anchor": "middle" }, String(w)));
    for (const { name, colour, dash } of lines) {
      const values = data.figures[name][chart.name][this.cell];
      const d = values.map((v, i) => `${i ? "L" : "M"}${x(data.scales[i]).toFixed(1)} ${y(v).toFixed(1)}`).join("");
      picture.append(svg("path", { d, fill: "none", stroke: look[colour], "stroke-width": 2, "stroke-linejoin": "round", ...(dash ? { "stroke-dasharray": dash } : {}) }));
    }
    const cursor = svg("line", { y1: PLOT.top - 6, y2: PLOT.bottom, stroke: look.muted });
    picture.append(cursor);
    const marks = lines.map(({ name, colour, title }) => {
      const dot = svg("circle", { r: 4.5, fill: look[colour], stroke: look.paper, "stroke-width": 1.5 });
      const value = svg("text", { class: "value", x: PLOT.right + 10 });
      value.style.fill = look[colour];
      const label = svg("title", {}, title);
      dot.append(label);
      picture.append(dot, value);
      return { name, dot, value };
    });
    const at = (event) => {
      const rect = picture.getBoundingClientRect();
      const shown = Math.min(rect.width / WIDTH, rect.height / HEIGHT);
      const place = (event.clientX - rect.left - (rect.width - WIDTH * shown) / 2) / shown;
      const w = (data.scales.at(-1) * (place - PLOT.left)) / (PLOT.right - PLOT.left);
      this.move(Math.round(20 * Math.min(Math.max(w, 0), data.scales.at(-1))) / 20);
    };
    picture.addEventListener("pointerdown", (event) => { picture.setPointerCapture(event.pointerId); at(event); });
    picture.addEventListener("pointermove", (event) => { if (event.buttons) at(event); });
    picture.addEventListener("pointerup", () => this.tell());
    box.append(element("h4", "", chart.title), picture);
    return { box, chart, cursor, marks, x, y };
  }

  choose(cell) {
    this.cell = cell;
    this.build();
    this.move(this.w);
    this.tell();
  }

  pick(event, canvas) {
    const rect = canvas.getBoundingClientRect();
    const [px, py] = [event.clientX - rect.left, event.clientY - rect.top];
    const { scale, left, top } = this.frame(rect.width, rect.height);
    const away = this.data.means.map(([x, y]) => Math.hypot(left + scale * x - px, top - scale * y - py));
    this.choose(away.indexOf(Math.min(...away)));
  }

  move(w) {
    this.w = w;
    if (Number(this.slider.value) !== w) this.slider.value = String(w);
    this.slider.style.setProperty("--at", `${(100 * w) / this.data.scales.at(-1)}%`);  // its rail is full so far
    this.said.replaceChildren(element("em", "", "w"), ` = ${w.toFixed(2)}`);
    this.root.dataset.w = w.toFixed(2);
    cancelAnimationFrame(this.frameAsked);  // several moves within a frame are drawn once
    this.frameAsked = requestAnimationFrame(() => this.draw());
  }

  // ---- drawing ------------------------------------------------------------------------------------------------

  between() {
    const { scales } = this.data;
    const k = Math.min(scales.length - 2, Math.floor(this.w / scales[1]));
    return [k, (this.w - scales[k]) / scales[1]];
  }

  frame(width, height) {
    const { bounds } = this.data;
    const scale = Math.min(width / (2 * bounds[0]), height / (2 * bounds[1]));
    return { scale, left: width / 2, top: height / 2 };
  }

  samples(model) {
    const { shown, scales, step, names } = this.data;
    const [k, t] = this.between();
    const size = 2 * shown;
    const start = ((model * names.length + this.cell) * scales.length + k) * size;
    const found = new Float32Array(size);
    for (let i = 0; i < size; i++) found[i] = step * ((1 - t) * this.points[start + i] + t * this.points[start + size + i]);
    return found;
  }

  density(columns, rows) {  // ∝ p(x | cell)^w · p(x)^(1 − w), on a grid over the frame, as the alpha of an image
    const { means, inverses, logs, bounds } = this.data;
    const values = new Float64Array(columns * rows);
    let most = -Infinity;
    for (let r = 0; r < rows; r++) {
      const py = bounds[1] * (1 - (2 * r + 1) / rows);
      for (let c = 0; c < columns; c++) {
        const px = bounds[0] * ((2 * c + 1) / columns - 1);
        let own = 0, sum = 0;
        for (let k = 0; k < means.length; k++) {
          const [dx, dy] = [px - means[k][0], py - means[k][1]];
          const log = logs[k] - 0.5 * (inverses[k][0] * dx * dx + 2 * inverses[k][1] * dx * dy + inverses[k][2] * dy * dy);
          if (k === this.cell) own = log;
          sum += Math.exp(log);
        }
        const value = this.w * own + (1 - this.w) * Math.log(sum / means.length + 1e-300);
        values[r * columns + c] = value;
        if (value > most) most = value;
      }
    }
    const image = new ImageData(columns, rows);
    const ink = this.look.ink.match(/\w\w/g).map((hex) => parseInt(hex, 16));
    const [red, green, blue] = ink, out = image.data;
    for (let i = 0, at = 0; i < values.length; i++, at += 4) {
      [out[at], out[at + 1], out[at + 2]] = [red, green, blue];
      out[at + 3] = 80 * Math.exp(values[i] - most);
    }
    return image;
  }

  draw() {
    if (!this.canvases) return;
    const { data, look } = this;
    const width = this.canvases[0].canvas.clientWidth;
    if (!width) return;
    const height = Math.round((width * data.bounds[1]) / data.bounds[0]);
    const cloud = element("canvas");
    [cloud.width, cloud.height] = [112, Math.round((112 * data.bounds[1]) / data.bounds[0])];
    cloud.getContext("2d").putImageData(this.density(cloud.width, cloud.height), 0, 0);
    for (const { canvas, model, colour } of this.canvases) {
      const sharp = window.devicePixelRatio || 1;
      canvas.style.height = `${height}px`;
      [canvas.width, canvas.height] = [Math.round(width * sharp), Math.round(height * sharp)];
      const ctx = canvas.getContext("2d");
      ctx.setTransform(sharp, 0, 0, sharp, 0, 0);
      const { scale, left, top } = this.frame(width, height);
      ctx.imageSmoothingEnabled = true;
      ctx.imageSmoothingQuality = "high";
      ctx.drawImage(cloud, 0, 0, width, height);
      const place = ([x, y]) => [left + scale * x, top - scale * y];
      data.means.forEach((mean, k) => {
        if (k !== this.cell) this.oval(ctx, place(mean), data.covariances[k], scale, look.line, 1.3);
      });
      const points = this.samples(model);
      ctx.fillStyle = colour;
      ctx.globalAlpha = 0.62;
      for (let i = 0; i < points.length; i += 2) {
        const [x, y] = place([points[i], points[i + 1]]);
        ctx.beginPath();
        ctx.arc(x, y, Math.max(2.2, width / 260), 0, 2 * Math.PI);
        ctx.fill();
      }
      ctx.globalAlpha = 1;
      const { mean, covariance } = moments(points);
      const own = data.means[this.cell];
      this.oval(ctx, place(own), data.covariances[this.cell], scale, look.ink, 2, [6, 4]);
      this.oval(ctx, place(mean), covariance, scale, colour, 2.4);
      arrow(ctx, place(own), place(mean), look.ink, colour);
      this.names(ctx, place);
    }
    const [k, t] = this.between();
    for (const { chart, cursor, marks, x, y } of this.drawn) {
      cursor.setAttribute("x1", x(this.w));
      cursor.setAttribute("x2", x(this.w));
      const values = marks.map(({ name }) => {
        const row = data.figures[name][chart.name][this.cell];
        return (1 - t) * row[k] + t * row[k + 1];
      });
      const heights = apart(values.map((v) => y(v) + 5), 16, PLOT.top, PLOT.bottom + 4);
      marks.forEach(({ dot, value }, i) => {
        dot.setAttribute("cx", x(this.w));
        dot.setAttribute("cy", y(values[i]));
        value.setAttribute("y", heights[i]);
        value.textContent = chart.unit === 100 ? `${says(100 * values[i], 0)} %` : says(values[i], 2);
      });
    }
  }

  oval(ctx, [x, y], covariance, scale, colour, width, dash = []) {
    const [a, b, d] = [covariance[0][0], covariance[0][1], covariance[1][1]];
    const half = Math.sqrt(((a - d) / 2) ** 2 + b * b);
    const [long, short] = [(a + d) / 2 + half, Math.max((a + d) / 2 - half, 0)];
    ctx.beginPath();
    ctx.ellipse(x, y, 2 * scale * Math.sqrt(long), 2 * scale * Math.sqrt(short), -0.5 * Math.atan2(2 * b, a - d), 0, 2 * Math.PI);
    ctx.strokeStyle = colour;
    ctx.lineWidth = width;
    ctx.setLineDash(dash);
    ctx.stroke();
    ctx.setLineDash([]);
  }

  names(ctx, place) {
    const { data, look } = this;
    ctx.font = `600 16px ${getComputedStyle(this.root).fontFamily}`;
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    data.means.forEach((mean, k) => {
      const [x, y] = place(data.labels[k]);
      ctx.lineWidth = 4;
      ctx.strokeStyle = look.paper;
      ctx.strokeText(data.names[k], x, y);
      ctx.fillStyle = k === this.cell ? look.ink : look.muted;
      ctx.fillText(data.names[k], x, y);
    });
  }
}

function moments(points) {
  const count = points.length / 2, mean = [0, 0], covariance = [[0, 0], [0, 0]];
  for (let i = 0; i < points.length; i++) mean[i % 2] += points[i] / count;
  for (let i = 0; i < points.length; i += 2) {
    const [dx, dy] = [points[i] - mean[0], points[i + 1] - mean[1]];
    covariance[0][0] += (dx * dx) / (count - 1);
    covariance[0][1] += (dx * dy) / (count - 1);
    covariance[1][1] += (dy * dy) / (count - 1);
  }
  return { mean, covariance };
}

function arrow(ctx, from, to, ink, colour) {
  ctx.fillStyle = ink;
  ctx.beginPath();
  ctx.arc(...from, 3.5, 0, 2 * Math.PI);
  ctx.fill();
  ctx.lineWidth = 2;
  ctx.strokeStyle = ink;
  ctx.beginPath();
  ctx.moveTo(...from);
  ctx.lineTo(...to);
  ctx.stroke();
  ctx.fillStyle = colour;
  ctx.strokeStyle = ink;
  ctx.lineWidth = 1.5;
  ctx.beginPath();
  ctx.arc(...to, 5, 0, 2 * Math.PI);
  ctx.fill();
  ctx.stroke();
}

function apart(heights, gap, low, high) {  // labels keep their order and a distance
  const order = heights.map((_, i) => i).sort((a, b) => heights[a] - heights[b]);
  const found = [...heights];
  order.forEach((i, n) => { found[i] = Math.max(found[i], n ? found[order[n - 1]] + gap : low); });
  for (let n = order.length - 1; n >= 0; n--) {
    const limit = n === order.length - 1 ? high : found[order[n + 1]] - gap;
    found[order[n]] = Math.min(found[order[n]], limit);
  }
  return found;
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".lesson");
  if (outdated(root, data)) return;
  if (!lessons.has(root)) lessons.set(root, new Lesson(root));
  lessons.get(root).update(data, setTriggerValue);
}
