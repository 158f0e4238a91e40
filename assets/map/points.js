// Draws the points with WebGL2: real ones as filled discs, synthetic ones as open diamonds.
// Joined with map.js by app/map.py; nothing is fetched.

const KIND = { synthetic: 1, visible: 2, selected: 4, rejected: 8 };

const VERTEX = `#version 300 es
in vec2 position;
in uvec2 look;             // colour number, kind bits
uniform vec2 centre, scale; // data units; clip units a data unit
uniform float size;        // px of a real point
uniform bool dim;          // something is selected
uniform vec3 palette[96], paper;
flat out vec3 colour;
flat out float alpha, side;
flat out int open;
void main() {
  int kind = int(look.y);
  bool synthetic = (kind & 1) != 0, chosen = (kind & 4) != 0;
  open = synthetic ? 1 : 0;
  colour = palette[look.x];
  alpha = (kind & 8) != 0 ? 0.4 : synthetic ? 0.95 : 0.75;
  if (dim && !chosen) colour = mix(paper, colour, 0.2);  // a fainter alpha would add up where points overlap
  side = size * (synthetic ? 1.5 : 1.0) * (chosen ? 1.3 : 1.0);
  gl_PointSize = side + 2.0;
  gl_Position = vec4((position - centre) * scale, 0.0, 1.0);
}`;

const FRAGMENT = `#version 300 es
precision highp float;
flat in vec3 colour;
flat in float alpha, side;
flat in int open;
uniform vec3 paper;
uniform float line;  // px of a diamond's outline
out vec4 pixel;
void main() {
  vec2 at = (gl_PointCoord - 0.5) * (side + 2.0);
  float radius = side * 0.5;
  if (open == 0) {
    float d = length(at) - radius;
    float edge = clamp(0.5 - (d + line * 0.55), 0.0, 1.0);   // a thin rim of paper keeps neighbours apart
    float cover = clamp(0.5 - d, 0.0, 1.0) * alpha;
    pixel = vec4(mix(paper, colour, edge) * cover, cover);
  } else {
    float d = (abs(at.x) + abs(at.y) - radius) * 0.7071;
    float stroke = clamp(0.5 - (abs(d + line * 0.5) - line * 0.5), 0.0, 1.0);
    float inside = clamp(0.5 - d, 0.0, 1.0) * (1.0 - stroke) * 0.55;
    pixel = vec4(colour * stroke + paper * inside, stroke + inside) * alpha;
  }
}`;

const LINE_VERTEX = `#version 300 es
in vec4 ends;               // x, y of one end, of the other
uniform vec2 centre, scale, screen;
uniform float wide;         // px
out float across;
void main() {
  vec2 a = (ends.xy - centre) * scale, b = (ends.zw - centre) * scale;
  vec2 along = normalize((b - a) * screen + vec2(1e-9, 0.0));
  float side = (gl_VertexID & 1) == 0 ? -1.0 : 1.0;
  across = side * (wide + 1.0);
  vec2 offset = vec2(-along.y, along.x) * across / screen;
  gl_Position = vec4((gl_VertexID < 2 ? a : b) + offset, 0.0, 1.0);
}`;

const LINE_FRAGMENT = `#version 300 es
precision highp float;
in float across;
uniform vec3 ink;
uniform float wide;
out vec4 pixel;
void main() {
  float cover = clamp(0.5 + wide * 0.5 - abs(across) * 0.5, 0.0, 1.0) * 0.55;
  pixel = vec4(ink * cover, cover);
}`;

// A density as the share of points that lie denser still: lines at 50, 80 and 95 %, a wash within the last.
const FIELD_VERTEX = `#version 300 es
uniform vec4 box;           // left, bottom, right, top
uniform vec2 centre, scale;
out vec2 at;
void main() {
  at = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  gl_Position = vec4((mix(box.xy, box.zw, at) - centre) * scale, 0.0, 1.0);
}`;

const FIELD_FRAGMENT = `#version 300 es
precision highp float;
in vec2 at;
uniform sampler2D denser;
uniform vec3 ink;
uniform float wide;         // px
out vec4 pixel;
float line(float value, float level, float slope) {
  return clamp(0.5 + wide * 0.5 - abs(value - level) / max(slope, 1e-6), 0.0, 1.0);
}
void main() {
  float value = texture(denser, at).r;
  float slope = length(vec2(dFdx(value), dFdy(value)));
  float lines = max(line(value, 0.5, slope), max(line(value, 0.8, slope) * 0.75, line(value, 0.95, slope) * 0.5));
  float cover = max(lines * 0.8, 0.2 * clamp(1.0 - value / 0.95, 0.0, 1.0));
  pixel = vec4(ink * cover, cover);
}`;

