/** Connects the parts of the page, and decides when which call is sent. */
import { readAddress, readCollapsed, writeAddress, writeCollapsed } from './address.js';
import { ApiError, call, takeToken, watch } from './api.js';
import { authCard, authText } from './auth.js';
import { Detail } from './detail.js';
import { h, setText } from './dom.js';
import { countText } from './format.js';
import { listenToKeys } from './keys.js';
import { List } from './list.js';
import { Model } from './model.js';
import { collapsible, GROUPS, rowsOf, SORTS } from './rows.js';

/**
 * Milliseconds between calls. A List of 500 pods takes the daemon some 50 ms, an Explain less than one. So the page
 * follows the stream of changes, uses Explain for data that changes don't contain, and List rarely.
 */
const LIST_MS = 60_000;
const LIST_AFTER_BURST_MS = 5000;
const STATUS_MS = 5000;
const EXPLAIN_MS = 1000;
const EXPLAIN_AT_REST_MS = 15_000;
const RETRY_MS = 2000;
const TICK_MS = 1000;
const SOON_MS = 150;
/** The overview counts all actors, so it is drawn at most this often. */
const OVERVIEW_MS = 900;
/** Most actors that are explained one by one in a second; a burst of more is read by one List. */
const MOST_ASKED = 40;
const ASKED_AT_ONCE = 4;

const model = new Model();
/** What is chosen, as in the address: {actor, mode, filter, group, sort}. */
let view = readAddress();
let collapsed = readCollapsed();
/** The last answer of Status; undefined before the first one, null while it fails. */
let facts;
let hasAnswered = false;
let isRefused = false;
let listAt = 0;
let listedAt = 0;
let statusAt = 0;
let explainAt = 0;
let overviewAt = 0;
let isExplaining = false;
let isListing = false;
let isAsking = false;
/** Addresses of actors that have changed, or are visible and not settled. */
const unsure = new Set();
let needsDraw = false;
let needsReveal = true;
let isSoon = false;

const list = new List(choose, toggle);
const detail = new Detail({ choose, show });
const box = document.getElementById('filter');
const status = document.getElementById('status');
const empty = document.getElementById('empty');
const modes = document.getElementById('modes');
const selects = { group: document.getElementById('group'), sort: document.getElementById('sort') };

/** Shows another actor; the node for an empty address. */
function choose(address) {
  view = { ...view, actor: address };
  explainAt = 0;
  draw();
  void explain();
}

/** Changes what the list shows. */
function show(part) {
  view = { ...view, ...part };
  box.value = view.filter;
  needsReveal = true;
  draw();
}

function toggle(key, isOpen) {
  collapsed = new Set(collapsed);
  if (isOpen) collapsed.delete(key);
  else collapsed.add(key);
  writeCollapsed(collapsed);
  draw();
}

/** Collapses everything, or expands it when it is collapsed. */
function toggleAll() {
  // of what is chosen now: the keys before may not have been drawn yet
  const keys = collapsible(rowsNow(model.troubles(Date.now())));
  const isClosed = keys.length > 0 && keys.every((key) => collapsed.has(key));
  collapsed = new Set(
    isClosed ? [...collapsed].filter((key) => !keys.includes(key)) : [...collapsed, ...keys],
  );
  writeCollapsed(collapsed);
  draw();
}

/** Draws the page, at most once per frame. */
function draw() {
  if (needsDraw) return;
  needsDraw = true;
  requestAnimationFrame(() => {
    needsDraw = false;
    drawNow();
  });
}

function drawNow() {
  writeAddress(view);
  sayFacts();
  const nowMs = Date.now();
  const troubles = model.troubles(nowMs);
  drawControls(troubles);
  const rows = rowsNow(troubles);
  list.set(rows, view.actor, troubles);
  if (needsReveal) list.reveal(rows.findIndex((row) => row.key === view.actor));
  needsReveal = needsReveal && model.actors.size === 0;
  empty.hidden = rows.length > 0;
  setText(empty, hasAnswered ? whyEmpty() : '');
  if (view.actor !== '' || !hasAnswered || isRefused || facts === undefined) overviewAt = 0;
  else if (nowMs >= overviewAt) {
    overviewAt = nowMs + OVERVIEW_MS;
    detail.showOverview({ model, facts, troubles, nowMs });
  }
}

