/** The real random numbers: the kernel's, through OpenSSL. */
import { randomBytes } from 'node:crypto';
import { randomLimits } from '../bounds.ts';
import type { RandomPort } from '../../ports/random.ts';

/** Ids are 256 random bits in hex, as in containerd and CRI-O, since tools expect that form. */
const ID_BYTES = 32;

/** The machine's random numbers. */
export function realRandom(): RandomPort {
  const hex = pooled();
  return { id: () => hex(ID_BYTES), token: hex };
}

/** Asks for many bytes at once, of which each is used once: a request costs as much for 8 as for 1000. */
function pooled(): (bytes: number) => string {
  let pool = Buffer.alloc(0);
  let used = 0;
  return (bytes) => {
    if (bytes > pool.length - used) {
      pool = randomBytes(Math.max(bytes, randomLimits.poolBytes));
      used = 0;
    }
    const text = pool.toString('hex', used, used + bytes);
    pool.fill(0, used, used + bytes);
    used += bytes;
    return text;
  };
}
