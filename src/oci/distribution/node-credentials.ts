/** Credentials that the node keeps: files, and the helper programs that they name. For pulls whose client brought none. */
import type { RegistryAuth } from '../../actors/ports/images.ts';
import type { ClockPort } from '../../actors/ports/clock.ts';
import { fail } from '../../base/fault.ts';
import { distributionLimits } from '../../base/limits.ts';
import type { ToolRequest, ToolResult } from '../../host/process-tool.ts';
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

  /** Undefined for anonymous. Throws `invalidRequest` for a file that can't be read, `outside` for a helper that fails. */
  async of(endpoint: Endpoint, signal: AbortSignal): Promise<RegistryAuth | undefined> {
    for (const file of this.#options.files()) {
      const bytes = await readCapped(file, distributionLimits.confBytes);
      if (bytes === undefined) continue;
      const auth = await this.inFile(parseAuthFile(bytes, file), endpoint, signal);
      if (auth !== undefined) return auth;
    }
    return undefined;
  }

  /** What a file says of a repository, its helpers asked. */
  async inFile(file: AuthFile, { host, repository }: Pick<Endpoint, 'host' | 'repository'>, signal: AbortSignal): Promise<RegistryAuth | undefined> {
    const found = findIn(file, host, repository);
    if (found === undefined) return undefined;
    return 'auth' in found ? found.auth : this.#ask(found.helper, found.server, signal);
  }

  /** `docker-credential-<name> get`, the server on its input. Undefined when it knows none. */
  async #ask(helper: string, server: string, signal: AbortSignal): Promise<RegistryAuth | undefined> {
    const program = `docker-credential-${helper}`;
    const attempted = `credentials for ${server} from ${program}`;
    const { exitCode, stdout, stderr, timedOut, truncated } = await this.#options.runTool({
      argv: [await this.#options.findHelper(program), 'get'],
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
    if (exitCode !== 0) fail('outside', `${attempted}: it ended with ${exitCode ?? 'a signal'}: ${Buffer.from(stderr).toString('utf8').trim().slice(0, distributionLimits.errorChars)}`);
    return parseHelperReply(stdout) ?? fail('outside', `${attempted}: its answer is ${truncated ? 'too long' : 'none'}`);
  }
}
