/** stderr of a command without the line of each image that it pulled or imported. */
export const withoutPulledLines = (stderr: string): string =>
  stderr.replaceAll(/^(?:pulled|imported) \S+, [\d.]+ \w+\n/gmu, '');
