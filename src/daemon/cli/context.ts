/** The input of every command. */
import type { ClockPort } from '../../ports/clock.ts';
import type { IntrospectionClient } from '../../introspection/client.ts';
import type { CommandLine } from '../config/command-line.ts';
import type { Config } from '../config/config-schema.ts';
import type { Screen } from './screen.ts';

export interface Command {
  readonly line: CommandLine;
  readonly screen: Screen;
  readonly clock: ClockPort;
  readonly json: boolean;
  /** Path of the introspection socket. */
  readonly socket: string;
  readonly client: IntrospectionClient;
  /** The configuration from files and options. */
  readonly config: () => Promise<Config>;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
}

/** Writes one JSON document, for scripts. */
export function writeJson(screen: Screen, value: unknown): void {
  screen.block(JSON.stringify(value, null, 2));
}