function rowsNow(troubles) {
  // the kinds of trouble group themselves
  const group = view.mode === 'trouble' && view.group === 'none' ? 'trouble' : view.group;
  return rowsOf(model, { ...view, text: view.filter, group, collapsed, troubles });
}

function drawControls(troubles) {
  const moving = [...model.actors.values()].filter((actor) => actor.settled !== true).length;
  const counts = { all: model.actors.size, moving, trouble: troubles.size };
  for (const button of modes.querySelectorAll('button')) {
    const { mode } = button.dataset;
    button.setAttribute('aria-pressed', String(mode === view.mode));
    setText(button.querySelector('span'), String(counts[mode]));
    button.classList.toggle('some', mode === 'trouble' && counts.trouble > 0);
  }
  for (const [name, select] of Object.entries(selects)) select.value = view[name];
}

function say(text, tone) {
  status.dataset.tone = tone;
  setText(status, text);
}

async function showStatus() {
  statusAt = Date.now() + STATUS_MS;
  try {
    facts = await call('Status', {});
    draw();
  } catch (error) {
    failed(error);
  }
}

function whyEmpty() {
  if (model.actors.size > 0) return 'Nothing matches.';
  return model.isRecovering ? 'The daemon has started, and recovers its pods.' : 'No pods yet.';
}

/** Shows the daemon's status and the number of pods and containers. */
function sayFacts() {
  if (facts === undefined || facts === null) return;
  const ready = facts.notReadyReason ?? '';
  const counts = `${countText(model.count('sandbox'), 'pod')} · ${countText(model.count('container'), 'container')}`;
  const former = (facts.formerDaemons ?? [])
    .map(
      ({ pid, version, sessions = 0 }) => ` · daemon ${pid} of ${version} still serves ${sessions} sessions`,
    )
    .join('');
  say(
    `${facts.version} · ${counts}${ready === '' ? '' : ` · ${ready}`}${facts.networkReady === true ? '' : ' · network not ready'}${former}`,
    ready === '' ? 'good' : 'slow',
  );
}

async function refresh() {
  if (isListing) return;
  isListing = true;
  listedAt = Date.now();
  listAt = listedAt + LIST_MS;
  unsure.clear();
  try {
    model.replace(await call('List', {}));
    hasAnswered = true;
    if (isRefused) await welcome();
    draw();
    await showStatus();
  } catch (error) {
    failed(error);
  } finally {
    isListing = false;
  }
  draw();
}

/** After the first answer with a token that is right. */
async function welcome() {
  isRefused = false;
  detail.say('');
  await readCharts();
  void explain();
}

async function readCharts() {
  try {
    detail.setCharts((await call('Charts', {})).charts ?? []);
  } catch (error) {
    failed(error);
  }
}

/** Explains the actors that have changed, a few at a time. */
async function askUnsure() {
  if (unsure.size > MOST_ASKED) {
    unsure.clear();
    listAt = Math.min(listAt, listedAt + LIST_AFTER_BURST_MS);
  }
  if (isAsking || unsure.size === 0) return;
  isAsking = true;
  const addresses = [...unsure];
  unsure.clear();
  const worker = async () => {
    for (let address = addresses.pop(); address !== undefined; address = addresses.pop())
      await askOne(address);
  };
  await Promise.all(Array.from({ length: ASKED_AT_ONCE }, worker)).finally(() => {
    isAsking = false;
  });
  draw();
}

async function askOne(address) {
  try {
    const { actor } = await call('Explain', { query: address });
    model.put(actor);
  } catch (error) {
    if (error instanceof ApiError && error.code === 'not_found') model.remove(address);
    else failed(error);
  }
}

