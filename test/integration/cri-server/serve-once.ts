/** Started under strace by private.test.ts: serves on the socket named by the argument, then closes. */
import { silentLog } from '../../../src/base/log.ts';
import { startCriServer } from '../../../src/cri/server.ts';
import { HandTimers } from '../../support/hand-clock.ts';

process.umask(0);
const server = await startCriServer({ socketPath: process.argv[2] ?? '', methods: {}, clock: new HandTimers(), log: silentLog });
await server.close();
