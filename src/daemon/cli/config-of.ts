import type { CommandLine } from '../config/command-line.ts';
import { loadConfig, readConfig } from '../config/config.ts';
import type { Overrides, ReadConfig } from '../config/config.ts';
import type { Config } from '../config/config-schema.ts';

/**
 * The configuration from files and options, for a start. The default file may be missing. Throws only for errors in the
 * main file.
 */
export function configOf(line: CommandLine, defaultFile: string): Promise<ReadConfig> {
  const { config: file } = line.options;
  return readConfig(file ?? defaultFile, file !== undefined, overridesOf(line));
}

/** The same for a reload. Throws for any error: the present configuration is better than a part of the new one. */
export function configAgain(line: CommandLine, defaultFile: string, wasThere: boolean): Promise<Config> {
  const { config: file } = line.options;
  return loadConfig(file ?? defaultFile, wasThere || file !== undefined, overridesOf(line));
}

function overridesOf({ options: { root, state, socket, 'log-level': logLevel } }: CommandLine): Overrides {
  return {
    ...(root === undefined ? {} : { root }),
    ...(state === undefined ? {} : { state }),
    ...(socket === undefined ? {} : { socket }),
    ...(logLevel === undefined ? {} : { logLevel }),
  };
}
