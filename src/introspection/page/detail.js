/** The large part of the page: the chosen actor, or the node while none is chosen. The answer comes first. */
import { ChartPicture, waysOut } from './chart-draw.js';
import { reducedChart } from './chart-reduce.js';
import {
  answerOf,
  exitOf,
  factList,
  factsOf,
  headOf,
  historyOf,
  layersOf,
  relatedOf,
  troubleOf,
  waitsOf,
} from './detail-parts.js';
import { h, setText } from './dom.js';
import { activeStates, msOf, tickText } from './format.js';
import { toneOf } from './model.js';
import { overviewParts } from './overview.js';
import { lastWay, wayParts } from './timeline.js';
import { SLOW_MS } from './trouble.js';
import { traceSection } from './waterfall.js';

const OVERVIEW = 'overview';
/** Names of the parts of an actor; a wide window has two columns. */
const COLUMNS = [
  ['head', 'answer', 'trouble', 'waits', 'exit', 'layers', 'way', 'related', 'history'],
  ['chart', 'facts'],
];

export class Detail {
  #element = document.getElementById('detail');
  #charts = new Map();
  #go;
  /** What is shown: an address, `overview`, or empty for a text. */
  #shown = '';
  #parts = new Map();
  #picture;
  #lit = '';
  #isWhole = false;
  #last;

  /** `go` is {choose, show}: another actor is chosen, or the list's filter is set. */
  constructor(go) {
    this.#go = go;
  }

  setCharts(charts) {
    this.#charts = new Map(charts.map((chart) => [chart.id, chart]));
    if (this.#last !== undefined) this.show(this.#last);
  }

  focus() {
    this.#element.focus();
  }

  /** Shows only these elements: the actor is not available, or the token is missing. */
  say(...content) {
    if (
      this.#shown === '' &&
      this.#element.textContent === content.map((one) => one.textContent ?? one).join('')
    )
      return;
    this.#begin('', []);
    this.#element.replaceChildren(h('div', { class: 'hint' }, ...content));
  }

  /** Shows the node: `at` is {model, facts, troubles, nowMs}. */
  showOverview(at) {
    const parts = overviewParts(at, this.#go);
    if (this.#shown !== OVERVIEW) {
      this.#begin(OVERVIEW, [parts.map(([name]) => name)]);
      this.#element.setAttribute('aria-label', 'The node');
    }
    for (const [name, data, build] of parts) this.#part(name, data, () => build(data));
    this.tick();
  }

  /** Shows an answer of Explain. A part is rebuilt only when its data has changed. */
  show(answer) {
    const { actor, history = [], related = [], sentence = '' } = answer;
    if (actor.address !== this.#shown) {
      this.#begin(actor.address, COLUMNS);
      this.#element.setAttribute('aria-label', 'The chosen actor');
    }
    this.#last = answer;
    const now = Date.now();
    const tone = toneOf(actor, now);
    this.#part(
      'head',
      [actor.address, actor.name, actor.state, actor.sinceNs, actor.removedNs, actor.attempt, tone],
      () => headOf(actor),
    );
    // a pod's sentence names its failing container
    const isFailing = related.some((one) => one.kind === 'container' && toneOf(one, now) === 'bad');
    const shade = isFailing ? 'bad' : tone;
    this.#part('answer', [sentence, shade], () => answerOf(sentence, shade));
    this.#part('trouble', [actor.fault, actor.debts, sentence], () => troubleOf(actor, sentence));
    // keeps the kernel stack open when it changes
    const isOpen = this.#parts.get('waits').section.querySelector('details')?.open;
    this.#part('waits', actor.waits ?? [], () => waitsOf(actor, isOpen));
    this.#part('exit', [actor.exitCode, actor.exitReason, actor.hasExited], () => exitOf(actor, history));
    this.#part('layers', actor.layers ?? [], () => layersOf(actor));
    this.#showWay(actor, history, now);
    this.#showChart(actor, history);
    this.#part('facts', factsOf(actor), () => factList(factsOf(actor), this.#go.choose));
    this.#part(
      'related',
      related.map((one) => [one.address, one.name, one.state, one.settled]),
      () => relatedOf(related, this.#go.choose),
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
    for (const element of this.#element.querySelectorAll('[data-since]')) {
      const ago = element.dataset.ago === undefined ? '' : ' ago';
      setText(element, `${tickText(now - Number(element.dataset.since))}${ago}`);
    }
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

  #begin(shown, columns) {
    this.#shown = shown;
    this.#last = undefined;
    this.#parts.clear();
    this.#lit = '';
    this.#isWhole = false;
    const boxes = columns.map((names) =>
      h(
        'div',
        { class: 'column' },
        names.map((name) => this.#section(name)),
      ),
    );
    this.#element.className = shown === OVERVIEW ? OVERVIEW : '';
    this.#element.replaceChildren(...boxes);
    this.#parts.get('way')?.section.after(traceSection(shown));
    this.#element.scrollTop = 0;
  }

  #section(name) {
    const section = h('section', { class: `part ${name}` });
    this.#parts.set(name, { section, shown: undefined });
    return section;
  }

  #part(name, data, build) {
    const part = this.#parts.get(name);
    const shown = JSON.stringify(data) ?? '';
    if (part.shown === shown) return;
    part.shown = shown;
    const built = build();
    part.section.hidden = built === undefined;
    part.section.replaceChildren(...(built ?? []));
  }

  #showWay(actor, history, now) {
    const chart = this.#charts.get(actor.chart);
    const ends = new Set(
      (chart?.states ?? []).flatMap((state) => (state.type === 'final' ? [state.path] : [])),
    );
    const at = actor.removedNs === undefined ? now : msOf(actor.removedNs);
    const way = lastWay(history, at, (path) => ends.has(path));
    this.#part('way', way, () => way && wayParts(way, way.isLive ? 'On its way' : 'Last way'));
  }

  #showChart(actor, history) {
    const chart = this.#charts.get(actor.chart);
    const last = actor.removedNs === undefined ? actor.state : (history.at(-1)?.to ?? actor.state);
    const active = activeStates(last);
    const visited = history.flatMap((change) => activeStates(change.to ?? ''));
    const shown = chart === undefined || this.#isWhole ? chart : reducedChart(chart, active, visited);
    this.#part('chart', [actor.chart, this.#isWhole, shown?.states.map((state) => state.path)], () => {
      if (shown === undefined) return undefined;
      this.#lit = '';
      this.#picture = new ChartPicture(shown);
      return this.#chartParts();
    });
    if (chart === undefined) return;
    const lit = JSON.stringify([last, history.length]);
    if (lit === this.#lit) return;
    this.#lit = lit;
    this.#picture.light(active, visited);
    const { section } = this.#parts.get('chart');
    this.#picture.reveal(section.querySelector('.frame'));
    section.querySelector('.ways').replaceChildren(...waysList(chart, active));
  }

  #chartParts() {
    const toggle = h(
      'button',
      { type: 'button', class: 'link', 'aria-pressed': String(this.#isWhole) },
      this.#isWhole ? 'show the active path' : 'show all states',
    );
    toggle.addEventListener('click', () => {
      this.#isWhole = !this.#isWhole;
      this.show(this.#last);
    });
    return [
      h('div', { class: 'bar-of-chart' }, h('h3', {}, 'Statechart'), toggle),
      h(
        'div',
        { class: 'frame', tabindex: 0, role: 'group', 'aria-label': 'Statechart' },
        this.#picture.element,
      ),
      h('div', { class: 'ways' }),
    ];
  }
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
