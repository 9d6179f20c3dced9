/** Reads segments of the flight recorder. Pure. */
import type { FlightEntry } from './entries.ts';

/** The entries of segments, in their order. A line that is cut or unknown is counted and left out. */
export function readEntries(segments: readonly string[]): {
  readonly entries: readonly FlightEntry[];
  readonly unread: number;
} {
  const entries: FlightEntry[] = [];
  let unread = 0;
  for (const line of segments.flatMap((text) => text.split('\n'))) {
    if (line === '') continue;
    const entry = entryOf(line);
    if (entry === undefined) unread += 1;
    else entries.push(entry);
  }
  return { entries, unread };
}

/** The entry of a line; undefined for one that is cut or can't be used. */
export function entryOf(line: string): FlightEntry | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return isEntry(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/**
 * A file may be torn, of another version, or sent by somebody: an entry whose fields can't be used as they are counts
 * as not read. What an event carries of contexts and payloads is checked in use.
 */
function isEntry(value: unknown): value is FlightEntry {
  if (!isRecord(value) || !isTime(value['atMs'])) return false;
  switch (value['kind']) {
    case 'boot':
    case 'clock':
      return typeof value['wallNs'] === 'string' && WALL_NS.test(value['wallNs']);
    case 'call':
      return hasTexts(value, 'method', 'requestId', 'code') && hasEnd(value) && isTexts(value['actors']);
    case 'effect':
      return hasTexts(value, 'actor', 'effect', 'outcome') && hasEnd(value) && isWaits(value['waits']);
    case 'event':
      return (
        hasTexts(value, 'actor', 'on', 'to') &&
        (value['starts'] === undefined || isTexts(value['starts'])) &&
        isPart(value['payload']) &&
        isPart(value['context'])
      );
    case 'dropped':
      return typeof value['count'] === 'number';
    default:
      return false;
  }
}

/** Nanoseconds since the epoch, until the year 5138. */
const WALL_NS = /^\d{1,20}$/u;
/** Milliseconds that a machine may run: 1000 years. */
const TIME_MOST = 1000 * 366 * 86_400_000;

type Unchecked = Readonly<Record<string, unknown>>;

function isRecord(value: unknown): value is Unchecked {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value < TIME_MOST;
}

const hasTexts = (value: Unchecked, ...names: readonly string[]): boolean =>
  names.every((name) => typeof value[name] === 'string');

/** What has ended has an end that is not before its begin. */
const hasEnd = ({ atMs, endMs }: Unchecked): boolean => isTime(atMs) && isTime(endMs) && endMs >= atMs;

const isTexts = (value: unknown): boolean =>
  Array.isArray(value) && value.every((one) => typeof one === 'string');

const isPart = (value: unknown): boolean => value === undefined || isRecord(value);

const isWaits = (value: unknown): boolean =>
  value === undefined ||
  (Array.isArray(value) &&
    value.every((one: unknown) => isRecord(one) && isTime(one['atMs']) && typeof one['on'] === 'string'));
