/** The CDI files of this machine, read when a container asks for one of their devices. */
import { fail, toFault } from '../../../../base/fault.ts';
import type { OnPath } from '../host/bundle-mounts.ts';
import { filesIn, KeptFiles } from '../host/cached-files.ts';
import type { CdiEdits } from './edits.ts';
import { parseCdiFile } from './spec-file.ts';
import type { CdiSpec } from './spec-file.ts';

interface Found {
  readonly path: string;
  /** Index of the directory: a later one wins. */
  readonly priority: number;
  readonly spec: CdiSpec;
  readonly edits: CdiEdits;
}

/** What is being gathered from all files. */
interface Look {
  readonly devices: Map<string, Found>;
  /** Devices that two files of one directory define. */
  readonly conflicts: Set<string>;
  /** Why files and directories could not be used, by path. */
  readonly problems: Map<string, string>;
}

export class CdiRegistry {
  readonly #directories: readonly string[];
  readonly #files = new KeptFiles(parseCdiFile);

  /** Directories by ascending precedence, as the specification has /etc/cdi and /var/run/cdi. */
  constructor(directories: readonly string[]) {
    this.#directories = directories;
  }

  /**
   * What the devices of these qualified names ask to be done, in their order; before the first of each file what that
   * file asks for whichever device. Throws `invalidRequest` for a name that no file has, and says which files could not
   * be read: one broken file hurts nobody who does not need it.
   */
  async find(names: readonly string[], onPath: OnPath): Promise<readonly CdiEdits[]> {
    if (names.length === 0) return [];
    const { devices, problems } = await this.#look(onPath);
    const reasons = [...problems.values()];
    const used = new Set<CdiSpec>();
    return names.flatMap((name) => {
      const found = devices.get(name);
      if (found === undefined) return this.#refuse(name, reasons);
      const isFirst = !used.has(found.spec);
      used.add(found.spec);
      return isFirst ? [found.spec.edits, found.edits] : [found.edits];
    });
  }

  /** What is wrong with the files as they are now: path → reason. One bad file takes nothing from the others (F95). */
  async problems(onPath: OnPath): Promise<ReadonlyMap<string, string>> {
    return (await this.#look(onPath)).problems;
  }

  #refuse(name: string, problems: readonly string[]): never {
    const where =
      this.#directories.length === 0
        ? 'no directory of CDI files is configured'
        : `no usable CDI file in ${this.#directories.join(', ')} has it`;
    const why = problems.length === 0 ? '' : `; ${problems.join('; ')}`;
    return fail('invalidRequest', `use CDI device ${name}: ${where}${why}`, { subject: 'CDI_devices' });
  }

  async #look(onPath: OnPath): Promise<Look> {
    const look: Look = { devices: new Map(), conflicts: new Set(), problems: new Map() };
    const seen = new Set<string>();
    const problem =
      (path: string) =>
      (error: unknown): undefined =>
        void look.problems.set(path, toFault(error).message);
    for (const [priority, directory] of this.#directories.entries()) {
      const paths = (await filesIn(directory, ['.json', '.yaml'], onPath).catch(problem(directory))) ?? [];
      for (const path of paths) {
        seen.add(path);
        const spec = await this.#files.read(path, onPath).catch(problem(path));
        if (spec !== undefined) add(look, path, priority, spec);
      }
    }
    this.#files.keepOnly(seen);
    for (const name of look.conflicts) look.devices.delete(name);
    return look;
  }
}

/** A directory of higher precedence settles what lower ones disagree on; within one nobody can. */
function add({ devices, conflicts, problems }: Look, path: string, priority: number, spec: CdiSpec): void {
  for (const [device, edits] of spec.devices) {
    const name = `${spec.kind}=${device}`;
    const other = devices.get(name);
    if (other?.priority === priority) {
      conflicts.add(name);
      problems.set(path, `${name} is in both ${other.path} and ${path}`);
    } else {
      conflicts.delete(name);
    }
    devices.set(name, { path, priority, spec, edits });
  }
}
