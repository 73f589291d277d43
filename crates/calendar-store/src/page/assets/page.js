// What the agenda page does beyond its HTML: it follows changes, takes the viewer's time zone, and listens to keys. All content is
// HTML that the server rendered: nothing here makes markup from text.

const SETTLE = 250; // Milliseconds in which changes are gathered before the page is fetched anew.
const RETRY = [2000, 5000, 15000, 60000]; // Milliseconds before the next attempt after a failed one.
const QUARTER = 15 * 60 * 1000; // Milliseconds after which the line of the present moves.
const TOLD = 3; // The most changes that are read out one by one.

const events = () => document.getElementById("events");
let source, settling, failures = 0;

if (events()) {
  takeZone();
  listenToKeys();
  follow();
  document.addEventListener("visibilitychange", () => (document.hidden ? rest() : wake()));
  addEventListener("pagehide", rest);
  addEventListener("pageshow", (event) => event.persisted && wake());
  setTimeout(moveOn, QUARTER - (Date.now() % QUARTER));
}

// Without a zone in the address, that of the viewer if the server knows it.
function takeZone() {
  const address = new URL(location.href);
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const known = [...document.getElementById("zones").options].some((option) => option.value === zone);
  if (address.searchParams.get("timeZone") || !known) return;
  address.searchParams.set("timeZone", zone);
  location.replace(address);
}

// --- Following changes ---

function follow() {
  rest();
  const { stream, sequence } = events().dataset;
  source = new EventSource(`${stream}?since=${encodeURIComponent(sequence)}`);
  source.onopen = () => { failures = 0; say(true); };
  source.addEventListener("change", soon);
  // What changed since then is no longer told: begin anew from what is fetched now.
  source.addEventListener("gone", () => renew().then(follow, again));
  source.onerror = () => {
    say(false);
    // It tries by itself after a cut, and not after a refusal.
    if (source.readyState === EventSource.CLOSED) again();
  };
}

function rest() {
  clearTimeout(settling);
  if (source) source.close();
  source = undefined;
}

function wake() {
  if (!source) renew().then(follow, again);
}

function again() {
  rest();
  say(false);
  const wait = RETRY[Math.min(failures, RETRY.length - 1)];
  failures += 1;
  settling = setTimeout(() => { if (!document.hidden) renew().then(follow, again); }, wait);
}

function soon() {
  clearTimeout(settling);
  settling = setTimeout(() => renew().catch(again), SETTLE);
}

function moveOn() {
  setTimeout(moveOn, QUARTER);
  if (!document.hidden && source) renew().catch(again);
}

// The page as it is now. By XMLHttpRequest, since that parses HTML without running any of it.
function fetched() {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("GET", location.href);
    request.responseType = "document";
    request.timeout = 30000;
    request.onload = () => {
      // Signed out, or no right any more: the page itself says so.
      if ([401, 403, 404].includes(request.status)) location.reload();
      const found = request.status === 200 && request.response && request.response.getElementById("events");
      found ? resolve(found) : reject(new Error(`status ${request.status}`));
    };
    request.onerror = request.ontimeout = () => reject(new Error("not reached"));
    request.send();
  });
}

async function renew() {
  const fresh = document.adoptNode(await fetched());
  const old = events();
  const [before, after] = [texts(old), texts(fresh)];
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  for (const details of old.querySelectorAll("details[open]")) fresh.querySelector(`#${CSS.escape(details.id)}`)?.setAttribute("open", "");
  old.replaceWith(fresh);
  if (focused) {
    const same = focused.id ? document.getElementById(focused.id) : twin(focused, old, fresh);
    (same || document.getElementById("range")).focus({ preventScroll: true });
  }
  tell(before, after);
}

// The same element by its place, for those without an id.
function twin(element, old, fresh) {
  const path = [...old.querySelectorAll("a, summary")].indexOf(element);
  return path < 0 ? null : [...fresh.querySelectorAll("a, summary")][path];
}

function texts(section) {
  const all = section.querySelectorAll("[data-event]");
  return new Map([...all].map((element) => [element.dataset.event, element.textContent.replace(/\s+/g, " ").trim()]));
}

// Says politely what is different, and shows it for a moment.
function tell(before, after) {
  const said = [];
  for (const [key, text] of after) {
    if (before.get(key) === text) continue;
    said.push(`${before.has(key) ? "Changed" : "New"}: ${text}`);
    const element = document.querySelector(`[data-event="${CSS.escape(key)}"]`);
    (element?.closest("li") || element)?.classList.add("changed");
  }
  for (const [key, text] of before) if (!after.has(key)) said.push(`Gone: ${text}`);
  if (said.length === 0) return;
  document.getElementById("news").textContent = said.length > TOLD ? `${said.length} changes in the calendar` : said.join(". ");
}

function say(live) {
  const mark = document.getElementById("live");
  if (mark.hidden && !live) return;
  const was = mark.textContent;
  mark.hidden = false;
  mark.className = live ? "on" : "";
  mark.textContent = live ? "Live" : "Not live at the moment";
  if (was && was !== mark.textContent) document.getElementById("news").textContent = mark.textContent;
}

// --- Keys ---

function listenToKeys() {
  const use = document.getElementById("use-keys");
  document.getElementById("keys").hidden = false;
  use.checked = remembered() !== "off";
  use.onchange = () => remember(use.checked ? "on" : "off");
  document.addEventListener("keydown", (event) => {
    if (!use.checked || event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    const link = document.querySelector(`a[data-key="${CSS.escape(event.key)}"]`);
    if (!link) return;
    event.preventDefault();
    link.click();
  });
}

// A browser may forbid to keep anything.
function remembered() {
  try { return localStorage.getItem("calendar-keys"); } catch { return null; }
}

function remember(value) {
  try { localStorage.setItem("calendar-keys", value); } catch { /* then it holds for this page */ }
}
