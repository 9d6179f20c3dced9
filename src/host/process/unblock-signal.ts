/** The signals that this thread takes. */
import { SIGSET_BYTES, SIG_UNBLOCK } from '../ffi/constants.ts';
import { must } from '../ffi/errno.ts';
import { callSync, libc } from '../ffi/ffi.ts';

/** Lets this thread, and those that it starts from now on, take the signal; one that was sent before comes at once. */
export function unblockSignal(signal: number): void {
  const set = Buffer.alloc(SIGSET_BYTES);
  // bit 0 is signal 1 (glibc, sysdeps/unix/sysv/linux/sigsetops.h)
  set.writeUInt8(1 << ((signal - 1) % 8), Math.floor((signal - 1) / 8));
  must(callSync(libc.sigprocmask, SIG_UNBLOCK, set, null), 'unblock signal', String(signal));
}
