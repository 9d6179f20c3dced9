/** Which handler `auto` takes, and the reason it gives. */
import { describe, expect, it } from 'vitest';
import { chooseHandler } from '../../../../../src/oci/runtime/handlers/auto-handler.ts';
import type { AutoNeeds } from '../../../../../src/oci/runtime/handlers/auto-handler.ts';
import { AUTO, HandlerTable, nothingProbed } from '../../../../../src/oci/runtime/handlers/handlers.ts';
import type {
  HandlerConfig,
  ProbedHandler,
  ProbeResult,
} from '../../../../../src/oci/runtime/handlers/handlers.ts';

const FEATURES = [
  'recursive read-only mounts',
  'cgroup v1',
  'cgroup v2',
  'cgroup systemd',
  'idmapped mounts',
  'seccomp',
  'seccomp action SCMP_ACT_NOTIFY',
  'checkpoints',
];

const works = (version: string): ProbeResult => ({
  ...nothingProbed,
  ready: true,
  reason: '',
  recursiveReadOnlyMounts: true,
  userNamespaces: true,
  version,
  features: FEATURES,
});

interface Changed {
  readonly handler?: Partial<HandlerConfig>;
  readonly result?: Partial<ProbeResult>;
}

const crun = ({ handler, result }: Changed = {}): ProbedHandler => ({
  handler: { name: 'crun', path: '/usr/bin/crun', kind: 'oci', root: '/roots/crun', ...handler },
  result: { ...works('crun version 1.28'), ...result },
});
const runc = ({ handler, result }: Changed = {}): ProbedHandler => ({
  handler: { name: 'runc', path: '/usr/sbin/runc', kind: 'oci', root: '/roots/runc', ...handler },
  result: { ...works('runc version 1.4.3'), execCgroup: true, ...result },
});
const without = (...lacking: readonly string[]): Pick<ProbeResult, 'features'> => ({
  features: FEATURES.filter((feature) => !lacking.includes(feature)),
});
const plain: AutoNeeds = { cgroupVersion: 2, systemd: false, checkpoints: false, restores: false };

describe('auto takes crun', () => {
  it.each<[string, ProbedHandler, ProbedHandler, Partial<AutoNeeds>]>([
    ['without a known flaw and with all that runc has', crun(), runc(), {}],
    [
      'with systemd, CRIU and cgroups v1',
      crun(),
      runc(),
      { systemd: true, checkpoints: true, cgroupVersion: 1 },
    ],
    [
      'that lacks what runc lacks, too',
      crun({ result: without('idmapped mounts') }),
      runc({ result: without('idmapped mounts') }),
      {},
    ],
    [
      'without checkpoints where CRIU is not configured',
      crun({ result: without('checkpoints') }),
      runc(),
      {},
    ],
    [
      'without cgroups v1 on a node that has v2',
      crun({ result: without('cgroup v1', 'cgroup systemd') }),
      runc(),
      {},
    ],
    ['beside a runc without the command features', crun(), runc({ result: { features: [] } }), {}],
    [
      'with the settings of runc',
      crun({ handler: { noPivot: true, allowedAnnotations: ['b', 'a'] } }),
      runc({ handler: { noPivot: true, allowedAnnotations: ['a', 'b'] } }),
      {},
    ],
    [
      'with a state directory and a monitor of its own',
      crun({ handler: { root: '/run/c', monitorPath: '/m' } }),
      runc(),
      {},
    ],
  ])('%s', (_case, ofCrun, ofRunc, needs) => {
    expect(chooseHandler(ofCrun, ofRunc, { ...plain, ...needs })).toEqual({
      name: 'crun',
      text: "auto chose crun; not runc: crun 1.28 has no known flaw and every feature of runc's",
    });
  });

  it('where runc does not work', () => {
    const missing = runc({ result: { ...nothingProbed, ready: false, reason: 'find runc: no executable' } });
    expect(chooseHandler(crun(), missing, plain)).toEqual({
      name: 'crun',
      text: 'auto chose crun; not runc: find runc: no executable',
    });
  });
});

