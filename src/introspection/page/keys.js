/** Keys of the page, and the dialog that lists them. The list's own keys are in list.js. */
import { h } from './dom.js';

const HELP = [
  ['↑ ↓', 'next or previous row'],
  ['← →', 'collapse or expand'],
  ['Enter', 'to the detail'],
  ['/', 'filter'],
  ['1 2 3', 'all, moving, trouble'],
  ['g', 'group by namespace, by state, not at all'],
  ['s', 'sort by name, state, newest, slowest start'],
  ['c', 'collapse or expand everything'],
  ['Esc', 'clear the filter; back to the node'],
  ['?', 'this help'],
];

/** Calls `actions[key]` for keys outside of fields. */
export function listenToKeys(actions) {
  const dialog = helpDialog();
  document.getElementById('help').addEventListener('click', () => dialog.showModal());
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || dialog.open) return;
    if (event.target.closest?.('input, select, textarea') !== null) return;
    if (event.key === '?') dialog.showModal();
    else if (actions[event.key] === undefined) return;
    else actions[event.key]();
    event.preventDefault();
  });
}

function helpDialog() {
  const close = h('button', { type: 'button', autofocus: true }, 'Close');
  const dialog = h(
    'dialog',
    { 'aria-label': 'Keys' },
    h('h2', {}, 'Keys'),
    h(
      'dl',
      {},
      HELP.flatMap(([key, what]) => [h('dt', {}, h('kbd', {}, key)), h('dd', {}, what)]),
    ),
    close,
  );
  close.addEventListener('click', () => dialog.close());
  document.body.append(dialog);
  return dialog;
}
