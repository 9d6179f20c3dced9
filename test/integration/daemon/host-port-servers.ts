// Servers inside a pod's network namespace, which this program is started in: TCP 8080 and UDP 8081 of both families
// say who asks. Says `up` when all listen.
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';

const tcp = (host: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.on('error', () => socket.destroy()).end(`tcp ${host}`));
    server.once('error', reject).listen({ port: 8080, host, ipv6Only: true }, resolve);
  });

const udp = (type: 'udp4' | 'udp6', address: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const socket = createSocket({ type, ipv6Only: type === 'udp6' });
    socket.on('message', (_message, from) => socket.send(`udp ${address}`, from.port, from.address));
    socket.once('error', reject).bind({ port: 8081, address }, resolve);
  });

await Promise.all([tcp('0.0.0.0'), tcp('::'), udp('udp4', '0.0.0.0'), udp('udp6', '::')]);
process.stdout.write('up\n');
