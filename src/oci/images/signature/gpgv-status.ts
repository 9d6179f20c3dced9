/** Status lines of GnuPG (its doc/DETAILS): which one says that a signature is good. Pure. */

const PREFIX = '[GNUPG:] ';

/** Words that refuse whatever else is said, with their reason. */
const REFUSALS: ReadonlyMap<string, string> = new Map([
  ['BADSIG', 'the signature is not one of what it signs'],
  ['EXPSIG', 'the signature has expired'],
  ['EXPKEYSIG', 'the key has expired'],
  ['REVKEYSIG', 'the key was revoked'],
  ['NO_PUBKEY', 'it was made with a key that is not among those of the policy'],
  ['ERRSIG', 'the signature can not be checked'],
  ['NODATA', 'it is no signed OpenPGP message'],
  ['UNEXPECTED', 'it is no signed OpenPGP message'],
]);

/** SHA-2 and SHA-3 by OpenPGP's numbers (RFC 9580, 9.5): of the older ones collisions can be made. */
const DIGESTS: ReadonlySet<string> = new Set(['8', '9', '10', '11', '12', '14']);

/** Undefined for exactly one signature, good and by a key that is valid now. */
export function refusalIn(status: string): string | undefined {
  const lines = status
    .split('\n')
    .filter((line) => line.startsWith(PREFIX))
    .map((line) => line.slice(PREFIX.length).split(' '));
  const words = lines.map(([word = '']) => word);
  for (const [word, reason] of REFUSALS) if (words.includes(word)) return reason;
  const count = (wanted: string): number => words.filter((word) => word === wanted).length;
  // of two signatures nobody could say which one was meant; two texts were once taken for one (CVE-2006-0049)
  if (count('NEWSIG') !== 1 || count('GOODSIG') !== 1 || count('VALIDSIG') !== 1 || count('PLAINTEXT') !== 1)
    return 'it does not hold exactly one good signature';
  // fingerprint, date, two times, version, reserved, algorithm of the key, then that of the digest
  const digest = lines.find(([word]) => word === 'VALIDSIG')?.[8] ?? '';
  return DIGESTS.has(digest) ? undefined : `its digest algorithm (OpenPGP number ${digest}) is too weak`;
}
