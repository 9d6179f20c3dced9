/** What a signature says: the JSON of containers-signature(5), which sigstore's simple signing shares. Pure. */
import type { Digest } from '../../../base/ids.ts';
import { parseDocument } from '../../documents/fields.ts';

export interface Payload {
  readonly manifestDigest: Digest;
  /** As signed: compare it with identityMatches. */
  readonly dockerReference: string;
}

/** `critical.type` of the two families; a signature of one must never count as one of the other. */
export const payloadTypes = {
  simple: 'atomic container signature',
  sigstore: 'cosign container image signature',
} as const;

/** Call it for bytes only whose signature was verified. Throws FaultError `outside` for anything that is not exactly such a document. */
export function parsePayload(
  bytes: Uint8Array,
  type: (typeof payloadTypes)[keyof typeof payloadTypes],
  what: string,
): Payload {
  const top = parseDocument(bytes, `${what}: its payload`);
  top.refuseOthers(['critical', 'optional']);
  const critical = top.object('critical');
  if (critical === undefined) return top.refuse('critical', 'is missing');
  // a member that is not known must be understood by the verifier, and so refuses it
  critical.refuseOthers(['type', 'image', 'identity']);
  const found = critical.text('type', '');
  if (found !== type)
    critical.refuse('type', `is ${JSON.stringify(found.slice(0, 100))}, not ${JSON.stringify(type)}`);
  const image = critical.object('image') ?? critical.refuse('image', 'is missing');
  image.refuseOthers(['docker-manifest-digest']);
  const identity = critical.object('identity') ?? critical.refuse('identity', 'is missing');
  identity.refuseOthers(['docker-reference']);
  // informative only, but of the right shape: nobody signs a document that is not meant so
  top.object('optional');
  return {
    manifestDigest: image.digest('docker-manifest-digest'),
    dockerReference: identity.text('docker-reference', ''),
  };
}
