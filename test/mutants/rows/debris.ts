// Guards in what is deleted and counted of trees that nobody trusts.
import type { Mutant } from '../mutant.ts';

const measure = 'src/oci/storage/tree-measure.ts';
const removal = 'src/oci/storage/tree-removal.ts';
const left = 'src/base/left-debris.ts';
const failing = 'test/unit/storage/tree-errors.test.ts';
const walk = 'src/oci/storage/tree-walk.ts';
const small = 'src/oci/storage/small-tree.ts';
const counted = 'test/unit/storage/tree-measure.test.ts';
const removed = 'test/unit/storage/tree-removal.test.ts';
const removedSmall = 'test/unit/storage/small-tree.test.ts';

export const ofDebris: readonly Mutant[] = [
  {
    row: 'F89', title: 'what was moved aside is reported for as long as the daemon runs', file: 'src/daemon/rechecked.ts',
    find: '    this.#conditions.clear(degradation.type, degradation.subject);\n', replace: '',
    test: { file: 'test/unit/daemon/rechecked.test.ts', named: 'F89 I22 what was moved aside' },
  },
  {
    row: 'F89', title: 'a check that does not end is begun again each time', file: 'src/daemon/rechecked.ts',
    find: 'if (!held.isUnderWay) void', replace: 'void',
    test: { file: 'test/unit/daemon/rechecked.test.ts', named: 'F89 a check that does not end' },
  },
  {
    row: 'F89', title: 'an AppArmor that does not answer holds the start', file: 'src/daemon/apparmor.ts',
    find: "orWithout(report, 'AppArmor', machine.isEnabled, false)", replace: 'machine.isEnabled()',
    test: { file: 'test/unit/daemon/slow-probes.test.ts', named: 'F89 goes on without AppArmor' },
  },
  {
    row: 'F89', title: 'an image store that is missing ends the start', file: 'src/daemon/storage.ts',
    find: "if (kind === 'invalidRequest') throw thrown;", replace: "if (kind !== 'bug') throw thrown;",
    test: { file: 'test/integration/daemon/start-faults.test.ts', named: 'F89 without image stores' },
  },
  {
    row: 'F89', title: 'the code cache is never written again where a file of its new name was left', file: 'src/daemon/launch.ts',
    find: '    rmSync(fresh, { force: true });\n', replace: '',
    test: { file: 'test/unit/scripts/launch-cache.test.ts', named: 'F89 reads and writes no FIFO' },
  },
  {
    row: 'F89', title: 'pods wait for a plugin directory that never answers', file: 'src/nri/members.ts',
    find: 'timeoutMs: nriLimits.directoryMs, note', replace: 'timeoutMs: 1000 * nriLimits.directoryMs, note',
    test: { file: 'test/unit/nri/members.test.ts', named: 'F89 a plugin directory that never answers' },
  },
  {
    row: 'F89', title: 'pods wait for a plugin whose program never answers', file: 'src/nri/members.ts',
    find: '{ clock, timeoutMs: nriLimits.directoryMs }, launching', replace: '{ clock, timeoutMs: 1000 * nriLimits.directoryMs }, launching',
    test: { file: 'test/unit/nri/members.test.ts', named: 'F89 a plugin whose program never answers' },
  },
  {
    row: 'F89', title: 'a container with subvolumes of its own can never be removed', file: 'src/oci/storage/drivers/btrfs.ts',
    find: "host.log.warn({ path: paths.upper, fault: toFault(error) }", replace: "if (error !== undefined) throw error;\n        host.log.warn({ path: paths.upper, fault: toFault(error) }",
    test: { file: 'test/unit/storage/btrfs-removal.test.ts', named: 'F89 S59: a container goes' },
  },
  {
    row: 'F89', title: 'pods are stopped where the network attachments can’t be listed', file: 'src/actors/recovery/observe.ts',
    find: "return [...sandboxes.values()].filter(({ ready }) => ready !== undefined).map(({ intent }) => intent.id);", replace: 'return [...sandboxes.keys()].slice(0, 0);',
    test: { file: 'test/unit/actors/unknown-networks.test.ts', named: 'F89: a start that can not list' },
  },
  {
    row: 'S88', title: 'what lies deeper than descriptors are held is not counted', file: measure,
    find: 'if (this.stack.length >= storageLimits.measuredDepth) this.#isWhole = false;', replace: 'if (this.stack.length >= storageLimits.heldDepth) return;',
    test: { file: counted, named: 'S88 files below more directories' },
  },
  {
    row: 'S88', title: 'a count that was cut off passes for a whole one', file: measure,
    find: '      this.#isWhole = false;\n      this.close();', replace: '      this.close();',
    test: { file: counted, named: 'S88 beyond the bound on entries' },
  },
  {
    row: 'S88', title: 'one container of too many files leaves nothing of the bound to the others', file: measure,
    find: 'Math.max(1, Math.floor(left / (paths.length - at)))', replace: 'Math.max(1, left)',
    test: { file: counted, named: 'S88 one tree of more entries than its share' },
  },
  {
    row: 'S88', title: 'the way back leads through a directory that was moved meanwhile', file: measure,
    find: "if (!isSame(statEntry(parent, '.'), above)) throw", replace: 'if (parent < 0) throw',
    test: { file: counted, named: 'S88 a directory that is moved out of the tree' },
  },
  {
    row: 'S88', title: 'a directory that was given the inode of a deleted one is taken for it', file: walk,
    find: ' && one.born === other.born', replace: '',
    test: { file: counted, named: 'S88 a directory that was given the inode' },
  },
  {
    row: 'S88', title: 'a lower bound takes the place of the last whole figure', file: 'src/oci/storage/whole-figures.ts',
    find: 'Math.max(usedBytes, last?.usedBytes ?? 0)', replace: 'usedBytes',
    test: { file: counted, named: 'S88 the last whole figure stands' },
  },
  {
    row: 'F89', title: 'a deletion holds a descriptor for each level', file: removal,
    find: 'else if (this.stack.length < storageLimits.treeDepth) this.#enter(level.fd, name);', replace: 'else if (this.stack.length >= 0) this.#enter(level.fd, name);',
    test: { file: removed, named: 'F89 descriptors and the yields' },
  },
  {
    row: 'F89', title: 'a name that somebody has given already ends the moving up', file: removal,
    find: "if (codeOf(error) !== 'EEXIST') throw error;", replace: 'throw error;',
    test: { file: removed, named: 'F89 names of any bytes' },
  },
  {
    row: 'F89', title: 'a deletion goes on in what was moved out of its tree', file: removal,
    find: 'if (moved < 0) return;', replace: 'if (moved < 0 || moved >= 0) return;',
    test: { file: removed, named: 'F89 a directory that is moved out of the tree' },
  },
  {
    row: 'F89', title: 'a deletion goes on in a tree that was taken out of the trash', file: removal,
    find: 'depth === 0 ? this.#place : this.stack[depth - 1]', replace: 'depth === 0 ? statEntry(level.fd, \'..\') : this.stack[depth - 1]',
    test: { file: removed, named: 'F89 a tree that is taken out of the trash' },
  },
  {
    row: 'F89', title: 'a small deletion goes through what is mounted in it', file: small,
    find: '(await isMountRoot(path)) ? -1 : ', replace: '',
    test: { file: 'test/integration/storage/debris.test.ts', named: 'F89 a directory with a bind mount' },
  },
  {
    row: 'F89', title: 'a trash that can’t be read to its end hides what is known of the rest', file: 'src/oci/storage/tree-empty.ts',
    find: 'return { entries: [], isEnd: true, problem: toFault(error).message };', replace: 'throw error;',
    test: { file: failing, named: 'F89 a trash that can’t be read to its end' },
  },
  {
    row: 'F89', title: 'a directory that is never empty is read for longer', file: removal,
    find: 'level.readings >= storageLimits.treeReadings', replace: 'level.readings >= storageLimits.treeReadings + 2',
    test: { file: failing, named: 'F89 a directory that is never empty' },
  },
  {
    row: 'F89', title: 'what lies in a directory that can’t be read passes for gone', file: left,
    find: " && !this.#failed.has(path.slice(0, path.lastIndexOf('/')))", replace: '',
    test: { file: 'test/unit/base/left-debris.test.ts', named: 'F89 what lies in a directory' },
  },
  {
    row: 'F89', title: 'one step’s success clears another’s failure, round after round', file: left,
    find: 'if (!this.#failed.has(path)) this.#all.clear(path);\n    return', replace: 'this.#all.clear(path);\n    return',
    test: { file: 'test/unit/base/left-debris.test.ts', named: 'F89 a path with a failed and a successful step' },
  },
  {
    row: 'F89', title: 'a removed container stays a condition', file: 'src/oci/runtime/driver-kinds.ts',
    find: "clearUnreadable(parts, 'container', input.id);", replace: '',
    test: { file: 'test/unit/runtime/unreadable.test.ts', named: 'F89 a removed container' },
  },
  {
    row: 'F89', title: 'a small deletion follows a link in the place of a directory', file: small,
    find: 'O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK);', replace: 'O_RDONLY | O_DIRECTORY | O_NONBLOCK);',
    test: { file: removedSmall, named: 'F89 directories that become links.*: those that come' },
  },
  {
    row: 'F89', title: 'a small deletion goes by paths', file: small,
    find: 'removeBelow(`/proc/self/fd/${directory.fd}/`, budget)', replace: 'removeBelow(`${path.toString()}/`, budget)',
    test: { file: removedSmall, named: 'F89 directories that become links.*: the one' },
  },
  {
    row: 'S88', title: 'a file counts once for each of its names', file: measure,
    find: 'if (!this.#isFirst(stats)) return;', replace: '',
    test: { file: counted, named: 'S88 deep branches side by side' },
  },
  {
    row: 'S88', title: 'a large tree has no more than its share, though others leave theirs', file: measure,
    find: 'if (size.usedBytes >= before.usedBytes) sizes[at] = size;', replace: '',
    test: { file: counted, named: 'S88 one tree of more entries than its share' },
  },
];
