// Archives whose file system does not answer when they are opened or closed.
import type * as Files from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import type * as Pool from '../../../../../src/host/ffi/pool.ts';
import { linkSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { hostLimits } from '../../../../../src/host/bounds.ts';
import { inPool } from '../../../../../src/host/ffi/pool.ts';
import {
  closeArchive,
  dropArchive,
  openArchive,
  partialOf,
} from '../../../../../src/oci/runtime/checkpoint/archive.ts';
import type { CheckpointInput } from '../../../../../src/ports/checkpoint.ts';
import { faultOf } from '../../../../support/fault-of.ts';
import { HandClock } from '../../../../support/hand-clock.ts';
import { turns } from '../../../../support/turns.ts';
import { fxOf } from '../../../../support/fx.ts';
import { EVENT_MS } from '../../../../support/patience.ts';
import { checkpointBench } from './bench.ts';
import type { CheckpointBench } from './bench.ts';

// test files share a process: modules loaded before this file keep the real one, those loaded here the mock
vi.hoisted(() => vi.resetModules());
// at once, since nothing runs after a file whose tests are all skipped; and what is loaded later
vi.resetModules();
afterAll(() => vi.resetModules());

const opens = vi.hoisted(() => ({
  /** What an open for writing waits for. */
  held: Promise.resolve(),
  begun: (): void => undefined,
  opened: (_file: FileHandle): void => undefined,
  /** What a call waits for that reads whether the archive exists. */
  readHeld: Promise.resolve(),
  readBegun: (): void => undefined,
}));
const pool = vi.hoisted(() => ({ refusals: 0 }));
vi.mock('../../../../../src/host/ffi/pool.ts', async (original) => {
  const real = await original<typeof Pool>();
  const mocked: typeof real.inPool = async (...args) => {
    if (pool.refusals === 0) return real.inPool(...args);
    pool.refusals -= 1;
    throw new Error('calls wait already');
  };
  return { ...real, inPool: mocked };
});
vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof Files>();
  return {
    ...real,
    lstat: async (...args: Parameters<typeof real.lstat>) => {
      const found = real.lstat(...args);
      if (!String(args[0]).endsWith('.tar')) return found;
      opens.readBegun();
      await Promise.allSettled([found, opens.readHeld]);
      return found;
    },
    open: async (...args: Parameters<typeof real.open>) => {
      if (!String(args[0]).endsWith('.partial')) return real.open(...args);
      opens.begun();
      await opens.held;
      const file = await real.open(...args);
      opens.opened(file);
      return file;
    },
  };
});

const NOTHING = {
  begun: (): void => undefined,
  opened: (): void => undefined,
  held: Promise.resolve(),
  readBegun: (): void => undefined,
  readHeld: Promise.resolve(),
};
const DEAD = '/a dead mount';
const BOUND = 30_000;

