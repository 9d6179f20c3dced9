/** The CDI files of this machine, read when a container requests one of their devices. */
import { fail, toFault } from '../../../../base/fault.ts';
import type { OnPath } from '../host/bundle-mounts.ts';
import { filesIn, CachedFiles } from '../host/cached-files.ts';
import type { CdiEdits } from './edits.ts';
import { parseCdiFile } from './spec-file.ts';
import type { CdiSpec } from './spec-file.ts';

interface Found {
  readonly path: string;
  /** Index of the directory: a later one takes precedence. */
  readonly priority: number;
  readonly spec: CdiSpec;
  readonly edits: CdiEdits;
}

/** What was found in all files. */
interface Scan {
  readonly devices: Map<string, Found>;
  /** Devices that two files of the same directory define. */
  readonly conflicts: Set<string>;
  /** Why files and directories could not be used, by path. */
  readonly problems: Map<string, string>;
}

export class CdiRegistry {
  readonly #directories: () => readonly string[];
  readonly #files = new CachedFiles(parseCdiFile);

  /** Directories by ascending precedence, such as /etc/cdi and /var/run/cdi. Called at each use. */
  constructor(directories: () => readonly string[]) {
    this.#directories = directories;
  }

  /**
   * The edits of the devices with these qualified names, in their order; before the first device of each file, the
   * file's own edits. Throws `invalidRequest` for an unknown device with the files that could not be read: a broken
   * file affects only containers that need it.
   */
  async find(names: readonly string[], onPath: OnPath): Promise<readonly CdiEdits[]> {
    if (names.length === 0) return [];
    const { devices, problems } = await this.#scan(onPath);
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

  /** Invalid files at present: path → reason. An invalid file does not affect the others (F95). */
  async problems(onPath: OnPath): Promise<ReadonlyMap<string, string>> {
    return (await this.#scan(onPath)).problems;
  }

  #refuse(name: string, problems: readonly string[]): never {
    const directories = this.#directories();
    const where =
      directories.length === 0
        ? 'no directory of CDI files is configured'
        : `not found in the usable CDI files in ${directories.join(', ')}`;
    const why = problems.length === 0 ? '' : `; ${problems.join('; ')}`;
    return fail('invalidRequest', `use CDI device ${name}: ${where}${why}`, { subject: 'CDI_devices' });
  }

  async #scan(onPath: OnPath): Promise<Scan> {
    const scan: Scan = { devices: new Map(), conflicts: new Set(), problems: new Map() };
    const seen = new Set<string>();
    const problem =
      (path: string) =>
      (error: unknown): undefined =>
        void scan.problems.set(path, toFault(error).message);
    for (const [priority, directory] of this.#directories().entries()) {
      const paths = (await filesIn(directory, ['.json', '.yaml'], onPath).catch(problem(directory))) ?? [];
      for (const path of paths) {
        seen.add(path);
        const spec = await this.#files.read(path, onPath).catch(problem(path));
        if (spec !== undefined) add(scan, path, priority, spec);
      }
    }
    this.#files.keepOnly(seen);
    for (const name of scan.conflicts) scan.devices.delete(name);
    return scan;
  }
}

/** A directory of higher precedence resolves a conflict of lower ones; within one directory a conflict remains. */
function add({ devices, conflicts, problems }: Scan, path: string, priority: number, spec: CdiSpec): void {
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
