/**
 * Finds the line of a key in a TOML text. The TOML parser reports positions only for syntax errors, but messages about
 * unknown keys need the line, too. So this file scans the text, which is known to be valid, once more.
 */
import { distributionLimits } from '../bounds.ts';

/** Names of tables and keys, and indexes of arrays of tables: `['registry', 1, 'mirror', 0, 'location']`. */
export type TomlPath = readonly (string | number)[];

const KEY = /\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*/uy;

/**
 * The line, counted from 1, of the key at `path`, or of the longest part of the path that was found (a key in an inline
 * table has its table's line).
 */
export function lineOfKey(text: string, path: TomlPath): number {
  const seen = new Map<string, number>();
  const counts = new Map<string, number>();
  let table: TomlPath = [];
  let closing: string | undefined;
  for (const [index, line] of text.split('\n').entries()) {
    if (closing !== undefined) {
      if (line.includes(closing)) closing = undefined;
      continue;
    }
    const header = readHeader(line);
    if (header !== undefined) {
      table = resolve(header.keys, header.isArray, counts);
      note(seen, table, index + 1);
      continue;
    }
    const keys = readKeys(line, 0);
    if (keys !== undefined && line.charAt(keys.end) === '=') {
      note(seen, [...table, ...keys.names], index + 1);
      closing = opensMultiline(line.slice(keys.end + 1));
    }
  }
  for (let length = path.length; length > 0; length -= 1) {
    const found = seen.get(JSON.stringify(path.slice(0, length)));
    if (found !== undefined) return found;
  }
  return 1;
}

function note(seen: Map<string, number>, path: TomlPath, line: number): void {
  for (let length = 1; length <= path.length; length += 1) {
    const key = JSON.stringify(path.slice(0, length));
    if (!seen.has(key)) seen.set(key, line);
  }
}

function readHeader(line: string): { keys: readonly string[]; isArray: boolean } | undefined {
  const opened = /^\s*(\[\[?)/u.exec(line);
  if (opened === null) return undefined;
  const keys = readKeys(line, opened[0].length);
  if (keys === undefined || line.charAt(keys.end) !== ']') return undefined;
  return { keys: keys.names, isArray: opened[1] === '[[' };
}

function readKeys(line: string, from: number): { names: readonly string[]; end: number } | undefined {
  const names: string[] = [];
  let at = from;
  for (;;) {
    KEY.lastIndex = at;
    const found = KEY.exec(line);
    if (found === null) return undefined;
    names.push(found[1] ?? found[2] ?? found[3] ?? '');
    at = KEY.lastIndex;
    if (line.charAt(at) !== '.') return { names, end: at };
    // known keys are shorter; all prefixes of a key are stored, so a line of 200 KB would take gigabytes
    if (names.length >= distributionLimits.tomlKeyParts) return undefined;
    at += 1;
  }
}

/** The path of a table header, with the indexes of the arrays of tables around it. */
function resolve(keys: readonly string[], isArray: boolean, counts: Map<string, number>): TomlPath {
  const path: (string | number)[] = [];
  for (const [index, key] of keys.entries()) {
    path.push(key);
    const name = JSON.stringify(path);
    const count = counts.get(name);
    if (isArray && index === keys.length - 1) {
      counts.set(name, (count ?? 0) + 1);
      path.push(count ?? 0);
    } else if (count !== undefined) path.push(count - 1);
  }
  return path;
}

function opensMultiline(value: string): string | undefined {
  const quotes = /^\s*("""|''')/u.exec(value)?.[1];
  if (quotes === undefined) return undefined;
  return value.split(quotes).length > 2 ? undefined : quotes;
}
