/** The selected actor: its state, since when, what it waits for, and its history. */
import { ChartPicture, waysOut } from './chart-draw.js';
import { h, setText } from './dom.js';
import {
  activeStates,
  bytesText,
  clockText,
  eventText,
  msOf,
  processStateText,
  shortId,
  spanText,
  tickText,
} from './format.js';
import { saysMore, SLOW_MS, toneOf } from './model.js';

export class Detail {
  #element = document.getElementById('detail');
  #charts = new Map();
  #choose;
  #address = '';
  #parts = new Map();
  #picture;
  #lit = '';

  constructor(choose) {
    this.#choose = choose;
  }

  setCharts(charts) {
    this.#charts = new Map(charts.map((chart) => [chart.id, chart]));
  }

  focus() {
    this.#element.focus();
  }

  /** Shows only a text: nothing is selected, or the actor is not available. */
  say(text) {
    this.#address = '';
    this.#element.replaceChildren(h('p', { class: 'hint' }, text));
  }

  /** Shows an answer of Explain. A part is rebuilt only when its data has changed. */
  show({ actor, history = [], related = [] }) {
    if (actor.address !== this.#address) this.#begin(actor.address);
    this.#part(
      'head',
      [actor.address, actor.name, actor.state, actor.sinceNs, actor.removedNs, toneOf(actor, Date.now())],
      () => headOf(actor),
    );
    this.#part('trouble', [actor.fault, actor.debts], () => troubleOf(actor));
    // keeps the kernel stack open when it changes
    const isOpen = this.#parts.get('waits').section.querySelector('details')?.open;
    this.#part('waits', actor.waits ?? [], () => waitsOf(actor, isOpen));
    this.#part('layers', actor.layers ?? [], () => layersOf(actor));
    this.#showChart(actor, history);
    this.#part('facts', factsOf(actor), () => factList(factsOf(actor), this.#choose));
    this.#part(
      'related',
      related.map((one) => [one.address, one.name, one.state, one.settled]),
      () => relatedOf(related, this.#choose),
    );
    this.#part(
      'history',
      history.map((change) => change.seq),
      () => historyOf(history),
    );
    this.tick();
  }

  /** Updates the times and progress bars. */
  tick() {
    const now = Date.now();
    for (const element of this.#element.querySelectorAll('[data-since]'))
      setText(element, tickText(now - Number(element.dataset.since)));
    for (const element of this.#element.querySelectorAll('[data-deadline]')) {
      const left = Number(element.dataset.deadline) - now;
      setText(element, left > 0 ? `${tickText(left)} left` : 'deadline passed');
    }
    for (const element of this.#element.querySelectorAll('[data-from]')) {
      const [from, to] = [Number(element.dataset.from), Number(element.dataset.to)];
      element.closest('.wait-card').classList.toggle('is-slow', now - from > SLOW_MS);
      element.value = Math.min(1, Math.max(0, (now - from) / (to - from)));
    }
  }

  #begin(address) {
    this.#address = address;
    this.#parts.clear();
    this.#lit = '';
    this.#element.replaceChildren();
    for (const name of ['head', 'trouble', 'waits', 'layers', 'chart', 'facts', 'related', 'history']) {
      const section = h('section', { class: `part ${name}` });
      this.#parts.set(name, { section, shown: undefined });
      this.#element.append(section);
    }
    this.#element.scrollTop = 0;
  }

  #part(name, data, build) {
    const part = this.#parts.get(name);
    const shown = JSON.stringify(data);
    if (part.shown === shown) return;
    part.shown = shown;
    const built = build();
    part.section.hidden = built === undefined;
    part.section.replaceChildren(...(built ?? []));
  }

  #showChart(actor, history) {
    const chart = this.#charts.get(actor.chart);
    this.#part('chart', [actor.chart], () => {
      if (chart === undefined) return undefined;
      this.#picture = new ChartPicture(chart);
      return [
        h(
          'div',
          { class: 'frame', tabindex: 0, role: 'group', 'aria-label': 'Statechart' },
          this.#picture.element,
        ),
        h('div', { class: 'ways' }),
      ];
    });
    if (chart === undefined) return;
    const last = actor.removedNs === undefined ? actor.state : (history.at(-1)?.to ?? actor.state);
    const lit = JSON.stringify([last, history.length]);
    if (lit === this.#lit) return;
    this.#lit = lit;
    const active = activeStates(last);
    this.#picture.light(
      active,
      history.flatMap((change) => activeStates(change.to ?? '')),
    );
    const { section } = this.#parts.get('chart');
    this.#picture.reveal(section.querySelector('.frame'));
    section.querySelector('.ways').replaceChildren(...waysList(chart, active));
  }
}

