/**
 * Files of the node that we only read: registries.conf, policy.json, credentials, certificates, CDI, hooks, CNI, and
 * the drop-ins of our own configuration. The code that uses a bad file does what is safe (a table in
 * docs/operations.md). Here all are read periodically, so that Status names a bad file before a pod fails because of it
 * (F95).
 */
import type { ClockPort, TimerHandle } from '../../ports/clock.ts';
import type { Conditions } from '../../base/conditions.ts';
import { toFault } from '../../base/fault.ts';
import { nodeFileLimits } from '../../oci/bounds.ts';
import { hostFileProblems } from '../../host/sandbox/sandbox-files.ts';
import { HostCertificates } from '../../oci/images/registry/host-certificates.ts';
import { CdiRegistry } from '../../oci/runtime/bundle/cdi/registry.ts';
import { HookDirectories } from '../../oci/runtime/bundle/hooks/hook-directories.ts';
import { PolicyFiles } from '../../oci/images/signature/policy-files.ts';
import { loadRegistriesD } from '../../oci/images/signature/registries-d.ts';
import { withDeadline } from '../../host/clock/deadline.ts';
import type { ConfigNow } from '../config/config-schema.ts';
import { policyPaths } from './policy.ts';
import { nodeCredentials } from './registry.ts';

/** Path → reason. */
export type FileProblems = ReadonlyMap<string, string>;

/** The present errors in the files of one kind; `signal` aborts when no caller waits any longer. */
export type FileCheck = (signal: AbortSignal) => FileProblems | Promise<FileProblems>;

export interface NodeFilesOptions {
  /** By the files they read, for the message when one does not end. */
  readonly checks: Readonly<Record<string, FileCheck>>;
  readonly conditions: Conditions;
  readonly clock: ClockPort;
}

export class NodeFiles {
  readonly #options: NodeFilesOptions;
  #own: FileProblems = new Map();
  #timer: TimerHandle | undefined;
  #scan: Promise<void> | undefined;
  #isWanted = false;
  #isClosed = false;
  /** Checks that did not end, and what was reported for them: a second one would hold one more thread of the pool. */
  readonly #stuck = new Map<string, FileProblems>();

  constructor(options: NodeFilesOptions) {
    this.#options = options;
  }

  /** First scan when the start is over, then periodically. */
  start(): void {
    this.#arm(nodeFileLimits.firstScanMs);
  }

  /** Reports errors in our own drop-ins, which the configuration's reader finds. */
  noteOwn(problems: FileProblems): void {
    this.#own = problems;
    void this.scan();
  }

  /** Reads all of them now; a call during a scan waits for one more. Never rejects. */
  async scan(): Promise<void> {
    if (this.#isClosed) return;
    this.#isWanted = true;
    this.#scan ??= this.#run();
    await this.#scan;
  }

  close(): void {
    this.#isClosed = true;
    if (this.#timer !== undefined) this.#options.clock.clearTimeout(this.#timer);
  }

  async #run(): Promise<void> {
    while (this.#isWanted && !this.#isClosed) {
      this.#isWanted = false;
      const found = await Promise.all(
        Object.entries(this.#options.checks).map((check) => this.#check(check)),
      );
      if (!this.#isClosed)
        this.#options.conditions.replace(
          'NodeFilesUsable',
          new Map([...this.#own, ...found.flatMap((problems) => [...problems])]),
        );
    }
    this.#scan = undefined;
    this.#arm(nodeFileLimits.scanEveryMs);
  }

  /** A file on a server that does not answer does not delay the report of others. */
  async #check([name, check]: readonly [string, FileCheck]): Promise<FileProblems> {
    const stuck = this.#stuck.get(name);
    if (stuck !== undefined) return stuck;
    const bound = { signal: new AbortController().signal, timeoutMs: nodeFileLimits.scanMs };
    let isOver = false;
    const read = async (signal: AbortSignal): Promise<FileProblems> => {
      try {
        return await check(signal);
      } finally {
        isOver = true;
        this.#stuck.delete(name);
      }
    };
    try {
      return withoutPaths(await withDeadline(this.#options.clock, bound, `read ${name}`, read));
    } catch (thrown) {
      const problems = new Map([[name, toFault(thrown).message]]);
      if (!isOver) this.#stuck.set(name, problems);
      return problems;
    }
  }

  #arm(ms: number): void {
    if (this.#timer !== undefined) this.#options.clock.clearTimeout(this.#timer);
    if (!this.#isClosed) this.#timer = this.#options.clock.setTimeout(() => void this.scan(), ms);
  }
}

function withoutPaths(problems: FileProblems): FileProblems {
  return new Map([...problems].map(([path, reason]) => [path, withoutPath(path, reason)]));
}

/** The reason without the path, which is the condition's subject. */
export function withoutPath(path: string, reason: string): string {
  return reason.replace(`read ${path}: `, '');
}

/** Readers that know the errors of their files already. */
export interface NodeFileReaders {
  readonly live: { readonly problems: FileProblems };
  readonly network: { problems(): FileProblems };
  readonly conditions: Conditions;
  readonly clock: ClockPort;
}

/** Watches all files that the configuration in effect names. The first scan begins when the start is over. */
export function watchNodeFiles(
  now: ConfigNow,
  { live, network, conditions, clock }: NodeFileReaders,
): NodeFiles {
  const credentials = nodeCredentials(now, clock);
  const certificates = new HostCertificates(() => now().images.certs_dirs);
  const policy = new PolicyFiles(() => policyPaths(now()));
  const cdi = new CdiRegistry(() => now().runtime.cdi_dirs);
  const hooks = new HookDirectories(() => now().runtime.hooks_dirs);
  const files = new NodeFiles({
    conditions,
    clock,
    checks: {
      'registries.conf': () => live.problems,
      'the CNI configuration': () => network.problems(),
      credentials: () => credentials.problems(),
      certificates: () => certificates.problems(),
      'signature policies': () => policy.problems(),
      'registries.d': async () => (await loadRegistriesD(now().images.registries_d)).problems,
      'CDI files': () => cdi.problems((_path, _attempted, work) => work()),
      'OCI hooks': () => hooks.problems((_path, _attempted, work) => work()),
      'resolv.conf and hosts': () => hostFileProblems(['/etc/resolv.conf', '/etc/hosts']),
    },
  });
  files.start();
  return files;
}
