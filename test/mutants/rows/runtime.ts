// Guards of the runtime driver, its shims and the journal.
import type { Mutant } from '../mutant.ts';

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
    find: '      if (!processExists(init)) return;\n',
    replace: '',
    test: {
      file: 'test/integration/runtime/stdio-owner.test.ts',
      named: 'S97 of a process that has reused the pid',
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
