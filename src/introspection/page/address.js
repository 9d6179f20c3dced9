/**
 * What is chosen, in the fragment of the address: a reload and a copied address show the same. The fragment is never
 * sent to a server; the token is taken out of it (api.js).
 */
import { GROUPS, MODES, SORTS } from './rows.js';

/** Milliseconds: browsers refuse to set the address more than some ten times a second, as held arrow keys would. */
const WRITE_MS = 250;
const COLLAPSED = 'troupe.collapsed';

/** The names in the address and their defaults. */
const FIELDS = { actor: '', mode: 'all', filter: '', group: 'none', sort: 'name' };
/** Names with few values: any other one in an address, which may be of another version, is the default. */
const VALUES = { mode: Object.keys(MODES), group: GROUPS, sort: SORTS };

/** {actor, mode, filter, group, sort} of the address. */
export function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  return Object.fromEntries(
    Object.entries(FIELDS).map(([name, value]) => {
      const wanted = given.get(name) ?? value;
      return [name, VALUES[name]?.includes(wanted) === false ? value : wanted];
    }),
  );
}

let timer = 0;
let last;

/** Writes what is chosen, a moment later or when the page is left. */
export function writeAddress(fields) {
  last = fields;
  if (timer === 0) timer = setTimeout(flush, WRITE_MS);
}

function flush() {
  clearTimeout(timer);
  timer = 0;
  if (last === undefined) return;
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(FIELDS)) if (last[name] !== value) given.set(name, last[name]);
  last = undefined;
  // slashes may stay in a fragment, and an address is easier to read with them
  const text = given.toString().replaceAll('%2F', '/');
  const path = text === '' ? location.pathname : `${location.pathname}#${text}`;
  if (path !== `${location.pathname}${location.hash}`) history.replaceState(null, '', path);
}

addEventListener('pagehide', flush);

/** The collapsed groups and pods of this tab. */
export function readCollapsed() {
  try {
    return new Set(JSON.parse(sessionStorage.getItem(COLLAPSED) ?? '[]'));
  } catch {
    return new Set();
  }
}

export function writeCollapsed(keys) {
  sessionStorage.setItem(COLLAPSED, JSON.stringify([...keys]));
}
