/** Rules that concern several keys: they hold for the merged configuration, not for one file. Pure. */
import { isSlice } from '../../host/cgroups/slices.ts';
import { AUTO, AUTO_RUNC } from '../../oci/runtime/handlers/handlers.ts';
import { nearestWord } from './nearest-key.ts';
import { parseListenAddress } from './sections/metrics.ts';
import { defaultConfig } from './config-schema.ts';
import type { Config } from './config-schema.ts';

/** Keys of one section that contradict each other. */
export interface Clash {
  /** The key that is reported. */
  readonly at: readonly string[];
  /** The key or table that is taken back with it. */
  readonly whole: readonly string[];
  readonly reason: string;
}

/** All contradictions of a configuration. */
export function clashesOf({ cgroup, runtime, streaming, metrics, storage }: Config): readonly Clash[] {
  return [
    ...cgroupClashes(cgroup),
    ...handlerClashes(runtime),
    ...rlimitClashes(runtime),
    ...tlsClashes('streaming', streaming),
    ...tlsClashes('metrics', metrics),
    ...metricsClashes(metrics),
    ...storageClashes(storage),
  ];
}

/** A parent in the other driver's form would put pods where neither kubelet nor systemd expects them. */
function cgroupClashes({ driver, parent }: Config['cgroup']): readonly Clash[] {
  if (parent === '' || parent === defaultConfig.cgroup.parent) return [];
  const wanted = driver === 'systemd';
  if (isSlice(parent) === wanted) return [];
  const must = wanted ? 'must be a slice' : 'must not be a slice';
  const reason = `${parent}: with the driver ${driver} it ${must}`;
  return [{ at: ['cgroup', 'parent'], whole: ['cgroup'], reason }];
}

function handlerClashes({ default_handler: name, handlers }: Config['runtime']): readonly Clash[] {
  const at = ['runtime', 'default_handler'];
  const clash = (reason: string): readonly Clash[] => [{ at, whole: at, reason }];
  if (name === AUTO) {
    if (Object.hasOwn(handlers, AUTO))
      return clash('the word is for a choice between runc and crun, and a handler has it as its name');
    return Object.hasOwn(handlers, AUTO_RUNC) ? [] : clash(`${AUTO_RUNC} is not in runtime.handlers`);
  }
  if (Object.hasOwn(handlers, name)) return [];
  const near = nearestWord(name, [...Object.keys(handlers), AUTO]);
  return clash(`${name} is not in runtime.handlers${near === undefined ? '' : `; did you mean ${near}?`}`);
}

function rlimitClashes({ rlimits }: Config['runtime']): readonly Clash[] {
  const amount = (limit: number | 'unlimited'): number => (limit === 'unlimited' ? Infinity : limit);
  return Object.entries(rlimits)
    .filter(([, { soft, hard }]) => amount(soft) > amount(hard))
    .map(([name]) => ['runtime', 'rlimits', name])
    .map((at) => ({ at, whole: at, reason: 'soft is above hard' }));
}

type TlsKeys = Pick<Config['metrics'], 'tls_cert' | 'tls_key' | 'tls_client_ca'>;

function tlsClashes(section: 'streaming' | 'metrics', keys: TlsKeys): readonly Clash[] {
  const { tls_cert: cert, tls_key: key, tls_client_ca: clientCa } = keys;
  const clash = (name: string): readonly Clash[] => [
    { at: [section, name], whole: [section], reason: 'set both a certificate and its key' },
  ];
  if (cert !== '' && key === '') return clash('tls_cert');
  if (cert === '' && key !== '') return clash('tls_key');
  return cert === '' && clientCa !== '' ? clash('tls_client_ca') : [];
}

/** Other machines must not read the metrics by just reaching the address. */
function metricsClashes({
  address,
  tls_cert: cert,
  tls_client_ca: clientCa,
}: Config['metrics']): readonly Clash[] {
  if (parseListenAddress(address)?.isLoopback !== false || (cert !== '' && clientCa !== '')) return [];
  const reason = `${address} is not a loopback address: set tls_cert, tls_key and tls_client_ca`;
  return [{ at: ['metrics', 'address'], whole: ['metrics'], reason }];
}

function storageClashes(storage: Config['storage']): readonly Clash[] {
  const { driver, container_size: size, mount_program: mountProgram, erofs_program: erofsProgram } = storage;
  const clash = (name: string, reason: string): readonly Clash[] => {
    const at = ['storage', name];
    return [{ at, whole: at, reason }];
  };
  const needs = `the storage driver ${driver} needs a program`;
  if (driver === 'fuse-overlayfs' && mountProgram === '') return clash('mount_program', needs);
  if (driver === 'erofs' && erofsProgram === '') return clash('erofs_program', needs);
  return driver === 'vfs' && size !== 'unlimited'
    ? clash('container_size', 'the storage driver vfs has no quotas')
    : [];
}
