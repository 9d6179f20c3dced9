/** The node: what is shown while no actor is chosen. */
import { h } from './dom.js';
import { bytesText, countText, msOf, shortId, spanText } from './format.js';
import { failureText, waitText } from './model.js';
import { TROUBLES } from './trouble.js';
import { slowestSection } from './waterfall.js';

/** Entries of a card. */
const SHOWN = 5;

/**
 * Parts of the overview: [name, data, build]. A part is built again when its data has changed. `at` is {model, facts,
 * troubles, nowMs}, `go` {choose, show}: `show({mode, filter})` sets the list's filter.
 */
export function overviewParts(at, go) {
  const cards = [
    ['troubles', troubleList(at), troublesCard],
    ['failures', failuresOf(at), failuresCard],
    ['counts', stateCounts(at.model), countsCard],
    ['disks', at.facts?.disks ?? [], disksCard],
    ['pulls', pullsOf(at.model), pullsCard],
    ['starts', startsOf(at.model), startsCard],
    // drawn once: it asks when it is opened
    ['slowest', '', () => [slowestSection()]],
  ];
  return [
    ['sentence', [nodeSentence(at), nodeTone(at)], sentencePart],
    ['conditions', conditionsOf(at.facts), conditionsPart],
    ...cards.map(([name, data, build]) => [name, data, (value) => build(value, go)]),
  ];
}

/** Whether the node serves, and how many actors need attention. */
export function nodeSentence({ model, facts, troubles }) {
  if (facts === null) return 'The daemon does not answer.';
  const wrong = conditionsOf(facts).length;
  const bad = [...troubles.values()].filter((kind) => kind !== 'slow').length;
  const slow = troubles.size - bad;
  const moving = [...model.actors.values()].filter((actor) => actor.settled !== true).length;
  const parts = [
    (facts.notReadyReason ?? '') === '' ? 'Ready' : `Not ready: ${facts.notReadyReason}`,
    wrong > 0 ? `${countText(wrong, 'condition')} to resolve` : '',
    bad > 0 ? `${bad} in trouble` : '',
    slow > 0 ? `${countText(slow, 'slow wait')}` : '',
    wrong + bad + slow === 0 ? 'nothing needs attention' : '',
    moving > 0 ? `${moving} moving` : '',
  ];
  return `${parts.filter((part) => part !== '').join('; ')}.`;
}

function nodeTone({ facts, troubles }) {
  const kinds = [...troubles.values()];
  if (facts === null || conditionsOf(facts).length > 0 || kinds.some((kind) => kind !== 'slow')) return 'bad';
  return kinds.length > 0 ? 'slow' : 'good';
}

function sentencePart([text, tone]) {
  return [h('h2', {}, 'This node'), h('p', { class: 'answer', 'data-tone': tone }, text)];
}

/** What is degraded: [title, text]. */
export function conditionsOf(facts) {
  if (facts === null) return [];
  const rows = [];
  if ((facts.notReadyReason ?? '') !== '') rows.push(['Runtime is not ready', facts.notReadyReason]);
  if (facts.networkReady !== true)
    rows.push(['Network is not ready', facts.networkMessage ?? 'no reason given']);
  for (const { name = '', ready, reason = '' } of facts.handlers ?? [])
    if (ready !== true && name !== '') rows.push([`Handler ${name} is not ready`, reason]);
  for (const { path, freeBytes = '0', reserveBytes = '0' } of facts.disks ?? [])
    if (Number(freeBytes) < Number(reserveBytes))
      rows.push([
        'Disk is full',
        `${path} has ${bytesText(Number(freeBytes))} free: pulls are refused below ${bytesText(Number(reserveBytes))}`,
      ]);
  for (const { type, message = '' } of facts.conditions ?? []) rows.push([`${type} is false`, message]);
  if ((facts.lostFacts ?? '') !== '') rows.push(['Journal was damaged', facts.lostFacts]);
  return rows;
}

function conditionsPart(rows) {
  if (rows.length === 0) return undefined;
  return rows.map(([title, text]) => h('div', { class: 'condition' }, h('b', {}, title), h('p', {}, text)));
}

