// The systemd units of deploy/: each directive stands where systemd reads it, and the kubelet gets its flags.
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
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { EXIT } from '../../../src/daemon/cli/exit-codes.ts';
import { defaultConfig } from '../../../src/daemon/config/config-schema.ts';
import { SOCKET_NAMES } from '../../../src/daemon/wiring/listening-sockets.ts';
import { run } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';
import { lacking, unless } from '../../support/skips/unless.ts';
import { isNewerKey, misplaced, parseUnit } from './unit-file.ts';

const SOCKET = 'unix:///run/troupe/troupe.sock';
const deploy = join(checkout, 'deploy');
const read = (name: string): string => readFileSync(join(deploy, name), 'utf8');

/** Whatever of deploy/ systemd reads: units, and drop-ins for other units. */
const files = readdirSync(deploy).filter((name) =>
  /\.(?:service|socket|timer|target|mount|path|slice|conf)$/.test(name),
);

describe('the units of deploy/', () => {
  it('are these', () => {
    expect(files).toEqual(['kubelet-troupe.conf', 'troupe.service', 'troupe.socket']);
  });

  it.each(files)('%s: each directive stands in the section in which systemd reads it', (name) => {
    expect(misplaced(parseUnit(read(name)))).toEqual([]);
  });

  const analyze = '/usr/bin/systemd-analyze';
  if (!existsSync(analyze))
    console.log('skipped: systemd reads the units (systemd-analyze is not installed)');
  unless(it, lacking(analyze)).each(files)(
    'F89 systemd reads %s without a warning about a key or a value',
    async (name: string) => {
      const directory = mkdtempSync(join(tmpdir(), 'troupe-unit-'));
      try {
        const unit = installUnits(directory, name);
        const env = { SYSTEMD_UNIT_PATH: `${directory}:` };
        const { code, stdout, stderr } = await run([analyze, 'verify', unit], { env });
        const complaints = `${stdout}${stderr}`.split('\n').filter((line) => line.includes(directory));
        expect(complaints.filter((line) => !isNewerKey(line))).toEqual([]);
        expect(code).toBe(0);
      } finally {
        rmSync(directory, { recursive: true });
      }
    },
  );
});

/** Lays the units out as an administrator does; programs become one that is there, as `verify` demands. */
function installUnits(directory: string, name: string): string {
  const write = (path: string, text: string): void =>
    writeFileSync(
      join(directory, path),
      text.replace(/^(Exec(?:Start|Reload)=)\/\S+/gm, `$1${process.execPath}`),
    );
  write('troupe.service', read('troupe.service'));
  write('troupe.socket', read('troupe.socket'));
  write('kubelet.service', PACKAGED_KUBELET);
  mkdirSync(join(directory, 'kubelet.service.d'));
  write('kubelet.service.d/10-kubeadm.conf', PACKAGED_KUBEADM);
  write('kubelet.service.d/20-troupe.conf', read('kubelet-troupe.conf'));
  return join(directory, name.endsWith('.conf') ? 'kubelet.service' : name);
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
    // among other services; npm run handover measures with it
    expect(value('Service', 'CPUWeight')).toBe('500');
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

  it('gives the daemon no mount namespace of its own, which would hide its mounts from the kubelet', () => {
    const own =
      /^(Private(Mounts|Tmp|Devices)|Protect\w+|ReadOnlyPaths|ReadWritePaths|InaccessiblePaths|RootDirectory|MountFlags|TemporaryFileSystem|BindPaths)$/;
    expect([...(unit.get('Service')?.keys() ?? [])].filter((key) => own.test(key))).toEqual([]);
  });
});

describe('the socket unit', () => {
  const unit = parseUnit(read('troupe.socket'));
  const value = (key: string): string | undefined => unit.get('Socket')?.get(key)?.join(' ');

  it('S69 makes the default socket, for root alone, under the name that the daemon knows', () => {
    expect([value('ListenStream'), value('SocketMode'), value('FileDescriptorName')]).toEqual([
      defaultConfig.socket,
      '0600',
      SOCKET_NAMES[0],
    ]);
  });

  it('has a place for each socket in the service, and one more for each that is made again', () => {
    const service = parseUnit(read('troupe.service')).get('Service');
    expect(Number(service?.get('FileDescriptorStoreMax'))).toBeGreaterThanOrEqual(2 * SOCKET_NAMES.length);
  });
});

