/** The last way from one settled state to the next, as bars: which state took how long. Pure but for its elements. */
import { h } from './dom.js';
import { activeStates, msOf, spanText } from './format.js';

/** Most bars; of more the longest are shown. */
const MOST_BARS = 14;

/**
 * {fromMs, toMs, isLive, bars: [{path, fromMs, toMs}]}; undefined without such a way. States of parallel regions are
 * bars of their own; `isFinal` says which states only mark the end of a region.
 */
export function lastWay(history, nowMs, isFinal) {
  const last = history.length - 1;
  const end = history[last]?.settled === true ? last : last + 1;
  let first = end;
  while (first > 0 && history[first - 1].settled !== true) first -= 1;
  if (first === end) return undefined;
  const isLive = end === history.length;
  const fromMs = msOf(history[first].atNs);
  const toMs = isLive ? nowMs : msOf(history[end].atNs);
  const bars = [];
  const open = new Map();
  for (let at = first; at < end; at += 1) {
    const until = at + 1 < history.length ? msOf(history[at + 1].atNs) : nowMs;
    const leaves = leavesOf(history[at].to).filter((path) => !isFinal(path));
    for (const path of open.keys()) if (!leaves.includes(path)) open.delete(path);
    for (const path of leaves) {
      const bar = open.get(path) ?? { path, fromMs: msOf(history[at].atNs), toMs: 0 };
      if (!open.has(path)) bars.push(bar);
      open.set(path, bar);
      bar.toMs = until;
    }
  }
  return { fromMs, toMs, isLive, bars: longest(bars) };
}

/** The innermost active states. */
function leavesOf(text) {
  const paths = activeStates(text);
  return paths.filter((path) => !paths.some((other) => other.startsWith(`${path}.`)));
}

function longest(bars) {
  if (bars.length <= MOST_BARS) return bars;
  const sizes = bars.map((bar) => bar.toMs - bar.fromMs).toSorted((one, other) => other - one);
  return bars.filter((bar) => bar.toMs - bar.fromMs >= sizes[MOST_BARS - 1]).slice(0, MOST_BARS);
}

/** The elements of a way. */
export function wayParts(way, words) {
  const all = Math.max(1, way.toMs - way.fromMs);
  const items = way.bars.map(({ path, fromMs, toMs }) => {
    const bar = h('span', { class: toMs === way.toMs && way.isLive ? 'bar live' : 'bar' });
    bar.style.marginLeft = `${(100 * (fromMs - way.fromMs)) / all}%`;
    bar.style.width = `${(100 * (toMs - fromMs)) / all}%`;
    return h(
      'li',
      {},
      h('span', { class: 'step' }, path),
      h('span', { class: 'track', 'aria-hidden': 'true' }, bar),
      h('span', { class: 'lasted' }, spanText(toMs - fromMs)),
    );
  });
  return [
    h('h3', {}, `${words}: ${spanText(all)}${way.isLive ? ' so far' : ''}`),
    h('ol', { class: 'waterfall' }, items),
  ];
}
