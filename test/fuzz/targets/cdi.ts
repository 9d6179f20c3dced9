/**
 * Files of CDI, of OCI hooks and of seccomp: JSON and YAML of vendors and operators that become part of a container's
 * configuration.
 */
import { parseCdiFile } from '../../../src/oci/runtime/bundle/cdi/spec-file.ts';
import { inMatchTime } from '../../../src/oci/runtime/bundle/hooks/expression.ts';
import { parseHookFile } from '../../../src/oci/runtime/bundle/hooks/hook-file.ts';
import { parseSeccompProfile } from '../../../src/oci/runtime/spec/seccomp-profile.ts';
import { violated } from '../target.ts';
import { learnerOf, type Kind } from './kinds.ts';

const YAML = `cdiVersion: "1.0.0"
kind: vendor.com/gpu
annotations: {a: b}
containerEdits:
  env: ["A=b"]
devices:
  - name: "0"
    containerEdits: &edits
      deviceNodes: [{path: /dev/x, hostPath: /dev/y, type: c, major: 1, minor: 3, fileMode: 438, permissions: rw, uid: 1, gid: 2}]
      mounts: [{hostPath: /a, containerPath: /b, options: [ro, bind], type: bind}]
      hooks: [{hookName: createContainer, path: /bin/x, args: [x], env: ["A=b"], timeout: 3}]
      additionalGids: [5]
      intelRdt: {closID: c, l3CacheSchema: "L3:0=f"}
  - name: all
    containerEdits: *edits
`;
const JSON_FILE =
  '{"cdiVersion":"0.6.0","kind":"v.com/c","devices":[{"name":"a","containerEdits":{"env":["X=1"]}}]}';
const HOOK =
  '{"version":"1.0.0","hook":{"path":"/bin/x","args":["x"],"env":["A=b"],"timeout":5},"when":{"always":true,"annotations":{"^a$":".*"},"commands":["sh$"],"hasBindMounts":true},"stages":["prestart","poststop"]}';
const SECCOMP =
  '{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,"archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}],"syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"valueTwo":2,"op":"SCMP_CMP_EQ"}],"includes":{"caps":["CAP_SYS_ADMIN"],"minKernel":"4.8"},"excludes":{"arches":["s390x"]}}]}';

function checkedCdi(path: string): (input: Buffer) => Promise<boolean> {
  return async (input) => {
    const { kind, edits, devices } = await parseCdiFile(path, input);
    if (!kind.includes('/') || devices.size === 0) violated(`kind ${kind} with ${devices.size} devices`);
    for (const { env, mounts, hooks, deviceNodes } of [edits, ...devices.values()]) {
      if (env.some((one) => one.indexOf('=') < 1 || one.includes('\0')))
        violated('a variable without a name');
      const paths = [
        ...mounts.map(({ destination }) => destination),
        ...hooks.map(({ hook }) => hook.path),
        ...deviceNodes.map((node) => node.path),
      ];
      if (paths.some((one) => !one.startsWith('/') || one.includes('\0')))
        violated(`a path that is relative: ${paths.join()}`);
    }
    return true;
  };
}

const kinds: readonly Kind[] = [
  { name: 'yaml', seeds: [YAML], run: checkedCdi('/etc/cdi/fuzz.yaml') },
  { name: 'json', seeds: [JSON_FILE], run: checkedCdi('/etc/cdi/fuzz.json') },
  {
    name: 'hook',
    seeds: [HOOK],
    run: (input) => {
      const { hook, stages, matches } = parseHookFile('/fuzz.json', input);
      if (!hook.path.startsWith('/') || stages.length === 0) violated('a hook without a program or a stage');
      inMatchTime(() =>
        matches({ annotations: { a: 'b', long: 'a'.repeat(40) }, command: '/bin/sh', hasBindMounts: true }),
      );
      return true;
    },
  },
  {
    name: 'seccomp',
    seeds: [SECCOMP],
    run: (input) =>
      parseSeccompProfile(input, 'fuzz.json', {
        arch: 'x64',
        capabilities: ['CAP_SYS_ADMIN'],
        kernelRelease: '6.1.0',
      }) !== undefined,
  },
];

export const cdiLearner = learnerOf(
  kinds,
  ['outside', 'invalidRequest', 'unsupported', 'exhausted', 'timedOut'],
  ['&a', '*a', '<<: ', '!!binary ', '? ', '- ', '|\n ', '%YAML 1.1\n---\n', '"(a+)+$"'],
);
