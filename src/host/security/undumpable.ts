/** What passes through this process, such as passwords of registries, stays in it (S84). */
import { must } from '../ffi/errno.ts';
import { PR_SET_DUMPABLE } from '../ffi/constants.ts';
import { callSync, libc } from '../ffi/ffi.ts';

/**
 * The kernel writes no core of this process, and only who may trace anything reads its memory, environment and descriptors
 * below /proc. For this process alone: execve gives the programs that it runs what is usual (prctl(2)).
 */
export function refuseDumps(): void {
  must(callSync(libc.prctl, PR_SET_DUMPABLE, 0, 0, 0, 0), 'forbid dumps of', 'this process');
}
