/**
 * What the daemon works without: debris that it can't delete, a file of the node that it can't use. One list for all who
 * show it (Status, `troupe status`, metrics, log), so that they agree. Kept in memory: whoever reports polls again after
 * a restart.
 */
import { conditionLimits } from './bounds.ts';
import type { Log } from './log.ts';
import { withoutUnsafe } from './shown-text.ts';

/** Condition types as Status lists them, positive as the field's are, and the reason that each gives while it is false. */
export const CONDITION_REASONS = {
  /** Everything that pods, images and earlier boots left has been deleted. */
  DebrisRemoved: 'DebrisLeft',
  /** All files of the node that belong to others (registries.conf, policy.json, CDI, hooks, CNI) could be used whole. */
  NodeFilesUsable: 'NodeFileRefused',
  /** What containers wrote could be counted whole: no figure of their use of the disk is a lower bound. */
  UsageCounted: 'UsageIsLowerBound',
  /** All optional parts of the daemon (code cache, page, NRI, traces) came up. */
  PartsStarted: 'PartFailed',
} as const;

export type ConditionType = keyof typeof CONDITION_REASONS;

export const CONDITION_TYPES = Object.keys(CONDITION_REASONS) as readonly ConditionType[];

/** One thing that is not as it should be. */
export interface Degradation {
  readonly type: ConditionType;
  /** A path, or the name of a part; with the type it is the key. */
  readonly subject: string;
  /** Why, in words, without the subject. */
  readonly reason: string;
}

/** A condition that is false, ready to be shown. */
export interface FalseCondition {
  readonly type: ConditionType;
  /** CamelCase, as Status wants it. */
  readonly reason: string;
  /** `subject: reason` of the first few, and how many more there are. */
  readonly message: string;
  /** How many subjects; at least as many where the list is full. */
  readonly count: number;
}

interface Held {
  readonly bySubject: Map<string, string>;
  /** There are more than the bound: they are named once something is cleared and their reporter polls again. */
  hasMore: boolean;
}

export class Conditions {
  readonly #log: Log;
  readonly #held = new Map<ConditionType, Held>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** Sets or replaces what is known of the subject. One log line for each new reason; a repeated report is silent. */
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

  /** The subject is as it should be again, or gone. Silent where nothing was reported. */
  clear(type: ConditionType, subject: string): void {
    const held = this.#held.get(type);
    if (held === undefined || !held.bySubject.delete(subject)) return;
    held.hasMore = false;
    if (held.bySubject.size === 0) this.#held.delete(type);
    this.#log.info({ condition: type, subject }, 'no longer degraded');
  }

  /** Replaces all of one type: for reporters that poll the whole set each time. */
  replace(type: ConditionType, now: ReadonlyMap<string, string>): void {
    const held = this.#held.get(type);
    // those beyond the bound are reported again where they are still bad
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
