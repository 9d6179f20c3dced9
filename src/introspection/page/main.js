/** Connects the parts of the page, and decides when which call is sent. */
import { ApiError, call, takeToken, watch } from './api.js';
import { Detail } from './detail.js';
import { setText } from './dom.js';
import { countText } from './format.js';
import { List } from './list.js';
import { Model, rowsOf } from './model.js';

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
/** Most actors that are explained one by one in a second; a burst of more is read by one List. */
const MOST_ASKED = 40;
const ASKED_AT_ONCE = 4;

const model = new Model();
const filter = { text: '', mode: 'all' };
let chosen = '';
/** The last answer of Status; undefined while it fails. */
let facts;
let listAt = 0;
let listedAt = 0;
let statusAt = 0;
let explainAt = 0;
let isExplaining = false;
let isListing = false;
let isAsking = false;
/** Addresses of actors that have changed, or are visible and not settled. */
const unsure = new Set();
let needsDraw = false;
let needsReveal = false;
let isSoon = false;

const list = new List(choose);
const detail = new Detail(choose);
const box = document.getElementById('filter');
const status = document.getElementById('status');
const empty = document.getElementById('empty');

function choose(address) {
  chosen = address;
  explainAt = 0;
  draw();
  void explain();
}

/** Draws the page, at most once per frame. */
function draw(isOtherFilter = false) {
  if (isOtherFilter) needsReveal = true;
  if (needsDraw) return;
  needsDraw = true;
  requestAnimationFrame(() => {
    needsDraw = false;
    sayFacts();
    const rows = rowsOf(model, filter);
    list.set(rows, chosen);
    if (needsReveal) list.reveal(rows.findIndex((row) => row.actor.address === chosen));
    needsReveal = false;
    empty.hidden = rows.length > 0;
    setText(empty, model.actors.size === 0 ? 'No pods yet.' : 'Nothing matches.');
  });
}

function say(text, tone) {
  status.dataset.tone = tone;
  setText(status, text);
}

async function showStatus() {
  statusAt = Date.now() + STATUS_MS;
  try {
    facts = await call('Status', {});
    sayFacts();
  } catch (error) {
    failed(error);
  }
}

/** Shows the daemon's status and the number of pods and containers. */
function sayFacts() {
  if (facts === undefined) return;
  const ready = facts.notReadyReason ?? '';
  const counts = `${countText(model.count('sandbox'), 'pod')} · ${countText(model.count('container'), 'container')}`;
  say(
    `${facts.version} · ${counts}${ready === '' ? '' : ` · ${ready}`}${facts.networkReady === true ? '' : ' · network not ready'}`,
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
    await showStatus();
  } catch (error) {
    failed(error);
  }
  isListing = false;
  draw();
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
  await Promise.all(Array.from({ length: ASKED_AT_ONCE }, worker));
  isAsking = false;
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
  if (chosen === '' || isExplaining) return;
  isExplaining = true;
  const asked = chosen;
  try {
    const answer = await call('Explain', { query: asked });
    if (asked === chosen) detail.show(answer);
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
  }
  isExplaining = false;
  if (asked !== chosen) void explain();
}

function failed(error) {
  if (!(error instanceof ApiError)) throw error;
  facts = undefined;
  if (error.code === 'unauthorized')
    say(
      'authentication required: open the address that troupe printed, or add #token=… from introspection.token',
      'bad',
    );
  else say(`troupe does not answer: ${error.message}; retrying`, 'bad');
}

/** Follows the stream of changes as long as the page is open. */
async function follow() {
  for (;;) {
    try {
      model.rewind();
      await refresh();
      for await (const change of watch(model.seq)) taken(change);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      // out_of_range: the changes are no longer kept; it starts again with a List, as after any other end
      if (error.code !== 'out_of_range') failed(error);
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

function taken(change) {
  model.apply(change);
  unsure.add(change.address);
  if (change.address === chosen) explainAt = 0;
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
  list.draw();
  detail.tick();
}

box.addEventListener('input', () => {
  filter.text = box.value;
  draw(true);
});
box.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') {
    box.value = '';
    filter.text = '';
    draw(true);
  }
  if (event.key === 'ArrowDown' || event.key === 'Enter') {
    event.preventDefault();
    document.getElementById('list').focus();
  }
});
document.getElementById('modes').addEventListener('click', (event) => {
  const mode = event.target.dataset?.mode;
  if (mode === undefined) return;
  filter.mode = mode;
  for (const button of event.currentTarget.querySelectorAll('button'))
    button.setAttribute('aria-pressed', String(button.dataset.mode === mode));
  draw(true);
});
document.getElementById('list').addEventListener('keydown', (event) => {
  if (event.key === 'Enter') detail.focus();
});
document.addEventListener('keydown', (event) => {
  if (event.key !== '/' || event.target === box) return;
  event.preventDefault();
  box.focus();
});
document.addEventListener('visibilitychange', tick);
window.addEventListener('hashchange', () => {
  takeToken();
  void refresh();
});

takeToken();
say('connecting…', 'quiet');
call('Charts', {}).then((answer) => detail.setCharts(answer.charts ?? []), failed);
setInterval(tick, TICK_MS);
void follow();
