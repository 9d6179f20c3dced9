/** Where the time of a start or stop went: the waterfalls of the RPC Trace as SVG. */
import { call } from './api.js';
import { h, s } from './dom.js';
import { clockText, msOf, spanText } from './format.js';

const ROW = 17;
const INDENT = 12;
const NAMES = 330;
const BARS = 430;
const FIGURE = 70;
/** Letters of a name that fit beside the bars. */
const LETTERS = 48;

/**
 * The bars of an episode: {y, x, width, indent, label, kind, tone, figure, title}, with x and width in pixels from the left of
 * the bars. Pure.
 */
export function barsOf({ totalMs = 0, rows = [] }) {
  const scale = totalMs > 0 ? BARS / totalMs : 0;
  return rows.map(({ kind, name, depth = 0, startMs = 0, endMs = 0, outcome = '', on = '' }, at) => {
    const words = [on, outcome === 'ok' ? '' : outcome].filter((word) => word !== '').join(', ');
    const text = `${kind === 'client' ? 'the client waits' : name}${words === '' ? '' : ` [${words}]`}`;
    const most = LETTERS - depth * 2;
    return {
      y: at * ROW,
      x: Math.min(startMs * scale, BARS - 1),
      width: Math.max(1, (endMs - startMs) * scale),
      indent: depth * INDENT,
      label: text.length > most ? `${text.slice(0, most - 1)}…` : text,
      kind,
      tone: outcome === 'running' ? 'busy' : outcome === '' || outcome === 'ok' ? 'plain' : 'bad',
      figure: figureOf(endMs - startMs),
      title: `${text}: ${(endMs - startMs).toFixed(1)} ms from ${startMs.toFixed(1)} ms on`,
    };
  });
}

/** Tenths of a millisecond count for a short step, and nothing below a second for a long one. */
function figureOf(ms) {
  return ms < 9.95 ? `${ms.toFixed(1)} ms` : spanText(ms);
}

function pictureOf(episode) {
  const bars = barsOf(episode);
  const width = NAMES + BARS + FIGURE;
  return s(
    'svg',
    {
      class: 'waterfall',
      width,
      height: bars.length * ROW + 2,
      viewBox: `0 0 ${width} ${bars.length * ROW + 2}`,
      role: 'img',
      'aria-label': `Waterfall of ${episode.title}`,
    },
    bars.map((bar) =>
      s(
        'g',
        { class: `bar ${bar.kind} ${bar.tone}` },
        s('title', {}, bar.title),
        s('text', { x: bar.indent, y: bar.y + 12 }, bar.label),
        s('text', { class: 'figure', x: width, y: bar.y + 12 }, bar.figure),
        s('rect', { x: NAMES + bar.x, y: bar.y + 3, width: bar.width, height: ROW - 6, rx: 2 }),
      ),
    ),
  );
}

function episodeOf(episode) {
  const { title, totalMs = 0, startNs } = episode;
  return h(
    'figure',
    {},
    h('figcaption', {}, `${title}: ${figureOf(totalMs)} from ${clockText(msOf(startNs))}`),
    h('div', { class: 'frame', tabindex: 0 }, pictureOf(episode)),
  );
}

/** Names whose slowest call or effect is listed. */
const SLOWEST = 12;

/** The slowest call or effect of each name, the slowest first, of an answer that lists several of each. Pure. */
export function slowestOf(all) {
  const worst = new Map();
  for (const one of all) {
    const key = `${one.kind} ${one.name}`;
    if ((one.ms ?? 0) > (worst.get(key)?.ms ?? -1)) worst.set(key, one);
  }
  return [...worst.values()].toSorted((one, other) => (other.ms ?? 0) - (one.ms ?? 0)).slice(0, SLOWEST);
}

function slowestList(all) {
  const rows = slowestOf(all);
  if (rows.length === 0) return h('p', { class: 'hint' }, 'Nothing was recorded in the last hour.');
  return h(
    'ul',
    { class: 'entries' },
    rows.map(({ name, title = '', startNs, ms = 0, outcome = '' }) =>
      h(
        'li',
        { 'data-tone': outcome === '' || outcome === 'ok' || outcome === 'OK' ? undefined : 'bad' },
        h('span', {}, name),
        h('span', { class: 'side' }, `${figureOf(ms)} at ${clockText(msOf(startNs)).slice(0, 8)}`),
        h('span', { class: 'text' }, title),
      ),
    ),
  );
}

/** A section that asks when it is opened: the daemon reads what the last hour left on its disk. */
function askedSection(title, question, build) {
  const body = h('div', {}, 'loading…');
  const section = h('details', { class: 'part trace' }, h('summary', {}, title), body);
  section.addEventListener('toggle', async () => {
    if (!section.open) return;
    try {
      body.replaceChildren(...build(await call('Trace', question)));
    } catch (error) {
      body.replaceChildren(h('p', { class: 'hint' }, error.message));
    }
  });
  return section;
}

/** The actor's waterfalls, the newest first. */
export function traceSection(address) {
  return askedSection('Where the time went', { query: address }, ({ episodes = [] }) =>
    episodes.map(episodeOf).reverse(),
  );
}

/** The slowest calls and effects of the last hour, by name. */
export function slowestSection() {
  return askedSection('Slowest of the last hour', { slowest: true }, ({ slowest = [] }) => [
    slowestList(slowest),
  ]);
}
