/** Which processes are in this one's cgroups: in those of its unit, under systemd. */
import { readFileSync } from 'node:fs';

/** Whether the process is in this one's cgroup or below; true also where that can't be known. */
export function isInOwnCgroup(pid: number): boolean {
  const [own, other] = [placeOf('self'), placeOf(String(pid))];
  return own === '' || other === '' || other === own || other.startsWith(`${own}/`);
}

/** In cgroup v2, or in systemd's hierarchy of v1 (cgroups(7)). */
function placeOf(pid: string): string {
  try {
    const lines = readFileSync(`/proc/${pid}/cgroup`, 'latin1').split('\n');
    const line =
      lines.find((one) => one.includes(':name=systemd:')) ?? lines.find((one) => one.startsWith('0::'));
    return line?.split(':').slice(2).join(':') ?? '';
  } catch {
    return '';
  }
}
