/** Decides by GnuPG's status lines (its doc/DETAILS) whether a signature is good. No I/O. */

const PREFIX = '[GNUPG:] ';

/** Keywords that refuse the signature whatever else is reported, with the reason. */
const REFUSALS: ReadonlyMap<string, string> = new Map([
  ['BADSIG', 'the signature does not match the signed content'],
  ['EXPSIG', 'the signature has expired'],
  ['EXPKEYSIG', 'the key has expired'],
  ['REVKEYSIG', 'the key was revoked'],
  ['NO_PUBKEY', 'it was made with a key that is not in the policy'],
  ['ERRSIG', 'the signature cannot be checked'],
  ['NODATA', 'it is not a signed OpenPGP message'],
  ['UNEXPECTED', 'it is not a signed OpenPGP message'],
]);

/** OpenPGP's numbers of SHA-2 and SHA-3 (RFC 9580, 9.5). Older algorithms are not collision-resistant. */
const DIGESTS: ReadonlySet<string> = new Set(['8', '9', '10', '11', '12', '14']);

/** The reason to refuse; undefined for exactly one good signature by a key that is valid now. */
export function refusalIn(status: string): string | undefined {
  const lines = status
    .split('\n')
    .filter((line) => line.startsWith(PREFIX))
    .map((line) => line.slice(PREFIX.length).split(' '));
  const words = lines.map(([word = '']) => word);
  for (const [word, reason] of REFUSALS) if (words.includes(word)) return reason;
  const count = (wanted: string): number => words.filter((word) => word === wanted).length;
  // with two signatures it is unclear which one is meant; gpg once verified one of two texts (CVE-2006-0049)
  if (count('NEWSIG') !== 1 || count('GOODSIG') !== 1 || count('VALIDSIG') !== 1 || count('PLAINTEXT') !== 1)
    return 'it does not have exactly one good signature';
  // fingerprint, date, two times, version, reserved, algorithm of the key, then that of the digest
  const digest = lines.find(([word]) => word === 'VALIDSIG')?.[8] ?? '';
  return DIGESTS.has(digest) ? undefined : `its digest algorithm (OpenPGP number ${digest}) is too weak`;
}
