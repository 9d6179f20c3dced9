// Guards of the runtime driver, its shims and the journal.
import type { Mutant } from '../mutant.ts';

const shortForm = 'test/integration/runtime/short-seccomp.test.ts';

export const ofRuntime: readonly Mutant[] = [
  {
    row: 'S86',
    title: 'any shim reports OOM kills of any pod',
    file: 'src/oci/runtime/shim/events.ts',
    find: 'record.shim.pid === shim && ',
    replace: '',
    test: { file: 'test/unit/oci/runtime/shim/pace.test.ts', named: 'S86: an OOM kill that a shim reports' },
  },
  {
    row: 'S62',
    title: 'a guest’s figures are believed whatever they are',
    file: 'src/oci/runtime/shim/stats.ts',
    find: "typeof figure !== 'bigint' || figure < MOST",
    replace: 'figure !== null',
    test: {
      file: 'test/unit/oci/runtime/shim/facts.test.ts',
      named: 'S62: impossible figures',
    },
  },
  {
    row: 'S62',
    title: 'an exit has whatever time a shim says',
    file: 'src/oci/runtime/shim/exits.ts',
    find: 'saidNs > nowNs || saidNs <= 0n ? nowNs : saidNs',
    replace: 'saidNs',
    test: { file: 'test/unit/oci/runtime/shim/facts.test.ts', named: 'S62: an exit reported for the future' },
  },
  {
    row: 'S97',
    title: 'pipes are given to whoever has the pid by then',
    file: 'src/oci/runtime/container/stdio-owner.ts',
    find: '      if (!surelyExists(init)) return;\n',
    replace: '',
    test: {
      file: 'test/integration/runtime/stdio-owner.test.ts',
      named: 'S97 of a process that has reused the pid',
    },
  },
  {
    row: 'S73',
    title: 'an older libseccomp in place of the one that was probed is not noticed by an exec',
    file: 'src/oci/runtime/container/runtime-program.ts',
    find: "if (reason === '') return;",
    replace: 'return;',
    test: { file: shortForm, named: 'S73: an older libseccomp .* is noticed by an exec, which is refused' },
  },
  {
    row: 'S73',
    title: 'libraries are not part of what was probed',
    file: 'src/oci/runtime/handlers/probe-records.ts',
    find: '[path, ...files].map(fileMark)',
    replace: '[path].map(fileMark)',
    test: { file: shortForm, named: 'S73: an older libseccomp .* is noticed by an exec, which is refused' },
  },
  {
    row: 'S73',
    title: 'an older libseccomp that comes after the check is not noticed by an exec',
    file: 'src/oci/runtime/exec/exec.ts',
    find: '      await this.#deadline.bounded(program.confirm());\n',
    replace: '',
    test: { file: shortForm, named: 'S73: an older libseccomp .* is noticed by an exec that has begun' },
  },
  {
    row: 'S73',
    title: 'an older libseccomp that comes after the check is not noticed by a create',
    file: 'src/oci/runtime/container/create.ts',
    find: '    await program?.confirm();\n',
    replace: '',
    test: { file: shortForm, named: 'S73: an older libseccomp .* is noticed by a create' },
  },
  {
    row: 'S73',
    title: 'a container with the short form has no outer filter',
    file: 'src/oci/runtime/container/runtime-program.ts',
    find: 'path: await filteringLauncher(layout.standInsDir, path)',
    replace: 'path',
    test: { file: 'test/security/short-seccomp.test.ts', named: 'S35 S73: RuntimeDefault from inside' },
  },
  {
    row: 'S73',
    title: 'the short form allows clone3',
    file: 'src/oci/runtime/spec/seccomp-short.ts',
    find: '      clone3Rule,\n',
    replace: '',
    test: { file: 'test/security/short-seccomp.test.ts', named: 'S35 S73: RuntimeDefault from inside' },
  },
  {
    row: 'S73',
    title: 'a launcher with another content is executed',
    file: 'src/oci/runtime/handlers/filtering.ts',
    find: '  if (there?.bytes.equals(content) !== true) return false;\n',
    replace: '',
    test: {
      file: 'test/unit/oci/runtime/handlers/filtering.test.ts',
      named: 'S73: a file of the same length',
    },
  },
  {
    row: 'S54',
    title: 'a link in an image leads a checkpoint to a directory of the host',
    file: 'src/oci/runtime/checkpoint/rootfs-diff.ts',
    find: 'libc.openat2, layer, name, how, how.length',
    replace: 'libc.openat, layer, name, O_RDONLY | O_DIRECTORY, 0',
    test: { file: 'test/integration/checkpoint/rootfs-diff.test.ts', named: 'S54 a link in a layer' },
  },
  {
    row: 'S89',
    title: 'a directory of a container is read whole',
    file: 'src/oci/runtime/checkpoint/rootfs-diff.ts',
    find: 'for await (const entry of search.entries(at(upper, directory))) {',
    replace: 'for (const entry of await Array.fromAsync(search.entries(at(upper, directory)))) {',
    test: {
      file: 'test/integration/checkpoint/rootfs-diff.test.ts',
      named: 'S89 a directory of any number of entries.*is read as far as',
    },
  },
  {
    row: 'S89',
    title: 'attributes of a checkpoint are read on the main thread',
    file: 'src/oci/runtime/checkpoint/rootfs-diff.ts',
    find: 'await callInPool(POOL_KEY, libc.lgetxattr, name,',
    replace:
      'libc.lgetxattr(name, OPAQUE, value, 1) === 9 ? ({} as never) : await callInPool(POOL_KEY, libc.lgetxattr, name,',
    test: {
      file: 'test/integration/checkpoint/rootfs-diff.test.ts',
      named: 'S89 layers are opened and attributes read in the pool',
    },
  },
];
