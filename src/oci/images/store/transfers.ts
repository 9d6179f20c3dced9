/**
 * Turns for transfers of layers. Who waits is chosen by who has least under way: by namespace, then by registry, then by
 * credentials. A transfer whose registry trickles gives its turn to one of another registry or namespace that waits, and goes
 * on beside it until it is fast again; of too many such the one goes whose namespace has most (S90).
 */
import type { ClockPort, TimerHandle } from '../../../ports/clock.ts';
import { onAbort } from '../../../base/abort.ts';
import { fail, FaultError, fault } from '../../../base/fault.ts';
import { storageLimits } from '../../bounds.ts';

/** Where a layer comes from, and for whom. */
export interface Party {
  /** Registry, as the reference names it. */
  readonly host: string;
  /** Kubernetes namespace of the pull; '' for none. */
  readonly namespace: string;
  /** A digest of the credentials; '' for none. */
  readonly credential: string;
}

/** What the work says while it has its turn. */
export interface Turn {
  /** Ends the work when its registry is too slow. */
  readonly signal: AbortSignal;
  /** So many more bytes came. */
  came(bytes: number): void;
  /** The time of `work` is ours: no registry is slow for it. */
  ours<T>(work: () => Promise<T>): Promise<T>;
}

export interface TransfersOptions {
  readonly clock: ClockPort;
  readonly slots: number;
  readonly slotsPerHost: number;
}

interface Waiter {
  readonly party: Party;
  readonly grant: (running: Running) => void;
}

interface Running {
  readonly party: Party;
  readonly controller: AbortController;
  /** Since the last look. */
  bytes: number;
  sinceMs: number;
  /** Milliseconds of that which were ours, and since when it is ours now. */
  oursMs: number;
  oursSinceMs: number | undefined;
  /** It gave its turn away, and takes it back once it is fast again: more than all turns may be held then, and nobody begins. */
  isSlow: boolean;
}

export class Transfers {
  readonly #options: TransfersOptions;
  readonly #running = new Set<Running>();
  #line: Waiter[] = [];
  #look: TimerHandle | undefined;

  constructor(options: TransfersOptions) {
    this.#options = options;
  }

  /** Runs `work` in its turn; an abort while still in line rejects with its reason, a full line with `exhausted`. */
  async with<T>(party: Party, work: (turn: Turn) => Promise<T>, signal: AbortSignal): Promise<T> {
    const running = await this.#turn(party, signal);
    const { clock } = this.#options;
    const turn: Turn = {
      signal: AbortSignal.any([signal, running.controller.signal]),
      came: (bytes) => {
        running.bytes += bytes;
      },
      ours: async (own) => {
        running.oursSinceMs = clock.monoMs();
        try {
          return await own();
        } finally {
          running.oursMs += clock.monoMs() - running.oursSinceMs;
          running.oursSinceMs = undefined;
        }
      },
    };
    try {
      return await work(turn);
    } catch (error) {
      // what is told is why it had to end
      throw running.controller.signal.aborted && !signal.aborted ? running.controller.signal.reason : error;
    } finally {
      this.#running.delete(running);
      this.#serve();
    }
  }

