/**
 * What a thing to be fuzzed says of itself. An input is bytes, whatever they mean, so that all can be stored and made
 * smaller.
 */
import type { Random } from '../sim/random.ts';
import { FaultError } from '../../src/base/fault.ts';
import type { FaultKind } from '../../src/base/fault.ts';

export type Verdict = 'accepted' | 'refused';

/** Where the cases of one target run; one at a time. */
export interface Stage {
  /** Throws when something is wrong with the program, and says what; a refusal is an answer like any other. */
  run(input: Buffer): Promise<Verdict>;
  close(): Promise<void>;
}

export interface Target {
  readonly name: TargetName;
  /**
   * MiB of resident memory above which the process counts as without bounds: what it has when idle, and what one input
   * may cost.
   */
  readonly rssMiB: number;
  /** It makes devices and owners, and gets a mount namespace of its own with an empty tmpfs at `stageDirectory`. */
  readonly needsRoot: boolean;
  /** Inputs to begin with where the directory of the corpus holds none; small. */
  seeds(): readonly { readonly name: string; readonly bytes: Buffer }[];
  /** An input of the corpus changed, or one made from nothing. Says the same for the same draws. */
  make(random: Random, corpus: readonly Buffer[]): Buffer;
  open(): Promise<Stage>;
}

/** A target that a learning run drives: in one process, thousands of times a second, with coverage of its sources. */
export interface Learner {
  /** Inputs to begin with where the corpus holds none; small. */
  seeds(): readonly { readonly name: string; readonly bytes: Buffer }[];
  /** Words of the format, beside the literals of its sources. */
  readonly dictionary?: readonly string[];
  /** An input of the corpus changed by the format's own structure; the second one is another of the corpus. */
  make?(random: Random, corpus: readonly Buffer[]): Buffer;
  /** Sums and lengths made right again, so that a change gets past the first check. */
  repair?(input: Buffer): Buffer;
  /** As Stage.run. Leaves nothing behind that the next execution could meet. */
  run(input: Buffer): Verdict | Promise<Verdict>;
}

/**
 * The same in every run, so that inputs can name it: what is mounted there is seen by one process only. The empty
 * directory stays afterwards, since its removal would take the mount from a run beside.
 */
export const stageDirectory = '/tmp/troupe-fuzz';

export const targetNames = ['unpack', 'manifest', 'reference', 'registry'] as const;
export type TargetName = (typeof targetNames)[number];

/** Words of the engine's own errors: a Fault that carries them stands for a mistake of ours, whatever its kind. */
export const MISTAKES =
  /is not a function|Cannot read properties|Maximum call stack|out of range|argument must be|is not iterable|Invalid array length|Invalid string length|is not defined|Cannot set properties/u;

/** Passes when it is a Fault of one of these kinds in words of ours; throws the mistake otherwise. */
export function expectRefusal(error: unknown, kinds: readonly FaultKind[]): Verdict {
  if (!(error instanceof FaultError)) throw error;
  const { kind, message } = error.fault;
  if (!kinds.includes(kind)) throw new Error(`a fault of the kind ${kind}: ${message}`, { cause: error });
  if (MISTAKES.test(message))
    throw new Error(`a mistake of ours in the form of a fault: ${message}`, { cause: error });
  return 'refused';
}

/** Throws with these words. */
export function violated(what: string): never {
  throw new Error(what);
}
