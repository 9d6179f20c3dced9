// Exec and attach over TLS, as commands of the node reach them.
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { runRemote } from '../../../../src/daemon/programs/remote-command.ts';
import { realClock } from '../../../../src/host/clock/clock.ts';
import { realRandom } from '../../../../src/host/clock/random.ts';
import { selfSigned } from '../../../support/registry/certificates.ts';

const ours = selfSigned(['DNS:node.example']);
const clients = selfSigned(['DNS:apiserver.example']);

let directory: string;
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'troupe-remote-'))));
afterEach(() => rmSync(directory, { recursive: true }));

it('says why a server with a CA for its clients does not accept the node’s own certificate', async () => {
  const [cert, key] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
  writeFileSync(cert, ours.cert);
  writeFileSync(key, ours.key);
  const server = createServer({ ...ours, ca: clients.cert, requestCert: true, rejectUnauthorized: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const streaming = { tls_cert: cert, tls_key: key, tls_client_ca: '/ca.pem' };
  const ended = runRemote(`https://127.0.0.1:${(server.address() as AddressInfo).port}/exec/token`, {
    clock: realClock(),
    random: realRandom(),
    configJson: JSON.stringify({ streaming }),
    input: undefined,
    output: { stdout: () => Promise.resolve(), stderr: () => Promise.resolve() },
    terminals: [],
    signal: new AbortController().signal,
  });
  await expect(ended).rejects.toThrow(/^open a stream at .*; streaming\.tls_client_ca must have signed/u);
  server.close();
});
