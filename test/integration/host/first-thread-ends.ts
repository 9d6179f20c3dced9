/** Run by process.test.ts: a process that runs on after its first thread has ended; /proc shows it as a zombie. */
import koffi from 'koffi';

// with it, this process has threads that outlive the first one
await new Promise((resolve) => setImmediate(resolve));
process.stdout.write('ending\n', () => {
  koffi.load(null).func('void pthread_exit(void *value)')(null);
});
