/**
 * Verifies OpenPGP signatures with GnuPG's gpgv. It is a separate process without network, agent, trust database or
 * user keys, and uses only the given keys (S49: no native OpenPGP library in the daemon).
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClockPort } from '../../../ports/clock.ts';
import type { RandomPort } from '../../../ports/random.ts';
import { Semaphore } from '../../../base/bounded.ts';
import { fail } from '../../../base/fault.ts';
import { allSettled } from '../../../base/settled.ts';
import { signatureLimits } from '../bounds.ts';
import type { ToolRequest, ToolResult } from '../../../host/process/process-tool.ts';
import { keyRing } from './armor.ts';
import { refusalIn } from './gpgv-status.ts';

export interface GpgvOptions {
  /** Directory on a tmpfs for the key rings of each run; created when needed. */
  readonly directory: string;
  readonly random: RandomPort;
  readonly clock: ClockPort;
  /** Resolves to the absolute path of gpgv, or rejects with a FaultError. */
  readonly findProgram: () => Promise<string>;
  readonly runTool: (request: ToolRequest) => Promise<ToolResult>;
}

/** The content that one of the keys has signed, or why the message is refused. */
export type OpenedMessage = { readonly payload: Uint8Array } | { readonly refusal: string };

export class Gpgv {
  readonly #options: GpgvOptions;
  readonly #slots = new Semaphore('runs of gpgv', signatureLimits.gpgvAtOnce, signatureLimits.gpgvWaiting);

  constructor(options: GpgvOptions) {
    this.#options = options;
  }

  /**
   * Verifies a signed message. Throws `invalidRequest` for invalid keys and a missing program, `timedOut`, `cancelled`.
   */
  open(message: Uint8Array, keys: readonly Uint8Array[], signal: AbortSignal): Promise<OpenedMessage> {
    return this.#slots.with(() => this.#open(message, keys, signal), signal);
  }

  async #open(message: Uint8Array, keys: readonly Uint8Array[], signal: AbortSignal): Promise<OpenedMessage> {
    const rings = keys.map(
      (bytes) =>
        keyRing(bytes) ??
        fail('invalidRequest', 'read the keys of the signature policy: one is not an OpenPGP public key'),
    );
    const { random, directory } = this.#options;
    const home = join(directory, random.token(8));
    await mkdir(home, { recursive: true, mode: 0o700 });
    try {
      const files = rings.map((_ring, at) => join(home, `${at}.gpg`));
      await allSettled(rings.map((ring, at) => writeFile(files[at] ?? '', ring, { mode: 0o600 })));
      return await this.#run(message, home, files, signal);
    } finally {
      await rm(home, { recursive: true, force: true });
    }
  }

  async #run(
    message: Uint8Array,
    home: string,
    rings: readonly string[],
    signal: AbortSignal,
  ): Promise<OpenedMessage> {
    const { findProgram, runTool, clock } = this.#options;
    const program = await findProgram();
    const { exitCode, stdout, stderr, timedOut, truncated } = await runTool({
      argv: [
        program,
        '--homedir',
        home,
        '--quiet',
        // keep messages for people out of the status lines
        '--log-file',
        '/dev/null',
        '--status-fd',
        '2',
        ...rings.flatMap((ring) => ['--keyring', ring]),
        '--output',
        '-',
        '-',
      ],
      stdin: message,
      timeoutMs: signatureLimits.gpgvMs,
      outputBytesMax: signatureLimits.signatureBytes,
      signal,
      clock,
    });
    if (timedOut)
      fail(
        'timedOut',
        `verify OpenPGP signature: timed out after ${signatureLimits.gpgvMs} ms waiting for ${program}`,
      );
    if (truncated)
      return { refusal: `the signed content is longer than ${signatureLimits.signatureBytes} bytes` };
    const refusal =
      refusalIn(Buffer.from(stderr).toString('latin1')) ??
      (exitCode === 0
        ? undefined
        : exitCode === null
          ? 'gpgv was ended by a signal'
          : `gpgv failed with exit code ${exitCode}`);
    return refusal === undefined ? { payload: stdout } : { refusal };
  }
}
