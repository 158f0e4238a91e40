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

function button(text, label, active, act) {
  const made = element("button", active ? "active" : "", text);
  made.type = "button";
  made.setAttribute("aria-label", label);
  made.setAttribute("aria-pressed", String(active));
  made.title = label;
  made.addEventListener("click", act);
  return made;
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".grid");
  const focused = parentElement.activeElement?.dataset?.cell;
  const table = element("table");
  const longest = Math.max(...data.classes.map(({ name }) => name.length));
  table.style.setProperty("--names", `${Math.max(4.2, Math.min(9, 0.58 * longest + 0.6))}em`);
  if (data.subdomains.length > 5) table.className = "narrow";
  const head = table.createTHead().insertRow();
  head.append(element("th"));
  const chosen = (c, s) => data.classes_on.includes(c) && data.subdomains_on.includes(s);
  const send = (label, subdomain) => setTriggerValue("cell", { label, subdomain });
  data.subdomains.forEach((name, s) => {
    const th = element("th");
    const on = data.subdomains_on.includes(s) && !data.classes_on.length;
    th.append(button(name, `Only ${name}`, on, () => send(-1, s)));
    head.append(th);
  });
  let group = "";
  const add = ({ index, name, kind }) => {
    if (kind !== group) {
      group = kind;
      const row = table.insertRow();
      row.className = "group";
      const cell = row.insertCell();
      cell.colSpan = data.subdomains.length + 1;
      cell.textContent = kind;
    }
    const row = table.insertRow();
    const th = element("th");
    const on = data.classes_on.includes(index) && !data.subdomains_on.length;
    th.append(button(name, `Only ${name}`, on, () => send(index, -1)));
    row.append(th);
    data.subdomains.forEach((subdomain, s) => {
      const [real, made] = [data.real[index][s], data.synthetic[index][s]];
      const says = `${name}, ${subdomain}: ${real || "no"} real, ${made || "no"} synthetic`;
      const cell = button("", says, chosen(index, s), () => send(index, s));
      cell.dataset.cell = `${index},${s}`;
      cell.style.setProperty("--depth", `${Math.round(4 + 40 * Math.sqrt(real / data.most))}%`);
      if (!real) cell.classList.add("empty");
      cell.append(element("b", "", short(real)), element("i", "", made ? `+${short(made)}` : ""));
      row.insertCell().append(cell);
    });
  };
  // A thousand classes are thousands of buttons: rows come as they are scrolled to.
  let next = 0;
  const upTo = (count) => {
    while (next < Math.min(count, data.classes.length)) add(data.classes[next++]);
    root.dataset.rows = String(next);
  };
  const chosenRows = data.classes.flatMap(({ index }, place) => (data.classes_on.includes(index) ? [place + 1] : []));
  upTo(Math.max(FIRST, Number(root.dataset.rows ?? 0), ...chosenRows));
  root.onscroll = () => {
    if (root.scrollTop + 2 * root.clientHeight > root.scrollHeight) upTo(next + FIRST);
  };
  root.replaceChildren(table);
  if (focused) root.querySelector(`[data-cell="${focused}"]`)?.focus();
}
