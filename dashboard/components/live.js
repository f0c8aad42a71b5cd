// The live view: camera, frames to the server and masks back, over one WebSocket. While one frame is computed, the next
// one is grabbed, shortly before its turn, and waits at the server: so the model never waits for a frame, and no more
// than one frame waits for the model. The picture itself moves in a <video>;
// the mask lies over it as a canvas of the grid's size. If masks come late, each is shown on the frame that it belongs to
// instead, since it would lie beside what has moved on.
const states = new WeakMap();
const FRAME_QUALITY = 0.85; // of the JPEG that the models see
const KEPT_QUALITY = 0.95;
const RATE_MS = 3000; // over which the rate and the delay are shown
const SHOW_MS = 500;
const LATE_MS = 400; // from this delay on, the picture waits for its mask
const SAY_MS = 1000;
const AHEAD_MS = 60; // a frame is grabbed so long before the server is expected to be done with the one before
const MAX_UNANSWERED = 2;
const CAMERA = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30, max: 30 } };
const INSECURE = "Browsers give their camera only to pages over https or of this machine: open the dashboard as "
  + "http://localhost on the machine that runs it, or put a reverse proxy with TLS in front of it.";
const DENIED = "This page may not use the camera: allow it at the sign beside the address, then press Start.";
const REASONS = {
  NotAllowedError: DENIED,
  SecurityError: DENIED,
  NotFoundError: "There is no camera: connect one, then press Start.",
  OverconstrainedError: "This camera is gone: choose another, then press Start.",
  NotReadableError: "The camera does not answer; another program may be using it: close that, then press Start.",
  AbortError: "The camera does not answer; another program may be using it: close that, then press Start.",
};
const HIDDEN = "Stopped, because this page was out of view.";
const LOST = "The connection to the server ended: press Start to try again.";

function button(text, name, act) {
  const made = element("button", name, text);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

function median(values) {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.floor(sorted.length / 2)];
}

// --- building -------------------------------------------------------------------------------------------------

function build(parent, state) {
  const part = { root: element("div", "root") };
  part.start = button("Start camera", "primary", () => (state.run ? stop(state, "") : start(state)));
  part.pause = button("Pause", "toggle", () => setPaused(state, !state.paused));
  part.keep = button("Keep frame", "", () => keep(state));
  part.keep.title = "Put this frame among the photos of Try, with all figures and its download";
  part.mirror = button("Mirror", "toggle", () => {
    state.mirrored = !state.mirrored;
    refresh(state);
  });
  part.camera = element("select", "camera");
  part.camera.setAttribute("aria-label", "Camera");
  part.camera.addEventListener("change", () => {
    state.device = part.camera.value;
    start(state);
  });
  part.opacity = element("input");
  Object.assign(part.opacity, { type: "range", min: 0, max: 100, step: 5 });
  part.opacity.addEventListener("input", () => {
    state.opacity = Number(part.opacity.value);
    refresh(state);
  });
  part.percent = element("output", "percent");
  const opacity = element("label", "opacity");
  opacity.append(element("span", "", "Opacity"), part.opacity, part.percent);
  part.rate = element("div", "rate");
  const bar = element("div", "bar");
  bar.append(part.start, part.pause, part.keep, part.camera, part.mirror, opacity, part.rate);
  part.note = element("div", "note");
  part.note.setAttribute("role", "status");
  part.stage = element("div", "stage");
  part.said = element("div", "aside");
  part.said.setAttribute("aria-live", "polite");
  part.root.append(bar, part.note, part.stage, part.said);
  part.root.addEventListener("keydown", (event) => {
    if (event.key === "c" || event.key === "r") event.stopPropagation(); // Streamlit's own keys
  });
  parent.append(part.root);
  return part;
}

