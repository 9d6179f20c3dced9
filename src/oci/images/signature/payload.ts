/**
 * Parses the signed content: the JSON of containers-signature(5), which sigstore's simple signing also uses. No I/O.
 */
import type { Digest } from '../../../base/ids.ts';
import { parseDocument } from '../../documents/fields.ts';

export interface Payload {
  readonly manifestDigest: Digest;
  /** As signed; compare it by `identityMatches`. */
  readonly dockerReference: string;
}

/** `critical.type` of both kinds of signatures. A signature of one kind must never count as one of the other. */
export const payloadTypes = {
  simple: 'atomic container signature',
  sigstore: 'cosign container image signature',
} as const;

/**
 * Parses a payload. Call it only after verifying the signature. Throws FaultError `outside` for any deviation from the
 * format.
 */
export function parsePayload(
  bytes: Uint8Array,
  type: (typeof payloadTypes)[keyof typeof payloadTypes],
  what: string,
): Payload {
  const top = parseDocument(bytes, `${what}: its payload`);
  top.refuseOthers(['critical', 'optional']);
  const critical = top.object('critical');
  if (critical === undefined) return top.refuse('critical', 'is missing');
  // containers-signature(5): a verifier must refuse unknown members of "critical"
  critical.refuseOthers(['type', 'image', 'identity']);
  const found = critical.text('type', '');
  if (found !== type)
    critical.refuse('type', `is ${JSON.stringify(found.slice(0, 100))}, not ${JSON.stringify(type)}`);
  const image = critical.object('image') ?? critical.refuse('image', 'is missing');
  image.refuseOthers(['docker-manifest-digest']);
  const identity = critical.object('identity') ?? critical.refuse('identity', 'is missing');
  identity.refuseOthers(['docker-reference']);
  // informative only, but it must be an object
  top.object('optional');
  return {
    manifestDigest: image.digest('docker-manifest-digest'),
    dockerReference: identity.text('docker-reference', ''),
  };
}
