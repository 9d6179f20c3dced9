/**
 * Chains of certificates (RFC 5280, 6), as far as code signing with a private or public Fulcio needs them. Node shows
 * single certificates and builds no chains outside of TLS. What is not understood here refuses: a critical extension that
 * is not known, and constraints on names.
 */
import type { X509Certificate } from 'node:crypto';
import { signatureLimits } from '../bounds.ts';
import { emailsIn, extensionsOf, pathLengthIn, utf8In, type Extension } from './der.ts';

/** Object identifiers as they are encoded. */
const oid = {
  keyUsage: '551d0f',
  subjectAltName: '551d11',
  basicConstraints: '551d13',
  nameConstraints: '551d1e',
  certificatePolicies: '551d20',
  extendedKeyUsage: '551d25',
  /** 1.3.6.1.4.1.57264.1.1 and .8: who vouched for the signer, as text, and as UTF8String (Fulcio's oid-info). */
  fulcioIssuer: '2b0601040183bf300101',
  fulcioIssuerV2: '2b0601040183bf300108',
} as const;

const UNDERSTOOD: ReadonlySet<string> = new Set([
  oid.keyUsage,
  oid.subjectAltName,
  oid.basicConstraints,
  oid.certificatePolicies,
  oid.extendedKeyUsage,
]);

const CODE_SIGNING = '1.3.6.1.5.5.7.3.3';
const ANY_USE = '2.5.29.37.0';

export interface Chain {
  readonly leaf: X509Certificate;
  /** Strangers', or the policy's. */
  readonly intermediates: readonly X509Certificate[];
  readonly roots: readonly X509Certificate[];
  /** When all of them have to be valid, ms since 1970. */
  readonly atMs: number;
}

/** Why the leaf is not vouched for by one of the roots, for code signing, at that time; undefined when it is. */
export function chainRefusal({ leaf, intermediates, roots, atMs }: Chain): string | undefined {
  const own = refusalOf(leaf, atMs);
  if (own !== undefined) return `its certificate ${own}`;
  if (!leadsToRoot({ leaf, intermediates, roots, atMs }))
    return 'its certificate is not vouched for by an authority of the policy';
  return undefined;
}

/**
 * Whether a way leads from the leaf to a root: level by level, each certificate once, at the fewest authorities below it,
 * where every bound on their number allows most. Authorities that vouch for one another make ways without number, and
 * each step is a signature that the main thread verifies.
 */
function leadsToRoot({ leaf, intermediates, roots, atMs }: Chain): boolean {
  let level: readonly X509Certificate[] = [leaf];
  let left = intermediates.filter((one) => one !== leaf);
  for (let below = 0; below <= signatureLimits.chain && level.length > 0; below += 1) {
    const from = level;
    const [depth, isLast] = [below, below === signatureLimits.chain];
    if (roots.some((root) => from.some((one) => vouchesFor(root, one, depth, atMs)))) return true;
    level = isLast ? [] : left.filter((next) => from.some((one) => vouchesFor(next, one, depth, atMs)));
    left = left.filter((one) => !level.includes(one));
  }
  return false;
}

function vouchesFor(
  authority: X509Certificate,
  certificate: X509Certificate,
  below: number,
  atMs: number,
): boolean {
  if (!authority.ca || !certificate.checkIssued(authority)) return false;
  if (refusalOf(authority, atMs) !== undefined) return false;
  const constraints = extensionsOf(authority.raw)?.find((one) => one.oid === oid.basicConstraints);
  const most = constraints === undefined ? undefined : pathLengthIn(constraints.value);
  return most !== undefined && below <= most && certificate.verify(authority.publicKey);
}

/** What is wrong with one certificate by itself. */
function refusalOf(certificate: X509Certificate, atMs: number): string | undefined {
  // of the texts: for a date without a time, such as one in month 00, Node's validFromDate is of memory that nothing was
  // written to, and may be any time; its text is "Bad time value"
  const [fromMs, toMs] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
  if (Number.isNaN(fromMs) || Number.isNaN(toMs)) return 'has no valid dates';
  if (atMs < fromMs || atMs > toMs) {
    return `is valid from ${new Date(fromMs).toISOString()} to ${new Date(toMs).toISOString()}, not at ${new Date(atMs).toISOString()}`;
  }
  const extensions = extensionsOf(certificate.raw);
  if (extensions === undefined) return 'is malformed';
  const unknown = extensions.find(
    (one) => one.oid === oid.nameConstraints || (one.critical && !UNDERSTOOD.has(one.oid)),
  );
  if (unknown !== undefined) return `has a restriction that is not understood (${unknown.oid})`;
  const uses = usesOf(certificate);
  return uses === undefined || uses.includes(CODE_SIGNING) || uses.includes(ANY_USE)
    ? undefined
    : 'is not one for code signing';
}

/** Extended key usage, which Node calls keyUsage; undefined where nothing is restricted. */
function usesOf(certificate: X509Certificate): readonly string[] | undefined {
  const uses: unknown = certificate.keyUsage;
  return Array.isArray(uses) ? uses.map(String) : undefined;
}

/** Why the certificate does not carry this e-mail address; undefined when it does. */
export function emailRefusal(certificate: X509Certificate, email: string): string | undefined {
  const names = find(certificate, oid.subjectAltName);
  return names !== undefined && (emailsIn(names.value) ?? []).includes(email)
    ? undefined
    : `its certificate is not for ${email}`;
}

/** Why the certificate was not given out on the word of this OIDC issuer; undefined when it was. */
export function issuerRefusal(certificate: X509Certificate, issuer: string): string | undefined {
  const first = find(certificate, oid.fulcioIssuer);
  const second = find(certificate, oid.fulcioIssuerV2);
  const stated = [
    ...(first === undefined ? [] : [Buffer.from(first.value).toString('utf8')]),
    ...(second === undefined ? [] : [utf8In(second.value) ?? '']),
  ];
  if (stated.length === 0) return 'its certificate names no OIDC issuer';
  // two that differ are somebody's trick
  return stated.every((one) => one === issuer)
    ? undefined
    : `its certificate is of the OIDC issuer ${JSON.stringify(stated[0]?.slice(0, 200))}`;
}

function find(certificate: X509Certificate, wanted: string): Extension | undefined {
  return extensionsOf(certificate.raw)?.find((one) => one.oid === wanted);
}
