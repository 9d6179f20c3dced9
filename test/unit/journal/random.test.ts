/** The journal under random faults, kills and power losses: later boots find what it answered. */
import { afterAll, describe, expect, it, vi } from 'vitest';
import type { DiskFile, DiskPort } from '../../../src/ports/disk.ts';
import type { JournalFold, JournalRecord } from '../../../src/ports/journal.ts';
import type { SandboxId } from '../../../src/base/ids.ts';
import type * as Limits from '../../../src/journal/bounds.ts';
import { openJournal } from '../../../src/journal/journal.ts';
import type { OpenJournal } from '../../../src/journal/journal.ts';
import { DiskModel } from '../../sim/disk-model.ts';
import { randomStream } from '../../sim/random.ts';
import { EXHAUSTIVE } from '../../support/exhaustive.ts';
import type { Random } from '../../sim/random.ts';
import { Rig } from './support.ts';
import type { Trouble } from './support.ts';

// test files share a process: modules loaded before this file keep the real one, those loaded here the mock
vi.hoisted(() => vi.resetModules());
// at once, since nothing runs after a file whose tests are all skipped; and what is loaded later
vi.resetModules();
afterAll(() => vi.resetModules());

// small files, so that a few records are compacted and eat the reserve; a doubt lasts until it is lifted
vi.mock('../../../src/journal/bounds.ts', async (original) => {
  const limits = await original<typeof Limits>();
  return {
    ...limits,
    journalLimits: {
      ...limits.journalLimits,
      compactAfterBytes: 3000,
      reserveBytes: 600,
      doubtTries: 1_000_000,
    },
  };
});

const SEEDS = 300;
const OPERATIONS = [
  'append',
  'sync',
  'size',
  'close',
  'list',
  'read',
  'create',
  'openAt',
  'writeAgain',
  'rename',
  'unlink',
  'syncDirectory',
];
const STEPS = 30;
/** Microtasks within which a journal on a quiet disk has answered everything. */
const HOPS = 4000;

/** Every record that was applied, in order and as often as it was: a fold that hides nothing. */
const everything: JournalFold<number[]> = {
  empty: () => [],
  apply: (state, record) => void state.push(numberOf(record)),
  records: (state) => state.map(recordOf),
  withoutSecrets: (record) => record,
  mayUseReserve: (_state, record) => numberOf(record) % 3 > 0,
};

function recordOf(n: number): JournalRecord {
  return {
    type: 'sandbox.stopped',
    id: n.toString(16).padStart(64, '0') as SandboxId,
    owed: ['x'.repeat((n * 37) % 150)],
  };
}

function numberOf(record: JournalRecord): number {
  return record.type === 'sandbox.stopped' ? Number.parseInt(record.id, 16) : -1;
}

/** Counts what is open. */
function counted(disk: DiskPort, open: Set<DiskFile>): DiskPort {
  const wrapped = (file: DiskFile): DiskFile => {
    const made: DiskFile = {
      append: (bytes) => file.append(bytes),
      sync: () => file.sync(),
      size: () => file.size(),
      close: () => {
        // closed whatever the kernel answers
        open.delete(made);
        return file.close();
      },
    };
    open.add(made);
    return made;
  };
  return {
    ...disk,
    create: async (name) => wrapped(await disk.create(name)),
    openAt: async (name, length) => wrapped(await disk.openAt(name, length)),
  };
}

type Reported = 'durable' | 'refused' | 'unsynced' | 'unknown';

/** One disk, many lives. */
class History {
  readonly random: Random;
  readonly reported = new Map<number, Reported>();
  readonly trace: string[] = [];
  readonly model = new DiskModel();
  rig = new Rig(this.model);
  open = new Set<DiskFile>();
  journal: OpenJournal<number[]> | undefined;
  waiting = 0;
  lives = 0;
  #next = 1;
  /** Of each kind of trouble at each operation. */
  #rate = 0;
  #kinds: Trouble[] = [];
  #where: string[] = [];

  constructor(seed: number) {
    this.random = randomStream(seed, 'journal');
    this.model.failedSyncWrites = (unsynced) => this.random.int(unsynced + 1);
  }

