/** Puts the page together: what is asked when, and who is told. */
import { ApiError, call, takeToken, watch } from './api.js';
import { Detail } from './detail.js';
import { setText } from './dom.js';
import { countText } from './format.js';
import { List } from './list.js';
import { Model, rowsOf } from './model.js';

/** Milliseconds. A burst of changes is asked about once. */
const AFTER_CHANGE_MS = 400;
const WHILE_MOVING_MS = 2000;
const AT_REST_MS = 15_000;
const EXPLAIN_MS = 1000;
const RETRY_MS = 2000;
const TICK_MS = 1000;

const model = new Model();
const filter = { text: '', mode: 'all' };
let chosen = '';
let refreshAt = 0;
let explainAt = 0;
let isExplaining = false;
let isRefreshing = false;
let needsDraw = false;
let needsReveal = false;
let state = 'connecting…';

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

/** At most once per frame. */
function draw(isOtherFilter = false) {
  if (isOtherFilter) needsReveal = true;
  if (needsDraw) return;
  needsDraw = true;
  requestAnimationFrame(() => {
    needsDraw = false;
    const rows = rowsOf(model, filter);
    list.set(rows, chosen);
    if (needsReveal) list.reveal(rows.findIndex((row) => row.actor.address === chosen));
    needsReveal = false;
    empty.hidden = rows.length > 0;
    setText(empty, model.actors.size === 0 ? 'No pods yet.' : 'Nothing matches.');
  });
}

function say(text, tone) {
  state = text;
  status.dataset.tone = tone;
  setText(status, text);
}

async function refresh() {
  if (isRefreshing) return;
  isRefreshing = true;
  try {
    const [answer, facts] = await Promise.all([call('List', {}), call('Status', {})]);
    model.replace(answer);
    const ready = facts.notReadyReason ?? '';
    const counts = `${countText(facts.sandboxes, 'pod')} · ${countText(facts.containers, 'container')}`;
    say(`${facts.version} · ${counts}${ready === '' ? '' : ` · ${ready}`}${facts.networkReady === true ? '' : ' · network not ready'}`, ready === '' ? 'good' : 'slow');
  } catch (error) {
    failed(error);
  }
  isRefreshing = false;
  refreshAt = Date.now() + (model.isMoving ? WHILE_MOVING_MS : AT_REST_MS);
  draw();
}

async function explain() {
  if (chosen === '' || isExplaining) return;
  isExplaining = true;
  const asked = chosen;
  try {
    const answer = await call('Explain', { query: asked });
    if (asked === chosen) detail.show(answer);
    explainAt = Date.now() + (answer.actor.settled === true && (answer.actor.waits ?? []).length === 0 ? AT_REST_MS : EXPLAIN_MS);
  } catch (error) {
    explainAt = Date.now() + AT_REST_MS;
    if (error instanceof ApiError && error.code === 'not_found') detail.say('It was removed, and that is more than ten minutes ago.');
    else failed(error);
  }
  isExplaining = false;
  if (asked !== chosen) void explain();
}

function failed(error) {
  if (!(error instanceof ApiError)) throw error;
  if (error.code === 'unauthorized') say('the token is missing or wrong: open the address that troupe printed, or add #token=… from introspection.token', 'bad');
  else say(`troupe does not answer (${error.message}); trying again`, 'bad');
}

/** Follows the stream for as long as the page is open. */
async function follow() {
  for (;;) {
    try {
      await refresh();
      for await (const change of watch(model.seq)) taken(change);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      // another daemon, or changes that nobody remembers: begin with a list
      if (error.code === 'out_of_range') model.forget();
      else failed(error);
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

function taken(change) {
  model.apply(change);
  refreshAt = Math.min(refreshAt, Date.now() + AFTER_CHANGE_MS);
  if (change.address === chosen) explainAt = 0;
  draw();
}

/** The one clock of the page; nothing is asked while nobody looks. */
function tick() {
  if (document.hidden) return;
  const now = Date.now();
  if (now >= refreshAt) void refresh();
  if (now >= explainAt) void explain();
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
  for (const button of event.currentTarget.querySelectorAll('button')) button.setAttribute('aria-pressed', String(button.dataset.mode === mode));
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
say(state, 'quiet');
call('Charts', {}).then((answer) => detail.setCharts(answer.charts ?? []), failed);
setInterval(tick, TICK_MS);
void follow();
