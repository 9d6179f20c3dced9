/** Redirects and mirrors: rows F64 and F66 of the fault matrix. In this process, over loopback. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { distributionLimits } from '../../../src/oci/images/bounds.ts';
import { injecting, injects } from '../../support/faults/injects.ts';
import * as fake from '../../support/registry/fake-registry.ts';
import { digestOf } from '../../support/registry/digest.ts';
import { FakeRegistry } from '../../support/registry/fake-registry.ts';
import { faultOf } from '../../support/fault-of.ts';
import { insecure, rigOf, type Rig } from '../../support/registry/rig.ts';
import type { TestImage, TestLayer } from '../../support/registry/images.ts';
import { blobPath, firstLayer, serveImage } from './served-image.ts';

let registry: FakeRegistry;
let rig: Rig;
let layer: TestLayer;
let image: TestImage;
let reference: string;

beforeEach(async () => {
  ({ registry, rig, layer, image, reference } = await serveImage());
});

afterEach(async () => {
  rig.client.close();
  await registry.close();
  expect(rig.clock.timers.size).toBe(0);
});

const hostileRedirect = injects(
  'F64',
  'a redirect in a loop, to another scheme, or to an address of the node',
);
const deadMirror = injects('F66', 'a mirror that is dead, lies, or dies within a layer');

describe('F64 redirects', () => {
  it('to another host are followed for blobs', async () => {
    const store = await FakeRegistry.start();
    try {
      store.addBlob(layer.bytes);
      const both = rigOf(insecure(registry.host, store.host));
      registry.on(
        blobPath(layer),
        fake.redirect(`${store.url}/store/blobs/${layer.digest}?signature=secret`),
      );
      const resolved = await both.resolve(reference);
      expect(digestOf(await both.fetch(resolved, firstLayer(resolved)))).toBe(layer.digest);
      both.client.close();
    } finally {
      await store.close();
    }
  });

  it('in a loop end after ten hops', async () => {
    registry.on(
      /manifests/u,
      injecting(
        hostileRedirect,
        fake.redirect((request) => request.url ?? ''),
      ),
    );
    const fault = await faultOf(rig.resolve(reference));
    expect(fault.message).toContain('more than 10 redirects');
    expect(registry.count(/manifests/u)).toBe(11);
  });

  it.each([
    ['to a file', 'file:///etc/shadow', 'the URL scheme file: is not supported'],
    ['to ftp', 'ftp://r.example/x', 'the URL scheme ftp: is not supported'],
    ['to data', 'data:text/plain,x', 'the URL scheme data: is not supported'],
    ['to a URL with credentials', 'https://u:p@r.example/x', 'credentials in it'],
    [
      'S80 to the metadata service',
      'https://169.254.169.254/latest',
      'a loopback, link-local or metadata address',
    ],
    ['S80 to it in one number', 'https://2852039166/latest', 'a loopback, link-local or metadata address'],
    [
      'S80 to it in IPv6',
      'https://[::ffff:169.254.169.254]/latest',
      'a loopback, link-local or metadata address',
    ],
    ['to plain http elsewhere', 'http://r.example/x', 'not configured as insecure'],
    ['to nonsense', 'http://[', 'an invalid URL'],
  ])('%s are refused', async (_name, location, words) => {
    registry.on(/manifests/u, injecting(hostileRedirect, fake.redirect(location)));
    const fault = await faultOf(rig.resolve(reference));
    expect(fault.message).toContain(words);
    expect(registry.count(/manifests/u)).toBe(1);
  });
});

describe('F66 mirrors', () => {
  const mirrored = (...mirrors: readonly string[]): string =>
    `[[registry]]\nlocation = "${registry.host}"\ninsecure = true\n${mirrors
      .map((host) => `[[registry.mirror]]\nlocation = "${host}"\ninsecure = true\n`)
      .join('')}`;

  it('are skipped when dead, without the image or lying; the registry has it', async () => {
    const dead = await FakeRegistry.start();
    const { host: deadHost } = dead;
    await dead.close();
    const empty = await FakeRegistry.start();
    const liar = await FakeRegistry.start();
    try {
      liar.push('a', 'v', image);
      liar.on(/blobs/u, injecting(deadMirror, fake.answer('no config')));
      const all = rigOf(mirrored(deadHost, empty.host, liar.host));
      const resolved = await all.resolve(reference);
      expect(digestOf(await all.fetch(resolved, firstLayer(resolved)))).toBe(layer.digest);
      expect(empty.count(/manifests/u)).toBe(1);
      expect(liar.count(/manifests/u)).toBe(1);
      expect(registry.count(/manifests/u)).toBe(1);
      all.client.close();
    } finally {
      await empty.close();
      await liar.close();
    }
  });

  it('a good mirror leaves the registry unasked', async () => {
    const mirror = await FakeRegistry.start();
    try {
      mirror.push('a', 'v', image);
      const both = rigOf(mirrored(mirror.host));
      const resolved = await both.resolve(reference);
      await both.fetch(resolved, firstLayer(resolved));
      expect(registry.seen).toEqual([]);
      both.client.close();
    } finally {
      await mirror.close();
    }
  });

  it('a mirror that dies in the middle of a layer is resumed at the registry', async () => {
    const mirror = await FakeRegistry.start();
    try {
      mirror.push('a', 'v', image);
      mirror.on(blobPath(layer), fake.breakOff(layer.bytes, 100_000, 'close'));
      const both = rigOf(mirrored(mirror.host));
      const resolved = await both.resolve(reference);
      expect(digestOf(await both.fetch(resolved, firstLayer(resolved)))).toBe(layer.digest);
      expect(mirror.count(blobPath(layer))).toBe(distributionLimits.mirrorAttempts);
      expect(registry.seen.at(-1)?.range).toMatch(/^bytes=[1-9]/u);
      both.client.close();
    } finally {
      await mirror.close();
    }
  });

  it('a wrong layer of a mirror is fetched again from the registry where the sink can restart, else an error', async () => {
    const mirror = await FakeRegistry.start();
    try {
      mirror.push('a', 'v', image);
      mirror.on(blobPath(layer), fake.answer(Buffer.alloc(layer.bytes.byteLength)));
      const both = rigOf(mirrored(mirror.host));
      const resolved = await both.resolve(reference);
      const fault = await faultOf(both.fetch(resolved, firstLayer(resolved)));
      expect(fault.message).toContain(`${mirror.host} sent content`);
      expect(digestOf(await both.fetch(resolved, firstLayer(resolved), { restart: true }))).toBe(
        layer.digest,
      );
      both.client.close();
    } finally {
      await mirror.close();
    }
  });

  it('all dead is RegistryUnavailable, with each host and its reason', async () => {
    const dead = await FakeRegistry.start();
    const { host } = dead;
    await dead.close();
    const alone = rigOf(
      `[[registry]]\nlocation = "${host}"\ninsecure = true\nmirror = [{ location = "127.0.0.1:1", insecure = true }]`,
    );
    const fault = await faultOf(alone.resolve(`${host}/a:v`));
    expect(fault).toMatchObject({ kind: 'outside', retryable: true });
    expect(fault.message.startsWith('RegistryUnavailable: ')).toBe(true);
    expect(fault.message).toContain(`${host}: connect ECONNREFUSED`);
    expect(fault.message).toContain('127.0.0.1:1: connect ECONNREFUSED');
  });

  it('an unknown host name is RegistryUnavailable', async () => {
    const lookup = ((_name: string, _options: object, callback: (error: Error) => void) =>
      callback(Object.assign(new Error('getaddrinfo ENOTFOUND r.example'), { code: 'ENOTFOUND' }))) as never;
    const alone = rigOf('', { lookup });
    const fault = await faultOf(alone.resolve('r.example/a:v'));
    expect(fault.message).toContain('RegistryUnavailable: ');
    expect(fault.message).toContain('r.example: getaddrinfo ENOTFOUND');
  });

  it('a connection that is never established is given up', async () => {
    // the resolver never answers, as one does behind a black hole
    const alone = rigOf('', { lookup: (() => undefined) as never });
    const work = faultOf(alone.resolve('r.example/a:v'));
    let done = false;
    void work.then(() => (done = true));
    while (!done) {
      alone.clock.pass(10_000);
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
    }
    expect((await work).message).toContain('r.example: timed out after 100000 ms waiting for a connection');
    expect(alone.clock.timers.size).toBe(0);
  });
});
