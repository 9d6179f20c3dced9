/** How a suite is put together: its cases are run on a stage of their own each, which whoever has a driver brings. */
import { afterEach, beforeEach, describe } from 'vitest';

/** A list of cases; `of` gives the stage of the one that runs. */
export type Cases<S> = (of: () => S) => void;

/** For a list that stands in a file of its own. */
export const describeCases = <S>(cases: Cases<S>): Cases<S> => cases;

/** The suite of a port; its caller gives the name of the driver and a fresh stage for each case. */
export function describeSuite<S extends { close(): Promise<void> }>(
  port: string,
  ...all: readonly Cases<S>[]
): (name: string, make: () => Promise<S>) => void {
  return (name, make) => {
    describe(`${port} conformance: ${name}`, () => {
      let stage: S;
      beforeEach(async () => {
        stage = await make();
      });
      afterEach(() => stage.close());
      for (const cases of all) cases(() => stage);
    });
  };
}
