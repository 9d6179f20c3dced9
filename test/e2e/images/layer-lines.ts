/** What a command that pulls wrote to stderr, without its line for each layer that is there. */
export const withoutLayerLines = (stderr: string): string =>
  stderr.replaceAll(/^\w+ [\d.]+ \w+ done\n/gmu, '');
