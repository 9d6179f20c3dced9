/** Reads segments of the flight recorder. Pure. */
import type { FlightEntry } from './entries.ts';

const KINDS: ReadonlySet<string> = new Set<FlightEntry['kind']>([
  'boot',
  'clock',
  'call',
  'effect',
  'event',
  'dropped',
]);

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

function entryOf(line: string): FlightEntry | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return isEntry(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The fields that every kind has; those of one kind come from the same version of the code, or are checked in use. */
function isEntry(value: unknown): value is FlightEntry {
  if (typeof value !== 'object' || value === null || !('kind' in value) || !('atMs' in value)) return false;
  if (typeof value.kind !== 'string' || !KINDS.has(value.kind) || typeof value.atMs !== 'number')
    return false;
  if (value.kind === 'event') return hasTexts(value, 'actor', 'on', 'to');
  if (value.kind === 'effect') return hasTexts(value, 'actor', 'effect');
  return (
    value.kind !== 'call' || (hasTexts(value, 'method') && 'actors' in value && Array.isArray(value.actors))
  );
}

function hasTexts(value: object, ...names: readonly string[]): boolean {
  return names.every((name) => typeof Reflect.get(value, name) === 'string');
}