/** [kind, title, [state, count]…] of pods, containers and pulls. */
function stateCounts(model) {
  const counts = new Map([
    ['sandbox', new Map()],
    ['container', new Map()],
    ['pull', new Map()],
  ]);
  for (const { kind, state } of model.actors.values()) {
    const of = counts.get(kind);
    const word = state.split('.', 1)[0];
    of?.set(word, (of.get(word) ?? 0) + 1);
  }
  const titles = { sandbox: 'pod', container: 'container', pull: 'pull' };
  return [...counts].map(([kind, of]) => [
    countText(
      [...of.values()].reduce((sum, one) => sum + one, 0),
      titles[kind],
    ),
    [...of].toSorted(([, one], [, other]) => other - one),
  ]);
}

function countsCard(kinds, { show }) {
  const rows = kinds.map(([title, states]) =>
    h(
      'div',
      { class: 'tally' },
      h('b', {}, title),
      h(
        'span',
        { class: 'chips' },
        states.map(([state, count]) =>
          button(`${state} ${count}`, 'chip', () => show({ mode: 'all', filter: state })),
        ),
      ),
    ),
  );
  return [h('h3', {}, 'By state'), ...rows];
}

/** The actors in trouble, the worst first: {kinds: [[kind, count]…], worst: [{address, name, kind, text}…]}. */
function troubleList({ model, troubles }) {
  const order = [...TROUBLES.keys()];
  const kinds = order.flatMap((kind) => {
    const count = [...troubles.values()].filter((one) => one === kind).length;
    return count === 0 ? [] : [[kind, count]];
  });
  const worst = [...troubles]
    .toSorted(([, one], [, other]) => order.indexOf(one) - order.indexOf(other))
    .slice(0, SHOWN)
    .map(([address, kind]) => {
      const actor = model.actors.get(address);
      return {
        address,
        name: nameIn(model, actor),
        kind,
        text: `${TROUBLES.get(kind)}: ${whyText(kind, actor)}`,
      };
    });
  return { kinds, worst };
}

/** What follows the title of a kind of trouble. */
function whyText(kind, actor) {
  if (kind === 'cleanup') return (actor.debts ?? []).join(', ');
  if (kind === 'oom') return `exit code ${actor.exitCode ?? 0}`;
  const wait = waitText(actor);
  return wait === '' ? failureText(actor) : `waits on ${wait}`;
}

/** `pod/container`, or the name of others. */
function nameIn(model, actor) {
  const name = actor.name ?? shortId(actor.id ?? actor.address);
  const pod = actor.kind === 'container' ? model.actors.get(`sandbox/${actor.sandboxId}`)?.name : undefined;
  const attempt = (actor.attempt ?? 0) === 0 ? '' : ` #${actor.attempt}`;
  return `${pod === undefined ? '' : `${pod}/`}${name}${attempt}`;
}

function troublesCard({ kinds, worst }, { choose, show }) {
  if (kinds.length === 0) return [h('h3', {}, 'Trouble'), h('p', { class: 'hint' }, 'None.')];
  return [
    h('h3', {}, 'Trouble'),
    h(
      'p',
      { class: 'chips' },
      kinds.map(([kind, count]) =>
        button(`${TROUBLES.get(kind)} ${count}`, `chip ${kind === 'slow' ? 'slow' : 'bad'}`, () =>
          show({ mode: 'trouble', filter: '' }),
        ),
      ),
    ),
    entries(
      worst.map(({ address, name, text, kind }) => ({
        link: button(name, 'link', () => choose(address)),
        text,
        tone: kind === 'slow' ? 'slow' : 'bad',
      })),
    ),
  ];
}

/** Failures of removed actors and of those that exist, newest first. */
function failuresOf({ model, troubles }) {
  const present = [...troubles]
    .filter(([, kind]) => kind === 'failed' || kind === 'oom')
    .map(([address]) => model.actors.get(address));
  return [...present, ...model.failures]
    .map((actor) => ({
      address: actor.address,
      name: nameIn(model, actor),
      text: failureText(actor),
      atMs: msOf((actor.removedNs ?? '0') === '0' ? actor.sinceNs : actor.removedNs),
    }))
    .toSorted((one, other) => other.atMs - one.atMs)
    .slice(0, SHOWN);
}

function failuresCard(failures, { choose }) {
  return [
    h('h3', {}, 'Newest failures'),
    failures.length === 0
      ? h('p', { class: 'hint' }, 'None in the last ten minutes.')
      : entries(
          failures.map(({ address, name, text, atMs }) => ({
            link: button(name, 'link', () => choose(address)),
            text,
            side: h('time', { 'data-since': atMs, 'data-ago': true }),
          })),
        ),
  ];
}

