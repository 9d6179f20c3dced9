import { createEmptyActor } from 'xstate';
import { describe, expect, it } from 'vitest';
import { Directory } from '../../../src/actors/directory/directory.ts';
import { introspectionLimits as limits } from '../../../src/introspection/bounds.ts';
import { Recorder } from '../../../src/introspection/recorder.ts';
import type { ContainerView } from '../../../src/actors/directory/views.ts';
import type { Change } from '../../../src/introspection/recorder.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { containerView } from '../actors/fixtures.ts';

function bench() {
  const clock = new HandClock(1000);
  const recorder = new Recorder(clock);
  const directory = new Directory();
  recorder.attach(directory);
  const step = (address: string, from: string, to: string): void =>
    recorder.note({ address, from, to, on: 'test', cause: '', settled: true, final: false });
  return { clock, recorder, directory, step };
}

const view = containerView('exited');
const { address } = view;

describe('the past of one actor', () => {
  it('has its last changes, oldest first, and the time of its state', async () => {
    const { clock, recorder, step } = bench();
    for (let at = 0; at < limits.historyPerActor + 10; at += 1) {
      step(address, String(at), String(at + 1));
      await clock.advance(1);
    }
    const past = recorder.past(address);
    expect(past?.history).toHaveLength(limits.historyPerActor);
    expect(past?.history.at(-1)).toMatchObject({
      to: String(limits.historyPerActor + 10),
      seq: BigInt(limits.historyPerActor + 11),
    });
    expect(past?.sinceNs).toBe(past?.history.at(-1)?.atNs);
    expect(recorder.past('container/other')).toBeUndefined();
  });

  it('outlives the actor by ten minutes, with its last view, and no longer', async () => {
    const { clock, recorder, directory, step } = bench();
    step(address, '', 'exited');
    directory.drop(view);
    await clock.advance(limits.tombstoneMs);
    expect(recorder.removed()).toMatchObject([{ view: { address } }]);
    expect(recorder.past(address)).toMatchObject({
      history: [{ to: 'exited' }],
      end: { atNs: 1_000_000_000n },
    });
    await clock.advance(1);
    expect(recorder.removed()).toEqual([]);
    expect(recorder.past(address)).toBeUndefined();
  });

  it('of removed ones stays bounded in number, the newest first', () => {
    const { recorder, directory, step } = bench();
    const name = (at: number) => `container/${at}` as const;
    for (let at = 0; at < limits.tombstones + 5; at += 1) {
      step(name(at), '', 'gone');
      directory.drop({ ...view, address: name(at) });
    }
    const removed = recorder.removed();
    expect(removed).toHaveLength(limits.tombstones);
    expect(removed[0]?.view.address).toBe(name(limits.tombstones + 4));
    expect(recorder.past(name(4))).toBeUndefined();
    expect(recorder.past(name(5))).toBeDefined();
  });

  it('has its quarantine by the supervisor once', () => {
    const { recorder, directory, step } = bench();
    step(address, '', 'running');
    const lost: ContainerView = { ...view, state: 'quarantined', path: 'quarantined' };
    for (const again of [lost, lost]) directory.put(again, createEmptyActor());
    expect(recorder.past(address)?.history.map(({ from, to, on }) => [from, to, on])).toEqual([
      ['', 'running', 'test'],
      ['running', 'quarantined', 'crash'],
    ]);
  });
});

describe('watching', () => {
  const seqs = (changes: readonly Change[]): bigint[] => changes.map(({ seq }) => seq);

  it('sends changes from now on, until it is closed', () => {
    const { recorder, step } = bench();
    step(address, '', 'a');
    const seen: Change[] = [];
    const stop = recorder.watch(0n, (change) => seen.push(change));
    step(address, 'a', 'b');
    stop();
    step(address, 'b', 'c');
    expect(seq(seen)).toEqual([['b', 3n]]);
  });

  const seq = (changes: readonly Change[]): (readonly [string, bigint])[] =>
    changes.map(({ to, seq: number }) => [to, number] as const);

  it('resumes behind a number without gaps or duplicates', () => {
    const { recorder, step } = bench();
    for (const to of ['a', 'b', 'c']) step(address, '', to);
    const seen: Change[] = [];
    recorder.watch(2n, (change) => seen.push(change));
    step(address, 'c', 'd');
    expect(seq(seen)).toEqual([
      ['b', 3n],
      ['c', 4n],
      ['d', 5n],
    ]);
  });

  it('resumes from the number of an empty list', () => {
    const { recorder, step } = bench();
    const listed = recorder.seq;
    step(address, '', 'a');
    const seen: Change[] = [];
    recorder.watch(listed, (change) => seen.push(change));
    expect(seqs(seen)).toEqual([listed + 1n]);
  });

  it('is refused behind a forgotten number, and behind a future one (of another boot)', () => {
    const { recorder, step } = bench();
    for (let at = 0; at < limits.changes + 2; at += 1) step(address, '', String(at));
    const refused = (after: bigint) => () => recorder.watch(after, () => undefined);
    // the newest is changes + 3, so the oldest that is kept has the number 4
    expect(refused(2n)).toThrow('watch: changes after 2 not found: the oldest is 4, list again');
    expect(refused(3n)).not.toThrow();
    expect(refused(recorder.seq)).not.toThrow();
    expect(refused(recorder.seq + 1n)).toThrow(/change \d+ not found: the newest is/u);
  });

  it('is bounded in number; a closed watcher makes room', () => {
    const { recorder } = bench();
    const stops = Array.from({ length: limits.watchers }, () => recorder.watch(0n, () => undefined));
    expect(() => recorder.watch(0n, () => undefined)).toThrow(
      `watch: too many clients: ${limits.watchers} are watching`,
    );
    stops[0]?.();
    expect(() => recorder.watch(0n, () => undefined)).not.toThrow();
  });
});
