/** Against a real registry: Debian's docker-registry, filled by skopeo, over http and https. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { selfSigned } from '../../support/registry/certificates.ts';
import { digestOf } from '../../support/registry/fake-registry.ts';
import { imageOf, layerOf, type TestImage } from '../../support/registry/images.ts';
import { writeOciLayout } from '../../support/registry/oci-layout.ts';
import { faultOf, insecure, rigOf, trusting } from '../../support/registry/rig.ts';

const missing = ['/usr/bin/docker-registry', '/usr/bin/skopeo', '/usr/bin/openssl'].filter((tool) => !existsSync(tool));
if (missing.length > 0) console.warn(`skipped: ${missing.join(', ')} not installed`);

interface Running {
  readonly child: ChildProcess;
  readonly host: string;
}

/** Starts a registry on a free port and waits until it says which. */
function serve(directory: string, name: string, tls: string): Promise<Running> {
  const file = join(directory, `${name}.yml`);
  const storage = join(directory, `${name}-storage`);
  mkdirSync(storage);
  writeFileSync(
    file,
    `version: 0.1\nlog: {level: info}\nstorage: {filesystem: {rootdirectory: "${storage}"}}\nhttp: {addr: "127.0.0.1:0"${tls}}\n`,
  );
  const child = spawn('/usr/bin/docker-registry', ['serve', file], { stdio: ['ignore', 'ignore', 'pipe'] });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`docker-registry ended with ${code}`)));
    createInterface({ input: child.stderr }).on('line', (line) => {
      const port = /listening on 127\.0\.0\.1:([0-9]+)/u.exec(line)?.[1];
      if (port !== undefined) resolve({ child, host: `127.0.0.1:${port}` });
    });
  });
}

describe.skipIf(missing.length > 0)('RPC PullImage: from docker-registry', () => {
  const tls = selfSigned(['IP:127.0.0.1']);
  let directory: string;
  let plain: Running;
  let secure: Running;
  let image: TestImage;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'troupe-registry-'));
    writeFileSync(join(directory, 'key.pem'), tls.key);
    writeFileSync(join(directory, 'cert.pem'), tls.cert);
    plain = await serve(directory, 'plain', '');
    secure = await serve(
      directory,
      'secure',
      `, tls: {certificate: "${join(directory, 'cert.pem')}", key: "${join(directory, 'key.pem')}"}`,
    );
    const layers = [
      await layerOf([{ name: 'hello', content: 'hello\n' }], 'gzip'),
      await layerOf([{ name: 'big', content: 'x'.repeat(3_000_000) }], 'none'),
    ];
    image = imageOf(layers, { config: { Env: ['PATH=/bin'], Labels: { a: 'b' } } });
    const layout = join(directory, 'layout');
    writeOciLayout(layout, 'v', image);
    for (const { host } of [plain, secure]) {
      for (const [format, tag] of [['oci', 'oci'], ['v2s2', 'docker']] as const) {
        const to = `docker://${host}/team/app:${tag}`;
        const from = `oci:${layout}:v`;
        execFileSync('/usr/bin/skopeo', ['copy', '-q', '--insecure-policy', '--dest-tls-verify=false', '--format', format, from, to]);
      }
    }
  });

  afterAll(async () => {
    for (const { child } of [plain, secure]) {
      const gone = new Promise((resolve) => {
        child.removeAllListeners('exit').once('exit', resolve);
      });
      child.kill('SIGKILL');
      await gone;
    }
    rmSync(directory, { recursive: true, force: true });
  });

  it.each([
    ['oci', 'plain'],
    ['docker', 'plain'],
    ['oci', 'secure'],
    ['docker', 'secure'],
  ] as const)('%s manifest, %s', async (tag, which) => {
    const { host } = which === 'plain' ? plain : secure;
    const rig = rigOf(which === 'plain' ? insecure(host) : '', trusting(tls.cert));
    const resolved = await rig.resolve(`${host}/team/app:${tag}`);
    expect(resolved.config).toMatchObject({ env: ['PATH=/bin'], labels: { a: 'b' }, os: 'linux' });
    expect(resolved.manifest.layers.length).toBe(2);
    for (const layer of resolved.manifest.layers) {
      const bytes = await rig.fetch(resolved, layer);
      expect(bytes.byteLength).toBe(layer.size);
      expect(digestOf(bytes)).toBe(layer.digest);
    }
    const again = await rig.resolve(`${host}/team/app@${resolved.manifestDigest}`);
    expect(again.imageId).toBe(resolved.imageId);
    if (tag === 'oci') expect(resolved.imageId).toBe(digestOf(image.config));
    rig.client.close();
  });

  it('what is not there is notFound', async () => {
    const rig = rigOf(insecure(plain.host));
    const fault = await faultOf(rig.resolve(`${plain.host}/team/app:none`));
    expect(fault).toMatchObject({ kind: 'notFound' });
    expect(fault.message).toContain('MANIFEST_UNKNOWN');
    rig.client.close();
  });

  it('a download goes on by Range', async () => {
    const { createHash } = await import('node:crypto');
    const rig = rigOf(insecure(plain.host));
    const resolved = await rig.resolve(`${plain.host}/team/app:oci`);
    const descriptor = resolved.manifest.layers[1];
    if (descriptor === undefined) throw new Error('no layer');
    const whole = await rig.fetch(resolved, descriptor);
    const have = whole.subarray(0, descriptor.size - 100);
    let rest = 0;
    await rig.client.fetchBlob(resolved.handle, {
      descriptor,
      sink: { write: (piece) => void (rest += piece.byteLength) },
      signal: new AbortController().signal,
      partial: { bytes: have.byteLength, hash: createHash('sha256').update(have) },
    });
    expect(rest).toBe(100);
    rig.client.close();
  });
});