describe('auto takes runc', () => {
  it.each<[string, ProbedHandler | undefined, Partial<AutoNeeds>, string]>([
    ['crun is not installed', undefined, {}, 'not found'],
    ['crun does not work', crun({ result: { ready: false, reason: 'it hangs' } }), {}, 'it hangs'],
    [
      'crun has a known flaw',
      crun({ result: { version: 'crun version 1.27.1' } }),
      {},
      'crun 1.27.1 has CVE-2026-47766 (files made on the host by a link in place of /dev, which we refuse)',
    ],
    [
      'crun runs only by a stand-in',
      crun({ result: { standIn: '/s/crun' } }),
      {},
      'it refuses mixed cgroups, and would run without the controllers of v2',
    ],
    ['crun has no command features', crun({ result: { features: [] } }), {}, 'it does not list its features'],
    [
      'crun lacks features of runc',
      crun({
        result: without('recursive read-only mounts', 'idmapped mounts', 'seccomp action SCMP_ACT_NOTIFY'),
      }),
      {},
      'it lacks recursive read-only mounts, idmapped mounts, seccomp action SCMP_ACT_NOTIFY',
    ],
    [
      'crun lacks checkpoints and CRIU is configured',
      crun({ result: without('checkpoints') }),
      { checkpoints: true },
      'it lacks checkpoints',
    ],
    ['crun lacks cgroups v2', crun({ result: without('cgroup v2') }), {}, 'it lacks cgroup v2'],
    [
      'crun lacks cgroups v1',
      crun({ result: without('cgroup v1') }),
      { cgroupVersion: 1 },
      'it lacks cgroup v1',
    ],
    [
      'crun lacks the driver systemd',
      crun({ result: without('cgroup systemd') }),
      { systemd: true },
      'it lacks cgroup systemd',
    ],
    [
      'containers are restored',
      crun(),
      { restores: true },
      'containers are restored (runtime.restore), which is tested with runc only',
    ],
    [
      'the settings differ',
      crun({ handler: { seccompProfile: '/p.json', options: ['--debug'], defaultAnnotations: { a: '1' } } }),
      {},
      'its settings differ from those of runc: options, default_annotations, seccomp_profile',
    ],
    ['the handler is a shim', crun({ handler: { kind: 'vm' } }), {}, '/usr/bin/crun is not a released crun'],
    [
      'the program is another one',
      crun({ result: { version: 'runc version 1.4.3' } }),
      {},
      '/usr/bin/crun is not a released crun',
    ],
    [
      'the version is unknown',
      crun({ result: { version: 'crun version UNKNOWN' } }),
      {},
      '/usr/bin/crun is not a released crun',
    ],
  ])('where %s', (_case, ofCrun, needs, why) => {
    expect(chooseHandler(ofCrun, runc(), { ...plain, ...needs })).toEqual({
      name: 'runc',
      text: `auto chose runc; not crun: ${why}`,
    });
  });

  it('and says all that is against crun at once', () => {
    const old = crun({ result: { version: 'crun version 1.8.1', features: [], standIn: '/s/crun' } });
    expect(chooseHandler(old, runc(), plain).text).toMatch(
      /mixed cgroups.*; crun 1\.8\.1 has .*; it does not list/u,
    );
  });
});

describe('the default auto of the handlers', () => {
  const configs = [
    { name: 'runc', path: '/usr/sbin/runc', kind: 'oci' },
    { name: 'crun', path: '/usr/bin/crun', kind: 'oci' },
  ] as const;
  const table = (): HandlerTable => new HandlerTable(configs, AUTO, (name) => `/roots/${name}`);
  const standard = (handlers: HandlerTable): unknown[] => {
    const [{ name, target, choice } = {}] = handlers.statuses();
    return [name, target, choice, handlers.resolve('').name];
  };

  it('is runc until the choice is made, and then the chosen one', () => {
    const handlers = table();
    expect(standard(handlers)).toEqual(['', 'runc', undefined, 'runc']);
    handlers.settle({ name: 'crun', text: 'why' });
    expect(standard(handlers)).toEqual(['', 'crun', 'why', 'crun']);
    expect(
      handlers
        .statuses()
        .slice(1)
        .map(({ choice }) => choice),
    ).toEqual([undefined, undefined]);
  });

  it('is runc again when a reload drops the chosen one, until the next choice', () => {
    const handlers = table();
    handlers.settle({ name: 'crun', text: 'why' });
    handlers.replace(configs, AUTO);
    expect(standard(handlers)[1]).toBe('crun');
    handlers.replace([configs[0]], AUTO);
    expect(standard(handlers)).toEqual(['', 'runc', undefined, 'runc']);
    expect(handlers.resolve('crun').root).toBe('/roots/crun');
  });

  it('is forgotten by a reload that names a handler', () => {
    const handlers = table();
    handlers.settle({ name: 'crun', text: 'why' });
    handlers.replace(configs, 'runc');
    handlers.settle({ name: 'crun', text: 'late' });
    expect(standard(handlers)).toEqual(['', 'runc', undefined, 'runc']);
  });

  it('needs runc, and no handler of its name', () => {
    expect(() => new HandlerTable([configs[1]], AUTO, String)).toThrow(
      /auto as the default: runc is not configured/u,
    );
    expect(() => new HandlerTable([...configs, { ...configs[0], name: AUTO }], AUTO, String)).toThrow(
      /auto as the default: the word is for a choice/u,
    );
  });
});
