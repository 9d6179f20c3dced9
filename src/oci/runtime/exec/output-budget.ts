/**
 * Limits the memory that the output of execs takes (F74). Each exec may keep `driverLimits.execFreeBytes` without
 * asking. To keep more it needs one of a few slots, each large enough for the largest output of an exec. While an
 * exec waits for a slot its pipes are not read, so the command blocks in write(2), as with any slow reader. A slot is
 * granted whole: two execs with half a slot each could deadlock.
 * The command decides how long it runs, so one tenant's command could hold a slot for ever. Therefore a namespace may
 * hold only some of the slots, the next slot goes to the namespace that holds the fewest, and a slot held longer than
 * `driverLimits.execOutputSlotHeldMs` is revoked when another namespace waits (S85): the output is cut to
 * `execFreeBytes`, the rest is dropped as if beyond the largest output, and the command runs on. It is not killed,
 * since it may be a lifecycle hook, whose failure kills its container.
 */
import type { ClockPort, TimerHandle } from '../../../ports/clock.ts';
import { onAbort } from '../../../base/abort.ts';
import type { ContainerId } from '../../../base/ids.ts';
import { driverLimits } from '../bounds.ts';
import type { Log } from '../../../base/log.ts';
import { realClock } from '../../../host/clock/clock.ts';

const CUT_MESSAGE = `cut output of exec to ${driverLimits.execFreeBytes} bytes: another namespace needed its memory`;

/** One exec's request for a slot. */
interface SlotRequest {
  readonly namespace: string;
  /** False once the command has exited: from then on the slot is held only until the client has read the answer. */
  readonly isRevocable: boolean;
  granted(): void;
  /** Must cut the kept output before it returns: the slot then belongs to the next request. */
  revoked(): void;
}

interface Tenant {
  held: number;
  /** Serial number of the latest grant over all namespaces: the lowest was served longest ago. */
  lastGrant: number;
  /** In the order of the requests. */
  readonly waiting: Set<SlotRequest>;
}

/** The output slots of the daemon process. */
export class OutputBudget {
  readonly #slots: number;
  readonly #clock: ClockPort;
  /** Namespaces that hold slots or wait for one. */
  readonly #tenants = new Map<string, Tenant>();
  /** Granted slots with the time of the grant in monotonic ms, the earliest first. */
  readonly #held = new Map<SlotRequest, number>();
  #grants = 0;
  /** Set while every slot is held and a namespace below its share waits. */
  #timer: TimerHandle | undefined;

  constructor(slots: number, clock: ClockPort) {
    this.#slots = slots;
    this.#clock = clock;
  }

  /** Calls `granted` when a slot is free, possibly before returning. */
  ask(request: SlotRequest): void {
    const tenant = this.#tenants.get(request.namespace) ?? { held: 0, lastGrant: -1, waiting: new Set() };
    this.#tenants.set(request.namespace, tenant);
    tenant.waiting.add(request);
    this.#assign();
  }

  /** Frees the slot, or withdraws the request. Repeatable. */
  leave(request: SlotRequest): void {
    this.#forget(request);
    this.#assign();
  }

  #forget(request: SlotRequest): void {
    const tenant = this.#tenants.get(request.namespace);
    if (tenant === undefined) return;
    if (this.#held.delete(request)) tenant.held -= 1;
    else tenant.waiting.delete(request);
    if (tenant.held === 0 && tenant.waiting.size === 0) this.#tenants.delete(request.namespace);
  }