function pullsOf(model) {
  return [...model.actors.values()]
    .filter((actor) => actor.kind === 'pull')
    .map(({ address, name, layers = [], waits = [] }) => {
      const sum = (field) => layers.reduce((total, layer) => total + Number(layer[field] ?? 0), 0);
      const size = sum('sizeBytes');
      const here = layers.reduce(
        (total, layer) => total + Number((layer.present ? layer.sizeBytes : layer.downloadedBytes) ?? 0),
        0,
      );
      return { address, name, size, here, rate: sum('bytesPerSecond'), wait: waits[0]?.on ?? '' };
    });
}

function pullsCard(pulls, { choose }) {
  return [
    h('h3', {}, 'Pulls'),
    pulls.length === 0
      ? h('p', { class: 'hint' }, 'None under way.')
      : h(
          'ul',
          { class: 'entries' },
          pulls.slice(0, SHOWN).map(({ address, name, size, here, rate, wait }) =>
            h(
              'li',
              {},
              button(name, 'link', () => choose(address)),
              h('progress', {
                max: 1,
                value: size === 0 ? 0 : here / size,
                'aria-label': `share of ${name}`,
              }),
              h(
                'span',
                {},
                size === 0 ? wait : `${bytesText(here)} of ${bytesText(size)}, ${bytesText(rate)}/s`,
              ),
            ),
          ),
        ),
  ];
}

function disksCard(disks) {
  return [
    h('h3', {}, 'Disk'),
    disks.length === 0
      ? h('p', { class: 'hint' }, 'Not read yet.')
      : h('ul', { class: 'entries' }, disks.map(diskEntry)),
  ];
}

function diskEntry({ path, holds = [], totalBytes = '0', freeBytes = '0', reserveBytes = '0' }) {
  const [total, free, reserve] = [totalBytes, freeBytes, reserveBytes].map(Number);
  const used = total === 0 ? 0 : (total - free) / total;
  const isLow = free < reserve;
  return h(
    'li',
    { class: isLow ? 'low' : undefined },
    h('span', { class: 'place' }, h('b', {}, holds.join(', ')), ` on ${path}`),
    h('progress', { max: 1, value: used, 'aria-label': `used share of ${path}` }),
    h(
      'span',
      { class: isLow ? 'space fault' : 'space' },
      isLow
        ? `${bytesText(free)} free: too little for pulls, which leave ${bytesText(reserve)}`
        : `${bytesText(free)} free of ${bytesText(total)}`,
    ),
  );
}

/** The slowest starts of the actors that exist. */
function startsOf(model) {
  return [...model.actors.values()]
    .filter((actor) => (actor.startMs ?? '0') !== '0')
    .toSorted((one, other) => Number(other.startMs) - Number(one.startMs))
    .slice(0, SHOWN)
    .map((actor) => ({
      address: actor.address,
      name: nameIn(model, actor),
      ms: Number(actor.startMs),
      longest: actor.startLongest ?? '',
    }));
}

function startsCard(starts, { choose }) {
  return [
    h('h3', {}, 'Slowest starts'),
    starts.length === 0
      ? h('p', { class: 'hint' }, 'None since the daemon started.')
      : entries(
          starts.map(({ address, name, ms, longest }) => ({
            link: button(name, 'link', () => choose(address)),
            text: longest === '' ? '' : `longest in ${longest}`,
            side: spanText(ms),
          })),
        ),
  ];
}

function entries(rows) {
  return h(
    'ul',
    { class: 'entries' },
    rows.map(({ link, text, tone, side }) =>
      h(
        'li',
        { 'data-tone': tone },
        link,
        side === undefined ? undefined : h('span', { class: 'side' }, side),
        h('span', { class: 'text' }, shortIds(text)),
      ),
    ),
  );
}

/** Ids and digests cut to their beginning, so that the reason at the end of a message is seen. */
function shortIds(text) {
  return text.replaceAll(/([0-9a-f]{13})[0-9a-f]{51}/g, '$1…');
}

function button(text, className, act) {
  const element = h('button', { type: 'button', class: className }, text);
  element.addEventListener('click', act);
  return element;
}
