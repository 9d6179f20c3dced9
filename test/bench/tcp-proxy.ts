// The plainest proxy that Node can be: what it gets on a port of its own goes to the given one, and back. Prints its
// port.
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

const target = Number(process.argv[2]);

const server = createServer({ allowHalfOpen: true }, (client: Socket) => {
  const upstream = connect({ port: target, host: '127.0.0.1', allowHalfOpen: true });
  for (const [from, to] of [
    [client, upstream],
    [upstream, client],
  ] as const) {
    from.on('error', () => to.destroy());
    from.on('close', () => to.destroy());
    from.pipe(to);
  }
});
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
