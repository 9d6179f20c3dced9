import type { CommandLine } from '../command-line.ts';
import { loadConfig } from '../config.ts';
import type { Config } from '../config-schema.ts';

/** The configuration that files and options make. The default file may be missing, unless it was there before. */
export async function configOf(line: CommandLine, defaultFile: string, wasThere = false): Promise<Config> {
  const { config: file, root, state, socket, 'log-level': logLevel } = line.options;
  return loadConfig(file ?? defaultFile, wasThere || file !== undefined, {
    ...(root === undefined ? {} : { root }),
    ...(state === undefined ? {} : { state }),
    ...(socket === undefined ? {} : { socket }),
    ...(logLevel === undefined ? {} : { logLevel }),
  });
}
