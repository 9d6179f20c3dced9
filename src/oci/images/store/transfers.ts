/**
 * Limits concurrent layer transfers. Among waiting transfers, the next turn goes to the one whose namespace, then
 * registry, then credentials have the fewest running transfers. A transfer with a slow registry gives its turn to a
 * waiting one and continues without a turn until it is fast again. If there are too many slow transfers, one of the
 * namespace with most of them is ended (S90).
 */
import type { ClockPort, TimerHandle } from '../../../ports/clock.ts';
import { onAbort } from '../../../base/abort.ts';
import { fail, FaultError, fault } from '../../../base/fault.ts';
import { storageLimits } from '../../bounds.ts';

/** Where a layer comes from and for whom. */
export interface Party {
  /** Registry, as in the reference. */
  readonly host: string;
  /** Kubernetes namespace of the pull; empty if unknown. */
  readonly namespace: string;
  /** A digest of the credentials; empty for an anonymous pull. */
  readonly credential: string;
}

/** What a transfer uses while it has a turn. */
export interface Turn {
  /** Aborts when the caller does, or when the transfer is ended for being slow. */
  readonly signal: AbortSignal;
  /** Reports received bytes. */
  received(bytes: number): void;
  /** Runs work of this node. Its time does not count when the registry's rate is measured. */
  local<T>(work: () => Promise<T>): Promise<T>;
}

export interface TransfersOptions {
  readonly clock: ClockPort;
  /** Called for each choice; more of them take effect when a transfer ends, or at the next measurement. */
  readonly slots: () => number;
  readonly slotsPerHost: () => number;
}

interface Waiter {
  readonly party: Party;
  readonly grant: (running: Running) => void;
}

interface Running {
  readonly party: Party;
  readonly controller: AbortController;
  /** Bytes received since `sinceMs`, the last measurement. */
  bytes: number;
  sinceMs: number;
  /** ms of local work since then, and the start of local work that is running now. */
  localMs: number;
  localSinceMs: number | undefined;
  /**
   * It has given its turn away. When it is fast again it takes a turn back, even if then more turns are held than
   * allowed.
   */
  isSlow: boolean;
}

export class Transfers {
  readonly #options: TransfersOptions;
  readonly #running = new Set<Running>();
  #waiting: Waiter[] = [];
  #timer: TimerHandle | undefined;

  constructor(options: TransfersOptions) {
    this.#options = options;
  }

  /**
   * Runs `work` when it gets a turn. An abort while waiting rejects with its reason; a full queue rejects with
   * `exhausted`.
   */
  async with<T>(party: Party, work: (turn: Turn) => Promise<T>, signal: AbortSignal): Promise<T> {
    const running = await this.#turn(party, signal);
    const { clock } = this.#options;
    const turn: Turn = {
      signal: AbortSignal.any([signal, running.controller.signal]),
      received: (bytes) => {
        running.bytes += bytes;
      },
      local: async (own) => {
        running.localSinceMs = clock.monoMs();
        try {
          return await own();
        } finally {
          running.localMs += clock.monoMs() - running.localSinceMs;
          running.localSinceMs = undefined;
        }
      },
    };
    try {
      return await work(turn);
    } catch (error) {
      // if the transfer was ended for being slow, report that reason
      throw running.controller.signal.aborted && !signal.aborted ? running.controller.signal.reason : error;
    } finally {
      this.#running.delete(running);
      this.#serve();
    }
  }

