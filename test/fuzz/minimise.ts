/** A failing input made smaller: runs of bytes are left out as long as it still fails, in ever smaller runs. */

const MOST_TRIES = 400;

/** @param fails says whether the input still shows the failure */
export async function minimise(input: Buffer, fails: (input: Buffer) => Promise<boolean>): Promise<Buffer> {
  let best = input;
  let tries = 0;
  for (
    let run = 2 ** Math.floor(Math.log2(Math.max(1, input.length)));
    run >= 1 && tries < MOST_TRIES;
    run = Math.floor(run / 2)
  ) {
    for (let at = 0; at < best.length && tries < MOST_TRIES;) {
      const shorter = Buffer.concat([best.subarray(0, at), best.subarray(at + run)]);
      tries += 1;
      if (await fails(shorter)) best = shorter;
      else at += run;
    }
  }
  return best;
}
