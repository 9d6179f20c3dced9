/** Credentials that the node keeps: files, and the helper programs that they name. For pulls whose client brought none. */
import type { RegistryAuth } from '../../../ports/images.ts';
import type { ClockPort } from '../../../ports/clock.ts';
import { fail, FaultError } from '../../../base/fault.ts';
import { distributionLimits } from '../bounds.ts';
import type { ToolRequest, ToolResult } from '../../../host/process/process-tool.ts';
import { findIn, parseAuthFile, parseHelperReply, type AuthFile } from './auth-file.ts';
import type { Endpoint } from './endpoints.ts';
import { readCapped } from './read-capped.ts';

export interface NodeCredentialsOptions {
  /** Absolute paths, the first that has an entry wins; asked at each pull. */
  readonly files: () => readonly string[];
  /** The absolute path of a helper program, or a FaultError. */
  readonly findHelper: (program: string) => Promise<string>;
  readonly runTool: (request: ToolRequest) => Promise<ToolResult>;
  readonly clock: ClockPort;
}

/** Reads the files at each pull, so that what an operator writes counts at once. */
export class NodeCredentials {
  readonly #options: NodeCredentialsOptions;

  constructor(options: NodeCredentialsOptions) {
    this.#options = options;
  }

  /**
   * Undefined for anonymous. A file that can't be read counts as absent, as `problems` reports; throws `outside` for a
   * helper that fails.
   */
  async of(endpoint: Endpoint, signal: AbortSignal): Promise<RegistryAuth | undefined> {
    for (const file of this.#options.files()) {
      const content = await readAuthFile(file);
      const auth = typeof content === 'object' ? await this.inFile(content, endpoint, signal) : undefined;
      if (auth !== undefined) return auth;
    }
    return undefined;
  }

  /** What can't be used of the files as they are now: path → reason. Runs no helper. */
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
    const looked = [...names].map((name) =>
      this.#programOf(name).then((program) =>
        program === undefined ? [`credential helper docker-credential-${name}: not found`] : [],
      ),
    );
    return (await Promise.all(looked)).flat();
  }

  async #programOf(helper: string): Promise<string | undefined> {
    try {
      return await this.#options.findHelper(`docker-credential-${helper}`);
    } catch (error) {
      if (error instanceof FaultError) return undefined;
      throw error;
    }
  }

  /** What a file says of a repository, its helpers asked. */
  async inFile(
    file: AuthFile,
    { host, repository }: Pick<Endpoint, 'host' | 'repository'>,
    signal: AbortSignal,
  ): Promise<RegistryAuth | undefined> {
    const found = findIn(file, host, repository);
    if (found === undefined) return undefined;
    return 'auth' in found ? found.auth : this.#ask(found.helper, found.server, signal);
  }

  /** `docker-credential-<name> get`, the server on its input. Undefined when it knows none, or is not installed. */
  async #ask(helper: string, server: string, signal: AbortSignal): Promise<RegistryAuth | undefined> {
    const attempted = `credentials for ${server} from docker-credential-${helper}`;
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
    if (timedOut) fail('timedOut', `${attempted}: no answer within ${distributionLimits.helperMs} ms`);
    const said = Buffer.concat([stdout, stderr]).toString('utf8');
    // the helpers' own words for "none here", with exit code 1; stdout may hold a secret and goes into no message
    if (exitCode !== 0 && /credentials not found/iu.test(said)) return undefined;
    if (exitCode !== 0)
      fail(
        'outside',
        `${attempted}: it ended with ${exitCode ?? 'a signal'}: ${Buffer.from(stderr).toString('utf8').trim().slice(0, distributionLimits.errorChars)}`,
      );
    return (
      parseHelperReply(stdout) ??
      fail('outside', `${attempted}: its answer is ${truncated ? 'too long' : 'none'}`)
    );
  }
}

/** Undefined when there is none; a text when it can't be used. */
async function readAuthFile(file: string): Promise<AuthFile | string | undefined> {
  try {
    const bytes = await readCapped(file, distributionLimits.confBytes);
    return bytes === undefined ? undefined : parseAuthFile(bytes, file);
  } catch (error) {
    if (error instanceof FaultError) return error.fault.message;
    throw error;
  }
}
