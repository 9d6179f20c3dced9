// Runs `WRITABLE PROGRAM [ARGUMENT…]` with the machine's files read-only but for those that tests make: without a guard
// a test may do, as root, what the guard prevents. To be run in a mount namespace of its own (unshare --mount
// --propagation private).
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmdirSync } from 'node:fs';

const [own = '', program = '', ...args] = process.argv.slice(2);
/** The copy with its temporary files; instances, pins and sockets of tests; what they unpack and build once. */
const writable = [own, '/run', process.env['TROUPE_CACHE'] ?? ''].filter(
  (path) => path !== '' && existsSync(path),
);

const mount = (...options: string[]): void => void execFileSync('mount', options);

for (const path of writable) mount('--rbind', path, path);
emptyTemporary();
mount('--options', 'remount,bind,ro', '/');
const { status, error } = spawnSync(program, args, { stdio: 'inherit' });
if (error !== undefined) throw error;
process.exitCode = status ?? 1;

/**
 * Tools with an environment of their own (containerd's shim) write to /tmp: an empty one, in which only the copy is to
 * be seen.
 */
function emptyTemporary(): void {
  if (!own.startsWith('/tmp/')) return;
  const aside = mkdtempSync('/run/troupe-m-');
  mount('--rbind', own, aside);
  mount('-t', 'tmpfs', 'tmpfs', '/tmp');
  mkdirSync(own, { recursive: true });
  mount('--move', aside, own);
  rmdirSync(aside);
}
