// Guards in what is done on the machine: files, images, mounts.
import type { Mutant } from '../mutant.ts';

const files = 'test/integration/bundle/files.test.ts';
const devices = 'test/integration/bundle/devices.test.ts';
const links = 'test/integration/bundle/links.test.ts';
const host = 'test/integration/host/files.test.ts';

export const ofMachine: readonly Mutant[] = [
  {
    row: 'S33', title: 'names in a volume that are no text keep their labels', file: 'src/host/entries-of.ts',
    find: "const NAMES_AS_BYTES: string = 'buffer';", replace: "const NAMES_AS_BYTES: string = 'utf8';",
    test: { file: 'test/unit/host/selinux.test.ts', named: 'S33 S54 a volume' },
  },
  {
    row: 'S07', title: 'the root of an image is walked as if it were the host’s', file: 'src/host/files-at.ts',
    find: 'inRoot: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,', replace: 'inRoot: 0,',
    test: { file: links, named: 'S07 S44: /(etc|run):' },
  },
  {
    row: 'S07', title: 'the runtime may follow a link in place of /dev', file: 'src/oci/runtime/bundle-places.ts',
    find: 'if (found !== undefined && !found.isDirectory()) fail(', replace: "if (found !== undefined && place === '') fail(",
    test: { file: links, named: 'S07 S39: /dev' },
  },
  {
    row: 'S09', title: 'a log path can climb out of its directory', file: 'src/oci/runtime/bundle-log.ts',
    find: "part === '..' || part === '.'", replace: "part === '...'",
    test: { file: 'test/unit/oci-spec/parts.test.ts', named: 'S09, S75: the log path' },
  },
  {
    row: 'S09', title: 'a link among the directories of a log is followed', file: 'src/oci/runtime/bundle-log.ts',
    find: 'if (!(await lstat(at)).isDirectory()) {', replace: 'if ((await lstat(at)).isFile()) {',
    test: { file: files, named: 'S09, S32, S75: the log path.* a link among its directories' },
  },
  {
    row: 'S10', title: 'a FIFO or device in an image is read', file: 'src/host/files.ts',
    find: "if (!stat.isFile()) fail('invalidRequest', `read ${path}: not a regular file`, { subject: path });\n", replace: '',
    test: { file: host, named: 'S10: FIFO, device' },
  },
  {
    row: 'S10', title: 'a passwd of any size is read', file: 'src/oci/runtime/user.ts',
    find: 'const options = { bytesMax: specLimits.passwdBytes };', replace: 'const options = { bytesMax: Number.MAX_SAFE_INTEGER };',
    test: { file: 'test/unit/oci-spec/user.test.ts', named: 'S10: both files are read with the cap' },
  },
  {
    row: 'S10', title: 'a passwd of any number of lines is searched', file: 'src/oci/runtime/user.ts',
    find: 'if (count > specLimits.passwdLines) {', replace: 'if (count < 0) {',
    test: { file: 'test/unit/oci-spec/user.test.ts', named: 'S10: more lines than' },
  },
  {
    row: 'S14', title: 'a sparse map has any number of pieces', file: 'src/oci/image/tar-sparse.ts',
    find: 'if (pieces.length >= unpackLimits.sparsePieces) {', replace: 'if (pieces.length < 0) {',
    test: { file: 'test/unit/unpack/sparse-files.test.ts', named: 'S14: an endless old map' },
  },
  {
    row: 'S14', title: 'a sparse map is not compared with its file', file: 'src/oci/image/tar-sparse.ts',
    find: "if (piece.offset < end) refuseTar('a sparse map is out of order');\n", replace: '',
    test: { file: 'test/unit/unpack/sparse-files.test.ts', named: 'S14: a map that' },
  },
  {
    row: 'S15', title: 'a token is taken whatever is in it', file: 'src/oci/distribution/auth.ts',
    find: 'return VISIBLE.test(token) && token.length <= distributionLimits.tokenChars ? token : undefined;', replace: 'return token;',
    test: { file: 'test/unit/distribution/auth.test.ts', named: 'S15 token replies' },
  },
  {
    row: 'S18', title: 'a file is written through a link of its name', file: 'src/oci/image/unpack-sys.ts',
    find: 'O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600', replace: 'O_WRONLY | O_CREAT, 0o600',
    test: { file: 'test/integration/unpack/hostile.test.ts', named: 'S18: a link to the host and then a file' },
  },
  {
    row: 'S19', title: 'layers are open to other users', file: 'src/oci/storage/store-directories.ts',
    find: 'const STORE_MODE = 0o700;', replace: 'const STORE_MODE = 0o755;',
    test: { file: 'test/integration/storage/layers.test.ts', named: 'S19: its directories are closed' },
  },
  {
    row: 'S20', title: 'volumes of an image are made by the host’s ways', file: 'src/oci/runtime/bundle-places.ts',
    find: 'makeInImage(rootfs, volume, owner,', replace: "(async (_said: object) => (await import('node:fs/promises')).mkdir(posix.join(rootfs, volume), { recursive: true }))(",
    test: { file: files, named: 'S20 the image’s volumes' },
  },
  {
    row: 'S32', title: 'a log that is a link is written through', file: 'src/oci/runtime/bundle-log.ts',
    find: 'if (found !== undefined && !found.isFile()) {', replace: 'if (found?.isFIFO() === true) {',
    test: { file: files, named: 'S09, S32, S75: the log path.* a link in its place' },
  },
  {
    row: 'S33', title: 'a volume that is a link is labelled where it leads', file: 'src/host/selinux.ts',
    find: 'O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC', replace: 'O_RDONLY | O_DIRECTORY | O_CLOEXEC',
    test: { file: 'test/unit/host/selinux.test.ts', named: 'S33 S54: a single file' },
  },
  {
    row: 'S33', title: 'directories of the host are labelled for a pod', file: 'src/host/selinux.ts',
    find: 'if (isSystemPath(path)) fail(', replace: "if (path === '') fail(",
    test: { file: 'test/unit/host/selinux.test.ts', named: 'S33: .* is the host’s own' },
  },
  {
    row: 'S44', title: 'files of ours are mounted by the host’s ways', file: 'src/host/files-at.ts',
    find: 'inRoot: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,', replace: 'inRoot: 0,',
    test: { file: links, named: 'S07 S44: /(tmp|home):' },
  },
  {
    row: 'S54', title: 'magic links of /proc lead out of a root', file: 'src/host/files-at.ts',
    find: 'inRoot: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,', replace: 'inRoot: RESOLVE_IN_ROOT,',
    test: { file: host, named: 'S54: magic links' },
  },
  {
    row: 'S54', title: 'links lead out of a root', file: 'src/host/files-at.ts',
    find: 'inRoot: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,', replace: 'inRoot: RESOLVE_NO_MAGICLINKS,',
    test: { file: host, named: 'S54: links are resolved inside' },
  },
  {
    row: 'S54', title: 'a path may leave its directory', file: 'src/host/files-at.ts',
    find: 'noLinks: RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,', replace: 'noLinks: RESOLVE_NO_MAGICLINKS,',
    test: { file: host, named: 'S54: a path that passes a link' },
  },
  {
    row: 'S55', title: 'the working directory is made by the host’s ways', file: 'src/oci/runtime/bundle-places.ts',
    find: 'makeInImage(rootfs, cwd, owner,', replace: "(async (_said: object) => (await import('node:fs/promises')).mkdir(posix.join(rootfs, cwd), { recursive: true }))(",
    test: { file: files, named: 'S55: a working directory behind a link' },
  },
  {
    row: 'S56', title: 'a manifest without layers is taken', file: 'src/oci/image/manifest.ts',
    find: "if (layers.length === 0) fields.refuse('layers', 'names no layer');\n", replace: '',
    test: { file: 'test/unit/image/manifest.test.ts', named: 'S56 no layers' },
  },
  {
    row: 'S56', title: 'a config without layers is taken', file: 'src/oci/image/image-config.ts',
    find: "if (diffIds.length === 0) rootfs.refuse('diff_ids', 'names no layer');\n", replace: '',
    test: { file: 'test/unit/image/image-config.test.ts', named: 'S56 without layers' },
  },
  {
    row: 'S57', title: 'the runtime resolves the source of a volume once more', file: 'src/oci/runtime/bundle-mounts.ts',
    find: 'try {\n    return await realpath(hostPath);\n  } catch (error) {\n    if (codeOf', replace: 'try {\n    await realpath(hostPath);\n    return hostPath;\n  } catch (error) {\n    if (codeOf',
    test: { file: links, named: 'S57: the source of a volume' },
  },
  {
    row: 'S71', title: 'propagation that the source cannot give is lost in silence', file: 'src/oci/runtime/bundle-mounts.ts',
    find: "if (mount.propagation === 'bidirectional' && !isShared) {", replace: "if (mount.propagation === 'bidirectional' && isSlave && !isShared) {",
    test: { file: files, named: 'S71: shared propagation' },
  },
  {
    row: 'S74', title: 'permissions of a device can be any letters', file: 'src/oci/runtime/bundle-devices.ts',
    find: "if (!/^[rwm]*$/u.test(device.permissions)) refuse(", replace: "if (device.permissions === '') refuse(",
    test: { file: devices, named: 'S74: devices.* with rwx is refused' },
  },
  {
    row: 'S75', title: 'a log can be a FIFO, device or directory', file: 'src/oci/runtime/bundle-log.ts',
    find: 'if (found !== undefined && !found.isFile()) {', replace: 'if (found?.isSymbolicLink() === true) {',
    test: { file: files, named: 'S09, S32, S75: the log path.* a (fifo|device|directory) in its place' },
  },
];
