/** Parses `WWW-Authenticate` (RFC 9110, 11.6.1; the distribution spec's token page). No I/O. */
import { distributionLimits } from '../bounds.ts';

export interface Challenge {
  /** In lower case: `bearer`, `basic`. */
  readonly scheme: string;
  /** Names in lower case; of two equal names the first counts. */
  readonly params: ReadonlyMap<string, string>;
}

const TOKEN = /[A-Za-z0-9!#$%&'*+.^_`|~-]+/uy;
const SEPARATOR = /[\t ,]*/uy;
const EQUALS = /[\t ]*=[\t ]*/uy;
const QUOTED = /"((?:[^"\\]|\\.)*)"/uy;

/** The challenges in one response's header lines. Malformed ones are skipped, since another challenge may be usable. */
export function parseChallenges(headers: readonly string[]): readonly Challenge[] {
  const found: Challenge[] = [];
  let characters = 0;
  for (const header of headers) {
    characters += header.length;
    if (characters > distributionLimits.challengeChars) break;
    readHeader(header, found);
  }
  return found;
}

function readHeader(header: string, found: Challenge[]): void {
  let at = 0;
  const take = (what: RegExp): RegExpExecArray | undefined => {
    what.lastIndex = at;
    const match = what.exec(header);
    if (match === null) return undefined;
    at = what.lastIndex;
    return match;
  };
  let params: Map<string, string> | undefined;
  while (at < header.length) {
    take(SEPARATOR);
    const word = take(TOKEN)?.[0];
    if (word === undefined) return;
    if (take(EQUALS) === undefined) {
      // a word without a value starts the next challenge
      params = new Map();
      found.push({ scheme: word.toLowerCase(), params });
      continue;
    }
    const quoted = take(QUOTED)?.[1];
    const value = quoted === undefined ? take(TOKEN)?.[0] : quoted.replace(/\\(.)/gu, '$1');
    if (value === undefined || params === undefined) return;
    const name = word.toLowerCase();
    if (!params.has(name)) params.set(name, value);
  }
}