describe('F33 F45 the archive of a checkpoint on a mount that stops answering', () => {
  let directory = '';
  let clock: HandClock;
  const place = () => ({
    archive: join(directory, 'a.tar'),
    attempted: 'checkpoint',
    clock,
    fx: fxOf(BOUND),
  });
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'troupe-closing-'));
    clock = new HandClock();
    Object.assign(opens, NOTHING);
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it('is closed in the end, however late, since Node would close its handle on the main thread', async () => {
    const answers = Promise.withResolvers<void>();
    const hung = Array.from({ length: hostLimits.poolCallsPerKey }, () =>
      inPool(DEAD, () => answers.promise),
    );
    const closed = Promise.withResolvers<void>();
    const close = vi.fn(async () => closed.resolve());
    const file = { close };
    const waited = faultOf(closeArchive(place(), { file, mountPoint: DEAD }));
    await turns();
    await clock.advance(BOUND);
    expect(await waited).toMatchObject({ kind: 'timedOut', subject: DEAD });
    expect(close).not.toHaveBeenCalled();
    answers.resolve();
    await Promise.all(hung);
    await closed.promise;
    expect([close.mock.calls.length, clock.timers.size]).toEqual([1, 0]);
  });

  it('drops its error once nobody waits for it', async () => {
    const answer = Promise.withResolvers<void>();
    const file = { close: () => answer.promise };
    const waited = faultOf(closeArchive(place(), { file, mountPoint: DEAD }));
    await turns();
    await clock.advance(BOUND);
    expect(await waited).toMatchObject({ kind: 'timedOut' });
    // an unhandled rejection would fail the run
    answer.reject(new Error('EIO'));
    await turns();
  });

  it('is removed and closed when it is open only after the bound', async () => {
    const [begun, held, closed] = [
      Promise.withResolvers<void>(),
      Promise.withResolvers<void>(),
      Promise.withResolvers<void>(),
    ];
    const opened = (file: FileHandle): void => {
      const close = file.close.bind(file);
      file.close = () => close().then(closed.resolve);
    };
    Object.assign(opens, { begun: begun.resolve, opened, held: held.promise });
    const waited = faultOf(openArchive(place()));
    await begun.promise;
    await clock.advance(BOUND);
    expect(await waited).toMatchObject({ kind: 'timedOut' });
    held.resolve();
    await closed.promise;
    expect(readdirSync(directory)).toEqual([]);
  });

  it('is closed when the call is cancelled as it opens and the pool has no room to remove it', async () => {
    const closed = Promise.withResolvers<void>();
    const caller = new AbortController();
    const opened = (file: FileHandle): void => {
      const close = file.close.bind(file);
      file.close = () => close().then(closed.resolve);
      pool.refusals = 1;
      caller.abort();
    };
    opens.opened = opened;
    const call = { ...place(), fx: fxOf(BOUND, caller.signal) };
    expect(await faultOf(openArchive(call))).toMatchObject({ kind: 'cancelled' });
    await closed.promise;
    expect(pool.refusals).toBe(0);
  });

  const ID = 'a'.repeat(64);
  const cancelled = async (
    { driver }: CheckpointBench,
    caller: AbortController,
  ): Promise<{ readonly kind: string }> => {
    const containers = [{ id: ID, handler: 'fake', archive: place().archive }];
    const input: unknown = { attempted: 'checkpoint', containers };
    return faultOf(driver.checkpoint(input as CheckpointInput, fxOf(EVENT_MS, caller.signal)));
  };

  it('may still be made after the cancellation: the note stays, by which the next daemon removes it', async () => {
    const bench = checkpointBench(directory);
    const [caller, held, closed] = [
      new AbortController(),
      Promise.withResolvers<void>(),
      Promise.withResolvers<void>(),
    ];
    const opened = (file: FileHandle): void => {
      const close = file.close.bind(file);
      file.close = () => close().then(closed.resolve);
    };
    Object.assign(opens, { begun: () => caller.abort(), opened, held: held.promise });
    expect(await cancelled(bench, caller)).toMatchObject({ kind: 'cancelled' });
    expect(bench.works()).toEqual([ID]);
    expect(readdirSync(join(bench.layout.checkpointsDir, ID))).toEqual(['note.json']);
    held.resolve();
    await closed.promise;
    await bench.driver.open();
    expect(bench.works()).toEqual([]);
  });

  it('is not made after a cancellation that came before, and then no note stays', async () => {
    const bench = checkpointBench(directory);
    const [caller, held] = [new AbortController(), Promise.withResolvers<void>()];
    let isTried = false;
    Object.assign(opens, {
      begun: () => void (isTried = true),
      readBegun: () => caller.abort(),
      readHeld: held.promise,
    });
    expect(await cancelled(bench, caller)).toMatchObject({ kind: 'cancelled' });
    expect(bench.works()).toEqual([]);
    held.resolve();
    await turns();
    expect(isTried).toBe(false);
  });

  it('is dropped with the name that a link gives it after its bound', async () => {
    const { archive } = place();
    writeFileSync(partialOf(archive), 'late');
    linkSync(partialOf(archive), archive);
    await dropArchive(place(), false);
    expect(readdirSync(directory)).toEqual([]);
    // somebody else's file of that name stays
    writeFileSync(partialOf(archive), 'ours');
    writeFileSync(archive, 'theirs');
    await dropArchive(place(), false);
    expect(readdirSync(directory)).toEqual(['a.tar']);
  });
});
