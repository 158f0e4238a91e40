// Small maps side by side, drawn on plain canvases: a browser gives a page few WebGL contexts. Points come down as
// one block of bytes (app/multiples.py packs it); the key of a map goes back. Joined with map/points.js.

const RADIUS = 1.6;  // CSS px of a real point
const EDGE = 9;      // CSS px kept free around the points

const make = (tag, name, text) => {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
};

class Multiples {
  constructor(root) {
    this.root = root;
    this.sizes = new ResizeObserver(() => this.draw());
    this.sizes.observe(root);
  }

  update(bytes, send) {
    this.data = unpack(bytes);
    this.canvases = [];
    this.root.replaceChildren(...this.data.tiles.map((tile) => {
      const box = make(tile.key ? "button" : "div", "tile");
      const canvas = make("canvas");
      box.append(canvas, make("span", "title", tile.title), make("span", "facts", tile.facts));
      if (tile.key) {
        box.type = "button";
        box.setAttribute("aria-pressed", String(tile.on));
        box.setAttribute("aria-label", `${tile.title}: ${tile.facts}`);
        box.addEventListener("click", () => send({ key: tile.key }));
      } else box.classList.add("missing");
      this.canvases.push(canvas);
      return box;
    }));
    this.draw();
  }

  draw() {
    if (!this.data) return;
    const start = performance.now();
    const paper = getComputedStyle(this.root).getPropertyValue("--st-background-color") || "#ffffff";
    const ink = getComputedStyle(this.root).getPropertyValue("--st-text-color") || "#000000";
    const dark = [1, 3, 5].reduce((sum, i) => sum + parseInt(paper.trim().slice(i, i + 2), 16), 0) < 384;
    const colours = this.data.palette[dark ? "dark" : "light"];
    const ratio = window.devicePixelRatio || 1;
    this.data.tiles.forEach((tile, k) => {
      const canvas = this.canvases[k];
      const { clientWidth: width, clientHeight: height } = canvas;
      canvas.width = width * ratio;
      canvas.height = height * ratio;
      const pen = canvas.getContext("2d");
      pen.scale(ratio, ratio);
      this.points(pen, tile, width, height, { colours, paper, ink });
    });
    this.root.dataset.tiles = String(this.data.tiles.length);
    this.root.dataset.drawn = (performance.now() - start).toFixed(0);
  }

  points(pen, { from, to, wide, high }, width, height, { colours, paper, ink }) {
    const { place, colour, kind, some } = this.data;
    const unit = Math.min((width - 2 * EDGE) / wide, (height - 2 * EDGE) / high);
    const x = (i) => width / 2 + (place[2 * i] / 65535 - 0.5) * wide * unit;
    const y = (i) => height / 2 - (place[2 * i + 1] / 65535 - 0.5) * high * unit;
    for (const layer of [0, KIND.synthetic, KIND.selected]) {  // synthetic ones over real ones, selected over all
      for (let i = from; i < to; i++) {
        const chosen = (kind[i] & KIND.selected) !== 0;
        const synthetic = (kind[i] & KIND.synthetic) !== 0;
        if ((chosen ? KIND.selected : synthetic ? KIND.synthetic : 0) !== layer) continue;
        pen.globalAlpha = some && !chosen ? 0.22 : synthetic ? 0.95 : 0.8;
        pen.beginPath();
        if (synthetic) {
          const r = RADIUS * 1.5;
          pen.moveTo(x(i), y(i) - r);
          pen.lineTo(x(i) + r, y(i));
          pen.lineTo(x(i), y(i) + r);
          pen.lineTo(x(i) - r, y(i));
          pen.closePath();
          pen.fillStyle = paper;
          pen.strokeStyle = colours[colour[i]];
          pen.fill();
          pen.stroke();
        } else {
          pen.arc(x(i), y(i), RADIUS, 0, 7);
          pen.fillStyle = colours[colour[i]];
          pen.fill();
        }
        if (chosen) {
          pen.beginPath();
          pen.arc(x(i), y(i), RADIUS + 2.4, 0, 7);
          pen.strokeStyle = ink;
          pen.stroke();
        }
      }
    }
  }
}

const shown = new WeakMap();

export default function ({ data, parentElement, setTriggerValue }) {
  if (!data) return;
  const root = parentElement.querySelector(".multiples");
  if (outdated(root, data)) return;
  let multiples = shown.get(root);
  if (!multiples) shown.set(root, (multiples = new Multiples(root)));
  multiples.update(data, (what) => setTriggerValue("pick", what));
  return onceGone(root, () => multiples.sizes.disconnect());
}