function headOf(actor) {
  const tone = actor.removedNs === undefined ? toneOf(actor, Date.now()) : 'quiet';
  const since = msOf(actor.removedNs ?? actor.sinceNs);
  const where =
    actor.kind === 'pull'
      ? 'image pull'
      : `${actor.kind === 'sandbox' ? 'pod' : actor.kind}${actor.namespace === undefined ? '' : ` in ${actor.namespace}`}`;
  return [
    h('p', { class: 'kind' }, where),
    h('h2', {}, actor.name ?? actor.address),
    h(
      'p',
      { class: 'now' },
      h(
        'span',
        { class: 'pill', 'data-tone': tone },
        actor.removedNs === undefined ? actor.state : 'removed',
      ),
      since === 0
        ? undefined
        : h(
            'span',
            { class: 'since' },
            actor.removedNs === undefined ? 'for ' : '',
            h('time', { 'data-since': since }),
            actor.removedNs === undefined ? '' : ' ago',
          ),
    ),
  ];
}

function troubleOf(actor) {
  const pending = actor.debts ?? [];
  if ((actor.fault ?? '') === '' && pending.length === 0) return undefined;
  return [
    (actor.fault ?? '') === '' ? undefined : h('p', { class: 'fault' }, actor.fault),
    pending.length === 0
      ? undefined
      : h('p', { class: 'pending' }, h('b', {}, 'Cleanup pending: '), pending.join(', ')),
  ].filter((line) => line !== undefined);
}

/** The layers of a pull, each with a progress bar. */
function layersOf(actor) {
  const layers = actor.layers ?? [];
  if (layers.length === 0) return undefined;
  return [
    h('h3', {}, 'Layers'),
    ...layers.map((layer) => h('p', { class: 'bound layer' }, ...layerLine(layer))),
  ];
}

function layerLine({
  digest,
  sizeBytes = '0',
  downloadedBytes = '0',
  present = false,
  bytesPerSecond = '0',
  remainingMs,
}) {
  const [size, here] = [Number(sizeBytes), Number(downloadedBytes)];
  const share = present ? 1 : size === 0 ? 0 : Math.min(1, here / size);
  const rate = Number(bytesPerSecond) === 0 ? '' : `, ${bytesText(Number(bytesPerSecond))}/s`;
  const left = remainingMs === undefined ? '' : `, ${spanText(Number(remainingMs))} left`;
  return [
    h('span', {}, shortId(digest.slice('sha256:'.length))),
    h('progress', { max: 1, value: share, 'aria-label': 'share of the layer that is downloaded' }),
    h(
      'span',
      {},
      present ? `${bytesText(size)} done` : `${bytesText(here)} of ${bytesText(size)}${rate}${left}`,
    ),
  ];
}

function waitsOf(actor, isOpen) {
  const waits = actor.waits ?? [];
  if (waits.length === 0) return undefined;
  return [h('h3', {}, 'Waits on'), ...waits.map((wait) => waitCard(wait, isOpen))];
}

