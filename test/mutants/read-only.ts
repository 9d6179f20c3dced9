// Runs `WRITABLE PROGRAM [ARGUMENT…]` with the machine's files read-only but for those that tests make: without a guard a test may do, as root, what
// the guard prevents. To be run in a mount namespace of its own (unshare --mount --propagation private).
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

const [own = '', program = '', ...args] = process.argv.slice(2);
/** The copy with its temporary files; instances, pins and sockets of tests; what they unpack and build once. */
const writable = [own, '/run', process.env['TROUPE_CACHE'] ?? ''].filter((path) => path !== '' && existsSync(path));

for (const path of writable) execFileSync('mount', ['--rbind', path, path]);
execFileSync('mount', ['--options', 'remount,bind,ro', '/']);
const { status, error } = spawnSync(program, args, { stdio: 'inherit' });
if (error !== undefined) throw error;
process.exitCode = status ?? 1;
