/**
 * Whether a process executes a program just now, by the text of its /proc/PID/statm: it has memory already and no code
 * yet (proc_pid_statm(5)). False for an empty text. A program without an executable segment of its own has the same
 * figures for as long as it runs: this says what can be read, and identifies nobody.
 */
export function executesNow(statm: string): boolean {
  const [size = '', , , code] = statm.split(' ');
  return size !== '' && size !== '0' && code === '0';
}
