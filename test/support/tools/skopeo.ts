// skopeo and buildah of Debian, unpacked and run with the libraries of their own packages.
import { chmodSync, existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, runOrThrow } from '../run.ts';
import { debianTree, inTree } from './debian.ts';

const triplet = process.arch === 'x64' ? 'x86_64-linux-gnu' : 'aarch64-linux-gnu';
/** The C library fits the machine's loader only when both are of one build. */
const OF_LIBC = /^(?:ld-linux|lib(?:c|m|dl|rt|pthread|resolv|util|anl|nsl|nss_\w+)[.-])/u;

/** Why they can't be run; undefined when they can. */
export function noContainersTools(): string | undefined {
  try {
    for (const name of ['skopeo', 'buildah'] as const) debianTree(name);
    return process.getuid?.() === 0 ? undefined : 'needs root';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/**
 * Why buildah can't run a step of a Dockerfile; undefined when it can. It starts itself anew for that, without our
 * environment.
 */
export function noBuilds(): string | undefined {
  const library = `/usr/lib/${triplet}/libgpgme.so.11`;
  return (
    noContainersTools() ??
    (existsSync(library) ? undefined : `${library} is missing (Debian: apt-get install libgpgme11)`)
  );
}

/** Both programs with settings of their own in a directory, so that none of the machine's plays a part. */
export class ContainersTools {
  readonly #directory: string;

  /** @param directory theirs alone, removed by its owner */
  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'policy.json'), '{"default":[{"type":"insecureAcceptAnything"}]}');
    writeFileSync(join(directory, 'storage.conf'), '[storage]\ndriver = "vfs"\n');
    writeFileSync(join(directory, 'registries.conf'), '');
    for (const name of ['skopeo', 'buildah'] as const) this.#wrap(name);
  }

  /** `skopeo copy` without checking certificates or signatures. */
  async copy(from: string, to: string, ...more: readonly string[]): Promise<void> {
    await runOrThrow([
      ...this.#skopeo(),
      'copy',
      '--quiet',
      '--src-tls-verify=false',
      '--dest-tls-verify=false',
      ...more,
      from,
      to,
    ]);
  }

  /** `skopeo inspect`, its output. */
  async inspect(...args: readonly string[]): Promise<string> {
    return runOrThrow([...this.#skopeo(), 'inspect', '--tls-verify=false', ...args]);
  }

  /** skopeo's own words about its version. */
  async version(): Promise<string> {
    return (await runOrThrow([join(this.#directory, 'bin/skopeo'), '--version'])).trim();
  }

  /** `buildah` with storage of its own; its output. */
  async buildah(verb: string, ...args: readonly string[]): Promise<string> {
    const place = [
      '--root',
      join(this.#directory, 'storage'),
      '--runroot',
      join(this.#directory, 'run'),
      '--storage-driver',
      'vfs',
      '--registries-conf',
      join(this.#directory, 'registries.conf'),
    ];
    const policy = ['bud', 'push', 'from', 'pull'].includes(verb)
      ? ['--signature-policy', join(this.#directory, 'policy.json')]
      : [];
    const { code, stdout, stderr } = await run(
      [join(this.#directory, 'bin/buildah'), ...place, verb, ...policy, ...args],
      { timeoutMs: 300_000 },
    );
    if (code !== 0) throw new Error(`buildah ${verb} ended with ${code}: ${stderr}`);
    return stdout;
  }

  #skopeo(): [string, ...string[]] {
    return [
      join(this.#directory, 'bin/skopeo'),
      '--policy',
      join(this.#directory, 'policy.json'),
      '--tmpdir',
      this.#directory,
    ];
  }

  #wrap(name: 'skopeo' | 'buildah'): void {
    const tree = debianTree(name);
    const [bin, libraries] = [join(this.#directory, 'bin'), join(this.#directory, `lib-${name}`)];
    for (const directory of [bin, libraries]) mkdirSync(directory, { recursive: true });
    for (const from of [`lib/${triplet}`, `usr/lib/${triplet}`]
      .map((place) => join(tree, place))
      .filter((path) => existsSync(path))) {
      for (const file of readdirSync(from).filter((one) => one.includes('.so') && !OF_LIBC.test(one)))
        symlinkSync(join(from, file), join(libraries, file));
    }
    const path = join(bin, name);
    writeFileSync(
      path,
      `#!/bin/sh\nexport CONTAINERS_STORAGE_CONF=${this.#directory}/storage.conf HOME=${this.#directory}\nLD_LIBRARY_PATH=${libraries} exec ${inTree(tree, `usr/bin/${name}`)} "$@"\n`,
    );
    chmodSync(path, 0o755);
  }
}
