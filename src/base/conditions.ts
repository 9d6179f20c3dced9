/**
 * Degradations: debris that the daemon can't delete, a file of the node that it can't use, a part that did not start.
 * Status, `troupe status`, metrics and log show this one list, so that they agree. It is kept in memory: reporters
 * check again after a restart.
 */
import { conditionLimits } from './bounds.ts';
import type { Log } from './log.ts';
import { withoutUnsafe } from './shown-text.ts';

/** Condition types as Status lists them (true is good, as in Kubernetes), and the reason of each while it is false. */
export const CONDITION_REASONS = {
  /** Everything that pods, images and earlier boots left has been deleted. */
  DebrisRemoved: 'DebrisLeft',
  /** All files of the node that others own (registries.conf, policy.json, CDI, hooks, CNI) could be used completely. */
  NodeFilesUsable: 'NodeFileRefused',
  /** Pods of troupe's own network reach addresses outside of it: their masquerade rules exist. */
  PodsMasqueraded: 'MasqueradeMissing',
  /** The disk usage of all containers could be counted completely: no figure is a lower bound. */
  UsageCounted: 'UsageIsLowerBound',
  /** All optional parts of the daemon (code cache, page, NRI, traces) started. */
  PartsStarted: 'PartFailed',
  /** The journal's disk and writer, and the thread for the kernel's objects, answer in time. */
  PartsAnswer: 'PartSilent',
} as const;

export type ConditionType = keyof typeof CONDITION_REASONS;

export const CONDITION_TYPES = Object.keys(CONDITION_REASONS) as readonly ConditionType[];

/** One degradation. */
export interface Degradation {
  readonly type: ConditionType;
  /** A path, or the name of a part; type and subject are the key. */
  readonly subject: string;
  /** Why, without the subject. */
  readonly reason: string;
}

/** Of a configuration that a reload has refused (F32), in Status and in `troupe status`. */
export const RELOAD_REFUSED = { type: 'ConfigurationReloaded', reason: 'ConfigurationRefused' } as const;

/** A condition that is false, ready to be shown. */
export interface FalseCondition {
  readonly type: ConditionType;
  /** CamelCase, as Status requires. */
  readonly reason: string;
  /** `subject: reason` of the first few, and the number of the others. */
  readonly message: string;
  /** Number of subjects; a lower bound if the list is full. */
  readonly count: number;
}

interface Held {
  readonly bySubject: Map<string, string>;
  /** There are more than the bound: they are listed when another one was cleared and their reporter checks again. */
  hasMore: boolean;
}

export class Conditions {
  readonly #log: Log;
  readonly #held = new Map<ConditionType, Held>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** Adds or replaces the degradation of a subject. Logs each new reason; a repeated report is not logged. */
  report({ type, subject, reason }: Degradation): void {
    const held = this.#heldOf(type);
    const text = reason.slice(0, conditionLimits.reasonChars);
    const before = held.bySubject.get(subject);
    if (before === text) return;
    if (before === undefined && held.bySubject.size >= conditionLimits.subjects) {
      held.hasMore = true;
      return;
    }
    held.bySubject.set(subject, text);
    this.#log.warn({ condition: type, subject, reason: text }, 'degraded');
  }

  /** Removes the degradation of a subject that works again or was removed. Not logged if nothing was reported. */
  clear(type: ConditionType, subject: string): void {
    const held = this.#held.get(type);
    if (held === undefined || !held.bySubject.delete(subject)) return;
    held.hasMore = false;
    if (held.bySubject.size === 0) this.#held.delete(type);
    this.#log.info({ condition: type, subject }, 'no longer degraded');
  }

  /** Replaces all of one type: for reporters that check the whole set each time. */
  replace(type: ConditionType, now: ReadonlyMap<string, string>): void {
    const held = this.#held.get(type);
    // those beyond the bound are reported again if they are still degraded
    if (held !== undefined) held.hasMore = false;
    for (const subject of [...(held?.bySubject.keys() ?? [])])
      if (!now.has(subject)) this.clear(type, subject);
    for (const [subject, reason] of now) this.report({ type, subject, reason });
  }

  /** Every degradation, in the order of the first report. */
  all(): readonly Degradation[] {
    return [...this.#held].flatMap(([type, { bySubject }]) =>
      [...bySubject].map(([subject, reason]) => ({ type, subject, reason })),
    );
  }

  /** The conditions that are false, one for each type. */
  listFalse(): readonly FalseCondition[] {
    return [...this.#held].map(([type, { bySubject, hasMore }]) => {
      const count = bySubject.size + (hasMore ? 1 : 0);
      const shown = [...bySubject]
        .slice(0, conditionLimits.shown)
        .map(([subject, reason]) => withoutUnsafe(`${subject}: ${reason}`.toWellFormed()));
      const more = count - shown.length;
      const message = [...shown, ...(more > 0 ? [`and ${hasMore ? 'at least ' : ''}${more} more`] : [])].join(
        '; ',
      );
      return { type, reason: CONDITION_REASONS[type], message, count };
    });
  }

  #heldOf(type: ConditionType): Held {
    const known = this.#held.get(type);
    if (known !== undefined) return known;
    const made: Held = { bySubject: new Map(), hasMore: false };
    this.#held.set(type, made);
    return made;
  }
}
