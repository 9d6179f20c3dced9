/** What `troupe check` says of one broken invariant, and what could be done about it. */
import type { SandboxId } from '../../base/ids.ts';
import type { Rule } from './machine-network.ts';
import type { SeenCgroup, SeenProcess } from './machine.ts';

/** The invariants that can be looked at from outside; docs/operations.md says what each means. */
export const LOOKED_AT = ['I1', 'I2', 'I3', 'I4', 'I5', 'I6', 'I8', 'I10', 'I14', 'I15'] as const;
export type Invariant = (typeof LOOKED_AT)[number];

/** Those that need a client's history or a baseline from before: tests look at them. */
export const NOT_LOOKED_AT = ['I7', 'I9', 'I11', 'I12', 'I13', 'I16'] as const;

/** Something that belongs to no record, and how it goes away. In the order in which they are to go. */
export type Leak =
  | { readonly kind: 'process'; readonly process: SeenProcess }
  | { readonly kind: 'cgroup'; readonly cgroup: SeenCgroup }
  | { readonly kind: 'attachment'; readonly id: SandboxId }
  | { readonly kind: 'rules'; readonly rule: Rule }
  | { readonly kind: 'mount'; readonly path: string }
  | { readonly kind: 'pins'; readonly path: string }
  | { readonly kind: 'files'; readonly path: string };

export const LEAK_ORDER: readonly Leak['kind'][] = [
  'process',
  'cgroup',
  'attachment',
  'rules',
  'mount',
  'pins',
  'files',
];

export interface Finding {
  readonly invariant: Invariant;
  /** A path, a process, a name. */
  readonly object: string;
  /** Whose it is or was, by its mark; empty when nothing tells. */
  readonly id: string;
  readonly message: string;
  /** What `--repair` takes away; undefined where nothing is to be taken away. */
  readonly leak?: Leak;
}

/** The same finding in two looks. */
export function keyOf(finding: Finding): string {
  return `${finding.invariant} ${finding.object} ${finding.message}`;
}
