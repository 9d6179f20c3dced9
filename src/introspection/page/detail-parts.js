/** Parts of the detail: elements for one actor. */
import { h } from './dom.js';
import { bytesText, clockText, eventText, msOf, processStateText, shortId, spanText } from './format.js';
import { saysMore, toneOf } from './model.js';

export function headOf(actor) {
  const tone = actor.removedNs === undefined ? toneOf(actor, Date.now()) : 'quiet';
  const since = msOf(actor.removedNs ?? actor.sinceNs);
  const kind = actor.kind === 'sandbox' ? 'pod' : actor.kind === 'pull' ? 'image pull' : actor.kind;
  const attempt = (actor.attempt ?? 0) === 0 ? '' : `, attempt ${actor.attempt}`;
  return [
    h(
      'p',
      { class: 'kind' },
      `${kind}${actor.namespace === undefined ? '' : ` in ${actor.namespace}`}${attempt}`,
    ),
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

/** The sentence that answers why it is so. */
export function answerOf(sentence, tone) {
  return sentence === '' ? undefined : [h('p', { class: 'answer', 'data-tone': tone }, sentence)];
}

/** The fault, unless the sentence quotes it, and pending cleanup. */
export function troubleOf(actor, sentence) {
  const pending = actor.debts ?? [];
  const fault = sentence.includes(actor.fault ?? '') ? '' : actor.fault;
  if (fault === '' && pending.length === 0) return undefined;
  return [
    fault === '' ? undefined : h('p', { class: 'fault' }, fault),
    pending.length === 0
      ? undefined
      : h('p', { class: 'pending' }, h('b', {}, 'Cleanup pending: '), pending.join(', ')),
  ].filter((line) => line !== undefined);
}

/** How a container ended. */
export function exitOf(actor, history) {
  if (actor.hasExited !== true) return undefined;
  const code = actor.exitCode ?? 0;
  const isGood = code === 0 && actor.exitReason !== 'OOMKilled';
  const started = history.find((change) => change.to === 'running');
  const ended = history.find((change) => change.to.startsWith('finishing'));
  return [
    h('h3', {}, 'Exit'),
    h(
      'div',
      { class: `exit-card ${isGood ? 'is-good' : 'is-bad'}` },
      h('p', { class: 'code' }, `${code}`),
      h(
        'p',
        {},
        h('b', {}, saysMore(actor.exitReason) ? actor.exitReason : isGood ? 'Completed' : 'Error'),
        h('span', {}, code > 128 ? `exit code 128 + signal ${code - 128}` : 'exit code'),
      ),
      started === undefined || ended === undefined
        ? undefined
        : h(
            'p',
            {},
            h('b', {}, spanText(msOf(ended.atNs) - msOf(started.atNs))),
            h('span', {}, `of running, until ${clockText(msOf(ended.atNs))}`),
          ),
    ),
  ];
}

/** The layers of a pull, each with a progress bar. */
export function layersOf(actor) {
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

/** What it waits on, each with its process and its deadline. `isOpen`: the kernel stack is unfolded. */
export function waitsOf(actor, isOpen) {
  const waits = actor.waits ?? [];
  if (waits.length === 0) return undefined;
  return [h('h3', {}, 'Waits on'), ...waits.map((wait) => waitCard(wait, isOpen))];
}

function waitCard(wait, isOpen) {
  const [from, to] = [msOf(wait.sinceNs), msOf(wait.deadlineNs)];
  const letter = wait.processState ?? '';
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
    ...processLines(wait),
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

/** The process that is waited for, and those that it has started: the last one is the one that hangs. */
function processLines({ pid, processState = '', below = [] }) {
  if (pid === undefined || pid === '0') return [];
  const line = (number, name, letter) =>
    h(
      'p',
      { class: name === '' ? 'process' : 'process below' },
      name === '' ? 'pid ' : `${name}, pid `,
      h('b', {}, number),
      letter === '' ? '' : `, ${processStateText(letter)} (${letter})`,
    );
  return [line(pid, '', processState), ...below.map((one) => line(one.pid, one.name ?? '', one.state ?? ''))];
}

/** [name, value, address to go to] of what is known of an actor. */
export function factsOf(actor) {
  const rows = [['id', actor.id ?? '']];
  if (actor.sandboxId !== undefined)
    rows.push(['pod', shortId(actor.sandboxId), `sandbox/${actor.sandboxId}`]);
  if (actor.pid !== undefined && actor.pid !== '0') rows.push(['pid', actor.pid]);
  if ((actor.startMs ?? '0') !== '0')
    rows.push(['start took', `${spanText(Number(actor.startMs))}, longest in ${actor.startLongest ?? ''}`]);
  if (actor.kind !== 'pull') rows.push(['attempt', String(actor.attempt ?? 0)]);
  if ((actor.createdNs ?? '0') !== '0') rows.push(['created', clockText(msOf(actor.createdNs))]);
  if (actor.kind !== 'pull')
    rows.push([
      'in CRI lists',
      actor.listed === true ? 'listed' : actor.claimed === true ? 'id returned, not listed' : 'not listed',
    ]);
  return rows;
}

export function factList(rows, choose) {
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

export function relatedOf(related, choose) {
  if (related.length === 0) return undefined;
  const now = Date.now();
  const items = related.map((actor) =>
    h(
      'li',
      {},
      link(
        `${actor.name ?? shortId(actor.id)}${(actor.attempt ?? 0) === 0 ? '' : ` #${actor.attempt}`}`,
        actor.address,
        choose,
      ),
      h('span', { class: 'pill', 'data-tone': toneOf(actor, now) }, exitState(actor)),
    ),
  );
  return [h('h3', {}, related[0].kind === 'container' ? 'Containers' : 'Pod'), h('ul', {}, items)];
}

function exitState({ state, hasExited, exitCode = 0, exitReason }) {
  if (hasExited !== true) return state;
  return `${state}: ${saysMore(exitReason) ? exitReason : exitCode}`;
}

/** The history, newest first; each entry shows how long the state lasted. */
export function historyOf(history) {
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
