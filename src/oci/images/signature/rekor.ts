/**
 * Verifies that a signature was recorded in Rekor's transparency log at a certain time. cosign's "bundle" contains a
 * signed entry timestamp over one hashedrekord. No server is contacted; the log's public key comes from the policy.
 */
import { createHash, verify, type KeyObject } from 'node:crypto';
import { parseDocument, type Fields } from '../../documents/fields.ts';
import { decodeBase64 } from './base64.ts';
import { pemBlocks } from './keys.ts';

export interface Logged {
  /** JSON. */
  readonly bundle: string;
  /** PEM of the key or certificate that the entry must be for. */
  readonly signer: string;
  readonly signature: Uint8Array;
  readonly payload: Uint8Array;
}

/**
 * The time at which the signature was logged, ms since 1970.
 * @throws FaultError `outside`, with the reason, if the bundle does not prove that for this signature
 */
export function loggedAtMs(
  { bundle, signer, signature, payload }: Logged,
  rekorKeys: readonly KeyObject[],
): number {
  const top = parseDocument(Buffer.from(bundle), 'its Rekor bundle');
  top.refuseOthers(['SignedEntryTimestamp', 'Payload']);
  const entry = top.object('Payload') ?? top.refuse('Payload', 'is missing');
  entry.refuseOthers(['body', 'integratedTime', 'logIndex', 'logID']);
  const body = entry.text('body', '');
  const integratedTime = numberIn(entry, 'integratedTime');
  const fields = {
    body,
    integratedTime,
    logID: entry.text('logID', ''),
    logIndex: numberIn(entry, 'logIndex'),
  };
  // RFC 8785: sorted names, no spaces, and strings and small integers as ECMAScript writes them
  const canonical = Buffer.from(JSON.stringify(fields));
  const timestamp = bytesIn(top, 'SignedEntryTimestamp');
  if (
    !rekorKeys.some((key) => key.asymmetricKeyType === 'ec' && verify('sha256', canonical, key, timestamp))
  ) {
    top.refuse('SignedEntryTimestamp', 'was not made with a Rekor key of the policy');
  }
  checkRecord(parseDocument(bytesIn(entry, 'body'), 'its Rekor entry'), {
    bundle,
    signer,
    signature,
    payload,
  });
  return integratedTime * 1000;
}

/** Checks that the log's entry, a hashedrekord 0.0.1 (Rekor's schema), is for this signer, signature and payload. */
function checkRecord(record: Fields, { signer, signature, payload }: Logged): void {
  if (record.text('kind', '') !== 'hashedrekord') record.refuse('kind', 'is not hashedrekord');
  if (record.text('apiVersion', '') !== '0.0.1') record.refuse('apiVersion', 'is not 0.0.1');
  const spec = record.object('spec') ?? record.refuse('spec', 'is missing');
  const signed = spec.object('signature') ?? spec.refuse('signature', 'is missing');
  const key = signed.object('publicKey') ?? signed.refuse('publicKey', 'is missing');
  if (!isSameBlock(Buffer.from(bytesIn(key, 'content')).toString('latin1'), signer))
    key.refuse('content', "is not the signer's key or certificate");
  if (!Buffer.from(signature).equals(bytesIn(signed, 'content')))
    signed.refuse('content', 'is another signature');
  const data = spec.object('data') ?? spec.refuse('data', 'is missing');
  const hash = data.object('hash') ?? data.refuse('hash', 'is missing');
  if (hash.text('algorithm', '') !== 'sha256') hash.refuse('algorithm', 'is not sha256');
  if (hash.text('value', '').toLowerCase() !== createHash('sha256').update(payload).digest('hex'))
    hash.refuse('value', 'is the hash of another payload');
}

/** Whether both are one PEM block with the same content. Labels and line lengths differ between tools. */
function isSameBlock(one: string, other: string): boolean {
  const [first, ...others] = [one, other].map((text) => pemBlocks(text));
  const [second] = others;
  if (first?.length !== 1 || second?.length !== 1) return false;
  return contentOf(first[0]?.text ?? '') === contentOf(second[0]?.text ?? '');
}

function contentOf(block: string): string {
  return block.replaceAll(/-----[^-]*-----|\s/gu, '');
}

function numberIn(fields: Fields, name: string): number {
  return fields.integer(name, 0, Number.MAX_SAFE_INTEGER) ?? fields.refuse(name, 'is missing');
}

function bytesIn(fields: Fields, name: string): Uint8Array {
  const text = fields.text(name, '');
  return (text === '' ? undefined : decodeBase64(text)) ?? fields.refuse(name, 'is missing or not base64');
}
