/** Started under strace by private.test.ts: serves on the socket named by the argument, then closes. */
import { silentLog } from '../../../src/base/log.ts';
import { startCriServer } from '../../../src/cri/call/server.ts';
import { listenPrivately } from '../../../src/host/io/private-socket.ts';
import { HandTimers } from '../../support/hand-clock.ts';

process.umask(0);
const [clock, path] = [new HandTimers(), process.argv[2] ?? ''];
const server = await startCriServer({
  listen: (onConnection) => listenPrivately({ path, clock, log: silentLog, onConnection }),
  methods: {},
  clock,
  log: silentLog,
});
await server.close();
