// What CNI plugins keep of an instance, where some of it can't be read.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it, test } from 'vitest';
import { cliLimits } from '../../../../src/daemon/bounds.ts';
import { seenNetworks } from '../../../../src/daemon/cli/machine-network.ts';
import { defaultConfig } from '../../../../src/daemon/config/config-schema.ts';
import { realClock } from '../../../../src/host/clock/clock.ts';
import { stopKernelThread } from '../../../../src/host/kernel-thread/kernel-thread.ts';
import { AttachmentCache } from '../../../../src/network/attachment-cache.ts';
import type { Network } from '../../../../src/network/conflist.ts';
import { defaultNetwork } from '../../../../src/network/default-conflist.ts';
import { sandboxId } from '../../network/fake-plugins.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'troupe-networks-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));
afterAll(stopKernelThread);
const seen = (toolDirs: readonly string[] = []): ReturnType<typeof seenNetworks> => {
  const config = {
    ...defaultConfig,
    root,
    state: root,
    network: { ...defaultConfig.network, config_dir: join(root, 'none') },
  };
  return seenNetworks({ config, clock: realClock() }, toolDirs);
};

test('I3 unreadable CNI duties are named, and the leases are still found', async () => {
  mkdirSync(join(root, 'cni/leases/n'), { recursive: true });
  writeFileSync(join(root, 'cni/leases/n/10.0.0.2'), `${'a'.repeat(64)}\neth0`);
  writeFileSync(join(root, 'cni/cache'), 'a file');
  const { unread, attachments, leases } = await seen();
  expect(unread).toEqual([
    { path: join(root, 'cni/cache'), problem: expect.stringMatching(/^not read: .*ENOTDIR/u) },
  ]);
  expect(attachments).toEqual([]);
  expect(leases.map(({ ip, id }) => [ip, id])).toEqual([['10.0.0.2', 'a'.repeat(64)]]);
});

test('I3 missing files do not count as unread', async () => {
  expect(await seen()).toMatchObject({ unread: [], attachments: [], leases: [] });
});

describe('rules of the nat table', () => {
  const owned = `-A POSTROUTING -m comment --comment "name: \\"troupe0\\" id: \\"${'a'.repeat(64)}\\"" -j CNI-0123`;
  const rulesWith = (script: string): ReturnType<typeof seenNetworks> => {
    for (const name of ['iptables-save', 'ip6tables-save'])
      writeFileSync(join(root, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    return seen([root]);
  };

  it('I3 that the tool can’t list count as unread, not as absent', async () => {
    const { unread, rules } = await rulesWith(
      `echo '${owned}'; echo 'nf_tables: Permission denied' >&2; exit 4`,
    );
    const problem = expect.stringMatching(/^not read: .*exit code 4: .*Permission denied/u) as string;
    expect(unread.toSorted((a, b) => a.path.localeCompare(b.path))).toEqual([
      { path: join(root, 'ip6tables-save'), problem },
      { path: join(root, 'iptables-save'), problem },
    ]);
    expect(rules).toEqual([]);
  });

  it('I3 beyond the bound count as unread', async () => {
    const { unread } = await rulesWith(`head -c ${cliLimits.toolBytes + 1} /dev/zero`);
    expect(unread.map(({ problem }) => problem)).toEqual(
      Array.from({ length: 2 }, () => expect.stringContaining('more than') as string),
    );
  });

  it('I3 that a tool which can’t be run would list count as unread', async () => {
    writeFileSync(join(root, 'iptables-save'), '#!/no/such/interpreter\n', { mode: 0o755 });
    expect((await seen([root])).unread).toEqual([
      { path: join(root, 'iptables-save'), problem: expect.stringMatching(/^not read: /u) as string },
    ]);
  });

  it.each([
    'iptables-save v1.8.9 (legacy): Cannot initialize: Table does not exist (do you need to insmod?)',
    'ip6tables-save v1.8.9 (legacy): Cannot initialize: Address family not supported by protocol',
    'iptables-save v1.8.9 (nf_tables): Could not fetch rule set generation id: Invalid argument',
    'iptables-save/1.8.9 Failed to initialize nft: Protocol not supported',
  ])('I3 are empty where the kernel has no such table: %s', async (said) => {
    expect(await rulesWith(`echo '${said}' >&2; exit 1`)).toMatchObject({ unread: [], rules: [] });
  });

  it('I3 that are listed are found', async () => {
    expect(
      (await rulesWith(`echo '${owned}'`)).rules.map(({ family, network }) => [family, network]),
    ).toEqual([
      [4, 'troupe0'],
      [6, 'troupe0'],
    ]);
  });
});

test('I3 a directory of networks that can’t be read counts as unread', async () => {
  writeFileSync(join(root, 'none'), 'a file');
  expect((await seen()).unread).toEqual([
    { path: join(root, 'none'), problem: expect.stringMatching(/^not read: .*ENOTDIR/u) as string },
  ]);
});

describe('masquerade rules', () => {
  const nft = (script: string): ReturnType<typeof seenNetworks> => {
    writeFileSync(join(root, 'nft'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    return seen([root]);
  };
  const rule = 'hook postrouting; masquerade comment \\"troupe: 10.62.0.0/16\\"';

  it('I3 are not searched where this instance has made none', async () => {
    expect((await nft('echo "asked" >&2; exit 1')).unread).toEqual([]);
  });

  it.each([
    [
      'whole',
      `case "$*" in *" ip "*) echo "${rule}";; *) echo "No such file or directory" >&2; exit 1;; esac`,
      [[4, true]],
    ],
    [
      'a table that was flushed',
      'echo "table {}"',
      [
        [4, false],
        [6, false],
      ],
    ],
    ['absent', 'echo "Error: No such file or directory" >&2; exit 1', []],
  ])('I3 are found by the bridge that the state directory names: %s', async (_, script, wanted) => {
    writeFileSync(join(root, 'network.masquerade'), 'br9\n');
    const { masquerades, unread } = await nft(script);
    expect(unread).toEqual([]);
    expect(masquerades.map(({ rule: { family }, isWhole }) => [family, isWhole])).toEqual(wanted);
    expect(masquerades.every(({ tool, rule: { bridge } }) => tool === 'nft' && bridge === 'br9')).toBe(true);
  });

  it('I3 that can’t be listed count as unread', async () => {
    writeFileSync(join(root, 'network.masquerade'), 'br9\n');
    const problem = expect.stringMatching(
      /^not read: nft list: exit code 1: Operation not permitted/u,
    ) as string;
    expect((await nft('echo "Operation not permitted" >&2; exit 1')).unread).toEqual([
      { path: 'masquerade rule of nft', problem },
      { path: 'masquerade rule of nft', problem },
    ]);
  });

  it('I3 are needed by pods that ADD attached without rules of their own', async () => {
    const { network } = defaultConfig;
    const own = defaultNetwork({ bridge: network.default_bridge, leaseDir: join(root, 'cni/leases') });
    const cache = new AttachmentCache(join(root, 'cni/cache'));
    const attach = (digit: string, used: Network): Promise<void> =>
      cache.begin({
        id: sandboxId(digit),
        ifName: 'eth0',
        network: used,
        pluginDirs: [],
        cniArgs: '',
        runtimeConfig: {},
      });
    await attach('a', own);
    const earlier = own.plugins.map((plugin) => ({ ...plugin, raw: { ...plugin.raw, ipMasq: true } }));
    await attach('b', { ...own, plugins: earlier });
    await attach('c', { ...own, name: 'other' });
    expect((await seen()).masqueraded).toEqual([sandboxId('a')]);
  });
});
