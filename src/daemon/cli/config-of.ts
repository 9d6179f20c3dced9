import type { CommandLine } from '../config/command-line.ts';
import { loadConfig, readConfig, surveyConfig } from '../config/config.ts';
import type { ConfigSurvey, Overrides, ReadConfig } from '../config/config.ts';
import { defaultConfig } from '../config/config-schema.ts';
import type { Config } from '../config/config-schema.ts';

/**
 * The configuration from files and options, for a start. The default file may be missing. Throws only for errors in the
 * main file.
 */
export function configOf(line: CommandLine, defaultFile: string): Promise<ReadConfig> {
  const { config: file } = line.options;
  return readConfig(file ?? defaultFile, file !== undefined, overridesOf(line), defaultsOf(line));
}

/** All that the files hold and all errors in them, for commands that can do without a right configuration. */
export function surveyOf(line: CommandLine, defaultFile: string): Promise<ConfigSurvey> {
  const { config: file } = line.options;
  return surveyConfig(file ?? defaultFile, file !== undefined, overridesOf(line));
}

/** The same for a reload. Throws for any error: the present configuration is better than a part of the new one. */
export function configAgain(
  line: CommandLine,
  defaultFile: string,
  wasThere: boolean,
): Promise<Pick<ReadConfig, 'config' | 'files'>> {
  const { config: file } = line.options;
  return loadConfig(file ?? defaultFile, wasThere || file !== undefined, overridesOf(line), defaultsOf(line));
}

/** `start` is for trying troupe without a cluster, so it brings a network. */
function defaultsOf({ command }: CommandLine): Config {
  const { network } = defaultConfig;
  return command === 'start'
    ? { ...defaultConfig, network: { ...network, fallback: 'bridge' } }
    : defaultConfig;
}

function overridesOf({ options: { root, state, socket, 'log-level': logLevel } }: CommandLine): Overrides {
  return {
    ...(root === undefined ? {} : { root }),
    ...(state === undefined ? {} : { state }),
    ...(socket === undefined ? {} : { socket }),
    ...(logLevel === undefined ? {} : { logLevel }),
  };
}
