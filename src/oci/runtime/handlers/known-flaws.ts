/**
 * Known container escapes of runtimes, by the versions that fixed them (S36 to S43). Nothing in a config.json helps
 * against them.
 */

interface Flaw {
  readonly program: 'runc' | 'crun';
  readonly name: string;
  /** The first version of each series with the fix, oldest first; series after the last one have it, too. */
  readonly fixedIn: readonly string[];
}

/** From the security advisories of both projects. */
const FLAWS: readonly Flaw[] = [
  { program: 'runc', name: 'CVE-2019-5736 (the host’s runc is overwritten)', fixedIn: ['1.0.0-rc7'] },
  {
    program: 'runc',
    name: 'CVE-2019-16884 (a volume over /proc switches AppArmor off)',
    fixedIn: ['1.0.0-rc9'],
  },
  {
    program: 'runc',
    name: 'CVE-2019-19921 (a link in place of /proc, which we refuse)',
    fixedIn: ['1.0.0-rc10'],
  },
  { program: 'runc', name: 'CVE-2021-30465 (mounts by a link that is swapped)', fixedIn: ['1.0.0-rc95'] },
  {
    program: 'runc',
    name: 'CVE-2021-43784 (namespaces switched off by a path of 64 KiB, which we refuse)',
    fixedIn: ['1.0.3'],
  },
  { program: 'runc', name: 'CVE-2022-29162 (inheritable capabilities)', fixedIn: ['1.1.2'] },
  { program: 'runc', name: 'CVE-2023-27561, CVE-2023-28642 (a volume over /proc)', fixedIn: ['1.1.5'] },
  {
    program: 'runc',
    name: 'CVE-2024-21626 (a directory of the host as working directory)',
    fixedIn: ['1.1.12'],
  },
  {
    program: 'runc',
    name: 'CVE-2024-45310 (files made on the host by a race of mounts)',
    fixedIn: ['1.1.14', '1.2.0-rc3'],
  },
  {
    program: 'runc',
    name: 'CVE-2025-31133 (masked paths by a swapped /dev/null)',
    fixedIn: ['1.2.8', '1.3.3', '1.4.0-rc.3'],
  },
  {
    program: 'runc',
    name: 'CVE-2025-52565 (a mount by /dev/console)',
    fixedIn: ['1.2.8', '1.3.3', '1.4.0-rc.3'],
  },
  {
    program: 'runc',
    name: 'CVE-2025-52881 (writes to /proc led elsewhere)',
    fixedIn: ['1.2.8', '1.3.3', '1.4.0-rc.3'],
  },
  {
    program: 'runc',
    name: 'CVE-2026-41579 (files made on the host by a link in place of /dev, which we refuse)',
    fixedIn: ['1.3.6', '1.4.3', '1.5.0-rc.3'],
  },
  { program: 'crun', name: 'CVE-2022-27650 (inheritable capabilities)', fixedIn: ['1.4.4'] },
  {
    program: 'crun',
    name: 'CVE-2026-47766 (files made on the host by a link in place of /dev, which we refuse)',
    fixedIn: ['1.28'],
  },
];

/**
 * The line of `--version` that names the runtime; the first one if none does. A program that runs another one, such as
 * NVIDIA's, prints the line of that one, too, whose flaws it has.
 */
export function versionLine(text: string): string {
  const lines = text.split('\n');
  return lines.find((line) => /^(?:runc|crun) version /u.test(line)) ?? lines[0] ?? '';
}

/** Phrases such as `runc 1.1.5 has CVE-…`, one for each flaw of a program with this `--version`. */
export function knownFlaws(versionText: string): readonly string[] {
  const { title, flaws } = flawsOf(versionText);
  return flaws.map(({ name }) => `${title} has ${name}`);
}

/** One line for operators: how many flaws, and which version has none of them; empty where none is known. */
export function flawSummary(versionText: string): string {
  const { title, flaws } = flawsOf(versionText);
  const [first] = flaws;
  if (first === undefined) return '';
  const fixed = flaws
    .flatMap(({ fixedIn }) => fixedIn)
    .flatMap((number) => ({ number, version: parse(number) }))
    .filter(({ version }) => version?.candidate === RELEASE)
    .toSorted((a, b) => compare(a.version, b.version))
    .at(-1);
  const count = flaws.length === 1 ? '1 known flaw' : `${flaws.length} known flaws`;
  return `${title} has ${count}, unless its distribution has fixed them: install ${first.program} ${fixed?.number ?? ''} or later`;
}

/** The flaws' names without what they are: `CVE-2024-21626`. */
export function flawNames(versionText: string): readonly string[] {
  return flawsOf(versionText).flaws.map(({ name }) => name.replace(/ .*$/u, ''));
}

function flawsOf(versionText: string): { readonly title: string; readonly flaws: readonly Flaw[] } {
  const [, program, number] = /^(runc|crun) version (\S+)/mu.exec(versionText) ?? [];
  const version = number === undefined ? undefined : parse(number);
  if (program === undefined || number === undefined || version === undefined) return { title: '', flaws: [] };
  const flaws = FLAWS.filter(
    (flaw) =>
      flaw.program === program &&
      !hasFix(
        version,
        flaw.fixedIn.flatMap((one) => parse(one) ?? []),
      ),
  );
  return { title: `${program} ${number}`, flaws };
}

function compare(a: Version | undefined, b: Version | undefined): number {
  return (a?.series ?? 0) - (b?.series ?? 0) || (a?.patch ?? 0) - (b?.patch ?? 0);
}

interface Version {
  /** Series: major and minor. A release counts as a candidate above all others. */
  readonly series: number;
  readonly patch: number;
  readonly candidate: number;
}

const RELEASE = Number.MAX_SAFE_INTEGER;

/** Parses `1.1.5+ds1`, `1.4.0-rc.3` or `1.0.0-rc95+dev`; undefined for another form. */
function parse(text: string): Version | undefined {
  const [, major, minor, patch, candidate] =
    /^(\d{1,4})\.(\d{1,4})(?:\.(\d{1,6}))?(?:-rc\.?(\d{1,4}))?/u.exec(text) ?? [];
  if (major === undefined || minor === undefined) return undefined;
  return {
    series: Number(major) * 10_000 + Number(minor),
    patch: Number(patch ?? 0),
    candidate: candidate === undefined ? RELEASE : Number(candidate),
  };
}

function hasFix(version: Version, fixes: readonly Version[]): boolean {
  const ofSeries = fixes.find(({ series }) => series === version.series);
  if (ofSeries === undefined) return version.series > Math.max(...fixes.map(({ series }) => series));
  return (
    version.patch > ofSeries.patch ||
    (version.patch === ofSeries.patch && version.candidate >= ofSeries.candidate)
  );
}