/** kubelet.service of the packages kubelet of pkgs.k8s.io (kubernetes/release, cmd/krel/templates/latest/kubelet). */
const PACKAGED_KUBELET = `[Unit]
Description=kubelet: The Kubernetes Node Agent
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=/usr/bin/kubelet
Restart=always
StartLimitInterval=0
RestartSec=10

[Install]
WantedBy=multi-user.target
`;

/** 10-kubeadm.conf of the packages kubeadm of the same place; Debian's names /etc/default/kubelet. */
const PACKAGED_KUBEADM = `[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-/etc/sysconfig/kubelet
ExecStart=
ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
`;

type Variables = Readonly<Record<string, string>>;

/**
 * The arguments that systemd starts the kubelet with: the last ExecStart after an empty one, with each `$NAME` split
 * into words; EnvironmentFile= counts more than Environment= wherever they stand (systemd.exec(5)).
 * @param environmentFiles path → variables; a missing path is the dash's case
 */
function kubeletArguments(units: readonly string[], environmentFiles: Readonly<Record<string, Variables>>) {
  const variables: Record<string, string> = {};
  const values = (key: string): string[] =>
    units.flatMap((text) => [...(parseUnit(text).get('Service')?.get(key) ?? [])]);
  for (const assignment of values('Environment')) {
    const [, name = '', value = ''] = /^"(\w+)=(.*)"$/.exec(assignment) ?? [];
    variables[name] = value;
  }
  for (const path of values('EnvironmentFile'))
    Object.assign(variables, environmentFiles[path.replace(/^-/, '')] ?? {});
  const commands = values('ExecStart');
  const [command = '', ...more] = commands.slice(commands.lastIndexOf('') + 1);
  expect(more, 'one command').toEqual([]);
  return command
    .split(' ')
    .flatMap((word) => (word.startsWith('$') ? (variables[word.slice(1)] ?? '').split(' ') : [word]))
    .filter((word) => word !== '');
}

describe('what the kubelet gets', () => {
  const dropIn = read('kubelet-troupe.conf');
  const last = (words: readonly string[], flag: string): string | undefined =>
    words
      .filter((word) => word.startsWith(`--${flag}=`))
      .at(-1)
      ?.slice(flag.length + 3);

  it('is started after troupe', () => {
    expect(parseUnit(dropIn).get('Unit')?.get('After')).toEqual(['troupe.service']);
  });

  const kubeadm = [PACKAGED_KUBELET, PACKAGED_KUBEADM, dropIn];
  it.each<[string, readonly string[], Readonly<Record<string, Variables>>]>([
    ['a package whose file sets no flags', kubeadm, { '/etc/sysconfig/kubelet': { KUBELET_EXTRA_ARGS: '' } }],
    [
      'the administrator’s flags in that file',
      kubeadm,
      { '/etc/sysconfig/kubelet': { KUBELET_EXTRA_ARGS: '--v=4' } },
    ],
    [
      'another runtime’s socket from kubeadm',
      kubeadm,
      {
        '/var/lib/kubelet/kubeadm-flags.env': {
          KUBELET_KUBEADM_ARGS: '--container-runtime-endpoint=unix:///run/other.sock',
        },
      },
    ],
    ['no such file', kubeadm, {}],
    ['no kubeadm', [PACKAGED_KUBELET, dropIn], {}],
  ])('is the flags of our socket last, beside %s', (_, units, environmentFiles) => {
    const words = kubeletArguments(units, environmentFiles);
    expect(words[0]).toBe('/usr/bin/kubelet');
    expect(last(words, 'container-runtime-endpoint')).toBe(SOCKET);
    expect(last(words, 'image-service-endpoint')).toBe(SOCKET);
    const all = Object.values(environmentFiles).flatMap((variables) => Object.values(variables));
    expect(words).toEqual(expect.arrayContaining(all.filter((value) => value !== '')));
    if (units.length > 2) expect(words).toContain('--config=/var/lib/kubelet/config.yaml');
  });
});
