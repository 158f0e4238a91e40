// Brings the pictures of a run's points when they are made (app/pictures.py): every map of the page finds them in
// `pictures` under the run's name. Until then it asks for them, and so it does where the server forgot them.

const WAIT = 500;       // ms before the first question,
const SLOWER = 1.3;     // the next after so many times as long,
const LONGEST = 5_000;  // up to this
const QUIET = 400;      // ms without a press
const KEPT_RUNS = 4;
const pictures = (window.geldaPictures ??= new Map());
const newestLook = new WeakMap();
let pressed = -Infinity;

// Streamlit sends what comes together in one message, and the whole of it for one fragment: a question must not come
// together with a press, which is for the page. (A slider tells its value up to 200 ms after it was moved.)
for (const act of ["pointerdown", "pointermove", "pointerup", "keydown"]) {
  window.addEventListener(act, (e) => {
    if (act !== "pointermove" || e.buttons) pressed = performance.now();
  }, { capture: true, passive: true });
}

async function brought({ run, address }) {
  if (pictures.get(run)?.address === address) return true;
  let block;
  try {
    const answer = await fetch(address);
    if (!answer.ok) return false;
    block = unpack(new Uint8Array(await answer.arrayBuffer()));
  } catch {  // the server is away
    return false;
  }
  const url = URL.createObjectURL(new Blob([block.image], { type: "image/webp" }));
  const slots = new Map(Array.from(block.row, (row, slot) => [row, slot]));
  const before = pictures.get(run) ?? (pictures.size === KEPT_RUNS ? pictures.values().next().value : null);
  if (before) {
    URL.revokeObjectURL(before.url);
    pictures.delete(before.run);
  }
  pictures.set(run, { run, address, url, slots, across: block.across });
  window.dispatchEvent(new Event("gelda-pictures"));
  return true;
}

async function look(root, data, ask) {
  const own = {};
  newestLook.set(root, own);
  let wait = WAIT * (1 + Math.random() / 5);  // two maps of a page do not ask together
  for (; !(data.address && (await brought(data))); wait = Math.min(LONGEST, SLOWER * wait)) {
    await new Promise((done) => setTimeout(done, wait));
    while (performance.now() - pressed < QUIET) await new Promise((done) => setTimeout(done, QUIET / 2));
    if (newestLook.get(root) !== own || !root.isConnected) return;
    ask();
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  if (!data) return;
  const root = parentElement.querySelector(".pictures");
  if (outdated(root, data)) return;
  look(root, data, () => setTriggerValue("look", performance.now()));
}
