// Class x subdomain grid: counts of real and synthetic latents; a cell, a row or a column is a button that filters.

function element(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
}

const FIRST = 60;  // classes in the grid at first

// A count of four digits has no room in a cell; the label has it in full.
const short = (count) => (count < 1000 ? String(count) : `${(count / 1000).toFixed(count < 9950 ? 1 : 0)}k`);

const grids = new WeakMap();

// The buttons stay while the page is drawn anew: a press that began before still ends on the button it began on.
class Grid {
  constructor(root, data, shape) {
    Object.assign(this, { root, data, shape, paints: [], next: 0, group: "" });
    this.table = element("table");
    const longest = Math.max(...data.classes.map(({ name }) => name.length));
    this.table.style.setProperty("--names", `${Math.max(4.2, Math.min(9, 0.58 * longest + 0.6))}em`);
    if (data.subdomains.length > 5) this.table.className = "narrow";
    const head = this.table.createTHead().insertRow();
    head.append(element("th"));
    data.subdomains.forEach((name, s) => {
      const th = element("th");
      th.append(this.button(-1, s, name.replace(/([_\-./])(?=.)/g, "$1\u200b"), () => `Only ${name}`));
      head.append(th);
    });
    // A thousand classes are thousands of buttons: rows come as they are scrolled to.
    root.onscroll = () => {
      if (root.scrollTop + 2 * root.clientHeight > root.scrollHeight) this.upTo(this.next + FIRST);
    };
    root.replaceChildren(this.table);
  }

  // The button of a cell, or of a whole row or column where one of the numbers is -1.
  button(label, subdomain, text, says) {
    const made = element("button", "", text);
    made.type = "button";
    made.addEventListener("click", () => this.send("cell", { label, subdomain, press: performance.now() }));
    const on = (chosen, k) => (k < 0 ? !chosen.length : chosen.includes(k));
    const paint = () => {
      const active = on(this.data.classes_on, label) && on(this.data.subdomains_on, subdomain);
      made.classList.toggle("active", active);
      made.setAttribute("aria-pressed", String(active));
      made.setAttribute("aria-label", says());
      made.title = says();
    };
    this.paints.push(paint);
    paint();
    return made;
  }

  row({ index, name, kind }) {
    if (kind !== this.group) {
      this.group = kind;
      const row = this.table.insertRow();
      row.className = "group";
      const cell = row.insertCell();
      cell.colSpan = this.data.subdomains.length + 1;
      cell.textContent = kind;
    }
    const row = this.table.insertRow();
    const th = element("th");
    th.append(this.button(index, -1, name, () => `Only ${name}`));
    row.append(th);
    this.data.subdomains.forEach((_, s) => row.insertCell().append(this.cell(index, s, name)));
  }

  cell(index, s, name) {
    const counts = () => [this.data.real[index][s], this.data.synthetic[index][s]];
    const cell = this.button(index, s, "", () => {
      const [real, made] = counts();
      return `${name}, ${this.data.subdomains[s]}: ${real || "no"} real, ${made || "no"} synthetic`;
    });
    const [before, after] = [element("b"), element("i")];
    cell.append(before, after);
    const paint = () => {
      const [real, made] = counts();
      cell.style.setProperty("--depth", `${Math.round(4 + 40 * Math.sqrt(real / this.data.most))}%`);
      cell.classList.toggle("empty", !real);
      before.textContent = short(real);
      after.textContent = made ? `+${short(made)}` : "";
    };
    this.paints.push(paint);
    paint();
    return cell;
  }

  upTo(count) {
    while (this.next < Math.min(count, this.data.classes.length)) this.row(this.data.classes[this.next++]);
  }

  update(data, send) {
    this.data = data;
    this.send = send;
    for (const paint of this.paints) paint();
    const chosen = data.classes.flatMap(({ index }, place) => (data.classes_on.includes(index) ? [place + 1] : []));
    this.upTo(Math.max(FIRST, ...chosen));
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".grid");
  if (outdated(root, data)) return;
  const shape = JSON.stringify([data.classes, data.subdomains]);
  let grid = grids.get(root);
  if (grid?.shape !== shape) grids.set(root, (grid = new Grid(root, data, shape)));
  grid.update(data, setTriggerValue);
}
