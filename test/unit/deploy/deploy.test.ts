// The files of deploy/: what an operator copies must be right as it stands.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { EXIT } from '../../../src/daemon/cli/exit-codes.ts';
import { parseList } from '../../../src/network/conflist.ts';
import { defaultConflist } from '../../../src/network/default-conflist.ts';
import { run } from '../../support/run.ts';
import { cacheDirectory, checkout } from '../../support/tools/cache.ts';
import { unless, lacking } from '../../support/skips/unless.ts';

const SOCKET = 'unix:///run/troupe/troupe.sock';
const read = (name: string): string => readFileSync(join(checkout, 'deploy', name), 'utf8');

/** Section → key → values, as systemd.syntax(7) reads a unit. Throws on a line of any other kind. */
function parseUnit(text: string): Map<string, Map<string, string[]>> {
  const sections = new Map<string, Map<string, string[]>>();
  let current: Map<string, string[]> | undefined;
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const section = /^\[(\w+)\]$/.exec(line)?.[1];
    if (section !== undefined) {
      current = new Map();
      sections.set(section, current);
      continue;
    }
    const [, key, value] = /^([A-Z]\w+)=(.*)$/.exec(line) ?? [];
    if (key === undefined || value === undefined || current === undefined)
      throw new Error(`not a line of a unit: ${line}`);
    current.set(key, [...(current.get(key) ?? []), value]);
  }
  return sections;
}

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

describe('the systemd unit', () => {
  const unit = parseUnit(read('troupe.service'));
  const value = (section: string, key: string): string | undefined => unit.get(section)?.get(key)?.join(' ');

  it('has the three sections and no key twice', () => {
    expect([...unit.keys()]).toEqual(['Unit', 'Service', 'Install']);
    for (const keys of unit.values()) for (const [key, values] of keys) expect(values, key).toHaveLength(1);
  });

  it('leaves containers running when the daemon stops, restarts or runs out of memory', () => {
    expect(value('Service', 'KillMode')).toBe('process');
    expect(value('Service', 'Delegate')).toBe('yes');
    expect(value('Service', 'OOMScoreAdjust')).toBe('-999');
    expect(value('Service', 'RuntimeDirectoryPreserve')).toBe('yes');
    expect(value('Service', 'Restart')).toBe('always');
  });

  it('is ready when the daemon reports it, and starts the launcher', () => {
    expect(value('Service', 'Type')).toBe('notify');
    expect(value('Service', 'ExecStart')).toMatch(/\/bin\/troupe serve$/);
    expect(existsSync(join(checkout, 'bin/troupe'))).toBe(true);
  });

  it('F89 repeats a failed start without a limit, ever more slowly, except where another start changes nothing', () => {
    expect(value('Unit', 'StartLimitIntervalSec')).toBe('0');
    expect(value('Service', 'RestartPreventExitStatus')).toBe(`${EXIT.config} ${EXIT.socketTaken}`);
    expect(Number(value('Service', 'RestartMaxDelaySec'))).toBeGreaterThan(
      Number(value('Service', 'RestartSec')),
    );
    expect(Number(value('Service', 'RestartSteps'))).toBeGreaterThan(0);
  });

  const analyze = '/usr/bin/systemd-analyze';
  if (!existsSync(analyze)) console.log('skipped: systemd reads the unit (systemd-analyze is not installed)');
  unless(it, lacking(analyze))(
    'F89 is read by systemd without a warning about a key or a value',
    async () => {
      const directory = mkdtempSync(join(tmpdir(), 'troupe-unit-'));
      try {
        const file = join(directory, 'troupe.service');
        // verify expects the program where the unit says that it is installed
        writeFileSync(
          file,
          read('troupe.service').replace(/^ExecStart=\S+/m, `ExecStart=${process.execPath}`),
        );
        const { stdout, stderr } = await run([analyze, 'verify', file]);
        const complaints = `${stdout}${stderr}`.split('\n').filter((line) => line.includes('troupe.service'));
        // keys of systemd 254, which older ones warn of
        const isNew = /Unknown key(?: name)? '(?:RestartSteps|RestartMaxDelaySec)' in section/;
        expect(complaints.filter((line) => !isNew.test(line))).toEqual([]);
      } finally {
        rmSync(directory, { recursive: true });
      }
    },
  );

  it('gives the daemon no mount namespace of its own, which would hide its mounts from the kubelet', () => {
    const own =
      /^(Private(Mounts|Tmp|Devices)|Protect\w+|ReadOnlyPaths|ReadWritePaths|InaccessiblePaths|RootDirectory|MountFlags|TemporaryFileSystem|BindPaths)$/;
    expect([...(unit.get('Service')?.keys() ?? [])].filter((key) => own.test(key))).toEqual([]);
  });
});

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

describe('what the kubelet gets', () => {
  it('is a drop-in that points it at our socket and starts it after us', () => {
    const unit = parseUnit(read('kubelet-troupe.conf'));
    expect(unit.get('Unit')?.get('After')).toEqual(['troupe.service']);
    const environment = unit.get('Service')?.get('Environment')?.[0] ?? '';
    expect(environment).toContain(`--container-runtime-endpoint=${SOCKET}`);
    expect(environment).toContain(`--image-service-endpoint=${SOCKET}`);
  });

  it('is a configuration with the same socket and statistics by CRI', () => {
    const lines = read('kubelet-config.yaml').split('\n');
    expect(lines).toContain('kind: KubeletConfiguration');
    expect(lines).toContain(`containerRuntimeEndpoint: ${SOCKET}`);
    expect(lines).toContain(`imageServiceEndpoint: ${SOCKET}`);
    expect(lines).toContain('  PodAndContainerStatsFromCRI: true');
    expect(lines.filter((line) => line.includes('\t'))).toEqual([]);
  });
});