// One figure per model: the picture, its mask over it, and the classes seen.
function buildFigures(state) {
  state.figures = state.models.map((model) => {
    const one = { model, mask: null, masks: 0 };
    one.figure = element("figure", "frame");
    one.screen = element("div", "screen");
    one.video = element("video");
    Object.assign(one.video, { muted: true, playsInline: true, autoplay: true, disablePictureInPicture: true });
    one.video.setAttribute("muted", ""); // the property alone is not reflected
    one.video.setAttribute("aria-label", `Camera with the mask of ${model.title}`);
    one.video.addEventListener("resize", () => refresh(state));
    one.canvas = element("canvas", "mask");
    one.canvas.setAttribute("aria-hidden", "true");
    one.still = element("canvas", "still");
    one.still.setAttribute("aria-hidden", "true");
    one.still.hidden = true;
    one.wait = element("div", "wait");
    one.screen.append(one.video, one.still, one.canvas, one.wait);
    one.time = element("span", "time");
    const caption = element("figcaption");
    caption.append(element("span", "title", model.title), one.time);
    one.legend = element("ul", "legend");
    one.legend.setAttribute("aria-label", `Classes seen by ${model.title}`);
    one.figure.append(caption, one.screen, one.legend);
    return one;
  });
  state.part.stage.replaceChildren(...state.figures.map(({ figure }) => figure));
  state.part.stage.dataset.models = String(state.figures.length);
}

// --- the camera ----------------------------------------------------------------------------------------------------

async function start(state) {
  stop(state, "");
  if (!state.models.length) return;
  if (!window.isSecureContext || !navigator.mediaDevices?.getUserMedia) {
    say(state, INSECURE);
    return;
  }
  const run = { stream: null, socket: null, sent: 0, unanswered: [], due: 0, delays: [], late: false, timer: 0, sides: null };
  state.run = run;
  state.paused = false;
  say(state, "");
  const wanted = state.device ? { deviceId: { exact: state.device } } : { facingMode: { ideal: "environment" } };
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { ...CAMERA, ...wanted }, audio: false });
  } catch (error) {
    if (error.name === "OverconstrainedError") state.device = "";
    if (state.run === run) stop(state, REASONS[error.name] ?? `The camera cannot be used (${error.name}).`);
    return;
  }
  if (state.run !== run) { // stopped while the browser asked
    for (const track of stream.getTracks()) track.stop();
    return;
  }
  run.stream = stream;
  const [track] = stream.getVideoTracks();
  track.addEventListener("ended", () => { if (state.run === run) stop(state, REASONS.OverconstrainedError); });
  const { deviceId, facingMode } = track.getSettings();
  state.mirrored = facingMode !== "environment"; // a camera without a direction looks at its user
  attach(state);
  connect(state);
  run.timer = setInterval(() => showRate(state), SHOW_MS);
  refresh(state);
  listCameras(state, deviceId);
}

async function listCameras(state, current) {
  const all = await navigator.mediaDevices.enumerateDevices().catch(() => []);
  const cameras = all.filter(({ kind, deviceId }) => kind === "videoinput" && deviceId);
  state.part.camera.replaceChildren(...cameras.map(({ deviceId, label }, index) => {
    const option = element("option", "", label || `Camera ${index + 1}`);
    option.value = deviceId;
    option.selected = deviceId === current;
    return option;
  }));
  refresh(state);
}

function attach(state) {
  for (const { video } of state.figures) {
    video.srcObject = state.run.stream;
    video.play().catch(() => {}); // interrupted by a stop
  }
  watchVideo(state, state.run, state.figures[0].video);
}

// Count the pictures of the camera, so that none is sent twice.
function watchVideo(state, run, video) {
  run.pictures = 0;
  const next = video.requestVideoFrameCallback?.bind(video) ?? requestAnimationFrame;
  const seen = () => {
    if (state.run !== run || state.figures[0]?.video !== video) return;
    run.pictures += 1;
    sendFrame(state);
    next(seen);
  };
  next(seen);
}

