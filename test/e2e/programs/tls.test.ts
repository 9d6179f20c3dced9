// `troupe exec` and `troupe run` where the streaming server has a certificate.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { selfSigned } from '../../support/registry/certificates.ts';
import { makeWorld } from '../support/world.ts';
import type { World } from '../support/world.ts';
import { finish } from './support.ts';

let world: World;

/** Writes certificate and key, and names them. */
function streaming(directory: string): string {
  const pems = selfSigned(['DNS:node.example']);
  const [cert, key] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
  writeFileSync(cert, pems.cert);
  writeFileSync(key, pems.key, { mode: 0o600 });
  return `[streaming]\ntls_cert = "${cert}"\ntls_key = "${key}"\n`;
}

beforeAll(async () => {
  world = await makeWorld({ name: 'tls', config: streaming });
});

afterAll(async () => world?.close());

it('exec and the input of run pass through it', async () => {
  const named = await finish(world, 'run', ['-d', '--name', 'web', world.imageName, 'sleep', '600']);
  expect(named).toMatchObject({ code: 0 });
  expect(await finish(world, 'exec', ['-i', 'web', '--', 'cat'], Buffer.from('bytes'))).toMatchObject({
    code: 0,
    stdout: Buffer.from('bytes'),
  });
  expect(await finish(world, 'exec', ['web', '--', 'sh', '-c', 'exit 6'])).toMatchObject({ code: 6 });
  expect(await finish(world, 'run', ['-i', world.imageName, 'cat'], Buffer.from('input'))).toMatchObject({
    code: 0,
    stdout: Buffer.from('input'),
  });
  expect(await finish(world, 'rm', ['web'])).toMatchObject({ code: 0 });
  expect(await world.leftovers()).toEqual([]);
});
