import type { Digest } from '../../src/base/ids.ts';

/** Of a blob over which the worker of killed-unpacker.ts ends. */
export const KILLER = `sha256:${'dead'.repeat(16)}` as Digest;
