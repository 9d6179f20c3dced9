/** The real random numbers: the kernel's, through OpenSSL. */
import { randomBytes } from 'node:crypto';
import type { RandomPort } from '../../ports/random.ts';

/** Ids are 256 random bits in hex, as in containerd and CRI-O, since tools expect that form. */
const ID_BYTES = 32;

/** The machine's random numbers. */
export function realRandom(): RandomPort {
  return {
    id: () => randomBytes(ID_BYTES).toString('hex'),
    token: (bytes: number) => randomBytes(bytes).toString('hex'),
  };
}
