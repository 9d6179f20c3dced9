/**
 * Signals by name: the 65 names of the CRI's Signal enum and their aliases (signal(7); x86-64 and arm64 have the same
 * numbers). SIGRTMIN is 34, as in glibc and the CRI: the kernel's 32 and 33 belong to the thread library.
 */

const STANDARD: readonly (readonly [string, number])[] = [
  ['SIGHUP', 1],
  ['SIGINT', 2],
  ['SIGQUIT', 3],
  ['SIGILL', 4],
  ['SIGTRAP', 5],
  ['SIGABRT', 6],
  ['SIGBUS', 7],
  ['SIGFPE', 8],
  ['SIGKILL', 9],
  ['SIGUSR1', 10],
  ['SIGSEGV', 11],
  ['SIGUSR2', 12],
  ['SIGPIPE', 13],
  ['SIGALRM', 14],
  ['SIGTERM', 15],
  ['SIGSTKFLT', 16],
  ['SIGCHLD', 17],
  ['SIGCONT', 18],
  ['SIGSTOP', 19],
  ['SIGTSTP', 20],
  ['SIGTTIN', 21],
  ['SIGTTOU', 22],
  ['SIGURG', 23],
  ['SIGXCPU', 24],
  ['SIGXFSZ', 25],
  ['SIGVTALRM', 26],
  ['SIGPROF', 27],
  ['SIGWINCH', 28],
  ['SIGIO', 29],
  ['SIGPWR', 30],
  ['SIGSYS', 31],
];

const ALIASES: readonly (readonly [string, number])[] = [
  ['SIGIOT', 6],
  ['SIGCLD', 17],
  ['SIGPOLL', 29],
  ['SIGUNUSED', 31],
];

const FIRST_REALTIME = 34;
const LAST_REALTIME = 64;
/**
 * Up to this number the CRI counts from SIGRTMIN, above it down from SIGRTMAX (SIGRTMIN+15 is 49, SIGRTMAX-14 is 50).
 */
const LAST_COUNTED_FROM_MIN = 49;

function realtimeName(number: number): string {
  if (number === FIRST_REALTIME) return 'SIGRTMIN';
  if (number === LAST_REALTIME) return 'SIGRTMAX';
  if (number <= LAST_COUNTED_FROM_MIN) return `SIGRTMIN+${number - FIRST_REALTIME}`;
  return `SIGRTMAX-${LAST_REALTIME - number}`;
}

function table(): ReadonlyMap<string, number> {
  const numbers = new Map<string, number>([...STANDARD, ...ALIASES]);
  for (let number = FIRST_REALTIME; number <= LAST_REALTIME; number += 1) {
    // both ways of counting are accepted for every number (systemd's SIGRTMIN+24 is 58)
    numbers.set(`SIGRTMIN+${number - FIRST_REALTIME}`, number);
    numbers.set(`SIGRTMAX-${LAST_REALTIME - number}`, number);
    numbers.set(realtimeName(number), number);
  }
  return numbers;
}

const NUMBERS = table();
const NAMES: ReadonlyMap<number, string> = new Map([
  ...STANDARD.map(([name, number]): [number, string] => [number, name]),
  ...Array.from({ length: LAST_REALTIME - FIRST_REALTIME + 1 }, (_item, at): [number, string] => [
    FIRST_REALTIME + at,
    realtimeName(FIRST_REALTIME + at),
  ]),
]);

/** Longest name that is parsed: `SIGRTMIN+30` has 11 characters. */
const NAME_CHARS = 16;

/**
 * The number of `SIGTERM`, `term`, `SIGRTMIN+3`, `SIGRTMINPLUS3` (the CRI's enum), `SIGNAL_SIGTERM` (its newer
 * spelling) or `15` (an image's STOPSIGNAL); undefined for anything else. Case is ignored.
 */
export function signalNumber(name: string): number | undefined {
  const upper = name.toUpperCase().replace(/^SIGNAL_/u, '');
  if (upper.length > NAME_CHARS) return undefined;
  if (/^[1-9][0-9]?$/u.test(upper)) {
    const number = Number(upper);
    return NAMES.has(number) ? number : undefined;
  }
  const plain = upper.replace(/RTMINPLUS/u, 'RTMIN+').replace(/RTMAXMINUS/u, 'RTMAX-');
  return NUMBERS.get(plain.startsWith('SIG') ? plain : `SIG${plain}`);
}

/** The canonical name of a signal, such as `SIGTERM` or `SIGRTMIN+3`; undefined for an unknown number. */
export function signalName(number: number): string | undefined {
  return NAMES.get(number);
}

/** All names with their numbers: 62 signals and every alias. */
export function signalNames(): ReadonlyMap<string, number> {
  return NUMBERS;
}
