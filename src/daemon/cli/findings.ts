/** A finding of `troupe check`: a broken invariant, and what `--repair` could remove. */
import type { SandboxId } from '../../base/ids.ts';
import type { NatRule } from './machine-network.ts';
import type { SeenCgroup, SeenProcess } from './machine.ts';

/** The invariants that can be checked from outside; docs/operations.md says what each means. */
export const CHECKED = ['I1', 'I2', 'I3', 'I4', 'I5', 'I6', 'I8', 'I10', 'I14', 'I15'] as const;
export type Invariant = (typeof CHECKED)[number];

/** The invariants that need a client's history or an earlier baseline: only tests check them. */
export const NOT_CHECKED = ['I7', 'I9', 'I11', 'I12', 'I13', 'I16'] as const;

/** An object without a record, by how it is removed. */
export type Leak =
  | { readonly kind: 'process'; readonly process: SeenProcess }
  | { readonly kind: 'cgroup'; readonly cgroup: SeenCgroup }
  | { readonly kind: 'attachment'; readonly id: SandboxId }
  | { readonly kind: 'rules'; readonly rule: NatRule }
  | { readonly kind: 'masquerade'; readonly bridge: string }
  | { readonly kind: 'bridge'; readonly bridge: string }
  | { readonly kind: 'mount'; readonly path: string }
  | { readonly kind: 'pins'; readonly path: string }
  | { readonly kind: 'files'; readonly path: string };

export const LEAK_ORDER: readonly Leak['kind'][] = [
  'process',
  'cgroup',
  'attachment',
  'rules',
  'masquerade',
  'bridge',
  'mount',
  'pins',
  'files',
];

export interface Finding {
  readonly invariant: Invariant;
  /** A path, a process, a name. */
  readonly object: string;
  /** The id in its mark; empty if it has none. */
  readonly id: string;
  readonly message: string;
  /** What `--repair` removes; undefined if nothing may be removed. */
  readonly leak?: Leak;
}

/** Equal for the same finding in two comparisons. */
export function keyOf(finding: Finding): string {
  return `${finding.invariant} ${finding.object} ${finding.message}`;
}
