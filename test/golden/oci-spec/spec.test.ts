/** One document per request: a change of behaviour is a diff of these files. Rewritten with `vitest run -u`. */
import { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { container, layout, host, SANDBOX_ID, sandbox } from '../../unit/oci/runtime/spec/fixtures.ts';
import { pauseSpec } from '../../../src/oci/runtime/pause-process/bundle.ts';
import { generateSpec } from '../../../src/oci/runtime/spec/generate.ts';
import { encodeSpec, HOOK_KINDS } from '../../../src/oci/runtime/spec/types.ts';
import type { OciSpec } from '../../../src/oci/runtime/spec/types.ts';
import { applyEdits } from '../../../src/oci/runtime/spec/edits.ts';
import type { Edits } from '../../../src/oci/runtime/spec/edits.ts';
import { cases, withSeccomp } from './cases.ts';
import { ociSchema } from './oci-schema.ts';
import { violations } from './schema.ts';

const pins = {
  net: layout.pin(SANDBOX_ID, 'net'),
  ipc: layout.pin(SANDBOX_ID, 'ipc'),
  uts: layout.pin(SANDBOX_ID, 'uts'),
};

// fewer ids than the pause process usually needs
const ids = { containerId: 0, hostId: 131_072, length: 1000 };
const ownUsers = {
  ...sandbox,
  namespaces: { ...sandbox.namespaces, pid: 'pod', user: { uids: ids, gids: ids } },
} as const;

/** The module is downloaded the first time. */
const NOTHING: Edits = { env: [], devices: [], mounts: [], hooks: [], additionalGids: [] };
const gpu = {
  path: '/dev/gpu0',
  type: 'c',
  major: 195,
  minor: 0,
  fileMode: 0o660,
  uid: 0,
  gid: 44,
  permissions: 'rw',
} as const;
const edited = (edits: Partial<Edits>, input = cases['default']): OciSpec =>
  applyEdits(generateSpec(input ?? fail()), { ...NOTHING, ...edits });

const documents: ReadonlyMap<string, () => OciSpec> = new Map([
  ...Object.entries(cases).map(([name, input]): [string, () => OciSpec] => [name, () => generateSpec(input)]),
  [
    'edits-cdi',
    () =>
      edited({
        env: ['LANG=C', 'GPU=0'],
        devices: [gpu, { ...gpu, path: '/dev/gpu-fifo', type: 'p', permissions: '' }],
        additionalGids: [44],
        mounts: [
          {
            destination: '/usr/lib/libgpu.so',
            source: '/usr/lib/libgpu.so',
            type: 'bind',
            options: ['ro', 'nosuid', 'nodev', 'rbind'],
          },
        ],
        hooks: [
          {
            stage: 'createContainer',
            hook: { path: '/usr/bin/ctk', args: ['ctk', 'hook'], env: ['A=b'], timeout: 5 },
          },
        ],
      }),
  ],
  [
    'edits-cdi-rdt',
    () =>
      edited({
        intelRdt: {
          closID: 'gold',
          l3CacheSchema: 'L3:0=f',
          memBwSchema: 'MB:0=50',
          schemata: ['L2:0=f'],
          enableMonitoring: true,
        },
      }),
  ],
  [
    'edits-hooks',
    () => edited({ hooks: HOOK_KINDS.map((stage) => ({ stage, hook: { path: `/hooks/${stage}` } })) }),
  ],
  ['edits-privileged', () => edited({ devices: [gpu] }, cases['privileged'])],
  ['pause', () => pauseSpec({ id: SANDBOX_ID, sandbox, host, rootfs: layout.pauseRootfs, pins })],
  [
    'pause-sized',
    () =>
      pauseSpec({
        id: SANDBOX_ID,
        sandbox: {
          ...sandbox,
          resources: {
            ...container.resources,
            cpuPeriod: 100_000n,
            cpuQuota: 250_000n,
            cpuShares: 2560n,
            memoryLimitBytes: 2n ** 31n,
          },
        },
        host,
        rootfs: layout.pauseRootfs,
        pins,
      }),
  ],
  [
    'pause-own-seccomp',
    () =>
      pauseSpec({
        id: SANDBOX_ID,
        sandbox,
        host,
        rootfs: layout.pauseRootfs,
        pins,
        seccomp: { defaultAction: 'SCMP_ACT_ALLOW', architectures: ['SCMP_ARCH_X86_64'], syscalls: [] },
      }),
  ],
  [
    'pause-user-namespace',
    () =>
      pauseSpec({
        id: SANDBOX_ID,
        sandbox: ownUsers,
        host,
        rootfs: layout.pauseRootfs,
        pins: { ...pins, user: layout.pin(SANDBOX_ID, 'user') },
      }),
  ],
]);

/** The document as people review it. */
function golden(name: string, spec: OciSpec): string {
  const document = JSON.parse(encodeSpec(spec)) as { linux: { seccomp?: unknown } };
  if (!withSeccomp.has(name) && spec.linux.seccomp !== undefined) {
    const { defaultAction, syscalls } = spec.linux.seccomp;
    document.linux.seccomp = `${defaultAction}, ${syscalls.length} rules, ${syscalls.flatMap(({ names }) => names).length} names`;
  }
  return `${JSON.stringify(document, null, 2)}\n`;
}

describe('config.json', () => {
  test.each([...documents.keys()])('%s', async (name) => {
    const spec = documents.get(name)?.();
    if (spec === undefined) throw new Error(`no document ${name}`);
    expect(violations(JSON.parse(encodeSpec(spec)))).toEqual([]);
    await expect(golden(name, spec)).toMatchFileSnapshot(`./specs/${name}.json`);
  });

  test('each document is valid by the schema of the OCI runtime specification', async () => {
    const check = await ociSchema();
    // the schema has `shared` only; runtimes read the r as what the specification says in words: all mounts below as
    // well
    const known = (text: string): string =>
      text.replace(/"rootfsPropagation": "r(shared|slave)"/u, '"rootfsPropagation": "$1"');
    for (const [name, make] of documents)
      expect([name, check(JSON.parse(known(encodeSpec(make()))))]).toEqual([name, []]);
    expect(documents.size).toBeGreaterThanOrEqual(60);
    expect(
      check({ ociVersion: '1.0.2', process: { cwd: 5 }, linux: { devices: [{ path: '/x', type: 'q' }] } }),
    ).not.toEqual([]);
  });

  test('every golden file has a case', () => {
    const files = readdirSync(new URL('specs/', import.meta.url)).map((name) => name.replace(/\.json$/u, ''));
    expect(files.sort()).toEqual([...documents.keys()].sort());
  });

  test('S05: no annotation of the pod or the container is in the document', () => {
    const input = cases['annotations-of-the-pod-stay-out'];
    if (input === undefined) throw new Error('no such case');
    const text = encodeSpec(generateSpec(input));
    for (const key of [...Object.keys(input.spec.annotations), ...Object.keys(input.sandbox.annotations)])
      expect(text).not.toContain(key);
  });

  test('the schema check rejects a wrong document', () => {
    const good = JSON.parse(encodeSpec(generateSpec(cases['default'] ?? fail()))) as {
      linux: object;
      process: object;
      mounts: unknown[];
    };
    expect(violations({ ...good, hook: {} })).toEqual(['config.hook: not known']);
    expect(violations({ ...good, process: { ...good.process, cwd: 'here' } })).toEqual([
      'config.process.cwd: not a clean absolute path',
    ]);
    expect(violations({ ...good, mounts: [...good.mounts].reverse() })).toContain(
      'mounts: an inner one before an outer one',
    );
    expect(violations({ ...good, linux: { ...good.linux, namespaces: [{ type: 'pid' }] } })).toEqual([
      'linux.namespaces: no mount namespace',
    ]);
  });
});

function fail(): never {
  throw new Error('no such case');
}