  weather(): void {
    this.#rate = this.random.chance(0.3) ? 0 : this.random.next() * 0.5;
    this.#kinds = (
      ['EIO', 'ENOSPC', 'EROFS', 'doneButEIO', 'short', 'dieBefore', 'dieAfter'] as const
    ).filter((kind) => this.random.chance(kind.startsWith('die') ? 0.1 : 0.4));
    this.#where = OPERATIONS.filter(() => this.random.chance(0.5));
    this.model.capacityBytes = this.random.chance(0.3)
      ? this.model.usedBytes() + this.random.int(1000)
      : Number.MAX_SAFE_INTEGER;
    this.trace.push(
      `weather ${this.#rate.toFixed(2)} ${this.#kinds.join()} ${this.model.capacityBytes - this.model.usedBytes()}`,
    );
    this.#watch();
  }

  calm(): void {
    this.#rate = 0;
    this.model.capacityBytes = Number.MAX_SAFE_INTEGER;
    this.#watch();
    this.trace.push('calm');
  }

  #watch(): void {
    this.rig.trouble = (at, operation) => {
      const wrong =
        this.#where.includes(operation) && this.random.chance(this.#rate) && this.#kinds.length > 0
          ? this.random.pick(this.#kinds)
          : undefined;
      this.trace.push(`  ${at} ${operation} ${wrong ?? ''}`);
      return wrong;
    };
  }

  /** A life that reads what the last one left. */
  async start(): Promise<void> {
    this.rig = new Rig(this.model);
    this.open = new Set();
    this.journal = undefined;
    this.waiting = 0;
    this.#watch();
    const { disk, ...ports } = this.rig.ports();
    const outcome: { journal?: OpenJournal<number[]>; refusal?: unknown } = {};
    openJournal<number[]>({ ...ports, disk: counted(disk, this.open), fold: everything }).then(
      (journal) => Object.assign(outcome, { journal }),
      (refusal: unknown) => Object.assign(outcome, { refusal }),
    );
    await this.#settle(() => outcome.journal !== undefined || outcome.refusal !== undefined);
    this.trace.push(
      `started ${outcome.journal?.state.join() ?? String(outcome.refusal)} ${outcome.journal?.report.keptAs ?? ''}`,
    );
    if (outcome.journal === undefined) return;
    this.journal = outcome.journal;
    this.lives += 1;
    this.#judge(this.journal.state);
    // what was found is believed from now on: nobody may lose it any more, and what was not found never comes back
    const there = new Set(this.journal.state);
    for (const n of this.reported.keys()) this.reported.set(n, there.has(n) ? 'durable' : 'refused');
  }

  append(sync: boolean): void {
    const count = 1 + this.random.int(3);
    const numbers = Array.from({ length: count }, () => this.#next++);
    for (const n of numbers) this.reported.set(n, 'unknown');
    const show = (reported: Reported): void => {
      this.trace.push(`reported ${numbers.join()} ${reported}`);
      for (const n of numbers) this.reported.set(n, reported);
    };
    this.trace.push(`append ${numbers.join()} ${sync}`);
    const { rig } = this;
    this.waiting += 1;
    this.journal?.journal
      .append(numbers.map(recordOf), { sync })
      .then(
        () => show(sync ? 'durable' : 'unsynced'),
        () => show('refused'),
      )
      .finally(() => {
        if (rig === this.rig) this.waiting -= 1;
      })
      .catch(() => undefined);
  }

  /** Some of the answers, all, or none. */
  async run(hops: number): Promise<void> {
    await this.#settle(() => false, hops);
  }

  async end(): Promise<void> {
    // its answer comes after everything else that is queued
    this.append(true);
    await this.#settle(() => this.waiting === 0);
    expect([this.waiting, this.rig.dead]).toStrictEqual([0, false]);
    // one file is written to; each of its lives judges what it found and what it knows
    expect(this.open.size).toBeLessThanOrEqual(1);
    this.#judge(this.journal?.state ?? []);
  }

  die(): void {
    this.trace.push('killed');
    this.rig.dead = true;
  }

  async #settle(done: () => boolean, hops = HOPS): Promise<void> {
    for (let hop = 0; hop < hops && !done() && !this.rig.dead; hop += 1) {
      await Promise.resolve();
      if (this.rig.pauses > 0 && hop % 8 === 0) this.rig.tick();
    }
  }

  #judge(found: readonly number[]): void {
    const sorted = found.toSorted((a, b) => a - b);
    expect(found, 'in order').toStrictEqual(sorted);
    expect(new Set(found).size, 'once').toBe(found.length);
    const there = new Set(found);
    for (const [n, reported] of this.reported) {
      if (reported === 'durable') expect([n, there.has(n)], 'durable').toStrictEqual([n, true]);
      if (reported === 'refused') expect([n, there.has(n)], 'refused').toStrictEqual([n, false]);
    }
  }
}

async function live(seed: number): Promise<History> {
  const history = new History(seed);
  const { random } = history;
  try {
    for (let step = 0; step < STEPS; step += 1) {
      if (history.rig.dead || history.journal === undefined) {
        if (random.chance(0.4)) {
          history.trace.push('power loss');
          history.model.losePower(random);
        }
        await history.start();
        if (random.chance(0.5)) history.calm();
        continue;
      }
      const draw = random.int(10);
      if (draw === 0) history.die();
      else if (draw < 3) history.weather();
      else if (draw < 4) history.calm();
      else if (draw < 5) await history.run(HOPS);
      else {
        const appends = 1 + random.int(4);
        for (let n = 0; n < appends; n += 1) history.append(random.chance(0.6));
        await history.run(random.int(60));
      }
    }
    history.calm();
    if (history.rig.dead || history.journal === undefined) {
      await history.start();
    }
    await history.end();
    await history.end();
    history.die();
    history.model.losePower(random);
    await history.start();
  } catch (error) {
    throw new Error(`seed ${seed}: ${String(error)}\n${history.trace.join('\n')}`, { cause: error });
  }
  return history;
}

describe('journal, at random', () => {
  it(
    'F17 F19 F20 F21 F25 I7 every later boot reads records answered as durable, and none that was refused; nothing hangs or leaks',
    { tags: [EXHAUSTIVE] },
    async () => {
      let lives = 0;
      for (let seed = 0; seed < SEEDS; seed += 1) lives += (await live(seed)).lives;
      expect(lives).toBeGreaterThan(SEEDS);
    },
  );
});