class PointLayer {
  constructor(canvas) {
    this.canvas = canvas;
    const gl = canvas.getContext("webgl2", { antialias: false, premultipliedAlpha: true });
    if (!gl) throw new Error("no WebGL2");
    this.gl = gl;
    this.count = 0;
    this.points = this.compile(VERTEX, FRAGMENT, ["position", "look"]);
    this.strokes = this.compile(LINE_VERTEX, LINE_FRAGMENT, ["ends"]);
    this.field = this.compile(FIELD_VERTEX, FIELD_FRAGMENT, []);
    [this.places, this.looks, this.order, this.ends] = [0, 1, 2, 3].map(() => gl.createBuffer());
    [this.ofPoints, this.ofStrokes, this.ofField] = [0, 1, 2].map(() => gl.createVertexArray());
    this.texture = gl.createTexture();
    this.lines = 0;
    this.density = null;
  }

  compile(vertex, fragment, attributes) {
    const gl = this.gl;
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    attributes.forEach((name, place) => gl.bindAttribLocation(program, place, name));
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
      throw new Error(gl.getProgramInfoLog(program));
    }
    const found = {};
    const uniform = (name) => (found[name] ??= gl.getUniformLocation(program, name));
    return { program, uniform };
  }

  // ends: x, y of both ends of each line.
  setLines(ends) {
    const gl = this.gl;
    this.lines = ends.length / 4;
    gl.bindVertexArray(this.ofStrokes);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.ends);
    gl.bufferData(gl.ARRAY_BUFFER, ends, gl.DYNAMIC_DRAW);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 4, gl.FLOAT, false, 0, 0);
    gl.vertexAttribDivisor(0, 1);
  }

  // density: {width, height, box, colour} or nothing; grid: half floats, rows from the bottom.
  setDensity(density, grid) {
    const gl = this.gl;
    this.density = density;
    if (!density) return;
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 2);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.R16F, density.width, density.height, 0, gl.RED, gl.HALF_FLOAT, grid);
    for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, side, gl.CLAMP_TO_EDGE);
    for (const side of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, side, gl.LINEAR);
  }

  setPlaces(xy) {
    const gl = this.gl;
    gl.bindVertexArray(this.ofPoints);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.places);
    gl.bufferData(gl.ARRAY_BUFFER, xy, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 2, gl.FLOAT, false, 0, 0);
  }

  // looks: one pair (colour number, kind bits) a point. Hidden points are left out of the order of drawing: those of
  // the colours `under` lie at the bottom, synthetic ones over real ones, selected ones over all.
  setLooks(looks, under) {
    const gl = this.gl;
    const low = new Uint8Array(256);
    for (const colour of under) low[colour] = 1;
    const rank = (i) => {
      const kind = looks[2 * i + 1];
      if (!(kind & KIND.visible)) return -1;
      if (kind & KIND.selected) return 4;
      return (low[looks[2 * i]] ? 0 : 2) + (kind & KIND.synthetic ? 1 : 0);
    };
    const ends = new Uint32Array(6);
    const count = looks.length / 2;
    for (let i = 0; i < count; i++) ends[rank(i) + 1]++;
    ends[0] = 0;
    for (let k = 1; k < 6; k++) ends[k] += ends[k - 1];
    const order = new Uint32Array(ends[5]);
    for (let i = 0; i < count; i++) {
      const k = rank(i);
      if (k >= 0) order[ends[k]++] = i;
    }
    this.count = order.length;
    gl.bindVertexArray(this.ofPoints);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.order);
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, order, gl.DYNAMIC_DRAW);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.looks);
    gl.bufferData(gl.ARRAY_BUFFER, looks, gl.DYNAMIC_DRAW);
    gl.enableVertexAttribArray(1);
    gl.vertexAttribIPointer(1, 2, gl.UNSIGNED_BYTE, 0, 0);
  }

  // view: {x, y, unit}: data point in the middle, CSS pixels a data unit. size: CSS px.
  draw(view, { width, height, ratio, size, palette, paper, ink, dim }) {
    const gl = this.gl;
    const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.canvas.width !== w || this.canvas.height !== h) {
      this.canvas.width = w;
      this.canvas.height = h;
    }
    gl.viewport(0, 0, w, h);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    const use = ({ program, uniform }, attributes) => {
      gl.useProgram(program);
      gl.bindVertexArray(attributes);
      gl.uniform2f(uniform("centre"), view.x, view.y);
      gl.uniform2f(uniform("scale"), (2 * view.unit) / width, (2 * view.unit) / height);
      return uniform;
    };
    const points = () => {
      const uniform = use(this.points, this.ofPoints);
      gl.uniform1f(uniform("size"), size * ratio);
      gl.uniform1f(uniform("line"), Math.max(1, Math.min(1.6, size / 4)) * ratio);
      gl.uniform3fv(uniform("palette"), palette);
      gl.uniform3fv(uniform("paper"), paper);
      gl.uniform1i(uniform("dim"), dim ? 1 : 0);
      gl.drawElements(gl.POINTS, this.count, gl.UNSIGNED_INT, 0);
    };
    const lines = () => {
      const uniform = use(this.strokes, this.ofStrokes);
      gl.uniform2f(uniform("screen"), w, h);
      gl.uniform1f(uniform("wide"), 1.2 * ratio);
      gl.uniform3fv(uniform("ink"), ink);
      gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, this.lines);
    };
    const field = () => {
      const uniform = use(this.field, this.ofField);
      gl.bindTexture(gl.TEXTURE_2D, this.texture);
      gl.uniform4fv(uniform("box"), this.density.box);
      gl.uniform1f(uniform("wide"), 1.3 * ratio);
      gl.uniform3fv(uniform("ink"), palette.subarray(3 * this.density.colour, 3 * this.density.colour + 3));
      gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    };
    if (this.lines) lines();
    if (this.count) points();
    if (this.density) field();  // over the points: it must be seen where they are many
  }

  release() {
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}

