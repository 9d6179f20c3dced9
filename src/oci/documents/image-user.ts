/** The user in an image's configuration (OCI image-spec, config.md, "User"). */
import { portLimits } from '../../ports/bounds.ts';

export interface ImageUser {
  /** Undefined: not stated, which means uid 0. */
  readonly user: number | string | undefined;
  /** Undefined: the user's own group. */
  readonly group: number | string | undefined;
}

/**
 * Parses `user[:group]`, each a number up to 2³¹−1 or a name. Undefined for anything else: signs, spaces, exponents,
 * hex and numbers that are too large must never become uid 0 (S25).
 */
export function parseImageUser(text: string): ImageUser | undefined {
  const parts = text.split(':');
  if (parts.length > 2) return undefined;
  const user = userPart(parts[0] ?? '');
  const group = userPart(parts[1] ?? '');
  return user === null || group === null ? undefined : { user, group };
}

const NAME = /^[A-Za-z_][A-Za-z0-9_.@\\-]*\$?$/u;

function userPart(text: string): number | string | undefined | null {
  if (text === '') return undefined;
  if (!/^[0-9]+$/u.test(text)) return NAME.test(text) ? text : null;
  // ten digits hold 2^31; numbers with leading zeros are decimal, as in containerd and CRI-O
  const digits = text.replace(/^0+(?=[0-9])/u, '');
  if (digits.length > 10 || Number(digits) > portLimits.highestUserId) return null;
  return Number(digits);
}
