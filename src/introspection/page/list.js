/** The tree of actors. Only visible rows are in the document, so that 1000 pods cost as much as 20. */
import { h, setText } from './dom.js';
import { msOf, spanText, tickText } from './format.js';
import { saysMore, toneOf, waitText } from './model.js';
import { TROUBLES } from './trouble.js';

/** Pixels; style.css has the same value. */
const ROW_HEIGHT = 46;
/** Additional rows above and below the visible ones. */
const SPARE_ROWS = 4;
/** Most rows in the document, regardless of the window's height. */
const MOST_ROWS = 120;

/** Kinds of actors as a row's name has them. */
const WORDS = { sandbox: 'pod', container: 'container', pull: 'pull' };

export class List {
  #box = document.getElementById('list');
  #canvas = document.getElementById('rows');
  #pool = [];
  #rows = [];
  #troubles = new Map();
  #chosen = '';
  /** Key of the row that keys move from: the chosen actor, or a group. */
  #cursor = '';
  #choose;
  #toggle;

  /** `choose` gets the address of an actor, `toggle` the key of a row and whether it opens. */
  constructor(choose, toggle) {
    this.#choose = choose;
    this.#toggle = toggle;
    this.#box.addEventListener('scroll', () => this.draw(), { passive: true });
    this.#box.addEventListener('keydown', (event) => this.#key(event));
    new ResizeObserver(() => this.draw()).observe(this.#box);
  }

  /** Sets the rows and draws the visible ones. */
  set(rows, chosen, troubles) {
    this.#rows = rows;
    this.#troubles = troubles;
    if (chosen !== this.#chosen) this.#cursor = chosen;
    this.#chosen = chosen;
    this.#canvas.style.height = `${rows.length * ROW_HEIGHT}px`;
    this.draw();
  }

  /** Addresses of the visible actors that are not settled. */
  moving() {
    return this.#pool.filter((row) => !row.element.hidden && row.isMoving).map((row) => row.key);
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
    const at = this.#rows.findIndex((row) => row.key === this.#cursor);
    const isSeen = at >= first && at < first + count;
    if (isSeen) this.#box.setAttribute('aria-activedescendant', `row-${at}`);
    else this.#box.removeAttribute('aria-activedescendant');
  }

  #newRow() {
    const parts = {
      fold: h('span', { class: 'fold', 'aria-hidden': 'true' }),
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
      parts.fold,
      h('span', { class: 'how' }, parts.state, parts.wait),
    );
    const row = { element, ...parts, key: '', isMoving: false, isOpen: false, isGroup: false };
    element.addEventListener('click', (event) => {
      this.#cursor = row.key;
      if (row.isGroup || event.target === row.fold) this.#toggle(row.key, !row.isOpen);
      else this.#choose(row.key);
    });
    this.#canvas.append(element);
    return row;
  }

  #show(row, at) {
    const entry = this.#rows[at];
    row.element.hidden = entry === undefined;
    if (entry === undefined) return;
    const { element } = row;
    row.key = entry.key;
    row.isOpen = entry.isOpen === true;
    row.isGroup = entry.title !== undefined;
    element.id = `row-${at}`;
    element.dataset.address = entry.key;
    element.dataset.depth = String(entry.depth);
    element.style.transform = `translateY(${at * ROW_HEIGHT}px)`;
    element.classList.toggle('group', row.isGroup);
    element.classList.toggle('cursor', entry.key === this.#cursor && entry.key !== this.#chosen);
    element.setAttribute('aria-level', String(entry.depth + 1));
    element.setAttribute('aria-posinset', String(entry.place));
    element.setAttribute('aria-setsize', String(entry.among));
    element.setAttribute('aria-selected', String(entry.key === this.#chosen));
    if (entry.inside > 0) element.setAttribute('aria-expanded', String(row.isOpen));
    else element.removeAttribute('aria-expanded');
    setText(row.fold, entry.inside === 0 ? '' : row.isOpen ? '▾' : '▸');
    if (row.isGroup) showGroup(row, entry);
    else this.#showActor(row, entry.actor, entry.isOpen === false ? entry.inside : 0);
  }

  #showActor(row, actor, hidden) {
    const now = Date.now();
    const { element } = row;
    row.isMoving = actor.settled !== true;
    element.dataset.tone = toneOf(actor, now, this.#troubles.get(actor.address) ?? '');
    element.dataset.kind = actor.kind;
    setText(row.name, actor.name ?? actor.address);
    setText(row.where, whereText(actor));
    setText(row.age, (actor.sinceNs ?? '0') === '0' ? '' : tickText(now - msOf(actor.sinceNs)));
    const wait = waitText(actor);
    // the detail shows the complete path; here the wait is more useful
    setText(row.state, wait === '' ? stateText(actor) : actor.state.split('.', 1)[0]);
    setText(row.wait, wait === '' ? restText(actor, hidden) : `waits on ${wait}`);
    // without the age: a name that changes each second is read out again and again
    setLabel(element, [
      `${WORDS[actor.kind] ?? actor.kind} ${row.name.textContent}`,
      actor.kind === 'pull' ? '' : row.where.textContent,
      TROUBLES.get(this.#troubles.get(actor.address)) ?? '',
      row.state.textContent,
      row.wait.textContent,
    ]);
  }

  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || this.#rows.length === 0) return;
    const at = this.#rows.findIndex((row) => row.key === this.#cursor);
    const next = this.#next(event.key, at);
    if (this.#rows[next] === undefined) return;
    event.preventDefault();
    const row = this.#rows[next];
    // set now: the next key may be pressed before the next frame
    this.#cursor = row.key;
    if (row.actor !== undefined) {
      this.#chosen = row.key;
      this.#choose(row.key);
    } else this.draw();
    this.reveal(next);
  }

  /** The row that a key moves to; no row when it moves nowhere. Opens and closes rows. */
  #next(key, at) {
    const row = this.#rows[at];
    const page = Math.max(1, Math.floor(this.#box.clientHeight / ROW_HEIGHT) - 1);
    const steps = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: page,
      PageUp: -page,
      Home: -Infinity,
      End: Infinity,
    };
    const step = steps[key];
    const last = this.#rows.length - 1;
    if (step !== undefined) {
      if (at < 0) return step === Infinity ? last : 0;
      return Math.min(last, Math.max(0, at + step));
    }
    if (row === undefined) return undefined;
    // as the ARIA practices describe for trees: outwards closes first, inwards opens first
    if (key === 'ArrowLeft') {
      if (row.inside === 0 || !row.isOpen)
        return this.#rows.findLastIndex((other, place) => place < at && other.depth < row.depth);
      this.#toggle(row.key, false);
      return at;
    }
    if (key === 'ArrowRight') {
      if (row.inside > 0 && row.isOpen) return at + 1;
      if (row.inside > 0) this.#toggle(row.key, true);
      return at;
    }
    if (key !== 'Enter' || row.actor !== undefined) return undefined;
    this.#toggle(row.key, !row.isOpen);
    return at;
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

function showGroup(row, { title, count }) {
  row.isMoving = false;
  row.element.dataset.tone = '';
  row.element.dataset.kind = 'group';
  setText(row.name, title);
  setText(row.where, '');
  setText(row.age, String(count));
  setText(row.state, '');
  setText(row.wait, '');
  setLabel(row.element, [title, String(count)]);
}

/** What a screen reader says of a row: the texts of its columns alone have nothing between them. */
function setLabel(element, parts) {
  const label = parts.filter((part) => part !== '').join(', ');
  if (element.getAttribute('aria-label') !== label) element.setAttribute('aria-label', label);
}

/** What follows the state when nothing is waited for. */
function restText(actor, hidden) {
  const inside = hidden === 0 ? '' : `${hidden} collapsed`;
  const start = (actor.startMs ?? '0') === '0' ? '' : `started in ${spanText(Number(actor.startMs))}`;
  return inside === '' ? start : inside;
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
