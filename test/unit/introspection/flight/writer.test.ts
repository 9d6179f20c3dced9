// Segments on the disk: what is written when, what is deleted, and a disk that fails.
import { describe, expect, test } from 'vitest';
import { silentLog } from '../../../../src/base/log.ts';
import type { Log } from '../../../../src/base/log.ts';
import { flightLimits as limits } from '../../../../src/introspection/bounds.ts';
import { FlightRecorder } from '../../../../src/introspection/flight/flight.ts';
import { readEntries } from '../../../../src/introspection/flight/read.ts';
import { FlightWriter, isSegment } from '../../../../src/introspection/flight/writer.ts';
import type { SegmentStore } from '../../../../src/introspection/flight/writer.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { turns } from '../../../support/turns.ts';

class MemoryStore implements SegmentStore {
  readonly files = new Map<string, string>();
  failure: Error | undefined;
  hang = false;

  async list() {
    return [...this.files]
      .map(([name, text]) => ({ name, bytes: text.length }))
      .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  async create(name: string) {
    this.files.set(name, '');
    return {
      append: async (bytes: Uint8Array) => {
        if (this.failure !== undefined) throw this.failure;
        if (this.hang) await new Promise(() => undefined);
        this.files.set(name, `${this.files.get(name)}${Buffer.from(bytes).toString('utf8')}`);
      },
      close: () => Promise.resolve(),
    };
  }

  async remove(name: string) {
    this.files.delete(name);
  }
}

function writing(store = new MemoryStore()) {
  const clock = new HandClock(1_700_000_000_000);
  const flight = new FlightRecorder({ clock, version: '1', pid: 7 });
  const warnings: string[] = [];
  const log: Log = { ...silentLog, warn: (_fields: object, text: string) => void warnings.push(text) };
  const writer = new FlightWriter({ flight, clock, log, pid: 7, open: () => Promise.resolve(store) });
  const flush = async (): Promise<void> => {
    clock.pass(limits.flushMs);
    await turns();
  };
  const note = (times = 1): void => {
    for (let at = 0; at < times; at += 1)
      flight.call({ origin: 'StopContainer', requestId: `r${at}` })('unknown');
  };
  return { clock, flight, store, warnings, writer, flush, note };
}

describe('segments', () => {
  test.each([
    ['a wall clock that is no number', { kind: 'boot', atMs: 1, wallNs: 'soon' }],
    ['a time without end', { kind: 'dropped', atMs: 1e300, count: 1 }],
    ['an effect without an end', { kind: 'effect', atMs: 1, actor: 'a', effect: 'b', outcome: 'ok' }],
    [
      'an end before the begin',
      { kind: 'call', atMs: 2, endMs: 1, method: '', requestId: '', code: '', actors: [] },
    ],
    [
      'waits that are no list',
      { kind: 'effect', atMs: 1, endMs: 2, actor: 'a', effect: 'b', outcome: '', waits: {} },
    ],
    ['a context that is no object', { kind: 'event', atMs: 1, actor: 'a', on: 'b', to: 'c', context: 'd' }],
    ['a kind of a later version', { kind: 'probe', atMs: 1 }],
    ['no object', [1]],
  ])('with %s are read without that entry', (_what, entry) => {
    const boot = '{"kind":"boot","atMs":1,"wallNs":"1"}';
    const { entries, unread } = readEntries([`${boot}\n${JSON.stringify(entry)}\n`]);
    expect([entries.length, unread]).toEqual([1, 1]);
  });

  test('begin with the boot, are written in batches, and can be read back', async () => {
    const { store, flush, note, writer, clock } = writing();
    note(3);
    expect(store.files.size).toBe(0);
    await flush();
    expect([...store.files.keys()].every(isSegment)).toBe(true);
    const texts = (): readonly string[] => [...store.files.values()];
    expect(readEntries(texts()).entries.map(({ kind }) => kind)).toEqual(['boot', 'call', 'call', 'call']);
    // nothing waits: no timer keeps an idle daemon awake
    expect(clock.timers.size).toBe(0);
    note();
    await writer.close();
    expect(readEntries([...texts(), '{"kind":"call","at']).unread).toBe(1);
    expect(readEntries(texts()).entries.length).toBe(5);
  });

  test('hold what waits as soon as a support bundle asks for it, within a bound', async () => {
    const { clock, flight, store, note, writer } = writing();
    note(2);
    await flight.write();
    const texts = (): readonly string[] => [...store.files.values()];
    expect(readEntries(texts()).entries.map(({ kind }) => kind)).toEqual(['boot', 'call', 'call']);
    expect(clock.timers.size).toBe(0);
    // a disk that hangs
    store.hang = true;
    note();
    let isAnswered = false;
    void flight.write().then(() => (isAnswered = true));
    await turns();
    expect(isAnswered).toBe(false);
    clock.pass(limits.flushMs);
    await turns();
    expect(isAnswered).toBe(true);
    const closed = writer.close();
    clock.pass(limits.flushMs);
    await closed;
    await flight.write();
  });

  test('F21: go on after a minute also where an entry came while the disk failed', async () => {
    const { clock, flight, store, note, flush } = writing();
    await flush();
    store.failure = Object.assign(new Error('I/O error'), { code: 'EIO' });
    note();
    // the batch that fails, and an entry that arms the next one meanwhile
    clock.pass(limits.flushMs);
    note();
    await turns();
    store.failure = undefined;
    await flight.write();
    await flush();
    const calls = (): number =>
      readEntries([...store.files.values()]).entries.filter(({ kind }) => kind === 'call').length;
    expect(calls()).toBe(0);
    clock.pass(limits.writeAgainMs);
    note();
    await flush();
    expect(calls()).toBe(1);
  });

  test('of earlier boots are deleted, the oldest first, beyond the bound of bytes', async () => {
    const store = new MemoryStore();
    const old = (at: number): string => `flight-${String(at).padStart(15, '0')}-1-1.ndjson`;
    for (let at = 1; at <= 5; at += 1) store.files.set(old(at), 'x'.repeat(limits.segmentBytes));
    store.files.set('notes.txt', 'not a segment');
    const { flush } = writing(store);
    await flush();
    expect([...store.files.keys()].filter((name) => !name.startsWith('flight-000000000'))).toEqual([
      'notes.txt',
      expect.stringMatching(/^flight-0017/u),
    ]);
    expect(store.files.has(old(2))).toBe(false);
    expect(store.files.has(old(3))).toBe(true);
  });

  test('F21: pause with an error of the disk, which is logged once, and go on when it takes them', async () => {
    const { store, clock, flush, note, warnings, flight } = writing();
    const full = Object.assign(new Error('no space left'), { code: 'ENOSPC' });
    const again = async (): Promise<void> => {
      clock.pass(limits.writeAgainMs);
      await flush();
    };
    await flush();
    const [first = ''] = store.files.keys();
    store.failure = full;
    note(2);
    await flush();
    note();
    // in vain
    await again();
    expect(warnings).toEqual(['write flight recorder: failed, entries are kept in memory only']);
    expect(flight.entries().filter(({ kind }) => kind === 'call').length).toBe(3);
    expect([...store.files.keys()]).toEqual([first]);
    store.failure = undefined;
    note();
    await again();
    note();
    await flush();
    const texts = [...store.files.values()];
    expect(readEntries(texts).entries.map((entry) => ('count' in entry ? entry.count : entry.kind))).toEqual([
      'boot',
      'clock',
      // calls that are missing
      4,
      'call',
    ]);
    store.failure = full;
    note();
    await flush();
    expect(warnings.length).toBe(2);
  });

  test('are in the order of their names, and the oldest go first, though the clock was set back', async () => {
    const store = new MemoryStore();
    const ahead = 'flight-001900000000000-1-1.ndjson';
    store.files.set(ahead, '{"kind":"boot","atMs":1,"wallNs":"1"}\n');
    const { writer, note } = writing(store);
    note();
    await writer.close();
    expect([...store.files.keys()].toSorted()[0]).toBe(ahead);
    expect(store.files.size).toBe(2);
    for (const name of store.files.keys()) expect(isSegment(name)).toBe(true);
  });
});
