// Stands before every component's script. Streamlit calls a script for each message once it has loaded it for that
// message: at first an older message may come last, and what its call returns is called at once. So messages are
// numbered (app/components.py), and a component is released when its root has left the page.

const GONE = 1_000;  // ms until a root that is being taken away has left
const newest = new WeakMap();

function outdated(root, data) {
  const number = data instanceof Uint8Array
    ? new DataView(data.buffer, data.byteOffset).getFloat64(data.byteLength - 8, true)
    : data.number;
  if (number < (newest.get(root) ?? 0)) return true;
  newest.set(root, number);
  return false;
}

function onceGone(root, release) {
  return () => setTimeout(() => root.isConnected || release(), GONE);
}

