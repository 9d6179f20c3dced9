/** Journals on the simulated disk, with a hand on every disk operation. */
import type { JournalRecord } from '../../../src/ports/journal.ts';
import { ledgerFold } from '../../../src/actors/ledger/ledger.ts';
import type { Ledger } from '../../../src/actors/ledger/ledger.ts';
import { encodePlain } from '../../../src/base/codec.ts';
import type { SandboxId } from '../../../src/base/ids.ts';
import { silentLog } from '../../../src/base/log.ts';
import type { Log } from '../../../src/base/log.ts';
import { openJournal } from '../../../src/journal/journal.ts';
import { DiskError, DiskModel } from '../../sim/disk-model.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { diskTwin } from '../../sim/disk-twin.ts';
import type { DiskVia } from '../../sim/disk-twin.ts';

/**
 * What happens at one disk operation instead of, or after, its effect. `doneButEIO`: it is refused, and done
 * nevertheless; `short`: of a write a few bytes fit.
 */
export type Trouble = 'EIO' | 'ENOSPC' | 'EROFS' | 'doneButEIO' | 'short' | 'dieBefore' | 'dieAfter';

/** Of a write that fits in part: more than a record's frame. */
const SHORT_BYTES = 10;

export class Rig {
  readonly model: DiskModel;
  /** Names of the operations so far. */
  readonly operations: string[] = [];
  /** Decides by the number of the operation (from 0) and its name. */
  trouble: (at: number, operation: string) => Trouble | undefined = () => undefined;
  dead = false;
  /** Who hears what the journal says. */
  log: Log = silentLog;
  readonly #clock = new HandClock();

  constructor(model = new DiskModel()) {
    this.model = model;
  }

  readonly #via: DiskVia = async (operation, effect, failed) => {
    const never = new Promise<never>(() => undefined);
    if (this.dead) return never;
    const trouble = this.trouble(this.operations.length, operation);
    this.operations.push(operation);
    if (trouble === 'dieBefore') this.dead = true;
    if (this.dead) return never;
    if (trouble === 'EIO' && failed !== undefined) return failed();
    if (trouble === 'EIO' || trouble === 'ENOSPC' || trouble === 'EROFS')
      throw new DiskError(trouble, operation);
    if (trouble === 'short') return this.#whileFull(effect);
    const value = effect();
    if (trouble === 'doneButEIO') throw new DiskError('EIO', operation);
    if (trouble === 'dieAfter') {
      this.dead = true;
      return never;
    }
    return value;
  };

  #whileFull<T>(effect: () => T): T {
    const { capacityBytes } = this.model;
    this.model.capacityBytes = this.model.usedBytes() + SHORT_BYTES;
    try {
      return effect();
    } finally {
      this.model.capacityBytes = capacityBytes;
    }
  }

  open() {
    return openJournal<Ledger>({ ...this.ports(), fold: ledgerFold });
  }

  /** What a journal is opened with beside its fold. */
  ports() {
    return { disk: diskTwin(this.model, this.#via), log: this.log, clock: this.#clock };
  }

  /** Ends the pauses that are waited for. */
  tick(): void {
    this.#clock.fire();
  }

  /** Pauses that are waited for. */
  get pauses(): number {
    return this.#clock.timers.size;
  }

  /** A later instance of the daemon on the same disk. */
  next(): Rig {
    return new Rig(this.model);
  }
}

/** Record number `n` of a made-up history: the life of one sandbox after the other, five records each. */
export function recordNumber(n: number): JournalRecord {
  const id = Math.floor(n / 5)
    .toString(16)
    .padStart(64, '0') as SandboxId;
  switch (n % 5) {
    case 1:
      return { type: 'sandbox.ready', id, ips: [`10.0.0.${n % 250}`], pause: undefined };
    case 2:
      return { type: 'sandbox.stopping', id };
    case 3:
      return { type: 'sandbox.stopped', id, owed: [`step-${n}`] };
    case 4:
      // every second one stays
      return n % 2 === 0 ? { type: 'sandbox.removed', id } : { type: 'sandbox.stopped', id, owed: [] };
    default:
      return intentNumber(n);
  }
}

/** A sandbox of its own. */
export function intentNumber(n: number): Extract<JournalRecord, { type: 'sandbox.intent' }> {
  const id = Math.floor(n / 5)
    .toString(16)
    .padStart(64, '0') as SandboxId;
  return { type: 'sandbox.intent', id, createdAtNs: BigInt(n), spec: specOf(n) };
}

function specOf(n: number): Extract<JournalRecord, { type: 'sandbox.intent' }>['spec'] {
  return {
    key: { name: `pod-${n}`, namespace: 'default', uid: `uid-${n}`, attempt: 0 },
    hostname: '',
    logDirectory: '',
    dns: undefined,
    portMappings: [],
    labels: { n: String(n) },
    annotations: {},
    handler: '',
    cgroupParent: '',
    sysctls: [],
    privileged: false,
    readonlyRootfs: false,
    seccomp: { type: 'runtimeDefault', path: '' },
    namespaces: { network: 'pod', pid: 'container', ipc: 'pod', targetId: undefined },
    user: {
      runAsUser: undefined,
      runAsUsername: '',
      runAsGroup: undefined,
      supplementalGroups: [],
      supplementalGroupsPolicy: 'merge',
    },
  };
}

export const records = (count: number): JournalRecord[] =>
  Array.from({ length: count }, (_none, n) => recordNumber(n));

/** The state as text, for comparison. */
export function textOf(state: Ledger): string {
  return encodePlain(ledgerFold.records(state));
}

/** Texts of the states after 0, 1, 2 … of the records. */
export function prefixTexts(all: readonly JournalRecord[]): string[] {
  const state = ledgerFold.empty();
  return [
    textOf(state),
    ...all.map((record) => {
      ledgerFold.apply(state, record);
      return textOf(state);
    }),
  ];
}