  #turn(party: Party, signal: AbortSignal): Promise<Running> {
    signal.throwIfAborted();
    if (this.#waiting.length >= storageLimits.transfersWaiting) {
      fail(
        'exhausted',
        `wait for layer transfer: ${storageLimits.transfersWaiting} transfers are waiting already`,
        {
          retryable: true,
        },
      );
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
        this.#waiting = this.#waiting.filter((other) => other !== waiter);
        refuse(signal.reason as Error);
      });
      this.#waiting.push(waiter);
      this.#serve();
    });
  }

  #serve(): void {
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      const { party, grant } = next;
      const served = next;
      this.#waiting = this.#waiting.filter((other) => other !== served);
      const running: Running = {
        party,
        controller: new AbortController(),
        bytes: 0,
        sinceMs: this.#options.clock.monoMs(),
        localMs: 0,
        localSinceMs: undefined,
        isSlow: false,
      };
      this.#running.add(running);
      grant(running);
    }
    this.#watch();
  }

  /**
   * The waiting transfer to start next: among those that may start, the one whose party has the fewest running
   * transfers.
   */
  #next(): Waiter | undefined {
    const [slots, slotsPerHost] = [this.#options.slots(), this.#options.slotsPerHost()];
    const held = [...this.#running].filter(({ isSlow }) => !isSlow);
    const of = (all: readonly Running[], key: keyof Party, party: Party): number =>
      all.filter((one) => one.party[key] === party[key]).length;
    const all = [...this.#running];
    const own = ({ host, namespace }: Party): number =>
      all.filter(({ party }) => party.host === host && party.namespace === namespace).length;
    // slow transfers of the same namespace and registry count, too: more of them would only share the slow connection
    const may = this.#waiting.filter(
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
    // the sort is stable: of equals, the first in the queue wins
    return weighed.toSorted((one, other) => compare(one.weight, other.weight))[0]?.waiter;
  }

  /** Measures rates only while transfers are waiting. */
  #watch(): void {
    if (this.#waiting.length === 0 || this.#timer !== undefined) return;
    this.#timer = this.#options.clock.setTimeout(() => {
      this.#timer = undefined;
      this.#demote();
      this.#serve();
    }, storageLimits.transferCheckMs);
  }

  /** Marks slow transfers. Those that are fast again are unmarked first, which makes room among the slow ones. */
  #demote(): void {
    const measured = [...this.#running].flatMap((running) => this.#measure(running) ?? []);
    for (const { running, isSlow } of measured) if (!isSlow) running.isSlow = false;
    for (const { running, isSlow } of measured) {
      if (!isSlow || running.isSlow) continue;
      if (this.#slow().length < storageLimits.slowTransfers) running.isSlow = true;
      else this.#endOne();
    }
  }

  /**
   * Measures the rate since the last measurement; undefined if too little of that time was spent waiting for the
   * registry.
   */
  #measure(running: Running): { readonly running: Running; readonly isSlow: boolean } | undefined {
    const now = this.#options.clock.monoMs();
    const localMs = running.localMs + (running.localSinceMs === undefined ? 0 : now - running.localSinceMs);
    const waitedMs = now - running.sinceMs - localMs;
    // less than half of the period is not enough to judge the registry
    if (waitedMs * 2 < storageLimits.transferCheckMs) return undefined;
    const isSlow = running.bytes * 1000 < storageLimits.transferBytesPerSecond * waitedMs;
    Object.assign(running, {
      bytes: 0,
      sinceMs: now,
      localMs: 0,
      localSinceMs: running.localSinceMs === undefined ? undefined : now,
    });
    return { running, isSlow };
  }

  #slow(): readonly Running[] {
    return [...this.#running].filter(({ isSlow, controller }) => isSlow && !controller.signal.aborted);
  }

  /**
   * Ends a slow transfer of the namespace with most transfers, if a namespace with fewer is waiting. A namespace's
   * transfers are never ended for its own. The received bytes are kept, and the client retries.
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
      !this.#waiting.some(
        ({ party }) => party.namespace !== namespace && ofNamespace(party.namespace) < ofNamespace(namespace),
      )
    )
      return;
    const reason = `${host}: slower than ${storageLimits.transferBytesPerSecond} bytes per second while transfers of others wait`;
    most.controller.abort(new FaultError(fault('outside', reason, { retryable: true })));
  }
}

/**
 * Whether a transfer of this party may start beside those that hold a turn. Turns beyond a namespace's share count only
 * against itself: a namespace may use all turns while no other one waits, and others can still start at once, with at
 * most a quarter more turns in all.
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
