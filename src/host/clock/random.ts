/** The real randomness: the kernel's, through OpenSSL. */
import { randomBytes } from 'node:crypto';
import type { RandomPort } from '../../ports/random.ts';

/** Ids as the peers make them: 256 random bits in hex, so that no tool that looks at ids is surprised. */
const ID_BYTES = 32;

/** The randomness of the machine. */
export function realRandom(): RandomPort {
  return {
    id: () => randomBytes(ID_BYTES).toString('hex'),
    token: (bytes: number) => randomBytes(bytes).toString('hex'),
  };
}
