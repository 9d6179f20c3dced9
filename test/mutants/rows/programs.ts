// Guards around programs that are run: runtimes, monitors, plugins, and processes that are ended.
import type { Mutant } from '../mutant.ts';

const flaws = 'test/unit/oci/runtime/handlers/known-flaws.test.ts';
const runc = 'test/unit/oci/runtime/container/runc.test.ts';

/** A known flaw of runtimes that is no longer reported. */
const untold = (row: string, name: string, what: string): Mutant => ({
  row,
  title: `nothing reports that a runtime has ${name}`,
  file: 'src/oci/runtime/handlers/known-flaws.ts',
  find: `name: '${name} (${what})'`,
  replace: `name: 'a flaw (${what})'`,
  test: { file: flaws, named: `${row}: ${name}` },
});

export const ofPrograms: readonly Mutant[] = [
  {
    row: 'S97',
    title: 'a container’s process is ours by its mere words',
    file: 'src/host/process/process-owner.ts',
    find: "    if (mounts !== readlinkSync('/proc/self/ns/mnt') && mounts !== mountsOfFirst()) return false;\n",
    replace: '    if (mounts === mountsOfFirst()) mountsOfFirst();\n',
    test: {
      file: 'test/integration/host/process-owner.test.ts',
      named: 'S97 is nobody’s of ours when it is run by who has mounts',
    },
  },
  {
    row: 'S97',
    title: 'any user’s process is ours by its mere words',
    file: 'src/host/process/process-owner.ts',
    find: 'return status.uids.every((uid) => uid === process.geteuid?.());',
    replace: 'return status.uids.length > 0;',
    test: {
      file: 'test/integration/host/process-owner.test.ts',
      named: 'S97 is nobody’s of ours when it is run by another user',
    },
  },
  {
    row: 'S97',
    title: 'the commands kill whoever bears our words',
    file: 'src/daemon/cli/machine.ts',
    find: 'id !== undefined && isOfHost(pid)',
    replace: 'id !== undefined && (pid > 0 || isOfHost(pid))',
    test: {
      file: 'test/integration/host/process-owner.test.ts',
      named: 'S97 is nobody’s of ours when it is run by another user',
    },
  },
  {
    row: 'S97',
    title: 'the daemon kills whoever bears our words',
    file: 'src/host/process/marked-scan.ts',
    find: ' || !isOfHost(pid)) return undefined;',
    replace: ' || (pid < 0 && !isOfHost(pid))) return undefined;',
    test: {
      file: 'test/integration/host/process-owner.test.ts',
      named: 'S97 is nobody’s of ours when it is run by another user',
    },
  },
  {
    row: 'S97',
    title: 'a container has the root of another unmounted',
    file: 'src/oci/images/store/drivers/fuse-starts.ts',
    find: ' || !isOfHost(identity.pid)) return undefined;',
    replace: ' || (identity.pid < 0 && !isOfHost(identity.pid))) return undefined;',
    test: {
      file: 'test/integration/host/process-owner.test.ts',
      named: 'S97 is not taken for a program that mounts',
    },
  },
  {
    row: 'S03',
    title: 'all that an exec writes is kept',
    file: 'src/oci/runtime/exec/output.ts',
    find: "new ByteBlocks('keep the output of a command', bytesMax)",
    replace: "new ByteBlocks('keep the output of a command', 4 * bytesMax)",
    test: { file: 'test/integration/runtime/exec.test.ts', named: 'S03 S21 keeps slightly less than 16 MiB' },
  },
  {
    row: 'S13',
    title: 'the monitor is within the pod’s memory limit',
    file: 'src/host/kernel-worker/cgroup-thread.ts',
    find: "version === 2 || !controllers.includes('memory')",
    replace: 'version === 2 || controllers.length >= 0',
    test: { file: 'test/integration/runtime/lifecycle.test.ts', named: 'S13 F47 the monitor' },
  },
  {
    row: 'S34',
    title: 'a terminal is offered under an abstract name',
    file: 'src/host/io/unix-address.ts',
    find: "const bytes = Buffer.from(path, 'utf8');",
    replace: "const bytes = Buffer.from(`\\0${path}`, 'utf8');",
    test: { file: 'test/unit/cri/streaming/console.test.ts', named: 'S34: ' },
  },
  untold('S36', 'CVE-2019-5736', 'the host’s runc is overwritten'),
  untold('S37', 'CVE-2021-30465', 'mounts by a link that is swapped'),
  untold('S38', 'CVE-2024-21626', 'a directory of the host as working directory'),
  untold('S40', 'CVE-2025-31133', 'masked paths by a swapped /dev/null'),
  untold('S41', 'CVE-2025-52565', 'a mount by /dev/console'),
  untold('S42', 'CVE-2025-52881', 'writes to /proc led elsewhere'),
  untold('S43', 'CVE-2024-45310', 'files made on the host by a race of mounts'),
  {
    row: 'S38',
    title: 'children get descriptors of ours',
    file: 'src/host/process/process.ts',
    find: 'set(libc.actionsAddclosefrom, actions, highest + 1);',
    replace: '',
    test: { file: 'test/integration/host/process.test.ts', named: 'S38: a child has descriptors' },
  },
  {
    row: 'S64',
    title: 'monitors get variables of the daemon',
    file: 'src/oci/runtime/monitor/conmon.ts',
    find: 'return {\n    PATH: path,\n    _OCI_SYNCPIPE',
    replace: 'return {\n    ...(process.env as Record<string, string>),\n    PATH: path,\n    _OCI_SYNCPIPE',
    test: { file: 'test/unit/oci/runtime/monitor/monitor.test.ts', named: 'S64 has an environment' },
  },
  {
    row: 'S64',
    title: 'monitors, and so containers’ processes, get the mark of helpers',
    file: 'src/oci/runtime/monitor/launch.ts',
    find: 'isHelper: false,',
    replace: 'isHelper: true,',
    test: { file: 'test/e2e/killed/helpers.test.ts', named: 'S64: no monitor' },
  },
  {
    row: 'S64',
    title: 'plugins get variables of the daemon',
    file: 'src/network/plugin.ts',
    find: "PATH: TOOL_DIRS.join(':'),",
    replace: "...(process.env as Record<string, string>),\n    PATH: TOOL_DIRS.join(':'),",
    test: { file: 'test/unit/network/plugin.test.ts', named: 'S64: gives the protocol' },
  },
  {
    row: 'S65',
    title: 'a NUL cuts the words of an exec short',
    file: 'src/oci/runtime/container/exec-process.ts',
    find: "if (argv.some((word) => word.includes('\\0'))) refuse('must not hold a NUL byte');\n",
    replace: '',
    test: { file: runc, named: 'S65 refuses a NUL' },
  },
  {
    row: 'S65',
    title: 'the words of an exec stand on the runtime’s command line',
    file: 'src/oci/runtime/container/runc.ts',
    find: '`--process=${processFile}`,\n    `--pid-file=${pidFile}`,\n    ...options,\n    call.id,',
    replace: '`--pid-file=${pidFile}`,\n    ...options,\n    call.id,\n    processFile,',
    test: { file: runc, named: 'S65 the runtime’s argv' },
  },
  {
    row: 'S66',
    title: 'a pod’s names add arguments of CNI',
    file: 'src/network/plugin.ts',
    find: String.raw`if (/[;=\p{Cc}\p{Zl}\p{Zp}]/u.test(value)) {`,
    replace: "if (value === ';') {",
    test: { file: 'test/unit/network/plugin.test.ts', named: 'S66: refuses' },
  },
  {
    row: 'S50',
    title: 'a plugin’s type can be a path',
    file: 'src/network/conflist.ts',
    find: "return PLUGIN_TYPE.test(type) && !type.includes('..') && type.length <= NAME_CHARS;",
    replace: "return type !== '';",
    test: { file: 'test/unit/network/conflist.test.ts', named: 'S50: refuses the plugin type' },
  },
];
