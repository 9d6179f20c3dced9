/**
 * Verifies certificate chains (RFC 5280, 6) as far as code signing with a private or public Fulcio needs it. Node
 * parses single certificates but builds chains only for TLS. Certificates with unknown critical extensions or with name
 * constraints are refused.
 */
import type { X509Certificate } from 'node:crypto';
import { signatureLimits } from '../bounds.ts';
import { emailsIn, extensionsOf, pathLengthIn, utf8In, type Extension } from './der.ts';

/** Encoded object identifiers, in hexadecimal. */
const oid = {
  keyUsage: '551d0f',
  subjectAltName: '551d11',
  basicConstraints: '551d13',
  nameConstraints: '551d1e',
  certificatePolicies: '551d20',
  extendedKeyUsage: '551d25',
  /** 1.3.6.1.4.1.57264.1.1 and .8: the OIDC issuer of the signer, as raw text and as UTF8String (Fulcio's oid-info). */
  fulcioIssuer: '2b0601040183bf300101',
  fulcioIssuerV2: '2b0601040183bf300108',
} as const;

const SUPPORTED: ReadonlySet<string> = new Set([
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
  /** From the signature, so untrusted, or from the policy. */
  readonly intermediates: readonly X509Certificate[];
  readonly roots: readonly X509Certificate[];
  /** Time at which all certificates must be valid, ms since 1970. */
  readonly atMs: number;
}

/** Why no chain from the leaf to a root is valid for code signing at that time; undefined if one is. */
export function chainRefusal({ leaf, intermediates, roots, atMs }: Chain): string | undefined {
  const own = refusalOf(leaf, atMs);
  if (own !== undefined) return `its certificate ${own}`;
  if (!leadsToRoot({ leaf, intermediates, roots, atMs }))
    return 'its certificate was not issued by an authority of the policy';
  return undefined;
}

/**
 * Whether a chain leads from the leaf to a root. The search is breadth-first and uses each certificate once, at its
 * smallest depth, where path length constraints allow most. Without that, authorities that issue certificates for one
 * another would allow any number of chains, and the main thread verifies a signature for each step.
 */
function leadsToRoot({ leaf, intermediates, roots, atMs }: Chain): boolean {
  let level: readonly X509Certificate[] = [leaf];
  let left = intermediates.filter((one) => one !== leaf);
  for (let below = 0; below <= signatureLimits.chain && level.length > 0; below += 1) {
    const from = level;
    const [depth, isLast] = [below, below === signatureLimits.chain];
    if (roots.some((root) => from.some((one) => isIssuerOf(root, one, depth, atMs)))) return true;
    level = isLast ? [] : left.filter((next) => from.some((one) => isIssuerOf(next, one, depth, atMs)));
    left = left.filter((one) => !level.includes(one));
  }
  return false;
}

function isIssuerOf(
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

/** Why one certificate by itself is not valid; undefined if it is. */
function refusalOf(certificate: X509Certificate, atMs: number): string | undefined {
  // parse the texts: for an invalid date, such as one in month 00, Node's validFromDate reads uninitialised memory and
  // may be any time, while the text is "Bad time value"
  const [fromMs, toMs] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
  if (Number.isNaN(fromMs) || Number.isNaN(toMs)) return 'has no valid dates';
  if (atMs < fromMs || atMs > toMs) {
    return `is valid from ${new Date(fromMs).toISOString()} to ${new Date(toMs).toISOString()}, not at ${new Date(atMs).toISOString()}`;
  }
  const extensions = extensionsOf(certificate.raw);
  if (extensions === undefined) return 'is malformed';
  const unknown = extensions.find(
    (one) => one.oid === oid.nameConstraints || (one.critical && !SUPPORTED.has(one.oid)),
  );
  if (unknown !== undefined) return `has an unsupported restriction (${unknown.oid})`;
  const uses = usesOf(certificate);
  return uses === undefined || uses.includes(CODE_SIGNING) || uses.includes(ANY_USE)
    ? undefined
    : 'is not for code signing';
}

/** The extended key usage, which Node calls keyUsage; undefined if the use is not restricted. */
function usesOf(certificate: X509Certificate): readonly string[] | undefined {
  const uses: unknown = certificate.keyUsage;
  return Array.isArray(uses) ? uses.map(String) : undefined;
}

/** Why the certificate is not for this e-mail address; undefined if it is. */
export function emailRefusal(certificate: X509Certificate, email: string): string | undefined {
  const names = find(certificate, oid.subjectAltName);
  return names !== undefined && (emailsIn(names.value) ?? []).includes(email)
    ? undefined
    : `its certificate is not for ${email}`;
}

/** Why the certificate is not of this OIDC issuer; undefined if it is. */
export function issuerRefusal(certificate: X509Certificate, issuer: string): string | undefined {
  const first = find(certificate, oid.fulcioIssuer);
  const second = find(certificate, oid.fulcioIssuerV2);
  const stated = [
    ...(first === undefined ? [] : [Buffer.from(first.value).toString('utf8')]),
    ...(second === undefined ? [] : [utf8In(second.value) ?? '']),
  ];
  if (stated.length === 0) return 'its certificate has no OIDC issuer';
  // if both extensions are present they must agree
  return stated.every((one) => one === issuer)
    ? undefined
    : `its certificate has the OIDC issuer ${JSON.stringify(stated[0]?.slice(0, 200))}`;
}

function find(certificate: X509Certificate, wanted: string): Extension | undefined {
  return extensionsOf(certificate.raw)?.find((one) => one.oid === wanted);
}
