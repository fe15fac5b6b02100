// A list without runs, which waits for the first.

import { onChange } from "./page.js";

let first = null;
onChange((now) => {
  const mark = JSON.stringify([now.version, Object.keys(now.live)]);
  if (Object.keys(now.live).length || (first !== null && mark !== first)) location.reload();
  first = mark;
});
document.documentElement.dataset.ready = "true";
