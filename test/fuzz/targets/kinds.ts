/** Targets with several parsers: the first byte of an input picks one, the rest is what it reads. */
import type { FaultKind } from '../../../src/base/fault.ts';
import type { Learner, Verdict } from '../target.ts';
import { expectRefusal } from '../target.ts';

export interface Kind {
  readonly name: string;
  readonly seeds: readonly (Uint8Array | string)[];
  /** Returns false for what the parser itself calls malformed; throws a Fault for a refusal. */
  run(input: Buffer): boolean | Promise<boolean>;
  /** As Learner.repair, for this kind's bytes. */
  repair?(input: Buffer): Buffer;
}

/** @param refusals kinds of faults that are answers */
export function learnerOf(
  kinds: readonly Kind[],
  refusals: readonly FaultKind[],
  dictionary: readonly string[] = [],
): Learner {
  const kindOf = (input: Buffer): Kind =>
    kinds[(input[0] ?? 0) % kinds.length] ?? { name: 'none', seeds: [], run: () => false };
  return {
    dictionary,
    seeds: () =>
      kinds.flatMap(({ name, seeds }, at) =>
        seeds.map((seed, number) => ({
          name: `${name}-${number}`,
          bytes: Buffer.concat([Buffer.from([at]), Buffer.from(seed)]),
        })),
      ),
    repair: (input) => {
      const { repair } = kindOf(input);
      return repair === undefined || input.length === 0
        ? input
        : Buffer.concat([input.subarray(0, 1), repair(input.subarray(1))]);
    },
    run: async (input): Promise<Verdict> => {
      try {
        return (await kindOf(input).run(input.subarray(1))) ? 'accepted' : 'refused';
      } catch (error) {
        return expectRefusal(error, refusals);
      }
    },
  };
}