// Finds the visible point nearest to a place: a grid of about two points a cell.
class PointGrid {
  constructor(xy, box) {
    this.xy = xy;
    this.box = box;
    const count = xy.length / 2;
    this.side = Math.max(1, Math.min(512, Math.round(Math.sqrt(count / 2))));
    this.step = [(box.right - box.left) / this.side || 1, (box.top - box.bottom) / this.side || 1];
    const starts = new Uint32Array(this.side * this.side + 1);
    const cells = new Int32Array(count);
    for (let i = 0; i < count; i++) {
      cells[i] = Number.isNaN(xy[2 * i]) ? -1 : this.cell(xy[2 * i], xy[2 * i + 1]);
      if (cells[i] >= 0) starts[cells[i] + 1]++;
    }
    for (let c = 0; c < this.side * this.side; c++) starts[c + 1] += starts[c];
    const fill = starts.slice();
    this.rows = new Uint32Array(starts[this.side * this.side]);
    for (let i = 0; i < count; i++) if (cells[i] >= 0) this.rows[fill[cells[i]]++] = i;
    this.starts = starts;
  }

  column(x, axis) {
    const from = axis ? this.box.bottom : this.box.left;
    return Math.max(0, Math.min(this.side - 1, Math.floor((x - from) / this.step[axis])));
  }

  cell(x, y) {
    return this.column(y, 1) * this.side + this.column(x, 0);
  }

  nearest(x, y, reach, allowed) {
    let best = -1;
    let least = reach * reach;
    for (let j = this.column(y - reach, 1); j <= this.column(y + reach, 1); j++) {
      for (let i = this.column(x - reach, 0); i <= this.column(x + reach, 0); i++) {
        const c = j * this.side + i;
        for (let k = this.starts[c]; k < this.starts[c + 1]; k++) {
          const row = this.rows[k];
          const d = (this.xy[2 * row] - x) ** 2 + (this.xy[2 * row + 1] - y) ** 2;
          if (d <= least && allowed(row)) [best, least] = [row, d];
        }
      }
    }
    return best;
  }
}

// Is a place inside a polygon (even-odd rule)?
function inside(polygon, x, y) {
  let odd = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [xi, yi] = polygon[i];
    const [xj, yj] = polygon[j];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) odd = !odd;
  }
  return odd;
}

// Reads what app/map_data.py packed: header length, JSON header, arrays at the offsets it names.
function unpack(bytes) {
  const block = bytes.slice();  // its own buffer, so that typed arrays start on their boundaries
  const length = new DataView(block.buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(block.subarray(4, 4 + length)));
  const types = { f4: Float32Array, f2: Uint16Array, i4: Int32Array, u2: Uint16Array, u1: Uint8Array };
  const data = {};
  for (const [name, [type, offset, count]] of Object.entries(head.arrays)) {
    data[name] = new types[type](block.buffer, offset, count);
  }
  return { ...head, ...data };
}

// A block that many messages name: fetched once, kept while the page is open. Its address names its content.
const blocks = new Map();
const KEPT = 30;  // blocks: some maps' worth

function fetchBlock(address) {
  if (!blocks.has(address)) {
    const got = (async () => {
      const answer = await fetch(address);
      if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
      const bytes = new Uint8Array(await answer.arrayBuffer());
      return { bytes: bytes.length, ...unpack(bytes) };
    })();
    got.catch(() => blocks.delete(address));  // a later message may ask again
    blocks.set(address, got);
    if (blocks.size > KEPT) blocks.delete(blocks.keys().next().value);
  }
  return blocks.get(address);
}
