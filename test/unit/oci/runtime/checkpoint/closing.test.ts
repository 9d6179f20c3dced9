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
import { faultOf } from '../../../../support/fault-of.ts';
import { HandClock } from '../../../../support/hand-clock.ts';
import { turns } from '../../../../support/turns.ts';
import { fxOf } from '../../../../support/fx.ts';

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
    Object.assign(opens, { begun: () => undefined, opened, held: Promise.resolve() });
    const call = { ...place(), fx: fxOf(BOUND, caller.signal) };
    expect(await faultOf(openArchive(call))).toMatchObject({ kind: 'cancelled' });
    await closed.promise;
    expect(pool.refusals).toBe(0);
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
