// A daemon that asks to take over, gets the node, and does nothing with it: `half-taker.ts <socket> <hello as JSON>`.
import { Link } from '../../../src/daemon/takeover/link.ts';
import type { Hello } from '../../../src/daemon/takeover/messages.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import { EVENT_MS } from '../../support/patience.ts';

const [path = '', hello = ''] = process.argv.slice(2);
const link = Link.dial(path, realClock());
await link.send(JSON.parse(hello) as Hello);
await link.expect('freezing', EVENT_MS);
await link.expect('released', EVENT_MS);
process.stdout.write('released\n');
// whoever runs this ends it
setInterval(() => undefined, EVENT_MS);
