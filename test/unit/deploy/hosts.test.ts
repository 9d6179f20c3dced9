// deploy/kubeadm, deploy/image-based and deploy/single-node: each file is one that the program which reads it accepts,
// and the pages name all of them.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { applyFile } from '../../../src/daemon/config/config.ts';
import { defaultConfig } from '../../../src/daemon/config/config-schema.ts';
import { EXHAUSTIVE } from '../../support/exhaustive.ts';
import { run } from '../../support/run.ts';
import { lacking, unless } from '../../support/skips/unless.ts';
import { checkout } from '../../support/tools/cache.ts';
import { builtKubeadm, KUBEADM_MISSING } from '../../support/tools/kubeadm.ts';
import { isNewerKey, misplaced, parseUnit } from './unit-file.ts';

const deploy = join(checkout, 'deploy');
/** Folder → its page. */
const PAGES = {
  kubeadm: 'on-kubeadm.md',
  'image-based': 'on-image-based-hosts.md',
  'single-node': 'on-a-single-node.md',
} as const;
const files = Object.keys(PAGES).flatMap((folder) =>
  readdirSync(join(deploy, folder)).map((name) => `${folder}/${name}`),
);
const ending = (end: string): readonly string[] => files.filter((name) => name.endsWith(end));
const read = (name: string): string => readFileSync(join(deploy, name), 'utf8');
const page = (name: string): string => readFileSync(join(checkout, 'docs', name), 'utf8');

interface Document {
  readonly apiVersion: string;
  readonly kind: string;
  readonly [key: string]: unknown;
}
function documents(name: string): readonly Document[] {
  return parseAllDocuments(read(name)).map((one) => {
    if (one.errors.length > 0) throw new Error(`${name}: ${String(one.errors[0])}`);
    return one.toJS() as Document;
  });
}
const ofKind = (name: string, kind: string): Document | undefined =>
  documents(name).find((one) => one.kind === kind);

