// Columns of the points as small charts: shares of what is in view, the selection laid over; a bar is a button.

const FIRST = 12;  // charts shown at first

function element(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
}

function bar(name, side, share) {
  const made = element("i", name);
  made.style[side] = `${100 * share}%`;
  return made;
}

function says({ label, real, made, own }, some) {
  const parts = [`${real[1]} real`, `${made[1]} synthetic`];
  if (some) parts.push(`${own[1]} selected`);
  return `${label}: ${parts.join(", ")}. Click to select.`;
}

function marks(one, side, some) {
  const found = [];
  if (one.real[0]) found.push(bar("real", side, one.real[0]));
  if (one.made[0]) found.push(bar("made", side, one.made[0]));
  if (some && one.own[0]) found.push(bar("own", side, one.own[0]));
  return found;
}

// A bar is clicked, or drawn over together with its neighbours.
function histogram(facet, some, send) {
  const hist = element("div", "hist");
  hist.setAttribute("role", "group");
  hist.setAttribute("aria-label", facet.title);
  const bins = facet.bars.map((one, k) => {
    const bin = element("button", "bin");
    bin.type = "button";
    bin.title = says(one, some);
    bin.setAttribute("aria-label", bin.title);
    bin.append(...marks(one, "height", some));
    bin.addEventListener("click", (event) => { if (event.detail === 0) send(k, k); });  // by the keyboard
    return bin;
  });
  hist.append(...bins);
  const at = (event) => {
    const box = hist.getBoundingClientRect();
    return Math.max(0, Math.min(bins.length - 1, Math.floor(((event.clientX - box.left) / box.width) * bins.length)));
  };
  let from = -1;
  const show = (a, b) => bins.forEach((bin, k) => bin.classList.toggle("on", k >= Math.min(a, b) && k <= Math.max(a, b)));
  hist.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    from = at(event);
    hist.setPointerCapture(event.pointerId);
    show(from, from);
  });
  hist.addEventListener("pointermove", (event) => { if (from >= 0) show(from, at(event)); });
  hist.addEventListener("pointerup", (event) => {
    if (from < 0) return;
    const to = at(event);
    send(Math.min(from, to), Math.max(from, to));
    from = -1;
    show(1, 0);
  });
  hist.addEventListener("pointercancel", () => { from = -1; show(1, 0); });
  return hist;
}

function list(facet, some, send) {
  const rows = element("div", "rows");
  for (const one of facet.bars) {
    const row = element("button", "row");
    row.type = "button";
    row.title = says(one, some);
    row.setAttribute("aria-label", row.title);
    const track = element("div", "track");
    track.append(...marks(one, "width", some));
    row.append(element("span", "", one.label), track, element("em", "", one.said));
    row.addEventListener("click", () => send(one.at, one.at));
    rows.append(row);
  }
  return rows;
}

function tile(facet, data, pick, colour) {
  const made = element("section", "facet");
  const head = element("div", "head");
  const name = element("button", "name", facet.title);
  name.type = "button";
  name.title = `Colour the map by ${facet.title}`;
  name.setAttribute("aria-pressed", String(data.colour === facet.name));
  name.addEventListener("click", () => colour(facet.name));
  head.append(name);
  if (facet.score) {
    const score = element("span", facet.faint ? "score faint" : "score", facet.score);
    score.title = facet.scored;
    head.append(score);
  }
  const send = (from, to) => pick({ facet: facet.name, from, to });
  made.append(head, element("p", data.some ? "said" : "said short", facet.said));
  made.append(facet.ordered ? histogram(facet, data.some, send) : list(facet, data.some, send));
  if (facet.ordered) {
    const axis = element("div", "axis");
    axis.append(element("span", "", facet.ends[0]), element("span", "", facet.ends[1]));
    made.append(axis);
  } else if (facet.others) made.append(element("div", "others", facet.others));
  return made;
}

const panels = new WeakMap();

// The charts stay while the page is drawn anew with the same data, and while one is held down: a press that began
// before still ends on the bar it began on. What had the focus keeps it.
class Panel {
  constructor(root) {
    Object.assign(this, { root, drawn: "", held: false });
    const ends = ["pointerup", "pointercancel"];
    const end = () => {
      for (const name of ends) window.removeEventListener(name, end);
      setTimeout(() => this.release());  // after the click that it makes
    };
    root.addEventListener("pointerdown", () => {
      this.held = true;
      for (const name of ends) window.addEventListener(name, end);
    });
  }

  release() {
    if (!this.held) return;
    this.held = false;
    this.draw();
  }

  update(data, send) {
    Object.assign(this, { data, send, wanted: JSON.stringify(data) });
    if (!this.held) this.draw();
  }

  draw() {
    if (this.wanted === this.drawn) return;
    this.drawn = this.wanted;
    const focused = this.root.getRootNode().activeElement?.dataset?.at;
    const { facets } = this.data;
    const all = this.root.dataset.all === "yes" || facets.length <= FIRST + 2;
    const tiles = element("div", "facets");
    const add = (some) => tiles.append(...some.map((facet) => this.tile(facet)));
    add(facets.slice(0, all ? undefined : FIRST));
    const parts = [tiles];
    if (!all) {
      const more = element("button", "more", `Show all ${facets.length} columns`);
      more.type = "button";
      more.addEventListener("click", () => {
        this.root.dataset.all = "yes";
        more.remove();
        add(facets.slice(FIRST));
      });
      parts.push(more);
    }
    this.root.replaceChildren(...parts);
    if (focused) this.root.querySelector(`[data-at="${CSS.escape(focused)}"]`)?.focus();
  }

  tile(facet) {
    const made = tile(facet, this.data, (found) => this.send("pick", found), (name) => this.send("colour", name));
    made.querySelectorAll("button").forEach((button, k) => { button.dataset.at = `${facet.name} ${k}`; });
    return made;
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".columns");
  if (outdated(root, data)) return;
  if (!panels.has(root)) panels.set(root, new Panel(root));
  panels.get(root).update(data, setTriggerValue);
}