  #assign(): void {
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      if (this.#held.size >= this.#slots && !this.#revokeFor(next)) return;
      this.#grant(next);
    }
  }

  /**
   * The namespace that gets the next slot: of those below their share the one that holds the fewest, then the one
   * served longest ago.
   */
  #next(): Tenant | undefined {
    let best: Tenant | undefined;
    for (const one of this.#tenants.values()) {
      if (one.waiting.size === 0 || one.held >= driverLimits.execOutputSlotsPerNamespace) continue;
      if (
        best === undefined ||
        one.held < best.held ||
        (one.held === best.held && one.lastGrant < best.lastGrant)
      )
        best = one;
    }
    return best;
  }

  #grant(tenant: Tenant): void {
    const [request] = tenant.waiting;
    if (request === undefined) return;
    tenant.waiting.delete(request);
    tenant.held += 1;
    tenant.lastGrant = this.#grants;
    this.#grants += 1;
    this.#held.set(request, this.#clock.monoMs());
    request.granted();
  }

  /** Revokes a slot for this namespace; where none has been held long enough, sets the timer for the next attempt. */
  #revokeFor(waiting: Tenant): boolean {
    const now = this.#clock.monoMs();
    let victim: SlotRequest | undefined;
    let most = 0;
    let soonestMs = Infinity;
    for (const [request, sinceMs] of this.#held) {
      const held = this.#tenants.get(request.namespace)?.held ?? 0;
      // after losing a slot, the victim's namespace must still hold at least as many as the waiting one will
      if (!request.isRevocable || held - waiting.held < (waiting.held === 0 ? 1 : 2)) continue;
      const leftMs = sinceMs + driverLimits.execOutputSlotHeldMs - now;
      if (leftMs > 0) soonestMs = Math.min(soonestMs, leftMs);
      else if (held > most) [victim, most] = [request, held];
    }
    if (victim === undefined) {
      if (soonestMs < Infinity) this.#timer = this.#clock.setTimeout(() => this.#assign(), soonestMs);
      return false;
    }
    this.#forget(victim);
    victim.revoked();
    return true;
  }
}

/** One exec's request, for both of its outputs. */
export class OutputSlot implements SlotRequest {
  readonly namespace: string;
  readonly #budget: OutputBudget;
  readonly #onCut: (() => void)[] = [];
  #asked: PromiseWithResolvers<void> | undefined;
  #isOver = false;
  /** Each output may keep up to `driverLimits.execOutputBytes`. */
  isGranted = false;
  /** The slot was revoked: each output keeps `driverLimits.execFreeBytes` and drops the rest. */
  isCut = false;
  isRevocable = true;

  constructor(namespace: string, budget: OutputBudget = processBudget) {
    this.namespace = namespace;
    this.#budget = budget;
  }

  get isWaiting(): boolean {
    return this.#asked !== undefined && !this.isGranted && !this.isCut;
  }

  /**
   * Registers `cut`, called when the slot is revoked. It must free the memory before it returns, and must not throw.
   */
  onCut(cut: () => void): void {
    this.#onCut.push(cut);
  }

  /** Settles once the slot is granted; never settles after `release`. */
  ask(): Promise<void> {
    if (this.#asked === undefined) {
      this.#asked = Promise.withResolvers<void>();
      if (!this.#isOver) this.#budget.ask(this);
    }
    return this.#asked.promise;
  }

  granted(): void {
    this.isGranted = true;
    this.#asked?.resolve();
  }

  revoked(): void {
    this.#isOver = true;
    this.isGranted = false;
    this.isCut = true;
    for (const cut of this.#onCut) cut();
  }

  /** The command has exited. Its output is complete within a bounded time, so the slot is not revoked any more. */
  ended(): void {
    this.isRevocable = false;
  }

  /** Frees the slot: the output is not used any more. Repeatable; call it for every request. */
  release(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#budget.leave(this);
  }

  /** Frees the slot when `over` aborts, that is when the answer has been sent; at once when there is no signal. */
  releaseWhen(over: AbortSignal | undefined): void {
    this.isRevocable = false;
    if (over === undefined) this.release();
    else onAbort(over, () => this.release());
  }
}

export interface SlotUse {
  readonly id: ContainerId;
  readonly namespace: string;
  /** See `RuntimePort.execSync`. */
  readonly over?: AbortSignal | undefined;
}

/** Runs an exec whose output is kept in a slot. The slot is freed when the answer has been sent. */
export async function withOutputSlot<T>(
  { id, namespace, over }: SlotUse,
  log: Log,
  run: (slot: OutputSlot) => Promise<T>,
  budget?: OutputBudget,
): Promise<T> {
  const slot = new OutputSlot(namespace, budget);
  slot.onCut(() => log.warn({ id, namespace }, CUT_MESSAGE));
  let isKept = false;
  try {
    const result = await run(slot);
    isKept = true;
    return result;
  } finally {
    slot.releaseWhen(isKept ? over : undefined);
  }
}

/** One budget per process, since memory is per process: all drivers and shims share it. */
const processBudget = new OutputBudget(driverLimits.execOutputSlots, realClock());