async function inDirectory(work: (directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'troupe-deploy-'));
  try {
    await work(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

describe.each(Object.entries(PAGES))('deploy/%s', (folder, name) => {
  it(`has its page, docs/${name}, which names each file, and no other`, () => {
    const named = new Set(
      [...page(name).matchAll(/\.\.\/deploy\/([\w./-]+)/gu)].map((match) => match[1] ?? ''),
    );
    expect(files.filter((file) => file.startsWith(`${folder}/`)).filter((file) => !named.has(file))).toEqual(
      [],
    );
    expect([...named].filter((file) => !existsSync(join(deploy, file)))).toEqual([]);
  });

  it('is installed by commands whose files exist', () => {
    const copied = [...page(name).matchAll(/\/opt\/troupe\/(deploy\/[\w./-]+)/gu)].map(
      (match) => match[1] ?? '',
    );
    expect(copied.length).toBeGreaterThan(0);
    expect(copied.filter((file) => !existsSync(join(checkout, file)))).toEqual([]);
  });
});

describe('drop-ins of troupe.toml', () => {
  it.each([
    ['kubeadm/10-kubeadm.toml', 'image-based/10-image-based.toml'],
    ['single-node/10-single-node.toml', 'image-based/10-image-based.toml'],
  ])('troupe config --check has no error in %s and %s', { tags: [EXHAUSTIVE] }, async (...names) => {
    await inDirectory(async (directory) => {
      mkdirSync(join(directory, 'troupe.toml.d'));
      writeFileSync(join(directory, 'troupe.toml'), '');
      for (const name of names) writeFileSync(join(directory, 'troupe.toml.d', basename(name)), read(name));
      const argv = [join(checkout, 'bin/troupe'), 'config', '--check', join(directory, 'troupe.toml')];
      const { code, stdout, stderr } = await run(argv);
      const parts = ['', ...names.map((name) => `.d/${basename(name)}`)];
      const files_ = parts.map((part) => join(directory, `troupe.toml${part}`)).toSorted();
      expect([code, stderr, stdout.trim().replace('no error in ', '').split(', ').toSorted()]).toEqual([
        0,
        '',
        files_,
      ]);
    });
  });

  it('have the systemd driver, and a network of troupe’s own on the single node only', () => {
    const of = (name: string) => applyFile(defaultConfig, read(name), name);
    expect(of('kubeadm/10-kubeadm.toml')).toMatchObject({
      cgroup: { driver: 'systemd' },
      network: { fallback: 'none' },
    });
    expect(of('single-node/10-single-node.toml')).toMatchObject({
      cgroup: { driver: 'systemd' },
      network: { fallback: 'bridge', default_subnet: defaultConfig.network.default_subnet },
    });
  });

  it('fit each other: those of an image-based host and of kubeadm are applied one after the other', () => {
    const first = applyFile(defaultConfig, read('image-based/10-image-based.toml'), 'first');
    expect(applyFile(first, read('kubeadm/10-kubeadm.toml'), 'second')).toMatchObject({
      runtime: { monitor: '/opt/bin/conmon', handlers: { runc: { path: '/opt/bin/runc' } } },
      network: { plugin_dirs: ['/opt/cni/bin'], fallback: 'none' },
    });
  });
});

describe('kubeadm’s configuration', () => {
  const yamls = ending('.yaml').filter((name) => name !== 'single-node/kubelet.yaml');

  it.each(yamls)('%s names the socket, and has the systemd driver and statistics by the CRI', (name) => {
    const registered =
      ofKind(name, 'InitConfiguration') ?? ofKind(name, 'JoinConfiguration') ?? expect.unreachable();
    expect(registered['apiVersion']).toBe('kubeadm.k8s.io/v1beta4');
    expect(registered['nodeRegistration']).toMatchObject({ criSocket: `unix://${defaultConfig.socket}` });
    // a node that joins gets the kubelet's configuration from the cluster
    if (registered.kind === 'JoinConfiguration') return;
    expect(ofKind(name, 'KubeletConfiguration')).toMatchObject({
      cgroupDriver: 'systemd',
      featureGates: { PodAndContainerStatsFromCRI: true },
    });
  });

  it('has the range of troupe’s own bridge for pods where that is the network', () => {
    const networking = (name: string) =>
      (ofKind(name, 'ClusterConfiguration') as Document & { networking: { podSubnet: string } }).networking
        .podSubnet;
    expect(networking('single-node/kubeadm.yaml')).toBe(defaultConfig.network.default_subnet);
    expect(networking('kubeadm/init.yaml')).not.toBe(defaultConfig.network.default_subnet);
  });

  it('has the directory of volume plugins in kubelet, controller manager and tmpfiles alike', () => {
    const kubelet = ofKind('image-based/kubeadm.yaml', 'KubeletConfiguration');
    const cluster = ofKind('image-based/kubeadm.yaml', 'ClusterConfiguration');
    const directory = String(kubelet?.['volumePluginDir']);
    expect(directory).toMatch(/^\/opt\//u);
    expect(cluster?.['controllerManager']).toEqual({
      extraArgs: [{ name: 'flex-volume-plugin-dir', value: directory }],
    });
    expect(read('image-based/tmpfiles.conf')).toContain(`d ${directory} `);
  });

  const kubeadm = builtKubeadm();
  if (kubeadm === undefined) console.log(`skipped: kubeadm reads its files (${KUBEADM_MISSING})`);
  unless(it, kubeadm === undefined ? KUBEADM_MISSING : undefined).each(ending('.yaml'))(
    'kubeadm config validate accepts %s',
    async (name: string) => {
      await inDirectory(async (directory) => {
        const file = join(directory, basename(name));
        // it reads a kubelet's configuration only beside one of its own
        const alone = documents(name).every(({ apiVersion }) => !apiVersion.startsWith('kubeadm'));
        const own =
          'apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.36.3\n';
        writeFileSync(file, alone ? `${own}---\n${read(name)}` : read(name));
        const { code, stdout, stderr } = await run([kubeadm ?? '', 'config', 'validate', '--config', file]);
        const warnings = stderr.split('\n').filter((line) => line !== '' && !/recommended value/u.test(line));
        expect([code, stdout.trim(), warnings]).toEqual([0, 'ok', []]);
      });
    },
  );

  unless(it, kubeadm === undefined ? KUBEADM_MISSING : undefined)(
    'kubeadm has the commands and options that the pages show',
    { tags: [EXHAUSTIVE] },
    async () => {
      const shown = Object.values(PAGES).flatMap((name) =>
        [...page(name).matchAll(/(?:^ *|sudo |`)kubeadm ([a-z][^`\n#&]*)/gmu)].map((match) => match[1] ?? ''),
      );
      expect(shown.length).toBeGreaterThan(6);
      for (const line of new Set(shown)) {
        const words = line.trim().split(/ +/u);
        const command = words.slice(
          0,
          [...words, '--'].findIndex((word) => word.startsWith('-')),
        );
        const { code, stdout } = await run([kubeadm ?? '', ...command, '--help']);
        const usage = stdout.replaceAll(/\s+/gu, ' ');
        // of an unknown command it shows the usage of the one above
        expect([code, usage]).toEqual([0, expect.stringContaining(`kubeadm ${command.join(' ')}`)]);
        for (const option of words.filter((word) => word.startsWith('--')))
          expect(usage).toContain(` ${option} `);
      }
    },
  );
});

describe('units and drop-ins', () => {
  const units = ['kubeadm/kubelet-order.conf', 'image-based/mounts.conf', 'single-node/kubelet.service'];

  it.each(units)('%s: each directive stands in the section in which systemd reads it', (name) => {
    expect(misplaced(parseUnit(read(name)))).toEqual([]);
  });

  const analyze = '/usr/bin/systemd-analyze';
  unless(it, lacking(analyze)).each(units)(
    'systemd reads %s without a warning about a key or a value',
    async (name: string) => {
      await inDirectory(async (directory) => {
        const write = (path: string, text: string): void =>
          writeFileSync(
            join(directory, path),
            text.replace(/^(Exec(?:Start|Reload)=)\/\S+/gmu, `$1${process.execPath}`),
          );
        write('troupe.service', readFileSync(join(deploy, 'troupe.service'), 'utf8'));
        write('kubelet.service', read('single-node/kubelet.service'));
        const unit = name === 'image-based/mounts.conf' ? 'troupe.service' : 'kubelet.service';
        if (name.endsWith('.conf')) {
          mkdirSync(join(directory, `${unit}.d`));
          write(`${unit}.d/${basename(name)}`, read(name));
        }
        const env = { SYSTEMD_UNIT_PATH: `${directory}:` };
        const { code, stdout, stderr } = await run([analyze, 'verify', join(directory, unit)], { env });
        const complaints = `${stdout}${stderr}`.split('\n').filter((line) => line.includes(directory));
        expect([code, complaints.filter((line) => !isNewerKey(line))]).toEqual([0, []]);
      });
    },
  );
});

describe('kernel modules and parameters', () => {
  const lines = (name: string): readonly string[] =>
    read(name)
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
  const modules = lines('kubeadm/modules.conf');

  it('modules are names, one on each line', () => {
    expect(modules).toEqual(['overlay', 'br_netfilter']);
  });

  it.each(lines('kubeadm/sysctl.conf'))(
    '%s: the kernel has it, or gets it with a module of the list',
    (line) => {
      const [, dash, name = '', value] = /^(-?)([a-z0-9_.-]+) = (\d+)$/u.exec(line) ?? [];
      expect(value).toBeDefined();
      const isThere = existsSync(join('/proc/sys', name.replaceAll('.', '/')));
      const ofModule = name.startsWith('net.bridge.') && modules.includes('br_netfilter');
      expect(isThere || ofModule || dash === '-').toBe(true);
    },
  );
});

describe('tmpfiles', () => {
  const tmpfiles = '/usr/bin/systemd-tmpfiles';
  unless(it, lacking(tmpfiles))(
    'systemd-tmpfiles makes each directory, below /etc and /opt alone',
    async () => {
      await inDirectory(async (root) => {
        const config = join(root, 'troupe.conf');
        // as this user, so that it needs no root
        const own = `${process.getuid?.() ?? 0} ${process.getgid?.() ?? 0}`;
        writeFileSync(config, read('image-based/tmpfiles.conf').replaceAll('root root', own));
        const { code, stdout, stderr } = await run([tmpfiles, '--create', `--root=${root}`, config]);
        expect([code, stdout, stderr]).toEqual([0, '', '']);
        const wanted = [...read('image-based/tmpfiles.conf').matchAll(/^d (\S+) /gmu)].map(
          (match) => match[1] ?? '',
        );
        expect(wanted.length).toBeGreaterThan(4);
        expect(wanted.filter((path) => !existsSync(join(root, path)))).toEqual([]);
        expect(readdirSync(root).toSorted()).toEqual(['etc', 'opt', 'troupe.conf']);
      });
    },
  );
});