function waitCard(wait, isOpen) {
  const [from, to] = [msOf(wait.sinceNs), msOf(wait.deadlineNs)];
  const pid = wait.pid === undefined || wait.pid === '0' ? undefined : wait.pid;
  const letter = wait.processState ?? '';
  const process =
    pid === undefined
      ? undefined
      : h(
          'p',
          { class: 'process' },
          'pid ',
          h('b', {}, pid),
          letter === '' ? '' : `, ${processStateText(letter)} (${letter})`,
        );
  return h(
    'div',
    { class: 'wait-card' },
    h(
      'p',
      { class: 'what' },
      h('b', {}, (wait.on ?? '') === '' ? wait.effect : wait.on),
      h('span', {}, wait.effect),
    ),
    h(
      'p',
      { class: 'bound' },
      h('span', {}, 'since ', h('time', { 'data-since': from })),
      h('progress', {
        max: 1,
        value: 0,
        'data-from': from,
        'data-to': to,
        'aria-label': 'share of the time until its deadline',
      }),
      h('span', { 'data-deadline': to }),
    ),
    process,
    (wait.argv ?? []).length === 0 ? undefined : h('pre', { class: 'argv' }, wait.argv.join(' ')),
    (wait.kernelStack ?? '') === ''
      ? undefined
      : h(
          'details',
          { open: isOpen ?? letter === 'D' },
          h('summary', {}, 'kernel stack'),
          h('pre', {}, wait.kernelStack),
        ),
  );
}

function waysList(chart, active) {
  const ways = waysOut(chart, active);
  if (ways.length === 0) return [h('p', {}, 'No transitions leave this state.')];
  const byTarget = Map.groupBy(ways, (way) => way.to);
  const items = [...byTarget].map(([to, arrows]) =>
    h('li', {}, h('b', {}, to), h('span', {}, [...new Set(arrows.map(whenText))].join(', '))),
  );
  return [h('h3', {}, 'Transitions'), h('ul', {}, items)];
}

function whenText({ on, guard }) {
  return (guard ?? '') === '' ? on : `${on} [${guard}]`;
}

function factsOf(actor) {
  const rows = [['id', actor.id ?? '']];
  if (actor.sandboxId !== undefined)
    rows.push(['pod', shortId(actor.sandboxId), `sandbox/${actor.sandboxId}`]);
  if (actor.pid !== undefined && actor.pid !== '0') rows.push(['pid', actor.pid]);
  if (actor.hasExited === true)
    rows.push([
      'exit code',
      `${actor.exitCode ?? 0} ${saysMore(actor.exitReason) ? actor.exitReason : ''}`.trim(),
    ]);
  if (actor.kind !== 'pull') rows.push(['attempt', String(actor.attempt ?? 0)]);
  if ((actor.createdNs ?? '0') !== '0') rows.push(['created', clockText(msOf(actor.createdNs))]);
  if (actor.kind !== 'pull')
    rows.push([
      'in CRI lists',
      actor.listed === true ? 'listed' : actor.claimed === true ? 'id returned, not listed' : 'not listed',
    ]);
  return rows;
}

function factList(rows, choose) {
  return [
    h(
      'dl',
      {},
      rows.flatMap(([name, value, address]) => [
        h('dt', {}, name),
        h('dd', {}, address === undefined ? value : link(value, address, choose)),
      ]),
    ),
  ];
}

function link(text, address, choose) {
  const button = h('button', { type: 'button', class: 'link' }, text);
  button.addEventListener('click', () => choose(address));
  return button;
}

function relatedOf(related, choose) {
  if (related.length === 0) return undefined;
  const now = Date.now();
  const items = related.map((actor) =>
    h(
      'li',
      {},
      link(actor.name ?? shortId(actor.id), actor.address, choose),
      h('span', { class: 'pill', 'data-tone': toneOf(actor, now) }, actor.state),
    ),
  );
  return [h('h3', {}, related[0].kind === 'container' ? 'Containers' : 'Pod'), h('ul', {}, items)];
}

/** The history, newest first; each entry shows how long the state lasted. */
function historyOf(history) {
  if (history.length === 0) return undefined;
  const entries = history.map((change, at) => {
    const [from, next] = [msOf(change.atNs), history[at + 1]];
    return h(
      'li',
      { class: change.settled === true ? 'settled' : 'between' },
      h('time', {}, clockText(from)),
      h('b', {}, change.to),
      next === undefined
        ? h('span', { class: 'lasted now' }, 'now')
        : h('span', { class: 'lasted' }, spanText(msOf(next.atNs) - from)),
      h(
        'span',
        { class: 'why' },
        [eventText(change.on ?? ''), change.cause ?? ''].filter((text) => text !== '').join(' · '),
      ),
    );
  });
  return [h('h3', {}, 'History'), h('ol', {}, entries.toReversed())];
}
