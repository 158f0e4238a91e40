// Class x subdomain grid: counts of real and synthetic latents; a cell, a row or a column is a button that filters.

function element(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
}

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
  for (const { index, name, kind } of data.classes) {
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
  }
  root.replaceChildren(table);
  if (focused) root.querySelector(`[data-cell="${focused}"]`)?.focus();
}
