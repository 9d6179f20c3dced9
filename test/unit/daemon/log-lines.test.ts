// The form of the daemon's log: for collectors, for a terminal, for systemd's journal.
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import type { LogForm } from '../../../src/daemon/log-lines.ts';
import { logForm, logLines, logOptions } from '../../../src/daemon/log-lines.ts';

function logged(form: LogForm, write: (log: pino.Logger) => void): string {
  let text = '';
  write(
    pino(
      { ...logOptions, level: 'trace' },
      logLines({ write: (line) => (text += line) }, () => form),
    ),
  );
  return text;
}

const json = { isText: false, hasPriorities: false };
const text = { isText: true, hasPriorities: false };

describe('the form of the log', () => {
  it.each([
    ['auto', true, '', { isText: true, hasPriorities: false }],
    ['auto', false, '', { isText: false, hasPriorities: false }],
    ['auto', false, '8:34', { isText: false, hasPriorities: true }],
    ['text', false, '8:34', { isText: true, hasPriorities: true }],
    ['text', false, '', { isText: true, hasPriorities: false }],
    ['json', true, '', { isText: false, hasPriorities: false }],
    // inherited by a daemon whose output was redirected
    ['auto', false, '8:35', { isText: false, hasPriorities: false }],
  ])('%s with a terminal: %s and JOURNAL_STREAM %j is %j', (format, isTerminal, journalStream, form) => {
    expect(logForm(format, { isTerminal, journalStream, stream: '8:34' })).toEqual(form);
  });

  it('as JSON has the level by its name and the time of RFC 3339', () => {
    const line = logged(json, (log) => log.warn({ pod: 'web' }, 'slow'));
    expect(JSON.parse(line)).toEqual({
      level: 'warn',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/u) as string,
      pod: 'web',
      msg: 'slow',
    });
  });

  it('as text has time, level, message and fields, faults by their message', () => {
    const line = logged(text, (log) =>
      log.info(
        { network: 'a', ready: true, why: 'two words', fault: { kind: 'bug', message: 'no' }, n: [1] },
        'up',
      ),
    );
    expect(line).toMatch(
      /^\d\d:\d\d:\d\d\.\d{3} info  up network=a ready=true why="two words" fault="no" n=\[1\]\n$/u,
    );
  });

  it('has the priority of syslog for the journal, as JSON and as text', () => {
    const all = (log: pino.Logger): void => {
      for (const level of ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const) log[level]('x');
    };
    for (const form of [json, text]) {
      const lines = logged({ ...form, hasPriorities: true }, all)
        .trimEnd()
        .split('\n');
      expect(lines.map((line) => line.slice(0, 3))).toEqual(['<7>', '<7>', '<6>', '<4>', '<3>', '<2>']);
    }
  });

  it.each([text, { ...text, hasPriorities: true }, { ...json, hasPriorities: true }])(
    'S93 as %j has no character that controls a terminal or reverses text, and is one line',
    (form) => {
      const evil = 'a\n\u009b2J\u001b[2J\u202e\u2066\u2028\u0085\u007f';
      expect(logged(form, (log) => log.info({ evil, [evil]: [evil] }, evil))).toMatch(/^[ -~]+\n$/u);
    },
  );

  it('S92 as text has no credentials of URLs', () => {
    const line = logged(text, (log) =>
      log.info({ url: 'https://u:canary@h/' }, 'from http://canary@proxy:1'),
    );
    expect(line).not.toContain('canary');
    expect(line).toContain('https://***@h/');
  });
});
