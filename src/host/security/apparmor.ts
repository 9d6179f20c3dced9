/** AppArmor as the kernel shows it (apparmor(7)), and the program that loads a profile. */
import { readFile } from 'node:fs/promises';
import type { ClockPort } from '../../ports/clock.ts';
import { fail, printable } from '../../base/fault.ts';
import { hostLimits } from '../bounds.ts';
import { runTool } from '../process/process-tool.ts';

const ENABLED = '/sys/module/apparmor/parameters/enabled';
const PROFILES = '/sys/kernel/security/apparmor/profiles';

/** True where the kernel enforces AppArmor and lists its profiles. */
export async function apparmorIsEnabled(): Promise<boolean> {
  const [enabled, profiles] = await Promise.all(
    [ENABLED, PROFILES].map((path) => readFile(path, 'utf8').catch(() => undefined)),
  );
  return enabled?.startsWith('Y') === true && profiles !== undefined;
}

/** The names in the kernel's list, whose lines are `name (mode)`. */
export function parseProfiles(text: string): ReadonlySet<string> {
  return new Set(text.split('\n').flatMap((line) => /^(.+) \([a-z]+\)$/u.exec(line)?.[1] ?? []));
}

/** True when the profile is loaded. */
export async function profileIsLoaded(name: string): Promise<boolean> {
  return parseProfiles(await readFile(PROFILES, 'utf8')).has(name);
}

/**
 * Compiles the text and loads it, replacing a profile of the same name: processes under that profile continue
 * under the new one. The kernel only accepts compiled policy, so it needs apparmor_parser.
 */
export async function loadProfile(
  parser: string,
  name: string,
  text: string,
  clock: ClockPort,
): Promise<void> {
  const attempted = `load AppArmor profile ${name}`;
  const argv = [parser, '--replace', '--skip-cache', '--quiet'];
  const answer = await runTool({
    argv,
    stdin: Buffer.from(text),
    clock,
    timeoutMs: hostLimits.apparmorLoadMs,
  });
  if (answer.timedOut)
    fail('timedOut', `${attempted}: timed out after ${hostLimits.apparmorLoadMs} ms waiting for ${parser}`, {
      subject: name,
    });
  if (answer.exitCode === 0) return;
  const said = printable(
    Buffer.from(answer.stderr).toString('utf8').trim().slice(0, hostLimits.apparmorQuotedChars),
  );
  fail('outside', `${attempted}: ${said || `${parser}: exit code ${answer.exitCode}`}`, { subject: name });
}