// End everything: camera, connection, timers. `sentence`: why, if not by the visitor.
function stop(state, sentence) {
  const { run } = state;
  state.run = null;
  state.paused = false;
  if (run) {
    clearInterval(run.timer);
    clearTimeout(run.grab);
    for (const track of run.stream?.getTracks() ?? []) track.stop();
    run.socket?.close();
    for (const one of state.figures) {
      one.video.srcObject = null;
      clearFigure(one);
    }
  }
  say(state, sentence);
  refresh(state);
}

function clearFigure(one) {
  one.still.hidden = true;
  one.canvas.width = 0; // empties it
  one.time.textContent = "";
  one.legend.replaceChildren();
  one.mask = null;
  one.shown = -1;
  delete one.figure.dataset.masks;
}

function setPaused(state, paused) {
  state.paused = paused;
  for (const { video } of state.figures) {
    if (paused) video.pause();
    else video.play().catch(() => {});
  }
  if (paused && state.run) {
    state.run.pictures += 1; // the mask of the very picture that stands still
    sendFrame(state);
  }
  refresh(state);
}

// --- the server ----------------------------------------------------------------------------------------------------

function connect(state) {
  const { run } = state;
  run.socket?.close();
  const address = new URL(state.address, location.href);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(address);
  const current = () => state.run === run && run.socket === socket;
  socket.binaryType = "arraybuffer";
  Object.assign(run, { socket, sides: null, sent: 0, unanswered: [], due: 0, sentPicture: 0, delays: [] });
  socket.addEventListener("open", () => socket.send(JSON.stringify({ models: state.models.map((model) => model.run) })));
  socket.addEventListener("message", ({ data }) => {
    if (!current()) return;
    if (typeof data !== "string") {
      showMask(state, run, new Uint8Array(data));
      return;
    }
    const { error, sides } = JSON.parse(data);
    if (error) {
      stop(state, error);
    } else {
      run.sides = sides;
      refresh(state);
      sendFrame(state);
    }
  });
  socket.addEventListener("close", () => { if (current()) stop(state, LOST); });
}

// Send the camera's present picture if the server soon has time for it, and if it has not been sent already.
function sendFrame(state) {
  const { run } = state;
  const { video } = state.figures[0];
  if (!run?.sides || run.socket.readyState !== WebSocket.OPEN || run.sentPicture === run.pictures || !video.videoWidth) return;
  if (run.unanswered.length >= MAX_UNANSWERED || (run.unanswered.length && performance.now() < run.due)) return;
  run.sentPicture = run.pictures;
  const canvas = state.frames[run.sent % state.frames.length];
  const frame = { number: run.sent, at: performance.now(), waiting: state.models.length, canvas };
  run.sent += 1;
  run.unanswered.push(frame);
  const scale = Math.min(1, Math.max(...run.sides) / Math.min(video.videoWidth, video.videoHeight));
  const size = [video.videoWidth, video.videoHeight].map((side) => Math.max(1, Math.round(side * scale)));
  const base64 = jpegOf(frame.canvas, video, size, FRAME_QUALITY).split(",")[1];
  run.socket.send(Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)));
}

// A data URL: made at once, where `toBlob` waits until the browser is idle.
function jpegOf(canvas, video, [width, height], quality) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
  context.imageSmoothingQuality = "medium";
  context.drawImage(video, 0, 0, width, height);
  return canvas.toDataURL("image/jpeg", quality);
}

