/** Decides whether an image's signatures meet the requirements of a policy. */
import type { ClockPort } from '../../../ports/clock.ts';
import { FaultError } from '../../../base/fault.ts';
import { signatureLimits } from '../bounds.ts';
import type { Gpgv } from './gpgv.ts';
import { identityMatches } from './identity.ts';
import { bytesOf } from './keys.ts';
import { parsePayload, payloadTypes } from './payload.ts';
import type { Requirement, SignedBy, SigstoreSigned } from './policy.ts';
import { openSigstore, trustOf } from './sigstore.ts';
import type { Signature, Subject } from './signature.ts';

export interface Tools {
  readonly gpgv: Pick<Gpgv, 'open'>;
  readonly clock: ClockPort;
  readonly signal: AbortSignal;
}

/** The decision if it does not depend on signatures, else `undecided`. */
export function decidedBy(
  requirements: readonly Requirement[],
): 'accepted' | 'undecided' | { readonly refusal: string } {
  const refused = requirements.find((one) => one.type === 'reject');
  if (refused?.type === 'reject')
    return { refusal: refused.reason === '' ? 'the policy rejects the image' : refused.reason };
  return requirements.every((one) => one.type === 'insecureAcceptAnything') ? 'accepted' : 'undecided';
}

/**
 * Why the image is refused; undefined if each requirement is met by a signature.
 * @throws FaultError `invalidRequest` if a key of the policy cannot be used, which is not the image's fault
 */
export async function refusalOf(
  requirements: readonly Requirement[],
  subject: Subject,
  signatures: readonly Signature[],
  tools: Tools,
): Promise<string | undefined> {
  for (const requirement of requirements) {
    if (requirement.type === 'insecureAcceptAnything') continue;
    if (requirement.type === 'reject')
      return requirement.reason === '' ? 'the policy rejects the image' : requirement.reason;
    const reason =
      requirement.type === 'signedBy'
        ? await signedBy(requirement, subject, signatures, tools)
        : await sigstoreSigned(requirement, subject, signatures, tools);
    if (reason !== undefined) return reason;
  }
  return undefined;
}

async function signedBy(
  { keys, identity }: SignedBy,
  subject: Subject,
  signatures: readonly Signature[],
  { gpgv, signal }: Tools,
): Promise<string | undefined> {
  const rings = await bytesOf(keys);
  return anyOf(
    signatures.filter((one) => one.kind === 'simple'),
    'simple',
    async ({ message }) => {
      const opened = await gpgv.open(message, rings, signal);
      if ('refusal' in opened) return opened.refusal;
      return mismatch(opened.payload, payloadTypes.simple, identity, subject);
    },
  );
}

async function sigstoreSigned(
  requirement: SigstoreSigned,
  subject: Subject,
  signatures: readonly Signature[],
  { clock }: Tools,
): Promise<string | undefined> {
  const trust = await trustOf(requirement);
  const nowMs = Number(clock.nowNs() / 1_000_000n);
  return anyOf(
    signatures.filter((one) => one.kind === 'sigstore'),
    'sigstore',
    async (signature) =>
      mismatch(openSigstore(signature, trust, nowMs), payloadTypes.sigstore, requirement.identity, subject),
  );
}

/** Checks signatures until one is accepted. If none is, returns all reasons. */
async function anyOf<T>(
  signatures: readonly T[],
  kind: string,
  refusal: (signature: T) => Promise<string | undefined>,
): Promise<string | undefined> {
  const reasons: string[] = [];
  for (const signature of signatures) {
    const reason = await refusal(signature).catch((error: unknown) => {
      // only `outside` is the signature's fault; other kinds concern the policy, this machine or the caller
      if (!(error instanceof FaultError) || error.fault.kind !== 'outside') throw error;
      return error.fault.message;
    });
    if (reason === undefined) return undefined;
    reasons.push(reason);
  }
  if (reasons.length === 0) return `a ${kind} signature is required, but none was found`;
  const [only = ''] = reasons;
  if (reasons.length === 1)
    return `the ${kind} signature was not accepted: ${only}`.slice(0, signatureLimits.reasonChars);
  return `none of ${reasons.length} ${kind} signatures was accepted: ${reasons.join('; ')}`.slice(
    0,
    signatureLimits.reasonChars,
  );
}

/** Why the signed content is for another image; undefined if it is for this one. */
function mismatch(
  payload: Uint8Array,
  type: Parameters<typeof parsePayload>[1],
  identity: SignedBy['identity'],
  { reference, digests }: Subject,
): string | undefined {
  const { manifestDigest, dockerReference } = parsePayload(payload, type, 'the signature');
  if (!digests.includes(manifestDigest)) return `it is for the digest ${manifestDigest}`;
  return identityMatches(identity, reference, dockerReference)
    ? undefined
    : `it is for the identity ${JSON.stringify(dockerReference.slice(0, 300))}`;
}
