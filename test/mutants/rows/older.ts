// Guards of rows of the security matrix that were written before their mutants.
import type { Mutant } from '../mutant.ts';

const config = 'test/unit/oci/images/model/image-config.test.ts';

export const ofOlderRows: readonly Mutant[] = [
  {
    row: 'S21',
    title: 'any number of execs keep all of their output at once',
    file: 'src/oci/runtime/exec/output.ts',
    find: 'reader.pause();\n',
    replace: '\n',
    test: {
      file: 'test/unit/oci/runtime/exec/output-budget.test.ts',
      named: 'S21 an exec that writes more than a little',
    },
  },
  {
    row: 'S22',
    title: 'the socket of a terminal outlives an exec that fails to start',
    file: 'src/oci/runtime/exec/stream-exec.ts',
    find: 'await console?.close();',
    replace: '',
    test: {
      file: 'test/e2e/streaming/exec.test.ts',
      named: String.raw`terminals for a missing program leave nothing \(S22\)`,
    },
  },
  {
    row: 'S28',
    title: 'an image has any number of variables',
    file: 'src/oci/documents/fields.ts',
    find: 'texts(name: string): readonly string[] {\n    let bytes = 0;\n    return this.#list(name, imageLimits.configEntries)',
    replace:
      'texts(name: string): readonly string[] {\n    let bytes = 0;\n    return this.#list(name, Number.MAX_SAFE_INTEGER)',
    test: { file: config, named: 'refuses S28 many entries' },
  },
  {
    row: 'S28',
    title: 'an image has labels of any size together',
    file: 'src/oci/documents/fields.ts',
    find: 'bytes += Buffer.byteLength(key) + Buffer.byteLength(text);',
    replace: '',
    test: { file: config, named: 'refuses S28 many bytes of labels' },
  },
  {
    row: 'S28',
    title: 'a document of any size is parsed',
    file: 'src/oci/documents/fields.ts',
    find: 'if (bytes.byteLength > imageLimits.documentBytes) {',
    replace: 'if (bytes.byteLength < 0) {',
    test: { file: config, named: 'refuses S28 a config of more than 4 MiB' },
  },
  {
    row: 'S46',
    title: 'users are looked up in the node’s files',
    file: 'src/oci/runtime/bundle/host/user.ts',
    find: "read(rootfs, '/etc/passwd', options)",
    replace: "read('/', '/etc/passwd', options)",
    test: { file: 'test/integration/bundle/files.test.ts', named: 'S10, S28, S46: a passwd that is huge' },
  },
  {
    row: 'S48',
    title: 'a manifest may name a config of any size',
    file: 'src/oci/images/model/manifest.ts',
    find: 'const config = readDescriptor(configFields, imageLimits.documentBytes);',
    replace: 'const config = readDescriptor(configFields, imageLimits.layerBytes);',
    test: { file: 'test/unit/oci/images/model/manifest.test.ts', named: 'S48 config above the cap' },
  },
  {
    row: 'S48',
    title: 'a manifest of any size is read',
    file: 'src/oci/images/registry/client.ts',
    find: 'bytes: await response.body.whole(imageLimits.documentBytes), headers',
    replace: 'bytes: await response.body.whole(2 * imageLimits.documentBytes), headers',
    test: {
      file: 'test/integration/distribution/credentials.test.ts',
      named: 'S48 replies without end.*a manifest$',
    },
  },
  {
    row: 'S52',
    title: 'an image’s files keep the node’s owners in a user namespace',
    file: 'src/host/mounts/userns-idmap.ts',
    find: 'mountAttr(MOUNT_ATTR_IDMAP | flags, 0, 0, namespace.fd)',
    replace: 'mountAttr(flags, 0, 0, 0)',
    test: {
      file: 'test/integration/storage/userns.test.ts',
      named: 'S52: what the image has belongs to the pod',
    },
  },
  {
    row: 'S53',
    title: 'a file that decides which libraries are loaded is read from the image',
    file: 'src/oci/runtime/bundle/host/user.ts',
    find: 'const options = { bytesMax: specLimits.passwdBytes };',
    replace:
      "const options = { bytesMax: specLimits.passwdBytes };\n  await read(rootfs, '/etc/nsswitch.conf', options);",
    test: { file: 'test/security/foreign-libraries.test.ts', named: 'S53 code of an image' },
  },
  {
    row: 'S77',
    title: 'a plugin that fails keeps the others from freeing their addresses',
    file: 'src/network/delete-chain.ts',
    find: 'failures.push(failure);',
    replace: 'throw failure;',
    test: {
      file: 'test/unit/network/attachments-del.test.ts',
      named: 'S77: a plugin that fails, or whose executable is gone',
    },
  },
  {
    row: 'S82',
    title: 'the caller’s NODE_OPTIONS are the daemon’s',
    file: 'bin/troupe',
    find: 'unset NODE_OPTIONS NODE_PATH',
    replace: 'unset NODE_PATH',
    test: { file: 'test/unit/scripts/launcher.test.ts', named: 'S82: runs the pinned Node with its flags' },
  },
  {
    row: 'S83',
    title: 'SIGUSR1 opens the inspector',
    file: 'bin/troupe',
    find: 'exec "$node" --disable-sigusr1 ',
    replace: 'exec "$node" ',
    test: {
      file: 'test/integration/daemon/dumps.test.ts',
      named: 'S83: signals harm neither a start nor a stop',
    },
  },
  {
    row: 'S84',
    title: 'a daemon that dies leaves its memory on the disk',
    file: 'src/host/security/undumpable.ts',
    find: 'libc.prctl, PR_SET_DUMPABLE, 0, 0, 0, 0)',
    replace: 'libc.prctl, PR_SET_DUMPABLE, 1, 0, 0, 0)',
    test: {
      file: 'test/integration/host/process.test.ts',
      named: 'S84 a process that refuses dumps.*refuse:',
    },
  },
];
