/** RestorePod makes a pod whole, or removes it. */
import type { Call } from '../../actors/directory/ask.ts';
import { FaultError, restated, toFault } from '../../base/fault.ts';
import type { SandboxId } from '../../base/ids.ts';
import type { SandboxSpec } from '../../ports/specs.ts';
import type { ServiceOptions } from '../call/service-options.ts';

type PodTroupe = ServiceOptions['troupe'];

/** A pod that calls are at work on. */
interface Attempt {
  calls: number;
  /** One of these calls has made the pod. */
  isOurs: boolean;
  /** A client has got its id. */
  isReturned: boolean;
}

/** The pods that are being restored by one daemon. */
export class RestoredPods {
  readonly #attempts = new Map<SandboxId, Attempt>();

  /**
   * Makes the pod, or joins the one of this name, and then `make`s what belongs into it. If that fails, the last call
   * at work on the pod removes it: but only a pod that one of these calls has made, and whose id no client has got. A
   * call that is repeated has no second effect (I13), whatever became of the first one.
   */
  async restore<T>(
    troupe: Pick<PodTroupe, 'runSandbox' | 'removeSandbox' | 'directory'>,
    spec: SandboxSpec,
    call: Call,
    make: (id: SandboxId) => Promise<T>,
  ): Promise<T> {
    const before = new Set(troupe.directory.sandboxesByName(spec.key).map(({ id }) => id));
    const id = await troupe.runSandbox(spec, call);
    const attempt = this.#attempts.get(id) ?? { calls: 0, isOurs: false, isReturned: false };
    this.#attempts.set(id, attempt);
    attempt.calls += 1;
    attempt.isOurs ||= !before.has(id);
    try {
      const made = await make(id);
      attempt.isReturned = true;
      return made;
    } catch (error) {
      // the caller may have gone, and others may be at work
      if (attempt.calls > 1 || !attempt.isOurs || attempt.isReturned) throw error;
      return await removeAndThrow(troupe, id, error, call);
    } finally {
      attempt.calls -= 1;
      if (attempt.calls === 0) this.#attempts.delete(id);
    }
  }
}

/**
 * Removes the pod and rethrows. It does not depend on the caller, who may have gone; each step of a removal has its own
 * timeout.
 */
async function removeAndThrow(
  troupe: Pick<PodTroupe, 'removeSandbox'>,
  id: SandboxId,
  thrown: unknown,
  { cause }: Pick<Call, 'cause'>,
): Promise<never> {
  try {
    await troupe.removeSandbox(id, {
      cause,
      signal: new AbortController().signal,
      deadlineMonoMs: undefined,
    });
  } catch (error) {
    const [why, removal] = [toFault(thrown), toFault(error)];
    const { kind, subject, retryable } = why;
    const message = `${why.message}; remove pod ${id}: ${removal.message}`;
    throw new FaultError(restated(kind, message, removal, { subject, retryable, cause: why }));
  }
  throw thrown;
}
