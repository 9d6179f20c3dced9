/** Whether an image's signatures meet what a policy requires. */
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

/** Without a look at any signature: accepted, refused with the reason, or undecided. */
export function decidedBy(
  requirements: readonly Requirement[],
): 'accepted' | 'undecided' | { readonly refusal: string } {
  const refused = requirements.find((one) => one.type === 'reject');
  if (refused?.type === 'reject')
    return { refusal: refused.reason === '' ? 'the policy rejects it' : refused.reason };
  return requirements.every((one) => one.type === 'insecureAcceptAnything') ? 'accepted' : 'undecided';
}

/**
 * The reason why the image is refused; undefined when each requirement has a signature that meets it.
 * @throws FaultError `invalidRequest` when a key of the policy can't be used: that is no matter of the image
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
      return requirement.reason === '' ? 'the policy rejects it' : requirement.reason;
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

/** One that is accepted is enough; else the reasons of all. */
async function anyOf<T>(
  signatures: readonly T[],
  kind: string,
  refusal: (signature: T) => Promise<string | undefined>,
): Promise<string | undefined> {
  const reasons: string[] = [];
  for (const signature of signatures) {
    const reason = await refusal(signature).catch((error: unknown) => {
      // what is wrong with the policy, the machine or the caller is not the signature's fault
      if (!(error instanceof FaultError) || error.fault.kind !== 'outside') throw error;
      return error.fault.message;
    });
    if (reason === undefined) return undefined;
    reasons.push(reason);
  }
  if (reasons.length === 0) return `a ${kind} signature is required, and there is none`;
  const [only = ''] = reasons;
  if (reasons.length === 1)
    return `its ${kind} signature is not accepted: ${only}`.slice(0, signatureLimits.reasonChars);
  return `none of its ${reasons.length} ${kind} signatures is accepted: ${reasons.join('; ')}`.slice(
    0,
    signatureLimits.reasonChars,
  );
}

/** Why what was signed is about another image. */
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
