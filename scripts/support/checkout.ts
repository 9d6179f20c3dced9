import { dirname } from 'node:path';

/** The directory of the checkout. */
export const checkout = dirname(dirname(import.meta.dirname));
