/** PullImage. */
import { encodePlain } from '../../base/codec.ts';
import { fault, fail, FaultError, toFault } from '../../base/fault.ts';
import type { ImageId } from '../../base/ids.ts';
import { actorLimits } from '../bounds.ts';
import { askPull } from '../directory/ask.ts';
import type { Call, Outcome } from '../directory/ask.ts';
import type { PullAddress, PullInput } from '../image-pull/image-pull.context.ts';
import type { DepositedAuth, PullAuth, RegistryAuth } from '../../ports/images.ts';
import type { ImageStage, Waiters } from './image-stage.ts';

export interface PullRequest extends Pick<PullInput, 'reference' | 'namespace'> {
  /** Undefined for a request without credentials. */
  readonly auth: RegistryAuth | undefined;
}

export interface Pulled {
  readonly imageId: ImageId;
}

/** The full reference to pull. A short name with several meanings stays as it is, and the pull tries them all. */
function wanted({ ports }: ImageStage, reference: string): string {
  try {
    const [only = reference, ...others] = ports.images.candidates(reference);
    return others.length === 0 ? only : reference;
  } catch (thrown) {
    // prefixed with the request's field, as every invalid field is
    throw new FaultError(toFault(thrown, 'PullImage: image.image'));
  }
}

/**
 * Pulls an image, or joins the pull of the same reference with the same credentials for the same namespace. A pull also
 * shares the layer downloads of other pulls while those are fast enough (S90). The download ends when the last caller
 * has gone or its deadline has passed (F65).
 */
export async function pullImage(
  stage: ImageStage,
  { reference, auth: brought, namespace }: PullRequest,
  call: Call,
): Promise<Pulled> {
  const asked = wanted(stage, reference);
  const attempted = `PullImage ${asked}`;
  // taking the credentials that were deposited for one pull uses them up, so a call that is refused must not take them.
  // A call that may join a pull is not checked here: which one it joins depends on the credentials
  if (!mayJoin(stage, asked, namespace)) demandRoom(stage, attempted, namespace);
  const deposited = await leftCredentials(stage, { reference, auth: brought, namespace }, attempted, call);
  const auth: PullAuth | undefined =
    brought === undefined && deposited.length === 0 ? undefined : { brought, deposited };
  // the key contains the credentials: a caller with different ones must not join this pull
  const key = encodePlain([asked, auth, namespace, stage.ports.policy.scope(namespace)]);
  const waiters =
    stage.pulls.get(key) ??
    begin(stage, { key, reference: asked, auth, namespace, attempted, cause: call.cause });
  waiters.count += 1;
  const leave = (): void => {
    waiters.count -= 1;
    if (waiters.count > 0) return;
    if (stage.pulls.get(key) === waiters) stage.pulls.delete(key);
    stage.directory.send(waiters.address, { type: 'pull.abandon' });
  };
  const answer = askPull<Pulled>(stage, call, {
    address: waiters.address,
    attempted,
    answer: (view, gone): Outcome<Pulled> | undefined => {
      if (!gone) return undefined;
      if (view?.present === true) return { ok: { imageId: view.imageId as ImageId } };
      const why = view?.fault ?? fault('bug', 'the pull ended without a result');
      return { fault: { ...why, message: `${attempted}: ${why.message}` } };
    },
  });
  return answer.then(
    (pulled) => {
      leave();
      return pulled;
    },
    (thrown: unknown) => {
      leave();
      throw thrown;
    },
  );
}

/** Whether a pull of the reference is under way for the namespace, with any credentials. */
function mayJoin({ pulls }: ImageStage, reference: string, namespace: string): boolean {
  return [...pulls.values()].some((pull) => pull.reference === reference && pull.namespace === namespace);
}

/**
 * Also for a request with credentials, as in CRI-O: what was left is for this pull alone, and may be for its mirrors,
 * which the request's credentials are not for.
 */
async function leftCredentials(
  { ports, activity }: ImageStage,
  { reference, auth: brought, namespace }: PullRequest,
  attempted: string,
  call: Call,
): Promise<readonly DepositedAuth[]> {
  if (namespace === '') return [];
  try {
    return await activity.runForCall(
      call,
      { attempted, owner: 'images', effect: 'credentials', timeoutMs: actorLimits.hostMs },
      (fx) => ports.images.takeCredentials({ reference, namespace }, fx),
    );
  } catch (thrown) {
    if (brought === undefined || call.signal.aborted) throw thrown;
    ports.log.warn(
      { reference, namespace, reason: toFault(thrown).message },
      'pull with the credentials of the request alone: those left on the node cannot be used',
    );
    return [];
  }
}

interface PullToBegin extends Omit<PullInput, 'owner'> {
  readonly key: string;
  readonly attempted: string;
}

/** Throws `exhausted` when the limit of pulls is reached, in total or for the namespace. */
function demandRoom(stage: ImageStage, attempted: string, namespace: string): void {
  if (stage.pulls.size >= actorLimits.pullsMax) {
    fail('exhausted', `${attempted}: ${actorLimits.pullsMax} pulls are under way`);
  }
  const ofNamespace = [...stage.pulls.values()].filter((pull) => pull.namespace === namespace).length;
  if (ofNamespace >= actorLimits.pullsPerNamespace) {
    fail(
      'exhausted',
      `${attempted}: ${ofNamespace} pulls are under way for the namespace ${JSON.stringify(namespace)}`,
      { retryable: true },
    );
  }
}

function begin(stage: ImageStage, { key, attempted, ...input }: PullToBegin): Waiters {
  demandRoom(stage, attempted, input.namespace);
  const address: PullAddress = `pull/${stage.ports.random.token(8)}`;
  const { reference, namespace } = input;
  const waiters: Waiters = { address, reference, namespace, count: 0 };
  stage.pulls.set(key, waiters);
  const unlisten = stage.directory.listen(address, (_view, gone) => {
    if (!gone) return;
    unlisten();
    stage.progress.forget(address);
    if (stage.pulls.get(key) === waiters) stage.pulls.delete(key);
  });
  stage.startPull({ owner: address, ...input });
  return waiters;
}
