/** Run by process.test.ts: dies of a signal that makes a core, after it has forbidden that or not. */
import { refuseDumps } from '../../../src/host/security/undumpable.ts';

if (process.argv[2] === 'refuse') refuseDumps();
process.kill(process.pid, 'SIGSEGV');
