// Guards in what becomes config.json, and in who a container runs as.
import type { Mutant } from '../mutant.ts';

const confinement = 'test/unit/oci-spec/confinement.test.ts';
const refusals = 'test/unit/oci-spec/refusals.test.ts';
const users = 'test/unit/oci-spec/user.test.ts';

export const ofDocuments: readonly Mutant[] = [
  {
    row: 'S04', title: 'HOME in a document can have line breaks, whoever gave it', file: 'src/oci/runtime/spec/process.ts',
    find: String.raw`return !/[\n\r:\0]/u.test(home);`, replace: String.raw`return !/\\n/u.test(home);`,
    test: { file: refusals, named: 'S04: .*HOME' },
  },
  {
    row: 'S04', title: 'a home from the image’s passwd is not looked at', file: 'src/oci/runtime/user.ts',
    find: 'if (!isPlainHome(home)) {', replace: 'if (home.length > 4096) {',
    test: { file: users, named: 'S04: a home with control characters' },
  },
  {
    row: 'S05', title: 'every annotation goes to the runtime', file: 'src/oci/runtime/spec/annotations.ts',
    find: 'filter(([name]) => passes(name))', replace: "filter(([name]) => passes(name) || name !== '')",
    test: { file: 'test/golden/oci-spec/spec.test.ts', named: 'S05: no annotation of the pod or the container' },
  },
  {
    row: 'S05', title: 'a client’s annotation takes the place of ours', file: 'src/oci/runtime/spec/generate.ts',
    find: "'io.kubernetes.cri.sandbox-name': sandbox.key.name,", replace: "'io.kubernetes.cri.sandbox-name': sandbox.annotations['io.kubernetes.cri.sandbox-name'] ?? sandbox.key.name,",
    test: { file: confinement, named: 'S05: none of a client takes the place of ours' },
  },
  {
    row: 'S06', title: 'an annotation passes when it begins as one that may', file: 'src/oci/runtime/spec/annotations.ts',
    find: ': name === entry', replace: ': name.startsWith(entry)',
    test: { file: confinement, named: 'S06: ' },
  },
  {
    row: 'S11', title: 'capabilities are inheritable', file: 'src/oci/runtime/spec/capabilities.ts',
    find: 'inheritable: raised,', replace: 'inheritable: names,',
    test: { file: confinement, named: 'S11: none is inheritable' },
  },
  {
    row: 'S12', title: 'groups of the image although the policy is strict', file: 'src/oci/runtime/user.ts',
    find: "choice.supplementalGroupsPolicy === 'merge' && entry !== undefined", replace: 'entry !== undefined',
    test: { file: users, named: 'S12: strict' },
  },
  {
    row: 'S24', title: 'groups of the image are not set', file: 'src/oci/runtime/user.ts',
    find: 'additionalGids: [gid, ...others]', replace: 'additionalGids: [gid]',
    test: { file: users, named: String.raw`forms of the image USER \(S24\).* "alice"` },
  },
  {
    row: 'S25', title: 'numbers of passwd and group wrap at 2^32', file: 'src/oci/runtime/user.ts',
    find: 'return value <= imageLimits.highestUserId ? value : undefined;', replace: 'return value >>> 0;',
    test: { file: users, named: 'S25, S26: .*(wrapped|4294967296)' },
  },
  {
    row: 'S25', title: 'USER of an image wraps at 2^32', file: 'src/oci/image/image-config.ts',
    find: 'if (digits.length > 10 || Number(digits) > imageLimits.highestUserId) return null;\n  return Number(digits);', replace: 'return Number(digits) >>> 0;',
    test: { file: 'test/unit/image/image-config.test.ts', named: 'S25 USER of an image' },
  },
  {
    row: 'S26', title: 'a number too large is looked up as a name, which passwd maps to 0', file: 'src/oci/image/image-config.ts',
    find: 'if (digits.length > 10 || Number(digits) > imageLimits.highestUserId) return null;', replace: 'if (digits.length > 10 || Number(digits) > imageLimits.highestUserId) return text;',
    test: { file: users, named: 'S25, S26: "99999999999"' },
  },
  {
    row: 'S29', title: 'labels of an image are taken for annotations', file: 'src/oci/runtime/spec/generate.ts',
    find: 'function annotationsOf({ spec, sandbox, sandboxId, handler }: SpecInput): Readonly<Record<string, string>> {\n  return {\n    ...runtimeAnnotations(handler, {',
    replace: 'function annotationsOf({ spec, sandbox, sandboxId, handler, image }: SpecInput): Readonly<Record<string, string>> {\n  return {\n    ...runtimeAnnotations(handler, { ...image.labels,',
    test: { file: confinement, named: 'S29: labels of an image' },
  },
  {
    row: 'S35', title: 'power consumption is not hidden', file: 'src/oci/runtime/spec/masked.ts',
    find: "  '/sys/devices/virtual/powercap',\n", replace: '',
    test: { file: confinement, named: 'S35 S72: hidden by default' },
  },
  {
    row: 'S35', title: 'sockets of the kernel’s crypto are allowed', file: 'src/oci/runtime/spec/seccomp-default.ts',
    find: 'FIRST_DENIED_FAMILY = 38n', replace: 'FIRST_DENIED_FAMILY = 39n',
    test: { file: confinement, named: 'S35: sockets under the built-in seccomp profile.* AF_ALG' },
  },
  {
    row: 'S37', title: 'mounts are made in the order in which they were asked for', file: 'src/oci/runtime/spec/mounts.ts',
    find: 'a.depth - b.depth || a.at - b.at', replace: 'a.at - b.at',
    test: { file: confinement, named: 'S37: an outer mount is made before' },
  },
  {
    row: 'S38', title: 'descriptors of a process are a working directory', file: 'src/oci/runtime/spec/process.ts',
    find: '(?:fd|cwd|root)(?:', replace: '(?:fdinfo)(?:',
    test: { file: refusals, named: 'S38: descriptors' },
  },
  {
    row: 'S39', title: 'cgroups are writable', file: 'src/oci/runtime/spec/mounts.ts',
    find: "const sysMode = privileged ? 'rw' : 'ro';", replace: "const sysMode = 'rw';",
    test: { file: confinement, named: 'S39: /sys and the cgroups are read-only' },
  },
  {
    row: 'S64', title: 'a NUL cuts a variable short', file: 'src/oci/runtime/spec/process.ts',
    find: "if (value.includes('\\0')) fail(", replace: "if (value === '\\0') fail(",
    test: { file: refusals, named: 'S64: a NUL in a value' },
  },
  {
    row: 'S71', title: 'recursively read-only is so for the topmost mount only', file: 'src/oci/runtime/spec/mounts.ts',
    find: "return 'rro';", replace: "return 'ro';",
    test: { file: confinement, named: 'S71: recursively read-only' },
  },
  {
    row: 'S72', title: 'nothing is hidden', file: 'src/oci/runtime/spec/generate.ts',
    find: 'maskedPaths: security.privileged ? [] : security.maskedPaths,', replace: 'maskedPaths: [],',
    test: { file: confinement, named: 'S72: what is asked' },
  },
  {
    row: 'S73', title: 'a capability that is none is passed on', file: 'src/oci/runtime/spec/capabilities.ts',
    find: 'if (!NUMBER_OF.has(name)) {', replace: "if (name === '') {",
    test: { file: refusals, named: 'S73: an unknown capability' },
  },
  {
    row: 'S73', title: 'a profile that was not read is none at all', file: 'src/oci/runtime/spec/generate.ts',
    find: "return input.localSeccomp ?? fail('bug', `use seccomp profile ${seccomp.path}: it was not read`, { subject: seccomp.path });", replace: 'return input.localSeccomp;',
    test: { file: confinement, named: 'S73: privileges and seccomp' },
  },
  {
    row: 'S73', title: 'no_new_privs is not set', file: 'src/oci/runtime/spec/process.ts',
    find: 'noNewPrivileges: spec.security.noNewPrivs,', replace: 'noNewPrivileges: false,',
    test: { file: confinement, named: 'S73: privileges and seccomp' },
  },
  {
    row: 'S74', title: 'all devices are allowed before those that were asked for', file: 'src/oci/runtime/spec/resources.ts',
    find: "{ allow: false, access: 'rwm' },", replace: "{ allow: true, access: 'rwm' },",
    test: { file: confinement, named: 'S74: devices' },
  },
];