async function explain() {
  if (view.actor === '' || isExplaining) return;
  isExplaining = true;
  const asked = view.actor;
  try {
    const answer = await call('Explain', { query: asked });
    if (asked === view.actor) detail.show(answer);
    model.put(answer.actor);
    draw();
    explainAt =
      Date.now() +
      (answer.actor.settled === true && (answer.actor.waits ?? []).length === 0
        ? EXPLAIN_AT_REST_MS
        : EXPLAIN_MS);
  } catch (error) {
    explainAt = Date.now() + EXPLAIN_AT_REST_MS;
    if (error instanceof ApiError && error.code === 'not_found')
      detail.say('Not found: removed more than ten minutes ago.');
    else failed(error);
  } finally {
    isExplaining = false;
  }
  if (asked !== view.actor) void explain();
}

function failed(error) {
  if (!(error instanceof ApiError)) return reportError(error);
  facts = null;
  if (error.code !== 'unauthorized') {
    say(`troupe does not answer: ${error.message}; retrying`, 'bad');
    draw();
    return;
  }
  say(authText(), 'bad');
  if (isRefused && document.getElementById('token') !== null) return;
  isRefused = true;
  detail.say(authCard(() => void refresh()));
}

/** Follows the stream of changes as long as the page is open. */
async function follow() {
  for (;;) {
    try {
      model.rewind();
      await refresh();
      for await (const change of watch(model.seq)) taken(change);
    } catch (error) {
      // out_of_range: the changes are no longer kept; it starts again with a List, as after any other end
      if (error.code !== 'out_of_range') failed(error);
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

function taken(change) {
  model.apply(change);
  // of more than this one List reads all; a hidden page asks for none, and must not keep each
  if (unsure.size <= MOST_ASKED) unsure.add(change.address);
  if (change.address === view.actor) explainAt = 0;
  askSoon();
  draw();
}

/** Changes arrive in bursts, so their actors are explained once, a moment later. */
function askSoon() {
  if (isSoon || document.hidden) return;
  isSoon = true;
  setTimeout(() => {
    isSoon = false;
    if (explainAt === 0) void explain();
    void askUnsure();
  }, SOON_MS);
}

/** Runs every second; a hidden page sends no calls. */
function tick() {
  if (document.hidden) return;
  const now = Date.now();
  if (now >= listAt) void refresh();
  else if (now >= statusAt) void showStatus();
  if (now >= explainAt) void explain();
  for (const address of list.moving()) unsure.add(address);
  void askUnsure();
  draw();
  detail.tick();
}

/** The value after this one. */
function after(values, value) {
  return values[(values.indexOf(value) + 1) % values.length];
}

function escape() {
  if (view.filter !== '') show({ filter: '' });
  else choose('');
}

box.addEventListener('input', () => show({ filter: box.value }));
box.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') show({ filter: '' });
  if (event.key === 'ArrowDown' || event.key === 'Enter') {
    event.preventDefault();
    document.getElementById('list').focus();
  }
});
modes.addEventListener('click', (event) => {
  const mode = event.target.closest('button')?.dataset.mode;
  if (mode !== undefined) show({ mode });
});
for (const [name, values] of Object.entries({ group: GROUPS, sort: SORTS })) {
  selects[name].append(...values.map((value) => h('option', { value }, value)));
  selects[name].addEventListener('change', () => show({ [name]: selects[name].value }));
}
document.getElementById('fold').addEventListener('click', toggleAll);
document.getElementById('home').addEventListener('click', () => choose(''));
document.getElementById('list').addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && !event.defaultPrevented) detail.focus();
});
listenToKeys({
  '/': () => box.focus(),
  1: () => show({ mode: 'all' }),
  2: () => show({ mode: 'moving' }),
  3: () => show({ mode: 'trouble' }),
  g: () => show({ group: after(GROUPS, view.group) }),
  s: () => show({ sort: after(SORTS, view.sort) }),
  c: toggleAll,
  Escape: escape,
});
document.addEventListener('visibilitychange', tick);
window.addEventListener('hashchange', () => {
  takeToken();
  show(readAddress());
  choose(view.actor);
  void refresh();
});

takeToken();
view = readAddress();
box.value = view.filter;
say('connecting…', 'quiet');
void readCharts();
setInterval(tick, TICK_MS);
void explain();
void follow();
