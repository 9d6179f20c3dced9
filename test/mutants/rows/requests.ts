// Guards at the edge: what a request may say at all.
import type { Mutant } from '../mutant.ts';

const sandbox = 'test/unit/cri/bad-sandbox.test.ts';
const container = 'test/unit/cri/bad-container.test.ts';
const rights = 'test/unit/cri/bad-container-rights.test.ts';
const requests = 'test/unit/cri/requests-container.test.ts';

export const ofRequests: readonly Mutant[] = [
  {
    row: 'S01', title: 'a sysctl’s value can be any text', file: 'src/cri/validate/sysctls.ts',
    find: 'if (!numbers.every((number) => NUMBER.test(number))) refuse(', replace: 'if (numbers.length < 1) refuse(',
    test: { file: sandbox, named: 'S01 S02 sysctls' },
  },
  {
    row: 'S01', title: 'any sysctl can be set', file: 'src/cri/validate/sysctls.ts',
    find: 'if (!IPC.test(name)) refuse(', replace: 'if (name === \'\') refuse(',
    test: { file: sandbox, named: 'S01 S02 sysctls' },
  },
  {
    row: 'S02', title: 'sysctls of the network are set in the host’s', file: 'src/cri/validate/sysctls.ts',
    find: "if (namespaces.network === 'node') refuse(", replace: "if (name === '') refuse(",
    test: { file: sandbox, named: 'S01 S02 sysctls.*on the host network' },
  },
  {
    row: 'S02', title: 'sysctls of IPC are set in the host’s', file: 'src/cri/validate/sysctls.ts',
    find: "if (namespaces.ipc === 'node') refuse(", replace: "if (name === '') refuse(",
    test: { file: sandbox, named: 'S01 S02 sysctls.*with the IPC of the host' },
  },
  {
    row: 'S04', title: 'HOME in a request can have line breaks', file: 'src/cri/validate/container.ts',
    find: String.raw`if (name === 'HOME' && /[\n\r:]/u.test(value)) refuse(`, replace: String.raw`if (name === 'HOME' && /\\[nr]/u.test(value)) refuse(`,
    test: { file: container, named: 'S04 S61 S64 environment' },
  },
  {
    row: 'S09', title: 'a path in a request can climb', file: 'src/cri/validate/check.ts',
    find: "if (part === '..') refuse(", replace: "if (part === '...') refuse(",
    test: { file: container, named: 'S09 S75 log_path' },
  },
  {
    row: 'S25', title: 'ids of a request can be above 2^31', file: 'src/cri/validate/security.ts',
    find: 'return intIn(field, value, 0, imageLimits.highestUserId);', replace: 'return intIn(field, value, 0, Number.MAX_SAFE_INTEGER) >>> 0;',
    test: { file: rights, named: 'S25 S26 users' },
  },
  {
    row: 'S26', title: 'a number is taken for a user’s name', file: 'src/cri/validate/security.ts',
    find: 'if (/^[0-9]+$/u.test(name)) refuse(', replace: 'if (/^[0-9]{100,}$/u.test(name)) refuse(',
    test: { file: rights, named: 'S25 S26 users.* a user name .* is told to be a number' },
  },
  {
    row: 'S31', title: 'the pod’s author chooses devices by its annotations', file: 'src/cri/validate/container.ts',
    find: '...cdi(config),', replace: '...cdi({ ...config, annotations: { ...around.sandbox.annotations, ...config.annotations } }),',
    test: { file: requests, named: 'S31 CDI devices' },
  },
  {
    row: 'S45', title: 'any option goes into a mount', file: 'src/cri/validate/mounts.ts',
    find: 'OPTIONS.includes(option);', replace: "option !== '';",
    test: { file: container, named: 'S45 S71 mounts and devices.*mount_options' },
  },
  {
    row: 'S45', title: 'a propagation that nobody knows is taken', file: 'src/cri/validate/check.ts',
    find: 'return words[value] ?? refuse(', replace: 'return words[value] ?? Object.values(words)[0] ?? refuse(',
    test: { file: container, named: String.raw`S45 S71 mounts and devices.*config\.mounts\[0\]\.propagation unknown` },
  },
  {
    row: 'S62', title: 'limits go through a double', file: 'src/cri/validate/resources.ts',
    find: 'return value === 0n ? undefined : value;\n}\n\nfunction period', replace: 'return value === 0n ? undefined : BigInt(Number(value));\n}\n\nfunction period',
    test: { file: rights, named: 'S62 resources.* values of 63 bits survive' },
  },
  {
    row: 'S62', title: 'negative limits are taken', file: 'src/cri/validate/resources.ts',
    find: 'if (value < 0n) refuse(field, `${value} is negative`);\n  return value === 0n', replace: 'return value === 0n',
    test: { file: rights, named: 'S62 resources .*negative' },
  },
  {
    row: 'S63', title: 'a pattern can cut a name in many ways', file: 'src/cri/validate/sysctls.ts',
    find: String.raw`(?:\.[A-Za-z0-9_-][A-Za-z0-9_/-]*)+`, replace: String.raw`(?:\.?[A-Za-z0-9_-][A-Za-z0-9_/-]*)+`,
    test: { file: 'test/tidy/patterns.test.ts', named: 'S63 .* of the daemon are harmless' },
  },
  {
    row: 'S64', title: 'a variable’s name can have =', file: 'src/cri/validate/container.ts',
    find: "if (name.includes('=')) refuse(", replace: "if (name.includes('==')) refuse(",
    test: { file: container, named: 'S04 S61 S64 environment' },
  },
  {
    row: 'S66', title: 'names of a pod can add arguments of CNI', file: 'src/cri/validate/sandbox.ts',
    find: 'return /[;=]/u.test(value) ?', replace: 'return /;;/u.test(value) ?',
    test: { file: sandbox, named: 'S66 S76 names of a pod' },
  },
  {
    row: 'S71', title: 'a volume can be mounted at the root', file: 'src/cri/validate/mounts.ts',
    find: String.raw`/^\/[/.]*$/u.test(containerPath)`, replace: "containerPath === ''",
    test: { file: container, named: 'S45 S71 mounts and devices .*the root' },
  },
  {
    row: 'S72', title: 'empty lists that were asked for become the defaults', file: 'src/cri/validate/container.ts',
    find: 'maskedPaths: context === undefined ?', replace: 'maskedPaths: context === undefined || context.maskedPaths.length === 0 ?',
    test: { file: requests, named: 'S72 a stated security context with empty lists' },
  },
  {
    row: 'S73', title: 'a capability that is none is left out silently', file: 'src/cri/validate/security.ts',
    find: "policy.capabilityNames.includes(canonical) ? canonical : refuse(", replace: "canonical !== '' ? canonical : refuse(",
    test: { file: rights, named: 'S73 security of a container .*add_capabilities.* unknown' },
  },
  {
    row: 'S75', title: 'log_path can be absolute', file: 'src/cri/validate/container.ts',
    find: "if (value.startsWith('/')) refuse(field, `${quoted(value)} is absolute`);\n  const last", replace: 'const last',
    test: { file: container, named: 'S09 S75 log_path' },
  },
  {
    row: 'S76', title: 'names can have control characters', file: 'src/cri/validate/check.ts',
    find: String.raw`if (/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/u.test(value)) refuse(`, replace: String.raw`if (/[\u0000]/u.test(value)) refuse(`,
    test: { file: sandbox, named: 'S66 S76 names of a pod' },
  },
  {
    row: 'S76', title: 'an id can be any text, and becomes part of paths', file: 'src/base/ids.ts',
    find: 'const HEX64 = /^[0-9a-f]{64}$/u;', replace: 'const HEX64 = /^[^]{1,255}$/u;',
    test: { file: 'test/unit/base/ids.test.ts', named: String.raw`an id becomes a file name \(S76\)` },
  },
];
