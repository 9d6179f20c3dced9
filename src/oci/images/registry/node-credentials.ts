/** Credentials stored on the node, in files and by helper programs, for pulls without credentials in the request. */
import type { RegistryAuth } from '../../../ports/images.ts';
import type { ClockPort } from '../../../ports/clock.ts';
import { fail, FaultError } from '../../../base/fault.ts';
import { distributionLimits } from '../bounds.ts';
import type { ToolRequest, ToolResult } from '../../../host/process/process-tool.ts';
import { credentialsOf } from './auth.ts';
import { findIn, parseAuthFile, parseHelperReply, type AuthFile } from './auth-file.ts';
import type { Endpoint } from './endpoints.ts';
import { readCapped } from './read-capped.ts';

export interface NodeCredentialsOptions {
  /** Absolute paths; the first file with an entry wins. Called at each pull. */
  readonly files: () => readonly string[];
  /** Resolves to the absolute path of a helper program, or rejects with a FaultError. */
  readonly findHelper: (program: string) => Promise<string>;
  readonly runTool: (request: ToolRequest) => Promise<ToolResult>;
  readonly clock: ClockPort;
}

/** Finds credentials. Reads the files at each pull, so that an operator's change takes effect at once. */
export class NodeCredentials {
  readonly #options: NodeCredentialsOptions;

  constructor(options: NodeCredentialsOptions) {
    this.#options = options;
  }

  /**
   * The credentials for an endpoint, or undefined for an anonymous pull. A file that cannot be read counts as missing;
   * `problems` reports it. Throws `outside` if a helper fails.
   */
  async of(endpoint: Endpoint, signal: AbortSignal): Promise<RegistryAuth | undefined> {
    for (const file of this.#options.files()) {
      const content = await readAuthFile(file);
      const auth = typeof content === 'object' ? await this.inFile(content, endpoint, signal) : undefined;
      if (auth !== undefined) return auth;
    }
    return undefined;
  }

  /** Current problems of the files: path → reason. Runs no helper. */
  async problems(): Promise<ReadonlyMap<string, string>> {
    const found = new Map<string, string>();
    for (const file of this.#options.files()) {
      const content = await readAuthFile(file);
      const reasons =
        typeof content === 'object'
          ? [...content.problems, ...(await this.#missingHelpers(content))]
          : [content ?? ''];
      const [first = '', ...others] = reasons;
      if (first !== '') found.set(file, others.length === 0 ? first : `${first}; and ${others.length} more`);
    }
    return found;
  }

  async #missingHelpers({ helpers, store }: AuthFile): Promise<readonly string[]> {
    const names = new Set(
      [...helpers.values(), store].filter((name) => name !== '').slice(0, distributionLimits.confProblems),
    );
    const searched = [...names].map((name) =>
      this.#programOf(name).then((program) =>
        program === undefined ? [`credential helper docker-credential-${name}: not found`] : [],
      ),
    );
    return (await Promise.all(searched)).flat();
  }

  async #programOf(helper: string): Promise<string | undefined> {
    try {
      return await this.#options.findHelper(`docker-credential-${helper}`);
    } catch (error) {
      if (error instanceof FaultError) return undefined;
      throw error;
    }
  }

  /** The credentials that a file has for a repository, from an entry or a helper. */
  async inFile(
    file: AuthFile,
    { host, repository }: Pick<Endpoint, 'host' | 'repository'>,
    signal: AbortSignal,
  ): Promise<RegistryAuth | undefined> {
    const found = findIn(file, host, repository);
    if (found === undefined) return undefined;
    if ('auth' in found) return found.auth;
    return (await this.#ask(found.helper, found.server, signal)) ?? found.otherwise;
  }

  /**
   * Runs `docker-credential-<name> get` with the server on stdin. Undefined if it has no credentials or is not
   * installed.
   */
  async #ask(helper: string, server: string, signal: AbortSignal): Promise<RegistryAuth | undefined> {
    const attempted = `get credentials for ${server} from docker-credential-${helper}`;
    const program = await this.#programOf(helper);
    if (program === undefined) return undefined;
    const { exitCode, stdout, stderr, timedOut, truncated } = await this.#options.runTool({
      argv: [program, 'get'],
      stdin: Buffer.from(`${server}\n`),
      timeoutMs: distributionLimits.helperMs,
      outputBytesMax: distributionLimits.helperBytes,
      signal,
      clock: this.#options.clock,
    });
    if (timedOut) fail('timedOut', `${attempted}: timed out after ${distributionLimits.helperMs} ms`);
    const said = Buffer.concat([stdout, stderr]).toString('utf8');
    // helpers print this with exit code 1 if they have no credentials; stdout may hold a secret and is never shown
    if (exitCode !== 0 && /credentials not found/iu.test(said)) return undefined;
    if (exitCode !== 0)
      fail(
        'outside',
        `${attempted}: ${exitCode === null ? 'ended by a signal' : `exit code ${exitCode}`}: ${Buffer.from(stderr).toString('utf8').trim().slice(0, distributionLimits.errorChars)}`,
      );
    const auth =
      parseHelperReply(stdout) ??
      fail(
        'outside',
        `${attempted}: the answer is ${truncated ? `longer than ${distributionLimits.helperBytes} bytes` : 'not valid'}`,
      );
    credentialsOf(auth, (field, reason) => fail('outside', `${attempted}: its ${field} ${reason}`));
    return auth;
  }
}

/** The parsed file, undefined if it does not exist, or the reason why it cannot be used. */
async function readAuthFile(file: string): Promise<AuthFile | string | undefined> {
  try {
    const bytes = await readCapped(file, distributionLimits.confBytes);
    return bytes === undefined ? undefined : parseAuthFile(bytes, file);
  } catch (error) {
    if (error instanceof FaultError) return error.fault.message;
    throw error;
  }
}