  #turn(party: Party, signal: AbortSignal): Promise<Running> {
    signal.throwIfAborted();
    if (this.#line.length >= storageLimits.transfersWaiting) {
      fail('exhausted', `layer transfers: ${storageLimits.transfersWaiting} wait already`, {
        retryable: true,
      });
    }
    return new Promise((grant, refuse) => {
      const waiter: Waiter = {
        party,
        grant: (running) => {
          stopListening();
          grant(running);
        },
      };
      const stopListening = onAbort(signal, () => {
        this.#line = this.#line.filter((other) => other !== waiter);
        refuse(signal.reason as Error);
      });
      this.#line.push(waiter);
      this.#serve();
    });
  }

  #serve(): void {
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      const { party, grant } = next;
      const served = next;
      this.#line = this.#line.filter((other) => other !== served);
      const running: Running = {
        party,
        controller: new AbortController(),
        bytes: 0,
        sinceMs: this.#options.clock.monoMs(),
        oursMs: 0,
        oursSinceMs: undefined,
        isSlow: false,
      };
      this.#running.add(running);
      grant(running);
    }
    this.#watch();
  }

  /** Who of those that may begin has least under way; the first of equals. */
  #next(): Waiter | undefined {
    const { slots, slotsPerHost } = this.#options;
    const held = [...this.#running].filter(({ isSlow }) => !isSlow);
    const of = (all: readonly Running[], key: keyof Party, party: Party): number =>
      all.filter((one) => one.party[key] === party[key]).length;
    const all = [...this.#running];
    const own = ({ host, namespace }: Party): number =>
      all.filter(({ party }) => party.host === host && party.namespace === namespace).length;
    // of the own ones those, too, that gave their turn away: to others, since on a slow line more of them are slower still
    const may = this.#line.filter(
      ({ party }) =>
        hasRoom(held, party, slots) &&
        hasRoom(
          held.filter((one) => one.party.host === party.host),
          party,
          slotsPerHost,
        ) &&
        own(party) < slotsPerHost,
    );
    const weigh = ({ party }: Waiter): readonly number[] => [
      of(all, 'namespace', party),
      of(all, 'host', party),
      of(all, 'credential', party),
    ];
    const weighed = may.map((waiter) => ({ waiter, weight: weigh(waiter) }));
    // a stable sort: the order of coming decides between equals
    return weighed.toSorted((one, other) => compare(one.weight, other.weight))[0]?.waiter;
  }

  /** Looks at rates only while somebody waits. */
  #watch(): void {
    if (this.#line.length === 0 || this.#look !== undefined) return;
    this.#look = this.#options.clock.setTimeout(() => {
      this.#look = undefined;
      this.#demote();
      this.#serve();
    }, storageLimits.transferLookMs);
  }

  /** Those that are fast again take their turn back first, which makes room among the slow ones. */
  #demote(): void {
    const measured = [...this.#running].flatMap((running) => this.#measure(running) ?? []);
    for (const { running, isSlow } of measured) if (!isSlow) running.isSlow = false;
    for (const { running, isSlow } of measured) {
      if (!isSlow || running.isSlow) continue;
      if (this.#slow().length < storageLimits.slowTransfers) running.isSlow = true;
      else this.#endOne();
    }
  }

  /** Its rate since the last measurement, which begins anew; undefined where too little of that time was the registry's. */
  #measure(running: Running): { readonly running: Running; readonly isSlow: boolean } | undefined {
    const now = this.#options.clock.monoMs();
    const oursMs = running.oursMs + (running.oursSinceMs === undefined ? 0 : now - running.oursSinceMs);
    const waitedMs = now - running.sinceMs - oursMs;
    // a half of the span: less says nothing of the registry
    if (waitedMs * 2 < storageLimits.transferLookMs) return undefined;
    const isSlow = running.bytes * 1000 < storageLimits.transferBytesPerSecond * waitedMs;
    Object.assign(running, {
      bytes: 0,
      sinceMs: now,
      oursMs: 0,
      oursSinceMs: running.oursSinceMs === undefined ? undefined : now,
    });
    return { running, isSlow };
  }

  #slow(): readonly Running[] {
    return [...this.#running].filter(({ isSlow, controller }) => isSlow && !controller.signal.aborted);
  }

  /**
   * Ends a slow transfer of the namespace that has most of them, if somebody with fewer waits: on a slow line nobody's are
   * ended for the own ones. What came of it is kept, and its client asks again.
   */
  #endOne(): void {
    const ofNamespace = (namespace: string): number =>
      [...this.#running].filter(({ party }) => party.namespace === namespace).length;
    const most = this.#slow().toSorted(
      (one, other) => ofNamespace(other.party.namespace) - ofNamespace(one.party.namespace),
    )[0];
    if (most === undefined) return;
    const { host, namespace } = most.party;
    if (
      !this.#line.some(
        ({ party }) => party.namespace !== namespace && ofNamespace(party.namespace) < ofNamespace(namespace),
      )
    )
      return;
    const reason = `${host}: fewer than ${storageLimits.transferBytesPerSecond} bytes a second while layers of others wait`;
    most.controller.abort(new FaultError(fault('outside', reason, { retryable: true })));
  }
}

/**
 * Whether a transfer for this party may begin beside those that hold a turn. What a namespace holds beyond its share counts
 * only for itself: it may use all turns while nobody else waits, and others still begin at once, at most a quarter more.
 */
function hasRoom(held: readonly Running[], { namespace }: Party, slots: number): boolean {
  if (held.length < slots) return true;
  const share = Math.ceil(slots * storageLimits.transferShareOfNamespace);
  const counts = new Map<string, number>();
  for (const { party } of held) counts.set(party.namespace, (counts.get(party.namespace) ?? 0) + 1);
  if ((counts.get(namespace) ?? 0) >= share) return false;
  return [...counts.values()].reduce((sum, count) => sum + Math.min(count, share), 0) < slots;
}

function compare(one: readonly number[], other: readonly number[]): number {
  const at = one.findIndex((value, index) => value !== other[index]);
  return at < 0 ? 0 : (one[at] ?? 0) - (other[at] ?? 0);
}
