/** A streaming server with TLS, with files of the test's own. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createEmptyActor } from 'xstate';
import { onTestFinished } from 'vitest';
import { Activity } from '../../../src/actors/effects/activity.ts';
import { Directory } from '../../../src/actors/directory/directory.ts';
import { silentLog } from '../../../src/base/log.ts';
import { startStreaming } from '../../../src/cri/streaming/server.ts';
import { TokenTable } from '../../../src/cri/streaming/tokens.ts';
import type { StreamingServer } from '../../../src/cri/streaming/server.ts';
import { realRandom } from '../../../src/host/clock/random.ts';
import { containerId, containerView } from '../../unit/cri/stage.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { selfSigned } from '../../support/registry/certificates.ts';

interface ServedTls {
  readonly server: StreamingServer;
  readonly clock: HandClock;
  readonly cert: string;
  readonly key: string;
}

/** Closed with the test. */
export async function serveTls(clientCa?: string): Promise<ServedTls> {
  const directory = await mkdtemp(join(tmpdir(), 'troupe-tls-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const [cert, key] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
  await store({ cert, key }, selfSigned(['DNS:first']));
  const clock = new HandClock();
  const directoryOf = new Directory();
  directoryOf.put(containerView(containerId('c')), createEmptyActor());
  // until the test ends
  const none = (): Promise<never> => new Promise(() => undefined);
  const server = await startStreaming({
    directory: directoryOf,
    clock,
    activity: new Activity(clock),
    log: silentLog,
    tokens: new TokenTable(clock, realRandom()),
    streams: { exec: none, attach: none, dial: none },
    address: '127.0.0.1',
    port: 0,
    allowedHosts: () => [],
    tls: { cert, key, clientCa: clientCa ?? '' },
  });
  onTestFinished(() => {
    const closing = server.close();
    clock.fire();
    return closing;
  });
  return { server, clock, cert, key };
}

/** Writes both files. */
export async function store(
  { cert, key }: { readonly cert: string; readonly key: string },
  pems: { readonly cert: string; readonly key: string },
): Promise<void> {
  await writeFile(cert, pems.cert);
  await writeFile(key, pems.key);
}

/** Of an exec. */
export const tlsUrl = (server: StreamingServer): Promise<string> =>
  server.urlFor({
    kind: 'exec',
    id: containerId('c'),
    argv: ['x'],
    stdin: false,
    stdout: true,
    stderr: false,
    tty: false,
  });
