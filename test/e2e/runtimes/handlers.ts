// The runtimes of `npm run runtimes`: how each is had, and the handler that runs it.
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../support/run.ts';
import { runcNewest, runsc, shimRuncV2, shimRunsc } from '../../support/tools/go-tools.ts';
import { crunNewest, youki } from '../../support/tools/runtimes.ts';

/** The name of the handler in each run. */
export const HANDLER = 'tested';

/** A runtime that is there. */
export interface Had {
  /** Such as `crun version 1.28`. */
  readonly version: string;
  /** Its handler's table, in TOML. */
  readonly handler: string;
}

export interface Runtime {
  /** For `--only`, and the first column of the figures. */
  readonly name: string;
  /** Finds or makes it; throws the reason why that cannot be done here. */
  readonly have: (directory: string) => Promise<Had>;
}

/** The first line that a program says of its version. */
async function versionOf(path: string, flag = '--version'): Promise<string> {
  const { stdout, stderr, code } = await run([path, flag]);
  const line = `${stdout}${stderr}`.split('\n').find((one) => one.trim() !== '');
  if (code !== 0 || line === undefined) throw new Error(`${path} ${flag} ended with ${code}: ${stderr}`);
  return line.trim();
}

const oci = (path: string, more: readonly string[] = []): string => [`path = "${path}"`, ...more].join('\n');

const program =
  (have: () => Promise<string>): Runtime['have'] =>
  async () => {
    const path = await have();
    return { version: await versionOf(path), handler: oci(path) };
  };

const debian = (path: string): Runtime['have'] =>
  program(async () => {
    if (!existsSync(path)) throw new Error(`no ${path} on this machine: run "sudo npm run runtimes"`);
    return await Promise.resolve(path);
  });

/** gVisor's programs do not know their own version when the Go tool builds them. */
const gvisor = (path: string): string => `gVisor ${/-(\d{8})\d{6}-/u.exec(path)?.[1] ?? 'of unknown date'}`;

/** Off by default: the containers' own seccomp filters, and programs that take the rights of their owner. */
const GVISOR_FLAGS = ['oci-seccomp', 'allow-suid'] as const;

export const runtimes: readonly Runtime[] = [
  { name: 'runc-debian', have: debian('/usr/bin/runc') },
  { name: 'runc', have: program(runcNewest) },
  { name: 'crun-debian', have: debian('/usr/bin/crun') },
  { name: 'crun', have: program(crunNewest) },
  { name: 'youki', have: program(youki) },
  {
    name: 'runsc',
    have: async () => {
      const path = await runsc();
      return {
        version: `${gvisor(path)}, a sandbox for each container`,
        // with a network stack of its own the first container would take the pod's addresses from the others
        handler: oci(path, [
          `options = ["--network=host", ${GVISOR_FLAGS.map((flag) => `"--${flag}"`).join(', ')}]`,
        ]),
      };
    },
  },
  {
    name: 'runsc-shim',
    have: async (directory) => {
      const [path, program_] = [await shimRunsc(), await runsc()];
      const config = join(directory, 'runsc.toml');
      const flags = GVISOR_FLAGS.map((flag) => `${flag} = "true"\n`);
      await writeFile(config, `binary_name = "${program_}"\n[runsc_config]\n${flags.join('')}`);
      return {
        version: `${gvisor(path)}, its shim`,
        handler: oci(path, ['type = "vm"', `config_path = "${config}"`]),
      };
    },
  },
  {
    name: 'runc-shim',
    have: async () => {
      const path = await shimRuncV2();
      return { version: `${await versionOf(path, '-v')}`, handler: oci(path, ['type = "vm"']) };
    },
  },
];
