// The lines of `troupe status`.
import { create } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { statusLines } from '../../../../src/daemon/cli/status.ts';
import { defaultConfig } from '../../../../src/daemon/config/config-schema.ts';
import { StatusResponseSchema } from '../../../../src/gen/introspection/v1/introspection_pb.ts';
import { NOW, pipe, S } from './stage.ts';

const GIB = 1024n ** 3n;
const answer = {
  version: '1.2.3',
  pid: 42n,
  startedNs: NOW - 90n * S,
  rssBytes: 64n << 20n,
  networkReady: true,
  networkName: 'pods',
  networkFile: '/etc/cni/net.d/10-pods.conflist',
  networkSkipped: [{ path: '/etc/cni/net.d/20-bad.conflist', reason: 'not a JSON object' }],
  handlers: [
    { name: '', ready: true, choice: 'auto chose runc; not crun: not found' },
    { name: 'runc', ready: true, version: 'runc version 1.1.5', flaws: 'runc 1.1.5 has 3 known flaws' },
    { name: 'kata', ready: false, reason: 'not found' },
  ],
  configFiles: ['/etc/troupe/troupe.toml', '/etc/troupe/troupe.toml.d/10-net.toml'],
  socket: '/run/troupe/troupe.sock',
  pageOrigin: 'http://127.0.0.1:10010',
  pageTokenFile: '/run/troupe/introspection.token',
  disks: [
    { path: '/run/troupe', holds: ['state'], totalBytes: GIB, freeBytes: GIB, reserveBytes: GIB / 16n },
    {
      path: '/var/lib/troupe',
      holds: ['pods'],
      totalBytes: 40n * GIB,
      freeBytes: 25n * GIB,
      reserveBytes: GIB,
    },
    {
      path: '/images',
      holds: ['images'],
      totalBytes: 200n * GIB,
      freeBytes: GIB / 8n,
      reserveBytes: GIB / 4n,
    },
  ],
};
const facts = {
  config: { root: '/var/lib/troupe', storage: { ...defaultConfig.storage, image_store: '/images' } },
  ownUse: { imageBytes: 1.5 * 1024 ** 3, containerBytes: 12 * 1024 * 1024 },
};
const linesOf = (more: object, others: object = {}): readonly string[] =>
  statusLines(
    create(StatusResponseSchema, { ...answer, ...more }),
    { ...facts, ...others },
    NOW,
    pipe().screen,
  );

describe('status', () => {
  it('counts one pod as one', () => {
    expect(linesOf({ sandboxes: 1, containers: 2, images: 1 })).toContain(
      'alive       1 pod, 2 containers, 0 pulls, 1 image',
    );
  });

  it('shows network with file, handlers in a line each, files, disks and page', () => {
    expect(linesOf({})).toEqual([
      'troupe      1.2.3, pid 42, up 90s, 64.0 MiB of memory',
      'runtime     ready',
      'network     ready: pods (/etc/cni/net.d/10-pods.conflist)',
      '            skipped /etc/cni/net.d/20-bad.conflist: not a JSON object',
      'handler     default ready',
      '            auto chose runc; not crun: not found',
      'handler     runc ready; runc version 1.1.5; runc 1.1.5 has 3 known flaws',
      'handler     kata not ready: not found',
      'alive       0 pods, 0 containers, 0 pulls, 0 images',
      'config      /etc/troupe/troupe.toml, /etc/troupe/troupe.toml.d/10-net.toml',
      'storage     overlay at /var/lib/troupe, images at /images',
      'disk        /var/lib/troupe: 25.0 GiB free of 40.0 GiB',
      '            /images: 128 MiB free of 200 GiB: too little for pulls, which leave 256 MiB',
      '            images use 1.5 GiB, what containers wrote 12.0 MiB',
      'socket      /run/troupe/troupe.sock',
      'page        http://127.0.0.1:10010/#token=…, the token is in /run/troupe/introspection.token',
    ]);
  });

  it('of a daemon with little to say has a line for each thing all the same', () => {
    const text = linesOf(
      {
        networkReady: false,
        networkMessage: 'no plugin bridge',
        networkFile: '',
        networkSkipped: [],
        configFiles: [],
        pageOrigin: '',
        disks: [],
      },
      { ownUse: undefined },
    ).join('\n');
    expect(text).toContain(
      "network     not ready: no plugin bridge\n            in use: pods (troupe's own)\n",
    );
    expect(text).toContain('config      the defaults, no file\n');
    expect(text).not.toMatch(/^(?:disk|page) /mu);
  });

  it('names each daemon before this one that still holds sessions', () => {
    const former = { pid: 41n, version: '1.2.2', sinceNs: NOW - 90n * S, sessions: 3 };
    expect(linesOf({ formerDaemons: [former] })).toContain(
      'former      daemon 41 of version 1.2.2 still serves 3 sessions, for 90s',
    );
  });
});
