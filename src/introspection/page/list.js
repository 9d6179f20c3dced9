/** The tree of actors. Only visible rows are in the document, so that 500 pods cost as much as 20. */
import { h, setText } from './dom.js';
import { msOf, tickText } from './format.js';
import { saysMore, toneOf, waitText } from './model.js';

/** Pixels; style.css has the same value. */
const ROW_HEIGHT = 46;
/** Additional rows above and below the visible ones. */
const SPARE_ROWS = 4;
/** Most rows in the document, regardless of the window's height. */
const MOST_ROWS = 120;

export class List {
  #box = document.getElementById('list');
  #canvas = document.getElementById('rows');
  #pool = [];
  #rows = [];
  #chosen = '';
  #choose;

  constructor(choose) {
    this.#choose = choose;
    this.#box.addEventListener('scroll', () => this.draw(), { passive: true });
    this.#box.addEventListener('keydown', (event) => this.#key(event));
    new ResizeObserver(() => this.draw()).observe(this.#box);
  }

  /** Sets the rows and draws the visible ones. */
  set(rows, chosen) {
    this.#rows = rows;
    this.#chosen = chosen;
    this.#canvas.style.height = `${rows.length * ROW_HEIGHT}px`;
    this.draw();
  }

  /** Addresses of the visible actors that are not settled. */
  moving() {
    return this.#pool.filter((row) => !row.element.hidden && row.isMoving).map((row) => row.address);
  }

  draw() {
    const first = Math.max(0, Math.floor(this.#box.scrollTop / ROW_HEIGHT) - SPARE_ROWS);
    const count = Math.min(
      MOST_ROWS,
      Math.ceil(this.#box.clientHeight / ROW_HEIGHT) + 2 * SPARE_ROWS,
      Math.max(0, this.#rows.length - first),
    );
    while (this.#pool.length < count) this.#pool.push(this.#newRow());
    this.#pool.forEach((row, at) => this.#show(row, at < count ? first + at : -1));
    const at = this.#rows.findIndex((row) => row.actor.address === this.#chosen);
    const isSeen = at >= first && at < first + count;
    if (isSeen) this.#box.setAttribute('aria-activedescendant', `row-${at}`);
    else this.#box.removeAttribute('aria-activedescendant');
  }

  #newRow() {
    const parts = {
      name: h('b'),
      where: h('i'),
      age: h('time'),
      state: h('span', { class: 'state' }),
      wait: h('span', { class: 'wait' }),
    };
    const element = h(
      'div',
      { class: 'row', role: 'treeitem' },
      h('span', { class: 'dot' }),
      h('span', { class: 'who' }, parts.name, parts.where),
      parts.age,
      h('span', { class: 'how' }, parts.state, parts.wait),
    );
    const row = { element, ...parts, address: '', isMoving: false };
    element.addEventListener('click', () => this.#choose(row.address));
    this.#canvas.append(element);
    return row;
  }

  #show(row, at) {
    const entry = this.#rows[at];
    row.element.hidden = entry === undefined;
    if (entry === undefined) return;
    const { actor, depth } = entry;
    const now = Date.now();
    const { element } = row;
    row.address = actor.address;
    row.isMoving = actor.settled !== true;
    element.id = `row-${at}`;
    element.dataset.address = actor.address;
    element.dataset.tone = toneOf(actor, now);
    element.dataset.depth = String(depth);
    element.dataset.kind = actor.kind;
    element.style.transform = `translateY(${at * ROW_HEIGHT}px)`;
    element.setAttribute('aria-level', String(depth + 1));
    element.setAttribute('aria-posinset', String(at + 1));
    element.setAttribute('aria-setsize', String(this.#rows.length));
    element.setAttribute('aria-selected', String(actor.address === this.#chosen));
    setText(row.name, actor.name ?? actor.address);
    setText(row.where, whereText(actor));
    setText(row.age, (actor.sinceNs ?? '0') === '0' ? '' : tickText(now - msOf(actor.sinceNs)));
    const wait = waitText(actor);
    // the detail shows the complete path; here the wait is more useful
    setText(row.state, wait === '' ? stateText(actor) : actor.state.split('.', 1)[0]);
    setText(row.wait, wait === '' ? '' : `waits on ${wait}`);
  }

  #key(event) {
    const page = Math.max(1, Math.floor(this.#box.clientHeight / ROW_HEIGHT) - 1);
    const steps = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: page,
      PageUp: -page,
      Home: -Infinity,
      End: Infinity,
    };
    const step = steps[event.key];
    if (step === undefined || event.ctrlKey || event.altKey || event.metaKey || this.#rows.length === 0)
      return;
    event.preventDefault();
    const at = this.#rows.findIndex((row) => row.actor.address === this.#chosen);
    const next = at < 0 ? 0 : Math.min(this.#rows.length - 1, Math.max(0, at + step));
    // set now: the next key may be pressed before the next frame
    this.#chosen = this.#rows[next].actor.address;
    this.#choose(this.#chosen);
    this.reveal(next);
  }

  /** Scrolls as little as needed to show a row. */
  reveal(at) {
    if (at < 0) return;
    const top = at * ROW_HEIGHT;
    if (top < this.#box.scrollTop) this.#box.scrollTop = top;
    else if (top + ROW_HEIGHT > this.#box.scrollTop + this.#box.clientHeight)
      this.#box.scrollTop = top + ROW_HEIGHT - this.#box.clientHeight;
  }
}

function whereText(actor) {
  if (actor.kind === 'pull') return 'pull';
  const attempt = (actor.attempt ?? 0) > 0 ? ` #${actor.attempt}` : '';
  return `${actor.namespace ?? ''}${attempt}`;
}

function stateText(actor) {
  if (actor.hasExited !== true || actor.state !== 'exited') return actor.state;
  return saysMore(actor.exitReason) ? actor.exitReason : `exited ${actor.exitCode ?? 0}`;
}
