// Guards that keep a bad file of the node from more than what it says (F95).
import type { Mutant } from '../mutant.ts';

const config = 'test/unit/daemon/config.test.ts';
const named = 'test/unit/daemon/node-files.test.ts';
const registries = 'test/unit/distribution/load-registries.test.ts';
const live = 'test/unit/distribution/live-registries.test.ts';

export const ofNodeFiles: readonly Mutant[] = [
  {
    row: 'F95', title: 'a torn drop-in stops the start', file: 'src/daemon/config.ts',
    find: 'problem(dropIn, thrown);', replace: 'throw thrown;',
    test: { file: config, named: 'F95 drop-ins.*of a bad one what can be used' },
  },
  {
    row: 'F95', title: 'a bad value of a drop-in is used', file: 'src/daemon/config.ts',
    find: 'for (const { whole } of found) drop(table, whole);', replace: '',
    test: { file: config, named: 'F95 drop-ins.*of a bad one what can be used' },
  },
  {
    row: 'F95', title: 'half a handler is a handler', file: 'src/daemon/config.ts',
    find: 'check(entry, rule.each, entryAt, report, entryAt);', replace: 'check(entry, rule.each, entryAt, report);',
    test: { file: config, named: 'F95 drop-ins.*half a handler' },
  },
  {
    row: 'F95', title: 'a file in the place of the directory of drop-ins stops the start', file: 'src/daemon/config.ts',
    find: '.catch((thrown: unknown) => problem(directory, thrown) ?? [])', replace: '',
    test: { file: config, named: 'F95 drop-ins.*a file in the place of their directory' },
  },
  {
    row: 'F95', title: 'drop-ins that make no cgroup parent stop the start', file: 'src/daemon/config.ts',
    find: 'config = withCgroupParent({ ...config, cgroup: own.cgroup }, file);', replace: 'throw thrown;',
    test: { file: config, named: 'F95 drop-ins.*a cgroup parent in the words' },
  },
  {
    row: 'F95', title: 'a monitor that is not installed stops the start', file: 'src/daemon/handlers.ts',
    find: 'return { path: name, missing: toFault(thrown).message };', replace: 'throw thrown;',
    test: { file: config, named: 'F95 a monitor that is not installed' },
  },
  {
    row: 'F95', title: 'a registries.conf that can not be read stops the start', file: 'src/oci/distribution/load-registries.ts',
    find: 'return refusedFile(file, toFault(error).message);', replace: 'throw error;',
    test: { file: registries, named: 'F95 what can not be read' },
  },
  {
    row: 'F95', title: 'a file in the place of a directory of registries.conf stops the start', file: 'src/oci/distribution/load-registries.ts',
    find: "return `it can't be listed (${codeOf(error) ?? String(error)})`;", replace: 'throw error;',
    test: { file: registries, named: 'F95 a file in the place of the directory' },
  },
  {
    row: 'F95', title: 'a torn registries.conf blocks nothing', file: 'src/oci/distribution/registries-conf.ts',
    find: 'return { ...emptyRegistriesConf, refusal, shortNameRefusal: refusal, problems', replace: 'return { ...emptyRegistriesConf, problems',
    test: { file: live, named: 'F95 at the start a torn file' },
  },
  {
    row: 'F95', title: 'a registries.conf that is torn by its editor takes the place of the one before', file: 'src/oci/distribution/live-registries.ts',
    find: 'if (isBad && this.#isUsable) {', replace: 'if (isBad && !this.#isUsable && conf.rules.length < 0) {',
    test: { file: live, named: 'F95 what is prepared counts' },
  },
  {
    row: 'F95', title: 'a file of the node may be a device', file: 'src/oci/distribution/read-capped.ts',
    find: "if (!stat.isFile()) refuse('not a regular file');", replace: '',
    test: { file: registries, named: 'F95 what can not be read' },
  },
  {
    row: 'F95', title: 'a file of the node is read whatever its size', file: 'src/oci/distribution/read-capped.ts',
    find: 'if (stat.size > bytesMax) refuse(', replace: 'if (stat.size < 0) refuse(',
    test: { file: registries, named: 'F95 what can not be read' },
  },
  {
    row: 'F95', title: 'one bad entry takes all credentials', file: 'src/oci/distribution/auth-file.ts',
    find: 'if (!(error instanceof FaultError)) throw error;', replace: 'throw error;',
    test: { file: 'test/unit/distribution/auth-file.test.ts', named: 'F95 a bad entry takes nothing' },
  },
  {
    row: 'F95', title: 'a torn policy accepts anything', file: 'src/oci/signature/policy-files.ts',
    find: 'const policy = parsePolicy(bytes, path);', replace: 'let policy = acceptAnything;\n    try { policy = parsePolicy(bytes, path); } catch { return undefined; }',
    test: { file: named, named: 'F95 a file of the node.*policy.json, torn' },
  },
  {
    row: 'F95', title: 'a bad file of registries.d takes the others', file: 'src/oci/signature/registries-d.ts',
    find: 'if (!(error instanceof FaultError)) throw error;\n      problems', replace: 'throw error;\n      problems',
    test: { file: named, named: 'F95 a file of the node.*registries.d/a.yaml, torn' },
  },
  {
    row: 'F95', title: 'a bad CDI file takes the others', file: 'src/oci/runtime/cdi/registry.ts',
    find: 'await this.#files.read(path, onPath).catch(problem(path));', replace: 'await this.#files.read(path, onPath);',
    test: { file: named, named: 'F95 a file of the node.*cdi/v.json, torn' },
  },
  {
    row: 'F95', title: 'a drop-in without effect is in no condition', file: 'src/daemon/node-files.ts',
    find: '[...this.#own, ...found', replace: '[...found',
    test: { file: named, named: 'F95 a file of the node.*drop-ins of our own' },
  },
  {
    row: 'F95', title: 'a file that does not answer keeps the others from being reported', file: 'src/daemon/node-files.ts',
    find: 'await within(this.#options.clock, bound, `read ${name}`, read)', replace: 'await read(bound.signal)',
    test: { file: named, named: 'F95 a file of the node.*one whose reading does not end' },
  },
  {
    row: 'F95', title: 'an image that a short name pins is collected while registries.conf is torn', file: 'src/actors/images/pinned.ts',
    find: "thrown.fault.kind === 'denied' ? undefined : [];", replace: "thrown.fault.kind === 'denied' ? [] : [];",
    test: { file: 'test/unit/actors/pinned.test.ts', named: 'F95: by a short name' },
  },
  {
    row: 'F95', title: 'a short name counts as gone while registries.conf is torn', file: 'src/actors/images/image-commands.ts',
    find: "if (kind === 'denied') throw new FaultError(toFault(thrown, `RemoveImage ${name}`));", replace: 'void kind;',
    test: { file: 'test/unit/actors/removed-names.test.ts', named: 'F95: a short name' },
  },
];
