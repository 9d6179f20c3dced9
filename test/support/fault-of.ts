/**
 * What a call refuses: as the Fault, or in words. Of what is no Fault, a test that asked for one fails with the error
 * itself.
 */
import { FaultError } from '../../src/base/fault.ts';
import type { Fault } from '../../src/base/fault.ts';

function faultIn(thrown: unknown): Fault {
  if (thrown instanceof FaultError) return thrown.fault;
  throw thrown;
}

/** The Fault that a call throws. */
export function faultBy(work: () => unknown): Fault {
  try {
    work();
  } catch (error) {
    return faultIn(error);
  }
  throw new Error('nothing was refused');
}

/** The Fault that a promise rejects with. */
export async function faultOf(work: Promise<unknown>): Promise<Fault> {
  try {
    await work;
  } catch (error) {
    return faultIn(error);
  }
  throw new Error('nothing was refused');
}

/** `<kind>: <message>` of what a call throws; `accepted` when it returns. */
export function refusalBy(work: () => unknown): string {
  try {
    work();
    return 'accepted';
  } catch (error) {
    return worded(faultIn(error));
  }
}

/** The same of a promise. */
export async function refusalOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'accepted';
  } catch (error) {
    return worded(faultIn(error));
  }
}

function worded({ kind, message }: Fault): string {
  return `${kind}: ${message}`;
}
