// The places that name the version of troupe. The program reads package.json (src/daemon/wiring/version.ts). Pure.

interface Place {
  readonly file: string;
  /** Finds the version; the group before it stays. */
  readonly pattern: RegExp;
}

const VERSION = String.raw`\d+\.\d+\.\d+`;

export const versionPlaces: readonly Place[] = [
  {
    file: 'package.json',
    pattern: new RegExp(String.raw`^(\{\n  "name": "troupe",\n  "version": ")(${VERSION})`, 'u'),
  },
  {
    file: 'package-lock.json',
    pattern: new RegExp(String.raw`^(\{\n  "name": "troupe",\n  "version": ")(${VERSION})`, 'u'),
  },
  {
    file: 'package-lock.json',
    pattern: new RegExp(String.raw`("": \{\n      "name": "troupe",\n      "version": ")(${VERSION})`, 'u'),
  },
  { file: 'README.md', pattern: new RegExp(String.raw`^(Version )(${VERSION})(?=\.)`, 'mu') },
];

/** The version that the text names at this place. Throws where the text has another form. */
export function versionAt({ file, pattern }: Place, text: string): string {
  const version = pattern.exec(text)?.[2];
  if (version === undefined) throw new Error(`${file} names no version where it is expected`);
  return version;
}

/** The text with this version at the place. */
export function withVersion(place: Place, text: string, version: string): string {
  versionAt(place, text);
  return text.replace(place.pattern, (_whole, before: string) => before + version);
}

/** Negative, 0 or positive, as `a` is lower than, equal to or higher than `b`. */
export function compareVersions(a: string, b: string): number {
  const [first = [], second = []] = [a, b].map((text) => text.split('.').map(Number));
  for (const [at, part] of first.entries()) {
    const difference = part - (second[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
