// Servers inside a pod's network namespace, which this program is started in: 7001 on 127.0.0.1 and 7002 on ::1 send
// back what they get, 7003 reports how much it was once that has ended, 7004 gives without end. Says `up` when all
// listen.
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';

const echo = (socket: Socket): void => void socket.pipe(socket);

const count = (socket: Socket): void => {
  let bytes = 0;
  socket.on('data', (chunk: Buffer) => (bytes += chunk.length));
  socket.on('end', () => socket.end(String(bytes)));
};

const CHUNK = Buffer.alloc(256 * 1024);

const give = (socket: Socket): void => {
  const more = (): void => {
    while (!socket.destroyed && socket.write(CHUNK));
  };
  socket.on('drain', more);
  socket.resume();
  more();
};

function listen(serve: (socket: Socket) => void, port: number, host: string): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    serve(socket);
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => resolve(server));
  });
}

await Promise.all([
  listen(echo, 7001, '127.0.0.1'),
  listen(echo, 7002, '::1'),
  listen(count, 7003, '127.0.0.1'),
  listen(give, 7004, '127.0.0.1'),
]);
process.stdout.write('up\n');
