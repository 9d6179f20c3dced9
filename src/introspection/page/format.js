/** Formats numbers and times, and parses state paths. Pure. */

/** Nanoseconds since the epoch (a string in the service's JSON) as milliseconds; 0 for undefined. */
export function msOf(ns) {
  return ns === undefined ? 0 : Number(BigInt(ns) / 1_000_000n);
}

/** A span of time in at most two units. */
export function spanText(ms) {
  if (ms < 0) return '0 s';
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} m ${Math.floor(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 24 ? `${hours} h ${minutes % 60} m` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** As `spanText`, in whole seconds, for times that are updated every second. */
export function tickText(ms) {
  return ms < 10_000 ? `${Math.max(0, Math.floor(ms / 1000))} s` : spanText(ms);
}

/** Time of day with milliseconds. */
export function clockText(ms) {
  const date = new Date(ms);
  const two = (value) => String(value).padStart(2, '0');
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}

/** `1.5 GiB`. */
export function bytesText(count) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = count < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(count) / 10));
  const value = count / 1024 ** power;
  return `${power === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[power]}`;
}

/** `1 pod`, `3 pods`. */
export function countText(count, word) {
  return `${count ?? 0} ${word}${count === 1 ? '' : 's'}`;
}

/** A shortened id, as crictl and the peers' tools show it. */
export function shortId(id) {
  return /^[0-9a-f]{64}$/.test(id) ? id.slice(0, 13) : id;
}

/** The meaning of a process state letter (proc(5)). */
export function processStateText(letter) {
  const words = {
    R: 'running',
    S: 'sleeping',
    D: 'in uninterruptible sleep',
    T: 'stopped',
    t: 'being traced',
    Z: 'a zombie',
    X: 'dead',
    I: 'idle',
  };
  return words[letter] ?? '';
}

/** An event type in short, without xstate's internal names of effects and delays. */
export function eventText(type) {
  if (type.startsWith('xstate.init')) return 'start';
  if (type.startsWith('xstate.done')) return 'done';
  if (type.startsWith('xstate.error')) return 'failed';
  const after = /^xstate\.after\.([^.]+)/.exec(type);
  return after === null ? type : `after ${after[1]}`;
}

/** The paths of all active states, outermost first. The service sends `a.b`, or `a.{b.c,d.e}` for parallel regions. */
export function activeStates(text) {
  const found = [];
  const add = (path) => {
    if (path !== '' && !found.includes(path)) found.push(path);
  };
  const walk = (rest, around) => {
    const brace = rest.indexOf('{');
    const words = (brace < 0 ? rest : rest.slice(0, brace)).split('.').filter((word) => word !== '');
    let path = around;
    for (const word of words) {
      path = path === '' ? word : `${path}.${word}`;
      add(path);
    }
    if (brace >= 0)
      for (const part of partsOf(rest.slice(brace + 1, rest.lastIndexOf('}')))) walk(part, path);
  };
  walk(text, '');
  return found;
}

/** Splits at commas outside braces. */
function partsOf(text) {
  const parts = [''];
  let depth = 0;
  for (const letter of text) {
    if (letter === '{') depth += 1;
    if (letter === '}') depth -= 1;
    if (letter === ',' && depth === 0) parts.push('');
    else parts[parts.length - 1] += letter;
  }
  return parts;
}
