// The files of deploy/: what an operator copies must be right as it stands.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseList } from '../../../src/network/conflist.ts';
import { defaultConflist } from '../../../src/network/default-conflist.ts';
import { run } from '../../support/run.ts';
import { cacheDirectory, checkout } from '../../support/tools/cache.ts';
import { unless, lacking } from '../../support/skips/unless.ts';

const SOCKET = 'unix:///run/troupe/troupe.sock';
const read = (name: string): string => readFileSync(join(checkout, 'deploy', name), 'utf8');

/** A flat mapping of scalars with comments, the part of YAML that crictl.yaml uses. Throws on anything else. */
function parseFlatYaml(text: string): Map<string, string> {
  const entries = new Map<string, string>();
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const [, key, value] = /^([a-z-]+): (\S+)$/.exec(line) ?? [];
    if (key === undefined || value === undefined || entries.has(key))
      throw new Error(`not a line of flat YAML: ${line}`);
    entries.set(key, value);
  }
  return entries;
}

describe('crictl.yaml', () => {
  it('names the default socket for both services', () => {
    const entries = parseFlatYaml(read('crictl.yaml'));
    expect(entries.get('runtime-endpoint')).toBe(SOCKET);
    expect(entries.get('image-endpoint')).toBe(SOCKET);
    expect(Number(entries.get('timeout'))).toBeGreaterThanOrEqual(10);
  });

  const crictl = join(cacheDirectory, 'tools/crictl', `v1.36.0-${process.arch}`, 'crictl');
  if (!existsSync(crictl))
    console.log(`skipped: crictl reads crictl.yaml (it is not built; sudo npm test builds it)`);
  unless(it, lacking(crictl))('is read by crictl', async () => {
    const args = ['--config', join(checkout, 'deploy/crictl.yaml'), 'config', '--get'];
    expect((await run([crictl, ...args, 'runtime-endpoint'])).stdout.trim()).toBe(SOCKET);
    expect((await run([crictl, ...args, 'image-endpoint'])).stdout.trim()).toBe(SOCKET);
  });
});

describe('the CNI example', () => {
  it('is a configuration list that our own parser accepts', () => {
    const parsed = parseList(read('10-troupe.conflist'));
    expect(parsed).toMatchObject({ ok: true, network: { name: 'troupe' } });
  });

  it('is troupe’s built-in network, as a file to start from', () => {
    interface Conflist {
      plugins: [{ bridge: string; ipMasq?: boolean; ipam: Record<string, unknown> }, object];
    }
    const example = JSON.parse(read('10-troupe.conflist')) as Conflist;
    const own = JSON.parse(defaultConflist({ leaseDir: '/leases' })) as Conflist;
    // the daemon makes the masquerade rule for its own network only
    const { ipMasq, ...bridge } = example.plugins[0];
    expect(ipMasq).toBe(true);
    expect({ ...bridge, ipam: { ...bridge.ipam, dataDir: '/leases' } }).toEqual(own.plugins[0]);
    expect(example.plugins[1]).toEqual(own.plugins[1]);
  });
});

describe('kubelet-config.yaml', () => {
  it('is a configuration with the same socket and statistics by CRI', () => {
    const lines = read('kubelet-config.yaml').split('\n');
    expect(lines).toContain('kind: KubeletConfiguration');
    expect(lines).toContain(`containerRuntimeEndpoint: ${SOCKET}`);
    expect(lines).toContain(`imageServiceEndpoint: ${SOCKET}`);
    expect(lines).toContain('  PodAndContainerStatsFromCRI: true');
    expect(lines.filter((line) => line.includes('\t'))).toEqual([]);
  });
});
