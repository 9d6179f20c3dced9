// What a scenario answers.
import type { Remains, Stage } from './stage.ts';

export interface Outcome {
  readonly note?: string;
  readonly remains: readonly Remains[];
}

export const over = async (stage: Stage, name: string, note?: string): Promise<Outcome> => ({
  ...(note === undefined ? {} : { note }),
  remains: [await stage.withdraw(name)],
});
