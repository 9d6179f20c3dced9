/** Protects secrets that pass through this process, such as passwords of registries (S84). */
import { must } from '../ffi/errno.ts';
import { PR_SET_DUMPABLE } from '../ffi/constants.ts';
import { callSync, libc } from '../ffi/ffi.ts';

/**
 * Makes the kernel write no core dump of this process, and lets only users that may trace everything read its
 * memory, environment and descriptors in /proc. Applies to this process alone: execve resets it for the
 * programs that it runs (prctl(2)).
 */
export function refuseDumps(): void {
  must(callSync(libc.prctl, PR_SET_DUMPABLE, 0, 0, 0, 0), 'disable dumps of', 'this process');
}
