// Run as a program: connects from an own address (busybox's nc has no option for it) and prints what the server says.
import { connect } from 'node:net';

/** ms, of one attempt. */
const ATTEMPT_MS = 3000;

const [localAddress = '', host = '', port = ''] = process.argv.slice(2);
const socket = connect({ host, port: Number(port), localAddress });
socket.setTimeout(ATTEMPT_MS, () => socket.destroy(new Error('no answer')));
socket.on('error', (error) => {
  console.error(error.message);
  process.exitCode = 1;
});
socket.pipe(process.stdout);
