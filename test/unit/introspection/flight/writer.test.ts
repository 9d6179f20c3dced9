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

  test('F21: end with the first error of the disk, which is logged once; the memory goes on', async () => {
    const { store, flush, note, warnings, flight } = writing();
    store.failure = Object.assign(new Error('no space left'), { code: 'ENOSPC' });
    note();
    await flush();
    note();
    await flush();
    expect(warnings).toEqual(['write flight recorder: failed, entries are kept in memory only']);
    expect(flight.entries().filter(({ kind }) => kind === 'call').length).toBe(2);
    expect(flight.drain()).toEqual([]);
  });
});
