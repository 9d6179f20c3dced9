// A unit of deploy/ as systemd reads it.

export type Unit = ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>;

/** Section → key → values, as systemd.syntax(7) reads a unit. Throws on a line of any other kind. */
export function parseUnit(text: string): Unit {
  const sections = new Map<string, Map<string, string[]>>();
  let current: Map<string, string[]> | undefined;
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const section = /^\[(\w+)\]$/.exec(line)?.[1];
    if (section !== undefined) {
      current = sections.get(section) ?? new Map<string, string[]>();
      sections.set(section, current);
      continue;
    }
    const [, key, value] = /^([A-Z]\w+)=(.*)$/.exec(line) ?? [];
    if (key === undefined || value === undefined || current === undefined)
      throw new Error(`not a line of a unit: ${line}`);
    current.set(key, [...(current.get(key) ?? []), value]);
  }
  return sections;
}

/** Directive → section, from systemd.unit(5), systemd.service(5), systemd.exec(5), systemd.kill(5) and others. */
const SECTIONS: Readonly<Record<string, RegExp>> = {
  Unit: /^(?:Description|Documentation|Wants|Requires|After|Before|Upholds|RequiresMountsFor|Condition\w+|StartLimit(?:IntervalSec|Burst))$/,
  Socket:
    /^(?:ListenStream|FileDescriptorName|SocketMode|DirectoryMode|TriggerLimitIntervalSec|TriggerLimitBurst)$/,
  Service:
    /^(?:Type|NotifyAccess|FileDescriptorStoreMax|WatchdogSec|Exec\w+|Restart\w*|Timeout\w+Sec|Kill(?:Mode|Signal)|Environment|Delegate|CPUWeight|OOMScoreAdjust|Limit[A-Z]+|TasksMax|(?:Runtime|State|Cache)Directory\w*|SELinuxContext)$/,
  Install: /^(?:WantedBy|RequiredBy|Alias|Also)$/,
};

/** Directives that stand in a section in which systemd does not read them. */
export const misplaced = (unit: Unit): readonly string[] =>
  [...unit].flatMap(([section, keys]) =>
    [...keys.keys()]
      .filter((key) => SECTIONS[section]?.test(key) !== true)
      .map((key) => `${key} in [${section}]`),
  );

/** What `systemd-analyze verify` prints that is no complaint: keys of systemd 254, of which older ones warn. */
export const isNewerKey = (line: string): boolean =>
  /Unknown key(?: name)? '(?:RestartSteps|RestartMaxDelaySec)' in section/.test(line);
