// Line icons of 16 by 16, drawn for this page.

import { s } from "./dom.js";

const paths = {
  subscription: "M2.5 4.5h11v8h-11z M2.5 7h11",
  group: "M3.5 2.5h-1v11h1 M12.5 2.5h1v11h-1 M5.5 6h5 M5.5 10h5",
  vault: "M2.5 2.5h11v11h-11z M10.5 8a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0z M8 8v-.01 M4.5 4.5v-.01 M11.5 4.5v-.01",
  secret: "M3.5 7h9v6.5h-9z M5.5 7V5a2.5 2.5 0 0 1 5 0v2 M8 9.5v1.5",
  key: "M8.5 10a3 3 0 1 1-6 0 3 3 0 0 1 6 0z M7.6 7.9 13 2.5 M10.5 5l2 2",
  identity: "M10.5 5.5a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0z M3 13.5a5 5 0 0 1 10 0",
  credential: "M6.5 9.5 9.5 6.5 M7 4.5l1.2-1.2a3.2 3.2 0 0 1 4.5 4.5L11.5 9 M9 11.5l-1.2 1.2a3.2 3.2 0 0 1-4.5-4.5L4.5 7",
  cluster: "M8 1.8 13.4 5v6L8 14.2 2.6 11V5z M8 8l5.2-3 M8 8v6 M8 8 2.8 5",
  pool: "M2.5 3.5h11v3.5h-11z M2.5 9h11v3.5h-11z M4.7 5.2v-.01 M4.7 10.7v-.01",
  role: "M8 2 13 4v4c0 3-2 5-5 6-3-1-5-3-5-6V4z M5.8 8l1.6 1.6 2.8-3",
  lock: "M3.5 7h9v6.5h-9z M5.5 7V5a2.5 2.5 0 0 1 5 0v2",
  network: "M6 2.5h4v3H6z M2 10.5h4v3H2z M10 10.5h4v3h-4z M8 5.5V8 M4 10.5V8h8v2.5",
  monitor: "M2 13.5h12 M3 10l3-4 2.5 2.5L13 3",
  storage: "M13 4c0 1-2.2 1.8-5 1.8S3 5 3 4s2.2-1.8 5-1.8S13 3 13 4z M3 4v8c0 1 2.2 1.8 5 1.8s5-.8 5-1.8V4 M3 8c0 1 2.2 1.8 5 1.8S13 9 13 8",
  event: "M9 1.8 3.5 9H8l-1 5.2L12.5 7H8z",
  other: "M3 3h10v10H3z",
  ok: "M3.5 8.5 6.5 11.5 12.5 4.5",
  refused: "M13.5 8a5.5 5.5 0 1 1-11 0 5.5 5.5 0 0 1 11 0z M4.2 4.2l7.6 7.6",
  fault: "M8 2.2 14.3 13.3H1.7z M8 6.5v3 M8 11.5v-.01",
  more: "M6 3.5 10.5 8 6 12.5",
  none: "M4.5 8h7",
  close: "M4 4l8 8 M12 4l-8 8",
};

/** icon is a picture that says nothing by itself: what is beside it does. */
export const icon = (name, size = 16) =>
  s("svg", { class: `icon icon-${name}`, viewBox: "0 0 16 16", width: size, height: size, "aria-hidden": "true", focusable: "false" },
    s("path", { d: paths[name] ?? paths.other }));