// An answer: a line of JSON, then the mask as a PNG.
async function showMask(state, run, bytes) {
  const end = bytes.indexOf(10);
  const { frame: number, model, seconds } = JSON.parse(new TextDecoder().decode(bytes.subarray(0, end)));
  const { socket } = run;
  const frame = run.unanswered.find((one) => one.number === number);
  const one = state.figures[model];
  if (!frame || !one) return;
  one.seconds = seconds;
  frame.waiting -= 1;
  if (!frame.waiting) {
    // frames that a newer one has replaced at the server have no answer
    run.unanswered = run.unanswered.filter((other) => other.number > number);
    const needed = state.figures.reduce((sum, figure) => sum + 1000 * (figure.seconds ?? 0), 0);
    run.due = performance.now() + needed - AHEAD_MS;
    clearTimeout(run.grab);
    run.grab = setTimeout(() => { if (state.run === run) sendFrame(state); }, Math.max(0, needed - AHEAD_MS));
  }
  const picture = new Blob([bytes.subarray(end + 1)], { type: "image/png" });
  const bitmap = await createImageBitmap(picture, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  if (state.run !== run || run.socket !== socket || state.figures[model] !== one || one.shown > number) {
    bitmap.close();
    return;
  }
  one.shown = number;
  one.mask = countMask(bitmap);
  bitmap.close();
  paintToCanvas(one.mask, paintTable(one.model, new Set()), one.canvas);
  showStill(one, frame.canvas, run.late);
  one.masks += 1;
  one.figure.dataset.masks = String(one.masks);
  one.figure.dataset.delay = (performance.now() - frame.at).toFixed(1);
  one.wait.textContent = "";
  if (!frame.waiting) {
    const now = performance.now();
    run.delays = run.delays.filter((delay) => now - delay.time < RATE_MS);
    run.delays.push({ time: now, delay: now - frame.at });
  }
}

// Show the frame itself under its mask if masks come late, else the moving picture.
function showStill({ still }, frame, late) {
  still.hidden = !late;
  if (!late) return;
  const { width, height } = frame;
  if (still.width !== width || still.height !== height) Object.assign(still, { width, height });
  still.getContext("2d").drawImage(frame, 0, 0);
}

// --- what is shown ---------------------------------------------------------------------------------------------------

function refresh(state) {
  const { part, run } = state;
  const live = Boolean(run?.stream);
  part.start.textContent = run ? "Stop" : "Start camera";
  part.start.classList.toggle("primary", !run);
  part.start.disabled = !state.models.length;
  for (const one of [part.pause, part.mirror, part.keep]) one.disabled = !live;
  part.keep.disabled = !live || state.keeping;
  part.keep.textContent = state.held ? `Keep frame (${state.held})` : "Keep frame";
  part.pause.setAttribute("aria-pressed", String(state.paused));
  part.mirror.setAttribute("aria-pressed", String(live && state.mirrored));
  part.camera.hidden = part.camera.options.length < 2;
  part.opacity.value = String(state.opacity);
  part.percent.textContent = `${state.opacity} %`;
  part.root.classList.toggle("live", live);
  for (const one of state.figures) {
    const { videoWidth, videoHeight } = one.video;
    one.figure.style.setProperty("--aspect", String(videoWidth ? videoWidth / videoHeight : 4 / 3));
    one.screen.classList.toggle("mirrored", live && state.mirrored);
    one.canvas.style.opacity = String(state.opacity / 100);
    if (!run) one.wait.textContent = "The camera is off.";
    else if (!live) one.wait.textContent = "Waiting for the camera …";
    else if (!run.sides) one.wait.textContent = "Loading the model …";
  }
  showRate(state);
}

function showRate(state) {
  const { run, part } = state;
  if (!run?.stream) {
    part.rate.textContent = "";
    return;
  }
  showClasses(state);
  if (state.paused) {
    part.rate.textContent = "paused";
    return;
  }
  const now = performance.now();
  const recent = run.delays.filter(({ time }) => now - time < RATE_MS);
  if (recent.length < 2) {
    part.rate.textContent = "";
    return;
  }
  const rate = (1000 * (recent.length - 1)) / (recent.at(-1).time - recent[0].time);
  const delay = median(recent.map((one) => one.delay));
  run.late = delay > (run.late ? 0.75 : 1) * LATE_MS;
  part.rate.textContent = `${rate.toFixed(rate < 10 ? 1 : 0)} frames/s, delay ${delay.toFixed(0)} ms`;
  part.rate.title = run.late ? "Masks come late, so each is shown on the frame that it belongs to" : "";
}

function showClasses(state) {
  for (const one of state.figures) {
    if (!one.mask) continue;
    one.time.textContent = `model ${Math.round(1000 * one.seconds)} ms`;
    const seen = [...sharesOf(one.mask, one.model.names)].filter(([, share]) => share >= PRESENT_SHARE);
    seen.sort(([a, first], [b, second]) => (a === BACKGROUND) - (b === BACKGROUND) || second - first);
    one.legend.replaceChildren(...seen.map(([name, share]) => {
      const entry = element("li");
      const swatch = element("i");
      if (name !== BACKGROUND) swatch.style.background = one.model.colours[one.model.names.indexOf(name)];
      entry.append(swatch, element("span", "", name), element("span", "share", percent(share)));
      return entry;
    }));
  }
  announce(state);
}

// Tell screen readers which classes are in view: when that changes, and at most once a second.
function announce(state) {
  const named = ({ mask, model }) => describeMask(mask, model.names);
  const there = state.figures.filter(({ mask }) => mask);
  const classes = there.map((one) => named(one).replace(/ \d+ %/g, "")).join("; ");
  const now = performance.now();
  if (!there.length || classes === state.classes || now - (state.saidAt ?? -SAY_MS) < SAY_MS) return;
  Object.assign(state, { classes, saidAt: now });
  state.part.said.textContent = there.map((one) => (there.length > 1 ? `${one.model.title}: ${named(one)}` : named(one))).join("; ");
}

function say(state, sentence) {
  state.part.note.textContent = sentence;
}

// --- keeping a frame -------------------------------------------------------------------------------------------------

// Send the camera's present picture, whole and not mirrored, to the page.
function keep(state) {
  const { video } = state.figures[0];
  if (!state.run?.stream || !video.videoWidth) return;
  state.keeping = true;
  refresh(state);
  const canvas = document.createElement("canvas");
  state.send("kept", jpegOf(canvas, video, [video.videoWidth, video.videoHeight], KEPT_QUALITY));
}

// --- data from the server --------------------------------------------------------------------------------------------

function createState(parent) {
  const state = { abort: new AbortController(), run: null, figures: [], models: [], mirrored: true, paused: false, device: "" };
  // one more than frames are unanswered: the last one is being drawn
  state.frames = Array.from({ length: MAX_UNANSWERED + 1 }, () => document.createElement("canvas"));
  state.part = build(parent, state);
  const options = { signal: state.abort.signal };
  document.addEventListener("visibilitychange", () => { if (document.hidden && state.run) stop(state, HIDDEN); }, options);
  window.addEventListener("pagehide", () => stop(state, ""), options);
  return state;
}

function applyServerData(state, { address, models, kept, held, opacity }) {
  Object.assign(state, { address, held });
  if (state.opacity === undefined) state.opacity = opacity;
  if (kept !== state.kept) Object.assign(state, { kept, keeping: false });
  const chosen = JSON.stringify(models.map(({ run }) => run));
  const changed = chosen !== state.chosen;
  state.chosen = chosen;
  state.models = models;
  if (changed) {
    buildFigures(state);
    if (!models.length) stop(state, "Choose a model.");
    else if (state.run?.stream) {
      attach(state);
      connect(state);
      if (state.paused) setPaused(state, false);
    }
  } else {
    state.figures.forEach((one, index) => { one.model = models[index]; });
  }
  refresh(state);
}

export default function ({ parentElement, data, setTriggerValue }) {
  let state = states.get(parentElement);
  if (!state) states.set(parentElement, (state = createState(parentElement)));
  state.send = setTriggerValue;
  applyServerData(state, data);
  return () => {
    stop(state, "");
    state.abort.abort();
    states.delete(parentElement);
  };
}
