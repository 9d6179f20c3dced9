// Asks the servers of host-port-servers.ts by IPv6 and says what they answer: address, TCP port, UDP port.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';

const [, , address = '', tcpPort = '', udpPort = ''] = process.argv;
const stream = connect({ host: address, port: Number(tcpPort) });
const [said] = (await once(stream, 'data')) as [Buffer];
process.stdout.write(`${said.toString()}\n`);
stream.destroy();
const socket = createSocket('udp6');
socket.send('who', Number(udpPort), address);
const [answer] = (await once(socket, 'message')) as [Buffer];
process.stdout.write(`${answer.toString()}\n`);
socket.close();
