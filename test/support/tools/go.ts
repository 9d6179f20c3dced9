import { createHash } from 'node:crypto';
import { chmod, cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { runOrThrow } from '../run.ts';
import { BUILD_MS } from '../patience.ts';
import { cached, cacheDirectory } from './cache.ts';

/** The oldest Go that builds all tools (cri-tools says so in its go.mod), and the one we bring where it is older. */
const OLDEST_GO = [1, 26, 2] as const;
const BROUGHT_GO = '1.26.8';

/** Digits of a hash in a directory's name. */
const KEY_CHARS = 16;

/** Milliseconds between two lines about a build. */
const PROGRESS_EVERY_MS = 10_000;

/**
 * What a build says of itself: `go build -v` names each module that it downloads and each package that it compiles, on
 * standard error. A cold build takes a minute on a fast machine and ten on a slow one; nobody should take it for stuck.
 */
export function buildProgress(
  name: string,
  write: (line: string) => void,
  nowMs: () => number,
): (chunk: string) => void {
  let modules = 0;
  let packages = 0;
  let partial = '';
  let saidMs = nowMs();
  return (chunk) => {
    const lines = (partial + chunk).split('\n');
    partial = lines.pop() ?? '';
    for (const line of lines) {
      if (line.startsWith('go: downloading ')) modules += 1;
      else if (line !== '' && !line.includes(' ')) packages += 1;
    }
    if (nowMs() - saidMs < PROGRESS_EVERY_MS) return;
    saidMs = nowMs();
    write(`  ${name}: ${modules} modules downloaded, ${packages} packages compiled\n`);
  };
}

/** A program built from a published Go module, never from a copy of its code. */
export interface GoTool {
  readonly name: string;
  /** Node's name of the machine that it will run on; without it, this one. C is not compiled for another one. */
  readonly arch?: 'x64' | 'arm64';
  readonly module: string;
  /** With the leading v. */
  readonly version: string;
  /** Import path of the main package, or of the package whose tests are the program. */
  readonly package: string;
  readonly isTest?: boolean;
  readonly needsCgo?: boolean;
  readonly tags?: readonly string[];
  readonly ldflags?: string;
  /**
   * Further text for go.mod, asked for only when the program has to be built: replace directives of a module whose own
   * ones point into its source tree.
   */
  readonly goMod?: () => Promise<string>;
  /**
   * A source file changed before compiling. `id` names the change in the cache key; `replace` gets the file's text.
   * For test suites only, where a constant can't be set any other way.
   */
  readonly change?: {
    readonly id: string;
    readonly file: string;
    readonly replace: (text: string) => string;
  };
}

/** Go's name of an architecture, which images have, too. */
const goArch = (arch: string): string => (arch === 'x64' ? 'amd64' : arch);

interface Go {
  readonly program: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

let found: Promise<Go> | undefined;

/** A Go that is new enough: the machine's, or one brought through Go's module mechanism (which checks its sum). */
async function go(): Promise<Go> {
  found ??= findGo();
  return await found;
}

const baseEnv = {
  // Local settings of the caller don't belong into the tools; -mod=mod allows Go to complete go.mod and go.sum.
  GOFLAGS: '-mod=mod -trimpath -buildvcs=false',
  GOWORK: 'off',
  HOME: process.env['HOME'] ?? '/root',
};

async function findGo(): Promise<Go> {
  // sudo's PATH has not the place where Go's own archive is unpacked.
  const directories = [...(process.env['PATH'] ?? '').split(':'), '/usr/local/go/bin'];
  const program = directories.map((directory) => join(directory, 'go')).find((path) => existsSync(path));
  if (program === undefined)
    throw new Error('no Go on this machine: run "sudo node scripts/setup.js test" first');
  const version = (
    await runOrThrow([program, 'version'], { env: { ...baseEnv, GOTOOLCHAIN: 'local' } })
  ).trim();
  if (isNewEnough(version)) return { program, env: { ...baseEnv, GOTOOLCHAIN: 'local' } };

  // Debian 12 has Go 1.19, which knows no toolchain switching; but toolchains are modules, and those it can download.
  const arch = goArch(process.arch);
  const work = join(cacheDirectory, 'go');
  await mkdir(work, { recursive: true });
  const described = await runOrThrow(
    [program, 'mod', 'download', '-json', `golang.org/toolchain@v0.0.1-go${BROUGHT_GO}.linux-${arch}`],
    {
      cwd: work,
      env: { ...baseEnv, GOFLAGS: '', GOTOOLCHAIN: 'local' },
      timeoutMs: BUILD_MS,
    },
  );
  const { Dir: directory } = JSON.parse(described) as { Dir: string };
  for (const folder of ['bin', `pkg/tool/linux_${arch}`]) {
    for (const file of await readdir(join(directory, folder)))
      await chmod(join(directory, folder, file), 0o755);
  }
  return { program: join(directory, 'bin/go'), env: { ...baseEnv, GOTOOLCHAIN: 'local', GOROOT: directory } };
}

/** @param line e.g. `go version go1.26.8 linux/amd64` */
export function isNewEnough(line: string): boolean {
  const match = /go(\d+)\.(\d+)(?:\.(\d+))?/.exec(line);
  if (match === null) return false;
  for (const [index, wanted] of OLDEST_GO.entries()) {
    const has = Number(match[index + 1] ?? 0);
    if (has !== wanted) return has > wanted;
  }
  return true;
}

const progressOf = (name: string): ((chunk: string) => void) =>
  buildProgress(
    name,
    (line) => process.stderr.write(line),
    () => performance.now(),
  );

/** Main packages of one published Go module, built together into one directory. */
export type GoSet = Omit<GoTool, 'package' | 'isTest' | 'change'> & { readonly packages: readonly string[] };

/** The directory of the built programs, each under the last part of its package's path; kept as `buildGoTool` does. */
export async function buildGoSet({ packages, ...set }: GoSet): Promise<string> {
  return await cached(join('tools', set.name, `${set.version}-${process.arch}`), async (work) => {
    await build({ ...set, package: packages }, work);
  });
}

/** The directory of the module in Go's cache, downloaded when it isn't there. */
export async function goModuleDirectory(module: string, version: string): Promise<string> {
  const { program, env } = await go();
  const work = join(cacheDirectory, 'go');
  await mkdir(work, { recursive: true });
  const described = await runOrThrow([program, 'mod', 'download', '-json', `${module}@${version}`], {
    cwd: work,
    env: { ...env, GOFLAGS: '' },
    timeoutMs: BUILD_MS,
  });
  return (JSON.parse(described) as { Dir: string }).Dir;
}

/**
 * The path of the built program. The first time it is built below the cache (a minute or so when Go's own cache is
 * cold), later the answer is at once: the key names version, change and architecture.
 */
export async function buildGoTool(tool: GoTool): Promise<string> {
  const key = [
    tool.version,
    tool.arch ?? process.arch,
    ...(tool.change === undefined ? [] : [tool.change.id]),
  ].join('-');
  const directory = await cached(join('tools', tool.name, key), async (work) => await build(tool, work));
  return join(directory, tool.name);
}

/** A program of ours in Go, for what only the libraries of Kubernetes and its peers can show. */
export interface OwnGoProgram {
  readonly name: string;
  /** Directory of its `.go` files, all of package main. */
  readonly sources: string;
  /** Modules and their versions, with the leading v. */
  readonly requires: Readonly<Record<string, string>>;
  readonly tags?: readonly string[];
}

/** The path of the built program; built again when its sources or its modules have changed. */
export async function buildOwnGo({ name, sources, requires, tags }: OwnGoProgram): Promise<string> {
  const files = (await readdir(sources)).filter((file) => file.endsWith('.go')).toSorted();
  // undefined stays away: the programs without tags keep their places
  const hash = createHash('sha256').update(
    JSON.stringify(tags === undefined ? requires : { requires, tags }),
  );
  for (const file of files) hash.update(await readFile(join(sources, file)));
  const directory = await cached(
    join('tools', name, `${hash.digest('hex').slice(0, KEY_CHARS)}-${process.arch}`),
    async (work) => {
      const { program, env } = await go();
      process.stderr.write(`building ${name} from its Go sources (once)\n`);
      const source = join(work, 'src');
      await mkdir(source);
      for (const file of files) await cp(join(sources, file), join(source, file));
      const modules = Object.entries(requires).map(([module, version]) => `\t${module} ${version}\n`);
      await writeFile(
        join(source, 'go.mod'),
        `module troupe.test/${name}\n\ngo ${OLDEST_GO.join('.')}\n\nrequire (\n${modules.join('')})\n`,
      );
      await runOrThrow(
        [
          program,
          'build',
          '-v',
          '-o',
          join(work, name),
          ...(tags === undefined ? [] : ['-tags', tags.join(',')]),
          '-ldflags',
          '-s -w',
          '.',
        ],
        {
          cwd: source,
          env: { ...env, CGO_ENABLED: '0' },
          timeoutMs: BUILD_MS,
          onOutput: progressOf(name),
        },
      );
      await rm(source, { recursive: true, force: true });
    },
  );
  return join(directory, name);
}

async function build(
  tool: Omit<GoTool, 'package'> & { readonly package: string | readonly string[] },
  work: string,
): Promise<void> {
  const { program, env } = await go();
  const buildEnv = {
    ...env,
    CGO_ENABLED: tool.needsCgo === true ? '1' : '0',
    GOARCH: goArch(tool.arch ?? process.arch),
  };
  process.stderr.write(`building ${tool.name} ${tool.version} from its Go module (once)\n`);
  const source = join(work, 'src');
  await mkdir(source);
  // Such modules can't be named on the command line (`go install module@version` can't list their versions), but they
  // can be required.
  const head = `module troupe.test/${tool.name}\n\ngo ${OLDEST_GO.join('.')}\n\nrequire ${tool.module} ${tool.version}\n`;
  const replacement = tool.change === undefined ? '' : await copyChanged(tool, tool.change, source);
  await writeFile(join(source, 'go.mod'), head + replacement + ((await tool.goMod?.()) ?? ''));
  const packages = typeof tool.package === 'string' ? [tool.package] : tool.package;
  // a directory as the target: each program gets the name of its package
  const flags = ['-v', '-o', typeof tool.package === 'string' ? join(work, tool.name) : `${work}/`];
  if (tool.tags !== undefined) flags.push('-tags', tool.tags.join(','));
  flags.push('-ldflags', `-s -w ${tool.ldflags ?? ''}`.trim());
  const verb = tool.isTest === true ? ['test', '-c'] : ['build'];
  await runOrThrow([program, ...verb, ...flags, ...packages], {
    cwd: source,
    env: buildEnv,
    timeoutMs: BUILD_MS,
    onOutput: progressOf(tool.name),
  });
  await rm(source, { recursive: true, force: true });
}

/** A copy of the module with the one file changed, in the working directory. Answers the line go.mod needs for it. */
async function copyChanged(
  tool: Pick<GoTool, 'module' | 'version'>,
  change: NonNullable<GoTool['change']>,
  source: string,
): Promise<string> {
  const copy = join(source, 'module');
  // Not `go build -overlay`, which refuses files of the module cache.
  await cp(await goModuleDirectory(tool.module, tool.version), copy, { recursive: true });
  const changed = join(copy, change.file);
  const before = await readFile(changed, 'utf8');
  const after = change.replace(before);
  if (after === before)
    throw new Error(`the change ${change.id} of ${change.file} of ${tool.module} changed nothing`);
  // Files of the module cache are read-only, and so are their copies.
  await chmod(changed, 0o644);
  await writeFile(changed, after);
  return `\nreplace ${tool.module} => ./module\n`;
}
